package bytefd

/*
#include <stdlib.h>
#include "bytefd.h"

// Bytes are char pointers; cgo_wrap_linux.go says why.
static int tempfile_bytes(const char *bytes, size_t len, const bytefd_tempfile_options *options,
                          bytefd_tempfile **file, bytefd_error *error) {
	return bytefd_tempfile_create(bytes, len, options, file, error);
}

static int wait_word(const uint32_t *word, uint32_t value, int64_t timeout_ns,
                     bytefd_error *error) {
	return bytefd_futex_wait(word, value, timeout_ns, 0, error);
}

static int wake_word(const uint32_t *word, uint32_t count, bytefd_error *error) {
	return bytefd_futex_wake(word, count, error);
}
*/
import "C"

import (
	"path/filepath"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// This does not compile if a constant differs from the header.
var _ = [1]struct{}{}[0|
	lockNB^syscall.LOCK_NB|
	sysvCreate^C.BYTEFD_SYSV_CREATE|
	sysvExclusive^C.BYTEFD_SYSV_EXCLUSIVE|
	sysvByID^C.BYTEFD_SYSV_BY_ID|
	sysvTransient^C.BYTEFD_SYSV_TRANSIENT|
	sealedForReading^(unix.F_SEAL_WRITE|unix.F_SEAL_SHRINK)]

func verify(fd int, r *requirements) error {
	c := C.bytefd_requirements{
		size:       C.sizeof_bytefd_requirements,
		min_length: C.uint64_t(r.minLength),
		max_length: C.uint64_t(r.maxLength),
	}
	if r.noSeals {
		c.flags |= C.BYTEFD_REQUIRE_NO_SEALS
	} else {
		c.seals = C.uint32_t(r.seals)
	}
	if r.uid != nil {
		c.flags |= C.BYTEFD_REQUIRE_UID
		c.uid = C.uid_t(*r.uid)
	}
	var failure C.bytefd_error
	_, err := result(C.bytefd_verify(C.int(fd), &c, &failure), &failure)
	return err
}

func peer(socket int) (Credentials, error) {
	found := C.bytefd_credentials{size: C.sizeof_bytefd_credentials}
	var failure C.bytefd_error
	status := C.bytefd_peer_credentials(C.int(socket), &found, &failure)
	if _, err := result(status, &failure); err != nil {
		return Credentials{}, err
	}
	return Credentials{int(found.pid), uint32(found.uid), uint32(found.gid)}, nil
}

func shmFile(name string, create bool, o *shmOptions) (fd int, whole string, err error) {
	cName, err := cString("name", name)
	if err != nil {
		return 0, "", err
	}
	defer C.free(unsafe.Pointer(cName))
	c := C.bytefd_shm_options{
		size:   C.sizeof_bytefd_shm_options,
		length: C.uint64_t(o.length),
		mode:   C.uint32_t(o.mode),
	}
	if create {
		c.flags |= C.BYTEFD_SHM_CREATE | C.BYTEFD_SHM_EXCLUSIVE
	}
	if o.owned {
		c.flags |= C.BYTEFD_SHM_OWNED
	}
	if o.anyOwner {
		c.flags |= C.BYTEFD_SHM_ANY_OWNER
	}
	if o.write {
		c.access = C.BYTEFD_MAP_WRITE
	}
	var full [C.BYTEFD_SHM_NAME_SIZE]C.char
	var failure C.bytefd_error
	status := C.bytefd_shm_open(cName, &c, &full[0], C.size_t(len(full)), &failure)
	if fd, err = result(status, &failure); err != nil {
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

func sweep() (SweepResult, error) {
	swept := C.bytefd_sweep_result{size: C.sizeof_bytefd_sweep_result}
	var failure C.bytefd_error
	if _, err := result(C.bytefd_sweep(&swept, &failure), &failure); err != nil {
		return SweepResult{}, err
	}
	return SweepResult{int(swept.removed), int(swept.in_use), int(swept.failed)}, nil
}

func tempFileCreate(b []byte, o *tempFileOptions) (handle unsafe.Pointer, path string, err error) {
	c := C.bytefd_tempfile_options{size: C.sizeof_bytefd_tempfile_options, mode: C.uint32_t(o.mode)}
	if c.suffix, err = cString("suffix", o.suffix); err != nil {
		return nil, "", err
	}
	defer C.free(unsafe.Pointer(c.suffix))
	if o.directory != "" {
		if c.directory, err = cString("directory", o.directory); err != nil {
			return nil, "", err
		}
		defer C.free(unsafe.Pointer(c.directory))
	}
	var file *C.bytefd_tempfile
	var failure C.bytefd_error
	status := C.tempfile_bytes(chars(b), C.size_t(len(b)), &c, &file, &failure)
	if _, err := result(status, &failure); err != nil {
		return nil, "", err
	}
	return unsafe.Pointer(file), C.GoString(C.bytefd_tempfile_path(file)), nil
}

func tempFileClose(handle unsafe.Pointer) error {
	file := (*C.bytefd_tempfile)(handle)
	directory := filepath.Dir(C.GoString(C.bytefd_tempfile_path(file)))
	if status := C.bytefd_tempfile_close(file); status != 0 {
		return because("remove", syscall.Errno(-status), directory+" was not removed entirely")
	}
	return nil
}

func mapSysv(key int32, o *sysvOptions) (handle unsafe.Pointer, data []byte, shmid int, err error) {
	c := C.bytefd_sysv_options{
		size:   C.sizeof_bytefd_sysv_options,
		length: C.size_t(o.length),
		flags:  C.uint64_t(o.flags),
		mode:   C.uint32_t(o.mode),
	}
	if o.write {
		c.access = C.BYTEFD_MAP_WRITE
	}
	var m *C.bytefd_map
	var found C.int
	var failure C.bytefd_error
	status := C.bytefd_map_sysv(C.key_t(key), &c, &m, &found, &failure)
	if _, err := result(status, &failure); err != nil {
		return nil, nil, 0, err
	}
	handle, data, err = mapped(m, nil)
	return handle, data, int(found), err
}

func sysvRemove(shmid int32) error {
	var failure C.bytefd_error
	_, err := result(C.bytefd_sysv_remove(C.int(shmid), &failure), &failure)
	return err
}

func exportDMABuf(fd int) (int, error) {
	var failure C.bytefd_error
	return result(C.bytefd_export_dmabuf(C.int(fd), &failure), &failure)
}

// fileLock does not wait, because a wait in C keeps a thread.
func fileLock(fd int, offset, length int64, operation int) error {
	var failure C.bytefd_error
	status := C.bytefd_file_lock(C.int(fd), C.uint64_t(offset), lockedBytes(length),
		C.int(operation), 0, 0, &failure)
	_, err := result(status, &failure)
	return err
}

func fileUnlock(fd int, offset, length int64) error {
	var failure C.bytefd_error
	status := C.bytefd_file_unlock(C.int(fd), C.uint64_t(offset), lockedBytes(length), &failure)
	_, err := result(status, &failure)
	return err
}

func lockedBytes(length int64) C.uint64_t {
	if length == ToEnd {
		return C.BYTEFD_UNLIMITED
	}
	return C.uint64_t(length)
}

func futexWait(word *uint32, value uint32, timeout time.Duration) error {
	var failure C.bytefd_error
	c := (*C.uint32_t)(unsafe.Pointer(word))
	_, err := result(C.wait_word(c, C.uint32_t(value), C.int64_t(timeout), &failure), &failure)
	runtime.KeepAlive(word)
	return err
}

func futexWake(word *uint32, count uint32) (int, error) {
	var failure C.bytefd_error
	c := (*C.uint32_t)(unsafe.Pointer(word))
	return result(C.wake_word(c, C.uint32_t(count), &failure), &failure)
}
