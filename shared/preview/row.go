package preview

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"stovasync/shared/fault"
	"stovasync/shared/mapping"
	"stovasync/shared/run"
)

// take files one row of the vendor's.
func (p *previewer) take(id string, row mapping.Row) {
	switch p.req.Type {
	case run.Users:
		p.file(id, row, p.mapper.Users(row), nil)
	case run.Sponsors:
		p.sponsors.see(p.mapper, id, row)
		p.file(id, row, p.mapper.Sponsors(row), nil)
	case run.Sessions:
		p.file(id, row, p.mapper.Sessions(row), computed(run.Sessions))
	case run.Presenters:
		p.file(id, row, p.mapper.Presenters(row), nil)
	case run.SponsorLevels:
		p.level(id, row)
	case run.Schedule:
		p.agenda(id, row)
	}
}

// file files a row by what the mapper says of it.
func (p *previewer) file(id string, row mapping.Row, res mapping.Result, plain []string) {
	if res.ID == "" {
		res.ID = id
	}
	if res.Outcome == mapping.NotOwn {
		p.report.PassedOver++
		if p.req.Type == run.Users {
			p.filter(res.ID, "R4", "its category is that of sponsors: it is no user, see sponsors")
		}
		return
	}
	p.report.Sampled++
	p.columns.add(row.Columns())
	p.outcome(res, plain)
}

// outcome files what became of a row of the type.
func (p *previewer) outcome(res mapping.Result, plain []string) {
	for _, w := range res.Warnings {
		p.warn(w)
	}
	switch res.Outcome {
	case mapping.Mapped:
		p.found = append(p.found, found{res, plain})
	case mapping.Filtered:
		p.filter(res.ID, res.Rule, p.why(p.req.Type, res.Rule))
	case mapping.Rejected:
		p.report.Rejected = append(p.report.Rejected, Rejected{ID: res.ID, Code: res.Reject.Code, Reason: res.Reject.Reason})
		if res.Reject.Code == string(fault.RowNoTimes) {
			p.noTimes = append(p.noTimes, res.ID)
		}
	}
}

func (p *previewer) filter(id, rule, why string) {
	p.report.Filtered = append(p.report.Filtered, Filtered{ID: id, Rule: rule, Why: why})
}

// reject reports a row of which nothing is known but its id.
func (p *previewer) reject(id string, code fault.Code, reason string) {
	if p.req.Type == run.Users || p.req.Type.Stream() != run.Attendees {
		p.report.Sampled++
	}
	p.report.Rejected = append(p.report.Rejected, Rejected{ID: id, Code: string(code), Reason: reason})
}

func (p *previewer) warn(w run.Warning) {
	if !slices.Contains(p.report.Warnings, w) {
		p.report.Warnings = append(p.report.Warnings, w)
	}
}

// why says what a rule keeps out.
func (p *previewer) why(t run.DataType, rule string) string {
	switch rule {
	case "R2":
		return "its status is none of activeStatuses, and inactivePolicy is skip"
	case "R4":
		return "its attendee is a sponsor"
	default:
		return fmt.Sprintf("the filter of %s is not true for it: %s", t, p.set.Filter(t))
	}
}

// levels is what the sampled sponsors say of their levels.
type levels struct {
	all     int
	without []string // ids of sponsors
	names   map[string]string
	order   map[string]int64
}

// see notes the level of a sponsor's row and reports whether the type
// sponsor-levels wants it.
func (l *levels) see(m *mapping.Mapper, id string, row mapping.Row) bool {
	slug, name, ok := m.Level(row)
	if !ok {
		return false
	}
	l.all++
	if slug == "" {
		l.without = append(l.without, id)
		return true
	}
	if l.names == nil {
		l.names, l.order = map[string]string{}, map[string]int64{}
	}
	if _, known := l.names[slug]; !known {
		l.names[slug] = name
		if order, ok := m.LevelOrder(row); ok {
			l.order[slug] = order
		}
	}
	return true
}

// level files a sponsor's row for the levels.
func (p *previewer) level(id string, row mapping.Row) {
	if !p.mapper.IsSponsor(row) {
		p.report.PassedOver++
		return
	}
	p.report.Sampled++
	p.columns.add(row.Columns())
	if !p.sponsors.see(p.mapper, id, row) {
		p.filter(id, "filter", p.why(run.SponsorLevels, "filter"))
	}
}

