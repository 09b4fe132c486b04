package emulator_test

import (
	"archive/zip"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stovasync/shared/emulator"
	"stovasync/shared/run"
	"stovasync/shared/stova/stovatest"
)

// moved copies a function to a folder of its own and returns its program. Of
// the files beside it only those come along that zones says, each changed by it.
func moved(t *testing.T, program string, zones func(zip []byte) (changed []byte, comes bool)) string {
	t.Helper()
	to := t.TempDir()
	text, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(to, "bootstrap"), text, 0o700); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(filepath.Dir(program), "zoneinfo.zip"))
	if err != nil {
		t.Fatal(err)
	}
	if changed, comes := zones(file); comes {
		if err := os.WriteFile(filepath.Join(to, "zoneinfo.zip"), changed, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(to, "bootstrap")
}

// asIn gives a zone the rules of another one.
func asIn(t *testing.T, file []byte, zone, other string) []byte {
	t.Helper()
	from, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	to := zip.NewWriter(&out)
	for _, f := range from.File {
		read := f
		if f.Name == zone {
			read = &zip.File{}
			for _, g := range from.File {
				if g.Name == other {
					read = g
				}
			}
		}
		in, err := read.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		w, err := to.CreateHeader(&zip.FileHeader{Name: f.Name, Method: zip.Store}) // Go's reader takes no other
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// The database of whatever machine a function runs on must not matter: here it
// would say that London is not where Tokyo is.
func TestAWSFunctionsTakeTimeZonesFromTheFileBesideThem(t *testing.T) {
	t.Parallel()
	event := stovatest.Options{Seed: 7, Attendees: -1, Sessions: 4, Speakers: -1, Sponsors: -1, PhotoShare: -1}
	w := newWorld(t, setting{
		event: event, more: "dataTypes: [sessions]\n",
		stack: emulator.Options{Change: func(_ string, c *emulator.FunctionConfig) {
			c.Program = moved(t, c.Program, func(file []byte) ([]byte, bool) {
				return asIn(t, file, stovatest.Generate(event).Zone, "Asia/Tokyo"), true
			})
		}},
	})
	w.complete(w.start())
	all := records(t, w.steps.Records)[run.Sessions]
	if len(all) == 0 {
		t.Fatal("no session is stored")
	}
	for id, r := range all {
		if start, _ := r.Fields["start"].(string); !strings.HasSuffix(start, "+09:00") {
			t.Errorf("session %s starts at %q: not by the file beside the function", id, start)
		}
	}
}

func TestAWSAFunctionWithoutTimeZonesDoesNotStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setting{event: small(1), stack: emulator.Options{Change: func(_ string, c *emulator.FunctionConfig) {
		c.Program = moved(t, c.Program, func([]byte) ([]byte, bool) { return nil, false })
	}}})
	for id, f := range w.Functions() {
		if err := f.Start(t.Context()); err == nil {
			t.Errorf("%s starts without time zones", id)
		}
		if text := strings.Join(f.Log().Lines(), "\n"); !strings.Contains(text, "CONFIG_INVALID: the time zone database zoneinfo.zip is not beside the program") {
			t.Errorf("%s does not say why: %.400s", id, text)
		}
	}
}
