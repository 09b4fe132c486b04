package mapping_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/fault"
	"stovasync/shared/mapping"
	"stovasync/shared/run"
)

const attendee = `{"attendeeid":"800000001","preload-recordid":"12","registrationstatus":"Confirmed","category":{"categoryid":"3001","name":"Delegate"},
	"subcategory":[],"language":"eng","lastmodified":"2031-01-11 14:05:00","in":"reserved","pick":"own","responses":{
	"1":{"questionid":"7001","fieldname":"fname","name":"First Name","page":"Welcome","choicekey":"Ada","response":"Ada"},
	"2":{"questionid":"7050","fieldname":"7050","name":"Diet","page":"Details","choicekey":"1","response":"Vegan"},
	"3":{"questionid":"7050","fieldname":"7050","name":"Diet","page":"Details","choicekey":"3","response":"No nuts"},
	"4":{"questionid":"7060","fieldname":"7060","name":"2nd photo","page":"Details","choicekey":"","response":"ada.jpg"},
	"5":{"questionid":"7061","fieldname":"7061","name":"Unlisted","page":"Details","choicekey":"","response":"x"},
	"6":{"questionid":"60001","fieldname":"60001","name":"Session A","page":"Agenda","choicekey":"1","response":"Session A"}}}`

func formMapper(t *testing.T) *mapping.Mapper {
	t.Helper()
	set, err := mapping.Compile(mapping.Settings{ActiveStatuses: []string{"Confirmed"}})
	if err != nil {
		t.Fatal(err)
	}
	return set.For(mapping.Event{ID: "1", Questions: []mapping.Question{
		{ID: "7001", FieldName: "fname", Name: "First Name", Page: "Welcome"},
		{ID: "7050", FieldName: "7050", Name: "Diet", Page: "Details"},
		{ID: "7060", FieldName: "7060", Name: "2nd photo", Page: "Details"},
		{ID: "60001", FieldName: "60001", Name: "Session A", Page: "Agenda", InputType: "31"}}})
}

func TestColumnsAreWhatAMappingCanName(t *testing.T) {
	t.Parallel()
	m := formMapper(t)
	row, err := m.Row(run.Attendees, []byte(attendee))
	if err != nil {
		t.Fatal(err)
	}
	want := []mapping.Column{
		{Expression: "attendeeid", Label: "attendeeid", Value: "800000001"},
		{Expression: `row["preload-recordid"]`, Label: "preload-recordid", Value: "12"},
		{Expression: "registrationstatus", Label: "registrationstatus", Value: "Confirmed"},
		{Expression: "category.categoryid", Label: "category.categoryid", Value: "3001"},
		{Expression: "category.name", Label: "category.name", Value: "Delegate"},
		{Expression: "subcategory", Label: "subcategory"},
		{Expression: "language", Label: "language", Value: "eng"},
		{Expression: "lastmodified", Label: "lastmodified", Value: "2031-01-11 14:05:00"},
		{Expression: `row["in"]`, Label: "in", Value: "reserved"},
		{Expression: "row.pick", Label: "pick", Value: "own"},
		{Expression: "fname", Label: "First Name", Page: "Welcome", Value: "Ada"},
		{Expression: "responses.diet", Label: "Diet", Page: "Details", Value: []string{"Vegan", "No nuts"}},
		{Expression: `responses["2nd_photo"]`, Label: "2nd photo", Page: "Details", Value: "ada.jpg"},
		{Expression: `responses["7061"]`, Label: "Unlisted", Page: "Details", Value: "x"},
		{Expression: `responses["60001"]`, Label: "Session A", Page: "Agenda", InputType: "31", Agenda: true, Value: "Session A"},
	}
	if diff := cmp.Diff(want, row.Columns()); diff != "" {
		t.Errorf("Columns (-want +got):\n%s", diff)
	}
	form := []mapping.Column{
		{Expression: "fname", Label: "First Name", Page: "Welcome"},
		{Expression: "responses.diet", Label: "Diet", Page: "Details"},
		{Expression: `responses["2nd_photo"]`, Label: "2nd photo", Page: "Details"},
	}
	if diff := cmp.Diff(form, m.Questions()); diff != "" {
		t.Errorf("Questions (-want +got):\n%s", diff)
	}
}

