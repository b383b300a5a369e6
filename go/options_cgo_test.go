//go:build linux && cgo

package bytefd_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
)

func TestEveryOptionOfSharedThingsArrives(t *testing.T) {
	n := shmFor(t, bytefd.ShmWrite(), bytefd.ShmLength(5), bytefd.ShmMode(0o640), bytefd.ShmOwned())
	stat := fstat(t, int(n.File().Fd()))
	if stat.Size != 5 || stat.Mode&0o7777 != 0o640 ||
		accessMode(t, int(n.File().Fd())) != syscall.O_RDWR {
		t.Errorf("%d bytes, mode %o", stat.Size, stat.Mode)
	}
	if n.Name() == "/"+sharedName(t) || !strings.HasSuffix(n.Name(), sharedName(t)) {
		t.Errorf("%s does not say whose it is", n.Name())
	}
	same := closedLater(t, must[*bytefd.Shm](t)(bytefd.OpenShm(n.Name())))
	if accessMode(t, int(same.File().Fd())) != syscall.O_RDONLY ||
		!sameFile(t, n.File(), same.File()) {
		t.Error("it is not found by its name, for reading")
	}

	key := -0x10000000 - os.Getpid() // as keys with the highest bit are, as int
	m, number := segment(t, key, 5, bytefd.SysvMode(0o640))
	copy(m.Bytes(), "hello")
	list := string(must[[]byte](t)(os.ReadFile("/proc/sysvipc/shm")))
	if !strings.Contains(list, fmt.Sprintf("%d   640 ", number)) {
		t.Errorf("no segment %d of mode 640 in\n%s", number, list)
	}
	for _, c := range []struct {
		key     int
		options []bytefd.SysvOption
	}{
		{key, nil},
		{int(uint32(key)), []bytefd.SysvOption{bytefd.SysvWrite(), bytefd.SysvLength(5)}},
		{number, []bytefd.SysvOption{bytefd.SysvByID()}},
	} {
		again, found, err := bytefd.MapSysv(c.key, c.options...)
		if err != nil || found != number || string(again.Bytes()) != "hello" {
			t.Fatalf("segment %d: %v", found, err)
		}
		_, err = again.WriteAt([]byte("h"), 0)
		if (err == nil) != (len(c.options) == 2) {
			t.Errorf("writing: %v", err)
		}
		again.Close()
		if _, err := again.ReadAt(make([]byte, 1), 0); err == nil {
			t.Error("it is still attached")
		}
	}
	_, _, err := bytefd.MapSysv(key, bytefd.SysvCreate(), bytefd.SysvExclusive(),
		bytefd.SysvWrite(), bytefd.SysvLength(5))
	isError(t, err, syscall.EEXIST)
	_, _, err = bytefd.MapSysv(key, bytefd.SysvExclusive())
	isError(t, err, syscall.EINVAL)
	_, _, err = bytefd.MapSysv(key, bytefd.SysvLength(6))
	isError(t, err, syscall.ENXIO)
}

func TestATransientSegmentGoesWithItsLastUser(t *testing.T) {
	m, shmid := segment(t, 0, 5, bytefd.SysvTransient())
	again, _, err := bytefd.MapSysv(shmid, bytefd.SysvByID())
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
	if string(again.Bytes()) != "\x00\x00\x00\x00\x00" {
		t.Errorf("%q", again.Bytes())
	}
	again.Close()
	_, _, err = bytefd.MapSysv(shmid, bytefd.SysvByID())
	isError(t, err, syscall.EINVAL)
}

func TestEveryRequirementArrives(t *testing.T) {
	f, us := wrapped(t, []byte("hello")), uint32(os.Geteuid())
	for _, met := range [][]bytefd.Requirement{
		nil,
		{
			bytefd.RequireSealed(), bytefd.RequireMinLength(5), bytefd.RequireMaxLength(5),
			bytefd.RequireUID(us),
		},
		{bytefd.RequireSeals(0xf)},
		{bytefd.RequireMinLength(6), bytefd.RequireMinLength(5)}, // the last one counts
		{bytefd.RequireSeals(1), bytefd.RequireNoSeals()},
	} {
		if err := bytefd.Verify(f, met...); err != nil {
			t.Error(err)
		}
	}
	isError(t, bytefd.Verify(f, bytefd.RequireMinLength(6)), syscall.ENXIO)
	isError(t, bytefd.Verify(f, bytefd.RequireMaxLength(4)), syscall.EFBIG)
	isError(t, bytefd.Verify(f, bytefd.RequireMinLength(2), bytefd.RequireMaxLength(1)),
		syscall.EINVAL)
	isError(t, bytefd.Verify(f, bytefd.RequireUID(us+1)), syscall.EACCES)
	isError(t, bytefd.Verify(f, bytefd.RequireSeals(1<<30)), syscall.EINVAL)
	isError(t, bytefd.Verify(f, bytefd.RequireSeals(0)), syscall.EINVAL)
	open := wrapped(t, nil, bytefd.WrapWritable())
	isError(t, bytefd.Verify(open), syscall.EPERM)
	if err := bytefd.Verify(open, bytefd.RequireNoSeals()); err != nil {
		t.Error(err)
	}
}

func TestEveryOptionOfAMapArrives(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	optionsArrive(t, map[string]arrival{
		"write":   {[]bytefd.MapOption{bytefd.MapWrite()}, hasFlag(t, "rw-s")},
		"private": {[]bytefd.MapOption{bytefd.MapPrivate()}, hasFlag(t, "rw-p")},
		"file size": {
			[]bytefd.MapOption{bytefd.MapWrite(), bytefd.MapFileSize(6)}, hasContent("hello\x00"),
		},
		"no swap reserved": {
			[]bytefd.MapOption{bytefd.MapPrivate(), bytefd.MapNoReserve()}, hasFlag(t, "nr"),
		},
		"reserve": {
			[]bytefd.MapOption{bytefd.MapWrite(), bytefd.MapReserve(1 << 30)},
			func(m *bytefd.Map) bool {
				before := addressOf(m)
				return m.Resize(1<<20) == nil && addressOf(m) == before && m.Len() == 1<<20
			},
		},
	})
	if m := memory(t, page, bytefd.MapPrivate(), bytefd.MapWipeOnFork()); !hasFlag(t, "wf")(m) {
		t.Error("NewMap: wipe on fork has not arrived")
	}
	path := filepath.Join(t.TempDir(), "new")
	mapped(t, path, bytefd.MapWrite(), bytefd.MapCreate(), bytefd.MapMode(0o640))
	if info := must[os.FileInfo](t)(os.Stat(path)); info.Mode() != 0o640 {
		t.Errorf("mode %v", info.Mode())
	}
}
