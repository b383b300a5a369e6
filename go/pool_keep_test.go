//go:build linux && cgo

package bytefd_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
)

func TestWhatAPooledCallbackKeepsIsItsOwn(t *testing.T) {
	want := pattern(3*page + 7)
	for name, keep := range map[string]func(t *testing.T, fd int) (check func()){
		"duplicate": func(t *testing.T, fd int) func() {
			duplicate := must[int](t)(fcntl(fd, syscall.F_DUPFD_CLOEXEC, 0))
			t.Cleanup(func() { syscall.Close(duplicate) })
			return func() { isPromised(t, duplicate, want) }
		},
		"mapping": func(t *testing.T, fd int) func() {
			memory := must[[]byte](t)(syscall.Mmap(fd, 0, len(want), syscall.PROT_READ, syscall.MAP_SHARED))
			t.Cleanup(func() { syscall.Munmap(memory) })
			return func() {
				if !bytes.Equal(memory, want) {
					t.Error("the mapping changed")
				}
			}
		},
		"private mapping of a closed descriptor": func(t *testing.T, fd int) func() {
			memory := must[[]byte](t)(syscall.Mmap(fd, 0, len(want), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE))
			t.Cleanup(func() { syscall.Munmap(memory) })
			syscall.Close(fd)
			return func() {
				if !bytes.Equal(memory, want) {
					t.Error("the mapping changed")
				}
			}
		},
		"description of its own": func(t *testing.T, fd int) func() {
			f := closedLater(t, must[*os.File](t)(bytefd.Reopen(fd)))
			return func() { isPromised(t, int(f.Fd()), want) }
		},
		"writable description": func(t *testing.T, fd int) func() {
			f := closedLater(t, openForWriting(t, fd))
			return func() { isPromised(t, int(f.Fd()), want) }
		},
		"child process": func(t *testing.T, fd int) func() {
			duplicate := os.NewFile(uintptr(must[int](t)(fcntl(fd, syscall.F_DUPFD_CLOEXEC, 0))), "duplicate")
			defer duplicate.Close()
			cmd := exec.Command("sh", "-c", "read go && cat "+bytefd.Path(3))
			cmd.ExtraFiles = []*os.File{duplicate}
			stdin := must[io.WriteCloser](t)(cmd.StdinPipe())
			var out bytes.Buffer
			cmd.Stdout = &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			return func() {
				io.WriteString(stdin, "go\n")
				if err := cmd.Wait(); err != nil || !bytes.Equal(out.Bytes(), want) {
					t.Errorf("the child read %d other bytes, %v", out.Len(), err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPool(t, 64<<20)
			var check func()
			if err := p.ScanBytes(want, func(fd int) error { check = keep(t, fd); return nil }); err != nil {
				t.Fatal(err)
			}
			for i := 0; i < 5; i++ {
				lendsExactly(t, p, filled('x', len(want)-i*page/2))
			}
			if stats := poolStats(t, p); stats.Dropped != 1 || stats.NewFiles != 2 || stats.LentAgain != 4 {
				t.Errorf("%+v", stats)
			}
			check()
			p.Close()
		})
	}
}

// openForWriting is what a callback that means harm can do with what it is lent.
func openForWriting(t *testing.T, fd int) *os.File {
	t.Helper()
	must[any](t)(nil, syscall.Fchmod(fd, 0o600))
	return must[*os.File](t)(os.OpenFile(bytefd.Path(fd), os.O_RDWR, 0))
}

func TestChangesByOneCallbackDoNotReachTheNext(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, f *os.File, size int){
		"writes":             func(t *testing.T, f *os.File, size int) { must[int](t)(f.WriteAt(filled('!', size), 0)) },
		"writes past end":    func(t *testing.T, f *os.File, size int) { must[int](t)(f.WriteAt(filled('!', 3*page), int64(size))) },
		"truncates":          func(t *testing.T, f *os.File, size int) { must[any](t)(nil, f.Truncate(int64(size/2))) },
		"truncates to 0":     func(t *testing.T, f *os.File, size int) { must[any](t)(nil, f.Truncate(0)) },
		"grows":              func(t *testing.T, f *os.File, size int) { must[any](t)(nil, f.Truncate(int64(size)+1<<20)) },
		"reserves past end":  func(t *testing.T, f *os.File, size int) { allocate(t, f, fallocKeepSize, 0, 1<<20) },
		"punches a hole":     func(t *testing.T, f *os.File, size int) { allocate(t, f, fallocKeepSize|fallocPunchHole, 0, 1<<20) },
		"changes the offset": func(t *testing.T, f *os.File, size int) { must[int64](t)(f.Seek(5, io.SeekStart)) },
		"stores past end by a mapping": func(t *testing.T, f *os.File, size int) {
			length := (size + page - 1) / page * page
			memory := must[[]byte](t)(syscall.Mmap(int(f.Fd()), 0, length, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED))
			copy(memory, filled('!', length))
			must[any](t)(nil, syscall.Munmap(memory))
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPool(t, 64<<20)
			sizes := []int{5, 100, page - 1, page, page + 1, 3*page - 5, 2*page + 7, 5 * page, 3 * page, 9000, 10_000}
			for i, size := range append(sizes, sizes...) {
				err := p.ScanBytes(filled(byte(i), size), func(fd int) error {
					f := openForWriting(t, fd)
					defer f.Close()
					change(t, f, size)
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				lendsExactly(t, p, filled(byte(128+i), sizes[(i+1)%len(sizes)]))
			}
			if stats := poolStats(t, p); stats.Dropped != 0 || stats.LentAgain == 0 {
				t.Errorf("%+v", stats)
			}
		})
	}
}

func TestAPooledFileHasItsModeAgain(t *testing.T) {
	p := newPool(t, 1<<20)
	for _, mode := range []uint32{0o666, 0, 0o600} {
		for round := 0; round < 2; round++ {
			err := p.ScanBytes([]byte("hello"), func(fd int) error {
				if mode := fstat(t, fd).Mode & 0o7777; mode != 0o400 {
					t.Errorf("mode %04o", mode)
				}
				return syscall.Fchmod(fd, mode)
			})
			if err != nil {
				t.Error(err)
			}
		}
	}
}

func TestWhatACallbackAddsToAFileIsNotKept(t *testing.T) {
	const maxBytes, much = 1 << 20, 8 << 20
	before := openDescriptors()
	kept := func() (total int64) {
		for number := range openDescriptors() {
			var stat syscall.Stat_t
			if before[number] == "" && syscall.Stat("/proc/self/fd/"+number, &stat) == nil {
				total += stat.Blocks * 512
			}
		}
		return total
	}
	for name, add := range map[string]func(f *os.File){
		"in it":         func(f *os.File) { allocate(t, f, 0, 0, much) },
		"past its end":  func(f *os.File) { allocate(t, f, fallocKeepSize, 0, much) },
		"and cut again": func(f *os.File) { allocate(t, f, 0, 0, much); must[any](t)(nil, f.Truncate(5)) },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPool(t, maxBytes)
			for i := 0; i < 3; i++ {
				err := p.ScanBytes([]byte("hello"), func(fd int) error {
					f := openForWriting(t, fd)
					defer f.Close()
					add(f)
					return nil
				})
				if err != nil {
					t.Error(err)
				}
				if kept := kept(); kept > maxBytes {
					t.Errorf("%d bytes are kept, the bound is %d", kept, maxBytes)
				}
			}
			p.Close()
		})
	}
}

