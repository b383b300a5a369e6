//go:build linux

package bytefd_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
)

// Constants of fcntl(2) that package syscall lacks.
const (
	fGetSeals = 1034
	sealExec  = 0x20
)

const shm = "/dev/shm"

// pattern returns n bytes. No two of their pages are equal.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>12*7)
	}
	return b
}

var page = os.Getpagesize()

// must fails the test on an error and otherwise returns the value.
func must[T any](t *testing.T) func(value T, err error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// label names a descriptor after its test, so that a leak shows its origin.
func label(t *testing.T) bytefd.WrapOption {
	return bytefd.WrapName(strings.ReplaceAll(t.Name(), "/", "."))
}

// wrapped is WrapBuffer with the test's label; the file is closed when the test ends.
func wrapped(t *testing.T, b []byte, opts ...bytefd.WrapOption) *os.File {
	t.Helper()
	return closedLater(t,
		must[*os.File](t)(bytefd.WrapBuffer(b, append([]bytefd.WrapOption{label(t)}, opts...)...)))
}

// mapped is MapFile; the map is closed when the test ends.
func mapped(t *testing.T, path string, opts ...bytefd.MapOption) *bytefd.Map {
	t.Helper()
	return closedLater(t, must[*bytefd.Map](t)(bytefd.MapFile(path, opts...)))
}

// memory is NewMap; the map is closed when the test ends.
func memory(t *testing.T, length int, opts ...bytefd.MapOption) *bytefd.Map {
	t.Helper()
	return closedLater(t, must[*bytefd.Map](t)(bytefd.NewMap(length, opts...)))
}

// inAChild runs the test again in a child process and calls f there. f must leave nothing behind.
func inAChild(t *testing.T, f func()) {
	t.Helper()
	if os.Getenv(isAChild) != "" {
		f()
		return
	}
	if out, err := childOf(t).CombinedOutput(); err != nil ||
		!strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, out)
	}
}

const isAChild = "BYTEFD_TEST_CHILD"

// childOf returns the command that runs the test again, with isAChild set.
func childOf(t *testing.T) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), isAChild+"=1")
	return cmd
}

func closedLater[C io.Closer](t *testing.T, c C) C {
	t.Cleanup(func() { c.Close() })
	return c
}

// fileOf makes a file of these bytes in the test's own directory.
func fileOf(t *testing.T, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func fstat(t *testing.T, fd int) syscall.Stat_t {
	t.Helper()
	var stat syscall.Stat_t
	if err := syscall.Fstat(fd, &stat); err != nil {
		t.Fatal("fstat:", err)
	}
	return stat
}

func fcntl(fd int, command, argument uintptr) (int, error) {
	value, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), command, argument)
	if errno != 0 {
		return -1, errno
	}
	return int(value), nil
}

func seals(t *testing.T, fd int) int {
	t.Helper()
	return must[int](t)(fcntl(fd, fGetSeals, 0))
}

func closeOnExec(t *testing.T, fd int) bool {
	t.Helper()
	return must[int](t)(fcntl(fd, syscall.F_GETFD, 0))&syscall.FD_CLOEXEC != 0
}

func accessMode(t *testing.T, fd int) int {
	t.Helper()
	return must[int](t)(fcntl(fd, syscall.F_GETFL, 0)) & syscall.O_ACCMODE
}

func isOpen(fd int) bool {
	_, err := fcntl(fd, syscall.F_GETFD, 0)
	return err == nil
}

// isPromised checks what every descriptor promises, whatever its options.
func isPromised(t *testing.T, fd int, want []byte) {
	t.Helper()
	stat := fstat(t, fd)
	if stat.Mode&syscall.S_IFMT != syscall.S_IFREG || stat.Size != int64(len(want)) ||
		stat.Nlink != 0 {
		t.Errorf("file type %o, %d bytes, %d links; want a regular file of %d bytes without links",
			stat.Mode&syscall.S_IFMT, stat.Size, stat.Nlink, len(want))
	}
	if offset := must[int64](t)(syscall.Seek(fd, 0, io.SeekCurrent)); offset != 0 {
		t.Errorf("offset %d, want 0", offset)
	}
	got := make([]byte, len(want)+1)
	for n := 0; n < len(got); {
		read, err := syscall.Pread(fd, got[n:], int64(n))
		if err != nil {
			t.Fatal("pread:", err)
		}
		n += read
		if read == 0 {
			got = got[:n]
		}
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the content differs from the %d bytes that were wrapped", len(want))
	}
}

// isError checks an error of this package: its type, its errno, and that it is one readable line.
func isError(t *testing.T, err error, want syscall.Errno) {
	t.Helper()
	var e *bytefd.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v (%T), want a *bytefd.Error", err, err)
	}
	if !errors.Is(err, want) {
		t.Errorf("got %v (errno %d), want errno %d, %v", err, e.Errno, want, want)
	}
	line := err.Error()
	isWhole := line == fmt.Sprintf("bytefd: %s: %s", e.Op, e.Message)
	if !isWhole || e.Op == "" || e.Message == "" || strings.Contains(line, "\n") {
		t.Errorf("%q is not one line with step and message", line)
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
