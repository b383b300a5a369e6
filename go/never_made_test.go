//go:build !linux || !cgo

package bytefd_test

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
)

func TestAMapThatWasNeverOpenedIsClosed(t *testing.T) {
	var m bytefd.Map
	_, readErr := m.ReadAt(make([]byte, 1), 0)
	_, writeErr := m.WriteAt(make([]byte, 1), 0)
	_, sealErr := m.Seal()
	_, fileErr := m.File()
	guardedErr := m.Guarded(func([]byte) error { t.Error("called"); return nil })
	for _, err := range []error{
		readErr, writeErr, sealErr, fileErr, guardedErr, m.Check(), m.Resize(1), m.Unmap(0, 0),
		m.Flush(0, bytefd.ToEnd, syscall.MS_SYNC|syscall.MS_INVALIDATE),
		m.Advise(0, bytefd.ToEnd, syscall.MADV_NORMAL),
		m.Mlock(0, bytefd.ToEnd), m.Munlock(0, bytefd.ToEnd),
		m.Protect(0, bytefd.ToEnd, syscall.PROT_READ), m.Prefetch(0, bytefd.ToEnd),
	} {
		if !errors.Is(err, os.ErrClosed) || !errors.Is(err, syscall.EBADF) {
			t.Errorf("%v is not os.ErrClosed", err)
		}
	}
	if m.Len() != 0 || m.Bytes() != nil || m.Close() != nil {
		t.Error("it is not empty and closed")
	}
}

func TestAWriterThatWasNeverMadeIsClosed(t *testing.T) {
	var w bytefd.MapWriter
	_, writeErr := w.Write([]byte("hello"))
	_, readErr := w.ReadFrom(strings.NewReader("hello"))
	_, _, sealErr := w.Seal()
	for _, err := range []error{writeErr, readErr, sealErr, w.WriteByte('x')} {
		if !errors.Is(err, os.ErrClosed) || !errors.Is(err, syscall.EBADF) {
			t.Errorf("%v is not os.ErrClosed", err)
		}
	}
	if w.Len() != 0 || w.Close() != nil {
		t.Error("it is not empty and closed")
	}
}

func TestAPoolThatWasNeverMadeIsClosed(t *testing.T) {
	var p bytefd.Pool
	_, statsErr := p.Stats()
	scanErr := p.ScanBytes([]byte("hello"), func(int) error {
		t.Error("called without a descriptor")
		return nil
	}, bytefd.WrapTrustCallback())
	for _, err := range []error{scanErr, p.Trim(0), statsErr} {
		if !errors.Is(err, os.ErrClosed) || !errors.Is(err, syscall.EBADF) {
			t.Errorf("%v is not os.ErrClosed", err)
		}
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

func TestAPathIsJustText(t *testing.T) {
	if path := bytefd.Path(5); path != "/proc/self/fd/5" {
		t.Error(path)
	}
}

func TestWhatWasNeverMadeIsClosed(t *testing.T) {
	var n bytefd.Shm
	var l bytefd.TempFile
	if n.Close() != nil || l.Close() != nil || l.Path() != "" || n.Name() != "" || n.Created() ||
		n.File() != nil {
		t.Error("there is something")
	}
}
