//go:build !linux || !cgo

package bytefd

import (
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"
)

func verify(int, *requirements) error           { return errUnsupported }
func send(syscall.RawConn, []byte, []int) error { return errUnsupported }
func receive(*net.UnixConn, []byte, int, bool, func(int) error) (int, []int, error) {
	return 0, nil, errUnsupported
}
func peer(int) (Credentials, error)                          { return Credentials{}, errUnsupported }
func shmFile(string, bool, *shmOptions) (int, string, error) { return 0, "", errUnsupported }
func shmUnlink(string) error                                 { return errUnsupported }
func sweep() (SweepResult, error)                            { return SweepResult{}, errUnsupported }
func tempFileCreate([]byte, *tempFileOptions) (unsafe.Pointer, string, error) {
	return nil, "", errUnsupported
}
func tempFileClose(unsafe.Pointer) error { return errUnsupported }
func mapSysv(int32, *sysvOptions) (unsafe.Pointer, []byte, int, error) {
	return nil, nil, 0, errUnsupported
}
func sysvRemove(int32) error                         { return errUnsupported }
func exportDMABuf(int) (int, error)                  { return 0, errUnsupported }
func fileLock(int, int64, int64, int) error          { return errUnsupported }
func fileUnlock(int, int64, int64) error             { return errUnsupported }
func futexWait(*uint32, uint32, time.Duration) error { return errUnsupported }
func futexWake(*uint32, uint32) (int, error)         { return 0, errUnsupported }
func appendTo(*os.File, []byte, int64) error         { return errUnsupported }
