package preview

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// memory is what a preview leaves behind: the names of the columns it saw, and
// nothing of what is in them.
type memory struct {
	Taken   time.Time    `json:"taken"`
	Sampled int          `json:"sampled"`
	Columns []remembered `json:"columns"`
}

type remembered struct {
	Expression string `json:"expression"`
	Label      string `json:"label,omitempty"`
}

// remember warns of columns that the last preview saw and this one does not,
// and keeps the columns of this one. A trial keeps nothing. A preview without
// rows, or without the form, has not seen enough to tell.
func (p *previewer) remember(ctx context.Context) error {
	if p.report.Sampled == 0 || p.req.Type.Stream() == run.Attendees && !p.formed {
		return nil
	}
	key := pipeline.PreviewKey(p.conn.Name, p.req.Type)
	it, err := p.env.Ledger.Items.Get(ctx, key)
	if err != nil {
		return storeError(fmt.Errorf("read the columns of the last preview: %w", err))
	}
	var last memory
	if it.Version > 0 && json.Unmarshal(it.Doc, &last) == nil {
		p.compare(last)
	}
	now := memory{Taken: p.report.Taken.Truncate(time.Second), Sampled: p.report.Sampled}
	for _, c := range p.report.Columns {
		if e := p.columns.by[c.Expression]; !e.Agenda { // picks come and go with the sample
			now.Columns = append(now.Columns, remembered{c.Expression, c.Label})
		}
	}
	if p.req.Trial {
		return nil
	}
	doc, err := json.Marshal(now)
	if err != nil {
		return err
	}
	if err := p.env.Ledger.Items.Write(ctx, pipeline.Write{Key: key, Version: pipeline.AnyVersion, Doc: doc}); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		// The report is whole without it.
		p.warn(run.Warning{Code: string(fault.StoreUnavailable), Message: "the names of the columns could not be kept: the next preview cannot tell which of them are gone"})
	}
	return nil
}

// compare warns of what is gone. A key of the rows' own may only be missing
// from a smaller sample, so that is not told of.
func (p *previewer) compare(last memory) {
	for _, c := range last.Columns {
		if _, there := p.columns.by[c.Expression]; there {
			continue
		}
		if !strings.HasPrefix(c.Expression, "responses") && p.report.Sampled < last.Sampled {
			continue
		}
		name := c.Expression
		if c.Label != "" && c.Label != c.Expression {
			name += fmt.Sprintf(" (%s)", c.Label)
		}
		text := fmt.Sprintf("%s: the column %s was there at the last preview, %s, and is gone", p.req.Type, name, last.Taken.Format("2006-01-02 15:04 UTC"))
		if fields := p.readers(c.Expression); len(fields) > 0 {
			text += "; it is mapped to " + strings.Join(fields, ", ")
		}
		p.warn(run.Warning{Code: warnVanished, Message: text})
	}
}

// readers names the fields that read a column which is gone.
func (p *previewer) readers(column string) []string {
	var out []string
	for _, r := range p.reads {
		if !slices.Contains(out, r.Field) && (within(r.Named, column) || slices.ContainsFunc(r.Columns, func(c string) bool { return within(c, column) })) {
			out = append(out, r.Field)
		}
	}
	return out
}
