package metric

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// docs/metrics.md names every metric there is.
func TestThePageOfMetricsNamesThemAll(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Concat(OfTypes(), OfRuns(), []string{Namespace, StackDimension, TypeDimension}) {
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("%s is not on the page", name)
		}
	}
}
