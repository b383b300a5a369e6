//go:build linux && cgo

package bytefd_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
)

func TestAMapHasTheBytesOfTheFile(t *testing.T) {
	access := map[string]bytefd.MapOption{"read": bytefd.MapRead(), "write": bytefd.MapWrite(), "private": bytefd.MapPrivate()}
	for _, size := range sizes {
		for name, option := range access {
			t.Run(fmt.Sprint(name, " ", size), func(t *testing.T) {
				want := pattern(size)
				m := mapped(t, fileOf(t, want), option)
				if m.Len() != size || m.Bytes() == nil || !bytes.Equal(m.Bytes(), want) {
					t.Errorf("the map of %d bytes differs from the file of %d", m.Len(), size)
				}
			})
		}
	}
}

func TestNoDescriptorStaysOpen(t *testing.T) {
	path := fileOf(t, []byte("hello"))
	before := openDescriptors()
	mapped(t, path)
	for number, link := range openDescriptors() {
		if before[number] != link {
			t.Errorf("descriptor %s is open for %s", number, link)
		}
	}
}

func TestOffsetAndLengthCutOutAnyBytes(t *testing.T) {
	all := pattern(3*page + 7)
	path := fileOf(t, all)
	for _, offset := range []int{0, 1, page - 1, page, page + 1, len(all) - 1, len(all)} {
		rest := len(all) - offset
		m := mapped(t, path, bytefd.MapOffset(int64(offset)))
		if !bytes.Equal(m.Bytes(), all[offset:]) {
			t.Errorf("the map from %d differs from the file", offset)
		}
		for _, length := range []int{1, 5, page, rest} {
			if length == 0 || length > rest {
				continue
			}
			m := mapped(t, path, bytefd.MapOffset(int64(offset)), bytefd.MapLength(length))
			if !bytes.Equal(m.Bytes(), all[offset:offset+length]) {
				t.Errorf("the map of %d bytes from %d differs from the file", length, offset)
			}
		}
	}
}

func TestARangePastTheEndIsENXIO(t *testing.T) {
	path := fileOf(t, make([]byte, 5000))
	for _, opts := range [][]bytefd.MapOption{
		{bytefd.MapLength(5001)},
		{bytefd.MapOffset(5001)},
		{bytefd.MapOffset(4999), bytefd.MapLength(2)},
	} {
		_, err := bytefd.MapFile(path, opts...)
		isError(t, err, syscall.ENXIO)
	}
}

func TestBeyondTheEndReadsZeroUntilThePageEnds(t *testing.T) {
	path := fileOf(t, []byte("hello"))
	m := mapped(t, path, bytefd.MapLength(2*page), bytefd.MapBeyondEOF())
	if m.Len() != 2*page {
		t.Errorf("%d bytes, want %d", m.Len(), 2*page)
	}
	p := make([]byte, m.Len())
	n, err := m.ReadAt(p, 0)
	isError(t, err, syscall.EIO)
	if want := append([]byte("hello"), make([]byte, page-5)...); n != page || !bytes.Equal(p[:n], want) {
		t.Errorf("read %d bytes, want the page's %d", n, page)
	}
	// Growing the file makes the second page valid.
	if err := os.Truncate(path, int64(2*page)); err != nil {
		t.Fatal(err)
	}
	if n, err := m.ReadAt(p, 0); n != 2*page || err != nil {
		t.Errorf("read %d bytes, %v", n, err)
	}
}

func TestStoresReachTheFileOnlyWhenShared(t *testing.T) {
	for name, c := range map[string]struct {
		access bytefd.MapOption
		want   string
	}{"write": {bytefd.MapWrite(), "Jello"}, "private": {bytefd.MapPrivate(), "hello"}} {
		t.Run(name, func(t *testing.T) {
			path := fileOf(t, []byte("hello"))
			m := mapped(t, path, c.access)
			m.Bytes()[0] = 'J'
			if string(m.Bytes()) != "Jello" {
				t.Errorf("the map holds %q", m.Bytes())
			}
			if got := must[[]byte](t)(os.ReadFile(path)); string(got) != c.want {
				t.Errorf("the file holds %q, want %q", got, c.want)
			}
		})
	}
}

