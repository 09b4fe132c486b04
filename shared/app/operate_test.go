//go:build !lambda.norpc

package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/smithy-go"

	"stovasync/shared/awscall"
	settings "stovasync/shared/config"
	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/pipeline/pipelinetest"
	"stovasync/shared/run"
)

// desk is an operator at a stack whose functions the test plays.
type desk struct {
	t     *testing.T
	s     *Stack
	log   bytes.Buffer
	began time.Time

	played sync.WaitGroup

	mu     sync.Mutex
	refuse string         // an error code for every task
	sent   map[string]int // tasks, by connection
	pages  int            // reads of pages
}

type typeRun = pipeline.TypeRun

func newDesk(t *testing.T) *desk {
	d := &desk{t: t, began: time.Now(), sent: map[string]int{}}
	mem := pipelinetest.NewMemory()
	d.s = &Stack{
		App: &App{maxReceives: maxReceives, Steps: &pipeline.Steps{
			Ledger: pipeline.Ledger{Items: pageReads{mem.Items(), d}}, Objects: mem.Objects(), Tasks: d, Now: time.Now,
			Log: slog.New(slog.NewTextHandler(&d.log, nil)),
		}},
		d: settings.Deployment{Resources: settings.Resources{Visibility: 30 * time.Minute}}, poll: 2 * time.Second,
	}
	return d
}

func (d *desk) Send(_ context.Context, tasks ...run.Task) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refuse != "" && len(tasks) > 0 {
		return awscall.Error("sqs SendMessageBatch", &smithy.GenericAPIError{Code: d.refuse})
	}
	for _, t := range tasks {
		d.sent[t.Connection]++
	}
	return nil
}

// sentTo is how many tasks of a connection were sent.
func (d *desk) sentTo(connection string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sent[connection]
}

// pageReads counts the reads of pages.
type pageReads struct {
	pipeline.Items
	d *desk
}

func (p pageReads) Get(ctx context.Context, k pipeline.Key) (pipeline.Item, error) {
	if strings.HasPrefix(k.SK, "PAGE#") {
		p.d.mu.Lock()
		p.d.pages++
		p.d.mu.Unlock()
	}
	return p.Items.Get(ctx, k)
}

func (d *desk) put(pk, sk string, v any) {
	d.t.Helper()
	doc, err := json.Marshal(v)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := d.s.Steps.Ledger.Items.Write(d.t.Context(), pipeline.Write{Key: pipeline.Key{PK: pk, SK: sk}, Version: pipeline.AnyVersion, Doc: doc}); err != nil {
		d.t.Fatal(err)
	}
}

// run makes the active run of a connection, which it names.
func (d *desk) run(connection string, retryBase float64, all ...typeRun) {
	id := "run-" + connection
	if err := d.s.Steps.Ledger.PutConnection(d.t.Context(), run.Connection{Name: connection, RetryBaseSeconds: retryBase}, time.Now()); err != nil {
		d.t.Fatal(err)
	}
	d.put("CONN#"+connection, "ACTIVE", pipeline.Active{Run: id, Started: time.Now()})
	d.put("CONN#"+connection, "RUN#"+id, pipeline.Run{ID: id, Connection: connection, Started: time.Now()})
	d.put("RUN#"+id, "RUN", map[string]string{"connection": connection})
	for _, tr := range all {
		d.move(connection, tr)
	}
}

// move writes a type run as something has moved it now.
func (d *desk) move(connection string, tr typeRun) {
	tr.Connection, tr.Run, tr.Activity = connection, "run-"+connection, time.Now()
	d.put("RUN#"+tr.Run, "TYPE#"+string(tr.Type), tr)
}

// end ends the run of a connection.
func (d *desk) end(connection string) {
	id := "run-" + connection
	d.put("CONN#"+connection, "RUN#"+id, pipeline.Run{ID: id, Connection: connection, Started: d.began, Ended: time.Now()})
}

// page writes a page and returns what a redrive said of it.
func (d *desk) page(connection string, n int, state run.PageState) pipeline.Redriven {
	p := pipeline.Page{Connection: connection, Run: "run-" + connection, Type: run.Users, Name: fmt.Sprint(n), State: state, Settled: time.Now()}
	d.put("RUN#"+p.Run, fmt.Sprintf("PAGE#users#%06d", n), p)
	return pipeline.Redriven{
		Failure: pipeline.Failure{Connection: connection, Run: p.Run, Type: p.Type, Page: p.Name, At: p.Settled}, Verdict: pipeline.Sent,
	}
}

func (d *desk) settle(open ...pipeline.Redriven) (time.Duration, error) {
	began := time.Now()
	err := (&settling{s: d.s, all: len(open), open: open, seen: map[typeKey]look{}}).wait(d.t.Context())
	return time.Since(began), err
}

// after does something once the test has waited so long.
func (d *desk) after(wait time.Duration, do func()) {
	d.played.Go(func() {
		time.Sleep(wait)
		do()
	})
}

// gated are type runs of which repair has something to do: one waits for
// another that has ended.
func gated() []typeRun {
	return []typeRun{{Type: run.Presenters, State: run.Complete, Planning: true}, {Type: run.PresenterPhotos, State: run.Waiting}}
}

func partial(failed int) typeRun {
	return typeRun{Type: run.Users, State: run.Partial, Planning: true, Planned: failed, Failed: failed}
}

func complete(done int) typeRun {
	return typeRun{Type: run.Users, State: run.Complete, Planning: true, Planned: done, Done: done}
}

