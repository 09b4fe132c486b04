// Package run holds the words of a run: data types and streams, tasks, pages,
// states, counts and settings. It is pure: no input, no output, no clock.
//
// A run is one execution for one connection; it holds one type run per data
// type. The states of a type run:
//
//	          gate closed
//	queued ───────────────► waiting
//	   │                       │ gate opens
//	   ▼                       ▼
//	running ◄──────────────────┘      planning, then pages
//	   │ every page settled
//	   ▼
//	finishing ──► complete            no page failed
//	          ──► partial             some page failed; becomes complete when
//	                                  a re-run mends the last of them
//	any of the above ──► failed       planning or finishing failed for good
//	                 ──► skipped      nothing to do for this type
//	                 ──► stalled      its run was given up
//
// A page goes from queued to done or failed, and from failed to done.
package run
