//go:build linux

package bytefd_test

import (
	"errors"
	"io/fs"
	"syscall"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
)

func TestErrorsAnswerToTheirErrnoAndToWhatItStandsFor(t *testing.T) {
	for _, c := range []struct {
		errno syscall.Errno
		is    error
	}{
		{syscall.ENOENT, fs.ErrNotExist},
		{syscall.EACCES, fs.ErrPermission},
		{syscall.EPERM, fs.ErrPermission},
		{syscall.EEXIST, fs.ErrExist},
		{syscall.EOPNOTSUPP, errors.ErrUnsupported},
	} {
		var err error = &bytefd.Error{Op: "step", Errno: c.errno, Message: "message"}
		if !errors.Is(err, c.errno) || !errors.Is(err, c.is) {
			t.Errorf("%v is not %v", c.errno, c.is)
		}
		if errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%v is ENOSPC", c.errno)
		}
		if errors.Is(err, fs.ErrClosed) {
			t.Errorf("%v is fs.ErrClosed", c.errno)
		}
	}
}
