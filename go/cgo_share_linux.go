package bytefd

/*
#include <stdlib.h>
#include "bytefd.h"

// As in cgo_linux.go: for a void pointer cgo would look at all the memory that the bytes lie in.
static int link_bytes(const char *bytes, size_t len, const char *suffix, bytefd_linked_file **file,
                      bytefd_error *error) {
	return bytefd_link(bytes, len, suffix, file, error);
}
*/
import "C"

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Does not compile if one of the constants is not the header's.
var _ = [1]struct{}{}[0|
	shmOpen^C.BYTEFD_SHM_OPEN|
	shmCreate^C.BYTEFD_SHM_CREATE|
	sysvOpen^C.BYTEFD_SYSV_OPEN|
	sysvCreate^C.BYTEFD_SYSV_CREATE|
	sysvAttach^C.BYTEFD_SYSV_ATTACH|
	LockShared^C.BYTEFD_LOCK_SHARED|
	LockExclusive^C.BYTEFD_LOCK_EXCLUSIVE|
	sealedForReading^(unix.F_SEAL_WRITE|unix.F_SEAL_SHRINK)]

func verify(fd int, r *requirements) error {
	c := C.bytefd_requirements{
		size:   C.sizeof_bytefd_requirements,
		length: C.uint64_t(r.length),
		seals:  C.uint32_t(r.seals),
	}
	if r.seals == 0 {
		c.flags |= C.BYTEFD_REQUIRE_NO_SEALS
	}
	if r.owner != nil {
		c.flags |= C.BYTEFD_REQUIRE_OWNER
		c.owner = C.uint32_t(*r.owner)
	}
	var failure C.bytefd_error
	_, err := result(C.bytefd_verify(C.int(fd), &c, &failure), &failure)
	return err
}

func peer(socket int) (Credentials, error) {
	var found C.bytefd_credentials
	var failure C.bytefd_error
	if _, err := result(C.bytefd_peer(C.int(socket), &found, &failure), &failure); err != nil {
		return Credentials{}, err
	}
	return Credentials{int(found.process), uint32(found.user), uint32(found.group)}, nil
}

func shmFile(name string, how uint32, o *namedOptions) (fd int, whole string, err error) {
	cName, err := cString("name", name)
	if err != nil {
		return 0, "", err
	}
	defer C.free(unsafe.Pointer(cName))
	c := C.bytefd_shm_options{
		size:   C.sizeof_bytefd_shm_options,
		length: C.uint64_t(o.length),
		how:    C.uint32_t(how),
		mode:   C.uint32_t(o.mode),
	}
	if o.write {
		c.access = C.BYTEFD_MAP_WRITE
	}
	if o.owned {
		c.flags = C.BYTEFD_SHM_OWNER
	}
	var full [C.BYTEFD_SHM_NAME_SIZE]C.char
	var failure C.bytefd_error
	fd, err = result(C.bytefd_shm_open(cName, &c, &full[0], C.size_t(len(full)), &failure), &failure)
	if err != nil {
		return 0, "", err
	}
	return fd, C.GoString(&full[0]), nil
}

func shmUnlink(name string) error {
	cName, err := cString("name", name)
	if err != nil {
		return err
	}
	defer C.free(unsafe.Pointer(cName))
	var failure C.bytefd_error
	_, err = result(C.bytefd_shm_unlink(cName, &failure), &failure)
	return err
}

func shmSweep() (int, error) {
	var failure C.bytefd_error
	return result(C.bytefd_shm_sweep(&failure), &failure)
}

func link(b []byte, suffix string) (handle unsafe.Pointer, path string, err error) {
	cSuffix, err := cString("suffix", suffix)
	if err != nil {
		return nil, "", err
	}
	defer C.free(unsafe.Pointer(cSuffix))
	var file *C.bytefd_linked_file
	var failure C.bytefd_error
	if _, err := result(C.link_bytes(chars(b), C.size_t(len(b)), cSuffix, &file, &failure), &failure); err != nil {
		return nil, "", err
	}
	return unsafe.Pointer(file), C.GoString(C.bytefd_link_path(file)), nil
}

func linkRelease(handle unsafe.Pointer) {
	C.bytefd_link_release((*C.bytefd_linked_file)(handle))
}

