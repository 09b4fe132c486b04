//go:build !lambda.norpc

package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"stovasync/shared/config"
	"stovasync/shared/fault"
	"stovasync/shared/mapping"
	"stovasync/shared/run"
	"stovasync/shared/stova"
)

// CheckStep is one step of the connection test (interface.md, spotme-model.md
// §2) and what came of it.
type CheckStep struct {
	Step    string  `json:"step"`
	OK      bool    `json:"ok"`
	Seconds float64 `json:"seconds"`
	Code    string  `json:"code,omitempty"`    // of a failed step
	Message string  `json:"message,omitempty"` // what was found, or what went wrong
	Next    string  `json:"next,omitempty"`    // what to do about a failed step
	// Warnings say what is unusual about a step that is ok.
	Warnings []run.Warning `json:"warnings,omitempty"`
}

// The bounds of what a person waits for: one step, and one question to another
// region's host of pictures within it.
const (
	checkTimeout  = 30 * time.Second
	regionTimeout = 5 * time.Second
)

// Checker tests connections.
type Checker struct {
	App *App
	// Regions are where pictures may be beside the configured host, if that is
	// one of theirs; nil: the vendor's.
	Regions []config.Region
}

// checker is one connection test under way.
type checker struct {
	app     *App
	regions []config.Region
	conn    run.Connection
	client  *stova.Client
	set     *mapping.Set
	// about are the warnings of the settings.
	about []run.Warning
	// sampled are pictures that rows which were read name, by the owner's type.
	sampled map[run.DataType][]string
	// warnings belong to the step under way.
	warnings []run.Warning
	tell     func(CheckStep)
}

// Check tests a connection step by step and tells each step as it ends. It
// reads a few rows and writes nothing. Steps that make no sense after a failed
// one are left out. The error is that of a test that could not be made at all:
// no such connection, no store.
func (a *App) Check(ctx context.Context, name string, tell func(CheckStep)) error {
	return Checker{App: a}.Check(ctx, name, tell)
}

// Check is App.Check.
func (k Checker) Check(ctx context.Context, name string, tell func(CheckStep)) error {
	conn, err := k.App.Steps.Ledger.Connection(ctx, name)
	if err != nil {
		return err
	}
	c := &checker{app: k.App, regions: k.Regions, conn: conn, tell: tell, sampled: map[run.DataType][]string{}}
	if c.regions == nil {
		c.regions = config.Regions()
	}
	settings := c.step(ctx, "settings", c.settings)
	if c.step(ctx, "address", c.address) && settings && c.step(ctx, "authorise", c.authorise) && c.step(ctx, "event", c.event) {
		for _, s := range streams(conn.DataTypes) {
			c.step(ctx, string(s), func(ctx context.Context) (string, error) { return c.stream(ctx, s) })
		}
	}
	c.photos(ctx)
	return ctx.Err()
}

// streams are the vendor's streams that the types read.
func streams(types []run.DataType) []run.Stream {
	var out []run.Stream
	for _, s := range []run.Stream{run.Attendees, run.SessionStream, run.Speakers} {
		if run.Leader(types, s) != "" {
			out = append(out, s)
		}
	}
	return out
}

// step does one step, tells it, and reports whether it was ok.
func (c *checker) step(ctx context.Context, name string, do func(context.Context) (string, error)) bool {
	if ctx.Err() != nil {
		return false
	}
	start := time.Now()
	limited, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	message, err := do(limited)
	if ctx.Err() != nil {
		return false // whoever interrupted the test wants no verdict
	}
	s := CheckStep{Step: name, OK: err == nil, Message: message, Seconds: time.Since(start).Round(time.Millisecond).Seconds()}
	s.Warnings, c.warnings = c.warnings, nil
	if err != nil {
		s.Code, s.Message, s.Next = explain(err)
	}
	c.tell(s)
	return s.OK
}

// explain takes an error apart. What has no code may hold anything, so only
// its kind is told.
func explain(err error) (code, message, next string) {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return string(f.Code), f.Msg, f.Next
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return string(fault.StovaTimeout), fmt.Sprintf("no answer within %s", checkTimeout), "try again later; check the network and the vendor's status page"
	}
	return string(fault.StoreUnavailable), fmt.Sprintf("unexpected failure of type %T", err), "try again"
}

// settings tests what needs no network: the settings are still what put would
// take, the mapping compiles, the key is there.
func (c *checker) settings(ctx context.Context) (string, error) {
	parsed, err := config.ParseConnection(config.Render(c.conn))
	if err != nil {
		return "", withoutPlace(err)
	}
	c.about = parsed.Warnings
	if c.set, err = c.app.connector.Mapping(c.conn); err != nil {
		return "", err
	}
	if c.client, err = c.app.connector.client(ctx, c.conn); err != nil {
		return "", err
	}
	for _, w := range c.about {
		if !ofAddress(w) {
			c.warnings = append(c.warnings, w)
		}
	}
	c.warnings = append(c.warnings, c.set.Warnings()...)
	return fmt.Sprintf("%d data types, the mapping and the key are there", len(c.conn.DataTypes)), nil
}

