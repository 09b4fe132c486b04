package mapping

// nearest returns the name of names that takes the fewest edits to reach from
// s, or "" when none is near: a third of its letters may be wrong, and two always.
func nearest(s string, names []string) string {
	best, limit := "", max(2, len(s)/3)+1
	for _, n := range names {
		if d := edits(s, n); d < limit && n != s {
			best, limit = n, d
		}
	}
	return best
}

// edits is the Levenshtein distance in runes, with a swap of neighbours
// counted as one edit, since it is the commonest slip.
func edits(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, last, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := range x {
		row[0] = i + 1
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(y)]
}
