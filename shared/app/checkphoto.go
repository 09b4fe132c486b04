//go:build !lambda.norpc

package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"stovasync/shared/config"
	"stovasync/shared/fault"
	"stovasync/shared/mapping"
	"stovasync/shared/photo"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// photoField is the field of an owner that names its picture.
const photoField = "photo"

// nobody is the name of a picture that no event has.
const nobody = "0"

// The bounds of the search for a sample among what is stored.
const (
	samplesWanted = 3
	samplesFrom   = 2000 // records looked at
)

// sample notes the picture that a row names, and reports whether it does.
func (c *checker) sample(m *mapping.Mapper, s run.Stream, owner run.DataType, raw json.RawMessage) bool {
	row, err := m.Row(s, raw)
	if err != nil {
		return false
	}
	defer row.Release()
	var res mapping.Result
	if owner == run.Presenters {
		res = m.Presenters(row)
	} else {
		res = m.Users(row)
	}
	name, _ := res.Fields[photoField].(string)
	if !relative(name) || res.Status != "active" {
		return false
	}
	c.sampled[owner] = append(c.sampled[owner], strings.Clone(name))
	return true
}

// samples are a few pictures that there should be, as their owners name them:
// the stored ones first, whose owners a sync has seen.
func (c *checker) samples(ctx context.Context, owner run.DataType) ([]string, error) {
	var found []string
	n := 0
	for r, err := range c.app.Steps.Records.Scan(ctx, c.conn.Name, owner, pipeline.Scan{}) {
		if err != nil {
			return nil, err
		}
		if name, _ := r.Fields[photoField].(string); relative(name) && r.Status == "active" {
			found = append(found, name)
		}
		if n++; n == samplesFrom || len(found) == samplesWanted {
			break
		}
	}
	for _, name := range c.sampled[owner] {
		if !slices.Contains(found, name) {
			found = append(found, name)
		}
	}
	return found, nil
}

// relative reports whether a picture is looked for at the endpoint: a whole
// address shows nothing about it.
func relative(name string) bool {
	return name != "" && !strings.Contains(name, "://") && !strings.HasPrefix(name, "//")
}

// endpoint is the setting that says where the pictures of a type are.
func (c *checker) endpoint(t run.DataType) string {
	if t == run.PresenterPhotos {
		return c.conn.PresenterPhotoEndpoint
	}
	return c.conn.PersonPhotoEndpoint
}

func endpointName(t run.DataType) string {
	if t == run.PresenterPhotos {
		return "presenterPhotoEndpoint"
	}
	return "personPhotoEndpoint"
}

// photos tests the hosts of the pictures, for the types that are enabled.
func (c *checker) photos(ctx context.Context) {
	for _, t := range c.conn.DataTypes {
		if t.IsPhotos() && c.endpoint(t) != "" {
			c.step(ctx, string(t), func(ctx context.Context) (string, error) { return c.photoHost(ctx, t) })
		}
	}
}

// sight is what asking for pictures at one endpoint showed.
type sight struct {
	host string
	// picture says that one of the samples is there.
	picture *photo.Picture
	// refused is the reason for an answer that is none of the vendor's files.
	refused *photo.Reason
	err     error // nothing answered
}

// photoHost asks the configured endpoint for a sample, and the other regions
// for it when it is not there.
func (c *checker) photoHost(ctx context.Context, t run.DataType) (string, error) {
	endpoint := c.endpoint(t)
	if c.set != nil && !c.set.Maps(t.Owner(), photoField) {
		c.warnings = append(c.warnings, run.Warning{Code: string(fault.MappingInvalid), Message: fmt.Sprintf(
			"photo of %[1]s is not mapped, so no picture is synced; preview NAME %[1]s marks the column that holds them", t.Owner())})
	}
	names, err := c.samples(ctx, t.Owner())
	if err != nil {
		return "", err
	}
	s := c.look(ctx, endpoint, names)
	switch {
	case s.picture != nil:
		return fmt.Sprintf("%s answers; a sample picture is there: %s/…, %s, %s", s.host, s.host, s.picture.ContentType, size(s.picture.Bytes)), nil
	case s.err == nil && len(names) == 0:
		return s.host + " answers; no picture is known yet to ask for", nil
	}
	return c.elsewhere(ctx, t, names, s)
}

