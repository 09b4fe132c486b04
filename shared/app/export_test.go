package app

import (
	"io"

	"stovasync/shared/metric"
)

// MetricsTo sends an app's metrics elsewhere than to the process's output.
func (a *App) MetricsTo(out io.Writer) { a.watch.out = metric.NewWriter(out) }
