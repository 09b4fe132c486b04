package mapping

import (
	_ "embed" // for the two tables
	"encoding/json"
	"fmt"
)

// default.yaml and vendor.yaml are what people write. What is embedded is the
// same as JSON, so that the functions need no parser of YAML, which is half a
// megabyte and three times as slow. `go test ./shared/mapping -update` writes
// the JSON; a test compares the two.

//go:embed default.json
var defaultMapping []byte

//go:embed vendor.json
var vendorColumns []byte

// table reads an embedded table of tables of texts.
func table[K ~string](name string, embedded []byte) (map[K]map[string]string, error) {
	var m map[K]map[string]string
	if err := json.Unmarshal(embedded, &m); err != nil {
		return nil, fmt.Errorf("read the embedded %s: %w", name, err)
	}
	return m, nil
}
