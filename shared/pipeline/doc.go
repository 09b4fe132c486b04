// Package pipeline holds the steps of a run, one file each, and the small
// interfaces they need:
//
//	fanout.go   a schedule event becomes a run and its sync tasks
//	plan.go     a sync task becomes a plan, pages and page tasks
//	page.go     a page task fetches, maps, stores and settles
//	photos.go   a page of pictures
//	finish.go   every page is settled: computed records, cursor, state
//	repair.go   what nobody foresaw
//	redrive.go  failed pages once more
//
// It knows no cloud and no database: adapters implement ports.go, and
// package pipelinetest holds the promises every adapter must keep.
package pipeline
