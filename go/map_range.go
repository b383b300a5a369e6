package bytefd

import (
	"fmt"
	"syscall"
	"unsafe"
)

// Flush writes changed bytes of a range back to the file, msync(2). flags is MS_SYNC, which waits
// until the bytes are on storage, or MS_ASYNC, which schedules the writing and returns.
// MS_INVALIDATE may be added. The constants are in package syscall and golang.org/x/sys/unix.
//
// Errors:
//   - EBUSY if locked pages are to be invalidated.
//   - EINVAL if the range or flags are invalid, or the map is one with [MapPrivate], whose stores
//     never reach the file.
//   - EIO if writing fails, or a map with [MapGuard] has replaced lost pages.
//
// After Close the error is os.ErrClosed.
func (m *Map) Flush(offset, length, flags int) error {
	flush := func(handle unsafe.Pointer, offset, length int) error {
		return mapFlush(handle, offset, length, flags)
	}
	return m.onRange("flush", offset, length, flush)
}

// Advise tells the kernel how a range will be used, madvise(2). It applies to every page that
// contains bytes of the range. advice is a MADV_ constant of package syscall or
// golang.org/x/sys/unix. Advise refuses advice that loses content; [Map.Discard] accepts it.
//
// Errors:
//   - EINVAL if the range is invalid, this package does not know the advice, or the advice loses
//     content.
//   - EINVAL if the kernel does not support the advice for this kind of memory.
//   - EOPNOTSUPP, which is errors.ErrUnsupported, if this package knows the advice, and this kernel
//     does not.
//   - Others of madvise(2).
//
// After Close the error is os.ErrClosed.
func (m *Map) Advise(offset, length, advice int) error {
	advise := func(handle unsafe.Pointer, offset, length int) error {
		return mapAdvise(handle, offset, length, advice, 0)
	}
	return m.onRange("advise", offset, length, advise)
}

// Discard is [Map.Advise] for advice that loses content: MADV_FREE, MADV_REMOVE, MADV_HWPOISON,
// MADV_GUARD_INSTALL, and with [MapPrivate] MADV_DONTNEED and MADV_DONTNEED_LOCKED. Such advice
// applies only to pages that lie entirely within the range. If the map ends within a page, that
// page is left alone. With any other advice, Discard does the same as Advise.
//
// Errors are those of Advise, and EPERM for MADV_REMOVE after [Map.Share].
func (m *Map) Discard(offset, length, advice int) error {
	discard := func(handle unsafe.Pointer, offset, length int) error {
		return mapAdvise(handle, offset, length, advice, loseContent)
	}
	return m.onRange("discard", offset, length, discard)
}

// The flag of include/bytefd.h. The package does not compile if its value differs there.
const loseContent = 1 << 18

// Mlock keeps every page that contains bytes of a range in memory, mlock(2). Locks do not add up:
// one [Map.Munlock] undoes any number of them.
//
// Errors: EINVAL if the range is invalid. ENOMEM or EPERM if RLIMIT_MEMLOCK does not allow it.
// ENOMEM if pages are past the end of the file. After Close the error is os.ErrClosed.
func (m *Map) Mlock(offset, length int) error {
	return m.onRange("mlock", offset, length, mapMlockRange)
}

// Munlock undoes [Map.Mlock] and [MapMlock] for every page that contains bytes of a range,
// munlock(2).
//
// Errors: EINVAL if the range is invalid. After Close the error is os.ErrClosed.
func (m *Map) Munlock(offset, length int) error {
	return m.onRange("munlock", offset, length, mapMunlockRange)
}

// Protect allows or forbids access to every page that contains bytes of a range, mprotect(2). prot
// is PROT_NONE, or PROT_READ, to which PROT_WRITE and PROT_EXEC may be added. The constants are in
// package syscall and golang.org/x/sys/unix. Forbidden access is EIO from [Map.ReadAt],
// [Map.WriteAt] and [Map.Guarded], and raises SIGSEGV elsewhere.
//
// Errors: EINVAL if the range or prot is invalid. EACCES if the map was not made for that access.
// Others of mprotect(2). After Close the error is os.ErrClosed.
func (m *Map) Protect(offset, length, prot int) error {
	protect := func(handle unsafe.Pointer, offset, length int) error {
		return mapProtect(handle, offset, length, prot)
	}
	return m.onRange("protect", offset, length, protect)
}

// Prefetch reads every page that contains bytes of a range, and then returns. Later reads do not
// wait for storage.
//
// Errors: EINVAL if the range is invalid. EIO if bytes no longer exist or cannot be read. After
// Close the error is os.ErrClosed.
func (m *Map) Prefetch(offset, length int) error {
	return m.onRange("prefetch", offset, length, mapPrefetch)
}

// Unmap unmaps every page that lies entirely within a range, munmap(2). A map can begin or end
// within a page. That page is unmapped too if the range reaches the beginning or the end of the map
// there. Access to unmapped bytes through a slice raises SIGSEGV from then on, or finds other
// memory of the process. Methods that take an offset or a range return EINVAL there. [Map.Guarded]
// returns EIO, unless its function finds other memory there. The map keeps its length, and can no
// longer be resized or sealed.
//
// Errors: EBUSY while a function that [Map.Guarded] called has the bytes. EINVAL if the range is
// invalid, or length is 0. Others of munmap(2). After Close the error is os.ErrClosed.
func (m *Map) Unmap(offset, length int) error {
	return m.alone("unmap", func() error {
		m.asksC = true
		return m.inRange("unmap", offset, length, mapUnmap)
	})
}

type doToRange = func(handle unsafe.Pointer, offset, length int) error

// onRange applies do to a range while the map stays open.
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

// inRange refuses negative numbers, which C does not have. C checks the rest.
func (m *Map) inRange(op string, offset, length int, do doToRange) error {
	if err := m.check(op, int64(offset)); err != nil {
		return err
	}
	if length < ToEnd {
		return &Error{op, syscall.EINVAL, fmt.Sprintf("length is %d, must not be negative", length)}
	}
	return do(m.handle, offset, length)
}
