package pipeline_test

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// alone makes a world of one type and n plain attendees on one page.
func alone(t *testing.T, typ run.DataType, n int) *world {
	t.Helper()
	w := newWorld(t, 1).only(typ)
	w.conn.PageSize = 300
	w.save()
	for i := range n {
		id := strconv.Itoa(2001 + i)
		w.vendor.people[id] = &person{ID: id, First: "Ada" + id, Status: "Confirmed", Category: "Delegate", Modified: w.clock.now().AddDate(0, -1, 0)}
	}
	return w
}

func poison() error { return fault.New(fault.StovaServer, "the vendor answers 500 for this row", "") }

func TestPoisonRows(t *testing.T) {
	t.Parallel()
	t.Run("a row whose detail call keeps failing is quarantined, and tried again although it is not modified", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, 6)
		w.expo()
		w.save()
		w.vendor.rowFault["1006"] = poison()
		v := w.sync(pipeline.Start{})
		same(t, "state", run.Complete, v.State)
		if !slices.ContainsFunc(v.Rejects, func(r run.Reject) bool {
			return r.ID == "1006" && r.Code == string(fault.RowPoison) && r.Type == run.Users
		}) {
			t.Errorf("rejects = %v, want row 1006 as ROW_POISON", v.Rejects)
		}
		same(t, "users", pipeline.TypeView{State: run.Complete, Mode: run.Full, Pages: pipeline.PagesView{Planned: 4, Done: 4},
			Counts: run.Counts{Read: 8, New: 6, Rejected: 2}}, v.Types[run.Users])
		for _, typ := range []run.DataType{run.Users, run.Sponsors, run.SponsorLevels, run.Schedule} {
			if !slices.Contains(w.retry(typ), "1006") {
				t.Errorf("retry list of %s = %v, want it to hold the row", typ, w.retry(typ))
			}
		}
		w.clock.advance(40 * time.Hour)
		delete(w.vendor.rowFault, "1006")
		v = w.sync(pipeline.Start{})
		same(t, "new users of the next run", 1, v.Types[run.Users].New)
		same(t, "retry list after it", nil, w.retry(run.Users))
	})
	t.Run("a vendor that is down costs a page few calls", func(t *testing.T) {
		t.Parallel()
		w := alone(t, run.Users, 200)
		for id := range w.vendor.people {
			w.vendor.rowFault[id] = poison()
		}
		w.sync(pipeline.Start{})
		if n := w.vendor.calls(); n > 10*maxReceives {
			t.Errorf("%d detail calls for a page of which nothing came", n)
		}
	})
	t.Run("a body that is no row is a reject of every type that reads it, and costs nothing else", func(t *testing.T) {
		t.Parallel()
		for _, typ := range []run.DataType{run.Users, run.Sponsors, run.SponsorLevels, run.Schedule} {
			w := alone(t, typ, 3)
			w.vendor.people["2002"].Raw = `"<html>"`
			v := w.sync(pipeline.Start{})
			same(t, "state of "+string(typ), run.Complete, v.State)
			same(t, "rejects of "+string(typ), []run.Reject{{Type: typ, ID: "2002", Code: string(fault.StovaBody), Reason: "the row is not a JSON object"}}, v.Rejects)
		}
	})
}

func TestHowManyBadRowsAPageBears(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		rows, bad, gone int
		last            bool // the bad rows come last
		want            run.State
		counts          run.Counts
	}{
		"three bad rows of three are borne":               {3, 3, 0, false, run.Complete, run.Counts{Read: 3, Rejected: 3}},
		"three bad rows of six are borne":                 {6, 3, 0, false, run.Complete, run.Counts{Read: 6, New: 3, Rejected: 3}},
		"four bad rows of four fail the page":             {4, 4, 0, false, run.Partial, run.Counts{}},
		"four bad rows of seven fail the page":            {7, 4, 0, true, run.Partial, run.Counts{}},
		"four bad rows of eight are borne":                {8, 4, 0, true, run.Complete, run.Counts{Read: 8, New: 4, Rejected: 4}},
		"nine bad rows before twenty good ones are borne": {29, 9, 0, false, run.Complete, run.Counts{Read: 29, New: 20, Rejected: 9}},
		"more bad rows than good ones fail a page":        {60, 31, 0, false, run.Partial, run.Counts{}},
		"many bad rows before more good ones are borne":   {60, 25, 0, false, run.Complete, run.Counts{Read: 60, New: 35, Rejected: 25}},
		"rows that are gone are not counted":              {9, 1, 4, true, run.Complete, run.Counts{Read: 5, New: 4, Rejected: 1}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := alone(t, run.Users, tt.rows)
			ids := slices.Sorted(maps.Keys(w.vendor.people))
			for _, id := range ids[:tt.gone] {
				w.vendor.gone[id] = true
			}
			bad := ids[tt.gone : tt.gone+tt.bad]
			if tt.last {
				bad = ids[tt.rows-tt.bad:]
			}
			for _, id := range bad {
				w.vendor.rowFault[id] = poison()
			}
			x := w.sync(pipeline.Start{}).Types[run.Users]
			same(t, "state", tt.want, x.State)
			same(t, "counts", tt.counts, x.Counts)
		})
	}
}

