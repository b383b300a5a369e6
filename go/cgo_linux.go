package bytefd

/*
#include <stdlib.h>
#include "bytefd.h"

// The bytes as char pointers, of which cgo checks nothing. For void pointers and iovecs it looks at all the memory that
// the bytes lie in, and would refuse those of a struct that has Go pointers too.

static int wrap_bytes(const char *bytes, size_t len, const bytefd_wrap_options *options, bytefd_error *error) {
	return shm_wrap_buffer(bytes, len, options, error);
}

static int wrap_iov(const char *iov, size_t count, const bytefd_wrap_options *options, bytefd_error *error) {
	return bytefd_wrap_iov((const struct iovec *)iov, count, options, error);
}

static int map_read(const bytefd_map *map, size_t from, char *bytes, size_t len, size_t *copied, bytefd_error *error) {
	return bytefd_map_read(map, from, bytes, len, copied, error);
}

static int map_write(bytefd_map *map, size_t to, const char *bytes, size_t len, size_t *copied, bytefd_error *error) {
	return bytefd_map_write(map, to, bytes, len, copied, error);
}

// Takes and returns values, because what Go passes a pointer to goes to the heap.

typedef struct {
	int fd;
	bytefd_scan *scan;
	bytefd_error error; // unset, unless fd is negative
} begun;

static begun scan_begin_iov(const char *iov, size_t count, bytefd_wrap_options options) {
	begun b;
	b.scan = NULL;
	b.fd = bytefd_scan_begin_iov((const struct iovec *)iov, count, &options, &b.scan, &b.error);
	return b;
}

static begun scan_begin_stream(int fd, bytefd_wrap_options options, bytefd_stream_options stream) {
	begun b;
	b.scan = NULL;
	b.fd = bytefd_scan_begin_stream(fd, &options, &stream, &b.scan, &b.error);
	return b;
}

static begun scan_begin(const char *bytes, size_t len, bytefd_wrap_options options) {
	begun b;
	b.scan = NULL;
	b.fd = bytefd_scan_begin(bytes, len, &options, &b.scan, &b.error);
	return b;
}
*/
import "C"

import (
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"
	"syscall"
	"unsafe"
)

// Does not compile if one of the constants is not the header's.
var _ = [1]struct{}{}[0|
	flagWritable^C.BYTEFD_WRITABLE|
	flagReadOnly^C.BYTEFD_READ_ONLY|
	flagExecutable^C.BYTEFD_EXECUTABLE|
	flagInherit^C.BYTEFD_INHERIT|
	flagSealContent^C.BYTEFD_SEAL_CONTENT|
	flagTrustCallback^C.BYTEFD_TRUST_CALLBACK|
	BackendAuto^C.BYTEFD_BACKEND_AUTO|
	BackendMemfd^C.BYTEFD_BACKEND_MEMFD|
	BackendShm^C.BYTEFD_BACKEND_SHM|
	BackendTmpFile^C.BYTEFD_BACKEND_TMPFILE]

var _ = [1]struct{}{}[0|
	PoolAuto^C.BYTEFD_POOL_AUTO|
	PoolReuse^C.BYTEFD_POOL_REUSE|
	PoolNewFiles^C.BYTEFD_POOL_NEW_FILES]

var _ = [1]struct{}{}[0|
	accessRead^C.BYTEFD_MAP_READ|
	accessWrite^C.BYTEFD_MAP_WRITE|
	accessPrivate^C.BYTEFD_MAP_PRIVATE|
	mapCreate^C.BYTEFD_MAP_CREATE|
	mapExecute^C.BYTEFD_MAP_EXECUTE|
	mapPopulate^C.BYTEFD_MAP_POPULATE|
	mapMlock^C.BYTEFD_MAP_MLOCK|
	mapHugePages^C.BYTEFD_MAP_HUGE_PAGES|
	mapNoReserve^C.BYTEFD_MAP_NO_RESERVE|
	mapBeyondEOF^C.BYTEFD_MAP_BEYOND_EOF|
	mapGuard^C.BYTEFD_MAP_GUARD|
	mapNoFork^C.BYTEFD_MAP_NO_FORK|
	mapWipeOnFork^C.BYTEFD_MAP_WIPE_ON_FORK|
	loseContent^C.BYTEFD_LOSE_CONTENT]

