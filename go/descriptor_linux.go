package bytefd

import (
	"io"
	"syscall"
	"unsafe"
)

// isTerminalMaster reports whether r reads the master of a pseudoterminal, ioctl_tty(2).
func isTerminalMaster(r io.Reader) (yes bool) {
	withNumber(r, func(fd int) error {
		var number uint32
		at := uintptr(unsafe.Pointer(&number))
		_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.TIOCGPTN, at)
		yes = errno == 0
		return nil
	})
	return yes
}

// closeNumber closes a descriptor that no os.File owns.
func closeNumber(fd int) { syscall.Close(fd) }

// duplicate returns another number, above 2, for the same open file description.
func duplicate(fd int) (int, error) {
	const command = syscall.F_DUPFD_CLOEXEC
	duplicate, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), command, 3)
	if errno == syscall.EINVAL {
		errno = syscall.EMFILE // RLIMIT_NOFILE allows no number that high
	}
	if errno != 0 {
		return 0, because("fcntl F_DUPFD_CLOEXEC", errno, "a descriptor above 2")
	}
	return int(duplicate), nil
}
