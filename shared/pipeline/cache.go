package pipeline

import "sync"

// cache keeps the last few values read under keys that never change, such as
// plans: every page of a run reads the same one.
type cache[T any] struct {
	mu     sync.Mutex
	keys   []string
	values map[string]T
}

// cached is how many values a cache keeps: the streams of two runs.
const cached = 6

func (c *cache[T]) get(key string) (T, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.values[key]
	return v, ok
}

func (c *cache[T]) put(key string, v T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.values == nil {
		c.values = map[string]T{}
	}
	if _, ok := c.values[key]; !ok {
		c.keys = append(c.keys, key)
	}
	c.values[key] = v
	if len(c.keys) > cached {
		delete(c.values, c.keys[0])
		c.keys = c.keys[1:]
	}
}
