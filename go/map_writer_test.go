//go:build linux && cgo

package bytefd_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"

	bytefd "github.com/bytefd/bytefd/go"
)

func newWriter(t *testing.T) *bytefd.MapWriter {
	t.Helper()
	return closedLater(t, must[*bytefd.MapWriter](t)(bytefd.NewMapWriter()))
}

// becomes checks that a writer gives a sealed file and a map of these bytes.
func becomes(t *testing.T, w *bytefd.MapWriter, want []byte) {
	t.Helper()
	if w.Len() != len(want) {
		t.Errorf("%d bytes were written, want %d", w.Len(), len(want))
	}
	f, m, err := w.Seal()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	defer m.Close()
	isPromised(t, int(f.Fd()), want)
	if mode := fstat(t, int(f.Fd())).Mode & 0o7777; mode != 0o400 ||
		seals(t, int(f.Fd()))&0xf != 0xf {
		t.Errorf("mode %04o, seals %#x", mode, seals(t, int(f.Fd())))
	}
	if !bytes.Equal(m.Bytes(), want) {
		t.Error("the map differs from what was written")
	}
}

func TestAMapWriterHoldsWhatABufferHolds(t *testing.T) {
	for seed := int64(1); seed <= 20; seed++ {
		random := rand.New(rand.NewSource(seed))
		w, buffer := newWriter(t), new(bytes.Buffer)
		for range random.Intn(200) {
			piece := make([]byte, random.Intn(1<<random.Intn(19)))
			random.Read(piece)
			for _, to := range []interface {
				io.Writer
				io.ByteWriter
				io.StringWriter
				io.ReaderFrom
				Len() int
			}{w, buffer} {
				var n int64
				var err error
				switch seed, before := random.Int63(), to.Len(); {
				case len(piece)%4 == 0:
					var count int
					count, err = to.Write(piece)
					n = int64(count)
				case len(piece)%4 == 1:
					var count int
					count, err = to.WriteString(string(piece))
					n = int64(count)
				case len(piece)%4 == 2:
					err = to.WriteByte(piece[0])
					n = int64(to.Len() - before)
				default:
					random := rand.New(rand.NewSource(seed))
					r := &inPieces{bytes.NewReader(piece), random}
					n, err = to.ReadFrom(iotest.DataErrReader(r))
				}
				if err != nil || n != int64(len(piece)) && (len(piece)%4 != 2 || n != 1) {
					t.Fatalf("seed %d: wrote %d of %d bytes, %v", seed, n, len(piece), err)
				}
			}
			if w.Len() != buffer.Len() {
				t.Fatalf("seed %d: %d bytes, want %d", seed, w.Len(), buffer.Len())
			}
		}
		becomes(t, w, buffer.Bytes())
	}
}

// inPieces reads fewer bytes than it could, sometimes none.
type inPieces struct {
	r      io.Reader
	random *rand.Rand
}

func (p *inPieces) Read(b []byte) (int, error) { return p.r.Read(b[:p.random.Intn(len(b)+1)]) }

func TestAMapWriterMovesWhateverItHasGrownTo(t *testing.T) {
	lengths := []int{
		0, 1, 4095, 4096, 4097, 1<<20 - 513, 1<<20 - 1, 1 << 20, 1<<20 + 1, 3 << 20,
	}
	for _, length := range lengths {
		for name, write := range map[string]func(w *bytefd.MapWriter, b []byte) error{
			"at once": func(w *bytefd.MapWriter, b []byte) error {
				_, err := w.Write(b)
				return err
			},
			"read from": func(w *bytefd.MapWriter, b []byte) error {
				_, err := w.ReadFrom(bytes.NewReader(b))
				return err
			},
			"in pieces": func(w *bytefd.MapWriter, b []byte) (err error) {
				for ; len(b) > 0 && err == nil; b = b[min(len(b), 1021):] {
					_, err = w.Write(b[:min(len(b), 1021)])
				}
				return err
			},
		} {
			w := newWriter(t)
			if err := write(w, pattern(length)); err != nil {
				t.Errorf("%s, %d bytes: %v", name, length, err)
			}
			becomes(t, w, pattern(length))
		}
	}
}

