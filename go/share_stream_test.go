//go:build linux

package bytefd_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	bytefd "github.com/bytefd/bytefd/go"
	"golang.org/x/sys/unix"
)

// unnamedFiles counts the descriptors and mappings of the library's files in this process.
func unnamedFiles() (count int) {
	for _, link := range openDescriptors() {
		if strings.HasSuffix(link, "(deleted)") {
			count++
		}
	}
	return count + len(mappedFiles())
}

// leavesNothing calls f and compares the open and mapped files before and after.
func leavesNothing(t *testing.T, f func()) {
	t.Helper()
	before := unnamedFiles()
	f()
	if left := unnamedFiles() - before; left != 0 {
		t.Errorf("%d descriptors and mappings are left", left)
	}
}

func streamed(t *testing.T, r io.Reader, opts ...bytefd.WrapOption) *os.File {
	t.Helper()
	return closedLater(t, must[*os.File](t)(bytefd.WrapReader(r, opts...)))
}

func TestAStreamBecomesASealedFile(t *testing.T) {
	for _, size := range append(sizes, 64<<10, 64<<10+1, 2<<20, 2<<20+1) {
		want := pattern(size)
		for name, r := range map[string]io.Reader{
			"plain":          bytes.NewReader(want),
			"half reads":     iotest.HalfReader(bytes.NewReader(want)),
			"EOF with bytes": iotest.DataErrReader(bytes.NewReader(want)),
			"a file":         closedLater(t, must[*os.File](t)(os.Open(fileOf(t, want)))),
		} {
			t.Run(fmt.Sprint(size, " ", name), func(t *testing.T) {
				before := unnamedFiles()
				f := streamed(t, r)
				if more := unnamedFiles() - before; more != 1 {
					t.Errorf("%d descriptors and mappings more, want the one", more)
				}
				fd := int(f.Fd())
				isPromised(t, fd, want)
				if got := seals(t, fd); got&^sealExec != 0xf {
					t.Errorf("seals %#x, want 0xf and at most %#x more", got, sealExec)
				}
				if mode := fstat(t, fd).Mode & 0o7777; mode != 0o400 || !closeOnExec(t, fd) {
					t.Errorf("mode %04o, want 0400 and close-on-exec", mode)
				}
			})
		}
	}
}

func TestPipesAndSocketsAreWaitedFor(t *testing.T) {
	want := pattern(300_000)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	closedLater(t, r)
	ours, theirs := socketPair(t, syscall.SOCK_STREAM)
	for _, way := range []struct {
		from io.Reader
		to   io.WriteCloser
	}{{r, w}, {theirs, ours}} {
		go func() {
			defer way.to.Close()
			for i := 0; i < len(want); i += 1000 {
				way.to.Write(want[i : i+1000])
			}
		}()
		isPromised(t, int(streamed(t, way.from).Fd()), want)
	}
}

func TestADeadlineAndCloseEndAStreamAndNothingIsKept(t *testing.T) {
	for name, ending := range endings {
		ours, theirs := socketPair(t, syscall.SOCK_STREAM)
		leavesNothing(t, func() {
			failed := make(chan error, 1)
			go func() {
				_, err := bytefd.WrapReader(theirs)
				failed <- err
			}()
			must[int](t)(ours.Write([]byte("begun")))
			eventually(func() bool { return unreadBytes(t, ours) == 0 })
			ending.end(theirs)
			if err := <-failed; !errors.Is(err, ending.want) {
				t.Errorf("%s: got %v, want %v", name, err, ending.want)
			}
		})
	}
}

func TestAStreamLongerThanAllowedIsEFBIG(t *testing.T) {
	for _, most := range []int64{1, 2, 64 << 10, 64<<10 + 1, 3 << 20} {
		for _, options := range [][]bytefd.WrapOption{nil, {bytefd.WrapSpillThreshold(100)}} {
			options := append(options, bytefd.WrapMaxBytes(most))
			want := pattern(int(most))
			isPromised(t, int(streamed(t, bytes.NewReader(want), options...).Fd()), want)
			leavesNothing(t, func() {
				r := bytes.NewReader(make([]byte, 10<<20))
				_, err := bytefd.WrapReader(r, options...)
				isError(t, err, syscall.EFBIG)
				if read := 10<<20 - int64(r.Len()); read > most+1 {
					t.Errorf("%d bytes were read to know that there are more than %d", read, most)
				}
			})
		}
	}
}

