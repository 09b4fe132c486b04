package preview

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"stovasync/shared/fault"
	"stovasync/shared/mapping"
	"stovasync/shared/run"
)

// The codes of warnings that only a preview gives; each has a section in
// docs/errors.md.
const (
	warnAbsent   = "COLUMN_ABSENT"     // a mapping names a column that no row has
	warnVanished = "COLUMN_VANISHED"   // a column of the last preview is gone
	warnLocked   = "FIELD_LOCKED"      // a locked field is protected
	warnNoLevel  = "SPONSOR_NO_LEVEL"  // sponsors without a level
	warnShort    = "SAMPLE_SHORT"      // fewer rows of the type were found than asked for
	warnPending  = "ROWS_PENDING"      // rows whose parent is not stored
	warnOff      = "TYPE_OFF"          // a type that the connection does not sync
	warnDropped  = "MAPPING_DROPPED"   // a trial lacks what the connection maps
	warnKeepNone = "FILTER_KEEPS_NONE" // filters leave no sampled row
	warnProtect  = "PROTECT_UNKNOWN"   // a protected field that nothing fills
	warnUnmapped = "PHOTO_UNMAPPED"    // a photo type whose owners' photo is not mapped
)

// warnings adds what the settings and the sample as a whole deserve.
func (p *previewer) warnings() {
	p.warnOff()
	p.warnMapping()
	p.warnDropped()
	p.warnFilter()
	for _, w := range UnknownProtected(p.conn, p.set) {
		if strings.HasPrefix(w.Message, string(p.req.Type)+": ") {
			p.warn(w)
		}
	}
	p.warnLocked()
	if n := len(p.sponsors.without); n > 0 {
		p.warn(run.Warning{Code: warnNoLevel, Message: fmt.Sprintf("%s: %d of %d sampled sponsors have no level: %s",
			p.req.Type, n, p.sponsors.all, few(p.sponsors.without))})
	}
	if n := len(p.noTimes); n > 0 {
		p.warn(run.Warning{Code: string(fault.RowNoTimes), Message: fmt.Sprintf("%s: %d of %d sampled sessions have no start or no end and are not stored: %s",
			p.req.Type, n, p.report.Sampled, few(p.noTimes))})
	}
}

// few names some ids.
func few(ids []string) string {
	const most = 5
	if len(ids) > most {
		return strings.Join(ids[:most], ", ") + fmt.Sprintf(" and %d more", len(ids)-most)
	}
	return strings.Join(ids, ", ")
}

func (p *previewer) warnOff() {
	if !slices.Contains(p.conn.DataTypes, p.req.Type) {
		p.warn(run.Warning{Code: warnOff, Message: fmt.Sprintf("%s is not among the connection's dataTypes: a sync leaves it out", p.req.Type)})
	}
}

// warnDropped tells what the connection maps and a trial does not: what is
// tried stands in the place of the whole mapping.
func (p *previewer) warnDropped() {
	var gone []string
	for _, t := range run.AllTypes() {
		for _, field := range slices.Sorted(maps.Keys(p.kept.Mapping[t])) {
			if _, ok := p.conn.Mapping[t][field]; !ok {
				gone = append(gone, string(t)+"."+field)
			}
		}
	}
	if len(gone) > 0 {
		p.warn(run.Warning{Code: warnDropped, Message: fmt.Sprintf("what is tried stands in the place of the whole mapping, and leaves out what the connection has for %s", strings.Join(gone, ", "))})
	}
}

// warnFilter tells of filters that are true for no row of the sample.
func (p *previewer) warnFilter() {
	n := 0
	for _, f := range p.report.Filtered {
		if f.Rule == "filter" {
			n++
		}
	}
	if n > 0 && len(p.report.Synced) == 0 {
		p.warn(run.Warning{Code: warnKeepNone, Message: fmt.Sprintf("%s: nothing would be stored: the filter keeps out %d of %d sampled rows", p.req.Type, n, p.report.Sampled)})
	}
}

