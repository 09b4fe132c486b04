package preview

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/mapping"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
	"stovasync/shared/stova"
)

// sampler reads rows until there are enough of the type.
type sampler struct {
	p      *previewer
	src    timed
	stream run.Stream

	event  stova.Event
	form   []stova.Question
	tracks []stova.Track
	ids    []string // without those of erased people
	listed int      // ids that were listed
	noID   int
	whole  bool // ids is all that is listed
	failed int  // rows that could not be read
	good   int
}

// read describes the event, lists as little as may do, and takes rows in the
// order of the list.
func (s *sampler) read(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	p := s.p
	limited, cancel := withMargin(ctx)
	defer cancel()
	err := s.sample(limited)
	late := err != nil && ctx.Err() == nil && (limited.Err() != nil || fault.IsOutOfTime(err)) && p.report.Sampled > 0
	if err != nil && !late {
		return err
	}
	s.rejectNoID()
	switch {
	case late:
		p.warn(run.Warning{Code: warnShort, Message: fmt.Sprintf("%s: %d of %d rows were read before the time was up; a smaller --sample is sooner read", p.req.Type, p.report.Sampled, p.req.Sample)})
	case p.report.Sampled < p.req.Sample && !s.whole:
		p.warn(run.Warning{Code: warnShort, Message: fmt.Sprintf("%s: %d of %d rows were found among the first %d that the vendor lists; a larger --sample looks at more",
			p.req.Type, p.report.Sampled, p.req.Sample, s.listed)})
	}
	return nil
}

// margin is what is left of the time of a function for all that comes after
// the rows.
const margin = 10 * time.Second

// withMargin ends a context in time to report what was read.
func withMargin(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-min(margin, time.Until(deadline)/4)))
}

// sample reads rows until there are enough, or no more.
func (s *sampler) sample(ctx context.Context) error {
	p := s.p
	for next := 0; p.report.Sampled < p.req.Sample; {
		if next == len(s.ids) {
			if more, err := s.listMore(ctx); err != nil || !more {
				return err
			}
		}
		n := min(max(p.req.Sample-p.report.Sampled, s.least()), len(s.ids)-next)
		if err := s.take(ctx, s.ids[next:next+n]); err != nil {
			return err
		}
		next += n
	}
	return nil
}

// least is how many rows to read at once where few of them may be of the type:
// as many as can be under way.
func (s *sampler) least() int {
	if s.rare() {
		return s.p.env.Fetches
	}
	return 1
}

// rare reports whether rows of the type are few among those that are listed.
func (s *sampler) rare() bool { return s.p.req.Type != run.Users && s.stream == run.Attendees }

// bound is how many rows are looked at, at most, for a sample.
func (s *sampler) bound() int {
	if s.stream != run.Attendees {
		return s.p.req.Sample + 20 // some may be gone since they were listed
	}
	return min(max(5*s.p.req.Sample, 100), 3*MaxSample)
}

// begin asks for the event, its form or tracks, and the list, all at once.
func (s *sampler) begin(ctx context.Context) error {
	first := s.p.req.Sample
	if s.rare() {
		first = s.bound()
	}
	var wg sync.WaitGroup
	var eventErr, describeErr, listErr error
	wg.Go(func() { s.event, eventErr = s.src.event(ctx) })
	wg.Go(func() { describeErr = s.describe(ctx) })
	wg.Go(func() { listErr = s.list(ctx, first) })
	wg.Wait()
	// What is wrong with the event is wrong with its lists too.
	if err := cmp.Or(eventErr, s.tolerate(describeErr), listErr); err != nil {
		return err
	}
	return s.bind()
}

// describe reads the questions of attendees or the tracks of sessions.
func (s *sampler) describe(ctx context.Context) (err error) {
	switch s.stream {
	case run.Attendees:
		s.form, err = s.src.questions(ctx)
	case run.SessionStream:
		s.tracks, err = s.src.tracks(ctx)
	}
	return err
}

// tolerate makes do without questions or tracks, as a run does, unless the
// account itself is refused or told to wait.
func (s *sampler) tolerate(err error) error {
	s.p.formed = err == nil
	switch code := fault.CodeOf(err); {
	case err == nil:
		return nil
	case code == fault.StovaAuth, code == fault.StovaEvent, code == fault.StovaRate, code == "":
		return err
	default:
		what := map[run.Stream]string{run.Attendees: "questions", run.SessionStream: "tracks"}[s.stream]
		s.p.warn(run.Warning{Code: string(code), Message: fmt.Sprintf("the vendor's list of %s could not be read; the columns are those of the rows alone", what)})
		return nil
	}
}

func (s *sampler) list(ctx context.Context, most int) error {
	l, err := s.src.list(ctx, s.stream, most)
	if err != nil {
		return err
	}
	s.noID = l.NoID
	s.whole = len(l.IDs)+l.NoID < most
	s.listed = len(l.IDs)
	s.ids = slices.DeleteFunc(l.IDs, s.p.erased.Has)
	s.p.report.KeptOut = s.listed - len(s.ids)
	return s.sponsorsFirst(ctx)
}

