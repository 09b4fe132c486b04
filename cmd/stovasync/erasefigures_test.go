package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestFiguresErase measures an erasure, the whole process, on the store on which
// operators' questions are measured. It judges nothing: machines differ.
func TestFiguresErase(t *testing.T) {
	if which := os.Getenv("STOVASYNC_FIGURES"); which != "1" && which != "erase" {
		t.Skip("measures for some minutes: make bench")
	}
	program := filepath.Join(build(t), "stovasync")
	h := seedHistory(t, figuresUsers, 300, figuresHistory)
	for _, what := range []string{"somebody", "once more"} {
		seconds, peak := measured(t, program, "--target", h.target(), "erase", h.name, h.person)
		fmt.Printf("erase %s of %d users and %d runs: %.1f s, peak memory %.0f MB\n", what, figuresUsers, figuresHistory, seconds, peak)
	}
}
