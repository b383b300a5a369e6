package bytefd

import (
	"fmt"
	"syscall"
	"unsafe"
)

// Flush writes changed bytes of a range back to the file, msync(2). flags is MS_SYNC (returns when
// the bytes are on the storage) or MS_ASYNC (schedules the writing and returns), of the package
// syscall or golang.org/x/sys/unix; MS_INVALIDATE may be added.
//
// Errors: EINVAL for the range, if flags is something else, or if the map is private, whose stores
// never reach the file; EIO if writing failed, or a map with [MapGuard] has lost pages; EBUSY if
// locked pages are to be invalidated. After Close the error is os.ErrClosed.
func (m *Map) Flush(offset, length, flags int) error {
	flush := func(handle unsafe.Pointer, offset, length int) error {
		return mapFlush(handle, offset, length, flags)
	}
	return m.onRange("flush", offset, length, flush)
}

// Advise tells the kernel how the pages that hold bytes of a range will be used, madvise(2). advice
// is a MADV_* constant of the package syscall or golang.org/x/sys/unix. Advice that would lose
// content is refused; see [Map.Discard].
//
// Errors: EINVAL for the range, if there is no such advice, it would lose content, or the kernel
// does not do this with this kind of memory; EOPNOTSUPP (which is errors.ErrUnsupported) if this
// kernel does not know the advice; madvise(2)'s own. After Close the error is os.ErrClosed.
func (m *Map) Advise(offset, length, advice int) error {
	advise := func(handle unsafe.Pointer, offset, length int) error {
		return mapAdvise(handle, offset, length, advice, 0)
	}
	return m.onRange("advise", offset, length, advise)
}

// Discard is [Map.Advise] for advice that loses content: MADV_FREE, MADV_REMOVE, MADV_HWPOISON,
// MADV_GUARD_INSTALL, and for private maps MADV_DONTNEED and MADV_DONTNEED_LOCKED. It is given only
// to pages that lie entirely within the range.
//
// Errors are those of Advise, and EPERM for MADV_REMOVE after [Map.Share].
func (m *Map) Discard(offset, length, advice int) error {
	discard := func(handle unsafe.Pointer, offset, length int) error {
		return mapAdvise(handle, offset, length, advice, loseContent)
	}
	return m.onRange("discard", offset, length, discard)
}

// The flag of include/bytefd.h; one that differs there does not compile.
const loseContent = 1 << 18

// Mlock keeps the pages that hold bytes of a range in memory, mlock(2). Locks do not add up.
//
// Errors: EINVAL for the range; ENOMEM or EPERM where RLIMIT_MEMLOCK does not allow it; ENOMEM
// where pages are past the end of the file. After Close the error is os.ErrClosed.
func (m *Map) Mlock(offset, length int) error {
	return m.onRange("mlock", offset, length, mapMlockRange)
}

// Munlock undoes [Map.Mlock] and [MapMlock] for the pages that hold bytes of a range, munlock(2).
//
// Errors: EINVAL for the range. After Close the error is os.ErrClosed.
func (m *Map) Munlock(offset, length int) error {
	return m.onRange("munlock", offset, length, mapMunlockRange)
}

// Protect allows or forbids access to the pages that hold bytes of a range, mprotect(2). prot is
// PROT_NONE, PROT_READ, or PROT_READ with PROT_WRITE and PROT_EXEC, of the package syscall or
// golang.org/x/sys/unix. What is forbidden is EIO for [Map.ReadAt], [Map.WriteAt] and
// [Map.Guarded], and a SIGSEGV elsewhere.
//
// Errors: EINVAL for the range, or if prot is something else; EACCES for what the map was not made
// for; mprotect(2)'s own. After Close the error is os.ErrClosed.
func (m *Map) Protect(offset, length, prot int) error {
	protect := func(handle unsafe.Pointer, offset, length int) error {
		return mapProtect(handle, offset, length, prot)
	}
	return m.onRange("protect", offset, length, protect)
}

// Prefetch reads the pages of a range in before it returns, so that reading them later waits for
// nothing.
//
// Errors: EINVAL for the range; EIO if bytes do not exist any more or cannot be read. After Close
// the error is os.ErrClosed.
func (m *Map) Prefetch(offset, length int) error {
	return m.onRange("prefetch", offset, length, mapPrefetch)
}

// Unmap unmaps every page that lies entirely within a range, munmap(2). Access there through a
// slice raises SIGSEGV from now on, or finds other memory of the process; the methods of Map answer
// EINVAL. The map keeps its length, but can no longer be resized or sealed.
//
// Errors: EINVAL for the range, and for a length of 0; munmap(2)'s own; EBUSY while a function that
// [Map.Guarded] calls has the bytes. After Close the error is os.ErrClosed.
func (m *Map) Unmap(offset, length int) error {
	return m.alone("unmap", func() error {
		m.asksC = true
		return m.inRange("unmap", offset, length, mapUnmap)
	})
}

type doToRange = func(handle unsafe.Pointer, offset, length int) error

// onRange does something to a range while the map stays open.
func (m *Map) onRange(op string, offset, length int, do doToRange) error {
	if m == nil {
		return isNil("map")
	}
	if err := m.needMapping(); err != nil {
		return err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.inRange(op, offset, length, do)
}

// inRange refuses negative numbers, which C does not have, and leaves the rest to it.
func (m *Map) inRange(op string, offset, length int, do doToRange) error {
	if err := m.check(op, int64(offset)); err != nil {
		return err
	}
	if length < ToEnd {
		return &Error{op, syscall.EINVAL, fmt.Sprintf("length %d is negative", length)}
	}
	return do(m.handle, offset, length)
}