// sponsorsFirst puts attendees who are stored as sponsors before the listed
// ones: they may be anywhere in a long list.
func (s *sampler) sponsorsFirst(ctx context.Context) error {
	p := s.p
	if p.req.Type != run.Sponsors && p.req.Type != run.SponsorLevels {
		return nil
	}
	var known []string
	for r, err := range p.env.Records.Scan(ctx, p.conn.Name, run.Sponsors, pipeline.Scan{}) {
		if err != nil {
			return storeError(fmt.Errorf("read the stored sponsors: %w", err))
		}
		if !p.erased.Has(r.ID) {
			known = append(known, r.ID)
		}
		if len(known) == p.req.Sample {
			break
		}
	}
	s.ids = append(known, slices.DeleteFunc(s.ids, func(id string) bool { return slices.Contains(known, id) })...)
	return nil
}

// listMore lists again, up to the bound, and reports whether that brought more.
func (s *sampler) listMore(ctx context.Context) (bool, error) {
	had := len(s.ids)
	if s.whole || s.listed+s.noID >= s.bound() {
		return false, nil
	}
	err := s.list(ctx, s.bound())
	return err == nil && len(s.ids) > had, err
}

// bind makes the mapper of the event.
func (s *sampler) bind() error {
	p := s.p
	zone := cmp.Or(s.event.Zone, p.conn.Timezone)
	if zone == "" {
		zone = "UTC"
		p.warn(run.Warning{Code: string(fault.ConfigInvalid), Message: "the event does not tell its time zone and the setting timezone is absent: times are taken as UTC"})
	}
	at, err := time.LoadLocation(zone)
	if err != nil {
		return fault.Wrap(fault.ConfigInvalid, err, fmt.Sprintf("time zone %q is unknown", zone), "set timezone to an IANA name")
	}
	e := mapping.Event{ID: p.conn.EventID, Zone: at, Language: s.event.Language, Tracks: map[string]string{}}
	for _, q := range s.form {
		e.Questions = append(e.Questions, mapping.Question{ID: q.ID, FieldName: q.FieldName, Name: q.Name, Page: q.Page, InputType: q.InputType})
	}
	for _, t := range s.tracks {
		e.Tracks[t.ID] = t.Name
	}
	p.mapper = p.set.For(e)
	p.form = p.mapper.Questions()
	p.report.Event, p.report.Zone = s.event.Name, zone
	return nil
}

// fetched is one row as it came, or why it did not.
type fetched struct {
	id  string
	raw json.RawMessage
	err error
}

// take fetches rows, several at once, and judges them in their order, while
// others are still under way, until there are enough.
func (s *sampler) take(ctx context.Context, ids []string) error {
	ctx, cancel := context.WithCancel(ctx)
	rows, wait := s.fetch(ctx, ids)
	defer wait()
	defer cancel() // those that nobody needs any more
	for _, row := range rows {
		if s.p.report.Sampled == s.p.req.Sample {
			return nil
		}
		if err := s.one(ctx, <-row); err != nil {
			return err
		}
	}
	return nil
}

// fetch begins to fetch rows and returns a channel for each; wait returns when
// no call is under way.
func (s *sampler) fetch(ctx context.Context, ids []string) (rows []chan fetched, wait func()) {
	rows = make([]chan fetched, len(ids))
	for i := range rows {
		rows[i] = make(chan fetched, 1)
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(s.p.env.Fetches, len(ids)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(ids); i = int(next.Add(1)) - 1 {
				raw, err := s.src.row(ctx, s.stream, ids[i])
				rows[i] <- fetched{ids[i], raw, err}
			}
		})
	}
	return rows, wg.Wait
}

// hopeless is after how many rows that cannot be read, and none that can, the
// fault is the server's.
const hopeless = 3

// one judges a row. The error is that of more than the row.
func (s *sampler) one(ctx context.Context, f fetched) error {
	switch {
	case f.err == nil:
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(f.err, stova.ErrGone):
		return nil // between the list and now
	case !passing(f.err):
		return f.err
	default:
		if s.failed++; s.good == 0 && s.failed >= hopeless {
			return f.err
		}
		s.p.reject(f.id, fault.RowPoison, "its detail call keeps failing: "+string(fault.CodeOf(f.err)))
		return nil
	}
	s.good++
	row, err := s.p.mapper.Row(s.stream, f.raw)
	if err != nil {
		s.p.reject(f.id, fault.StovaBody, "the row is not a JSON object")
		return nil
	}
	defer row.Release()
	s.p.take(f.id, row)
	return nil
}

// passing reports whether a failure may lie with one row alone.
func passing(err error) bool {
	switch fault.CodeOf(err) {
	case fault.StovaServer, fault.StovaTimeout, fault.StovaBody, fault.StovaTooLarge:
		return !fault.IsOutOfTime(err)
	default:
		return false
	}
}

// rejectNoID reports listed rows that have no id. Of attendees nobody knows
// which type they would be: as in a run, they count as users.
func (s *sampler) rejectNoID() {
	if s.rare() {
		return
	}
	for range s.noID {
		s.p.reject("", fault.RowNoID, "a row in the vendor's list has no id")
	}
}
