//go:build linux && cgo

package bytefd_test

import (
	"bytes"
	"errors"
	"math/rand"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"testing/iotest"

	bytefd "github.com/bytefd/bytefd/go"
)

// newPool makes a pool that reuses files. It is closed when the test ends.
func newPool(t *testing.T, maxBytes int) *bytefd.Pool {
	t.Helper()
	return closedLater(t,
		must[*bytefd.Pool](t)(bytefd.NewPool(maxBytes, bytefd.PoolMethod(bytefd.PoolReuse))))
}

func poolStats(t *testing.T, p *bytefd.Pool) bytefd.PoolStats {
	t.Helper()
	return must[bytefd.PoolStats](t)(p.Stats())
}

// lendsExactly scans bytes and checks the descriptor that the callback gets. It returns the inode
// number of the file.
func lendsExactly(
	t *testing.T, p *bytefd.Pool, want []byte, opts ...bytefd.WrapOption,
) (inode uint64) {
	t.Helper()
	lent := -1
	err := p.ScanBytes(want, func(fd int) error {
		t.Helper()
		lent = fd
		isPromised(t, fd, want)
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

// filled returns n bytes of one value.
func filled(value byte, n int) []byte { return bytes.Repeat([]byte{value}, n) }

func TestOneFileIsLentAgainAndAgain(t *testing.T) {
	p := newPool(t, 1<<20)
	first := lendsExactly(t, p, filled('a', 100))
	for i := 0; i < 10; i++ {
		if lendsExactly(t, p, filled('b', 90+i)) != first {
			t.Error("another file was lent")
		}
	}
	want := bytefd.PoolStats{Hits: 10, Misses: 1, CachedBytes: uint64(page)}
	if stats := poolStats(t, p); stats != want {
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
				var opts []bytefd.WrapOption
				if g%4 == 3 {
					opts = append(opts, bytefd.WrapTrustCallback())
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
	if stats.Dropped != 0 || stats.Hits+stats.Misses != goroutines*scans || stats.Hits == 0 ||
		stats.CachedBytes > 1<<20 {
		t.Errorf("%+v", stats)
	}
}

func TestThePooledFileComesBackHoweverACallbackEnds(t *testing.T) {
	found := errors.New("a virus")
	ways := map[string][]bytefd.WrapOption{"pool": nil, "trusted": {bytefd.WrapTrustCallback()}}
	for name, opts := range ways {
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
					err = p.ScanBytes([]byte("hello"),
						func(fd int) error { lent = fd; return end() }, opts...)
				}()
				<-done
				if (ending == "error") != (err == found) ||
					(ending == "panic") != (recovered == "from the callback") {
					t.Errorf("got %v, recovered %v", err, recovered)
				}
				if opts == nil && isOpen(lent) {
					t.Error("the descriptor is still open")
				}
				lendsExactly(t, p, []byte("again"), opts...)
				if stats := poolStats(t, p); stats.Hits != 1 || stats.Misses != 1 ||
					stats.Dropped != 0 {
					t.Errorf("%+v", stats)
				}
			})
		}
	}
}

func TestAPooledScanAllocatesNothing(t *testing.T) {
	p := newPool(t, 1<<20)
	bytes, look := pattern(100), func(int) error { return nil }
	if count := testing.AllocsPerRun(100, func() { p.ScanBytes(bytes, look) }); count > 0 {
		t.Errorf("%v allocations per scan", count)
	}
}

func TestReadersOfAnyLengthGoIntoCachedFiles(t *testing.T) {
	p := newPool(t, 64<<20)
	const first, piece = 68 << 10, 1<<20 + 4<<10 // the buffers
	for _, length := range []int{
		0, 1, first - 1, first, first + 1, piece, first + piece, first + piece + 1, 5 << 20,
	} {
		want := pattern(length)
		for range 2 {
			err := p.ScanReader(iotest.HalfReader(bytes.NewReader(want)), func(fd int) error {
				isPromised(t, fd, want)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if f, err := bytefd.WrapReader(bytes.NewReader(want)); err != nil {
			t.Error(err)
		} else {
			isPromised(t, int(f.Fd()), want)
			f.Close()
		}
	}
	if stats := poolStats(t, p); stats.Hits < 9 || stats.Lent != 0 {
		t.Errorf("%+v", stats)
	}
}

func TestAReaderOfAnyLengthIsReadToItsEndIntoAPool(t *testing.T) {
	pool := closedLater(t, must[*bytefd.Pool](t)(bytefd.NewPool(64<<20)))
	contentsOfAnyLength(func(want []byte, hint int64) {
		err := pool.ScanReader(bytes.NewReader(want), func(fd int) error {
			isPromised(t, fd, want)
			return nil
		}, bytefd.WrapSizeHint(hint))
		if err != nil {
			t.Errorf("%d bytes, %d expected: %v", len(want), hint, err)
		}
	})
}
