package stova

import (
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/fault"
	"stovasync/shared/run"
)

// pager answers a list of the given rows by limit and offset, as the vendor
// does: at most cap rows, and an error object past the end.
type pager struct {
	rows   []string
	cap    int
	end    string                    // instead of "No … found"
	wrap   func(rows string) string  // instead of an array
	broken func(limit, n int) answer // an answer other than a zero one goes first
}

func (p pager) script(_ string, n int, q url.Values) answer {
	limit, err := strconv.Atoi(q.Get("limit"))
	offset, err2 := strconv.Atoi(q.Get("offset"))
	if err != nil || err2 != nil || q.Get("eventid") != "900100001" {
		return answer{status: 400}
	}
	if p.broken != nil {
		if a := p.broken(limit, n); a.status != 0 || a.header != nil || a.body != "" || a.err != nil {
			return a
		}
	}
	from := min(offset, len(p.rows))
	page := p.rows[from:min(from+min(limit, p.cap), len(p.rows))]
	if len(page) == 0 {
		if p.end != "" {
			return answer{body: p.end}
		}
		return answer{body: `{"error":{"data":"No attendees found."}}`}
	}
	if p.wrap != nil {
		return answer{body: p.wrap(strings.Join(page, ","))}
	}
	return answer{body: "[" + strings.Join(page, ",") + "]"}
}

func attendeeRows(n int) (rows, ids []string) {
	for i := range n {
		id := strconv.Itoa(800000001 + i)
		ids = append(ids, id)
		rows = append(rows, `{"attendeeid":"`+id+`","name":"Ada Invented","parentid":"0"}`)
	}
	return rows, ids
}

// tooBig says that it is over the vendor's limit; the bytes need not come.
func tooBig() answer {
	return answer{header: map[string]string{"Content-Length": strconv.Itoa(bodyLimit + 1)}}
}

// limitsAndOffsets are the pages asked for, as "limit@offset".
func limitsAndOffsets(v *vendor, endpoint string) []string {
	var out []string
	for _, s := range v.asked(endpoint) {
		out = append(out, s.query.Get("limit")+"@"+s.query.Get("offset"))
	}
	return out
}