// elsewhere asks the other regions, after the configured endpoint s did not
// have the samples, or did not answer at all.
func (c *checker) elsewhere(ctx context.Context, t run.DataType, names []string, s sight) (string, error) {
	var answering []string
	others := c.otherRegions(c.endpoint(t))
	for _, endpoint := range others {
		limited, cancel := context.WithTimeout(ctx, regionTimeout)
		o := c.look(limited, endpoint, names)
		cancel()
		switch {
		case o.picture != nil:
			return "", fault.New(fault.ConfigInvalid,
				fmt.Sprintf("%s, but %s has it", without(s), o.host),
				fmt.Sprintf("set %s: %s", endpointName(t), endpoint))
		case o.err == nil:
			answering = append(answering, o.host)
		}
	}
	switch {
	case s.err != nil && len(answering) > 0:
		return "", unanswered(t, s, " but these answer: "+strings.Join(answering, ", "))
	case s.err != nil:
		return "", unanswered(t, s, "")
	}
	message := without(s)
	if len(others) > 0 {
		message += ", nor have the other regions it"
	}
	c.warnings = append(c.warnings, run.Warning{Code: config.WarnSetting, Message: fmt.Sprintf(
		"%s; see a picture in the vendor's form and compare its address with %s", message, endpointName(t))})
	return s.host + " answers", nil
}

// unanswered is the failure of an endpoint that gives no answer: the words of
// the downloads are about pages, which there are none of here.
func unanswered(t run.DataType, s sight, more string) error {
	code, message, next := explain(s.err)
	switch fault.Code(code) {
	case fault.StovaServer, fault.StovaTimeout, fault.StovaBody, fault.StovaRate:
		next = fmt.Sprintf("check the host in %s and the network, then try again", endpointName(t))
	}
	if more != "" {
		message += "," + more
	}
	return fault.New(fault.Code(code), message, next)
}

// without says what the configured endpoint has shown instead of a picture.
func without(s sight) string {
	switch {
	case s.err != nil:
		return s.host + " does not answer"
	case s.refused != nil:
		return fmt.Sprintf("%s gives no picture for the sample (%s)", s.host, s.refused.Text)
	default:
		return s.host + " does not have the sample picture"
	}
}

// look asks an endpoint for the samples until one is there. Without samples it
// asks for a picture that no event has: any answer shows that the host is there
// and may be asked.
func (c *checker) look(ctx context.Context, endpoint string, names []string) sight {
	s := sight{host: hostOf(endpoint)}
	if len(names) == 0 {
		names = []string{nobody}
	}
	for _, name := range names {
		pic, err := c.ask(ctx, endpoint, name)
		if err != nil {
			s.err = err
			return s
		}
		switch {
		case pic.State == photo.Stored || pic.State == photo.Unchanged:
			s.picture = &pic
			return s
		case pic.State == photo.Rejected:
			s.refused = &pic.Reason
		}
	}
	return s
}

func (c *checker) ask(ctx context.Context, endpoint, name string) (photo.Picture, error) {
	address, err := photo.SourceURL(endpoint, photo.Values{
		AccountID: c.conn.AccountID, EventID: c.conn.EventID, ID: name, Name: name, Value: name,
	}, c.conn.AllowedPhotoHosts)
	if f, ok := errors.AsType[*fault.Error](err); ok && name != nobody {
		return photo.Picture{State: photo.Rejected, Reason: photo.Reason{Code: f.Code, Text: f.Msg}}, nil
	}
	if err != nil {
		return photo.Picture{}, err
	}
	pic, err := c.app.connector.Downloader(c.conn).Fetch(ctx, photo.Request{URL: address})
	if err != nil {
		return photo.Picture{}, err
	}
	if pic.Reason.Code == fault.PhotoHost {
		err = fault.New(fault.PhotoHost, pic.Reason.Text, "check the photo endpoint, allowedPhotoHosts and allowPrivateHosts")
	}
	return pic, errors.Join(err, pic.Close()) // its bytes are of no use here
}

// otherRegions are an endpoint's addresses in the other regions; none for an
// endpoint that is at no region's host, which nobody but its owner knows.
func (c *checker) otherRegions(endpoint string) []string {
	host := hostOf(endpoint)
	i := slices.IndexFunc(c.regions, func(r config.Region) bool { return r.Photos == host })
	if i < 0 {
		return nil
	}
	var out []string
	for n, r := range c.regions {
		if n != i {
			out = append(out, strings.Replace(endpoint, "://"+host, "://"+r.Photos, 1))
		}
	}
	return out
}

// size is a number of bytes as people read it.
func size(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%d KB", (n+999)/1000)
}

// hostOf is the host of an address: all of it that a message may hold. Places
// in braces, which a template has, are no part of the host.
func hostOf(address string) string {
	address, _, _ = strings.Cut(address, "{")
	u, err := url.Parse(address)
	if err != nil {
		return "an address that cannot be read"
	}
	return u.Host
}
