package mapping

import (
	"stovasync/shared/fault"
	"stovasync/shared/run"
)

// Pick is one session an attendee has picked: an answer on the Agenda page
// (stova-api.md §7.14).
type Pick struct {
	SessionID string // the session's question
	Key       string // the option chosen; may be empty
	Label     string // the option's text
	// Candidates are the session ids that the pick may mean, likeliest first:
	// with the key, then without. The link is not proven (stova-api.md Q13), so
	// the first that is a known session is taken.
	Candidates []string
}

func (p *Pick) column(key string) value {
	switch key {
	case "sessionid":
		return textValue(p.SessionID)
	case "choicekey":
		return textValue(p.Key)
	case "response":
		return textValue(p.Label)
	default:
		return value{}
	}
}

// Picks returns the sessions the attendee has picked, in the order of the
// answers, each once. A question left open is no pick, nor is a line of text.
func (m *Mapper) Picks(r Row) []Pick {
	var out []Pick
	seen := map[[2]string]bool{}
	for i := range r.d.answers() {
		a := &r.d.found[i]
		if !m.onAgenda(a) || !number(string(a.id)) {
			continue
		}
		if q, ok := m.questions.byID[string(a.id)]; ok && q.InputType == freeTextInput {
			continue
		}
		label := leafOf(a.response).str()
		for _, key := range choices(a, label) {
			p := Pick{SessionID: string(a.id), Key: key, Label: label, Candidates: []string{string(a.id)}}
			if key != "" {
				p.Candidates = []string{p.SessionID + "_" + key, p.SessionID}
			}
			if pair := [2]string{p.SessionID, key}; !seen[pair] {
				seen[pair] = true
				out = append(out, p)
			}
		}
	}
	return out
}

// choices returns the options an answer chose: usually one, "" where only its
// text is given, none where nothing was chosen.
func choices(a *answer, label string) []string {
	keys := leafOf(a.key).texts()
	switch {
	case len(keys) == 0 && label != "":
		return []string{""}
	case len(keys) == 1 && keys[0] == "0" && label == "":
		return nil
	default:
		return keys
	}
}

// Schedule returns the schedule row of one pick of the attendee in r. parent is
// the fp_ext_id of the session it was matched with. The row of a sponsor is
// Filtered under R4; the row of an inactive attendee is unregistered (P2).
func (m *Mapper) Schedule(r Row, parent string, p Pick) Result {
	id := r.ID()
	if m.IsSponsor(r) {
		return Result{Outcome: Filtered, Rule: "R4", ID: id}
	}
	if id == "" {
		return reject(run.Schedule, "", fault.RowNoID, "the row has no id")
	}
	res := r.begin(run.Schedule, id+"_"+parent)
	if res.Outcome == Rejected {
		return res
	}
	res.Owner = id
	r.d.pick = &p
	defer func() { r.d.pick = nil }()
	if !m.keep(r, run.Schedule, &res) {
		return res
	}
	m.fill(r, run.Schedule, &res)
	state := "registered"
	res.Status = statusActive
	if !m.registered(r) {
		state, res.Status = "unregistered", statusCancelled
	}
	res.Fields["parent_doc_id"] = parent
	res.Fields["status"] = state
	return res
}

// registered reports whether the attendee's picks hold: by the row's own
// registration_status and deleted where it has them (Data Services), else by
// the attendee's status.
func (m *Mapper) registered(r Row) bool {
	if j := r.d.obj.Get("deleted"); j != nil && leaf(j).on() {
		return false
	}
	if j := r.d.obj.Get("registration_status"); j != nil {
		if v := leaf(j); !v.blank() {
			return m.set.active[foldStatus(v.str())]
		}
	}
	return m.active(r)
}
