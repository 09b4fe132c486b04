package local_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"stovasync/shared/local"
)

// Another connection's process never stops beginning objects.
func TestScrubWaitsForNoObjectThatIsBegunLater(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := local.Open(t.Context(), dir, local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	unlock, held, err := s.Lock(t.Context(), "other")
	if err != nil || !held {
		t.Fatalf("held %v, %v", held, err)
	}
	defer unlock()
	begin := func(i int) string {
		name := filepath.Join(dir, "objects", ".tmp", strconv.Itoa(i))
		if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
			t.Error(err)
		}
		return name
	}
	last, stop, stopped := begin(0), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
			next := begin(i) // there is always one
			if err := os.Remove(last); err != nil {
				t.Error(err)
			}
			last = next
		}
	}()
	done := make(chan error, 1)
	go func() { done <- s.Scrub(t.Context(), "expo") }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it still waits")
	}
	close(stop)
	<-stopped
}
