//go:build linux && cgo

package bytefd_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
)

// Thousands of goroutines run beside collections, forks and kills. The process must not hold more
// afterwards.
func TestThousandsOfGoroutinesHoldNoMoreInTheEnd(t *testing.T) {
	inAChild(t, func() {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, pattern(100_000), 0o600); err != nil {
			t.Fatal(err)
		}
		p := newPool(t, 1<<20)
		everything(t, p, path)
		before := holdings(t, p)
		everything(t, p, path)
		everything(t, p, path)
		after := holdings(t, p)
		t.Logf("%+v, then %+v", before, after)
		// The runtime keeps threads and memory for each, and the race detector several times as
		// much. If the memory of the goroutines stayed, it would be 140 MB more.
		if after.descriptors > before.descriptors || after.names != before.names ||
			after.files > before.files || after.memory > 4*before.memory+64<<20 {
			t.Errorf("%+v, then %+v", before, after)
		}
	})
}

type held struct{ descriptors, files, threads, memory, names int }

// holdings returns what the process has after the collector has freed everything without a
// reference.
func holdings(t *testing.T, p *bytefd.Pool) held {
	t.Helper()
	if err := p.Trim(0); err != nil {
		t.Error(err)
	}
	// Finalizers run on a goroutine of their own. The next collection frees what their values refer
	// to.
	for i := 0; i < 5; i++ {
		runtime.GC()
		done := make(chan bool)
		runtime.SetFinalizer(&struct{ b [64]byte }{}, func(any) { close(done) })
		runtime.GC()
		<-done
	}
	if _, err := bytefd.Sweep(); err != nil {
		t.Error(err)
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	files := strings.Count(string(maps), "/memfd:") +
		strings.Count(string(maps), os.TempDir()+"/Test")
	own, _ := filepath.Glob("/dev/shm/*" + soakName())
	threads, memory := status(t, "Threads:"), status(t, "VmRSS:")<<10
	return held{len(openDescriptors()), files, threads, memory, len(own)}
}

// status returns a number of /proc/self/status.
func status(t *testing.T, field string) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), field)
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func soakName() string { return fmt.Sprintf("soak-%d", os.Getpid()) }

func everything(t *testing.T, p *bytefd.Pool, path string) {
	const goroutines = 2000
	var group sync.WaitGroup
	for g := 0; g < goroutines; g++ {
		group.Add(1)
		go func() {
			defer group.Done()
			if err := oneOfEverything(p, path, g); err != nil {
				t.Errorf("goroutine %d: %v", g, err)
			}
		}()
	}
	stop, stopped := make(chan bool), make(chan bool)
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			runtime.GC()
			child := exec.Command("/bin/sleep", "1000")
			if err := child.Start(); err != nil {
				t.Error(err)
				return
			}
			if err := child.Process.Kill(); err != nil {
				t.Error(err)
			}
			if err := child.Wait(); err == nil {
				t.Error("it was not killed")
			}
		}
	}()
	group.Wait()
	close(stop)
	<-stopped
}

// oneOfEverything leaves to the collector what may be left to it.
func oneOfEverything(p *bytefd.Pool, path string, g int) error {
	b := bytes.Repeat([]byte{byte(g) | 1}, 1+g*641%70_000)
	holds := func(fd int) error {
		got := make([]byte, len(b)+1)
		if n, err := syscall.Pread(fd, got, 0); err != nil || !bytes.Equal(got[:n], b) {
			return fmt.Errorf("%d bytes, and not its %d: %v", n, len(b), err)
		}
		return nil
	}
	if err := p.ScanBytes(b, holds); err != nil {
		return err
	}
	if err := bytefd.ScanBytes(b, holds); err != nil {
		return err
	}
	f, err := bytefd.WrapBuffer(b)
	if err != nil {
		return err
	}
	if g%2 == 0 {
		f.Close()
	}
	m, err := bytefd.MapFile(path, [][]bytefd.MapOption{nil, {bytefd.MapGuard()}}[g%2]...)
	if err != nil {
		return err
	}
	some := make([]byte, 5)
	if _, err := m.ReadAt(some, 0); err != nil || !bytes.Equal(some, pattern(5)) {
		return fmt.Errorf("% x: %v", some, err)
	}
	if g%3 == 0 {
		if err := m.Close(); err != nil {
			return err
		}
	}
	if g%50 == 0 {
		if _, err := bytefd.NewTempFile(b); err != nil {
			return err
		}
		n, err := bytefd.OpenOrCreateShm(soakName(), bytefd.ShmOwned(), bytefd.ShmWrite())
		if err != nil {
			return err
		}
		return n.Close()
	}
	return nil
}
