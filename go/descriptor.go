package bytefd

import (
	"fmt"
	"reflect"
	"strings"
	"syscall"
)

// withNumber calls f with the number of a descriptor. fd is that number, or a value with a
// SyscallConn method, which stays open meanwhile.
func withNumber(fd any, f func(number int) error) error {
	switch fd := fd.(type) {
	case int:
		return f(fd)
	case uintptr:
		return f(int(fd))
	case syscall.Conn:
		if isNilPointer(fd) {
			return isNil("fd")
		}
		conn, err := fd.SyscallConn()
		if err != nil {
			message := fmt.Sprintf("a %T has no descriptor: %v", fd, err)
			return &Error{"fd", syscall.EINVAL, message}
		}
		var failure error
		if err := conn.Control(func(number uintptr) { failure = f(int(number)) }); err != nil {
			return isClosed("fd", fmt.Sprintf("the %T is closed", fd))
		}
		return failure
	}
	message := fmt.Sprintf("a %T is neither an int, a uintptr nor a syscall.Conn", fd)
	return &Error{"fd", syscall.EINVAL, message}
}

func isNilPointer(value any) bool {
	v := reflect.ValueOf(value)
	return v.Kind() == reflect.Pointer && v.IsNil()
}

// checkText refuses a NUL, at which the kernel would end the text.
func checkText(op, text string) error {
	if strings.IndexByte(text, 0) >= 0 {
		return &Error{op, syscall.EINVAL, fmt.Sprintf("%q has a NUL byte", text)}
	}
	return nil
}
