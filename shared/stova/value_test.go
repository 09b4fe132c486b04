package stova

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestTextReadsAnyScalar(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		`"abc"`: "abc", `"\u00e9"`: "é", `123`: "123", `9007199254740993`: "9007199254740993", `0.00`: "0.00", `-1`: "-1",
		`true`: "true", `null`: "", `{"eng":"x"}`: "", `[1]`: "", ` " a " `: " a ",
	}
	for in, want := range tests {
		t.Run(in, func(t *testing.T) {
			t.Parallel()
			var got Text
			if err := json.Unmarshal([]byte(in), &got); err != nil || string(got) != want {
				t.Errorf("Text of %s = %q, %v, want %q", in, got, err, want)
			}
		})
	}
}

func TestListReadsAnyShape(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		in   string
		want List[Text]
		bad  bool
	}{
		"an array":                          {in: `["a",1]`, want: List[Text]{"a", "1"}},
		"numbers sort as numbers":           {in: `{"10":"c","9":"b","1":"a"}`, want: List[Text]{"a", "b", "c"}},
		"null":                              {in: `null`},
		"an empty string":                   {in: `""`},
		"an empty array":                    {in: `[ ]`},
		"an empty object":                   {in: `{ }`},
		"false":                             {in: `false`},
		"an object with names is no list":   {in: `{"a":"b"}`, bad: true},
		"text is no list":                   {in: `"a"`, bad: true},
		"nulls inside keep their place":     {in: `[null,"a"]`, want: List[Text]{"", "a"}},
		"the same number twice is both":     {in: `{"1":"a","01":"b"}`, want: List[Text]{"b", "a"}},
		"negative numbers come first":       {in: `{"0":"b","-1":"a"}`, want: List[Text]{"a", "b"}},
		"a number too large is not a place": {in: `{"99999999999999999999":"a"}`, bad: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := List[Text]{"left over"}
			err := json.Unmarshal([]byte(tt.in), &got)
			if (err != nil) != tt.bad {
				t.Fatalf("error = %v, want one: %v", err, tt.bad)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("list (-want +got):\n%s", diff)
			}
		})
	}
}

func TestObjectsAreObjectsOrNothing(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int{`{"a":1,"b":null}`: 2, `{}`: 0, `[]`: 0, `""`: 0, `null`: 0, `"text"`: 0, `[1]`: 0, `7`: 0} {
		var got Object
		if err := json.Unmarshal([]byte(in), &got); err != nil || len(got) != want {
			t.Errorf("Object of %s has %d keys, %v, want %d", in, len(got), err, want)
		}
	}
}

func TestMomentsAreThereOrAbsent(t *testing.T) {
	t.Parallel()
	type moments struct {
		D Date
		C Clock
		S Stamp
	}
	tests := map[string]moments{
		`"2031-03-04"`:          {D: "2031-03-04"},
		`"2031-03-04 10:00:00"`: {D: "2031-03-04", S: "2031-03-04 10:00:00"},
		`"10:00:00"`:            {C: "10:00:00"},
		`"10:00"`:               {C: "10:00:00"},
		`"00:00:00"`:            {C: "00:00:00"}, // midnight is a time
		`"0000-00-00"`:          {},
		`"0000-00-00 00:00:00"`: {},
		`"0001-01-01"`:          {},
		`"0001-01-01 00:00:00"`: {},
		`"2031-02-30"`:          {},
		`"25:00:00"`:            {},
		`""`:                    {},
		`null`:                  {},
		`0`:                     {},
		`"soon"`:                {},
	}
	for in, want := range tests {
		t.Run(in, func(t *testing.T) {
			t.Parallel()
			var got moments
			for _, v := range []any{&got.D, &got.C, &got.S} {
				if err := json.Unmarshal([]byte(in), v); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("moments of %s (-want +got):\n%s", in, diff)
			}
		})
	}
}

func FuzzText(f *testing.F) {
	for _, s := range []string{`"a"`, `12`, `null`, `{"a":1}`, `[]`, `true`, `"\ud800"`, `1e400`, ` 7 `} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var got Text
		err := json.Unmarshal(in, &got)
		if (err == nil) != json.Valid(in) {
			t.Fatalf("Text of valid=%v gives %v", json.Valid(in), err)
		}
		var s string
		if err == nil && json.Unmarshal(in, &s) == nil && s != string(got) {
			t.Errorf("Text = %q, a plain string is %q", got, s)
		}
	})
}

func FuzzList(f *testing.F) {
	for _, s := range []string{`["a"]`, `{"2":"b","1":"a"}`, `null`, `""`, `{}`, `{"a":1}`, `[[1],{"1":2}]`, `{"1":1,"01":2}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var got List[Text]
		if err := json.Unmarshal(in, &got); err != nil {
			return
		}
		// What was read can be written, and reads as the same list.
		out, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		var again List[Text]
		if err := json.Unmarshal(out, &again); err != nil || len(again) != len(got) {
			t.Fatalf("%d elements written and read are %d, %v", len(got), len(again), err)
		}
		var plain []Text
		if json.Unmarshal(in, &plain) == nil && len(plain) != len(got) {
			t.Errorf("list of %d elements, the array has %d", len(got), len(plain))
		}
	})
}

// The fast check of a body must never differ from the standard library's.
func FuzzValid(f *testing.F) {
	for _, s := range []string{
		attendeeRow, `{"a":"\n` + "\x01" + `\t"}`, `{"a":"\u00zz"}`, `[1,]`, `01`, `-`, `1.e2`, `1e+`, `"\`, `{"a":1}}`, ` null `, `nul`, `{"\"":[]}`,
		strings.Repeat("[", 1001) + strings.Repeat("]", 1001), strings.Repeat("[", 999), "\"\x7f\"", `{"a" :1 , "b":[ ] }`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if got, want := valid(in), json.Valid(in); got != want {
			t.Errorf("valid = %v, json.Valid = %v", got, want)
		}
	})
}

func FuzzDecodeRow(f *testing.F) {
	for _, s := range []string{
		attendeeRow, "{\"company\":\"Caf\xe9\"}", `{"error":{"data":"No attendees found."}}`, `{"error":[]}`, `<html>`, ``, `[{"a":1}]`, `{}`,
		"\ufeff{\"a\":1}", `{"error":null,"a":1}`, `{"status":"error","msg":"Not authorized to access account 1"}`, `{"a":"\ud800"}`, "{\"a\":\"\x81\"}",
	} {
		f.Add(http.StatusOK, []byte(s))
	}
	f.Add(http.StatusForbidden, []byte(`{"error":{"eventid":"x"}}`))
	f.Add(http.StatusBadGateway, []byte(`<html>`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 200 || status > 599 {
			return
		}
		v := always(answer{status: status, body: string(body)})
		c := fake(t, v, func(cfg *Config) { cfg.Rand = func() float64 { return 0 }; cfg.RetryBase = 1 })
		row, err := c.Row(t.Context(), "attendees", "1")
		if leak := tellsSecret(err); leak != "" {
			t.Fatal(leak)
		}
		if err == nil && (!utf8.Valid(row) || !json.Valid(row) || row[0] != '{') {
			t.Error("a row is not a JSON object in UTF-8")
		}
		if err == nil && status > 299 {
			t.Errorf("a row came with status %d", status)
		}
	})
}
