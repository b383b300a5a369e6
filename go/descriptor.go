package bytefd

import (
	"fmt"
	"reflect"
	"strings"
	"syscall"
)

// withNumber calls f with the number of a descriptor, which stays open meanwhile.
func withNumber(fd any, f func(number int) error) error {
	switch fd := fd.(type) {
	case int:
		return f(fd)
	case syscall.Conn:
		if isNilPointer(fd) {
			return isNil("fd")
		}
		conn, err := fd.SyscallConn()
		if err != nil {
			return err
		}
		var failure error
		if err := conn.Control(func(number uintptr) { failure = f(int(number)) }); err != nil {
			return isClosed("fd", "it is closed: "+err.Error())
		}
		return failure
	}
	message := fmt.Sprintf("%T is neither a number nor has it a SyscallConn", fd)
	return &Error{"fd", syscall.EINVAL, message}
}

func isNilPointer(value any) bool {
	v := reflect.ValueOf(value)
	return v.Kind() == reflect.Pointer && v.IsNil()
}

// checkText refuses a NUL, which the kernel would take for the end of the text.
func checkText(op, text string) error {
	if strings.IndexByte(text, 0) >= 0 {
		return &Error{op, syscall.EINVAL, fmt.Sprintf("%q holds a NUL byte", text)}
	}
	return nil
}
