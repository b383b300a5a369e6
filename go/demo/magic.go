//go:build linux

package main

/*
#cgo LDFLAGS: -lmagic
#include <magic.h>
*/
import "C"

import "errors"

// magic returns what libmagic finds behind a descriptor.
func magic(fd int) (string, error) {
	cookie := C.magic_open(C.MAGIC_NONE)
	if cookie == nil {
		return "", errors.New("magic_open: out of memory")
	}
	defer C.magic_close(cookie)
	if C.magic_load(cookie, nil) == 0 {
		if text := C.magic_descriptor(cookie, C.int(fd)); text != nil {
			return C.GoString(text), nil
		}
	}
	return "", errors.New("libmagic: " + C.GoString(C.magic_error(cookie)))
}
