//go:build linux && cgo

package bytefd_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	bytefd "github.com/bytefd/bytefd/go"
)

func addressOf(m *bytefd.Map) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(m.Bytes()))) }

func TestMemoryIsZerosThatCanBeWritten(t *testing.T) {
	for _, length := range []int{0, 1, page, 3*page + 1, 5 << 20} {
		for name, opts := range map[string][]bytefd.MapOption{
			"shared":   nil,
			"read":     {bytefd.MapRead()},
			"write":    {bytefd.MapWrite()},
			"private":  {bytefd.MapPrivate()},
			"populate": {bytefd.MapPopulate()},
			"guard":    {bytefd.MapGuard()},
			"reserve":  {bytefd.MapReserve(16 << 20)},
		} {
			m := memory(t, length, opts...)
			if m.Len() != length || !bytes.Equal(m.Bytes(), make([]byte, length)) {
				t.Errorf("%s: %d bytes, or not all zero; want %d", name, m.Len(), length)
			}
			want := pattern(length)
			copy(m.Bytes(), want)
			got := make([]byte, length)
			if _, err := m.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %d bytes read back differ, %v", name, length, err)
			}
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestSharedMemoryHasADescriptorAndPrivateHasNone(t *testing.T) {
	m := memory(t, 5)
	f := closedLater(t, must[*os.File](t)(m.File()))
	if !closeOnExec(t, int(f.Fd())) || accessMode(t, int(f.Fd())) != syscall.O_RDWR {
		t.Error("it is not read-write and close-on-exec")
	}
	if _, err := f.WriteAt([]byte("hello"), 0); err != nil {
		t.Error(err)
	}
	if string(m.Bytes()) != "hello" {
		t.Errorf("the map holds %q", m.Bytes())
	}
	// The caller's own: it outlives the map.
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	again := closedLater(t, must[*bytefd.Map](t)(bytefd.MapFD(int(f.Fd()))))
	if string(again.Bytes()) != "hello" {
		t.Errorf("the other map holds %q", again.Bytes())
	}
	_, err := memory(t, 5, bytefd.MapPrivate()).File()
	isError(t, err, syscall.EBADF)
}

func TestOnlyAMapForWritingKeepsTheDescriptorOfItsFile(t *testing.T) {
	path := fileOf(t, []byte("hello"))
	f := closedLater(t, must[*os.File](t)(mapped(t, path, bytefd.MapWrite()).File()))
	if stat := must[fs.FileInfo](t)(os.Stat(path)); !os.SameFile(stat, must[fs.FileInfo](t)(f.Stat())) {
		t.Error("the descriptor is that of another file")
	}
	for _, access := range []bytefd.MapOption{bytefd.MapRead(), bytefd.MapPrivate()} {
		_, err := mapped(t, path, access).File()
		isError(t, err, syscall.EBADF)
	}
}

func TestWrongOptionsForMemoryAreEINVAL(t *testing.T) {
	for name, opts := range map[string][]bytefd.MapOption{
		"offset":           {bytefd.MapOffset(1)},
		"length":           {bytefd.MapLength(1)},
		"file size":        {bytefd.MapFileSize(1)},
		"create":           {bytefd.MapCreate()},
		"mode":             {bytefd.MapMode(0o600)},
		"beyond EOF":       {bytefd.MapBeyondEOF()},
		"wipe shared":      {bytefd.MapWipeOnFork()},
		"negative reserve": {bytefd.MapReserve(-1)},
		"huge pages":       {bytefd.MapHugePages()},
	} {
		_, err := bytefd.NewMap(page+1, opts...)
		if name == "huge pages" && err != nil && strings.Contains(err.Error(), "memfd_create") {
			continue // a kernel without them
		}
		t.Log(name)
		isError(t, err, syscall.EINVAL)
	}
	for _, length := range []int{-1, math.MinInt} {
		_, err := bytefd.NewMap(length)
		isError(t, err, syscall.EINVAL)
	}
	_, err := bytefd.NewMap(math.MaxInt)
	if err == nil {
		t.Error("a map of all addresses")
	}
	_, err = bytefd.MapFile(fileOf(t, []byte("hello")), bytefd.MapReserve(page))
	isError(t, err, syscall.EINVAL)
}

func TestMemoryIsWipedInChildrenWhenAsked(t *testing.T) {
	m := memory(t, page, bytefd.MapPrivate(), bytefd.MapWipeOnFork())
	// The kernel's view, because a child of Go's executes a program at once.
	start := fmt.Sprintf("%x-", addressOf(m))
	_, rest, found := strings.Cut(string(must[[]byte](t)(os.ReadFile("/proc/self/smaps"))), start)
	_, flags, _ := strings.Cut(rest, "VmFlags:")
	flags, _, _ = strings.Cut(flags, "\n")
	if !found || !strings.Contains(flags+" ", " wf ") {
		t.Errorf("the kernel's flags are %q", flags)
	}
}

func TestADescriptorIsMappedWhateverItsOffset(t *testing.T) {
	f := closedLater(t, must[*os.File](t)(os.OpenFile(fileOf(t, []byte("hello")), os.O_RDWR, 0)))
	if _, err := f.Seek(3, 0); err != nil {
		t.Fatal(err)
	}
	m := closedLater(t, must[*bytefd.Map](t)(bytefd.MapFD(int(f.Fd()), bytefd.MapWrite(), bytefd.MapOffset(1))))
	if offset := must[int64](t)(f.Seek(0, 1)); string(m.Bytes()) != "ello" || offset != 3 {
		t.Errorf("the map holds %q, the offset is %d", m.Bytes(), offset)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.WriteAt([]byte("E"), 0); err != nil || m.Resize(3) != nil || string(m.Bytes()) != "Ell" {
		t.Errorf("with the descriptor closed: %q, %v", m.Bytes(), err)
	}
}

func TestADescriptorThatCannotBeMappedIsAnError(t *testing.T) {
	path := fileOf(t, []byte("hello"))
	reading := closedLater(t, must[*os.File](t)(os.Open(path)))
	writing := closedLater(t, must[*os.File](t)(os.OpenFile(path, os.O_WRONLY, 0)))
	sealed := wrapped(t, []byte("hello"))
	directory := closedLater(t, must[*os.File](t)(os.Open(t.TempDir())))
	null := closedLater(t, must[*os.File](t)(os.Open(os.DevNull)))
	for name, c := range map[string]struct {
		fd   int
		opts []bytefd.MapOption
		want syscall.Errno
	}{
		"not open":             {-1, nil, syscall.EBADF},
		"no number of C's":     {1 << 32, nil, syscall.EBADF},
		"write for reading":    {int(reading.Fd()), []bytefd.MapOption{bytefd.MapWrite()}, syscall.EACCES},
		"read for writing":     {int(writing.Fd()), nil, syscall.EACCES},
		"sealed":               {int(sealed.Fd()), []bytefd.MapOption{bytefd.MapWrite()}, syscall.EPERM},
		"a directory":          {int(directory.Fd()), nil, syscall.EISDIR},
		"a device":             {int(null.Fd()), nil, syscall.ENODEV},
		"create":               {int(reading.Fd()), []bytefd.MapOption{bytefd.MapWrite(), bytefd.MapCreate()}, syscall.EINVAL},
		"past the end":         {int(reading.Fd()), []bytefd.MapOption{bytefd.MapLength(6)}, syscall.ENXIO},
		"negative":             {int(reading.Fd()), []bytefd.MapOption{bytefd.MapOffset(-1)}, syscall.EINVAL},
		"wipe in children":     {int(reading.Fd()), []bytefd.MapOption{bytefd.MapWipeOnFork()}, syscall.EINVAL},
		"reserved huge pages":  {int(reading.Fd()), []bytefd.MapOption{bytefd.MapHugePages()}, syscall.EINVAL},
		"mode of what is open": {int(reading.Fd()), []bytefd.MapOption{bytefd.MapMode(0o600)}, syscall.EINVAL},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := bytefd.MapFD(c.fd, c.opts...)
			isError(t, err, c.want)
		})
	}
}

func TestResizeKeepsWhatStaysAndTheRestIsZero(t *testing.T) {
	path := fileOf(t, pattern(100))
	for name, m := range map[string]*bytefd.Map{
		"shared":             memory(t, 100),
		"private":            memory(t, 100, bytefd.MapPrivate()),
		"guarded":            memory(t, 100, bytefd.MapGuard()),
		"reserve":            memory(t, 100, bytefd.MapReserve(1<<20)),
		"file":               mapped(t, path, bytefd.MapWrite()),
		"private, populated": memory(t, 100, bytefd.MapPrivate(), bytefd.MapPopulate()),
	} {
		t.Run(name, func(t *testing.T) {
			want := pattern(100)
			copy(m.Bytes(), want)
			for _, length := range []int{50, 2*page + 1, page, page + 1, 0, 10, 100 * page} {
				// Behind the end, in the last page.
				if n := m.Len(); n > 0 && n%page != 0 {
					unsafe.Slice(unsafe.SliceData(m.Bytes()), n+1)[n] = 'x'
				}
				if err := m.Resize(length); err != nil {
					t.Fatal(err)
				}
				want = append(want[:min(len(want), length)], make([]byte, max(0, length-len(want)))...)
				if m.Len() != length || !bytes.Equal(m.Bytes(), want) {
					t.Fatalf("resized to %d: a map of %d bytes, or other ones", length, m.Len())
				}
				if length > 0 {
					m.Bytes()[length-1], want[length-1] = 'y', 'y'
				}
			}
		})
	}
	if got := must[[]byte](t)(os.ReadFile(path)); len(got) != 100*page {
		t.Errorf("the file has %d bytes", len(got))
	}
}

func TestAMapWithAReserveStaysWhereItIs(t *testing.T) {
	for name, m := range map[string]*bytefd.Map{
		"shared":  memory(t, 1, bytefd.MapReserve(1<<30)),
		"private": memory(t, 0, bytefd.MapReserve(1<<30), bytefd.MapPrivate()),
		"file":    mapped(t, fileOf(t, []byte("h")), bytefd.MapReserve(1<<30), bytefd.MapWrite()),
	} {
		if err := m.Resize(1); err != nil {
			t.Fatal(err)
		}
		first := m.Bytes()
		first[0] = 'J'
		for _, length := range []int{page, 5, 100 * page, 4 << 20, 1} {
			if err := m.Resize(length); err != nil {
				t.Fatal(err)
			}
			if &m.Bytes()[0] != &first[0] || first[0] != 'J' {
				t.Errorf("%s: it moved at %d bytes", name, length)
			}
		}
	}
}

func TestAMapThatCannotBeResizedIsAsBefore(t *testing.T) {
	path := fileOf(t, []byte("hello"))
	sealed := memory(t, 5)
	copy(sealed.Bytes(), "hello")
	closedLater(t, must[*os.File](t)(sealed.Seal()))
	writable := mapped(t, path, bytefd.MapWrite())
	for _, c := range []struct {
		m      *bytefd.Map
		length int
	}{
		{mapped(t, path), 6}, {mapped(t, path, bytefd.MapPrivate()), 6}, {sealed, 4}, {writable, -1}, {writable, math.MinInt},
	} {
		isError(t, c.m.Resize(c.length), syscall.EINVAL)
		if string(c.m.Bytes()) != "hello" {
			t.Errorf("it holds %q", c.m.Bytes())
		}
	}
	if err := writable.Resize(math.MaxInt); err == nil || string(writable.Bytes()) != "hello" {
		t.Errorf("%v, %q", err, writable.Bytes())
	}
}

func TestSealGivesWhatWrapBufferGives(t *testing.T) {
	for _, length := range []int{0, 5, page, 5 << 20} {
		want := pattern(length)
		m := memory(t, length, bytefd.MapPopulate())
		copy(m.Bytes(), want)
		before := addressOf(m)
		f := closedLater(t, must[*os.File](t)(m.Seal()))
		isPromised(t, int(f.Fd()), want)
		if got := seals(t, int(f.Fd())); got&0xf != 0xf || !closeOnExec(t, int(f.Fd())) {
			t.Errorf("seals %#x", got)
		}
		if mode := fstat(t, int(f.Fd())).Mode & 0o7777; mode != 0o400 {
			t.Errorf("mode %04o", mode)
		}
		if !bytes.Equal(m.Bytes(), want) || addressOf(m) != before {
			t.Error("the map is another")
		}
		_, err := m.WriteAt(nil, 0)
		isError(t, err, syscall.EACCES)
		_, err = m.Seal()
		isError(t, err, syscall.EINVAL)
		_, err = m.File()
		isError(t, err, syscall.EBADF)
	}
}

func TestWhoHasTheMemoryMappedForWritingKeepsItFromBeingSealed(t *testing.T) {
	m := memory(t, page)
	f := closedLater(t, must[*os.File](t)(m.File()))
	other := closedLater(t, must[*bytefd.Map](t)(bytefd.MapFD(int(f.Fd()), bytefd.MapWrite())))
	_, err := m.Seal()
	isError(t, err, syscall.EBUSY)
	if _, err := m.WriteAt([]byte("hello"), 0); err != nil || string(other.Bytes()[:5]) != "hello" {
		t.Errorf("the map is not as before: %v", err)
	}
	if err := other.Close(); err != nil {
		t.Error(err)
	}
	isPromised(t, int(closedLater(t, must[*os.File](t)(m.Seal())).Fd()), append([]byte("hello"), make([]byte, page-5)...))
}

func TestPrivateMemoryAndFilesCannotBeSealed(t *testing.T) {
	path := fileOf(t, []byte("hello"))
	for _, m := range []*bytefd.Map{
		memory(t, 5, bytefd.MapPrivate()), mapped(t, path), mapped(t, path, bytefd.MapWrite()),
	} {
		_, err := m.Seal()
		isError(t, err, syscall.EINVAL)
	}
}
