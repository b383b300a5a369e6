package bytefd

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// SysvOption changes how a System V segment is created or attached. The default attaches the
// segment with the key, for reading. Options may be given in any order and used again; of two that
// set the same thing the last one counts.
type SysvOption func(*sysvOptions)

type sysvOptions struct {
	length int
	mode   fs.FileMode
	flags  uint64
	write  bool
}

// The values of include/bytefd.h; one that differs there does not compile.
const (
	sysvCreate    = 1 << 28
	sysvExclusive = 1 << 29
	sysvByID      = 1 << 30
	sysvTransient = 1 << 32
)

// SysvCreate creates a segment of the length that [SysvLength] sets, if there is none with the key;
// with the key 0, IPC_PRIVATE, always, and others attach it by its number. Needs [SysvWrite].
func SysvCreate() SysvOption { return func(o *sysvOptions) { o.flags |= sysvCreate } }

// SysvExclusive, with [SysvCreate], is EEXIST if there is a segment with the key.
func SysvExclusive() SysvOption { return func(o *sysvOptions) { o.flags |= sysvExclusive } }

// SysvByID takes the key for a segment's number.
func SysvByID() SysvOption { return func(o *sysvOptions) { o.flags |= sysvByID } }

// SysvTransient marks the segment for removal (IPC_RMID) as soon as it is attached. The kernel
// removes it when its last user detaches it or ends, also by SIGKILL. From then on other processes
// attach it by its number, which Linux allows, not by its key. A process that is killed within the
// call, between creating and marking, leaves the segment behind.
func SysvTransient() SysvOption { return func(o *sysvOptions) { o.flags |= sysvTransient } }

// SysvWrite attaches for reading and writing, not for reading only.
func SysvWrite() SysvOption { return func(o *sysvOptions) { o.write = true } }

// SysvLength sets the size of a new segment, zero-filled; and the minimum size of one that is
// attached. EINVAL if negative.
func SysvLength(bytes int) SysvOption { return func(o *sysvOptions) { o.length = bytes } }

// SysvMode sets the permission bits of a new segment. The default, and the meaning of 0, is 0600.
// Other bits of fs.FileMode are EINVAL.
func SysvMode(mode fs.FileMode) SysvOption { return func(o *sysvOptions) { o.mode = mode } }

// MapSysv creates or attaches a System V segment, sysvipc(7), as a map, for programs that still use
// them, and returns its number too. The key is 0, one of ftok(3) or the like, or with [SysvByID] a
// number. The map is as long as the segment and has no file: [WrapBuffer] copies its bytes into
// one. [Map.Close] detaches the segment. It stays until [RemoveSysv], also when all processes are
// gone, unless it was attached with [SysvTransient].
//
// Errors:
//   - EACCES if the mode of the segment does not allow it.
//   - EEXIST if there is a segment with this key, with [SysvExclusive].
//   - EIDRM if the segment is being removed.
//   - EINVAL for options that are invalid, a new segment of length 0 or above
//     /proc/sys/kernel/shmmax, no segment of this number, a key of more than 32 bits, or the key 0
//     without [SysvCreate].
//   - ENOENT if there is no segment with this key.
//   - ENOSPC if there are too many segments, ENOMEM, ENOSYS if the kernel has none.
//   - ENXIO if the segment is smaller than [SysvLength].
//   - EPERM if the segment belongs to another user, with [SysvTransient].
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

// RemoveSysv marks a segment for removal (IPC_RMID). It is removed when the last process has
// detached it. Its key finds it no more.
//
// Errors: EINVAL if there is no segment of this number; EPERM if it belongs to another user.
func RemoveSysv(shmid int) error {
	if int(int32(shmid)) != shmid {
		return &Error{"shmid", syscall.EINVAL, fmt.Sprintf("there is no segment %d", shmid)}
	}
	return sysvRemove(int32(shmid))
}

// ExportDMABuf makes a dma-buf, which drivers of graphics cards, cameras and the like take, of all
// pages of a memory file: /dev/udmabuf, Linux 4.20. Both show the same memory, and the dma-buf
// lives on without f, which stays the caller's. It must be a memfd of whole pages, sealed against
// shrinking (F_SEAL_SHRINK) and not against writing, because devices write. The result is
// close-on-exec.
//
// Errors: ENODEV if this kernel has no such driver, or it is not loaded; EACCES if this user may
// not open it; EINVAL for a file that is not as said, or of more than the driver allows; EMFILE,
// ENFILE; and the driver's own. For a closed file the error is os.ErrClosed.
func ExportDMABuf(f *os.File) (*os.File, error) {
	var buffer int
	err := lent(f, func(fd int) (err error) {
		buffer, err = exportDMABuf(fd)
		return err
	})
	return newFile(buffer, "dmabuf", err)
}
