package bytefd

import (
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// Pool lends files for a fraction of what a new sealed file costs. Make one for each trust domain;
// nothing is shared between pools. Its methods may be called from any goroutine at any time, also
// from within a callback and while another closes the pool, and a scan never waits for another
// scan's callback.
//
// # What protects one scan from another
//
// Where the file comes from, and what that protects against:
//
//   - A new, sealed file, [ScanBytes]: nothing of one scan can ever show in another, whatever the
//     callback keeps, and nobody can change what is scanned.
//   - [PoolNewFiles]: a new file on a file system in memory that belongs to the pool. Nothing of
//     one scan can ever show in another, whatever the callback keeps. The descriptor is not sealed,
//     but open through a read-only mount: the borrower cannot write to the file, change its mode,
//     open it for writing, map it shared for writing or link it.
//   - [PoolReuse]: the callback is lent a read-only description of a kept file, which has mode 0400
//     but is not sealed. Before the file is used again, the kernel is asked to prove that nobody
//     has it open or mapped, and its length, mode, owner, times and attributes must be what they
//     were. Otherwise the file is dropped, and counted. A callback that keeps a duplicate, a
//     mapping or a description of its own, or a child that has it, keeps that file and sees its
//     content unchanged. No scan sees content of an earlier one, also not past the end.
//   - [PoolAuto], the default, reuses files, and from 64 KiB on makes new ones for the sizes for
//     which that costs less on this host. It promises what PoolReuse promises.
//   - PoolReuse or PoolAuto with [WrapTrustCallback]: the kept file itself is lent, read-write, and
//     nothing is proved. This protects against nothing: a callback that breaks its promise sees and
//     changes later scans of trusted callbacks, and if it cuts the file off during one, that scan
//     can end in a SIGBUS. The pool sets the file offset and the status flags back, but not locks,
//     leases and the close-on-exec flag. Callbacks that are not trusted are never lent a file that
//     a trusted one had.
//
// The proof does not see the following. Whoever keeps it can read later scans, and with those after
// the first change them. Callbacks that do this need a new file each time, [PoolNewFiles] or no
// pool:
//
//   - Pages in flight, to which a pipe, socket or device refers without a descriptor: vmsplice(2)
//     from a mapping, zero-copy sends (MSG_ZEROCOPY), and splice(2) and sendfile(2) from a
//     descriptor without O_DIRECT. The one that is lent has it from Linux 6.6 on, unless the
//     callback clears it. io.Copy from an *os.File to a socket or pipe is such a splice or
//     sendfile.
//   - What can be opened later: an O_PATH descriptor, and for root a file handle
//     (open_by_handle_at(2)) or a mark of fanotify(7).
//   - The pool's own descriptors, whose numbers are in /proc/self/fd.
//   - io_uring's registered buffers, and whatever else pins pages, of a mapping for writing that a
//     privileged callback made without changing the mode.
//   - Before Linux 6.13, for some milliseconds after a scan began: a callback that set the mode,
//     pinned pages for writing, and set the mode back.
//
// # Hosts and memory
//
// Where the host has no memfd or no /proc, or refuses leases, every scan has a new file, and all of
// this holds the more.
//
// The file system of new files needs Linux 5.12, and the right to mount or to a user namespace,
// which containers often refuse. PoolAuto does without then. A child process makes it in a few
// milliseconds, and has ended when the call returns; the program sees nothing of it. PoolAuto makes
// it once scans of 64 KiB and more have taken 8 ms.
//
// A Pool that nothing refers to any more is freed by the garbage collector some time later. That is
// for accidents, which keep memory for longer than needed: call Close. A Pool must not be copied.
type Pool struct {
	// Held for reading by whoever touches handle, for writing by Close, and by nobody during a
	// callback.
	mu     sync.RWMutex
	handle unsafe.Pointer // nil when closed
}

// PoolOption changes how a pool is made.
type PoolOption func(*poolOptions)

type poolOptions struct {
	maxBytes int64
	idle     int64 // nanoseconds; -1 to keep files until their place is needed
	maxFiles int
	method   Method
}

// PoolMaxFiles limits the number of files, cached and lent together; the pool has one descriptor
// for each. EINVAL if n is not 1 to 64. The default is 64.
func PoolMaxFiles(n int) PoolOption { return func(o *poolOptions) { o.maxFiles = n } }

// PoolIdle drops a file that was not lent for this time. The pool looks at the time when it is
// used. EINVAL if it is negative. By default files are kept until their place is needed.
func PoolIdle(idle time.Duration) PoolOption {
	return func(o *poolOptions) {
		if o.idle = int64(idle); idle < 0 {
			o.idle = math.MinInt64 // not the -1 that means something in C
		}
	}
}

// PoolMethod chooses how the pool comes by its files. The default is [PoolAuto].
func PoolMethod(method Method) PoolOption { return func(o *poolOptions) { o.method = method } }

// Method is how a pool comes by the file that it lends.
type Method uint32

// The methods, with the values of include/bytefd.h.
const (
	// PoolAuto is, for each size, the cheaper one of the methods that this host allows. It promises
	// what PoolReuse promises.
	PoolAuto Method = iota + 0x80000020
	// PoolReuse reuses files, after the kernel has proved that nobody else has them open.
	PoolReuse
	// PoolNewFiles makes a new file for each scan, on a file system in memory that belongs to the
	// pool.
	PoolNewFiles
)

// NewPool makes an empty pool that caches at most maxBytes of memory in files that are not lent.
// The caller closes it. maxBytes is also the size of the file system for new files; what does not
// fit there is a memfd.
//
// Errors: EINVAL if maxBytes is negative, or an option has no such value; 0 is fine, and caches
// nothing. EOPNOTSUPP with [PoolNewFiles] where the host refuses a step, which the error names.
func NewPool(maxBytes int, opts ...PoolOption) (*Pool, error) {
	o := &poolOptions{maxBytes: int64(maxBytes), idle: -1, maxFiles: 64}
	for _, set := range opts {
		set(o)
	}
	if maxBytes < 0 {
		return nil, isNegative("maxBytes", maxBytes)
	}
	if o.maxFiles < 0 || o.maxFiles > math.MaxInt32 {
		o.maxFiles = math.MaxInt32 // which C refuses
	}
	handle, err := poolCreate(o)
	if err != nil {
		return nil, err
	}
	p := &Pool{handle: handle}
	runtime.SetFinalizer(p, (*Pool).Close)
	return p, nil
}

// ScanBytes is the function [ScanBytes] with a file of the pool: it lends a descriptor that holds b
// to scan, takes it back, and returns what scan returned. What it protects against, and what not,
// stands at [Pool].
//
// The descriptor stands for a regular file of exactly the bytes given, at offset 0, without a link,
// with mode 0400 and close-on-exec. It is read-only, without seals. The file goes back to the pool
// whether scan returns, panics or calls runtime.Goexit. Calls may be nested, and each has a file of
// its own. A child process that is being started at the moment in which scan returns has the file
// too, so that it is dropped.
//
// Bytes of a [Map] whose file was truncated are EFAULT, also where [MapGuard] has replaced them.
// The kernel copies what is not anonymous memory, which takes longer.
//
// The options are [WrapName], [WrapSpillThreshold], and [WrapInherit] and [WrapReadOnly], which it
// is anyway, or [WrapTrustCallback] instead of these two. Others are EINVAL, but [BackendMemfd] is
// fine. EINVAL also if scan is nil. Other errors are those of [WrapBuffer]; then scan is not
// called. The pool's cached files are closed before the error is EMFILE. After Close the error is
// os.ErrClosed.
func (p *Pool) ScanBytes(b []byte, scan func(fd int) error, opts ...WrapOption) error {
	if scan == nil {
		return errNoCallback
	}
	o := newWrapOptions(opts)
	return p.scan(scan, func(pool unsafe.Pointer) (int, unsafe.Pointer, error) {
		return scanBegin(b, pool, o)
	})
}

// ScanFile is [Pool.ScanBytes] with an *os.File, as the function [ScanFile] lends it.
func (p *Pool) ScanFile(b []byte, scan func(f *os.File) error, opts ...WrapOption) error {
	if scan == nil {
		return errNoCallback
	}
	return p.ScanBytes(b, lendFile(scan, newWrapOptions(opts)), opts...)
}

// ScanBuffers is [Pool.ScanBytes] for content that lies in several slices: the file holds them in
// their order.
func (p *Pool) ScanBuffers(bs [][]byte, scan func(fd int) error, opts ...WrapOption) error {
	if scan == nil {
		return errNoCallback
	}
	o := newWrapOptions(opts)
	return p.scan(scan, func(pool unsafe.Pointer) (int, unsafe.Pointer, error) {
		return scanBeginSegments(bs, pool, o)
	})
}

// ScanReader is [Pool.ScanBytes] for what r delivers until io.EOF: it goes from the buffer that r
// fills into a cached file. Its own errors, and what r must not do, are those of [WrapReader].
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

// use calls f with the pool, which is neither closed nor collected meanwhile.
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

// Trim drops kept files, the longest unused first, until at most this many bytes are kept; at 0
// also the file system for new files, which a later scan makes again. For the moment in which
// memory is short. Files that are lent are not touched.
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

// PoolStats is what a pool has done since it was made, and what it holds.
type PoolStats struct {
	// Hits counts scans that were lent a cached file.
	Hits uint64
	// Misses counts scans that got a new file, whatever its method.
	Misses uint64
	// Dropped counts files that were dropped because another open file description or mapping of
	// them existed, or because they were changed while they were lent or cached.
	Dropped uint64
	// Lent is the number of the cache's files that are lent now. When they are as many as
	// [PoolMaxFiles] allows, every further scan gets a new file that is not cached.
	Lent uint64
	// CachedBytes is the memory, in bytes, of cached files that are not lent.
	CachedBytes uint64
}

// Stats returns what the pool has done so far, and what it holds. After Close the error is
// os.ErrClosed.
func (p *Pool) Stats() (stats PoolStats, err error) {
	err = p.use(func(pool unsafe.Pointer) (err error) {
		stats, err = poolStats(pool)
		return err
	})
	return stats, err
}

// Close frees the pool and the files it keeps. Scans whose callback has begun go on, and what they
// were lent is closed when they end. Closing again does nothing and returns nil. For a nil pool the
// error is os.ErrInvalid.
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

func isNegative(op string, value int) error {
	return &Error{op, syscall.EINVAL, fmt.Sprintf("%d is negative", value)}
}
