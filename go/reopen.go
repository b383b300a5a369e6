package bytefd

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// Reopen opens the regular file behind fd again and returns it: open for reading only, with an
// offset of its own at 0, and close-on-exec. A duplicate shares its offset with the original; this
// does not. The caller owns the result.
//
// fd is an int, or what has SyscallConn, such as an *os.File; another type is EINVAL. It stays
// open, and must be open during the call.
//
// This is no protection by itself: code that has the descriptor can open the file for writing
// through /proc, as far as the file's mode allows. Only seals protect.
//
// Errors: EBADF; EINVAL if fd is not a regular file; ENOENT if /proc is not mounted; EACCES if the
// file's mode forbids reading; and other errors of open(2).
func Reopen(fd any) (f *os.File, err error) {
	err = onDescriptor(fd, func(fd int) error {
		reopened, err := reopen(fd)
		f, err = newFile(reopened, Path(fd), err)
		return err
	})
	return f, err
}

// Path returns "/proc/self/fd/N" for fd, for code that takes only a path. fd is an int, or what has
// SyscallConn, such as an *os.File, for which N is -1 if it is closed. Path does not look whether a
// number is open.
//
// The path names the descriptor for this process and as long as it is open: keep an *os.File from
// being collected meanwhile (runtime.KeepAlive). Opening the path gives a description with an
// offset of its own. A child process finds the file under the same path if it inherits the
// descriptor ([WrapInherit]); [Attach] gives it to one child. Code that resolves the link first
// (SQLite does) or opens with O_NOFOLLOW finds nothing there. With a backend other than
// [BackendMemfd], give it to no code that resolves the link and opens the result: somebody else can
// make a file of that name.
func Path(fd any) string {
	number := -1
	onDescriptor(fd, func(fd int) error {
		number = fd
		return nil
	})
	return "/proc/self/fd/" + strconv.Itoa(number)
}

// Attach gives b to the child that cmd will start, and to no other: it adds a file made as
// [WrapBuffer] does to cmd.ExtraFiles, and returns the path under which the child finds it. Opening
// the path gives a description with an offset of its own. Call it before cmd is started.
//
// The file belongs to cmd.ExtraFiles; it is closed when cmd is collected, or by the caller once the
// child has started.
//
// Errors are those of [WrapBuffer]; EINVAL if cmd is nil or has been started. Then cmd is as it
// was.
func Attach(cmd *exec.Cmd, b []byte, opts ...WrapOption) (path string, err error) {
	if cmd == nil || cmd.Process != nil {
		return "", &Error{"cmd", syscall.EINVAL, "the command is nil or has been started"}
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

// onDescriptor calls use with the number of an int or of what has SyscallConn, which is open
// meanwhile.
func onDescriptor(from any, use func(fd int) error) error {
	switch from := from.(type) {
	case int:
		return use(from)
	case syscall.Conn:
		conn, err := from.SyscallConn()
		if err != nil {
			return &Error{"fd", syscall.EINVAL,
				fmt.Sprintf("a %T without a descriptor: %v", from, err)}
		}
		var failure error
		if err := conn.Control(func(fd uintptr) { failure = use(int(fd)) }); err != nil {
			return isClosed("fd", fmt.Sprintf("the %T is closed", from))
		}
		return failure
	}
	return &Error{"fd", syscall.EINVAL, fmt.Sprintf("a %T is no int and has no SyscallConn", from)}
}
