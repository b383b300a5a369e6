package bytefd

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// SysvOption changes how a System V segment is created or attached. By default the segment with the
// key is attached, for reading. Options may be given in any order and used again. If two options
// set the same thing, the last one counts.
type SysvOption func(*sysvOptions)

type sysvOptions struct {
	length int
	mode   fs.FileMode
	flags  uint64
	write  bool
}

// The values of include/bytefd.h. The package does not compile if a value differs there.
const (
	sysvCreate    = 1 << 28
	sysvExclusive = 1 << 29
	sysvByID      = 1 << 30
	sysvTransient = 1 << 32
)

// SysvCreate creates a segment of the length that [SysvLength] sets, if none has the key. With key
// 0 (IPC_PRIVATE) it always creates a segment, which others attach by its number. Needs
// [SysvWrite].
func SysvCreate() SysvOption { return func(o *sysvOptions) { o.flags |= sysvCreate } }

// SysvExclusive and [SysvCreate] together make [MapSysv] return EEXIST if a segment with the key
// exists.
func SysvExclusive() SysvOption { return func(o *sysvOptions) { o.flags |= sysvExclusive } }

// SysvByID makes [MapSysv] use its key as the number of a segment.
func SysvByID() SysvOption { return func(o *sysvOptions) { o.flags |= sysvByID } }

// SysvTransient marks the segment for removal (IPC_RMID) as soon as it is attached. The kernel
// removes it when its last user detaches it or ends, also by SIGKILL. Once it is marked, its key no
// longer finds it. On Linux, other processes can still attach it by its number. A process that is
// killed within the call, between creating and marking, leaves the segment behind.
func SysvTransient() SysvOption { return func(o *sysvOptions) { o.flags |= sysvTransient } }

// SysvWrite attaches the segment for reading and writing instead of reading only.
func SysvWrite() SysvOption { return func(o *sysvOptions) { o.write = true } }

// SysvLength sets the size of a new segment, which is zero-filled. A segment that exists keeps its
// size; a smaller one is ENXIO. EINVAL if bytes is negative.
func SysvLength(bytes int) SysvOption { return func(o *sysvOptions) { o.length = bytes } }

// SysvMode sets the permission bits of a new segment. The default, and the meaning of 0, is 0600.
// Other bits of fs.FileMode are EINVAL.
func SysvMode(mode fs.FileMode) SysvOption { return func(o *sysvOptions) { o.mode = mode } }

// MapSysv creates or attaches a System V segment, sysvipc(7), for programs that still use them. It
// returns a map of the segment and the number of the segment. key is 0, or a key such as ftok(3)
// returns. With [SysvByID] it is the number of a segment.
//
// The map is as long as the segment and has no file. [WrapBuffer] copies its bytes into a file.
// [Map.Close] detaches the segment. The segment exists until [RemoveSysv], even after all processes
// have ended, unless [SysvTransient] was given.
//
// Errors:
//   - EACCES if the mode of the segment does not allow the access.
//   - EEXIST with [SysvExclusive] if a segment with this key exists.
//   - EIDRM if the segment is removed during the call.
//   - EINVAL if options are invalid, the key has more than 32 bits, or the key is 0 and neither
//     [SysvCreate] nor [SysvByID] is given.
//   - EINVAL if a new segment has length 0 or exceeds /proc/sys/kernel/shmmax, or no segment has
//     this number.
//   - ENOENT if no segment has this key.
//   - ENOMEM, or ENOSPC if there are too many segments.
//   - ENOSYS if the kernel has no System V segments.
//   - ENXIO if the segment is smaller than [SysvLength].
//   - EPERM with [SysvTransient] if the segment belongs to another user.
func MapSysv(key int, opts ...SysvOption) (*Map, int, error) {
	o := &sysvOptions{}
	for _, set := range opts {
		set(o)
	}
	if o.length < 0 {
		return nil, 0, isNegative("length", o.length)
	}
	// Keys are 32 bits, with or without a sign.
	if int(int32(key)) != key && int64(uint32(key)) != int64(key) {
		return nil, 0, &Error{"key", syscall.EINVAL, fmt.Sprintf("%#x has more than 32 bits", key)}
	}
	handle, data, shmid, err := mapSysv(int32(key), o)
	if err != nil {
		return nil, 0, err
	}
	m := ownMap(handle, data)
	m.isForReading = !o.write
	return m, shmid, nil
}

// RemoveSysv marks a segment for removal (IPC_RMID). The kernel removes it when the last process
// has detached it. Its key no longer finds it.
//
// Errors: EINVAL if no segment has this number. EPERM if the segment belongs to another user.
func RemoveSysv(shmid int) error {
	if int(int32(shmid)) != shmid {
		return &Error{"shmid", syscall.EINVAL, fmt.Sprintf("%#x has more than 32 bits", shmid)}
	}
	return sysvRemove(int32(shmid))
}

// ExportDMABuf makes a dma-buf of all pages of a memory file (/dev/udmabuf, Linux 4.20). Drivers of
// graphics cards, cameras and similar devices take a dma-buf. The file and the dma-buf show the
// same memory. The dma-buf exists independently of f, which ExportDMABuf does not close. The result
// is close-on-exec, and the caller owns and closes it.
//
// f must be a memfd of whole pages. It must have F_SEAL_SHRINK, and must not be sealed against
// writing, because devices write.
//
// Errors:
//   - EACCES if this user may not open the driver.
//   - EINVAL if f is not as described, or is larger than the driver allows.
//   - ENODEV if the kernel has no such driver, or it is not loaded.
//   - EMFILE or ENFILE if a limit is reached.
//   - Others of the driver.
//   - os.ErrClosed if f is closed.
func ExportDMABuf(f *os.File) (*os.File, error) {
	var buffer int
	err := lent(f, func(fd int) (err error) {
		buffer, err = exportDMABuf(fd)
		return err
	})
	return newFile(buffer, "dmabuf", err)
}
