package marked

import "unsafe"

// IsKnown reports whether the handler knows the copies of this processor.
const IsKnown = true

// The numbers of src/sys/copy.rs: "bytefdRD" and "bytefdWR".
const (
	read  = 0x6279746566645244
	write = 0x6279746566645752
)

// Read copies length bytes of a map to the caller's memory. It returns the number of bytes that
// were not copied because a page of the map is lost.
func Read(to, mapped unsafe.Pointer, length int) (left int) {
	noteWrite(to, length)
	return move(to, mapped, length, read)
}

// Write copies length bytes of the caller's memory to a map. It returns the number of bytes that
// were not copied because a page of the map, or of the caller's memory, is lost.
func Write(mapped, from unsafe.Pointer, length int) (left int) {
	noteRead(from, length)
	return move(mapped, from, length, write)
}

// Peek returns a byte of a map, and whether its page is there.
func Peek(mapped unsafe.Pointer) (b byte, isThere bool) {
	isThere = move(unsafe.Pointer(&b), mapped, 1, read) == 0
	return b, isThere
}

// move copies forwards: where the ranges overlap, to must lie before from.
//
//go:noescape
func move(to, from unsafe.Pointer, length int, mark uint64) (left int)
