package bytefd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"
)

// NamedOption changes how named memory is made or opened. The default is for reading, and what is made has mode 0600.
// Options may be given in any order and used again; of two that set the same thing the last one counts.
type NamedOption func(*namedOptions)

type namedOptions struct {
	length int64
	mode   fs.FileMode
	write  bool
	owned  bool
	unlink bool
}

// NamedLength sets how many bytes what is made has, zeros at first, with the space reserved; and how many what is
// opened must have at least. EINVAL if negative.
func NamedLength(bytes int64) NamedOption { return func(o *namedOptions) { o.length = bytes } }

// NamedMode sets the permission bits of what is made, whatever the umask says. The default, and the meaning of 0, is
// 0600. Other bits of fs.FileMode are EINVAL.
func NamedMode(mode fs.FileMode) NamedOption { return func(o *namedOptions) { o.mode = mode } }

// NamedWrite opens the file for reading and writing.
func NamedWrite() NamedOption { return func(o *namedOptions) { o.write = true } }

// NamedOwned lets what is made belong to this process: its name says so ([Named.Name] tells the whole name), and
// [Sweep] removes it when the process is gone. For [CreateNamed] only: whoever opens it needs the whole name.
func NamedOwned() NamedOption { return func(o *namedOptions) { o.owned = true } }

// UnlinkOnClose removes the name when [Named.Close] is called, if it still stands for this memory, which lives for as
// long as somebody has it open or mapped.
func UnlinkOnClose() NamedOption { return func(o *namedOptions) { o.unlink = true } }

// Named is memory with a name, shm_overview(7), for all processes that know the name and may. Its methods may be called
// from any goroutine at any time. A Named must not be copied. Call Close: no garbage collector removes the name.
type Named struct {
	file    *os.File
	name    string
	created bool
	unlink  bool
	once    sync.Once
	err     error
}

// CreateNamed makes memory of that name, which there must not be yet. Others see the name when the memory has its
// length and mode. A slash before the name is added if there is none.
//
// Errors: EEXIST; EINVAL for a name that is empty, is "." or "..", has a slash that is not its first byte, or a NUL, or
// is not UTF-8, and for options that make no sense; ENAMETOOLONG above 255 bytes; ENOSPC and EFBIG if there is no room
// for it; ENOENT where there is no /dev/shm, or, for an owner, no /proc; and open(2)'s own.
func CreateNamed(name string, opts ...NamedOption) (*Named, error) {
	o, err := newNamedOptions(opts)
	if err != nil {
		return nil, err
	}
	return named(name, shmCreate, o)
}

// OpenNamed opens what has that name. Its length, mode and content stay as they are.
//
// Errors: ENOENT if there is none; EINVAL and ENAMETOOLONG as [CreateNamed]; ENXIO if it has fewer bytes than asked;
// ENODEV if what has the name is no regular file; EACCES, ELOOP and others of open(2).
func OpenNamed(name string, opts ...NamedOption) (*Named, error) {
	o, err := newNamedOptions(opts)
	if err != nil {
		return nil, err
	}
	return named(name, shmOpen, o)
}

// OpenOrCreateNamed opens what has that name, or makes it if there is none; [Named.Created] tells which.
//
// Errors are those of [OpenNamed] and [CreateNamed].
func OpenOrCreateNamed(name string, opts ...NamedOption) (*Named, error) {
	o, err := newNamedOptions(opts)
	if err != nil {
		return nil, err
	}
	// C does the same in one call, but does not say whether it was made. Somebody may make or remove it in between, but
	// not for ever.
	for {
		n, err := named(name, shmOpen, o)
		if !errors.Is(err, fs.ErrNotExist) {
			return n, err
		}
		n, err = named(name, shmCreate, o)
		if !errors.Is(err, fs.ErrExist) {
			return n, err
		}
	}
}

// UnlinkNamed removes a name. The memory lives for as long as somebody has it open or mapped.
//
// Errors: ENOENT if there is none; EINVAL and ENAMETOOLONG as [CreateNamed]; EACCES and EPERM of unlink(2).
func UnlinkNamed(name string) error { return shmUnlink(name) }

// Sweep removes what killed processes of this user have left, and returns how many: named memory with [NamedOwned],
// files of [Link], segments with [SysvOwned] that nobody has attached, and the names that files of [BackendShm] have
// for a moment. It touches nothing else: not what has no owner, belongs to a process of another container
// (pid_namespaces(7)) or to another user, or whose owner may be alive. (A segment has room for 22 bits that say so: one
// of 4194304 that other programs of this user have left behind looks like it.)
//
// Errors: ENOENT where /proc is not mounted, because nobody can be known to be gone then.
func Sweep() (int, error) { return shmSweep() }

// Name returns the whole name, with its slash, as shm_open(3) takes it.
func (n *Named) Name() string { return n.name }

// Created reports whether this call has made the memory, not found it.
func (n *Named) Created() bool { return n.created }

// File returns the open file, which Close closes.
func (n *Named) File() *os.File { return n.file }

// Close closes the file and, with [UnlinkOnClose], removes the name, unless it stands for something else by now.
// Closing again does nothing and returns what it returned first.
//
// Errors: those of unlink(2).
func (n *Named) Close() error {
	n.once.Do(func() {
		if n.file == nil {
			return
		}
		if n.unlink {
			n.err = n.removeName()
		}
		n.file.Close() // fails if the caller has closed it, which is as well
	})
	return n.err
}

func (n *Named) removeName() error {
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

const (
	shmOpen   = 0
	shmCreate = 1
)

func newNamedOptions(opts []NamedOption) (*namedOptions, error) {
	o := &namedOptions{}
	for _, set := range opts {
		set(o)
	}
	if o.length < 0 {
		return nil, &Error{"options", syscall.EINVAL, fmt.Sprintf("length %d is negative", o.length)}
	}
	return o, nil
}

func named(name string, how uint32, o *namedOptions) (*Named, error) {
	fd, whole, err := shmFile(name, how, o)
	file, err := newFile(fd, whole, err)
	if err != nil {
		return nil, err
	}
	return &Named{file: file, name: whole, created: how == shmCreate, unlink: o.unlink}, nil
}
