package pipeline_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/mapping"
	"stovasync/shared/photo"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
	"stovasync/shared/stova"
)

// person is an invented attendee.
type person struct {
	ID, First, Status, Category, Level, Company, Photo string
	Picks                                              []string // sessionid_key
	Modified                                           time.Time
	Raw                                                string // in the place of the row
}

// session is an invented session; its id is sessionid_key.
type session struct{ ID, Name, Date, Start, End string }

// speaker is an invented speaker.
type speaker struct{ ID, First, Image string }

// vendor plays the vendor in memory: the rows in the shapes of stova-api.md §7,
// and a count of what was asked.
type vendor struct {
	mu       sync.Mutex
	people   map[string]*person
	sessions map[string]*session
	speakers map[string]*speaker
	noID     int // listed attendees without an id
	// late are attendees whom the list of all does not hold yet.
	late map[string]bool

	tracks        []stova.Track
	trackOf       map[string]string // session to track
	questionFault error
	trackFault    error

	listFault map[run.Stream]error
	rowFault  map[string]error // by id
	gone      map[string]bool  // listed, but unknown to the detail call
	onRow     func(ctx context.Context, id string)

	lists []stova.ListOptions // of attendees
	rows  map[string]int      // detail calls by id

	pictures map[string]picture // by address
	fetched  map[string]int     // by address
}

// picture is what stands under an address.
type picture struct {
	state photo.State // stored when empty
	body  string
	err   error
}

func newVendor() *vendor {
	return &vendor{
		people: map[string]*person{}, sessions: map[string]*session{}, speakers: map[string]*speaker{},
		listFault: map[run.Stream]error{}, rowFault: map[string]error{}, gone: map[string]bool{},
		rows: map[string]int{}, pictures: map[string]picture{}, fetched: map[string]int{},
	}
}

const eventID = "900100001"

func (v *vendor) Event(context.Context) (stova.Event, error) {
	return stova.Event{ID: eventID, Name: "Invented Expo", Zone: "Europe/London", Language: "eng"}, nil
}

func (v *vendor) Questions(context.Context) ([]stova.Question, error) {
	if v.questionFault != nil {
		return nil, v.questionFault
	}
	return []stova.Question{
		{ID: "7001", FieldName: "fname", Name: "First Name", Page: "Welcome"},
		{ID: "7060", FieldName: "7060", Name: "Photo", Page: "Welcome"},
	}, nil
}

func (v *vendor) Tracks(context.Context) ([]stova.Track, error) { return v.tracks, v.trackFault }

func (v *vendor) List(_ context.Context, s run.Stream, o stova.ListOptions) (stova.Listing, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.listFault[s]; err != nil {
		return stova.Listing{}, err
	}
	l := stova.Listing{Limit: 2000}
	switch s {
	case run.Attendees:
		v.lists = append(v.lists, o)
		for _, id := range slices.Sorted(maps.Keys(v.people)) {
			if !v.people[id].Modified.Before(o.ModifiedFrom) && (!v.late[id] || !o.ModifiedFrom.IsZero()) {
				l.IDs = append(l.IDs, id)
			}
		}
		l.NoID = v.noID
	case run.SessionStream:
		l.IDs = slices.Sorted(maps.Keys(v.sessions))
	case run.Speakers:
		l.IDs = slices.Sorted(maps.Keys(v.speakers))
	}
	return l, nil
}