func TestSponsorsMoveBothWays(t *testing.T) {
	t.Parallel()
	w, _ := synced(t, 2)
	w.change()
	v := w.sync(pipeline.Start{})
	users, sponsors := w.records(run.Users), w.records(run.Sponsors)
	same(t, "old user", "cancelled", users["1004"].Status)
	same(t, "new sponsor", "active", sponsors["1004"].Status)
	same(t, "old sponsor", "cancelled", sponsors["1100"].Status)
	same(t, "new user", "active", users["1100"].Status)
	same(t, "sponsors: one new, the old one once", run.Counts{Read: 2, New: 1, Changed: 1}, v.Types[run.Sponsors].Counts)

	again := w.sync(pipeline.Start{Mode: run.Full})
	same(t, "sponsors of a run after it", run.Counts{Read: 3, Unchanged: 3}, again.Types[run.Sponsors].Counts)

	// And back.
	for _, id := range []string{"1004", "1100"} {
		p := w.vendor.people[id]
		p.Modified = w.clock.now()
		p.Category = map[string]string{"1004": "Delegate", "1100": "Sponsor"}[id]
	}
	back := w.sync(pipeline.Start{})
	same(t, "user again", "active", w.records(run.Users)["1004"].Status)
	same(t, "sponsor no more", "cancelled", w.records(run.Sponsors)["1004"].Status)
	if c := back.Types[run.Sponsors].Counts; c.Changed != 2 || c.New != 0 {
		t.Errorf("sponsors after the way back: %+v, want two changed", c)
	}
}

func TestSchedule(t *testing.T) {
	t.Parallel()
	w, v := synced(t, 2)
	same(t, "pending picks are counted", 1, v.Types[run.Schedule].Pending)
	same(t, "schedule", []string{"1001_6001_1", "1001_6002_1", "1003_6001_1", "1005_6003_1"}, ids(w.records(run.Schedule)))
	w.change()
	v = w.sync(pipeline.Start{})
	rows := w.records(run.Schedule)
	for id, want := range map[string]string{
		"1001_6001_1": "unregistered", // the pick is gone
		"1001_6002_1": "registered",
		"1003_6404_1": "registered",   // its session came
		"1005_6003_1": "unregistered", // its attendee is no longer active
	} {
		same(t, id, any(want), rows[id].Fields["status"])
		same(t, "fp_status of "+id, map[string]string{"registered": "active", "unregistered": "cancelled"}[want], rows[id].Status)
		same(t, "owner of "+id, id[:4], rows[id].Owner)
	}
	same(t, "counts", run.Counts{Read: 6, New: 2, Changed: 2, Unchanged: 2}, v.Types[run.Schedule].Counts)
	same(t, "a row that stays gone is not counted again", run.Counts{Read: 5, Unchanged: 5}, w.sync(pipeline.Start{Mode: run.Full}).Types[run.Schedule].Counts)

	// The picks of a person who becomes a sponsor count as filtered, and end.
	p := w.vendor.people["1001"]
	p.Category, p.Modified = "Sponsor", w.clock.now()
	v = w.sync(pipeline.Start{})
	same(t, "pick of a sponsor", any("unregistered"), w.records(run.Schedule)["1001_6002_1"].Fields["status"])
	if c := v.Types[run.Schedule].Counts; c.Filtered != 1 || c.Changed != 1 {
		t.Errorf("schedule: %+v, want one filtered and one changed", c)
	}
}

