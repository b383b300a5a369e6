//go:build linux && cgo

package bytefd_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"

	bytefd "github.com/bytefd/bytefd/go"
)

var sizes = []int{0, 1, page - 1, page, page + 1, 10 << 20}

func TestWrappedBytesAreASealedRegularFileAtOffset0(t *testing.T) {
	for _, size := range sizes {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			want := pattern(size)
			fd := int(wrapped(t, want).Fd())
			isPromised(t, fd, want)
			if mode := fstat(t, fd).Mode & 0o7777; mode != 0o400 {
				t.Errorf("mode %04o, want 0400", mode)
			}
			const all = sealWrite | sealGrow | sealShrink | sealSeal
			if got := seals(t, fd); got&all != all || got&^all&^sealExec != 0 {
				t.Errorf("seals %#x, want %#x and at most %#x more", got, all, sealExec)
			}
			if !closeOnExec(t, fd) {
				t.Error("a child would inherit the descriptor")
			}
			if fd < 3 {
				t.Errorf("descriptor %d is one of the standard ones", fd)
			}
		})
	}
}

func TestWrappedBytesCannotBeChanged(t *testing.T) {
	fd := int(wrapped(t, []byte("hello")).Fd())
	if _, err := syscall.Pwrite(fd, []byte("J"), 0); err != syscall.EPERM {
		t.Errorf("write: %v, want EPERM", err)
	}
	if err := syscall.Ftruncate(fd, 4); err != syscall.EPERM {
		t.Errorf("shrinking: %v, want EPERM", err)
	}
	if err := syscall.Ftruncate(fd, 6); err != syscall.EPERM {
		t.Errorf("growing: %v, want EPERM", err)
	}
	if _, err := fcntl(fd, fAddSeals, 0x10); err != syscall.EPERM {
		t.Errorf("adding a seal: %v, want EPERM", err)
	}
}

func TestWrappedBytesMapSharedAndPrivate(t *testing.T) {
	want := pattern(page + 1)
	f := wrapped(t, want)
	for _, flags := range []int{syscall.MAP_SHARED, syscall.MAP_PRIVATE} {
		b, err := syscall.Mmap(int(f.Fd()), 0, len(want), syscall.PROT_READ, flags)
		if err != nil {
			t.Fatal("mmap:", err)
		}
		if !bytes.Equal(b, want) {
			t.Error("the mapping differs from the bytes")
		}
		if err := syscall.Munmap(b); err != nil {
			t.Error("munmap:", err)
		}
	}
}

func TestWrappedBytesAreACopy(t *testing.T) {
	b := []byte("hello")
	f := wrapped(t, b)
	b[0] = 'J'
	isPromised(t, int(f.Fd()), []byte("hello"))
}

