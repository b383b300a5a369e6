//go:build linux && cgo

package bytefd_test

import (
	"context"
	"errors"
	"math"
	"os"
	"syscall"
	"testing"
	"time"

	bytefd "github.com/bytefd/bytefd/go"
)

// opened returns another open file description of a file.
func opened(t *testing.T, f *os.File, flags int) *os.File {
	t.Helper()
	return closedLater(t, must[*os.File](t)(os.OpenFile(bytefd.Path(int(f.Fd())), flags, 0)))
}

func TestALockIsWaitedFor(t *testing.T) {
	ours := wrapped(t, []byte("hello"), bytefd.WrapWritable())
	theirs := opened(t, ours, os.O_RDWR)
	if err := bytefd.FileLock(ours, 0, 5, syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() { failed <- bytefd.FileLock(theirs, 0, 5, syscall.LOCK_EX) }()
	select {
	case err := <-failed:
		t.Fatal("it was not waited for:", err)
	case <-time.After(30 * time.Millisecond):
	}
	if err := bytefd.FileUnlock(ours, 0, bytefd.ToEnd); err != nil {
		t.Error(err)
	}
	if err := <-failed; err != nil {
		t.Error(err)
	}
	isError(t, bytefd.FileLock(ours, 0, 5, syscall.LOCK_SH|syscall.LOCK_NB), syscall.EAGAIN)
	isError(t, bytefd.FileLock(opened(t, ours, os.O_RDONLY), 5, 1, syscall.LOCK_EX), syscall.EBADF)
}

func TestAContextOrCloseEndsTheWaitForALock(t *testing.T) {
	ours := wrapped(t, []byte("hello"), bytefd.WrapWritable())
	theirs := opened(t, ours, os.O_RDWR)
	if err := bytefd.FileLock(ours, 0, bytefd.ToEnd, syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	lock := func(ctx context.Context) error {
		return bytefd.FileLockContext(ctx, theirs, 0, 1, syscall.LOCK_SH)
	}
	isEndedByItsContext(t, lock)

	failed := make(chan error, 1)
	go func() { failed <- lock(context.Background()) }()
	time.Sleep(5 * time.Millisecond)
	theirs.Close()
	if err := <-failed; !errors.Is(err, os.ErrClosed) {
		t.Errorf("%v is not os.ErrClosed", err)
	}
}

// isEndedByItsContext calls wait, which only a context ends: with a deadline, and with a
// cancellation before and during the call.
func isEndedByItsContext(t *testing.T, wait func(context.Context) error) {
	t.Helper()
	limited, stop := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer stop()
	err := wait(limited)
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v is not os.ErrDeadlineExceeded", err)
	}
	isError(t, err, syscall.ETIMEDOUT)

	cause := errors.New("the cause")
	cancelled, cancel := context.WithCancelCause(context.Background())
	time.AfterFunc(5*time.Millisecond, func() { cancel(cause) })
	for i := 0; i < 2; i++ {
		if err := wait(cancelled); err != cause {
			t.Errorf("%v is not the cause", err)
		}
	}
}

func TestAGoroutineWakesAnotherThatWaits(t *testing.T) {
	var word uint32
	failed := make(chan error, 1)
	go func() { failed <- bytefd.FutexWait(&word, 0, -1) }()
	for woken := 0; woken == 0; {
		woken = must[int](t)(bytefd.FutexWake(&word, math.MaxInt))
	}
	if err := <-failed; err != nil {
		t.Error(err)
	}
	for _, timeout := range []time.Duration{math.MinInt64, -1, 0, time.Hour, math.MaxInt64} {
		if err := bytefd.FutexWait(&word, 1, timeout); err != nil {
			t.Error("another value is waited for:", err)
		}
	}
	for _, timeout := range []time.Duration{0, time.Nanosecond, time.Millisecond} {
		err := bytefd.FutexWait(&word, 0, timeout)
		isError(t, err, syscall.ETIMEDOUT)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v is not os.ErrDeadlineExceeded", err)
		}
	}
}

func TestAContextEndsTheWaitForAWord(t *testing.T) {
	var word uint32
	isEndedByItsContext(t,
		func(ctx context.Context) error { return bytefd.FutexWaitContext(ctx, &word, 0) })
	if err := bytefd.FutexWaitContext(context.Background(), &word, 1); err != nil {
		t.Error("another value is waited for:", err)
	}
	failed := make(chan error, 1)
	limited, stop := context.WithTimeout(context.Background(), time.Hour)
	defer stop()
	go func() { failed <- bytefd.FutexWaitContext(limited, &word, 0) }()
	for woken := 0; woken == 0; {
		woken = must[int](t)(bytefd.FutexWake(&word, 1))
	}
	if err := <-failed; err != nil {
		t.Error(err)
	}
}
