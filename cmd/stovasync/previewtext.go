package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

	"stovasync/shared/config"
	"stovasync/shared/preview"
	"stovasync/shared/run"
)

// printPreview prints a preview for people: a part for each thing that they
// look for, left out where there is nothing to tell.
//
// mapped is the mapping that the preview went by, without the defaults.
func (c *cli) printPreview(r preview.Report, f previewFlags, mapped fieldMapping) error {
	v := previewText{c: c, r: r, w: c.width()}
	v.head(f.mapping)
	v.fields()
	v.columns()
	v.protected()
	v.filtered()
	v.rejected()
	v.warnings()
	v.next(f.mapping, mapped)
	_, err := io.WriteString(c.out, v.b.String())
	return err
}

// fieldMapping is a mapping as run.Connection has it.
type fieldMapping = map[run.DataType]map[string]*string

// previewText is a preview on its way to a terminal or a pipe.
type previewText struct {
	c *cli
	r preview.Report
	w int // columns of the terminal; 0: any number
	b strings.Builder
}

// say adds a paragraph, wrapped and indented by in.
func (v *previewText) say(in int, format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	if v.w > in {
		s = text.WrapSoft(s, v.w-in)
	}
	for line := range strings.SplitSeq(s, "\n") {
		v.b.WriteString(strings.TrimRight(strings.Repeat(" ", in)+line, " ") + "\n")
	}
}

func (v *previewText) heading(s string) {
	v.b.WriteString("\n" + v.c.paint(text.Colors{text.Bold}, s) + "\n")
}

// table adds a table if it is narrow enough, else each of its rows by itself.
func (v *previewText) table(g grid, narrow func()) {
	s := g.t.Render()
	if v.w > 0 && text.LongestLineLen(s) > v.w {
		narrow()
		return
	}
	v.b.WriteString(s + "\n")
}

func (v *previewText) head(file string) {
	of := ""
	if v.r.Event != "" {
		of = fmt.Sprintf(" of %s (%s)", v.r.Event, v.r.Zone)
	}
	rows, looked, more := count(v.r.Sampled, "row"), "", ""
	if v.r.PassedOver > 0 && v.r.Type == run.Users { // those are filtered
		rows = count(v.r.Sampled+v.r.PassedOver, "row")
		looked = fmt.Sprintf(" (%d of users, %d of sponsors)", v.r.Sampled, v.r.PassedOver)
		more = fmt.Sprintf("%d of them rows of sponsors", v.r.PassedOver)
	}
	v.say(0, "Preview of %s, connection %s: %s%s looked at%s, %s, %s.", v.r.Type, v.r.Connection, rows, of, looked, count(v.r.APICalls, "API call"), seconds(v.r.Seconds))
	if v.r.Trial {
		v.say(0, "Tried with %s, which is not kept. Nothing was stored.", file)
	} else {
		v.say(0, "Nothing was stored.")
	}
	v.heading("Summary")
	var statuses []string
	for _, s := range []string{"active", "hidden", "cancelled"} {
		if n := v.r.Statuses[s]; n > 0 {
			statuses = append(statuses, fmt.Sprintf("%d %s", n, s))
		}
	}
	told := strings.Join(statuses, ", ")
	if v.r.InactivePolicy != "" && len(v.r.Synced) > v.r.Statuses["active"] {
		told += " (inactivePolicy " + v.r.InactivePolicy + ")"
	}
	v.sum("would be stored", len(v.r.Synced), told)
	v.sum("filtered out", len(v.r.Filtered), more)
	v.sum("rejected", len(v.r.Rejected), "")
	if n := len(v.r.Protected); n > 0 {
		v.sum("protected", n, "some of their fields are left alone")
	}
	if v.r.PassedOver > 0 && v.r.Type != run.Users { // those are filtered
		v.sum("others", v.r.PassedOver, "read on the way, not of this type")
	}
	if v.r.KeptOut > 0 {
		v.sum("erased", v.r.KeptOut, "not read")
	}
	v.sum("warnings", len(v.r.Warnings), "")
}

func (v *previewText) sum(what string, n int, more string) {
	if more != "" {
		more = "  " + more
	}
	v.say(2, "%-16s%4d%s", what, n, more)
}