func TestBytesInsideAStructWithPointersCanBeWrapped(t *testing.T) {
	// cgo refuses pointers to memory that holds Go pointers; the bytes are such memory only by their neighbours.
	s := &struct {
		neighbour *int
		buffer    [64]byte
	}{neighbour: new(int)}
	copy(s.buffer[:], pattern(64))

	isPromised(t, int(wrapped(t, s.buffer[:]).Fd()), pattern(64))
	f := closedLater(t, must[*os.File](t)(bytefd.WrapBuffers([][]byte{s.buffer[:32], s.buffer[32:]}, label(t))))
	isPromised(t, int(f.Fd()), pattern(64))
	err := bytefd.ScanBytes(s.buffer[:], func(fd int) error {
		isPromised(t, fd, pattern(64))
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	runtime.KeepAlive(s)
}

func TestSegmentsBecomeOneFileInTheirOrder(t *testing.T) {
	all := pattern(10 << 20)
	var thousand [][]byte
	for i := 0; i < 1000; i++ {
		thousand = append(thousand, all[i*10:(i+1)*10])
	}
	for name, segments := range map[string][][]byte{
		"none":       nil,
		"only empty": {nil, {}},
		"one":        {all[:1]},
		"with empty": {nil, all[:page-1], {}, all[page-1 : page+1], nil, all[page+1:]},
		"thousand":   thousand,
		"the same":   {all[:5], all[:5], all[:5]},
	} {
		t.Run(name, func(t *testing.T) {
			f := closedLater(t, must[*os.File](t)(bytefd.WrapBuffers(segments, label(t))))
			isPromised(t, int(f.Fd()), bytes.Join(segments, nil))
		})
	}
}

func TestMappedMemoryCanBeWrapped(t *testing.T) {
	want := pattern(page + 1)
	m := mapped(t, fileOf(t, want))
	isPromised(t, int(wrapped(t, m.Bytes()).Fd()), want)
	f := closedLater(t, must[*os.File](t)(bytefd.WrapBuffers([][]byte{m.Bytes()[:10], m.Bytes()[10:]}, label(t))))
	isPromised(t, int(f.Fd()), want)
}

func TestMappedMemoryThatIsGoneIsEFAULT(t *testing.T) {
	path := fileOf(t, pattern(2*page))
	m := mapped(t, path)
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	_, err := bytefd.WrapBuffer(m.Bytes(), label(t))
	isError(t, err, syscall.EFAULT)
	_, err = bytefd.WrapBuffers([][]byte{[]byte("head"), m.Bytes()}, label(t))
	isError(t, err, syscall.EFAULT)
	err = bytefd.ScanBytes(m.Bytes(), func(int) error { t.Error("called without a descriptor"); return nil })
	isError(t, err, syscall.EFAULT)
}

func TestAReaderIsReadToItsEnd(t *testing.T) {
	for _, size := range sizes {
		want := pattern(size)
		for name, r := range map[string]io.Reader{
			"plain":          bytes.NewReader(want),
			"half reads":     iotest.HalfReader(bytes.NewReader(want)),
			"EOF with bytes": iotest.DataErrReader(bytes.NewReader(want)),
		} {
			t.Run(fmt.Sprint(size, " ", name), func(t *testing.T) {
				f := closedLater(t, must[*os.File](t)(bytefd.WrapReader(r, label(t))))
				isPromised(t, int(f.Fd()), want)
			})
		}
	}
	f := closedLater(t, must[*os.File](t)(bytefd.WrapReader(iotest.OneByteReader(strings.NewReader("hello")), label(t))))
	isPromised(t, int(f.Fd()), []byte("hello"))
}

func TestTheErrorOfAReaderIsReturnedAsItIs(t *testing.T) {
	broken := errors.New("the reader broke")
	for _, r := range []io.Reader{
		iotest.ErrReader(broken),
		io.MultiReader(bytes.NewReader(pattern(page)), iotest.ErrReader(broken)),
	} {
		if f, err := bytefd.WrapReader(r, label(t)); err != broken || f != nil {
			t.Errorf("got %v and %v, want no file and %v", f, err, broken)
		}
	}
}

func TestAPanicOfAReaderLeavesNothing(t *testing.T) {
	defer func() {
		if recover() != "reader" {
			t.Error("the panic did not go on")
		}
	}()
	bytefd.WrapReader(panicReader{}, label(t))
}

type panicReader struct{}

func (panicReader) Read([]byte) (int, error) { panic("reader") }

func TestManyGoroutinesGetTheirOwnBytes(t *testing.T) {
	var group sync.WaitGroup
	for i := 0; i < 64; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			want := pattern(page + i)[i:]
			f, err := bytefd.WrapBuffer(want)
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			got, err := io.ReadAll(f)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("goroutine %d read %d bytes that are not its own: %v", i, len(got), err)
			}
		}()
	}
	group.Wait()
}

func TestAFileThatIsDroppedIsClosed(t *testing.T) {
	fd := func() int {
		return int(must[*os.File](t)(bytefd.WrapBuffer([]byte("dropped"), label(t))).Fd())
	}()
	for isOpen(fd) {
		runtime.GC()
	}
}

func TestNoDescriptorsLeftIsEMFILE(t *testing.T) {
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 3, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	_, wrapErr := bytefd.WrapBuffer([]byte("hello"))
	_, mapErr := bytefd.MapFile("/proc/self/exe")
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	isError(t, wrapErr, syscall.EMFILE)
	isError(t, mapErr, syscall.EMFILE)
}

func TestBeyondTheFileSizeLimitIsEFBIGAndNoSignal(t *testing.T) {
	const fileSize = 1 // RLIMIT_FSIZE, which package syscall does not have
	path := fileOf(t, nil)
	var old syscall.Rlimit
	if err := syscall.Getrlimit(fileSize, &old); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(fileSize, &syscall.Rlimit{Cur: 1 << 20, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	_, wrapErr := bytefd.WrapBuffer(make([]byte, 1<<20+1))
	_, mapErr := bytefd.MapFile(path, bytefd.MapWrite(), bytefd.MapFileSize(1<<20+1))
	if err := syscall.Setrlimit(fileSize, &old); err != nil {
		t.Fatal(err)
	}
	isError(t, wrapErr, syscall.EFBIG)
	isError(t, mapErr, syscall.EFBIG)
}
