package pipeline_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"testing"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/queue"
	"stovasync/shared/run"
)

// tallied adds up what the handlers report.
type tallied struct {
	types map[run.DataType]pipeline.Progress
	ended []run.State
	seen  map[queue.Outcome]int
}

// tally makes the world's handlers report.
func (w *world) tally() *tallied { return w.tallyAndLog(w.steps.Log) }

func (w *world) tallyAndLog(log *slog.Logger) *tallied {
	sum := &tallied{types: map[run.DataType]pipeline.Progress{}, seen: map[queue.Outcome]int{}}
	q := mortalQueue{w.queue, w.reaper}
	for name := range w.handler {
		w.handler[name] = queue.Handler(queue.HandlerConfig{
			Worker: w.steps, Visibility: q, Dead: q, Queue: name, MaxReceives: maxReceives, Log: log,
			Now: w.clock.now, Rand: func() float64 { return 0.5 }, Ended: sum.add,
		})
	}
	return sum
}

func (s *tallied) add(_ context.Context, r queue.Report) {
	s.seen[r.Outcome]++
	s.ended = append(s.ended, r.Tally.Ended()...)
	for t, p := range r.Tally.Types() {
		have := s.types[t]
		have.PagesDone += p.PagesDone
		have.PagesFailed += p.PagesFailed
		have.Rows = have.Rows.Plus(p.Rows)
		have.Spent.APICalls += p.Spent.APICalls
		have.Spent.Throttles += p.Spent.Throttles
		have.Spent.PhotoBytes += p.Spent.PhotoBytes
		s.types[t] = have
	}
}

// equal checks that the sums are what the ledger says of a run.
func (s *tallied) equal(t *testing.T, v pipeline.RunView) {
	t.Helper()
	for typ, x := range v.Types {
		got := s.types[typ]
		same(t, fmt.Sprint("rows of ", typ), x.Counts, got.Rows)
		same(t, fmt.Sprint("spent on ", typ), x.Spent, got.Spent)
		same(t, fmt.Sprint("done pages of ", typ), x.Pages.Done, got.PagesDone)
	}
}

// Whatever order tasks come in, and however often, what they report sums to
// what the ledger says.
func TestWhatTasksReportSumsToWhatTheLedgerSays(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		w := newWorld(t, seed)
		w.expo()
		w.save()
		sum := w.tally()
		v := w.sync(pipeline.Start{})
		sum.equal(t, v)
		same(t, "ends of the run", []run.State{run.Complete}, sum.ended)
		if sum.types[run.Users].Rows.New == 0 || sum.types[run.UserPhotos].Spent.PhotoBytes == 0 || sum.types[run.Users].Spent.APICalls == 0 && v.APICalls > 0 {
			t.Errorf("seed %d: nothing was counted: %+v", seed, sum.types)
		}
		w.change()
		sum = w.tally()
		sum.equal(t, w.sync(pipeline.Start{}))
		same(t, "ends of the second run", 1, len(sum.ended))
	}
}

// The numbers of the log are those of the ledger, one line a message.
func TestTheLogOfTasksSumsToWhatTheLedgerSays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	w.expo()
	w.save()
	var log bytes.Buffer
	sum := w.tallyAndLog(slog.New(slog.NewJSONHandler(&log, nil)))
	v := w.sync(pipeline.Start{})
	type line struct {
		Run, Type, Outcome                      string
		Read, New, Changed, Unchanged, Rejected int
		RunEnded                                string `json:"run_ended"`
	}
	got, lines, ended := map[run.DataType]run.Counts{}, 0, 0
	for text := range strings.Lines(log.String()) {
		var l line
		w.must(json.Unmarshal([]byte(text), &l))
		same(t, "run", v.Run, l.Run)
		lines++
		if l.RunEnded != "" {
			ended++
		}
		got[run.DataType(l.Type)] = got[run.DataType(l.Type)].Plus(run.Counts{Read: l.Read, New: l.New, Changed: l.Changed, Unchanged: l.Unchanged, Rejected: l.Rejected})
	}
	same(t, "lines", sum.seen[queue.Done], lines)
	same(t, "lines that tell the end of the run", 1, ended)
	for typ, x := range v.Types {
		want := run.Counts{Read: x.Read, New: x.New, Changed: x.Changed, Unchanged: x.Unchanged, Rejected: x.Rejected}
		same(t, fmt.Sprint("logged rows of ", typ), want, got[typ])
	}
}

