//go:build linux && cgo

package bytefd_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	bytefd "github.com/bytefd/bytefd/go"
)

// opened returns another description of a file.
func opened(t *testing.T, f *os.File, flags int) *os.File {
	t.Helper()
	return closedLater(t, must[*os.File](t)(os.OpenFile(bytefd.Path(int(f.Fd())), flags, 0)))
}

func TestLocksOfTwoDescriptionsExcludeEachOther(t *testing.T) {
	ours := wrapped(t, []byte("hello"), bytefd.Writable())
	theirs := opened(t, ours, os.O_RDWR)
	for _, c := range []struct {
		ours, theirs   bytefd.LockMode
		offset, length int64
		admitted       bool
	}{
		{bytefd.LockShared, bytefd.LockShared, 10, 10, true},
		{bytefd.LockShared, bytefd.LockExclusive, 10, 10, false},
		{bytefd.LockExclusive, bytefd.LockShared, 10, 10, false},
		{bytefd.LockExclusive, bytefd.LockExclusive, 19, 1, false},
		{bytefd.LockExclusive, bytefd.LockExclusive, 0, 10, true},
		{bytefd.LockExclusive, bytefd.LockExclusive, 20, 0, true},
		{bytefd.LockExclusive, bytefd.LockExclusive, 0, 0, false},
	} {
		if err := bytefd.Lock(ours, 10, 10, c.ours); err != nil {
			t.Fatal(err)
		}
		admitted, err := bytefd.TryLock(theirs, c.offset, c.length, c.theirs)
		if admitted != c.admitted || err != nil {
			t.Errorf("%+v: got %t, %v", c, admitted, err)
		}
		for _, f := range []*os.File{ours, theirs} {
			if err := bytefd.Unlock(f, 0, 0); err != nil {
				t.Error(err)
			}
		}
	}
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

func TestALockEndsWithItsHolder(t *testing.T) {
	if name := os.Getenv(roleOfChild); name != "" {
		n := must[*bytefd.Named](t)(bytefd.OpenNamed(name, bytefd.NamedWrite()))
		if err := bytefd.Lock(n.File(), 0, 1, bytefd.LockExclusive); err != nil {
			t.Fatal(err)
		}
		fmt.Println("locked")
		select {} // until it is killed
	}
	table := namedFor(t, bytefd.NamedWrite(), bytefd.NamedLength(1))
	child, lines := asChild(t, table.Name())
	nextLine(t, lines)
	if admitted, err := bytefd.TryLock(table.File(), 0, 1, bytefd.LockShared); admitted || err != nil {
		t.Fatalf("%t, %v", admitted, err)
	}
	failed := make(chan error, 1)
	go func() { failed <- bytefd.Lock(table.File(), 0, 1, bytefd.LockShared) }()
	eventually(func() bool { return someoneWaitsFor(t, table.File()) })
	child.Process.Kill()
	if err := <-failed; err != nil {
		t.Error(err)
	}
}

func TestLocksThatMakeNoSenseAreRefused(t *testing.T) {
	f := wrapped(t, []byte("hello"), bytefd.Writable())
	for _, r := range [][2]int64{{-1, 1}, {0, -1}, {math.MinInt64, 0}, {math.MaxInt64, math.MaxInt64}} {
		isError(t, bytefd.Lock(f, r[0], r[1], bytefd.LockShared), syscall.EINVAL)
		_, err := bytefd.TryLock(f, r[0], r[1], bytefd.LockShared)
		isError(t, err, syscall.EINVAL)
		isError(t, bytefd.Unlock(f, r[0], r[1]), syscall.EINVAL)
	}
	isError(t, bytefd.Lock(f, 0, 0, 2), syscall.EINVAL)
	isError(t, bytefd.Lock(nil, 0, 0, bytefd.LockShared), syscall.EINVAL)
	isError(t, bytefd.Lock(wrapped(t, nil, bytefd.ReadOnly()), 0, 0, bytefd.LockExclusive), syscall.EBADF)
}

// wordOf maps the start of a file as a word, until the test ends.
func wordOf(t *testing.T, f *os.File) *uint32 {
	t.Helper()
	b, err := syscall.Mmap(int(f.Fd()), 0, 4, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Munmap(b) })
	return (*uint32)(unsafe.Pointer(&b[0]))
}

