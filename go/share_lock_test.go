//go:build linux && cgo

package bytefd_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	bytefd "github.com/bytefd/bytefd/go"
)

// opened returns another description of a file.
func opened(t *testing.T, f *os.File, flags int) *os.File {
	t.Helper()
	return closedLater(t, must[*os.File](t)(os.OpenFile(bytefd.Path(int(f.Fd())), flags, 0)))
}

func TestALockIsWaitedFor(t *testing.T) {
	ours := wrapped(t, []byte("hello"), bytefd.Writable())
	theirs := opened(t, ours, os.O_RDWR)
	if err := bytefd.Lock(ours, 0, 5, bytefd.LockExclusive); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() { failed <- bytefd.Lock(theirs, 0, 5, bytefd.LockExclusive) }()
	eventually(func() bool { return someoneWaitsFor(t, ours) })
	if err := bytefd.Unlock(ours, 0, 0); err != nil {
		t.Error(err)
	}
	if err := <-failed; err != nil {
		t.Error(err)
	}
	if admitted, err := bytefd.TryLock(ours, 0, 5, bytefd.LockShared); admitted || err != nil {
		t.Errorf("the one that waited has no lock: %t, %v", admitted, err)
	}
}

// someoneWaitsFor looks in /proc/locks, where who waits has an arrow.
func someoneWaitsFor(t *testing.T, f *os.File) bool {
	inode := fmt.Sprintf(":%d ", fstat(t, int(f.Fd())).Ino)
	for _, line := range strings.Split(string(must[[]byte](t)(os.ReadFile("/proc/locks"))), "\n") {
		if strings.Contains(line, "->") && strings.Contains(line, inode) {
			return true
		}
	}
	return false
}

func TestTryLockTellsARefusalFromAnError(t *testing.T) {
	ours := wrapped(t, []byte("hello"), bytefd.Writable())
	theirs := opened(t, ours, os.O_RDWR)
	if admitted, err := bytefd.TryLock(ours, 0, 5, bytefd.LockExclusive); !admitted || err != nil {
		t.Errorf("%t, %v", admitted, err)
	}
	if admitted, err := bytefd.TryLock(theirs, 0, 1, bytefd.LockShared); admitted || err != nil {
		t.Errorf("%t, %v", admitted, err)
	}
	if admitted, err := bytefd.TryLock(opened(t, ours, os.O_RDONLY), 5, 1, bytefd.LockExclusive); admitted || !errors.Is(err, syscall.EBADF) {
		t.Errorf("%t, %v", admitted, err)
	}
}

func TestAGoroutineWakesAnotherThatWaits(t *testing.T) {
	var word uint32
	failed := make(chan error, 1)
	go func() { failed <- bytefd.Wait(&word, 0, -1) }()
	for woken := 0; woken == 0; {
		woken = must[int](t)(bytefd.Wake(&word, math.MaxInt))
	}
	if err := <-failed; err != nil {
		t.Error(err)
	}
	if err := bytefd.Wait(&word, 1, -1); err != nil {
		t.Error("another value is waited for:", err)
	}
	for _, timeout := range []time.Duration{0, time.Nanosecond, time.Millisecond} {
		isError(t, bytefd.Wait(&word, 0, timeout), syscall.ETIMEDOUT)
	}
}