func TestAPolicyThatSkipsCancelsWhatIsStored(t *testing.T) {
	t.Parallel()
	w := alone(t, run.Users, 3)
	w.conn.InactivePolicy = "skip"
	w.save()
	w.vendor.people["2003"].Status = "Cancelled"
	v := w.sync(pipeline.Start{})
	same(t, "first run", run.Counts{Read: 3, New: 2, Filtered: 1}, v.Types[run.Users].Counts)
	same(t, "stored", []string{"2001", "2002"}, ids(w.records(run.Users)))
	w.vendor.people["2002"].Status, w.vendor.people["2002"].Modified = "Cancelled", w.clock.now()
	v = w.sync(pipeline.Start{})
	same(t, "status", "cancelled", w.records(run.Users)["2002"].Status)
	same(t, "second run", run.Counts{Read: 1, Changed: 1}, v.Types[run.Users].Counts)
	v = w.sync(pipeline.Start{Mode: run.Full})
	same(t, "third run", run.Counts{Read: 3, Unchanged: 1, Filtered: 2}, v.Types[run.Users].Counts)
}

func TestProtectedFieldsSurviveEverySync(t *testing.T) {
	t.Parallel()
	tests := map[string]func(w *world){
		"named by the settings": func(w *world) {
			w.conn.Protect = map[run.DataType]map[string][]string{run.Users: {"2001": {"fname", "fp_status"}}}
			w.save()
		},
		"named by the record": func(*world) {},
	}
	for name, protect := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := alone(t, run.Users, 2)
			protect(w)
			w.sync(pipeline.Start{})
			// A person edits the stored record by hand.
			_, err := w.mem.Records().Update(t.Context(), w.conn.Name, run.Users, w.clock.now(), []pipeline.RecordUpdate{
				{ID: "2001", Set: map[string]any{"fname": "Edited"}},
			})
			w.must(err)
			if name == "named by the record" {
				w.steps.Records = protecting{w.steps.Records, "2001", []string{"fname", "fp_status"}}
			}
			p := w.vendor.people["2001"]
			p.First, p.Company, p.Status, p.Modified = "Changed", "Invented Ltd", "Cancelled", w.clock.now()
			w.sync(pipeline.Start{})
			r := w.records(run.Users)["2001"]
			same(t, "a protected field", any("Edited"), r.Fields["fname"])
			same(t, "a free field", any("Invented Ltd"), r.Fields["company"])
			same(t, "a protected status", "active", r.Status)
			writes := w.writes.count()
			same(t, "counts of the next run", run.Counts{Read: 2, Unchanged: 2}, w.sync(pipeline.Start{Mode: run.Full}).Types[run.Users].Counts)
			same(t, "writes of the next run", 0, w.writes.count()-writes)
		})
	}
}

// protecting gives one record an fp_protect of its own, which no port writes.
type protecting struct {
	pipeline.Records
	id     string
	fields []string
}

func (p protecting) Get(ctx context.Context, c string, t run.DataType, ids []string) (map[string]pipeline.Record, error) {
	got, err := p.Records.Get(ctx, c, t, ids)
	if r, ok := got[p.id]; ok {
		r.Protect = p.fields
		got[p.id] = r
	}
	return got, err
}

func TestAnOlderFetchNeverOverwritesANewerOne(t *testing.T) {
	t.Parallel()
	w := alone(t, run.Users, 3)
	w.sync(pipeline.Start{})
	newer := w.clock.now().Add(48 * time.Hour)
	_, err := w.mem.Records().Update(t.Context(), w.conn.Name, run.Users, newer, []pipeline.RecordUpdate{{
		ID: "2001", Set: map[string]any{"fname": "Newer"},
		Content: &pipeline.Record{Type: "person", Status: "active", Owner: "global", Hash: "other", Run: "20310201T000000Z-abcd", FetchedAt: newer},
	}})
	w.must(err)
	w.vendor.people["2001"].First, w.vendor.people["2002"].First = "Older", "Changed"
	w.sync(pipeline.Start{Mode: run.Full})
	users := w.records(run.Users)
	same(t, "the newer row", any("Newer"), users["2001"].Fields["fname"])
	same(t, "another row", any("Changed"), users["2002"].Fields["fname"])
}

