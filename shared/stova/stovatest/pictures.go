package stovatest

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
)

// The paths of pictures, as counters and faults know them.
const (
	pathImage  = "image.php"    // speaker images by id: a redirect
	pathStored = "file_uploads" // where the redirect leads
	pathUpload = "uploadfiles"  // what attendees uploaded, by name
)

func isPicture(name string) bool {
	return name == pathImage || name == pathStored || name == pathUpload
}

func pictureModes() []string {
	return []string{"html", "404", "401", "403", "500", "empty", "endless", "large", "redirect", "pixel", "text"}
}

// artist makes pictures: real ones, of 48 by 48 points, drawn once for each
// format. What makes every file differ is a comment with its name and version,
// which all four formats allow, so a download costs next to nothing.
type artist struct{ jpeg, png, gif []byte }

func newArtist() *artist {
	img := image.NewPaletted(image.Rect(0, 0, 48, 48), color.Palette{
		color.RGBA{30, 60, 120, 255}, color.RGBA{230, 200, 160, 255}, color.RGBA{250, 250, 250, 255},
	})
	for y := range 48 {
		for x := range 48 {
			if dx, dy := x-24, y-20; dx*dx+dy*dy < 150 || (y > 34 && dx*dx < 300) {
				img.SetColorIndex(x, y, 1) // a head and shoulders
			}
		}
	}
	var j, p, g bytes.Buffer
	// Encoding into memory cannot fail.
	_ = jpeg.Encode(&j, img, &jpeg.Options{Quality: 80})
	_ = png.Encode(&p, img)
	_ = gif.Encode(&g, img, nil)
	return &artist{jpeg: j.Bytes(), png: p.Bytes(), gif: g.Bytes()}
}

// picture returns the bytes and the type of a file in one of its versions. The
// format follows the name's extension; ids and unknown ones are JPEG.
func (a *artist) picture(name string, version int) (body []byte, ctype string) {
	note := []byte(name + " version " + strconv.Itoa(version))
	switch strings.ToLower(path.Ext(name)) {
	case ".png":
		return pngNote(a.png, note), "image/png"
	case ".gif":
		return gifNote(a.gif, note), "image/gif"
	case ".webp":
		return webp(48, 48, note), "image/webp"
	default:
		return jpegNote(a.jpeg, note), "image/jpeg"
	}
}

// jpegNote puts a COM segment behind the start marker.
func jpegNote(img, note []byte) []byte {
	out := append([]byte{}, img[:2]...)
	out = append(out, 0xFF, 0xFE)
	out = binary.BigEndian.AppendUint16(out, uint16(len(note)+2))
	out = append(out, note...)
	return append(out, img[2:]...)
}

// pngNote puts a tEXt chunk behind the signature and the header chunk.
func pngNote(img, note []byte) []byte {
	const head = 8 + 25
	chunk := append([]byte("tEXtComment\x00"), note...)
	out := append([]byte{}, img[:head]...)
	out = binary.BigEndian.AppendUint32(out, uint32(len(chunk)-4))
	out = append(out, chunk...)
	out = binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(chunk))
	return append(out, img[head:]...)
}

// gifNote puts a comment extension before the trailer.
func gifNote(img, note []byte) []byte {
	out := append([]byte{}, img[:len(img)-1]...)
	out = append(out, 0x21, 0xFE)
	for len(note) > 0 {
		n := min(len(note), 255)
		out = append(out, byte(n))
		out = append(out, note[:n]...)
		note = note[n:]
	}
	return append(out, 0, 0x3B)
}

// webp makes a lossless WebP of one colour: five prefix codes of one symbol
// each, so that the points themselves take no bits. The note is a chunk that
// readers skip, which makes a RIFF file no less valid.
func webp(width, height int, note []byte) []byte {
	var bits bitWriter
	bits.put(0x2F, 8)
	bits.put(uint32(width-1), 14)
	bits.put(uint32(height-1), 14)
	bits.put(0, 1+3+1+1+1) // no alpha, version 0, no transform, no colour cache, no meta codes
	for _, symbol := range []uint32{160, 70, 40, 255, 0} {
		bits.put(1, 1) // a simple code
		bits.put(0, 1) // of one symbol
		bits.put(1, 1) // of eight bits
		bits.put(symbol, 8)
	}
	file := []byte("WEBP")
	file = riffChunk(file, "VP8L", bits.bytes())
	file = riffChunk(file, "NOTE", note)
	return riffChunk(nil, "RIFF", file)
}

func riffChunk(to []byte, name string, data []byte) []byte {
	to = append(to, name...)
	to = binary.LittleEndian.AppendUint32(to, uint32(len(data)))
	to = append(to, data...)
	if len(data)%2 == 1 {
		to = append(to, 0)
	}
	return to
}

// bitWriter packs values from the lowest bit up.
type bitWriter struct {
	out  []byte
	acc  uint64
	have uint
}

