package bytefd

import (
	"fmt"
	"syscall"
	"unsafe"
)

// FlushMode is how [Map.Flush] writes back.
type FlushMode uint32

// The ways of flushing, with the values of include/bytefd.h.
const (
	// FlushSync returns when the bytes are on the storage, MS_SYNC.
	FlushSync FlushMode = iota
	// FlushAsync schedules the writing and returns, MS_ASYNC. (On Linux a shared map is written back in time anyway.)
	FlushAsync
	// FlushInvalidate may be added to either, FlushSync|FlushInvalidate: other maps of the file are told to look again,
	// MS_INVALIDATE. (On Linux they see every store anyway.)
	FlushInvalidate
)

// Flush writes changed bytes of a range back to the file, msync(2).
//
// Errors: EINVAL for the range, if how is unknown, or if the map is private, whose stores never reach the file; EIO if
// writing failed, or a map with [MapGuard] has lost pages; EBUSY if locked pages are to be invalidated. After Close
// the error is os.ErrClosed.
func (m *Map) Flush(offset, length int, how FlushMode) error {
	return m.onRange("flush", offset, length, func(handle unsafe.Pointer, offset, length int) error {
		return mapFlush(handle, offset, length, how)
	})
}

// Advice is what [Map.Advise] tells the kernel about pages.
type Advice uint32

// The kinds of advice, madvise(2), with the kernel's numbers.
const (
	// AdviceNormal undoes AdviceRandom and AdviceSequential.
	AdviceNormal Advice = 0
	// AdviceRandom: pages will be used in no order, and reading ahead is of no use.
	AdviceRandom Advice = 1
	// AdviceSequential: pages will be used in order, and reading far ahead is of use.
	AdviceSequential Advice = 2
	// AdviceWillNeed: pages will be used soon, and reading them in begins.
	AdviceWillNeed Advice = 3
	// AdviceDontNeed: pages will not be used soon, and may leave this process; a shared map has them again when they are
	// used. Private maps lose what was stored in them.
	AdviceDontNeed Advice = 4
	// AdviceFree: the content may be lost, at any time from now on, when memory is short (Linux 4.5). Private memory
	// only.
	AdviceFree Advice = 8
	// AdviceRemove: the content is lost, also in the file, into which a hole is punched.
	AdviceRemove Advice = 9
	// AdviceDontFork: children made by fork(2) do not have the pages.
	AdviceDontFork Advice = 10
	// AdviceDoFork undoes AdviceDontFork.
	AdviceDoFork Advice = 11
	// AdviceMergeable: the kernel may merge pages with equal ones, KSM. Private memory only.
	AdviceMergeable Advice = 12
	// AdviceUnmergeable undoes AdviceMergeable.
	AdviceUnmergeable Advice = 13
	// AdviceHugePage: huge pages are welcome.
	AdviceHugePage Advice = 14
	// AdviceNoHugePage: no huge pages.
	AdviceNoHugePage Advice = 15
	// AdviceDontDump: left out of core dumps (Linux 3.4).
	AdviceDontDump Advice = 16
	// AdviceDoDump undoes AdviceDontDump.
	AdviceDoDump Advice = 17
	// AdviceWipeOnFork: children made by fork(2) find zeros (Linux 4.14). Private memory only.
	AdviceWipeOnFork Advice = 18
	// AdviceKeepOnFork undoes AdviceWipeOnFork.
	AdviceKeepOnFork Advice = 19
	// AdviceCold: pages may leave memory before others (Linux 5.4).
	AdviceCold Advice = 20
	// AdvicePageOut: pages leave memory now (Linux 5.4).
	AdvicePageOut Advice = 21
	// AdvicePopulateRead: pages are made ready for reading, now (Linux 5.14).
	AdvicePopulateRead Advice = 22
	// AdvicePopulateWrite: pages are made ready for writing, now (Linux 5.14).
	AdvicePopulateWrite Advice = 23
	// AdviceDontNeedLocked is AdviceDontNeed, also for locked pages (Linux 5.18).
	AdviceDontNeedLocked Advice = 24
	// AdviceCollapse: pages are made huge ones, now (Linux 6.1).
	AdviceCollapse Advice = 25
	// AdviceHardwarePoison: the content is lost, and the pages are treated as broken memory. Administrators only, for
	// tests.
	AdviceHardwarePoison Advice = 100
	// AdviceSoftOffline: pages move to other memory. Administrators only, for tests.
	AdviceSoftOffline Advice = 101
	// AdviceGuardInstall: the content is lost, and access raises SIGSEGV from now on (Linux 6.13).
	AdviceGuardInstall Advice = 102
	// AdviceGuardRemove undoes AdviceGuardInstall; the pages read zero, or what the file has.
	AdviceGuardRemove Advice = 103

	// AdviceLoseData must be added to advice that loses content: AdviceFree, AdviceRemove, AdviceHardwarePoison,
	// AdviceGuardInstall, and for private maps AdviceDontNeed and AdviceDontNeedLocked. It is given only to pages of
	// which all bytes are in the range.
	AdviceLoseData Advice = 65536
)

