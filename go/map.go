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

// Map is a range of a file, or memory without a file, as bytes. Its methods may be called from any
// goroutine at any time, also while another closes the map; only the slice that [Map.Bytes] returns
// wants care. Reads and writes of the same bytes at the same time are not ordered, as with a file.
//
// Where a method takes a range, it is any bytes of the map, not only whole pages. A length of
// [ToEnd] is from offset to the end of the map; a length of 0 is nothing, for which only the range
// is checked. A range that is not all in the map, or another negative number, is EINVAL, and so are
// bytes that were unmapped by [Map.Unmap]. After Close every error is os.ErrClosed. The methods of
// a nil *Map return os.ErrInvalid.
//
// A Map that nothing refers to any more is unmapped by the garbage collector some time later,
// unless [Map.Bytes] or [Map.Word] was called: then it stays mapped for good. Call Close. A Map
// must not be copied.
type Map struct {
	// Held for reading by whoever touches handle or data, for writing by what needs the map alone.
	// The deferred unlock also keeps the Map from being collected meanwhile.
	mu     sync.RWMutex
	handle unsafe.Pointer // nil when closed
	data   []byte
	// Where data begins in the file.
	offset int64
	// True if ReadAt and WriteAt go through C, which knows the parts that were unmapped.
	asksC bool
	// True with MapGuard.
	isGuarded bool
	// True if the map is guarded, and somebody can make the file behind it shorter.
	canShrink bool
	// True if stores do not reach the file, and what was stored stays when that becomes shorter.
	isPrivate bool
	// True if a store raises SIGSEGV.
	isForReading bool
	// True if the map is guarded, and the program has been given its memory.
	isShown atomic.Bool
	// True as long as data is memory of Go's, and there is no handle.
	isHeld atomic.Bool
	// True if that memory was given to the program.
	isGiven atomic.Bool
	// True after Share: its seal keeps a failed Seal from making the map writable again.
	isShared bool
	// How many need the mapping: an open Map, and each function that is being called by Guarded,
	// for which no lock is held.
	users atomic.Int32
}

var (
	_ io.ReaderAt = (*Map)(nil)
	_ io.WriterAt = (*Map)(nil)
	_ io.Closer   = (*Map)(nil)
)

// MapFile maps the file at path. With [MapWrite] the map keeps a descriptor of the file
// ([Map.File]), with [MapGuard] too; otherwise none stays open. A file of 0 bytes gives a Map of
// length 0. A FIFO, socket or device is refused without being opened, so nothing blocks.
//
// The bytes are the file's: a process that writes to it changes them.
//
// Warning: MapFile opens the file, and the descriptor is closed at the latest with the map. The
// kernel then drops all POSIX record locks that this process has on the file, fcntl(2). Use [MapFD]
// for a file that is locked so.
//
// Errors: EINVAL for options that are wrong or contradict each other; ENXIO if the range is not all
// in the file and [MapBeyondEOF] is not given; ENOENT, EACCES and others of open(2); EISDIR for a
// directory; ENODEV for anything else that is not a regular file, or whose content cannot be mapped
// (/proc); EFBIG and ENOSPC if the file cannot be grown; EPERM if the file is sealed against
// writing, or execution was asked for on a file system mounted noexec; ENOMEM, EMFILE and ENFILE.
// After a failure a file that was created is gone again, and one that was to grow has its old size.
func MapFile(path string, opts ...MapOption) (*Map, error) {
	return newMap(opts, func(o *mapOptions) (unsafe.Pointer, []byte, error) {
		if o.access == 0 {
			o.access = accessRead
		}
		return mapFile(path, o)
	})
}

// MapFD maps the regular file behind fd: a number (int), or a value with a SyscallConn method, such
// as an *os.File. It stays the caller's and may be closed afterwards. The file offset is not used
// and does not move. [MapWrite] needs a descriptor that was opened read-write, the others one that
// can be read.
//
// With [MapWrite] or [MapGuard] the map keeps a duplicate. Closing the map closes it, which drops
// this process's POSIX record locks on the file, fcntl(2).
//
// Errors are those of [MapFile], and EBADF if fd is not an open descriptor; EACCES if it was not
// opened for what is asked; EINVAL for [MapCreate] and [MapMode], and if fd is something else. For
// a closed file the error is os.ErrClosed.
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

// NewMap maps length bytes of memory without a file, zeros at first, that can be written. A length
// of 0 is an empty map, to be resized.
//
// The memory is shared, with a memory file behind it: [Map.File] gives its descriptor, which gives
// the memory to other processes, and [Map.Seal] makes it a sealed file as [WrapBuffer] does,
// without copying. With [MapPrivate] it is this process's own, and none of that.
//
// Memory of Go's cannot become a file: the garbage collector must be free to do with it what it
// likes. So where C adopts a buffer of the caller's, a Go program makes the buffer here from the
// start, and uses [Map.Bytes].
//
// With [MapPopulate] all of the memory is there before NewMap returns, in huge pages where that
// pays; otherwise each page comes when it is first touched. Besides, only [MapWrite] (the default),
// [MapReserve], [MapExecute], [MapMlock], [MapHugePages], [MapNoReserve], [MapGuard], [MapNoFork]
// and [MapWipeOnFork] make sense.
//
// Errors: EINVAL for a negative length, and for options that are for files or contradict each
// other; ENOMEM without memory, address space or reserved huge pages; EMFILE, ENFILE; EFBIG beyond
// RLIMIT_FSIZE, which counts for shared memory (without a SIGXFSZ); and memfd_create(2)'s own where
// it is refused.
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

