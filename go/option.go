package bytefd

import (
	"fmt"
	"io/fs"
	"math"
	"syscall"
)

// WrapOption changes how a file is made. Unless an option says otherwise, it works for slices and
// for readers, and for files that the caller gets ([WrapBuffer], [Attach]) as well as for files
// that are lent ([ScanBytes]). [Pool.ScanBytes] lists those that a pool allows. Options may be
// given in any order and used again. If two options set the same thing, the last one counts.
// Options that contradict each other are EINVAL.
type WrapOption func(wrapOptions) wrapOptions

type wrapOptions struct {
	name           string
	hasName        bool
	flags          uint64
	backend        Backend
	mode           fs.FileMode
	spillThreshold int64 // math.MaxInt64 for no limit
	maxBytes       int64 // the same
	sizeHint       int64
}

// newWrapOptions takes and returns values: a pointer that is passed to an option would move the
// options to the heap.
func newWrapOptions(opts []WrapOption) wrapOptions {
	o := wrapOptions{spillThreshold: math.MaxInt64, maxBytes: math.MaxInt64}
	for _, set := range opts {
		o = set(o)
	}
	return o
}

// check refuses values that C has no number for.
func (o wrapOptions) check() error {
	switch {
	case o.spillThreshold <= 0:
		return isNotPositive("spill_threshold", o.spillThreshold)
	case o.maxBytes <= 0:
		return isNotPositive("max_bytes", o.maxBytes)
	case o.sizeHint < 0:
		return isNegative("size_hint", o.sizeHint)
	}
	return nil
}

func isNotPositive(option string, value int64) error {
	return &Error{option, syscall.EINVAL,
		fmt.Sprintf("%s is %d, must be at least 1", option, value)}
}

// fileName returns what File.Name returns for a file that is made with these options.
func (o wrapOptions) fileName() string {
	if !o.hasName {
		return "bytefd"
	}
	return o.name
}

// The flags of include/bytefd.h. The package does not compile if a value differs there.
const (
	flagInherit       = 1 << 0
	flagWritable      = 1 << 2
	flagReadOnly      = 1 << 3
	flagExecutable    = 1 << 4
	flagSealContent   = 1 << 5
	flagTrustCallback = 1 << 6
)

func withFlag(flag uint64) WrapOption {
	return func(o wrapOptions) wrapOptions {
		o.flags |= flag
		return o
	}
}

// WrapName sets the label that /proc/self/fd, /proc/self/maps and os.File.Name show. The default is
// "bytefd". The label need not be unique. Only a memfd shows it in /proc.
//
// A name has 1 to 200 bytes without slash, newline and NUL; anything else is EINVAL. A cached file
// of a [Pool] keeps its name, so the pool lends it again only for the same name.
func WrapName(name string) WrapOption {
	return func(o wrapOptions) wrapOptions {
		o.name, o.hasName = name, true
		return o
	}
}

// WrapMode sets the permission bits of the file. The default, and the meaning of 0, is 0400. With
// [WrapWritable] the default is 0600, with [WrapExecutable] 0500, with both 0700.
//
// EINVAL if the owner's read bit is missing, if an execute bit is set without [WrapExecutable], or
// if other bits of fs.FileMode are set.
func WrapMode(mode fs.FileMode) WrapOption {
	return func(o wrapOptions) wrapOptions {
		o.mode = mode
		return o
	}
}

// WrapBackend chooses the kind of file behind the descriptor. The default is [BackendAuto].
func WrapBackend(backend Backend) WrapOption {
	return func(o wrapOptions) wrapOptions {
		o.backend = backend
		return o
	}
}

// WrapWritable makes a file without seals, of mode 0600, whose descriptor is open for reading and
// writing. Content and size can be changed, and seals added later. If vm.memfd_noexec is 2, the
// kernel itself adds F_SEAL_EXEC. EINVAL with [WrapReadOnly] or [WrapSealContent].
func WrapWritable() WrapOption { return withFlag(flagWritable) }

// WrapReadOnly opens the descriptor for reading only (O_RDONLY), for code that looks at the access
// mode. The file has the same seals as without this option. Needs /proc.
func WrapReadOnly() WrapOption { return withFlag(flagReadOnly) }

// WrapExecutable makes a file that can be executed, of mode 0500. Without this option execve(2) of
// the file is refused; a PROT_EXEC mapping still works. On Linux 6.3 and later a seal (F_SEAL_EXEC)
// makes the refusal permanent. [WrapWritable] and [WrapSealContent] leave that seal out.
//
// A script needs [WrapInherit] too: its interpreter opens the script after close-on-exec has taken
// effect.
//
// dlopen(3) of "/proc/self/fd/N", called through cgo, remembers that name. If the descriptor is
// closed and a later file gets the number N, dlopen of that file returns the first object again.
// Keep the file open as long as the object may be loaded.
func WrapExecutable() WrapOption { return withFlag(flagExecutable) }

