//go:build !lambda.norpc

package app

import (
	"context"

	"stovasync/shared/preview"
)

// Preview reads a sample with the stack's settings and key, from this machine.
func (s *Stack) Preview(ctx context.Context, e PreviewEvent) (preview.Report, error) {
	return s.App.Preview(ctx, e)
}