// The level of an event whose sponsors have none (spotme-model.md §5.8).
const (
	defaultLevel     = "sponsor"
	defaultLevelName = "Sponsor"
)

// makeLevels makes the records of the levels that were seen.
func (p *previewer) makeLevels() {
	if p.req.Type != run.SponsorLevels || p.sponsors.all == 0 {
		return
	}
	names := p.sponsors.names
	if len(names) == 0 {
		names = map[string]string{defaultLevel: defaultLevelName}
	}
	for _, slug := range slices.Sorted(maps.Keys(names)) {
		fields := map[string]any{"name": names[slug]}
		if order, ok := p.sponsors.order[slug]; ok {
			fields["order"] = order
		}
		id := slug
		if !p.standardLevels() {
			id = maskText(slug) // it says what a column of anybody's choice holds
		}
		p.found = append(p.found, found{Result: mapping.Result{ID: id, Status: "active", Fields: fields}})
	}
}

// standardLevels reports whether levels are named by the default mapping: then
// their ids are the vendor's own words for its subcategories.
func (p *previewer) standardLevels() bool {
	return slices.ContainsFunc(p.set.Fields(run.SponsorLevels), func(f mapping.Field) bool { return f.Name == "name" && f.Default })
}

// pick is a schedule row before its session and its user are looked up.
type pick struct {
	user       string
	candidates []string
	rows       []mapping.Result // by candidate
}

// agenda files the picks of an attendee, each of which is a row of the schedule.
func (p *previewer) agenda(id string, row mapping.Row) {
	picks := p.mapper.Picks(row)
	if len(picks) == 0 {
		p.report.PassedOver++
		return
	}
	rule := ""
	if !p.mapper.IsUser(row) {
		if rule = p.mapper.Users(row).Rule; rule == "" {
			rule = "filter" // it cannot be told
		}
	}
	columns := row.Columns()
	for _, one := range picks {
		if p.report.Sampled == p.req.Sample {
			return
		}
		p.report.Sampled++
		p.columns.add(append([]mapping.Column{
			{Expression: "pick.sessionid", Label: "session that is picked", Value: one.SessionID},
			{Expression: "pick.choicekey", Label: "key of the choice", Value: one.Key},
			{Expression: "pick.response", Label: "text of the choice", Value: one.Label},
		}, columns...))
		if rule != "" {
			t := run.Users
			p.filter(id+"_"+one.Candidates[0], rule, p.why(t, rule))
			continue
		}
		made := pick{user: id, candidates: one.Candidates}
		for _, c := range one.Candidates {
			made.rows = append(made.rows, p.mapper.Schedule(row, c, one))
		}
		p.picks = append(p.picks, made)
	}
}

// resolvePicks files the sampled picks: each is matched with the first of the
// sessions that it may mean which is stored, as in a run.
func (p *previewer) resolvePicks(ctx context.Context) error {
	if len(p.picks) == 0 {
		return nil
	}
	var users, sessions []string
	for _, one := range p.picks {
		users, sessions = append(users, one.user), append(sessions, one.candidates...)
	}
	people, err := p.present(ctx, run.Users, users)
	if err != nil {
		return err
	}
	there, err := p.present(ctx, run.Sessions, sessions)
	if err != nil {
		return err
	}
	waiting := 0
	for _, one := range p.picks {
		i := slices.IndexFunc(one.candidates, func(c string) bool { return there[c] })
		if i < 0 || !people[one.user] {
			waiting++
		}
		p.outcome(one.rows[max(i, 0)], computed(run.Schedule))
	}
	if waiting > 0 {
		p.warn(run.Warning{Code: warnPending, Message: fmt.Sprintf(
			"schedule: %d of %d sampled rows would wait, since their user or session is not stored yet; sync users and sessions", waiting, len(p.picks))})
	}
	return nil
}

// present reads which ids of a type are stored.
func (p *previewer) present(ctx context.Context, t run.DataType, ids []string) (map[string]bool, error) {
	slices.Sort(ids)
	got, err := p.env.Records.Get(ctx, p.conn.Name, t, slices.Compact(ids))
	if err != nil {
		return nil, storeError(fmt.Errorf("read %d %s: %w", len(ids), t, err))
	}
	there := make(map[string]bool, len(got))
	for id, r := range got {
		there[id] = r.RemovedAt.IsZero()
	}
	return there, nil
}
