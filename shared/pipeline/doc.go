// Package pipeline holds the steps of a run, one file each, and the small
// interfaces they need:
//
//	fanout.go    a schedule event becomes a run and its sync tasks
//	plan.go      a sync task becomes a plan, pages and page tasks; event.go
//	             what the plan says of the event
//	page.go      a page task fetches (fetch.go, raw.go), maps and stores
//	             (store.go, schedule.go), and settles
//	photos.go    a page of pictures
//	finish.go    every page is settled: computed records (computed.go),
//	             cursor, state
//	repair.go    what nobody foresaw
//	redrive.go   failed pages once more
//	ledger.go    what is known of runs, type runs and pages; ledger_ops.go how
//	             it changes; view.go how people see it
//
// It knows no cloud and no database: adapters implement ports.go, and
// package pipelinetest holds the promises every adapter must keep.
package pipeline
