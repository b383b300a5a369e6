package recipe

/*
#cgo LDFLAGS: -lrt
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

// A wrapper, because cgo does not know mode_t.
static int create(const char *name) {
	return shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
}
*/
import "C"

import (
	"fmt"
	"os"
	"unsafe"
)

// name is made once, so that a run pays for the steps only.
var name = C.CString(fmt.Sprintf("/bytefd-bench-%d", os.Getpid()))

// Run puts b into a shared memory object, reads its size, and removes it. Only one goroutine at a
// time may call it.
func Run(b []byte) error {
	fd, err := C.create(name)
	if fd < 0 {
		return err
	}
	err = use(fd, b)
	if status, failure := C.close(fd); status < 0 && err == nil {
		err = failure
	}
	if status, failure := C.shm_unlink(name); status < 0 && err == nil {
		err = failure
	}
	return err
}

func use(fd C.int, b []byte) error {
	if status, err := C.ftruncate(fd, C.off_t(len(b))); status < 0 {
		return err
	}
	for len(b) > 0 {
		n, err := C.write(fd, unsafe.Pointer(unsafe.SliceData(b)), C.size_t(len(b)))
		if n < 0 {
			return err
		}
		b = b[n:]
	}
	var stat C.struct_stat
	if status, err := C.fstat(fd, &stat); status < 0 {
		return err
	}
	return nil
}
