package emulator

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"sync"
)

// Log is what the processes of a function printed: what Lambda would put into
// its log group. All of it may be called at once.
type Log struct {
	// least is the level below which Lambda keeps nothing, and says so to nobody;
	// 0 keeps everything.
	least int

	mu    sync.Mutex
	lines []string
}

// levelInfo is what Lambda takes a line for that has no level that it knows.
const levelInfo = 3

// levelOf ranks the levels of Lambda's application log; 0 is none of them.
func levelOf(name string) int {
	return slices.Index([]string{"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"}, strings.ToUpper(name)) + 1
}

// dropped reports whether Lambda would keep a line out of the log group, which
// it decides for custom runtimes by the line itself
// (lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html). Nothing is said
// there of lines that are no JSON, such as a panic's: they are kept here.
func (l *Log) dropped(line []byte) bool {
	var fields map[string]any
	if l.least == 0 || json.Unmarshal(line, &fields) != nil {
		return false
	}
	name, _ := fields["level"].(string)
	return cmp.Or(levelOf(name), levelInfo) < l.least
}

// Lines returns the lines so far, in the order in which they were ended.
func (l *Log) Lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lines)
}

// Contains reports whether any line so far holds all of the parts.
func (l *Log) Contains(parts ...string) bool {
	return slices.ContainsFunc(l.Lines(), func(line string) bool {
		return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) })
	})
}

func (l *Log) add(line []byte) {
	if l.dropped(line) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(line))
}

// writer takes the output of one process, so that lines of two processes never mix.
func (l *Log) writer() *lineWriter { return &lineWriter{log: l} }

type lineWriter struct {
	log  *Log
	rest []byte
}

// Write is called by one goroutine: exec copies both outputs with one when
// they are the same writer.
func (w *lineWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		line, rest, found := bytes.Cut(w.rest, []byte("\n"))
		if !found {
			return len(p), nil
		}
		w.log.add(line)
		w.rest = rest
	}
}

// flush keeps the line that a killed process did not end.
func (w *lineWriter) flush() {
	if len(w.rest) > 0 {
		w.log.add(w.rest)
		w.rest = nil
	}
}
