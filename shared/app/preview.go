package app

import (
	"context"

	"stovasync/shared/preview"
	"stovasync/shared/run"
)

// PreviewEvent asks for a preview: what an operator gives the function preview.
// The names are those of preview.Request.
type PreviewEvent struct {
	Connection string       `json:"connection"`
	Type       run.DataType `json:"type"`
	Sample     int          `json:"sample,omitempty"`
	// Trial tries the settings below in the place of the connection's own; null
	// and what is left out are the connection's own, {} is none.
	Trial   bool                                 `json:"trial,omitempty"`
	Mapping map[run.DataType]map[string]*string  `json:"mapping,omitzero"`
	Filters map[run.DataType]string              `json:"filters,omitzero"`
	Protect map[run.DataType]map[string][]string `json:"protect,omitzero"`
}

// Preview reads a sample of a connection's rows and reports what a sync would
// make of them; see preview.Run.
func (a *App) Preview(ctx context.Context, e PreviewEvent) (preview.Report, error) {
	return preview.Run(ctx, preview.Env{
		Ledger: a.Steps.Ledger, Records: a.Steps.Records, Connector: a.Steps.Connector, Secrets: a.Secrets,
		Now: a.Steps.Now, Fetches: a.Steps.Fetches,
	}, preview.Request{
		Connection: e.Connection, Type: e.Type, Sample: e.Sample,
		Trial: e.Trial, Mapping: e.Mapping, Filters: e.Filters, Protect: e.Protect,
	})
}
