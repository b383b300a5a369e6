package bytefd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"
)

// ShmOption changes how an object of shared memory is created or opened. The default opens for
// reading, and creates with mode 0600. Options may be given in any order and used again; of two
// that set the same thing the last one counts.
type ShmOption func(*shmOptions)

type shmOptions struct {
	length   int64
	mode     fs.FileMode
	write    bool
	owned    bool
	anyOwner bool
	unlink   bool
}

// ShmLength sets the size of a new object, zero-filled and preallocated; and the minimum size of
// one that is opened. EINVAL if negative.
func ShmLength(bytes int64) ShmOption { return func(o *shmOptions) { o.length = bytes } }

// ShmMode sets the permission bits of a new object, whatever the umask says. The default, and the
// meaning of 0, is 0600. Other bits of fs.FileMode are EINVAL.
func ShmMode(mode fs.FileMode) ShmOption { return func(o *shmOptions) { o.mode = mode } }

// ShmWrite opens for reading and writing, not for reading only.
func ShmWrite() ShmOption { return func(o *shmOptions) { o.write = true } }

// ShmOwned makes the object owned by those that open it with this option: [Sweep] removes its name
// once none of them has it open or mapped. They share it with a lock on the open file description
// (LOCK_SH, flock(2)), which duplicates, mappings, children and receivers keep, and which the
// kernel ends when the last of them is gone, also after kill -9. A [Shm] that the collector has
// taken is not open any more.
//
// The name begins with "bytefd-owned.". Other processes can open the object by its whole name,
// which [Shm.Name] returns, without this option; a sweep does not see them. A process that calls
// flock(2) on the descriptor itself loses the lock.
func ShmOwned() ShmOption { return func(o *shmOptions) { o.owned = true } }

// ShmAnyOwner opens an object that belongs to any user. Otherwise an object of a user other than
// the effective one and root is EPERM: its owner can change it at any time, and can have created it
// in expectation of this name.
func ShmAnyOwner() ShmOption { return func(o *shmOptions) { o.anyOwner = true } }

// ShmUnlinkOnClose removes the name when [Shm.Close] is called, if it still stands for this object,
// which lives as long as a process has it open or mapped.
func ShmUnlinkOnClose() ShmOption { return func(o *shmOptions) { o.unlink = true } }

// Shm is an open object of shared memory, shm_overview(7). Its methods may be called from any
// goroutine at any time. A Shm must not be copied. Call Close: no garbage collector removes the
// name.
type Shm struct {
	file    *os.File
	name    string
	created bool
	unlink  bool
	once    sync.Once
}

// CreateShm creates an object of this name. There must be none yet. Other processes see the name
// when the object has its length and mode. A slash before the name is added if there is none.
//
// Errors:
//   - EEXIST if there is an object of this name.
//   - EINVAL for a name that is empty, is "." or "..", or has a NUL or a slash that is not its
//     first byte, and for options that are invalid.
//   - ENAMETOOLONG if the name has more than 255 bytes, with "bytefd-owned." if it is owned.
//   - ENOENT where there is no /dev/shm.
//   - ENOSPC if the file system is full, EFBIG above RLIMIT_FSIZE.
//   - Others of open(2).
func CreateShm(name string, opts ...ShmOption) (*Shm, error) {
	o, err := newShmOptions(opts)
	if err != nil {
		return nil, err
	}
	return openShm(name, true, o)
}

// OpenShm opens the object of this name. Its length, mode and content stay as they are.
//
// Errors:
//   - ENOENT if there is none.
//   - EINVAL and ENAMETOOLONG as [CreateShm].
//   - ENXIO if it is smaller than [ShmLength].
//   - EPERM if it belongs to another user; see [ShmAnyOwner].
//   - ENODEV if the name is not that of a regular file.
//   - EACCES, ELOOP and others of open(2).
func OpenShm(name string, opts ...ShmOption) (*Shm, error) {
	o, err := newShmOptions(opts)
	if err != nil {
		return nil, err
	}
	return openShm(name, false, o)
}

