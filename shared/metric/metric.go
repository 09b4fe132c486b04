// Package metric writes numbers in CloudWatch's embedded metric format: one
// JSON object a line, from which the service makes metrics by itself. It knows
// nothing of ours.
//
// The format is that of the page "Specification: Embedded metric format" of the
// CloudWatch user guide. A document that breaks its rules is dropped without a
// word, so they are checked here.
package metric

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"regexp"
	"sync"
	"time"
)

// The format's limits.
const (
	maxMetrics    = 100       // of one document
	maxDimensions = 30        // of one set
	maxName       = 1024      // characters of a name or a dimension's value
	maxLine       = 256 << 10 // bytes, of what was once the limit of a log event
)

// Unit is a metric's unit, by CloudWatch's name.
type Unit string

// The units in use.
const (
	Count   Unit = "Count"
	Bytes   Unit = "Bytes"
	Seconds Unit = "Seconds"
	None    Unit = "None"
)

// Value is one number.
type Value struct {
	Name string
	Unit Unit
	N    float64
}

// Document is a number of values under the same dimensions.
type Document struct {
	Namespace string
	At        time.Time
	// Sets are the sets of dimensions under which each value is a metric.
	Sets [][]string
	// Dimensions are the values of all dimensions that Sets name.
	Dimensions map[string]string
	Values     []Value
}

type definition struct {
	Name string
	Unit Unit
}

type directive struct {
	Namespace  string
	Dimensions [][]string
	Metrics    []definition
}

type metadata struct {
	Timestamp         int64 // milliseconds since 1970
	CloudWatchMetrics []directive
}

var namespacePattern = regexp.MustCompile(`^[0-9A-Za-z._#:/-]{1,255}$`)

// Encode returns the document as one line, its end included, or an error when
// CloudWatch would not take it.
func Encode(d Document) ([]byte, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	about := directive{Namespace: d.Namespace, Dimensions: d.Sets}
	root := make(map[string]any, len(d.Values)+len(d.Dimensions)+1)
	for name, value := range d.Dimensions {
		root[name] = value
	}
	for _, v := range d.Values {
		if _, taken := root[v.Name]; taken {
			return nil, fmt.Errorf("metric %s: the name is taken", v.Name)
		}
		root[v.Name] = v.N
		about.Metrics = append(about.Metrics, definition{v.Name, v.Unit})
	}
	root["_aws"] = metadata{Timestamp: d.At.UnixMilli(), CloudWatchMetrics: []directive{about}}
	line, err := json.Marshal(root)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	if len(line) > maxLine {
		return nil, fmt.Errorf("metrics: a document of %d bytes", len(line))
	}
	return append(line, '\n'), nil
}

func (d Document) check() error {
	switch {
	case !namespacePattern.MatchString(d.Namespace):
		return fmt.Errorf("metrics: namespace %q", d.Namespace)
	case d.At.UnixMilli() <= 0:
		return fmt.Errorf("metrics: no time")
	case len(d.Values) == 0 || len(d.Values) > maxMetrics:
		return fmt.Errorf("metrics: %d in one document", len(d.Values))
	case len(d.Sets) == 0:
		return fmt.Errorf("metrics: no set of dimensions")
	}
	for _, set := range d.Sets {
		if err := d.checkSet(set); err != nil {
			return err
		}
	}
	for _, v := range d.Values {
		if v.Name == "" || v.Name == "_aws" || len(v.Name) > maxName || math.IsNaN(v.N) || math.IsInf(v.N, 0) {
			return fmt.Errorf("metric %.100q is %v", v.Name, v.N)
		}
	}
	return nil
}

func (d Document) checkSet(set []string) error {
	if len(set) > maxDimensions {
		return fmt.Errorf("metrics: %d dimensions in one set", len(set))
	}
	for _, name := range set {
		if value := d.Dimensions[name]; name == "" || name == "_aws" || value == "" || len(value) > maxName || len(name) > maxName {
			return fmt.Errorf("metrics: dimension %.100q is %.100q", name, value)
		}
	}
	return nil
}

// Writer writes documents to a stream that others write lines to as well. It is
// safe for concurrent use.
type Writer struct {
	mu  sync.Mutex
	out io.Writer
}

// NewWriter returns a writer to out, which is os.Stdout in a function: what is
// written there becomes a log event a line.
func NewWriter(out io.Writer) *Writer { return &Writer{out: out} }

// Write writes one document, with one write: a line of somebody else, who does
// the same, is never inside it. A document without values is not written.
func (w *Writer) Write(d Document) error {
	if len(d.Values) == 0 {
		return nil
	}
	line, err := Encode(d)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := w.out.Write(line); err != nil {
		return fmt.Errorf("write metrics: %w", err)
	}
	return nil
}
