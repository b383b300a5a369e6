//go:build linux

package bytefd_test

import (
	"errors"
	"io"
	"runtime"
	"sync"
	"syscall"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
)

func TestTheErrorOfACallbackIsReturnedAsItIs(t *testing.T) {
	found := errors.New("a virus")
	lent := -1
	keep := func(fd int) error { lent = fd; return found }
	if err := bytefd.ScanBytes([]byte("hello"), keep, label(t)); err != found {
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
		bytefd.ScanBytes([]byte("hello"),
			func(fd int) error { lent = fd; panic("from the callback") }, label(t))
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
		bytefd.ScanBytes([]byte("hello"),
			func(fd int) error { lent = fd; runtime.Goexit(); return nil }, label(t))
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