func wrap(b []byte, o *wrapOptions) (int, error) {
	c, err := o.c()
	if err != nil {
		return 0, err
	}
	defer C.free(unsafe.Pointer(c.name))
	var failure C.bytefd_error
	return result(C.wrap_bytes(chars(b), C.size_t(len(b)), &c, &failure), &failure)
}

func wrapSegments(bs [][]byte, o *wrapOptions) (int, error) {
	c, err := o.c()
	if err != nil {
		return 0, err
	}
	defer C.free(unsafe.Pointer(c.name))
	var pinner runtime.Pinner
	defer pinner.Unpin()
	iov := segments(bs, &pinner)
	var failure C.bytefd_error
	return result(C.wrap_iov(chars(iov), C.size_t(len(bs)), &c, &failure), &failure)
}

// segments returns the slices for C, which may follow Go pointers in Go memory only if they are pinned.
func segments(bs [][]byte, pinner *runtime.Pinner) []C.struct_iovec {
	iov := make([]C.struct_iovec, len(bs))
	for i, b := range bs {
		if len(b) > 0 {
			pinner.Pin(&b[0])
			iov[i] = C.struct_iovec{iov_base: unsafe.Pointer(&b[0]), iov_len: C.size_t(len(b))}
		}
	}
	return iov
}

func wrapStream(fd int, o *wrapOptions) (int, error) {
	c, err := o.c()
	if err != nil {
		return 0, err
	}
	defer C.free(unsafe.Pointer(c.name))
	stream := o.stream()
	var failure C.bytefd_error
	return result(C.bytefd_wrap_stream(C.int(fd), &c, &stream, &failure), &failure)
}

func scanBegin(b []byte, pool unsafe.Pointer, o *wrapOptions) (fd int, loan unsafe.Pointer, err error) {
	c, err := o.c()
	if err != nil {
		return 0, nil, err
	}
	c.pool = (*C.bytefd_pool)(pool)
	begun := C.scan_begin(chars(b), C.size_t(len(b)), c)
	if c.name != nil {
		C.free(unsafe.Pointer(c.name))
	}
	return lentBy(begun)
}

func scanBeginSegments(bs [][]byte, pool unsafe.Pointer, o *wrapOptions) (fd int, loan unsafe.Pointer, err error) {
	c, err := o.c()
	if err != nil {
		return 0, nil, err
	}
	defer C.free(unsafe.Pointer(c.name))
	c.pool = (*C.bytefd_pool)(pool)
	var pinner runtime.Pinner
	defer pinner.Unpin()
	iov := segments(bs, &pinner)
	return lentBy(C.scan_begin_iov(chars(iov), C.size_t(len(bs)), c))
}

func scanBeginStream(from int, pool unsafe.Pointer, o *wrapOptions) (fd int, loan unsafe.Pointer, err error) {
	c, err := o.c()
	if err != nil {
		return 0, nil, err
	}
	defer C.free(unsafe.Pointer(c.name))
	c.pool = (*C.bytefd_pool)(pool)
	return lentBy(C.scan_begin_stream(C.int(from), c, o.stream()))
}

func lentBy(begun C.begun) (fd int, loan unsafe.Pointer, err error) {
	if begun.fd < 0 {
		failure := begun.error
		_, err = result(begun.fd, &failure)
		return 0, nil, err
	}
	return int(begun.fd), unsafe.Pointer(begun.scan), nil
}

func scanEnd(loan unsafe.Pointer) {
	C.bytefd_scan_end((*C.bytefd_scan)(loan))
}

func poolCreate(o *poolOptions) (unsafe.Pointer, error) {
	c := C.bytefd_pool_options{
		size:      C.sizeof_bytefd_pool_options,
		max_bytes: C.uint64_t(o.maxBytes),
		idle_ns:   C.int64_t(o.idle),
		max_files: C.uint32_t(o.maxFiles),
		method:    C.uint32_t(o.method),
	}
	var pool *C.bytefd_pool
	var failure C.bytefd_error
	_, err := result(C.bytefd_pool_create(&c, &pool, &failure), &failure)
	return unsafe.Pointer(pool), err
}

