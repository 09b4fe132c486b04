package preview

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/mapping"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
	"stovasync/shared/stova"
)

// The sizes of a sample.
const (
	DefaultSample = 20
	MaxSample     = 200
)

// Env is what a preview works with.
type Env struct {
	Ledger    pipeline.Ledger
	Records   pipeline.Records
	Connector pipeline.Connector
	Secrets   pipeline.Secrets // of the key by which erased people are known
	Now       func() time.Time // nil: time.Now
	Fetches   int              // calls for rows under way at once; 0: 4
}

// Request says what to preview.
type Request struct {
	Connection string
	Type       run.DataType // or one of its synonyms
	Sample     int          // rows of the type, 1 to MaxSample; 0: DefaultSample
	// Trial says that the preview is of settings that are not kept: those below,
	// each in the place of the connection's own unless it is nil. A trial writes
	// nothing at all.
	Trial   bool
	Mapping map[run.DataType]map[string]*string
	Filters map[run.DataType]string
	Protect map[run.DataType]map[string][]string
}

// Run reads a sample of a connection's rows, as few as it needs, and reports
// what a sync would make of them. It stores no record, fetches no picture and
// makes no run; it remembers the names of the columns it saw, so that the next
// preview can tell which are gone. Errors are those of the settings
// (CONFIG_INVALID, MAPPING_LOCKED, MAPPING_INVALID, one of each mistake), of the vendor and
// of the store; a row that cannot be read is part of the report.
func Run(ctx context.Context, env Env, req Request) (Report, error) {
	if env.Now == nil {
		env.Now = time.Now
	}
	env.Fetches = cmp.Or(max(env.Fetches, 0), 4)
	began := env.Now()
	if err := req.check(); err != nil {
		return Report{}, err
	}
	p, err := begin(ctx, env, req)
	if err != nil {
		return Report{}, err
	}
	p.report.Taken = began.UTC()
	if p.req.Type.IsPhotos() {
		err = p.pictures(ctx)
	} else {
		err = p.rows(ctx)
	}
	if err != nil {
		return Report{}, err
	}
	p.report.Seconds = env.Now().Sub(began).Seconds()
	return p.report, nil
}

// check fills in what a request leaves open and refuses what makes no sense.
func (r *Request) check() error {
	r.Sample = cmp.Or(r.Sample, DefaultSample)
	if r.Sample < 1 || r.Sample > MaxSample {
		return fault.New(fault.ConfigInvalid, fmt.Sprintf("a sample of %d rows is out of range", r.Sample), fmt.Sprintf("use 1 to %d", MaxSample))
	}
	t, err := run.ParseType(string(r.Type)) // a function is asked in people's own words too
	if err != nil {
		return fault.Wrap(fault.ConfigInvalid, err, err.Error(), fmt.Sprintf("the types are %v", run.AllTypes()))
	}
	r.Type = t
	return nil
}

// begin reads the settings that are previewed.
func begin(ctx context.Context, env Env, req Request) (*previewer, error) {
	conn, err := env.Ledger.Connection(ctx, req.Connection)
	if err != nil {
		return nil, err
	}
	tried := req.over(conn)
	set, err := env.Connector.Mapping(tried)
	if err != nil {
		return nil, err
	}
	p := &previewer{env: env, req: req, conn: tried, kept: conn, set: set, columns: newBook()}
	p.report = Report{
		Connection: conn.Name, Type: req.Type, EventID: conn.EventID, Trial: req.Trial, Asked: req.Sample,
		Fields: []Field{}, Columns: []Column{}, Synced: []map[string]any{}, Filtered: []Filtered{}, Rejected: []Rejected{}, Warnings: []run.Warning{},
	}
	if req.Type == run.Users || req.Type == run.Sponsors {
		p.report.InactivePolicy = cmp.Or(tried.InactivePolicy, "cancel")
	}
	p.erased, err = p.erasures(ctx)
	return p, err
}

// erasures are those who must stay out of everything that is of attendees.
func (p *previewer) erasures(ctx context.Context) (pipeline.Erasures, error) {
	if s := p.req.Type.Stream(); s != run.Attendees && s != run.UserPhotosStream {
		return pipeline.Erasures{}, nil
	}
	return pipeline.ReadErasures(ctx, p.env.Ledger.Items, p.env.Secrets, p.kept)
}

// over is the connection with the settings of the request in the place of its own.
func (r Request) over(c run.Connection) run.Connection {
	if !r.Trial {
		return c
	}
	if r.Mapping != nil {
		c.Mapping = r.Mapping
	}
	if r.Filters != nil {
		c.Filters = r.Filters
	}
	if r.Protect != nil {
		c.Protect = r.Protect
	}
	return c
}

// previewer is a preview under way.
type previewer struct {
	env  Env
	req  Request
	conn run.Connection // as it is tried
	kept run.Connection // as it is kept: clients go by it
	set  *mapping.Set

	mapper  *mapping.Mapper
	form    []mapping.Column // the event's questions, in their order
	formed  bool             // the questions could be read
	reads   []mapping.Read
	columns *book
	found   []found
	erased  pipeline.Erasures
	report  Report

	sponsors levels
	noTimes  []string // sessions
	picks    []pick
}

// found is a row that a sync would store.
type found struct {
	mapping.Result
	plain []string // fields that are computed: they are shown as they are
}

