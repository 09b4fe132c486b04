// Package pipelinetest states the promises of pipeline's ports as tests that
// every family of adapters must pass, and keeps all of them itself in Memory,
// for unit tests and simulations.
//
// Each function takes a constructor that returns an empty adapter, or one
// whose older content cannot be reached by the suite's names: a remote store
// may give every call a prefix or tables of its own. The suite needs no
// injected clock. Where a promise involves time it asks for the effect and
// polls with a deadline, so that it also holds for a real queue, whose
// granularity is one second.
package pipelinetest