func TestListReadsEveryRow(t *testing.T) {
	t.Parallel()
	rows, ids := attendeeRows(4500)
	few, fewIDs := attendeeRows(3)
	tests := map[string]struct {
		pager   pager
		options ListOptions
		want    Listing
		pages   []string
	}{
		"pages of 2000 until the vendor has none": {
			pager: pager{rows: rows, cap: 2000}, want: Listing{IDs: ids, Limit: 2000},
			pages: []string{"2000@0", "2000@2000", "2000@4000", "2000@4500"},
		},
		"a clamped limit loses nothing": {
			pager: pager{rows: rows[:900], cap: 400}, want: Listing{IDs: ids[:900], Limit: 2000},
			pages: []string{"2000@0", "2000@400", "2000@800", "2000@900"},
		},
		"an empty list says so": {
			pager: pager{cap: 2000}, want: Listing{Limit: 2000, Empty: true}, pages: []string{"2000@0"},
		},
		"a bare empty list ends without being called empty by the vendor": {
			pager: pager{cap: 2000, end: "[]"}, want: Listing{Limit: 2000}, pages: []string{"2000@0"},
		},
		"an empty page ends the list": {
			pager: pager{rows: few, cap: 2000, end: "[]"}, want: Listing{IDs: fewIDs, Limit: 2000}, pages: []string{"2000@0", "2000@3"},
		},
		"null ends the list": {
			pager: pager{rows: few, cap: 2000, end: "null"}, want: Listing{IDs: fewIDs, Limit: 2000}, pages: []string{"2000@0", "2000@3"},
		},
		"a vendor that ignores the offset is asked twice, not for ever": {
			pager: pager{rows: few, cap: 2000, end: "[" + strings.Join(few, ",") + "]"},
			want:  Listing{IDs: fewIDs, Limit: 2000}, pages: []string{"2000@0", "2000@3"},
		},
		"a remembered limit is where it starts": {
			pager: pager{rows: few, cap: 2000}, options: ListOptions{Limit: 300},
			want: Listing{IDs: fewIDs, Limit: 300}, pages: []string{"300@0", "300@3"},
		},
		"never more than the vendor's 2000": {
			pager: pager{rows: few, cap: 2000}, options: ListOptions{Limit: 5000},
			want: Listing{IDs: fewIDs, Limit: 2000}, pages: []string{"2000@0", "2000@3"},
		},
		"a sample stops when it has enough and is not remembered": {
			pager: pager{rows: rows, cap: 2}, options: ListOptions{Max: 5},
			want: Listing{IDs: ids[:5], Limit: 2000}, pages: []string{"5@0", "3@2", "1@4"},
		},
		"rows without an id are counted and passed over": {
			pager: pager{rows: []string{few[0], `{"attendeeid":null}`, `"odd"`, few[1], `{}`, `{"attendeeid":""}`}, cap: 4},
			want:  Listing{IDs: fewIDs[:2], Limit: 2000, NoID: 4}, pages: []string{"2000@0", "2000@4"},
		},
		"a row that moved to the next page is there once": {
			pager: pager{rows: []string{few[0], few[1], few[1], few[2]}, cap: 2},
			want:  Listing{IDs: fewIDs, Limit: 2000}, pages: []string{"2000@0", "2000@2", "2000@4"},
		},
		"a numbered object is a list": {
			pager: pager{rows: few, cap: 1, wrap: func(r string) string { return `{"7":` + r + `}` }},
			want:  Listing{IDs: fewIDs, Limit: 2000}, pages: []string{"2000@0", "2000@1", "2000@2", "2000@3"},
		},
		"numbers are ids too": {
			pager: pager{rows: []string{`{"attendeeid":9007199254740993}`}, cap: 9},
			want:  Listing{IDs: []string{"9007199254740993"}, Limit: 2000}, pages: []string{"2000@0", "2000@1"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := &vendor{script: tt.pager.script}
			got, err := fake(t, v, nil).List(t.Context(), run.Attendees, tt.options)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("listing (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.pages, limitsAndOffsets(v, "ereg/listAttendees")); diff != "" {
				t.Errorf("pages (-want +got):\n%s", diff)
			}
		})
	}
}

func TestListStepsDown(t *testing.T) {
	t.Parallel()
	rows, ids := attendeeRows(700)
	above := func(most int, a answer) func(limit, n int) answer {
		return func(limit, _ int) answer {
			if limit > most {
				return a
			}
			return answer{}
		}
	}
	tests := map[string]struct {
		broken func(limit, n int) answer
		limit  int
		pages  []string
		waited time.Duration
	}{
		"a 502 is tried once more, then the same rows in smaller parts": {
			broken: above(300, answer{status: 502}), limit: 300, waited: 6 * time.Second,
			pages: []string{"2000@0", "2000@0", "1000@0", "1000@0", "500@0", "500@0", "300@0", "300@300", "300@600", "300@700"},
		},
		"a 500": {
			broken: above(1000, answer{status: 500}), limit: 1000, waited: 2 * time.Second,
			pages: []string{"2000@0", "2000@0", "1000@0", "1000@700"},
		},
		"a 504": {
			broken: above(1000, answer{status: 504}), limit: 1000, waited: 2 * time.Second,
			pages: []string{"2000@0", "2000@0", "1000@0", "1000@700"},
		},
		"an answer that keeps being cut off": {
			broken: above(1000, answer{body: `[{"attendeeid":"8`}), limit: 1000, waited: 2 * time.Second,
			pages: []string{"2000@0", "2000@0", "1000@0", "1000@700"},
		},
		"an answer that keeps taking too long": {
			broken: above(1000, answer{err: os.ErrDeadlineExceeded}), limit: 1000, waited: 2 * time.Second,
			pages: []string{"2000@0", "2000@0", "1000@0", "1000@700"},
		},
		"over 10 MB, without trying the same again": {
			broken: above(500, tooBig()), limit: 500,
			pages: []string{"2000@0", "1000@0", "500@0", "500@500", "500@700"},
		},
		"a 502 that passes leaves the limit": {
			broken: func(_, n int) answer {
				if n == 1 {
					return answer{status: 502}
				}
				return answer{}
			},
			limit: 2000, waited: 2 * time.Second, pages: []string{"2000@0", "2000@0", "2000@700"},
		},
		"a 503 is not a matter of size": {
			broken: func(_, n int) answer {
				if n <= 3 {
					return answer{status: 503}
				}
				return answer{}
			},
			limit: 2000, waited: 14 * time.Second, pages: []string{"2000@0", "2000@0", "2000@0", "2000@0", "2000@700"},
		},
		"in the middle of the list, from the same row on": {
			broken: func(limit, n int) answer {
				if n > 1 && limit > 150 {
					return answer{status: 502}
				}
				return answer{}
			},
			limit: 150, waited: 8 * time.Second,
			// cap 400: the first page brings 400 rows.
			pages: []string{"2000@0", "2000@400", "2000@400", "1000@400", "1000@400", "500@400", "500@400", "300@400", "300@400", "150@400", "150@550", "150@700"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := pager{rows: rows, cap: 2000, broken: tt.broken}
				if strings.HasPrefix(name, "in the middle") {
					p.cap = 400
				}
				v := &vendor{script: p.script}
				start := time.Now()
				got, err := fake(t, v, nil).List(t.Context(), run.Attendees, ListOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(Listing{IDs: ids, Limit: tt.limit}, got); diff != "" {
					t.Errorf("listing (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(tt.pages, limitsAndOffsets(v, "ereg/listAttendees")); diff != "" {
					t.Errorf("pages (-want +got):\n%s", diff)
				}
				if got := time.Since(start); got != tt.waited {
					t.Errorf("waited %v, want %v", got, tt.waited)
				}
			})
		})
	}
}

