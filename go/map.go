package bytefd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// Map is a range of a file, or memory without a file, as bytes. Its methods may be called from any goroutine at any
// time, also while another closes the map; only the slice that [Map.Bytes] returns wants care. Reads and writes of the
// same bytes at the same time are not ordered, as with a file.
//
// Where a method takes a range, it is any bytes of the map, not only whole pages. A length of [ToEnd] is from offset to
// the end of the map; a length of 0 is nothing, for which only the range is checked. A range that is not all in the map,
// or another negative number, is EINVAL, and so are bytes that were unmapped by [Map.Unmap]. After Close every error is
// os.ErrClosed. The methods of a nil *Map return os.ErrInvalid.
//
// A Map that nothing refers to any more is unmapped by the garbage collector some time later, unless [Map.Bytes] or
// [Map.Word] was called: then it stays mapped for good. Call Close. A Map must not be copied.
type Map struct {
	// Held for reading by whoever touches handle or data, for writing by what needs the map alone. The deferred unlock
	// also keeps the Map from being collected meanwhile.
	mu     sync.RWMutex
	handle unsafe.Pointer // nil when closed
	data   []byte
	// True if ReadAt and WriteAt go through C: it knows the present length of a guarded map's file,
	// and which parts were unmapped.
	asksC bool
	// True if a store raises SIGSEGV.
	isForReading bool
	// True after Share: its seal keeps a failed Seal from making the map writable again.
	isShared bool
	// How many need the mapping: an open Map, and each function that is being called by Guarded, for which no lock is
	// held.
	users atomic.Int32
}

var (
	_ io.ReaderAt = (*Map)(nil)
	_ io.WriterAt = (*Map)(nil)
	_ io.Closer   = (*Map)(nil)
)

// MapFile maps the file at path. With [MapWrite] the map keeps a descriptor of the file ([Map.File]), with [MapGuard]
// too; otherwise none stays open. A file of 0 bytes gives a Map of length 0. A FIFO, socket or device is refused without being opened, so
// nothing blocks.
//
// The bytes are the file's: a process that writes to it changes them.
//
// Warning: MapFile opens the file, and the descriptor is closed at the latest with the map. The kernel then drops all
// POSIX record locks that this process has on the file, fcntl(2). Use [MapFD] for a file that is locked so.
//
// Errors: EINVAL for options that are wrong or contradict each other; ENXIO if the range is not all in the file and
// [MapBeyondEOF] is not given; ENOENT, EACCES and others of open(2); EISDIR for a directory; ENODEV for anything else
// that is not a regular file, or whose content cannot be mapped (/proc); EFBIG and ENOSPC if the file cannot be grown;
// EPERM if the file is sealed against writing, or execution was asked for on a file system mounted noexec; ENOMEM,
// EMFILE and ENFILE. After a failure a file that was created is gone again, and one that was to grow has its old size.
func MapFile(path string, opts ...MapOption) (*Map, error) {
	return newMap(opts, func(o *mapOptions) (unsafe.Pointer, []byte, error) {
		if o.access == 0 {
			o.access = accessRead
		}
		return mapFile(path, o)
	})
}

// MapFD maps the regular file behind fd: a number (int), or a value with a SyscallConn method, such as an *os.File. It
// stays the caller's and may be closed afterwards. The file offset is not used and does not move. [MapWrite] needs a
// descriptor that was opened read-write, the others one that can be read.
//
// With [MapWrite] or [MapGuard] the map keeps a duplicate. Closing the map closes it, which drops this process's POSIX
// record locks on the file, fcntl(2).
//
// Errors are those of [MapFile], and EBADF if fd is not an open descriptor; EACCES if it was not opened for what is
// asked; EINVAL for [MapCreate] and [MapMode], and if fd is something else. For a closed file the error is os.ErrClosed.
func MapFD(fd any, opts ...MapOption) (*Map, error) {
	return newMap(opts, func(o *mapOptions) (handle unsafe.Pointer, data []byte, err error) {
		if o.access == 0 {
			o.access = accessRead
		}
		err = withNumber(fd, func(number int) (err error) {
			handle, data, err = mapFD(number, o)
			return err
		})
		return handle, data, err
	})
}

