package bytefd

import (
	"errors"
	"io/fs"
	"os"
	"sync"
)

// ShmOption changes how an object of shared memory is created or opened. By default an object, also
// a new one, is opened for reading; a new one has mode 0600. Options may be given in any order and
// used again. If two options set the same thing, the last one counts.
type ShmOption func(*shmOptions)

type shmOptions struct {
	length   int64
	mode     fs.FileMode
	write    bool
	owned    bool
	anyOwner bool
	unlink   bool
}

// ShmLength sets the size of a new object, which is zero-filled and preallocated. An object that
// exists keeps its size; a smaller one is ENXIO. The default is 0. EINVAL if bytes is negative.
func ShmLength(bytes int64) ShmOption { return func(o *shmOptions) { o.length = bytes } }

// ShmMode sets the permission bits of a new object, independent of the umask. The default, and the
// meaning of 0, is 0600. Other bits of fs.FileMode are EINVAL.
func ShmMode(mode fs.FileMode) ShmOption { return func(o *shmOptions) { o.mode = mode } }

// ShmWrite opens the object for reading and writing instead of reading only.
func ShmWrite() ShmOption { return func(o *shmOptions) { o.write = true } }

// ShmOwned lets [Sweep] remove the name of the object once no process that opened it with this
// option has it open or mapped. It has nothing to do with the user who owns the object;
// [ShmAnyOwner] is about that user.
//
// Each such process has a shared lock on its open file description (LOCK_SH, flock(2)). Duplicates,
// mappings, children and receivers keep the lock. The kernel ends it with the last of them, also
// after kill -9. A process loses the lock if it calls flock(2) on the descriptor. It also loses the
// lock when the garbage collector frees its [Shm], unless a duplicate or a mapping is left.
//
// After its slash, the full name begins with "bytefd-owned.", which the library adds to every name
// that is given with this option. Other processes can open the object without this option, by its
// full name ([Shm.Name]). Sweep does not count such a process: it can remove the name while the
// process has the object open.
func ShmOwned() ShmOption { return func(o *shmOptions) { o.owned = true } }

// ShmAnyOwner opens an object that belongs to any user. Without it an object is EPERM unless its
// owner is the effective user or root. Another owner can change the object at any time, and can
// have created it in expectation of this name.
func ShmAnyOwner() ShmOption { return func(o *shmOptions) { o.anyOwner = true } }

// ShmUnlinkOnClose makes [Shm.Close] remove the name, if the name still refers to this object. The
// object exists as long as a process has it open or mapped.
func ShmUnlinkOnClose() ShmOption { return func(o *shmOptions) { o.unlink = true } }

// Shm is an open object of shared memory, shm_overview(7). To map it, pass [Shm.File] to [MapFD].
// Any goroutine may call the methods at any time. Call Close: with [ShmUnlinkOnClose] it removes
// the name, which the garbage collector never does. A Shm must not be copied.
type Shm struct {
	file    *os.File
	name    string
	created bool
	unlink  bool
	once    sync.Once
}

// CreateShm creates an object with this name. Other processes see the name only after the object
// has its length and mode. A missing slash before the name is added.
//
// Errors:
//   - EEXIST if an object with this name exists.
//   - EFBIG if the length exceeds RLIMIT_FSIZE.
//   - EINVAL if options are invalid, or the name is empty, "." or "..".
//   - EINVAL if the name has a NUL, or a slash that is not its first byte.
//   - ENAMETOOLONG if the name has more than 255 bytes, including the "bytefd-owned." that
//     [ShmOwned] adds.
//   - ENOENT if there is no /dev/shm.
//   - ENOSPC if the file system is full.
//   - Others of open(2).
func CreateShm(name string, opts ...ShmOption) (*Shm, error) {
	o, err := newShmOptions(opts)
	if err != nil {
		return nil, err
	}
	return openShm(name, true, o)
}

// OpenShm opens the object with this name. Its length, mode and content do not change.
//
// Errors:
//   - EINVAL and ENAMETOOLONG as for [CreateShm].
//   - ENODEV if the name is not that of a regular file.
//   - ENOENT if the object does not exist.
//   - ENXIO if the object is smaller than [ShmLength].
//   - EPERM if the owner of the object is neither the effective user nor root; see [ShmAnyOwner].
//   - EACCES, ELOOP and others of open(2).
func OpenShm(name string, opts ...ShmOption) (*Shm, error) {
	o, err := newShmOptions(opts)
	if err != nil {
		return nil, err
	}
	return openShm(name, false, o)
}

// OpenOrCreateShm opens the object with this name, or creates it if it does not exist.
// [Shm.Created] reports which.
//
// Errors are those of [OpenShm] and [CreateShm].
func OpenOrCreateShm(name string, opts ...ShmOption) (*Shm, error) {
	o, err := newShmOptions(opts)
	if err != nil {
		return nil, err
	}
	// C does both in one call, but does not say which. Another process can create or remove the
	// object between the two attempts, each time again.
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

// UnlinkShm removes a name. For an object with [ShmOwned] that is the full name, as [Shm.Name]
// returns it. The object exists as long as a process has it open or mapped.
//
// Errors: EINVAL and ENAMETOOLONG as for [CreateShm]. ENOENT if the name does not exist. EACCES,
// EPERM and others of unlink(2).
func UnlinkShm(name string) error { return shmUnlink(name) }

// SweepResult counts what [Sweep] did.
type SweepResult struct {
	// Removed is the number of names that were removed.
	Removed int
	// InUse is the number of names of this user that a process still holds.
	InUse int
	// Failed is the number of names that could not be removed, including directories that could
	// only be emptied in part, plus the number of directories that Sweep could not look into.
	Failed int
}

// Sweep removes what killed processes of this user have left. These are objects with [ShmOwned],
// files of [NewTempFile], and names that some files have for a moment. It looks into /dev/shm,
// $TMPDIR, /tmp and /var/tmp. After a failure it goes on and counts the failure.
//
// A process holds what it owns with a shared lock, flock(2), which the kernel ends with the
// process. Sweep removes names that begin with "bytefd-owned.", belong to this user, and can be
// locked exclusively: no process holds them, in any container. It leaves everything else alone. It
// does not enter a file system that is mounted in a directory that it removes.
//
// With cgo on Linux the error is always nil, because failures are counted in [SweepResult].
func Sweep() (SweepResult, error) { return sweep() }

// Name returns the full name with its slash, as shm_open(3) takes it.
func (n *Shm) Name() string {
	if n == nil {
		return ""
	}
	return n.name
}

// Created reports whether the object was created, as opposed to opened.
func (n *Shm) Created() bool { return n != nil && n.created }

// File returns the open file itself, not a duplicate. Close closes it. Do not close it before:
// [ShmUnlinkOnClose] could then not remove the name.
func (n *Shm) File() *os.File {
	if n == nil {
		return nil
	}
	return n.file
}

// Close closes the file. With [ShmUnlinkOnClose] it removes the name, unless that refers to another
// object by now. A second Close does nothing and returns nil.
//
// Errors: those of unlink(2).
func (n *Shm) Close() (err error) {
	if n == nil {
		return isNil("shm")
	}
	n.once.Do(func() {
		if n.file == nil {
			return
		}
		if n.unlink {
			err = n.removeName()
		}
		n.file.Close() // fails if the caller has closed the file already
	})
	return err
}

func (n *Shm) removeName() error {
	ours, err := n.file.Stat()
	if err != nil {
		return nil // the caller has closed the file, so the name cannot be compared with it
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
		return nil, isNegative("length", o.length)
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
