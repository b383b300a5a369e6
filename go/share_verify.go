package bytefd

import (
	"fmt"
	"math"
	"os"
	"syscall"
)

// Requirement is a condition that a file made by another process must meet. Requirements may be
// given in any order and used again. If two set the same thing, the last one counts.
// [RequireSealed], [RequireSeals] and [RequireNoSeals] set the same thing.
//
// Every file must be a regular file that is open for reading. It must also be sealed as
// [RequireSealed] says, unless [RequireSeals] or [RequireNoSeals] is given.
type Requirement func(*requirements)

type requirements struct {
	minLength, maxLength int64
	seals                int
	noSeals              bool
	uid                  *uint32
}

// sealedForReading is F_SEAL_WRITE|F_SEAL_SHRINK. Without these seals content can change or
// disappear while it is read.
const sealedForReading = 0x8 | 0x2

func newRequirements(wanted []Requirement) (*requirements, error) {
	r := &requirements{maxLength: math.MaxInt64, seals: sealedForReading}
	for _, set := range wanted {
		set(r)
	}
	switch {
	case r.minLength < 0:
		return nil, isNegative("min_length", r.minLength)
	case r.maxLength <= 0:
		return nil, isNotPositive("max_length", r.maxLength)
	case !r.noSeals && (r.seals <= 0 || int(uint32(r.seals)) != r.seals):
		const format = "seals is %#x, must be one or more of F_SEAL_*; " +
			"use RequireNoSeals to require none"
		return nil, &Error{"seals", syscall.EINVAL, fmt.Sprintf(format, r.seals)}
	}
	return r, nil
}

// RequireSealed requires seals against writing and shrinking, F_SEAL_WRITE and F_SEAL_SHRINK: the
// content can neither change nor disappear. The file can still grow. To forbid that as well, give
// [RequireSeals] all three seals instead. This is the default of [Verify]. [Receive] checks nothing
// unless a requirement is given: give it this one.
func RequireSealed() Requirement { return RequireSeals(sealedForReading) }

// RequireSeals requires these seals, F_SEAL_ constants of fcntl(2). The file may have more. They
// replace those of [RequireSealed] and are not added to them: with F_SEAL_GROW alone, content can
// change. EINVAL if seals is 0 or has unknown seals.
func RequireSeals(seals int) Requirement {
	return func(r *requirements) { r.seals, r.noSeals = seals, false }
}

// RequireNoSeals drops the requirement of seals: it accepts files with and without seals. Other
// processes can then change or shorten such a file at any time. Checking such a descriptor asks its
// file system, which may never answer (FUSE, NFS).
func RequireNoSeals() Requirement { return func(r *requirements) { r.noSeals = true } }

// RequireMinLength requires at least this many bytes. EINVAL if bytes is negative.
func RequireMinLength(bytes int64) Requirement {
	return func(r *requirements) { r.minLength = bytes }
}

// RequireMaxLength requires at most this many bytes. A sealed file can be far longer than its
// memory, because it can consist of holes. A file without F_SEAL_GROW can become longer after the
// check. EINVAL if bytes is not positive.
func RequireMaxLength(bytes int64) Requirement {
	return func(r *requirements) { r.maxLength = bytes }
}

// RequireUID requires that the owner of the file is this user.
func RequireUID(uid uint32) Requirement { return func(r *requirements) { r.uid = &uid } }

// Verify checks a file that another process has made, and returns nil if it meets the requirements.
// Seals can never be removed. Unless the file has both F_SEAL_SHRINK and F_SEAL_GROW, its length
// can change later. The file's user ID can change later, whatever the seals. Verify checks seals
// before it asks the file system, which may never answer.
//
// Errors:
//   - EACCES if the file does not belong to the user of [RequireUID], or is not open for reading.
//   - EFBIG if it is longer than [RequireMaxLength] allows; ENXIO if it is shorter than
//     [RequireMinLength] allows.
//   - EINVAL if requirements are invalid or contradict each other, or f is nil.
//   - EPERM if seals are missing, or the file cannot have seals.
//   - With [RequireNoSeals], which accepts files with and without seals: EISDIR if it is a
//     directory, ENODEV if it is a FIFO, socket or device.
//   - os.ErrClosed if f is closed.
func Verify(f *os.File, wanted ...Requirement) error {
	r, err := newRequirements(wanted)
	if err != nil {
		return err
	}
	return lent(f, func(fd int) error { return verify(fd, r) })
}

// lent calls use with the number of f. The number refers to that file until use returns, even if
// another goroutine closes f. Unlike File.Fd, lent keeps the deadlines of f.
func lent(f *os.File, use func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return &Error{"file", syscall.EINVAL, "file is nil"}
	}
	var failure error
	if err := conn.Control(func(fd uintptr) { failure = use(int(fd)) }); err != nil {
		return isClosed("file", fmt.Sprintf("the file %q is closed", f.Name()))
	}
	return failure
}
