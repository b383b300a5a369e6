//go:build linux && cgo

package bytefd_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
)

// newPool makes a pool that is closed when the test ends.
func newPool(t *testing.T, maxBytes int) *bytefd.Pool {
	t.Helper()
	return closedLater(t, must[*bytefd.Pool](t)(bytefd.NewPool(maxBytes)))
}

func poolStats(t *testing.T, p *bytefd.Pool) bytefd.PoolStats {
	t.Helper()
	return must[bytefd.PoolStats](t)(p.Stats())
}

// lendsExactly scans some bytes and checks what the callback is lent. It returns the file's number.
func lendsExactly(t *testing.T, p *bytefd.Pool, want []byte, opts ...bytefd.Option) (inode uint64) {
	t.Helper()
	lent := -1
	err := p.ScanBytes(want, func(fd int) error {
		t.Helper()
		lent = fd
		isPromised(t, fd, want)
		if past := must[[]byte](t)(lastPage(fd, len(want))); len(bytes.Trim(past, "\x00")) > 0 {
			t.Errorf("%d bytes: something is behind the end", len(want))
		}
		inode = fstat(t, fd).Ino
		return nil
	}, opts...)
	if err != nil {
		t.Error(err)
	}
	if len(opts) == 0 && isOpen(lent) {
		t.Error("the descriptor is still open")
	}
	return inode
}

