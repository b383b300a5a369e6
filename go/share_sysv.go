package bytefd

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// SysvOption changes how a System V segment is made or attached. The default is one that is there, by its key, for
// reading. Options may be given in any order and used again; of two that set the same thing the last one counts.
type SysvOption func(*sysvOptions)

type sysvOptions struct {
	length int
	mode   fs.FileMode
	how    uint32
	access uint32
	owned  bool
}

// The values of include/bytefd.h; one that differs there does not compile.
const (
	sysvOpen   = 0
	sysvCreate = 1
	sysvAttach = 2
)

// SysvCreate makes a new segment, of the length that [SysvLength] sets. The key must not be in use; 0, IPC_PRIVATE, is
// no key, and the segment is found by its number alone. Needs [SysvWrite].
func SysvCreate() SysvOption { return func(o *sysvOptions) { o.how = sysvCreate } }

// SysvAttach takes the key for a segment's number.
func SysvAttach() SysvOption { return func(o *sysvOptions) { o.how = sysvAttach } }

// SysvWrite maps for reading and writing.
func SysvWrite() SysvOption { return func(o *sysvOptions) { o.access = accessWrite } }

// SysvLength sets how many bytes what is made has, zeros at first; and how many what is attached must have at least.
// EINVAL if negative.
func SysvLength(bytes int) SysvOption { return func(o *sysvOptions) { o.length = bytes } }

// SysvMode sets the permission bits of what is made. The default, and the meaning of 0, is 0600. Other bits of
// fs.FileMode are EINVAL.
func SysvMode(mode fs.FileMode) SysvOption { return func(o *sysvOptions) { o.mode = mode } }

// SysvOwned makes what is made belong to this process: [Sweep] removes it when the process is gone and nobody has it
// attached. Needs [SysvCreate] and the key 0; the segment has a key by which the sweep knows it.
func SysvOwned() SysvOption { return func(o *sysvOptions) { o.owned = true } }

// MapSysv makes or attaches a System V segment, sysvipc(7), as a map, for programs that still speak it, and returns its
// number too. The key is one of ftok(3) or the like, with [SysvAttach] a number. The map has as many bytes as the
// segment, and no file: [WrapBuffer] copies its bytes into one. [Map.Close] detaches it; it stays until [RemoveSysv],
// also when all processes are gone ([SysvOwned] aside).
//
// Errors: EEXIST if there is one with this key already, ENOENT if there is none; ENXIO if it has fewer bytes than
// asked; EINVAL for options that make no sense, a new segment without length or above /proc/sys/kernel/shmmax, no such
// number, a key of more than 32 bits, or any but 0 for what is owned; EACCES if its mode does not allow it; EIDRM if it
// is being removed; ENOSPC for too many segments; ENOMEM; ENOSYS if the kernel has none.
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
	handle, data, number, err := mapSysv(int32(key), o)
	if err != nil {
		return nil, 0, err
	}
	m := ownMap(handle, data)
	m.isForReading = o.access != accessWrite
	return m, number, nil
}

// RemoveSysv marks a segment for removal: it goes when the last process has detached it, and nobody finds it by its key
// any more.
//
// Errors: EINVAL if there is none of that number; EPERM if it is somebody else's.
func RemoveSysv(number int) error {
	if int(int32(number)) != number {
		return &Error{"number", syscall.EINVAL, fmt.Sprintf("there is no segment %d", number)}
	}
	return sysvRemove(int32(number))
}

// ExportDMABuf makes a dma-buf, which drivers of graphics cards, cameras and the like take, of all pages of a memory
// file: /dev/udmabuf, Linux 4.20. Both show the same memory, and the dma-buf lives on without f, which stays the
// caller's. It must be a memfd of whole pages, sealed against shrinking (F_SEAL_SHRINK) and not against writing,
// because devices write. The result is close-on-exec.
//
// Errors: ENODEV if this kernel has no such driver, or it is not loaded; EACCES if this user may not open it; EINVAL
// for a file that is not as said, or of more than the driver allows; EMFILE, ENFILE; and the driver's own. For a closed
// file the error is os.ErrClosed.
func ExportDMABuf(f *os.File) (*os.File, error) {
	var buffer int
	err := lent(f, func(fd int) (err error) {
		buffer, err = exportDMABuf(fd)
		return err
	})
	return newFile(buffer, "dmabuf", err)
}
