package bytefd

import (
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"syscall"
	"unsafe"

	"github.com/bytefd/bytefd/go/internal/marked"
)

// ReadAt copies bytes from offset off of the map to p, as io.ReaderAt says: io.EOF if there are
// fewer than len(p). It allocates nothing, and makes no system call unless bytes are missing.
//
// A map with [MapGuard] ends where its file ends now, and asks the file where it cannot tell
// otherwise. It does not ask in the last page if a byte of the map there, from the last one that is
// read on, is not zero: the kernel clears what it cuts off, so the file has that byte, or somebody
// has stored it through another map since. In maps without a guard the rest of the file's last page
// reads zero.
//
// Errors: EINVAL if off is negative. EIO if the bytes are in the map but not in the file, because
// another process made it shorter, or if they could not be read from storage, or [Map.Protect]
// forbids it: then the bytes before are in p, and n counts them. EFAULT if p is the memory of a map
// and lost itself. After Close the error is os.ErrClosed.
func (m *Map) ReadAt(p []byte, off int64) (n int, err error) {
	if m == nil {
		return 0, isNil("map")
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.check("read", off); err != nil {
		return 0, err
	}
	off = min(off, int64(len(m.data)))
	there := p[:min(int64(len(p)), int64(len(m.data))-off)]
	switch m.copied(there, int(off), false) {
	case allCopied:
		n = len(there)
	case notTheCallers:
		return 0, &Error{"read", syscall.EFAULT,
			"the memory to read into is of a map, and was lost"}
	default:
		n, err = mapRead(m.handle, int(off), there)
	}
	switch {
	case err != nil:
		return n, err
	case n < len(there):
		message := fmt.Sprintf("byte %d of the map cannot be read: "+
			"the file is shorter now, its storage fails, or the page is protected", off+int64(n))
		return n, &Error{"read", syscall.EIO, message}
	case n < len(p):
		return n, io.EOF
	}
	return n, nil
}

// WriteAt copies p to offset off of the map, as io.WriterAt says. It allocates nothing, and makes
// no system call unless bytes are missing. It does not make the file larger, as [Map.Resize] does:
// unless all of p lies in the map the error is ENXIO, and nothing is written. Where a map with
// [MapGuard] ends stands at [Map.ReadAt].
//
// Errors: EINVAL if off is negative. EACCES if the map is for reading. EIO if the bytes are in the
// map but not in the file, because another process made it shorter, or if there is no room for them
// on storage ([MapNoReserve]), or [Map.Protect] forbids it: then the bytes before are written, and
// n counts them. EFAULT if p is the memory of a map and lost itself, also where [MapGuard] has
// replaced it. After Close the error is os.ErrClosed.
func (m *Map) WriteAt(p []byte, off int64) (n int, err error) {
	if m == nil {
		return 0, isNil("map")
	}
	if err := m.needMapping(); err != nil {
		return 0, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.check("write", off); err != nil {
		return 0, err
	}
	if off > int64(len(m.data)-len(p)) {
		const format = "asked to write %d bytes at offset %d of a map of %d bytes"
		return 0, &Error{"write", syscall.ENXIO, fmt.Sprintf(format, len(p), off, len(m.data))}
	}
	// What the guard of another map has replaced only C knows.
	if !m.isForReading && (!isShown(p) || m.has(p)) {
		switch m.copied(p, int(off), true) {
		case allCopied:
			return len(p), nil
		case notTheCallers:
			return 0, &Error{"write", syscall.EFAULT,
				"the memory to write is of a map, and was lost"}
		}
	}
	n, err = mapWrite(m.handle, int(off), p)
	if err == nil && n < len(p) {
		const format = "byte %d of the map cannot be written: " +
			"the file is shorter now, its storage is full or fails, or the page is protected"
		return n, &Error{"write", syscall.EIO, fmt.Sprintf(format, off+int64(n))}
	}
	return n, err
}

// outcome is what became of a copy.
type outcome int

const (
	// All bytes were copied, and they are the file's.
	allCopied outcome = iota
	// C must find out how many there are.
	notAll
	// There was a fault, and it was not in the map.
	notTheCallers
)

// copied copies between p and as many bytes of the map from offset off on, which are in the map. It
// does not leave Go unless a page may have been replaced, or the file must be asked how long it is.
//
// A fault is a panic here. In a guarded map the handler ends the copy instead of replacing a page.
func (m *Map) copied(p []byte, off int, isWrite bool) (o outcome) {
	if m.asksC || m.isGuarded && !marked.IsKnown {
		return notAll
	}
	if len(p) == 0 {
		return allCopied
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault := recover(); fault != nil {
			o = outcomeOf(fault, m.data, p)
		}
	}()
	there, theirs := unsafe.Pointer(&m.data[off]), unsafe.Pointer(unsafe.SliceData(p))
	left, end := 0, off+len(p)
	// What is stored past the end of the file would look like bytes of it.
	if isWrite && !m.hasBytes(end) {
		return notAll
	}
	switch isOverlap := overlap(there, theirs, len(p)); {
	case isOverlap && isWrite:
		copy(m.data[off:], p)
	case isOverlap:
		copy(p, m.data[off:])
	case isWrite:
		left = marked.Write(there, theirs, len(p))
	default:
		left = marked.Read(theirs, there, len(p))
	}
	if left > 0 || m.isReplaced() || !isWrite && !m.hasBytes(end) {
		return notAll
	}
	return allCopied
}

// has reports whether bytes of p are bytes of the map.
func (m *Map) has(p []byte) bool {
	first, data := unsafe.Pointer(unsafe.SliceData(p)), unsafe.Pointer(unsafe.SliceData(m.data))
	return uintptr(first)-uintptr(data) < uintptr(len(m.data))
}

// overlap reports whether length bytes at a, and as many at b, have bytes in common.
func overlap(a, b unsafe.Pointer, length int) bool {
	return uintptr(a)-uintptr(b)+uintptr(length)-1 < 2*uintptr(length)-1
}

// outcomeOf is what a fault in a copy means. Any other panic goes on.
func outcomeOf(fault any, data, p []byte) outcome {
	switch {
	case faultedIn(fault, data):
		return notAll
	case faultedIn(fault, p):
		return notTheCallers
	}
	panic(fault)
}

// isReplaced reports whether pages of a guarded map were replaced: its copies do not do that, but
// whoever has been given its memory may.
func (m *Map) isReplaced() bool { return m.isShown.Load() && isLost(m.handle) }

// hasBytes reports whether the file behind a guarded map has the bytes before end, if the page of
// the last of them is there. If the next page is there too, the file does not end before it. Behind
// the map's last page is none: there a byte that is not zero tells, because the kernel clears what
// it cuts off. But it does not clear what a private map has stored, and the program may have stored
// something since.
func (m *Map) hasBytes(end int) bool {
	if !m.canShrink {
		return true
	}
	if next := m.nextPage(end); next < len(m.data) {
		if _, isThere := m.peek(next); isThere {
			return true
		}
	} else if !m.isPrivate && (m.isForReading || !m.isShown.Load()) {
		for _, at := range [...]int{end - 1, len(m.data) - 1} {
			if b, _ := m.peek(at); b != 0 {
				return true
			}
		}
	}
	size, err := mapFileSize(m.handle)
	return err == nil && size-m.offset >= int64(end)
}

// nextPage returns the offset of the first page that begins at end or behind it.
func (m *Map) nextPage(end int) int {
	address := uintptr(unsafe.Pointer(unsafe.SliceData(m.data))) + uintptr(end)
	return end + int(-address&uintptr(os.Getpagesize()-1))
}

// peek returns a byte of the map, and whether it is not lost.
func (m *Map) peek(at int) (b byte, isThere bool) {
	return marked.Peek(unsafe.Pointer(&m.data[at]))
}
