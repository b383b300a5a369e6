package bytefd

import (
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// Reopen opens the regular file behind fd again. The result is open for reading only, is
// close-on-exec, and has its own offset, which is 0. A duplicate shares its offset with the
// original; this file does not. The caller owns and closes it.
//
// fd is an int, a uintptr as File.Fd returns it, or a value with a SyscallConn method, such as an
// *os.File. Reopen does not close it.
//
// Warning: Reopen does not protect the content. Code that has the descriptor can open the file for
// writing through /proc, if the mode of the file allows it. Only seals protect.
//
// Errors:
//   - EACCES if the mode of the file forbids reading.
//   - EBADF if fd is not an open descriptor.
//   - EINVAL if fd is not a regular file, is nil, or its Go type is none of these.
//   - os.ErrClosed if the value is closed.
//   - ENOENT if /proc is not mounted.
//   - Others of open(2).
func Reopen(fd any) (f *os.File, err error) {
	err = withNumber(fd, func(fd int) error {
		reopened, err := reopen(fd)
		f, err = newFile(reopened, Path(fd), err)
		return err
	})
	return f, err
}

// Path returns "/proc/self/fd/N" for fd, for code that takes a path only. fd is as for [Reopen]. N
// is -1 if fd is a value that is closed or nil, or if it has another type. Path does not check
// whether a number is an open descriptor.
//
// The path is valid in this process while the descriptor is open: keep an *os.File from being
// collected (runtime.KeepAlive). Opening the path gives a descriptor with its own offset. A child
// process that inherits the descriptor under its number ([WrapInherit]) finds the file under the
// same path. In exec.Cmd.ExtraFiles, file i has the number 3+i in the child. [Attach] gives a file
// to one child.
//
// Code that resolves the link first, such as SQLite, or that opens with O_NOFOLLOW does not find
// the file there; use [NewTempFile].
//
// Warning: code that resolves the link and opens the result can even get a wrong file. If this
// package made the file with another [Backend] than memfd, another user can create a file with the
// name that the link resolves to. With a memfd this cannot happen.
func Path(fd any) string {
	number := -1
	withNumber(fd, func(fd int) error {
		number = fd
		return nil
	})
	return "/proc/self/fd/" + strconv.Itoa(number)
}

// Attach gives b to the child that cmd will start, and to no other process that this program
// starts, unless [WrapInherit] is given. Programs that the child starts have the descriptor too. It
// makes a file as [WrapBuffer] does, adds it to cmd.ExtraFiles, and returns the path under which
// the child finds it. Call Attach before cmd is started, and for each child anew. Several calls
// give the child several files.
//
// Opening the path in the child gives a descriptor with its own offset. A child with another user
// (SysProcAttr.Credential) cannot open the path (EACCES), unless [WrapMode] lets others read the
// file. The descriptor itself can be read in any case. The file belongs to cmd.ExtraFiles. It is
// closed when cmd is garbage collected; the caller may close it as soon as the child has started.
//
// Errors are those of [WrapBuffer], and EINVAL if cmd is nil or has been started. cmd is then
// unchanged.
func Attach(cmd *exec.Cmd, b []byte, opts ...WrapOption) (path string, err error) {
	if cmd == nil {
		return "", &Error{"cmd", syscall.EINVAL, "cmd is nil"}
	}
	if cmd.Process != nil {
		return "", &Error{"cmd", syscall.EINVAL, "cmd has been started"}
	}
	f, err := WrapBuffer(b, opts...)
	if err != nil {
		return "", err
	}
	// The first of them is 3 in the child.
	path = Path(3 + len(cmd.ExtraFiles))
	cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	return path, nil
}