// OpenOrCreateShm opens the object of this name, or creates it if there is none; [Shm.Created]
// reports which.
//
// Errors are those of [OpenShm] and [CreateShm].
func OpenOrCreateShm(name string, opts ...ShmOption) (*Shm, error) {
	o, err := newShmOptions(opts)
	if err != nil {
		return nil, err
	}
	// C does the same in one call, but does not say whether it was created. Another process may
	// create or remove it in between, each time again.
	for {
		n, err := openShm(name, false, o)
		if !errors.Is(err, fs.ErrNotExist) {
			return n, err
		}
		n, err = openShm(name, true, o)
		if !errors.Is(err, fs.ErrExist) {
			return n, err
		}
	}
}

// UnlinkShm removes a name. The object lives as long as a process has it open or mapped.
//
// Errors: ENOENT if there is none; EINVAL and ENAMETOOLONG as [CreateShm]; EACCES, EPERM and others
// of unlink(2).
func UnlinkShm(name string) error { return shmUnlink(name) }

// SweepResult says what [Sweep] did.
type SweepResult struct {
	// Removed is the number of names that were removed.
	Removed int
	// InUse is the number of names of this user that a process holds.
	InUse int
	// Failed is the number of names that could not be removed, or not entirely, and of directories
	// that could not be read.
	Failed int
}

// Sweep removes what killed processes of this user have left: objects with [ShmOwned], the files of
// [NewTempFile], and the names that some files have for a moment. It looks into /dev/shm, $TMPDIR,
// /tmp and /var/tmp, goes on after a failure, and counts it.
//
// What a process owns it holds with a shared lock, flock(2), which the kernel ends with the
// process. The sweep removes what it can lock exclusively: names that begin with "bytefd-owned.",
// belong to this user, and have no process that holds them, in any container. It leaves everything
// else alone, and enters nothing that is mounted in a directory that it removes.
//
// The error is nil on Linux.
func Sweep() (SweepResult, error) { return sweep() }

// Name returns the whole name, with its slash, as shm_open(3) takes it.
func (n *Shm) Name() string {
	if n == nil {
		return ""
	}
	return n.name
}

// Created reports whether the object was created, not found.
func (n *Shm) Created() bool { return n != nil && n.created }

// File returns the open file, which Close closes.
func (n *Shm) File() *os.File {
	if n == nil {
		return nil
	}
	return n.file
}

// Close closes the file and, with [ShmUnlinkOnClose], removes the name, unless it stands for
// something else by now. Closing again does nothing and returns nil. For a nil Shm it returns
// os.ErrInvalid.
//
// Errors: those of unlink(2).
func (n *Shm) Close() (err error) {
	if n == nil {
		return os.ErrInvalid
	}
	n.once.Do(func() {
		if n.file == nil {
			return
		}
		if n.unlink {
			err = n.removeName()
		}
		n.file.Close() // fails if the caller has closed it, which is as well
	})
	return err
}

func (n *Shm) removeName() error {
	ours, err := n.file.Stat()
	if err != nil {
		return nil // the caller has closed the file; nobody knows any more what the name stands for
	}
	theirs, err := os.Lstat("/dev/shm" + n.name)
	if err != nil || !os.SameFile(ours, theirs) {
		return nil
	}
	if err := shmUnlink(n.name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func newShmOptions(opts []ShmOption) (*shmOptions, error) {
	o := &shmOptions{}
	for _, set := range opts {
		set(o)
	}
	if o.length < 0 {
		return nil, &Error{"options", syscall.EINVAL,
			fmt.Sprintf("length %d is negative", o.length)}
	}
	return o, nil
}

func openShm(name string, create bool, o *shmOptions) (*Shm, error) {
	fd, whole, err := shmFile(name, create, o)
	file, err := newFile(fd, whole, err)
	if err != nil {
		return nil, err
	}
	return &Shm{file: file, name: whole, created: create, unlink: o.unlink}, nil
}