// withoutPlace takes the place away from the first mistake of settings: it is
// one in a file that nobody wrote.
func withoutPlace(err error) error {
	f, ok := errors.AsType[*fault.Error](err)
	if !ok {
		return err
	}
	msg := f.Msg
	if m, placed := errors.AsType[*config.Mistake](f); placed {
		msg = strings.TrimPrefix(msg, m.At.String()+": ")
	}
	return fault.Wrap(f.Code, err, msg, cmp.Or(f.Next, "give the connection again")+": connections put FILE")
}

// ofAddress reports whether a warning is about where things are.
func ofAddress(w run.Warning) bool {
	return slices.ContainsFunc([]string{"endPoint ", "personPhotoEndpoint ", "presenterPhotoEndpoint "}, func(name string) bool {
		return strings.HasPrefix(w.Message, name)
	})
}

// address tells where the API and the pictures are, and which region that is.
func (c *checker) address(context.Context) (string, error) {
	u, err := url.Parse(c.conn.EndPoint)
	if err != nil || u.Host == "" || u.Path != "/api/v2" {
		return "", fault.New(fault.ConfigInvalid, "endPoint is not of the form https://HOST/api/v2", "correct it: connections put FILE")
	}
	for _, w := range c.about {
		if ofAddress(w) {
			c.warnings = append(c.warnings, w)
		}
	}
	region := "no region of the vendor"
	if i := slices.IndexFunc(c.regions, func(r config.Region) bool { return r.API == u.Hostname() }); i >= 0 {
		region = "region " + c.regions[i].Name
	}
	found := fmt.Sprintf("%s, %s", u.Host, region)
	var photos []string
	for _, t := range c.conn.DataTypes {
		if host := hostOf(c.endpoint(t)); t.IsPhotos() && c.endpoint(t) != "" && !slices.Contains(photos, host) {
			photos = append(photos, host)
		}
	}
	if len(photos) > 0 {
		found += "; pictures from " + strings.Join(photos, " and ")
	}
	return found, nil
}

// authorise logs in.
func (c *checker) authorise(ctx context.Context) (string, error) {
	return "the account and the key are accepted", c.client.Authorise(ctx)
}

// event reads the event.
func (c *checker) event(ctx context.Context) (string, error) {
	e, err := c.client.Event(ctx)
	if err != nil {
		return "", err
	}
	zone := cmp.Or(e.Zone, c.conn.Timezone)
	if zone == "" {
		zone = "UTC"
		c.warnings = append(c.warnings, run.Warning{Code: string(fault.ConfigInvalid),
			Message: "the event does not tell its time zone: times are taken as UTC; set timezone, such as Europe/London"})
	}
	found := fmt.Sprintf("%s, %s, %s", cmp.Or(e.Name, "without a name"), dates(string(e.StartDate), string(e.EndDate)), zone)
	if e.Status != "" {
		found += ", " + e.Status
	}
	if e.Deleted {
		c.warnings = append(c.warnings, run.Warning{Code: config.WarnSetting, Message: "the event is deleted at the vendor; check eventid"})
	}
	return found, nil
}

func dates(from, to string) string {
	switch {
	case from == "" && to == "":
		return "without dates"
	case to == "" || from == to:
		return from
	default:
		return cmp.Or(from, "?") + " to " + to
	}
}

// sampleRows is how many rows of a stream are read in search of one that names
// a picture.
const sampleRows = 5

// stream lists a few rows and reads one, or, while no picture is known to ask
// for, some more.
func (c *checker) stream(ctx context.Context, s run.Stream) (string, error) {
	owner := c.ownerOf(s)
	list := stova.ListOptions{Max: 1}
	if owner != "" {
		list.Max = sampleRows
	}
	listed, err := c.client.List(ctx, s, list)
	if err != nil {
		return "", err
	}
	if len(listed.IDs) == 0 {
		return "none are listed: the event has none, or the key may not see them", nil
	}
	m := c.set.For(mapping.Event{ID: c.conn.EventID, Zone: time.UTC})
	for i, id := range listed.IDs {
		raw, err := c.client.Row(ctx, s, id)
		if err != nil && !errors.Is(err, stova.ErrGone) {
			if i > 0 {
				break // one could be read; the others were for pictures
			}
			return "", err
		}
		if owner == "" || err == nil && c.sample(m, s, owner, raw) {
			break
		}
	}
	return "one is listed and can be read", nil
}

// ownerOf is the type of a stream's rows whose pictures are synced, or "".
func (c *checker) ownerOf(s run.Stream) run.DataType {
	for _, t := range c.conn.DataTypes {
		if t.IsPhotos() && t.Owner().Stream() == s && c.set.Maps(t.Owner(), photoField) {
			return t.Owner()
		}
	}
	return ""
}
