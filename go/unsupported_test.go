//go:build linux && !cgo

package bytefd_test

import (
	"context"
	"errors"
	"go/ast"
	"go/doc"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	bytefd "github.com/bytefd/bytefd/go"
)

// worksWithoutCgo are the functions, and the methods of a Map, that need no cgo.
var worksWithoutCgo = []string{
	"Attach", "MapFD", "MapFile", "Path", "Reopen", "ScanBytes", "ScanFile", "WrapBuffer",
	"WrapBuffers", "WrapReader",
	"Map.Bytes", "Map.Check", "Map.Close", "Map.File", "Map.FileSize", "Map.Guarded", "Map.Len",
	"Map.ReadAt", "Map.Word",
	"Map.WriteAt",
}

// needsCgo calls all other functions with valid arguments.
func needsCgo(t *testing.T) map[string]error {
	ours, theirs := socketPair(t, syscall.SOCK_STREAM)
	must[int](t)(ours.Write([]byte("!")))
	f, m := wrapped(t, []byte("hello")), mapped(t, fileOf(t, pattern(page)))
	word, live := new(uint32), context.Background()
	second := func(_ any, err error) error { return err }
	receive := func(
		receive func(*net.UnixConn, []byte, int, ...bytefd.Requirement) (int, []*os.File, error),
	) error {
		_, _, err := receive(theirs, make([]byte, 1), 1)
		return err
	}
	_, _, sysv := bytefd.MapSysv(0, bytefd.SysvCreate(), bytefd.SysvWrite(), bytefd.SysvLength(1))
	return map[string]error{
		"HostReport":       second(bytefd.HostReport()),
		"NewMap":           second(bytefd.NewMap(5, bytefd.MapPrivate())),
		"NewMapWriter":     second(bytefd.NewMapWriter()),
		"NewPool":          second(bytefd.NewPool(1 << 20)),
		"NewTempFile":      second(bytefd.NewTempFile([]byte("hello"))),
		"CreateShm":        second(bytefd.CreateShm("bytefd-test")),
		"OpenShm":          second(bytefd.OpenShm("bytefd-test")),
		"OpenOrCreateShm":  second(bytefd.OpenOrCreateShm("bytefd-test")),
		"UnlinkShm":        bytefd.UnlinkShm("bytefd-test"),
		"Sweep":            second(bytefd.Sweep()),
		"MapSysv":          sysv,
		"RemoveSysv":       bytefd.RemoveSysv(0),
		"ExportDMABuf":     second(bytefd.ExportDMABuf(f)),
		"Verify":           bytefd.Verify(f),
		"Send":             bytefd.Send(ours, []byte("!"), f),
		"SendFD":           bytefd.SendFD(ours, []byte("!"), int(f.Fd())),
		"Receive":          receive(bytefd.Receive),
		"ReceiveSome":      receive(bytefd.ReceiveSome),
		"PeerCredentials":  second(bytefd.PeerCredentials(ours)),
		"FileLock":         bytefd.FileLock(f, 0, 1, syscall.LOCK_SH),
		"FileLockContext":  bytefd.FileLockContext(live, f, 0, 1, syscall.LOCK_SH),
		"FileUnlock":       bytefd.FileUnlock(f, 0, 1),
		"FutexWait":        bytefd.FutexWait(word, 0, time.Hour),
		"FutexWaitContext": bytefd.FutexWaitContext(live, word, 0),
		"FutexWake":        second(bytefd.FutexWake(word, 1)),
		"MapWrite":         second(bytefd.MapFile(f.Name(), bytefd.MapWrite(), bytefd.MapCreate())),
		"MapPrivate":       second(bytefd.MapFD(f, bytefd.MapPrivate())),
		"MapGuard":         second(bytefd.MapFD(f, bytefd.MapGuard())),
		"Map.Advise":       m.Advise(0, 1, syscall.MADV_NORMAL),
		"Map.Discard":      m.Discard(0, 1, syscall.MADV_DONTNEED),
		"Map.Flush":        m.Flush(0, 1, syscall.MS_SYNC),
		"Map.Mlock":        m.Mlock(0, 1),
		"Map.Munlock":      m.Munlock(0, 1),
		"Map.Prefetch":     m.Prefetch(0, 1),
		"Map.Protect":      m.Protect(0, 1, syscall.PROT_READ),
		"Map.Resize":       m.Resize(1),
		"Map.Seal":         second(m.Seal()),
		"Map.Share":        second(m.Share()),
		"Map.Unmap":        m.Unmap(0, page),
	}
}

func TestWhatNeedsCgoSaysSo(t *testing.T) {
	for name, err := range needsCgo(t) {
		var e *bytefd.Error
		if !errors.Is(err, errors.ErrUnsupported) || !errors.As(err, &e) {
			t.Errorf("%s: %v (%T) is no *Error that is ErrUnsupported", name, err, err)
			continue
		}
		named := strings.FieldsFunc(e.Message, func(c rune) bool { return c == ' ' || c == ',' })
		if !slices.Contains(named, name) || !slices.Contains(named, "cgo") {
			t.Errorf("%s: %q names neither it nor cgo", name, e.Message)
		}
	}
}

// A function in neither list would be forgotten.
func TestEveryFunctionWorksOrNeedsCgo(t *testing.T) {
	needing := needsCgo(t)
	check := func(name string) {
		_, needs := needing[name]
		if needs == slices.Contains(worksWithoutCgo, name) {
			t.Errorf("%s: needs cgo: %v, and is said to work without: %v", name, needs, !needs)
		}
	}
	pkg, err := doc.NewFromFiles(parsedPackage(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, function := range pkg.Funcs {
		check(function.Name)
	}
	for _, typ := range pkg.Types {
		if _, isOption := typ.Decl.Specs[0].(*ast.TypeSpec).Type.(*ast.FuncType); isOption {
			continue // of what works or does not
		}
		for _, function := range typ.Funcs {
			check(function.Name)
		}
		for _, method := range typ.Methods {
			if typ.Name == "Map" {
				check("Map." + method.Name)
			}
		}
	}
}

func TestWhatNeedsCgoTouchesNothing(t *testing.T) {
	path := fileOf(t, []byte("hello"))
	leavesNothing(t, func() {
		for _, opts := range [][]bytefd.MapOption{
			{bytefd.MapWrite(), bytefd.MapFileSize(100)}, {bytefd.MapPrivate()},
			{bytefd.MapGuard()},
		} {
			_, err := bytefd.MapFile(path, opts...)
			isError(t, err, syscall.ENOTSUP)
		}
		_, err := bytefd.MapFile(path+"-new", bytefd.MapWrite(), bytefd.MapCreate())
		isError(t, err, syscall.ENOTSUP)
	})
	if text := must[[]byte](t)(os.ReadFile(path)); string(text) != "hello" {
		t.Errorf("%q", text)
	}
	if _, err := os.Stat(path + "-new"); !errors.Is(err, os.ErrNotExist) {
		t.Error("a file was created")
	}
	// Arguments are checked as everywhere.
	_, err := bytefd.MapFile(path, bytefd.MapCreate())
	isError(t, err, syscall.EINVAL)
	_, err = bytefd.NewMap(-1)
	isError(t, err, syscall.EINVAL)
}
