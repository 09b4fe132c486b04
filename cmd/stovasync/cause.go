package main

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"stovasync/shared/report"
)

// cause is the error of a failure, and whether it is one of the past.
type cause struct {
	text string
	past bool
}

// alike are failures of one cause, under a heading for people.
type alike[T any] struct {
	heading string
	of      []T
}

// byCause groups failures by what their errors say, whichever row, page or
// file they say it of: one code has many causes, and the first of them may be
// the one that matters least. What is over comes last; within a code the
// largest group comes first.
func byCause[T any](all []T, why func(T) cause) []alike[T] {
	type key struct {
		folded string
		past   bool
	}
	at := map[key]int{}
	var groups []alike[T]
	var keys []key
	var texts [][]string
	for _, x := range all {
		w := why(x)
		k := key{fold(w.text), w.past}
		i, ok := at[k]
		if !ok {
			i = len(groups)
			at[k] = i
			groups, keys, texts = append(groups, alike[T]{}), append(keys, k), append(texts, nil)
		}
		if !slices.Contains(texts[i], w.text) {
			texts[i] = append(texts[i], w.text)
		}
		groups[i].of = append(groups[i].of, x)
	}
	order := make([]int, len(groups))
	for i := range order {
		order[i] = i
		groups[i].heading = inCommon(texts[i])
		if keys[i].past {
			groups[i].heading = "was: " + groups[i].heading
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		codeA, _, _ := strings.Cut(keys[a].folded, ":")
		codeB, _, _ := strings.Cut(keys[b].folded, ":")
		return cmp.Or(trueLast(keys[a].past, keys[b].past), cmp.Compare(codeA, codeB),
			cmp.Compare(len(groups[b].of), len(groups[a].of)), cmp.Compare(keys[a].folded, keys[b].folded))
	})
	sorted := make([]alike[T], len(groups))
	for i, o := range order {
		sorted[i] = groups[o]
	}
	return sorted
}

func trueLast(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}

// A word with a digit in it: an id, a count, a page, the name of a file.
var numbered = regexp.MustCompile(`[A-Za-z0-9_.-]*[0-9][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*`)

// fold puts … in the place of ids and numbers. The status of an HTTP answer,
// which tells causes apart, stays.
func fold(text string) string {
	return numbered.ReplaceAllStringFunc(text, func(word string) string {
		if n, err := strconv.Atoi(word); err == nil && n >= 300 && n <= 599 {
			return word
		}
		return "…"
	})
}

// inCommon is what texts that fold alike say together: … stands only for the
// ids and numbers in which they differ.
func inCommon(texts []string) string {
	words := numbered.FindAllString(texts[0], -1)
	for _, text := range texts[1:] {
		others := numbered.FindAllString(text, -1)
		if len(others) != len(words) {
			return fold(text)
		}
		for i := range words {
			if words[i] != others[i] {
				words[i] = "…"
			}
		}
	}
	i := -1
	return numbered.ReplaceAllStringFunc(texts[0], func(string) string {
		i++
		return words[i]
	})
}

// mend says how what failed with a code is brought to a good end.
func mend(code string) string {
	return cmp.Or(report.Mend(code), "Redrive it; if it fails again, see the log.")
}

// errorPage is where the project's pages say more of a code.
func errorPage(code string) string { return "docs/errors.md#" + strings.ToLower(code) }
