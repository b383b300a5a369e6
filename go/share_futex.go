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
// It returns at once if the word does not have this value, and may return without a reason: read
// the word, and wait again. A timeout below 0 is no limit, 0 does not wait.
//
// The word lies in a map that the processes share, at any address, which must not be closed
// meanwhile, or in memory of this process. Read and change it with package sync/atomic. A writer
// changes the word first, then calls FutexWake. If the writer dies between the two, no waiter
// wakes: set a timeout, or use a [FileLock], which ends with its holder.
//
// A goroutine that waits keeps a thread. Within one process a channel does the same without.
//
// Errors:
//   - EFAULT if the page of the word is lost.
//   - EINVAL if word is nil or not at a multiple of 4.
//   - ETIMEDOUT if the timeout has passed; it is os.ErrDeadlineExceeded.
func FutexWait(word *uint32, value uint32, timeout time.Duration) error {
	return futexWait(word, value, max(timeout, -1))
}

// FutexWaitContext is [FutexWait] that waits until ctx is done at the latest. It looks at ctx at
// least every 10 ms.
//
// Errors are those of [FutexWait]. When the deadline of ctx has passed, the error is
// os.ErrDeadlineExceeded and context.DeadlineExceeded. When ctx is cancelled, it is the cause.
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
			return ended(ctx, "futex_wait",
				fmt.Sprintf("the word was %d until the deadline", value))
		}
	}
}

// FutexWake wakes at most count waiters of word, in any process; math.MaxInt for all. It returns
// the number of waiters woken.
//
// Errors:
//   - EFAULT if the page of the word is lost or not mapped.
//   - EINVAL if word is nil or not at a multiple of 4, or count is negative.
func FutexWake(word *uint32, count int) (int, error) {
	if count < 0 {
		return 0, isNegative("count", count)
	}
	return futexWake(word, uint32(min(uint64(count), math.MaxUint32)))
}
