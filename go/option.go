package bytefd

import (
	"fmt"
	"io/fs"
	"math"
	"syscall"
)

// WrapOption changes how a descriptor is made, whatever its bytes come from and whether it is given
// away or lent. Options may be given in any order and used again; of two that set the same thing
// the last one counts. Options that contradict each other are EINVAL.
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

// newWrapOptions takes and returns values: what an option had a pointer to would go to the heap.
func newWrapOptions(opts []WrapOption) wrapOptions {
	o := wrapOptions{spillThreshold: math.MaxInt64, maxBytes: math.MaxInt64}
	for _, set := range opts {
		o = set(o)
	}
	return o
}

// check refuses what C has no number for.
func (o wrapOptions) check() error {
	switch {
	case o.spillThreshold <= 0:
		return isNotPositive("spill_threshold", o.spillThreshold)
	case o.maxBytes <= 0:
		return isNotPositive("max_bytes", o.maxBytes)
	case o.sizeHint < 0:
		message := fmt.Sprintf("size_hint is %d, must not be negative", o.sizeHint)
		return &Error{"size_hint", syscall.EINVAL, message}
	}
	return nil
}

func isNotPositive(option string, value int64) error {
	return &Error{option, syscall.EINVAL,
		fmt.Sprintf("%s is %d, must be more than 0", option, value)}
}

// fileName is what File.Name answers for a descriptor made with these options.
func (o wrapOptions) fileName() string {
	if !o.hasName {
		return "bytefd"
	}
	return o.name
}

// The flags of include/bytefd.h; a value that differs there does not compile.
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

// WrapName sets the label that shows in /proc/self/fd, /proc/self/maps and os.File.Name: 1 to 200
// bytes without slash, newline and NUL, otherwise EINVAL. It need not be unique. A [Pool] keeps a
// file's name, and lends it for that name again. Memory files alone show it. The default is
// "bytefd".
func WrapName(name string) WrapOption {
	return func(o wrapOptions) wrapOptions {
		o.name, o.hasName = name, true
		return o
	}
}

// WrapMode sets the permission bits of the file. The owner's read bit must be set, execute bits are
// allowed with [WrapExecutable] only, and no other bits of fs.FileMode; otherwise EINVAL. 0 stands
// for the default: 0400, with [WrapWritable] 0600, with [WrapExecutable] 0500, with both 0700.
func WrapMode(mode fs.FileMode) WrapOption {
	return func(o wrapOptions) wrapOptions {
		o.mode = mode
		return o
	}
}

// WrapBackend chooses what kind of file lies behind the descriptor. The default is [BackendAuto].
func WrapBackend(backend Backend) WrapOption {
	return func(o wrapOptions) wrapOptions {
		o.backend = backend
		return o
	}
}

// WrapWritable makes a read-write descriptor of a file without seals, mode 0600: content and size
// can be changed, and seals added later. (Where vm.memfd_noexec is 2 the kernel itself adds
// F_SEAL_EXEC.) Not with [WrapReadOnly] or [WrapSealContent].
func WrapWritable() WrapOption { return withFlag(flagWritable) }

// WrapReadOnly opens the descriptor O_RDONLY, for code that looks at the access mode. It is sealed
// all the same. Needs /proc.
func WrapReadOnly() WrapOption { return withFlag(flagReadOnly) }

// WrapExecutable makes a file that can be executed, mode 0500. Without it execve(2) of the file is
// refused, for good where the kernel can seal it (Linux 6.3). That is all that is refused: a
// PROT_EXEC mapping of any file still works. A script needs [WrapInherit] too: its interpreter
// opens it after close-on-exec has taken effect.
//
// dlopen(3) of "/proc/self/fd/N", through cgo, remembers that name. If the descriptor is closed,
// and a later file gets the number N, dlopen of it returns the first object again. Keep the file
// open for as long as the object may be loaded.
func WrapExecutable() WrapOption { return withFlag(flagExecutable) }

// WrapSpillThreshold puts content of more than n bytes into an unlinked file on disk, in $TMPDIR,
// /tmp or /var/tmp, instead of memory. Such a file cannot be sealed: its descriptor is open for
// reading only, and it is never a [Pool]'s. EINVAL if n is not positive, and with [BackendMemfd]
// and [WrapSealContent].
func WrapSpillThreshold(n int64) WrapOption {
	return func(o wrapOptions) wrapOptions {
		o.spillThreshold = n
		return o
	}
}

// WrapMaxBytes limits what is read from a reader: more bytes are EFBIG. EINVAL if n is not
// positive. Slices have no limit.
func WrapMaxBytes(n int64) WrapOption {
	return func(o wrapOptions) wrapOptions {
		o.maxBytes = n
		return o
	}
}

// WrapSizeHint tells how many bytes a reader is expected to deliver, such as a Content-Length: the
// choice of a buffer to begin with, and of a file for more than 1 MiB. The reader may deliver more
// or less. EINVAL if n is negative.
func WrapSizeHint(n int64) WrapOption {
	return func(o wrapOptions) wrapOptions {
		o.sizeHint = n
		return o
	}
}

// WrapInherit leaves out close-on-exec: every program that this process starts from now on, by any
// goroutine, has the descriptor under the same number. They share one offset. [Attach] gives bytes
// to one child only.
func WrapInherit() WrapOption { return withFlag(flagInherit) }

// WrapSealContent seals exactly writing, growing and shrinking
// (F_SEAL_WRITE|F_SEAL_GROW|F_SEAL_SHRINK, 0xe), so that further seals can be added. Only a memfd
// can be sealed: [BackendAuto] means [BackendMemfd] here, others are EINVAL.
func WrapSealContent() WrapOption { return withFlag(flagSealContent) }

// WrapTrustCallback lends the kept file of a [Pool] itself: the callback promises to keep nothing
// and to change nothing. For [Pool.ScanBytes] only; what it means for protection stands at [Pool].
// EINVAL with a pool of [PoolNewFiles].
func WrapTrustCallback() WrapOption { return withFlag(flagTrustCallback) }

// Backend is what kind of file lies behind a descriptor.
type Backend uint32

// The backends, with the values of include/bytefd.h.
const (
	// BackendAuto is the first of the following that this host offers, in their order. Running out
	// of something (descriptors, memory, space) is an error and does not lead to the next.
	BackendAuto Backend = iota + 0x80000010
	// BackendMemfd is memfd_create(2), Linux 3.17: no name, no limit but memory, and the only one
	// that can be sealed.
	BackendMemfd
	// BackendShm is a file without a name on the tmpfs at /dev/shm, where shm_open(3) makes its
	// own, limited by that file system's size. Where that knows no O_TMPFILE the file has an
	// unguessable name until the first byte is written, which [Sweep] removes if the process is
	// killed just then.
	BackendShm
	// BackendTmpFile is open(2) with O_TMPFILE, Linux 3.11: without a name in $TMPDIR, /tmp or
	// /var/tmp, usually on disk.
	BackendTmpFile
)
