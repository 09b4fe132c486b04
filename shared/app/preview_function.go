package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/preview"
	"stovasync/shared/run"
)

// PreviewAnswer is the output of the preview function: a report, or errors.
type PreviewAnswer struct {
	*preview.Report
	// Errors say why there is no report, where a setting, the vendor or the store
	// is to blame: what an operator has to mend is no error of the function, which
	// would set off its alarm.
	Errors []PreviewError `json:"errors,omitempty"`
}

// PreviewError is a coded error in an answer.
type PreviewError struct {
	Code    fault.Code `json:"code"`
	Message string     `json:"message"`
	Next    string     `json:"next,omitempty"`
}

// previewEnd is how long before the function's end a preview is given up, so
// that its answer still says why.
const previewEnd = 5 * time.Second

// maxAnswer is how long the JSON of an answer may be: Lambda gives up those of
// more than 6 MB (gettingstarted-limits), and escapes what HTML might take for
// its own.
const maxAnswer = 5_000_000

// PreviewFunction is what the preview function starts: Preview, with an answer
// for everything that a person can do something about.
func (a *App) PreviewFunction(ctx context.Context, e PreviewEvent) (PreviewAnswer, error) {
	// Unlike a task, a preview is asked for by somebody who may have put another
	// key a moment ago.
	if f, ok := a.Secrets.(forgetter); ok {
		f.Forget(e.Connection)
	}
	limited := ctx
	if end, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		limited, cancel = context.WithDeadline(ctx, end.Add(-previewEnd))
		defer cancel()
	}
	r, err := a.Preview(limited, e)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		err = fault.Wrap(fault.StovaTimeout, err, "the sample could not be read in the function's time", "ask for fewer rows with --sample, or again when no run takes the vendor's calls")
	}
	log := a.log().With("connection", e.Connection, "type", string(e.Type))
	if err == nil {
		log.InfoContext(ctx, "preview", "sampled", r.Sampled, "api_calls", r.APICalls, "ms", int(r.Seconds*1000))
		fit(&r, maxAnswer)
		return PreviewAnswer{Report: &r}, nil
	}
	log.WarnContext(ctx, "no preview", "code", string(fault.CodeOf(err)), "err", err)
	errs, coded := codedErrors(err)
	if !coded {
		return PreviewAnswer{}, err
	}
	return PreviewAnswer{Errors: errs}, nil
}

// codedErrors lists the errors that were joined; false if one has no code.
func codedErrors(err error) (all []PreviewError, coded bool) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		coded = true
		for _, each := range joined.Unwrap() {
			more, ok := codedErrors(each)
			all, coded = append(all, more...), coded && ok
		}
		return all, coded
	}
	e, ok := errors.AsType[*fault.Error](err)
	if !ok {
		return nil, false
	}
	return []PreviewError{{Code: e.Code, Message: e.Msg, Next: e.Next}}, true
}

// error is what PreviewFunction was given.
func (p PreviewAnswer) error() error {
	var all []error
	for _, e := range p.Errors {
		all = append(all, fault.New(e.Code, e.Message, e.Next))
	}
	return errors.Join(all...)
}

// warnCut says that a report was cut to fit an answer.
const warnCut = "REPORT_CUT"

// fit cuts a report until its JSON has at most limit bytes: records first, then
// rows that are left out, then columns. Counts stay what they are.
func fit(r *preview.Report, limit int) {
	synced, columns := len(r.Synced), len(r.Columns)
	filtered, rejected := len(r.Filtered), len(r.Rejected)
	for {
		text, err := json.Marshal(r)
		if err != nil || len(text) <= limit || len(r.Synced)+len(r.Filtered)+len(r.Rejected)+len(r.Columns) == 0 {
			break
		}
		switch {
		case len(r.Synced) > 0:
			r.Synced = r.Synced[:len(r.Synced)/2]
		case len(r.Filtered)+len(r.Rejected) > 0:
			r.Filtered, r.Rejected = r.Filtered[:len(r.Filtered)/2], r.Rejected[:len(r.Rejected)/2]
		default:
			r.Columns = r.Columns[:len(r.Columns)/2]
		}
	}
	if cmp.Or(synced-len(r.Synced), filtered-len(r.Filtered), rejected-len(r.Rejected), columns-len(r.Columns)) == 0 {
		return
	}
	r.Warnings = append(r.Warnings, run.Warning{Code: warnCut, Message: fmt.Sprintf(
		"the report was too long for an answer of the function: it shows %d of %d records, %d of %d rows that are left out and %d of %d columns; a smaller --sample shows them all",
		len(r.Synced), synced, len(r.Filtered)+len(r.Rejected), filtered+rejected, len(r.Columns), columns)})
}
