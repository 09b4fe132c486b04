package explain

import (
	"fmt"
	"strings"
)

// storedRule decides where no rule but the mapping had anything to say.
const storedRule = "stored"

// conclude writes the verdict.
func (w *walk) conclude() {
	if w.hidden {
		w.out = Explanation{Connection: w.out.Connection, Type: w.out.Type, ID: w.out.ID, Verdict: "Kept out by an erase.",
			DecidedBy: w.out.DecidedBy, Rules: w.out.Rules, Source: fromNone}
		return
	}
	switch {
	case w.answer != "":
		w.out.Verdict = w.answer
	case w.record.ID != "" && !w.there():
		w.out.DecidedBy = "R20"
		w.out.Verdict = fmt.Sprintf("Removed at %s: what is left is a tombstone (R20)", clock(w.record.RemovedAt)) + w.because(w.reason) + "."
	case w.there():
		w.out.Verdict = w.storedVerdict()
	case w.out.DecidedBy == "":
		w.out.DecidedBy = "listed"
		w.out.Verdict = "Not stored yet: no rule keeps it out, so the next run that reads the row stores it (listed)."
		w.out.Next = w.command("sync", w.conn.Name)
	default:
		w.out.Verdict = fmt.Sprintf("Not stored: %s (%s)", w.reason, w.out.DecidedBy) + w.meant() + "."
	}
}

func (w *walk) because(reason string) string {
	if reason == "" {
		return ""
	}
	return "; " + reason
}

// meant suggests the ids or the type that may have been meant.
func (w *walk) meant() string {
	switch {
	case w.other != "":
		return fmt.Sprintf("; it is an id of %s", w.other)
	case len(w.out.Nearest) > 0:
		return "; near it: " + strings.Join(w.out.Nearest, ", ")
	default:
		return ""
	}
}

// link leads from what is stored to why. A run that could not store what it
// read left the record as it was.
func (w *walk) link() string {
	newest := ""
	for _, s := range w.past.plans {
		if s.page.Name != "" {
			newest = s.run.ID
			break
		}
	}
	switch {
	case w.out.Photo != nil && w.reason == "": // nothing of what follows is why
		return "; "
	case w.reason != "" && newest != "" && newest != w.record.Run && w.out.Photo == nil:
		return ", and left as it was: "
	default:
		return ": "
	}
}

// storedVerdict is the verdict on a record that is there: who wrote it, what
// keeps it as it is now, and the rules worth knowing.
func (w *walk) storedVerdict() string {
	var b strings.Builder
	if w.out.Photo != nil {
		fmt.Fprintf(&b, "The picture is %s since run %s", w.out.Photo.State, w.record.Run)
	} else {
		fmt.Fprintf(&b, "Stored as %s by run %s", w.out.State, w.record.Run)
	}
	if w.out.Page != "" {
		fmt.Fprintf(&b, ", page %s", w.out.Page)
	}
	var parts []string
	if w.out.DecidedBy != "" {
		parts = append(parts, fmt.Sprintf("%s (%s)", w.reason, w.out.DecidedBy))
	}
	for _, c := range w.clauses {
		if c.rule == w.out.DecidedBy {
			continue
		}
		parts = append(parts, fmt.Sprintf("%s (%s)", c.text, c.rule))
		if w.out.DecidedBy == "" {
			w.out.DecidedBy = c.rule
		}
	}
	if w.out.DecidedBy == "" {
		w.out.DecidedBy = storedRule
	}
	if len(parts) > 0 {
		b.WriteString(w.link() + strings.Join(parts, "; "))
	}
	b.WriteString(".")
	return b.String()
}