// rows previews a type that the vendor lists.
func (p *previewer) rows(ctx context.Context) error {
	src, err := p.env.Connector.Source(ctx, p.kept)
	if err != nil {
		return err
	}
	meter := &stova.Meter{}
	watch := &stopwatch{now: p.env.Now}
	s := &sampler{p: p, src: timed{src, watch}, stream: p.req.Type.Stream()}
	err = s.read(stova.WithMeter(ctx, meter))
	p.report.APICalls, p.report.CallSeconds = int(meter.Calls()), watch.seconds()
	if err != nil {
		return err
	}
	if err := p.finish(ctx); err != nil {
		return err
	}
	return p.remember(ctx)
}

// finish fills the report from what the rows gave.
func (p *previewer) finish(ctx context.Context) error {
	if err := p.resolvePicks(ctx); err != nil {
		return err
	}
	p.makeLevels()
	if err := p.store(ctx); err != nil {
		return err
	}
	p.reads = mapping.Reads(p.mapper, p.req.Type)
	p.report.Columns = p.columns.list(p.req.Type, p.form, p.reads)
	p.report.Fields = p.fields()
	p.warnings()
	return nil
}

// store shows the rows as records: those whose record protects fields keep
// what is stored of them (R19).
func (p *previewer) store(ctx context.Context) error {
	ids := make([]string, len(p.found))
	for i, f := range p.found {
		ids[i] = f.ID
	}
	if len(ids) == 0 {
		return nil
	}
	stored, err := p.env.Records.Get(ctx, p.conn.Name, p.req.Type, ids)
	if err != nil {
		return storeError(fmt.Errorf("read %d records: %w", len(ids), err))
	}
	p.report.Statuses = map[string]int{}
	seen := map[string]bool{}
	for _, f := range p.found {
		if seen[f.ID] {
			continue
		}
		seen[f.ID] = true
		old, known := stored[f.ID]
		p.protect(&f, old, known && old.RemovedAt.IsZero())
		p.report.Statuses[f.Status]++
		p.report.Synced = append(p.report.Synced, f.masked())
	}
	return nil
}

// protect reports the protected fields of a record and keeps what a stored one
// has in them.
func (p *previewer) protect(f *found, old pipeline.Record, stored bool) {
	names := slices.Concat(p.conn.Protect[p.req.Type][f.ID], old.Protect)
	if len(names) == 0 {
		return
	}
	slices.Sort(names)
	names = slices.Compact(names)
	p.report.Protected = append(p.report.Protected, Protected{ID: f.ID, Fields: names, Stored: stored})
	if !stored {
		return
	}
	for _, name := range names {
		if name == "fp_status" {
			f.Status = old.Status
			continue
		}
		if v, ok := old.Fields[name]; ok {
			f.Fields[name] = v
		} else {
			delete(f.Fields, name)
		}
	}
}

// masked is the record as it is shown.
func (f found) masked() map[string]any {
	out := map[string]any{"fp_ext_id": f.ID, "fp_status": f.Status}
	for name, v := range f.Fields {
		if slices.Contains(f.plain, name) {
			out[name] = v
		} else {
			out[name] = Mask(v)
		}
	}
	return out
}

// fields are the target fields of the type in the order of its table
// (spotme-model.md §5), fields of the connection's own after them.
func (p *previewer) fields() []Field {
	t := p.req.Type
	mapped := map[string]mapping.Field{}
	var own []string
	for _, f := range p.set.Fields(t) {
		mapped[f.Name] = f
		if !slices.Contains(table(t), f.Name) {
			own = append(own, f.Name)
		}
	}
	filled := map[string]int{}
	for _, row := range p.report.Synced {
		for name := range row {
			filled[name]++
		}
	}
	out := []Field{}
	for _, name := range slices.Concat(table(t), own) {
		f, ok := mapped[name]
		locked := slices.Contains(computed(t), name)
		if !ok && !locked {
			continue // unmapped
		}
		out = append(out, Field{Name: name, Expression: f.Expression, Default: f.Default, Locked: locked, Filled: filled[name]})
	}
	return out
}

// table names the fields of a type in the order of spotme-model.md §5.
func table(t run.DataType) []string {
	names := map[run.DataType]string{
		run.Users:           "fname lname email title position company country phone biography photo external_qr_value registrationtype fp_locale attendance_type",
		run.Sessions:        "name start end timezone location content tag tag_color presenters in_slot targets capacity is_master",
		run.Presenters:      "fname lname title position company country biography email photo",
		run.PresenterPhotos: "owner_type owner_ext_id source_url state",
		run.UserPhotos:      "owner_type owner_ext_id source_url state",
		run.Sponsors:        "name level description website email phone logo country city",
		run.SponsorLevels:   "name order",
		run.Schedule:        "parent_doc_id status",
	}
	return append([]string{"fp_ext_id", "fp_status"}, strings.Fields(names[t])...)
}

// computed names the fields of a type that no mapping may name (R11). What
// they hold is ours or the vendor's id, never what a person wrote.
func computed(t run.DataType) []string {
	out := []string{"fp_ext_id", "fp_status"}
	switch t {
	case run.Sessions:
		return append(out, "timezone", "is_master")
	case run.Schedule:
		return append(out, "parent_doc_id", "status")
	case run.PresenterPhotos, run.UserPhotos:
		return append(out, "owner_type", "owner_ext_id", "source_url", "state")
	default:
		return out
	}
}

// storeError gives an adapter's failure its code, unless it has one.
func storeError(err error) error {
	if err == nil || fault.CodeOf(err) != "" {
		return err
	}
	return fault.Wrap(fault.StoreUnavailable, err, "the store cannot be read", "check that the store can be reached, then try again")
}