func poolTrim(pool unsafe.Pointer, bytes int) error {
	var failure C.bytefd_error
	_, err := result(C.bytefd_pool_trim((*C.bytefd_pool)(pool), C.uint64_t(bytes), &failure), &failure)
	return err
}

func poolStats(pool unsafe.Pointer) (PoolStats, error) {
	stats := C.bytefd_pool_stats{size: C.sizeof_bytefd_pool_stats}
	var failure C.bytefd_error
	_, err := result(C.bytefd_pool_get_stats((*C.bytefd_pool)(pool), &stats, &failure), &failure)
	return PoolStats{
		Hits:        uint64(stats.hits),
		Misses:      uint64(stats.misses),
		Dropped:     uint64(stats.dropped),
		Lent:        uint64(stats.lent),
		CachedBytes: uint64(stats.cached_bytes),
	}, err
}

func poolClose(pool unsafe.Pointer) {
	C.bytefd_pool_close((*C.bytefd_pool)(pool))
}

// isTerminal reports whether r reads a terminal, tcgetattr(3).
func isTerminal(r io.Reader) (yes bool) {
	onDescriptor(r, func(fd int) error {
		var attributes syscall.Termios
		at := uintptr(unsafe.Pointer(&attributes))
		_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.TCGETS, at)
		yes = errno == 0
		return nil
	})
	return yes
}

// duplicate returns another number of a description, which is none of the standard streams.
func duplicate(fd int) (int, error) {
	duplicate, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_DUPFD_CLOEXEC, 3)
	if errno != 0 {
		return 0, &Error{"fcntl", errno, errno.Error()}
	}
	return int(duplicate), nil
}

func reopen(fd int) (int, error) {
	if err := inC(fd); err != nil {
		return 0, err
	}
	var failure C.bytefd_error
	return result(C.bytefd_reopen(C.int(fd), 0, &failure), &failure)
}

func mapFile(path string, o *mapOptions) (handle unsafe.Pointer, data []byte, err error) {
	cPath, err := cString("path", path)
	if err != nil {
		return nil, nil, err
	}
	defer C.free(unsafe.Pointer(cPath))
	c := o.c()
	var m *C.bytefd_map
	var failure C.bytefd_error
	_, err = result(C.map_file(cPath, &c, &m, &failure), &failure)
	return mapped(m, err)
}

func mapFD(fd int, o *mapOptions) (handle unsafe.Pointer, data []byte, err error) {
	if err := inC(fd); err != nil {
		return nil, nil, err
	}
	c := o.c()
	var m *C.bytefd_map
	var failure C.bytefd_error
	_, err = result(C.bytefd_map_fd(C.int(fd), &c, &m, &failure), &failure)
	return mapped(m, err)
}

func mapMemory(length int, o *mapOptions) (handle unsafe.Pointer, data []byte, err error) {
	c := o.c()
	var m *C.bytefd_map
	var failure C.bytefd_error
	_, err = result(C.bytefd_map_memory(C.size_t(length), &c, &m, &failure), &failure)
	return mapped(m, err)
}

// mapped returns a map and its memory, unless there was an error.
func mapped(m *C.bytefd_map, err error) (unsafe.Pointer, []byte, error) {
	if err != nil {
		return nil, nil, err
	}
	return unsafe.Pointer(m), unsafe.Slice((*byte)(C.bytefd_map_data(m)), C.bytefd_map_length(m)), nil
}

// mapRead fills p from the map, up to a lost page, and returns how many bytes that were.
func mapRead(handle unsafe.Pointer, offset int, p []byte) (int, error) {
	var copied C.size_t
	var failure C.bytefd_error
	m := (*C.bytefd_map)(handle)
	_, err := result(C.map_read(m, C.size_t(offset), chars(p), C.size_t(len(p)), &copied, &failure), &failure)
	return int(copied), err
}

