//go:build !lambda.norpc

package secret

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
)

// Create keeps a key under a name that has none, and reports whether it did:
// of several at once, one does.
func (s *Secrets) Create(ctx context.Context, name, key string) (bool, error) {
	parameter, err := s.name(name)
	if err != nil {
		return false, err
	}
	defer s.Forget(name)
	call := s.call("PutParameter")
	in := &ssm.PutParameterInput{Name: parameter, Value: &key, Type: types.ParameterTypeSecureString, Overwrite: new(false)}
	if s.kmsKey != "" {
		in.KeyId = &s.kmsKey
	}
	_, err = s.api.PutParameter(ctx, in, with(call))
	if _, held := errors.AsType[*types.ParameterAlreadyExists](err); held {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("keep the key %s: %w", name, call.Error("ssm PutParameter", err))
	}
	return true, nil
}
