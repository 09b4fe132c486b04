package stova

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"stovasync/shared/run"
)

// Row fetches the row of id, as List gave it, from stream s: one JSON object,
// valid UTF-8, as the vendor sent it. ErrGone says that the vendor knows no
// such id.
func (c *Client) Row(ctx context.Context, s run.Stream, id string) (json.RawMessage, error) {
	spec, err := specOf(s)
	if err != nil {
		return nil, err
	}
	if id == "" {
		return nil, errors.New("a row without an id cannot be fetched")
	}
	r := request{endpoint: spec.get, query: spec.rowQuery(c.cfg.EventID, id), id: id, spec: spec}
	buf, f, n := c.call(ctx, r)
	if f != nil {
		if f.gone(spec) || (f.kind == vendorError && f.vendor.empty) {
			return nil, fmt.Errorf("%s: %w", r.subject(), ErrGone)
		}
		return nil, f.err(r.subject(), n)
	}
	defer c.release(buf)
	row, ok := rowOf(buf.Bytes())
	if !ok {
		return nil, (&failure{kind: badShape, what: "the answer is not one row"}).err(r.subject(), n)
	}
	return bytes.Clone(row), nil
}

// rowOf finds the row in valid JSON: an object that is not empty, or the only
// element of a list.
func rowOf(body []byte) (json.RawMessage, bool) {
	if len(body) > 0 && body[0] == '[' {
		var rows []json.RawMessage
		if json.Unmarshal(body, &rows) != nil || len(rows) != 1 {
			return nil, false
		}
		body = bytes.TrimSpace(rows[0])
	}
	return body, len(body) > 0 && body[0] == '{' && !isNothing(body)
}

// get fetches an answer that is neither a list by pages nor a row.
// "No … found" is the zero T.
func get[T any](ctx context.Context, c *Client, r request) (out T, err error) {
	buf, f, n := c.call(ctx, r)
	if f != nil {
		if f.kind == vendorError && f.vendor.empty {
			return out, nil
		}
		return out, f.err(r.subject(), n)
	}
	defer c.release(buf)
	if json.Unmarshal(buf.Bytes(), &out) != nil {
		return out, (&failure{kind: badShape}).err(r.subject(), n)
	}
	return out, nil
}

// Event is what the sync needs of an event (stova-api.md §7.4).
type Event struct {
	ID      string
	Name    string
	Status  string // such as Live
	Deleted bool
	// The dates and times are the event's local ones.
	StartDate, EndDate Date
	StartTime, EndTime Clock
	Modified           Stamp // zone unknown
	// Zone is the IANA name of the event's time zone, "" when it cannot be told.
	Zone string
	// ZoneID and ZoneText are the vendor's own words for it.
	ZoneID, ZoneText string
	// Language is the three-letter code of texts to prefer, such as eng.
	Language string
	// Raw is the answer as it came.
	Raw json.RawMessage
}

// eventRow is the part of getEvent's answer that is read.
type eventRow struct {
	ID        Text            `json:"eventid"`
	Name      Text            `json:"name"`
	Status    Text            `json:"status"`
	Deleted   Text            `json:"deleted"`
	StartDate Date            `json:"startdate"`
	EndDate   Date            `json:"enddate"`
	StartTime Clock           `json:"starttime"`
	EndTime   Clock           `json:"endtime"`
	Modified  Stamp           `json:"modifieddatetime"`
	ZoneName  Text            `json:"timezone_name"`
	ZoneID    Text            `json:"timezoneid"`
	ZoneText  Text            `json:"timezone"`
	Language  Text            `json:"defaultlanguage"`
	Languages json.RawMessage `json:"languages"`
}

