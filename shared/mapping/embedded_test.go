package mapping

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/goccy/go-yaml"
)

// TestEmbeddedTablesSayWhatTheYAMLSays also writes the tables, with -update.
func TestEmbeddedTablesSayWhatTheYAMLSays(t *testing.T) {
	t.Parallel()
	update := flag.Lookup("update").Value.String() == "true"
	for name, embedded := range map[string][]byte{"default": defaultMapping, "vendor": vendorColumns} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source, err := os.ReadFile(name + ".yaml")
			if err != nil {
				t.Fatal(err)
			}
			var tables map[string]map[string]string
			if err := yaml.UnmarshalWithOptions(source, &tables, yaml.Strict()); err != nil {
				t.Fatal(err)
			}
			if len(tables) == 0 {
				t.Fatal("the YAML holds nothing")
			}
			var want bytes.Buffer
			enc := json.NewEncoder(&want)
			enc.SetEscapeHTML(false)
			enc.SetIndent("", "\t")
			if err := enc.Encode(tables); err != nil {
				t.Fatal(err)
			}
			if bytes.Equal(want.Bytes(), embedded) {
				return
			}
			if !update {
				t.Fatalf("%s.json is not what %s.yaml says: go test ./shared/mapping -update", name, name)
			}
			if err := os.WriteFile(name+".json", want.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}
