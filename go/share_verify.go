package bytefd

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// Requirement is what is asked of a descriptor that somebody else has made. Requirements may be given in any order and
// used again; of two that set the same thing the last one counts. In any case it must be a regular file, opened for
// reading, and, unless [RequireSeals] says otherwise, sealed as [RequireSealed] says.
type Requirement func(*requirements)

type requirements struct {
	length int64
	seals  int
	owner  *uint32
}

// Without these seals content can change or go while it is read: F_SEAL_WRITE|F_SEAL_SHRINK.
const sealedForReading = 0x8 | 0x2

func newRequirements(wanted []Requirement) (*requirements, error) {
	r := &requirements{seals: sealedForReading}
	for _, set := range wanted {
		set(r)
	}
	if r.length < 0 || r.seals < 0 || int(uint32(r.seals)) != r.seals {
		message := fmt.Sprintf("length %d, seals %#x: there are no such", r.length, r.seals)
		return nil, &Error{"requirements", syscall.EINVAL, message}
	}
	return r, nil
}

// RequireSealed asks for seals against writing and shrinking, the default: content that can neither change nor go.
// [Receive] asks for nothing unless it is told to, so that this is the shortest way to tell it.
func RequireSealed() Requirement { return RequireSeals(sealedForReading) }

// RequireSeals asks for at least these seals, F_SEAL_* of fcntl(2), instead of the default ones; 0 for none, and then
// what is read can change or go at any time. More are fine.
func RequireSeals(seals int) Requirement { return func(r *requirements) { r.seals = seals } }

// RequireLength asks for at least so many bytes. EINVAL if negative.
func RequireLength(bytes int64) Requirement { return func(r *requirements) { r.length = bytes } }

// RequireOwner asks for a file that belongs to this user.
func RequireOwner(user uint32) Requirement { return func(r *requirements) { r.owner = &user } }

// Verify returns nil if a file that somebody else has made is what is asked for. What is sealed stays so; without
// F_SEAL_SHRINK the length, and the owner in any case, can be another the moment after.
//
// Errors: EISDIR for a directory, ENODEV for anything else that is not a regular file; EPERM if seals are missing, or
// the file cannot have any; ENXIO if it is shorter than asked; EACCES if it belongs to another user, or was not opened
// for reading; EINVAL for requirements that make no sense. For a closed file the error is os.ErrClosed.
func Verify(f *os.File, wanted ...Requirement) error {
	r, err := newRequirements(wanted)
	if err != nil {
		return err
	}
	return lent(f, func(fd int) error { return verify(fd, r) })
}

// lent calls use with a file's number, which stands for that file until use returns, also if another closes the file.
// Unlike File.Fd it leaves the file as it is: with its deadlines, if it has any.
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

// failed is the error of a system call.
func failed(op string, err error, asked string) error {
	errno := syscall.EIO
	errors.As(err, &errno)
	return &Error{op, errno, asked + ": " + errno.Error()}
}
