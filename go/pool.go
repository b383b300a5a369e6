package bytefd

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// Pool lends files to scans. From some kilobytes on that costs less than a new sealed file. Most
// descriptors that a pool lends have no seals, so do not rely on seals.
//
// A trust domain is code whose parts are allowed to see each other's content. Make one pool for
// each trust domain. Pools share nothing.
//
// Any goroutine may call the methods at any time, also from within a callback and while another
// goroutine closes the pool. A scan never waits for the callback of another scan.
//
// # What protects one scan from another
//
// Each way to get a file gives its own protection:
//
//   - No pool, [ScanBytes]: a new file. No content of one scan can show in another, whatever the
//     callback keeps. With default options the file is sealed, and nobody can change it; the
//     package documentation lists the exceptions.
//   - [PoolNewFiles]: a new file on a file system in memory that belongs to the pool. It is a
//     sealed memfd instead where that costs less or the content does not fit. No content of one
//     scan can show in another, whatever the callback keeps, unless it takes the pool's own
//     descriptors (see below). A file of that file system is not sealed, but its descriptor is open
//     through a read-only mount. So the borrower cannot write to the file, change its mode, open it
//     for writing, map it shared for writing, or link it.
//   - [PoolReuse]: a cached file of mode 0400. The callback gets a descriptor of it that is open
//     for reading only. Before the pool lends the file again, the kernel must prove that nobody
//     else has it open or mapped, by a write lease (fcntl(2)). Its length, mode, owner, times and
//     attributes must also be as before. Otherwise the pool drops the file and counts it. A
//     callback can keep a duplicate, a mapping or a reopened descriptor, or leave a child that has
//     the file. The pool then does not use that file again. What was kept goes on showing the
//     content of that scan. A scan does not see content of an earlier one, not even past the end.
//     The warning below lists what the proof does not detect.
//   - [PoolAuto], the default: a cached file or, from 64 KiB on, a new file where that costs less
//     on this host. It promises what PoolReuse promises.
//   - PoolReuse or PoolAuto with [WrapTrustCallback]: the pool's own descriptor of a cached file,
//     open for reading and writing, without a proof. The callback promises to keep nothing and to
//     change nothing. This protects against nothing: a callback that breaks the promise sees and
//     changes later scans of trusted callbacks. If it truncates the file during a later scan, that
//     scan can end in a SIGBUS. The pool resets the file offset and the status flags, but not
//     locks, leases and the close-on-exec flag. It never lends such a file to a callback that is
//     not trusted.
//
// Warning: do not use [WrapTrustCallback] for a scanner in another process, or for one that is
// abandoned at a deadline.
//
// Warning: the proof does not detect the following. Code that keeps or does one of these can read
// later scans and, except for the first item, change them. Callbacks that do such things need
// [PoolNewFiles] or no pool:
//
//   - Pages in flight, to which a pipe, socket or device refers without a descriptor. They come
//     from vmsplice(2) of a mapping and from zero-copy sends (MSG_ZEROCOPY). Before Linux 6.6 they
//     also come from splice(2) and sendfile(2) of the descriptor. io.Copy from the lent *os.File to
//     a socket or pipe calls one of these. From Linux 6.6 on, splice and sendfile copy the bytes,
//     because the lent descriptor has O_DIRECT, unless the callback clears that flag. In spite of
//     O_DIRECT, reads need no alignment.
//   - Things through which the file can be opened later: an O_PATH descriptor, and for root a file
//     handle (open_by_handle_at(2)) or a mark of fanotify(7). Events of such a mark bring
//     descriptors. Reads through a descriptor that was opened or received in such a way are never
//     detected. A change through it is detected only after the scan in which it was made; the pool
//     then drops the file.
//   - The pool's own descriptors, whose numbers are in /proc/self/fd. PoolNewFiles does not prevent
//     that: use no pool.
//   - Pages of a mapping for writing that the callback has pinned, for example as registered
//     buffers of io_uring. Only a privileged callback can map the file for writing unseen. Others
//     must change its mode first, which the pool sees.
//   - Before Linux 6.13, a change of the mode that the callback makes in the first milliseconds of
//     a scan and takes back. The time of the last change is too coarse to show it. While the mode
//     is changed, the callback can map the file for writing and pin pages.
//
// # Hosts and memory
//
// If the host has no memfd or no /proc, or refuses leases, every scan has a new file, as without a
// pool.
//
// The file system for new files needs Linux 5.12, and the right either to mount or to create a user
// namespace. Containers often refuse that; PoolAuto then does without it. A child process makes the
// file system in a few milliseconds and has ended when the call returns. The program sees nothing
// of that child. PoolAuto makes the file system once scans of 64 KiB and more have taken 8 ms in
// total.
//
// The garbage collector frees a Pool that nothing refers to any more, but late: call Close. A Pool
// must not be copied.
type Pool struct {
	// Held for reading by every call that uses handle, and for writing by Close. Not held during a
	// callback.
	mu     sync.RWMutex
	handle unsafe.Pointer // nil when closed
}

