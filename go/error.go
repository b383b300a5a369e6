package bytefd

import (
	"context"
	"io/fs"
	"os"
	"syscall"
)

// Error says what went wrong. All errors of this package are of this type; errors that a callback
// or a reader returns are passed on as they are.
//
// errors.Is knows the errno (syscall.ENOSPC) and what it stands for (fs.ErrNotExist,
// errors.ErrUnsupported).
type Error struct {
	// Op is the step that failed: a system call ("memfd_create") or the argument that was refused ("name").
	Op string
	// Errno is the kind of failure; it is never 0.
	Errno syscall.Errno
	// Message says in one line what was asked and what was found, without Op.
	Message string
}

// Error returns Op and Message in one line.
func (e *Error) Error() string { return "bytefd: " + e.Op + ": " + e.Message }

// Unwrap returns Errno.
func (e *Error) Unwrap() error { return e.Errno }

// Is reports that EBADF, which use after Close gives, is fs.ErrClosed, and that ETIMEDOUT is
// os.ErrDeadlineExceeded and context.DeadlineExceeded. The package errors does the rest by Unwrap.
func (e *Error) Is(target error) bool {
	switch target {
	case fs.ErrClosed:
		return e.Errno == syscall.EBADF
	case os.ErrDeadlineExceeded, context.DeadlineExceeded:
		return e.Errno == syscall.ETIMEDOUT
	}
	return false
}
