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

// ReadAt copies bytes from offset off of the map to p, as io.ReaderAt specifies. It returns io.EOF
// if the map has fewer than len(p) bytes there. It allocates nothing. It makes system calls only
// where bytes of the file are lost and, with [MapGuard], near the end of the file. There it may
// have to ask for the size.
//
// In a map with [MapGuard], bytes past the end of the file are EIO, also those in its last page.
// There is one exception. If a byte other than zero was stored there through another map since the
// file was truncated, ReadAt returns that byte and no error. Without a guard, ReadAt returns what
// the last page has after the end of the file, usually zeros, and no error.
//
// Errors:
//   - EFAULT if p is memory of a map, and a page of it is lost.
//   - EINVAL if off is negative, or if bytes of the range were unmapped ([Map.Unmap]).
//   - EIO if a byte cannot be read: another process truncated the file before that byte, storage
//     fails, or [Map.Protect] forbids reading. The bytes before that byte are in p, and n counts
//     them. Without a guard, truncation is detected only if the byte's page lies entirely past the
//     end of the file.
//
// After Close the error is os.ErrClosed.
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
		return 0, inaccessible("read", int(off), len(there))
	default:
		n, err = mapRead(m.handle, int(off), there)
	}
	switch {
	case err != nil:
		return n, err
	case n < len(there):
		return n, notReadable(int(off) + n)
	case n < len(p):
		return n, io.EOF
	}
	return n, nil
}

// WriteAt copies p to offset off of the map, as io.WriterAt specifies. It allocates nothing. It
// makes system calls where [Map.ReadAt] does. It does not make the map longer; [Map.Resize] does.
// With MapGuard, bytes past the end of the file are as for [Map.ReadAt]. Without it, what is stored
// in the last page after the end of the file is lost, without an error.
//
// Errors:
//   - EACCES if the map is for reading.
//   - EFAULT if p is memory of a map, and a page of it is lost, also if [MapGuard] has replaced the
//     page.
//   - EINVAL if off is negative, or if bytes of the range were unmapped ([Map.Unmap]).
//   - EIO if a byte cannot be written: another process truncated the file before it, storage has
//     no room ([MapNoReserve]) or fails, or [Map.Protect] forbids writing. The bytes before that
//     byte are written, and n counts them. Without a guard, truncation is detected only if the
//     byte's page lies entirely past the end of the file.
//   - ENXIO if p does not fit entirely into the map. Nothing is written.
//
// After Close the error is os.ErrClosed.
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
		return 0, &Error{"write", syscall.ENXIO, outside(off, len(p), len(m.data))}
	}
	if m.isPrivate {
		m.isStored.Store(true)
	}
	// Only C knows which pages the guard of another map has replaced.
	if !m.isForReading && (!isShown(p) || m.has(p)) {
		switch m.copied(p, int(off), true) {
		case allCopied:
			return len(p), nil
		case notTheCallers:
			return 0, inaccessible("write", int(off), len(p))
		}
	}
	n, err = mapWrite(m.handle, int(off), p)
	if err == nil && n < len(p) {
		const format = "byte %d is not accessible: " +
			"the file is shorter now, its storage is full or fails, or the page is protected"
		return n, &Error{"write", syscall.EIO, fmt.Sprintf(format, off+int64(n))}
	}
	return n, err
}

// inaccessible returns the error of a copy whose buffer is not accessible, in the library's words.
func inaccessible(op string, offset, length int) error {
	const format = "bytes %d..%d: the caller's buffer is not accessible: Bad address"
	return &Error{op, syscall.EFAULT, fmt.Sprintf(format, offset, offset+length)}
}

// notReadable returns the error of a read that ends before this byte.
func notReadable(at int) error {
	const format = "byte %d is not accessible: " +
		"the file is shorter now, its storage fails, or the page is protected"
	return &Error{"read", syscall.EIO, fmt.Sprintf(format, at)}
}

// outcome is the result of a copy.
type outcome int

const (
	// All bytes were copied, and they are those of the file.
	allCopied outcome = iota
	// C must find out how many bytes were copied.
	notAll
	// The copy faulted in memory that is not the map's.
	notTheCallers
)

// copied copies all of p to or from offset off of the map. These bytes are in the map. C must copy
// instead if a page may have been replaced. The size of the file is asked for only if it is needed.
//
// A fault in a map without a guard is a panic. In a guarded map the handler ends the copy, and
// replaces no page.
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
	// Bytes that were stored past the end of the file would look like bytes of the file.
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

// has reports whether p begins in the map.
func (m *Map) has(p []byte) bool {
	first, data := unsafe.Pointer(unsafe.SliceData(p)), unsafe.Pointer(unsafe.SliceData(m.data))
	return uintptr(first)-uintptr(data) < uintptr(len(m.data))
}

// overlap reports whether length bytes at a and length bytes at b have bytes in common.
func overlap(a, b unsafe.Pointer, length int) bool {
	return uintptr(a)-uintptr(b)+uintptr(length)-1 < 2*uintptr(length)-1
}

// outcomeOf returns what a fault in a copy means. It passes other panics on.
func outcomeOf(fault any, data, p []byte) outcome {
	switch {
	case faultedIn(fault, data):
		return notAll
	case faultedIn(fault, p):
		return notTheCallers
	}
	panic(fault)
}

// isReplaced reports whether pages of a guarded map were replaced. Copies replace none, but an
// access of the program through Bytes may.
func (m *Map) isReplaced() bool { return m.isShown.Load() && isLost(m.handle) }

// hasBytes reports whether the file behind a guarded map has the bytes before end. The page of the
// last of these bytes must exist. If the next page exists too, the file does not end before it.
//
// The last page of the map has no next page. There the byte before end and the last byte of the map
// are examined. If one of them is not zero, the file has the bytes, because the kernel clears what
// it cuts off. It does not clear what was stored in a private map, and Bytes allows stores past the
// end. In these cases, and if both bytes are zero, the size of the file decides.
func (m *Map) hasBytes(end int) bool {
	if !m.canShrink {
		return true
	}
	if next := m.nextPage(end); next < len(m.data) {
		if _, isThere := m.peek(next); isThere {
			return true
		}
	} else if m.isForReading || !m.isShown.Load() && !m.isStored.Load() {
		for _, at := range [...]int{end - 1, len(m.data) - 1} {
			if b, _ := m.peek(at); b != 0 {
				return true
			}
		}
	}
	size, err := mapFileSize(m.handle)
	return err == nil && size-m.offset >= int64(end)
}

// nextPage returns the offset of the first page that begins at or after end.
func (m *Map) nextPage(end int) int {
	address := uintptr(unsafe.Pointer(unsafe.SliceData(m.data))) + uintptr(end)
	return end + int(-address&uintptr(os.Getpagesize()-1))
}

// peek returns a byte of the map, and whether its page exists.
func (m *Map) peek(at int) (b byte, isThere bool) {
	return marked.Peek(unsafe.Pointer(&m.data[at]))
}
