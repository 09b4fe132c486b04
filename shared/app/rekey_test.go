package app

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"stovasync/shared/awscall/awstest"
	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/pipeline/pipelinetest"
	"stovasync/shared/run"
	"stovasync/shared/secret"
)

// refusable is a worker whose task opens a source through the connector, as
// pipeline's do, and is refused as often as refusals says.
type refusable struct {
	queueWorker
	connector *connector
	source    bool // whether it needs one at all
	refusals  int
	refusal   error
	during    func(n int) // what happens between opening and the answer of try n

	tries int
}

// queueWorker stands for the method that no test calls.
type queueWorker struct{}

func (queueWorker) Fail(context.Context, run.Task, error) error { return errors.ErrUnsupported }

func (r *refusable) Do(ctx context.Context, t run.Task) error {
	r.tries++
	if r.source {
		conn := run.Connection{Name: t.Connection, EndPoint: "https://api.example.test/api/v2", AccountID: "7700", EventID: "900100001", RequestsPerMinute: 360}
		if _, err := r.connector.Source(ctx, conn); err != nil {
			return err
		}
	}
	if r.during != nil {
		r.during(r.tries)
	}
	if r.tries <= r.refusals {
		return r.refusal
	}
	return nil
}

// meanwhile is what may happen while a task works.
type meanwhile struct {
	replace func()              // an operator, whose process is another one, replaces the key
	pass    func(time.Duration) // time goes by
	other   func()              // another task of this process is refused, and finds the new key
}

func TestARefusedKey(t *testing.T) {
	t.Parallel()
	auth := fault.Permanent(fault.New(fault.StovaAuth, "the vendor refused the key", "check the key"))
	tests := map[string]struct {
		refusals int
		refusal  error
		during   func(n int, m meanwhile)
		noSource bool
		forgets  bool // the store remembers no keys
		tries    int
		fails    bool
	}{
		"that is still the stored one ends the task": {
			refusals: 1, refusal: auth, tries: 1, fails: true},
		"that was replaced while it was remembered is tried anew": {
			refusals: 1, refusal: auth, during: func(_ int, m meanwhile) { m.replace() }, tries: 2},
		"that was replaced and forgotten while the task worked is tried anew": {
			refusals: 1, refusal: auth, tries: 2,
			during: func(_ int, m meanwhile) { m.replace(); m.pass(6 * time.Minute) }},
		"that another task has found replaced already is tried anew": {
			refusals: 1, refusal: auth, tries: 2,
			during: func(n int, m meanwhile) {
				if n == 1 {
					m.replace()
					m.other()
				}
			}},
		"that was replaced in a store that remembers none is tried anew": {
			refusals: 1, refusal: auth, forgets: true, tries: 2,
			during: func(_ int, m meanwhile) { m.replace() }},
		"whose successor is refused too ends the task": {
			refusals: 9, refusal: auth, tries: 2, fails: true,
			during: func(_ int, m meanwhile) { m.replace() }},
		"of which a task that needs none speaks ends it": {
			refusals: 1, refusal: auth, noSource: true, tries: 1, fails: true,
			during: func(_ int, m meanwhile) { m.replace() }},
		"is not what another failure is about": {
			refusals: 1, refusal: fault.New(fault.StovaServer, "busy", ""), tries: 1, fails: true,
			during: func(_ int, m meanwhile) { m.replace() }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				stored := "invented-old-key"
				parameters := awstest.Play(func(int, awstest.Request) awstest.Answer {
					return awstest.Answer{Status: 200, Body: `{"Parameter":{"Name":"/stovasync/live/summit","Value":"` + stored + `"}}`}
				})
				remember := 5 * time.Minute
				if tt.forgets {
					remember = -1
				}
				keys := secret.New(secret.Config{Client: ssm.NewFromConfig(parameters.Config()), Prefix: "/stovasync/live/", Remember: remember})
				work := &refusable{
					connector: newConnector(keys, pipeline.Ledger{Items: pipelinetest.NewMemory().Items()}, 4, time.Now),
					source:    !tt.noSource, refusals: tt.refusals, refusal: tt.refusal,
				}
				if tt.during != nil {
					m := meanwhile{
						replace: func() { stored = "invented-new-key" },
						pass:    func(d time.Duration) { <-time.After(d) },
						other: func() {
							keys.Forget("summit")
							if _, err := keys.Get(t.Context(), "summit"); err != nil {
								t.Error(err)
							}
						},
					}
					work.during = func(n int) { tt.during(n, m) }
				}
				err := rekeyed{work, keys}.Do(t.Context(), run.Task{Connection: "summit"})
				if (err != nil) != tt.fails || err != nil && !errors.Is(err, tt.refusal) {
					t.Errorf("error = %v, want one: %v", err, tt.fails)
				}
				if work.tries != tt.tries {
					t.Errorf("tried %d times, want %d", work.tries, tt.tries)
				}
			})
		})
	}
}
