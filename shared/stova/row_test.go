package stova

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/fault"
)

func TestEventReadsWhatItNeeds(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		body string
		want Event // Raw is compared apart
	}{
		"a full answer": {
			body: `{"eventid":"900100001","name":" Invented Summit ","status":"Live","deleted":"0","startdate":"2031-03-04","enddate":"2031-03-06",
				"starttime":"09:00:00","endtime":"17:30","modifieddatetime":"2031-01-15 08:00:00","timezoneid":"27",
				"timezone":"[GMT] Greenwich Mean Time: Dublin, Edinburgh, Lisbon, London","languages":{"eng":"English"},"defaultlanguage":"por","location":""}`,
			want: Event{
				ID: "900100001", Name: "Invented Summit", Status: "Live", StartDate: "2031-03-04", EndDate: "2031-03-06",
				StartTime: "09:00:00", EndTime: "17:30:00", Modified: "2031-01-15 08:00:00", Zone: "Europe/London", ZoneID: "27",
				ZoneText: "[GMT] Greenwich Mean Time: Dublin, Edinburgh, Lisbon, London", Language: "por",
			},
		},
		"numbers, nulls, zero dates and PHP's own text": {
			body: `{"eventid":900100001,"name":null,"deleted":1,"startdate":"0000-00-00","enddate":"0001-01-01 00:00:00","starttime":"00:00:00",
				"endtime":null,"modifieddatetime":"0000-00-00 00:00:00","timezoneid":6,"languages":"a:1:{s:3:\"rus\";s:7:\"Russian\";}"}`,
			want: Event{ID: "900100001", Deleted: true, StartTime: "00:00:00", Zone: "America/Phoenix", ZoneID: "6", Language: "rus"},
		},
		"languages as an object without English": {
			body: `{"eventid":"1","languages":{"spa":"x","por":"y"}}`, want: Event{ID: "1", Language: "por"},
		},
		"languages with English": {
			body: `{"eventid":"1","languages":{"deu":"x","eng":"y"}}`, want: Event{ID: "1", Language: "eng"},
		},
		"no languages":  {body: `{"eventid":"1","languages":[]}`, want: Event{ID: "1", Language: "eng"}},
		"a list of one": {body: `[{"eventid":"1"}]`, want: Event{ID: "1", Language: "eng"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := fake(t, always(answer{body: tt.body}), nil).Event(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !json.Valid(got.Raw) || got.Raw[0] != '{' {
				t.Error("the raw event is not a JSON object")
			}
			got.Raw = nil
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("event (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnEventThatCannotBeReadSaysWhy(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		body      string
		code      fault.Code
		permanent bool
	}{
		"a forbidden event":     {`{"error":{"eventid":"x"}}`, fault.StovaEvent, true},
		"no event found":        {`{"error":{"data":"No event found."}}`, fault.StovaEvent, true},
		"an answer without id":  {`{"name":"x"}`, fault.StovaBody, false},
		"null":                  {`null`, fault.StovaBody, false},
		"a list of two":         {`[{"eventid":"1"},{"eventid":"2"}]`, fault.StovaBody, false},
		"text where JSON is it": {`"busy"`, fault.StovaBody, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := fake(t, always(answer{body: tt.body}), nil).Event(t.Context())
			if fault.CodeOf(err) != tt.code || fault.IsPermanent(err) != tt.permanent {
				t.Errorf("error = %v, want %s, permanent %v", err, tt.code, tt.permanent)
			}
		})
	}
}

func TestZonesAreToldByNameNumberOrText(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ name, id, text, want string }{
		"an IANA name wins":               {"Europe/Berlin", "27", "", "Europe/Berlin"},
		"a name nobody knows does not":    {"Nowhere/Land", "14", "", "America/New_York"},
		"a path is not a name":            {"../etc/passwd", "", "", ""},
		"the text may be an IANA name":    {"", "", "Asia/Tokyo", "Asia/Tokyo"},
		"the number before the text":      {"", "29", "[GMT] Greenwich Mean Time: Dublin", "Europe/Belgrade"},
		"the text with an entity":         {"", "999", "[GMT-05:00] Eastern Time (US &amp; Canada)", "America/New_York"},
		"the text as seen":                {"", "", "[GMT] Greenwich Mean Time: Dublin, Edinburgh, Lisbon, London", "Europe/London"},
		"an unknown number tells nothing": {"", "999", "", ""},
		"an unknown text tells nothing":   {"", "", "[GMT+14:00] Somewhere", ""},
		"an offset alone tells nothing":   {"", "", "[GMT-05:00]", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := zoneOf(tt.name, tt.id, tt.text); got != tt.want {
				t.Errorf("zoneOf = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestEveryZoneOfTheTablesExists(t *testing.T) {
	t.Parallel()
	for _, table := range []map[string]string{zoneIDs, zoneTexts} {
		for key, zone := range table {
			if got := zoneOf(zone, "", ""); got != zone {
				t.Errorf("zone of %q is unknown", key)
			}
		}
	}
}

func TestQuestionsAndTracks(t *testing.T) {
	t.Parallel()
	questions := `[{"questionid":7060,"fieldname":"7060","name":"Photo ","inputtype":"99","pageid":"2","page":"Details"},{"questionid":null},null,
		{"questionid":"","fieldname":"email","name":"Email"}]`
	tests := map[string]struct {
		questions, tracks string
		wantQ             []Question
		wantT             []Track
	}{
		"lists": {
			questions: questions, tracks: `[{"track_id":41,"track_name":"Invented Track"},{"track_id":null,"track_name":"x"}]`,
			wantQ: []Question{{ID: "7060", FieldName: "7060", Name: "Photo", InputType: "99", Page: "Details", PageID: "2"}, {FieldName: "email", Name: "Email"}},
			wantT: []Track{{ID: "41", Name: "Invented Track"}},
		},
		"numbered objects": {
			questions: `{"10":{"questionid":"3"},"9":{"questionid":"2"}}`, tracks: `{"0":{"track_id":"1","track_name":"A"}}`,
			wantQ: []Question{{ID: "2"}, {ID: "3"}}, wantT: []Track{{ID: "1", Name: "A"}},
		},
		"none found": {questions: `{"error":{"data":"No questions found."}}`, tracks: `{"error":{"data":"no tracks found"}}`},
		"empty":      {questions: `[]`, tracks: `{}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := always(answer{body: tt.questions})
			q, err := fake(t, v, nil).Questions(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			tr, err := fake(t, always(answer{body: tt.tracks}), nil).Tracks(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.wantQ, q); diff != "" {
				t.Errorf("questions (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.wantT, tr); diff != "" {
				t.Errorf("tracks (-want +got):\n%s", diff)
			}
			if n := v.calls("ereg/listQuestions"); n != 1 {
				t.Errorf("%d calls for the questions, want 1", n)
			}
		})
	}
}