// UnknownProtected warns of fields that a connection protects and its mapping
// does not fill, each with the field that was probably meant. Each message
// begins with the data type.
func UnknownProtected(conn run.Connection, set *mapping.Set) []run.Warning {
	var all []run.Warning
	for _, t := range run.AllTypes() {
		known := append(table(t), unprotectable()...)
		for _, f := range set.Fields(t) {
			known = append(known, f.Name)
		}
		for _, id := range slices.Sorted(maps.Keys(conn.Protect[t])) {
			for _, name := range conn.Protect[t][id] {
				if slices.Contains(known, name) {
					continue
				}
				text := fmt.Sprintf("%s: protect of %s names %s, which is no field of the type", t, id, name)
				if near := mapping.Nearest(name, known); near != "" {
					text += "; did you mean " + near + "?"
				}
				all = append(all, run.Warning{Code: warnProtect, Message: text})
			}
		}
	}
	return all
}

// warnMapping tells what the mapping of the type says that does not fit the
// event, and columns that it names and no sampled row has.
func (p *previewer) warnMapping() {
	types := []run.DataType{p.req.Type}
	if p.req.Type == run.Sponsors {
		types = append(types, run.SponsorLevels) // whose name is the level
	}
	doubts := append(p.set.Warnings(), p.mapper.Warnings()...)
	for _, t := range types {
		for _, w := range doubts {
			if strings.HasPrefix(w.Message, string(t)+": ") {
				p.warn(w)
			}
		}
		if p.report.Sampled == 0 {
			continue // of no row nothing can be said
		}
		for _, r := range mapping.Reads(p.mapper, t) {
			if !r.Default && !p.hasColumn(r) && !p.doubted(t, r) {
				p.warn(run.Warning{Code: warnAbsent, Message: fmt.Sprintf("%s: %s: no sampled row has the column %s, and no question is called so", t, r.Field, r.Named)})
			}
		}
	}
}

// hasColumn reports whether some row, or the form, has a column that is read.
func (p *previewer) hasColumn(r mapping.Read) bool {
	return slices.ContainsFunc(p.report.Columns, func(c Column) bool {
		return slices.ContainsFunc(r.Columns, func(read string) bool { return within(read, c.Expression) })
	})
}

// doubted reports whether the mapper has said already that nobody knows a column.
func (p *previewer) doubted(t run.DataType, r mapping.Read) bool {
	return slices.ContainsFunc(p.report.Warnings, func(w run.Warning) bool {
		return w.Code == string(fault.MappingInvalid) && strings.HasPrefix(w.Message, string(t)+": "+r.Field+": ") && strings.Contains(w.Message, r.Named)
	})
}

// unprotectable are the fields that every record has and the sync writes
// whatever protects it.
func unprotectable() []string {
	return []string{"fp_ext_id", "fp_type", "fp_owner", "fp_protect", "source_lastmodified", "content_hash", "updated_at", "run"}
}

// warnLocked tells of protected fields that are computed: fp_status then stays
// whatever the vendor says (spotme-model.md §3.4), the others are written all the same.
func (p *previewer) warnLocked() {
	unprotected := unprotectable()
	var kept []string
	without := map[string][]string{}
	for _, r := range p.report.Protected {
		for _, name := range r.Fields {
			switch {
			case name == "fp_status":
				kept = append(kept, r.ID)
			case slices.Contains(unprotected, name):
				without[name] = append(without[name], r.ID)
			}
		}
	}
	if len(kept) > 0 {
		p.warn(run.Warning{Code: warnLocked, Message: fmt.Sprintf("%s: fp_status is protected, so it stays as it is whatever the vendor says: %s", p.req.Type, few(kept))})
	}
	for _, name := range unprotected {
		if ids := without[name]; len(ids) > 0 {
			p.warn(run.Warning{Code: warnLocked, Message: fmt.Sprintf("%s: %s is computed, so protecting it has no effect: %s", p.req.Type, name, few(ids))})
		}
	}
}
