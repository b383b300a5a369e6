//go:build linux

package bytefd_test

import (
	"io"
	"math"
	"syscall"
	"testing"
	"testing/iotest"
)

func TestReadAtKeepsTheContractOfReaderAt(t *testing.T) {
	for _, size := range []int{0, 1, page, 2*page + 1} {
		want := pattern(size)
		m := mapped(t, fileOf(t, want))
		if err := iotest.TestReader(io.NewSectionReader(m, 0, int64(size)), want); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func TestReadAtReturnsEOFAtTheEnd(t *testing.T) {
	m := mapped(t, fileOf(t, []byte("hello")))
	for _, c := range []struct {
		off    int64
		length int
		want   string
		err    error
	}{
		{0, 5, "hello", nil},
		{0, 6, "hello", io.EOF},
		{4, 1, "o", nil},
		{4, 2, "o", io.EOF},
		{5, 1, "", io.EOF},
		{6, 1, "", io.EOF},
		{math.MaxInt64, 1, "", io.EOF},
		{0, 0, "", nil},
		{5, 0, "", nil},
	} {
		p := make([]byte, c.length)
		n, err := m.ReadAt(p, c.off)
		if string(p[:n]) != c.want || err != c.err {
			t.Errorf("ReadAt of %d bytes at %d: %q, %v; want %q, %v",
				c.length, c.off, p[:n], err, c.want, c.err)
		}
	}
}

func TestNegativeOffsetsAreEINVAL(t *testing.T) {
	m := mapped(t, fileOf(t, []byte("hello")))
	for _, off := range []int64{-1, math.MinInt64} {
		_, err := m.ReadAt(make([]byte, 1), off)
		isError(t, err, syscall.EINVAL)
		_, err = m.WriteAt(make([]byte, 1), off)
		isError(t, err, syscall.EINVAL)
	}
}
