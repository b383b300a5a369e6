//go:build linux && cgo

package bytefd_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
)

const shm = "/dev/shm"

// namedFor is CreateNamed with a name of this test's own, which is gone when the test ends.
func namedFor(t *testing.T, opts ...bytefd.NamedOption) *bytefd.Named {
	t.Helper()
	opts = append([]bytefd.NamedOption{bytefd.UnlinkOnClose()}, opts...)
	return closedLater(t, must[*bytefd.Named](t)(bytefd.CreateNamed(sharedName(t), opts...)))
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestNamedMemoryIsFoundByItsName(t *testing.T) {
	ours := namedFor(t, bytefd.NamedWrite(), bytefd.NamedLength(int64(page)+1))
	if ours.Name() != "/"+sharedName(t) || !ours.Created() {
		t.Errorf("%s, created: %t", ours.Name(), ours.Created())
	}
	must[int](t)(ours.File().WriteAt([]byte("hello"), int64(page)-4))
	for _, name := range []string{ours.Name(), strings.TrimPrefix(ours.Name(), "/")} {
		theirs := closedLater(t, must[*bytefd.Named](t)(bytefd.OpenNamed(name, bytefd.NamedLength(int64(page)+1))))
		fd := int(theirs.File().Fd())
		if theirs.Created() || theirs.Name() != ours.Name() {
			t.Errorf("%s, created: %t", theirs.Name(), theirs.Created())
		}
		if accessMode(t, fd) != syscall.O_RDONLY || !closeOnExec(t, fd) {
			t.Error("what was opened is not as was asked for")
		}
		stat := fstat(t, fd)
		if stat.Size != int64(page)+1 || stat.Mode&0o7777 != 0o600 || stat.Blocks*512 < stat.Size {
			t.Errorf("%d bytes, mode %04o, %d blocks", stat.Size, stat.Mode&0o7777, stat.Blocks)
		}
		text := make([]byte, 6)
		n, _ := theirs.File().ReadAt(text, int64(page)-4)
		if string(text[:n]) != "hello" {
			t.Errorf("read %q", text[:n])
		}
	}
}

func TestTheModeIsWhatWasAskedForWhateverTheUmaskSays(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o777))
	n := namedFor(t, bytefd.NamedMode(0o642))
	if mode := fstat(t, int(n.File().Fd())).Mode & 0o7777; mode != 0o642 {
		t.Errorf("mode %04o", mode)
	}
}

func TestCreatingOpeningAndEither(t *testing.T) {
	name := sharedName(t)
	_, err := bytefd.OpenNamed(name)
	isError(t, err, syscall.ENOENT)
	opts := []bytefd.NamedOption{bytefd.NamedLength(5), bytefd.UnlinkOnClose()}
	first := closedLater(t, must[*bytefd.Named](t)(bytefd.OpenOrCreateNamed(name, opts...)))
	second := closedLater(t, must[*bytefd.Named](t)(bytefd.OpenOrCreateNamed(name, opts[:1]...)))
	if !first.Created() || second.Created() || !sameFile(t, first.File(), second.File()) {
		t.Error("the second was made, or the first not")
	}
	_, err = bytefd.CreateNamed(name)
	isError(t, err, syscall.EEXIST)
	_, err = bytefd.OpenNamed(name, bytefd.NamedLength(6))
	isError(t, err, syscall.ENXIO)
	_, err = bytefd.OpenOrCreateNamed(name, bytefd.NamedLength(6))
	isError(t, err, syscall.ENXIO)
	if err := bytefd.UnlinkNamed(name); err != nil {
		t.Error(err)
	}
	isError(t, bytefd.UnlinkNamed(name), syscall.ENOENT)
}

func sameFile(t *testing.T, a, b *os.File) bool {
	t.Helper()
	return os.SameFile(must[fs.FileInfo](t)(a.Stat()), must[fs.FileInfo](t)(b.Stat()))
}

