package bytefd

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

// MapWriter is memory that grows as it is written, and becomes a sealed file without being copied:
// for encoders, bodies of requests, whatever writes to an io.Writer. End it with [MapWriter.Seal],
// or with [MapWriter.Close] to drop what was written; after either, every method's error is
// os.ErrClosed.
//
// One goroutine at a time may use it, as a bytes.Buffer. A MapWriter that nothing refers to any
// more is freed by the garbage collector some time later. It must not be copied.
type MapWriter struct {
	m       *Map // nil when sealed or closed
	written int
}

var (
	_ io.WriteCloser  = (*MapWriter)(nil)
	_ io.ReaderFrom   = (*MapWriter)(nil)
	_ io.ByteWriter   = (*MapWriter)(nil)
	_ io.StringWriter = (*MapWriter)(nil)
)

const (
	// Address space that is kept, so that growing moves nothing: more than most will ever write. It
	// costs no memory.
	writerReserve = 64 << 30
	// What the first byte gets.
	writerFirst = 64 << 10
	// A huge page.
	writerExtent = 2 << 20
	// Room for each call of a reader.
	writerMinRead = 512
)

// NewMapWriter returns an empty MapWriter. Errors are those of [NewMap].
func NewMapWriter() (*MapWriter, error) {
	m, err := NewMap(0, MapPopulate(), MapReserve(writerReserve))
	if err != nil {
		// RLIMIT_AS may forbid so much; then it moves when it must.
		m, err = NewMap(0, MapPopulate())
	}
	if err != nil {
		return nil, err
	}
	return &MapWriter{m: m}, nil
}

// Len returns how many bytes have been written, 0 after Seal and Close.
func (w *MapWriter) Len() int {
	if w == nil {
		return 0
	}
	return w.written
}

// Write writes all of p, or nothing.
//
// Errors are those of [Map.Resize]: EFBIG, ENOSPC and ENOMEM when there is no more room. EFAULT if
// p is the memory of a map and lost, also where [MapGuard] has replaced it.
func (w *MapWriter) Write(p []byte) (n int, err error) {
	if _, err := w.spare(len(p)); err != nil {
		return 0, err
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
	w.written += n
	return n, nil
}

// WriteByte is [MapWriter.Write] for one byte.
func (w *MapWriter) WriteByte(c byte) error {
	spare, err := w.spare(1)
	if err != nil {
		return err
	}
	spare[0] = c
	w.written++
	return nil
}

// ReadFrom writes what r delivers until io.EOF, and returns how many bytes that were. r reads
// straight into the memory. An error of r is returned as it is, and what was read before stays
// written.
//
// Other errors are those of [MapWriter.Write], and EINVAL if r says that it has read what cannot
// be.
func (w *MapWriter) ReadFrom(r io.Reader) (n int64, err error) {
	for {
		if _, err := w.spare(writerMinRead); err != nil {
			return n, err
		}
		count, err := w.readOnce(r)
		n += int64(count)
		switch {
		case err == io.EOF:
			return n, nil
		case err != nil:
			return n, err
		}
	}
}

func (w *MapWriter) readOnce(r io.Reader) (n int, err error) {
	m := w.m
	handle, b, err := m.lend("write")
	if err != nil {
		return 0, err
	}
	defer m.release(handle) // so that a reader that closes the writer still has the memory
	spare := b[w.written:]
	n, err = r.Read(spare)
	if n < 0 || n > len(spare) {
		message := fmt.Sprintf("the reader says that it has read %d bytes into %d", n, len(spare))
		return 0, &Error{"read", syscall.EINVAL, message}
	}
	if w.m == nil {
		return 0, errWriterClosed
	}
	w.written += n
	return n, err
}

// Seal returns a sealed file of what has been written, as [Map.Seal] makes it, and the map of it,
// for reading. The caller owns and closes both. The MapWriter is closed then.
//
// Errors are those of [Map.Seal], with everything as it was. A second call is os.ErrClosed.
func (w *MapWriter) Seal(opts ...SealOption) (*os.File, *Map, error) {
	if w == nil {
		return nil, nil, isNil("writer")
	}
	if w.m == nil {
		return nil, nil, errWriterClosed
	}
	if err := w.m.Resize(w.written); err != nil {
		return nil, nil, err
	}
	f, err := w.m.Seal(opts...)
	if err != nil {
		return nil, nil, err
	}
	m := w.m
	*w = MapWriter{}
	return f, m, nil
}

// Close drops what has been written. After Seal, and a second time, it does nothing and returns
// nil.
func (w *MapWriter) Close() error {
	if w == nil {
		return isNil("writer")
	}
	if w.m == nil {
		return nil
	}
	m := w.m
	*w = MapWriter{}
	return m.Close()
}

var errWriterClosed = isClosed("writer", "the writer is sealed or closed")

// spare returns the memory behind what has been written, of at least so many bytes.
func (w *MapWriter) spare(room int) ([]byte, error) {
	if w == nil {
		return nil, isNil("writer")
	}
	if w.m == nil {
		return nil, errWriterClosed
	}
	if needed := w.written + room; needed > w.m.Len() {
		if err := w.m.Resize(sizeFor(needed)); err != nil {
			return nil, err
		}
	}
	return w.m.data[w.written:], nil
}

// sizeFor is how large the memory is made for so many bytes: twice as large each time, then whole
// huge pages.
func sizeFor(bytes int) int {
	size := writerFirst
	for size < bytes && size < writerExtent {
		size *= 2
	}
	if size < bytes {
		size = (bytes + writerExtent - 1) / writerExtent * writerExtent
	}
	return size
}
