//go:build cgo

package bytefd

import (
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Messages go through Go's poller, not through C: a deadline and Close could not end a wait in C.

const (
	// The most descriptors in one message, the kernel's SCM_MAX_FD.
	mostDescriptors = 253
	// Room for the control data of one message: all its descriptors, and what else a program may
	// have asked for on its socket (credentials, a time stamp, a label).
	controlBytes = 8192
	// A descriptor of the sender's process, if the program has asked for one (SO_PASSPIDFD, Linux
	// 6.5).
	scmPIDFD = 4
)

func send(conn syscall.RawConn, message []byte, fds []int) error {
	kind, err := socketKind(conn)
	if err != nil {
		return err
	}
	isStream := kind == unix.SOCK_STREAM
	parts := max(1, (len(fds)+mostDescriptors-1)/mostDescriptors)
	// unix.SendmsgN would add a byte to an empty packet with descriptors.
	if len(message) < parts && (isStream || kind == unix.SOCK_SEQPACKET && len(fds) > 0) {
		const format = "the message has %d bytes, must have at least %d for %d descriptors"
		return &Error{"message", syscall.EINVAL, fmt.Sprintf(format, len(message), parts, len(fds))}
	}
	if !isStream && parts > 1 {
		const format = "%d descriptors exceed the %d of one message"
		return &Error{"files", syscall.E2BIG, fmt.Sprintf(format, len(fds), mostDescriptors)}
	}
	bytes, count := len(message), len(fds)
	var failure error
	err = conn.Write(func(socket uintptr) (done bool) {
		for {
			now, later := fds[:min(len(fds), mostDescriptors)], fds[min(len(fds), mostDescriptors):]
			part := message
			if len(later) > 0 {
				part = message[:1] // later parts need a byte each
			}
			var control []byte
			if len(now) > 0 {
				control = unix.UnixRights(now...)
			}
			const flags = unix.MSG_NOSIGNAL | unix.MSG_DONTWAIT
			sent, err := unix.SendmsgN(int(socket), part, control, nil, flags)
			switch err {
			case unix.EINTR:
				continue
			case unix.EAGAIN:
				return false
			case nil:
				message, fds = message[sent:], later
			default:
				const format = "sent %d of %d bytes, with %d descriptors"
				sent := bytes - len(message)
				failure = because("sendmsg", err, fmt.Sprintf(format, sent, bytes, count))
			}
			if failure != nil || !isStream || len(message) == 0 {
				return true
			}
		}
	})
	if err != nil {
		return err
	}
	return failure
}

// patience is how long the rest of a refused message may pause before the socket is shut down.
const patience = time.Second

// receive calls check for each descriptor that came, before it closes any.
func receive(
	conn *net.UnixConn, message []byte, capacity int, some bool, check func(fd int) error,
) (length int, fds []int, err error) {
	raw, err := rawConn(conn)
	if err != nil {
		return 0, nil, err
	}
	kind, err := socketKind(raw)
	if err != nil {
		return 0, nil, err
	}
	if kind == unix.SOCK_STREAM && len(message) == 0 {
		return 0, nil, &Error{"message", syscall.EINVAL,
			"length is 0, must be at least 1 on a stream"}
	}
	in := &incoming{message: message, capacity: capacity, some: some,
		isStream: kind == unix.SOCK_STREAM}
	if capacity > 0 {
		in.control = make([]byte, controlBytes)
	}
	// One call, so that no other goroutine receives a part of the message.
	err = raw.Read(func(socket uintptr) (done bool) {
		if in.refusal == nil && !in.take(int(socket)) {
			return false
		}
		return !in.hasRest() || in.skip(conn, int(socket))
	})
	isLate := in.timer != nil && !in.timer.Stop() // the timer has replaced the caller's deadline
	if in.refusal != nil {
		err = in.refusal
	}
	if err != nil && (isLate || in.hasRest()) {
		shutDown(conn, raw, message)
		if refusal, is := err.(*Error); is {
			message := refusal.Message + "; the socket is shut down for receiving"
			err = &Error{refusal.Op, refusal.Errno, message}
		}
	}
	for _, fd := range in.fds {
		if err == nil {
			err = check(fd)
		}
	}
	for i := range in.fds {
		if err == nil {
			err = aboveStandardStreams(&in.fds[i])
		}
	}
	if err != nil {
		// Last, because on some file systems close(2) takes long, or forever.
		for _, fd := range in.fds {
			unix.Close(fd)
		}
		return 0, nil, err
	}
	return in.length, in.fds, nil
}

// incoming is a message that is received entirely or refused.
type incoming struct {
	message        []byte
	length         int
	fds            []int
	capacity       int
	control        []byte
	some, isStream bool
	refusal        error
	hasEnded       bool // the other end was closed
	timer          *time.Timer
}

// hasRest reports whether the stream ends later than what was received of the message.
func (in *incoming) hasRest() bool {
	return in.isStream && !in.some && !in.hasEnded && in.length > 0 && in.length < len(in.message)
}

func (in *incoming) refuse(
	op string, errno syscall.Errno, format string, values ...any,
) (done bool) {
	in.refusal = &Error{op, errno, fmt.Sprintf(format, values...)}
	return true
}

// take receives until the message is complete or refused. It returns false if the socket has no
// more yet.
func (in *incoming) take(socket int) (done bool) {
	for {
		const flags = unix.MSG_CMSG_CLOEXEC | unix.MSG_DONTWAIT
		rest := in.message[in.length:]
		n, controlled, found, _, err := unix.Recvmsg(socket, rest, in.control, flags)
		switch err {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		case nil:
		default:
			in.refusal = because("recvmsg", err,
				fmt.Sprintf("received %d of %d bytes", in.length, len(in.message)))
			return true
		}
		in.fds = append(in.fds, descriptors(in.control[:controlled])...)
		// unix.Recvmsg takes one byte of a packet even without room for it.
		isCut := found&unix.MSG_TRUNC != 0 || n > len(rest)
		in.length += min(n, len(rest))
		switch {
		case found&unix.MSG_CTRUNC != 0 && in.capacity > 0:
			const format = "the kernel delivered %d descriptors and lost others: " +
				"no descriptor number was free (RLIMIT_NOFILE), " +
				"a security module refused them, " +
				"or the socket brings too much other control data"
			return in.refuse("recvmsg", syscall.EMFILE, format, len(in.fds))
		case found&unix.MSG_CTRUNC != 0 && !wantsControl(socket):
			return in.refuse("n", syscall.EBADMSG, "received descriptors, capacity is 0")
		case isCut:
			return in.refuse("message", syscall.EMSGSIZE, "the message is longer than %d bytes",
				len(in.message))
		case len(in.fds) > in.capacity:
			return in.refuse("n", syscall.EBADMSG, "received %d descriptors, capacity is %d",
				len(in.fds), in.capacity)
		case n == 0 && (in.isStream || len(in.fds) == 0 && isHungUp(socket)):
			in.hasEnded = true
			if in.length == 0 {
				in.refusal = io.EOF
				return true
			}
			const format = "the connection ended after %d of %d bytes"
			return in.refuse("message", syscall.ECONNRESET, format, in.length, len(in.message))
		case !in.isStream || in.some || in.length == len(in.message):
			return true
		}
	}
}

// skip reads and discards the rest of a refused message. The kernel drops its descriptors.
func (in *incoming) skip(conn *net.UnixConn, socket int) (done bool) {
	if in.timer == nil {
		in.timer = time.AfterFunc(patience, func() { conn.SetReadDeadline(time.Unix(1, 0)) })
	}
	for in.hasRest() {
		n, _, _, _, err := unix.Recvmsg(socket, in.message[in.length:], nil, unix.MSG_DONTWAIT)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return false
		case err != nil:
			return true
		case n == 0:
			in.hasEnded = true
		default:
			in.length += n
			in.timer.Reset(patience)
		}
	}
	return true
}

