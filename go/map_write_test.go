//go:build linux && cgo

package bytefd_test

import (
	"bytes"
	"math"
	"os"
	"sync"
	"syscall"
	"testing"

	"errors"

	bytefd "github.com/bytefd/bytefd/go"
)

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
			if err := m.Flush(i*page, page, syscall.MS_ASYNC); err != nil {
				t.Error(err)
			}
		}()
	}
	group.Wait()
}

func TestWritingToWhatIsGoneIsEIO(t *testing.T) {
	path := fileOf(t, make([]byte, 4*page))
	m := mapped(t, path, bytefd.MapWrite())
	if err := os.Truncate(path, int64(2*page)); err != nil {
		t.Fatal(err)
	}
	want := pattern(4 * page)
	n, err := m.WriteAt(want, 0)
	isError(t, err, syscall.EIO)
	if n != 2*page {
		t.Errorf("wrote %d bytes, want %d", n, 2*page)
	}
	if got := must[[]byte](t)(os.ReadFile(path)); !bytes.Equal(got, want[:2*page]) {
		t.Error("the file does not hold what was counted")
	}
}

func TestTruncationWhileReadingAndWritingIsNeverACrash(t *testing.T) {
	path := fileOf(t, make([]byte, 8*page))
	m := mapped(t, path, bytefd.MapWrite())
	stop := make(chan struct{})
	var group sync.WaitGroup
	work := func(what func(p []byte, off int64) (int, error)) {
		defer group.Done()
		p := make([]byte, 8*page)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if n, err := what(p, 0); err != nil && !errors.Is(err, syscall.EIO) ||
				err == nil && n != len(p) {
				t.Errorf("%d, %v", n, err)
				return
			}
		}
	}
	group.Add(2)
	go work(m.ReadAt)
	go work(m.WriteAt)
	for i := 0; i < 500; i++ {
		for _, size := range []int64{0, int64(3 * page), int64(8 * page)} {
			if err := os.Truncate(path, size); err != nil {
				t.Error(err)
			}
		}
	}
	close(stop)
	group.Wait()
}

// A fault in the caller's slice is a panic, and no error of the map.
func TestAFaultElsewhereIsNotTheMaps(t *testing.T) {
	path := fileOf(t, make([]byte, page))
	gone := mapped(t, path, bytefd.MapWrite())
	m := mapped(t, fileOf(t, make([]byte, page)), bytefd.MapWrite())
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	_, err := m.ReadAt(gone.Bytes(), 0)
	isError(t, err, syscall.EFAULT)
	_, err = m.WriteAt(gone.Bytes(), 0)
	isError(t, err, syscall.EFAULT)
}
