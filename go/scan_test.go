//go:build linux && cgo

package bytefd_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
)

func TestAScanSeesTheBytesAndTheDescriptorEndsWithIt(t *testing.T) {
	for _, size := range sizes {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			want := pattern(size)
			lent := -1
			err := bytefd.ScanBytes(want, func(fd int) error {
				lent = fd
				isPromised(t, fd, want)
				return nil
			}, label(t))
			if err != nil {
				t.Error(err)
			}
			if isOpen(lent) {
				t.Error("the descriptor is still open")
			}
		})
	}
}

func TestTheErrorOfACallbackIsReturnedAsItIs(t *testing.T) {
	found := errors.New("a virus")
	lent := -1
	if err := bytefd.ScanBytes([]byte("hello"), func(fd int) error { lent = fd; return found }, label(t)); err != found {
		t.Errorf("got %v, want %v", err, found)
	}
	if isOpen(lent) {
		t.Error("the descriptor is still open")
	}
}

func TestAPanicCleansUpAndGoesOn(t *testing.T) {
	lent := -1
	func() {
		defer func() {
			if recovered := recover(); recovered != "from the callback" {
				t.Errorf("recovered %v", recovered)
			}
		}()
		bytefd.ScanBytes([]byte("hello"), func(fd int) error { lent = fd; panic("from the callback") }, label(t))
	}()
	if isOpen(lent) {
		t.Error("the descriptor is still open")
	}
}

func TestGoexitCleansUpAndGoesOn(t *testing.T) {
	lent, returned := -1, false
	done := make(chan struct{})
	go func() {
		defer close(done)
		bytefd.ScanBytes([]byte("hello"), func(fd int) error { lent = fd; runtime.Goexit(); return nil }, label(t))
		returned = true
	}()
	<-done
	if returned {
		t.Error("the goroutine went on")
	}
	if isOpen(lent) {
		t.Error("the descriptor is still open")
	}
}

func TestACallbackMayCloseTheDescriptor(t *testing.T) {
	err := bytefd.ScanBytes([]byte("hello"), syscall.Close, label(t))
	if err != nil {
		t.Error(err)
	}
}

func TestAFileThatHasTheNumberByThenSurvives(t *testing.T) {
	other := closedLater(t, must[*os.File](t)(os.Open(fileOf(t, []byte("other")))))
	lent := -1
	err := bytefd.ScanBytes([]byte("hello"), func(fd int) error {
		lent = fd
		return syscall.Dup3(int(other.Fd()), fd, syscall.O_CLOEXEC)
	}, label(t))
	if err != nil {
		t.Fatal(err)
	}
	if fstat(t, lent).Ino != fstat(t, int(other.Fd())).Ino {
		t.Error("the number does not stand for the other file any more")
	}
	if err := syscall.Close(lent); err != nil {
		t.Error("the other file was closed:", err)
	}
}

func TestWhatACallbackKeepsLivesOn(t *testing.T) {
	want := pattern(page)
	duplicate, memory := -1, []byte(nil)
	var reopened *os.File
	err := bytefd.ScanBytes(want, func(fd int) (err error) {
		if duplicate, err = fcntl(fd, syscall.F_DUPFD_CLOEXEC, 0); err != nil {
			return err
		}
		if memory, err = syscall.Mmap(fd, 0, len(want), syscall.PROT_READ, syscall.MAP_SHARED); err != nil {
			return err
		}
		reopened, err = bytefd.Reopen(fd)
		return err
	}, label(t))
	if err != nil {
		t.Fatal(err)
	}
	isPromised(t, duplicate, want)
	isPromised(t, int(reopened.Fd()), want)
	if string(memory) != string(want) {
		t.Error("the mapping changed")
	}
	reopened.Close()
	syscall.Close(duplicate)
	syscall.Munmap(memory)
}

func TestScansNest(t *testing.T) {
	var open []int
	var scan func(depth int) error
	scan = func(depth int) error {
		want := pattern(depth)
		return bytefd.ScanBytes(want, func(fd int) error {
			open = append(open, fd)
			if depth > 0 {
				if err := scan(depth - 1); err != nil {
					return err
				}
			}
			isPromised(t, fd, want)
			return nil
		}, label(t))
	}
	if err := scan(20); err != nil {
		t.Error(err)
	}
	for _, fd := range open {
		if isOpen(fd) {
			t.Errorf("descriptor %d is still open", fd)
		}
	}
}

func TestEveryScanHasAFileOfItsOwn(t *testing.T) {
	inner := uint64(0)
	err := bytefd.ScanBytes([]byte("hello"), func(outer int) error {
		return bytefd.ScanBytes([]byte("hello"), func(fd int) error {
			inner = fstat(t, fd).Ino
			if inner == fstat(t, outer).Ino {
				t.Error("two scans share a file")
			}
			return nil
		})
	})
	if err != nil {
		t.Error(err)
	}
}

func TestManyGoroutinesScanAtOnce(t *testing.T) {
	var group sync.WaitGroup
	for i := 0; i < 64; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			want := pattern(page + i)[i:]
			err := bytefd.ScanBytes(want, func(fd int) error {
				f, err := bytefd.Reopen(fd)
				if err != nil {
					return err
				}
				defer f.Close()
				got, err := io.ReadAll(f)
				if string(got) != string(want) {
					t.Errorf("goroutine %d read bytes that are not its own", i)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}()
	}
	group.Wait()
}

func TestANilCallbackIsEINVAL(t *testing.T) {
	isError(t, bytefd.ScanBytes([]byte("hello"), nil), syscall.EINVAL)
}