func TestALargeStreamGoesToDisk(t *testing.T) {
	directory := t.TempDir()
	t.Setenv("TMPDIR", directory)
	for _, size := range []int{100, 101, 1 << 20, 5<<20 + 1} {
		for _, above := range []int64{1, 100, 1 << 20} {
			want := pattern(size)
			f := streamed(t, iotest.HalfReader(bytes.NewReader(want)),
				bytefd.WrapSpillThreshold(above))
			fd := int(f.Fd())
			isPromised(t, fd, want)
			link := must[string](t)(os.Readlink(bytefd.Path(fd)))
			if onDisk := strings.HasPrefix(link, directory); onDisk != (int64(size) > above) {
				t.Errorf("%d bytes, on disk above %d: %s", size, above, link)
			}
			if strings.HasPrefix(link, directory) && accessMode(t, fd) != syscall.O_RDONLY {
				t.Error("on disk, and can be written to")
			}
			if mode := fstat(t, fd).Mode & 0o7777; mode != 0o400 || !closeOnExec(t, fd) {
				t.Errorf("mode %04o, want 0400 and close-on-exec", mode)
			}
		}
	}
}

func TestAFullDiskIsENOSPCAndNothingIsKept(t *testing.T) {
	inNamespaces(t, func() {
		directory := t.TempDir()
		if err := syscall.Mount("bytefd", directory, "tmpfs", 0, "size=64k"); err != nil {
			t.Fatal(err)
		}
		defer syscall.Unmount(directory, 0)
		t.Setenv("TMPDIR", directory)
		leavesNothing(t, func() {
			_, err := bytefd.WrapReader(bytes.NewReader(pattern(1<<20)),
				bytefd.WrapSpillThreshold(10))
			isError(t, err, syscall.ENOSPC)
		})
	})
}

func TestTheFileSizeLimitHoldsForStreams(t *testing.T) {
	const fileSize = 1 // RLIMIT_FSIZE, which package syscall does not have
	var old syscall.Rlimit
	if err := syscall.Getrlimit(fileSize, &old); err != nil {
		t.Fatal(err)
	}
	// One limit that the buffers reach, and one that is reached while the file is written.
	for _, limit := range []int{1 << 20, 3 << 20} {
		leavesNothing(t, func() {
			lower := &syscall.Rlimit{Cur: uint64(limit), Max: old.Max}
			if err := syscall.Setrlimit(fileSize, lower); err != nil {
				t.Fatal(err)
			}
			var memoryErr, diskErr error
			raisesNot(t, syscall.SIGXFSZ, func() {
				_, memoryErr = bytefd.WrapReader(bytes.NewReader(make([]byte, limit+1)))
				_, diskErr = bytefd.WrapReader(bytes.NewReader(make([]byte, limit+1)),
					bytefd.WrapSpillThreshold(1))
			})
			if err := syscall.Setrlimit(fileSize, &old); err != nil {
				t.Fatal(err)
			}
			isError(t, memoryErr, syscall.EFBIG)
			isError(t, diskErr, syscall.EFBIG)
		})
	}
}

// lyingReader returns this number of bytes without reading.
type lyingReader int

func (n lyingReader) Read(p []byte) (int, error) {
	if n == 0 {
		return 0, nil
	}
	return len(p)*max(int(n), 0) + int(n), nil
}

func TestReadersThatFailOrLieLeaveNothing(t *testing.T) {
	for _, length := range []int{100_000, 3 << 20} {
		begun := func(r io.Reader) io.Reader {
			return io.MultiReader(bytes.NewReader(pattern(length)), r)
		}
		for _, options := range [][]bytefd.WrapOption{nil, {bytefd.WrapSpillThreshold(1)}} {
			readersThatFailOrLieLeaveNothing(t, begun, options)
		}
	}
}

