package bytefd

import (
	"fmt"
	"io"
	"runtime"
	"sync"
	"syscall"
	"unsafe"
)

// Map is a range of a file in memory. Its methods may be called from any goroutine at any time, also while another
// closes the map; only the slice that [Map.Bytes] returns wants care. Reads and writes of the same bytes at the same
// time are not ordered, as with a file.
//
// A Map that nothing refers to any more is unmapped by the garbage collector some time later. That is for accidents:
// call Close. A Map must not be copied.
type Map struct {
	// Held for reading by whoever touches handle or data, for writing by Close. The deferred unlock also keeps the Map
	// from being collected meanwhile.
	mu     sync.RWMutex
	handle unsafe.Pointer // nil when closed
	data   []byte
	access uint32
}

var (
	_ io.ReaderAt = (*Map)(nil)
	_ io.WriterAt = (*Map)(nil)
	_ io.Closer   = (*Map)(nil)
)

// MapFile maps the file at path. No descriptor stays open. A file of 0 bytes gives a Map of length 0. A FIFO, socket or
// device is refused without being opened, so nothing blocks.
//
// The bytes are the file's: others who write to it change them.
//
// Errors: EINVAL for options that are wrong or contradict each other; ENXIO if the range is not all in the file and
// [MapBeyondEOF] is not given; ENOENT, EACCES and others of open(2); EISDIR for a directory; ENODEV for anything else
// that is not a regular file, or whose content cannot be mapped (/proc); EFBIG and ENOSPC if the file cannot be grown;
// EPERM if the file is sealed against writing, or execution was asked for on a file system mounted noexec; ENOMEM,
// EMFILE and ENFILE. After a failure a file that was created is gone again, and one that was to grow has its old size.
func MapFile(path string, opts ...MapOption) (*Map, error) {
	o, err := newMapOptions(opts)
	if err != nil {
		return nil, err
	}
	handle, data, err := mapFile(path, o)
	if err != nil {
		return nil, err
	}
	m := &Map{handle: handle, data: data, access: o.access}
	runtime.SetFinalizer(m, (*Map).Close)
	return m, nil
}

// Len returns the number of bytes in the map, 0 after Close.
func (m *Map) Len() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.data)
}

// Bytes returns the mapped memory itself, nil after Close. Stores need [MapWrite] or [MapPrivate].
//
// This is memory that the garbage collector knows nothing about, and each of these ends the process, or worse:
//   - use of the slice after Close, or after the Map itself has been collected: end with runtime.KeepAlive(m), or
//     simply with m.Close();
//   - use of bytes that are no longer in the file, because somebody made it shorter (SIGBUS);
//   - a store into a map for reading (SIGSEGV).
//
// [Map.ReadAt] and [Map.WriteAt] have none of these dangers.
func (m *Map) Bytes() []byte {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.data
}

// ReadAt copies bytes from offset off of the map to p, as io.ReaderAt says: io.EOF if there are fewer than len(p).
//
// Errors: EINVAL if off is negative. EIO if the bytes are in the map but not in the file, because somebody made it
// shorter, or if they could not be read from storage: then the bytes before are in p, and n counts them. After Close
// the error is os.ErrClosed.
func (m *Map) ReadAt(p []byte, off int64) (n int, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.check("read", off); err != nil {
		return 0, err
	}
	from := m.data[min(off, int64(len(m.data))):]
	n, ok := copyMapped(p, from, from)
	switch {
	case !ok:
		message := fmt.Sprintf("byte %d of the map cannot be read: is the file shorter now?", off+int64(n))
		return n, &Error{"read", syscall.EIO, message}
	case n < len(p):
		return n, io.EOF
	}
	return n, nil
}

// WriteAt copies p to offset off of the map, as io.WriterAt says. It does not make the file larger: unless all of p lies
// in the map the error is ENXIO, and nothing is written.
//
// Errors: EINVAL if off is negative. EACCES if the map is for reading. EIO if the bytes are in the map but not in the
// file, because somebody made it shorter, or if there is no room for them on storage ([MapNoReserve]): then the bytes
// before are written, and n counts them. After Close the error is os.ErrClosed.
func (m *Map) WriteAt(p []byte, off int64) (n int, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.check("write", off); err != nil {
		return 0, err
	}
	if m.access == accessRead {
		return 0, &Error{"write", syscall.EACCES, "the map is for reading; MapWrite or MapPrivate makes one for writing"}
	}
	if off > int64(len(m.data)-len(p)) {
		message := fmt.Sprintf("asked to write %d bytes at offset %d of a map of %d bytes", len(p), off, len(m.data))
		return 0, &Error{"write", syscall.ENXIO, message}
	}
	to := m.data[off:]
	n, ok := copyMapped(to, p, to)
	if !ok {
		const format = "byte %d of the map cannot be written: is the file shorter now, or the disk full?"
		return n, &Error{"write", syscall.EIO, fmt.Sprintf(format, off+int64(n))}
	}
	return n, nil
}

// FlushMode is how [Map.Flush] writes back.
type FlushMode uint32

// The ways of flushing, with the values of include/bytefd.h.
const (
	// FlushSync returns when the bytes are on the storage, MS_SYNC.
	FlushSync FlushMode = iota
	// FlushAsync schedules the writing and returns, MS_ASYNC. (On Linux a shared map is written back in time anyway.)
	FlushAsync
)

// Flush writes changed bytes back to the file: any range of the map, not only whole pages. A length of 0 is from offset
// to the end of the map.
//
// Errors: EINVAL if the range is not all in the map, how is unknown, or the map is private, whose stores never reach the
// file; EIO if writing failed. After Close the error is os.ErrClosed.
func (m *Map) Flush(offset, length int, how FlushMode) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.check("flush", int64(offset)); err != nil {
		return err
	}
	if length < 0 {
		return &Error{"flush", syscall.EINVAL, fmt.Sprintf("length %d is negative", length)}
	}
	return mapFlush(m.handle, offset, length, how)
}

// Close unmaps. It waits for calls of other methods that have begun. It does not flush: the kernel writes shared changes
// back in its time. Closing again does nothing and returns nil.
func (m *Map) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.handle == nil {
		return nil
	}
	handle := m.handle
	m.handle, m.data = nil, nil
	runtime.SetFinalizer(m, nil)
	return mapClose(handle)
}

// check refuses a closed map and a negative offset.
func (m *Map) check(op string, offset int64) error {
	if m.handle == nil {
		return &Error{op, syscall.EBADF, "the map is closed"}
	}
	if offset < 0 {
		return &Error{op, syscall.EINVAL, fmt.Sprintf("offset %d is negative", offset)}
	}
	return nil
}
