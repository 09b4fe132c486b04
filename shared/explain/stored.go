package explain

import (
	"maps"
	"slices"
	"strings"

	"stovasync/shared/mapping"
	"stovasync/shared/run"
)

// pictureField tells where the picture's name comes from (R12).
func (w *walk) pictureField() {
	field := map[run.DataType]string{run.Users: "photo", run.Presenters: "photo", run.Sponsors: "logo"}[w.req.Type]
	if field == "" || w.trace.Result.Outcome != mapping.Mapped {
		return
	}
	i := slices.IndexFunc(w.trace.Fields, func(f mapping.TracedField) bool { return f.Name == field })
	switch {
	case i < 0:
		w.info("R12", "%s is unmapped, so there is no picture: map it to the upload column that preview %s marks", field, w.req.Type)
	case w.trace.Fields[i].Value == nil:
		w.info("R12", "%s is read from %s, which is empty here: there is no picture", field, w.trace.Fields[i].Expression)
	default:
		w.pass("R12", "%s is read from %s", field, w.trace.Fields[i].Expression)
	}
}

// unchanged says when the record was written, and that it was read again since (R18).
func (w *walk) unchanged() {
	if !w.there() {
		return
	}
	read, ok := w.past.fetched()
	switch {
	case w.trace != nil && w.trace.Result.Outcome == mapping.Mapped && w.out.Source == fromVendor && w.hash() != w.record.Hash:
		w.info("R18", "the row as the vendor has it now gives another record than is stored: the next run that reads it changes the record")
		w.tell("R18", "the vendor's row has changed since")
	case !ok:
		w.info("R18", "run %s wrote it; no run that is kept has read it since", w.record.Run)
	case read.run.ID == w.record.Run:
		w.pass("R18", "run %s wrote it, and is the last that read it", w.record.Run)
	case w.trace == nil || w.trace.Result.Outcome != mapping.Mapped:
		w.info("R18", "run %s wrote it", w.record.Run)
	default:
		w.pass("R18", "run %s read it again and found it unchanged: the record stays as run %s wrote it", read.run.ID, w.record.Run)
		w.tell("R18", "run %s read it again and found it unchanged", read.run.ID)
	}
}

// hash is the content hash that the traced row would be stored with.
func (w *walk) hash() string {
	fields, status := maps.Clone(w.trace.Result.Fields), w.trace.Result.Status
	for _, name := range w.protectedNames() {
		delete(fields, name)
		if name == statusField {
			status = w.record.Status
		}
	}
	return mapping.Hash(fields, status)
}

// statusField may be protected like any other (spotme-model.md §3.4).
const statusField = "fp_status"

// protectedNames are the fields that the sync leaves alone, each once.
func (w *walk) protectedNames() []string {
	names := slices.Concat(w.conn.Protect[w.req.Type][w.out.ID], w.record.Protect)
	slices.Sort(names)
	return slices.Compact(names)
}

// statusProtected reports whether the sync leaves the record's status alone.
func (w *walk) statusProtected() bool { return slices.Contains(w.protectedNames(), statusField) }

// protected tells which fields the sync leaves alone (R19).
func (w *walk) protected() {
	bySettings, byRecord := w.conn.Protect[w.req.Type][w.out.ID], w.record.Protect
	if len(bySettings)+len(byRecord) == 0 {
		if w.there() {
			w.pass("R19", "no field of it is protected")
		}
		return
	}
	if len(bySettings) > 0 {
		w.info("R19", "the connection's protect names %s: no sync changes that", strings.Join(bySettings, ", "))
	}
	if len(byRecord) > 0 {
		w.info("R19", "the record's own fp_protect names %s: no sync changes that", strings.Join(byRecord, ", "))
	}
	names := w.protectedNames()
	if w.statusProtected() {
		w.info("R19", "fp_status is protected: a record that is there keeps its status, whatever the vendor says")
	}
	w.tell("R19", "protected, and so left as stored: %s", strings.Join(names, ", "))
}

