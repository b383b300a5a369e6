package bytefd

import (
	"context"
	"io/fs"
	"os"
	"syscall"
)

// Error describes a failure. Every error that this package makes is an *Error or wraps one, for
// errors.As. Errors of others are returned as they are: those of a callback, a reader, a context or
// package net. So are io.EOF and io.ErrNoProgress, where the documentation of a function or method
// names them.
//
// errors.Is finds the errno (syscall.ENOSPC) and what package syscall maps it to (fs.ErrNotExist,
// errors.ErrUnsupported).
type Error struct {
	// Op is the step that failed: a system call ("memfd_create"), a step of this package ("seal"),
	// or the argument that was refused ("name").
	Op string
	// Errno is the reason. It is never 0.
	Errno syscall.Errno
	// Message says in one line what was asked and what was found, without Op.
	Message string
}

// Error returns "bytefd: ", Op and Message in one line.
func (e *Error) Error() string { return "bytefd: " + e.Op + ": " + e.Message }

// Unwrap returns Errno.
func (e *Error) Unwrap() error { return e.Errno }

// Is lets errors.Is find os.ErrDeadlineExceeded and context.DeadlineExceeded in an error whose
// Errno is ETIMEDOUT. Errnos are found through [Error.Unwrap].
func (e *Error) Is(target error) bool {
	return e.Errno == syscall.ETIMEDOUT &&
		(target == os.ErrDeadlineExceeded || target == context.DeadlineExceeded)
}

// closed is the error of a closed value. It is os.ErrClosed and EBADF. An EBADF of the kernel is
// not os.ErrClosed.
type closed struct{ err Error }

func isClosed(op, message string) error { return &closed{Error{op, syscall.EBADF, message}} }

func (c *closed) Error() string { return c.err.Error() }

// Unwrap returns the *Error and os.ErrClosed.
func (c *closed) Unwrap() []error { return []error{&c.err, fs.ErrClosed} }

// nilReceiver is the error of a method whose receiver is nil. It is os.ErrInvalid and EINVAL.
type nilReceiver struct{ err Error }

func isNil(op string) error {
	return &nilReceiver{Error{op, syscall.EINVAL, op + " is nil"}}
}

func (n *nilReceiver) Error() string { return n.err.Error() }

// Unwrap returns the *Error and os.ErrInvalid.
func (n *nilReceiver) Unwrap() []error { return []error{&n.err, fs.ErrInvalid} }
