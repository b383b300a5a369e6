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
	"runtime"
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
