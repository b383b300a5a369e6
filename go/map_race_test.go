//go:build linux && cgo && race

package bytefd_test

import (
	"os"
	"strings"
	"sync"
	"testing"
)

// The copies are in assembly, and tell the race detector about their accesses.
func TestTheRaceDetectorSeesCopies(t *testing.T) {
	if os.Getenv(isAChild) != "" {
		m, p := memory(t, page), make([]byte, page)
		var group sync.WaitGroup
		for range 2 {
			group.Add(1)
			go func() {
				defer group.Done()
				m.ReadAt(p, 0)
			}()
		}
		group.Wait()
		return
	}
	if out, err := childOf(t).CombinedOutput(); err == nil ||
		!strings.Contains(string(out), "DATA RACE") {
		t.Errorf("%v\n%s", err, out)
	}
}
