package report_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/xuri/excelize/v2"

	"stovasync/shared/preview"
	"stovasync/shared/report"
	"stovasync/shared/run"
)

// workbook writes a preview as a workbook and opens it again.
func workbook(t *testing.T, r preview.Report) *excelize.File {
	t.Helper()
	var b bytes.Buffer
	if err := report.PreviewXLSX(&b, r); err != nil {
		t.Fatal(err)
	}
	f, err := excelize.OpenReader(&b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func rows(t *testing.T, f *excelize.File, sheet string) [][]string {
	t.Helper()
	out, err := f.GetRows(sheet)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func sheetNames() []string {
	return []string{"Summary", "Synced data", "Source columns", "Filtered out", "Rejected", "Warnings"}
}

func TestAWorkbookHoldsThePreview(t *testing.T) {
	t.Parallel()
	r := sessionPreview()
	r.Filtered = []preview.Filtered{{ID: "00042", Rule: "filter", Why: "filters.sessions"}}
	r.Warnings = []run.Warning{{Code: "SESSION_NO_NAME", Message: "session 0302 has no name"}}
	r.Protected = []preview.Protected{{ID: "0302", Fields: []string{"name", "tag"}}}
	f := workbook(t, r)
	if diff := cmp.Diff(sheetNames(), f.GetSheetList()); diff != "" {
		t.Errorf("sheets (-want +got):\n%s", diff)
	}
	want := map[string][][]string{
		"Synced data": {
			{"fp_ext_id", "fp_status", "name", "start", "tag", "capacity", "is_master", "kept as stored (R19)"},
			{"0301_07", "active", "O…g", "2031-05-06T09:00:00+02:00", "P…y, K…s", "120", "TRUE"},
			{"0302", "hidden", "C…n", "2031-05-06T11:00:00+02:00", "", "", "FALSE", "name, tag (once stored)"},
		},
		"Source columns": {
			{"Expression", "Question or key", "Page", "Filled", "Of rows", "Sample 1", "Sample 2", "Sample 3", "Kind", "Photo candidate", "Mapped to"},
			{"name", "name", "", "3", "3", "O…g", "C…n", "", "text", "", "name"},
		},
		"Filtered out": {{"Id", "Rule", "Why"}, {"00042", "filter", "filters.sessions"}},
		"Rejected":     {{"Id", "Code", "Reason"}, {"0303", "ROW_NO_TIMES", "the session has no end"}},
		"Warnings":     {{"Code", "What it says"}, {"SESSION_NO_NAME", "session 0302 has no name"}},
	}
	for sheet, cells := range want {
		if diff := cmp.Diff(cells, rows(t, f, sheet)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", sheet, diff)
		}
	}
	summary := rows(t, f, "Summary")
	for _, line := range [][]string{{"What", "Value", "Remark"}, {"Event id", "900100001"}, {"Would be synced", "2"}, {"Field name", "filled 2 of 2", "default mapping: first(name, reportname)"}} {
		if !slices.ContainsFunc(summary, func(row []string) bool { return slices.Equal(row, line) }) {
			t.Errorf("the summary lacks %v", line)
		}
	}
}

func TestEverySheetHasItsHeadingsInSightAndFilters(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]preview.Report{"full": userPreview(), "empty": {}} {
		f := workbook(t, r)
		for _, sheet := range sheetNames() {
			panes, err := f.GetPanes(sheet)
			if err != nil || !panes.Freeze || panes.YSplit != 1 {
				t.Errorf("%s, %s: the first row scrolls away: %+v, %v", name, sheet, panes, err)
			}
			cells := rows(t, f, sheet)
			var widths []float64
			for i, head := range cells[0] {
				column, _ := excelize.ColumnNumberToName(i + 1)
				width, err := f.GetColWidth(sheet, column)
				if err != nil || width < float64(len(head)) || width > 60 {
					t.Errorf("%s, %s: column %s is %v wide, %v", name, sheet, column, width, err)
				}
				widths = append(widths, width)
			}
			for _, row := range cells[1:] {
				for i, v := range row {
					if n := float64(len([]rune(v))); n < 58 && n > widths[i] {
						t.Errorf("%s, %s: %q does not fit a width of %v", name, sheet, v, widths[i])
					}
				}
			}
		}
		var filters []string
		for _, n := range f.GetDefinedName() {
			if strings.Contains(n.Name, "FilterDatabase") {
				filters = append(filters, n.Scope)
			}
		}
		slices.Sort(filters)
		if diff := cmp.Diff(slices.Sorted(slices.Values(sheetNames())), filters); diff != "" {
			t.Errorf("%s: sheets with filters (-want +got):\n%s", name, diff)
		}
	}
}

func TestNoTextBecomesANumberOrAFormula(t *testing.T) {
	t.Parallel()
	values := append(hostile(), "900100001", "0007", "1e5", "2031-03-04", "TRUE", "+1+1", "-2+3", "=1+1", "@a", "\t=1+1", "'quoted", " blanks ", "12345678901234567890")
	for i, v := range values {
		f := workbook(t, hostilePreview(v))
		seen := 0
		for _, sheet := range sheetNames() {
			for y, row := range rows(t, f, sheet) {
				for x, got := range row {
					at, _ := excelize.CoordinatesToCellName(x+1, y+1)
					if formula, err := f.GetCellFormula(sheet, at); err != nil || formula != "" {
						t.Errorf("value %d: %s %s holds the formula %q, %v", i, sheet, at, formula, err)
					}
					kind, err := f.GetCellType(sheet, at)
					if err != nil {
						t.Fatal(err)
					}
					if got != storable(v) {
						continue
					}
					seen++
					if kind != excelize.CellTypeSharedString && kind != excelize.CellTypeInlineString {
						t.Errorf("value %d: %s %s is no text: %v", i, sheet, at, kind)
					}
				}
			}
		}
		if seen < 20 {
			t.Errorf("value %d is in %d cells as it is, want 20 or more", i, seen)
		}
	}
}

// storable is a text as XML can hold it.
func storable(v string) string {
	return strings.NewReplacer("\x00", "\ufffd", "\x1b", "\ufffd").Replace(v)
}

func TestNumbersStayWholeInAWorkbook(t *testing.T) {
	t.Parallel()
	f := workbook(t, preview.Report{Synced: []map[string]any{{
		"fp_ext_id": "1", "a_small": 12.5, "b_large": json.Number("9007199254740993"), "c_beyond": 1e17, "d_flag": true, "e_none": nil, "f_list": []any{"x", 2.0},
		"g_long": strings.Repeat("y", 40_000),
	}}})
	got := rows(t, f, "Synced data")[1]
	if diff := cmp.Diff([]string{"1", "", "12.5", "9007199254740993", "100000000000000000", "TRUE", "", "x, 2"}, got[:8]); diff != "" {
		t.Errorf("cells (-want +got):\n%s", diff)
	}
	if n := len(got[8]); n != 32_767 {
		t.Errorf("a long text has %d characters, want what a cell may hold", n)
	}
}
