package bytefd

/*
#include <stdlib.h>
#include "bytefd.h"

// Bytes are char pointers, which cgo does not check. For void pointers and iovecs cgo checks the
// whole allocation, and refuses bytes of a struct that also has Go pointers.
//
// Options and results are values, because Go moves a value to the heap if C gets a pointer to it.

typedef struct {
	int fd;
	bytefd_scan *scan; // NULL if the descriptor is given away
	bytefd_error error; // set only if fd is negative
} made;

static made wrap_bytes(const char *bytes, size_t len, bytefd_wrap_options options) {
	made m;
	m.scan = NULL;
	m.fd = bytefd_wrap_buffer(bytes, len, &options, &m.error);
	return m;
}

static made wrap_iov(const char *iov, size_t count, bytefd_wrap_options options) {
	made m;
	m.scan = NULL;
	m.fd = bytefd_wrap_iov((const struct iovec *)iov, count, &options, &m.error);
	return m;
}

// Exported by cgo_reader_linux.go.
ssize_t bytefd_go_read(uintptr_t context, void *buf, size_t size);

static ssize_t go_read(void *context, void *buf, size_t size) {
	return bytefd_go_read((uintptr_t)context, buf, size);
}

static made wrap_reader(uintptr_t context, bytefd_wrap_options options,
                        bytefd_stream_options stream) {
	made m;
	m.scan = NULL;
	m.fd = bytefd_wrap_reader(go_read, (void *)context, &options, &stream, &m.error);
	return m;
}

static made scan_begin(const char *bytes, size_t len, bytefd_wrap_options options) {
	made m;
	m.scan = NULL;
	m.fd = bytefd_scan_begin(bytes, len, &options, &m.scan, &m.error);
	return m;
}

static made scan_begin_iov(const char *iov, size_t count, bytefd_wrap_options options) {
	made m;
	m.scan = NULL;
	m.fd = bytefd_scan_begin_iov((const struct iovec *)iov, count, &options, &m.scan, &m.error);
	return m;
}

static made scan_begin_reader(uintptr_t context, bytefd_wrap_options options,
                              bytefd_stream_options stream) {
	made m;
	m.scan = NULL;
	m.fd = bytefd_scan_begin_reader(go_read, (void *)context, &options, &stream, &m.scan, &m.error);
	return m;
}
*/
import "C"

import (
	"math"
	"runtime"
	"runtime/cgo"
	"unsafe"
)

// This does not compile if a constant differs from the header.
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

func wrap(b []byte, o wrapOptions) (int, error) {
	c, err := o.c(nil)
	if err != nil {
		return 0, err
	}
	defer freeName(c)
	fd, _, err := madeBy(C.wrap_bytes(chars(b), C.size_t(len(b)), c))
	return fd, err
}

func wrapSegments(bs [][]byte, o wrapOptions) (int, error) {
	c, err := o.c(nil)
	if err != nil {
		return 0, err
	}
	defer freeName(c)
	var pinner runtime.Pinner
	defer pinner.Unpin()
	iov := segments(bs, &pinner)
	fd, _, err := madeBy(C.wrap_iov(chars(iov), C.size_t(len(bs)), c))
	return fd, err
}

// segments returns the slices for C. C may follow Go pointers in Go memory only if they are pinned.
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

func wrapReader(p *passing, o wrapOptions) (int, error) {
	c, err := o.c(nil)
	if err != nil {
		return 0, err
	}
	defer freeName(c)
	handle := cgo.NewHandle(p)
	defer handle.Delete()
	fd, _, err := madeBy(C.wrap_reader(C.uintptr_t(handle), c, o.stream()))
	return fd, err
}

func scanBegin(
	b []byte, pool unsafe.Pointer, o wrapOptions,
) (fd int, loan unsafe.Pointer, err error) {
	c, err := o.c(pool)
	if err != nil {
		return 0, nil, err
	}
	defer freeName(c)
	return madeBy(C.scan_begin(chars(b), C.size_t(len(b)), c))
}

func scanBeginSegments(
	bs [][]byte, pool unsafe.Pointer, o wrapOptions,
) (fd int, loan unsafe.Pointer, err error) {
	c, err := o.c(pool)
	if err != nil {
		return 0, nil, err
	}
	defer freeName(c)
	var pinner runtime.Pinner
	defer pinner.Unpin()
	iov := segments(bs, &pinner)
	return madeBy(C.scan_begin_iov(chars(iov), C.size_t(len(bs)), c))
}

func scanBeginReader(
	p *passing, pool unsafe.Pointer, o wrapOptions,
) (fd int, loan unsafe.Pointer, err error) {
	c, err := o.c(pool)
	if err != nil {
		return 0, nil, err
	}
	defer freeName(c)
	handle := cgo.NewHandle(p)
	defer handle.Delete()
	return madeBy(C.scan_begin_reader(C.uintptr_t(handle), c, o.stream()))
}

func madeBy(made C.made) (fd int, loan unsafe.Pointer, err error) {
	if made.fd < 0 {
		failure := made.error
		_, err = result(made.fd, &failure)
		return 0, nil, err
	}
	return int(made.fd), unsafe.Pointer(made.scan), nil
}

func scanEnd(loan unsafe.Pointer) {
	C.bytefd_scan_end((*C.bytefd_scan)(loan))
}

// c returns the options for C. The caller frees the name.
func (o wrapOptions) c(pool unsafe.Pointer) (C.bytefd_wrap_options, error) {
	if err := o.check(); err != nil {
		return C.bytefd_wrap_options{}, err
	}
	c := C.bytefd_wrap_options{
		size:            C.sizeof_bytefd_wrap_options,
		pool:            (*C.bytefd_pool)(pool),
		spill_threshold: unlimited(o.spillThreshold),
		flags:           C.uint64_t(o.flags),
		backend:         C.uint32_t(o.backend),
		mode:            C.uint32_t(o.mode),
	}
	var err error
	if o.hasName {
		c.name, err = cString("name", o.name)
	}
	return c, err
}

func freeName(c C.bytefd_wrap_options) {
	if c.name != nil {
		C.free(unsafe.Pointer(c.name))
	}
}

func (o wrapOptions) stream() C.bytefd_stream_options {
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
