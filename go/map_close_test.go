//go:build linux

package bytefd_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	bytefd "github.com/bytefd/bytefd/go"
)

func isMapped(path string) bool { return mappedFiles()[filepath.Clean(path)] }

func TestCloseUnmapsAndTwiceIsFine(t *testing.T) {
	path := fileOf(t, []byte("hello"))
	m := mapped(t, path)
	if !isMapped(path) {
		t.Error("the file is not mapped")
	}
	for i := 0; i < 3; i++ {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		if isMapped(path) {
			t.Error("the file is still mapped")
		}
	}
}

func TestUseAfterCloseIsErrClosed(t *testing.T) {
	closed := mapped(t, fileOf(t, []byte("hello")))
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	for name, m := range map[string]*bytefd.Map{"closed": closed, "never opened": new(bytefd.Map)} {
		_, readErr := m.ReadAt(make([]byte, 1), 0)
		_, writeErr := m.WriteAt(make([]byte, 1), 0)
		_, sealErr := m.Seal()
		_, fileErr := m.File()
		guardedErr := m.Guarded(func([]byte) error { t.Error("called"); return nil })
		for _, err := range []error{
			readErr, writeErr, sealErr, fileErr, guardedErr, m.Check(),
			m.Resize(1), m.Resize(-1), m.Unmap(0, 0), m.Unmap(-1, -1),
			m.Flush(0, bytefd.ToEnd, syscall.MS_SYNC),
			m.Advise(0, bytefd.ToEnd, syscall.MADV_NORMAL), m.Mlock(0, bytefd.ToEnd),
			m.Munlock(0, bytefd.ToEnd),
			m.Protect(0, bytefd.ToEnd, syscall.PROT_READ), m.Prefetch(0, bytefd.ToEnd),
		} {
			isError(t, err, syscall.EBADF)
			if !errors.Is(err, os.ErrClosed) {
				t.Errorf("%s: %v is not os.ErrClosed", name, err)
			}
		}
		if m.Len() != 0 || m.Bytes() != nil {
			t.Errorf("%s: %d bytes, %v", name, m.Len(), m.Bytes())
		}
		if err := m.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAMapOf0BytesClosesToo(t *testing.T) {
	m := mapped(t, fileOf(t, nil))
	if n, err := m.ReadAt(make([]byte, 1), 0); n != 0 || err != io.EOF {
		t.Errorf("read %d, %v", n, err)
	}
	// The runtime ends the process if it finds such an address in a pointer while it moves a stack.
	if address := uintptr(unsafe.Pointer(unsafe.SliceData(m.Bytes()))); address < 4096 {
		t.Errorf("the bytes are at %#x, which is no pointer", address)
	}
	if err := m.Flush(0, bytefd.ToEnd, syscall.MS_SYNC); hasCgo && err != nil {
		t.Error(err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if _, err := m.ReadAt(make([]byte, 1), 0); !errors.Is(err, os.ErrClosed) {
		t.Errorf("%v is not os.ErrClosed", err)
	}
}

func TestAMapThatIsDroppedIsUnmapped(t *testing.T) {
	path := fileOf(t, []byte("hello"))
	func() {
		m := must[*bytefd.Map](t)(bytefd.MapFile(path))
		if m.Len() != 5 {
			t.Error(m.Len())
		}
	}()
	for isMapped(path) {
		runtime.GC()
	}
}

func TestAMapInUseIsNotCollected(t *testing.T) {
	want := pattern(page)
	path := fileOf(t, want)
	for i := 0; i < 20; i++ {
		m := must[*bytefd.Map](t)(bytefd.MapFile(path))
		b := m.Bytes()
		runtime.GC()
		if string(b) != string(want) {
			t.Error("the bytes changed")
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}
