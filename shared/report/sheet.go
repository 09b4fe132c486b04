package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/xuri/excelize/v2"

	"stovasync/shared/preview"
)

// sheet is one sheet of a workbook: a row of headings, then rows of texts,
// whole numbers, numbers and flags. Anything else becomes its text.
type sheet struct {
	name  string
	heads []string
	rows  [][]any
}

// PreviewXLSX writes a preview as a workbook with the sheets Summary, Synced
// data, Source columns, Filtered out, Rejected and Warnings. Ids and every
// other text are cells of text, whatever they begin with: a leading zero stays,
// and an equals sign makes no formula.
func PreviewXLSX(w io.Writer, r preview.Report) (err error) {
	f := excelize.NewFile()
	defer func() { err = errors.Join(err, f.Close()) }()
	book, err := newBook(f)
	if err != nil {
		return err
	}
	for i, s := range sheets(r) {
		if i == 0 {
			err = f.SetSheetName(f.GetSheetName(0), s.name)
		} else {
			_, err = f.NewSheet(s.name)
		}
		if err == nil {
			err = book.fill(s)
		}
		if err != nil {
			return fmt.Errorf("make the sheet %s: %w", s.name, err)
		}
	}
	// Without a date of its own the workbook says 2006.
	taken := r.Taken.UTC().Format("2006-01-02T15:04:05Z")
	if err := f.SetDocProps(&excelize.DocProperties{
		Title: fmt.Sprintf("Preview of %s, %s", r.Type, r.Connection), Creator: "stovasync", LastModifiedBy: "stovasync", Created: taken, Modified: taken,
	}); err != nil {
		return err
	}
	return f.Write(w)
}

// sheets are those of a preview, in the order of its page.
func sheets(r preview.Report) []sheet {
	summary := sheet{name: "Summary", heads: []string{"What", "Value", "Remark"}}
	for _, f := range previewFacts(r) {
		summary.rows = append(summary.rows, []any{f.Name, f.Value, ""})
	}
	summary.rows = append(summary.rows,
		[]any{"Would be synced", len(r.Synced), ""}, []any{"Filtered out", len(r.Filtered), ""},
		[]any{"Rejected", len(r.Rejected), ""}, []any{"Warnings", len(r.Warnings), ""})
	for _, f := range fieldRows(r) {
		remark := f.From
		if f.Expression != "" {
			remark += ": " + f.Expression
		}
		summary.rows = append(summary.rows, []any{"Field " + f.Name, "filled " + f.Filled.Text(), remark})
	}
	filtered := sheet{name: "Filtered out", heads: []string{"Id", "Rule", "Why"}}
	for _, x := range r.Filtered {
		filtered.rows = append(filtered.rows, []any{x.ID, x.Rule, x.Why})
	}
	rejected := sheet{name: "Rejected", heads: []string{"Id", "Code", "Reason"}}
	for _, x := range r.Rejected {
		rejected.rows = append(rejected.rows, []any{x.ID, x.Code, x.Reason})
	}
	warnings := sheet{name: "Warnings", heads: []string{"Code", "What it says"}}
	for _, x := range r.Warnings {
		warnings.rows = append(warnings.rows, []any{x.Code, x.Message})
	}
	return []sheet{summary, syncedSheet(r), columnSheet(r), filtered, rejected, warnings}
}

func syncedSheet(r preview.Report) sheet {
	s := sheet{name: "Synced data", heads: heads(r)}
	for _, record := range r.Synced {
		var row []any
		for _, name := range s.heads {
			row = append(row, record[name])
		}
		s.rows = append(s.rows, row)
	}
	if len(r.Protected) == 0 {
		return s
	}
	kept := map[string]string{}
	for _, p := range r.Protected {
		kept[p.ID] = strings.Join(p.Fields, ", ")
		if !p.Stored {
			kept[p.ID] += " (once stored)"
		}
	}
	s.heads = append(s.heads, "kept as stored (R19)")
	for i, record := range r.Synced {
		s.rows[i] = append(s.rows[i], kept[plain(record[idField])])
	}
	return s
}

func columnSheet(r preview.Report) sheet {
	s := sheet{
		name:  "Source columns",
		heads: []string{"Expression", "Question or key", "Page", "Filled", "Of rows", "Sample 1", "Sample 2", "Sample 3", "Kind", "Photo candidate", "Mapped to"},
	}
	for _, c := range r.Columns {
		row := []any{c.Expression, c.Label, c.Page, c.Filled, r.Sampled}
		for i := range 3 {
			sample := ""
			if i < len(c.Samples) {
				sample = c.Samples[i]
			}
			row = append(row, sample)
		}
		candidate := ""
		if c.PhotoCandidate {
			candidate = "yes"
		}
		s.rows = append(s.rows, append(row, c.Kind, candidate, strings.Join(c.MappedTo, ", ")))
	}
	return s
}

// book is a workbook with its styles.
type book struct {
	f *excelize.File
	// head is of the first row; text of cells that a program must not take for
	// a number or a formula, also when somebody edits them; lines of long texts.
	head, text, lines int
}

