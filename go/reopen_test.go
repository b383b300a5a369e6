//go:build linux && cgo

package bytefd_test

import (
	"io"
	"io/fs"
	"math"
	"os"
	"syscall"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
)

func TestAReopenedFileIsReadOnlyAndHasItsOwnOffset(t *testing.T) {
	f := wrapped(t, []byte("hello"), bytefd.Writable(), bytefd.Inherit())
	if _, err := f.Seek(3, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	other := closedLater(t, must[*os.File](t)(bytefd.Reopen(int(f.Fd()))))
	fd := int(other.Fd())
	isPromised(t, fd, []byte("hello"))
	if accessMode(t, fd) != syscall.O_RDONLY || !closeOnExec(t, fd) {
		t.Error("not read-only and close-on-exec")
	}
	if _, err := io.ReadAll(other); err != nil {
		t.Error(err)
	}
	if offset, err := f.Seek(0, io.SeekCurrent); offset != 3 || err != nil {
		t.Errorf("the original is at offset %d, %v; want 3", offset, err)
	}
}

func TestAFileWithANameCanBeReopened(t *testing.T) {
	f := closedLater(t, must[*os.File](t)(os.Open(fileOf(t, []byte("hello")))))
	other := closedLater(t, must[*os.File](t)(bytefd.Reopen(int(f.Fd()))))
	if got, err := io.ReadAll(other); string(got) != "hello" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
}

func TestWhatIsNotOpenCannotBeReopened(t *testing.T) {
	for _, fd := range []int{-1, math.MinInt32, math.MaxInt32, math.MaxInt} {
		f, err := bytefd.Reopen(fd)
		isError(t, err, syscall.EBADF)
		if f != nil {
			t.Error("there is a file too")
		}
	}
}

func TestOnlyRegularFilesAreReopened(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	directory := closedLater(t, must[*os.File](t)(os.Open(t.TempDir())))
	null := closedLater(t, must[*os.File](t)(os.Open(os.DevNull)))
	for _, f := range []*os.File{r, directory, null} {
		_, err := bytefd.Reopen(int(f.Fd()))
		isError(t, err, syscall.EINVAL)
	}
}

func TestAPathOpensTheFileAtOffset0(t *testing.T) {
	f := wrapped(t, []byte("hello"))
	if _, err := f.Seek(3, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(bytefd.Path(int(f.Fd()))); string(got) != "hello" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	err := bytefd.ScanBytes([]byte("lent"), func(fd int) error {
		got, err := os.ReadFile(bytefd.Path(fd))
		if string(got) != "lent" {
			t.Errorf("read %q", got)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestThePathOfNothingOpensNothing(t *testing.T) {
	for _, fd := range []int{-1, math.MaxInt32} {
		if _, err := os.Open(bytefd.Path(fd)); !os.IsNotExist(err) {
			t.Errorf("%s: %v, want %v", bytefd.Path(fd), err, fs.ErrNotExist)
		}
	}
}
