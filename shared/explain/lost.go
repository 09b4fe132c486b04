package explain

import (
	"context"
	"fmt"

	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// lost helps with an id that is neither stored nor listed: ids that may have
// been meant, and the type that it is an id of.
func (w *walk) lost(ctx context.Context) error {
	last, ok := w.past.last()
	if w.record.ID != "" || ok && last.plan.Listed {
		return nil
	}
	if ok {
		if err := w.near(w.out.ID, last.plan); err != nil {
			return err
		}
	}
	return w.otherTypes(ctx)
}

// near suggests listed ids that may have been meant.
func (w *walk) near(id string, plan pipeline.PlanEntry) error {
	all, err := plan.IDs()
	if err != nil {
		return fmt.Errorf("read the ids of run %s: %w", plan.Run, err)
	}
	w.out.Nearest = closest(id, all)
	return nil
}

// otherTypes looks whether the id is one of another type.
func (w *walk) otherTypes(ctx context.Context) error {
	for _, t := range []run.DataType{run.Users, run.Sponsors, run.Sessions, run.Presenters, run.SponsorLevels, run.Schedule} {
		if t == w.req.Type {
			continue
		}
		got, err := w.env.Records.Get(ctx, w.conn.Name, t, []string{w.out.ID})
		if err != nil {
			return fmt.Errorf("read %s %s: %w", t, w.out.ID, err)
		}
		if r := got[w.out.ID]; r.ID != "" && r.RemovedAt.IsZero() {
			w.info("listed", "%s is an id of %s", w.out.ID, t)
			w.out.Next = w.command("explain", w.conn.Name, string(t), w.out.ID)
			w.other = t
			return nil
		}
	}
	return nil
}