func TestOneOfManyMakesIt(t *testing.T) {
	var group sync.WaitGroup
	var mutex sync.Mutex
	var all []*bytefd.Named
	made := 0
	for i := 0; i < 16; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			n, err := bytefd.OpenOrCreateNamed(sharedName(t), bytefd.NamedLength(1000), bytefd.UnlinkOnClose())
			mutex.Lock()
			defer mutex.Unlock()
			if err != nil {
				t.Error(err)
				return
			}
			all = append(all, n)
			if n.Created() {
				made++
			}
		}()
	}
	group.Wait()
	if made != 1 {
		t.Errorf("%d have made it", made)
	}
	for _, n := range all {
		if !sameFile(t, n.File(), all[0].File()) {
			t.Error("there are two")
		}
	}
	for _, n := range all {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestClosingRemovesTheNameOnlyIfAskedAndOnlyItsOwn(t *testing.T) {
	path := filepath.Join(shm, sharedName(t))
	kept := closedLater(t, must[*bytefd.Named](t)(bytefd.CreateNamed(sharedName(t))))
	for i := 0; i < 3; i++ {
		if err := kept.Close(); err != nil {
			t.Error(err)
		}
	}
	if !exists(path) {
		t.Error("the name is gone")
	}
	if _, err := kept.File().Stat(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("%v is not os.ErrClosed", err)
	}

	ours := closedLater(t, must[*bytefd.Named](t)(bytefd.OpenNamed(sharedName(t), bytefd.UnlinkOnClose())))
	if err := bytefd.UnlinkNamed(sharedName(t)); err != nil {
		t.Fatal(err)
	}
	other := namedFor(t)
	if err := ours.Close(); err != nil {
		t.Error(err)
	}
	if !exists(path) {
		t.Error("somebody else's name is gone")
	}
	for i := 0; i < 3; i++ {
		if err := other.Close(); err != nil {
			t.Error(err)
		}
	}
	if exists(path) {
		t.Error("the name is still there")
	}
	if err := new(bytefd.Named).Close(); err != nil {
		t.Error("one that was never made:", err)
	}
}

func TestMemoryLivesOnWithoutItsName(t *testing.T) {
	n := namedFor(t, bytefd.NamedWrite(), bytefd.NamedLength(5))
	other := opened(t, n.File(), os.O_RDWR)
	n.Close()
	must[int](t)(other.WriteAt([]byte("hello"), 0))
	if got := fstat(t, int(other.Fd())); got.Nlink != 0 || got.Size != 5 {
		t.Errorf("%d links, %d bytes", got.Nlink, got.Size)
	}
}

func TestNamesAndOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	long := strings.Repeat("n", 256)
	for name, want := range map[string]syscall.Errno{
		"": syscall.EINVAL, "/": syscall.EINVAL, ".": syscall.EINVAL, "/..": syscall.EINVAL, "a/b": syscall.EINVAL,
		"//a": syscall.EINVAL, "a\x00b": syscall.EINVAL, "a\xff": syscall.EINVAL, long: syscall.ENAMETOOLONG,
	} {
		_, createErr := bytefd.CreateNamed(name)
		_, openErr := bytefd.OpenNamed(name)
		_, eitherErr := bytefd.OpenOrCreateNamed(name)
		for _, err := range []error{createErr, openErr, eitherErr, bytefd.UnlinkNamed(name)} {
			isError(t, err, want)
		}
	}
	for _, option := range []bytefd.NamedOption{
		bytefd.NamedLength(-1), bytefd.NamedLength(math.MinInt64),
		bytefd.NamedMode(0o1000), bytefd.NamedMode(fs.ModeSetuid),
	} {
		_, err := bytefd.CreateNamed(sharedName(t), option)
		isError(t, err, syscall.EINVAL)
	}
	_, err := bytefd.OpenNamed(sharedName(t), bytefd.NamedOwned())
	isError(t, err, syscall.EINVAL)
	_, err = bytefd.CreateNamed(sharedName(t), bytefd.NamedLength(math.MaxInt64))
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EFBIG) {
		t.Error(err)
	}
	if exists(filepath.Join(shm, sharedName(t))) {
		t.Error("something was made")
	}
}

func TestWhatIsNoRegularFileIsNeitherFollowedNorWaitedFor(t *testing.T) {
	path := filepath.Join(shm, sharedName(t))
	defer os.Remove(path)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := bytefd.OpenNamed(sharedName(t))
	isError(t, err, syscall.ENODEV)
	os.Remove(path)
	if err := os.Symlink("/etc/passwd", path); err != nil {
		t.Fatal(err)
	}
	_, err = bytefd.OpenNamed(sharedName(t))
	isError(t, err, syscall.ELOOP)
}