// lastPage returns what a mapping shows behind the end of a file, up to the end of its last page.
func lastPage(fd, size int) ([]byte, error) {
	if size%page == 0 {
		return nil, nil
	}
	memory, err := syscall.Mmap(fd, int64(size/page*page), page, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	defer syscall.Munmap(memory)
	return bytes.Clone(memory[size%page:]), nil
}

// filled returns n bytes of one value.
func filled(value byte, n int) []byte { return bytes.Repeat([]byte{value}, n) }

func TestAPooledScanSeesTheBytesAndTheDescriptorEndsWithIt(t *testing.T) {
	p := newPool(t, 64<<20)
	for round := 0; round < 2; round++ {
		for _, size := range sizes {
			want := pattern(size + round)[round:]
			lendsExactly(t, p, want)
			err := p.ScanBytes(want, func(fd int) error {
				if mode := fstat(t, fd).Mode & 0o7777; mode != 0o400 {
					t.Errorf("mode %04o", mode)
				}
				if access := accessMode(t, fd); access != syscall.O_RDONLY {
					t.Errorf("access mode %d", access)
				}
				if !closeOnExec(t, fd) {
					t.Error("children inherit it")
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
	}
	if stats := poolStats(t, p); stats.LentAgain < uint64(len(sizes)) || stats.Dropped != 0 ||
		stats.LentAgain+stats.NewFiles != uint64(4*len(sizes)) {
		t.Errorf("%+v", stats)
	}
}

func TestOneFileIsLentAgainAndAgain(t *testing.T) {
	p := newPool(t, 1<<20)
	first := lendsExactly(t, p, filled('a', 100))
	for i := 0; i < 10; i++ {
		if lendsExactly(t, p, filled('b', 90+i)) != first {
			t.Error("another file was lent")
		}
	}
	if stats := poolStats(t, p); stats != (bytefd.PoolStats{LentAgain: 10, NewFiles: 1, KeptBytes: page}) {
		t.Errorf("%+v", stats)
	}
}

func TestContentsNeverMix(t *testing.T) {
	const goroutines, scans, largest = 8, 2000, 200_000
	p := newPool(t, 1<<20) // too small for all of them, so that files come and go
	var group sync.WaitGroup
	for g := 0; g < goroutines; g++ {
		group.Add(1)
		go func() {
			defer group.Done()
			random := rand.New(rand.NewSource(int64(g)))
			own := make([]byte, largest)
			random.Read(own)
			got := make([]byte, largest+1)
			for i := 0; i < scans; i++ {
				// Sizes of all magnitudes.
				size := random.Intn(1 + random.Intn(1+largest>>random.Intn(12)))
				from := random.Intn(largest - size + 1)
				want := own[from : from+size]
				var opts []bytefd.Option
				if g%4 == 3 {
					opts = append(opts, bytefd.TrustCallback())
				}
				err := p.ScanBytes(want, func(fd int) error {
					runtime.Gosched()
					n, err := syscall.Pread(fd, got, 0)
					if err == nil && !bytes.Equal(got[:n], want) {
						err = errors.New("the content is another's")
					}
					return err
				}, opts...)
				if err != nil {
					t.Errorf("goroutine %d, scan %d of %d bytes: %v", g, i, size, err)
					return
				}
			}
		}()
	}
	group.Wait()
	stats := poolStats(t, p)
	if stats.Dropped != 0 || stats.LentAgain+stats.NewFiles != goroutines*scans || stats.LentAgain == 0 || stats.KeptBytes > 1<<20 {
		t.Errorf("%+v", stats)
	}
}

func TestPooledScansNest(t *testing.T) {
	p := newPool(t, 64<<20)
	inodes := map[uint64]bool{}
	var scan func(depth int) error
	scan = func(depth int) error {
		want := filled(byte(depth), 1000+depth)
		return p.ScanBytes(want, func(fd int) error {
			inodes[fstat(t, fd).Ino] = true
			if depth > 0 {
				if err := scan(depth - 1); err != nil {
					return err
				}
			}
			isPromised(t, fd, want)
			return nil
		})
	}
	// Deeper than a pool has files.
	if err := scan(200); err != nil {
		t.Error(err)
	}
	if len(inodes) != 201 {
		t.Errorf("201 scans at once shared %d files", len(inodes))
	}
	if err := scan(20); err != nil {
		t.Error(err)
	}
	if stats := poolStats(t, p); stats.LentAgain < 21 || stats.Dropped != 0 {
		t.Errorf("%+v", stats)
	}
}

func TestAPooledCallbackMayCloseTheDescriptor(t *testing.T) {
	for name, opts := range map[string][]bytefd.Option{"pool": nil, "trusted": {bytefd.TrustCallback()}} {
		t.Run(name, func(t *testing.T) {
			before := takeInventory()
			p := newPool(t, 1<<20)
			for i := 0; i < 5; i++ {
				if err := p.ScanBytes(filled(byte(i), 100), syscall.Close, opts...); err != nil {
					t.Error(err)
				}
				lendsExactly(t, p, filled('n', 100), opts...)
			}
			if stats := poolStats(t, p); opts == nil && stats.LentAgain != 9 {
				t.Errorf("%+v", stats)
			}
			p.Close()
			for _, leftover := range before.leftovers() {
				t.Error("left over:", leftover)
			}
		})
	}
}

func TestAFileThatHasThePooledNumberByThenSurvives(t *testing.T) {
	for name, opts := range map[string][]bytefd.Option{"pool": nil, "trusted": {bytefd.TrustCallback()}} {
		t.Run(name, func(t *testing.T) {
			other := closedLater(t, must[*os.File](t)(os.Open(fileOf(t, []byte("other")))))
			p := newPool(t, 1<<20)
			lent := -1
			err := p.ScanBytes([]byte("hello"), func(fd int) error {
				lent = fd
				return syscall.Dup3(int(other.Fd()), fd, syscall.O_CLOEXEC)
			}, opts...)
			if err != nil {
				t.Fatal(err)
			}
			for i := 0; i < 3; i++ {
				lendsExactly(t, p, filled(byte(i), 100), opts...)
			}
			p.Close()
			if fstat(t, lent).Ino != fstat(t, int(other.Fd())).Ino {
				t.Error("the number does not stand for the other file any more")
			}
			text := make([]byte, 6)
			if n, err := syscall.Pread(lent, text, 0); err != nil || string(text[:n]) != "other" {
				t.Errorf("the other file reads %q, %v", text[:n], err)
			}
			if err := syscall.Close(lent); err != nil {
				t.Error("the other file was closed:", err)
			}
		})
	}
}

func TestThePooledFileComesBackHoweverACallbackEnds(t *testing.T) {
	found := errors.New("a virus")
	for name, opts := range map[string][]bytefd.Option{"pool": nil, "trusted": {bytefd.TrustCallback()}} {
		for ending, end := range map[string]func() error{
			"error":  func() error { return found },
			"panic":  func() error { panic("from the callback") },
			"Goexit": func() error { runtime.Goexit(); return nil },
		} {
			t.Run(name+" "+ending, func(t *testing.T) {
				p := newPool(t, 1<<20)
				lent := -1
				var err error
				var recovered any
				done := make(chan struct{})
				go func() {
					defer close(done)
					defer func() { recovered = recover() }()
					err = p.ScanBytes([]byte("hello"), func(fd int) error { lent = fd; return end() }, opts...)
				}()
				<-done
				if (ending == "error") != (err == found) || (ending == "panic") != (recovered == "from the callback") {
					t.Errorf("got %v, recovered %v", err, recovered)
				}
				if opts == nil && isOpen(lent) {
					t.Error("the descriptor is still open")
				}
				lendsExactly(t, p, []byte("again"), opts...)
				if stats := poolStats(t, p); stats.LentAgain != 1 || stats.NewFiles != 1 || stats.Dropped != 0 {
					t.Errorf("%+v", stats)
				}
			})
		}
	}
}

func TestATrustedCallbackIsLentTheFileItself(t *testing.T) {
	p := newPool(t, 1<<20)
	trusted := lendsExactly(t, p, []byte("one"), bytefd.TrustCallback())
	err := p.ScanBytes([]byte("three"), func(fd int) error {
		if fstat(t, fd).Ino != trusted {
			t.Error("another file was lent")
		}
		isPromised(t, fd, []byte("three"))
		if !closeOnExec(t, fd) {
			t.Error("children inherit it")
		}
		syscall.Seek(fd, 3, io.SeekStart)
		return nil
	}, bytefd.TrustCallback())
	if err != nil {
		t.Error(err)
	}
	lendsExactly(t, p, []byte("four"), bytefd.TrustCallback()) // at offset 0 again
	for i := 0; i < 3; i++ {
		if lendsExactly(t, p, []byte("five")) == trusted {
			t.Error("a file that a trusted callback had was lent to another")
		}
	}
}

func TestAPoolTakesTheseOptionsOnly(t *testing.T) {
	p := newPool(t, 1<<20)
	called := func(int) error { t.Error("called"); return nil }
	for name, opt := range map[string]bytefd.Option{
		"name":         bytefd.WithName("name"),
		"name NUL":     bytefd.WithName("a\x00b"),
		"mode":         bytefd.WithMode(0o444),
		"shm":          bytefd.WithBackend(bytefd.BackendShm),
		"unknown":      bytefd.WithBackend(99),
		"writable":     bytefd.Writable(),
		"executable":   bytefd.Executable(),
		"seal content": bytefd.SealContent(),
	} {
		t.Run(name, func(t *testing.T) {
			isError(t, p.ScanBytes([]byte("hello"), called, opt), syscall.EINVAL)
			isError(t, p.ScanBytes([]byte("hello"), called, opt, bytefd.TrustCallback()), syscall.EINVAL)
		})
	}
	for _, opt := range []bytefd.Option{bytefd.Inherit(), bytefd.ReadOnly()} {
		isError(t, p.ScanBytes([]byte("hello"), called, opt, bytefd.TrustCallback()), syscall.EINVAL)
	}
	isError(t, p.ScanBytes([]byte("hello"), nil), syscall.EINVAL)
	if stats := poolStats(t, p); stats != (bytefd.PoolStats{}) {
		t.Errorf("%+v", stats)
	}
	for i := 0; i < 2; i++ {
		lendsExactly(t, p, []byte("hello"), bytefd.WithMode(0), bytefd.WithBackend(bytefd.BackendMemfd), bytefd.ReadOnly())
		err := p.ScanBytes([]byte("hello"), func(fd int) error {
			out, err := exec.Command("cat", bytefd.Path(fd)).Output()
			if string(out) != "hello" {
				t.Errorf("the child read %q", out)
			}
			return err
		}, bytefd.Inherit())
		if err != nil {
			t.Error(err)
		}
	}
}

func TestTrustIsForPoolsOnly(t *testing.T) {
	_, err := bytefd.WrapBuffer([]byte("hello"), bytefd.TrustCallback())
	isError(t, err, syscall.EINVAL)
	_, err = bytefd.WrapBuffers([][]byte{[]byte("hello")}, bytefd.TrustCallback())
	isError(t, err, syscall.EINVAL)
	err = bytefd.ScanBytes([]byte("hello"), func(int) error { t.Error("called"); return nil }, bytefd.TrustCallback())
	isError(t, err, syscall.EINVAL)
}

func TestAPooledScanAllocatesNothing(t *testing.T) {
	p := newPool(t, 1<<20)
	bytes, look := pattern(100), func(int) error { return nil }
	if count := testing.AllocsPerRun(100, func() { p.ScanBytes(bytes, look) }); count > 0 {
		t.Errorf("%v allocations per scan", count)
	}
}

func TestWhereAPoolCannotKeepFilesEveryScanHasANewOne(t *testing.T) {
	inNamespaces(t, func() {
		// Where there is no /proc, there is no second description of a file.
		must[any](t)(nil, syscall.Mount("bytefd", "/proc", "tmpfs", 0, ""))
		defer syscall.Unmount("/proc", 0)
		p := newPool(t, 1<<20)
		for i := 0; i < 3; i++ {
			for _, opts := range [][]bytefd.Option{nil, {bytefd.TrustCallback()}} {
				want := filled(byte(i), 100+i)
				err := p.ScanBytes(want, func(fd int) error {
					isPromised(t, fd, want)
					if seals(t, fd)&sealWrite == 0 {
						t.Error("a file that is not lent again is not sealed")
					}
					return nil
				}, opts...)
				if err != nil {
					t.Error(err)
				}
			}
		}
		if stats := poolStats(t, p); stats != (bytefd.PoolStats{NewFiles: 6}) {
			t.Errorf("%+v", stats)
		}
	})
}

func TestRunningOutOfDescriptorsIsAnErrorAndNothingIsCalled(t *testing.T) {
	p := newPool(t, 1<<20)
	lendsExactly(t, p, []byte("kept"))
	withoutDescriptors(t, func() {
		for _, size := range []int{4, 1 << 20} {
			err := p.ScanBytes(make([]byte, size), func(int) error { t.Error("called"); return nil })
			isError(t, err, syscall.EMFILE)
		}
	})
	lendsExactly(t, p, []byte("again"))
}

// withoutDescriptors calls f while no further descriptor can be opened.
func withoutDescriptors(t *testing.T, f func()) {
	t.Helper()
	var limit syscall.Rlimit
	must[any](t)(nil, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	none := limit
	none.Cur = 0
	must[any](t)(nil, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none))
	defer syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	f()
}

func TestAPoolSurvivesManyKindsOfUse(t *testing.T) {
	// Children are started all the time, which have every descriptor for a moment.
	p := newPool(t, 1<<20)
	var group sync.WaitGroup
	for g := 0; g < 4; g++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for i := 0; i < 100; i++ {
				want := filled(byte(g*100+i), 10*i)
				err := p.ScanBytes(want, func(fd int) error {
					if i%25 == 0 {
						if out, err := exec.Command("echo", fmt.Sprint(g)).Output(); err != nil || strings.TrimSpace(string(out)) != fmt.Sprint(g) {
							t.Errorf("%q, %v", out, err)
						}
					}
					isPromised(t, fd, want)
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		}()
	}
	group.Wait()
}
