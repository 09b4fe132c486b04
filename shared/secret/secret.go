// Package secret keeps the vendor keys of connections as SecureString
// parameters of the Systems Manager: one per connection, under a prefix of the
// stack, which is all that a function's role may read.
package secret

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"stovasync/shared/awscall"
	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// Secrets keeps keys. It implements pipeline.Secrets. A key that was read is
// remembered for a while: the Systems Manager answers few calls a second, and
// every task asks.
type Secrets struct {
	api      api
	prefix   string
	kmsKey   string
	lifetime time.Duration
	now      func() time.Time
	policy   awscall.Policy
	meter    awscall.Meter

	mu      sync.Mutex
	known   map[string]known
	changes int // counts Forget, so that a read under way does not bring back what it forgot
}

var _ pipeline.Secrets = (*Secrets)(nil)

type known struct {
	key   string
	until time.Time
}

// Config is what Secrets works with.
type Config struct {
	Client *ssm.Client
	// Prefix goes before a connection's name, slash included, as in
	// /stovasync/STACK/.
	Prefix string
	// KMSKey encrypts what Put keeps; "" for the account's default key.
	KMSKey string
	// Remember is how long a key is remembered. Default 5 minutes; below 0: never.
	Remember time.Duration
	Now      func() time.Time // default time.Now
	Policy   awscall.Policy   // how calls are tried again; the zero value ships
	Meter    awscall.Meter    // told each request that is sent; may be nil
}

// operation is a method of the client.
type operation[In, Out any] func(context.Context, *In, ...func(*ssm.Options)) (*Out, error)

// api holds the operations that are used and not the client, for the reason
// told in package object.
type api struct {
	DeleteParameter operation[ssm.DeleteParameterInput, ssm.DeleteParameterOutput]
	GetParameter    operation[ssm.GetParameterInput, ssm.GetParameterOutput]
	PutParameter    operation[ssm.PutParameterInput, ssm.PutParameterOutput]
}

// New returns the secrets under a prefix.
func New(c Config) *Secrets {
	if c.Remember == 0 {
		c.Remember = 5 * time.Minute
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Secrets{
		api:    api{c.Client.DeleteParameter, c.Client.GetParameter, c.Client.PutParameter},
		prefix: c.Prefix, kmsKey: c.KMSKey, lifetime: c.Remember, now: c.Now, policy: c.Policy, meter: c.Meter,
		known: map[string]known{},
	}
}

func (s *Secrets) call(operation string) *awscall.Call {
	return s.policy.Call(nil).Count(s.meter, operation, 1)
}

func with(call *awscall.Call) func(*ssm.Options) {
	return func(o *ssm.Options) { o.Retryer = call }
}

// name returns the parameter of a connection. A name with a slash or a dot
// could be a parameter of somebody else.
func (s *Secrets) name(connection string) (*string, error) {
	if !run.ValidName(connection) && connection != pipeline.EraseSecret {
		return nil, fault.New(fault.ConfigInvalid, "connection has no valid name", "use lower-case letters, digits and hyphens")
	}
	return new(s.prefix + connection), nil
}

// Get implements pipeline.Secrets.
func (s *Secrets) Get(ctx context.Context, connection string) (string, error) {
	name, err := s.name(connection)
	if err != nil {
		return "", err
	}
	key, changes, ok := s.recall(connection)
	if ok {
		return key, nil
	}
	call := s.call("GetParameter")
	out, err := s.api.GetParameter(ctx, &ssm.GetParameterInput{Name: name, WithDecryption: new(true)}, with(call))
	if err != nil {
		if isMissing(err) {
			return "", fmt.Errorf("key of connection %s: %w", connection, pipeline.ErrNoSecret)
		}
		return "", fmt.Errorf("key of connection %s: %w", connection, call.Error("ssm GetParameter", err))
	}
	if out.Parameter == nil || out.Parameter.Value == nil {
		return "", fmt.Errorf("key of connection %s: %w", connection, pipeline.ErrNoSecret)
	}
	key = aws.ToString(out.Parameter.Value)
	s.remember(connection, key, changes)
	return key, nil
}

func isMissing(err error) bool {
	_, ok := errors.AsType[*types.ParameterNotFound](err)
	return ok
}

// recall returns a remembered key, and how many changes there were so far.
func (s *Secrets) recall(connection string) (string, int, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.known[connection]
	return k.key, s.changes, ok && s.now().Before(k.until)
}

func (s *Secrets) remember(connection, key string, changes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lifetime > 0 && changes == s.changes {
		s.known[connection] = known{key, s.now().Add(s.lifetime)}
	}
}

// Forget makes the next Get ask again: for a key that the vendor refused and
// that somebody may have replaced meanwhile.
func (s *Secrets) Forget(connection string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
	delete(s.known, connection)
}

// Put implements pipeline.Secrets.
func (s *Secrets) Put(ctx context.Context, connection, key string) error {
	name, err := s.name(connection)
	if err != nil {
		return err
	}
	if key == "" {
		return fault.New(fault.ConfigInvalid, "key of connection "+connection+" is empty", "give the key of the account")
	}
	// After the call, so that a read before it is forgotten too.
	defer s.Forget(connection)
	call := s.call("PutParameter")
	in := &ssm.PutParameterInput{Name: name, Value: &key, Type: types.ParameterTypeSecureString, Overwrite: new(true)}
	if s.kmsKey != "" {
		in.KeyId = &s.kmsKey
	}
	_, err = s.api.PutParameter(ctx, in, with(call))
	if err != nil {
		return fmt.Errorf("keep the key of connection %s: %w", connection, call.Error("ssm PutParameter", err))
	}
	return nil
}

// Delete implements pipeline.Secrets.
func (s *Secrets) Delete(ctx context.Context, connection string) error {
	name, err := s.name(connection)
	if err != nil {
		return err
	}
	defer s.Forget(connection)
	call := s.call("DeleteParameter")
	_, err = s.api.DeleteParameter(ctx, &ssm.DeleteParameterInput{Name: name}, with(call))
	if err != nil && !isMissing(err) {
		return fmt.Errorf("delete the key of connection %s: %w", connection, call.Error("ssm DeleteParameter", err))
	}
	return nil
}
