package preview_test

import (
	"fmt"
	"html"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/mapping"
	"stovasync/shared/preview"
	"stovasync/shared/run"
	"stovasync/shared/stova"
	"stovasync/shared/stova/stovatest"
)

// rowsOf reads all rows of a stream from the twin, with a mapper of the event
// under some settings.
func (w *world) rowsOf(s run.Stream) (rows [][]byte, event mapping.Event) {
	w.t.Helper()
	list, err := w.src.List(w.t.Context(), s, stova.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, id := range list.IDs {
		raw, err := w.src.Row(w.t.Context(), s, id)
		if err != nil {
			w.t.Fatal(err)
		}
		rows = append(rows, raw)
	}
	questions, err := w.src.Questions(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	event = mapping.Event{ID: w.event.ID, Zone: time.UTC, Language: w.event.Language}
	for _, q := range questions {
		event.Questions = append(event.Questions, mapping.Question{ID: q.ID, FieldName: q.FieldName, Name: q.Name, Page: q.Page, InputType: q.InputType})
	}
	return rows, event
}

// stored is what a custom field holds of a column's value (P9).
func stored(v any) any {
	clean := func(s string) string { return strings.TrimSpace(html.UnescapeString(s)) }
	switch v := v.(type) {
	case string:
		if s := clean(v); s != "" {
			return s
		}
		return nil
	case []string:
		var out []string
		for _, s := range v {
			if s = clean(s); s != "" {
				out = append(out, s)
			}
		}
		if len(out) == 0 {
			return nil
		}
		return strings.Join(out, ", ")
	default:
		return v
	}
}

// Every expression that a preview shows goes into a mapping as it is, and gives
// there what the preview has read, in every row of the twin.
func TestEveryExpressionGivesItsColumn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, odd())
	for _, dataType := range []run.DataType{run.Users, run.Sponsors, run.Sessions, run.Presenters} {
		t.Run(string(dataType), func(t *testing.T) {
			r := w.preview(dataType, sample(preview.MaxSample))
			own := map[string]*string{}
			field := map[string]string{}
			for i, c := range r.Columns {
				if c.Expression == "in_slot" { // filled after the rows are stored
					continue
				}
				name := fmt.Sprintf("column %d", i)
				own[name], field[c.Expression] = &r.Columns[i].Expression, name
			}
			set, err := mapping.Compile(mapping.Settings{
				ActiveStatuses: []string{"Confirmed"}, Mapping: map[run.DataType]map[string]*string{dataType: own},
			})
			if err != nil {
				t.Fatalf("the expressions do not go into a mapping: %v", err)
			}
			rows, event := w.rowsOf(dataType.Stream())
			m := set.For(event)
			filled := map[string]int{}
			for _, raw := range rows {
				row, err := m.Row(dataType.Stream(), raw)
				if err != nil {
					t.Fatal(err)
				}
				res := mapping.Trace(m, dataType, row).Result
				if res.Outcome == mapping.NotOwn {
					continue
				}
				for _, c := range row.Columns() {
					if name, ok := field[c.Expression]; ok && res.Outcome == mapping.Mapped {
						if diff := cmp.Diff(stored(c.Value), res.Fields[name]); diff != "" {
							t.Errorf("%s of %s: the mapping gives another value than the column", c.Expression, res.ID)
						}
					}
					if stored(c.Value) != nil {
						filled[c.Expression]++
					}
				}
			}
			for _, c := range r.Columns {
				if c.Filled != filled[c.Expression] {
					t.Errorf("%s: filled %d, the rows fill it %d times", c.Expression, c.Filled, filled[c.Expression])
				}
			}
		})
	}
}

func TestEveryQuestionIsAColumn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, odd())
	r := w.preview(run.Users, sample(2))
	labels := map[string]preview.Column{}
	for _, c := range r.Columns {
		labels[c.Label] = c
	}
	for _, q := range w.event.Questions {
		if _, ok := labels[q.Name]; !ok {
			t.Errorf("question %s is no column", q.ID)
		}
	}
	logo := labels["Logo"] // no user has one
	want := preview.Column{Expression: "responses.logo", Label: "Logo", Page: "Details", Samples: []string{}, Kind: "file", PhotoCandidate: true}
	if diff := cmp.Diff(want, logo); diff != "" {
		t.Errorf("a question that nobody answered (-want +got):\n%s", diff)
	}
}

func TestColumnsSayWhatTheyHold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, odd())
	w.event.Person("800000001").Photo = "a.jpg"
	r := w.preview(run.Users, sample(60), trial(run.Users, "photo", "responses.photo"))
	for expression, want := range map[string]struct {
		kind   string
		photo  bool
		mapped []string
	}{
		"attendeeid":                   {"number", false, nil},
		"email":                        {"email", false, []string{"email"}},
		"lastmodified":                 {"date", false, nil},
		"virtual_event_attendance":     {"flag", false, nil},
		"testregistration":             {"flag", false, nil},
		"category.name":                {"text", false, []string{"registrationtype"}},
		"responses.photo":              {"file", true, []string{"photo"}},
		"responses.photo_consent":      {"flag", false, nil},
		"responses.diet":               {"text", false, nil},
		`responses["7051"]`:            {"text", false, nil},
		`row["preload-recordid"]`:      {"text", false, nil},
		"responses.topics_of_interest": {"text", false, nil},
	} {
		c, ok := column(r, expression)
		if !ok || c.Kind != want.kind || c.PhotoCandidate != want.photo || !slices.Equal(c.MappedTo, want.mapped) {
			t.Errorf("%s: %+v, want %+v", expression, c, want)
		}
		if len(c.Samples) > 3 || c.Filled > 0 && len(c.Samples) == 0 || len(slices.Compact(slices.Sorted(slices.Values(c.Samples)))) != len(c.Samples) {
			t.Errorf("%s: samples %q of %d", expression, c.Samples, c.Filled)
		}
	}
	for _, dataType := range []run.DataType{run.Sessions, run.Presenters} {
		r := w.preview(dataType)
		for expression, kind := range map[string]string{"sessiondate": "date", "starttime": "time", "image": "number"} {
			if c, ok := column(r, expression); ok && c.Kind != kind {
				t.Errorf("%s: %s is of kind %s, want %s", dataType, expression, c.Kind, kind)
			}
		}
	}
}

func TestPhotoColumnsAreFoundWithoutTheKindOfTheirQuestion(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stovatest.Options{Attendees: 60})
	w.twin.Edit(func(e *stovatest.Event) {
		for i := range e.Questions {
			switch e.Questions[i].ID {
			case stovatest.QuestionPhoto: // as text, with names of pictures in it
				e.Questions[i].InputType, e.Questions[i].Name = "1", "Badge"
			case stovatest.QuestionLogo: // of a kind that nobody has told us of
				e.Questions[i].InputType, e.Questions[i].Name = "8", "Your photo, please"
			}
		}
	})
	r := w.preview(run.Users, sample(40))
	var marked []string
	for _, c := range r.Columns {
		if c.PhotoCandidate {
			marked = append(marked, c.Expression)
		}
	}
	if diff := cmp.Diff([]string{"responses.badge", "responses.your_photo_please"}, marked); diff != "" {
		t.Errorf("photo candidates (-want +got):\n%s", diff)
	}
}