// withNumber calls f with the number of a descriptor, which stays open meanwhile.
func withNumber(fd any, f func(number int) error) error {
	switch fd := fd.(type) {
	case int:
		return f(fd)
	case syscall.Conn:
		if isNilPointer(fd) {
			return isNil("fd")
		}
		conn, err := fd.SyscallConn()
		if err != nil {
			return err
		}
		var failure error
		if err := conn.Control(func(number uintptr) { failure = f(int(number)) }); err != nil {
			return isClosed("fd", "it is closed: "+err.Error())
		}
		return failure
	}
	return &Error{"fd", syscall.EINVAL, fmt.Sprintf("%T is neither a number nor has it a SyscallConn", fd)}
}

func isNilPointer(value any) bool {
	v := reflect.ValueOf(value)
	return v.Kind() == reflect.Pointer && v.IsNil()
}

// NewMap maps length bytes of memory without a file, zeros at first, that can be written. A length of 0 is an empty
// map, to be resized.
//
// The memory is shared, with a memory file behind it: [Map.File] gives its descriptor, which gives the memory to other
// processes, and [Map.Seal] makes it a sealed file as [WrapBuffer] does, without copying. With [MapPrivate] it is this
// process's own, and none of that.
//
// Memory of Go's cannot become a file: the garbage collector must be free to do with it what it likes. So where C
// adopts a buffer of the caller's, a Go program makes the buffer here from the start, and uses [Map.Bytes].
//
// With [MapPopulate] all of the memory is there before NewMap returns, in huge pages where that pays; otherwise each
// page comes when it is first touched. Besides, only [MapWrite] (the default), [MapReserve], [MapExecute], [MapMlock],
// [MapHugePages], [MapNoReserve], [MapGuard], [MapNoFork] and [MapWipeOnFork] make sense.
//
// Errors: EINVAL for a negative length, and for options that are for files or contradict each other; ENOMEM without
// memory, address space or reserved huge pages; EMFILE, ENFILE; EFBIG beyond RLIMIT_FSIZE, which counts for shared
// memory (without a SIGXFSZ); and memfd_create(2)'s own where it is refused.
func NewMap(length int, opts ...MapOption) (*Map, error) {
	if length < 0 {
		return nil, isNegative("length", length)
	}
	return newMap(opts, func(o *mapOptions) (unsafe.Pointer, []byte, error) { return mapMemory(length, o) })
}

func newMap(opts []MapOption, open func(*mapOptions) (unsafe.Pointer, []byte, error)) (*Map, error) {
	o, err := newMapOptions(opts)
	if err != nil {
		return nil, err
	}
	handle, data, err := open(o)
	if err != nil {
		return nil, err
	}
	m := ownMap(handle, data)
	m.asksC = o.flags&mapGuard != 0
	m.isForReading = o.access == accessRead
	return m, nil
}

// ownMap is the Map of a new handle.
func ownMap(handle unsafe.Pointer, data []byte) *Map {
	m := &Map{handle: handle, data: data}
	m.users.Store(1)
	runtime.SetFinalizer(m, (*Map).Close)
	return m
}

// Len returns the number of bytes in the map, 0 after Close.
func (m *Map) Len() int {
	if m == nil {
		return 0
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.data)
}

