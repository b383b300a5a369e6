//go:build !linux

package bytefd

import (
	"io"
	"runtime"
	"syscall"
	"unsafe"
)

// unsupported is the error of every call: only Linux has files in memory with seals.
func unsupported(what string) error {
	message := what + " works on Linux only, and this program was built for " + runtime.GOOS
	return &Error{"build", syscall.ENOTSUP, message}
}

func wrap([]byte, wrapOptions) (int, error)           { return 0, unsupported("WrapBuffer") }
func wrapSegments([][]byte, wrapOptions) (int, error) { return 0, unsupported("WrapBuffers") }
func wrapReader(*passing, wrapOptions) (int, error)   { return 0, unsupported("WrapReader") }
func scanBegin([]byte, unsafe.Pointer, wrapOptions) (int, unsafe.Pointer, error) {
	return 0, nil, unsupported("ScanBytes")
}
func scanEnd(unsafe.Pointer)          {}
func isTerminalMaster(io.Reader) bool { return false }
func closeNumber(int)                 {}
func duplicate(int) (int, error)      { return 0, unsupported("ScanFile") }
func reopen(int) (int, error)         { return 0, unsupported("Reopen") }
func mapFile(string, *mapOptions) (unsafe.Pointer, []byte, error) {
	return nil, nil, unsupported("MapFile")
}
func mapFD(int, *mapOptions) (unsafe.Pointer, []byte, error) {
	return nil, nil, unsupported("MapFD")
}
func mapRead(unsafe.Pointer, int, []byte) (int, error) { return 0, unsupported("Map.ReadAt") }
func mapWrite(unsafe.Pointer, int, []byte) (int, error) {
	return 0, unsupported("Map.WriteAt")
}
func mapCheck(unsafe.Pointer) error { return unsupported("Map.Check") }
func isLost(unsafe.Pointer) bool    { return false }
func mapFileSize(unsafe.Pointer) (int64, error) {
	return 0, unsupported("Map.FileSize")
}
func mapDescriptor(unsafe.Pointer) (int, error) { return 0, unsupported("Map.File") }
func mapClose(unsafe.Pointer) error             { return unsupported("Map.Close") }