// Advise tells the kernel how the pages that hold bytes of a range will be used, madvise(2). Advice that loses content
// must be asked for twice: AdviceRemove|AdviceLoseData.
//
// Errors: EINVAL for the range, if there is no such advice, it would lose content and [AdviceLoseData] is not added,
// or the kernel does not do this with this kind of memory; EOPNOTSUPP (which is errors.ErrUnsupported) if this kernel
// does not know the advice; madvise(2)'s own. After Close the error is os.ErrClosed.
func (m *Map) Advise(offset, length int, advice Advice) error {
	return m.onRange("advise", offset, length, func(handle unsafe.Pointer, offset, length int) error {
		return mapAdvise(handle, offset, length, advice)
	})
}

// Lock keeps the pages that hold bytes of a range in memory, mlock(2). Locks do not add up.
//
// Errors: EINVAL for the range; ENOMEM or EPERM where RLIMIT_MEMLOCK does not allow it; ENOMEM where pages are past
// the end of the file. After Close the error is os.ErrClosed.
func (m *Map) Lock(offset, length int) error {
	return m.onRange("lock", offset, length, mapLockRange)
}

// Unlock undoes [Map.Lock] and [MapLock] for the pages that hold bytes of a range, munlock(2).
//
// Errors: EINVAL for the range. After Close the error is os.ErrClosed.
func (m *Map) Unlock(offset, length int) error {
	return m.onRange("unlock", offset, length, mapUnlockRange)
}

// Protection is what [Map.Protect] allows.
type Protection uint32

// What may be allowed, or-ed. Linux lets nobody write or execute what cannot be read, so ProtectionRead must be among
// them unless there are none.
const (
	// ProtectionNone: any access through a slice raises SIGSEGV.
	ProtectionNone Protection = 0
	// ProtectionRead allows reading.
	ProtectionRead Protection = 1
	// ProtectionWrite allows writing, which the map must be for.
	ProtectionWrite Protection = 2
	// ProtectionExecute allows executing, which must have been asked for when the map was made: [MapExecute].
	ProtectionExecute Protection = 4
)

// Protect allows or forbids access to the pages that hold bytes of a range, mprotect(2). What is forbidden is EIO for
// [Map.ReadAt], [Map.WriteAt] and [Map.Guarded], and a SIGSEGV elsewhere.
//
// Errors: EINVAL for the range, or if there is no such protection; EACCES for what the map was not made for;
// mprotect(2)'s own. After Close the error is os.ErrClosed.
func (m *Map) Protect(offset, length int, protection Protection) error {
	return m.onRange("protect", offset, length, func(handle unsafe.Pointer, offset, length int) error {
		return mapProtect(handle, offset, length, protection)
	})
}

// Prefetch reads the pages of a range in before it returns, so that reading them later waits for nothing.
//
// Errors: EINVAL for the range; EIO if bytes do not exist any more or cannot be read. After Close the error is
// os.ErrClosed.
func (m *Map) Prefetch(offset, length int) error {
	return m.onRange("prefetch", offset, length, mapPrefetch)
}

// onRange does something to a range while the map stays open.
func (m *Map) onRange(op string, offset, length int, do func(handle unsafe.Pointer, offset, length int) error) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.inRange(op, offset, length, do)
}

// inRange refuses negative numbers, which C does not have, and leaves the rest to it.
func (m *Map) inRange(op string, offset, length int, do func(handle unsafe.Pointer, offset, length int) error) error {
	if err := m.check(op, int64(offset)); err != nil {
		return err
	}
	if length < 0 {
		return &Error{op, syscall.EINVAL, fmt.Sprintf("length %d is negative", length)}
	}
	return do(m.handle, offset, length)
}