// WrapSpillThreshold puts content of more than n bytes into an unlinked file on disk instead of
// memory. The file is in $TMPDIR, /tmp or /var/tmp. It cannot be sealed: its descriptor is open for
// reading only, unless [WrapWritable] is given. A [Pool] does not keep it.
//
// Set it where a memory cgroup limits the process. Content in memory counts for the cgroup, and the
// kernel kills a process that copies beyond the limit; no error is returned.
//
// EINVAL if n is not positive, and with [BackendMemfd] or [WrapSealContent].
func WrapSpillThreshold(n int64) WrapOption {
	return func(o wrapOptions) wrapOptions {
		o.spillThreshold = n
		return o
	}
}

// WrapMaxBytes sets the maximum number of bytes to read from a reader. A reader that delivers more
// is EFBIG. By default there is no limit. The option does not limit slices. EINVAL if n is not
// positive.
func WrapMaxBytes(n int64) WrapOption {
	return func(o wrapOptions) wrapOptions {
		o.maxBytes = n
		return o
	}
}

// WrapSizeHint sets the number of bytes that a reader is expected to deliver, such as a
// Content-Length. The library chooses the size of the first buffer by it. The reader may deliver
// more or less. EINVAL if n is negative.
//
// A hint above both 1 MiB and the threshold of [WrapSpillThreshold] puts the file on disk. With a
// pool, a hint above 1 MiB chooses a cached file of about this size.
func WrapSizeHint(n int64) WrapOption {
	return func(o wrapOptions) wrapOptions {
		o.sizeHint = n
		return o
	}
}

// WrapInherit makes a descriptor that is not close-on-exec. Every program that this process starts
// from now on, from any goroutine, has the descriptor under the same number. All of them share one
// file offset, and each keeps the content alive.
//
// Warning: do not use WrapInherit to give content to one child. In a program that starts several
// children at once, children also get the content that is meant for others. In a trial, 159 of 160
// children saw more than one upload. Use [Attach], which gives each child its own file.
func WrapInherit() WrapOption { return withFlag(flagInherit) }

// WrapSealContent leaves out F_SEAL_SEAL, so that further seals can be added. The content and the
// size are sealed as without this option; the set of seals is not. The file has the seals
// F_SEAL_WRITE, F_SEAL_GROW and F_SEAL_SHRINK (0xe) and no others, except that the kernel itself
// adds F_SEAL_EXEC if vm.memfd_noexec is 2. Only a memfd can be sealed: [BackendAuto] then means
// [BackendMemfd], and other backends are EINVAL.
func WrapSealContent() WrapOption { return withFlag(flagSealContent) }

// WrapTrustCallback makes a [Pool] lend its own descriptor of a cached file, which is open for
// reading and writing. The pool skips the proof that nobody else has the file. The callback
// promises to keep nothing and to change nothing. See "What protects one scan from another" at
// [Pool].
//
// Warning: never use it for an engine in another process, or for an engine with a deadline. An
// engine that is late reads the file after the callback has returned. The file can then have the
// content of the next scan, and the late answer is about that content. In a trial, 12 of 12 late
// answers belonged to the next upload.
//
// For scans with a pool only. EINVAL without a pool, and with a pool of [PoolNewFiles].
func WrapTrustCallback() WrapOption { return withFlag(flagTrustCallback) }

// Backend is the kind of file behind a descriptor.
type Backend uint32

// The backends, with the values of include/bytefd.h.
const (
	// BackendAuto is the first of the following backends that the host offers, in their order.
	// Running out of descriptors, memory or space is an error and does not lead to the next
	// backend.
	BackendAuto Backend = iota + 0x80000010
	// BackendMemfd is memfd_create(2), Linux 3.17: a file in memory without a name. Only its files
	// can be sealed. Only memory and RLIMIT_FSIZE limit its size.
	BackendMemfd
	// BackendShm is a file without a name on the tmpfs at /dev/shm, where shm_open(3) makes its
	// files. The size of that tmpfs limits the file. [CreateShm] makes an object with a name
	// instead. If the tmpfs does not know O_TMPFILE, the file has an unguessable name until its
	// first byte is written. If the process is killed in that moment, [Sweep] removes the name.
	BackendShm
	// BackendTmpFile is open(2) with O_TMPFILE, Linux 3.11: a file without a name in $TMPDIR, /tmp
	// or /var/tmp, usually on disk. [NewTempFile] makes a file with a name instead.
	BackendTmpFile
)
