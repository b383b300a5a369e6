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
	// Op is the step that failed: a system call ("memfd_create") or the argument that was refused
	// ("name").
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

// Is reports that ETIMEDOUT is os.ErrDeadlineExceeded and context.DeadlineExceeded. The package
// errors does the rest by Unwrap.
func (e *Error) Is(target error) bool {
	return e.Errno == syscall.ETIMEDOUT &&
		(target == os.ErrDeadlineExceeded || target == context.DeadlineExceeded)
}

// closed is what the methods of a closed value return. It is os.ErrClosed and EBADF; an EBADF of
// the kernel is not os.ErrClosed.
type closed struct{ err Error }

func isClosed(op, message string) error { return &closed{Error{op, syscall.EBADF, message}} }

func (c *closed) Error() string { return c.err.Error() }

// Unwrap returns the *Error, and os.ErrClosed.
func (c *closed) Unwrap() []error { return []error{&c.err, fs.ErrClosed} }

// nilReceiver is what a method of a nil pointer returns. It is os.ErrInvalid and EINVAL.
type nilReceiver struct{ err Error }

func isNil(op string) error {
	return &nilReceiver{Error{op, syscall.EINVAL, "the " + op + " is nil"}}
}

func (n *nilReceiver) Error() string { return n.err.Error() }

// Unwrap returns the *Error, and os.ErrInvalid.
func (n *nilReceiver) Unwrap() []error { return []error{&n.err, fs.ErrInvalid} }
