package bytefd

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// Map is a range of a file, new memory or a System V segment, as bytes. Any goroutine may call the
// methods at any time, also while another goroutine closes the map. Only the slice of [Map.Bytes]
// and the word of [Map.Word] need care. Concurrent reads and writes of the same bytes are not
// ordered, as with a file.
//
// Methods that take a range accept any bytes of the map, not only whole pages. A length of [ToEnd]
// means from the offset to the end of the map. With a length of 0 only the range is checked;
// [Map.Unmap] returns EINVAL. A range that is not entirely in the map is EINVAL, and so is one with
// bytes that [Map.Unmap] has unmapped. A negative offset is EINVAL, and so is a negative length
// other than ToEnd. After Close every error is os.ErrClosed. On a nil *Map, the methods that return
// an error return os.ErrInvalid.
//
// The garbage collector unmaps a Map that nothing refers to any more, but late: call Close. After a
// call of [Map.Bytes] or [Map.Word] it does not: without Close the memory then stays mapped. A Map
// must not be copied.
type Map struct {
	// Held for reading by every call that uses handle or data, and for writing by a call that must
	// be the only one. The deferred unlock also keeps the Map from being collected meanwhile.
	mu     sync.RWMutex
	handle unsafe.Pointer // nil when closed
	data   []byte
	// The offset in the file at which data begins.
	offset int64
	// True if ReadAt and WriteAt must go through C, which knows the parts that were unmapped.
	asksC bool
	// True with MapGuard.
	isGuarded bool
	// True if the map is guarded, and another process can make the file shorter.
	canShrink bool
	// True if stores do not reach the file. What was stored then stays when the file becomes
	// shorter.
	isPrivate bool
	// True if WriteAt has stored in a private map.
	isStored atomic.Bool
	// True if a store raises SIGSEGV.
	isForReading bool
	// True if the map is guarded, and the program has its memory.
	isShown atomic.Bool
	// True while data is memory of Go and there is no handle.
	isHeld atomic.Bool
	// True if the program has that memory.
	isGiven atomic.Bool
	// True after Share: its seal keeps a failed Seal from making the map writable again.
	isShared bool
	// The number of users of the mapping: an open Map, and each call of Guarded, or of ReadFrom of
	// a MapWriter, which holds no lock.
	users atomic.Int32
}

var (
	_ io.ReaderAt = (*Map)(nil)
	_ io.WriterAt = (*Map)(nil)
	_ io.Closer   = (*Map)(nil)
)

// MapFile maps the file at path, by default all of it for reading. An empty file gives a Map of
// length 0. The bytes are those of the file: a process that writes to the file changes them.
//
// With [MapWrite] the map keeps a descriptor of the file, for [Map.File] and [Map.FileSize]; with
// [MapGuard] it keeps one for Map.FileSize. Otherwise no descriptor stays open. MapFile does not
// open a FIFO, socket or device, so it never blocks on one.
//
// Warning: MapFile opens the file, and the descriptor is closed with the map or earlier. The kernel
// then drops all POSIX record locks of this process on the file, fcntl(2). If the process holds
// such locks, use [MapFD] without MapWrite and MapGuard.
//
// Errors:
//   - EBUSY with [MapGuard] if other threads go on replacing the handler for SIGBUS.
//   - EFBIG or ENOSPC if the file cannot grow.
//   - EINVAL if options are invalid or contradict each other.
//   - EISDIR if path is a directory; ENODEV if it is a FIFO, socket or device.
//   - ENODEV if the content of the file cannot be mapped, as in /proc.
//   - ENXIO if the range is not entirely in the file, without [MapBeyondEOF].
//   - EPERM with [MapWrite] if the file is sealed against writing, and with [MapExecute] if its
//     file system is mounted noexec.
//   - EMFILE, ENFILE or ENOMEM if a limit is reached.
//   - ENOENT, EACCES and others of open(2).
//
// After an error a file that MapFile created is removed, and a file that it grew has its old size.
func MapFile(path string, opts ...MapOption) (*Map, error) {
	return newMap(opts, func(o *mapOptions) (unsafe.Pointer, []byte, error) {
		if o.access == 0 {
			o.access = accessRead
		}
		return mapFile(path, o)
	})
}