// A page that fails for good is counted as failed once, and as done when it is
// mended; the calls of all its attempts count.
func TestAFailedPageIsReportedOnceAndItsMendingToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1).only(run.Users)
	w.expo()
	w.save()
	w.failPage("1006")
	w.failPage("1900")
	sum := w.tally()
	v := w.sync(pipeline.Start{})
	sum.equal(t, v)
	same(t, "failed pages", 2, v.Types[run.Users].Pages.Failed)
	same(t, "reported failures", 2, sum.types[run.Users].PagesFailed)
	same(t, "messages given up", 2, sum.seen[queue.GivenUp])
	same(t, "messages that came again", 2*(maxReceives-1), sum.seen[queue.Again])
	same(t, "ends of the run", []run.State{run.Partial}, sum.ended)
	clear(w.vendor.rowFault)
	w.redrive(pipeline.Filter{})
	after, err := w.onlooker().View(t.Context(), v.Run)
	w.must(err)
	sum.equal(t, after)
	same(t, "pages done after the redrive", 4, sum.types[run.Users].PagesDone)
	same(t, "reported failures after it", 2, sum.types[run.Users].PagesFailed)
	same(t, "ends of the run after it", 1, len(sum.ended))
}

// The view adds up what every process wrote, and reads run and types besides
// with one query.
func TestAViewSumsTheUsageOfAllProcesses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	w.expo()
	w.save()
	v := w.sync(pipeline.Start{})
	same(t, "cost without any usage", 0.0, v.CostUSD)
	l := w.ledger()
	for range 2 { // absolute: writing twice changes nothing
		w.must(l.PutUsage(w.t.Context(), v.Run, "a-0", pipeline.Usage{Units: map[string]float64{"sqs_requests": 3, "lambda_requests": 1}, USD: 0.1}))
	}
	w.must(l.PutUsage(w.t.Context(), v.Run, "b-0", pipeline.Usage{Units: map[string]float64{"sqs_requests": 4}, USD: 0.2}))
	again, err := w.onlooker().View(w.t.Context(), v.Run)
	w.must(err)
	same(t, "cost", 0.3, again.CostUSD)
	same(t, "usage", map[string]float64{"sqs_requests": 7, "lambda_requests": 1}, again.Usage)
	same(t, "types", len(v.Types), len(again.Types))
	doc, err := json.Marshal(again)
	w.must(err)
	var keys map[string]any
	w.must(json.Unmarshal(doc, &keys))
	for _, key := range []string{"run", "api_calls", "photo_bytes", "cost_usd", "usage", "types"} {
		if _, ok := keys[key]; !ok {
			t.Errorf("the JSON of a run has no %s: %s", key, doc)
		}
	}

	items := &countedItems{Items: w.mem.Items()}
	steps := pipeline.Steps{Ledger: pipeline.Ledger{Items: items}, Now: w.clock.now}
	r, _, err := l.Run(w.t.Context(), v.Run)
	w.must(err)
	_, _, err = steps.Summary(w.t.Context(), r)
	w.must(err)
	same(t, "reads of a line of the list of runs", 1, items.reads)
}

// The oldest task's age is kept with the type run that it moved.
func TestATypeRunKeepsTheAgeOfItsOldestTask(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	w.expo()
	w.save()
	st := w.start(pipeline.Start{})
	task := run.Task{Kind: run.SyncTask, Connection: w.conn.Name, Run: st.Run.ID, Type: run.Users}
	for _, age := range []time.Duration{90 * time.Second, 2 * time.Second} {
		w.must(w.steps.Do(pipeline.WithTally(w.t.Context(), pipeline.NewTally(task, age)), task))
	}
	same(t, "age", 90.0, w.typeRun(st.Run.ID, run.Users).TaskAge)
	same(t, "age of another type", 0.0, w.typeRun(st.Run.ID, run.Sessions).TaskAge)
	v := w.settle(st.Run.ID)
	same(t, "age of the run", 90.0, v.TaskAge)
}

// countedItems counts the reads of a ledger.
type countedItems struct {
	pipeline.Items
	reads int
}

func (c *countedItems) Get(ctx context.Context, k pipeline.Key) (pipeline.Item, error) {
	c.reads++
	return c.Items.Get(ctx, k)
}

func (c *countedItems) Query(ctx context.Context, q pipeline.Query) iter.Seq2[pipeline.Item, error] {
	c.reads++
	return c.Items.Query(ctx, q)
}

// What the attempts of a failing page downloaded counts, as its calls do.
func TestPicturesOfFailedAttemptsCount(t *testing.T) {
	t.Parallel()
	w := many(t, 2, 0)
	w.vendor.pictures[files+"1.png"] = picture{err: fault.New(fault.PhotoHost, "the host is refused", "")}
	sum := w.tally()
	v := w.sync(pipeline.Start{})
	same(t, "pages", pipeline.PagesView{Planned: 1, Failed: 1}, v.Types[run.UserPhotos].Pages)
	same(t, "bytes", int64(maxReceives*len("picture 0")), v.Types[run.UserPhotos].PhotoBytes)
	same(t, "reported bytes", v.PhotoBytes, sum.types[run.UserPhotos].Spent.PhotoBytes)
}
