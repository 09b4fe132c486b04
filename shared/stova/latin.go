package stova

import "bytes"

// gone stands for a byte that is no character.
const gone = '\ufffd'

// windows1252 are the characters of the bytes 0x80 to 0x9f, where Windows-1252
// differs from Latin-1; five of them are none (unicode.org,
// MAPPINGS/VENDORS/MICSFT/WINDOWS/CP1252.TXT). A table of our own, since
// the one of x/text brings those of forty other encodings, of which the linker
// can drop none: a tenth of a megabyte in every function.
var windows1252 = [32]rune{
	'€', gone, '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', gone, 'Ž', gone,
	gone, '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', gone, 'ž', 'Ÿ',
}

// fromWindows1252 makes buf, text in Windows-1252, text in UTF-8.
func fromWindows1252(buf *bytes.Buffer) {
	text := bytes.Clone(buf.Bytes())
	buf.Reset()
	for _, b := range text {
		r := rune(b)
		if b >= 0x80 && b < 0xa0 {
			r = windows1252[b-0x80]
		}
		buf.WriteRune(r)
	}
}
