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
		option  bytefd.Option
		arrived func(fd int) bool
	}{
		"name":         {bytefd.WithName("ünïcode %s"), func(fd int) bool { return link(fd) == "/memfd:ünïcode %s (deleted)" }},
		"mode":         {bytefd.WithMode(0o444), func(fd int) bool { return mode(fd) == 0o444 }},
		"memfd":        {bytefd.WithBackend(bytefd.BackendMemfd), func(fd int) bool { return strings.HasPrefix(link(fd), "/memfd:") }},
		"shm":          {bytefd.WithBackend(bytefd.BackendShm), func(fd int) bool { return strings.HasPrefix(link(fd), shm) }},
		"tmpfile":      {bytefd.WithBackend(bytefd.BackendTmpfile), func(fd int) bool { return strings.HasPrefix(link(fd), os.TempDir()) }},
		"writable":     {bytefd.Writable(), func(fd int) bool { return mode(fd) == 0o600 }},
		"read-only":    {bytefd.ReadOnly(), func(fd int) bool { return accessMode(t, fd) == syscall.O_RDONLY }},
		"executable":   {bytefd.Executable(), func(fd int) bool { return mode(fd) == 0o500 }},
		"inherit":      {bytefd.Inherit(), func(fd int) bool { return !closeOnExec(t, fd) }},
		"seal content": {bytefd.SealContent(), func(fd int) bool { return seals(t, fd) == 0xe }},
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
	if f := wrapped(t, nil, bytefd.WithName("upload")); f.Name() != "upload" {
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
		"read":       {options{bytefd.MapRead()}, flag("r--s")},
		"write":      {options{bytefd.MapWrite()}, flag("rw-s")},
		"private":    {options{bytefd.MapPrivate()}, flag("rw-p")},
		"offset":     {options{bytefd.MapOffset(2)}, content("llo")},
		"length":     {options{bytefd.MapLength(2)}, content("he")},
		"file size":  {options{bytefd.MapWrite(), bytefd.MapFileSize(6)}, content("hello\x00")},
		"beyond EOF": {options{bytefd.MapLength(6), bytefd.MapBeyondEOF()}, content("hello\x00")},
		"execute":    {options{bytefd.MapExecute()}, flag("r-xs")},
		"populate":   {options{bytefd.MapPopulate()}, func(m *bytefd.Map) bool { return !strings.Contains(smaps(t, m), "Rss:                   0 kB") }},
		"lock":       {options{bytefd.MapLock()}, flag("lo")},
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
	n := namedFor(t, bytefd.NamedWrite(), bytefd.NamedLength(5), bytefd.NamedMode(0o640), bytefd.NamedOwned())
	stat := fstat(t, int(n.File().Fd()))
	if stat.Size != 5 || stat.Mode&0o7777 != 0o640 || accessMode(t, int(n.File().Fd())) != syscall.O_RDWR {
		t.Errorf("%d bytes, mode %o", stat.Size, stat.Mode)
	}
	if n.Name() == "/"+sharedName(t) || !strings.HasSuffix(n.Name(), sharedName(t)) {
		t.Errorf("%s does not say whose it is", n.Name())
	}
	same := closedLater(t, must[*bytefd.Named](t)(bytefd.OpenNamed(n.Name())))
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
		{number, []bytefd.SysvOption{bytefd.SysvAttach()}},
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
	_, _, err := bytefd.MapSysv(key, bytefd.SysvOwned())
	isError(t, err, syscall.EINVAL)
	_, _, err = bytefd.MapSysv(key, bytefd.SysvLength(6))
	isError(t, err, syscall.ENXIO)
}

func TestEveryRequirementArrives(t *testing.T) {
	f, us := wrapped(t, []byte("hello")), uint32(os.Geteuid())
	for _, met := range [][]bytefd.Requirement{
		nil, {bytefd.RequireSealed(), bytefd.RequireLength(5), bytefd.RequireOwner(us)}, {bytefd.RequireSeals(0xf)},
		{bytefd.RequireLength(6), bytefd.RequireLength(5)}, // the last one counts
	} {
		if err := bytefd.Verify(f, met...); err != nil {
			t.Error(err)
		}
	}
	isError(t, bytefd.Verify(f, bytefd.RequireLength(6)), syscall.ENXIO)
	isError(t, bytefd.Verify(f, bytefd.RequireOwner(us+1)), syscall.EACCES)
	isError(t, bytefd.Verify(f, bytefd.RequireSeals(1<<30)), syscall.EPERM)
	open := wrapped(t, nil, bytefd.Writable())
	isError(t, bytefd.Verify(open), syscall.EPERM)
	if err := bytefd.Verify(open, bytefd.RequireSeals(0)); err != nil {
		t.Error(err)
	}
}
