package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"stovasync/shared/app"
	"stovasync/shared/fault"
	"stovasync/shared/run"
	"stovasync/shared/stova"
	"stovasync/shared/stova/stovatest"
)

// Two processes on one embedded store share the budget of an account: a block
// that one writes holds for the other, whichever connection it reads for.
func TestProcessesOnOneStoreShareTheAccountsBudget(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stovatest.Options{Attendees: 6, Seed: 3}, stovatest.ServerOptions{}, "")
	w.sync(run.Full)
	conn, err := w.app.Steps.Ledger.Connection(t.Context(), w.name)
	if err != nil {
		t.Fatal(err)
	}
	host, _, _ := strings.Cut(strings.TrimPrefix(conn.EndPoint, "http://"), "/")
	account := host + "#" + conn.AccountID
	rate, version, err := w.app.Steps.Ledger.Rates(account).Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if version == 0 || len(rate.Windows) != 1 {
		t.Fatalf("the run left no window of its account in the ledger: version %d, %+v", version, rate)
	}
	if doc, err := json.Marshal(rate); err != nil || strings.Contains(string(doc), w.event.Key) {
		t.Errorf("the rate holds the account's key: %s, %v", doc, err)
	}
	// Another process sees a 429.
	other, err := app.OpenLocal(t.Context(), w.dir, app.LocalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	b := stova.NewLeasedBudget(stova.LeaseConfig{Rates: other.Steps.Ledger.Rates(account), PerMinute: conn.RequestsPerMinute})
	if err := b.Block(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	src, err := other.Steps.Connector.Source(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	before := w.twin.Total()
	if _, err := src.Event(ctx); fault.CodeOf(err) != fault.StovaRate && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error = %v, want %s", err, fault.StovaRate)
	}
	if n := w.twin.Total() - before; n != 0 {
		t.Errorf("%d calls were made although the account is blocked", n)
	}
}

// The run tells how often the vendor said 429, beside the calls it counted.
func TestARunTellsItsThrottles(t *testing.T) {
	t.Parallel()
	w := newWorld(t, small(70), stovatest.ServerOptions{}, "pageSize: 10\n")
	w.faults("429:after=20,times=3,retry-after=1")
	v := w.sync(run.Full)
	if v.Throttles != 3 {
		t.Errorf("the run tells %d throttles, the vendor sent 3", v.Throttles)
	}
	if v.APICalls != w.twin.Total() {
		t.Errorf("the run tells %d calls, the vendor counted %d", v.APICalls, w.twin.Total())
	}
	sum := 0
	for _, x := range v.Types {
		sum += x.Throttles
	}
	if sum != v.Throttles {
		t.Errorf("the types tell %d throttles, the run %d", sum, v.Throttles)
	}
}
