package config

import (
	"bytes"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"stovasync/shared/run"
)

// Render writes a connection as the YAML file that ParseConnection reads back
// to the same settings. The key is not part of a connection, so not of the file.
func Render(c run.Connection) []byte {
	var w writer
	w.text(0, "name", c.Name)
	w.text(0, "endPoint", c.EndPoint)
	w.text(0, "accountid", c.AccountID)
	w.text(0, "eventid", c.EventID)
	inline(&w, 0, "activeStatuses", c.ActiveStatuses)
	w.line(0, "only_data_modified_up_to_a_day_since_last_sync", strconv.FormatBool(c.OnlyModified))
	w.optional("presenterPhotoEndpoint", c.PresenterPhotoEndpoint)
	w.optional("personPhotoEndpoint", c.PersonPhotoEndpoint)
	w.optional("ConcurrentSessionsTitle", c.ConcurrentSessionsTitle)
	w.line(0, "pageSize", strconv.Itoa(c.PageSize))
	w.optional("timezone", c.Timezone)
	inline(&w, 0, "dataTypes", c.DataTypes)
	w.text(0, "inactivePolicy", c.InactivePolicy)
	section(&w, 0, "removeOutdated", c.RemoveOutdated, func(t string, on bool) { w.line(1, t, strconv.FormatBool(on)) })
	w.line(0, "removalLimit", "")
	w.line(1, "records", strconv.Itoa(c.RemovalLimit.Records))
	w.line(1, "percent", strconv.Itoa(c.RemovalLimit.Percent))
	w.line(0, "rawRetentionDays", strconv.Itoa(c.RawRetentionDays))
	w.line(0, "requestsPerMinute", strconv.Itoa(c.RequestsPerMinute))
	w.line(0, "retryBaseSeconds", strconv.FormatFloat(c.RetryBaseSeconds, 'f', -1, 64))
	inline(&w, 0, "allowedPhotoHosts", c.AllowedPhotoHosts)
	w.line(0, "allowPrivateHosts", strconv.FormatBool(c.AllowPrivateHosts))
	section(&w, 0, "mapping", c.Mapping, func(t string, fields map[string]*string) {
		section(&w, 1, t, fields, func(field string, expression *string) {
			if expression == nil {
				w.line(2, field, "null")
			} else {
				w.text(2, field, *expression)
			}
		})
	})
	section(&w, 0, "filters", c.Filters, func(t, expression string) { w.text(1, t, expression) })
	section(&w, 0, "protect", c.Protect, func(t string, records map[string][]string) {
		section(&w, 1, t, records, func(id string, fields []string) { inline(&w, 2, id, fields) })
	})
	return w.b.Bytes()
}

// dotted is a plain name of a column, which YAML reads as it is.
var dotted = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+$`)

// RenderMapping writes a mapping as a file of its own, which ParseMappingFile
// reads back.
func RenderMapping(m map[run.DataType]map[string]*string) []byte {
	var w writer
	for _, t := range slices.Sorted(maps.Keys(m)) {
		section(&w, 0, string(t), m[t], func(field string, expression *string) {
			switch {
			case expression == nil:
				w.line(1, field, "null")
			case dotted.MatchString(*expression):
				w.line(1, field, *expression)
			default:
				w.text(1, field, *expression)
			}
		})
	}
	return w.b.Bytes()
}

// writer writes block YAML. Scalars that could be read as anything else than
// the text they are become JSON strings, which YAML reads as they are.
type writer struct{ b bytes.Buffer }

func (w *writer) line(depth int, name, value string) {
	w.b.WriteString(strings.Repeat("  ", depth) + quoted(name) + ":")
	if value != "" {
		w.b.WriteString(" " + value)
	}
	w.b.WriteByte('\n')
}

func (w *writer) text(depth int, name, value string) { w.line(depth, name, quoted(value)) }

func (w *writer) optional(name, value string) {
	if value != "" {
		w.text(0, name, value)
	}
}

// inline writes values on one line.
func inline[S ~string](w *writer, depth int, name string, values []S) {
	out := make([]string, 0, len(values))
	for _, v := range values {
		out = append(out, quoted(string(v)))
	}
	w.line(depth, name, "["+strings.Join(out, ", ")+"]")
}

// section writes a table in the order of its names, or nothing when it is empty.
func section[K ~string, V any](w *writer, depth int, name string, m map[K]V, entry func(string, V)) {
	if len(m) == 0 {
		return
	}
	w.line(depth, name, "")
	for _, k := range slices.Sorted(maps.Keys(m)) {
		entry(string(k), m[k])
	}
}

var plainPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// quoted returns s as a plain YAML scalar where that is safe, else as JSON.
func quoted(s string) string {
	if plainPattern.MatchString(s) && !slices.Contains([]string{"null", "true", "false"}, strings.ToLower(s)) {
		return s
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string always encodes
	return strings.TrimSuffix(b.String(), "\n")
}