// fields tells each target field with the first values it would have.
func (v *previewText) fields() {
	if len(v.r.Synced) == 0 {
		return
	}
	v.heading("Synced data, masked")
	g := newGrid("field", "from", ">filled", "values")
	for _, f := range v.r.Fields {
		g.row(f.Name, v.from(f), f.Filled, strings.Join(v.values(f), "  "))
	}
	v.table(g, func() {
		for _, f := range v.r.Fields {
			v.say(0, "%s  %d of %d  %s", f.Name, f.Filled, len(v.r.Synced), strings.Join(v.values(f), "  "))
			v.say(4, "%s", v.from(f))
		}
	})
}

func (v *previewText) from(f preview.Field) string {
	switch {
	case f.Locked:
		return "(computed)"
	case !f.Default:
		return f.Expression + "  (own)"
	default:
		return f.Expression
	}
}

// values are the first different values of a field.
func (v *previewText) values(f preview.Field) []string {
	var out []string
	for _, row := range v.r.Synced {
		value, ok := row[f.Name]
		if !ok {
			continue
		}
		s := fmt.Sprint(value)
		switch list := value.(type) {
		case []string:
			s = strings.Join(list, ", ")
		case []any: // as it comes back from a function
			parts := make([]string, len(list))
			for i, e := range list {
				parts[i] = fmt.Sprint(e)
			}
			s = strings.Join(parts, ", ")
		}
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
		if len(out) == 3 {
			break
		}
	}
	return out
}

// columns tells the source columns: those that hold something and all
// questions as a table, the others by name.
func (v *previewText) columns() {
	if len(v.r.Columns) == 0 {
		return
	}
	v.heading("Source columns, masked")
	var shown []preview.Column
	var empty []string
	picks := 0
	for _, c := range v.r.Columns {
		switch question := strings.HasPrefix(c.Expression, "responses"); {
		case question && strings.EqualFold(strings.TrimSpace(c.Page), "agenda"):
			picks++
		case c.Filled == 0 && !question && len(c.MappedTo) == 0:
			empty = append(empty, c.Expression)
		default:
			shown = append(shown, c)
		}
	}
	v.columnTable(shown)
	if picks > 0 {
		v.say(0, "Besides %s of sessions; see --json.", count(picks, "pick"))
	}
	if len(empty) > 0 {
		v.say(0, "Empty in every row: %s.", strings.Join(empty, ", "))
	}
}

func (v *previewText) columnTable(shown []preview.Column) {
	g := newGrid("expression", "label", ">filled", "kind", "photo?", "samples", "mapped to")
	for _, c := range shown {
		g.row(c.Expression, label(c), c.Filled, c.Kind, photoMark(c), strings.Join(c.Samples, "  "), strings.Join(c.MappedTo, ", "))
	}
	v.table(g, func() {
		for _, c := range shown {
			v.say(0, "%s", strings.Join(slices.DeleteFunc([]string{c.Expression, label(c), photoMark(c)}, func(s string) bool { return s == "" }), "  "))
			parts := []string{fmt.Sprintf("%d of %d", c.Filled, v.r.Sampled), c.Kind}
			if len(c.Samples) > 0 {
				parts = append(parts, strings.Join(c.Samples, "  "))
			}
			if len(c.MappedTo) > 0 {
				parts = append(parts, "mapped to "+strings.Join(c.MappedTo, ", "))
			}
			v.say(4, "%s", strings.Join(parts, "; "))
		}
	})
}

// label is what a column is called, where its expression does not say it.
func label(c preview.Column) string {
	if c.Label == c.Expression {
		return ""
	}
	return c.Label
}

// photoMark is for columns that seem to hold a picture.
func photoMark(c preview.Column) string {
	if c.PhotoCandidate {
		return "photo?"
	}
	return ""
}

func (v *previewText) protected() {
	if len(v.r.Protected) == 0 {
		return
	}
	v.heading("Protected")
	for _, p := range v.r.Protected {
		more := ""
		if !p.Stored {
			more = "  once it is stored: it is not yet"
		}
		v.say(2, "%s  %s%s", p.ID, strings.Join(p.Fields, ", "), more)
	}
}

