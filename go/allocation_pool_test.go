//go:build linux && cgo

package bytefd_test

import (
	"syscall"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
)

func TestScansAllocateNothing(t *testing.T) {
	p := newPool(t, 1<<20)
	b := pattern(5000)
	calls := 0
	see := func(fd int) error { calls++; return nil }
	for name, scan := range map[string]func() error{
		"ScanBytes":      func() error { return bytefd.ScanBytes(b, see) },
		"Pool.ScanBytes": func() error { return p.ScanBytes(b, see) },
		"inherited":      func() error { return p.ScanBytes(b, see, bytefd.WrapInherit()) },
		"trusted":        func() error { return p.ScanBytes(b, see, bytefd.WrapTrustCallback()) },
		"with a callback of its own": func() error {
			return p.ScanBytes(b, func(fd int) error { calls += len(b); return nil })
		},
		"empty": func() error { return p.ScanBytes(nil, see) },
	} {
		n := testing.AllocsPerRun(50, func() {
			if err := scan(); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
	if err := p.ScanBytes(b, func(fd int) error { return syscall.Fchdir(fd) }); err == nil {
		t.Error("the error of the callback is lost")
	}
}
