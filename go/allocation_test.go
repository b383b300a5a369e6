//go:build linux

package bytefd_test

import (
	"math"
	"os"
	"runtime"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
	"golang.org/x/sys/unix"
)

// sealedFile does with golang.org/x/sys/unix what WrapBuffer does.
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
	if runtime.GOARCH == "386" {
		t.Skip("there package unix asks for limits with memory of the heap")
	}
	for _, size := range []int{0, 64, page, 1 << 20} {
		b := pattern(size)
		// The count includes allocations that the runtime makes from time to time.
		allocations := func(wrap func(b []byte) (*os.File, error)) float64 {
			least := math.Inf(1)
			for range 3 {
				least = min(least, testing.AllocsPerRun(50, func() {
					f, err := wrap(b)
					if err != nil {
						t.Fatal(err)
					}
					f.Close()
				}))
			}
			return least
		}
		ours := allocations(func(b []byte) (*os.File, error) { return bytefd.WrapBuffer(b) })
		if theirs := allocations(sealedFile); ours > theirs {
			t.Errorf("%d bytes: %v allocations, with unix %v", size, ours, theirs)
		}
	}
}
