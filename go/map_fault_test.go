//go:build linux && cgo

package bytefd_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
)

func TestAnotherProcessTruncatesAndReadingIsEIO(t *testing.T) {
	all := pattern(4 * page)
	path := fileOf(t, all)
	m := mapped(t, path)
	if err := exec.Command("truncate", "-s", "5000", path).Run(); err != nil {
		t.Fatal(err)
	}
	there := (5000 + page - 1) / page * page // the last page is there to its end
	want := append(bytes.Clone(all[:5000]), make([]byte, there-5000)...)

	p := make([]byte, len(all))
	n, err := m.ReadAt(p, 0)
	isError(t, err, syscall.EIO)
	if n != there || !bytes.Equal(p[:n], want) {
		t.Errorf("read %d bytes, want the %d that are there", n, there)
	}
	if n, err := m.ReadAt(p[:there], 0); n != there || err != nil {
		t.Errorf("read %d bytes that are there, %v", n, err)
	}
	n, err = m.ReadAt(p[:1], int64(there))
	isError(t, err, syscall.EIO)
	if n != 0 {
		t.Errorf("read %d bytes that are gone", n)
	}
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
			if n, err := what(p, 0); err != nil && !errors.Is(err, syscall.EIO) || err == nil && n != len(p) {
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

// A fault in the caller's own slice is the caller's, and no error of the map.
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
