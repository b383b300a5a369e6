package bytefd

import (
	"os"
	"runtime/debug"
	"unsafe"
)

// copyMapped is copy(dst, src) for memory that may not be there: mapped, which is dst or src, is in a mapping. It goes
// page by page and stops before the first page that faults, with ok false.
//
// A single copy would not know how far it came: memmove may touch the end first.
func copyMapped(dst, src, mapped []byte) (n int, ok bool) {
	page := uintptr(os.Getpagesize())
	start := uintptr(unsafe.Pointer(unsafe.SliceData(mapped)))
	total := min(len(dst), len(src))

	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault := recover(); fault != nil && !faultedIn(fault, start, start+uintptr(total), page) {
			panic(fault) // the caller's own slice is not there
		}
	}()
	for n < total {
		step := min(int(page-(start+uintptr(n))%page), total-n)
		n += copy(dst[n:n+step], src[n:n+step])
	}
	return n, true
}

// faultedIn reports whether what was recovered is a memory fault in a page of start..end.
func faultedIn(recovered any, start, end, page uintptr) bool {
	fault, ok := recovered.(interface{ Addr() uintptr })
	return ok && fault.Addr() >= start-start%page && fault.Addr() < end+page-1-(end+page-1)%page
}
