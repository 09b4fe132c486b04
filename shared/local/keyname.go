package local

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"
)

const (
	maxKey     = 1024 // of a key, as in a bucket
	maxSegment = 255  // of a file's name
)

// keyName returns the slash-separated file name of a key. Letters, digits and
// a few marks stand for themselves; every other byte, and a dot that begins a
// segment, is written %XX, so that any key works on any file system and none
// leaves the folder. It is reversible: segmentOf.
func keyName(key string) (string, error) {
	if key == "" || len(key) > maxKey {
		return "", refuse("object key of %d bytes: 1 to %d are allowed", len(key), maxKey)
	}
	segs := strings.Split(key, "/")
	for i, seg := range segs {
		if seg == "" || seg == "." || seg == ".." {
			return "", refuse("object key has an empty or dot segment")
		}
		if segs[i] = fileName(seg); len(segs[i]) > maxSegment {
			return "", refuse("object key has a segment that is too long for a file's name")
		}
	}
	return strings.Join(segs, "/"), nil
}

const hexDigits = "0123456789ABCDEF"

func fileName(seg string) string {
	var b strings.Builder
	for i := range len(seg) {
		c := seg[i]
		if isPlain(c) || c == '.' && i > 0 && i < len(seg)-1 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hexDigits[c>>4])
		b.WriteByte(hexDigits[c&15])
	}
	return b.String()
}

func isPlain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_=@+,", c) >= 0
}

// segmentOf returns the segment that fileName made name from, and false for a
// name it never makes.
func segmentOf(name string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if name[i] != '%' {
			b.WriteByte(name[i])
			continue
		}
		if i+2 >= len(name) {
			return "", false
		}
		hi, lo := strings.IndexByte(hexDigits, name[i+1]), strings.IndexByte(hexDigits, name[i+2])
		if hi < 0 || lo < 0 {
			return "", false
		}
		b.WriteByte(byte(hi<<4 | lo))
		i += 2
	}
	seg := b.String()
	return seg, fileName(seg) == name
}

// isAbsent reports that a path leads nowhere, also because a file stands where
// it needs a folder.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}