func (w *bitWriter) put(v uint32, n uint) {
	w.acc |= uint64(v) << w.have
	w.have += n
	for w.have >= 8 {
		w.out = append(w.out, byte(w.acc))
		w.acc >>= 8
		w.have -= 8
	}
}

func (w *bitWriter) bytes() []byte {
	if w.have > 0 {
		return append(w.out, byte(w.acc))
	}
	return w.out
}

// servePicture answers downloads and says whether the path is one.
func (s *Server) servePicture(rw http.ResponseWriter, r *http.Request) bool {
	name, id := picturePath(r)
	if name == "" {
		return false
	}
	c := s.newCall(rw, r, route{name: name})
	c.id = id
	defer s.pool.put(c.out.writer)
	s.count.start(Call{name, id, s.opt.Now()}, true)
	defer s.count.end()
	c.arm()
	if !wait(r.Context(), s.opt.Delay) || c.disturbed() {
		return true
	}
	if f := c.fault(PictureFault); f != nil {
		c.badPicture(f.Mode, f.To)
		return true
	}
	s.goodPicture(c)
	return true
}

// picturePath takes a path apart: which of the three, and the file's name or id.
func picturePath(r *http.Request) (name, id string) {
	p := r.URL.Path
	if p == "/image.php" {
		return pathImage, r.URL.Query().Get("id")
	}
	if rest, ok := strings.CutPrefix(p, "/ereg/uploadfiles/"); ok {
		return pathUpload, rest
	}
	if rest, ok := strings.CutPrefix(p, "/file_uploads/"); ok {
		// HASH_name.jpg: the name tells what it is.
		_, file, _ := strings.Cut(rest, "_")
		return pathStored, strings.TrimSuffix(strings.TrimPrefix(file, "speaker"), ".jpg")
	}
	return "", ""
}

func (s *Server) goodPicture(c *call) {
	s.mu.RLock()
	pic, known := s.event.Pictures[c.id], s.index.files[c.id]
	at := s.event.Modified
	s.mu.RUnlock()
	switch {
	case !known && c.name == pathImage:
		c.badPicture(s.opt.UnknownImage, "")
	case !known:
		c.badPicture("404", "")
	case pic.Fault != "":
		c.badPicture(pic.Fault, "")
	case c.name == pathImage:
		sum := sha256.Sum256([]byte(c.id))
		http.Redirect(c.w, c.r, base(c.r)+"/file_uploads/"+hex.EncodeToString(sum[:16])+"_speaker"+c.id+".jpg", http.StatusFound)
	default:
		body, ctype := s.art.picture(c.id, pic.Version)
		sum := sha256.Sum256(body)
		c.w.Header().Set("Content-Type", ctype)
		c.w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:8])+`"`)
		http.ServeContent(c.w, c.r, "", at.Add(time.Duration(pic.Version)*time.Hour), bytes.NewReader(body))
	}
}

// base is the address that the client used, without path.
func base(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// pixel is a GIF of one point, as image servers send for nothing.
func pixel() []byte {
	var b bytes.Buffer
	_ = gif.Encode(&b, image.NewPaletted(image.Rect(0, 0, 1, 1), color.Palette{color.White, color.Black}), nil)
	return b.Bytes()
}

// badPicture answers a download in one of the modes of the fault kind picture.
func (c *call) badPicture(mode, to string) {
	h := c.w.Header()
	switch mode {
	case "html":
		c.html("File not found")
		c.send()
	case "empty":
		h.Set("Content-Type", "image/jpeg")
		h.Set("Content-Length", "0")
		c.w.WriteHeader(http.StatusOK)
	case "large":
		h.Set("Content-Length", strconv.Itoa(11<<20))
		c.flood(11)
	case "endless":
		c.flood(1 << 20)
	case "redirect":
		http.Redirect(c.w, c.r, to, http.StatusFound)
	case "pixel":
		h.Set("Content-Type", "image/gif")
		h.Set("Content-Length", strconv.Itoa(len(pixel())))
		_, _ = c.w.Write(pixel())
	case "text":
		c.ctype = "image/jpeg" // the type lies
		c.out.b = append(c.out.b[:0], "this is no picture\n"...)
		c.send()
	default:
		c.status = cmp.Or(atoi(mode), http.StatusNotFound)
		c.html(strconv.Itoa(c.status) + " " + http.StatusText(c.status))
		c.send()
	}
}

// flood sends megabytes of something that begins like a JPEG, until the client
// goes away.
func (c *call) flood(megabytes int) {
	c.w.Header().Set("Content-Type", "image/jpeg")
	block := make([]byte, 1<<20)
	copy(block, c.s.art.jpeg)
	for range megabytes {
		if _, err := c.w.Write(block); err != nil {
			return
		}
		clear(block[:len(c.s.art.jpeg)])
	}
}
