//go:build linux && cgo

package bytefd_test

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
)

func TestClosingWhileOthersUseTheMapIsSafe(t *testing.T) {
	path := fileOf(t, pattern(4*page))
	for round := 0; round < 50; round++ {
		m := mapped(t, path, bytefd.MapWrite())
		var group sync.WaitGroup
		for _, use := range []func(p []byte) error{
			func(p []byte) error { _, err := m.ReadAt(p, 0); return err },
			func(p []byte) error { _, err := m.WriteAt(p, 0); return err },
			func(p []byte) error { return m.Flush(0, bytefd.ToEnd, syscall.MS_ASYNC) },
			func(p []byte) error { m.Len(); m.Bytes(); _, err := m.ReadAt(p[:1], 0); return err },
		} {
			group.Add(1)
			go func() {
				defer group.Done()
				p := make([]byte, 4*page)
				for {
					if err := use(p); errors.Is(err, os.ErrClosed) {
						return
					} else if err != nil {
						t.Error(err)
						return
					}
				}
			}()
		}
		for i := 0; i < 2; i++ {
			group.Add(1)
			go func() {
				defer group.Done()
				if err := m.Close(); err != nil {
					t.Error(err)
				}
			}()
		}
		group.Wait()
	}
}

func TestClosingWhileOthersChangeTheMapIsSafe(t *testing.T) {
	for round := 0; round < 50; round++ {
		m := memory(t, 4*page, bytefd.MapGuard(), bytefd.MapReserve(8*page))
		started := make(chan struct{}, 16)
		var group sync.WaitGroup
		for _, use := range []func(p []byte) error{
			func(p []byte) error { _, err := m.ReadAt(p, 0); return err },
			func(p []byte) error { _, err := m.WriteAt(p, 0); return err },
			func(p []byte) error { return m.Resize(4 * page) },
			func(p []byte) error { return m.Resize(8 * page) },
			func(p []byte) error {
				return m.Guarded(func(b []byte) error { b[len(p)-1]++; return m.Check() })
			},
			func(p []byte) error { return m.Flush(0, len(p), syscall.MS_ASYNC) },
			func(p []byte) error { return m.Advise(1, 0, syscall.MADV_NORMAL) },
			func(p []byte) error {
				return m.Protect(0, len(p), syscall.PROT_READ|syscall.PROT_WRITE)
			},
			func(p []byte) error { return m.Prefetch(1, 0) },
			func(p []byte) error {
				f, err := m.File()
				if err == nil {
					err = f.Close()
				}
				return err
			},
		} {
			group.Add(1)
			go func() {
				defer group.Done()
				p := make([]byte, 4*page)
				for i := 0; ; i++ {
					err := use(p)
					if i == 0 {
						started <- struct{}{}
					}
					if errors.Is(err, os.ErrClosed) {
						return
					} else if err != nil && !errors.Is(err, syscall.EBUSY) {
						t.Error(err)
						return
					}
				}
			}()
		}
		for i := 0; i < 10; i++ {
			<-started
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		group.Wait()
	}
}
