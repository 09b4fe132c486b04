package mapping

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// Hash returns the content hash of a record: 32 hexadecimal digits (half a
// SHA-256) over its mapped fields and its fp_status. The order of the fields
// does not matter, nor does the Go type a store gives back: 5 and 5.0 are one
// number, []any and []string of the same texts are one list. Every part goes
// in with its length, so that no two records share their bytes.
func Hash(fields map[string]any, status string) string {
	buf := make([]byte, 0, 1024)
	buf = appendText(buf, 's', status)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		buf = appendText(buf, 'f', name)
		buf = appendHashed(buf, fields[name])
	}
	return digest(buf)
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

func appendText(buf []byte, tag byte, s string) []byte {
	buf = append(buf, tag)
	buf = strconv.AppendInt(buf, int64(len(s)), 10)
	buf = append(buf, ':')
	return append(buf, s...)
}

func appendHashed(buf []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return appendText(buf, 't', v)
	case bool:
		return strconv.AppendBool(append(buf, 'b'), v)
	case int64:
		return append(strconv.AppendInt(append(buf, 'n'), v, 10), ';')
	case int:
		return appendHashed(buf, int64(v))
	case float64:
		// The shortest form of a whole float64 below 2^53 is that of the integer.
		if v == float64(int64(v)) && v < 1<<53 && v > -(1<<53) {
			return appendHashed(buf, int64(v))
		}
		return append(strconv.AppendFloat(append(buf, 'n'), v, 'g', -1, 64), ';')
	case []string:
		buf = append(strconv.AppendInt(append(buf, 'l'), int64(len(v)), 10), ':')
		for _, s := range v {
			buf = appendText(buf, 't', s)
		}
		return buf
	case []any:
		buf = append(strconv.AppendInt(append(buf, 'l'), int64(len(v)), 10), ':')
		for _, e := range v {
			buf = appendHashed(buf, e)
		}
		return buf
	default:
		return appendText(buf, 'x', fmt.Sprint(v))
	}
}