// MapFD maps the regular file behind fd, which is as for [Reopen]. MapFD does not close it, and the
// caller may close it afterwards. The file offset is not used and does not move. With [MapWrite] fd
// must be open for reading and writing, otherwise for reading.
//
// Warning: with MapWrite or [MapGuard] the map keeps a duplicate of fd. Closing the map closes the
// duplicate. The kernel then drops the POSIX record locks of this process on the file, fcntl(2).
//
// Errors are those of [MapFile], and:
//   - EACCES if fd is not open for what is asked.
//   - EBADF if fd is not an open descriptor.
//   - EINVAL with [MapCreate] or [MapMode], or if the Go type of fd is none of those that [Reopen]
//     lists.
//   - os.ErrClosed if the value is closed.
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

// NewMap maps length bytes of memory that is zero at first and can be written. A length of 0 gives
// an empty map, for [Map.Resize].
//
// The memory is shared, and a memory file is behind it. [Map.File] returns a file through which
// other processes can map the memory. [Map.Seal] makes the memory a sealed file, as [WrapBuffer]
// makes one, without a copy. With [MapPrivate] the memory has no file.
//
// Go's own memory cannot become a file, because the garbage collector must control it. To fill a
// buffer and seal it without a copy, make the buffer with NewMap and write to [Map.Bytes].
//
// With [MapPopulate] all pages exist before NewMap returns, as huge pages where that is faster.
// Otherwise each page comes on first access. The other allowed options are [MapWrite] (the
// default), [MapReserve], [MapExecute], [MapMlock], [MapHugePages], [MapNoReserve], [MapGuard],
// [MapNoFork] and [MapWipeOnFork].
//
// Errors:
//   - EBUSY with [MapGuard], as for [MapFile].
//   - EFBIG if shared memory exceeds RLIMIT_FSIZE. SIGXFSZ is not raised.
//   - EINVAL if length is negative, an option is for files, or options contradict each other.
//   - EMFILE, ENFILE or ENOMEM if a limit is reached, or too few huge pages are reserved.
//   - Others of memfd_create(2), if the host refuses it.
func NewMap(length int, opts ...MapOption) (*Map, error) {
	if length < 0 {
		return nil, isNegative("length", length)
	}
	m, err := newMap(opts, func(o *mapOptions) (unsafe.Pointer, []byte, error) {
		return mapMemory(length, o)
	})
	if err == nil && m.isPrivate {
		m.canShrink = false // it has no file
	}
	return m, err
}

func newMap(
	opts []MapOption, open func(*mapOptions) (unsafe.Pointer, []byte, error),
) (*Map, error) {
	o, err := newMapOptions(opts)
	if err != nil {
		return nil, err
	}
	handle, data, err := open(o)
	if err != nil {
		return nil, err
	}
	m := ownMap(handle, data)
	m.isGuarded = o.flags&mapGuard != 0
	m.offset = o.offset
	m.isPrivate = o.access == accessPrivate
	m.canShrink = m.isGuarded
	m.isForReading = o.access == accessRead
	return m, nil
}

// ownMap makes the Map of a new handle.
func ownMap(handle unsafe.Pointer, data []byte) *Map {
	m := &Map{handle: handle, data: data}
	m.users.Store(1)
	runtime.SetFinalizer(m, (*Map).Close)
	return m
}

// Len returns the number of bytes in the map. It returns 0 after Close.
func (m *Map) Len() int {
	if m == nil {
		return 0
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.data)
}

