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

// What the options mean is proven in the core. Here: each arrives there.

func TestEveryOptionOfADescriptorArrives(t *testing.T) {
	link := func(fd int) string { return must[string](t)(os.Readlink(bytefd.Path(fd))) }
	mode := func(fd int) uint32 { return fstat(t, fd).Mode & 0o7777 }
	for name, c := range map[string]struct {
		option  bytefd.WrapOption
		arrived func(fd int) bool
	}{
		"name":         {bytefd.WrapName("ünïcode %s"), func(fd int) bool { return link(fd) == "/memfd:ünïcode %s (deleted)" }},
		"mode":         {bytefd.WrapMode(0o444), func(fd int) bool { return mode(fd) == 0o444 }},
		"memfd":        {bytefd.WrapBackend(bytefd.BackendMemfd), func(fd int) bool { return strings.HasPrefix(link(fd), "/memfd:") }},
		"shm":          {bytefd.WrapBackend(bytefd.BackendShm), func(fd int) bool { return strings.HasPrefix(link(fd), shm) }},
		"tmpfile":      {bytefd.WrapBackend(bytefd.BackendTmpFile), func(fd int) bool { return strings.HasPrefix(link(fd), os.TempDir()) }},
		"writable":     {bytefd.WrapWritable(), func(fd int) bool { return mode(fd) == 0o600 }},
		"read-only":    {bytefd.WrapReadOnly(), func(fd int) bool { return accessMode(t, fd) == syscall.O_RDONLY }},
		"executable":   {bytefd.WrapExecutable(), func(fd int) bool { return mode(fd) == 0o500 }},
		"inherit":      {bytefd.WrapInherit(), func(fd int) bool { return !closeOnExec(t, fd) }},
		"seal content": {bytefd.WrapSealContent(), func(fd int) bool { return seals(t, fd) == 0xe }},
	} {
		for way, wrap := range wraps {
			err := wrap([]byte("hello"), func(fd int) {
				if !c.arrived(fd) {
					t.Errorf("%s: %s has not arrived", way, name)
				}
			}, c.option)
			if err != nil {
				t.Errorf("%s: %s: %v", way, name, err)
			}
		}
	}
	if f := wrapped(t, nil, bytefd.WrapName("upload")); f.Name() != "upload" {
		t.Errorf("the file's name is %q", f.Name())
	}
}

// smaps returns what the kernel says about the mapping that a map begins in, proc(5).
func smaps(t *testing.T, m *bytefd.Map) string {
	t.Helper()
	start := fmt.Sprintf("\n%x-", addressOf(m)&^uintptr(page-1))
	_, found, isThere := strings.Cut("\n"+string(must[[]byte](t)(os.ReadFile("/proc/self/smaps"))), start)
	if !isThere {
		t.Fatal("the map is not there")
	}
	end := strings.Index(found, "\nVmFlags:")
	return found[:end+1+strings.Index(found[end+1:], "\n")] + " "
}

func TestEveryOptionOfAMapArrives(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	type options []bytefd.MapOption
	flag := func(name string) func(m *bytefd.Map) bool {
		return func(m *bytefd.Map) bool { return strings.Contains(smaps(t, m), " "+name+" ") }
	}
	content := func(want string) func(m *bytefd.Map) bool {
		return func(m *bytefd.Map) bool { return string(m.Bytes()) == want }
	}
	for name, c := range map[string]struct {
		options options
		arrived func(m *bytefd.Map) bool
	}{
		"read":       {options{bytefd.MapRead()}, flag("r--p")},
		"write":      {options{bytefd.MapWrite()}, flag("rw-s")},
		"private":    {options{bytefd.MapPrivate()}, flag("rw-p")},
		"offset":     {options{bytefd.MapOffset(2)}, content("llo")},
		"length":     {options{bytefd.MapLength(2)}, content("he")},
		"file size":  {options{bytefd.MapWrite(), bytefd.MapFileSize(6)}, content("hello\x00")},
		"beyond EOF": {options{bytefd.MapLength(6), bytefd.MapBeyondEOF()}, content("hello\x00")},
		"execute":    {options{bytefd.MapExecute()}, flag("r-xp")},
		"populate":   {options{bytefd.MapPopulate()}, func(m *bytefd.Map) bool { return !strings.Contains(smaps(t, m), "Rss:                   0 kB") }},
		"lock":       {options{bytefd.MapMlock()}, flag("lo")},
		"no reserve": {options{bytefd.MapPrivate(), bytefd.MapNoReserve()}, flag("nr")},
		"no fork":    {options{bytefd.MapNoFork()}, flag("dc")},
		"reserve": {options{bytefd.MapWrite(), bytefd.MapReserve(1 << 30)}, func(m *bytefd.Map) bool {
			before := addressOf(m)
			return m.Resize(1<<20) == nil && addressOf(m) == before && m.Len() == 1<<20
		}},
	} {
		path := fileOf(t, []byte("hello"))
		f := closedLater(t, must[*os.File](t)(os.OpenFile(path, os.O_RDWR, 0)))
		for way, m := range map[string]*bytefd.Map{
			"MapFile": mapped(t, path, c.options...),
			"MapFD":   closedLater(t, must[*bytefd.Map](t)(bytefd.MapFD(int(f.Fd()), c.options...))),
		} {
			if !c.arrived(m) {
				t.Errorf("%s: %s has not arrived: %q", way, name, m.Bytes())
			}
		}
	}
	if m := memory(t, page, bytefd.MapPrivate(), bytefd.MapWipeOnFork()); !flag("wf")(m) {
		t.Error("NewMap: wipe on fork has not arrived")
	}
	path := filepath.Join(t.TempDir(), "new")
	mapped(t, path, bytefd.MapWrite(), bytefd.MapCreate(), bytefd.MapMode(0o640))
	if info := must[os.FileInfo](t)(os.Stat(path)); info.Mode() != 0o640 {
		t.Errorf("mode %v", info.Mode())
	}
	_, err := bytefd.MapFile(path, bytefd.MapHugePages())
	isError(t, err, syscall.EINVAL)
}

