//go:build !linux || !cgo

package bytefd

import (
	"syscall"
	"time"
	"unsafe"
)

func verify(int, *requirements) error           { return errUnsupported }
func send(syscall.RawConn, []byte, []int) error { return errUnsupported }
func receive(syscall.RawConn, []byte, int) (int, []int, error) {
	return 0, nil, errUnsupported
}
func peer(int) (Credentials, error)                              { return Credentials{}, errUnsupported }
func shmFile(string, uint32, *namedOptions) (int, string, error) { return 0, "", errUnsupported }
func shmUnlink(string) error                                     { return errUnsupported }
func shmSweep() (int, error)                                     { return 0, errUnsupported }
func link([]byte, string) (unsafe.Pointer, string, error)        { return nil, "", errUnsupported }
func linkRelease(unsafe.Pointer)                                 {}
func mapSysv(int32, *sysvOptions) (unsafe.Pointer, []byte, int, error) {
	return nil, nil, 0, errUnsupported
}
func sysvRemove(int32) error                       { return errUnsupported }
func exportDMABuf(int) (int, error)                { return 0, errUnsupported }
func lock(int, int64, int64, LockMode, bool) error { return errUnsupported }
func unlock(int, int64, int64) error               { return errUnsupported }
func wait(*uint32, uint32, time.Duration) error    { return errUnsupported }
func wake(*uint32, uint32) (int, error)            { return 0, errUnsupported }
