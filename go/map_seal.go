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

// sealPatience is how long sealing waits by default.
const sealPatience = 100 * time.Millisecond

// SealTimeout sets how long Seal waits for a process that has the memory mapped for writing: 0 does
// not wait, a negative duration sets no limit. The default is 100 ms.
func SealTimeout(timeout time.Duration) SealOption {
	return func(o *sealOptions) { o.timeout = timeout }
}

// Seal seals shared memory ([NewMap]) without copying and returns a file as [WrapBuffer] does: of
// exactly the map's length, at offset 0, mode 0400 (0500 with [MapExecute]), close-on-exec. The
// caller owns the file and closes it. The map stays, at the same address and for reading only; its
// bytes can never change.
//
// A child that this process is just starting has the memory mapped for writing for a moment. Seal
// waits for it; see [SealTimeout].
//
// Errors, with the map as it was: EINVAL if it is not shared memory, is sealed already, or parts of
// it were unmapped; ETIMEDOUT, which is os.ErrDeadlineExceeded, if another process still has it
// mapped for writing, or the kernel uses pages of it (io_uring, direct I/O): EBUSY with a timeout
// of 0; EBUSY while a function that [Map.Guarded] calls has the bytes; EPERM if another process has
// sealed it against seals; EIO if a map with [MapGuard] has lost pages; ENOMEM, EMFILE and ENFILE.
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

// asTimeout makes an ETIMEDOUT os.ErrDeadlineExceeded too.
func asTimeout(err error) error {
	if errors.Is(err, syscall.ETIMEDOUT) {
		return fmt.Errorf("%w (%w)", err, os.ErrDeadlineExceeded)
	}
	return err
}

// Share returns a read-only file of shared memory ([NewMap]) for other processes, while this map
// goes on writing; they see every store. The caller owns the file and closes it. It is
// close-on-exec and has an offset of its own.
//
// The memory gets mode 0400 and the seals F_SEAL_SHRINK, F_SEAL_GROW and F_SEAL_FUTURE_WRITE (Linux
// 5.1): it can be written only through maps that exist already. [Map.Resize], and [Map.Discard]
// with MADV_REMOVE, are EPERM from then on. [Map.Seal] still works, but another process of the same
// user can prevent that, and a failure leaves the map for reading only.
//
// Errors: EINVAL if the map is not shared memory or is sealed, or the kernel does not know
// F_SEAL_FUTURE_WRITE; EPERM if another process has sealed it against seals; EIO if another process
// made it shorter; ENOENT where /proc is not mounted; EMFILE, ENFILE. After Close the error is
// os.ErrClosed.
func (m *Map) Share() (*os.File, error) {
	fd := 0
	err := m.alone("share", func() (err error) {
		fd, err = mapShare(m.handle)
		m.isShared = m.isShared || err == nil
		return err
	})
	return newFile(fd, "bytefd", err)
}
