package app

import (
	"io"
	"time"

	"stovasync/shared/metric"
)

// MetricsTo sends an app's metrics elsewhere than to the process's output.
func (a *App) MetricsTo(out io.Writer) { a.watch.out = metric.NewWriter(out) }

// ConnectorNow is the clock of what an app's connections read from.
func (a *App) ConnectorNow() time.Time { return a.connector.now() }
