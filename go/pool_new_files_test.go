//go:build linux && cgo

package bytefd_test

import (
	"errors"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
)

// newFilesPool makes a pool of new files, or skips the test if the host refuses it.
func newFilesPool(t *testing.T) *bytefd.Pool {
	t.Helper()
	p, err := bytefd.NewPool(64<<20, bytefd.PoolMethod(bytefd.PoolNewFiles))
	if errors.Is(err, syscall.EOPNOTSUPP) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A Go program has many threads, to which the runtime sends signals, and starts other programs
// meanwhile.
func TestNewFilesComeFromABusyProgram(t *testing.T) {
	newFilesPool(t).Close()
	stop := make(chan struct{})
	var busy sync.WaitGroup
	background := func(work func()) {
		busy.Add(1)
		go func() {
			defer busy.Done()
			for {
				select {
				case <-stop:
					return
				default:
					work()
				}
			}
		}()
	}
	background(runtime.GC)
	background(runtime.Gosched)
	background(func() {
		if err := exec.Command("true").Run(); err != nil {
			t.Error(err)
		}
	})
	var workers sync.WaitGroup
	for worker := range 4 {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for round := range 25 {
				p, err := bytefd.NewPool(1<<20, bytefd.PoolMethod(bytefd.PoolNewFiles))
				if err != nil {
					t.Error(err)
					return
				}
				for i := range 5 {
					want := filled(byte(worker+round), 50_000+i)
					err := p.ScanBytes(want,
						func(fd int) error { isPromised(t, fd, want); return nil })
					if err != nil {
						t.Error(err)
					}
				}
				p.Close()
			}
		}()
	}
	workers.Wait()
	close(stop)
	busy.Wait()
	pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG|syscall.WALL, nil)
	if err != syscall.ECHILD {
		t.Errorf("there is a child: %d, %v", pid, err)
	}
}

func TestNewFilesAreNotLentTrusted(t *testing.T) {
	p := newFilesPool(t)
	defer p.Close()
	called := func(int) error { t.Error("called"); return nil }
	isError(t, p.ScanBytes([]byte("hello"), called, bytefd.WrapTrustCallback()), syscall.EINVAL)
	if err := p.Trim(0); err != nil {
		t.Error(err)
	}
	for range 3 {
		lendsExactly(t, p, pattern(100_000))
	}
	if stats := poolStats(t, p); stats != (bytefd.PoolStats{Misses: 3}) {
		t.Errorf("%+v", stats)
	}
}