func TestWhatOthersWriteShowsInAMapForReading(t *testing.T) {
	path := fileOf(t, []byte("hello"))
	m := mapped(t, path)
	w := mapped(t, path, bytefd.MapWrite())
	if _, err := w.WriteAt([]byte("J"), 0); err != nil {
		t.Fatal(err)
	}
	if string(m.Bytes()) != "Jello" {
		t.Errorf("the map holds %q", m.Bytes())
	}
}

func TestCreateMakesTheFileAndGrowsItWithZeros(t *testing.T) {
	old := syscall.Umask(0o022)
	defer syscall.Umask(old)
	for name, c := range map[string]struct {
		opts []bytefd.MapOption
		mode fs.FileMode
	}{
		"default mode": {nil, 0o600},
		"mode 0":       {[]bytefd.MapOption{bytefd.MapMode(0)}, 0o600},
		"mode 0666":    {[]bytefd.MapOption{bytefd.MapMode(0o666)}, 0o644},
		"sparse":       {[]bytefd.MapOption{bytefd.MapNoReserve()}, 0o600},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "new")
			opts := append(c.opts, bytefd.MapWrite(), bytefd.MapCreate(), bytefd.MapFileSize(int64(page+1)))
			m := mapped(t, path, opts...)
			if !bytes.Equal(m.Bytes(), make([]byte, page+1)) {
				t.Errorf("%d bytes that are not all zero, want %d zeros", m.Len(), page+1)
			}
			stat := must[fs.FileInfo](t)(os.Stat(path))
			if stat.Size() != int64(page+1) || stat.Mode() != c.mode {
				t.Errorf("a file of %d bytes, mode %v; want %v", stat.Size(), stat.Mode(), c.mode)
			}
		})
	}
}

func TestFileSizeGrowsAndNeverShrinks(t *testing.T) {
	for _, c := range []struct{ ask, want int64 }{{3, 5}, {5, 5}, {6, 6}, {int64(2 * page), int64(2 * page)}} {
		path := fileOf(t, []byte("hello"))
		m := mapped(t, path, bytefd.MapWrite(), bytefd.MapFileSize(c.ask))
		want := append([]byte("hello"), make([]byte, c.want-5)...)
		if !bytes.Equal(m.Bytes(), want) || must[fs.FileInfo](t)(os.Stat(path)).Size() != c.want {
			t.Errorf("asked for %d bytes: a map of %d, want %d", c.ask, m.Len(), c.want)
		}
	}
}

func TestCreateTakesAFileThatIsThere(t *testing.T) {
	m := mapped(t, fileOf(t, []byte("hello")), bytefd.MapWrite(), bytefd.MapCreate())
	if string(m.Bytes()) != "hello" {
		t.Errorf("the map holds %q", m.Bytes())
	}
}

func TestAFailedCreateLeavesNoFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new")
	_, err := bytefd.MapFile(path, bytefd.MapWrite(), bytefd.MapCreate(), bytefd.MapFileSize(10), bytefd.MapLength(11))
	isError(t, err, syscall.ENXIO)
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the file is there: %v", err)
	}
}

