package bytefd

import (
	"os"
	"runtime/debug"
	"syscall"
	"unsafe"

	"github.com/bytefd/bytefd/go/internal/marked"
)

// Guarded calls f with the mapped memory itself, as [Map.Bytes] returns it. It works with and
// without [MapGuard]. It returns the error of f, or an error if pages are lost meanwhile, because
// another process truncates the file or storage fails.
//
//   - In a map with [MapGuard] lost pages read zero, and f goes on. If f returns nil, Guarded
//     returns what [Map.Check] returns, also for pages lost earlier.
//   - In any other map f ends at the lost page, as by a panic, and Guarded returns EIO.
//   - In every map f ends in the same way at memory that [Map.Protect] forbids, and at a store into
//     a map for reading. f also ends so at memory that [Map.Unmap] has unmapped, unless the process
//     has mapped other memory at that address since: then f accesses that memory.
//
// Only Go code of the goroutine in which f runs is protected. There is one exception: with
// MapGuard, every goroutine and C code are protected too, but only from lost pages. A system call
// that is given a lost page returns EFAULT in any map, unless zeros have replaced the page already.
// Panics of f pass through, also those that a fault at memory outside the map causes.
//
// b is valid until f returns, even if the map is closed meanwhile. f must not keep it. f may call
// all methods of the map, but Resize, Unmap, Seal and Share return EBUSY until f has returned.
//
// EINVAL if f is nil. After Close the error is os.ErrClosed.
func (m *Map) Guarded(f func(b []byte) error) error {
	if m == nil {
		return isNil("map")
	}
	if f == nil {
		return &Error{"guarded", syscall.EINVAL, "f is nil"}
	}
	if err := m.needMapping(); err != nil {
		return err
	}
	handle, b, err := m.lend("guarded")
	if err != nil {
		return err
	}
	defer m.release(handle)
	if err := callGuarded(b, f); err != nil {
		return err
	}
	return mapCheck(handle)
}

// lend returns the memory for use without a lock, until release.
func (m *Map) lend(op string) (handle unsafe.Pointer, b []byte, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.check(op, 0); err != nil {
		return nil, nil, err
	}
	m.users.Add(1)
	m.show()
	return m.handle, m.data, nil
}

// isCopied copies src to dst, and reports whether src could be read. dst is memory of Go.
func isCopied(dst, src []byte) (ok bool) {
	if len(src) == 0 {
		return true
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault := recover(); fault != nil {
			ok = outcomeOf(fault, nil, src) == allCopied
		}
	}()
	to, from := unsafe.Pointer(unsafe.SliceData(dst)), unsafe.Pointer(unsafe.SliceData(src))
	return marked.Write(to, from, len(src)) == 0
}

func callGuarded(b []byte, f func([]byte) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch fault := recover(); {
		case fault == nil:
		case faultedIn(fault, b):
			err = &Error{"guarded", syscall.EIO, "a byte of the map is not accessible: " +
				"the file is shorter now, its storage is full or fails, or the page is protected"}
		default:
			panic(fault)
		}
	}()
	return f(b)
}

// faultedIn reports whether a recovered value is a memory fault in a page of b.
func faultedIn(recovered any, b []byte) bool {
	fault, ok := recovered.(interface{ Addr() uintptr })
	page := uintptr(os.Getpagesize())
	start := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	end := start + uintptr(len(b))
	return ok && fault.Addr() >= start-start%page && fault.Addr() < end+page-1-(end+page-1)%page
}
