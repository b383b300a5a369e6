package bytefd

import (
	"context"
	"io/fs"
	"os"
	"syscall"
)

// Error says what went wrong. All errors of this package are of this type, or wrap one (errors.As);
// errors that a callback or a reader returns are passed on as they are.
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

// closed is what the methods of a closed value return. It is os.ErrClosed and EBADF; an EBADF of the kernel is not os.ErrClosed.
type closed struct{ e Error }

func isClosed(op, message string) error { return &closed{Error{op, syscall.EBADF, message}} }

// Unwrap returns the *Error, and os.ErrClosed.
func (c *closed) Unwrap() []error { return []error{&c.e, fs.ErrClosed} }

// Error returns the text of the *Error.
func (c *closed) Error() string { return c.e.Error() }

// nilReceiver is what a method of a nil pointer returns. It is os.ErrInvalid and EINVAL.
type nilReceiver struct{ e Error }

func isNil(op string) error { return &nilReceiver{Error{op, syscall.EINVAL, "the " + op + " is nil"}} }

// Unwrap returns the *Error, and os.ErrInvalid.
func (n *nilReceiver) Unwrap() []error { return []error{&n.e, fs.ErrInvalid} }

// Error returns the text of the *Error.
func (n *nilReceiver) Error() string { return n.e.Error() }
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
