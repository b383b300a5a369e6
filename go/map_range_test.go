//go:build linux && cgo

package bytefd_test

import (
	"strings"
	"syscall"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
)

// What takes a range, with arguments that are right for memory.
var onRange = map[string]func(m *bytefd.Map, offset, length int) error{
	"Flush": func(m *bytefd.Map, offset, length int) error {
		return m.Flush(offset, length, bytefd.FlushSync|bytefd.FlushInvalidate)
	},
	"Advise": func(m *bytefd.Map, offset, length int) error {
		return m.Advise(offset, length, bytefd.AdviceSequential)
	},
	"Protect": func(m *bytefd.Map, offset, length int) error {
		return m.Protect(offset, length, bytefd.ProtectionRead|bytefd.ProtectionWrite)
	},
	"Lock":     (*bytefd.Map).Lock,
	"Unlock":   (*bytefd.Map).Unlock,
	"Prefetch": (*bytefd.Map).Prefetch,
	"Unmap":    (*bytefd.Map).Unmap,
}

func TestWhatIsProtectedIsAnErrorAndNoCrash(t *testing.T) {
	for name, opts := range map[string][]bytefd.MapOption{"plain": nil, "guarded": {bytefd.MapGuard()}} {
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
			if err := m.Protect(page, 0, bytefd.ProtectionNone); err != nil {
				t.Fatal(err)
			}
			isError(t, touch(false), syscall.EIO)
			n, err := m.ReadAt(p, 0)
			isError(t, err, syscall.EIO)
			if n != page {
				t.Errorf("read %d bytes, want those of the page that can be", n)
			}
			if err := m.Protect(0, 0, bytefd.ProtectionRead); err != nil {
				t.Fatal(err)
			}
			if err := touch(false); err != nil {
				t.Error(err)
			}
			isError(t, touch(true), syscall.EIO)
			if err := m.Protect(0, 0, bytefd.ProtectionRead|bytefd.ProtectionWrite); err != nil {
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
		{"Advise", func() error { return m.Advise(0, 1, bytefd.AdviceSequential) }, " sr ", true},
		{"Lock", func() error { return m.Lock(0, 1) }, " lo ", true},
		{"Unlock", func() error { return m.Unlock(0, 1) }, " lo ", false},
		{"Protect", func() error { return m.Protect(0, 1, bytefd.ProtectionRead) }, "r--s", true},
		{"Prefetch", func() error { return m.Prefetch(0, 1) }, "Rss:                   0 kB", false},
		{"Flush", func() error { return m.Flush(0, 1, bytefd.FlushSync|bytefd.FlushInvalidate) }, "r--s", true},
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