func TestFlagsShowInTheKernelsView(t *testing.T) {
	want := pattern(page)
	path := fileOf(t, want)
	for name, c := range map[string]struct {
		opts []bytefd.MapOption
		flag string // in the VmFlags line of /proc/self/smaps
	}{
		"execute":    {[]bytefd.MapOption{bytefd.MapExecute()}, "ex"},
		"lock":       {[]bytefd.MapOption{bytefd.MapLock()}, "lo"},
		"no fork":    {[]bytefd.MapOption{bytefd.MapNoFork()}, "dc"},
		"no reserve": {[]bytefd.MapOption{bytefd.MapNoReserve(), bytefd.MapPrivate()}, "nr"},
		"populate":   {[]bytefd.MapOption{bytefd.MapPopulate()}, "rd"},
	} {
		t.Run(name, func(t *testing.T) {
			m := mapped(t, path, c.opts...)
			if !bytes.Equal(m.Bytes(), want) {
				t.Error("the map differs from the file")
			}
			if flags := vmFlags(t, path); !strings.Contains(flags+" ", " "+c.flag+" ") {
				t.Errorf("the kernel's flags are %q, want %q", flags, c.flag)
			}
			if name == "populate" && resident(t, path) == "0 kB" {
				t.Error("no page is there")
			}
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func vmFlags(t *testing.T, path string) string { return smapsField(t, path, "VmFlags:") }
func resident(t *testing.T, path string) string {
	return strings.TrimSpace(smapsField(t, path, "Rss:"))
}

func smapsField(t *testing.T, path, field string) string {
	t.Helper()
	_, rest, found := strings.Cut(string(must[[]byte](t)(os.ReadFile("/proc/self/smaps"))), path+"\n")
	if !found {
		t.Fatalf("%s is not mapped", path)
	}
	_, rest, _ = strings.Cut(rest, field)
	value, _, _ := strings.Cut(rest, "\n")
	return value
}

func TestWrongMapOptionsAreEINVALAndTouchNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new")
	for name, opts := range map[string][]bytefd.MapOption{
		"create for reading":    {bytefd.MapCreate()},
		"create private":        {bytefd.MapPrivate(), bytefd.MapCreate()},
		"grow for reading":      {bytefd.MapFileSize(1)},
		"negative offset":       {bytefd.MapWrite(), bytefd.MapCreate(), bytefd.MapOffset(-1)},
		"negative length":       {bytefd.MapWrite(), bytefd.MapCreate(), bytefd.MapLength(-1)},
		"negative size":         {bytefd.MapWrite(), bytefd.MapCreate(), bytefd.MapFileSize(-1)},
		"offset and length":     {bytefd.MapWrite(), bytefd.MapCreate(), bytefd.MapOffset(math.MaxInt64), bytefd.MapLength(1)},
		"mode with a type":      {bytefd.MapWrite(), bytefd.MapCreate(), bytefd.MapMode(fs.ModeSymlink | 0o600)},
		"mode with set-user-ID": {bytefd.MapWrite(), bytefd.MapCreate(), bytefd.MapMode(0o4600)},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := bytefd.MapFile(path, opts...)
			isError(t, err, syscall.EINVAL)
			if _, err := os.Stat(path); !os.IsNotExist(err) {
				t.Errorf("the file is there: %v", err)
			}
		})
	}
}

func TestWhatIsNoRegularFileIsRefusedAndNothingBlocks(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	loop := filepath.Join(t.TempDir(), "loop")
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]syscall.Errno{
		t.TempDir():           syscall.EISDIR,
		fifo:                  syscall.ENODEV,
		os.DevNull:            syscall.ENODEV,
		"/proc/self/comm":     syscall.ENODEV,
		loop:                  syscall.ELOOP,
		"":                    syscall.ENOENT,
		"/no/such":            syscall.ENOENT,
		"/etc/passwd/file":    syscall.ENOTDIR,
		"/etc/passwd\x00/tmp": syscall.EINVAL,
	} {
		for _, opts := range [][]bytefd.MapOption{nil, {bytefd.MapWrite()}} {
			_, err := bytefd.MapFile(path, opts...)
			isError(t, err, want)
		}
	}
}

func TestASealedFileIsMappedForReadingOnly(t *testing.T) {
	f := wrapped(t, []byte("hello"), bytefd.WithMode(0o600))
	path := bytefd.Path(int(f.Fd()))
	if m := mapped(t, path); string(m.Bytes()) != "hello" {
		t.Errorf("the map holds %q", m.Bytes())
	}
	_, err := bytefd.MapFile(path, bytefd.MapWrite())
	isError(t, err, syscall.EPERM)
}

func TestAPathMayHoldAnyByteButNUL(t *testing.T) {
	path := filepath.Join(t.TempDir(), "\xff \n%s")
	if err := os.WriteFile(path, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	if m := mapped(t, path); string(m.Bytes()) != "hello" {
		t.Errorf("the map holds %q", m.Bytes())
	}
}

func TestAChildSeesWhatWasFlushed(t *testing.T) {
	path := fileOf(t, []byte("hello"))
	m := mapped(t, path, bytefd.MapWrite())
	if _, err := m.WriteAt([]byte("J"), 0); err != nil {
		t.Fatal(err)
	}
	if err := m.Flush(0, 0, bytefd.FlushSync); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cat", path).Output(); string(out) != "Jello" || err != nil {
		t.Errorf("the child read %q, %v", out, err)
	}
}
