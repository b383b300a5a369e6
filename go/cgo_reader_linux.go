package bytefd

// #include <stdint.h>
// #include <sys/types.h>
import "C"

import (
	"runtime/cgo"
	"syscall"
	"unsafe"
)

// bytefd_go_read gives C the next bytes; see passing. Its name begins as those of C do, because it
// is a symbol of every program that uses the package.
//
//export bytefd_go_read
func bytefd_go_read(context C.uintptr_t, buf unsafe.Pointer, size C.size_t) C.ssize_t {
	p := cgo.Handle(context).Value().(*passing)
	p.requests <- unsafe.Slice((*byte)(buf), int(size))
	count := <-p.counts
	if count < 0 {
		return -C.ssize_t(syscall.ECANCELED)
	}
	return C.ssize_t(count)
}
