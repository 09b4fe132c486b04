package stova

import (
	"context"
	"sync/atomic"
)

// Meter counts the HTTP requests made under a context: retries and logins
// count, and those that got no answer. It is safe for concurrent use; its
// zero value is ready.
type Meter struct {
	calls     [endpointCount]atomic.Int64
	throttled atomic.Int64
}

// Calls returns the number of requests made.
func (m *Meter) Calls() int64 {
	var n int64
	for i := range m.calls {
		n += m.calls[i].Load()
	}
	return n
}

// Throttled returns how many of them were answered with 429.
func (m *Meter) Throttled() int64 { return m.throttled.Load() }

// ByEndpoint returns the requests per function of the API, such as
// "ereg/getAttendee"; functions never called are left out.
func (m *Meter) ByEndpoint() map[string]int64 {
	out := map[string]int64{}
	for e := range endpointCount {
		if n := m.calls[e].Load(); n > 0 {
			out[e.String()] = n
		}
	}
	return out
}

type meterKey struct{}

// meterNode chains meters: a page's meter does not hide its run's.
type meterNode struct {
	meter  *Meter
	parent *meterNode
}

// WithMeter returns a context whose requests m counts, beside the meters that
// ctx already has.
func WithMeter(ctx context.Context, m *Meter) context.Context {
	return context.WithValue(ctx, meterKey{}, &meterNode{meter: m, parent: meters(ctx)})
}

func meters(ctx context.Context) *meterNode {
	n, _ := ctx.Value(meterKey{}).(*meterNode)
	return n
}

func countCall(ctx context.Context, e endpoint) {
	for n := meters(ctx); n != nil; n = n.parent {
		n.meter.calls[e].Add(1)
	}
}

func countThrottled(ctx context.Context) {
	for n := meters(ctx); n != nil; n = n.parent {
		n.meter.throttled.Add(1)
	}
}
