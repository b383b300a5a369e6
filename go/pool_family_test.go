//go:build linux && cgo

package bytefd_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	bytefd "github.com/bytefd/bytefd/go"
)

func TestPoolsTakeSlicesAndReaders(t *testing.T) {
	p := newPool(t, 64<<20)
	for round := range 3 {
		for _, size := range []int{0, 1, 4096, 64 << 10, 64<<10 + 1, 3<<20 + 5} {
			want := pattern(size)
			parts := [][]byte{want[:size/3], nil, want[size/3:]}
			see := func(fd int) error {
				isPromised(t, fd, want)
				return nil
			}
			for name, err := range map[string]error{
				"slices": p.ScanBuffers(parts, see),
				"reader": p.ScanReader(iotest.HalfReader(bytes.NewReader(want)), see),
				"hint": p.ScanReader(bytes.NewReader(want), see,
					bytefd.WrapSizeHint(int64(size))),
				"disk": p.ScanReader(bytes.NewReader(want), see,
					bytefd.WrapSpillThreshold(100<<10)),
			} {
				if err != nil {
					t.Errorf("round %d, %d bytes, %s: %v", round, size, name, err)
				}
			}
		}
	}
	if stats := poolStats(t, p); stats.Hits+stats.Misses != 3*6*4 || stats.Hits < 20 ||
		stats.Lent != 0 {
		t.Errorf("%+v", stats)
	}
	broken := errors.New("the reader broke")
	for _, before := range []int{0, 200_000} {
		r := io.MultiReader(bytes.NewReader(pattern(before)), iotest.ErrReader(broken))
		err := p.ScanReader(r, func(int) error { t.Error("called"); return nil })
		if err != broken {
			t.Error(err)
		}
	}
	err := p.ScanReader(bytes.NewReader(pattern(200_000)), func(int) error { return nil },
		bytefd.WrapMaxBytes(199_999))
	isError(t, err, syscall.EFBIG)
	isError(t, p.ScanBuffers(nil, nil), syscall.EINVAL)
	isError(t, p.ScanReader(strings.NewReader(""), nil), syscall.EINVAL)
}

func TestPoolOptionsAreKept(t *testing.T) {
	p := must[*bytefd.Pool](t)(
		bytefd.NewPool(1<<20, bytefd.PoolMaxFiles(1), bytefd.PoolMethod(bytefd.PoolReuse)))
	defer p.Close()
	err := p.ScanBytes([]byte("outer"), func(int) error {
		return p.ScanBytes([]byte("inner"), func(int) error {
			if stats := poolStats(t, p); stats.Lent != 1 {
				t.Errorf("%+v", stats)
			}
			return nil
		})
	})
	if err != nil {
		t.Error(err)
	}
	idle := must[*bytefd.Pool](t)(bytefd.NewPool(1<<20, bytefd.PoolIdle(1)))
	defer idle.Close()
	for range 3 {
		lendsExactly(t, idle, []byte("hello"))
	}
	if stats := poolStats(t, idle); stats.Hits != 0 || stats.CachedBytes != 0 {
		t.Errorf("%+v", stats)
	}
	for _, option := range []bytefd.PoolOption{
		bytefd.PoolMaxFiles(0), bytefd.PoolMaxFiles(65), bytefd.PoolMaxFiles(-1),
		bytefd.PoolMaxFiles(math.MaxInt),
		bytefd.PoolIdle(-time.Second), bytefd.PoolIdle(-1), bytefd.PoolMethod(1),
	} {
		_, err := bytefd.NewPool(1<<20, option)
		isError(t, err, syscall.EINVAL)
	}
	for message, option := range map[string]bytefd.PoolOption{
		"bytefd: idle: idle is -5ns, must not be negative":         bytefd.PoolIdle(-5),
		"bytefd: max_files: max_files is -1, must be 1 to 64":      bytefd.PoolMaxFiles(-1),
		"bytefd: max_files: max_files is 1000000, must be 1 to 64": bytefd.PoolMaxFiles(1000000),
	} {
		if _, err := bytefd.NewPool(1<<20, option); err == nil || err.Error() != message {
			t.Errorf("expected %q, got %v", message, err)
		}
	}
}

func TestANilPoolIsErrInvalid(t *testing.T) {
	var p *bytefd.Pool
	_, statsErr := p.Stats()
	called := func(int) error { t.Error("called"); return nil }
	for _, err := range []error{
		p.ScanBytes(nil, called), p.ScanBuffers(nil, called),
		p.ScanReader(strings.NewReader(""), called),
		p.Trim(0), statsErr, p.Close(),
	} {
		isError(t, err, syscall.EINVAL)
		if !errors.Is(err, os.ErrInvalid) || errors.Is(err, os.ErrClosed) {
			t.Errorf("%v is not os.ErrInvalid", err)
		}
	}
}

func TestAPoolsFileIsLentAsAFileThatIsClosedAfterwards(t *testing.T) {
	p := newPool(t, 1<<20)
	filesAreLentAndClosedAfterwards(t, "Pool.ScanFile", p.ScanFile)
	if stats := poolStats(t, p); stats.Dropped != 0 || stats.Lent != 0 {
		t.Errorf("%+v", stats)
	}
}