// Bytes returns the mapped memory itself, nil after Close. Stores need [MapWrite], [MapPrivate] or
// memory.
//
// From then on the garbage collector does not unmap the Map: without Close the memory stays mapped,
// and the slice valid.
//
// The garbage collector does not know this memory. Each of the following ends the process, or is
// worse:
//   - use of the slice after Close;
//   - use of the slice after [Map.Resize], unless the map was made with [MapReserve] and has not
//     outgrown that: then the slice stays where it is, and shows what it showed, less what was cut
//     off;
//   - use of bytes that are no longer in the file, because somebody made it shorter (SIGBUS),
//     unless the map was made with [MapGuard]; and of those that [Map.Unmap] let go or
//     [Map.Protect] forbids (SIGSEGV);
//   - a store into a map for reading, or one that was sealed (SIGSEGV).
//
// [Map.ReadAt], [Map.WriteAt] and [Map.Guarded] have none of these dangers.
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

// Word returns the word of 4 bytes at offset off, which other goroutines and processes can change
// at the same time. As for the slice of [Map.Bytes], the collector does not unmap the Map from then
// on, and the word must not be used after Close, or after a Resize that moves the map.
//
// Errors: EACCES if the map is for reading; EINVAL if the word is not entirely in the map, or is
// not at a multiple of 4. After Close the error is os.ErrClosed.
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
		message := fmt.Sprintf("asked for 4 bytes at offset %d of a map of %d bytes", off,
			len(m.data))
		return nil, &Error{"word", syscall.EINVAL, message}
	}
	word := unsafe.Pointer(&m.data[off])
	if uintptr(word)%4 != 0 {
		message := fmt.Sprintf("the word at offset %d is not at a multiple of 4", off)
		return nil, &Error{"word", syscall.EINVAL, message}
	}
	if m.isForReading {
		return nil, &Error{"word", syscall.EACCES, "the map is for reading"}
	}
	runtime.SetFinalizer(m, nil)
	m.show()
	return (*atomic.Uint32)(word), nil
}

// Check says whether all pages of a map with [MapGuard] are what they were: EIO from the moment on
// in which a lost page was replaced by zeros. It is nil for other maps. After Close the error is
// os.ErrClosed.
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

// FileSize returns how many bytes the file behind the map has now. Maps that have a descriptor
// ([Map.File]) and those with [MapGuard] can tell.
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

// Resize makes the map, and what is behind it, length bytes long.
//
// Growing: the file grows too, unless it goes on behind the map, and its space is reserved as with
// [MapFileSize]. What is new reads zero, whatever was stored behind the old end before. Shrinking:
// the file is cut off at the new end, unless it goes on behind the map; other processes and other
// maps find SIGBUS there.
//
// The map stays where it is as long as its length is within the bytes of [MapReserve]. Otherwise it
// may move: what [Map.Bytes] gave before is invalid.
//
// Errors, with nothing changed: EINVAL if length is negative or more than a map or file can have,
// or no whole number of huge pages with [MapHugePages], or the map is not for writing, was sealed,
// or parts of it were unmapped; EFBIG and ENOSPC if the file cannot grow; EPERM if it is sealed
// against it; EIO if a map with [MapGuard] has lost pages, and is to grow; ENOMEM; EAGAIN beyond
// RLIMIT_MEMLOCK, for a locked map; EFAULT if it must move, and parts of it have another protection
// or treatment than the rest; EBUSY while a function that [Map.Guarded] calls has its bytes. After
// Close the error is os.ErrClosed.
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

// File returns a duplicate of the descriptor behind the map, read-write and close-on-exec, which
// the caller owns and closes: of the file that was mapped with [MapWrite], or of shared memory
// ([NewMap]) until it is sealed. Another process that is given it (exec.Cmd.ExtraFiles, or a Unix
// socket) has the memory too, with [MapFD].
//
// Errors: EBADF if the map has no descriptor; EMFILE. After Close the error is os.ErrClosed.
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

// Close unmaps. It waits for calls of other methods that have begun, but not for functions that
// [Map.Guarded] calls: they keep their bytes, and the last of them unmaps. It does not flush: the
// kernel writes shared changes back in its time. Closing again does nothing and returns nil.
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

// release ends a use of the mapping. The last one unmaps.
func (m *Map) release(handle unsafe.Pointer) error {
	if m.users.Add(-1) > 0 {
		return nil
	}
	if m.isShown.Load() {
		changeShown(handle, nil)
	}
	return mapClose(handle)
}

// alone calls change while nobody else uses the map.
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
		return &Error{op, syscall.EBUSY, "a function that Guarded calls has the bytes"}
	}
	return change()
}

// check refuses a closed map and a negative offset.
func (m *Map) check(op string, offset int64) error {
	if m.handle == nil && !m.isHeld.Load() {
		return isClosed(op, "the map is closed")
	}
	if offset < 0 {
		return &Error{op, syscall.EINVAL, fmt.Sprintf("offset %d is negative", offset)}
	}
	return nil
}
