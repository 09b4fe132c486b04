package main

import (
	"context"
	"io"

	"stovasync/shared/pipeline"
	"stovasync/shared/report"
)

// chartRuns is how many runs the chart of a report holds.
const chartRuns = 50

// runHTML writes a run as a page that opens offline, with a chart of the newest
// runs of its connection.
func (c *cli) runHTML(ctx context.Context, at *site, file string, v pipeline.RunView, grids []pipeline.TypeGrid) error {
	history, err := newestViews(ctx, at, v.Connection, chartRuns)
	if err != nil {
		return err
	}
	render := func(w io.Writer) error {
		return report.RunHTML(w, report.RunDetail{Run: v, Grid: grids, History: history})
	}
	if file == standardOutput {
		return render(c.out)
	}
	if err := report.WriteFile(file, render); err != nil {
		return err
	}
	c.say("Written: %s\n", file)
	return nil
}

// newestViews are the newest runs of a connection as lists show them.
func newestViews(ctx context.Context, at *site, connection string, n int) ([]pipeline.RunView, error) {
	runs, err := at.Steps.Ledger.Runs(ctx, connection, n)
	if err != nil {
		return nil, err
	}
	views := make([]pipeline.RunView, len(runs))
	for i, r := range runs {
		if views[i], _, err = at.Steps.Summary(ctx, r); err != nil {
			return nil, err
		}
	}
	return views, nil
}
