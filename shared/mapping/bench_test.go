package mapping_test

import (
	"fmt"
	"strings"
	"testing"

	"stovasync/shared/mapping"
	"stovasync/shared/run"
)

// wideAttendee is an attendee of about 4 KB: every documented key, 21 answers
// and 3 agenda picks.
func wideAttendee() []byte {
	var b strings.Builder
	b.WriteString(`{"attendeeid":"800000001","parentid":"0","recordid":"","preload-recordid":"","imiscontactid":"","registrationstatus":"Confirmed",` +
		`"testregistration":"0","approvalstatus":"","category":{"categoryid":"3001","name":"Delegate"},"subcategory":{"categoryid":"3010","name":"Member"},` +
		`"individualcost":"0.00","cost":"0.00","totalcost":"0.00","received":"0.00","tax":"0.00","statetax":"0.00","categorycost":"0.00",` +
		`"subcategorycost":"0.00","agendacost":"0.00","optioncost":"0.00","hotelcost":"0.00","guestcost":"0.00","adjustments":"0.00","balancedue":"0.00",` +
		`"discountcode":"","groupcount":"0","checkindate":"0000-00-00 00:00:00","invoicelink":"","billinginfo":"","created":"2031-01-10 09:00:01",` +
		`"createdby":"attendee","lastmodified":"2031-01-11 14:05:00","modifiedby":"attendee","last_lobby_login":"0000-00-00 00:00:00","language":"eng",` +
		`"virtual_event_attendance":"No","responses":{`)
	n := 0
	add := func(id int, field, name, page, key, text string) {
		if n++; n > 1 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"%d":{"questionid":"%d","fieldname":%q,"name":%q,"pageid":"1","page":%q,"choicekey":%q,"response":%q}`, n, id, field, name, page, key, text)
	}
	for i, pair := range [][2]string{{"fname", "Ada"}, {"mname", ""}, {"lname", "Invented"}, {"email", "ada@example.test"}, {"prefix", "Dr"},
		{"title", "Engineer"}, {"company", "Fictive &amp; Sons Ltd"}, {"country", "Nowhere"}, {"city", "Testham"}, {"website", ""},
		{"mphone", "44|7700|900001"}, {"wphone", ""}} {
		add(7001+i, pair[0], "Question "+pair[0], "Welcome", pair[1], pair[1])
	}
	for i := range 9 {
		add(7050+i, fmt.Sprint(7050+i), fmt.Sprintf("Invented question number %d", i), "Details", "2", "An invented answer")
	}
	for i := range 3 {
		add(60001+i, fmt.Sprint(60001+i), "Session", "Agenda", "1", "Session")
	}
	b.WriteString(`}}`)
	return []byte(b.String())
}

// BenchmarkRow reads a row and gives its memory back.
func BenchmarkRow(b *testing.B) {
	m, raw := defaultMapper(b), wideAttendee()
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		row, err := m.Row(run.Attendees, raw)
		if err != nil {
			b.Fatal(err)
		}
		row.Release()
	}
	rowsPerSecond(b)
}

// BenchmarkUsers reads a row and maps it to a user; less BenchmarkRow it is what
// the mapping alone costs.
func BenchmarkUsers(b *testing.B) {
	benchmarkMap(b, func(m *mapping.Mapper, row mapping.Row) bool { return m.Users(row).Outcome == mapping.Mapped })
}

// BenchmarkAttendee does all that one attendee costs: row, four types, hash.
func BenchmarkAttendee(b *testing.B) {
	benchmarkMap(b, func(m *mapping.Mapper, row mapping.Row) bool {
		res := m.Users(row)
		m.Sponsors(row)
		m.Level(row)
		for _, p := range m.Picks(row) {
			m.Schedule(row, p.Candidates[0], p)
		}
		return mapping.Hash(res.Fields, res.Status) != ""
	})
}

func benchmarkMap(b *testing.B, do func(*mapping.Mapper, mapping.Row) bool) {
	m, raw := defaultMapper(b), wideAttendee()
	b.ReportAllocs()
	for b.Loop() {
		row, err := m.Row(run.Attendees, raw)
		if err != nil || !do(m, row) {
			b.Fatal(err)
		}
		row.Release()
	}
	rowsPerSecond(b)
}

// BenchmarkHash hashes the fields of a user.
func BenchmarkHash(b *testing.B) {
	m := defaultMapper(b)
	row, err := m.Row(run.Attendees, wideAttendee())
	if err != nil {
		b.Fatal(err)
	}
	res := m.Users(row)
	b.ReportAllocs()
	for b.Loop() {
		mapping.Hash(res.Fields, res.Status)
	}
	rowsPerSecond(b)
}

// BenchmarkCompile compiles the default mapping.
func BenchmarkCompile(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := mapping.Compile(mapping.Settings{ActiveStatuses: []string{"Confirmed"}}); err != nil {
			b.Fatal(err)
		}
	}
}

func rowsPerSecond(b *testing.B) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