func TestARowThatThisRunWroteBeforeACrashCountsAsThatWriteAgain(t *testing.T) {
	t.Parallel()
	w := alone(t, run.Users, 4)
	st := w.start(pipeline.Start{Types: []run.DataType{run.Users}})
	crash := func(id string) {
		// The page dies after its rows are stored, before it is settled.
		stored := w.steps.Records
		w.steps.Records = &dying{Records: stored, r: w.reaper}
		w.until(func() bool { return w.steps.Records.(*dying).struck })
		w.steps.Records = stored
		if w.typeRun(id, run.Users).Done != 0 {
			t.Fatal("the page was settled")
		}
	}
	crash(st.Run.ID)
	same(t, "first run", run.Counts{Read: 4, New: 4}, w.settle(st.Run.ID).Types[run.Users].Counts)

	w.vendor.people["2001"].First = "Changed" // its stamp says long ago: an incremental run would have missed it
	delete(w.vendor.people, "2004")
	w.vendor.people["2005"] = &person{ID: "2005", First: "New", Status: "Confirmed", Modified: w.clock.now()}
	st = w.start(pipeline.Start{Mode: run.Full})
	crash(st.Run.ID)
	same(t, "second run", run.Counts{Read: 4, New: 1, Changed: 1, Unchanged: 2, Missed: 1}, w.settle(st.Run.ID).Types[run.Users].Counts)
}

// dying is a store of records whose caller dies after its first update.
type dying struct {
	pipeline.Records
	r      *reaper
	struck bool
}

func (d *dying) Update(ctx context.Context, c string, t run.DataType, now time.Time, updates []pipeline.RecordUpdate) ([]bool, error) {
	applied, err := d.Records.Update(ctx, c, t, now, updates)
	d.r.mu.Lock()
	defer d.r.mu.Unlock()
	d.struck, d.r.dead = true, true
	d.r.kill()
	return applied, err
}

func TestSponsorLevels(t *testing.T) {
	t.Parallel()
	levels := func(w *world) map[string]int64 {
		out := map[string]int64{}
		for id, r := range w.records(run.SponsorLevels) {
			out[id], _ = r.Fields["order"].(int64)
		}
		return out
	}
	sponsor := func(w *world, id, level string) {
		w.vendor.people[id] = &person{ID: id, Company: "Invented " + id, Status: "Confirmed", Category: "Sponsor", Level: level, Modified: w.clock.now()}
	}
	t.Run("a full run orders them by their lowest attendee; others add at the end only", func(t *testing.T) {
		t.Parallel()
		w := alone(t, run.SponsorLevels, 2)
		w.conn.PageSize = 1
		w.save()
		sponsor(w, "10002", "Gold") // a longer id is a higher one
		sponsor(w, "2050", "Silver")
		sponsor(w, "9000", "Gold")
		v := w.sync(pipeline.Start{})
		same(t, "first", map[string]int64{"silver": 1, "gold": 2}, levels(w))
		same(t, "counts", run.Counts{Read: 2, New: 2}, v.Types[run.SponsorLevels].Counts)
		w.clock.advance(48 * time.Hour)
		w.sync(pipeline.Start{})
		w.clock.advance(48 * time.Hour)
		sponsor(w, "1999", "Bronze")
		v = w.sync(pipeline.Start{})
		same(t, "mode", run.Incremental, v.Types[run.SponsorLevels].Mode)
		same(t, "after an incremental run", map[string]int64{"silver": 1, "gold": 2, "bronze": 3}, levels(w))
		w.sync(pipeline.Start{Mode: run.Full})
		same(t, "after a full run", map[string]int64{"bronze": 1, "silver": 2, "gold": 3}, levels(w))
	})
	t.Run("a full run in which a page failed orders nothing; its re-run does", func(t *testing.T) {
		t.Parallel()
		w := alone(t, run.SponsorLevels, 0)
		w.conn.PageSize = 1
		w.save()
		sponsor(w, "2050", "Silver")
		w.sync(pipeline.Start{})
		sponsor(w, "1050", "Gold")
		sponsor(w, "1060", "Bronze")
		w.failPage("1060")
		v := w.sync(pipeline.Start{Mode: run.Full})
		same(t, "state", run.Partial, v.State)
		same(t, "levels of a partial run", map[string]int64{"silver": 1, "gold": 2}, levels(w))
		delete(w.vendor.rowFault, "1060")
		_, err := w.steps.Redrive(t.Context(), pipeline.Filter{}, false)
		w.must(err)
		same(t, "state", run.Complete, w.settle(v.Run).State)
		same(t, "levels of the mended run", map[string]int64{"gold": 1, "bronze": 2, "silver": 3}, levels(w))
	})
	t.Run("the default level is made when there are sponsors and none names a level", func(t *testing.T) {
		t.Parallel()
		w := alone(t, run.SponsorLevels, 2)
		w.sync(pipeline.Start{})
		same(t, "without sponsors", map[string]int64{}, levels(w))
		sponsor(w, "1999", "")
		w.sync(pipeline.Start{})
		same(t, "in an incremental run", map[string]int64{}, levels(w))
		w.sync(pipeline.Start{Mode: run.Full})
		same(t, "in a full run", map[string]int64{"sponsor": 1}, levels(w))
		same(t, "its name", any("Sponsor"), w.records(run.SponsorLevels)["sponsor"].Fields["name"])
	})
}

