package bytefd

import (
	"fmt"
	"net"
	"os"
	"syscall"
)

// Send sends bytes and descriptors over a Unix socket, unix(7): a stream, datagrams or packets. The
// receiver gets descriptors of the same open file descriptions (SCM_RIGHTS), with the same offset.
// The files stay the caller's, and may be closed when Send has returned. Nothing is added to the
// bytes, so the other end can be anybody's code.
//
// On a stream the message goes out whole, in parts if need be, and does not mix with those of other
// goroutines. More than 253 files are sent in parts too, each with one byte at least.
//
// Deadlines of conn hold for all of it, and Close ends it. The error is package net's then:
// os.ErrDeadlineExceeded or net.ErrClosed. Part of a message on a stream may have gone out after
// any error; only closing conn helps.
//
// Errors:
//   - EINVAL on a stream for no bytes, or fewer than parts; for an empty packet with files; for a
//     nil conn or file.
//   - E2BIG for more than 253 files in one datagram or packet; EMSGSIZE if it is too long.
//   - EPIPE, ECONNRESET if the other end is closed; ENOTCONN if there is none.
//   - ETOOMANYREFS if too many descriptors are in flight.
//   - os.ErrClosed for a closed file.
func Send(conn *net.UnixConn, message []byte, files ...*os.File) error {
	raw, err := rawConn(conn)
	if err != nil {
		return err
	}
	return lentAll(files, func(fds []int) error { return send(raw, message, fds) })
}

// SendFD is [Send] for descriptors that are not files of package os, such as the one that
// [ScanBytes] lends. They must stay open until SendFD returns. The error is EBADF if one is not
// open.
func SendFD(conn *net.UnixConn, message []byte, fds ...int) error {
	raw, err := rawConn(conn)
	if err != nil {
		return err
	}
	for _, fd := range fds {
		if fd < 0 || int(int32(fd)) != fd {
			return &Error{"fds", syscall.EBADF, fmt.Sprintf("%d is not an open descriptor", fd)}
		}
	}
	return send(raw, message, fds)
}

// Receive receives a message with at most n descriptors, and puts its bytes into message. The files
// are the caller's to close, and close-on-exec from the start. If anything is required, each of
// them is checked as by [Verify], and all are refused if one is not what is asked for; with no
// requirement nothing is asked.
//
// On a stream the message is as long as the slice, and is waited for; what other goroutines receive
// does not mix with it. Datagrams and packets may be shorter: length says how long it is. For
// messages that say their length inside use [ReceiveSome].
//
// Deadlines of conn hold for all of it, and Close ends it. The error is package net's then:
// os.ErrDeadlineExceeded or net.ErrClosed.
//
// After a refusal on a stream the rest of that message is read and discarded. Where that cannot be,
// because the deadline has passed or the peer has sent nothing for a second, conn is shut down for
// receiving, as by CloseRead. The next call never sees a mixture of two messages.
//
// For n of 0 the kernel drops descriptors instead of delivering them. That is EBADMSG as well,
// unless SO_PASSCRED, SO_PASSSEC or SO_PASSPIDFD is set on the socket: then the kernel does not say
// what it has dropped.
//
// Warning: a refusal can block, whatever the deadline. It closes the descriptors that came as its
// last step, and close(2) of a file on FUSE or NFS waits for the server of that file system. So
// does Close of a file that was received.
//
// Errors, after which the descriptors that came are closed:
//   - io.EOF, as it is, if the other end is closed, or conn was shut down, before a byte of a
//     message has come.
//   - EBADMSG if more than n descriptors came.
//   - EMSGSIZE if the datagram or packet is longer than the slice.
//   - EMFILE if the kernel could not deliver all descriptors, because of RLIMIT_NOFILE or a
//     security module.
//   - ECONNRESET if the other end was closed within a message.
//   - EINVAL if n is negative, conn is nil, or message is empty on a stream.
//   - Those of [Verify].
func Receive(
	conn *net.UnixConn, message []byte, n int, wanted ...Requirement,
) (length int, files []*os.File, err error) {
	return receiveFiles(conn, message, n, false, wanted)
}

// ReceiveSome is [Receive] for a stream whose messages say their length inside, as those of D-Bus,
// Wayland and varlink: it takes what has arrived, one byte at least, instead of waiting until the
// slice is full. A refusal discards what was taken and nothing else.
func ReceiveSome(
	conn *net.UnixConn, message []byte, n int, wanted ...Requirement,
) (length int, files []*os.File, err error) {
	return receiveFiles(conn, message, n, true, wanted)
}

func receiveFiles(
	conn *net.UnixConn, message []byte, n int, some bool, wanted []Requirement,
) (length int, files []*os.File, err error) {
	required, err := newRequirements(wanted)
	if err != nil {
		return 0, nil, err
	}
	if n < 0 {
		return 0, nil, isNegative("n", n)
	}
	length, fds, err := receive(conn, message, n, some, func(fd int) error {
		if len(wanted) == 0 {
			return nil
		}
		return verify(fd, required)
	})
	if err != nil {
		return 0, nil, err
	}
	for _, fd := range fds {
		files = append(files, os.NewFile(uintptr(fd), "received"))
	}
	return length, files, nil
}

// Credentials are the process, user and group at the other end of a connected socket, as the kernel
// saw them then.
type Credentials struct {
	// PID is its process, as this process sees it; 0 if it cannot. The process may have ended, and
	// its number be another's by now.
	PID int
	// UID is its effective user.
	UID uint32
	// GID is its effective group.
	GID uint32
}

// PeerCredentials returns who called connect(2), listen(2) or socketpair(2) for the other end of a
// socket, SO_PEERCRED of unix(7). The kernel vouches for it. Another process may have the other end
// by now, because sockets are inherited and sent.
//
// Errors: ENOTCONN if it has no other end; EINVAL if conn is nil. After Close the error is
// net.ErrClosed.
func PeerCredentials(conn *net.UnixConn) (Credentials, error) {
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
	return nil, &Error{"conn", syscall.EINVAL, "conn is nil"}
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