func TestSessionsHaveTheColumnInSlot(t *testing.T) {
	t.Parallel()
	row, err := formMapper(t).Row(run.SessionStream, []byte(`{"sessionid":"6","in_slot":"noise","speakers":[{"speakerid":"9"},{"speakerid":10}],"location":{"name":"Room"}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []mapping.Column{{Expression: "sessionid", Label: "sessionid", Value: "6"}, {Expression: "speakers.speakerid", Label: "speakers.speakerid", Value: []string{"9", "10"}},
		{Expression: "location.name", Label: "location.name", Value: "Room"}, {Expression: "in_slot", Label: "in_slot"}}
	if diff := cmp.Diff(want, row.Columns()); diff != "" {
		t.Errorf("Columns (-want +got):\n%s", diff)
	}
}

func TestColumnReadsAnExpression(t *testing.T) {
	t.Parallel()
	row, err := formMapper(t).Row(run.Attendees, []byte(attendee))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"attendeeid": "800000001", `row["attendeeid"]`: "800000001", "category.name": "Delegate", `category["name"]`: "Delegate",
		"category?.name": "Delegate", "category": nil, "subcategory.name": nil, "subcategory": nil, "missing": nil, "fname": "Ada",
		"responses.unlisted": "x", "responses.session_a": nil, `responses["60001"]`: "Session A", "responses[60001]": "Session A",
		`responses["Diet"]`: []string{"Vegan", "No nuts"}, "responses.diet.choicekey": []string{"1", "3"}, "responses.diet[1]": "No nuts",
		"responses.diet[1].choicekey": "3", "responses.diet[9]": nil, "responses.fname": "Ada", "responses.diet.page": []string{"Details", "Details"},
		"responses": nil, "fname.name": nil, "registrationstatus.name": "Confirmed", "upper(fname)": nil, "1 +": nil,
	}
	for expression, value := range want {
		if diff := cmp.Diff(value, row.Column(expression)); diff != "" {
			t.Errorf("Column(%s) (-want +got):\n%s", expression, diff)
		}
	}
}

func TestRowsThatAreNone(t *testing.T) {
	t.Parallel()
	m := formMapper(t)
	for name, raw := range map[string]string{"nothing": "", "null": "null", "a list": "[]", "a text": `"x"`, "a number": "1",
		"cut short": `{"attendeeid":"1`, "more after it": `{} {}`, "HTML": "<html></html>"} {
		_, err := m.Row(run.Attendees, json.RawMessage(raw))
		if fault.CodeOf(err) != fault.StovaBody {
			t.Errorf("a row that is %s: error = %v, want %s", name, err, fault.StovaBody)
		}
	}
}

func TestIDs(t *testing.T) {
	t.Parallel()
	m := formMapper(t)
	tests := map[string]struct {
		stream    run.Stream
		raw, want string
	}{
		"large ids keep every digit":           {run.Attendees, `{"attendeeid": 9007199254740993}`, "9007199254740993"},
		"an id is trimmed":                     {run.Attendees, `{"attendeeid":" 8 "}`, "8"},
		"an answer is no id":                   {run.Attendees, `{"responses":[{"fieldname":"attendeeid","response":"9"}]}`, ""},
		"an object is no id":                   {run.Attendees, `{"attendeeid":{"id":"9"}}`, ""},
		"a session's id has its key":           {run.SessionStream, `{"sessionid":"6","sessionkey":2}`, "6_2"},
		"a session may have no key":            {run.SessionStream, `{"sessionid":"6","sessionkey":null}`, "6"},
		"a key of 0 is a key":                  {run.SessionStream, `{"sessionid":"6","sessionkey":"0"}`, "6_0"},
		"a key without a session id is no id":  {run.SessionStream, `{"sessionkey":"2"}`, ""},
		"a speaker's id":                       {run.Speakers, `{"speakerid":9001}`, "9001"},
		"an attendee's id is not a speaker's":  {run.Speakers, `{"attendeeid":"1"}`, ""},
		"an id of 0 is the vendor's word none": {run.Speakers, `{"speakerid":0}`, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			row, err := m.Row(tt.stream, []byte(tt.raw))
			if err != nil {
				t.Fatal(err)
			}
			if got := row.ID(); got != tt.want {
				t.Errorf("ID of %s = %q, want %q", tt.raw, got, tt.want)
			}
		})
	}
}

// What a row gave stays valid when its memory is lent to other rows, and many
// rows may be mapped at once.
func TestResultsOutliveTheirRows(t *testing.T) {
	t.Parallel()
	m := formMapper(t)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			var results []mapping.Result
			var picks [][]mapping.Pick
			var columns [][]mapping.Column
			for i := range 50 {
				row, err := m.Row(run.Attendees, fmt.Appendf(nil,
					`{"attendeeid":"%d-%d","registrationstatus":"Confirmed","responses":[{"fieldname":"fname","response":"F\u00e9%d-%d"},
					{"questionid":"6%d","page":"Agenda","choicekey":"1","response":"S"}]}`, g, i, g, i, i))
				if err != nil {
					t.Error(err)
					return
				}
				results, picks, columns = append(results, m.Users(row)), append(picks, m.Picks(row)), append(columns, row.Columns())
				row.Release()
			}
			for i, r := range results {
				want := fmt.Sprintf("%d-%d", g, i)
				if r.ID != want || r.Fields["fname"] != "Fé"+want || picks[i][0].SessionID != fmt.Sprint("6", i) || columns[i][0].Value != want {
					t.Errorf("row %s became %+v, %+v, %+v", want, r, picks[i], columns[i])
				}
			}
		})
	}
	wg.Wait()
}
