//go:build linux && cgo

package bytefd_test

import (
	"bytes"
	"os"
	"syscall"
	"testing"
	"unsafe"

	"errors"
	"runtime"
	"time"

	bytefd "github.com/bytefd/bytefd/go"
)

// Bytes returns another slice afterwards.
func TestAResizedMapHasItsNewBytes(t *testing.T) {
	for name, m := range map[string]*bytefd.Map{
		"memory":  memory(t, 5),
		"private": memory(t, 5, bytefd.MapPrivate()),
		"file":    mapped(t, fileOf(t, make([]byte, 5)), bytefd.MapWrite()),
	} {
		copy(m.Bytes(), "hello")
		for _, length := range []int{100 * page, 5, 0, page + 1} {
			want := append(bytes.Clone(m.Bytes()[:min(m.Len(), length)]),
				make([]byte, max(0, length-m.Len()))...)
			if err := m.Resize(length); err != nil || !bytes.Equal(m.Bytes(), want) ||
				cap(m.Bytes()) != length {
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
	// The file belongs to the caller and outlives the map.
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

// A length that was computed as 0 must destroy nothing.
func TestALengthOf0IsNothing(t *testing.T) {
	m := memory(t, 2*page)
	copy(m.Bytes()[page:], pattern(page))
	for _, off := range []int{0, 1, page, 2 * page} {
		for name, err := range map[string]error{
			"Discard":  m.Discard(off, 0, syscall.MADV_REMOVE),
			"Flush":    m.Flush(off, 0, syscall.MS_SYNC),
			"Protect":  m.Protect(off, 0, syscall.PROT_NONE),
			"Mlock":    m.Mlock(off, 0),
			"Munlock":  m.Munlock(off, 0),
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

// A program that forgets Close must not see the bytes of another file.
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
		// The memory stays mapped. It has no file, so the inventory does not see it.
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
