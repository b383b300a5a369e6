package bytefd

import (
	"os"
	"strconv"
)

// Reopen opens the regular file behind fd again: read-only, with an offset of its own at 0, close-on-exec. A duplicate
// shares its offset with the original; this does not. The caller owns the result; fd stays open and must be open
// during the call.
//
// It is no protection by itself: whoever holds it can open the file read-write through /proc again, as far as the
// file's mode allows. Only seals protect.
//
// Errors: EBADF; EINVAL if fd is not a regular file; ENOENT where /proc is not mounted; EACCES if the file's mode
// forbids reading; and open(2)'s own.
func Reopen(fd int) (*os.File, error) {
	reopened, err := reopen(fd)
	return newFile(reopened, Path(fd), err)
}

// Path returns "/proc/self/fd/N" for fd, for code that takes only a path. It does not look whether fd is open.
//
// The path names the descriptor for this process and as long as it is open; opening it gives a description with an
// offset of its own. A child process finds the file under the same path if it inherits the descriptor ([Inherit]). Code
// that resolves the link first (SQLite does) or opens with O_NOFOLLOW finds nothing there. With a backend other than
// [BackendMemfd], give it to no code that resolves the link and opens the result: somebody else can make a file of that
// name.
func Path(fd int) string {
	return "/proc/self/fd/" + strconv.Itoa(fd)
}
