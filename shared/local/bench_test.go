package local_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"stovasync/shared/local"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// benchmarkPage is a page of 300 users as a mapping makes them, about 1 KB each.
func benchmarkPage(n int, fetched time.Time) []pipeline.RecordUpdate {
	page := make([]pipeline.RecordUpdate, 300)
	for i := range page {
		id := fmt.Sprint(1_000_000 + (n*300+i)*7919%900_000)
		page[i] = pipeline.RecordUpdate{
			ID: id,
			Set: map[string]any{
				"fname": "Ada", "lname": "Invented " + id, "email": id + "@example.test", "company": "Invented Engines",
				"title": "Chief of Tests", "phone": "+41 00 000 00 00", "city": "Nowhere", "country": "CH",
				"language": "en", "biography": "A life that nobody has led, told at the length that such texts have. Once more, a life that nobody has led.",
				"created": "2026-03-01T09:30:00+01:00", "modified": "2026-03-02T10:00:00+01:00", "zone": "Europe/Zurich",
				"order": int64(i), "score": 1.5, "vip": true, "tags": []string{"one", "two", "three"},
			},
			Content: &pipeline.Record{
				Type: "person", Status: "active", Owner: "global", Run: "20260301T000000Z-0123", LastModified: "2026-03-02 10:00:00",
				Hash: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", FetchedAt: fetched,
			},
		}
	}
	return page
}

func BenchmarkRecordsNew(b *testing.B) {
	s := open(b, local.Options{})
	now := time.Now()
	for n := 0; b.Loop(); n++ {
		if _, err := s.Records().Update(b.Context(), "gala", run.Users, now, benchmarkPage(n, now)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(300*b.N)/b.Elapsed().Seconds(), "records/s")
}

func BenchmarkRecordsChanged(b *testing.B) {
	s := open(b, local.Options{})
	now := time.Now()
	for n := 0; b.Loop(); n++ {
		if _, err := s.Records().Update(b.Context(), "gala", run.Users, now, benchmarkPage(0, now.Add(time.Duration(n)))); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(300*b.N)/b.Elapsed().Seconds(), "records/s")
}

// An unchanged page reads its records and writes nothing.
func BenchmarkRecordsUnchanged(b *testing.B) {
	s := open(b, local.Options{})
	now := time.Now()
	ids := make([]string, 300)
	for i, u := range benchmarkPage(0, now) {
		ids[i] = u.ID
	}
	if _, err := s.Records().Update(b.Context(), "gala", run.Users, now, benchmarkPage(0, now)); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		got, err := s.Records().Get(b.Context(), "gala", run.Users, ids)
		if err != nil || len(got) != len(ids) {
			b.Fatal(len(got), err)
		}
	}
	b.ReportMetric(float64(300*b.N)/b.Elapsed().Seconds(), "records/s")
}

// A settle: one page and its type run change in one transaction.
func BenchmarkSettle(b *testing.B) {
	s := open(b, local.Options{})
	typeRun := pipeline.Key{PK: "RUN#20260301T000000Z-0123", SK: "TYPE#users"}
	doc := []byte(`{"state":"running","planned":100,"done":50,"failed":0,"counts":{"read":300,"new":10,"changed":5,"unchanged":285}}`)
	for n := 0; b.Loop(); n++ {
		page := pipeline.Key{PK: typeRun.PK, SK: fmt.Sprintf("PAGE#users#%d", n)}
		err := s.Items().Write(b.Context(), pipeline.Write{Key: page, Version: 0, Doc: doc},
			pipeline.Write{Key: typeRun, Version: int64(n), Doc: doc})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "settles/s")
}

// A task's way: sent, received, deleted.
func BenchmarkQueue(b *testing.B) {
	q := open(b, local.Options{}).Queue()
	task := run.Task{Kind: run.PageTask, Connection: "gala", Run: "20260301T000000Z-0123", Type: run.Users, Page: "1"}
	for b.Loop() {
		if err := q.Send(b.Context(), task); err != nil {
			b.Fatal(err)
		}
		msgs, err := q.Receive(b.Context(), run.TasksQueue, "gala", 1, time.Minute)
		if err != nil || len(msgs) != 1 {
			b.Fatal(len(msgs), err)
		}
		if err := q.Delete(b.Context(), msgs[0].Receipt); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
}

// A photo of 100 KB, or a gzipped raw page.
func BenchmarkObjectPut(b *testing.B) {
	s := open(b, local.Options{})
	body := strings.Repeat("0123456789", 10_000)
	for n := 0; b.Loop(); n++ {
		key := fmt.Sprintf("42/person/%d/photo.jpg", n)
		if _, err := s.Objects().Put(b.Context(), key, strings.NewReader(body), pipeline.ObjectInfo{IfAbsent: true}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "objects/s")
}

func BenchmarkScan(b *testing.B) {
	s := open(b, local.Options{})
	now := time.Now()
	for n := range 20 {
		if _, err := s.Records().Update(b.Context(), "gala", run.Users, now, benchmarkPage(n, now)); err != nil {
			b.Fatal(err)
		}
	}
	seen := 0
	for b.Loop() {
		for _, err := range s.Records().Scan(b.Context(), "gala", run.Users, pipeline.Scan{}) {
			if err != nil {
				b.Fatal(err)
			}
			seen++
		}
	}
	b.ReportMetric(float64(seen)/b.Elapsed().Seconds(), "records/s")
}
