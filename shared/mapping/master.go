package mapping

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Member is what grouping must know of one stored session.
type Member struct {
	ID, Status string
	Start, End string // RFC 3339
	Master     bool   // it is a master session itself
	InSlot     string // its in_slot now
}

// Masters computes the master sessions of concurrent sessions
// (spotme-model.md §10): one for every two or more active sessions that start
// in the same minute. title is ConcurrentSessionsTitle; blank, as for a
// mapping without in_slot (R9), makes none. It returns the masters by start,
// and the new in_slot of every session whose in_slot must change: the master's
// id, or "" to clear it. Masters among the members are never grouped; those
// that are not returned are to be removed.
func Masters(eventID, title string, zone *time.Location, members []Member) (masters []Result, slots map[string]string) {
	groups := map[time.Time][]group{}
	if title = strings.TrimSpace(title); title != "" && zone != nil {
		groups = concurrent(members)
	}
	slots = map[string]string{}
	for _, at := range slices.SortedFunc(maps.Keys(groups), time.Time.Compare) {
		all := groups[at]
		if len(all) < 2 {
			continue
		}
		id := "slot_" + eventID + "_" + at.Format("20060102T1504Z")
		start, end := all[0].start, all[0].end
		for _, g := range all {
			slots[g.id] = id
			if g.start.Before(start) {
				start = g.start
			}
			if g.end.After(end) {
				end = g.end
			}
		}
		masters = append(masters, Result{ID: id, Status: statusActive, Owner: ownerGlobal, Fields: map[string]any{
			"name":      title,
			"start":     start.In(zone).Format(time.RFC3339),
			"end":       end.In(zone).Format(time.RFC3339),
			"timezone":  zone.String(),
			"is_master": true,
		}})
	}
	for _, member := range members {
		if member.Master {
			continue
		}
		if slots[member.ID] == member.InSlot {
			delete(slots, member.ID)
		} else if _, ok := slots[member.ID]; !ok {
			slots[member.ID] = ""
		}
	}
	return masters, slots
}

type group struct {
	id         string
	start, end time.Time
}

// concurrent groups the active sessions by start. The minute decides, since
// that is what a master's id tells.
func concurrent(members []Member) map[time.Time][]group {
	groups := map[time.Time][]group{}
	for _, m := range members {
		if m.Master || m.Status != statusActive {
			continue
		}
		start, err := time.Parse(time.RFC3339, m.Start)
		end, endErr := time.Parse(time.RFC3339, m.End)
		if err != nil || endErr != nil {
			continue
		}
		at := start.UTC().Truncate(time.Minute)
		groups[at] = append(groups[at], group{m.ID, start, end})
	}
	return groups
}
