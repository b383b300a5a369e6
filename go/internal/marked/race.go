//go:build race

package marked

import (
	"runtime"
	"unsafe"
)

// The race detector does not see what assembly does with the caller's memory.

func noteRead(from unsafe.Pointer, length int) { runtime.RaceReadRange(from, length) }
func noteWrite(to unsafe.Pointer, length int)  { runtime.RaceWriteRange(to, length) }
