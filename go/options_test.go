//go:build linux

package bytefd_test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
)

// The tests of the library prove what the options mean. These tests prove that each option arrives
// there.

func TestEveryOptionOfADescriptorArrives(t *testing.T) {
	link := func(fd int) string { return must[string](t)(os.Readlink(bytefd.Path(fd))) }
	mode := func(fd int) uint32 { return fstat(t, fd).Mode & 0o7777 }
	for name, c := range map[string]struct {
		option  bytefd.WrapOption
		arrived func(fd int) bool
	}{
		"name": {
			bytefd.WrapName("ünïcode %s"),
			func(fd int) bool { return link(fd) == "/memfd:ünïcode %s (deleted)" },
		},
		"mode": {bytefd.WrapMode(0o444), func(fd int) bool { return mode(fd) == 0o444 }},
		"memfd": {
			bytefd.WrapBackend(bytefd.BackendMemfd),
			func(fd int) bool { return strings.HasPrefix(link(fd), "/memfd:") },
		},
		"shm": {
			bytefd.WrapBackend(bytefd.BackendShm),
			func(fd int) bool { return strings.HasPrefix(link(fd), shm) },
		},
		"tmpfile": {
			bytefd.WrapBackend(bytefd.BackendTmpFile),
			func(fd int) bool { return strings.HasPrefix(link(fd), os.TempDir()) },
		},
		"writable": {bytefd.WrapWritable(), func(fd int) bool { return mode(fd) == 0o600 }},
		"read-only": {
			bytefd.WrapReadOnly(),
			func(fd int) bool { return accessMode(t, fd) == syscall.O_RDONLY },
		},
		"executable": {bytefd.WrapExecutable(), func(fd int) bool { return mode(fd) == 0o500 }},
		"inherit":    {bytefd.WrapInherit(), func(fd int) bool { return !closeOnExec(t, fd) }},
		"seal content": {
			bytefd.WrapSealContent(),
			func(fd int) bool { return seals(t, fd) == 0xe },
		},
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

// smaps returns what /proc/self/smaps says about the first mapping of a map.
func smaps(t *testing.T, m *bytefd.Map) string {
	t.Helper()
	start := fmt.Sprintf("\n%x-", addressOf(m)&^uintptr(page-1))
	all := "\n" + string(must[[]byte](t)(os.ReadFile("/proc/self/smaps")))
	_, found, isThere := strings.Cut(all, start)
	if !isThere {
		t.Fatal("the map is not there")
	}
	end := strings.Index(found, "\nVmFlags:")
	return found[:end+1+strings.Index(found[end+1:], "\n")] + " "
}

// arrival is a set of options, and how they show in a map.
type arrival struct {
	options []bytefd.MapOption
	arrived func(m *bytefd.Map) bool
}

// hasFlag reports whether smaps has a word.
func hasFlag(t *testing.T, name string) func(m *bytefd.Map) bool {
	return func(m *bytefd.Map) bool { return strings.Contains(smaps(t, m), " "+name+" ") }
}

func hasContent(want string) func(m *bytefd.Map) bool {
	return func(m *bytefd.Map) bool { return string(m.Bytes()) == want }
}

func TestEveryOptionOfAMapForReadingArrives(t *testing.T) {
	optionsArrive(t, map[string]arrival{
		"read":   {[]bytefd.MapOption{bytefd.MapRead()}, hasFlag(t, "r--p")},
		"offset": {[]bytefd.MapOption{bytefd.MapOffset(2)}, hasContent("llo")},
		"length": {[]bytefd.MapOption{bytefd.MapLength(2)}, hasContent("he")},
		"beyond EOF": {
			[]bytefd.MapOption{bytefd.MapLength(6), bytefd.MapBeyondEOF()}, hasContent("hello\x00"),
		},
		"execute": {[]bytefd.MapOption{bytefd.MapExecute()}, hasFlag(t, "r-xp")},
		"populate": {[]bytefd.MapOption{bytefd.MapPopulate()}, func(m *bytefd.Map) bool {
			return !strings.Contains(smaps(t, m), "Rss:                   0 kB")
		}},
		"lock":       {[]bytefd.MapOption{bytefd.MapMlock()}, hasFlag(t, "lo")},
		"no reserve": {[]bytefd.MapOption{bytefd.MapNoReserve()}, hasFlag(t, "nr")},
		"no fork":    {[]bytefd.MapOption{bytefd.MapNoFork()}, hasFlag(t, "dc")},
	})
	_, err := bytefd.MapFile(fileOf(t, nil), bytefd.MapHugePages())
	isError(t, err, syscall.EINVAL)
}

func optionsArrive(t *testing.T, arrivals map[string]arrival) {
	t.Helper()
	for name, c := range arrivals {
		path := fileOf(t, []byte("hello"))
		f := closedLater(t, must[*os.File](t)(os.OpenFile(path, os.O_RDWR, 0)))
		for way, m := range map[string]*bytefd.Map{
			"MapFile": mapped(t, path, c.options...),
			"MapFD": closedLater(t,
				must[*bytefd.Map](t)(bytefd.MapFD(int(f.Fd()), c.options...))),
		} {
			if !c.arrived(m) {
				t.Errorf("%s: %s has not arrived: %q", way, name, m.Bytes())
			}
		}
	}
}
