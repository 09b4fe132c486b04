package photo

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"net/http"
	"os"
	"sync"

	"golang.org/x/image/webp"

	"stovasync/shared/fault"
)

// The sizes of the buffers: most pictures fit in memory, the rest go to a file.
const (
	inMemory = 256 << 10
	copySize = 32 << 10
	sniffed  = 512 // what http.DetectContentType looks at
)

// format is a type of picture we keep.
type format struct {
	ext    string
	config func(io.Reader) (image.Config, error)
}

// formats are the types by their names, as http.DetectContentType tells them.
func formats() map[string]format {
	return map[string]format{
		"image/jpeg": {".jpg", jpeg.DecodeConfig},
		"image/png":  {".png", png.DecodeConfig},
		"image/gif":  {".gif", gif.DecodeConfig},
		"image/webp": {".webp", webp.DecodeConfig},
	}
}

// hold is what a picture occupies until it is closed. A nil hold occupies nothing.
type hold struct {
	once   sync.Once
	giveUp func() error
	err    error
}

func (h *hold) release() error {
	if h == nil {
		return nil
	}
	h.once.Do(func() { h.err = h.giveUp() })
	return h.err
}

// read reads the body of a 200: hash, size and type by what was read, never by
// what the headers say.
func (f *Fetcher) read(res *http.Response, r Request) (Picture, error) {
	if res.ContentLength > f.cfg.MaxBytes {
		return f.tooLarge(), nil
	}
	s := &spool{f: f, from: io.LimitReader(res.Body, f.cfg.MaxBytes+1), sum: sha256.New()}
	p, err := s.picture()
	if err != nil || p.State != Stored {
		return p, errors.Join(err, s.drop())
	}
	p.ETag, p.LastModified = header(res, "Etag", ""), header(res, "Last-Modified", "")
	if p.Hash == r.Hash {
		p.State, p.Body = Unchanged, nil
		return p, s.drop()
	}
	p.hold = &hold{giveUp: s.drop}
	return p, nil
}

func (f *Fetcher) tooLarge() Picture {
	return rejected(fault.PhotoTooLarge, fmt.Sprintf("the picture has more than %d bytes", f.cfg.MaxBytes))
}

// spool takes in a body: into a buffer, and into a file when that is full.
type spool struct {
	f    *Fetcher
	from io.Reader
	sum  hash.Hash
	buf  []byte // what is in memory
	own  bool   // buf is one of the Fetcher's
	file *os.File
	size int64
}

// picture reads the whole body, unless its start shows that it is no picture.
func (s *spool) picture() (Picture, error) {
	s.takeBuffer()
	ended, err := s.fill(sniffed)
	if err != nil {
		return Picture{}, err
	}
	if s.size == 0 {
		return rejected(fault.PhotoType, "the body is empty"), nil
	}
	kind := http.DetectContentType(s.buf)
	form, ok := formats()[kind]
	if !ok {
		return rejected(fault.PhotoType, "by its bytes the body is "+kind+", not a picture of a known type"), nil
	}
	if !ended {
		ended, err = s.fill(cap(s.buf))
	}
	if err == nil && !(ended && s.own) {
		err = s.spill(ended)
	}
	if err != nil {
		return Picture{}, err
	}
	if s.size > s.f.cfg.MaxBytes {
		return s.f.tooLarge(), nil
	}
	return s.decode(kind, form)
}

// takeBuffer takes one of the Fetcher's buffers, or makes a small one when
// none is free: then the body goes to a file.
func (s *spool) takeBuffer() {
	select {
	case s.buf = <-s.f.buffers:
		s.own = true
		if s.buf == nil {
			s.buf = make([]byte, 0, inMemory)
		}
	default:
		s.buf = make([]byte, 0, copySize)
	}
}

// fill reads until the buffer holds n bytes or the body has ended.
func (s *spool) fill(n int) (ended bool, err error) {
	for len(s.buf) < n {
		m, err := s.from.Read(s.buf[len(s.buf):n])
		s.sum.Write(s.buf[len(s.buf) : len(s.buf)+m])
		s.buf = s.buf[:len(s.buf)+m]
		s.size += int64(m)
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return false, bodyFailure(err)
		}
	}
	return false, nil
}

// spill moves the buffer and the rest of the body into a temporary file.
func (s *spool) spill(ended bool) (err error) {
	if s.file, err = os.CreateTemp(s.f.cfg.TempDir, "stovasync-photo-*"); err != nil {
		return fileFailure(err)
	}
	for {
		if _, err := s.file.Write(s.buf); err != nil {
			return fileFailure(err)
		}
		s.buf = s.buf[:0]
		if ended {
			s.giveBuffer()
			return nil
		}
		if ended, err = s.fill(copySize); err != nil {
			return err
		}
	}
}

func (s *spool) giveBuffer() {
	if s.own {
		s.f.buffers <- s.buf[:0]
	}
	s.own, s.buf = false, nil
}

// decode reads width and height from the header alone: a picture that would
// unpack to gigabytes costs nothing.
func (s *spool) decode(kind string, form format) (Picture, error) {
	var body io.ReadSeeker = bytes.NewReader(s.buf)
	if s.file != nil {
		body = s.file
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return Picture{}, fileFailure(err)
	}
	c, err := form.config(body)
	if err != nil || c.Width <= 0 || c.Height <= 0 {
		return rejected(fault.PhotoType, "the header of the "+kind+" cannot be read"), nil
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return Picture{}, fileFailure(err)
	}
	return Picture{
		State: Stored, Hash: hex.EncodeToString(s.sum.Sum(nil)), ContentType: kind, Ext: form.ext,
		Bytes: s.size, Width: c.Width, Height: c.Height, Body: body,
	}, nil
}

// drop gives back the buffer and removes the file. It is called once.
func (s *spool) drop() error {
	s.giveBuffer()
	if s.file == nil {
		return nil
	}
	closed, removed := s.file.Close(), os.Remove(s.file.Name())
	if closed != nil || removed != nil {
		return fault.Wrap(fault.StoreUnavailable, errors.Join(closed, removed), "remove the picture's temporary file", "")
	}
	return nil
}

func bodyFailure(err error) error {
	if isTimeout(err) {
		return &retryable{code: fault.StovaTimeout, text: "the body did not end in time", err: err}
	}
	return &retryable{code: fault.StovaBody, text: "the body was cut off"}
}

func fileFailure(err error) error {
	return fault.Wrap(fault.StoreUnavailable, err, "keep the picture in a temporary file", "see that the temporary folder has room")
}
