//go:build linux && cgo

package bytefd_test

import (
	"bytes"
	"io"
	"math"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"

	bytefd "github.com/bytefd/bytefd/go"
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
			t.Errorf("ReadAt of %d bytes at %d: %q, %v; want %q, %v", c.length, c.off, p[:n], err, c.want, c.err)
		}
	}
}

func TestWriteAtPastTheEndIsENXIOAndWritesNothing(t *testing.T) {
	path := fileOf(t, []byte("hello"))
	m := mapped(t, path, bytefd.MapWrite())
	for _, off := range []int64{1, 5, 6, math.MaxInt64} {
		n, err := m.WriteAt([]byte("HELLO"), off)
		isError(t, err, syscall.ENXIO)
		if n != 0 {
			t.Errorf("%d bytes written at %d", n, off)
		}
	}
	if n, err := m.WriteAt(nil, 5); n != 0 || err != nil {
		t.Errorf("nothing at the end: %d, %v", n, err)
	}
	if got := must[[]byte](t)(os.ReadFile(path)); string(got) != "hello" {
		t.Errorf("the file holds %q", got)
	}
}

func TestNegativeOffsetsAreEINVAL(t *testing.T) {
	m := mapped(t, fileOf(t, []byte("hello")), bytefd.MapWrite())
	for _, off := range []int64{-1, math.MinInt64} {
		_, err := m.ReadAt(make([]byte, 1), off)
		isError(t, err, syscall.EINVAL)
		_, err = m.WriteAt(make([]byte, 1), off)
		isError(t, err, syscall.EINVAL)
	}
}

func TestManyGoroutinesShareOneMap(t *testing.T) {
	const workers = 16
	m := mapped(t, fileOf(t, make([]byte, workers*page)), bytefd.MapWrite())
	var group sync.WaitGroup
	for i := 0; i < workers; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			want := bytes.Repeat([]byte{byte(i + 1)}, page)
			got := make([]byte, page)
			if _, err := m.WriteAt(want, int64(i*page)); err != nil {
				t.Error(err)
			}
			if _, err := m.ReadAt(got, int64(i*page)); err != nil || !bytes.Equal(got, want) {
				t.Errorf("goroutine %d reads back something else: %v", i, err)
			}
			if err := m.Flush(i*page, page, bytefd.FlushAsync); err != nil {
				t.Error(err)
			}
		}()
	}
	group.Wait()
}
