package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/run"
	"stovasync/shared/stova"
)

// lookBack is how far before the last success an incremental plan reads (R16).
const lookBack = 24 * time.Hour

// sync handles a sync task: it plans one data type of a run, or, when that has
// happened, sends the tasks of its unsettled pages once more.
func (s *Steps) sync(ctx context.Context, j job) error {
	if !j.Current {
		return nil
	}
	if err := s.repair(ctx, j.Connection, repairQuiet); err != nil {
		return err
	}
	tr, ok, err := s.Ledger.TypeRun(ctx, j.Task.Run, j.Type)
	if err != nil || !ok || tr.State.Ended() {
		return err
	}
	if tr.Planning {
		return s.resendPages(ctx, tr)
	}
	open, err := s.gate(ctx, j)
	if err != nil || !open {
		return err
	}
	plan, key, err := s.plan(ctx, j)
	if err != nil {
		return err
	}
	pages := planned(j, plan)
	if err := s.Ledger.registerPages(ctx, j.Task.Run, j.Type, pages); err != nil {
		return err
	}
	if tr, err = s.finishPlanning(ctx, j, plan, key); err != nil {
		return err
	}
	return s.resendPages(ctx, tr)
}

// gate reports whether the type may be planned. A closed gate leaves it
// waiting; then the gate is read again, since it may have opened while the
// state was written and whoever opened it saw no one waiting.
func (s *Steps) gate(ctx context.Context, j job) (bool, error) {
	all, err := s.Ledger.TypeRuns(ctx, j.Task.Run)
	if err != nil {
		return false, err
	}
	if !gateOpen(j.Type, all) {
		if _, err := s.Ledger.modifyTypeRun(ctx, j.Task.Run, j.Type, func(tr *TypeRun) bool {
			if tr.State != run.Queued {
				return false
			}
			tr.State = run.Waiting
			return true
		}); err != nil {
			return false, err
		}
		if all, err = s.Ledger.TypeRuns(ctx, j.Task.Run); err != nil || !gateOpen(j.Type, all) {
			return false, err
		}
	}
	if err := s.usersFirst(ctx, j, all); err != nil {
		if fault.CodeOf(err) != fault.GateUsersFirst {
			return false, err
		}
		return false, s.failType(ctx, j.Task, err)
	}
	_, err = s.Ledger.modifyTypeRun(ctx, j.Task.Run, j.Type, func(tr *TypeRun) bool {
		if tr.State != run.Queued && tr.State != run.Waiting {
			return false
		}
		tr.State, tr.Started, tr.Activity = run.Running, s.now(), s.now()
		return true
	})
	return err == nil, err
}

// usersFirst is the hard gate (R13): user photos need a users run that has
// succeeded, in this run or an earlier one.
func (s *Steps) usersFirst(ctx context.Context, j job, all []TypeRun) error {
	if j.Type != run.UserPhotos {
		return nil
	}
	cause := ""
	for _, tr := range all {
		if tr.Type == run.Users && tr.State.Succeeded() {
			return nil
		}
		if tr.Type == run.Users && tr.Code != "" {
			cause = "; users failed in this run with " + tr.Code
		}
	}
	cur, err := s.Ledger.Cursor(ctx, j.Connection, run.Users)
	if err != nil || !cur.Succeeded.IsZero() {
		return err
	}
	return fault.New(fault.GateUsersFirst, "user photos need a users sync that has succeeded"+cause, "run sync "+j.Connection+" --type users first")
}

// planned returns the pages of a plan for the type of a job.
func planned(j job, p Plan) []Page {
	pages := make([]Page, len(p.Pages))
	for i, ids := range p.Pages {
		ids, _ = j.Erased.keep(ids) // the plan may be older than the entry
		pages[i] = Page{
			Connection: j.Connection, Run: j.Task.Run, Type: j.Type,
			Name: strconv.Itoa(i + 1), State: run.PageQueued, Rows: len(ids),
		}
	}
	return pages
}