// Bytes returns the mapped memory itself. It returns nil after Close. Stores need [MapWrite],
// [MapPrivate], [NewMap] or [SysvWrite].
//
// After a call of Bytes the garbage collector does not unmap the Map: without Close the memory
// stays mapped, and the slice stays valid.
//
// Warning: the garbage collector does not know this memory. Each of the following raises the signal
// in brackets, which ends the process, or accesses other memory:
//   - use of the slice after Close (SIGSEGV or other memory);
//   - use of the slice after [Map.Resize] (SIGSEGV or other memory). A map with [MapReserve] that
//     stays within the reserve does not move: the slice then stays valid, except for bytes that
//     were cut off;
//   - use of bytes that are no longer in the file because another process truncated it (SIGBUS),
//     without [MapGuard];
//   - use of bytes that [Map.Unmap] has unmapped (SIGSEGV or other memory);
//   - use of bytes that [Map.Protect] forbids (SIGSEGV);
//   - a store into a map for reading, into a sealed map, or during [Map.Seal] (SIGSEGV).
//
// [Map.ReadAt] and [Map.WriteAt] have none of these dangers. [Map.Guarded] has one: bytes that were
// unmapped can be other memory.
func (m *Map) Bytes() []byte {
	if m == nil {
		return nil
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	m.isGiven.Store(true)
	runtime.SetFinalizer(m, nil)
	m.show()
	return m.data
}

// Word returns the 4 bytes at offset off as a word that goroutines and processes can change at the
// same time. As with [Map.Bytes], the garbage collector does not unmap the Map from then on. The
// word has the dangers of the slice of [Map.Bytes]: it must not be used after Close, or after a
// Resize that moves the map or cuts the word off, and the list there applies too. [FutexWait] takes
// it as (*uint32)(unsafe.Pointer(word)).
//
// Errors: EACCES if the map is for reading. EINVAL if the word is not entirely in the map, or its
// address is not a multiple of 4. After Close the error is os.ErrClosed.
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
		return nil, &Error{"word", syscall.EINVAL, outside(int64(off), 4, len(m.data))}
	}
	word := unsafe.Pointer(&m.data[off])
	if uintptr(word)%4 != 0 {
		message := fmt.Sprintf("the address of offset %d is not a multiple of 4", off)
		return nil, &Error{"word", syscall.EINVAL, message}
	}
	if m.isForReading {
		return nil, &Error{"word", syscall.EACCES, "the map is for reading only"}
	}
	runtime.SetFinalizer(m, nil)
	m.show()
	return (*atomic.Uint32)(word), nil
}

