//go:build !cgo

package bytefd

import (
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pureMap is what the handle of a map points to.
type pureMap struct {
	base   unsafe.Pointer
	length uintptr // whole pages
	data   []byte
}

// mappedFile is an open file that can be mapped.
type mappedFile struct {
	fd   int
	name string // for errors
	size int64
	page int64 // the size of a huge page on hugetlbfs
}

func mapFile(path string, o *mapOptions) (handle unsafe.Pointer, data []byte, err error) {
	if err := checkText("path", path); err != nil {
		return nil, nil, err
	}
	if err := o.checkReading(); err != nil {
		return nil, nil, err
	}
	name := strings.ToValidUTF8(path, "\uFFFD")
	fd, err := openToMap(path, name)
	if err != nil {
		return nil, nil, err
	}
	// fd may change.
	defer func() { unix.Close(fd) }()
	file, err := fileToMap(fd, name)
	if err != nil {
		return nil, nil, err
	}
	return file.mapRange(o)
}

func mapFD(fd int, o *mapOptions) (handle unsafe.Pointer, data []byte, err error) {
	if err := checkOpen(fd); err != nil {
		return nil, nil, err
	}
	if o.flags&mapCreate != 0 || o.mode != 0 {
		return nil, nil, o.refused("create and mode are for a file that is opened by its path")
	}
	if err := o.checkReading(); err != nil {
		return nil, nil, err
	}
	file, err := fileToMap(fd, "descriptor "+strconv.Itoa(fd))
	if err != nil {
		return nil, nil, err
	}
	return file.mapRange(o)
}

// checkReading refuses options that contradict each other, and then those that only the library
// supports.
func (o *mapOptions) checkReading() error {
	isForWriting := o.access == accessWrite
	problem := ""
	switch {
	case !isForWriting && o.flags&mapCreate != 0:
		problem = "create needs write access"
	case !isForWriting && o.fileSize > 0:
		problem = "file_size needs write access"
	case !isForWriting && o.reserve > 0:
		problem = "reserve needs write access"
	case o.flags&mapWipeOnFork != 0:
		problem = "wipe_on_fork is for private memory"
	case o.flags&mapHugePages != 0:
		problem = "huge_pages is for memory"
	case uint32(o.mode)&^0o777 != 0:
		const format = "mode %04o has bits other than the nine permission bits"
		problem = fmt.Sprintf(format, uint32(o.mode))
	case o.length != ToEnd && o.offset > math.MaxInt64-int64(o.length):
		problem = fmt.Sprint("the range ends past the maximum file size ", int64(math.MaxInt64))
	case isForWriting:
		return unsupported("MapWrite")
	case o.access == accessPrivate:
		return unsupported("MapPrivate")
	case o.flags&mapGuard != 0:
		return unsupported("MapGuard")
	default:
		return nil
	}
	return o.refused(problem)
}

func (o *mapOptions) refused(problem string) error {
	const format = "%s (bytes %s, file size %d, mode %04o)"
	message := fmt.Sprintf(format, problem, o.rangeAsked(), o.fileSize, uint32(o.mode))
	return &Error{"options", syscall.EINVAL, message}
}

// rangeAsked returns the range in words, "5..15" or "5..the end".
func (o *mapOptions) rangeAsked() string {
	end := "the end"
	if o.length != ToEnd {
		end = strconv.FormatUint(uint64(o.offset)+uint64(o.length), 10)
	}
	return fmt.Sprintf("%d..%s", o.offset, end)
}

// openToMap opens a regular file.
func openToMap(path, name string) (int, error) {
	// Opening a FIFO would wake its writers, and opening a device may act on it: check first.
	var stat unix.Stat_t
	if err := again(func() error { return unix.Stat(path, &stat) }); err != nil {
		return 0, because("stat", err, name)
	}
	if err := checkKind(&stat, name); err != nil {
		return 0, err
	}
	// With O_NONBLOCK a FIFO that replaced the file since stat does not block.
	fd, err := openFile(path, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err == syscall.EAGAIN {
		// Another process has a lease on the file, for which O_NONBLOCK does not wait.
		fd, err = openAndWait(path, name)
	}
	if _, isOurs := err.(*Error); isOurs {
		return 0, err
	}
	if err != nil {
		return 0, because("open", err, name)
	}
	if fd, err = aboveStreams(fd); err != nil {
		return 0, because("fcntl F_DUPFD_CLOEXEC", err, name)
	}
	return fd, nil
}

// openAndWait opens a file that is certainly not a FIFO.
func openAndWait(path, name string) (int, error) {
	place, err := openFile(path, unix.O_PATH, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(place)
	stat, err := fstat(place)
	if err != nil {
		return 0, because("fstat", err, name)
	}
	if err := checkKind(&stat, name); err != nil {
		return 0, err
	}
	return openFile(procPath(place), unix.O_RDONLY, 0)
}

func checkKind(stat *unix.Stat_t, name string) error {
	if isRegular(stat) {
		return nil
	}
	errno := syscall.ENODEV
	if stat.Mode&unix.S_IFMT == unix.S_IFDIR {
		errno = syscall.EISDIR
	}
	message := name + " is " + kindOf(stat) + ", not a regular file"
	return &Error{"file type", errno, message}
}

// fileToMap checks the file that was opened, which may differ from the one that was checked by
// path.
func fileToMap(fd int, name string) (mappedFile, error) {
	stat, err := fstat(fd)
	if err != nil {
		return mappedFile{}, because("fstat", err, name)
	}
	if err := checkKind(&stat, name); err != nil {
		return mappedFile{}, err
	}
	page := int64(os.Getpagesize())
	// On most file systems a block is a page, and no system call is needed.
	if int64(stat.Blksize) > page && isOn(fd, unix.HUGETLBFS_MAGIC) {
		page = int64(stat.Blksize)
	}
	return mappedFile{fd, name, stat.Size, page}, nil
}

// isOn reports whether a file is on a file system of this kind.
func isOn(fd int, magic uint32) bool {
	var stat unix.Statfs_t
	return unix.Fstatfs(fd, &stat) == nil && uint32(stat.Type) == magic
}

func (f mappedFile) mapRange(o *mapOptions) (handle unsafe.Pointer, data []byte, err error) {
	end := f.size
	if o.length != ToEnd {
		end = o.offset + int64(o.length)
	}
	if o.offset > end || end > f.size && o.flags&mapBeyondEOF == 0 {
		message := fmt.Sprintf("asked for bytes %s of a file of %d bytes: %s", o.rangeAsked(),
			f.size, f.name)
		return nil, nil, &Error{"range", syscall.ENXIO, message}
	}
	if end-o.offset > math.MaxInt {
		message := fmt.Sprintf("length %d exceeds the maximum %d", end-o.offset, math.MaxInt)
		return nil, nil, &Error{"range", syscall.EFBIG, message}
	}
	head := o.offset % f.page
	m, err := f.mmap(o, o.offset-head, end-o.offset, head)
	if err != nil {
		return nil, nil, err
	}
	if err := m.treat(o, head+end-o.offset); err != nil {
		unix.MunmapPtr(m.base, m.length)
		return nil, nil, err
	}
	return unsafe.Pointer(m), m.data, nil
}

// mmap maps length bytes that begin head bytes behind an offset.
func (f mappedFile) mmap(o *mapOptions, offset, length, head int64) (*pureMap, error) {
	bytes := head + length
	if length == 0 {
		// Files of /proc and /sys report 0 bytes although they have content, so an empty map of
		// them would be wrong. One byte is mapped on trial.
		tried, err := f.mapPages(&mapOptions{flags: o.flags & mapExecute}, 0, 1)
		if err != nil {
			return nil, f.mmapError(err, 0, 1)
		}
		unix.MunmapPtr(tried.base, tried.length)
		bytes = 0
	}
	m, err := f.mapPages(o, offset, bytes)
	if err != nil {
		return nil, f.mmapError(err, offset, bytes)
	}
	if length > 0 {
		m.data = unsafe.Slice((*byte)(unsafe.Add(m.base, head)), length)
	} else {
		m.data = unsafe.Slice((*byte)(m.base), 0)
	}
	return m, nil
}

// mapPages maps the given number of bytes of the file. For 0 bytes it reserves the address space of
// one page, so that an empty map begins at a page.
func (f mappedFile) mapPages(o *mapOptions, offset, bytes int64) (m *pureMap, err error) {
	m = &pureMap{length: uintptr((max(bytes, 1) + f.page - 1) / f.page * f.page)}
	if bytes == 0 {
		const free = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_NORESERVE
		m.base, err = unix.MmapPtr(-1, 0, nil, m.length, unix.PROT_NONE, free)
		return m, err
	}
	protection, flags := unix.PROT_READ, 0
	if o.flags&mapExecute != 0 {
		protection |= unix.PROT_EXEC
	}
	if o.flags&mapPopulate != 0 {
		flags |= unix.MAP_POPULATE
	}
	if o.flags&mapNoReserve != 0 {
		flags |= unix.MAP_NORESERVE
	}
	if f.page > int64(os.Getpagesize()) {
		// On hugetlbfs a hole that was read through a private mapping stays 0, whatever is stored.
		m.base, err = unix.MmapPtr(f.fd, offset, nil, m.length, protection, flags|unix.MAP_SHARED)
		if err == nil {
			return m, nil
		}
		// The file is sealed, and the kernel is older than 6.7. Without MAP_NORESERVE it would
		// reserve huge pages for copies that are never made.
		flags |= unix.MAP_NORESERVE
	}
	m.base, err = unix.MmapPtr(f.fd, offset, nil, m.length, protection, flags|unix.MAP_PRIVATE)
	return m, err
}

// mmapError returns the error of mmap(2) in the library's words.
func (f mappedFile) mmapError(err error, offset, bytes int64) error {
	switch {
	case err == syscall.ENODEV:
		message := f.name + " cannot be mapped: its file system does not support this mapping"
		return &Error{"mmap", syscall.ENODEV, message}
	case err == syscall.EIO && isOn(f.fd, unix.PROC_SUPER_MAGIC):
		return &Error{"mmap", syscall.ENODEV, f.name + " cannot be mapped: it is a file of /proc"}
	}
	return because("mmap", err, fmt.Sprintf("bytes %d..%d of %s", offset, offset+bytes, f.name))
}

// treat applies the options that concern the pages.
func (m *pureMap) treat(o *mapOptions, bytes int64) error {
	if len(m.data) == 0 {
		return nil
	}
	// Not as a slice: with an int of 32 bits, whole pages can be more bytes than a slice can have.
	base := uintptr(m.base)
	if o.flags&mapMlock != 0 {
		if _, _, errno := unix.Syscall(unix.SYS_MLOCK, base, m.length, 0); errno != 0 {
			return because("mlock", errno, fmt.Sprintf("bytes 0..%d", bytes))
		}
	}
	if o.flags&mapNoFork != 0 {
		const advice = unix.MADV_DONTFORK
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, base, m.length, advice); errno != 0 {
			return because("madvise", errno, fmt.Sprintf("bytes 0..%d", bytes))
		}
	}
	return nil
}

// mapRead fills p from the map, up to a lost page, and returns the number of bytes.
func mapRead(handle unsafe.Pointer, offset int, p []byte) (n int, err error) {
	data := (*pureMap)(handle).data
	page := uintptr(os.Getpagesize())
	for n < len(p) {
		at := offset + n
		// To the end of the page, because a page is lost as a whole.
		rest := page - uintptr(unsafe.Pointer(&data[at]))%page
		end := n + min(len(p)-n, int(rest))
		switch copyPage(p[n:end], data[at:]) {
		case allCopied:
			n = end
			continue
		case notTheCallers:
			return 0, inaccessible("read", offset, len(p))
		}
		if n == 0 {
			return 0, notReadable(offset)
		}
		return n, nil
	}
	return n, nil
}

// copyPage fills to from one page of a map.
func copyPage(to, from []byte) (o outcome) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault := recover(); fault != nil {
			o = outcomeOf(fault, from[:len(to)], to)
		}
	}()
	copy(to, from)
	return allCopied
}

func mapClose(handle unsafe.Pointer) error {
	m := (*pureMap)(handle)
	if err := unix.MunmapPtr(m.base, m.length); err != nil {
		return because("munmap", err, fmt.Sprintf("%d bytes", len(m.data)))
	}
	return nil
}

// mapCheck always returns nil: only a map with MapGuard can tell.
func mapCheck(unsafe.Pointer) error { return nil }

func isLost(unsafe.Pointer) bool { return false }

func mapFileSize(unsafe.Pointer) (int64, error) {
	return 0, &Error{"descriptor", syscall.EBADF,
		"the map has no descriptor to read the file size from; only maps of files for writing, " +
			"guarded maps of files, and shared memory that is not sealed have one"}
}

func mapDescriptor(unsafe.Pointer) (int, error) {
	return 0, &Error{"descriptor", syscall.EBADF,
		"the map lends no descriptor; only maps of files for writing, and shared memory that is " +
			"not sealed, lend one"}
}

// mapWrite returns the error of a map for reading, because every map is one here.
func mapWrite(unsafe.Pointer, int, []byte) (int, error) {
	return 0, &Error{"write", syscall.EACCES, "the map is for reading only"}
}