func TestAListNearTheLimitGoesOnSmaller(t *testing.T) {
	t.Parallel()
	rows, ids := attendeeRows(3)
	rows[0] = `{"attendeeid":"` + ids[0] + `","note":"` + strings.Repeat("x", nearLimit) + `"}`
	v := &vendor{script: pager{rows: rows, cap: 2}.script}
	got, err := fake(t, v, nil).List(t.Context(), run.Attendees, ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Listing{IDs: ids, Limit: 1000}, got); diff != "" {
		t.Errorf("listing (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"2000@0", "1000@2", "1000@3"}, limitsAndOffsets(v, "ereg/listAttendees")); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
}

func TestAListThatFailsAtEverySizeFails(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answer answer
		code   fault.Code
		calls  int
	}{
		"down to one row, which is tried five times": {answer{status: 500}, fault.StovaServer, 8*2 + 5},
		"a row over 10 MB":                           {tooBig(), fault.StovaTooLarge, 9},
		"an object that is no list":                  {answer{body: `{"rows":1}`}, fault.StovaBody, 1},
		"a refused event":                            {answer{body: `{"error":{"eventid":"x"}}`}, fault.StovaEvent, 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				v := always(tt.answer)
				_, err := fake(t, v, nil).List(t.Context(), run.Attendees, ListOptions{})
				if fault.CodeOf(err) != tt.code || tellsSecret(err) != "" {
					t.Errorf("error = %v, want %s", err, tt.code)
				}
				if n := v.calls("ereg/listAttendees"); n != tt.calls {
					t.Errorf("%d calls, want %d", n, tt.calls)
				}
			})
		})
	}
}

func TestATokenThatExpiresAmidAListLosesNoRow(t *testing.T) {
	t.Parallel()
	rows, ids := attendeeRows(50)
	p := pager{rows: rows, cap: 20}
	v := &vendor{script: func(e string, n int, q url.Values) answer {
		if n > 1 && q.Get("accesstoken") == testToken+"1" {
			return answer{body: `{"error":{"accesstoken":"expired"}}`}
		}
		return p.script(e, n, q)
	}}
	got, err := fake(t, v, nil).List(t.Context(), run.Attendees, ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.IDs, ids) {
		t.Errorf("%d ids, want %d in order", len(got.IDs), len(ids))
	}
}

