package report_test

import (
	"fmt"
	"time"

	"stovasync/shared/pipeline"
	"stovasync/shared/preview"
	"stovasync/shared/report"
	"stovasync/shared/run"
)

// taken is when the invented previews and runs happened.
func taken() time.Time { return time.Date(2031, 3, 4, 9, 30, 12, 0, time.UTC) }

// userPreview is an invented preview of users as operators see it, masked.
func userPreview() preview.Report {
	r := preview.Report{
		Connection: "summit", Type: run.Users, Event: "Lakeside Summit 2031", EventID: "900100001", Zone: "Europe/Zurich", Taken: taken(),
		Sampled: 20, Asked: 20, APICalls: 27, Seconds: 3.42, CallSeconds: 3.11, InactivePolicy: "cancel",
		Statuses: map[string]int{"active": 13, "cancelled": 2},
		Fields: []preview.Field{
			{Name: "fp_ext_id", Locked: true, Filled: 15}, {Name: "fp_status", Locked: true, Filled: 15},
			{Name: "fname", Expression: "fname", Default: true, Filled: 15}, {Name: "lname", Expression: "lname", Default: true, Filled: 14},
			{Name: "email", Expression: "email", Default: true, Filled: 15}, {Name: "title", Expression: "prefix", Default: true, Filled: 3},
			{Name: "position", Expression: "title", Default: true, Filled: 11}, {Name: "company", Expression: "company", Default: true, Filled: 14},
			{Name: "country", Expression: "country", Default: true, Filled: 15},
			{Name: "phone", Expression: "first(phone(mphone), phone(wphone))", Default: true, Filled: 6},
			{Name: "photo", Expression: "responses.please_upload_your_portrait", Filled: 9}, {Name: "external_qr_value", Expression: "attendeeid", Filled: 15},
			{Name: "biography", Filled: 0}, {Name: "registrationtype", Expression: "category.name", Default: true, Filled: 15},
			{Name: "fp_locale", Expression: "language2(language)", Default: true, Filled: 15},
		},
		Columns: []preview.Column{
			{Expression: "attendeeid", Label: "attendeeid", Filled: 20, Samples: []string{"8…1", "8…2", "8…3"}, Kind: "number", MappedTo: []string{"external_qr_value"}},
			{Expression: "registrationstatus", Label: "registrationstatus", Filled: 20, Samples: []string{"C…d", "A…d", "C…l"}, Kind: "text"},
			{Expression: "fname", Label: "First name", Page: "1", Filled: 20, Samples: []string{"M…a", "J…s", "A…e"}, Kind: "text", MappedTo: []string{"fname"}},
			{Expression: "lname", Label: "Last name", Page: "1", Filled: 19, Samples: []string{"K…n", "O…i", "B…t"}, Kind: "text", MappedTo: []string{"lname"}},
			{Expression: "email", Label: "E-mail address", Page: "1", Filled: 20, Samples: []string{"m…@e….test", "j…@e….test"}, Kind: "email", MappedTo: []string{"email"}},
			{Expression: "prefix", Label: "prefix", Filled: 4, Samples: []string{"D…r"}, Kind: "text", MappedTo: []string{"title"}},
			{Expression: "company", Label: "Company or organisation", Page: "1", Filled: 18, Samples: []string{"L…s", "T…G", "N…o"}, Kind: "text", MappedTo: []string{"company"}},
			{Expression: "mphone", Label: "mphone", Filled: 8, Samples: []string{"4…|7…|…8"}, Kind: "text", MappedTo: []string{"phone"}},
			{Expression: "category.name", Label: "category.name", Filled: 20, Samples: []string{"D…e", "S…r", "P…s"}, Kind: "text", MappedTo: []string{"registrationtype"}},
			{Expression: "responses.please_upload_your_portrait", Label: "Please upload your portrait (JPEG or PNG, at least 400 × 400 pixels)", Page: "2", Filled: 11, Samples: []string{"m…n.jpg", "p…t.png", "I…4.jpeg"}, Kind: "file", PhotoCandidate: true, MappedTo: []string{"photo"}},
			{Expression: "responses.company_logo", Label: "Company logo", Page: "3", Filled: 2, Samples: []string{"l…o.png"}, Kind: "file", PhotoCandidate: true},
			{Expression: "responses.dietary_needs", Label: "Do you have any dietary needs? Tell us, so that the kitchen can plan.", Page: "2", Filled: 5, Samples: []string{"v…n", "n…e", "n…s"}, Kind: "text"},
			{Expression: "responses.arrival", Label: "Arrival", Page: "3", Filled: 17, Samples: []string{"2…3", "2…4"}, Kind: "date"},
			{Expression: "responses.website", Label: "Website", Page: "3", Filled: 6, Samples: []string{"h…t"}, Kind: "url"},
			{Expression: "responses[\"7060\"]", Label: "Newsletter", Page: "3", Filled: 20, Samples: []string{"1", "0"}, Kind: "flag"},
			{Expression: "created", Label: "created", Filled: 20, Samples: []string{"2…1", "2…9", "2…0"}, Kind: "time"},
			{Expression: "accessibility_note", Label: "accessibility_note", Filled: 0, Kind: "text"},
		},
		Filtered: []preview.Filtered{
			{ID: "800000004", Rule: "R4", Why: "category Sponsor: the row is synced as a sponsor, not as a user"},
			{ID: "800000011", Rule: "R4", Why: "category Sponsor: the row is synced as a sponsor, not as a user"},
			{ID: "800000016", Rule: "filter", Why: `filters.users: registrationstatus != "Incomplete"`},
		},
		Rejected: []preview.Rejected{
			{ID: "800000019", Code: "ROW_POISON", Reason: "the vendor's answer for the row keeps failing (HTTP 500)"},
			{Code: "ROW_NO_ID", Reason: "a listed row has no id"},
		},
		Warnings: []run.Warning{
			{Code: "MAPPING_INVALID", Message: "users.biography: no row has a column responses.short_biography; the nearest is responses.biography"},
			{Code: "COLUMN_VANISHED", Message: "the column responses.t_shirt_size was there at the last preview and is gone"},
			{Code: "USER_NO_NAME", Message: "attendee 800000013 has no last name"},
		},
		Protected: []preview.Protected{{ID: "800000002", Fields: []string{"company", "position"}, Stored: true}, {ID: "800000003", Fields: []string{"photo"}}},
	}
	for i := range 15 {
		record := map[string]any{
			"fp_ext_id": fmt.Sprint(800000001 + i), "fp_status": "active", "fname": string(rune('A'+i)) + "…a", "email": "a…@e….test",
			"company": "L…s", "country": "C…d", "external_qr_value": fmt.Sprint(800000001 + i), "registrationtype": "D…e", "fp_locale": "en",
		}
		if i != 12 {
			record["lname"] = "K…n"
		}
		if i%5 == 4 {
			record["title"] = "D…r"
		}
		if i%4 != 0 {
			record["position"] = "H…s"
		}
		if i%3 != 2 {
			record["photo"] = "p…t.png"
		}
		if i%2 == 0 {
			record["phone"] = "+4… 7…8"
		}
		if i > 12 {
			record["fp_status"] = "cancelled"
		}
		r.Synced = append(r.Synced, record)
	}
	return r
}