// slot is the master session of expo.
const slot = "slot_" + eventID + "_20310304T1100Z"

// program makes a world of sessions, synced once.
func program(t *testing.T) (*world, pipeline.RunView) {
	t.Helper()
	w := newWorld(t, 1).only(run.Sessions)
	w.expo()
	w.save()
	return w, w.sync(pipeline.Start{})
}

// master checks that the master session and its members' links are there, or
// that none of them is.
func (w *world) master(want bool) {
	w.t.Helper()
	rows := w.records(run.Sessions)
	master, ok := rows[slot]
	if live := ok && master.RemovedAt.IsZero(); live != want {
		w.t.Errorf("the master session is there: %t, want %t", live, want)
	}
	for _, id := range []string{"6002_1", "6003_1"} {
		got, _ := rows[id].Fields["in_slot"].(string)
		if (got == slot) != want {
			w.t.Errorf("in_slot of %s = %q", id, got)
		}
	}
	if rows["6001_1"].Fields["in_slot"] != nil {
		w.t.Error("a session alone at its time has an in_slot")
	}
}

func TestMasterSessions(t *testing.T) {
	t.Parallel()
	t.Run("they come with title and mapping, counted as computed", func(t *testing.T) {
		t.Parallel()
		w, v := program(t)
		w.master(true)
		same(t, "counts", run.Counts{Read: 4, New: 3, Rejected: 1, Computed: 1}, v.Types[run.Sessions].Counts)
		m := w.records(run.Sessions)[slot]
		same(t, "fields", map[string]any{"name": "Parallel", "start": "2031-03-04T11:00:00Z", "end": "2031-03-04T12:30:00Z",
			"timezone": "Europe/London", "is_master": true}, m.Fields)
	})
	for name, change := range map[string]func(w *world){
		"a blank title":              func(w *world) { w.conn.ConcurrentSessionsTitle = "" },
		"in_slot that is not mapped": func(w *world) { delete(w.conn.Mapping[run.Sessions], "in_slot") },
		"a session that moves away":  func(w *world) { w.vendor.sessions["6003_1"].Start = "11:15:00" },
	} {
		t.Run("they go at once with "+name+", and come back with it", func(t *testing.T) {
			t.Parallel()
			w, _ := program(t)
			conn, moved := w.conn, *w.vendor.sessions["6003_1"]
			conn.Mapping = map[run.DataType]map[string]*string{run.Sessions: {"in_slot": new("in_slot")}}
			change(w)
			w.save()
			v := w.sync(pipeline.Start{})
			same(t, "state", run.Complete, v.State)
			w.master(false)
			same(t, "computed", 0, v.Types[run.Sessions].Computed)
			w.conn = conn
			w.vendor.sessions["6003_1"] = &moved
			w.save()
			w.sync(pipeline.Start{})
			w.master(true)
			writes := w.writes.count()
			w.sync(pipeline.Start{})
			same(t, "writes of a run after that", 0, w.writes.count()-writes)
		})
	}
	t.Run("a new title renames them", func(t *testing.T) {
		t.Parallel()
		w, _ := program(t)
		w.conn.ConcurrentSessionsTitle = "Gleichzeitig – 並行"
		w.save()
		w.sync(pipeline.Start{})
		same(t, "name", any("Gleichzeitig – 並行"), w.records(run.Sessions)[slot].Fields["name"])
	})
}

func TestTwoFinishesOfSessionsAtOnceEndAsOne(t *testing.T) {
	t.Parallel()
	for range 20 {
		w := newWorld(t, 1).only(run.Sessions)
		w.expo()
		w.save()
		st := w.start(pipeline.Start{})
		w.until(func() bool { tr := w.typeRun(st.Run.ID, run.Sessions); return tr.Planning && tr.Done == tr.Planned })
		done := make(chan error)
		for range 2 {
			go func() { done <- w.do(w.task(run.FinishTask, st.Run.ID, run.Sessions, "")) }()
		}
		w.must(<-done)
		w.must(<-done)
		w.master(true)
		same(t, "computed", 1, w.settle(st.Run.ID).Types[run.Sessions].Computed)
	}
}
