//go:build linux

package bytefd_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	bytefd "github.com/bytefd/bytefd/go"
	"golang.org/x/sys/unix"
)

func TestScanFileLendsAFileThatIsClosedAfterwards(t *testing.T) {
	filesAreLentAndClosedAfterwards(t, "ScanFile", bytefd.ScanFile)
}

func filesAreLentAndClosedAfterwards(
	t *testing.T, name string,
	scan func(b []byte, scan func(f *os.File) error, opts ...bytefd.WrapOption) error,
) {
	want := pattern(5000)
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
	for _, number := range []any{f.Fd(), int(f.Fd())} {
		if bytefd.Path(number) != bytefd.Path(f) {
			t.Error(bytefd.Path(number), bytefd.Path(f))
		}
		closedLater(t, must[*os.File](t)(bytefd.Reopen(number)))
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
