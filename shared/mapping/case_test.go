package mapping_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	diff "github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"stovasync/shared/mapping"
	"stovasync/shared/run"
)

var update = flag.Bool("update", false, "rewrite the expectations of testdata/cases")

// A case is a text archive: what must hold, settings.yaml (what differs from
// the defaults), event.yaml, row.json and want.json, which -update rewrites.
type settingsFile struct {
	Mapping         map[run.DataType]map[string]*string `yaml:"mapping"`
	Filters         map[run.DataType]string             `yaml:"filters"`
	ActiveStatuses  []string                            `yaml:"activeStatuses"`
	InactivePolicy  string                              `yaml:"inactivePolicy"`
	SponsorCategory string                              `yaml:"sponsorCategory"`
}

type eventFile struct {
	Stream    run.Stream         `yaml:"stream"`
	Zone      string             `yaml:"zone"` // "none" for an event without
	Language  string             `yaml:"language"`
	Questions []mapping.Question `yaml:"questions"`
	Tracks    map[string]string  `yaml:"tracks"`
}

// outcome is a mapping.Result as want.json shows it.
type outcome struct {
	Outcome      string         `json:"outcome"`
	Rule         string         `json:"rule,omitempty"`
	Reject       *run.Reject    `json:"reject,omitempty"`
	ID           string         `json:"fp_ext_id,omitempty"`
	Status       string         `json:"fp_status,omitempty"`
	Owner        string         `json:"fp_owner,omitempty"`
	Fields       map[string]any `json:"fields,omitempty"`
	LastModified string         `json:"source_lastmodified,omitempty"`
	Warnings     []run.Warning  `json:"warnings,omitempty"`
}

type level struct {
	ID    string `json:"fp_ext_id"`
	Name  string `json:"name"`
	Order int64  `json:"order,omitempty"`
}

// want is everything a row becomes.
type want struct {
	Users      *outcome      `json:"users,omitempty"`
	Sponsors   *outcome      `json:"sponsors,omitempty"`
	Level      *level        `json:"sponsor-levels,omitempty"`
	Picks      []pick        `json:"picks,omitempty"`
	Sessions   *outcome      `json:"sessions,omitempty"`
	Presenters *outcome      `json:"presenters,omitempty"`
	Warnings   []run.Warning `json:"warnings,omitempty"`
}

type pick struct {
	Candidates []string `json:"candidates"`
	Row        *outcome `json:"schedule"`
}

func shown(r mapping.Result) *outcome {
	return &outcome{r.Outcome.String(), r.Rule, r.Reject, r.ID, r.Status, r.Owner, r.Fields, r.LastModified, r.Warnings}
}

func TestCases(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/cases/*.txtar")
	if err != nil || len(files) < 40 {
		t.Fatalf("cases: %d files, error %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			runCase(t, file)
		})
	}
}

func runCase(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(bytes.TrimSpace(archive.Comment)) == 0 {
		t.Fatal("the case does not say what must hold")
	}
	parts := map[string][]byte{}
	for _, f := range archive.Files {
		parts[f.Name] = f.Data
	}
	got, err := json.MarshalIndent(mapCase(t, parts), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		archive.Files = append(archive.Files[:0:0], archive.Files...)
		for i := range archive.Files {
			if archive.Files[i].Name == "want.json" {
				archive.Files[i].Data = got
			}
		}
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := diff.Diff(string(parts["want.json"]), string(got)); d != "" {
		t.Errorf("%s\nwant.json (-want +got):\n%s", archive.Comment, d)
	}
}

func mapCase(t *testing.T, parts map[string][]byte) want {
	t.Helper()
	set, m, e := caseMapper(t, parts)
	row, err := m.Row(e.Stream, parts["row.json"])
	if err != nil {
		t.Fatal(err)
	}
	defer row.Release()
	out := want{Warnings: append(set.Warnings(), m.Warnings()...)}
	switch e.Stream {
	case run.SessionStream:
		out.Sessions = shown(m.Sessions(row))
	case run.Speakers:
		out.Presenters = shown(m.Presenters(row))
	default:
		out.Users = shown(m.Users(row))
		out.Sponsors = shown(m.Sponsors(row))
		if id, name, ok := m.Level(row); ok {
			out.Level = &level{ID: id, Name: name}
			out.Level.Order, _ = m.LevelOrder(row)
		}
		for _, p := range m.Picks(row) {
			out.Picks = append(out.Picks, pick{p.Candidates, shown(m.Schedule(row, p.Candidates[0], p))})
		}
	}
	return out
}

func caseMapper(t *testing.T, parts map[string][]byte) (*mapping.Set, *mapping.Mapper, eventFile) {
	t.Helper()
	var s settingsFile
	var e eventFile
	if err := yaml.UnmarshalWithOptions(parts["settings.yaml"], &s, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalWithOptions(parts["event.yaml"], &e, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	if s.ActiveStatuses == nil {
		s.ActiveStatuses = []string{"Confirmed", "Attended"}
	}
	e.Stream = cmp.Or(e.Stream, run.Attendees)
	set, err := mapping.Compile(mapping.Settings(s))
	if err != nil {
		t.Fatal(err)
	}
	event := mapping.Event{ID: "900100001", Language: e.Language, Questions: e.Questions, Tracks: e.Tracks}
	if zone := cmp.Or(e.Zone, "Europe/London"); zone != "none" {
		if event.Zone, err = time.LoadLocation(zone); err != nil {
			t.Fatal(err)
		}
	}
	return set, set.For(event), e
}