// Bytes returns the mapped memory itself, nil after Close. Stores need [MapWrite], [MapPrivate] or memory.
//
// From then on the garbage collector does not unmap the Map: without Close the memory stays mapped, and the slice valid.
//
// The garbage collector does not know this memory. Each of the following ends the process, or is worse:
//   - use of the slice after Close;
//   - use of the slice after [Map.Resize], unless the map was made with [MapReserve] and has not outgrown that: then
//     the slice stays where it is, and shows what it showed, less what was cut off;
//   - use of bytes that are no longer in the file, because somebody made it shorter (SIGBUS), unless the map was made
//     with [MapGuard]; and of those that [Map.Unmap] let go or [Map.Protect] forbids (SIGSEGV);
//   - a store into a map for reading, or one that was sealed (SIGSEGV).
//
// [Map.ReadAt], [Map.WriteAt] and [Map.Guarded] have none of these dangers.
func (m *Map) Bytes() []byte {
	if m == nil {
		return nil
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	runtime.SetFinalizer(m, nil)
	return m.data
}

// Word returns the word of 4 bytes at offset off, which other goroutines and processes can change at the same time. As
// for the slice of [Map.Bytes], the collector does not unmap the Map from then on, and the word must not be used after
// Close, or after a Resize that moves the map.
//
// Errors: EACCES if the map is for reading; EINVAL if the word is not entirely in the map, or is not at a multiple of 4.
// After Close the error is os.ErrClosed.
func (m *Map) Word(off int) (*atomic.Uint32, error) {
	if m == nil {
		return nil, isNil("map")
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.check("word", int64(off)); err != nil {
		return nil, err
	}
	if off > len(m.data)-4 {
		message := fmt.Sprintf("asked for 4 bytes at offset %d of a map of %d bytes", off, len(m.data))
		return nil, &Error{"word", syscall.EINVAL, message}
	}
	word := unsafe.Pointer(&m.data[off])
	if uintptr(word)%4 != 0 {
		return nil, &Error{"word", syscall.EINVAL, fmt.Sprintf("the word at offset %d is not at a multiple of 4", off)}
	}
	if m.isForReading {
		return nil, &Error{"word", syscall.EACCES, "the map is for reading"}
	}
	runtime.SetFinalizer(m, nil)
	return (*atomic.Uint32)(word), nil
}

// ReadAt copies bytes from offset off of the map to p, as io.ReaderAt says: io.EOF if there are fewer than len(p).
//
// A map with [MapGuard] ends where its file ends now; in other maps the rest of the file's last page reads zero.
//
// Errors: EINVAL if off is negative. EIO if the bytes are in the map but not in the file, because another process made
// it shorter, or if they could not be read from storage, or [Map.Protect] forbids it: then the bytes before are in p,
// and n counts them. EFAULT if p is the memory of a map and lost itself (with [MapGuard] that ends the process). After
// Close the error is os.ErrClosed.
func (m *Map) ReadAt(p []byte, off int64) (n int, err error) {
	if m == nil {
		return 0, isNil("map")
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.check("read", off); err != nil {
		return 0, err
	}
	off = min(off, int64(len(m.data)))
	there := p[:min(int64(len(p)), int64(len(m.data))-off)]
	if !m.asksC && copied(there, m.data[off:]) {
		n = len(there)
	} else {
		n, err = mapRead(m.handle, int(off), there)
	}
	switch {
	case err != nil:
		return n, err
	case n < len(there):
		message := fmt.Sprintf("byte %d of the map cannot be read: "+
			"the file is shorter now, its storage fails, or the page is protected", off+int64(n))
		return n, &Error{"read", syscall.EIO, message}
	case n < len(p):
		return n, io.EOF
	}
	return n, nil
}

// WriteAt copies p to offset off of the map, as io.WriterAt says. It does not make the file larger, as [Map.Resize]
// does: unless all of p lies in the map the error is ENXIO, and nothing is written.
//
// Errors: EINVAL if off is negative. EACCES if the map is for reading. EIO if the bytes are in the map but not in the
// file, because somebody made it shorter, or if there is no room for them on storage ([MapNoReserve]), or
// [Map.Protect] forbids it: then the bytes before are written, and n counts them. EFAULT if p is the memory of a map
// and lost itself (with [MapGuard] that ends the process). After Close the error is os.ErrClosed.
func (m *Map) WriteAt(p []byte, off int64) (n int, err error) {
	if m == nil {
		return 0, isNil("map")
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.check("write", off); err != nil {
		return 0, err
	}
	if off > int64(len(m.data)-len(p)) {
		message := fmt.Sprintf("asked to write %d bytes at offset %d of a map of %d bytes", len(p), off, len(m.data))
		return 0, &Error{"write", syscall.ENXIO, message}
	}
	if !m.asksC && !m.isForReading && copied(m.data[off:], p) {
		return len(p), nil
	}
	n, err = mapWrite(m.handle, int(off), p)
	if err == nil && n < len(p) {
		const format = "byte %d of the map cannot be written: " +
			"the file is shorter now, its storage is full or fails, or the page is protected"
		return n, &Error{"write", syscall.EIO, fmt.Sprintf(format, off+int64(n))}
	}
	return n, err
}

// Check says whether all pages of a map with [MapGuard] are what they were: EIO from the moment on in which a lost
// page was replaced by zeros. It is nil for other maps. After Close the error is os.ErrClosed.
func (m *Map) Check() error {
	if m == nil {
		return isNil("map")
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.check("check", 0); err != nil {
		return err
	}
	return mapCheck(m.handle)
}

// FileSize returns how many bytes the file behind the map has now. Maps that have a descriptor ([Map.File]) and those with
// [MapGuard] can tell.
//
// Errors: EBADF if the map keeps no descriptor. After Close the error is os.ErrClosed.
func (m *Map) FileSize() (int64, error) {
	if m == nil {
		return 0, isNil("map")
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.check("file size", 0); err != nil {
		return 0, err
	}
	return mapFileSize(m.handle)
}

// Resize makes the map, and what is behind it, length bytes long.
//
// Growing: the file grows too, unless it goes on behind the map, and its space is reserved as with [MapFileSize]. What
// is new reads zero, whatever was stored behind the old end before. Shrinking: the file is cut off at the new end,
// unless it goes on behind the map; other processes and other maps find SIGBUS there.
//
// The map stays where it is as long as its length is within the bytes of [MapReserve]. Otherwise it may move: what
// [Map.Bytes] gave before is invalid.
//
// Errors, with nothing changed: EINVAL if length is negative or more than a map or file can have, or no whole number
// of huge pages with [MapHugePages], or the map is not for writing, was sealed, or parts of it were unmapped; EFBIG
// and ENOSPC if the file cannot grow; EPERM if it is sealed against it; EIO if a map with [MapGuard] has lost pages,
// and is to grow; ENOMEM; EAGAIN beyond RLIMIT_MEMLOCK, for a locked map; EFAULT if it must move, and parts of it have
// another protection or treatment than the rest; EBUSY while a function that [Map.Guarded] calls has its bytes. After
// Close the error is os.ErrClosed.
func (m *Map) Resize(length int) error {
	return m.alone("resize", func() (err error) {
		if length < 0 {
			return isNegative("length", length)
		}
		m.data, err = mapResize(m.handle, m.data, length)
		return err
	})
}

// Unmap unmaps every page that lies entirely within a range, munmap(2). Access there through a slice raises SIGSEGV from
// now on, or finds other memory of the process; the methods of Map answer EINVAL. The map keeps its length, but can no
// longer be resized or sealed.
//
// Errors: EINVAL for the range, and for a length of 0; munmap(2)'s own; EBUSY while a function that [Map.Guarded] calls has the bytes. After
// Close the error is os.ErrClosed.
func (m *Map) Unmap(offset, length int) error {
	return m.alone("unmap", func() error {
		m.asksC = true
		return m.inRange("unmap", offset, length, mapUnmap)
	})
}

// SealOption changes how [Map.Seal] and [MapWriter.Seal] wait.
type SealOption func(*sealOptions)

type sealOptions struct{ timeout time.Duration }

// sealPatience is how long sealing waits by default.
const sealPatience = 100 * time.Millisecond

// SealTimeout sets how long Seal waits for a process that has the memory mapped for writing: 0 does not wait, a negative
// duration sets no limit. The default is 100 ms.
func SealTimeout(timeout time.Duration) SealOption {
	return func(o *sealOptions) { o.timeout = timeout }
}

// Seal seals shared memory ([NewMap]) without copying and returns a file as [WrapBuffer] does: of exactly the map's
// length, at offset 0, mode 0400 (0500 with [MapExecute]), close-on-exec. The caller owns the file and closes it. The
// map stays, at the same address and for reading only; its bytes can never change.
//
// A child that this process is just starting has the memory mapped for writing for a moment. Seal waits for it; see
// [SealTimeout].
//
// Errors, with the map as it was: EINVAL if it is not shared memory, is sealed already, or parts of it were unmapped;
// ETIMEDOUT, which is os.ErrDeadlineExceeded, if another process still has it mapped for writing, or the kernel uses
// pages of it (io_uring, direct I/O): EBUSY with a timeout of 0; EBUSY while a function that [Map.Guarded] calls has the
// bytes; EPERM if another process has sealed it against seals; EIO if a map with [MapGuard] has lost pages; ENOMEM,
// EMFILE and ENFILE. After Close the error is os.ErrClosed.
func (m *Map) Seal(opts ...SealOption) (*os.File, error) {
	o := sealOptions{sealPatience}
	for _, set := range opts {
		set(&o)
	}
	fd := 0
	err := m.alone("seal", func() (err error) {
		fd, err = mapSeal(m.handle, max(o.timeout.Nanoseconds(), -1))
		m.isForReading = m.isForReading || err == nil || m.isShared
		return err
	})
	return newFile(fd, "bytefd", asTimeout(err))
}

// asTimeout makes an ETIMEDOUT os.ErrDeadlineExceeded too.
func asTimeout(err error) error {
	if errors.Is(err, syscall.ETIMEDOUT) {
		return fmt.Errorf("%w (%w)", err, os.ErrDeadlineExceeded)
	}
	return err
}

// Share returns a read-only file of shared memory ([NewMap]) for other processes, while this map goes on writing; they
// see every store. The caller owns the file and closes it. It is close-on-exec and has an offset of its own.
//
// The memory gets mode 0400 and the seals F_SEAL_SHRINK, F_SEAL_GROW and F_SEAL_FUTURE_WRITE (Linux 5.1): it can be
// written only through maps that exist already. [Map.Resize], and [Map.Discard] with MADV_REMOVE, are EPERM from then on.
// [Map.Seal] still works, but another process of the same user can prevent that, and a failure leaves the map for
// reading only.
//
// Errors: EINVAL if the map is not shared memory or is sealed, or the kernel does not know F_SEAL_FUTURE_WRITE; EPERM if
// another process has sealed it against seals; EIO if another process made it shorter; ENOENT where /proc is not
// mounted; EMFILE, ENFILE. After Close the error is os.ErrClosed.
func (m *Map) Share() (*os.File, error) {
	fd := 0
	err := m.alone("share", func() (err error) {
		fd, err = mapShare(m.handle)
		m.isShared = m.isShared || err == nil
		return err
	})
	return newFile(fd, "bytefd", err)
}

// File returns a duplicate of the descriptor behind the map, read-write and close-on-exec, which the caller owns and
// closes: of the file that was mapped with [MapWrite], or of shared memory ([NewMap]) until it is sealed. Another
// process that is given it (exec.Cmd.ExtraFiles, or a Unix socket) has the memory too, with [MapFD].
//
// Errors: EBADF if the map has no descriptor; EMFILE. After Close the error is os.ErrClosed.
func (m *Map) File() (*os.File, error) {
	if m == nil {
		return nil, isNil("map")
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.check("file", 0); err != nil {
		return nil, err
	}
	fd, err := mapDescriptor(m.handle)
	return newFile(fd, "bytefd", err)
}

// Close unmaps. It waits for calls of other methods that have begun, but not for functions that [Map.Guarded] calls:
// they keep their bytes, and the last of them unmaps. It does not flush: the kernel writes shared changes back in its
// time. Closing again does nothing and returns nil.
func (m *Map) Close() error {
	if m == nil {
		return isNil("map")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.handle == nil {
		return nil
	}
	handle := m.handle
	m.handle, m.data = nil, nil
	runtime.SetFinalizer(m, nil)
	return m.release(handle)
}

// release ends a use of the mapping. The last one unmaps.
func (m *Map) release(handle unsafe.Pointer) error {
	if m.users.Add(-1) > 0 {
		return nil
	}
	return mapClose(handle)
}

// alone calls change while nobody else uses the map.
func (m *Map) alone(op string, change func() error) error {
	if m == nil {
		return isNil("map")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.check(op, 0); err != nil {
		return err
	}
	if m.users.Load() > 1 {
		return &Error{op, syscall.EBUSY, "a function that Guarded calls has the bytes"}
	}
	return change()
}

// check refuses a closed map and a negative offset.
func (m *Map) check(op string, offset int64) error {
	if m.handle == nil {
		return isClosed(op, "the map is closed")
	}
	if offset < 0 {
		return &Error{op, syscall.EINVAL, fmt.Sprintf("offset %d is negative", offset)}
	}
	return nil
}
