package bytefd

import (
	"fmt"
	"net"
	"os"
	"syscall"
)

// Send sends bytes and descriptors over a Unix socket, unix(7): a stream, datagrams or packets
// (SOCK_SEQPACKET). The receiver gets descriptors of the same open file descriptions (SCM_RIGHTS),
// so they share the file offset. Send does not close the files. The caller may close them when Send
// has returned. Nothing is added to the bytes, so the other end can be any code.
//
// On a stream the whole message is sent, in parts if need be. It does not mix with messages of
// other goroutines. More than 253 files are sent in several parts, each with one byte at least.
//
// A write deadline of conn limits the whole call, and Close of conn ends it. The error is then that
// of package net: os.ErrDeadlineExceeded or net.ErrClosed. Warning: after any error on a stream,
// part of the message may have been sent. Close conn then.
//
// Errors:
//   - E2BIG for more than 253 files in one datagram or packet.
//   - EINVAL if a message on a stream has no bytes, or fewer bytes than parts.
//   - EINVAL if a packet with files has no bytes, or if conn or a file is nil.
//   - EMSGSIZE if a datagram or packet is too long.
//   - ENOTCONN if the socket is not connected.
//   - EPIPE or ECONNRESET if the other end is closed.
//   - ETOOMANYREFS if too many descriptors are in flight.
//   - os.ErrClosed if a file is closed.
func Send(conn *net.UnixConn, message []byte, files ...*os.File) error {
	raw, err := rawConn(conn)
	if err != nil {
		return err
	}
	return lentAll(files, func(fds []int) error { return send(raw, message, fds) })
}

// SendFD is [Send] for descriptors that have no *os.File, such as the one that [ScanBytes] lends.
// They must stay open until SendFD returns. EBADF if one is not open.
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

// Receive receives a message with at most n descriptors. It copies the bytes into message and
// returns the descriptors as files, which the caller owns and closes. The files are close-on-exec
// from the start. They are checked only if a [Requirement] is given: each of them as by [Verify].
// If one fails, all are refused. [RequireSealed] is the usual requirement.
//
// On a stream Receive waits until message is full. The bytes do not mix with what other goroutines
// receive. A datagram or packet may be shorter; length says how long it is. For messages that
// contain their own length, use [ReceiveSome].
//
// A read deadline of conn limits the whole call, and Close of conn ends it. The error is then that
// of package net: os.ErrDeadlineExceeded or net.ErrClosed.
//
// On a stream, an error after the first byte of a message, or a file that is refused, loses the
// message. Its rest is read and discarded, so that the next call never sees a mixture of two
// messages. If the deadline passes before the rest has come, or the peer sends nothing for a second
// meanwhile, conn is shut down for receiving, as by CloseRead.
//
// If more than n descriptors come, Receive returns EBADMSG. If n is 0 and descriptors come, the
// kernel drops them instead of delivering them, and Receive returns EBADMSG too. There is one
// exception for n of 0: if SO_PASSCRED, SO_PASSSEC or SO_PASSPIDFD is set on the socket, the kernel
// does not say that it dropped them, and Receive returns no error.
//
// Warning: a refusal can block, whatever the deadline. As its last step it closes the descriptors
// that came. close(2) of a file on FUSE or NFS waits for the server of that file system. Close of a
// received file can block in the same way.
//
// Errors, after which the descriptors that came are closed:
//   - io.EOF, unchanged, if the other end was closed, or conn was shut down, before a byte of a
//     message came.
//   - EBADMSG if more than n descriptors came.
//   - ECONNRESET if the other end was closed within a message.
//   - EINVAL if n is negative, conn is nil, or message is empty on a stream.
//   - EMFILE if the kernel could not deliver all descriptors, because of RLIMIT_NOFILE or a
//     security module.
//   - EMSGSIZE if the datagram or packet is longer than message.
//   - Those of [Verify].
func Receive(
	conn *net.UnixConn, message []byte, n int, wanted ...Requirement,
) (length int, files []*os.File, err error) {
	return receiveFiles(conn, message, n, false, wanted)
}

// ReceiveSome is [Receive] for a stream whose messages contain their own length, such as those of
// D-Bus, Wayland and varlink. It takes what has arrived, at least one byte, instead of waiting
// until message is full. A refusal discards only what this call took.
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

// Credentials are the process, user and group at the other end of a connected socket. The kernel
// recorded them when that process called connect(2), listen(2) or socketpair(2).
type Credentials struct {
	// PID is the process, as this process sees it, or 0 if it cannot see it. The process may have
	// ended, and another one may have its number by now.
	PID int
	// UID is the effective user.
	UID uint32
	// GID is the effective group.
	GID uint32
}

// PeerCredentials returns the credentials of the process that called connect(2), listen(2) or
// socketpair(2) for the other end of a socket, SO_PEERCRED of unix(7). The kernel vouches for them.
// Another process may have the other end by now, because sockets can be inherited and sent.
//
// Errors: ENOTCONN if the socket has no other end. EINVAL if conn is nil. After Close the error is
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
