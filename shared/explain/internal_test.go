package explain

import (
	"strings"
	"testing"

	"stovasync/shared/pipeline"
)

func TestTheAdviceOnTheSizeOfPages(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		rows, all, size int
		want            string
	}{
		"a small page is not the cause":                     {300, 900, 1000, "hardly the cause"},
		"a large page of an event that is not is made less": {301, 5999, 1000, "the remedy is pageSize 300"},
		"of a large event it is for the vendor":             {1000, 6000, 1000, "the vendor's support"},
		"smaller pages that are set already come by a sync": {1000, 5999, 300, "a new sync reads smaller ones"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := sizeAdvice(sight{page: pipeline.Page{Rows: tt.rows}, plan: pipeline.PlanEntry{Size: tt.all}}, tt.size)
			if !strings.Contains(got, tt.want) {
				t.Errorf("%q, want %q in it", got, tt.want)
			}
		})
	}
}
