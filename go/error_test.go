//go:build linux && cgo

package bytefd_test

import (
	"errors"
	"io/fs"
	"strings"
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
		{syscall.EBADF, fs.ErrClosed},
		{syscall.EOPNOTSUPP, errors.ErrUnsupported},
	} {
		var err error = &bytefd.Error{Op: "step", Errno: c.errno, Message: "message"}
		if !errors.Is(err, c.errno) || !errors.Is(err, c.is) {
			t.Errorf("%v is not %v", c.errno, c.is)
		}
		if errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%v is ENOSPC", c.errno)
		}
		if c.is != fs.ErrClosed && errors.Is(err, fs.ErrClosed) {
			t.Errorf("%v is fs.ErrClosed", c.errno)
		}
	}
}

func TestAnErrorSaysWhatWasAskedAndWhatWasFound(t *testing.T) {
	_, err := bytefd.MapFile("/no/such/file")
	isError(t, err, syscall.ENOENT)
	if text := err.Error(); !strings.HasPrefix(text, "bytefd: stat: /no/such/file: No such file or directory") {
		t.Errorf("the error reads %q", text)
	}
	_, err = bytefd.MapFile(fileOf(t, make([]byte, 5000)), bytefd.MapOffset(4096), bytefd.MapLength(10904))
	isError(t, err, syscall.ENXIO)
	if text := err.Error(); !strings.Contains(text, "asked for bytes 4096..15000 of a file of 5000 bytes") {
		t.Errorf("the error reads %q", text)
	}
}

func TestALongMessageIsStillOneLine(t *testing.T) {
	_, err := bytefd.MapFile("/begin\n" + strings.Repeat("x", 3000))
	isError(t, err, syscall.ENAMETOOLONG)
	if text := err.Error(); !strings.Contains(text, "/begin") || !strings.Contains(text, "name too long") {
		t.Errorf("%q lost its beginning or its reason", text)
	}
}
