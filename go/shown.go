package bytefd

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"
)

// shown lists the guarded maps whose memory the program has. A copy from that memory may copy zeros
// that have replaced lost bytes. Only C can tell whether it did.
var shown struct {
	sync.Mutex                              // held while ranges is changed
	ranges     atomic.Pointer[[]shownRange] // replaced as a whole
}

type shownRange struct {
	handle     unsafe.Pointer
	start, end uintptr
}

// show notes that the program has the memory of a guarded map.
func (m *Map) show() {
	if !m.isGuarded || m.handle == nil || m.isShown.Load() {
		return
	}
	changeShown(m.handle, m.data)
	m.isShown.Store(true)
}

// changeShown notes where the memory of a map is now. data is nil if it is gone.
func changeShown(handle unsafe.Pointer, data []byte) {
	shown.Lock()
	defer shown.Unlock()
	var ranges []shownRange
	if before := shown.ranges.Load(); before != nil {
		ranges = slices.Clone(*before)
	}
	ranges = slices.DeleteFunc(ranges, func(r shownRange) bool { return r.handle == handle })
	if len(data) > 0 {
		start := uintptr(unsafe.Pointer(unsafe.SliceData(data)))
		r := shownRange{handle, start, start + uintptr(len(data))}
		at, _ := slices.BinarySearchFunc(ranges, r.start, startsAt)
		ranges = slices.Insert(ranges, at, r)
	}
	shown.ranges.Store(&ranges)
}

// isShown reports whether p contains memory of a guarded map.
func isShown(p []byte) bool {
	ranges := shown.ranges.Load()
	if ranges == nil || len(*ranges) == 0 || len(p) == 0 {
		return false
	}
	start := uintptr(unsafe.Pointer(unsafe.SliceData(p)))
	// Ranges do not overlap, so they end in the order in which they begin.
	at, _ := slices.BinarySearchFunc(*ranges, start+1, endsAt)
	return at < len(*ranges) && (*ranges)[at].start < start+uintptr(len(p))
}

func startsAt(r shownRange, address uintptr) int { return cmp.Compare(r.start, address) }
func endsAt(r shownRange, address uintptr) int   { return cmp.Compare(r.end, address) }
