//go:build linux && cgo

package bytefd_test

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	bytefd "github.com/bytefd/bytefd/go"
)

func TestGuardedWithoutAFunctionIsEINVAL(t *testing.T) {
	m := memory(t, 5)
	isError(t, m.Guarded(nil), syscall.EINVAL)
	if err := m.Resize(0); err != nil {
		t.Error(err)
	}
}

func TestAGoexitPassesThroughAndFreesTheMap(t *testing.T) {
	m := memory(t, page, bytefd.MapGuard())
	var group sync.WaitGroup
	group.Add(1)
	go func() {
		defer group.Done()
		m.Guarded(func([]byte) error { runtime.Goexit(); return nil })
		t.Error("it returned")
	}()
	group.Wait()
	if err := m.Resize(0); err != nil {
		t.Error(err)
	}
}

func TestFMayUseTheMapAndCloseIt(t *testing.T) {
	for name, opts := range guarding {
		t.Run(name, func(t *testing.T) {
			path := fileOf(t, []byte("hello"))
			m := mapped(t, path, append(opts, bytefd.MapWrite())...)
			err := m.Guarded(func(b []byte) error {
				return m.Guarded(func(again []byte) error {
					p := make([]byte, 5)
					if _, err := m.ReadAt(p, 0); err != nil || string(p) != "hello" {
						t.Errorf("read %q, %v", p, err)
					}
					isError(t, m.Resize(6), syscall.EBUSY)
					isError(t, m.Unmap(0, bytefd.ToEnd), syscall.EBUSY)
					_, err := m.Seal()
					isError(t, err, syscall.EBUSY)
					if err := m.Close(); err != nil {
						t.Error(err)
					}
					isError(t, m.Guarded(func([]byte) error { return nil }), syscall.EBADF)
					isError(t, m.Resize(6), syscall.EBADF)
					runtime.GC()
					if string(b) != "hello" || string(again) != "hello" || !isMapped(path) {
						t.Errorf("the bytes are %q", b)
					}
					return nil
				})
			})
			if err != nil || isMapped(path) {
				t.Errorf("the file is still mapped, or %v", err)
			}
		})
	}
}

func TestGosOwnFaultsAreAsBeforeBesideAGuard(t *testing.T) {
	guard := mapped(t, fileOf(t, pattern(page)), bytefd.MapGuard())
	guard.Bytes()
	func() {
		defer func() {
			if err, ok := recover().(runtime.Error); !ok ||
				!strings.Contains(err.Error(), "nil pointer dereference") {
				t.Errorf("recovered %v", err)
			}
		}()
		var none *[16]byte
		none[5]++
	}()

	path := fileOf(t, pattern(page))
	gone := mapped(t, path)
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	func() {
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
		defer func() {
			fault, ok := recover().(interface{ Addr() uintptr })
			if !ok || fault.Addr() != addressOf(gone) {
				t.Errorf("recovered %v", fault)
			}
		}()
		t.Error(gone.Bytes()[0])
	}()

	sent := make(chan os.Signal, 1)
	signal.Notify(sent, syscall.SIGBUS)
	defer signal.Stop(sent)
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGBUS); err != nil {
		t.Fatal(err)
	}
	if got := <-sent; got != syscall.SIGBUS {
		t.Error(got)
	}
	if err := guard.Check(); err != nil {
		t.Error(err)
	}
}

func TestASIGBUSElsewhereEndsTheProcessAsGoDoesIt(t *testing.T) {
	if os.Getenv(isAChild) != "" {
		mapped(t, fileOf(t, pattern(page)), bytefd.MapGuard())
		gone := memory(t, page)
		f := must[*os.File](t)(gone.File())
		if err := f.Truncate(0); err != nil {
			t.Fatal(err)
		}
		t.Error(gone.Bytes()[0])
		return
	}
	cmd := childOf(t)
	cmd.Env = append(cmd.Env, "TMPDIR="+t.TempDir()) // it ends before it can clean up
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 ||
		!strings.Contains(string(out), "unexpected fault address") ||
		!strings.Contains(string(out), "signal SIGBUS") {
		t.Errorf("%v\n%s", err, out)
	}
}

// sigaction sets the disposition of SIGBUS and returns the one before.
func sigaction(t *testing.T, action *[4]uint64) (old [4]uint64) {
	t.Helper()
	const setSize = 8
	_, _, errno := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(syscall.SIGBUS),
		uintptr(unsafe.Pointer(action)), uintptr(unsafe.Pointer(&old)), setSize, 0, 0)
	if errno != 0 {
		t.Fatal("rt_sigaction:", errno)
	}
	return old
}

// C code in the program can reset the signal, or restore the handler that Go installed at its
// start.
func TestAGuardIsBackInPlaceAtTheNextMap(t *testing.T) {
	if os.Getenv(isAChild) == "" {
		cmd := childOf(t)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	gos := sigaction(t, nil)
	path := fileOf(t, pattern(2*page))
	older := mapped(t, path, bytefd.MapGuard())
	for _, action := range []*[4]uint64{new([4]uint64), &gos, new([4]uint64), &gos} {
		sigaction(t, action)
		next := mapped(t, path, bytefd.MapGuard())
		cut(t, path, "0")
		for _, m := range []*bytefd.Map{older, next} {
			if b := m.Bytes(); b[page] != 0 || !errors.Is(m.Check(), syscall.EIO) {
				t.Error("the page is not lost")
			}
		}
		if err := os.WriteFile(path, pattern(2*page), 0o600); err != nil {
			t.Fatal(err)
		}
		older = mapped(t, path, bytefd.MapGuard())
	}
	// Go's handler is behind the guard's: its faults are panics, and it receives signals that are
	// sent.
	gone := mapped(t, path)
	cut(t, path, "0")
	isError(t, gone.Guarded(func(b []byte) error { t.Error(b[0]); return nil }), syscall.EIO)
	sent := make(chan os.Signal, 1)
	signal.Notify(sent, syscall.SIGBUS)
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGBUS); err != nil {
		t.Fatal(err)
	}
	if got := <-sent; got != syscall.SIGBUS {
		t.Error(got)
	}
}
