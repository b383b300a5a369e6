package bytefd

// #include <stdlib.h>
// #include "bytefd.h"
import "C"

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"
)

func reopen(fd int) (int, error) {
	if err := inC(fd); err != nil {
		return 0, err
	}
	var failure C.bytefd_error
	return result(C.bytefd_reopen(C.int(fd), 0, &failure), &failure)
}

// hostReport asks with a buffer of this size, and with larger ones until the text fits.
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

// result converts what a C function returned into what a Go function returns.
func result(value C.int, failure *C.bytefd_error) (int, error) {
	if value < 0 {
		op, message := C.GoString(&failure.op[0]), C.GoString(&failure.message[0])
		return 0, &Error{op, syscall.Errno(-value), message}
	}
	return int(value), nil
}

// inC refuses a descriptor that C would take for another one, because a C int is shorter.
func inC(fd int) error {
	if int(C.int(fd)) != fd {
		return &Error{"fd", syscall.EBADF, fmt.Sprintf("%d is not an open descriptor", fd)}
	}
	return nil
}

// cString copies text to C memory, which the caller frees.
func cString(op, text string) (*C.char, error) {
	if err := checkText(op, text); err != nil {
		return nil, err
	}
	return C.CString(text), nil
}

// chars returns the address of the first element of a slice. It is not valid memory if the slice is
// empty.
func chars[T any](s []T) *C.char {
	return (*C.char)(unsafe.Pointer(unsafe.SliceData(s)))
}
