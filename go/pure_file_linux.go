//go:build !cgo

package bytefd

import (
	"math"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// again repeats a call while a signal interrupts it.
func again(call func() error) error {
	for {
		if err := call(); err != syscall.EINTR {
			return err
		}
	}
}

// openFile calls open(2) with O_CLOEXEC, so no child inherits the descriptor.
func openFile(path string, flags int, mode uint32) (fd int, err error) {
	err = again(func() (err error) {
		fd, err = unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NOCTTY, mode)
		return err
	})
	return fd, err
}

func fstat(fd int) (stat unix.Stat_t, err error) {
	err = again(func() error { return unix.Fstat(fd, &stat) })
	return stat, err
}

// identity differs between any two files that exist at the same time.
type identity struct{ device, inode uint64 }

func identityOf(stat *unix.Stat_t) identity { return identity{uint64(stat.Dev), uint64(stat.Ino)} }

func isRegular(stat *unix.Stat_t) bool { return stat.Mode&unix.S_IFMT == unix.S_IFREG }

// kindOf returns the kind of a file in words, with its article.
func kindOf(stat *unix.Stat_t) string {
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return "a regular file"
	case unix.S_IFDIR:
		return "a directory"
	case unix.S_IFIFO:
		return "a pipe or FIFO"
	case unix.S_IFSOCK:
		return "a socket"
	case unix.S_IFCHR:
		return "a character device"
	case unix.S_IFBLK:
		return "a block device"
	case unix.S_IFLNK:
		return "a symbolic link"
	}
	return "an object without a file type"
}

// aboveStreams gives a new descriptor a number above 2. A program that runs with closed standard
// streams would otherwise print into the file.
func aboveStreams(fd int) (int, error) {
	if fd > 2 {
		return fd, nil
	}
	defer unix.Close(fd)
	above, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err == syscall.EINVAL {
		err = syscall.EMFILE // RLIMIT_NOFILE allows no number that high
	}
	return above, err
}

func procPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// reopenForReading opens a regular file again, which gives an open file description with its own
// offset.
func reopenForReading(fd int) (int, error) {
	stat, err := fstat(fd)
	if err != nil {
		return 0, because("fstat", err, "descriptor "+strconv.Itoa(fd))
	}
	if !isRegular(&stat) {
		message := "descriptor " + strconv.Itoa(fd) + " is " + kindOf(&stat) +
			", not a regular file"
		return 0, &Error{"reopen", syscall.EINVAL, message}
	}
	reopened, err := openFile(procPath(fd), unix.O_RDONLY, 0)
	if err == nil {
		reopened, err = aboveStreams(reopened)
	}
	if err != nil {
		return 0, because("reopen", err, procPath(fd)+noProc())
	}
	return reopened, nil
}

// noProc returns the reason that an error about a file of /proc adds, if /proc is not mounted.
func noProc() string {
	var stat unix.Stat_t
	if unix.Stat("/proc/self/fd", &stat) != nil {
		return " (/proc is not mounted)"
	}
	return ""
}

// fileSizeLimit returns the largest size that this process may give a file. It is asked first,
// because the kernel sends SIGXFSZ beyond it.
func fileSizeLimit() int64 {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_FSIZE, &limit) != nil || limit.Cur > math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(limit.Cur)
}