// finishPlanning sets the number of pages, once. Rows without an id belong to
// no page, so they are counted here, by the stream's leader.
func (s *Steps) finishPlanning(ctx context.Context, j job, p Plan, key string) (TypeRun, error) {
	leads := run.Leader(j.Run.Types, j.Type.Stream()) == j.Type
	return s.Ledger.modifyTypeRun(ctx, j.Task.Run, j.Type, func(tr *TypeRun) bool {
		if tr.Planning || tr.State.Ended() {
			return false
		}
		tr.Planning, tr.Planned, tr.Plan, tr.Mode = true, len(p.Pages), key, p.Mode
		tr.Activity = s.now()
		tr.State = run.Running
		if leads {
			tr.Spent = tr.Spent.plus(p.Spent)
			tr.Warnings = p.Warnings
			tr.NoID = p.NoID
			tr.Pages.Read += p.NoID
			tr.Pages.Rejected += p.NoID
		}
		return true
	})
}

// resendPages sends the tasks of a planned type run's queued pages, then checks.
func (s *Steps) resendPages(ctx context.Context, tr TypeRun) error {
	if !tr.Planning || tr.State.Ended() {
		return nil
	}
	pages, err := s.Ledger.Pages(ctx, tr.Run, tr.Type)
	if err != nil {
		return err
	}
	var tasks []run.Task
	for _, p := range pages {
		if p.State == run.PageQueued {
			tasks = append(tasks, p.Task())
		}
	}
	if err := s.Tasks.Send(ctx, tasks...); err != nil {
		return storeError(err)
	}
	return s.check(ctx, tr)
}

// plan returns the plan of the job's stream in its run and its key: the one
// that stands, or a new one. A follower never lists: without its leader's plan
// it fails as its leader did.
func (s *Steps) plan(ctx context.Context, j job) (Plan, string, error) {
	stream := j.Type.Stream()
	key := planObject(j.Connection, j.Task.Run, stream)
	p, ok, err := s.readPlan(ctx, key)
	if err != nil || ok {
		return p, key, err
	}
	if leader := run.Leader(j.Run.Types, stream); leader != j.Type {
		return Plan{}, "", s.leaderFailed(ctx, j, leader)
	}
	if p, err = s.makePlan(ctx, j); err != nil {
		if lost := s.spent(ctx, j, p.Spent); lost != nil {
			err = errors.Join(err, lost)
		}
		return Plan{}, "", err
	}
	stored, err := putJSON(ctx, s.Objects, key, p, true)
	if stored && err == nil {
		s.plans.put(key, p)
		return p, key, nil
	}
	// Another planner was faster, and its plan is the plan; or none was stored.
	if err = errors.Join(err, s.spent(ctx, j, p.Spent)); err != nil {
		return Plan{}, "", err
	}
	p, ok, err = s.readPlan(ctx, key)
	if err == nil && !ok {
		err = storeError(fmt.Errorf("plan %s is gone", key))
	}
	return p, key, err
}

func (s *Steps) readPlan(ctx context.Context, key string) (Plan, bool, error) {
	if p, ok := s.plans.get(key); ok {
		return p, true, nil
	}
	var p Plan
	ok, err := getJSON(ctx, s.Objects, key, &p)
	if ok && err == nil {
		s.plans.put(key, p)
	}
	return p, ok, err
}

// leaderFailed is the failure of a follower whose leader made no plan.
func (s *Steps) leaderFailed(ctx context.Context, j job, leader run.DataType) error {
	tr, _, err := s.Ledger.TypeRun(ctx, j.Task.Run, leader)
	if err != nil {
		return err
	}
	code := fault.Code(tr.Code)
	if code == "" {
		code = fault.TaskLost
	}
	return fault.Permanent(fault.New(code, fmt.Sprintf("%s, which lists the %s for this type, ended without a list", leader, j.Type.Stream()), "mend "+string(leader)+" first"))
}

