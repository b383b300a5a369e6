//go:build linux

package bytefd_test

import (
	"errors"
	"os"
	"syscall"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
)

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
		readErr, writeErr, sealErr, shareErr, fileErr, sizeErr, wordErr, m.Check(), m.Close(),
		m.Resize(1),
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
	byNumber := closedLater(t, must[*bytefd.Map](t)(bytefd.MapFD(f.Fd())))
	if string(m.Bytes()) != "hello" || string(byNumber.Bytes()) != "hello" {
		t.Errorf("%q, %q", m.Bytes(), byNumber.Bytes())
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := bytefd.MapFD(f); !errors.Is(err, os.ErrClosed) {
		t.Errorf("%v is not os.ErrClosed", err)
	}
	_, err = bytefd.MapFD(f.Fd()) // -1 as a uintptr
	isError(t, err, syscall.EBADF)
	if _, err := bytefd.MapFD((*os.File)(nil)); !errors.Is(err, os.ErrInvalid) {
		t.Errorf("%v is not os.ErrInvalid", err)
	}
	for _, wrong := range []any{nil, "hello", int32(3)} {
		_, err := bytefd.MapFD(wrong)
		isError(t, err, syscall.EINVAL)
	}
}

// Methods that take a range, with arguments that are valid for memory.
var onRange = map[string]func(m *bytefd.Map, offset, length int) error{
	"Flush": func(m *bytefd.Map, offset, length int) error {
		return m.Flush(offset, length, syscall.MS_SYNC|syscall.MS_INVALIDATE)
	},
	"Advise": func(m *bytefd.Map, offset, length int) error {
		return m.Advise(offset, length, syscall.MADV_SEQUENTIAL)
	},
	"Protect": func(m *bytefd.Map, offset, length int) error {
		return m.Protect(offset, length, syscall.PROT_READ|syscall.PROT_WRITE)
	},
	"Mlock":    (*bytefd.Map).Mlock,
	"Munlock":  (*bytefd.Map).Munlock,
	"Prefetch": (*bytefd.Map).Prefetch,
	"Unmap":    (*bytefd.Map).Unmap,
}
