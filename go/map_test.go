//go:build linux && cgo

package bytefd_test

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
	"testing"
	"unsafe"

	bytefd "github.com/bytefd/bytefd/go"
)

func addressOf(m *bytefd.Map) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(m.Bytes()))) }

func TestAMapHasTheBytesOfTheFile(t *testing.T) {
	for _, size := range sizes {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			want := pattern(size)
			m := mapped(t, fileOf(t, want))
			if m.Len() != size || m.Bytes() == nil || !bytes.Equal(m.Bytes(), want) {
				t.Errorf("the map of %d bytes differs from the file of %d", m.Len(), size)
			}
		})
	}
}

// Bytes is another slice afterwards.
func TestAResizedMapHasItsNewBytes(t *testing.T) {
	for name, m := range map[string]*bytefd.Map{
		"memory":  memory(t, 5),
		"private": memory(t, 5, bytefd.MapPrivate()),
		"file":    mapped(t, fileOf(t, make([]byte, 5)), bytefd.MapWrite()),
	} {
		copy(m.Bytes(), "hello")
		for _, length := range []int{100 * page, 5, 0, page + 1} {
			want := append(bytes.Clone(m.Bytes()[:min(m.Len(), length)]), make([]byte, max(0, length-m.Len()))...)
			if err := m.Resize(length); err != nil || !bytes.Equal(m.Bytes(), want) || cap(m.Bytes()) != length {
				t.Errorf("%s of %d bytes: %v, or the bytes differ", name, length, err)
			}
		}
	}
}

func TestSharedMemoryHasADescriptorAndPrivateHasNone(t *testing.T) {
	m := memory(t, 5)
	f := closedLater(t, must[*os.File](t)(m.File()))
	if !closeOnExec(t, int(f.Fd())) || accessMode(t, int(f.Fd())) != syscall.O_RDWR {
		t.Error("it is not read-write and close-on-exec")
	}
	if _, err := f.WriteAt([]byte("hello"), 0); err != nil {
		t.Error(err)
	}
	if string(m.Bytes()) != "hello" {
		t.Errorf("the map holds %q", m.Bytes())
	}
	// The caller's own: it outlives the map.
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	again := closedLater(t, must[*bytefd.Map](t)(bytefd.MapFD(int(f.Fd()))))
	if string(again.Bytes()) != "hello" {
		t.Errorf("the other map holds %q", again.Bytes())
	}
	_, err := memory(t, 5, bytefd.MapPrivate()).File()
	isError(t, err, syscall.EBADF)
}

func TestASealedMapStaysForReadingBesideItsFile(t *testing.T) {
	m := memory(t, 5)
	copy(m.Bytes(), "hello")
	before := addressOf(m)
	f := closedLater(t, must[*os.File](t)(m.Seal()))
	isPromised(t, int(f.Fd()), []byte("hello"))
	if string(m.Bytes()) != "hello" || addressOf(m) != before {
		t.Error("the map is another")
	}
	_, err := m.WriteAt(nil, 0)
	isError(t, err, syscall.EACCES)
	_, err = m.Seal()
	isError(t, err, syscall.EINVAL)
}