// makePlan lists a stream and cuts it into pages.
func (s *Steps) makePlan(ctx context.Context, j job) (p Plan, err error) {
	p = Plan{Run: j.Task.Run, Connection: j.Connection, Stream: j.Type.Stream(), Mode: run.Full, ListedAt: s.now()}
	if j.Type.IsPhotos() {
		p.Event.ID = j.Conn.EventID
		p.Hash = contentHash(j.Conn, j.Set.Hash())
		err = s.planPhotos(ctx, j, &p)
		return p, err
	}
	src, err := s.Connector.Source(ctx, j.Conn)
	if err != nil {
		return Plan{}, err
	}
	meter := &stova.Meter{}
	ctx = stova.WithMeter(ctx, meter)
	defer func() { p.Spent = spentOn(meter) }()
	if err := s.describeEvent(ctx, j, src, &p); err != nil {
		return p, err
	}
	m, err := j.mapper(p.Event)
	if err != nil {
		return p, err
	}
	p.Hash = contentHash(j.Conn, m.Hash())
	p.Warnings = mergeWarnings(p.Warnings, m.Warnings())
	err = s.planRows(ctx, j, src, &p)
	return p, err
}

// planRows lists a stream of the vendor: all of it, and in incremental mode
// once more what was modified.
func (s *Steps) planRows(ctx context.Context, j job, src Source, p *Plan) error {
	known, err := s.cursors(ctx, j)
	if err != nil {
		return err
	}
	var memory StreamMemory
	if _, err := load(ctx, s.Ledger.Items, streamKey(j.Connection, p.Stream), &memory); err != nil {
		return storeError(err)
	}
	if j.Run.Mode == run.Full {
		memory.Limit = 0 // the weekly full run finds out whether more works again
	}
	all, err := src.List(ctx, p.Stream, stova.ListOptions{Limit: memory.Limit})
	if err != nil {
		return err
	}
	p.All, p.NoID = all.IDs, all.NoID
	chosen := func(ids []string) ([]string, error) { return ids, nil }
	if from, ok := window(j.Run.Mode, p, known); ok {
		p.Mode, p.ModifiedFrom = run.Incremental, from
		mod, err := src.List(ctx, p.Stream, stova.ListOptions{Limit: all.Limit, ModifiedFrom: from})
		if err != nil {
			return err
		}
		// A row modified between the two lists is not in the first yet.
		p.All = union(p.All, mod.IDs)
		chosen = func(ids []string) ([]string, error) { return s.choose(ctx, ids, mod.IDs, known) }
	}
	p.All, p.KeptOut = j.Erased.keep(p.All)
	ids, err := chosen(p.All)
	if err != nil {
		return err
	}
	if err := s.emptied(ctx, j, p); err != nil {
		return err
	}
	p.Pages = cut(ids, j.Conn.PageSize)
	if all.Limit == memory.Limit {
		return nil
	}
	_, err = modify(ctx, s.Ledger.Items, streamKey(j.Connection, p.Stream), func(m *StreamMemory, _ bool) bool {
		m.Limit = all.Limit
		return true
	})
	return storeError(err)
}

// cursors returns the cursors of the run's types that view the job's stream.
func (s *Steps) cursors(ctx context.Context, j job) ([]Cursor, error) {
	var known []Cursor
	for _, t := range j.Run.Types {
		if t.Stream() != j.Type.Stream() {
			continue
		}
		c, err := s.Ledger.Cursor(ctx, j.Connection, t)
		if err != nil {
			return nil, err
		}
		known = append(known, c)
	}
	return known, nil
}

// window returns the start of the window of an incremental plan: the oldest
// cursor less a day. ok is false when the plan must be full: only attendees
// can be listed by modification (stova-api.md §10), every type needs a cursor,
// and settings, mapping and zone must be what they were.
func window(mode run.Mode, p *Plan, known []Cursor) (from time.Time, ok bool) {
	if mode == run.Full || p.Stream != run.Attendees {
		return time.Time{}, false
	}
	for _, c := range known {
		if c.Started.IsZero() || c.Hash != p.Hash {
			return time.Time{}, false
		}
		if at := c.Started.Add(-lookBack); from.IsZero() || at.Before(from) {
			from = at
		}
	}
	return from, true
}