// filtered tells the rows that rules keep out, those of one reason together.
func (v *previewText) filtered() {
	if len(v.r.Filtered) == 0 {
		return
	}
	v.heading("Filtered out")
	var order []preview.Filtered
	ids := map[preview.Filtered][]string{}
	for _, f := range v.r.Filtered {
		reason := preview.Filtered{Rule: f.Rule, Why: f.Why}
		if len(ids[reason]) == 0 {
			order = append(order, reason)
		}
		ids[reason] = append(ids[reason], f.ID)
	}
	for _, reason := range order {
		v.say(2, "%s  %s: %s", reason.Rule, count(len(ids[reason]), "row"), reason.Why)
		v.say(6, "%s", some(ids[reason]))
	}
}

// some names the first of many ids.
func some(ids []string) string {
	const most = 8
	if len(ids) <= most {
		return strings.Join(ids, ", ")
	}
	return strings.Join(ids[:most], ", ") + fmt.Sprintf(" and %d more", len(ids)-most)
}

func (v *previewText) rejected() {
	if len(v.r.Rejected) == 0 {
		return
	}
	v.heading("Rejected")
	for _, r := range v.r.Rejected {
		id := r.ID
		if id == "" {
			id = "(no id)"
		}
		v.say(2, "%s  %s: %s", id, r.Code, r.Reason)
	}
}

func (v *previewText) warnings() {
	if len(v.r.Warnings) == 0 {
		return
	}
	v.heading("Warnings")
	for _, w := range v.r.Warnings {
		v.say(2, "%s: %s", w.Code, w.Message)
	}
}

// next says what people do now: a photo that nothing maps is what most come for.
func (v *previewText) next(file string, mapped fieldMapping) {
	v.b.WriteString("\n")
	self, name := v.c.self(), v.r.Connection
	switch photo := v.photo(); {
	case v.r.Sampled == 0 && v.r.Type.IsPhotos():
		v.say(0, "There is nothing to look at: no stored %s names a picture.", strings.TrimSuffix(string(v.r.Type.Owner()), "s"))
	case v.r.Sampled == 0:
		v.say(0, "There is nothing to look at: the event has no such rows, or the key may not see them. %s check %s tells more.", self, name)
	case photo != "":
		v.say(0, "%s seems to hold pictures. To sync them, write this into a file and try it with --mapping FILE:", photo)
		v.b.WriteString("\n" + string(config.RenderMapping(withField(mapped, v.r.Type, photoField(v.r.Type), photo))))
		if v.r.Trial {
			v.b.WriteString("\n")
			v.keep(file)
		}
	case v.r.Trial:
		v.keep(file)
	default:
		v.say(0, "Next: %s sync %s", self, name)
	}
}

// keep says how what was tried comes to stay.
func (v *previewText) keep(file string) {
	v.say(0, "To keep it, put %s into the connection file: %s connections put FILE", what(file), v.c.self())
}

// withField is a mapping with one field more. A trial stands in the place of
// the whole mapping, so what is to be tried has all that was there before.
func withField(m fieldMapping, t run.DataType, field, expression string) fieldMapping {
	all := maps.Clone(m)
	if all == nil {
		all = fieldMapping{}
	}
	fields := maps.Clone(all[t])
	if fields == nil {
		fields = map[string]*string{}
	}
	fields[field] = &expression
	all[t] = fields
	return all
}

func what(file string) string {
	if file == standardOutput {
		return "what you tried"
	}
	return "what " + file + " says"
}

// photoField is the field that a type's pictures are named by.
func photoField(t run.DataType) string {
	if t == run.Sponsors {
		return "logo"
	}
	return "photo"
}

// photo is the column to map the type's pictures to, "" where they are mapped
// or none seems to hold any. One that is filled is the likelier.
func (v *previewText) photo() string {
	if slices.ContainsFunc(v.r.Fields, func(f preview.Field) bool { return f.Name == photoField(v.r.Type) }) {
		return ""
	}
	best := ""
	filled := -1
	for _, c := range v.r.Columns {
		if c.PhotoCandidate && len(c.MappedTo) == 0 && c.Filled > filled {
			best, filled = c.Expression, c.Filled
		}
	}
	return best
}
