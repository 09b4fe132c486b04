package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"stovasync/shared/pipeline"
	"stovasync/shared/run"
	"stovasync/shared/stova"
)

// tellEvery is how often a type that only runs is told of, where no bar can be drawn.
const tellEvery = 30 * time.Second

// follower shows on standard error how a run goes: bars on a terminal, else a
// line whenever a type changes its state.
type follower struct {
	c     *cli
	at    *site
	calls *stova.Meter
	show  view
	quit  chan struct{}
	done  sync.WaitGroup
}

// view draws the state of type runs.
type view interface {
	update(all []pipeline.TypeRun, calls int64)
	close()
}

func (c *cli) newFollower(at *site) *follower {
	return &follower{c: c, at: at, calls: &stova.Meter{}, quit: make(chan struct{})}
}

// meter returns a context whose calls are shown.
func (f *follower) meter(ctx context.Context) context.Context { return stova.WithMeter(ctx, f.calls) }

// start follows a run until stop.
func (f *follower) start(ctx context.Context, id string) {
	if file, ok := f.c.err.under.(*os.File); ok && term.IsTerminal(int(file.Fd())) && !dumb(f.c.lookup) {
		f.show = newBars(ctx, f.c.err, file)
	} else {
		f.show = &lines{c: f.c, told: map[run.DataType]told{}}
	}
	f.done.Go(func() {
		tick := time.NewTicker(f.at.Poll())
		defer tick.Stop()
		for {
			select {
			case <-f.quit:
				f.look(context.WithoutCancel(ctx), id)
				return
			case <-ctx.Done():
				return
			case <-tick.C:
				f.look(ctx, id)
			}
		}
	})
}

// look reads the ledger. What goes wrong here goes wrong for the run too,
// which tells it.
func (f *follower) look(ctx context.Context, id string) {
	if _, all, err := f.at.Steps.Ledger.Progress(ctx, id); err == nil {
		calls := f.calls.Calls() // those of this process; a settled page's are in the ledger
		var settled int64
		for _, tr := range all {
			settled += int64(tr.APICalls)
		}
		f.show.update(all, max(calls, settled))
	}
}

func (f *follower) stop() {
	close(f.quit)
	f.done.Wait()
	if f.show != nil {
		f.show.close()
	}
}

// dumb reports whether the terminal cannot move its cursor.
func dumb(lookup func(string) (string, bool)) bool {
	name, _ := lookup("TERM")
	return name == "dumb"
}

// lines is the view for pipes and files.
type lines struct {
	c    *cli
	told map[run.DataType]told
}

type told struct {
	state run.State
	at    time.Time
}

func (v *lines) update(all []pipeline.TypeRun, calls int64) {
	for _, tr := range all {
		last := v.told[tr.Type]
		moved := tr.State != last.state && tr.State != run.Queued && tr.State != run.Finishing
		if !moved && (tr.State != run.Running || time.Since(last.at) < tellEvery) {
			continue
		}
		v.c.say("%-16s %s\n", tr.Type, progress(tr))
		v.told[tr.Type] = told{tr.State, time.Now()}
	}
}

func (v *lines) close() {}

// progress says in a few words how far a type run is.
func progress(tr pipeline.TypeRun) string {
	switch {
	case tr.State.Ended() && !tr.State.Succeeded():
		return string(tr.State)
	case tr.State.Ended():
		return fmt.Sprintf("%s, %s", tr.State, count(tr.Counts().Read, "row"))
	case tr.State == run.Waiting:
		return "waiting for other types"
	case tr.State == run.Running && tr.Planning:
		return fmt.Sprintf("running, %d of %s, %s", tr.Done+tr.Failed, count(tr.Planned, "page"), count(tr.Pages.Read, "row"))
	case tr.State == run.Running:
		return "running, listing"
	default:
		return string(tr.State)
	}
}

// bars is the view for terminals: a line for each type, and one for the run.
type bars struct {
	screen *screen
	p      *mpb.Progress
	foot   *mpb.Bar
	began  time.Time

	mu    sync.Mutex
	texts map[run.DataType]string
	calls int64
	bars  map[run.DataType]*mpb.Bar
}

func newBars(ctx context.Context, s *screen, file *os.File) *bars {
	v := &bars{
		screen: s, began: time.Now(), texts: map[run.DataType]string{}, bars: map[run.DataType]*mpb.Bar{},
		p: mpb.NewWithContext(context.WithoutCancel(ctx), mpb.WithOutput(file), mpb.WithAutoRefresh()),
	}
	s.lift(v.p)
	v.foot = v.p.New(0, mpb.NopStyle(), mpb.BarPriority(len(run.AllTypes())), mpb.PrependDecorators(decor.Any(func(decor.Statistics) string {
		v.mu.Lock()
		defer v.mu.Unlock()
		return fmt.Sprintf("%s, %s", count(int(v.calls), "API call"), time.Since(v.began).Round(time.Second))
	})))
	return v
}

func (v *bars) update(all []pipeline.TypeRun, calls int64) {
	v.mu.Lock()
	v.calls = calls
	for _, tr := range all {
		v.texts[tr.Type] = progress(tr)
	}
	v.mu.Unlock()
	for i, tr := range all {
		bar := v.bars[tr.Type]
		if bar == nil {
			bar = v.bar(i, tr.Type)
			v.bars[tr.Type] = bar
		}
		done, planned := int64(tr.Done+tr.Failed), int64(tr.Planned)
		if tr.State.Ended() && planned == 0 {
			done, planned = 1, 1 // nothing to do is all done
		}
		bar.SetTotal(planned, false)
		bar.SetCurrent(done)
	}
}

// width is that of the bar itself: a line is then under 80 columns wide.
const width = 20

func (v *bars) bar(i int, t run.DataType) *mpb.Bar {
	return v.p.New(0, mpb.BarStyle().Lbound("[").Filler("=").Tip("=").Padding(" ").Rbound("]"),
		mpb.BarPriority(i), mpb.BarWidth(width),
		mpb.PrependDecorators(decor.Name(fmt.Sprintf("%-16s ", t))),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string {
			v.mu.Lock()
			defer v.mu.Unlock()
			return " " + v.texts[t]
		})))
}

// close draws the bars a last time and leaves them on the screen.
func (v *bars) close() {
	for _, bar := range v.bars {
		bar.Abort(false)
	}
	v.foot.Abort(false)
	v.p.Wait()
	v.screen.lift(nil)
	v.screen.say("\n")
}