func TestEveryOptionOfSharedThingsArrives(t *testing.T) {
	n := shmFor(t, bytefd.ShmWrite(), bytefd.ShmLength(5), bytefd.ShmMode(0o640), bytefd.ShmOwned())
	stat := fstat(t, int(n.File().Fd()))
	if stat.Size != 5 || stat.Mode&0o7777 != 0o640 || accessMode(t, int(n.File().Fd())) != syscall.O_RDWR {
		t.Errorf("%d bytes, mode %o", stat.Size, stat.Mode)
	}
	if n.Name() == "/"+sharedName(t) || !strings.HasSuffix(n.Name(), sharedName(t)) {
		t.Errorf("%s does not say whose it is", n.Name())
	}
	same := closedLater(t, must[*bytefd.Shm](t)(bytefd.OpenShm(n.Name())))
	if accessMode(t, int(same.File().Fd())) != syscall.O_RDONLY || !sameFile(t, n.File(), same.File()) {
		t.Error("it is not found by its name, for reading")
	}

	key := -0x10000000 - os.Getpid() // as keys with the highest bit are, as int
	m, number := segment(t, key, 5, bytefd.SysvMode(0o640))
	copy(m.Bytes(), "hello")
	if list := string(must[[]byte](t)(os.ReadFile("/proc/sysvipc/shm"))); !strings.Contains(list, fmt.Sprintf("%d   640 ", number)) {
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
	_, _, err := bytefd.MapSysv(key, bytefd.SysvCreate(), bytefd.SysvExclusive(), bytefd.SysvWrite(), bytefd.SysvLength(5))
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
		nil, {bytefd.RequireSealed(), bytefd.RequireMinLength(5), bytefd.RequireMaxLength(5), bytefd.RequireUID(us)}, {bytefd.RequireSeals(0xf)},
		{bytefd.RequireMinLength(6), bytefd.RequireMinLength(5)}, // the last one counts
		{bytefd.RequireSeals(1), bytefd.RequireNoSeals()},
	} {
		if err := bytefd.Verify(f, met...); err != nil {
			t.Error(err)
		}
	}
	isError(t, bytefd.Verify(f, bytefd.RequireMinLength(6)), syscall.ENXIO)
	isError(t, bytefd.Verify(f, bytefd.RequireMaxLength(4)), syscall.EFBIG)
	isError(t, bytefd.Verify(f, bytefd.RequireMinLength(2), bytefd.RequireMaxLength(1)), syscall.EINVAL)
	isError(t, bytefd.Verify(f, bytefd.RequireUID(us+1)), syscall.EACCES)
	isError(t, bytefd.Verify(f, bytefd.RequireSeals(1<<30)), syscall.EINVAL)
	isError(t, bytefd.Verify(f, bytefd.RequireSeals(0)), syscall.EINVAL)
	open := wrapped(t, nil, bytefd.WrapWritable())
	isError(t, bytefd.Verify(open), syscall.EPERM)
	if err := bytefd.Verify(open, bytefd.RequireNoSeals()); err != nil {
		t.Error(err)
	}
}
