package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFailuresAreGroupedByWhatTheySay(t *testing.T) {
	t.Parallel()
	const rowDown = "STOVA_SERVER: getAttendee 800000001: server error (503), 5 tries; try again later"
	tests := map[string]struct {
		given []cause
		want  map[string]int // sizes by heading
		first string
	}{
		"one cause of many is told apart from the others of its code": {
			[]cause{
				{text: "STOVA_SERVER: fetch picture from a.example.test: answered 500, tried 5 times"}, {text: rowDown},
				{text: "STOVA_SERVER: getAttendee 800000002: server error (503), 5 tries; try again later"},
			},
			map[string]int{
				"STOVA_SERVER: fetch picture from a.example.test: answered 500, tried 5 times": 1,
				"STOVA_SERVER: getAttendee …: server error (503), 5 tries; try again later":    2,
			},
			"STOVA_SERVER: getAttendee …: server error (503), 5 tries; try again later",
		},
		"what differs is left out, and only that": {
			[]cause{{text: "A: page 1, 4 tries, 20 rows"}, {text: "A: page 2, 4 tries, 20 rows"}, {text: "A: page 2, 5 tries, 20 rows"}},
			map[string]int{"A: page …, … tries, 20 rows": 3}, "A: page …, … tries, 20 rows",
		},
		"what all say alike is told with its ids": {[]cause{{text: rowDown}, {text: rowDown}}, map[string]int{rowDown: 2}, rowDown},
		"another status is another cause": {
			[]cause{{text: "STOVA_SERVER: x (500)"}, {text: "STOVA_SERVER: x (503)"}}, map[string]int{"STOVA_SERVER: x (500)": 1, "STOVA_SERVER: x (503)": 1}, "STOVA_SERVER: x (500)",
		},
		"file names and session ids are ids": {
			[]cause{{text: "PHOTO_TYPE: 7a-b.jpg is none"}, {text: "PHOTO_TYPE: 60003_1 is none"}}, map[string]int{"PHOTO_TYPE: … is none": 2}, "PHOTO_TYPE: … is none",
		},
		"what is over is told as past, and last": {
			[]cause{{text: "STOVA_AUTH: a", past: true}, {text: "STOVA_AUTH: a", past: true}, {text: "STOVA_SERVER: b"}},
			map[string]int{"was: STOVA_AUTH: a": 2, "STOVA_SERVER: b": 1}, "STOVA_SERVER: b",
		},
		"codes are in order, whatever their numbers": {
			[]cause{{text: "B: x"}, {text: "B: x"}, {text: "A: x"}}, map[string]int{"B: x": 2, "A: x": 1}, "A: x",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			groups := byCause(tt.given, func(c cause) cause { return c })
			got := map[string]int{}
			for _, g := range groups {
				got[g.heading] = len(g.of)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || groups[0].heading != tt.first {
				t.Errorf("first %q, want %q; groups (-want +got):\n%s", groups[0].heading, tt.first, diff)
			}
		})
	}
}
