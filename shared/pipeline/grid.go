package pipeline

import "stovasync/shared/run"

// CellState says in one word what became of a page: the worst of what holds.
type CellState string

// The states of a cell.
const (
	CellQueued    CellState = "queued"    // not settled yet
	CellUnchanged CellState = "unchanged" // done, and nothing needed writing
	CellChanged   CellState = "changed"   // done, and something was written
	CellDone      CellState = "done"      // done by a later run (covered), or with rows that nobody counts
	CellRetried   CellState = "retried"   // done, but not at the first try
	CellSplit     CellState = "split"     // done, but a rest was handed on as a page of its own
	CellFailed    CellState = "failed"
)

// Cell is one page of a run's grid.
type Cell struct {
	Page  string    `json:"page"` // "3", or "3.1" for its first rest
	State CellState `json:"state"`
	// Rows is how many ids the page was given; those of a rest are in both.
	Rows    int        `json:"rows"`
	Counts  run.Counts `json:"counts"`
	Tries   int        `json:"tries,omitempty"` // deliveries until it was settled; 0: not known
	Covered bool       `json:"covered,omitempty"`
	Code    string     `json:"code,omitempty"`
	Error   string     `json:"error,omitempty"`
}

// TypeGrid is one data type's row of a run's grid.
type TypeGrid struct {
	Type  run.DataType `json:"type"`
	Cells []Cell       `json:"cells"`
	// Listed is how many ids the vendor listed of the type's stream, or how many
	// owners have a picture; Chosen how many of them this run read.
	Listed int `json:"listed"`
	Chosen int `json:"chosen"`
	// Counted is the sum of the cells, of rows of this type and of others in its stream.
	Counted int `json:"counted"`
	// Difference names what Counted and Chosen differ by; "" when they are equal.
	Difference string `json:"difference,omitempty"`
}
