package run

// Mode says what a run reads: everything, or what changed.
type Mode string

// The two modes.
const (
	Full        Mode = "full"
	Incremental Mode = "incremental"
)

// State is the state of a type run, and of a run as derived from its types.
type State string

// The states of doc.go's drawing.
const (
	Queued    State = "queued"
	Waiting   State = "waiting"
	Running   State = "running"
	Finishing State = "finishing"
	Complete  State = "complete"
	Partial   State = "partial"
	Failed    State = "failed"
	Skipped   State = "skipped"
	Stalled   State = "stalled"
)

// Ended reports whether a type run in this state has ended. Every ended state
// opens the gates that wait for it.
func (s State) Ended() bool {
	switch s {
	case Complete, Partial, Failed, Skipped, Stalled:
		return true
	default:
		return false
	}
}

// Succeeded reports whether a type run in this state has stored what it read,
// wholly or but for failed pages.
func (s State) Succeeded() bool { return s == Complete || s == Partial }

// Derive returns the state of a run from the states of its type runs:
// running while any has not ended, failed if one failed or stalled, else
// partial if one is partial, else complete.
func Derive(states []State) State {
	out := Complete
	for _, s := range states {
		switch {
		case !s.Ended():
			return Running
		case s == Failed || s == Stalled:
			out = Failed
		case s == Partial && out == Complete:
			out = Partial
		}
	}
	return out
}

// PageState is the state of one page.
type PageState string

// The states of a page.
const (
	PageQueued PageState = "queued"
	PageDone   PageState = "done"
	PageFailed PageState = "failed"
)

// Counts are the numbers of a page, a type run or a run. Of a full run, Read =
// New + Changed + Unchanged + Filtered + Rejected + Pending + Missing.
type Counts struct {
	Read      int `json:"read"`
	New       int `json:"new"`
	Changed   int `json:"changed"`
	Unchanged int `json:"unchanged"`
	Filtered  int `json:"filtered"`
	Rejected  int `json:"rejected"`
	Removed   int `json:"removed"`
	Pending   int `json:"pending,omitempty"`  // rows that wait for a parent
	Missing   int `json:"missing,omitempty"`  // photos the vendor does not have
	Computed  int `json:"computed,omitempty"` // master sessions
	// Missed are the new and changed rows of a full run that the incremental
	// runs before it should have read: the vendor says they were modified
	// before the last of them.
	Missed int `json:"missed,omitempty"`
}

// Plus returns the sum of c and d.
func (c Counts) Plus(d Counts) Counts {
	c.Read += d.Read
	c.New += d.New
	c.Changed += d.Changed
	c.Unchanged += d.Unchanged
	c.Filtered += d.Filtered
	c.Rejected += d.Rejected
	c.Removed += d.Removed
	c.Pending += d.Pending
	c.Missing += d.Missing
	c.Computed += d.Computed
	c.Missed += d.Missed
	return c
}

// Minus returns what c holds beyond d.
func (c Counts) Minus(d Counts) Counts {
	c.Read -= d.Read
	c.New -= d.New
	c.Changed -= d.Changed
	c.Unchanged -= d.Unchanged
	c.Filtered -= d.Filtered
	c.Rejected -= d.Rejected
	c.Removed -= d.Removed
	c.Pending -= d.Pending
	c.Missing -= d.Missing
	c.Computed -= d.Computed
	c.Missed -= d.Missed
	return c
}

// Reject is a row that was not stored, and why. It holds an id, never values.
type Reject struct {
	Type   DataType `json:"type"`
	ID     string   `json:"id"`
	Code   string   `json:"code"`
	Reason string   `json:"reason"`
}

// Warning is something an operator should know that stopped nothing.
type Warning struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}
