package bytefd

import "io/fs"

// Option changes how a descriptor is made. Options may be given in any order and used again; of two that set the same
// thing the last one counts. Options that contradict each other are EINVAL.
type Option func(*wrapOptions)

type wrapOptions struct {
	name    *string
	flags   uint32
	backend Backend
	mode    fs.FileMode
}

// noOptions is never changed.
var noOptions wrapOptions

func newWrapOptions(opts []Option) *wrapOptions {
	if len(opts) == 0 {
		return &noOptions
	}
	o := &wrapOptions{}
	for _, set := range opts {
		set(o)
	}
	return o
}

// fileName is what File.Name answers for a descriptor made with these options.
func (o *wrapOptions) fileName() string {
	if o.name == nil {
		return "bytefd"
	}
	return *o.name
}

// The flags of include/bytefd.h; a value that differs there does not compile.
const (
	flagWritable      = 1
	flagReadOnly      = 2
	flagExecutable    = 4
	flagInherit       = 8
	flagSealContent   = 16
	flagTrustCallback = 32
)

func withFlag(flag uint32) Option { return func(o *wrapOptions) { o.flags |= flag } }

// WithName sets the label that shows in /proc/self/fd, /proc/self/maps and os.File.Name: 1 to 200 bytes without slash,
// newline and NUL, otherwise EINVAL. It need not be unique. Files of [BackendShm] show 160 bytes of it at least, those
// of [BackendTmpFile] none. The default is "bytefd".
func WithName(name string) Option { return func(o *wrapOptions) { o.name = &name } }

// WithMode sets the permission bits of the file. The owner's read bit must be set, execute bits are allowed with
// [Executable] only, and no other bits of fs.FileMode; otherwise EINVAL. 0 stands for the default: 0400, with [Writable]
// 0600, with [Executable] 0500, with both 0700.
func WithMode(mode fs.FileMode) Option { return func(o *wrapOptions) { o.mode = mode } }

// WithBackend chooses what kind of file lies behind the descriptor. The default is [BackendAuto].
func WithBackend(backend Backend) Option { return func(o *wrapOptions) { o.backend = backend } }

// Writable makes a read-write descriptor of a file without seals, mode 0600: content and size can be changed, and seals
// added later. (Where vm.memfd_noexec is 2 the kernel itself adds F_SEAL_EXEC.) Not with [ReadOnly] or [SealContent].
func Writable() Option { return withFlag(flagWritable) }

// ReadOnly opens the descriptor O_RDONLY, for code that looks at the access mode. It is sealed all the same. Needs /proc.
func ReadOnly() Option { return withFlag(flagReadOnly) }

// Executable makes a file that can be executed and mapped executable, mode 0500. Without it the kernel refuses execution
// for good where it can (Linux 6.3). A script needs [Inherit] too: its interpreter opens it after close-on-exec.
func Executable() Option { return withFlag(flagExecutable) }

// Inherit leaves out close-on-exec: every program that this process starts from now on, by any goroutine, has the
// descriptor under the same number.
func Inherit() Option { return withFlag(flagInherit) }

// SealContent seals exactly writing, growing and shrinking (F_SEAL_WRITE|F_SEAL_GROW|F_SEAL_SHRINK, 0xe), so that
// further seals can be added. Only a memfd can be sealed: [BackendAuto] means [BackendMemfd] here, others are EINVAL.
func SealContent() Option { return withFlag(flagSealContent) }

// TrustCallback lends the kept file of a [Pool] itself: the callback promises to keep nothing and to change nothing. For
// [Pool.ScanBytes] only; what it means for protection stands at [Pool].
func TrustCallback() Option { return withFlag(flagTrustCallback) }

// Backend is what kind of file lies behind a descriptor.
type Backend uint32

// The backends, with the values of include/bytefd.h.
const (
	// BackendAuto is the first of the following that this host offers, in their order. Running out of something
	// (descriptors, memory, space) is an error and does not lead to the next.
	BackendAuto Backend = iota
	// BackendMemfd is memfd_create(2), Linux 3.17: no name, no limit but memory, and the only one that can be sealed.
	BackendMemfd
	// BackendShm is shm_open(3): on the tmpfs at /dev/shm and limited by its size. The name is unguessable and removed
	// before the first byte is written.
	BackendShm
	// BackendTmpfile is open(2) with O_TMPFILE, Linux 3.11: without a name in $TMPDIR, /tmp or /var/tmp, usually on disk.
	BackendTmpfile
)
