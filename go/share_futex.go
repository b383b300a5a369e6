package bytefd

import (
	"context"
	"errors"
	"fmt"
	"math"
	"syscall"
	"time"
)

// FutexWait waits until another goroutine, thread or process calls [FutexWake] on word, futex(2).
// It returns nil at once if word does not contain value. It may also return nil without a reason:
// read the word, and wait again if need be. A negative timeout is no limit, 0 does not wait.
//
// The word lies in memory of this process, or in a map that the processes share, which may have
// another address in each. The map must not be closed meanwhile. Read and change the word with
// package sync/atomic. To wake waiters, first change the word, then call FutexWake. If a process
// dies between the two, no waiter wakes: set a timeout, or use a [FileLock], which ends with its
// process.
//
// A waiting goroutine blocks a thread of the operating system. A channel, within one process,
// blocks none.
//
// Errors:
//   - EFAULT if the page of the word no longer exists, because its file was truncated.
//   - EINVAL if word is nil or not at a multiple of 4.
//   - ETIMEDOUT, which is os.ErrDeadlineExceeded, if the timeout has passed.
func FutexWait(word *uint32, value uint32, timeout time.Duration) error {
	return futexWait(word, value, max(timeout, -1))
}

// FutexWaitContext is [FutexWait], but stops waiting when ctx is done. It looks at ctx at least
// every 10 ms.
//
// Errors are those of [FutexWait]. If the deadline of ctx has passed, the error is
// os.ErrDeadlineExceeded and context.DeadlineExceeded. If ctx is cancelled, the error is what
// context.Cause returns.
func FutexWaitContext(ctx context.Context, word *uint32, value uint32) error {
	for {
		slice := 10 * time.Millisecond
		if ctx.Done() == nil {
			slice = -1
		} else if deadline, ok := ctx.Deadline(); ok {
			slice = max(0, min(slice, time.Until(deadline)))
		}
		err := futexWait(word, value, slice)
		if !errors.Is(err, syscall.ETIMEDOUT) {
			return err
		}
		if ctx.Err() != nil {
			const format = "no wake came before the timeout ended; the word was %d at first"
			return ended(ctx, "futex_wait", fmt.Sprintf(format, value))
		}
	}
}

// FutexWake wakes at most count waiters of word, in any process, and returns the number of waiters
// woken. A count of math.MaxInt wakes all.
//
// Errors:
//   - EFAULT if the page of the word is not mapped, or no longer exists because its file was
//     truncated.
//   - EINVAL if word is nil or not at a multiple of 4, or count is negative.
func FutexWake(word *uint32, count int) (int, error) {
	if count < 0 {
		return 0, isNegative("count", count)
	}
	return futexWake(word, uint32(min(uint64(count), math.MaxUint32)))
}