// sessionPreview is one of sessions with lists, flags and long texts, of a trial mapping.
func sessionPreview() preview.Report {
	return preview.Report{
		Connection: "summit", Type: run.Sessions, Event: "Lakeside Summit 2031", EventID: "900100001", Zone: "Europe/Zurich", Taken: taken(),
		Trial: true, Sampled: 3, Asked: 20, APICalls: 5, Seconds: 0.62, CallSeconds: 0.6,
		Fields: []preview.Field{
			{Name: "name", Expression: "first(name, reportname)", Default: true, Filled: 2}, {Name: "start", Locked: true, Filled: 2},
			{Name: "tag", Expression: "tracks", Default: true, Filled: 1}, {Name: "capacity", Expression: "int(track_1_max)", Filled: 1},
		},
		Columns: []preview.Column{{Expression: "name", Label: "name", Filled: 3, Samples: []string{"O…g", "C…n"}, Kind: "text", MappedTo: []string{"name"}}},
		Synced: []map[string]any{
			{"fp_ext_id": "0301_07", "fp_status": "active", "name": "O…g", "start": "2031-05-06T09:00:00+02:00", "tag": []any{"P…y", "K…s"}, "capacity": 120.0, "is_master": true},
			{"fp_ext_id": "0302", "fp_status": "hidden", "name": "C…n", "start": "2031-05-06T11:00:00+02:00", "is_master": false},
		},
		Rejected: []preview.Rejected{{ID: "0303", Code: "ROW_NO_TIMES", Reason: "the session has no end"}},
	}
}

