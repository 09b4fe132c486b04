package mapping_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/mapping"
)

func TestMasters(t *testing.T) {
	t.Parallel()
	london, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	active := func(id, start, end string) mapping.Member {
		return mapping.Member{ID: id, Status: "active", Start: start, End: end}
	}
	in := func(m mapping.Member, slot string) mapping.Member { m.InSlot = slot; return m }
	const ten, eleven, noon = "2031-03-04T10:00:00Z", "2031-03-04T11:00:00Z", "2031-03-04T12:00:00Z"
	const slot = "slot_900100001_20310304T1000Z"
	master := func(title, end string) mapping.Result {
		return mapping.Result{ID: slot, Status: "active", Owner: "global", Fields: map[string]any{
			"name": title, "start": ten, "end": end, "timezone": "Europe/London", "is_master": true}}
	}
	tests := map[string]struct {
		title   string
		members []mapping.Member
		want    []mapping.Result
		slots   map[string]string
	}{
		"two sessions with one start have a master until the later end": {"Parallel",
			[]mapping.Member{active("a", ten, eleven), active("b", ten, noon)},
			[]mapping.Result{master("Parallel", noon)}, map[string]string{"a": slot, "b": slot}},
		"three at one start and one alone": {"Parallel",
			[]mapping.Member{active("a", ten, eleven), active("d", eleven, noon), active("b", ten, eleven), active("c", ten, eleven)},
			[]mapping.Result{master("Parallel", eleven)}, map[string]string{"a": slot, "b": slot, "c": slot}},
		"one instant told with two offsets is one start": {"Parallel",
			[]mapping.Member{active("a", ten, eleven), active("b", "2031-03-04T11:00:00+01:00", eleven)},
			[]mapping.Result{master("Parallel", eleven)}, map[string]string{"a": slot, "b": slot}},
		"a session moved away leaves one, whose slot is cleared with its own": {"Parallel",
			[]mapping.Member{in(active("a", ten, eleven), slot), in(active("b", noon, "2031-03-04T13:00:00Z"), slot)},
			nil, map[string]string{"a": "", "b": ""}},
		"nothing changes where everything is as it was": {"Parallel",
			[]mapping.Member{in(active("a", ten, eleven), slot), in(active("b", ten, noon), slot), active("c", noon, noon)},
			[]mapping.Result{master("Parallel", noon)}, map[string]string{}},
		"hidden and cancelled sessions are in no group": {"Parallel",
			[]mapping.Member{active("a", ten, eleven), {ID: "b", Status: "hidden", Start: ten, End: eleven, InSlot: slot}, {ID: "c", Status: "cancelled", Start: ten, End: eleven}},
			nil, map[string]string{"b": ""}},
		"a hidden session beside two others stays out": {"Parallel",
			[]mapping.Member{active("a", ten, eleven), active("c", ten, eleven), {ID: "b", Status: "hidden", Start: ten, End: noon}},
			[]mapping.Result{master("Parallel", eleven)}, map[string]string{"a": slot, "c": slot}},
		"a stored master is no member of its own group": {"Parallel",
			[]mapping.Member{in(active("a", ten, eleven), slot), {ID: slot, Status: "active", Start: ten, End: eleven, Master: true}},
			nil, map[string]string{"a": ""}},
		"a blank title makes no master and clears the slots": {"  ",
			[]mapping.Member{in(active("a", ten, eleven), slot), in(active("b", ten, eleven), slot)},
			nil, map[string]string{"a": "", "b": ""}},
		"a title of any script is kept, ends trimmed; the id stays": {" Parallelle Sitzungen – 並行 ",
			[]mapping.Member{in(active("a", ten, eleven), slot), in(active("b", ten, eleven), slot)},
			[]mapping.Result{master("Parallelle Sitzungen – 並行", eleven)}, map[string]string{}},
		"a session whose times cannot be read is in no group": {"Parallel",
			[]mapping.Member{active("a", ten, eleven), active("b", ten, ""), active("c", "", eleven)}, nil, map[string]string{}},
		"no session": {"Parallel", nil, nil, map[string]string{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			masters, slots := mapping.Masters("900100001", tt.title, london, tt.members)
			if diff := cmp.Diff(tt.want, masters); diff != "" {
				t.Errorf("masters (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.slots, slots); diff != "" {
				t.Errorf("slots (-want +got):\n%s", diff)
			}
		})
	}
}

// On the day clocks go back 01:30 comes twice: two instants, two groups, each
// told with its own offset.
func TestMastersOnTheDayClocksChange(t *testing.T) {
	t.Parallel()
	london, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	var members []mapping.Member
	for id, start := range map[string]string{"a": "2031-10-26T01:30:00+01:00", "b": "2031-10-26T00:30:00Z",
		"c": "2031-10-26T01:30:00Z", "d": "2031-10-26T02:30:00+01:00"} {
		members = append(members, mapping.Member{ID: id, Status: "active", Start: start, End: "2031-10-26T03:00:00Z"})
	}
	masters, slots := mapping.Masters("1", "P", london, members)
	var got []string
	for _, m := range masters {
		got = append(got, m.ID+" "+m.Fields["start"].(string))
	}
	want := []string{"slot_1_20311026T0030Z 2031-10-26T01:30:00+01:00", "slot_1_20311026T0130Z 2031-10-26T01:30:00Z"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("masters (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"a": "slot_1_20311026T0030Z", "b": "slot_1_20311026T0030Z",
		"c": "slot_1_20311026T0130Z", "d": "slot_1_20311026T0130Z"}, slots); diff != "" {
		t.Errorf("slots (-want +got):\n%s", diff)
	}
}