// fallocate(2), whose flags package syscall does not have.
const (
	fallocKeepSize  = 1
	fallocPunchHole = 2
)

func allocate(t *testing.T, f *os.File, mode uint32, offset, length int64) {
	t.Helper()
	must[any](t)(nil, syscall.Fallocate(int(f.Fd()), mode, offset, length))
}

func TestOldBytesNeverShow(t *testing.T) {
	p := newPool(t, 64<<20)
	secret := byte('s')
	sizes := []int{0, 1, 100, page - 1, page, page + 1, 2 * page, 2*page + 100, 3 * page, 8*page - 1, 8 * page, 100_000}
	for _, before := range sizes {
		for _, size := range sizes {
			lendsExactly(t, p, filled(secret, before))
			// Nothing is to be found behind the end either, however it is looked for.
			err := p.ScanBytes(filled('n', size), func(fd int) error {
				past, err := lastPage(fd, size)
				if err != nil || bytes.IndexByte(past, secret) >= 0 {
					t.Errorf("after %d bytes, behind the end of %d: %d, %v", before, size, past, err)
				}
				f := openForWriting(t, fd)
				defer f.Close()
				must[any](t)(nil, f.Truncate(200_000))
				if all := must[[]byte](t)(io.ReadAll(f)); bytes.IndexByte(all, secret) >= 0 {
					t.Errorf("after %d bytes, a file of %d that was grown shows them", before, size)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if stats := poolStats(t, p); stats.Dropped != 0 {
		t.Errorf("%+v", stats)
	}
}
