package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"

	"stovasync/shared/fault"
)

// RawPage is the fetched rows of a page as they came. It is stored as gzip
// JSON lines: a line about the page, then one for each row. Four types read
// each page of attendees, so reading it must cost little: the rows are slices
// of the text, not parsed.
type RawPage struct {
	FetchedAt time.Time                  `json:"fetched_at"` // before the first of them was asked for
	Gone      []string                   `json:"gone,omitempty"`
	Poison    map[string]string          `json:"poison,omitempty"` // id to error code
	Next      string                     `json:"next,omitempty"`   // the page its rest was handed to
	Rows      map[string]json.RawMessage `json:"-"`                // by id
}

// What a row's line is made of, around its id and its body.
const (
	rawID   = `{"id":`
	rawBody = `,"row":`
)

// putRaw stores a raw page; the rows in the order of ids.
func putRaw(ctx context.Context, o Objects, key string, p RawPage, ids []string) error {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		return err
	}
	if err := errors.Join(p.encode(z, ids), z.Close()); err != nil {
		return fmt.Errorf("encode %s: %w", key, err)
	}
	if _, err := o.Put(ctx, key, bytes.NewReader(b.Bytes()), ObjectInfo{ContentType: "application/gzip", Lazy: true}); err != nil {
		return storeError(fmt.Errorf("put %s: %w", key, err))
	}
	return nil
}

func (p RawPage) encode(w io.Writer, ids []string) error {
	if err := json.NewEncoder(w).Encode(p); err != nil {
		return err
	}
	var line bytes.Buffer
	for _, id := range ids {
		row, ok := p.Rows[id]
		if !ok {
			continue
		}
		name, err := json.Marshal(id)
		if err != nil {
			return err
		}
		line.Reset()
		line.WriteString(rawID)
		line.Write(name)
		line.WriteString(rawBody)
		if bytes.IndexByte(row, '\n') < 0 {
			line.Write(row)
		} else if err := json.Compact(&line, row); err != nil {
			return err
		}
		line.WriteString("}\n")
		if _, err := w.Write(line.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// getRaw reads what putRaw stored; ok is false when the key holds nothing, or
// something a power cut has torn: the rows can be fetched again.
func getRaw(ctx context.Context, o Objects, key string) (p RawPage, ok bool, err error) {
	text, ok, err := getGzip(ctx, o, key)
	if fault.IsPermanent(err) {
		return RawPage{}, false, nil
	}
	if err != nil || !ok {
		return RawPage{}, false, err
	}
	if err := p.decode(text); err != nil {
		return RawPage{}, false, nil
	}
	return p, true, nil
}

// torn reports whether a compressed text ends or breaks before its end.
func torn(err error) bool {
	_, corrupt := errors.AsType[flate.CorruptInputError](err)
	return corrupt || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum)
}

// errRaw is a raw page whose lines are not as encode writes them.
var errRaw = errors.New("a line is not that of a row")

func (p *RawPage) decode(text []byte) error {
	head, text, _ := bytes.Cut(text, []byte("\n"))
	if err := json.Unmarshal(head, p); err != nil {
		return err
	}
	p.Rows = make(map[string]json.RawMessage, bytes.Count(text, []byte("\n")))
	for line := range bytes.Lines(text) {
		line, ok := bytes.CutSuffix(line, []byte("}\n"))
		name, row, found := bytes.Cut(line, []byte(rawBody))
		name, prefixed := bytes.CutPrefix(name, []byte(rawID))
		if !ok || !found || !prefixed {
			return errRaw
		}
		var id string
		if err := json.Unmarshal(name, &id); err != nil {
			return err
		}
		p.Rows[id] = row
	}
	return nil
}