func newBook(f *excelize.File) (book, error) {
	const asText = 49 // the built-in format @
	top := &excelize.Alignment{Vertical: "top"}
	head, err1 := f.NewStyle(&excelize.Style{
		Font: &excelize.Font{Bold: true, Family: "Calibri", Size: 11, Color: "FFFFFF"}, Fill: excelize.Fill{Type: "pattern", Pattern: 1, Color: []string{"1F4E79"}},
		Alignment: &excelize.Alignment{Vertical: "center"}, NumFmt: asText,
	})
	text, err2 := f.NewStyle(&excelize.Style{NumFmt: asText, Alignment: top})
	lines, err3 := f.NewStyle(&excelize.Style{NumFmt: asText, Alignment: &excelize.Alignment{Vertical: "top", WrapText: true}})
	return book{f: f, head: head, text: text, lines: lines}, errors.Join(err1, err2, err3)
}

// Widths are in characters. Past the widest a text goes on in the next line.
const (
	narrowest = 8
	widest    = 60
	// tallest is how many lines of a cell show, so that one long answer does not
	// push all others off the screen.
	tallest    = 6
	lineHeight = 15.0 // points
)

// fill writes a sheet: headings that stay in sight and filter, then the rows.
func (b book) fill(s sheet) error {
	last, err := excelize.ColumnNumberToName(len(s.heads))
	if err != nil {
		return err
	}
	widths := s.widths()
	for i, width := range widths {
		name, err := excelize.ColumnNumberToName(i + 1)
		if err != nil {
			return err
		}
		if err := b.f.SetColWidth(s.name, name, name, float64(width)); err != nil {
			return err
		}
	}
	for i, head := range s.heads {
		if err := b.put(s.name, i+1, 1, head, b.head); err != nil {
			return err
		}
	}
	for y, row := range s.rows {
		if err := b.row(s.name, y+2, row); err != nil {
			return err
		}
	}
	if err := b.f.AutoFilter(s.name, fmt.Sprintf("A1:%s%d", last, len(s.rows)+1), nil); err != nil {
		return err
	}
	if err := b.paper(s.name); err != nil {
		return err
	}
	return b.f.SetPanes(s.name, &excelize.Panes{Freeze: true, XSplit: 1, YSplit: 1, TopLeftCell: "B2", ActivePane: "bottomRight"})
}

// paper lays a sheet out for printing: as wide as the paper, which lies on its
// side, with the headings on each page.
func (b book) paper(name string) error {
	return errors.Join(
		b.f.SetSheetProps(name, &excelize.SheetPropsOptions{FitToPage: new(true)}),
		b.f.SetPageLayout(name, &excelize.PageLayoutOptions{Size: new(9), Orientation: new("landscape"), FitToWidth: new(1), FitToHeight: new(0)}), // 9 is A4
		b.f.SetDefinedName(&excelize.DefinedName{Name: "_xlnm.Print_Titles", RefersTo: "'" + name + "'!$1:$1", Scope: name}),
	)
}

// row writes the cells of one row and makes it as high as its longest text needs.
func (b book) row(name string, y int, row []any) error {
	lines := 1
	for x, v := range row {
		style := b.text
		if s, ok := text(v); ok && (utf8.RuneCountInString(s) > widest || strings.Contains(s, "\n")) {
			style = b.lines
			lines = max(lines, utf8.RuneCountInString(s)/widest+strings.Count(s, "\n")+1)
		}
		if err := b.put(name, x+1, y, v, style); err != nil {
			return err
		}
	}
	if lines == 1 {
		return nil
	}
	return b.f.SetRowHeight(name, y, lineHeight*float64(min(lines, tallest)))
}

// coded is how workbooks write characters that XML cannot hold: a text that
// looks so would be read as such a character.
var coded = regexp.MustCompile(`_x[0-9A-Fa-f]{4}_`)

// put writes a cell. Numbers and flags stay what they are, where a workbook can
// hold them whole; everything else is text.
func (b book) put(name string, x, y int, v any, style int) error {
	at, err := excelize.CoordinatesToCellName(x, y)
	if err != nil {
		return err
	}
	s, isText := text(v)
	switch v := v.(type) {
	case nil:
		return nil
	case int:
		return b.f.SetCellInt(name, at, int64(v))
	case bool:
		return b.f.SetCellBool(name, at, v)
	case float64:
		if !isText {
			return b.f.SetCellFloat(name, at, v, -1, 64)
		}
	}
	if s == "" {
		return nil
	}
	if err := b.f.SetCellStr(name, at, coded.ReplaceAllString(s, "_x005F$0")); err != nil {
		return err
	}
	return b.f.SetCellStyle(name, at, at, style)
}

// text returns the text of a value, and whether it is to be shown as such: all
// but flags and numbers that a workbook holds to their last digit.
func text(v any) (string, bool) {
	switch v := v.(type) {
	case nil, int, bool:
		return plain(v), false
	case float64:
		const exact = 1 << 53
		return plain(v), v > exact || v < -exact
	case json.Number:
		return v.String(), true
	default:
		return plain(v), true
	}
}

// widths are those that fit the headings and the texts of each column.
func (s sheet) widths() []int {
	out := make([]int, len(s.heads))
	for i, head := range s.heads {
		out[i] = max(narrowest, utf8.RuneCountInString(head)+4) // room for the filter's button
	}
	for _, row := range s.rows {
		for i, v := range row {
			for line := range strings.SplitSeq(plain(v), "\n") {
				out[i] = min(widest, max(out[i], utf8.RuneCountInString(line)+2))
			}
		}
	}
	return out
}