func mapSysv(key int32, o *sysvOptions) (handle unsafe.Pointer, data []byte, number int, err error) {
	c := C.bytefd_sysv_options{
		size:   C.sizeof_bytefd_sysv_options,
		length: C.size_t(o.length),
		how:    C.uint32_t(o.how),
		access: C.uint32_t(o.access),
		mode:   C.uint32_t(o.mode),
	}
	if o.owned {
		c.flags = C.BYTEFD_SYSV_OWNER
	}
	var m *C.bytefd_map
	var found C.int
	var failure C.bytefd_error
	if _, err := result(C.bytefd_map_sysv(C.int(key), &c, &m, &found, &failure), &failure); err != nil {
		return nil, nil, 0, err
	}
	return unsafe.Pointer(m), unsafe.Slice((*byte)(C.bytefd_map_data(m)), C.bytefd_map_length(m)), int(found), nil
}

func sysvRemove(number int32) error {
	var failure C.bytefd_error
	_, err := result(C.bytefd_sysv_remove(C.int(number), &failure), &failure)
	return err
}

func exportDMABuf(fd int) (int, error) {
	var failure C.bytefd_error
	return result(C.bytefd_export_dmabuf(C.int(fd), &failure), &failure)
}

func lock(fd int, offset, length int64, mode LockMode, try bool) error {
	how := C.uint32_t(mode)
	if try {
		how |= C.BYTEFD_LOCK_TRY
	}
	var failure C.bytefd_error
	_, err := result(C.bytefd_lock(C.int(fd), C.uint64_t(offset), C.uint64_t(length), how, &failure), &failure)
	return err
}

func unlock(fd int, offset, length int64) error {
	var failure C.bytefd_error
	_, err := result(C.bytefd_unlock(C.int(fd), C.uint64_t(offset), C.uint64_t(length), &failure), &failure)
	return err
}

func wait(word *uint32, value uint32, timeout time.Duration) error {
	var failure C.bytefd_error
	c := (*C.uint32_t)(unsafe.Pointer(word))
	_, err := result(C.bytefd_wait(c, C.uint32_t(value), C.int64_t(timeout), &failure), &failure)
	runtime.KeepAlive(word)
	return err
}

func wake(word *uint32, count uint32) (int, error) {
	var failure C.bytefd_error
	return result(C.bytefd_wake((*C.uint32_t)(unsafe.Pointer(word)), C.uint32_t(count), &failure), &failure)
}

// streamMemory is memory that grows, and then becomes a descriptor.
type streamMemory struct {
	handle *C.bytefd_map
	data   []byte
}

func newStreamMemory() (*streamMemory, error) {
	// Address space that is kept, so that growing moves nothing. It costs no memory, but RLIMIT_AS may forbid so much.
	reserve := uint64(64 << 30)
	for {
		options := C.bytefd_map_options{
			size:    C.sizeof_bytefd_map_options,
			access:  C.BYTEFD_MAP_WRITE,
			flags:   C.BYTEFD_MAP_POPULATE,
			reserve: C.size_t(reserve),
		}
		m := &streamMemory{}
		var failure C.bytefd_error
		_, err := result(C.bytefd_map_memory(0, &options, &m.handle, &failure), &failure)
		if err == nil {
			return m, nil
		}
		if reserve == 0 {
			return nil, err
		}
		reserve = 0
	}
}

func (m *streamMemory) resize(size int) error {
	var failure C.bytefd_error
	_, err := result(C.bytefd_map_resize(m.handle, C.size_t(size), &failure), &failure)
	if err == nil {
		m.data = unsafe.Slice((*byte)(C.bytefd_map_data(m.handle)), size)
	}
	return err
}

// seal returns a sealed descriptor of the first bytes.
func (m *streamMemory) seal(size int) (int, error) {
	if err := m.resize(size); err != nil {
		return 0, err
	}
	var failure C.bytefd_error
	return result(C.bytefd_map_seal(m.handle, &failure), &failure)
}

func (m *streamMemory) close() {
	C.bytefd_map_close(m.handle)
	m.handle, m.data = nil, nil
}

// appendTo writes to the end of a file. The limit is asked first, because the kernel sends a signal.
func appendTo(f *os.File, b []byte, end int64) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		return failed("getrlimit", err, "RLIMIT_FSIZE")
	}
	size := end + int64(len(b))
	if limit.Cur <= math.MaxInt64 && size > int64(limit.Cur) {
		const format = "asked for a file of %d bytes, the limit RLIMIT_FSIZE is %d bytes"
		return &Error{"file size", syscall.EFBIG, fmt.Sprintf(format, size, limit.Cur)}
	}
	if _, err := f.WriteAt(b, end); err != nil {
		return failed("pwrite", err, fmt.Sprintf("%d bytes at offset %d", len(b), end))
	}
	return nil
}
