//go:build cgo

package bytefd

import (
	"fmt"
	"io"
	"syscall"

	"golang.org/x/sys/unix"
)

// The messages go through Go's poller, not through C, which would wait where neither a deadline nor Close reaches it.

const (
	// Descriptors in one message, the kernel's SCM_MAX_FD.
	mostDescriptors = 253
	// Room for control data: all descriptors that one message can bring, and what else a program may have asked for on
	// its socket (credentials, a time stamp, a label).
	controlBytes = 8192
	// A descriptor of the sender's process, where the program has asked for one (SO_PASSPIDFD, Linux 6.5).
	scmPIDFD = 4
)

func send(conn syscall.RawConn, message []byte, fds []int) error {
	kind, err := socketKind(conn)
	if err != nil {
		return err
	}
	isStream := kind == unix.SOCK_STREAM
	parts := max(1, (len(fds)+mostDescriptors-1)/mostDescriptors)
	// An empty packet with descriptors would get a byte, unix.Sendmsg.
	if len(message) < parts && (isStream || kind == unix.SOCK_SEQPACKET && len(fds) > 0) {
		const format = "%d descriptors need a message of %d bytes or more, and it has %d"
		return &Error{"message", syscall.EINVAL, fmt.Sprintf(format, len(fds), parts, len(message))}
	}
	if !isStream && parts > 1 {
		const format = "%d descriptors are more than the %d that one message carries"
		return &Error{"files", syscall.E2BIG, fmt.Sprintf(format, len(fds), mostDescriptors)}
	}
	described := fmt.Sprintf("%d bytes and %d descriptors", len(message), len(fds))
	var failure error
	err = conn.Write(func(socket uintptr) (done bool) {
		for {
			now, later := fds[:min(len(fds), mostDescriptors)], fds[min(len(fds), mostDescriptors):]
			part := message
			if len(later) > 0 {
				part = message[:1] // what comes later needs a byte for each part
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
				failure = failed("sendmsg", err, described)
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

func receive(conn syscall.RawConn, message []byte, wanted int) (length int, fds []int, err error) {
	kind, err := socketKind(conn)
	if err != nil {
		return 0, nil, err
	}
	isStream := kind == unix.SOCK_STREAM
	if isStream && len(message) == 0 {
		return 0, nil, &Error{"message", syscall.EINVAL, "on a stream the message must have a length"}
	}
	defer func() {
		if err != nil {
			for _, fd := range fds {
				unix.Close(fd)
			}
			length, fds = 0, nil
		}
	}()
	control := make([]byte, controlBytes)
	var failure error
	err = conn.Read(func(socket uintptr) (done bool) {
		for {
			const flags = unix.MSG_CMSG_CLOEXEC | unix.MSG_DONTWAIT
			rest := message[length:]
			n, controlled, found, _, err := unix.Recvmsg(int(socket), rest, control, flags)
			switch err {
			case unix.EINTR:
				continue
			case unix.EAGAIN:
				return false
			case nil:
			default:
				failure = failed("recvmsg", err, fmt.Sprintf("%d of %d bytes received", length, len(message)))
				return true
			}
			fds = append(fds, descriptors(control[:controlled])...)
			switch {
			case found&unix.MSG_CTRUNC != 0:
				const format = "descriptors were lost on their way, %d arrived: RLIMIT_NOFILE?"
				failure = &Error{"control data", syscall.EMFILE, fmt.Sprintf(format, len(fds))}
				return true
			// Without room for a byte, Recvmsg takes one of a packet all the same.
			case found&unix.MSG_TRUNC != 0 || n > len(rest):
				const format = "the message is longer than %d bytes"
				failure = &Error{"message", syscall.EMSGSIZE, fmt.Sprintf(format, len(message))}
				return true
			case len(fds) > wanted:
				return true // what a stream brings besides is never needed
			case n == 0 && (isStream || len(fds) == 0 && isHungUp(int(socket))):
				if length == 0 {
					failure = io.EOF
					return true
				}
				const format = "the other end was closed after %d of %d bytes"
				failure = &Error{"message", syscall.ECONNRESET, fmt.Sprintf(format, length, len(message))}
				return true
			}
			length += n
			if !isStream || length == len(message) {
				return true
			}
		}
	})
	if err == nil {
		err = failure
	}
	if err == nil && len(fds) != wanted {
		err = &Error{"descriptors", syscall.EBADMSG, fmt.Sprintf("asked for %d, and %d have come", wanted, len(fds))}
	}
	for i := range fds {
		if err == nil {
			err = aboveStandardStreams(&fds[i])
		}
	}
	return length, fds, err
}

// descriptors returns what a message has brought. The kernel's control data is well-formed.
func descriptors(control []byte) (fds []int) {
	for len(control) > 0 {
		header, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			break
		}
		control = rest
		if header.Level != unix.SOL_SOCKET || header.Type != unix.SCM_RIGHTS && header.Type != scmPIDFD {
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

// aboveStandardStreams gives a descriptor below 3, of which others think that it is a standard stream, another number.
func aboveStandardStreams(fd *int) error {
	if *fd > 2 {
		return nil
	}
	above, err := unix.FcntlInt(uintptr(*fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return failed("fcntl F_DUPFD_CLOEXEC", err, "a descriptor above 2")
	}
	unix.Close(*fd)
	*fd = above
	return nil
}

// socketKind returns SOCK_STREAM and the like.
func socketKind(conn syscall.RawConn) (kind int, err error) {
	var failure error
	err = conn.Control(func(socket uintptr) {
		kind, failure = unix.GetsockoptInt(int(socket), unix.SOL_SOCKET, unix.SO_TYPE)
	})
	if err == nil && failure != nil {
		err = failed("getsockopt", failure, "SO_TYPE")
	}
	return kind, err
}

// isHungUp reports whether a packet without bytes means that there will be no more.
func isHungUp(socket int) bool {
	poll := []unix.PollFd{{Fd: int32(socket), Events: unix.POLLRDHUP}}
	_, err := unix.Poll(poll, 0)
	return err == nil && poll[0].Revents&(unix.POLLRDHUP|unix.POLLHUP) != 0
}
