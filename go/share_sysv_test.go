//go:build linux && cgo

package bytefd_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"regexp"
	"syscall"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
)

// segment makes a segment without a key, which is gone when the test ends.
func segment(t *testing.T, key, length int, opts ...bytefd.SysvOption) (*bytefd.Map, int) {
	t.Helper()
	opts = append([]bytefd.SysvOption{bytefd.SysvCreate(), bytefd.SysvWrite(), bytefd.SysvLength(length)}, opts...)
	m, number, err := bytefd.MapSysv(key, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bytefd.RemoveSysv(number) })
	return closedLater(t, m), number
}

// segmentMode returns the mode of a segment, or "" if there is none.
func segmentMode(t *testing.T, number int) string {
	list := must[[]byte](t)(os.ReadFile("/proc/sysvipc/shm"))
	line := regexp.MustCompile(fmt.Sprintf(`(?m)^ *-?\d+ +%d +(\d+) `, number)).FindSubmatch(list)
	if line == nil {
		return ""
	}
	return string(line[1])
}

func TestASegmentIsSharedByItsNumberAndItsKey(t *testing.T) {
	key := -0x10000000 - os.Getpid() // as keys with the highest bit are, as int
	ours, number := segment(t, key, page+1, bytefd.SysvMode(0o640))
	if mode := segmentMode(t, number); ours.Len() != page+1 || mode != "640" {
		t.Errorf("%d bytes, mode %s", ours.Len(), mode)
	}
	must[int](t)(ours.WriteAt([]byte("hello"), int64(page)-4))
	for _, c := range []struct {
		key     int
		options []bytefd.SysvOption
	}{
		{key, nil},
		{int(uint32(key)), []bytefd.SysvOption{bytefd.SysvWrite()}},
		{number, []bytefd.SysvOption{bytefd.SysvAttach(), bytefd.SysvLength(page + 1)}},
	} {
		theirs, found, err := bytefd.MapSysv(c.key, c.options...)
		if err != nil {
			t.Fatal(err)
		}
		text := make([]byte, 5)
		if _, err := theirs.ReadAt(text, int64(page)-4); string(text) != "hello" || err != nil || found != number {
			t.Errorf("segment %d has %q, %v", found, text, err)
		}
		if err := theirs.Close(); err != nil {
			t.Error(err)
		}
		if _, err := theirs.ReadAt(text, 0); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%v is not os.ErrClosed", err)
		}
	}
	_, _, err := bytefd.MapSysv(key, bytefd.SysvCreate(), bytefd.SysvWrite(), bytefd.SysvLength(1))
	isError(t, err, syscall.EEXIST)
	_, _, err = bytefd.MapSysv(key, bytefd.SysvLength(page+2))
	isError(t, err, syscall.ENXIO)
}

func TestASegmentForReadingIsNotWritten(t *testing.T) {
	_, number := segment(t, 0, 5)
	m, _, err := bytefd.MapSysv(number, bytefd.SysvAttach())
	if err != nil {
		t.Fatal(err)
	}
	closedLater(t, m)
	_, err = m.WriteAt([]byte("J"), 0)
	isError(t, err, syscall.EACCES)
}

func TestARemovedSegmentGoesWithTheLastWhoHasIt(t *testing.T) {
	m, number := segment(t, 0, 5)
	if err := bytefd.RemoveSysv(number); err != nil {
		t.Fatal(err)
	}
	must[int](t)(m.WriteAt([]byte("hello"), 0))
	isPromised(t, int(wrapped(t, m.Bytes()).Fd()), []byte("hello"))
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if segmentMode(t, number) != "" {
		t.Error("the segment is still there")
	}
	isError(t, bytefd.RemoveSysv(number), syscall.EINVAL)
	_, _, err := bytefd.MapSysv(number, bytefd.SysvAttach())
	isError(t, err, syscall.EINVAL)
}

func TestSegmentsThatMakeNoSenseAreRefused(t *testing.T) {
	create, write := bytefd.SysvCreate(), bytefd.SysvWrite()
	five := []bytefd.SysvOption{create, write, bytefd.SysvLength(5)}
	for name, c := range map[string]struct {
		key     int
		options []bytefd.SysvOption
		errno   syscall.Errno
	}{
		"no such key":           {0x5eed5eed, nil, syscall.ENOENT},
		"no key":                {0, nil, syscall.EINVAL},
		"no such number":        {-1, []bytefd.SysvOption{bytefd.SysvAttach()}, syscall.EINVAL},
		"a key of 33 bits":      {1 << 32, five, syscall.EINVAL},
		"a key far below 0":     {math.MinInt, nil, syscall.EINVAL},
		"without length":        {0, []bytefd.SysvOption{create, write}, syscall.EINVAL},
		"a negative length":     {0, []bytefd.SysvOption{create, write, bytefd.SysvLength(-1)}, syscall.EINVAL},
		"a new one for reading": {0, []bytefd.SysvOption{create, bytefd.SysvLength(5)}, syscall.EINVAL},
		"a mode of more bits":   {0, append(five, bytefd.SysvMode(fs.ModeDir|0o600)), syscall.EINVAL},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := bytefd.MapSysv(c.key, c.options...)
			isError(t, err, c.errno)
		})
	}
	isError(t, bytefd.RemoveSysv(-1), syscall.EINVAL)
	isError(t, bytefd.RemoveSysv(math.MaxInt), syscall.EINVAL)
}
