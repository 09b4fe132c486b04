package metric

// Namespace is where our metrics are.
const Namespace = "Stovasync"

// The dimensions: StackDimension alone, and together with TypeDimension, a data
// type. The metrics of runs have the stack only.
const (
	StackDimension = "stack"
	TypeDimension  = "type"
)

// The names of our metrics. The template's alarms and dashboard go by them.
const (
	PagesDone    = "PagesDone"
	PagesFailed  = "PagesFailed"
	RowsRead     = "RowsRead"
	RowsNew      = "RowsNew"
	RowsChanged  = "RowsChanged"
	RowsRejected = "RowsRejected"
	APICalls     = "ApiCalls"
	APIThrottles = "ApiThrottles" // answers with 429
	PhotoBytes   = "PhotoBytes"
	TaskAge      = "TaskAgeSeconds" // when a task was begun, since it was sent
	CostUSD      = "CostUSD"

	RunsCompleted = "RunsCompleted"
	RunsPartial   = "RunsPartial"
	RunsFailed    = "RunsFailed"
)

// OfTypes returns the names that exist for a stack and for each of its types,
// OfRuns those that exist for a stack only.
func OfTypes() []string {
	return []string{PagesDone, PagesFailed, RowsRead, RowsNew, RowsChanged, RowsRejected, APICalls, APIThrottles, PhotoBytes, TaskAge, CostUSD}
}

// OfRuns is told at OfTypes.
func OfRuns() []string { return []string{RunsCompleted, RunsPartial, RunsFailed} }