// choose returns the listed ids that an incremental plan reads: modified ones,
// those not in every type's last complete plan, and those on retry lists.
func (s *Steps) choose(ctx context.Context, all, modified []string, known []Cursor) ([]string, error) {
	wanted := make(map[string]bool, len(modified))
	for _, id := range modified {
		wanted[id] = true
	}
	lists := make([]map[string]bool, 0, len(known))
	for _, c := range known {
		old, ok, err := s.readPlan(ctx, c.Plan)
		if err != nil && !fault.IsPermanent(err) {
			return nil, err
		}
		if ok { // without it every id counts as new, which is right
			lists = append(lists, setOf(old.All))
		} else {
			lists = append(lists, nil)
		}
	}
	again, err := s.retries(ctx, known)
	if err != nil {
		return nil, err
	}
	maps.Copy(wanted, again)
	isNew := func(id string) bool {
		return slices.ContainsFunc(lists, func(list map[string]bool) bool { return !list[id] })
	}
	var chosen []string
	for _, id := range all {
		if wanted[id] || isNew(id) {
			chosen = append(chosen, id)
		}
	}
	return chosen, nil
}

// retries returns the ids on the retry lists of cursors.
func (s *Steps) retries(ctx context.Context, known []Cursor) (map[string]bool, error) {
	again := map[string]bool{}
	for _, c := range known {
		if c.Retry == "" {
			continue
		}
		var ids []string
		if _, err := getJSON(ctx, s.Objects, c.Retry, &ids); err != nil {
			return nil, err
		}
		for _, id := range ids {
			again[id] = true
		}
	}
	return again, nil
}

// emptied warns when the vendor lists nothing although the store holds records:
// it may be true, or the key may have lost its rights.
func (s *Steps) emptied(ctx context.Context, j job, p *Plan) error {
	if len(p.All)+p.KeptOut > 0 {
		return nil
	}
	for _, err := range s.Records.Scan(ctx, j.Connection, j.Type, Scan{}) {
		if err != nil {
			return storeError(err)
		}
		p.Warnings = append(p.Warnings, run.Warning{
			Code:    string(fault.StovaEvent),
			Message: fmt.Sprintf("the vendor lists no %s, the store holds some; check that the key may read the event", p.Stream),
		})
		break
	}
	return nil
}

// cut sorts ids and cuts them into pages. The order is that of the schedule
// rows they own, so that a page of a full plan reads one range of them.
func cut(ids []string, size int) [][]string {
	sorted := slices.Clone(ids)
	slices.SortFunc(sorted, func(a, b string) int { return strings.Compare(a+"_", b+"_") })
	return slices.Collect(slices.Chunk(sorted, max(1, size)))
}

// union returns a and the ids of b that it lacks.
func union(a, b []string) []string {
	have := setOf(a)
	return append(slices.Clip(a), slices.DeleteFunc(slices.Clone(b), func(id string) bool { return have[id] })...)
}

func setOf(ids []string) map[string]bool {
	set := make(map[string]bool, len(ids))
	for _, id := range ids {
		set[id] = true
	}
	return set
}

// contentHash stands for everything beside the vendor's rows that decides what
// records hold. When it changes, every row is read again.
func contentHash(c run.Connection, mappingHash string) string {
	return digest([]any{
		c.EndPoint, c.AccountID, c.EventID, c.ActiveStatuses, c.InactivePolicy, c.Mapping, c.Filters, c.Protect,
		c.PresenterPhotoEndpoint, c.PersonPhotoEndpoint, c.AllowedPhotoHosts, c.AllowPrivateHosts, mappingHash,
	})
}
