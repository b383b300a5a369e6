//go:build !cgo

package bytefd

import (
	"fmt"
	"math"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Files whose names begin with pure_ do in Go, for programs without cgo, what files that begin with
// cgo_ leave to the library. They make the library's promises, with the library's words in errors.
// The same tests prove both.

// unsupported returns the error of a call that only the library can serve.
func unsupported(what string) error {
	message := what + " needs cgo, and this program was built without it"
	return &Error{"cgo", syscall.ENOTSUP, message}
}

func wrap(b []byte, o wrapOptions) (int, error) { return wrapSegments([][]byte{b}, o) }

func wrapSegments(bs [][]byte, o wrapOptions) (int, error) {
	p, err := newPlan(o)
	if err != nil {
		return 0, err
	}
	fd, err := p.wrap(bs)
	if e, ok := err.(*Error); ok && e.Errno == syscall.EBUSY {
		// The kernel uses the pages, for example to move them. Another file has other pages.
		fd, err = p.wrap(bs)
	}
	return fd, err
}

func (p *plan) wrap(bs [][]byte) (int, error) {
	total, err := totalLength(bs)
	if err != nil {
		return 0, err
	}
	file, err := p.create(total)
	if err != nil {
		return 0, err
	}
	if err := fill(file.fd, bs, total); err != nil {
		unix.Close(file.fd)
		return 0, err
	}
	return p.finish(file)
}

// scanLoan is a lent descriptor, and the file that it refers to.
type scanLoan struct {
	fd   int
	file identity
}

func scanBegin(b []byte, _ unsafe.Pointer, o wrapOptions) (fd int, loan unsafe.Pointer, err error) {
	fd, err = wrap(b, o)
	if err != nil {
		return 0, nil, err
	}
	stat, err := fstat(fd)
	if err != nil {
		unix.Close(fd)
		return 0, nil, because("fstat", err, "the new file")
	}
	return fd, unsafe.Pointer(&scanLoan{fd, identityOf(&stat)}), nil
}

// scanEnd closes the descriptor, unless the borrower closed it and the number refers to another
// file.
func scanEnd(loan unsafe.Pointer) {
	lent := (*scanLoan)(loan)
	if stat, err := fstat(lent.fd); err == nil && identityOf(&stat) == lent.file {
		unix.Close(lent.fd)
	}
}

func reopen(fd int) (int, error) {
	if err := checkOpen(fd); err != nil {
		return 0, err
	}
	return reopenForReading(fd)
}

// checkOpen returns EBADF if fd is not an open descriptor or has more than 32 bits, of which the
// kernel would read the lower half.
func checkOpen(fd int) error {
	if fd == int(int32(fd)) {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
			return nil
		}
	}
	return &Error{"fd", syscall.EBADF, fmt.Sprintf("%d is not an open descriptor", fd)}
}

// totalLength returns the length of all segments together, if a file can have it.
func totalLength(bs [][]byte) (total int64, err error) {
	for _, b := range bs {
		if int64(len(b)) > math.MaxInt-total {
			const format = "the length of %d segments exceeds %d bytes"
			return 0, &Error{"length", syscall.EINVAL, fmt.Sprintf(format, len(bs), math.MaxInt)}
		}
		total += int64(len(b))
	}
	return total, nil
}