func TestAReaderThatWritesToTheWriterIsAnError(t *testing.T) {
	w := newWriter(t)
	_, err := w.ReadFrom(readerFunc(func(p []byte) (int, error) {
		fmt.Fprint(w, "mine")
		return copy(p, "hello"), nil
	}))
	isError(t, err, syscall.EBUSY)
}

func TestAReaderThatFailsIsToldOfWithWhatItRead(t *testing.T) {
	mine := errors.New("mine")
	for _, length := range []int{0, 5, 200_000} {
		w := newWriter(t)
		fmt.Fprint(w, "head ")
		content := bytes.NewReader(pattern(length))
		n, err := w.ReadFrom(io.MultiReader(content, iotest.ErrReader(mine)))
		if n != int64(length) || err != mine {
			t.Errorf("read %d of %d bytes, %v", n, length, err)
		}
		fmt.Fprint(w, " tail")
		becomes(t, w,
			bytes.Join([][]byte{[]byte("head"), pattern(length), []byte("tail")}, []byte(" ")))
	}
}

func TestAReaderThatLiesOrClosesTheWriterIsAnError(t *testing.T) {
	for _, lie := range []int{-1, 1 << 40} {
		w := newWriter(t)
		n, err := w.ReadFrom(readerFunc(func([]byte) (int, error) { return lie, nil }))
		isError(t, err, syscall.EINVAL)
		if n != 0 || w.Len() != 0 {
			t.Errorf("%d bytes", n)
		}
	}
	w := newWriter(t)
	_, err := w.ReadFrom(readerFunc(func(p []byte) (int, error) {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		return copy(p, "hello"), nil
	}))
	isError(t, err, syscall.EBADF)
	w = newWriter(t)
	_, err = w.ReadFrom(readerFunc(func(p []byte) (int, error) {
		_, _, err := w.Seal()
		return 0, err
	}))
	isError(t, err, syscall.EBUSY)
	becomes(t, w, nil)
}

func TestAClosedOrSealedWriterIsErrClosed(t *testing.T) {
	closed, sealed := newWriter(t), newWriter(t)
	fmt.Fprint(closed, "hello")
	if err := closed.Close(); err != nil {
		t.Error(err)
	}
	becomes(t, sealed, nil)
	never := new(bytefd.MapWriter)
	ended := map[string]*bytefd.MapWriter{"closed": closed, "sealed": sealed, "never made": never}
	for name, w := range ended {
		_, writeErr := w.Write([]byte("x"))
		_, nothingErr := w.Write(nil)
		_, stringErr := w.WriteString("x")
		_, readErr := w.ReadFrom(strings.NewReader("x"))
		_, _, sealErr := w.Seal()
		for _, err := range []error{
			writeErr, nothingErr, stringErr, readErr, sealErr, w.WriteByte('x'),
		} {
			isError(t, err, syscall.EBADF)
			if !errors.Is(err, os.ErrClosed) {
				t.Errorf("%s: %v is not os.ErrClosed", name, err)
			}
		}
		if err := w.Close(); w.Len() != 0 || err != nil {
			t.Errorf("%s: %d bytes, %v", name, w.Len(), err)
		}
	}
}

func TestAClosedWriterLeavesNothing(t *testing.T) {
	before := takeInventory()
	w := newWriter(t)
	w.Write(pattern(3 << 20))
	if len(before.leftovers()) == 0 {
		t.Error("it has nothing")
	}
	w.Close()
	w = newWriter(t)
	w.Write(pattern(3 << 20))
	becomes(t, w, pattern(3<<20))
	for _, leftover := range before.leftovers() {
		t.Error("left over:", leftover)
	}
}

func TestAWriterWithoutRoomSaysSoAndKeepsWhatItHas(t *testing.T) {
	inAChild(t, func() {
		// A writer with at most 1 MiB has no file yet, the other one has.
		for _, length := range []int{1 << 20, 2 << 20} {
			w, want := newWriter(t), pattern(length)
			w.Write(want)
			limit := &syscall.Rlimit{Cur: uint64(length), Max: 1 << 40}
			if err := syscall.Setrlimit(rlimitFsize, limit); err != nil {
				t.Fatal(err)
			}
			n, err := w.Write([]byte("!"))
			isError(t, err, syscall.EFBIG)
			read, readErr := w.ReadFrom(bytes.NewReader(pattern(100_000)))
			isError(t, readErr, syscall.EFBIG)
			if n != 0 || read != 0 {
				t.Errorf("wrote %d, read %d", n, read)
			}
			becomes(t, w, want)
			most := &syscall.Rlimit{Cur: 1 << 40, Max: 1 << 40}
			if err := syscall.Setrlimit(rlimitFsize, most); err != nil {
				t.Fatal(err)
			}
		}
	})
}

