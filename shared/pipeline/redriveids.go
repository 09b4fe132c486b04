package pipeline

import (
	"context"

	"stovasync/shared/fault"
	"stovasync/shared/run"
)

// FailedIDs returns the ids that failed pages were given, by the pages' tasks.
// Of a type run, and of a page whose plan is gone or damaged, there are none.
// Each plan is read once.
func FailedIDs(ctx context.Context, s *Steps, failures []Failure) (map[run.Task][]string, error) {
	out := map[run.Task][]string{}
	plans := map[string][][]string{}
	for _, x := range failures {
		if x.Page == "" {
			continue
		}
		ids, err := failedIDs(ctx, s, x, plans)
		if err != nil {
			return nil, err
		}
		if len(ids) > 0 {
			out[x.Task()] = ids
		}
	}
	return out, nil
}

func failedIDs(ctx context.Context, s *Steps, x Failure, plans map[string][][]string) (ids []string, err error) {
	p, ok, err := s.Ledger.Page(ctx, x.Run, x.Type, x.Page)
	if err != nil || !ok {
		return nil, err
	}
	if p.IDs != "" {
		_, err := getJSON(ctx, s.Objects, p.IDs, &ids)
		return ids, passing(err)
	}
	pages, err := planPages(ctx, s, planObject(x.Connection, x.Run, x.Type.Stream()), plans)
	if err != nil {
		return nil, err
	}
	i, err := planPage(x.Page)
	if err != nil || i >= len(pages) {
		return nil, nil // a page of no plan
	}
	return pages[i], nil
}

// planPages reads of a plan only its pages: the list of all ids is most of it.
func planPages(ctx context.Context, s *Steps, key string, plans map[string][][]string) ([][]string, error) {
	if pages, ok := plans[key]; ok {
		return pages, nil
	}
	var plan struct {
		Pages [][]string `json:"pages"`
	}
	if _, err := getJSON(ctx, s.Objects, key, &plan); err != nil {
		if passing(err) != nil {
			return nil, err
		}
		plan.Pages = nil
	}
	plans[key] = plan.Pages
	return plan.Pages, nil
}

// passing drops the error of an object that is damaged: who only looks goes on
// without it.
func passing(err error) error {
	if fault.IsPermanent(err) {
		return nil
	}
	return err
}
