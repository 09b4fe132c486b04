package mapping

import (
	"strings"
	"time"
)

// stamp is a date and time as the vendor or a mapping gives it: a wall time
// without a zone (kept in UTC), or an instant.
type stamp struct {
	t       time.Time
	instant bool
}

// stampLayouts are the forms of a date with a time: the vendor's own first
// (stova-api.md §6), then SpotMe's spreadsheet form and common ones.
var stampLayouts = []string{"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02T15:04",
	"2006/01/02 15:04:05", "2006/01/02 15:04", "2006-01-02 3:04 PM", "2006-01-02 3:04PM"}

// readStamp reads a date and time. A date without a time is none, as is a zero
// date (R8).
func readStamp(s string) (stamp, bool) {
	s = strings.TrimSpace(s)
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return stamp{t, true}, t.Year() > 1
	}
	for _, layout := range stampLayouts {
		if t, err := time.Parse(layout, strings.ToUpper(s)); err == nil {
			return stamp{t: t}, t.Year() > 1
		}
	}
	return stamp{}, false
}

// in places the stamp in the event's zone. A wall time that happens twice, when
// clocks go back, is its first occurrence. One that never happens, when clocks
// go forward, is read with the offset before the change: 02:30 in such a night
// becomes 03:30.
func (s stamp) in(zone *time.Location) time.Time {
	if s.instant {
		return s.t.In(zone)
	}
	wall := s.t
	_, before := wall.Add(-24 * time.Hour).In(zone).Zone()
	_, after := wall.Add(24 * time.Hour).In(zone).Zone()
	for _, offset := range []int{before, after} {
		t := wall.Add(-time.Duration(offset) * time.Second).In(zone)
		if _, got := t.Zone(); got == offset {
			return t
		}
	}
	return wall.Add(-time.Duration(before) * time.Second).In(zone)
}

// span places a start and an end. An end earlier than its start is on the next
// day; an equal one is kept, as a session without length. ok is false when the
// end is before the start even then.
func span(start, end stamp, zone *time.Location) (from, to time.Time, ok bool) {
	from = start.in(zone)
	if !start.instant && !end.instant {
		// Wall times are compared as written: the hour that clocks skip must
		// not push an end to the next day.
		if end.t.Before(start.t) {
			end.t = end.t.AddDate(0, 0, 1)
		}
		to = end.in(zone)
		if to.Before(from) && !end.t.Before(start.t) {
			to = from
		}
		return from, to, !end.t.Before(start.t)
	}
	if to = end.in(zone); to.Before(from) {
		to = to.AddDate(0, 0, 1)
	}
	return from, to, !to.Before(from)
}
