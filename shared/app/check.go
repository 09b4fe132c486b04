package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"stovasync/shared/config"
	"stovasync/shared/fault"
	"stovasync/shared/photo"
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

// checkTimeout bounds one step: a person waits for it.
const checkTimeout = 30 * time.Second

// checker is one connection test under way.
type checker struct {
	app    *App
	conn   run.Connection
	client *stova.Client
	// warnings belong to the step under way.
	warnings []run.Warning
	tell     func(CheckStep)
}

// Check tests a connection step by step and tells each step as it ends. It
// reads a few rows and writes nothing. Steps that make no sense after a failed
// one are left out. The error is that of a test that could not be made at all:
// no such connection, no store.
func (a *App) Check(ctx context.Context, name string, tell func(CheckStep)) error {
	conn, err := a.Steps.Ledger.Connection(ctx, name)
	if err != nil {
		return err
	}
	c := &checker{app: a, conn: conn, tell: tell}
	if c.step(ctx, "settings", c.settings) && c.step(ctx, "authorise", c.authorise) && c.step(ctx, "event", c.event) {
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

// settings tests what needs no network: the key is there, the mapping
// compiles, and what is unusual about the addresses.
func (c *checker) settings(ctx context.Context) (string, error) {
	if _, err := c.app.connector.Mapping(c.conn); err != nil {
		return "", err
	}
	client, err := c.app.connector.client(ctx, c.conn)
	if err != nil {
		return "", err
	}
	c.client = client
	parsed, err := config.ParseConnection(config.Render(c.conn))
	if err != nil {
		return "", err
	}
	c.warnings = parsed.Warnings
	return fmt.Sprintf("%d data types at %s", len(c.conn.DataTypes), hostOf(c.conn.EndPoint)), nil
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
		c.warnings = []run.Warning{{Code: string(fault.ConfigInvalid),
			Message: "the event does not tell its time zone: times are taken as UTC; set timezone, such as Europe/London"}}
	}
	found := fmt.Sprintf("%s, %s to %s, %s", cmp.Or(e.Name, "without a name"), e.StartDate, e.EndDate, zone)
	if e.Status != "" {
		found += ", " + e.Status
	}
	if e.Deleted {
		found += ", deleted at the vendor"
	}
	return found, nil
}

// stream lists one row and reads it.
func (c *checker) stream(ctx context.Context, s run.Stream) (string, error) {
	list, err := c.client.List(ctx, s, stova.ListOptions{Max: 1})
	if err != nil {
		return "", err
	}
	if len(list.IDs) == 0 {
		return "none are listed: the event has none, or the key may not see them", nil
	}
	if _, err := c.client.Row(ctx, s, list.IDs[0]); err != nil && !errors.Is(err, stova.ErrGone) {
		return "", err
	}
	return "one is listed and can be read", nil
}

// photos tests the hosts of the pictures, for the types that are enabled.
func (c *checker) photos(ctx context.Context) {
	for _, t := range c.conn.DataTypes {
		base := c.conn.PersonPhotoEndpoint
		if t == run.PresenterPhotos {
			base = c.conn.PresenterPhotoEndpoint
		}
		if t.IsPhotos() && base != "" {
			c.step(ctx, string(t), func(ctx context.Context) (string, error) { return c.photoHost(ctx, base) })
		}
	}
}

// photoHost asks for a picture that no event has: any answer shows that the
// host is there and may be asked.
func (c *checker) photoHost(ctx context.Context, base string) (string, error) {
	address, err := photo.SourceURL(base, photo.Values{AccountID: c.conn.AccountID, EventID: c.conn.EventID, Value: "0"}, c.conn.AllowedPhotoHosts)
	if err != nil {
		return "", err
	}
	pic, err := c.app.connector.Downloader(c.conn).Fetch(ctx, photo.Request{URL: address})
	if err != nil {
		return "", err
	}
	defer func() { _ = pic.Close() }() // its bytes are of no use here
	if pic.Reason.Code == fault.PhotoHost {
		return "", fault.New(fault.PhotoHost, pic.Reason.Text, "check the photo endpoint, allowedPhotoHosts and allowPrivateHosts")
	}
	return hostOf(address) + " answers", nil
}

// hostOf is the host of an address: all of it that a message may hold.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an address that cannot be read"
	}
	return u.Host
}
