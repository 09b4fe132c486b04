package config_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/config"
	"stovasync/shared/fault"
	"stovasync/shared/mapping"
	"stovasync/shared/run"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// compile is the check that the command line gives.
func compile(c run.Connection) error {
	_, err := mapping.Compile(mapping.Settings{
		Mapping: c.Mapping, Filters: c.Filters, ActiveStatuses: c.ActiveStatuses, InactivePolicy: c.InactivePolicy,
	})
	return err
}

// told is what a person sees of an error, on a terminal of 80 columns.
func told(err error) string {
	var b strings.Builder
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		fmt.Fprintln(&b, e)
		if m, ok := errors.AsType[*config.Mistake](e); ok {
			if x := m.Excerpt(80); x != "" {
				fmt.Fprintln(&b, x)
			}
		}
	}
	return b.String()
}

// Each file of testdata/mapping-errors has mistakes; the golden file beside it
// is what a person is told. Files whose name begins with connection are read as
// connection files.
func TestMistakesOfMappingFilesAreShownInTheirLine(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/mapping-errors/*.yaml")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, error %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			t.Parallel()
			doc, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(filepath.Base(file), "connection") {
				_, err = config.ParseConnection(doc, compile)
			} else {
				_, err = config.ParseMappingFile(string(doc), compile)
			}
			if err == nil {
				t.Fatal("no error")
			}
			got, golden := told(err), strings.TrimSuffix(file, ".yaml")+".golden"
			if strings.Contains(got, "INVENTEDKEY") || strings.Contains(got, "0123456789abcdef") {
				t.Fatalf("the key is shown:\n%s", got)
			}
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("told (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseMappingFile(t *testing.T) {
	t.Parallel()
	photo := map[run.DataType]map[string]*string{run.Users: {"photo": new("responses.photo"), "title": nil}}
	filters := map[run.DataType]string{run.Users: `registrationstatus != "Incomplete"`}
	const fields = "users: {photo: responses.photo, title: null}"
	tests := map[string]struct {
		in   string
		want config.MappingFile
	}{
		"a bare mapping":               {fields, config.MappingFile{Mapping: photo}},
		"types by their other names":   {"people: {photo: responses.photo, title: null}", config.MappingFile{Mapping: photo}},
		"a mapping under its name":     {"mapping: {" + fields + "}", config.MappingFile{Mapping: photo}},
		"filters alone":                {"filters:\n  users: registrationstatus != \"Incomplete\"\n", config.MappingFile{Filters: filters}},
		"sections that say none":       {"mapping:\nfilters: {}\nprotect: {}\n", config.MappingFile{Mapping: map[run.DataType]map[string]*string{}, Filters: map[run.DataType]string{}, Protect: map[run.DataType]map[string][]string{}}},
		"protected fields":             {"mapping: {" + fields + "}\nprotect: {users: {'1': [photo]}}", config.MappingFile{Mapping: photo, Protect: map[run.DataType]map[string][]string{run.Users: {"1": {"photo"}}}}},
		"a whole connection file":      {minimal + "key: INVENTEDKEY\nmapping: {" + fields + "}\n", config.MappingFile{Name: "summit", Mapping: photo}},
		"part of a connection file":    {"name: summit\npageSize: wrong, but of no matter here\nmapping: {" + fields + "}\n", config.MappingFile{Name: "summit", Mapping: photo}},
		"a file of unmapped types":     {"users:\n", config.MappingFile{}},
		"a byte order mark and CRLF":   {"\xef\xbb\xbfusers:\r\n  photo: responses.photo\r\n  title: null\r\n", config.MappingFile{Mapping: photo}},
		"an expression over two lines": {"users:\n  title: null\n  photo: >-\n    responses.photo\n", config.MappingFile{Mapping: photo}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := config.ParseMappingFile(tt.in, compile)
			if err != nil {
				t.Fatal(err)
			}
			got.Places = nil
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("ParseMappingFile (-want +got):\n%s", diff)
			}
		})
	}
}

// Mistakes that only a later look finds, at the mapping together with the
// connection's settings, are placed by who looks.
func TestPlacesOfLaterMistakes(t *testing.T) {
	t.Parallel()
	f, err := config.ParseMappingFile("users:\n  company: frist(company)\n")
	if err != nil {
		t.Fatal(err)
	}
	err = f.Places.Put(compile(run.Connection{Mapping: f.Mapping, ActiveStatuses: []string{"Confirmed"}}))
	if fault.CodeOf(err) != fault.MappingInvalid {
		t.Fatalf("error = %v", err)
	}
	m, ok := errors.AsType[*config.Mistake](err)
	if want := (config.Position{Line: 2, Column: 12}); !ok || m.At != want {
		t.Errorf("error = %v, want it at %v", err, want)
	}
	if err := f.Places.Put(nil); err != nil {
		t.Errorf("Put(nil) = %v", err)
	}
	other := fault.New(fault.StoreUnavailable, "of another kind", "")
	if err := f.Places.Put(other); fault.CodeOf(err) != fault.StoreUnavailable {
		t.Errorf("Put of another error = %v", err)
	}
}

func TestARenderedMappingIsReadBack(t *testing.T) {
	t.Parallel()
	want := map[run.DataType]map[string]*string{
		run.Users:    {"photo": new("responses.photo"), "company": new(`first(company, "a: b # c")`), "phone": nil},
		run.Sessions: {"in_slot": new(`responses["60001"]`), "null": new("true")},
	}
	got, err := config.ParseMappingFile(string(config.RenderMapping(want)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.Mapping); diff != "" {
		t.Errorf("-want +got:\n%s\nof\n%s", diff, config.RenderMapping(want))
	}
}
