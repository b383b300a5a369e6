package bytefd

import (
	"fmt"
	"io"
	"math"
	"os"
	"sync/atomic"
	"syscall"
)

// MapWriter is memory that grows as it is written and becomes a sealed file. It is for encoders,
// bodies of requests, and whatever else writes to an io.Writer. Content of up to 1 MiB is collected
// in Go's memory, and Seal copies it into a file. Larger content moves once into a memory file,
// which Seal seals without a copy.
//
// Call [MapWriter.Seal] at the end, or [MapWriter.Close] to drop what was written. After either,
// Seal and the methods that write return os.ErrClosed.
//
// Only one goroutine at a time may use a MapWriter, as with a bytes.Buffer. The garbage collector
// frees a MapWriter that nothing refers to any more, but late. A MapWriter must not be copied.
type MapWriter struct {
	isOpen  bool
	small   []byte // all that was written, unless there is a map
	m       *Map   // nil while the content is small
	written int
	readers int // calls of ReadFrom that have lent small to a reader
}

var (
	_ io.WriteCloser  = (*MapWriter)(nil)
	_ io.ReaderFrom   = (*MapWriter)(nil)
	_ io.ByteWriter   = (*MapWriter)(nil)
	_ io.StringWriter = (*MapWriter)(nil)
)

const (
	// Up to this many bytes, copying takes less time than making pages ahead.
	writerSmall = 1 << 20
	// Up to this many bytes stay in Go's memory, and are mapped when a method needs a mapping.
	writerHeld = 64 << 10
	// The size for the first byte, in Go's memory and in a map.
	writerFirst, writerFirstMapped = 4 << 10, 64 << 10
	// The address space that is reserved, so that growing moves nothing. It costs no memory.
	writerReserve = min(64<<30, math.MaxInt/4)
	// A huge page.
	writerExtent = 2 << 20
	// The least room for each call of a reader.
	writerMinRead = 512
)

// hasMemfd is true once a memory file was made.
var hasMemfd atomic.Bool

// NewMapWriter returns an empty MapWriter. Errors are those of [NewMap].
func NewMapWriter() (*MapWriter, error) {
	if !hasMemfd.Load() {
		m, err := NewMap(0)
		if err != nil {
			return nil, err
		}
		m.Close()
		hasMemfd.Store(true)
	}
	return &MapWriter{isOpen: true}, nil
}

// Len returns the number of bytes that have been written. It returns 0 after Seal and Close.
func (w *MapWriter) Len() int {
	if w == nil {
		return 0
	}
	return w.written
}

// Write writes all of p. If it returns an error, it has written nothing.
//
// Errors: EFBIG, ENOSPC or ENOMEM if there is no room, as for [Map.Resize]. EFAULT if p is memory
// of a map and a page of it is lost, also if [MapGuard] has replaced the page.
func (w *MapWriter) Write(p []byte) (n int, err error) {
	spare, err := w.spare(len(p))
	if err != nil {
		return 0, err
	}
	if w.m == nil {
		if !isShown(p) && isCopied(spare, p) {
			w.count(len(p))
			return len(p), nil
		}
		// Only C can copy bytes that may be lost.
		if err := w.move(len(p)); err != nil {
			return 0, err
		}
	}
	if n, err = w.m.WriteAt(p, int64(w.written)); err != nil {
		return 0, err
	}
	w.written += n
	return n, nil
}

// WriteString is [MapWriter.Write] for a string.
func (w *MapWriter) WriteString(s string) (n int, err error) {
	spare, err := w.spare(len(s))
	if err != nil {
		return 0, err
	}
	n = copy(spare, s)
	w.count(n)
	return n, nil
}

// WriteByte is [MapWriter.Write] for one byte.
func (w *MapWriter) WriteByte(c byte) error {
	spare, err := w.spare(1)
	if err != nil {
		return err
	}
	spare[0] = c
	w.count(1)
	return nil
}

// ReadFrom writes everything that r delivers until io.EOF, and returns the number of bytes. After
// an error of r, which is returned unchanged, what was read before stays written.
//
// Other errors are those of [MapWriter.Write]. EBUSY if r writes to w. EINVAL if r says that it has
// read more bytes than it was asked for.
func (w *MapWriter) ReadFrom(r io.Reader) (n int64, err error) {
	if _, err := w.spare(0); err != nil {
		return 0, err
	}
	for err == nil {
		var count int
		count, err = w.readOnce(r)
		n += int64(count)
	}
	if err == io.EOF {
		err = nil
	}
	return n, err
}

