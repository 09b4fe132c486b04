package mapping_test

import (
	"errors"
	"strings"
	"testing"

	"stovasync/shared/mapping"
	"stovasync/shared/run"
)

func TestDoubtsTellWhatCouldBeMeant(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		t           run.DataType
		field, text string
		filter      bool
		says        string // "": no doubt
		column      int
	}{
		"a field that is nearly a known one":       {t: run.Users, field: "emial", text: "email", says: "users: emial becomes a field of its own; did you mean email?"},
		"a field of one's own":                     {t: run.Users, field: "shirt_size", text: "responses.shirt"},
		"a field that no session has":              {t: run.Sessions, field: "nmae", text: "name", says: "sessions: nmae is no known field of this type; it is stored as it is; did you mean name?"},
		"a column that is nearly a known one":      {t: run.Users, field: "company", text: `first(company, "é", compnay)`, says: "users: company: no known column is called compnay; did you mean company?", column: 21},
		"a known column":                           {t: run.Users, field: "company", text: "company"},
		"a column that only this event has":        {t: run.Users, field: "company", text: "zzzz_of_ours"},
		"a question is for the event to know":      {t: run.Users, field: "company", text: "responses.compnay"},
		"what follows the slip is kept":            {t: run.Users, field: "photo", text: "respons.photo", says: "no known column is called respons.photo; did you mean responses.photo?", column: 1},
		"a column in a filter":                     {t: run.Users, filter: true, text: `registrationstatsu != "x"`, says: "no known column is called registrationstatsu; did you mean registrationstatus?", column: 1},
		"a name that is part of another is not it": {t: run.Users, field: "company", text: "first(company, responses.compnay, compnay)", says: "compnay; did you mean company?", column: 35},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := settings(tt.t, tt.field, &tt.text)
			if tt.filter {
				in = mapping.Settings{ActiveStatuses: []string{"Confirmed"}, Filters: map[run.DataType]string{tt.t: tt.text}}
			}
			set, err := mapping.Compile(in)
			if err != nil {
				t.Fatal(err)
			}
			doubts := mapping.Doubts(set)
			if tt.says == "" {
				if len(doubts) > 0 {
					t.Fatalf("doubts = %v, want none", doubts)
				}
				return
			}
			if len(doubts) != 1 || !strings.Contains(doubts[0].Error(), tt.says) {
				t.Fatalf("doubts = %v, want %q", doubts, tt.says)
			}
			if p, ok := errors.AsType[*mapping.Place](doubts[0]); !ok || p.Column != tt.column || p.Filter != tt.filter {
				t.Errorf("place = %+v, want column %d", p, tt.column)
			}
		})
	}
}
