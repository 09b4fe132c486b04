package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/jedib0t/go-pretty/v6/text"

	"stovasync/shared/preview"
	"stovasync/shared/run"
)

// manyColumns is a preview with something in every part.
func manyColumns() preview.Report {
	r := preview.Report{
		Connection: "summit", Type: run.Users, Event: "Invented Summit", Zone: "Europe/London", Sampled: 3, Asked: 20, PassedOver: 12, APICalls: 20,
		InactivePolicy: "cancel", Statuses: map[string]int{"active": 1, "cancelled": 1},
		Fields: []preview.Field{
			{Name: "fp_ext_id", Locked: true, Filled: 2}, {Name: "fname", Expression: "fname", Default: true, Filled: 2},
			{Name: "content", Expression: "first(descriptions.LANG, additional_details.descLANG, choices_expanded.descLANG, desc)", Filled: 1},
		},
		Synced: []map[string]any{
			{"fp_ext_id": "800000001", "fp_status": "active", "fname": "A…a", "tags": []string{"a…b", "c…d"}},
			{"fp_ext_id": "800000002", "fp_status": "cancelled", "fname": "B…b", "tags": []any{"a…b", "c…d"}},
		},
		Protected: []preview.Protected{{ID: "800000001", Fields: []string{"company", "biography"}}},
		Rejected:  []preview.Rejected{{ID: "800000099", Code: "ROW_POISON", Reason: "its detail call keeps failing: STOVA_SERVER"}, {Code: "ROW_NO_ID", Reason: "it has none"}},
		Warnings:  []run.Warning{{Code: "COLUMN_ABSENT", Message: "users: badge: no sampled row has the column fax, and no question is called so"}},
	}
	for i := range 12 {
		r.Filtered = append(r.Filtered, preview.Filtered{ID: fmt.Sprint(800000010 + i), Rule: "R4", Why: "its category is that of sponsors: it is no user, see sponsors"})
	}
	r.Columns = []preview.Column{
		{Expression: "fname", Label: "First name of the person who comes to the event", Filled: 3, Kind: "text", Samples: []string{"A…a", "B…b", "C…c"}, MappedTo: []string{"fname"}},
		{Expression: "empty", Label: "empty", Kind: "text"},
		{Expression: `responses["60001"]`, Label: "Opening", Page: "Agenda", Filled: 1, Kind: "text"},
		{Expression: "responses.photo", Label: "Photo", Page: "Details", Kind: "file", PhotoCandidate: true},
		{Expression: "responses.portrait", Label: "Portrait", Page: "Details", Filled: 2, Kind: "file", PhotoCandidate: true, Samples: []string{"8….jpg"}},
	}
	return r
}

func printed(t *testing.T, r preview.Report, f previewFlags, columns string) string {
	t.Helper()
	var out bytes.Buffer
	c := &cli{program: "stovasync", out: &out, lookup: func(name string) (string, bool) {
		if name == "COLUMNS" && columns != "" {
			return columns, true
		}
		return "", false
	}}
	if err := c.printPreview(r, f, nil); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestAPreviewFitsItsTerminal(t *testing.T) {
	t.Parallel()
	for _, columns := range []int{40, 60, 80, 120, 200} {
		s := printed(t, manyColumns(), previewFlags{}, fmt.Sprint(columns))
		if n := text.LongestLineLen(s); n > columns {
			t.Errorf("a line has %d characters in a terminal of %d:\n%s", n, columns, s)
		}
		for _, want := range []string{"fname", "responses.photo", "photo?", "8….jpg", "ROW_POISON", "COLUMN_ABSENT", "(no id)", "R4", "and 4 more", "Empty in every row: empty."} {
			if !strings.Contains(s, want) {
				t.Errorf("in a terminal of %d %q is missing", columns, want)
			}
		}
	}
	if wide := printed(t, manyColumns(), previewFlags{}, ""); !strings.Contains(wide, "expression         label ") || strings.Contains(wide, "\x1b") {
		t.Errorf("a pipe gets no plain table:\n%s", wide)
	}
}

func TestAPreviewSaysWhatToDoNext(t *testing.T) {
	t.Parallel()
	empty := preview.Report{Connection: "summit", Type: run.Users}
	mapped := manyColumns()
	mapped.Fields = append(mapped.Fields, preview.Field{Name: "photo", Expression: "responses.portrait"})
	tried := mapped
	tried.Trial = true
	pictures := preview.Report{Connection: "summit", Type: run.UserPhotos}
	tests := map[string]struct {
		r    preview.Report
		file string
		want string
	}{
		"a photo that nothing maps is to be mapped, the filled column first": {manyColumns(), "", "\nusers:\n  photo: responses.portrait\n"},
		"nothing at all is explained":                                        {empty, "", "There is nothing to look at: the event has no such rows"},
		"no pictures are explained":                                          {pictures, "", "no stored user names a picture"},
		"what was tried is to be kept":                                       {tried, "m.yaml", "put what m.yaml says into the connection file: stovasync connections put FILE"},
		"what came from a pipe is not named":                                 {tried, "-", "put what you tried into the connection file"},
		"what is mapped is to be synced":                                     {mapped, "", "Next: stovasync sync summit"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if s := printed(t, tt.r, previewFlags{mapping: tt.file}, ""); !strings.Contains(s, tt.want) {
				t.Errorf("want %q in\n%s", tt.want, s)
			}
		})
	}
}

func TestThePreviewsCountsAddUp(t *testing.T) {
	t.Parallel()
	s := printed(t, manyColumns(), previewFlags{}, "")
	for _, want := range []string{"15 rows of Invented Summit (Europe/London) looked at (3 of users, 12 of sponsors)", "filtered out      12  12 of them rows of sponsors"} {
		if !strings.Contains(s, want) {
			t.Errorf("want %q in\n%s", want, s)
		}
	}
}
