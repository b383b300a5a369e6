package bytefd

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"
)

// lockNB is syscall.LOCK_NB, which not every system has.
const lockNB = 4

// FileLock locks bytes of a file. It waits until no other open file description has a lock that
// excludes this one. The range may lie past the end of the file. A length of [ToEnd] means
// everything from offset on, including what is appended to the file later. A lock that the same
// open file description has on these bytes is replaced.
//
// operation is syscall.LOCK_SH or syscall.LOCK_EX. LOCK_SH admits other shared locks and needs a
// file that is open for reading. LOCK_EX admits no other lock and needs a file that is open for
// writing. With syscall.LOCK_NB added, FileLock does not wait.
//
// The lock is advisory: it excludes other locks on the bytes, in any process. It does not prevent
// reads and writes. It belongs to the open file description (F_OFD_SETLK of fcntl(2), Linux 3.15):
//   - All duplicates of the descriptor have the lock, also in other processes.
//   - The lock ends with [FileUnlock]. Otherwise it ends when the last duplicate is closed and the
//     last mapping that was made through one of them is unmapped, also in other processes. The
//     kernel closes the duplicates of a process that is killed.
//   - Two open file descriptions exclude each other, even in one process. Goroutines that share an
//     os.File do not exclude each other.
//   - A process that inherited a descriptor or was sent one shares the lock. To get its own, it
//     opens the [Path] of the descriptor with os.OpenFile.
//
// While FileLock waits, it tries again at least every 10 ms. It blocks no thread. It does not
// detect a deadlock.
//
// Errors:
//   - EAGAIN with LOCK_NB if another open file description has a lock that excludes this one.
//   - EBADF if the file is not open for what the lock needs.
//   - EINVAL if f is nil, if length is 0, if length is negative and not [ToEnd], if offset is
//     negative, if the range exceeds the largest file, or if the operation is unknown.
//   - ENOLCK if there are too many locks.
//   - os.ErrClosed if the file is closed, also while FileLock waits.
func FileLock(f *os.File, offset, length int64, operation int) error {
	return FileLockContext(context.Background(), f, offset, length, operation)
}

// FileLockContext is [FileLock], but stops waiting when ctx is done.
//
// Errors are those of [FileLock]. If the deadline of ctx has passed, the error is
// os.ErrDeadlineExceeded and context.DeadlineExceeded. If ctx is cancelled, the error is what
// context.Cause returns.
func FileLockContext(ctx context.Context, f *os.File, offset, length int64, operation int) error {
	if err := checkLockedRange(offset, length); err != nil {
		return err
	}
	if int(int32(operation)) != operation {
		const format = "operation %#x is not LOCK_SH or LOCK_EX, with or without LOCK_NB"
		return &Error{"operation", syscall.EINVAL, fmt.Sprintf(format, operation)}
	}
	pause := 20 * time.Microsecond
	for {
		err := lent(f, func(fd int) error { return fileLock(fd, offset, length, operation|lockNB) })
		e, isError := err.(*Error)
		if !isError || e.Errno != syscall.EAGAIN || operation&lockNB != 0 {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ended(ctx, "file_lock", e.Message)
		case <-timer.C:
		}
		pause = min(2*pause, 10*time.Millisecond)
	}
}

// FileUnlock ends the locks that the open file description of f has on these bytes. A length of
// [ToEnd] means everything from offset on, including what is appended to the file later.
//
// Errors:
//   - EINVAL if f is nil, if length is 0, if length is negative and not [ToEnd], if offset is
//     negative, or if the range exceeds the largest file.
//   - os.ErrClosed if the file is closed.
func FileUnlock(f *os.File, offset, length int64) error {
	if err := checkLockedRange(offset, length); err != nil {
		return err
	}
	return lent(f, func(fd int) error { return fileUnlock(fd, offset, length) })
}

func checkLockedRange(offset, length int64) error {
	if offset < 0 || length < ToEnd {
		message := fmt.Sprintf("offset %d, length %d: must not be negative", offset, length)
		return &Error{"range", syscall.EINVAL, message}
	}
	return nil
}

// ended returns the error of a wait that its context has ended.
func ended(ctx context.Context, op, message string) error {
	if ctx.Err() == context.DeadlineExceeded {
		return &Error{op, syscall.ETIMEDOUT, message}
	}
	return context.Cause(ctx)
}