func (w *MapWriter) readOnce(r io.Reader) (n int, err error) {
	var spare []byte
	isSmall, written := w.m == nil, w.written
	if isSmall {
		w.readers++
		defer func() { w.readers-- }()
		if cap(w.small) == 0 {
			w.small = make([]byte, 0, writerFirst)
		}
		// The content may end where the buffer is full, so the buffer grows only after one more
		// byte was read.
		if spare = w.small[written:cap(w.small)]; len(spare) < writerMinRead {
			spare = make([]byte, writerMinRead)
		}
	} else {
		if _, err := w.spare(writerMinRead); err != nil {
			return 0, err
		}
		handle, b, err := w.m.lend("write")
		if err != nil {
			return 0, err
		}
		defer w.m.release(handle) // so that a reader that closes the writer still has the memory
		spare = b[written:]
	}
	n, err = r.Read(spare)
	if n < 0 || n > len(spare) {
		const format = "the reader says that it read %d bytes into a buffer of %d"
		message := fmt.Sprintf(format, n, len(spare))
		return 0, &Error{"read", syscall.EINVAL, message}
	}
	if !w.isOpen {
		return 0, errWriterClosed
	}
	if w.written != written {
		return 0, &Error{"read", syscall.EBUSY,
			"the reader wrote to the MapWriter that reads from it"}
	}
	if isSmall && n > 0 {
		to, failure := w.spare(n)
		if failure != nil {
			return 0, failure
		}
		if &to[0] != &spare[0] {
			copy(to, spare[:n])
		}
	}
	w.count(n)
	return n, err
}

// Seal returns a sealed file of what has been written, as [Map.Seal] or [WrapBuffer] makes it, and
// a map of it for reading. The caller owns and closes both. The MapWriter is then closed. A second
// call returns os.ErrClosed.
//
// If at most 64 KiB were written, the bytes of the map are in Go's memory until a method needs a
// mapping. A slice that [Map.Bytes] returned before the mapping was made stays valid. A store into
// such a slice is forbidden, but does not raise SIGSEGV.
//
// Errors are those of [Map.Seal], and for content of up to 1 MiB those of [WrapBuffer], such as
// EFBIG. After an error the content is unchanged, and Seal may be called again. EBUSY while
// ReadFrom reads.
func (w *MapWriter) Seal(opts ...SealOption) (*os.File, *Map, error) {
	if w == nil {
		return nil, nil, isNil("writer")
	}
	if !w.isOpen {
		return nil, nil, errWriterClosed
	}
	f, m, err := w.seal(opts)
	if err != nil {
		return nil, nil, err
	}
	*w = MapWriter{}
	return f, m, nil
}

func (w *MapWriter) seal(opts []SealOption) (*os.File, *Map, error) {
	if w.m != nil {
		if err := w.m.Resize(w.written); err != nil {
			return nil, nil, err
		}
		f, err := w.m.Seal(opts...)
		return f, w.m, err
	}
	if w.readers > 0 {
		return nil, nil, &Error{"seal", syscall.EBUSY, "ReadFrom is reading into the MapWriter"}
	}
	o := newWrapOptions(nil)
	o.backend = BackendMemfd
	fd, err := wrap(w.small, o)
	if err != nil {
		return nil, nil, err
	}
	if len(w.small) <= writerHeld {
		return os.NewFile(uintptr(fd), o.fileName()), holdMap(w.small), nil
	}
	m, err := MapFD(fd)
	if err != nil {
		closeNumber(fd)
		return nil, nil, err
	}
	return os.NewFile(uintptr(fd), o.fileName()), m, nil
}

// Close drops what has been written. After Seal, and when called again, it does nothing and returns
// nil.
func (w *MapWriter) Close() error {
	if w == nil {
		return isNil("writer")
	}
	m := w.m
	*w = MapWriter{}
	if m == nil {
		return nil
	}
	return m.Close()
}

var errWriterClosed = isClosed("writer", "the MapWriter is sealed or closed")

// spare returns the memory after the content, at least room bytes.
func (w *MapWriter) spare(room int) ([]byte, error) {
	if w == nil {
		return nil, isNil("writer")
	}
	if !w.isOpen {
		return nil, errWriterClosed
	}
	needed := w.written + room
	if w.m == nil {
		if needed <= cap(w.small) {
			return w.small[w.written:needed], nil
		}
		if needed <= writerSmall {
			grown := make([]byte, w.written,
				min(max(writerFirst, 2*cap(w.small), needed), writerSmall))
			copy(grown, w.small)
			w.small = grown
			return w.small[w.written:needed], nil
		}
		if err := w.move(room); err != nil {
			return nil, err
		}
	} else if needed > w.m.Len() {
		if err := w.m.Resize(sizeFor(needed)); err != nil {
			return nil, err
		}
	}
	return w.m.data[w.written:], nil
}

// count makes n bytes, which were stored after the content, part of the content.
func (w *MapWriter) count(n int) {
	w.written += n
	if w.m == nil {
		w.small = w.small[:w.written]
	}
}

// move moves what has been written into a memory file that has room for more.
func (w *MapWriter) move(room int) error {
	m, err := NewMap(0, MapPopulate(), MapReserve(writerReserve))
	if err != nil {
		// RLIMIT_AS may forbid this much address space. Then the memory moves when it grows.
		m, err = NewMap(0, MapPopulate())
	}
	if err != nil {
		return err
	}
	if err := m.Resize(sizeFor(w.written + room)); err != nil {
		m.Close()
		return err
	}
	copy(m.data, w.small)
	w.m, w.small = m, nil
	return nil
}

// sizeFor returns the size of the memory for this number of bytes. The sizes double up to a huge
// page; larger sizes are whole huge pages.
func sizeFor(bytes int) int {
	size := writerFirstMapped
	for size < bytes && size < writerExtent {
		size *= 2
	}
	if size < bytes {
		size = (bytes + writerExtent - 1) / writerExtent * writerExtent
	}
	return size
}