// smallRun is one run of two types that wrote something, alone in its history.
func smallRun() report.RunDetail {
	return report.RunDetail{
		Run: pipeline.RunView{
			Run: "20310304T090000Z-3f2a0b1c", Connection: "summit", State: run.Complete, Mode: run.Full,
			Started: taken(), Ended: taken().Add(12 * time.Second), Seconds: 12.4, Spent: pipeline.Spent{APICalls: 47},
			Types: map[run.DataType]pipeline.TypeView{
				run.Users:    {State: run.Complete, Mode: run.Full, Pages: pipeline.PagesView{Planned: 1, Done: 1}, Counts: run.Counts{Read: 20, New: 20}, Spent: pipeline.Spent{APICalls: 40}},
				run.Sessions: {State: run.Complete, Mode: run.Full, Spent: pipeline.Spent{APICalls: 7}},
			},
		},
		Grid: []pipeline.TypeGrid{
			{Type: run.Users, Listed: 20, Chosen: 20, Counted: 20, Cells: []pipeline.Cell{
				{Page: "1", State: pipeline.CellChanged, Rows: 20, Counts: run.Counts{Read: 20, New: 20}, Tries: 1},
			}},
			{Type: run.Sessions},
		},
	}
}

// troubledRun is a large run with something of everything, and fifty runs
// behind it, itself among them.
func troubledRun() report.RunDetail {
	d := report.RunDetail{Run: pipeline.RunView{
		Run: "20310304T090000Z-3f2a0b1c", Connection: "summit", State: run.Failed, Mode: run.Full,
		Started: taken(), Ended: taken().Add(37 * time.Minute), Seconds: 2237.8, TaskAge: 41.5,
		Spent:   pipeline.Spent{APICalls: 62_526, Throttles: 18, PhotoBytes: 81_400_000},
		CostUSD: 0.4182, Usage: map[string]float64{"dynamodb_write_units": 21_480, "dynamodb_read_units": 3120.5, "lambda_arm_gb_seconds": 812.25, "sqs_requests": 3421},
		Types: map[run.DataType]pipeline.TypeView{},
		Rejects: []run.Reject{
			{Type: run.Users, ID: "800000019", Code: "ROW_POISON", Reason: "the vendor's answer for the row keeps failing (HTTP 500)"},
			{Type: run.Sessions, ID: "0303", Code: "ROW_NO_TIMES", Reason: "the session has no end"},
			{Type: run.UserPhotos, ID: "800000044", Code: "PHOTO_TYPE", Reason: "the bytes are those of no picture"},
			{Type: run.Users, Code: "ROW_NO_ID", Reason: "a listed row has no id"},
		},
		Warnings: []run.Warning{
			{Code: "REMOVAL_REFUSED", Message: "412 of 20,000 users would be removed, above the limit of 10 records and 10 percent; approve with stovasync sync summit --approve-removals 412"},
			{Code: "USER_NO_EMAIL", Message: "attendee 800000101 has no e-mail address (and 11 more)"},
		},
	}}
	for i, t := range run.AllTypes() {
		pages := []int{400, 12, 3, 9, 400, 2, 0, 400}[i]
		grid, tv := bigType(t, i, pages)
		d.Grid = append(d.Grid, grid)
		for _, r := range d.Run.Rejects {
			if r.Type == t {
				tv.Counts.Read, tv.Counts.Rejected = tv.Counts.Read+1, tv.Counts.Rejected+1
			}
		}
		d.Run.Types[t] = tv
	}
	levels := d.Run.Types[run.SponsorLevels]
	levels.State, levels.Code = run.Failed, "STOVA_BODY"
	levels.Error = "STOVA_BODY: list of sponsor levels: not JSON, status 200; see who answers at endPoint"
	d.Run.Types[run.SponsorLevels] = levels
	d.History = append([]pipeline.RunView{d.Run}, history(49)...)
	return d
}

