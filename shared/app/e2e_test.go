package app_test

import (
	"testing"

	"stovasync/shared/run"
	"stovasync/shared/stova/stovatest"
)

func TestAWholeRunStoresWhatTheEventAsksFor(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]stovatest.Options{
		"every odd row of the fact sheet":     {Seed: 1, Attendees: 70, Sessions: 30, Speakers: 12, Oddities: true},
		"clocks that change in London":        {Seed: 2, Attendees: 40, Sessions: 20, Speakers: 8, DST: true},
		"clocks that change in New York":      {Seed: 3, Attendees: 40, Sessions: 20, Speakers: 8, DST: true, Zone: "America/New_York", Start: "2031-09-01"},
		"a zone of half an hour":              {Seed: 4, Attendees: 40, Sessions: 20, Speakers: 8, Zone: "Asia/Kolkata"},
		"clocks that go back in London":       {Seed: 5, Attendees: 40, Sessions: 20, Speakers: 8, DST: true, Start: "2031-08-01"},
		"sponsors without a level":            {Seed: 6, Attendees: 30, Sessions: 6, Speakers: 4, Levels: -1},
		"an event of sponsors":                {Seed: 7, Attendees: 12, Sponsors: 12, Sessions: 4, Speakers: 2},
		"no attendee":                         {Seed: 8, Attendees: -1, Sessions: 4, Speakers: 2},
		"nothing at all":                      {Seed: 9, Attendees: -1, Sessions: -1, Speakers: -1},
		"no session and no speaker":           {Seed: 10, Attendees: 30, Sessions: -1, Speakers: -1},
		"more than one page of every stream":  {Seed: 11, Attendees: 130, Sessions: 70, Speakers: 45, Oddities: true},
		"a zone the vendor has no number for": {Seed: 12, Attendees: 20, Sessions: 12, Speakers: 4, Zone: "Australia/Lord_Howe", DST: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, o, stovatest.ServerOptions{}, "pageSize: 25\n")
			v := w.sync(run.Full)
			want := w.expect()
			w.check(want.store)
			w.checkCounts(v, want.counts)
		})
	}
}