const (
	rlimitFsize = 1
	rlimitAS    = 9
)

func TestAWriterNeedsNoAddressSpaceToSpare(t *testing.T) {
	inAChild(t, func() {
		most := &syscall.Rlimit{Cur: 8 << 30, Max: 8 << 30}
		if err := syscall.Setrlimit(rlimitAS, most); err != nil {
			t.Fatal(err)
		}
		_, err := bytefd.NewMap(0, bytefd.MapReserve(64<<30))
		isError(t, err, syscall.ENOMEM)
		w, want := newWriter(t), pattern(9<<20)
		for rest := want; len(rest) > 0; rest = rest[min(100_000, len(rest)):] {
			if _, err := w.Write(rest[:min(100_000, len(rest))]); err != nil {
				t.Fatal(err)
			}
		}
		becomes(t, w, want)
	})
}

// Small content is not mapped until a method needs a mapping.
func TestTheMapOfASmallFileIsAMap(t *testing.T) {
	for _, size := range []int{0, 1, 5000, 64 << 10} {
		want := pattern(size)
		for name, use := range map[string]func(m *bytefd.Map) error{
			"Check": (*bytefd.Map).Check,
			"Guarded": func(m *bytefd.Map) error {
				return m.Guarded(func([]byte) error { return nil })
			},
			"Mlock":    func(m *bytefd.Map) error { return m.Mlock(0, bytefd.ToEnd) },
			"Prefetch": func(m *bytefd.Map) error { return m.Prefetch(0, bytefd.ToEnd) },
			"Flush":    func(m *bytefd.Map) error { return m.Flush(0, 0, syscall.MS_ASYNC) },
			"Bytes":    func(m *bytefd.Map) error { m.Bytes(); return nil },
		} {
			w := newWriter(t)
			if _, err := w.Write(want); err != nil {
				t.Fatal(err)
			}
			f, m, err := w.Seal()
			if err != nil {
				t.Fatal(err)
			}
			closedLater(t, f)
			closedLater(t, m)
			p := make([]byte, size)
			for range 2 {
				if n, err := m.ReadAt(p, 0); n != size || err != nil || !bytes.Equal(p, want) {
					t.Errorf("%s: read %d, %v", name, n, err)
				}
				if m.Len() != size || !bytes.Equal(m.Bytes(), want) {
					t.Errorf("%s: other bytes", name)
				}
				if err := use(m); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			_, writeErr := m.WriteAt(p, 0)
			isError(t, writeErr, syscall.EACCES)
			_, sealErr := m.Seal()
			isError(t, sealErr, syscall.EINVAL)
			isError(t, m.Resize(1), syscall.EINVAL)
			_, fileErr := m.File()
			isError(t, fileErr, syscall.EBADF)
			b := m.Bytes()
			if err := m.Close(); err != nil {
				t.Error(err)
			}
			if m.Len() != 0 || m.Bytes() != nil {
				t.Errorf("%s: it is not closed", name)
			}
			if _, err := m.ReadAt(p, 0); !errors.Is(err, os.ErrClosed) {
				t.Errorf("%s: %v is not os.ErrClosed", name, err)
			}
			_ = b
		}
	}
}

func TestTheMapOfASmallFileIsUsedByManyGoroutines(t *testing.T) {
	for range 50 {
		w := newWriter(t)
		w.WriteString("hello")
		f, m, err := w.Seal()
		if err != nil {
			t.Fatal(err)
		}
		closedLater(t, f)
		closedLater(t, m)
		var group sync.WaitGroup
		for _, use := range []func() error{
			m.Check,
			func() error { return m.Flush(0, 5, syscall.MS_ASYNC) },
			func() error { _, err := m.ReadAt(make([]byte, 5), 0); return err },
			func() error { m.Bytes(); return nil },
			m.Close,
		} {
			group.Add(1)
			go func() {
				defer group.Done()
				if err := use(); err != nil && !errors.Is(err, os.ErrClosed) {
					t.Error(err)
				}
			}()
		}
		group.Wait()
	}
}