// Check returns EIO if a lost page of a map with [MapGuard] has been replaced by zeros. Otherwise,
// and for other maps, it returns nil. After Close the error is os.ErrClosed.
func (m *Map) Check() error {
	if m == nil {
		return isNil("map")
	}
	if err := m.needMapping(); err != nil {
		return err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.check("check", 0); err != nil {
		return err
	}
	return mapCheck(m.handle)
}

// FileSize returns the present size of the file behind the map. Only maps that keep a descriptor
// can tell: maps of files with [MapWrite] or [MapGuard], and the shared memory of [NewMap] until it
// is sealed.
//
// Errors: EBADF if the map keeps no descriptor. After Close the error is os.ErrClosed.
func (m *Map) FileSize() (int64, error) {
	if m == nil {
		return 0, isNil("map")
	}
	if err := m.needMapping(); err != nil {
		return 0, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.check("file size", 0); err != nil {
		return 0, err
	}
	return mapFileSize(m.handle)
}

// Resize changes the length of the map, and if need be of the file or memory behind it.
//
// To make the map longer, Resize also grows a file that ends before the new end, and reserves the
// space as [MapFileSize] does. The bytes that the file gains are zero, also where something was
// stored past its old end. A file that continues past the end of the map keeps its bytes, and the
// longer map shows them.
//
// To make the map shorter, Resize also cuts the file off at the new end. It does not cut a file
// that continues past the old end of the map. Other maps of a file that was cut raise SIGBUS at the
// lost bytes.
//
// The map does not move if neither length nor any earlier length exceeds [MapReserve]. Otherwise it
// may move, and a slice of [Map.Bytes] from before is then invalid.
//
// Errors, with nothing changed:
//   - EAGAIN if a locked map exceeds RLIMIT_MEMLOCK.
//   - EBUSY while a function that [Map.Guarded] called has the bytes.
//   - EFAULT if the map must move, and parts of it have another protection or advice than the rest.
//   - EFBIG or ENOSPC if the file cannot grow.
//   - EPERM if the file is sealed against the change, as after [Map.Share].
//   - EINVAL if length is negative, exceeds what a map or file can have, or is not a multiple of
//     the huge page size with [MapHugePages].
//   - EINVAL if the map is for reading, is sealed, is a private map of a file, or is a System V
//     segment.
//   - EINVAL if parts of the map were unmapped.
//   - EIO if a map with [MapGuard] has replaced lost pages and is to grow.
//   - ENOMEM if there is no memory or address space.
//
// After Close the error is os.ErrClosed.
func (m *Map) Resize(length int) error {
	return m.alone("resize", func() (err error) {
		if length < 0 {
			return isNegative("length", length)
		}
		m.data, err = mapResize(m.handle, m.data, length)
		if m.isShown.Load() {
			changeShown(m.handle, m.data)
		}
		return err
	})
}

// File returns a duplicate of the descriptor behind the map. Maps of files with [MapWrite] have
// one, and the shared memory of [NewMap] until it is sealed. The file is open for reading and
// writing, and close-on-exec. The caller owns and closes it. Another process that gets it
// (exec.Cmd.ExtraFiles, [Send]) can map the same bytes with [MapFD].
//
// Errors: EBADF for any other map. EMFILE if RLIMIT_NOFILE is reached. After Close the error is
// os.ErrClosed.
func (m *Map) File() (*os.File, error) {
	if m == nil {
		return nil, isNil("map")
	}
	if err := m.needMapping(); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.check("file", 0); err != nil {
		return nil, err
	}
	fd, err := mapDescriptor(m.handle)
	return newFile(fd, "bytefd", err)
}

// Close unmaps the map. It waits for calls of other methods that have begun. It does not wait for
// functions that [Map.Guarded] called: they keep the bytes, and the last one to return unmaps.
// Close does not flush; the kernel writes shared changes back later. A second Close does nothing
// and returns nil.
func (m *Map) Close() error {
	if m == nil {
		return isNil("map")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	handle := m.handle
	m.handle, m.data = nil, nil
	m.isHeld.Store(false)
	if handle == nil {
		return nil
	}
	runtime.SetFinalizer(m, nil)
	return m.release(handle)
}

// release ends one use of the mapping. The end of the last use unmaps.
func (m *Map) release(handle unsafe.Pointer) error {
	if m.users.Add(-1) > 0 {
		return nil
	}
	if m.isShown.Load() {
		changeShown(handle, nil)
	}
	return mapClose(handle)
}

// alone calls change while no other call uses the map.
func (m *Map) alone(op string, change func() error) error {
	if m == nil {
		return isNil("map")
	}
	if err := m.needMapping(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.check(op, 0); err != nil {
		return err
	}
	if m.users.Load() > 1 {
		return &Error{op, syscall.EBUSY,
			"the bytes are in use by Guarded, or by ReadFrom of a MapWriter"}
	}
	return change()
}

// check refuses a closed map and a negative offset.
func (m *Map) check(op string, offset int64) error {
	if m.handle == nil && !m.isHeld.Load() {
		return isClosed(op, "the map is closed")
	}
	if offset < 0 {
		return &Error{op, syscall.EINVAL, fmt.Sprintf("offset is %d, must not be negative", offset)}
	}
	return nil
}

// outside returns the message about a range that is not entirely in a map of size bytes.
func outside(offset int64, length, size int) string {
	const format = "asked for bytes %d..%d of a map of %d bytes"
	return fmt.Sprintf(format, offset, uint64(offset)+uint64(length), size)
}
