//go:build linux && cgo

package bytefd_test

import (
	"errors"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"
	"unsafe"

	bytefd "github.com/bytefd/bytefd/go"
)

// A computed length of 0 destroys nothing.
func TestALengthOf0IsNothing(t *testing.T) {
	m := memory(t, 2*page)
	copy(m.Bytes()[page:], pattern(page))
	for _, off := range []int{0, 1, page, 2 * page} {
		for name, err := range map[string]error{
			"Discard": m.Discard(off, 0, syscall.MADV_REMOVE), "Flush": m.Flush(off, 0, syscall.MS_SYNC),
			"Protect": m.Protect(off, 0, syscall.PROT_NONE), "Mlock": m.Mlock(off, 0), "Munlock": m.Munlock(off, 0),
			"Prefetch": m.Prefetch(off, 0), "Advise": m.Advise(off, 0, syscall.MADV_NORMAL),
		} {
			if err != nil {
				t.Errorf("%s at %d: %v", name, off, err)
			}
		}
		isError(t, m.Unmap(off, 0), syscall.EINVAL)
	}
	if string(m.Bytes()[page:]) != string(pattern(page)) {
		t.Error("the bytes have changed")
	}
	for name, do := range onRange {
		isError(t, do(m, 2*page+1, 0), syscall.EINVAL)
		isError(t, do(m, 2*page+1, bytefd.ToEnd), syscall.EINVAL)
		isError(t, do(m, 0, -2), syscall.EINVAL)
		if name != "Unmap" {
			if err := do(m, 2*page, bytefd.ToEnd); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// Whoever forgets Close must not see the bytes of another file.
func TestWhatBytesAndWordShowIsNotUnmappedByTheCollector(t *testing.T) {
	for name, show := range map[string]func(m *bytefd.Map) *byte{
		"Bytes": func(m *bytefd.Map) *byte { return &m.Bytes()[0] },
		"Word": func(m *bytefd.Map) *byte {
			word, err := m.Word(0)
			if err != nil {
				t.Fatal(err)
			}
			word.Store('h')
			return (*byte)(unsafe.Pointer(word))
		},
	} {
		// It is left behind, so it is memory that the inventory does not see.
		m, err := bytefd.NewMap(page, bytefd.MapPrivate())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.WriteAt([]byte("h"), 0); err != nil {
			t.Fatal(err)
		}
		first := show(m)
		m = nil
		for range 5 {
			runtime.GC()
			time.Sleep(time.Millisecond)
			mapped(t, fileOf(t, pattern(page)))
		}
		if *first != 'h' {
			t.Errorf("%s: another byte", name)
		}
	}
}

func TestWordsAreSharedAndChecked(t *testing.T) {
	m := memory(t, 100)
	word, err := m.Word(96)
	if err != nil || word.Add(7) != 7 {
		t.Fatal(err)
	}
	if m.Bytes()[96]+m.Bytes()[99] != 7 {
		t.Error("it is not the memory's")
	}
	for _, off := range []int{-1, 1, 2, 97, 100, 1 << 62} {
		_, err := m.Word(off)
		isError(t, err, syscall.EINVAL)
	}
	_, err = mapped(t, fileOf(t, pattern(100))).Word(0)
	isError(t, err, syscall.EACCES)
}

func TestANilMapIsInvalid(t *testing.T) {
	var m *bytefd.Map
	_, readErr := m.ReadAt(make([]byte, 1), 0)
	_, writeErr := m.WriteAt(make([]byte, 1), 0)
	_, sealErr := m.Seal()
	_, shareErr := m.Share()
	_, fileErr := m.File()
	_, sizeErr := m.FileSize()
	_, wordErr := m.Word(0)
	for _, err := range []error{
		readErr, writeErr, sealErr, shareErr, fileErr, sizeErr, wordErr, m.Check(), m.Close(), m.Resize(1),
		m.Guarded(func([]byte) error { return nil }),
	} {
		if !errors.Is(err, os.ErrInvalid) || errors.Is(err, os.ErrClosed) {
			t.Errorf("%v is not os.ErrInvalid", err)
		}
	}
	for name, do := range onRange {
		if err := do(m, 0, 1); !errors.Is(err, os.ErrInvalid) {
			t.Errorf("%s: %v is not os.ErrInvalid", name, err)
		}
	}
	if m.Len() != 0 || m.Bytes() != nil {
		t.Error("it is not empty")
	}
}

func TestMapFDTakesFilesAndNumbers(t *testing.T) {
	f, err := os.Open(fileOf(t, []byte("hello")))
	if err != nil {
		t.Fatal(err)
	}
	m := closedLater(t, must[*bytefd.Map](t)(bytefd.MapFD(f)))
	if string(m.Bytes()) != "hello" {
		t.Errorf("%q", m.Bytes())
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := bytefd.MapFD(f); !errors.Is(err, os.ErrClosed) {
		t.Errorf("%v is not os.ErrClosed", err)
	}
	if _, err := bytefd.MapFD((*os.File)(nil)); !errors.Is(err, os.ErrInvalid) {
		t.Errorf("%v is not os.ErrInvalid", err)
	}
	for _, wrong := range []any{nil, "hello", uintptr(3)} {
		_, err := bytefd.MapFD(wrong)
		isError(t, err, syscall.EINVAL)
	}
}

func TestAGuardedMapReadsWhatTheFileHasNow(t *testing.T) {
	path := fileOf(t, pattern(9000))
	m := mapped(t, path, bytefd.MapGuard())
	if err := os.Truncate(path, 10); err != nil {
		t.Fatal(err)
	}
	n, err := m.ReadAt(make([]byte, page), 0)
	isError(t, err, syscall.EIO)
	size, sizeErr := m.FileSize()
	if n != 10 || size != 10 || sizeErr != nil || m.Check() != nil {
		t.Errorf("%d bytes of %d, %v, %v", n, size, sizeErr, m.Check())
	}
	_, err = mapped(t, path).FileSize()
	isError(t, err, syscall.EBADF)
}

func TestSharedMemoryIsReadWhileItIsWrittenAndSealedLater(t *testing.T) {
	m := memory(t, 5)
	f := closedLater(t, must[*os.File](t)(m.Share()))
	if _, err := m.WriteAt([]byte("hello"), 0); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 5)
	if _, err := f.ReadAt(p, 0); err != nil || string(p) != "hello" {
		t.Errorf("%q, %v", p, err)
	}
	isError(t, m.Resize(6), syscall.EPERM)
	theirs := closedLater(t, must[*bytefd.Map](t)(bytefd.MapFD(f)))
	closedLater(t, must[*os.File](t)(m.Seal(bytefd.SealTimeout(0))))
	if string(theirs.Bytes()) != "hello" {
		t.Errorf("%q", theirs.Bytes())
	}
	_, err := m.WriteAt([]byte("J"), 0)
	isError(t, err, syscall.EACCES)
}

func TestSealingSaysHowLongItHasWaited(t *testing.T) {
	m := memory(t, 5)
	f := closedLater(t, must[*os.File](t)(m.File()))
	other := closedLater(t, must[*bytefd.Map](t)(bytefd.MapFD(f, bytefd.MapWrite())))
	_, err := m.Seal(bytefd.SealTimeout(0))
	isError(t, err, syscall.EBUSY)
	_, err = m.Seal(bytefd.SealTimeout(time.Millisecond))
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.Is(err, syscall.ETIMEDOUT) {
		t.Errorf("%v is not os.ErrDeadlineExceeded", err)
	}
	go func() {
		time.Sleep(20 * time.Millisecond)
		other.Close()
	}()
	closedLater(t, must[*os.File](t)(m.Seal(bytefd.SealTimeout(-1))))
}
