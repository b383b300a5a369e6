//go:build linux && cgo

package bytefd_test

import (
	"strings"
	"syscall"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
)

func TestWhatIsProtectedIsAnErrorAndNoCrash(t *testing.T) {
	kinds := map[string][]bytefd.MapOption{"plain": nil, "guarded": {bytefd.MapGuard()}}
	for name, opts := range kinds {
		t.Run(name, func(t *testing.T) {
			m := memory(t, 2*page, opts...)
			p := make([]byte, 2*page)
			touch := func(write bool) error {
				return m.Guarded(func(b []byte) error {
					if write {
						b[2*page-1] = 1
					}
					p[0] = b[2*page-1]
					return nil
				})
			}
			if err := m.Protect(page, bytefd.ToEnd, syscall.PROT_NONE); err != nil {
				t.Fatal(err)
			}
			isError(t, touch(false), syscall.EIO)
			n, err := m.ReadAt(p, 0)
			isError(t, err, syscall.EIO)
			if n != page {
				t.Errorf("read %d bytes, want those of the page that can be", n)
			}
			if err := m.Protect(0, bytefd.ToEnd, syscall.PROT_READ); err != nil {
				t.Fatal(err)
			}
			if err := touch(false); err != nil {
				t.Error(err)
			}
			isError(t, touch(true), syscall.EIO)
			if err := m.Protect(0, bytefd.ToEnd, syscall.PROT_READ|syscall.PROT_WRITE); err != nil {
				t.Fatal(err)
			}
			if err := touch(true); err != nil || p[0] != 1 {
				t.Errorf("%v, %d", err, p[0])
			}
		})
	}
}

func TestEveryOperationOnARangeArrives(t *testing.T) {
	m := memory(t, 2*page)
	for _, c := range []struct {
		name  string
		do    func() error
		shown string // by the kernel, of the first page
		is    bool
	}{
		{"Advise", func() error { return m.Advise(0, 1, syscall.MADV_SEQUENTIAL) }, " sr ", true},
		{"Lock", func() error { return m.Mlock(0, 1) }, " lo ", true},
		{"Unlock", func() error { return m.Munlock(0, 1) }, " lo ", false},
		{"Protect", func() error { return m.Protect(0, 1, syscall.PROT_READ) }, "r--s", true},
		{
			"Prefetch", func() error { return m.Prefetch(0, 1) },
			"Rss:                   0 kB", false,
		},
		{
			"Flush", func() error { return m.Flush(0, 1, syscall.MS_SYNC|syscall.MS_INVALIDATE) },
			"r--s", true,
		},
	} {
		if err := c.do(); err != nil || strings.Contains(smaps(t, m), c.shown) != c.is {
			t.Errorf("%s: %v, or the kernel shows\n%s", c.name, err, smaps(t, m))
		}
	}
	if err := m.Unmap(0, page); err != nil {
		t.Error(err)
	}
	_, err := m.ReadAt(make([]byte, 1), 0)
	isError(t, err, syscall.EINVAL)
	if n, err := m.ReadAt(make([]byte, 1), int64(page)); n != 1 || err != nil {
		t.Errorf("the rest: %d, %v", n, err)
	}
	isError(t, m.Flush(0, 1, 99), syscall.EINVAL)
}
