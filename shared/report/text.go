package report

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// count writes a whole number with commas between its thousands.
func count(n int) string {
	s := strconv.Itoa(n)
	digits := strings.TrimPrefix(s, "-")
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	if n < 0 {
		return "-" + digits
	}
	return digits
}

// things writes a number with its noun: 1 page, 2 pages, no page.
func things(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return count(n) + " " + noun + "s"
}

// stamp writes a moment as people read it, in UTC; "" for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

// iso writes a moment as machines read it.
func iso(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// seconds writes a length of time: 38 ms, 3.2 s, 4m12s or 2h3m.
func seconds(s float64) string {
	switch d := time.Duration(s * float64(time.Second)); {
	case d > 0 && d < 100*time.Millisecond:
		return strconv.FormatInt(max(1, d.Milliseconds()), 10) + " ms"
	case d < time.Minute:
		return strconv.FormatFloat(s, 'f', 1, 64) + " s"
	case d < time.Hour:
		return d.Round(time.Second).String()
	default:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
}

// amount writes a measured amount: whole from a thousand on, else its first
// three digits.
func amount(v float64) string {
	if v >= 1000 || v == math.Trunc(v) {
		return count(int(math.Round(v)))
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// dollars writes an amount with four decimals, and of a smaller one as many as
// tell its first two digits.
func dollars(usd float64) string {
	decimals := 4
	if usd > 0 {
		decimals = max(decimals, 1-int(math.Floor(math.Log10(usd))))
	}
	return "$" + strconv.FormatFloat(usd, 'f', decimals, 64)
}

// plain writes the value of a field as people read it; "" when there is none.
func plain(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case json.Number:
		return v.String()
	case time.Time:
		return v.Format(time.RFC3339)
	case []string:
		return strings.Join(v, ", ")
	case []any:
		parts := make([]string, len(v))
		for i, x := range v {
			parts[i] = plain(x)
		}
		return strings.Join(parts, ", ")
	case map[string]any:
		b, err := json.Marshal(v)
		if err != nil {
			return fmt.Sprint(v)
		}
		return string(b)
	default:
		return fmt.Sprint(v)
	}
}
