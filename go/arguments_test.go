//go:build linux && cgo

package bytefd_test

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	bytefd "github.com/bytefd/bytefd/go"
)

// Values that Go's types can have and C's cannot: numbers that are negative or have too many bits,
// texts with a NUL, nil.

func TestArgumentsThatCCannotHoldAreEINVAL(t *testing.T) {
	m, path := memory(t, 5), fileOf(t, []byte("hello"))
	f := wrapped(t, []byte("hello"), bytefd.WrapWritable())
	never := func(int) error { t.Error("called"); return nil }
	pool := newPool(t, 1<<20)
	var words [2]uint32
	crooked := (*uint32)(unsafe.Add(unsafe.Pointer(&words), 1))

	cases := map[string]error{
		"scan nil":                 bytefd.ScanBytes(nil, nil),
		"pooled scan nil":          pool.ScanBytes(nil, nil),
		"pooled name with NUL":     pool.ScanBytes(nil, never, bytefd.WrapName("a\x00b")),
		"pool trimmed below 0":     pool.Trim(-1),
		"trust without a pool":     bytefd.ScanBytes(nil, never, bytefd.WrapTrustCallback()),
		"guarded nil":              m.Guarded(nil),
		"resize below 0":           m.Resize(math.MinInt),
		"unlink with NUL":          bytefd.UnlinkShm("a\x00b"),
		"requirement of < 0":       bytefd.Verify(f, bytefd.RequireMinLength(-1)),
		"requirement of 0 at most": bytefd.Verify(f, bytefd.RequireMaxLength(0)),
		"seals of < 0":             bytefd.Verify(f, bytefd.RequireSeals(-1)),
		"seals of too many bits":   bytefd.Verify(f, bytefd.RequireSeals(math.MaxInt)),
		"verify nil":               bytefd.Verify(nil),
		"lock nil":                 bytefd.FileLock(nil, 0, 1, syscall.LOCK_SH),
		"lock below 0":             bytefd.FileLock(f, -1, 1, syscall.LOCK_SH),
		"lock of length below 0":   bytefd.FileLock(f, 0, -2, syscall.LOCK_SH),
		"lock of no bytes":         bytefd.FileLock(f, 0, 0, syscall.LOCK_SH),
		"unknown lock":             bytefd.FileLock(f, 0, 1, syscall.LOCK_UN),
		"lock of too many bits":    bytefd.FileLock(f, 0, 1, 1<<32|syscall.LOCK_SH),
		"unlock below 0":           bytefd.FileUnlock(f, 0, math.MinInt64),
		"unlock of no bytes":       bytefd.FileUnlock(f, 0, 0),
		"wait nil":                 bytefd.FutexWait(nil, 0, 0),
		"wait crooked":             bytefd.FutexWait(crooked, 0, 0),
		"segment of too many bits": bytefd.RemoveSysv(math.MaxInt),
	}
	second := func(_ any, err error) error { return err }
	for name, wrap := range wraps {
		for option, opt := range map[string]bytefd.WrapOption{
			"name with NUL":         bytefd.WrapName("a\x00b"),
			"mode of a directory":   bytefd.WrapMode(fs.ModeDir | 0o400),
			"mode with set-user-ID": bytefd.WrapMode(fs.ModeSetuid | 0o400),
		} {
			cases[name+": "+option] = wrap([]byte("hello"), func(fd int) { never(fd) }, opt)
		}
	}
	for name, opt := range map[string]bytefd.MapOption{
		"offset below 0":    bytefd.MapOffset(-1),
		"length below 0":    bytefd.MapLength(-2),
		"length 0":          bytefd.MapLength(0),
		"file size below 0": bytefd.MapFileSize(-1), "reserve below 0": bytefd.MapReserve(-1),
		"mode with a type": bytefd.MapMode(fs.ModeSymlink | 0o600),
	} {
		cases["MapFile: "+name] = second(
			bytefd.MapFile(path, bytefd.MapWrite(), bytefd.MapCreate(), opt))
		cases["MapFD: "+name] = second(bytefd.MapFD(int(f.Fd()), bytefd.MapWrite(), opt))
		cases["NewMap: "+name] = second(bytefd.NewMap(5, opt))
	}
	for name, opt := range map[string]bytefd.ShmOption{
		"length below 0":   bytefd.ShmLength(-1),
		"mode with a type": bytefd.ShmMode(fs.ModeSetuid | 0o600),
	} {
		cases["CreateShm: "+name] = second(bytefd.CreateShm(sharedName(t), opt))
		cases["OpenOrCreateShm: "+name] = second(bytefd.OpenOrCreateShm(sharedName(t), opt))
	}
	for name, offsets := range map[string][2]int{
		"offset below 0": {-1, 0}, "length below 0": {0, math.MinInt}, "outside": {1, math.MaxInt},
	} {
		for operation, do := range onRange {
			cases[operation+": "+name] = do(m, offsets[0], offsets[1])
		}
	}
	create := []bytefd.SysvOption{bytefd.SysvCreate(), bytefd.SysvWrite()}
	for name, c := range map[string]struct {
		key int
		opt bytefd.SysvOption
	}{
		"key of 33 bits":  {1 << 32, bytefd.SysvLength(5)},
		"key far below 0": {math.MinInt, bytefd.SysvLength(5)},
		"length below 0":  {0, bytefd.SysvLength(-1)},
	} {
		_, _, err := bytefd.MapSysv(c.key, append(create, c.opt)...)
		cases["MapSysv: "+name] = err
	}
	_, _, err := bytefd.MapSysv(0,
		append(create, bytefd.SysvLength(5), bytefd.SysvMode(fs.ModeDir|0o600))...)
	cases["MapSysv: mode with a type"] = err
	cases["MapFile: path with NUL"] = second(bytefd.MapFile("/etc/passwd\x00/tmp"))
	cases["NewMap: length below 0"] = second(bytefd.NewMap(-1))
	cases["NewPool: below 0"] = second(bytefd.NewPool(-1))
	cases["CreateShm: name with NUL"] = second(bytefd.CreateShm("a\x00b"))
	for name, opt := range map[string]bytefd.TempFileOption{
		"suffix with NUL":    bytefd.TempFileSuffix("a\x00b"),
		"suffix with slash":  bytefd.TempFileSuffix("a/b"),
		"directory with NUL": bytefd.TempFileDirectory("/tmp\x00"),
		"mode with a type":   bytefd.TempFileMode(fs.ModeDir),
	} {
		cases["NewTempFile: "+name] = second(bytefd.NewTempFile(nil, opt))
	}
	cases["FutexWake: nil"] = second(bytefd.FutexWake(nil, 1))
	cases["FutexWake: below 0"] = second(bytefd.FutexWake(&words[0], -1))
	cases["ExportDMABuf: nil"] = second(bytefd.ExportDMABuf(nil))
	cases["WrapReader: limit below 0"] = second(
		bytefd.WrapReader(strings.NewReader("hello"), bytefd.WrapMaxBytes(-1)))
	cases["WrapReader: threshold below 0"] = second(
		bytefd.WrapReader(strings.NewReader("hello"), bytefd.WrapSpillThreshold(-1)))
	cases["PeerCredentials: nil"] = second(bytefd.PeerCredentials(nil))
	cases["SendFD: nil"] = bytefd.SendFD(nil, []byte("!"), 0)
	for name, err := range cases {
		t.Run(name, func(t *testing.T) { isError(t, err, syscall.EINVAL) })
	}
	for _, fd := range []int{-1, math.MinInt32, math.MaxInt32, math.MaxInt, 1 << 32} {
		isError(t, second(bytefd.Reopen(fd)), syscall.EBADF)
		isError(t, second(bytefd.MapFD(fd)), syscall.EBADF)
	}
	if string(must[[]byte](t)(os.ReadFile(path))) != "hello" || m.Len() != 5 {
		t.Error("something was changed")
	}
}

func TestClosedFilesAreErrClosed(t *testing.T) {
	f := wrapped(t, []byte("hello"))
	f.Close()
	_, bufferErr := bytefd.ExportDMABuf(f)
	for _, err := range []error{
		bytefd.Verify(f), bytefd.FileLock(f, 0, 1, syscall.LOCK_SH), bytefd.FileUnlock(f, 0, 1),
		bufferErr,
	} {
		isError(t, err, syscall.EBADF)
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("%v is not os.ErrClosed", err)
		}
	}
}