// PoolOption changes how a pool is made. Options may be given in any order. If two options set the
// same thing, the last one counts.
type PoolOption func(*poolOptions)

type poolOptions struct {
	maxBytes int64
	idle     *time.Duration // nil to keep files until their place is needed
	maxFiles int
	method   Method
}

// PoolMaxFiles limits the number of files for reuse, lent or not. The pool has one descriptor for
// each. The default is 64. Set fewer where RLIMIT_NOFILE is small, so that callbacks can open
// files. If descriptors run out, the pool closes cached files to begin a scan, but cannot do that
// for a callback. EINVAL if n is not 1 to 64.
func PoolMaxFiles(n int) PoolOption { return func(o *poolOptions) { o.maxFiles = n } }

// PoolIdle drops a cached file that was not lent for this time. The pool checks this only when one
// of its methods is called. 0 drops a file at the next use of the pool, instead of lending it
// again. Without this option the pool keeps files until their place is needed. EINVAL if idle is
// negative.
func PoolIdle(idle time.Duration) PoolOption {
	return func(o *poolOptions) { o.idle = &idle }
}

// PoolMethod chooses how the pool provides files, by a constant of type [Method]. The default is
// [PoolAuto].
func PoolMethod(method Method) PoolOption { return func(o *poolOptions) { o.method = method } }

// Method is how a [Pool] provides the file that it lends, for [PoolMethod].
type Method uint32

// The methods, with the values of include/bytefd.h.
const (
	// PoolAuto uses for each size the cheaper method that the host allows. It promises what
	// PoolReuse promises.
	PoolAuto Method = iota + 0x80000020
	// PoolReuse reuses a file after the kernel has proved that nobody else has it open or mapped.
	PoolReuse
	// PoolNewFiles makes a new file for each scan, on a file system in memory that belongs to the
	// pool. Where a sealed memfd costs less, as for a few bytes, the file is a memfd.
	PoolNewFiles
)

// NewPool makes an empty pool. The caller closes it. maxBytes limits the memory of cached files
// that are not lent; 0 caches nothing. maxBytes is also the size of the file system for new files.
// Content that does not fit there gets a memfd.
//
// Errors:
//   - EINVAL if maxBytes is negative, or an option has an invalid value.
//   - EOPNOTSUPP with [PoolNewFiles] if the host refuses a step of making the file system. The
//     error names the step.
func NewPool(maxBytes int, opts ...PoolOption) (*Pool, error) {
	o := &poolOptions{maxBytes: int64(maxBytes), maxFiles: 64}
	for _, set := range opts {
		set(o)
	}
	if maxBytes < 0 {
		return nil, isNegative("maxBytes", maxBytes)
	}
	if o.idle != nil && *o.idle < 0 {
		message := fmt.Sprintf("idle is %v, must not be negative", *o.idle)
		return nil, &Error{"idle", syscall.EINVAL, message}
	}
	if o.maxFiles < 1 || o.maxFiles > 64 {
		message := fmt.Sprintf("max_files is %d, must be 1 to 64", o.maxFiles)
		return nil, &Error{"max_files", syscall.EINVAL, message}
	}
	handle, err := poolCreate(o)
	if err != nil {
		return nil, err
	}
	p := &Pool{handle: handle}
	runtime.SetFinalizer(p, (*Pool).Close)
	return p, nil
}