func TestFollowingARun(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		refuse string
		noted  int
		code   fault.Code
	}{
		"that may be repaired repairs it":                            {"", 0, ""},
		"whose repair is denied notes that once and goes on":         {"AccessDeniedException", 1, ""},
		"whose repair fails for another reason ends with the reason": {"QueueDoesNotExist", 0, fault.StoreUnavailable},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t)
				d.refuse = tt.refuse
				d.run("summit", 2, gated()...)
				d.after(40*time.Minute, func() { d.end("summit") })
				err := d.s.follow(t.Context(), "summit", "run-summit")
				if fault.CodeOf(err) != tt.code || (err != nil) != (tt.code != "") {
					t.Errorf("follow = %v, want %q", err, tt.code)
				}
				if n := strings.Count(d.log.String(), "may not be woken"); n != tt.noted {
					t.Errorf("noted %d times, want %d: %s", n, tt.noted, &d.log)
				}
				if tt.refuse == "" && d.sentTo("summit") == 0 {
					t.Error("nothing was sent again")
				}
				d.played.Wait()
			})
		})
	}
}

func TestARedriveIsWaitedFor(t *testing.T) {
	t.Parallel()
	tests := map[string]func(t *testing.T, d *desk){
		"until its pages are done and their type has ended again": func(t *testing.T, d *desk) {
			d.run("summit", 2, partial(2))
			one, two := d.page("summit", 1, run.PageFailed), d.page("summit", 2, run.PageFailed)
			d.after(time.Minute, func() {
				d.page("summit", 1, run.PageDone)
				d.page("summit", 2, run.PageDone)
				tr := complete(2)
				tr.State = run.Partial // its finish is under way
				d.move("summit", tr)
			})
			d.after(10*time.Minute, func() { d.move("summit", complete(2)) })
			if took, err := d.settle(one, two); err != nil || took.Round(time.Minute) != 10*time.Minute {
				t.Errorf("settled after %s: %v, want 10m", took, err)
			}
		},
		"until a page has failed anew": func(t *testing.T, d *desk) {
			d.run("summit", 2, partial(1))
			one := d.page("summit", 1, run.PageFailed)
			d.after(20*time.Minute, func() { d.page("summit", 1, run.PageFailed); d.move("summit", partial(1)) })
			if took, err := d.settle(one); err != nil || took.Round(time.Minute) != 20*time.Minute {
				t.Errorf("settled after %s: %v, want 20m", took, err)
			}
		},
		"longer than all tries of a page take, then it is told to go on": func(t *testing.T, d *desk) {
			d.run("summit", 4, partial(2))
			one, two := d.page("summit", 1, run.PageFailed), d.page("summit", 2, run.PageFailed)
			d.after(time.Minute, func() { d.page("summit", 2, run.PageDone); d.move("summit", partial(1)) })
			took, err := d.settle(one, two)
			if fault.CodeOf(err) != fault.RunActive || !strings.Contains(fmt.Sprint(err), "1 of 2 failures") || !strings.Contains(fmt.Sprint(err), "runs summit") {
				t.Errorf("error = %v, want that one goes on and how to look again", err)
			}
			// Back-offs of 50 minutes, twice as long for this connection, and five tries of five.
			if took < (100+25)*time.Minute || took > 4*time.Hour {
				t.Errorf("given up after %s", took)
			}
		},
		"while the run of a failed type goes on": func(t *testing.T, d *desk) {
			d.run("summit", 2, typeRun{Type: run.Users, State: run.Running})
			one := d.page("summit", 1, run.PageFailed)
			one.Page = ""
			if _, err := d.settle(one); fault.CodeOf(err) != fault.RunActive {
				t.Errorf("error = %v, want %s", err, fault.RunActive)
			}
		},
		"and one connection is repaired while another is waited for": func(t *testing.T, d *desk) {
			d.run("gala", 2, partial(1))
			d.run("summit", 2, append(gated(), partial(1))...)
			one, two := d.page("gala", 1, run.PageFailed), d.page("summit", 1, run.PageFailed)
			d.after(5*time.Minute, func() {
				if d.sentTo("summit") == 0 {
					t.Error("the second connection was not repaired")
				}
				for _, name := range []string{"gala", "summit"} {
					d.page(name, 1, run.PageFailed)
					d.move(name, partial(1))
				}
			})
			if _, err := d.settle(one, two); err != nil {
				t.Error(err)
			}
		},
		"and a run that moves meanwhile is not repaired": func(t *testing.T, d *desk) {
			d.run("summit", 2, append(gated(), partial(1))...)
			one := d.page("summit", 1, run.PageFailed)
			for i := range 60 {
				d.after(time.Duration(i)*20*time.Second, func() { d.move("summit", typeRun{Type: run.Sessions, State: run.Running}) })
			}
			d.after(20*time.Minute, func() {
				d.page("summit", 1, run.PageFailed)
				d.move("summit", partial(1))
			})
			if _, err := d.settle(one); err != nil || d.sentTo("summit") > 0 {
				t.Errorf("%d tasks were sent (%v), want none", d.sentTo("summit"), err)
			}
		},
		"and pages are read only when their type has moved": func(t *testing.T, d *desk) {
			d.run("summit", 2, partial(40))
			var open []pipeline.Redriven
			for i := range 40 {
				open = append(open, d.page("summit", i+1, run.PageFailed))
			}
			d.after(time.Minute, func() { d.page("summit", 1, run.PageFailed); d.move("summit", partial(40)) })
			if _, err := d.settle(open...); fault.CodeOf(err) != fault.RunActive {
				t.Errorf("error = %v, want %s", err, fault.RunActive)
			}
			if d.pages != 80 {
				t.Errorf("pages were read %d times, want 40 at first and when the type moved", d.pages)
			}
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t)
				test(t, d)
				d.played.Wait()
			})
		})
	}
}
