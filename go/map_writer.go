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
	// What was written, and room for more, as long as it is little: a file of that many bytes is
	// written faster than memory becomes one.
	small []byte
	// Memory that becomes the file, when it is more.
	m       *Map
	written int
	isOpen  bool
	// A reader has the rest of small.
	isReading bool
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
	// The most that is collected in memory of Go's.
	writerSmall = 64 << 10
	// A huge page.
	writerExtent = 2 << 20
	// Room for a reader.
	writerMinRead = 512
)

// NewMapWriter returns an empty MapWriter. Errors are those of [NewMap].
func NewMapWriter() (*MapWriter, error) {
	if err := unavailable(); err != nil {
		return nil, err
	}
	return &MapWriter{isOpen: true}, nil
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
	spare, err := w.spare(len(p))
	if err != nil {
		return 0, err
	}
	if w.m == nil {
		if !isShown(p) && isCopied(spare, p) {
			w.written += len(p)
			return len(p), nil
		}
		// A map can say what is missing.
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
	if _, err := w.spare(0); err != nil {
		return 0, err
	}
	for {
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
	switch size := w.size(); {
	case size == 0:
		if _, err := w.spare(writerMinRead); err != nil {
			return 0, err
		}
	case size == w.written:
		// There may be nothing more, and then there is no need for more memory.
		piece := make([]byte, writerMinRead)
		n, err := readInto(r, piece)
		if !w.isOpen {
			return 0, errWriterClosed
		}
		if _, failure := w.Write(piece[:n]); failure != nil {
			return 0, failure
		}
		return n, err
	}
	if m := w.m; m != nil {
		handle, b, failure := m.lend("write")
		if failure != nil {
			return 0, failure
		}
		defer m.release(handle) // so that a reader that closes the writer still has the memory
		n, err = readInto(r, b[w.written:])
	} else {
		w.isReading = true
		defer func() { w.isReading = false }()
		n, err = readInto(r, w.small[w.written:])
	}
	if !w.isOpen {
		return 0, errWriterClosed
	}
	w.written += n
	return n, err
}

// readInto looks at what a reader says.
func readInto(r io.Reader, b []byte) (n int, err error) {
	n, err = r.Read(b)
	if n < 0 || n > len(b) {
		message := fmt.Sprintf("the reader says that it has read %d bytes into %d", n, len(b))
		return 0, &Error{"read", syscall.EINVAL, message}
	}
	return n, err
}

// Seal returns a sealed file of what has been written, as [Map.Seal] makes it, and the map of it,
// for reading. The caller owns and closes both. The MapWriter is closed then.
//
// Errors are those of [Map.Seal], with everything as it was. A second call is os.ErrClosed.
func (w *MapWriter) Seal(opts ...SealOption) (*os.File, *Map, error) {
	if _, err := w.spare(0); err != nil {
		return nil, nil, err
	}
	f, m, err := w.seal(opts)
	if err != nil {
		return nil, nil, err
	}
	*w = MapWriter{}
	return f, m, nil
}

func (w *MapWriter) seal(opts []SealOption) (*os.File, *Map, error) {
	if w.isReading {
		return nil, nil, &Error{"seal", syscall.EBUSY, "a reader has the memory"}
	}
	if w.m == nil {
		content := w.small[:w.written:w.written]
		o := newWrapOptions(nil)
		o.backend = BackendMemfd
		fd, err := wrap(content, o)
		f, err := newFile(fd, o.fileName(), err)
		return f, holdMap(content), err
	}
	if err := w.m.Resize(w.written); err != nil {
		return nil, nil, err
	}
	f, err := w.m.Seal(opts...)
	return f, w.m, err
}

// Close drops what has been written. After Seal, and a second time, it does nothing and returns
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

var errWriterClosed = isClosed("writer", "the writer is sealed or closed")

// size is how many bytes there is room for without more memory.
func (w *MapWriter) size() int {
	if w.m != nil {
		return w.m.Len()
	}
	return len(w.small)
}

// spare returns the memory behind what has been written, of at least so many bytes.
func (w *MapWriter) spare(room int) ([]byte, error) {
	if w == nil {
		return nil, isNil("writer")
	}
	if !w.isOpen {
		return nil, errWriterClosed
	}
	needed := w.written + room
	switch {
	case needed <= w.size():
	case w.m != nil:
		if err := w.m.Resize(sizeFor(needed)); err != nil {
			return nil, err
		}
	case needed <= writerSmall:
		larger := make([]byte, min(max(8*len(w.small), needed, 2<<10), writerSmall))
		copy(larger, w.small[:w.written])
		w.small = larger
	default:
		if err := w.move(room); err != nil {
			return nil, err
		}
	}
	if w.m != nil {
		return w.m.data[w.written:], nil
	}
	return w.small[w.written:], nil
}

// move moves what has been written to memory that becomes the file, with room for more.
func (w *MapWriter) move(room int) error {
	m, err := NewMap(0, MapPopulate(), MapReserve(writerReserve))
	if err != nil {
		// RLIMIT_AS may forbid so much; then it moves when it must.
		m, err = NewMap(0, MapPopulate())
	}
	if err != nil {
		return err
	}
	if err := m.Resize(sizeFor(w.written + room)); err != nil {
		m.Close()
		return err
	}
	copy(m.data, w.small[:w.written])
	w.m, w.small = m, nil
	return nil
}

// sizeFor is how large the memory is made for so many bytes: twice as large each time, then whole
// huge pages.
func sizeFor(bytes int) int {
	size := writerSmall
	for size < bytes && size < writerExtent {
		size *= 2
	}
	if size < bytes {
		size = (bytes + writerExtent - 1) / writerExtent * writerExtent
	}
	return size
}
