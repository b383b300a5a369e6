//go:build !linux || !cgo

package bytefd

import (
	"net"
	"syscall"
	"time"
	"unsafe"
)

// Without cgo, the functions that only the library can do return an error.

func scanBeginSegments([][]byte, unsafe.Pointer, wrapOptions) (int, unsafe.Pointer, error) {
	return 0, nil, unsupported("Pool")
}
func scanBeginReader(*passing, unsafe.Pointer, wrapOptions) (int, unsafe.Pointer, error) {
	return 0, nil, unsupported("Pool")
}
func poolCreate(*poolOptions) (unsafe.Pointer, error) { return nil, unsupported("NewPool") }
func poolTrim(unsafe.Pointer, int) error              { return unsupported("Pool.Trim") }
func poolStats(unsafe.Pointer) (PoolStats, error) {
	return PoolStats{}, unsupported("Pool.Stats")
}
func poolClose(unsafe.Pointer) {}

func mapMemory(int, *mapOptions) (unsafe.Pointer, []byte, error) {
	return nil, nil, unsupported("NewMap or NewMapWriter")
}
func mapResize(_ unsafe.Pointer, old []byte, _ int) ([]byte, error) {
	return old, unsupported("Map.Resize")
}
func mapAdvise(unsafe.Pointer, int, int, int, uint64) error {
	return unsupported("Map.Advise or Map.Discard")
}
func mapUnmap(unsafe.Pointer, int, int) error        { return unsupported("Map.Unmap") }
func mapSeal(unsafe.Pointer, int64) (int, error)     { return 0, unsupported("Map.Seal") }
func mapShare(unsafe.Pointer) (int, error)           { return 0, unsupported("Map.Share") }
func mapMlockRange(unsafe.Pointer, int, int) error   { return unsupported("Map.Mlock") }
func mapMunlockRange(unsafe.Pointer, int, int) error { return unsupported("Map.Munlock") }
func mapProtect(unsafe.Pointer, int, int, int) error { return unsupported("Map.Protect") }
func mapPrefetch(unsafe.Pointer, int, int) error     { return unsupported("Map.Prefetch") }
func mapFlush(unsafe.Pointer, int, int, int) error   { return unsupported("Map.Flush") }
func hostReport(int) (string, error)                 { return "", unsupported("HostReport") }
func verify(int, *requirements) error                { return unsupported("Verify") }
func exportDMABuf(int) (int, error)                  { return 0, unsupported("ExportDMABuf") }
func shmUnlink(string) error                         { return unsupported("UnlinkShm") }
func sweep() (SweepResult, error)                    { return SweepResult{}, unsupported("Sweep") }
func tempFileClose(unsafe.Pointer) error             { return unsupported("TempFile.Close") }
func sysvRemove(int32) error                         { return unsupported("RemoveSysv") }
func fileUnlock(int, int64, int64) error             { return unsupported("FileUnlock") }
func futexWake(*uint32, uint32) (int, error)         { return 0, unsupported("FutexWake") }

func send(syscall.RawConn, []byte, []int) error { return unsupported("Send or SendFD") }
func receive(*net.UnixConn, []byte, int, bool, func(int) error) (int, []int, error) {
	return 0, nil, unsupported("Receive or ReceiveSome")
}
func peer(int) (Credentials, error) { return Credentials{}, unsupported("PeerCredentials") }
func shmFile(string, bool, *shmOptions) (int, string, error) {
	return 0, "", unsupported("CreateShm, OpenShm or OpenOrCreateShm")
}
func tempFileCreate([]byte, *tempFileOptions) (unsafe.Pointer, string, error) {
	return nil, "", unsupported("NewTempFile")
}
func mapSysv(int32, *sysvOptions) (unsafe.Pointer, []byte, int, error) {
	return nil, nil, 0, unsupported("MapSysv")
}
func fileLock(int, int64, int64, int) error { return unsupported("FileLock or FileLockContext") }
func futexWait(*uint32, uint32, time.Duration) error {
	return unsupported("FutexWait or FutexWaitContext")
}
