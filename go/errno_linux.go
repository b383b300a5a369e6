package bytefd

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// because returns the error of a system call in the library's words: what was asked, and why the
// kernel refused it.
func because(op string, err error, asked string) error {
	errno := syscall.EIO
	errors.As(err, &errno)
	return &Error{op, errno, asked + ": " + inWords(errno)}
}

// inWords returns what strerror(3) says. Go's own words differ in the first letter, and Go has none
// for EHWPOISON.
func inWords(errno syscall.Errno) string {
	text := errno.Error()
	switch {
	case errno == unix.EHWPOISON:
		return "Memory page has hardware error"
	case text == fmt.Sprintf("errno %d", int(errno)):
		return fmt.Sprintf("Unknown error %d", int(errno))
	}
	return strings.ToUpper(text[:1]) + text[1:]
}
