package bytefd

import (
	"errors"
	"fmt"
	"math"
	"os"
	"syscall"
	"time"
)

// LockMode says who else may have a lock on the same bytes.
type LockMode uint32

// The ways of locking, with the values of include/bytefd.h.
const (
	// LockShared admits others that lock shared. The file must be open for reading.
	LockShared LockMode = iota
	// LockExclusive admits nobody. The file must be open for writing.
	LockExclusive
)

// Lock locks bytes of a file, any range, also past its end, and waits until nobody else has a lock that excludes it. A
// length of 0 is to the end, wherever that is. A lock of the same description on these bytes is replaced.
//
// The lock is advisory: it keeps out who asks for one too, in any process, and says nothing to who just reads or
// writes. It belongs to the open file description (F_OFD_SETLKW of fcntl(2), Linux 3.15): all duplicates of the
// descriptor have it, also in other processes, and it ends with [Unlock] or when the last of them is closed, so also
// when the last holder is killed. Two descriptions exclude each other even in one process; goroutines that share an
// os.File do not. Who was sent a descriptor, or has inherited it, needs one of its own, by os.OpenFile of its [Path],
// to be excluded.
//
// A goroutine that waits keeps a thread, and nothing but the lock ends its waiting: neither Close of the file, which is
// open until then, nor a deadline. [TryLock] does not wait.
//
// Errors: EINVAL for an unknown mode, a negative number, or more bytes than a file can have; EBADF if the file is not
// open for what the lock needs; ENOLCK for too many locks. Two that wait for each other wait for ever. For a closed
// file the error is os.ErrClosed, as it is for one that is not open for what the lock needs.
func Lock(f *os.File, offset, length int64, mode LockMode) error {
	return lockFile(f, offset, length, mode, false)
}

// TryLock is [Lock] without waiting: false if somebody else has a lock that excludes it.
//
// Errors are those of [Lock].
func TryLock(f *os.File, offset, length int64, mode LockMode) (bool, error) {
	err := lockFile(f, offset, length, mode, true)
	if errors.Is(err, syscall.EAGAIN) {
		return false, nil
	}
	return err == nil, err
}

// Unlock ends the locks of this file's description on these bytes. A length of 0 is to the end, wherever that is.
//
// Errors: EINVAL for a negative number, or more bytes than a file can have. For a closed file the error is
// os.ErrClosed.
func Unlock(f *os.File, offset, length int64) error {
	if err := checkRange(offset, length); err != nil {
		return err
	}
	return lent(f, func(fd int) error { return unlock(fd, offset, length) })
}

func lockFile(f *os.File, offset, length int64, mode LockMode, try bool) error {
	if err := checkRange(offset, length); err != nil {
		return err
	}
	if mode > LockExclusive {
		return &Error{"mode", syscall.EINVAL, fmt.Sprintf("there is no lock %d", mode)}
	}
	return lent(f, func(fd int) error { return lock(fd, offset, length, mode, try) })
}

func checkRange(offset, length int64) error {
	if offset < 0 || length < 0 {
		message := fmt.Sprintf("offset %d, length %d: none may be negative", offset, length)
		return &Error{"range", syscall.EINVAL, message}
	}
	return nil
}

// Wait waits until a word in shared memory has another value than value, or somebody calls [Wake] on it: futex(2). It
// returns at once if it has another value already. It may return without a reason; look at the word, and wait again. A
// negative timeout is for ever.
//
// The word lies in a map that all processes share (at whatever address), which must not be closed meanwhile, or in
// memory of this process. It is read and changed with package sync/atomic. Who changes it must call Wake afterwards.
// One who is killed in between wakes nobody: wait with a timeout, or for a [Lock], which the kernel ends with its
// holder.
//
// A goroutine that waits keeps a thread. Within one process a channel does the same without.
//
// Errors: ETIMEDOUT if the time has passed; EINVAL if word is nil or not at a multiple of 4; EFAULT if its page is gone.
func Wait(word *uint32, value uint32, timeout time.Duration) error {
	return wait(word, value, timeout)
}

// Wake wakes at most count of those that wait on this word, in any process; math.MaxInt for all. It returns how many it
// were.
//
// Errors: EINVAL if word is nil or not at a multiple of 4, or count is negative; EFAULT if it is not there.
func Wake(word *uint32, count int) (int, error) {
	if count < 0 {
		return 0, isNegative("count", count)
	}
	return wake(word, uint32(min(uint64(count), math.MaxUint32)))
}
