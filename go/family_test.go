//go:build linux && cgo

package bytefd_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"
	"unsafe"

	bytefd "github.com/bytefd/bytefd/go"
	"golang.org/x/sys/unix"
)

func TestScanFileLendsAFileThatIsClosedAfterwards(t *testing.T) {
	p := newPool(t, 1<<20)
	want := pattern(5000)
	for name, scan := range map[string]func(b []byte, scan func(f *os.File) error, opts ...bytefd.WrapOption) error{
		"ScanFile": bytefd.ScanFile, "Pool.ScanFile": p.ScanFile,
	} {
		var kept *os.File
		err := scan(want, func(f *os.File) error {
			kept = f
			if got := must[[]byte](t)(io.ReadAll(f)); !bytes.Equal(got, want) || f.Name() != "upload" {
				t.Errorf("%s: %d bytes in %q", name, len(got), f.Name())
			}
			return io.ErrUnexpectedEOF
		}, bytefd.WrapName("upload"))
		if err != io.ErrUnexpectedEOF {
			t.Errorf("%s: %v", name, err)
		}
		if err := kept.Close(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s: the file is still open: %v", name, err)
		}
		if err := scan(want, (*os.File).Close); err != nil {
			t.Errorf("%s: a callback that closes the file: %v", name, err)
		}
		isError(t, scan(want, nil), syscall.EINVAL)
	}
	if stats := poolStats(t, p); stats.Dropped != 0 || stats.Lent != 0 {
		t.Errorf("%+v", stats)
	}
}

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
				"hint":   p.ScanReader(bytes.NewReader(want), see, bytefd.WrapSizeHint(int64(size))),
				"disk":   p.ScanReader(bytes.NewReader(want), see, bytefd.WrapSpillThreshold(100<<10)),
			} {
				if err != nil {
					t.Errorf("round %d, %d bytes, %s: %v", round, size, name, err)
				}
			}
		}
	}
	if stats := poolStats(t, p); stats.Hits+stats.Misses != 3*6*4 || stats.Hits < 20 || stats.Lent != 0 {
		t.Errorf("%+v", stats)
	}
	broken := errors.New("the reader broke")
	for _, before := range []int{0, 200_000} {
		r := io.MultiReader(bytes.NewReader(pattern(before)), iotest.ErrReader(broken))
		if err := p.ScanReader(r, func(int) error { t.Error("called"); return nil }); err != broken {
			t.Error(err)
		}
	}
	isError(t, p.ScanReader(bytes.NewReader(pattern(200_000)), func(int) error { return nil }, bytefd.WrapMaxBytes(199_999)),
		syscall.EFBIG)
	isError(t, p.ScanBuffers(nil, nil), syscall.EINVAL)
	isError(t, p.ScanReader(strings.NewReader(""), nil), syscall.EINVAL)
}

func TestPoolOptionsAreKept(t *testing.T) {
	p := must[*bytefd.Pool](t)(bytefd.NewPool(1<<20, bytefd.PoolMaxFiles(1), bytefd.PoolMethod(bytefd.PoolReuse)))
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
		bytefd.PoolMaxFiles(0), bytefd.PoolMaxFiles(65), bytefd.PoolMaxFiles(-1), bytefd.PoolMaxFiles(math.MaxInt),
		bytefd.PoolIdle(-time.Second), bytefd.PoolIdle(-1), bytefd.PoolMethod(1),
	} {
		_, err := bytefd.NewPool(1<<20, option)
		isError(t, err, syscall.EINVAL)
	}
}

func TestANilPoolIsErrInvalid(t *testing.T) {
	var p *bytefd.Pool
	_, statsErr := p.Stats()
	called := func(int) error { t.Error("called"); return nil }
	for _, err := range []error{
		p.ScanBytes(nil, called), p.ScanBuffers(nil, called), p.ScanReader(strings.NewReader(""), called),
		p.Trim(0), statsErr, p.Close(),
	} {
		isError(t, err, syscall.EINVAL)
		if !errors.Is(err, os.ErrInvalid) || errors.Is(err, os.ErrClosed) {
			t.Errorf("%v is not os.ErrInvalid", err)
		}
	}
}

func TestOnlyAClosedValueIsErrClosed(t *testing.T) {
	_, err := bytefd.Reopen(-1)
	isError(t, err, syscall.EBADF)
	if errors.Is(err, os.ErrClosed) {
		t.Errorf("%v is os.ErrClosed, but nothing was closed", err)
	}
	f := wrapped(t, []byte("hello"))
	f.Close()
	_, err = bytefd.Reopen(f)
	isError(t, err, syscall.EBADF)
	if !errors.Is(err, os.ErrClosed) {
		t.Errorf("%v is not os.ErrClosed", err)
	}
}

func TestErrorsTellTheErrnoOnce(t *testing.T) {
	_, err := bytefd.MapFile("/no/such/file")
	if err == nil || strings.Contains(err.Error(), "os error") {
		t.Error(err)
	}
}

func TestReopenAndPathTakeWhatHasADescriptor(t *testing.T) {
	f := wrapped(t, []byte("hello"))
	other := closedLater(t, must[*os.File](t)(bytefd.Reopen(f)))
	if text := must[[]byte](t)(io.ReadAll(other)); string(text) != "hello" {
		t.Errorf("%q", text)
	}
	if path := bytefd.Path(f); path != bytefd.Path(int(f.Fd())) {
		t.Error(path)
	}
	for _, wrong := range []any{nil, "text", uint8(3), (*os.File)(nil)} {
		_, err := bytefd.Reopen(wrong)
		isError(t, err, syscall.EINVAL)
		if path := bytefd.Path(wrong); path != "/proc/self/fd/-1" {
			t.Error(path)
		}
	}
}

func TestAttachGivesBytesToOneChild(t *testing.T) {
	cmd := exec.Command("cat")
	for _, text := range []string{"hello ", "world"} {
		path := must[string](t)(bytefd.Attach(cmd, []byte(text)))
		cmd.Args = append(cmd.Args, path)
	}
	if out, err := cmd.Output(); err != nil || string(out) != "hello world" {
		t.Errorf("%q, %v", out, err)
	}
	other := exec.Command("ls", cmd.Args[1:]...)
	if err := other.Run(); err == nil {
		t.Error("another child has the descriptors")
	}
	_, err := bytefd.Attach(cmd, nil)
	isError(t, err, syscall.EINVAL)
	_, err = bytefd.Attach(nil, nil)
	isError(t, err, syscall.EINVAL)
	for _, f := range cmd.ExtraFiles {
		f.Close()
	}
}

func TestATerminalWhoseOtherSideIsClosedIsAtItsEnd(t *testing.T) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudoterminals: ", err)
	}
	defer master.Close()
	var number uint32
	unlock := 0
	conn := must[syscall.RawConn](t)(master.SyscallConn())
	conn.Control(func(fd uintptr) {
		unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, unlock)
		unix.Syscall(unix.SYS_IOCTL, fd, unix.TIOCGPTN, uintptr(unsafe.Pointer(&number)))
	})
	slave, err := os.OpenFile("/dev/pts/"+itoa(number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudoterminals: ", err)
	}
	must[int](t)(slave.WriteString("all the output"))
	slave.Close()
	f := closedLater(t, must[*os.File](t)(bytefd.WrapReader(master)))
	if text := must[[]byte](t)(io.ReadAll(f)); string(text) != "all the output" {
		t.Errorf("%q", text)
	}
}

func itoa(n uint32) string { return strings.TrimPrefix(bytefd.Path(int(n)), "/proc/self/fd/") }
