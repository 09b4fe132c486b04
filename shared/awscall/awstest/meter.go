package awstest

import (
	"maps"
	"sync"
)

// Meter adds up what an adapter's Meter is told.
type Meter struct {
	mu    sync.Mutex
	units map[string]float64
}

// Count is an awscall.Meter.
func (m *Meter) Count(operation string, units float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.units == nil {
		m.units = map[string]float64{}
	}
	m.units[operation] += units
}

// Units returns the sums so far, by operation.
func (m *Meter) Units() map[string]float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.units)
}
