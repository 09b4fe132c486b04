package stova

import (
	"html"
	"strings"
	"time"
)

// zoneIDs are the vendor's zone numbers that are seen (stova-api.md §6). The
// rest of its table was not readable; an unknown number tells no zone.
var zoneIDs = map[string]string{
	"6":  "America/Phoenix",
	"14": "America/New_York",
	"27": "Europe/London",
	"29": "Europe/Belgrade",
}

// zoneTexts are beginnings of getEvent's timezone after its "[GMT…] ". The
// first two are seen; the others follow the same list of display names and
// stand for one zone each.
var zoneTexts = map[string]string{
	"greenwich mean time: dublin":               "Europe/London",
	"eastern time (us & canada)":                "America/New_York",
	"central time (us & canada)":                "America/Chicago",
	"mountain time (us & canada)":               "America/Denver",
	"pacific time (us & canada)":                "America/Los_Angeles",
	"arizona":                                   "America/Phoenix",
	"amsterdam, berlin, bern":                   "Europe/Berlin",
	"brussels, copenhagen, madrid, paris":       "Europe/Paris",
	"belgrade, bratislava, budapest, ljubljana": "Europe/Belgrade",
	"abu dhabi, muscat":                         "Asia/Dubai",
	"kuala lumpur, singapore":                   "Asia/Singapore",
	"osaka, sapporo, tokyo":                     "Asia/Tokyo",
	"canberra, melbourne, sydney":               "Australia/Sydney",
	"auckland, wellington":                      "Pacific/Auckland",
	"chennai, kolkata, mumbai, new delhi":       "Asia/Kolkata",
	"beijing, chongqing, hong kong":             "Asia/Shanghai",
}

// zoneOf returns the IANA name of a zone that the vendor names in any of its
// three ways, or "". A name counts only if the time zone database has it.
func zoneOf(name, id, text string) string {
	for _, n := range []string{name, text} {
		if !strings.Contains(n, "/") && n != "UTC" {
			continue
		}
		if _, err := time.LoadLocation(n); err == nil {
			return n
		}
	}
	if z := zoneIDs[id]; z != "" {
		return z
	}
	text = html.UnescapeString(text)
	if _, after, ok := strings.Cut(text, "]"); ok {
		text = after
	}
	text = strings.ToLower(strings.TrimSpace(text))
	for start, z := range zoneTexts {
		if strings.HasPrefix(text, start) {
			return z
		}
	}
	return ""
}
