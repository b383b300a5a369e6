package bytefd

import (
	"io"
	"syscall"
	"unsafe"
)

// isTerminal reports whether r reads a terminal, tcgetattr(3).
func isTerminal(r io.Reader) (yes bool) {
	onDescriptor(r, func(fd int) error {
		var attributes syscall.Termios
		at := uintptr(unsafe.Pointer(&attributes))
		_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.TCGETS, at)
		yes = errno == 0
		return nil
	})
	return yes
}

// duplicate returns another number of a description, which is none of the standard streams.
func duplicate(fd int) (int, error) {
	duplicate, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_DUPFD_CLOEXEC, 3)
	if errno == syscall.EINVAL {
		errno = syscall.EMFILE // RLIMIT_NOFILE allows no number that high
	}
	if errno != 0 {
		return 0, &Error{"fcntl", errno, errno.Error()}
	}
	return int(duplicate), nil
}
