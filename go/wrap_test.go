//go:build linux

package bytefd_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"

	bytefd "github.com/bytefd/bytefd/go"
)

var sizes = []int{0, 1, page - 1, page, page + 1, 10 << 20}

// wraps are all ways to lend or give away a descriptor of some bytes.
var wraps = map[string]func(b []byte, look func(fd int), opts ...bytefd.WrapOption) error{
	"WrapBuffer": func(b []byte, look func(fd int), opts ...bytefd.WrapOption) error {
		return lookAt(look)(bytefd.WrapBuffer(b, opts...))
	},
	"WrapBuffers": func(b []byte, look func(fd int), opts ...bytefd.WrapOption) error {
		half := len(b) / 2
		return lookAt(look)(bytefd.WrapBuffers([][]byte{nil, b[:half], {}, b[half:]}, opts...))
	},
	"WrapReader": func(b []byte, look func(fd int), opts ...bytefd.WrapOption) error {
		return lookAt(look)(bytefd.WrapReader(iotest.HalfReader(bytes.NewReader(b)), opts...))
	},
	"ScanBytes": func(b []byte, look func(fd int), opts ...bytefd.WrapOption) error {
		return bytefd.ScanBytes(b, func(fd int) error { look(fd); return nil }, opts...)
	},
}

func lookAt(look func(fd int)) func(f *os.File, err error) error {
	return func(f *os.File, err error) error {
		if err == nil {
			look(int(f.Fd()))
			err = f.Close()
		}
		return err
	}
}

func TestEveryWayGivesADescriptorOfTheBytes(t *testing.T) {
	for name, wrap := range wraps {
		for _, size := range sizes {
			t.Run(fmt.Sprint(name, " ", size), func(t *testing.T) {
				want, fd := pattern(size), -1
				err := wrap(want, func(lent int) {
					fd = lent
					isPromised(t, fd, want)
					if seals(t, fd)&^sealExec != 0xf || !closeOnExec(t, fd) {
						t.Errorf("seals %#x, close-on-exec: %t", seals(t, fd), closeOnExec(t, fd))
					}
				})
				if err != nil || isOpen(fd) {
					t.Errorf("%v, or descriptor %d is still open", err, fd)
				}
			})
		}
	}
}

func TestBytesInsideAStructWithPointersCanBeWrapped(t *testing.T) {
	// cgo refuses pointers to memory that has Go pointers. These bytes are in such memory only
	// because of their neighbours.
	s := &struct {
		neighbour *int
		buffer    [64]byte
	}{neighbour: new(int)}
	copy(s.buffer[:], pattern(64))
	for _, wrap := range wraps {
		if err := wrap(s.buffer[:], func(fd int) { isPromised(t, fd, pattern(64)) }); err != nil {
			t.Error(err)
		}
	}
	runtime.KeepAlive(s)
}

func TestMemoryThatIsNotGosCanBeWrapped(t *testing.T) {
	m := mapped(t, fileOf(t, pattern(page+1)))
	for _, wrap := range wraps {
		if err := wrap(m.Bytes(), func(fd int) { isPromised(t, fd, pattern(page+1)) }); err != nil {
			t.Error(err)
		}
	}
}

func TestTheErrorOfAReaderIsReturnedAsItIs(t *testing.T) {
	broken := errors.New("the reader broke")
	for _, opts := range [][]bytefd.WrapOption{nil, {bytefd.WrapMode(0o444)}} {
		r := io.MultiReader(bytes.NewReader(pattern(page)), iotest.ErrReader(broken))
		if f, err := bytefd.WrapReader(r, opts...); err != broken || f != nil {
			t.Errorf("got %v and %v, want no file and %v", f, err, broken)
		}
	}
}

// A reader is read into slices of 4 KiB and more, up to 1 MiB together, and then straight into the
// library.
func TestAReaderOfAnyLengthIsReadToItsEnd(t *testing.T) {
	contentsOfAnyLength(func(want []byte, hint int64) {
		length := int64(len(want))
		r := iotest.HalfReader(bytes.NewReader(want))
		f, err := bytefd.WrapReader(r, bytefd.WrapSizeHint(hint), bytefd.WrapMaxBytes(length))
		if err != nil {
			t.Fatalf("%d bytes, %d expected: %v", length, hint, err)
		}
		isPromised(t, int(f.Fd()), want)
		f.Close()
		f, err = bytefd.WrapReader(bytes.NewReader(want), bytefd.WrapSizeHint(hint),
			bytefd.WrapMaxBytes(length-1))
		isError(t, err, syscall.EFBIG)
		if f != nil {
			t.Errorf("%d bytes: a file of too many", length)
		}
	})
}

// contentsOfAnyLength calls f with content around the sizes of buffers, and with right and wrong
// hints of its length.
func contentsOfAnyLength(f func(content []byte, hint int64)) {
	for _, end := range []int{4 << 10, 20 << 10, 84 << 10, 340 << 10, 1 << 20, 3 << 20} {
		for _, length := range []int{end - 1, end, end + 1} {
			content := pattern(length)
			exact := int64(length)
			for _, hint := range []int64{0, 1, exact - 1, exact, exact + 1, math.MaxInt64} {
				f(content, hint)
			}
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
		for _, wrap := range wraps {
			group.Add(1)
			go func() {
				defer group.Done()
				want := pattern(page + i)[i:]
				if err := wrap(want, func(fd int) { isPromised(t, fd, want) }); err != nil {
					t.Error(err)
				}
			}()
		}
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

func TestAChildIsGivenAFileAsGoProgramsDo(t *testing.T) {
	cmd := exec.Command("cat", bytefd.Path(3))
	cmd.ExtraFiles = []*os.File{wrapped(t, []byte("hello"))}
	if out, err := cmd.Output(); err != nil || string(out) != "hello" {
		t.Errorf("the child read %q, %v", out, err)
	}
}

func TestAReopenedFileHasItsOwnOffset(t *testing.T) {
	f := wrapped(t, []byte("hello"))
	if _, err := f.Seek(3, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	other := closedLater(t, must[*os.File](t)(bytefd.Reopen(int(f.Fd()))))
	isPromised(t, int(other.Fd()), []byte("hello"))
	if got, err := os.ReadFile(bytefd.Path(int(f.Fd()))); string(got) != "hello" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
}