func TestAnotherProcessWakesWhoWaits(t *testing.T) {
	if name := os.Getenv(roleOfChild); name != "" {
		n := closedLater(t, must[*bytefd.Named](t)(bytefd.OpenNamed(name, bytefd.NamedWrite())))
		word := wordOf(t, n.File())
		atomic.StoreUint32(word, 1)
		for woken := 0; woken == 0; {
			woken = must[int](t)(bytefd.Wake(word, math.MaxInt))
		}
		return
	}
	table := namedFor(t, bytefd.NamedWrite(), bytefd.NamedLength(4))
	word := wordOf(t, table.File())
	child, lines := asChild(t, table.Name())
	for atomic.LoadUint32(word) == 0 {
		if err := bytefd.Wait(word, 0, -1); err != nil {
			t.Fatal(err)
		}
	}
	// The child goes on until it has woken somebody.
	failed := make(chan error, 1)
	go func() { failed <- bytefd.Wait(word, 1, -1) }()
	for lines.Scan() {
	}
	if err := child.Wait(); err != nil {
		t.Error(err)
	}
	atomic.StoreUint32(word, 2)
	must[int](t)(bytefd.Wake(word, 1))
	if err := <-failed; err != nil {
		t.Error(err)
	}
}

func TestAnotherValueIsNotWaitedFor(t *testing.T) {
	var word uint32 = 7
	if err := bytefd.Wait(&word, 6, -1); err != nil {
		t.Error(err)
	}
}

func TestWaitingEndsWithItsTime(t *testing.T) {
	var word uint32
	for _, timeout := range []time.Duration{0, time.Nanosecond, time.Millisecond} {
		isError(t, bytefd.Wait(&word, 0, timeout), syscall.ETIMEDOUT)
	}
}

func TestWordsThatAreNoneAreRefused(t *testing.T) {
	var words [2]uint32
	crooked := (*uint32)(unsafe.Add(unsafe.Pointer(&words), 1))
	_, nilErr := bytefd.Wake(nil, 1)
	_, crookedErr := bytefd.Wake(crooked, 1)
	_, negativeErr := bytefd.Wake(&words[0], -1)
	for _, err := range []error{nilErr, crookedErr, negativeErr, bytefd.Wait(nil, 0, 0), bytefd.Wait(crooked, 0, 0)} {
		isError(t, err, syscall.EINVAL)
	}
	if woken, err := bytefd.Wake(&words[0], 0); woken != 0 || err != nil {
		t.Error(woken, err)
	}
}

func TestADMABufNeedsMemoryThatCannotShrink(t *testing.T) {
	for name, f := range map[string]*os.File{
		"a file":                 closedLater(t, must[*os.File](t)(os.Open(fileOf(t, make([]byte, page))))),
		"without seals":          wrapped(t, make([]byte, page), bytefd.Writable()),
		"sealed against writing": wrapped(t, make([]byte, page)),
		"half a page":            unshrinkable(t, page/2),
		"nothing":                unshrinkable(t, 0),
		"no file at all (nil)":   nil,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := bytefd.ExportDMABuf(f)
			isError(t, err, syscall.EINVAL)
		})
	}
	f := unshrinkable(t, page)
	buffer, err := bytefd.ExportDMABuf(f)
	if errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.EACCES) {
		t.Skip("no dma-buf of memory on this host:", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	closedLater(t, buffer)
	f.Close()
	if size, err := buffer.Seek(0, 2); size != int64(page) || err != nil {
		t.Errorf("the dma-buf has %d bytes: %v", size, err)
	}
}

// unshrinkable returns memory of so many bytes that is sealed against shrinking.
func unshrinkable(t *testing.T, size int) *os.File {
	t.Helper()
	f := wrapped(t, make([]byte, size), bytefd.Writable())
	must[int](t)(fcntl(int(f.Fd()), fAddSeals, sealShrink))
	return f
}