func readersThatFailOrLieLeaveNothing(
	t *testing.T, begun func(r io.Reader) io.Reader, options []bytefd.WrapOption,
) {
	broken := errors.New("the reader broke")
	leavesNothing(t, func() {
		for _, r := range []io.Reader{iotest.ErrReader(broken), begun(iotest.ErrReader(broken))} {
			if f, err := bytefd.WrapReader(r, options...); err != broken || f != nil {
				t.Errorf("got %v and %v, want no file and %v", f, err, broken)
			}
		}
		for _, lie := range []lyingReader{1, -1} {
			_, err := bytefd.WrapReader(begun(lie), options...)
			isError(t, err, syscall.EINVAL)
		}
		if _, err := bytefd.WrapReader(begun(lyingReader(0)), options...); err != io.ErrNoProgress {
			t.Errorf("got %v from a reader that returns nothing", err)
		}
		func() {
			defer func() {
				if recover() != "reader" {
					t.Error("the panic did not go on")
				}
			}()
			bytefd.WrapReader(begun(panicReader{}), options...)
		}()
		var group sync.WaitGroup
		group.Add(1)
		go func() {
			defer group.Done()
			bytefd.WrapReader(begun(readerFunc(func([]byte) (int, error) {
				runtime.Goexit()
				return 0, nil
			})), options...)
			t.Error("the Goexit did not go on")
		}()
		group.Wait()
		var closed *os.File
		if _, err := bytefd.WrapReader(begun(closed), options...); !errors.Is(err, os.ErrInvalid) {
			t.Error(err)
		}
	})
}

func TestLimitsThatAreNotPositiveAreEINVAL(t *testing.T) {
	for _, option := range []bytefd.WrapOption{
		bytefd.WrapMaxBytes(-1), bytefd.WrapMaxBytes(0), bytefd.WrapSpillThreshold(-1),
		bytefd.WrapSpillThreshold(0),
		bytefd.WrapSizeHint(-1),
	} {
		_, err := bytefd.WrapReader(strings.NewReader("hello"), option)
		isError(t, err, syscall.EINVAL)
	}
}

func TestAStreamThatPausesIsNotTakenForItsEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	r := closedLater(t, must[*os.File](t)(os.OpenFile(path, os.O_RDWR, 0)))
	must[int](t)(r.Write([]byte("hello")))
	leavesNothing(t, func() {
		r.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		if _, err := bytefd.WrapReader(r); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
	})
}

func TestStreamsOnHostsThatRefuseWhatIsTriedFirst(t *testing.T) {
	want := pattern(5<<20 + 1)
	switch os.Getenv(roleOfChild) {
	case "no memfd":
		refuseMemfd(t)
	case "little address space":
		var pages uint64
		fmt.Sscan(string(must[[]byte](t)(os.ReadFile("/proc/self/statm"))), &pages)
		// More than this test needs, less than is reserved for growing.
		most := pages*uint64(page) + 16<<30
		limit := syscall.Rlimit{Cur: most, Max: most}
		if err := syscall.Setrlimit(unix.RLIMIT_AS, &limit); err != nil {
			t.Fatal(err)
		}
	default:
		for _, host := range []string{"no memfd", "little address space"} {
			child, lines := asChild(t, host)
			last := ""
			for lines.Scan() {
				last += lines.Text() + "\n"
			}
			if err := child.Wait(); err != nil {
				t.Errorf("%s: %v\n%s", host, err, last)
			}
		}
		return
	}
	f := streamed(t, bytes.NewReader(want))
	isPromised(t, int(f.Fd()), want)
	if _, err := f.WriteAt([]byte("x"), 0); err == nil {
		t.Error("it can be written to")
	}
	leavesNothing(t, func() {
		_, err := bytefd.WrapReader(bytes.NewReader(want), bytefd.WrapMaxBytes(5<<20))
		isError(t, err, syscall.EFBIG)
	})
}

// The buffers are reused, but their content is not.
func TestAReaderFindsNothingOfTheOneBefore(t *testing.T) {
	for _, length := range []int{100, 64 << 10, 1 << 20} {
		for range 3 {
			closedLater(t, must[*os.File](t)(bytefd.WrapReader(bytes.NewReader(pattern(length)))))
			// The reader says that it has filled bytes that it has not.
			left := length
			r := readerFunc(func(p []byte) (int, error) {
				n := min(left, len(p))
				if left -= n; n == 0 {
					return 0, io.EOF
				}
				return n, nil
			})
			f := closedLater(t, must[*os.File](t)(bytefd.WrapReader(r)))
			isPromised(t, int(f.Fd()), make([]byte, length))
		}
	}
}