// mapWrite is mapRead the other way.
func mapWrite(handle unsafe.Pointer, offset int, p []byte) (int, error) {
	var copied C.size_t
	var failure C.bytefd_error
	m := (*C.bytefd_map)(handle)
	_, err := result(C.map_write(m, C.size_t(offset), chars(p), C.size_t(len(p)), &copied, &failure), &failure)
	return int(copied), err
}

func mapFlush(handle unsafe.Pointer, offset, length, flags int) error {
	var failure C.bytefd_error
	m := (*C.bytefd_map)(handle)
	_, err := result(C.bytefd_map_flush(m, C.size_t(offset), C.size_t(length), inInt(flags), &failure), &failure)
	return err
}

func mapAdvise(handle unsafe.Pointer, offset, length, advice int, flags uint64) error {
	var failure C.bytefd_error
	m, number, how := (*C.bytefd_map)(handle), inInt(advice), C.uint64_t(flags)
	_, err := result(C.bytefd_map_advise(m, C.size_t(offset), C.size_t(length), number, how, &failure), &failure)
	return err
}

func mapMlockRange(handle unsafe.Pointer, offset, length int) error {
	var failure C.bytefd_error
	m := (*C.bytefd_map)(handle)
	_, err := result(C.bytefd_map_mlock(m, C.size_t(offset), C.size_t(length), &failure), &failure)
	return err
}

func mapMunlockRange(handle unsafe.Pointer, offset, length int) error {
	var failure C.bytefd_error
	m := (*C.bytefd_map)(handle)
	_, err := result(C.bytefd_map_munlock(m, C.size_t(offset), C.size_t(length), &failure), &failure)
	return err
}

func mapProtect(handle unsafe.Pointer, offset, length, prot int) error {
	var failure C.bytefd_error
	m, allowed := (*C.bytefd_map)(handle), inInt(prot)
	_, err := result(C.bytefd_map_protect(m, C.size_t(offset), C.size_t(length), allowed, &failure), &failure)
	return err
}

func mapPrefetch(handle unsafe.Pointer, offset, length int) error {
	var failure C.bytefd_error
	m := (*C.bytefd_map)(handle)
	_, err := result(C.bytefd_map_prefetch(m, C.size_t(offset), C.size_t(length), &failure), &failure)
	return err
}

func mapUnmap(handle unsafe.Pointer, offset, length int) error {
	var failure C.bytefd_error
	m := (*C.bytefd_map)(handle)
	_, err := result(C.bytefd_map_unmap(m, C.size_t(offset), C.size_t(length), &failure), &failure)
	return err
}

func mapCheck(handle unsafe.Pointer) error {
	var failure C.bytefd_error
	_, err := result(C.bytefd_map_check((*C.bytefd_map)(handle), &failure), &failure)
	return err
}

// mapResize returns the memory, which is the old one after an error.
func mapResize(handle unsafe.Pointer, old []byte, length int) ([]byte, error) {
	m := (*C.bytefd_map)(handle)
	var failure C.bytefd_error
	if _, err := result(C.bytefd_map_resize(m, C.size_t(length), &failure), &failure); err != nil {
		return old, err
	}
	_, data, err := mapped(m, nil)
	return data, err
}

func mapSeal(handle unsafe.Pointer, nanoseconds int64) (int, error) {
	var failure C.bytefd_error
	return result(C.bytefd_map_seal((*C.bytefd_map)(handle), C.int64_t(nanoseconds), &failure), &failure)
}

func mapShare(handle unsafe.Pointer) (int, error) {
	var failure C.bytefd_error
	return result(C.bytefd_map_share((*C.bytefd_map)(handle), 0, &failure), &failure)
}

func mapFileSize(handle unsafe.Pointer) (int64, error) {
	var size C.uint64_t
	var failure C.bytefd_error
	_, err := result(C.bytefd_map_file_size((*C.bytefd_map)(handle), &size, &failure), &failure)
	return int64(size), err
}

// inInt is a number as a C int; one that does not fit becomes one that nothing knows.
func inInt(number int) C.int {
	if int(C.int(number)) != number {
		return math.MinInt32
	}
	return C.int(number)
}

