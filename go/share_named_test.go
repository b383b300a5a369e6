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

func TestALinkedFileThatIsDroppedIsRemoved(t *testing.T) {
	path := func() string { return must[*bytefd.LinkedFile](t)(bytefd.Link(nil, "")).Path() }()
	for exists(path) {
		runtime.GC()
	}
}

func TestALinkedFileIsThereUntilItIsClosed(t *testing.T) {
	l := closedLater(t, must[*bytefd.LinkedFile](t)(bytefd.Link([]byte("hello"), ".ndb")))
	path := l.Path()
	if got := must[[]byte](t)(os.ReadFile(path)); string(got) != "hello" || !strings.HasSuffix(path, ".ndb") {
		t.Errorf("%s holds %q", path, got)
	}
	for i := 0; i < 3; i++ {
		if err := l.Close(); err != nil || exists(path) || l.Path() != "" {
			t.Errorf("%s is still there, or %v", path, err)
		}
	}
	var never bytefd.LinkedFile
	if never.Path() != "" || never.Close() != nil {
		t.Error("one that was never made has a path")
	}
}

// Of one that may be there or not, either two calls must agree that it is the other's, or one has made it.
func TestOpenOrCreateSaysWhatItDid(t *testing.T) {
	opts := []bytefd.NamedOption{bytefd.NamedLength(5), bytefd.UnlinkOnClose()}
	first := closedLater(t, must[*bytefd.Named](t)(bytefd.OpenOrCreateNamed(sharedName(t), opts...)))
	second := closedLater(t, must[*bytefd.Named](t)(bytefd.OpenOrCreateNamed(sharedName(t), opts[:1]...)))
	if !first.Created() || second.Created() || !sameFile(t, first.File(), second.File()) {
		t.Error("the second was made, or the first not")
	}
	_, err := bytefd.OpenOrCreateNamed(sharedName(t), bytefd.NamedLength(6))
	isError(t, err, syscall.ENXIO)
	_, err = bytefd.CreateNamed(sharedName(t))
	if !errors.Is(err, fs.ErrExist) {
		t.Error(err)
	}
	must[int](t)(bytefd.Sweep())
	if !exists(shm + first.Name()) {
		t.Error("it was swept away")
	}
}