// bigType is one type with pages of every state.
func bigType(t run.DataType, at, pages int) (pipeline.TypeGrid, pipeline.TypeView) {
	g := pipeline.TypeGrid{Type: t}
	tv := pipeline.TypeView{State: run.Complete, Mode: run.Full, Pages: pipeline.PagesView{Planned: pages}, Spent: pipeline.Spent{APICalls: pages * 51}}
	for i := range pages {
		c := pipeline.Cell{Page: fmt.Sprint(i + 1), State: pipeline.CellUnchanged, Rows: 50, Tries: 1, Counts: run.Counts{Read: 50, Unchanged: 50}}
		switch (i*7 + at) % 53 {
		case 3, 5, 7, 11:
			c.State, c.Counts = pipeline.CellChanged, run.Counts{Read: 50, Changed: 2, Unchanged: 47, Filtered: 1}
		case 13:
			c.State, c.Tries = pipeline.CellRetried, 3
		case 17:
			c.State, c.Page = pipeline.CellSplit, c.Page+".1"
		case 19:
			c.State, c.Covered = pipeline.CellDone, true
		case 23:
			c.State, c.Counts, c.Tries, c.Code = pipeline.CellFailed, run.Counts{}, 5, "STOVA_SERVER"
			c.Error = "STOVA_SERVER: attendee details: status 503; wait, then redrive"
		case 29:
			if i > 200 {
				c.State, c.Counts, c.Code = pipeline.CellFailed, run.Counts{}, "STOVA_TIMEOUT"
				c.Error = "STOVA_TIMEOUT: attendee details: no answer in 30 s"
			}
		}
		if c.State == pipeline.CellFailed {
			tv.State = run.Partial
			tv.Pages.Failed++
			g.Chosen += c.Rows
		} else {
			tv.Pages.Done++
			g.Chosen, g.Counted = g.Chosen+c.Rows, g.Counted+c.Rows
		}
		tv.Counts = tv.Counts.Plus(c.Counts)
		g.Cells = append(g.Cells, c)
	}
	g.Listed = g.Chosen
	if missing := g.Chosen - g.Counted; missing > 0 {
		g.Difference = fmt.Sprintf("%d rows are of %d failed pages", missing, tv.Pages.Failed)
	}
	return g, tv
}

// history are n runs, the newest first, every half hour, weekly ones full.
func history(n int) []pipeline.RunView {
	var out []pipeline.RunView
	for i := range n {
		v := pipeline.RunView{
			Run: fmt.Sprintf("20310304T%06dZ-%08x", 85959-i, i*7919), Connection: "summit", State: run.Complete, Mode: run.Incremental,
			Started: taken().Add(-time.Duration(i+1) * 30 * time.Minute), Seconds: 20 + float64(i*37%23), Spent: pipeline.Spent{APICalls: 60 + i*13%40}, CostUSD: 0.0021,
			Types: map[run.DataType]pipeline.TypeView{run.Users: {State: run.Complete, Counts: run.Counts{Changed: i * 31 % 60, New: i * 7 % 11}}},
		}
		v.Ended = v.Started.Add(time.Duration(v.Seconds) * time.Second)
		switch {
		case i == 20:
			v.Mode, v.Seconds = run.Full, 2100
			v.Types = map[run.DataType]pipeline.TypeView{run.Users: {State: run.Complete, Counts: run.Counts{Changed: 1220, New: 4}}}
		case i%17 == 5:
			v.State = run.Partial
			v.Types = map[run.DataType]pipeline.TypeView{run.Users: {State: run.Partial, Pages: pipeline.PagesView{Planned: 4, Done: 2, Failed: 2}}}
		}
		out = append(out, v)
	}
	return out
}

// runningRun has planned some of its types and ended none.
func runningRun() report.RunDetail {
	d := report.RunDetail{
		Run: pipeline.RunView{
			Run: "20310304T093000Z-77aa0b1c", Connection: "summit", State: run.Running, Mode: run.Incremental, Started: taken(), Seconds: 8.1,
			Types: map[run.DataType]pipeline.TypeView{
				run.Users:      {State: run.Running, Pages: pipeline.PagesView{Planned: 6, Done: 2}, Counts: run.Counts{Read: 100, Changed: 4, Unchanged: 96}},
				run.UserPhotos: {State: run.Waiting},
			},
		},
		Grid: []pipeline.TypeGrid{{Type: run.Users, Listed: 300, Chosen: 300, Counted: 100, Difference: "200 rows are of 4 pages that are not settled"}, {Type: run.UserPhotos}},
	}
	for i := range 6 {
		c := pipeline.Cell{Page: fmt.Sprint(i + 1), State: pipeline.CellQueued, Rows: 50}
		if i < 2 {
			c.State, c.Tries, c.Counts = pipeline.CellChanged, 1, run.Counts{Read: 50, Changed: 2, Unchanged: 48}
		}
		d.Grid[0].Cells = append(d.Grid[0].Cells, c)
	}
	d.History = append([]pipeline.RunView{d.Run}, history(3)...)
	return d
}