// shutDown ends receiving. It discards what has arrived, which would otherwise be taken for the
// next message.
func shutDown(conn *net.UnixConn, raw syscall.RawConn, buffer []byte) {
	conn.CloseRead()
	raw.Control(func(socket uintptr) {
		for {
			n, _, _, _, err := unix.Recvmsg(int(socket), buffer, nil, unix.MSG_DONTWAIT)
			if err != unix.EINTR && n <= 0 {
				return
			}
		}
	})
	conn.SetReadDeadline(time.Time{})
}

// wantsControl reports whether the program has asked for control data besides descriptors.
func wantsControl(socket int) bool {
	const passPIDFD = 76 // SO_PASSPIDFD
	for _, option := range []int{unix.SO_PASSCRED, unix.SO_PASSSEC, passPIDFD} {
		value, err := unix.GetsockoptInt(socket, unix.SOL_SOCKET, option)
		if err == nil && value != 0 {
			return true
		}
	}
	return false
}

// descriptors returns the descriptors in control data. The kernel's control data is well-formed.
func descriptors(control []byte) (fds []int) {
	for len(control) > 0 {
		header, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			break
		}
		control = rest
		if header.Level != unix.SOL_SOCKET ||
			header.Type != unix.SCM_RIGHTS && header.Type != scmPIDFD {
			continue
		}
		rights := unix.SocketControlMessage{Header: header, Data: data}
		rights.Header.Type = unix.SCM_RIGHTS // a PIDFD lies there in the same way
		found, _ := unix.ParseUnixRights(&rights)
		if header.Type == unix.SCM_RIGHTS {
			fds = append(fds, found...)
			continue
		}
		for _, fd := range found {
			unix.Close(fd)
		}
	}
	return fds
}

// aboveStandardStreams gives a descriptor below 3 another number, because code takes 0, 1 and 2 for
// the standard streams.
func aboveStandardStreams(fd *int) error {
	if *fd > 2 {
		return nil
	}
	above, err := unix.FcntlInt(uintptr(*fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return because("fcntl F_DUPFD_CLOEXEC", err, "a descriptor above 2")
	}
	unix.Close(*fd)
	*fd = above
	return nil
}

// socketKind returns the type of a socket, such as SOCK_STREAM.
func socketKind(conn syscall.RawConn) (kind int, err error) {
	var failure error
	err = conn.Control(func(socket uintptr) {
		kind, failure = unix.GetsockoptInt(int(socket), unix.SOL_SOCKET, unix.SO_TYPE)
	})
	if err == nil && failure != nil {
		err = because("getsockopt", failure, "SO_TYPE")
	}
	return kind, err
}

// isHungUp reports whether the other end of a packet socket was closed. A packet without bytes can
// mean that.
func isHungUp(socket int) bool {
	poll := []unix.PollFd{{Fd: int32(socket), Events: unix.POLLRDHUP}}
	_, err := unix.Poll(poll, 0)
	return err == nil && poll[0].Revents&(unix.POLLRDHUP|unix.POLLHUP) != 0
}
