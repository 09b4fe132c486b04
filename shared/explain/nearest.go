package explain

import (
	"cmp"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// suggestions is how many ids are suggested at most.
const suggestions = 3

// Nearest are the ids of all that may have been meant by one that is not among
// them, the likeliest first: three at most.
func Nearest(id string, all []string) []string { return closest(id, all) }

// closest are the ids that may have been meant by one that is not there:
// those that it begins or that begin it, then those a slip or two away.
func closest(id string, all []string) []string {
	type near struct {
		id       string
		distance int
	}
	var found []near
	for _, other := range all {
		switch {
		case other == id || id == "" || other == "":
		case strings.HasPrefix(other, id+"_") || strings.HasPrefix(id, other+"_"):
			found = append(found, near{other, 0})
		case len(other)-len(id) <= 2 && len(id)-len(other) <= 2:
			if d := levenshtein.ComputeDistance(id, other); d <= 2 && d*3 <= max(3, len(id)) {
				found = append(found, near{other, d})
			}
		}
	}
	slices.SortStableFunc(found, func(a, b near) int { return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.id, b.id)) })
	var out []string
	for _, n := range found[:min(len(found), suggestions)] {
		out = append(out, n.id)
	}
	return out
}