// mapDescriptor returns a duplicate of the map's descriptor, which is none of the standard streams.
func mapDescriptor(handle unsafe.Pointer) (int, error) {
	var failure C.bytefd_error
	fd, err := result(C.bytefd_map_descriptor((*C.bytefd_map)(handle), &failure), &failure)
	if err != nil {
		return 0, err
	}
	return duplicate(fd)
}

func mapClose(handle unsafe.Pointer) error {
	if code := C.bytefd_map_close((*C.bytefd_map)(handle)); code < 0 {
		errno := syscall.Errno(-code)
		return &Error{"munmap", errno, errno.Error()}
	}
	return nil
}

// hostReport asks with a buffer of so many bytes first, and with larger ones until the text fits.
func hostReport(bytes int) (string, error) {
	for {
		buf := make([]byte, bytes)
		var failure C.bytefd_error
		_, err := result(C.bytefd_host_report(chars(buf), C.size_t(bytes), &failure), &failure)
		if err == nil {
			return C.GoString(chars(buf)), nil
		}
		if !errors.Is(err, syscall.ERANGE) {
			return "", err
		}
		bytes *= 2
	}
}

// result turns what a C function returned into what a Go function returns.
func result(value C.int, failure *C.bytefd_error) (int, error) {
	if value < 0 {
		return 0, &Error{C.GoString(&failure.op[0]), syscall.Errno(-value), C.GoString(&failure.message[0])}
	}
	return int(value), nil
}

// c returns the options for C. The caller frees the name.
func (o *wrapOptions) c() (C.bytefd_wrap_options, error) {
	if err := o.check(); err != nil {
		return C.bytefd_wrap_options{}, err
	}
	c := C.bytefd_wrap_options{
		size:            C.sizeof_bytefd_wrap_options,
		spill_threshold: unlimited(o.spillThreshold),
		flags:           C.uint64_t(o.flags),
		backend:         C.uint32_t(o.backend),
		mode:            C.uint32_t(o.mode),
	}
	var err error
	if o.name != nil {
		c.name, err = cString("name", *o.name)
	}
	return c, err
}

func (o *wrapOptions) stream() C.bytefd_stream_options {
	return C.bytefd_stream_options{
		size:       C.sizeof_bytefd_stream_options,
		max_bytes:  unlimited(o.maxBytes),
		size_hint:  C.uint64_t(o.sizeHint),
		timeout_ns: -1,
	}
}

func unlimited(n int64) C.uint64_t {
	if n == math.MaxInt64 {
		return C.BYTEFD_UNLIMITED
	}
	return C.uint64_t(n)
}

// c returns the options for C.
func (o *mapOptions) c() C.bytefd_map_options {
	return C.bytefd_map_options{
		size:      C.sizeof_bytefd_map_options,
		offset:    C.uint64_t(o.offset),
		length:    C.size_t(o.length), // ToEnd becomes BYTEFD_TO_END
		file_size: C.uint64_t(o.fileSize),
		access:    C.uint32_t(o.access),
		flags:     C.uint64_t(o.flags),
		mode:      C.uint32_t(o.mode),
		reserve:   C.size_t(o.reserve),
	}
}

// inC refuses a descriptor that C would take for another one, because its int is shorter.
func inC(fd int) error {
	if int(C.int(fd)) != fd {
		return &Error{"fd", syscall.EBADF, fmt.Sprintf("%d is not an open descriptor", fd)}
	}
	return nil
}

// cString copies text to C memory, which the caller frees. C would take a NUL for the end of the text.
func cString(op, text string) (*C.char, error) {
	if strings.IndexByte(text, 0) >= 0 {
		return nil, &Error{op, syscall.EINVAL, fmt.Sprintf("%q holds a NUL byte", text)}
	}
	return C.CString(text), nil
}

// chars returns the memory of a slice; it need not exist if the slice is empty.
func chars[T any](s []T) *C.char {
	return (*C.char)(unsafe.Pointer(unsafe.SliceData(s)))
}
