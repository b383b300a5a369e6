//go:build linux && cgo

package bytefd_test

import (
	"bytes"
	"fmt"
	"io"
	"syscall"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
)

// Lost bytes must never be read as zeros, which a scanner would find clean.
func TestLostBytesAreEFAULTInEveryPool(t *testing.T) {
	called := func(int) error { t.Error("called back"); return nil }
	pools := map[string]*bytefd.Pool{"a new pool": newPool(t, 1<<20), "a pool": newPool(t, 1<<20)}
	for range 3 {
		for _, opts := range [][]bytefd.WrapOption{nil, {bytefd.WrapTrustCallback()}} {
			ignore := func(int) error { return nil }
			err := pools["a pool"].ScanBytes(pattern(2*page), ignore, opts...)
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, m := range lostMaps(t) {
		t.Run(name, func(t *testing.T) {
			b := m.Bytes()
			for _, p := range pools {
				isError(t, p.ScanBytes(b, called), syscall.EFAULT)
				isError(t, p.ScanBytes(b[page/2:], called, bytefd.WrapTrustCallback()),
					syscall.EFAULT)
				isError(t, p.ScanBuffers([][]byte{pattern(page), b, pattern(page)}, called),
					syscall.EFAULT)
				lendsExactly(t, p, pattern(2 * page)[:page])
				err := p.ScanBytes(b[:page], func(fd int) error {
					got := make([]byte, page)
					if n, err := syscall.Pread(fd, got, 0); n != page ||
						!bytes.Equal(got, pattern(2 * page)[:page]) {
						return fmt.Errorf("%d bytes, %v", n, err)
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestLostBytesAreNotWritten(t *testing.T) {
	for name, m := range lostMaps(t) {
		t.Run(name, func(t *testing.T) {
			b := m.Bytes()[page/2:]
			plain := []bytefd.MapOption{bytefd.MapWrite()}
			guarded := []bytefd.MapOption{bytefd.MapWrite(), bytefd.MapGuard()}
			for _, opts := range [][]bytefd.MapOption{plain, guarded} {
				to := mapped(t, fileOf(t, make([]byte, 2*page)), opts...)
				_, err := to.WriteAt(b, 0)
				isError(t, err, syscall.EFAULT)
			}
			w := closedLater(t, must[*bytefd.MapWriter](t)(bytefd.NewMapWriter()))
			_, err := w.Write(b)
			isError(t, err, syscall.EFAULT)
			if _, err := io.WriteString(w, "hello"); err != nil {
				t.Fatal(err)
			}
			f, sealed, err := w.Seal()
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			defer sealed.Close()
			if !bytes.Equal(sealed.Bytes(), []byte("hello")) {
				t.Errorf("the writer has %q", sealed.Bytes())
			}
		})
	}
}
