package bytefd

import (
	"net"
	"os"
	"syscall"
)

// Send sends bytes and descriptors over a Unix socket, unix(7): a stream, datagrams or packets. The receiver gets
// descriptors of the same descriptions (SCM_RIGHTS), with the same offset; the files stay the caller's, and may be
// closed when Send has returned. Nothing is added to the bytes, so the other end can be anybody's code.
//
// On a stream the message goes out whole, in parts if need be, and does not mix with those of other goroutines. More
// than 253 files are sent in parts too, each with one byte at least.
//
// Deadlines of conn hold for all of it, and Close ends it. The error is package net's then: os.ErrDeadlineExceeded or
// net.ErrClosed. Part of a message on a stream may have gone out after any error; only closing it helps.
//
// Errors: EINVAL on a stream for no bytes, or fewer than parts, for an empty packet with files, and for a nil conn or file; E2BIG for
// more than 253 files in one datagram or packet, EMSGSIZE if it is too long; EPIPE, ECONNRESET if nobody receives any
// more; ENOTCONN; ETOOMANYREFS if too many descriptors are in flight. For a closed file the error is os.ErrClosed.
func Send(conn *net.UnixConn, message []byte, files ...*os.File) error {
	raw, err := rawConn(conn)
	if err != nil {
		return err
	}
	return lentAll(files, func(fds []int) error { return send(raw, message, fds) })
}

// Receive receives a message with exactly n descriptors, and puts its bytes into message. The files are the caller's to
// close, and close-on-exec from the start. If anything is required, each of them is looked at as by [Verify], and all
// are refused if one is not what is asked for; with no requirement nothing is asked.
//
// On a stream the message is as long as the slice, and is waited for; what other goroutines receive does not mix with
// it. Datagrams and packets may be shorter: length says how long it is.
//
// Deadlines of conn hold for all of it, and Close ends it. The error is package net's then: os.ErrDeadlineExceeded or
// net.ErrClosed. After an error in the middle of a message on a stream the rest of it comes with the next call: only
// closing it helps.
//
// The error is io.EOF, as it is, if the other end was closed and no byte of a message has come. Other errors, after
// which the descriptors that came are closed: EBADMSG if another number of descriptors has come; EMSGSIZE if the
// datagram or packet is longer than the slice; EMFILE if the kernel could not deliver all descriptors, because of
// RLIMIT_NOFILE or a security module; ECONNRESET if the other end was closed within a message; [Verify]'s own; EINVAL
// if n is negative, conn is nil, or message is empty on a stream.
func Receive(
	conn *net.UnixConn, message []byte, n int, wanted ...Requirement,
) (length int, files []*os.File, err error) {
	required, err := newRequirements(wanted)
	if err != nil {
		return 0, nil, err
	}
	if n < 0 {
		return 0, nil, isNegative("n", n)
	}
	raw, err := rawConn(conn)
	if err != nil {
		return 0, nil, err
	}
	length, fds, err := receive(raw, message, n)
	if err != nil {
		return 0, nil, err
	}
	for _, fd := range fds {
		files = append(files, os.NewFile(uintptr(fd), "received"))
	}
	for _, f := range files {
		if len(wanted) == 0 {
			break
		}
		if err := lent(f, func(fd int) error { return verify(fd, required) }); err != nil {
			closeAll(files)
			return 0, nil, err
		}
	}
	return length, files, nil
}

// Credentials say who is at the other end of a connected socket, as the kernel saw it then.
type Credentials struct {
	// Process is its number, as this process sees it; 0 if it cannot. It may have ended, and the number be somebody
	// else's by now.
	Process int
	// User is its effective user.
	User uint32
	// Group is its effective group.
	Group uint32
}

// Peer returns who called connect(2), listen(2) or socketpair(2) for the other end of a socket, SO_PEERCRED of unix(7).
// Nobody can pretend. Who has the other end now may be somebody else, because sockets are inherited and sent.
//
// Errors: ENOTCONN if it has no other end; EINVAL if conn is nil. After Close the error is net.ErrClosed.
func Peer(conn *net.UnixConn) (Credentials, error) {
	raw, err := rawConn(conn)
	if err != nil {
		return Credentials{}, err
	}
	var found Credentials
	var failure error
	if err := raw.Control(func(fd uintptr) { found, failure = peer(int(fd)) }); err != nil {
		return Credentials{}, err
	}
	return found, failure
}

func rawConn(conn *net.UnixConn) (syscall.RawConn, error) {
	if conn != nil {
		if raw, err := conn.SyscallConn(); err == nil {
			return raw, nil
		}
	}
	return nil, &Error{"conn", syscall.EINVAL, "there is no connection"}
}

// lentAll is lent for several files.
func lentAll(files []*os.File, use func(fds []int) error) error {
	fds := make([]int, 0, len(files))
	var next func() error
	next = func() error {
		if len(fds) == len(files) {
			return use(fds)
		}
		return lent(files[len(fds)], func(fd int) error {
			fds = append(fds, fd)
			return next()
		})
	}
	return next()
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
