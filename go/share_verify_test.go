//go:build linux && cgo

package bytefd_test

import (
	"errors"
	"math"
	"os"
	"syscall"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
)

func TestWhatIsAskedForIsVerified(t *testing.T) {
	us := uint32(os.Geteuid())
	file := func(flags int) *os.File {
		return closedLater(t, must[*os.File](t)(os.OpenFile(fileOf(t, []byte("hello")), flags, 0)))
	}
	sealed := wrapped(t, []byte("hello"))
	half := wrapped(t, []byte("hello"), bytefd.Writable())
	must[int](t)(fcntl(int(half.Fd()), fAddSeals, sealWrite))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	closedLater(t, r)
	closedLater(t, w)
	directory := closedLater(t, must[*os.File](t)(os.Open(t.TempDir())))
	everything := []bytefd.Requirement{bytefd.RequireSealed(), bytefd.RequireLength(5), bytefd.RequireOwner(us)}
	const all = sealSeal | sealShrink | sealGrow | sealWrite
	for name, c := range map[string]struct {
		f      *os.File
		wanted []bytefd.Requirement
		errno  syscall.Errno
	}{
		"sealed":                  {sealed, nil, 0},
		"all of it":               {sealed, everything, 0},
		"the last one counts":     {sealed, []bytefd.Requirement{bytefd.RequireLength(6), bytefd.RequireLength(5)}, 0},
		"more seals":              {sealed, []bytefd.Requirement{bytefd.RequireSeals(all)}, 0},
		"longer":                  {sealed, []bytefd.Requirement{bytefd.RequireLength(6)}, syscall.ENXIO},
		"longer than there is":    {sealed, []bytefd.Requirement{bytefd.RequireLength(math.MaxInt64)}, syscall.ENXIO},
		"another owner":           {sealed, []bytefd.Requirement{bytefd.RequireOwner(us + 1)}, syscall.EACCES},
		"half of the seals":       {half, nil, syscall.EPERM},
		"the other half":          {half, []bytefd.Requirement{bytefd.RequireSeals(sealWrite)}, 0},
		"no seals":                {file(os.O_RDONLY), []bytefd.Requirement{bytefd.RequireSeals(0)}, 0},
		"a file without seals":    {file(os.O_RDONLY), nil, syscall.EPERM},
		"not for reading":         {file(os.O_WRONLY), []bytefd.Requirement{bytefd.RequireSeals(0)}, syscall.EACCES},
		"a pipe":                  {r, []bytefd.Requirement{bytefd.RequireSeals(0)}, syscall.ENODEV},
		"a directory":             {directory, []bytefd.Requirement{bytefd.RequireSeals(0)}, syscall.EISDIR},
		"a negative length":       {sealed, []bytefd.Requirement{bytefd.RequireLength(-1)}, syscall.EINVAL},
		"negative seals":          {sealed, []bytefd.Requirement{bytefd.RequireSeals(-1)}, syscall.EINVAL},
		"seals of too many bits":  {sealed, []bytefd.Requirement{bytefd.RequireSeals(math.MaxInt)}, syscall.EINVAL},
		"seals that nobody knows": {sealed, []bytefd.Requirement{bytefd.RequireSeals(1 << 30)}, syscall.EPERM},
		"nil":                     {nil, nil, syscall.EINVAL},
	} {
		err := bytefd.Verify(c.f, c.wanted...)
		if c.errno == 0 && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if c.errno != 0 {
			t.Run(name, func(t *testing.T) { isError(t, err, c.errno) })
		}
	}
}

func TestClosedFilesAreErrClosed(t *testing.T) {
	f := wrapped(t, []byte("hello"))
	f.Close()
	_, tryErr := bytefd.TryLock(f, 0, 0, bytefd.LockShared)
	_, bufferErr := bytefd.ExportDMABuf(f)
	for _, err := range []error{
		bytefd.Verify(f), bytefd.Lock(f, 0, 0, bytefd.LockShared), tryErr, bytefd.Unlock(f, 0, 0), bufferErr,
	} {
		isError(t, err, syscall.EBADF)
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("%v is not os.ErrClosed", err)
		}
	}
}