// Event fetches the event. An event that is unknown, or that the key may not
// read, is STOVA_EVENT and permanent.
func (c *Client) Event(ctx context.Context) (Event, error) {
	r := request{endpoint: getEvent, query: query("eventid", c.cfg.EventID)}
	answer, err := get[json.RawMessage](ctx, c, r)
	if err != nil {
		return Event{}, err
	}
	if answer == nil { // "No … found"
		return Event{}, (&failure{kind: vendorError, vendor: complaint{keys: []string{"eventid"}}}).err(r.subject(), 1)
	}
	raw, ok := rowOf(answer)
	var row eventRow
	if !ok || json.Unmarshal(raw, &row) != nil || row.ID.Trim() == "" {
		return Event{}, (&failure{kind: badShape, what: "the answer is not an event"}).err(r.subject(), 1)
	}
	return Event{
		ID: row.ID.Trim(), Name: row.Name.Trim(), Status: row.Status.Trim(), Deleted: row.Deleted.Bool(),
		StartDate: row.StartDate, EndDate: row.EndDate, StartTime: row.StartTime, EndTime: row.EndTime,
		Modified: row.Modified,
		Zone:     zoneOf(row.ZoneName.Trim(), row.ZoneID.Trim(), row.ZoneText.Trim()),
		ZoneID:   row.ZoneID.Trim(), ZoneText: row.ZoneText.Trim(),
		Language: languageOf(row.Language.Trim(), row.Languages), Raw: raw,
	}, nil
}

var languageCode = regexp.MustCompile(`^[a-z]{3}$`)
var serialisedCode = regexp.MustCompile(`s:3:"([a-z]{3})";`)

// languageOf is the default language, else eng if the event has it or names
// none, else its first (Q22). languages was seen as an object, null, and PHP's
// own serialised text (stova-api.md §6).
func languageOf(preferred string, languages json.RawMessage) string {
	if languageCode.MatchString(preferred) {
		return preferred
	}
	var byCode Object
	var serialised Text
	_ = json.Unmarshal(languages, &byCode)
	_ = json.Unmarshal(languages, &serialised)
	codes := slices.Sorted(maps.Keys(byCode))
	for _, m := range serialisedCode.FindAllStringSubmatch(string(serialised), -1) {
		codes = append(codes, m[1])
	}
	codes = slices.DeleteFunc(codes, func(s string) bool { return !languageCode.MatchString(s) })
	if len(codes) == 0 || slices.Contains(codes, "eng") {
		return "eng"
	}
	return codes[0]
}

// Question is a question of the event's form (stova-api.md §7.10).
type Question struct {
	ID        string // numeric, as under responses
	FieldName string // a standard name such as email, else the id
	Name      string // the question's text
	InputType string // the vendor's number; 31 is an agenda session
	Page      string
	PageID    string
}

// Questions lists the event's questions in the vendor's order. One call: no
// limit or offset is known for this list. An event without questions has none.
func (c *Client) Questions(ctx context.Context) ([]Question, error) {
	type row struct {
		ID        Text `json:"questionid"`
		FieldName Text `json:"fieldname"`
		Name      Text `json:"name"`
		InputType Text `json:"inputtype"`
		Page      Text `json:"page"`
		PageID    Text `json:"pageid"`
	}
	r := request{endpoint: listQuestions, query: query("eventid", c.cfg.EventID)}
	rows, err := get[List[row]](ctx, c, r)
	if err != nil {
		return nil, err
	}
	var out []Question
	for _, q := range rows {
		if q.ID.Trim() == "" && q.FieldName.Trim() == "" {
			continue // nothing could refer to it
		}
		out = append(out, Question{
			ID: q.ID.Trim(), FieldName: q.FieldName.Trim(), Name: q.Name.Trim(),
			InputType: q.InputType.Trim(), Page: q.Page.Trim(), PageID: q.PageID.Trim(),
		})
	}
	return out, nil
}

// Track is a track of the account (stova-api.md §7.15).
type Track struct {
	ID   string
	Name string
}

// Tracks lists the account's tracks; an account without any has none.
func (c *Client) Tracks(ctx context.Context) ([]Track, error) {
	type row struct {
		ID   Text `json:"track_id"`
		Name Text `json:"track_name"`
	}
	rows, err := get[List[row]](ctx, c, request{endpoint: listTracks})
	if err != nil {
		return nil, err
	}
	var out []Track
	for _, t := range rows {
		if t.ID.Trim() != "" {
			out = append(out, Track{ID: t.ID.Trim(), Name: t.Name.Trim()})
		}
	}
	return out, nil
}
