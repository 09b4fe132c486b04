//go:build !lambda.norpc

package app

import (
	"context"
	"fmt"

	"stovasync/shared/fault"
	"stovasync/shared/preview"
)

// Preview has the deployed function read a sample, so that what is deployed
// decides, with the stack's key and its part of the vendor's calls. Errors are
// those of App.Preview; CONFIG_INVALID too where the stack is older than the
// function.
func (s *Stack) Preview(ctx context.Context, e PreviewEvent) (preview.Report, error) {
	const again = "deploy the stack again from the same version as this program"
	if s.d.PreviewFunction == "" {
		return preview.Report{}, fault.New(fault.ConfigInvalid, fmt.Sprintf("stack %s has no function preview: it is older than this program", s.d.Stack), again)
	}
	var answer PreviewAnswer
	if err := s.invoke(ctx, s.d.PreviewFunction, e, &answer); err != nil {
		return preview.Report{}, err
	}
	if err := answer.error(); err != nil {
		return preview.Report{}, err
	}
	if answer.Report == nil {
		return preview.Report{}, fault.New(fault.StoreUnavailable, fmt.Sprintf("function %s gave no report", s.d.PreviewFunction), again)
	}
	return *answer.Report, nil
}
