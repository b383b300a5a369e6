package bytefd

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// SealOption changes how [Map.Seal] and [MapWriter.Seal] wait.
type SealOption func(*sealOptions)

type sealOptions struct{ timeout time.Duration }

// sealPatience is the default of SealTimeout.
const sealPatience = 100 * time.Millisecond

// SealTimeout limits how long Seal waits until no other mapping, in any process including this one,
// can write to the memory. A shared mapping counts, even for reading, if it was made through a
// descriptor that is open for writing. With 0 Seal does not wait. With a negative timeout it waits
// without a limit. The default is 100 ms.
func SealTimeout(timeout time.Duration) SealOption {
	return func(o *sealOptions) { o.timeout = timeout }
}

// Seal seals the shared memory of [NewMap] without copying it, and returns its file. The file is
// sealed and close-on-exec. It has the length of the map, offset 0, and mode 0400 (0500 with
// [MapExecute]). The caller owns and closes the file. The map stays at its address, for reading
// only. Its bytes can never change. During the call no goroutine may store into the memory through
// [Map.Bytes] or [Map.Word]: such a store raises SIGSEGV, also if Seal then returns an error.
// Methods such as [Map.WriteAt] wait until Seal returns.
//
// A child that this process is starting has the memory mapped for writing for a moment. Seal waits
// for it; see [SealTimeout].
//
// Protection that [Map.Protect] has set ends, also after an error. Apart from that, an error leaves
// the map unchanged, with two exceptions: after [Map.Share], or if another process makes the memory
// shorter during the call, the map may be read-only afterwards. Seal may be called again after an
// error. Errors:
//   - EBUSY while a function that [Map.Guarded] called has the bytes. Also if the timeout is 0 and
//     Seal would have to wait.
//   - EINVAL if the map is not shared memory, is sealed already, or parts of it were unmapped.
//   - EIO if another process made the memory shorter, or a map with [MapGuard] has replaced lost
//     pages.
//   - EPERM if another process has added F_SEAL_SEAL.
//   - ETIMEDOUT, which is os.ErrDeadlineExceeded, if another mapping of the memory, in any process
//     including this one, could still be written (see [SealTimeout]), or the kernel uses its pages
//     (io_uring, direct I/O).
//   - ENOENT before Linux 6.7 if /proc is not mounted.
//   - EMFILE, ENFILE or ENOMEM if a limit is reached.
//
// After Close the error is os.ErrClosed.
func (m *Map) Seal(opts ...SealOption) (*os.File, error) {
	o := sealOptions{sealPatience}
	for _, set := range opts {
		set(&o)
	}
	fd := 0
	err := m.alone("seal", func() (err error) {
		fd, err = mapSeal(m.handle, max(o.timeout.Nanoseconds(), -1))
		m.isForReading = m.isForReading || err == nil || m.isShared
		m.canShrink = m.canShrink && err != nil
		return err
	})
	return newFile(fd, "bytefd", asTimeout(err))
}

// asTimeout makes errors.Is find os.ErrDeadlineExceeded in an ETIMEDOUT.
func asTimeout(err error) error {
	if errors.Is(err, syscall.ETIMEDOUT) {
		return fmt.Errorf("%w (%w)", err, os.ErrDeadlineExceeded)
	}
	return err
}

// Share returns a read-only file of the shared memory of [NewMap], for other processes. This map
// goes on writing, and they see every store. The caller owns and closes the file. It is
// close-on-exec and has its own offset.
//
// The memory gets mode 0400 (0500 with [MapExecute]), and the seals F_SEAL_SHRINK, F_SEAL_GROW and
// F_SEAL_FUTURE_WRITE (Linux 5.1). Only maps that exist already can then write to it. From then on
// [Map.Resize], and [Map.Discard] with MADV_REMOVE, return EPERM. [Map.Seal] still works, but
// another process of the same user can prevent it. If that Seal fails, the map may be read-only
// afterwards, and Seal may be called again.
//
// Errors:
//   - EBUSY while a function that [Map.Guarded] called has the bytes.
//   - EINVAL if the map is not shared memory or is sealed, or if the kernel does not know
//     F_SEAL_FUTURE_WRITE.
//   - EIO if another process made the memory shorter.
//   - ENOENT if /proc is not mounted.
//   - EPERM if another process has added F_SEAL_SEAL.
//   - EMFILE or ENFILE if a limit is reached.
//
// After Close the error is os.ErrClosed.
func (m *Map) Share() (*os.File, error) {
	fd := 0
	err := m.alone("share", func() (err error) {
		fd, err = mapShare(m.handle)
		m.isShared = m.isShared || err == nil
		return err
	})
	return newFile(fd, "bytefd", err)
}
