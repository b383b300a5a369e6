//go:build linux && cgo

package bytefd_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
)

// shmFor calls CreateShm with a name of this test. The name is removed when the test ends.
func shmFor(t *testing.T, opts ...bytefd.ShmOption) *bytefd.Shm {
	t.Helper()
	opts = append([]bytefd.ShmOption{bytefd.ShmUnlinkOnClose()}, opts...)
	return closedLater(t, must[*bytefd.Shm](t)(bytefd.CreateShm(sharedName(t), opts...)))
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func sameFile(t *testing.T, a, b *os.File) bool {
	t.Helper()
	return os.SameFile(must[fs.FileInfo](t)(a.Stat()), must[fs.FileInfo](t)(b.Stat()))
}

func TestOneOfManyMakesIt(t *testing.T) {
	var group sync.WaitGroup
	var mutex sync.Mutex
	var all []*bytefd.Shm
	made := 0
	for i := 0; i < 16; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			n, err := bytefd.OpenOrCreateShm(sharedName(t), bytefd.ShmLength(1000),
				bytefd.ShmUnlinkOnClose())
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
	kept := closedLater(t, must[*bytefd.Shm](t)(bytefd.CreateShm(sharedName(t))))
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

	ours := closedLater(t,
		must[*bytefd.Shm](t)(bytefd.OpenShm(sharedName(t), bytefd.ShmUnlinkOnClose())))
	if err := bytefd.UnlinkShm(sharedName(t)); err != nil {
		t.Fatal(err)
	}
	other := shmFor(t)
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
	if err := new(bytefd.Shm).Close(); err != nil {
		t.Error("one that was never made:", err)
	}
}

func TestATempFileThatIsDroppedIsRemoved(t *testing.T) {
	path := func() string { return must[*bytefd.TempFile](t)(bytefd.NewTempFile(nil)).Path() }()
	for exists(path) {
		runtime.GC()
	}
}

func TestATempFileIsThereUntilItIsClosed(t *testing.T) {
	l := closedLater(t, must[*bytefd.TempFile](t)(
		bytefd.NewTempFile([]byte("hello"), bytefd.TempFileSuffix(".ndb"))))
	path := l.Path()
	if got := must[[]byte](t)(os.ReadFile(path)); string(got) != "hello" ||
		!strings.HasSuffix(path, ".ndb") {
		t.Errorf("%s holds %q", path, got)
	}
	for i := 0; i < 3; i++ {
		if err := l.Close(); err != nil || exists(path) || l.Path() != "" {
			t.Errorf("%s is still there, or %v", path, err)
		}
	}
	var never bytefd.TempFile
	if never.Path() != "" || never.Close() != nil {
		t.Error("one that was never made has a path")
	}
}

// Each goroutine either created the object or opened the one that another goroutine created.
func TestOpenOrCreateSaysWhatItDid(t *testing.T) {
	opts := []bytefd.ShmOption{bytefd.ShmLength(5), bytefd.ShmUnlinkOnClose()}
	first := closedLater(t, must[*bytefd.Shm](t)(bytefd.OpenOrCreateShm(sharedName(t), opts...)))
	second := closedLater(t,
		must[*bytefd.Shm](t)(bytefd.OpenOrCreateShm(sharedName(t), opts[:1]...)))
	if !first.Created() || second.Created() || !sameFile(t, first.File(), second.File()) {
		t.Error("the second was made, or the first not")
	}
	_, err := bytefd.OpenOrCreateShm(sharedName(t), bytefd.ShmLength(6))
	isError(t, err, syscall.ENXIO)
	_, err = bytefd.CreateShm(sharedName(t))
	if !errors.Is(err, fs.ErrExist) {
		t.Error(err)
	}
	must[bytefd.SweepResult](t)(bytefd.Sweep())
	if !exists(shm + first.Name()) {
		t.Error("it was swept away")
	}
}

func TestATempFileIsWhereAndAsItsOptionsSay(t *testing.T) {
	folder := must[string](t)(filepath.EvalSymlinks(t.TempDir()))
	opts := []bytefd.TempFileOption{bytefd.TempFileDirectory(folder), bytefd.TempFileMode(0o440),
		bytefd.TempFileSuffix(".x")}
	f := closedLater(t, must[*bytefd.TempFile](t)(bytefd.NewTempFile([]byte("hello"), opts...)))
	info := must[fs.FileInfo](t)(os.Stat(f.Path()))
	if !strings.HasPrefix(f.Path(), folder+"/") || !strings.HasSuffix(f.Path(), ".x") ||
		info.Mode() != 0o440 {
		t.Errorf("%s of mode %v", f.Path(), info.Mode())
	}
}

func TestANilValueIsErrInvalid(t *testing.T) {
	var n *bytefd.Shm
	var f *bytefd.TempFile
	if !errors.Is(n.Close(), os.ErrInvalid) || !errors.Is(f.Close(), os.ErrInvalid) ||
		n.File() != nil ||
		n.Name() != "" || n.Created() || f.Path() != "" {
		t.Error("nil is something")
	}
}

func TestASweepCountsWhatIsInUse(t *testing.T) {
	shmFor(t, bytefd.ShmOwned())
	if swept := must[bytefd.SweepResult](t)(bytefd.Sweep()); swept.InUse < 1 {
		t.Errorf("%+v", swept)
	}
}

func TestAnObjectOfAnotherUserIsEPERMUnlessAskedFor(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give an object to another user")
	}
	n := shmFor(t)
	if err := n.File().Chown(65534, -1); err != nil {
		t.Fatal(err)
	}
	_, err := bytefd.OpenShm(n.Name())
	isError(t, err, syscall.EPERM)
	closedLater(t, must[*bytefd.Shm](t)(bytefd.OpenShm(n.Name(), bytefd.ShmAnyOwner())))
}
