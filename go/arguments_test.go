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

// What C's types cannot hold, and Go's can: numbers below 0 or of too many bits, texts with a NUL, nil.

func TestArgumentsThatCCannotHoldAreEINVAL(t *testing.T) {
	m, f, path := memory(t, 5), wrapped(t, []byte("hello"), bytefd.Writable()), fileOf(t, []byte("hello"))
	never := func(int) error { t.Error("called"); return nil }
	pool := newPool(t, 1<<20)
	var words [2]uint32
	crooked := (*uint32)(unsafe.Add(unsafe.Pointer(&words), 1))

	cases := map[string]error{
		"scan nil":                 bytefd.ScanBytes(nil, nil),
		"pooled scan nil":          pool.ScanBytes(nil, nil),
		"pooled name with NUL":     pool.ScanBytes(nil, never, bytefd.WithName("a\x00b")),
		"pool trimmed below 0":     pool.Trim(-1),
		"trust without a pool":     bytefd.ScanBytes(nil, never, bytefd.TrustCallback()),
		"guarded nil":              m.Guarded(nil),
		"resize below 0":           m.Resize(math.MinInt),
		"unlink with NUL":          bytefd.UnlinkNamed("a\x00b"),
		"requirement of < 0":       bytefd.Verify(f, bytefd.RequireLength(-1)),
		"seals of < 0":             bytefd.Verify(f, bytefd.RequireSeals(-1)),
		"seals of too many bits":   bytefd.Verify(f, bytefd.RequireSeals(math.MaxInt)),
		"verify nil":               bytefd.Verify(nil),
		"lock nil":                 bytefd.Lock(nil, 0, 0, bytefd.LockShared),
		"lock below 0":             bytefd.Lock(f, -1, 1, bytefd.LockShared),
		"unknown lock":             bytefd.Lock(f, 0, 0, 2),
		"unlock below 0":           bytefd.Unlock(f, 0, math.MinInt64),
		"wait nil":                 bytefd.Wait(nil, 0, 0),
		"wait crooked":             bytefd.Wait(crooked, 0, 0),
		"segment of too many bits": bytefd.RemoveSysv(math.MaxInt),
	}
	second := func(_ any, err error) error { return err }
	for name, wrap := range wraps {
		for option, opt := range map[string]bytefd.Option{
			"name with NUL":         bytefd.WithName("a\x00b"),
			"mode of a directory":   bytefd.WithMode(fs.ModeDir | 0o400),
			"mode with set-user-ID": bytefd.WithMode(fs.ModeSetuid | 0o400),
		} {
			cases[name+": "+option] = wrap([]byte("hello"), func(fd int) { never(fd) }, opt)
		}
	}
	for name, opt := range map[string]bytefd.MapOption{
		"offset below 0": bytefd.MapOffset(-1), "length below 0": bytefd.MapLength(-1),
		"file size below 0": bytefd.MapFileSize(-1), "reserve below 0": bytefd.MapReserve(-1),
		"mode with a type": bytefd.MapMode(fs.ModeSymlink | 0o600),
	} {
		cases["MapFile: "+name] = second(bytefd.MapFile(path, bytefd.MapWrite(), bytefd.MapCreate(), opt))
		cases["MapFD: "+name] = second(bytefd.MapFD(int(f.Fd()), bytefd.MapWrite(), opt))
		cases["NewMap: "+name] = second(bytefd.NewMap(5, opt))
	}
	for name, opt := range map[string]bytefd.NamedOption{
		"length below 0": bytefd.NamedLength(-1), "mode with a type": bytefd.NamedMode(fs.ModeSetuid | 0o600),
	} {
		cases["CreateNamed: "+name] = second(bytefd.CreateNamed(sharedName(t), opt))
		cases["OpenOrCreateNamed: "+name] = second(bytefd.OpenOrCreateNamed(sharedName(t), opt))
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
		"key of 33 bits": {1 << 32, bytefd.SysvLength(5)}, "key far below 0": {math.MinInt, bytefd.SysvLength(5)},
		"length below 0": {0, bytefd.SysvLength(-1)},
	} {
		_, _, err := bytefd.MapSysv(c.key, append(create, c.opt)...)
		cases["MapSysv: "+name] = err
	}
	_, _, err := bytefd.MapSysv(0, append(create, bytefd.SysvLength(5), bytefd.SysvMode(fs.ModeDir|0o600))...)
	cases["MapSysv: mode with a type"] = err
	cases["MapFile: path with NUL"] = second(bytefd.MapFile("/etc/passwd\x00/tmp"))
	cases["NewMap: length below 0"] = second(bytefd.NewMap(-1))
	cases["NewPool: below 0"] = second(bytefd.NewPool(-1))
	cases["CreateNamed: name with NUL"] = second(bytefd.CreateNamed("a\x00b"))
	cases["Link: suffix with NUL"] = second(bytefd.Link(nil, "a\x00b"))
	cases["TryLock: below 0"] = second(bytefd.TryLock(f, 0, -1, bytefd.LockShared))
	cases["Wake: nil"] = second(bytefd.Wake(nil, 1))
	cases["Wake: below 0"] = second(bytefd.Wake(&words[0], -1))
	cases["ExportDMABuf: nil"] = second(bytefd.ExportDMABuf(nil))
	cases["WrapStream: limit below 0"] = second(bytefd.WrapStream(strings.NewReader("hello"), bytefd.MaxBytes(-1)))
	cases["WrapStream: spill below 0"] = second(bytefd.WrapStream(strings.NewReader("hello"), bytefd.SpillAbove(-1)))
	cases["Peer: nil"] = second(bytefd.Peer(nil))
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
