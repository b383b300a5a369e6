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

// FileLock locks bytes of a file, and waits until no other open file description has a lock that
// excludes this one. The range may lie past the end of the file. A length of [ToEnd] is to the end,
// wherever that is. FileLock replaces a lock of the same open file description on these bytes.
//
// The operation is syscall.LOCK_SH, which admits other shared locks and needs a file that is open
// for reading, or syscall.LOCK_EX, which admits none and needs one that is open for writing. With
// syscall.LOCK_NB it does not wait.
//
// The lock is advisory: it excludes those who lock the bytes too, in any process, and neither reads
// nor writes. It belongs to the open file description (F_OFD_SETLK of fcntl(2), Linux 3.15): all
// duplicates of the descriptor have it, also in other processes. It ends with [FileUnlock], or when
// the last duplicate is closed, which happens too when the last holder is killed. Two open file
// descriptions exclude each other even in one process; goroutines that share an os.File do not. A
// process that was sent a descriptor or has inherited it needs an open file description of its own,
// by os.OpenFile of its [Path].
//
// While it waits, FileLock polls the lock, at least every 10 ms, and keeps no thread. A deadlock is
// not detected.
//
// Errors:
//   - EAGAIN with LOCK_NB, if another open file description has a lock that excludes this one.
//   - EBADF if the file is not open for what the lock needs.
//   - EINVAL for a length of 0, a negative number, more bytes than a file can have, or an unknown
//     operation.
//   - ENOLCK if there are too many locks.
//   - os.ErrClosed if the file is closed, also while FileLock waits.
func FileLock(f *os.File, offset, length int64, operation int) error {
	return FileLockContext(context.Background(), f, offset, length, operation)
}

// FileLockContext is [FileLock] that waits until ctx is done at the latest.
//
// Errors are those of [FileLock]. When the deadline of ctx has passed, the error is
// os.ErrDeadlineExceeded and context.DeadlineExceeded. When ctx is cancelled, it is the cause.
func FileLockContext(ctx context.Context, f *os.File, offset, length int64, operation int) error {
	if err := checkLockedRange(offset, length); err != nil {
		return err
	}
	if int(int32(operation)) != operation {
		return &Error{"operation", syscall.EINVAL, fmt.Sprintf("unknown operation %#x", operation)}
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

// FileUnlock ends the locks of this file's open file description on these bytes. A length of
// [ToEnd] is to the end, wherever that is.
//
// Errors:
//   - EINVAL for a length of 0, a negative number, or more bytes than a file can have.
//   - os.ErrClosed if the file is closed.
func FileUnlock(f *os.File, offset, length int64) error {
	if err := checkLockedRange(offset, length); err != nil {
		return err
	}
	return lent(f, func(fd int) error { return fileUnlock(fd, offset, length) })
}

func checkLockedRange(offset, length int64) error {
	if offset < 0 || length < ToEnd {
		message := fmt.Sprintf("offset %d, length %d: none may be negative", offset, length)
		return &Error{"range", syscall.EINVAL, message}
	}
	return nil
}

// ended is the error of a wait that its context has ended.
func ended(ctx context.Context, op, message string) error {
	if ctx.Err() == context.DeadlineExceeded {
		return &Error{op, syscall.ETIMEDOUT, message}
	}
	return context.Cause(ctx)
}