// ScanBytes calls scan with a descriptor that contains b, as the function [ScanBytes] does, but
// with a file of the pool. It returns the error of scan. [Pool] says what protects one scan from
// another.
//
// The descriptor refers to a regular file that contains exactly b and has no name. It is at offset
// 0, has mode 0400 and is close-on-exec, unless [WrapInherit] is given. A file of the pool is open
// for reading only, unless [WrapTrustCallback] is given. It usually has no seals, so [Verify]
// refuses it. A scan that gets no file of the pool gets a new one, as [WrapBuffer] makes it. The
// pool takes the file back when scan returns, panics or calls runtime.Goexit. scan may close the
// descriptor before, as with the function [ScanBytes]. Calls may be nested; each has its own file.
// If a child process is being started when scan returns, the child also has the file, and the pool
// drops it.
//
// Copying takes longer if b is not anonymous memory, for example if b is the bytes of a [Map] of a
// file.
//
// Allowed options are [WrapName], [WrapSpillThreshold], [WrapInherit], [WrapReadOnly],
// [WrapTrustCallback], and [WrapBackend] with [BackendAuto] or [BackendMemfd]. WrapReadOnly changes
// nothing for a file of the pool. [WrapMaxBytes] and [WrapSizeHint] are for readers and change
// nothing here. Other options are EINVAL, and so is WrapTrustCallback together with WrapInherit or
// WrapReadOnly.
//
// Errors are those of [WrapBuffer]; scan is then not called. EINVAL if scan is nil. The pool closes
// its cached files before it returns EMFILE or ENFILE. After Close the error is os.ErrClosed.
func (p *Pool) ScanBytes(b []byte, scan func(fd int) error, opts ...WrapOption) error {
	if scan == nil {
		return errNoCallback
	}
	o := newWrapOptions(opts)
	return p.scan(scan, func(pool unsafe.Pointer) (int, unsafe.Pointer, error) {
		return scanBegin(b, pool, o)
	})
}

// ScanFile is [Pool.ScanBytes] with an *os.File, which the function [ScanFile] describes.
func (p *Pool) ScanFile(b []byte, scan func(f *os.File) error, opts ...WrapOption) error {
	if scan == nil {
		return errNoCallback
	}
	return p.ScanBytes(b, lendFile(scan, newWrapOptions(opts)), opts...)
}

// ScanBuffers is [Pool.ScanBytes] for content in several slices. The file contains them in their
// order.
func (p *Pool) ScanBuffers(bs [][]byte, scan func(fd int) error, opts ...WrapOption) error {
	if scan == nil {
		return errNoCallback
	}
	o := newWrapOptions(opts)
	return p.scan(scan, func(pool unsafe.Pointer) (int, unsafe.Pointer, error) {
		return scanBeginSegments(bs, pool, o)
	})
}

