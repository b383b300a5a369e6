package bytefd

import (
	"fmt"
	"math"
	"os"
	"syscall"
)

// Requirement is what is asked of a descriptor that another process has made. Requirements may be
// given in any order and used again; of two that set the same thing the last one counts. In any
// case it must be a regular file that is open for reading, and sealed as [RequireSealed] says,
// unless [RequireSeals] or [RequireNoSeals] says otherwise.
type Requirement func(*requirements)

type requirements struct {
	minLength, maxLength int64
	seals                int
	noSeals              bool
	uid                  *uint32
}

// Without these seals content can change or go while it is read: F_SEAL_WRITE|F_SEAL_SHRINK.
const sealedForReading = 0x8 | 0x2

func newRequirements(wanted []Requirement) (*requirements, error) {
	r := &requirements{maxLength: math.MaxInt64, seals: sealedForReading}
	for _, set := range wanted {
		set(r)
	}
	switch {
	case r.minLength < 0:
		return nil, &Error{"min_length", syscall.EINVAL,
			fmt.Sprintf("min_length is %d, must not be negative", r.minLength)}
	case r.maxLength <= 0:
		return nil, &Error{"max_length", syscall.EINVAL,
			fmt.Sprintf("max_length is %d, must be more than 0", r.maxLength)}
	case !r.noSeals && (r.seals <= 0 || int(uint32(r.seals)) != r.seals):
		message := fmt.Sprintf("seals are %#x, must be F_SEAL_*; RequireNoSeals asks for none",
			r.seals)
		return nil, &Error{"seals", syscall.EINVAL, message}
	}
	return r, nil
}

// RequireSealed requires seals against writing and shrinking, the default: content that can neither
// change nor go. [Receive] asks for nothing unless it is told to, so this is the shortest way to
// tell it.
func RequireSealed() Requirement { return RequireSeals(sealedForReading) }

// RequireSeals requires these seals, F_SEAL_* of fcntl(2), instead of the default ones. More are
// fine. EINVAL for 0 and for unknown seals.
func RequireSeals(seals int) Requirement {
	return func(r *requirements) { r.seals, r.noSeals = seals, false }
}

// RequireNoSeals requires no seals. The content can then change, and the file can become shorter,
// at any time. Checking such a descriptor asks its file system, which may never answer (FUSE, NFS).
func RequireNoSeals() Requirement { return func(r *requirements) { r.noSeals = true } }

// RequireMinLength requires at least this many bytes. EINVAL if negative.
func RequireMinLength(bytes int64) Requirement {
	return func(r *requirements) { r.minLength = bytes }
}

// RequireMaxLength requires at most this many bytes. A sealed file can be far longer than its
// memory: it may consist of holes. EINVAL if 0 or negative.
func RequireMaxLength(bytes int64) Requirement {
	return func(r *requirements) { r.maxLength = bytes }
}

// RequireUID requires that the file's owner is this user.
func RequireUID(uid uint32) Requirement { return func(r *requirements) { r.uid = &uid } }

// Verify returns nil if a file that another process has made is what is asked for. Seals stay.
// Without F_SEAL_SHRINK and F_SEAL_GROW the length, and in any case the owner, can change
// afterwards. Seals are checked before anything that asks a file system, which may never answer.
//
// Errors:
//   - EPERM if seals are missing, or the file cannot have any. With [RequireNoSeals]: EISDIR for a
//     directory, ENODEV for anything else that is not a regular file.
//   - ENXIO if it is shorter than asked, EFBIG if it is longer.
//   - EACCES if it belongs to another user, or is not open for reading.
//   - EINVAL for requirements that are unknown or contradict each other, or a nil file.
//   - os.ErrClosed for a closed file.
func Verify(f *os.File, wanted ...Requirement) error {
	r, err := newRequirements(wanted)
	if err != nil {
		return err
	}
	return lent(f, func(fd int) error { return verify(fd, r) })
}

// lent calls use with a file's number, which stands for that file until use returns, also if
// another closes the file. Unlike File.Fd it leaves the file as it is: with its deadlines, if it
// has any.
func lent(f *os.File, use func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return &Error{"file", syscall.EINVAL, "the file is nil"}
	}
	var failure error
	if err := conn.Control(func(fd uintptr) { failure = use(int(fd)) }); err != nil {
		return isClosed("file", fmt.Sprintf("the file %q is closed", f.Name()))
	}
	return failure
}
