//go:build linux && cgo

package bytefd_test

import (
	"os"
	"syscall"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
	"golang.org/x/sys/unix"
)

// sealedFile is what programs write with golang.org/x/sys/unix for what WrapBuffer promises.
func sealedFile(b []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("sealed", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "sealed")
	const seals = unix.F_SEAL_WRITE | unix.F_SEAL_GROW | unix.F_SEAL_SHRINK | unix.F_SEAL_SEAL
	if _, err = unix.Pwrite(fd, b, 0); err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
	}
	if err == nil {
		err = unix.Fchmod(fd, 0o400)
	}
	return f, err
}

func TestWrapBufferAllocatesNoMoreThanUnixDoes(t *testing.T) {
	for _, size := range []int{0, 64, page, 1 << 20} {
		b := pattern(size)
		allocations := func(wrap func(b []byte) (*os.File, error)) float64 {
			return testing.AllocsPerRun(50, func() {
				f, err := wrap(b)
				if err != nil {
					t.Fatal(err)
				}
				f.Close()
			})
		}
		ours := allocations(func(b []byte) (*os.File, error) { return bytefd.WrapBuffer(b) })
		if theirs := allocations(sealedFile); ours > theirs {
			t.Errorf("%d bytes: %v allocations, with unix %v", size, ours, theirs)
		}
	}
}

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