func TestStreamsAreListedAndFetchedByTheirOwnIDs(t *testing.T) {
	t.Parallel()
	tests := map[run.Stream]struct {
		list, get string
		rows      string
		ids       []string
		queries   []string // of the row calls, without the token
	}{
		run.Attendees: {
			list: "ereg/listAttendees", get: "ereg/getAttendee",
			rows: `[{"attendeeid":"1"},{"attendeeid":2}]`, ids: []string{"1", "2"},
			queries: []string{"attendeeid=1&eventid=900100001", "attendeeid=2&eventid=900100001"},
		},
		run.SessionStream: {
			list: "ereg/listSessions", get: "ereg/getSession",
			rows: `[{"sessionid":"60001","sessionkey":"1"},{"sessionid":"60001","sessionkey":"2"},{"sessionid":"60002","sessionkey":""},{"sessionid":null,"sessionkey":"1"}]`,
			ids:  []string{"60001_1", "60001_2", "60002"},
			queries: []string{
				"eventid=900100001&sessionid=60001&sessionkey=1&showhidden=1",
				"eventid=900100001&sessionid=60001&sessionkey=2&showhidden=1",
				"eventid=900100001&sessionid=60002&showhidden=1",
			},
		},
		run.Speakers: {
			list: "ereg/listSpeakers", get: "ereg/getSpeaker",
			rows: `[{"speakerid":"9001"}]`, ids: []string{"9001"}, queries: []string{"eventid=900100001&speakerid=9001"},
		},
	}
	for stream, tt := range tests {
		t.Run(string(stream), func(t *testing.T) {
			t.Parallel()
			v := &vendor{script: func(e string, n int, _ url.Values) answer {
				switch {
				case e == tt.get:
					return answer{body: attendeeRow}
				case n == 1:
					return answer{body: tt.rows}
				default:
					return answer{body: `{"error":{"data":"No rows found."}}`}
				}
			}}
			c := fake(t, v, nil)
			l, err := c.List(t.Context(), stream, ListOptions{ModifiedFrom: time.Date(2031, 1, 10, 10, 0, 1, 0, time.FixedZone("", 3600))})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.ids, l.IDs); diff != "" {
				t.Errorf("ids (-want +got):\n%s", diff)
			}
			wantFrom := ""
			if stream == run.Attendees {
				wantFrom = "2031-01-10 09:00:01"
			}
			if got := v.asked(tt.list)[0].query.Get("modifiedfrom"); got != wantFrom {
				t.Errorf("modifiedfrom = %q, want %q", got, wantFrom)
			}
			for _, id := range l.IDs {
				if _, err := c.Row(t.Context(), stream, id); err != nil {
					t.Fatal(err)
				}
			}
			var queries []string
			for _, s := range v.asked(tt.get) {
				s.query.Del("accesstoken")
				queries = append(queries, s.query.Encode())
			}
			if diff := cmp.Diff(tt.queries, queries); diff != "" {
				t.Errorf("row queries (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOnlyTheVendorsStreamsCanBeRead(t *testing.T) {
	t.Parallel()
	v := always(answer{body: attendeeRow})
	c := fake(t, v, nil)
	if _, err := c.List(t.Context(), run.UserPhotosStream, ListOptions{}); err == nil {
		t.Error("a list of pictures was read from the vendor")
	}
	if _, err := c.Row(t.Context(), run.PresenterPhotosStream, "1"); err == nil {
		t.Error("a picture was read as a row")
	}
	if _, err := c.Row(t.Context(), run.Attendees, ""); err == nil {
		t.Error("a row without an id was read")
	}
	if n := v.calls("global/authorize"); n != 0 {
		t.Errorf("%d logins for what cannot be asked", n)
	}
}

func TestUnprintableIDsStayOutOfErrors(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"a?b", "Ada Invented", strings.Repeat("9", 65)} {
		t.Run(fmt.Sprintf("%d bytes", len(id)), func(t *testing.T) {
			t.Parallel()
			_, err := fake(t, always(answer{status: 404}), nil).Row(t.Context(), run.Attendees, id)
			if err == nil || strings.Contains(err.Error(), id) {
				t.Errorf("error = %v, want one without the id", err)
			}
		})
	}
}