// ScanReader is [Pool.ScanBytes] for everything that r delivers until io.EOF. [WrapMaxBytes] and
// [WrapSizeHint] take effect here.
//
// Errors are those of [Pool.ScanBytes] and [WrapReader]. As there, r must not keep the slices that
// it is given to fill.
func (p *Pool) ScanReader(r io.Reader, scan func(fd int) error, opts ...WrapOption) error {
	if scan == nil {
		return errNoCallback
	}
	o := newWrapOptions(opts)
	var in streamed
	defer in.release()
	isAll, err := in.begin(r, o)
	if err != nil {
		return err
	}
	var fd int
	var loan unsafe.Pointer
	if b, isWhole := in.whole(); isAll && isWhole {
		fd, loan, err = p.begin(func(pool unsafe.Pointer) (int, unsafe.Pointer, error) {
			return scanBegin(b, pool, o)
		})
	} else if isAll {
		fd, loan, err = p.begin(func(pool unsafe.Pointer) (int, unsafe.Pointer, error) {
			return scanBeginSegments(in.parts[:], pool, o)
		})
	} else {
		err = in.pass(func(reads *passing) (err error) {
			fd, loan, err = p.begin(func(pool unsafe.Pointer) (int, unsafe.Pointer, error) {
				return scanBeginReader(reads, pool, o)
			})
			return err
		})
	}
	if err != nil {
		return err
	}
	defer scanEnd(loan)
	return scan(fd)
}

func (p *Pool) scan(
	scan func(fd int) error, begin func(pool unsafe.Pointer) (int, unsafe.Pointer, error),
) error {
	fd, loan, err := p.begin(begin)
	if err != nil {
		return err
	}
	// The loan keeps what it needs of the pool, which may be closed or collected meanwhile.
	defer scanEnd(loan)
	return scan(fd)
}

func (p *Pool) begin(
	begin func(pool unsafe.Pointer) (int, unsafe.Pointer, error),
) (fd int, loan unsafe.Pointer, err error) {
	err = p.use(func(pool unsafe.Pointer) (err error) {
		fd, loan, err = begin(pool)
		return err
	})
	return fd, loan, err
}

// use calls f with the pool, which stays open and is not collected meanwhile.
func (p *Pool) use(f func(pool unsafe.Pointer) error) error {
	if p == nil {
		return isNil("pool")
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.handle == nil {
		return errPoolClosed
	}
	return f(p.handle)
}

// Trim drops cached files, the longest unused first, until they have at most this many bytes. With
// 0 it also drops the file system for new files; a later scan makes that again. Call it when memory
// is short. Files that are lent are not touched.
//
// Errors: EINVAL if bytes is negative. After Close the error is os.ErrClosed.
func (p *Pool) Trim(bytes int) error {
	return p.use(func(pool unsafe.Pointer) error {
		if bytes < 0 {
			return isNegative("bytes", bytes)
		}
		return poolTrim(pool, bytes)
	})
}

// PoolStats counts what a pool has done since it was made, and says what it holds.
type PoolStats struct {
	// Hits counts scans that were lent a cached file.
	Hits uint64
	// Misses counts scans that got a new file, from any method.
	Misses uint64
	// Dropped counts files that the pool gave up for one of these reasons. Another open file
	// description or mapping of the file existed, or the file was changed while it was lent or
	// cached.
	Dropped uint64
	// Lent is the number of cached files that are lent now. If it is the number that [PoolMaxFiles]
	// allows, further scans get new files that are not cached.
	Lent uint64
	// CachedBytes is the memory, in bytes, of cached files that are not lent.
	CachedBytes uint64
}

// Stats returns the counters of the pool. After Close the error is os.ErrClosed.
func (p *Pool) Stats() (stats PoolStats, err error) {
	err = p.use(func(pool unsafe.Pointer) (err error) {
		stats, err = poolStats(pool)
		return err
	})
	return stats, err
}

// Close frees the pool and its cached files. Scans whose callback has begun go on; their files are
// closed when they end. A second Close does nothing and returns nil.
func (p *Pool) Close() error {
	if p == nil {
		return isNil("pool")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.handle != nil {
		poolClose(p.handle)
		p.handle = nil
		runtime.SetFinalizer(p, nil)
	}
	return nil
}

var errPoolClosed = isClosed("pool", "the pool is closed")

// isNegative returns the error for a parameter or option with a negative value.
func isNegative[N int | int64](name string, value N) error {
	return &Error{name, syscall.EINVAL, fmt.Sprintf("%s is %d, must not be negative", name, value)}
}
