package stova

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"stovasync/shared/run"
)

// maxLimit is the most rows a list gives at once (stova-api.md §5).
const maxLimit = 2000

// ladder are the limits to step down to (design.md §7).
var ladder = []int{2000, 1000, 500, 300, 150, 75, 25, 5, 1}

// ListOptions say what to list.
type ListOptions struct {
	// ModifiedFrom asks for attendees modified since; zero asks for all. It is
	// sent as UTC without a zone, which the vendor does not define: look back a
	// day. Sessions and speakers know no such filter and are listed whole.
	ModifiedFrom time.Time
	// Limit is the number of rows to ask for at first; 0, or more than the
	// vendor's 2,000, is 2,000.
	Limit int
	// Max stops the list after this many rows, for samples; 0 lists all.
	Max int
}

// Listing is what a list held.
type Listing struct {
	// IDs in the order of the list, each once. A session's is
	// sessionid_sessionkey, or sessionid where the row has no key.
	IDs []string
	// Limit is the number of rows a call that worked, to be remembered as the
	// next ListOptions.Limit.
	Limit int
	// NoID counts the rows that had no id.
	NoID int
	// Empty says that the vendor answered "No … found" on the first page, which
	// may also mean that the key may not see the rows (stova-api.md §10).
	Empty bool
}

// listRow is all that is read of a row; names and addresses are left behind.
type listRow struct {
	Attendee Text `json:"attendeeid"`
	Session  Text `json:"sessionid"`
	Key      Text `json:"sessionkey"`
	Speaker  Text `json:"speakerid"`
}

func (s streamSpec) id(raw json.RawMessage) string {
	var r listRow
	if json.Unmarshal(raw, &r) != nil {
		return ""
	}
	switch s.list {
	case listAttendees:
		return r.Attendee.Trim()
	case listSpeakers:
		return r.Speaker.Trim()
	}
	id, key := r.Session.Trim(), r.Key.Trim()
	if id == "" || key == "" {
		return id
	}
	return id + "_" + key
}

// List returns the ids of stream s: attendees, sessions or speakers. It asks
// with limit and offset, advances by the rows it received, and stops when the
// vendor has no more rows or a page brings no new id. A short page does not
// stop it: the vendor may clamp the limit (stova-api.md §11). Answers that are
// too large for the vendor's gateway are asked for again in smaller parts.
func (c *Client) List(ctx context.Context, s run.Stream, o ListOptions) (Listing, error) {
	spec, err := specOf(s)
	if err != nil {
		return Listing{}, err
	}
	l := lister{c: c, spec: spec, o: o, seen: map[string]bool{}}
	l.out.Limit = min(max(o.Limit, 0), maxLimit)
	if l.out.Limit == 0 {
		l.out.Limit = maxLimit
	}
	for more := true; more; {
		if more, err = l.next(ctx); err != nil {
			return Listing{}, err
		}
	}
	return l.out, nil
}

// lister is a list in progress.
type lister struct {
	c    *Client
	spec streamSpec
	o    ListOptions
	rows int // received so far: the next offset
	seen map[string]bool
	out  Listing
}

// next reads one page and reports whether there may be another.
func (l *lister) next(ctx context.Context) (bool, error) {
	ask := l.out.Limit
	if l.o.Max > 0 {
		ask = min(ask, l.o.Max-l.rows)
	}
	r := l.request(ask)
	buf, f, n := l.c.call(ctx, r)
	switch {
	case f == nil:
	case f.kind == vendorError && f.vendor.empty:
		l.out.Empty = l.rows == 0
		return false, nil
	case f.sized() && ask > 1 && !f.late:
		l.out.Limit = stepDown(ask) // and the same rows again
		return true, nil
	default:
		return false, f.err(r.subject(), n)
	}
	defer l.c.release(buf)
	if buf.Len() >= nearLimit {
		// These rows are whole and kept; the next may be larger.
		l.out.Limit = stepDown(ask)
	}
	var rows List[json.RawMessage]
	if json.Unmarshal(buf.Bytes(), &rows) != nil {
		return false, (&failure{kind: badShape}).err(r.subject(), n)
	}
	fresh := l.add(rows)
	return fresh > 0 && (l.o.Max <= 0 || l.rows < l.o.Max), nil
}

// add takes the ids of a page's rows and returns how many are new.
func (l *lister) add(rows []json.RawMessage) int {
	before := len(l.out.IDs)
	for _, raw := range rows {
		switch id := l.spec.id(raw); {
		case id == "":
			l.out.NoID++
		case !l.seen[id]:
			l.seen[id] = true
			l.out.IDs = append(l.out.IDs, id)
		}
	}
	l.rows += len(rows)
	return len(l.out.IDs) - before
}

func (l *lister) request(ask int) request {
	pairs := []string{"eventid", l.c.cfg.EventID, "limit", strconv.Itoa(ask), "offset", strconv.Itoa(l.rows)}
	if l.spec.modified && !l.o.ModifiedFrom.IsZero() {
		pairs = append(pairs, "modifiedfrom", l.o.ModifiedFrom.UTC().Format(time.DateTime))
	}
	return request{endpoint: l.spec.list, query: query(pairs...), smaller: ask > 1}
}

// stepDown is the next smaller limit; 1 stays 1.
func stepDown(limit int) int {
	for _, l := range ladder {
		if l < limit {
			return l
		}
	}
	return 1
}