func (v *vendor) Row(ctx context.Context, s run.Stream, id string) (json.RawMessage, error) {
	if v.onRow != nil {
		v.onRow(ctx, id)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.rows[id]++
	if err := v.rowFault[id]; err != nil {
		return nil, err
	}
	var row any
	switch s {
	case run.Attendees:
		if p := v.people[id]; p != nil {
			if p.Raw != "" {
				return json.RawMessage(p.Raw), nil
			}
			row = p.row()
		}
	case run.SessionStream:
		if x := v.sessions[id]; x != nil {
			fields := x.row()
			if track := v.trackOf[id]; track != "" {
				fields["session_tracks"] = []string{track}
			}
			row = fields
		}
	case run.Speakers:
		if x := v.speakers[id]; x != nil {
			row = map[string]any{"speakerid": x.ID, "fname": x.First, "lname": "Invented", "image": x.Image}
		}
	}
	if row == nil || v.gone[id] {
		return nil, fmt.Errorf("row %s: %w", id, stova.ErrGone)
	}
	return json.Marshal(row)
}

// row is the body of getAttendee (stova-api.md §7.7).
func (p *person) row() map[string]any {
	responses := map[string]any{}
	answer := func(id, field, name, page, key, text string) {
		responses[strconv.Itoa(len(responses)+1)] = map[string]string{
			"questionid": id, "fieldname": field, "name": name, "page": page, "choicekey": key, "response": text,
		}
	}
	answer("7001", "fname", "First Name", "Welcome", p.First, p.First)
	answer("7002", "lname", "Last Name", "Welcome", "Invented", "Invented")
	answer("7003", "email", "Email", "Welcome", "", "person."+p.ID+"@example.test")
	answer("7004", "company", "Company", "Welcome", "", p.Company)
	answer("7060", "7060", "Photo", "Welcome", "", p.Photo)
	for _, pick := range p.Picks {
		id, key := pick[:len(pick)-2], pick[len(pick)-1:]
		answer(id, id, "Session "+id, "Agenda", key, "Session "+id)
	}
	row := map[string]any{
		"attendeeid": p.ID, "registrationstatus": p.Status, "category": []string{}, "subcategory": []string{},
		"language": "eng", "lastmodified": p.Modified.Format(time.DateTime), "responses": responses,
	}
	if p.Category != "" {
		row["category"] = map[string]string{"categoryid": "3001", "name": p.Category}
	}
	if p.Level != "" {
		row["subcategory"] = map[string]string{"subcategoryid": "3101", "name": p.Level}
	}
	return row
}

// row is the body of getSession (stova-api.md §7.12).
func (s *session) row() map[string]any {
	return map[string]any{
		"sessionid": s.ID[:len(s.ID)-2], "sessionkey": s.ID[len(s.ID)-1:], "reportname": s.Name,
		"sessiondate": s.Date, "starttime": s.Start, "endtime": s.End, "visible": "1", "deleted": "0",
	}
}

// Fetch plays the host of the pictures: the ETag is the picture's hash.
func (v *vendor) Fetch(ctx context.Context, r photo.Request) (photo.Picture, error) {
	if err := ctx.Err(); err != nil {
		return photo.Picture{}, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.fetched[r.URL]++
	p, ok := v.pictures[r.URL]
	switch {
	case p.err != nil:
		return photo.Picture{}, p.err
	case !ok:
		return photo.Picture{State: photo.Missing, Reason: photo.Reason{Text: "the host answered 404"}}, nil
	case p.state != "":
		return photo.Picture{State: p.state, Reason: photo.Reason{Code: fault.PhotoType, Text: "it is HTML"}}, nil
	}
	sum := sha256.Sum256([]byte(p.body))
	hash := hex.EncodeToString(sum[:])
	out := photo.Picture{
		State: photo.Stored, Hash: hash, ContentType: "image/png", Ext: ".png", Bytes: int64(len(p.body)), Width: 2, Height: 3, ETag: hash,
	}
	if r.ETag == hash {
		out.State = photo.Unchanged
		return out, nil
	}
	out.Body = bytes.NewReader([]byte(p.body))
	return out, nil
}

// calls sums the detail calls made so far.
func (v *vendor) calls() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := 0
	for _, k := range v.rows {
		n += k
	}
	return n
}

func (v *vendor) downloads() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := 0
	for _, k := range v.fetched {
		n += k
	}
	return n
}

// connector gives the steps the vendor, each call of it a call that may be the
// last, and the real mapping.
type connector struct {
	vendor *vendor
	reaper *reaper

	mu   sync.Mutex
	sets map[string]*mapping.Set
}

func (c *connector) Source(context.Context, run.Connection) (pipeline.Source, error) {
	return mortalSource{c.vendor, c.reaper}, nil
}

func (c *connector) Downloader(run.Connection) pipeline.Downloader {
	return mortalDownloader{c.vendor, c.reaper}
}

func (c *connector) Mapping(conn run.Connection) (*mapping.Set, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	settings := mapping.Settings{
		Mapping: conn.Mapping, Filters: conn.Filters, ActiveStatuses: conn.ActiveStatuses, InactivePolicy: conn.InactivePolicy,
	}
	doc, err := json.Marshal(settings)
	if err != nil {
		return nil, err
	}
	if set, ok := c.sets[string(doc)]; ok {
		return set, nil
	}
	set, err := mapping.Compile(settings)
	if err == nil {
		c.sets[string(doc)] = set
	}
	return set, err
}
