package stova

import (
	"bytes"
	"testing"

	"golang.org/x/text/encoding/charmap"
)

func TestEveryByteOfWindows1252IsWhatItsTableSays(t *testing.T) {
	t.Parallel()
	var all []byte
	for b := range 256 {
		all = append(all, byte(b))
	}
	want, err := charmap.Windows1252.NewDecoder().Bytes(all)
	if err != nil {
		t.Fatal(err)
	}
	buf := bytes.NewBuffer(all)
	fromWindows1252(buf)
	if got := []rune(buf.String()); len(got) != 256 || buf.String() != string(want) {
		for b, r := range []rune(string(want)) {
			if b >= len(got) || got[b] != r {
				t.Errorf("byte %#x: want %q", b, r)
			}
		}
	}
}
