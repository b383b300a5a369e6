//go:build !amd64

package marked

import "unsafe"

// IsKnown reports whether the handler knows the copies of this processor.
const IsKnown = false

// Read copies length bytes of a map to the caller's memory.
func Read(to, mapped unsafe.Pointer, length int) (left int) { return move(to, mapped, length) }

// Write copies length bytes of the caller's memory to a map.
func Write(mapped, from unsafe.Pointer, length int) (left int) { return move(mapped, from, length) }

// Peek returns a byte of a map.
func Peek(mapped unsafe.Pointer) (b byte, isThere bool) { return *(*byte)(mapped), true }

func move(to, from unsafe.Pointer, length int) (left int) {
	copy(unsafe.Slice((*byte)(to), length), unsafe.Slice((*byte)(from), length))
	return 0
}
