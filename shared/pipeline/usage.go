package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"stovasync/shared/run"
)

// Usage is what tasks of one run used of a cloud, as one process counted it.
type Usage struct {
	// Units are amounts by the names of shared/cost, such as "sqs_requests".
	Units map[string]float64 `json:"units"`
	// USD is what they cost at the prices of then.
	USD float64 `json:"usd"`
}

// Plus returns the sum of u and o.
func (u Usage) Plus(o Usage) Usage {
	sum := Usage{Units: make(map[string]float64, max(len(u.Units), len(o.Units))), USD: u.USD + o.USD}
	for _, units := range []map[string]float64{u.Units, o.Units} {
		for name, n := range units {
			sum.Units[name] += n
		}
	}
	return sum
}

// The sort keys of a run's type runs and totals begin alike, so that one read
// brings both.
const (
	typePrefix  = "TYPE#"
	totalPrefix = "TOTAL#"
	bothPrefix  = "T"
)

// PutUsage replaces what one process, instance, has used for a run so far. It
// is written without looking: every process has an item of its own, and writes
// all that it knows. Writing it twice changes nothing. Like the rest of a run's
// history the item does not expire.
func (l Ledger) PutUsage(ctx context.Context, id, instance string, u Usage) error {
	w, err := put(Key{runPK(id), totalPrefix + instance}, AnyVersion, u)
	if err != nil {
		return err
	}
	return storeError(l.Items.Write(ctx, w))
}

// progress returns a run's type runs, and the sum of what its tasks have used.
func (l Ledger) progress(ctx context.Context, id string) ([]TypeRun, Usage, error) {
	var all []TypeRun
	var sum Usage
	for it, err := range l.Items.Query(ctx, Query{PK: runPK(id), Prefix: bothPrefix}) {
		if err != nil {
			return nil, sum, storeError(fmt.Errorf("read %s %s*: %w", runPK(id), bothPrefix, err))
		}
		switch {
		case strings.HasPrefix(it.SK, typePrefix):
			var tr TypeRun
			if err = json.Unmarshal(it.Doc, &tr); err == nil {
				all = append(all, tr)
			}
		case strings.HasPrefix(it.SK, totalPrefix):
			var u Usage
			if err = json.Unmarshal(it.Doc, &u); err == nil {
				sum = sum.Plus(u)
			}
		}
		if err != nil {
			return nil, sum, storeError(fmt.Errorf("decode %s %s: %v", it.PK, it.SK, err))
		}
	}
	inTypeOrder(all)
	return all, sum.rounded(), nil
}

func inTypeOrder(all []TypeRun) {
	order := run.AllTypes()
	slices.SortFunc(all, func(a, b TypeRun) int { return slices.Index(order, a.Type) - slices.Index(order, b.Type) })
}

// rounded drops what is only the noise of sums: below a millionth of a unit and
// a billionth of a dollar.
func (u Usage) rounded() Usage {
	for name, n := range u.Units {
		u.Units[name] = math.Round(n*1e6) / 1e6
	}
	u.USD = math.Round(u.USD*1e9) / 1e9
	return u
}
