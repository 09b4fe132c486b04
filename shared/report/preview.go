package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"stovasync/shared/preview"
	"stovasync/shared/run"
)

// previewPage is a preview as its page shows it.
type previewPage struct {
	page
	R       preview.Report
	Facts   []fact
	Fields  []fieldRow
	Records records
	Columns []columnRow
	Photos  []columnRow // those that seem to hold a picture
}

// fact is a line of a summary.
type fact struct {
	Name, Value string
	// Code says that the value is a word of the machine, to be shown as such.
	Code bool
}

// share is a part of a whole, with a bar.
type share struct {
	N, Of int
	Width int // of the bar, in hundredths; a part above none shows
}

func shareOf(n, of int) share {
	s := share{N: n, Of: of}
	if of > 0 && n > 0 {
		s.Width = min(100, max(2, n*100/of))
	}
	return s
}

// Text says the share in words that need no bar.
func (s share) Text() string { return count(s.N) + " of " + count(s.Of) }

type fieldRow struct {
	preview.Field
	From   string // whose choice the expression is
	Filled share
}

type columnRow struct {
	preview.Column
	ID     string // of its expression's element, for the button that copies it
	Filled share
}

// records is the table of what would be stored.
type records struct {
	Heads []string
	Rows  []recordRow
}

type recordRow struct {
	ID    string
	Cells []cell
}

type cell struct {
	Value     string
	Protected bool // a sync leaves it alone (R19)
	New       bool // its record is not stored yet, and will be once
}

// PreviewHTML writes a preview as one page that opens offline, in any light, on
// a phone and on paper. Whoever calls it has masked the values (P19).
func PreviewHTML(w io.Writer, r preview.Report) error {
	p, err := newPage(fmt.Sprintf("Preview of %s, %s", r.Type, r.Connection), []link{
		{ID: "summary", Name: "Summary"},
		{ID: "synced", Name: "Synced data", Count: count(len(r.Synced))},
		{ID: "columns", Name: "Source columns", Count: count(len(r.Columns))},
		{ID: "filtered", Name: "Filtered out", Count: count(len(r.Filtered))},
		{ID: "rejected", Name: "Rejected", Count: count(len(r.Rejected)), Alarm: len(r.Rejected) > 0},
		{ID: "warnings", Name: "Warnings", Count: count(len(r.Warnings)), Alarm: len(r.Warnings) > 0},
	})
	if err != nil {
		return err
	}
	v := previewPage{page: p, R: r, Facts: previewFacts(r), Fields: fieldRows(r), Records: recordsOf(r)}
	for i, c := range r.Columns {
		v.Columns = append(v.Columns, columnRow{Column: c, ID: fmt.Sprintf("expression-%d", i+1), Filled: shareOf(c.Filled, r.Sampled)})
		if c.PhotoCandidate {
			v.Photos = append(v.Photos, v.Columns[i])
		}
	}
	return execute(w, "preview", v)
}

// previewFacts are the lines of a preview's summary.
func previewFacts(r preview.Report) []fact {
	event := cmp.Or(r.Event, "not named")
	sampled := things(r.Sampled, "row")
	if r.Asked > r.Sampled {
		sampled += fmt.Sprintf(" of %s asked for", count(r.Asked))
	}
	switch {
	case r.PassedOver > 0 && r.Type == run.Users: // those are among the filtered
		sampled = fmt.Sprintf("%s looked at: %s of users, %s of sponsors, which are filtered out", things(r.Sampled+r.PassedOver, "row"), count(r.Sampled), count(r.PassedOver))
	case r.PassedOver > 0:
		sampled += fmt.Sprintf("; %s passed over that are none of the type", things(r.PassedOver, "row"))
	}
	mapping := "the connection's own"
	if r.Trial {
		mapping = "a trial: it came with this preview and is not kept"
	}
	facts := []fact{
		{Name: "Connection", Value: r.Connection, Code: true},
		{Name: "Data type", Value: string(r.Type), Code: true},
		{Name: "Event", Value: event},
		{Name: "Event id", Value: r.EventID, Code: true},
		{Name: "Time zone", Value: cmp.Or(r.Zone, "not known")},
		{Name: "Taken", Value: stamp(r.Taken)},
		{Name: "Mapping", Value: mapping},
		{Name: "Rows looked at", Value: sampled},
		{Name: "API calls", Value: count(r.APICalls)},
		{Name: "Time", Value: fmt.Sprintf("%s, of which %s waiting for the vendor", seconds(r.Seconds), seconds(r.CallSeconds))},
	}
	if r.InactivePolicy != "" {
		facts = append(facts, fact{Name: "Inactive policy", Value: r.InactivePolicy + " (people outside the active statuses)"})
	}
	if words := statuses(r.Statuses); words != "" {
		facts = append(facts, fact{Name: "By status", Value: words})
	}
	return facts
}

// statuses counts records by fp_status: 18 active, 2 cancelled.
func statuses(n map[string]int) string {
	var parts []string
	for _, s := range slices.Sorted(maps.Keys(n)) {
		parts = append(parts, count(n[s])+" "+s)
	}
	return strings.Join(parts, ", ")
}

func fieldRows(r preview.Report) []fieldRow {
	var rows []fieldRow
	for _, f := range r.Fields {
		rows = append(rows, fieldRow{Field: f, From: fieldFrom(f), Filled: shareOf(f.Filled, len(r.Synced))})
	}
	return rows
}

// fieldFrom says whose choice a field's content is.
func fieldFrom(f preview.Field) string {
	switch {
	case f.Locked:
		return "computed, locked"
	case f.Default:
		return "default mapping"
	case f.Expression == "":
		return "not mapped"
	default:
		return "own mapping"
	}
}

// The two fields of the envelope that a preview tells beside the mapped ones.
const (
	idField     = "fp_ext_id"
	statusField = "fp_status"
)

// heads are the columns of the synced data: the id, the status, the fields in
// their order, and whatever else a record holds.
func heads(r preview.Report) []string {
	out := []string{idField, statusField}
	for _, f := range r.Fields {
		if !slices.Contains(out, f.Name) {
			out = append(out, f.Name)
		}
	}
	var rest []string
	for _, record := range r.Synced {
		for name := range record {
			if !slices.Contains(out, name) && !slices.Contains(rest, name) {
				rest = append(rest, name)
			}
		}
	}
	slices.Sort(rest)
	return append(out, rest...)
}

// recordsOf is the table of the records that a sync would store.
func recordsOf(r preview.Report) records {
	t := records{Heads: heads(r)}
	kept := map[string]preview.Protected{}
	for _, p := range r.Protected {
		kept[p.ID] = p
	}
	for _, record := range r.Synced {
		id := plain(record[idField])
		row := recordRow{ID: id}
		for _, name := range t.Heads[1:] {
			row.Cells = append(row.Cells, cell{Value: strings.TrimSpace(plain(record[name])), Protected: slices.Contains(kept[id].Fields, name), New: !kept[id].Stored})
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}