func TestSweepingRemovesWhatTheDeadHaveLeftAndNothingElse(t *testing.T) {
	if os.Getenv(roleOfChild) != "" {
		n := must[*bytefd.Named](t)(bytefd.CreateNamed("table", bytefd.NamedOwned(), bytefd.UnlinkOnClose()))
		l := must[*bytefd.LinkedFile](t)(bytefd.Link([]byte("hello"), ".txt"))
		fmt.Println(n.Name())
		fmt.Println(l.Path())
		_, number := segment(t, 0, page, bytefd.SysvOwned())
		fmt.Println(number)
		select {} // until it is killed
	}
	opts := []bytefd.NamedOption{bytefd.NamedOwned(), bytefd.UnlinkOnClose()}
	ours := closedLater(t, must[*bytefd.Named](t)(bytefd.CreateNamed("table", opts...)))
	ownerless := namedFor(t)
	child, lines := asChild(t, "leaves things behind")
	name, path := nextLine(t, lines), nextLine(t, lines)
	number := must[int](t)(strconv.Atoi(nextLine(t, lines)))
	_, ourNumber := segment(t, 0, page, bytefd.SysvOwned())
	t.Cleanup(func() { bytefd.RemoveSysv(number) })
	if filepath.Dir(name) != "/" || !strings.HasSuffix(name, ".table") || name == ours.Name() {
		t.Errorf("the whole names are %q and %q", name, ours.Name())
	}
	living := []string{shm + ours.Name(), shm + ownerless.Name()}
	dying := []string{shm + name, path}

	must[int](t)(bytefd.Sweep())
	for _, path := range append(living, dying...) {
		if !exists(path) {
			t.Errorf("%s was swept away while its owner was alive", path)
		}
	}
	if segmentMode(t, number) != "600" {
		t.Error("the segment was swept away while its owner was alive")
	}
	child.Process.Kill()
	child.Wait()
	must[int](t)(bytefd.Sweep())
	if segmentMode(t, number) != "" || segmentMode(t, ourNumber) != "600" {
		t.Error("the segment is still there, or the one of this process is gone")
	}
	for _, path := range dying {
		if exists(path) {
			t.Errorf("%s is still there", path)
		}
	}
	for _, path := range living {
		if !exists(path) {
			t.Errorf("%s is gone", path)
		}
	}
}

func TestALinkedFileHoldsTheBytesUntilItIsClosed(t *testing.T) {
	for _, size := range sizes {
		want := pattern(size)
		l := closedLater(t, must[*bytefd.LinkedFile](t)(bytefd.Link(want, ".ndb")))
		path := l.Path()
		real := must[string](t)(filepath.EvalSymlinks(path))
		if !filepath.IsAbs(path) || !strings.HasSuffix(path, ".ndb") || real != path {
			t.Errorf("the path is %q", path)
		}
		if got := must[[]byte](t)(os.ReadFile(path)); string(got) != string(want) {
			t.Error("the content differs")
		}
		if mode := must[fs.FileInfo](t)(os.Stat(path)).Mode(); mode != 0o600 {
			t.Errorf("mode %v", mode)
		}
		directory := filepath.Dir(path)
		if mode := must[fs.FileInfo](t)(os.Stat(directory)).Mode(); mode != fs.ModeDir|0o700 {
			t.Errorf("the directory has mode %v", mode)
		}
		if err := os.WriteFile(path+"-journal", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		for i := 0; i < 3; i++ {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			if exists(directory) || l.Path() != "" {
				t.Errorf("%s is still there", directory)
			}
		}
	}
	var never bytefd.LinkedFile
	if never.Path() != "" || never.Close() != nil {
		t.Error("one that was never made has a path")
	}
}

func TestALinkedFileThatIsDroppedIsRemoved(t *testing.T) {
	path := func() string { return must[*bytefd.LinkedFile](t)(bytefd.Link(nil, "")).Path() }()
	for exists(path) {
		runtime.GC()
	}
}

func TestSuffixesThatMakeNoSenseAreRefused(t *testing.T) {
	before := sharedNames()
	for suffix, want := range map[string]syscall.Errno{
		"/":                      syscall.EINVAL,
		".a/b":                   syscall.EINVAL,
		"a\x00b":                 syscall.EINVAL,
		"a\xff":                  syscall.EINVAL,
		strings.Repeat("x", 201): syscall.ENAMETOOLONG,
	} {
		_, err := bytefd.Link([]byte("hello"), suffix)
		isError(t, err, want)
	}
	for name := range sharedNames() {
		if !before[name] {
			t.Error("left over:", name)
		}
	}
}
