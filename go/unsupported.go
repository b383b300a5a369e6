//go:build !linux || !cgo

package bytefd

import (
	"io"
	"syscall"
	"unsafe"
)

// errUnsupported answers every call that needs the library.
var errUnsupported = &Error{"build", syscall.ENOTSUP, "this program was built without cgo or not for Linux"}

func wrap([]byte, wrapOptions) (int, error)           { return 0, errUnsupported }
func wrapSegments([][]byte, wrapOptions) (int, error) { return 0, errUnsupported }
func scanBegin([]byte, unsafe.Pointer, wrapOptions) (int, unsafe.Pointer, error) {
	return 0, nil, errUnsupported
}
func scanBeginSegments([][]byte, unsafe.Pointer, wrapOptions) (int, unsafe.Pointer, error) {
	return 0, nil, errUnsupported
}
func scanBeginReader(*passing, unsafe.Pointer, wrapOptions) (int, unsafe.Pointer, error) {
	return 0, nil, errUnsupported
}
func wrapReader(*passing, wrapOptions) (int, error)                 { return 0, errUnsupported }
func isTerminal(io.Reader) bool                                     { return false }
func unavailable() error                                            { return errUnsupported }
func duplicate(int) (int, error)                                    { return 0, errUnsupported }
func scanEnd(unsafe.Pointer)                                        {}
func poolCreate(*poolOptions) (unsafe.Pointer, error)               { return nil, errUnsupported }
func poolTrim(unsafe.Pointer, int) error                            { return errUnsupported }
func poolStats(unsafe.Pointer) (PoolStats, error)                   { return PoolStats{}, errUnsupported }
func poolClose(unsafe.Pointer)                                      {}
func reopen(int) (int, error)                                       { return 0, errUnsupported }
func mapFile(string, *mapOptions) (unsafe.Pointer, []byte, error)   { return nil, nil, errUnsupported }
func mapFD(int, *mapOptions) (unsafe.Pointer, []byte, error)        { return nil, nil, errUnsupported }
func mapMemory(int, *mapOptions) (unsafe.Pointer, []byte, error)    { return nil, nil, errUnsupported }
func mapRead(unsafe.Pointer, int, []byte) (int, error)              { return 0, errUnsupported }
func mapWrite(unsafe.Pointer, int, []byte) (int, error)             { return 0, errUnsupported }
func mapCheck(unsafe.Pointer) error                                 { return errUnsupported }
func isLost(unsafe.Pointer) bool                                    { return false }
func mapResize(_ unsafe.Pointer, old []byte, _ int) ([]byte, error) { return old, errUnsupported }
func mapUnmap(unsafe.Pointer, int, int) error                       { return errUnsupported }
func mapSeal(unsafe.Pointer, int64) (int, error)                    { return 0, errUnsupported }
func mapShare(unsafe.Pointer) (int, error)                          { return 0, errUnsupported }
func mapFileSize(unsafe.Pointer) (int64, error)                     { return 0, errUnsupported }
func mapDescriptor(unsafe.Pointer) (int, error)                     { return 0, errUnsupported }
func mapAdvise(unsafe.Pointer, int, int, int, uint64) error         { return errUnsupported }
func mapMlockRange(unsafe.Pointer, int, int) error                  { return errUnsupported }
func mapMunlockRange(unsafe.Pointer, int, int) error                { return errUnsupported }
func mapProtect(unsafe.Pointer, int, int, int) error                { return errUnsupported }
func mapPrefetch(unsafe.Pointer, int, int) error                    { return errUnsupported }
func mapFlush(unsafe.Pointer, int, int, int) error                  { return errUnsupported }
func mapClose(unsafe.Pointer) error                                 { return errUnsupported }
func hostReport(int) (string, error)                                { return "", errUnsupported }