// removal tells tombstones, and records that the vendor no longer lists (R20).
func (w *walk) removal() {
	last, ok := w.past.last()
	switch {
	case w.record.ID == "":
	case !w.there():
		w.info("R20", "it was removed at %s; what is left is a tombstone, which expires 30 days later", clock(w.record.RemovedAt))
	case strings.HasPrefix(w.record.ID, masterPrefix) && w.req.Type == run.Sessions:
		w.pass("R20", "a master session goes with its group or setting, whatever removeOutdated says")
	case !ok || last.plan.Listed || w.req.Type.IsPhotos() || w.req.Type == run.Schedule || w.req.Type == run.SponsorLevels:
		w.pass("R20", "nothing asks for its removal")
	case w.conn.RemoveOutdated[w.req.Type]:
		w.info("R20", "the vendor no longer lists it and removeOutdated is on for %s: it stays until a run removes it", w.req.Type)
		w.tell("R20", "the vendor no longer lists it, and no run has removed it yet")
	default:
		w.info("R20", "the vendor no longer lists it, and removeOutdated is off for %s: it stays", w.req.Type)
		w.tell("R20", "the vendor no longer lists it, and it stays since removeOutdated is off for %s", w.req.Type)
	}
}

// fields are the fields of the record, as the row gives them and as they are stored.
func (w *walk) fields() {
	if w.trace != nil && w.trace.Result.Outcome == mapping.NotOwn && !w.there() {
		return
	}
	protected := w.protectedNames()
	seen := map[string]bool{}
	for _, f := range w.mapped() {
		seen[f.Field.Name] = true
		w.out.Fields = append(w.out.Fields, w.field(f, protected))
	}
	var computed map[string]any
	if w.trace != nil {
		computed = maps.Clone(w.trace.Result.Fields)
	}
	if computed == nil {
		computed = map[string]any{}
	}
	if w.there() {
		for name, v := range w.record.Fields {
			if _, ok := computed[name]; !ok {
				computed[name] = v
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(computed)) {
		if !seen[name] {
			f := mapping.TracedField{Field: mapping.Field{Name: name}, Value: computed[name]}
			w.out.Fields = append(w.out.Fields, w.field(f, protected))
		}
	}
}

// mapped are the mapped fields: traced, or without a row as the settings have them.
func (w *walk) mapped() []mapping.TracedField {
	if w.trace != nil {
		return w.trace.Fields
	}
	if w.set == nil || !w.there() {
		return nil
	}
	var out []mapping.TracedField
	for _, f := range w.set.Fields(w.req.Type) {
		out = append(out, mapping.TracedField{Field: f})
	}
	return out
}

func (w *walk) field(f mapping.TracedField, protected []string) Field {
	stored, have := w.record.Fields[f.Name]
	have = have && w.there()
	if w.req.Type == run.Sessions && f.Name == slotField && f.Value == nil && have {
		f.Value = stored // the finish of sessions fills it
	}
	out := Field{
		Field: f.Name, Expression: f.Expression, Default: f.Default, Value: w.shown(f.Field, f.Value),
		Protected: slices.Contains(protected, f.Name), Note: f.Mistake,
	}
	for _, c := range f.Columns {
		out.Columns = append(out.Columns, Column{Expression: c.Expression, Value: mask(c.Value)})
	}
	differs := w.there() && !same(f.Value, stored)
	if differs && have {
		out.Stored = w.kept(f.Name, stored)
	}
	switch {
	case out.Note != "" || !differs:
	case out.Protected:
		out.Note = "protected: the sync leaves what is stored"
	case w.trace == nil:
		out.Note = "no row to compare with"
	case !have:
		out.Note = "not stored yet"
	default:
		out.Note = "the record holds another value"
	}
	if out.Protected && out.Note == "" {
		out.Note = "protected"
	}
	return out
}

const slotField = "in_slot"

// same reports whether two values are stored alike.
func same(a, b any) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return mapping.Hash(map[string]any{"v": a}, "") == mapping.Hash(map[string]any{"v": b}, "")
}
