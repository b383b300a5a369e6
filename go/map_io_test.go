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

func TestReadAtAnyOffsetOfAnyRange(t *testing.T) {
	all := pattern(5 * page)
	path := fileOf(t, all)
	for _, from := range []int{0, 1, page - 1, page + 1} {
		m := mapped(t, path, bytefd.MapOffset(int64(from)))
		want := all[from:]
		for _, off := range []int{0, 1, page - 1, page, page + 1} {
			for _, length := range []int{0, 1, page - 1, page, page + 1, 2 * page} {
				p := make([]byte, length)
				if n, err := m.ReadAt(p, int64(off)); n != length || err != nil || !bytes.Equal(p, want[off:off+length]) {
					t.Errorf("map from %d, %d bytes at %d: %d, %v", from, length, off, n, err)
				}
			}
		}
	}
}

func TestWriteAtReachesTheFile(t *testing.T) {
	path := fileOf(t, make([]byte, 3*page))
	m := mapped(t, path, bytefd.MapWrite(), bytefd.MapOffset(3))
	want := make([]byte, 3*page)
	for _, off := range []int{0, 1, page - 3, page + 1, m.Len() - 5} {
		text := []byte("hello")
		copy(want[3+off:], text)
		if n, err := m.WriteAt(text, int64(off)); n != len(text) || err != nil {
			t.Errorf("WriteAt %d: %d, %v", off, n, err)
		}
	}
	all := pattern(2 * page)
	copy(want[3+7:], all)
	if n, err := m.WriteAt(all, 7); n != len(all) || err != nil {
		t.Errorf("WriteAt 7: %d, %v", n, err)
	}
	if got := must[[]byte](t)(os.ReadFile(path)); !bytes.Equal(got, want) {
		t.Error("the file does not hold what was written")
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

func TestWriteAtOnAMapForReadingIsEACCES(t *testing.T) {
	m := mapped(t, fileOf(t, []byte("hello")))
	for _, p := range [][]byte{[]byte("J"), nil} {
		_, err := m.WriteAt(p, 0)
		isError(t, err, syscall.EACCES)
	}
}

func TestAPrivateMapReadsItsOwnWrites(t *testing.T) {
	path := fileOf(t, []byte("hello"))
	m := mapped(t, path, bytefd.MapPrivate())
	if _, err := m.WriteAt([]byte("J"), 0); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 5)
	if _, err := m.ReadAt(p, 0); string(p) != "Jello" || err != nil {
		t.Errorf("read %q, %v", p, err)
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

func TestFlushTakesAnyRangeOfTheMap(t *testing.T) {
	path := fileOf(t, pattern(3*page))
	for name, option := range map[string]bytefd.MapOption{"write": bytefd.MapWrite(), "read": bytefd.MapRead()} {
		m := mapped(t, path, option, bytefd.MapOffset(5))
		for _, how := range []bytefd.FlushMode{bytefd.FlushSync, bytefd.FlushAsync} {
			for _, r := range [][2]int{{0, 0}, {0, m.Len()}, {page + 1, 1}, {m.Len(), 0}, {m.Len() - 1, 1}} {
				if err := m.Flush(r[0], r[1], how); err != nil {
					t.Errorf("%s: %d bytes from %d: %v", name, r[1], r[0], err)
				}
			}
		}
	}
}

func TestFlushRefusesWhatIsNotInTheMap(t *testing.T) {
	m := mapped(t, fileOf(t, []byte("hello")), bytefd.MapWrite())
	for _, r := range [][2]int{{0, 6}, {5, 1}, {6, 0}, {-1, 1}, {0, -1}, {math.MaxInt, math.MaxInt}, {math.MinInt, 0}} {
		isError(t, m.Flush(r[0], r[1], bytefd.FlushSync), syscall.EINVAL)
	}
	isError(t, m.Flush(0, 0, 99), syscall.EINVAL)
	private := mapped(t, fileOf(t, []byte("hello")), bytefd.MapPrivate())
	isError(t, private.Flush(0, 0, bytefd.FlushSync), syscall.EINVAL)
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
