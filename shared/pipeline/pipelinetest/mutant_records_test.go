package pipelinetest_test

import (
	"context"
	"iter"
	"slices"
	"strings"
	"time"

	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

type updateFunc func(context.Context, pipeline.Records, string, run.DataType, time.Time, []pipeline.RecordUpdate) ([]bool, error)

// records is a store of records whose operations can be replaced.
type records struct {
	pipeline.Records
	get    func(context.Context, pipeline.Records, string, run.DataType, []string) (map[string]pipeline.Record, error)
	update updateFunc
	scan   func(pipeline.Scan, []pipeline.Record) []pipeline.Record // of everything
}

func (s *records) Get(ctx context.Context, c string, t run.DataType, ids []string) (map[string]pipeline.Record, error) {
	if s.get == nil {
		return s.Records.Get(ctx, c, t, ids)
	}
	return s.get(ctx, s.Records, c, t, ids)
}

func (s *records) Update(ctx context.Context, c string, t run.DataType, now time.Time, u []pipeline.RecordUpdate) ([]bool, error) {
	if s.update == nil {
		return s.Records.Update(ctx, c, t, now, u)
	}
	return s.update(ctx, s.Records, c, t, now, u)
}

func (s *records) Scan(ctx context.Context, c string, t run.DataType, sc pipeline.Scan) iter.Seq2[pipeline.Record, error] {
	if s.scan == nil {
		return s.Records.Scan(ctx, c, t, sc)
	}
	return func(yield func(pipeline.Record, error) bool) {
		var all []pipeline.Record
		for r := range s.Records.Scan(ctx, c, t, pipeline.Scan{}) {
			all = append(all, r)
		}
		for _, r := range s.scan(sc, all) {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// changed breaks Update by changing each update, given what is stored.
func changed(f func(stored pipeline.Record, u *pipeline.RecordUpdate)) *records {
	return &records{update: func(ctx context.Context, s pipeline.Records, c string, t run.DataType, now time.Time, updates []pipeline.RecordUpdate) ([]bool, error) {
		updates = slices.Clone(updates)
		for i := range updates {
			old, err := s.Get(ctx, c, t, []string{updates[i].ID})
			if err != nil {
				return nil, err
			}
			if updates[i].Content != nil {
				content := *updates[i].Content
				updates[i].Content = &content
			}
			f(old[updates[i].ID], &updates[i])
		}
		return s.Update(ctx, c, t, now, updates)
	}}
}

// scanning breaks one condition of Scan; the others hold.
func scanning(keep func(pipeline.Scan, pipeline.Record) bool) *records {
	return &records{scan: func(sc pipeline.Scan, all []pipeline.Record) []pipeline.Record {
		return slices.DeleteFunc(all, func(r pipeline.Record) bool { return !keep(sc, r) })
	}}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// rewritten replaces whole records with what it read before.
func rewritten(ctx context.Context, s pipeline.Records, c string, t run.DataType, now time.Time, updates []pipeline.RecordUpdate) ([]bool, error) {
	updates = slices.Clone(updates)
	for i, u := range updates {
		old, err := s.Get(ctx, c, t, []string{u.ID})
		if err != nil {
			return nil, err
		}
		r, ok := old[u.ID]
		if !ok || u.Content != nil {
			continue
		}
		whole := r.Fields
		if whole == nil {
			whole = map[string]any{}
		}
		for name := range u.Set {
			whole[name] = u.Set[name]
		}
		var others []string
		for n := range 8 {
			if name := "field_" + string(rune('0'+n)); whole[name] == nil {
				others = append(others, name)
			}
		}
		updates[i].Set, updates[i].Unset = whole, append(others, u.Unset...)
	}
	time.Sleep(time.Millisecond) // opens the gap wide enough to be found
	return s.Update(ctx, c, t, now, updates)
}

func updateMutants() map[string]mutant {
	setUnset := "set and unset leave the other fields alone"
	return map[string]mutant{
		"records let an older fetch win": {records: changed(func(old pipeline.Record, u *pipeline.RecordUpdate) {
			if u.Content != nil {
				u.Content.FetchedAt = latest(old.FetchedAt, u.Content.FetchedAt)
			}
		}), caught: "content read earlier than the stored one is refused"},
		"records refuse the same fetch": {records: changed(func(old pipeline.Record, u *pipeline.RecordUpdate) {
			if u.Content != nil && old.FetchedAt.Equal(u.Content.FetchedAt) {
				u.Content.FetchedAt = time.Time{}
			}
		}), caught: "content read at the same time as the stored one is accepted"},
		"records compare fetches by the second": {records: changed(func(_ pipeline.Record, u *pipeline.RecordUpdate) {
			if u.Content != nil {
				u.Content.FetchedAt = u.Content.FetchedAt.Truncate(time.Second)
			}
		}), caught: "fetch times are compared exactly"},
		"records lose unset": {records: changed(func(_ pipeline.Record, u *pipeline.RecordUpdate) { u.Unset = nil }), caught: setUnset},
		"records replace all fields": {records: changed(func(old pipeline.Record, u *pipeline.RecordUpdate) {
			for name := range old.Fields {
				if _, ok := u.Set[name]; !ok {
					u.Unset = append(slices.Clone(u.Unset), name)
				}
			}
		}), caught: setUnset},
		"records make what is not there": {records: changed(func(old pipeline.Record, u *pipeline.RecordUpdate) {
			if u.Content == nil && old.ID == "" {
				u.Content = &pipeline.Record{}
			}
		}), caught: "an update without content needs a record"},
		"records move the fetch with the fields": {records: changed(func(old pipeline.Record, u *pipeline.RecordUpdate) {
			if u.Content == nil && old.ID != "" {
				old.FetchedAt = old.UpdatedAt
				u.Content = &old
			}
		}), caught: "an update without content changes fields and updated only"},
		"records take the content's fields": {records: changed(func(_ pipeline.Record, u *pipeline.RecordUpdate) {
			if u.Content != nil && len(u.Content.Fields) > 0 {
				u.Set = u.Content.Fields
			}
		}), caught: "content never writes fields or protection by its record"},
		"records do not remove": {records: changed(func(_ pipeline.Record, u *pipeline.RecordUpdate) {
			if u.Remove {
				u.Remove, u.Unset = false, []string{"fname", "photo_object"}
			}
		}), caught: "a removed record keeps its envelope and no field"},
		"records cut long ids": {records: changed(func(_ pipeline.Record, u *pipeline.RecordUpdate) { u.ID = u.ID[:min(len(u.ID), 100)] }),
			caught: "ids may hold any characters and be 128 long"},
		"records turn integers into floats": {records: changed(func(_ pipeline.Record, u *pipeline.RecordUpdate) {
			set := map[string]any{}
			for name, v := range u.Set {
				if n, ok := v.(int64); ok {
					v = float64(n)
				}
				set[name] = v
			}
			u.Set = set
		}), caught: "every type of field comes back as it was"},
		"records read before they write": {records: &records{update: rewritten}, caught: "concurrent updates of different fields of one record all happen"},
		"records fail together": {records: &records{update: func(ctx context.Context, s pipeline.Records, c string, t run.DataType, now time.Time, u []pipeline.RecordUpdate) ([]bool, error) {
			applied, err := s.Update(ctx, c, t, now, u)
			if slices.Contains(applied, false) {
				clear(applied)
			}
			return applied, err
		}}, caught: "each update succeeds or is refused on its own"},
		"records forget to stamp": {records: &records{update: func(ctx context.Context, s pipeline.Records, c string, t run.DataType, _ time.Time, u []pipeline.RecordUpdate) ([]bool, error) {
			return s.Update(ctx, c, t, time.Unix(1, 0).UTC(), u)
		}}, caught: "a new record has its content, its run as created run, and now as updated"},
	}
}

func recordMutants() map[string]mutant {
	all := updateMutants()
	for name, m := range map[string]mutant{
		"records move the created run": {records: &records{get: func(ctx context.Context, s pipeline.Records, c string, t run.DataType, ids []string) (map[string]pipeline.Record, error) {
			got, err := s.Get(ctx, c, t, ids)
			for id, r := range got {
				r.CreatedRun = r.Run
				got[id] = r
			}
			return got, err
		}}, caught: "content replaces the envelope and keeps the created run and other fields"},
		"records read a hundred": {records: &records{get: func(ctx context.Context, s pipeline.Records, c string, t run.DataType, ids []string) (map[string]pipeline.Record, error) {
			return s.Get(ctx, c, t, ids[:min(len(ids), 100)])
		}}, caught: "a thousand records are updated in one call and read in one, absent ones too"},
		"records mix connections": {records: &records{get: func(ctx context.Context, s pipeline.Records, _ string, t run.DataType, ids []string) (map[string]pipeline.Record, error) {
			return s.Get(ctx, "gala", t, ids)
		}}, caught: "connections and types are apart"},
		"records mix types": {records: &records{get: func(ctx context.Context, s pipeline.Records, c string, _ run.DataType, ids []string) (map[string]pipeline.Record, error) {
			return s.Get(ctx, c, run.Users, ids)
		}}, caught: "connections and types are apart"},
		"scan ignores the prefix": {records: scanning(func(sc pipeline.Scan, r pipeline.Record) bool {
			return r.ID > sc.After && !r.UpdatedAt.Before(sc.Since)
		}),
			caught: "a scan gives only ids with the prefix"},
		"scan repeats the id it goes on after": {records: scanning(func(sc pipeline.Scan, r pipeline.Record) bool {
			return r.ID >= sc.After && strings.HasPrefix(r.ID, sc.Prefix) && !r.UpdatedAt.Before(sc.Since)
		}), caught: "a scan goes on after an id"},
		"scan leaves out the time itself": {records: scanning(func(sc pipeline.Scan, r pipeline.Record) bool {
			return r.ID > sc.After && strings.HasPrefix(r.ID, sc.Prefix) && r.UpdatedAt.After(sc.Since)
		}), caught: "a scan since a time gives records updated then or later"},
		"scan reads one page": {records: &records{scan: func(sc pipeline.Scan, all []pipeline.Record) []pipeline.Record {
			all = slices.DeleteFunc(all, func(r pipeline.Record) bool { return r.ID <= sc.After })
			return all[:min(len(all), 1000)]
		}}, caught: "a scan gives more records than fit one read, and may be left and written to"},
		"scan is in no order": {records: &records{scan: func(_ pipeline.Scan, all []pipeline.Record) []pipeline.Record {
			slices.SortFunc(all, func(a, b pipeline.Record) int { return len(a.ID) - len(b.ID) })
			return all
		}}, caught: "a scan gives whole records in the byte order of their ids"},
	} {
		all[name] = m
	}
	return all
}
