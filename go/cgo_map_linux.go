package bytefd

/*
#include <stdlib.h>
#include "bytefd.h"

// Bytes are char pointers, and results are values; cgo_wrap_linux.go says why.

typedef struct {
	int status;
	uint64_t count;
	bytefd_error error; // set only if status is negative
} counted;

static counted map_read(const bytefd_map *map, size_t from, char *bytes, size_t len) {
	counted c;
	size_t copied = 0;
	c.status = bytefd_map_read(map, from, bytes, len, &copied, &c.error);
	c.count = copied;
	return c;
}

static counted map_write(bytefd_map *map, size_t to, const char *bytes, size_t len) {
	counted c;
	size_t copied = 0;
	c.status = bytefd_map_write(map, to, bytes, len, &copied, &c.error);
	c.count = copied;
	return c;
}

static counted map_file_size(const bytefd_map *map) {
	counted c;
	c.count = 0;
	c.status = bytefd_map_file_size(map, &c.count, &c.error);
	return c;
}
*/
import "C"

import (
	"math"
	"syscall"
	"unsafe"
)

// This does not compile if a constant differs from the header.
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

func mapFile(path string, o *mapOptions) (handle unsafe.Pointer, data []byte, err error) {
	cPath, err := cString("path", path)
	if err != nil {
		return nil, nil, err
	}
	defer C.free(unsafe.Pointer(cPath))
	c := o.c()
	var m *C.bytefd_map
	var failure C.bytefd_error
	_, err = result(C.bytefd_map_file(cPath, &c, &m, &failure), &failure)
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

// mapped returns the handle and the memory of a map, unless there was an error.
func mapped(m *C.bytefd_map, err error) (unsafe.Pointer, []byte, error) {
	if err != nil {
		return nil, nil, err
	}
	first, length := (*byte)(C.bytefd_map_data(m)), C.bytefd_map_length(m)
	return unsafe.Pointer(m), unsafe.Slice(first, length), nil
}

// mapRead fills p from the map, up to a lost page, and returns the number of bytes.
func mapRead(handle unsafe.Pointer, offset int, p []byte) (int, error) {
	m := (*C.bytefd_map)(handle)
	return counted(C.map_read(m, C.size_t(offset), chars(p), C.size_t(len(p))))
}

// mapWrite writes p to the map, up to a lost page, and returns the number of bytes.
func mapWrite(handle unsafe.Pointer, offset int, p []byte) (int, error) {
	m := (*C.bytefd_map)(handle)
	return counted(C.map_write(m, C.size_t(offset), chars(p), C.size_t(len(p))))
}

func counted(c C.counted) (int, error) {
	if c.status < 0 {
		failure := c.error
		return result(c.status, &failure)
	}
	return int(c.count), nil
}

func mapFlush(handle unsafe.Pointer, offset, length, flags int) error {
	var failure C.bytefd_error
	m, from, len := (*C.bytefd_map)(handle), C.size_t(offset), C.size_t(length)
	_, err := result(C.bytefd_map_flush(m, from, len, inInt(flags), &failure), &failure)
	return err
}

func mapAdvise(handle unsafe.Pointer, offset, length, advice int, flags uint64) error {
	var failure C.bytefd_error
	m, from, len := (*C.bytefd_map)(handle), C.size_t(offset), C.size_t(length)
	number, how := inInt(advice), C.uint64_t(flags)
	_, err := result(C.bytefd_map_advise(m, from, len, number, how, &failure), &failure)
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
	status := C.bytefd_map_munlock(m, C.size_t(offset), C.size_t(length), &failure)
	_, err := result(status, &failure)
	return err
}

func mapProtect(handle unsafe.Pointer, offset, length, prot int) error {
	var failure C.bytefd_error
	m, from, len := (*C.bytefd_map)(handle), C.size_t(offset), C.size_t(length)
	_, err := result(C.bytefd_map_protect(m, from, len, inInt(prot), &failure), &failure)
	return err
}

func mapPrefetch(handle unsafe.Pointer, offset, length int) error {
	var failure C.bytefd_error
	m := (*C.bytefd_map)(handle)
	status := C.bytefd_map_prefetch(m, C.size_t(offset), C.size_t(length), &failure)
	_, err := result(status, &failure)
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

// isLost is mapCheck without an error message.
func isLost(handle unsafe.Pointer) bool {
	return C.bytefd_map_check((*C.bytefd_map)(handle), nil) < 0
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
	m, timeout := (*C.bytefd_map)(handle), C.int64_t(nanoseconds)
	return result(C.bytefd_map_seal(m, timeout, &failure), &failure)
}

func mapShare(handle unsafe.Pointer) (int, error) {
	var failure C.bytefd_error
	return result(C.bytefd_map_share((*C.bytefd_map)(handle), 0, &failure), &failure)
}

func mapFileSize(handle unsafe.Pointer) (int64, error) {
	size, err := counted(C.map_file_size((*C.bytefd_map)(handle)))
	return int64(size), err
}

// inInt converts a number to a C int. A number that does not fit becomes one that every function
// refuses.
func inInt(number int) C.int {
	if int(C.int(number)) != number {
		return math.MinInt32
	}
	return C.int(number)
}

// mapDescriptor returns a duplicate of the map's descriptor, with a number above 2.
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
		return because("munmap", syscall.Errno(-code), "the map")
	}
	return nil
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
