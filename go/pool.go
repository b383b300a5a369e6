package bytefd

import (
	"fmt"
	"runtime"
	"sync"
	"syscall"
	"unsafe"
)

// Pool keeps files and lends them again: writing into memory that a file has already is many times faster than getting
// new memory. Make one for each trust domain; nothing is shared between pools. Its methods may be called from any
// goroutine at any time, also from within a callback and while another closes the pool, and a scan never waits for
// another scan's callback.
//
// # What protects one scan from another
//
// There are three levels, each faster than the one before:
//
//   - A new file, [ScanBytes]: nothing of one scan can ever show in another, whatever the callback keeps, and nobody can
//     change what is scanned.
//   - A pool: the callback is lent a read-only description of a kept file, which has mode 0400 but is not sealed. Before
//     the file is used again, the kernel is asked to prove that nobody has it open or mapped. A callback that keeps a
//     duplicate, a mapping or a description of its own, or a child that has it, keeps that file and sees its content
//     unchanged; the file is dropped from the pool. No scan sees content of an earlier one, also not past the end. This
//     protects against forgetting, and against code that keeps files by ordinary means.
//   - A pool with [TrustCallback]: the kept file itself is lent, read-write, and nothing is proved. This protects against
//     nothing: a callback that breaks its promise sees and changes later scans of trusted callbacks. Callbacks that are
//     not trusted are never lent a file that a trusted one had.
//
// What a pool cannot see are pages in flight: vmsplice(2) from a mapping, zero-copy sends (MSG_ZEROCOPY), and splice(2)
// and sendfile(2) from a descriptor without O_DIRECT (the one that is lent has it from Linux 6.6 on, unless the callback
// clears it) leave references to pages in a pipe or socket, where no descriptor shows them. Who reads them later may read
// bytes of a later scan. io.Copy from an *os.File to a socket or pipe is such a splice or sendfile. Nor does it see a
// descriptor that was opened with O_PATH, through which the file can be opened again later. Callbacks that do these
// things need a new file each time.
//
// # Hosts and memory
//
// Where the host has no memfd or no /proc, or refuses leases, every scan has a new file, and all of this holds the more.
//
// A Pool that nothing refers to any more is freed by the garbage collector some time later. That is for accidents, which
// keep memory for longer than needed: call Close. A Pool must not be copied.
type Pool struct {
	// Held for reading by whoever touches handle, for writing by Close, and by nobody during a callback.
	mu     sync.RWMutex
	handle unsafe.Pointer // nil when closed
}

// NewPool makes an empty pool that keeps at most maxBytes of memory in files that nobody uses at the moment. The caller
// closes it.
//
// Errors: EINVAL if maxBytes is negative; 0 is fine, and keeps next to nothing.
func NewPool(maxBytes int) (*Pool, error) {
	if maxBytes < 0 {
		return nil, isNegative("maxBytes", maxBytes)
	}
	handle, err := poolCreate(maxBytes)
	if err != nil {
		return nil, err
	}
	p := &Pool{handle: handle}
	runtime.SetFinalizer(p, (*Pool).Close)
	return p, nil
}

// ScanBytes is the function [ScanBytes] with a file of the pool: it lends a descriptor that holds b to scan, takes it
// back, and returns what scan returned. What it protects against, and what not, stands at [Pool].
//
// The descriptor stands for a regular file of exactly the bytes given, at offset 0, without a name, with mode 0400 and
// close-on-exec. It is read-only, without seals. The file goes back to the pool whether scan returns, panics or calls
// runtime.Goexit. Calls may be nested, and each has a file of its own. A child process that is being started at the
// moment in which scan returns has the file too, so that it is dropped.
//
// b must be memory that can be read: bytes of a [Map] whose file has been truncated end the process here.
//
// The options are [Inherit] and [ReadOnly], which it is anyway, or [TrustCallback] alone. Others
// are EINVAL, but [BackendMemfd] is fine. EINVAL also if scan is nil. Other errors are those of [WrapBuffer]; then scan is
// not called. After Close the error is os.ErrClosed.
func (p *Pool) ScanBytes(b []byte, scan func(fd int) error, opts ...Option) error {
	if scan == nil {
		return errNoCallback
	}
	fd, loan, err := p.begin(b, newWrapOptions(opts))
	if err != nil {
		return err
	}
	// The loan keeps what it needs of the pool, which may be closed or collected meanwhile.
	defer scanEnd(loan)
	return scan(fd)
}

func (p *Pool) begin(b []byte, o *wrapOptions) (fd int, loan unsafe.Pointer, err error) {
	p.mu.RLock()
	defer p.mu.RUnlock() // also keeps the Pool from being collected meanwhile
	if p.handle == nil {
		return 0, nil, errPoolClosed
	}
	return scanBegin(b, p.handle, o)
}

// Trim drops kept files, the longest unused first, until at most this many bytes are kept. For the moment in which
// memory is short. Files that are lent are not touched.
//
// Errors: EINVAL if bytes is negative. After Close the error is os.ErrClosed.
func (p *Pool) Trim(bytes int) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.handle == nil {
		return errPoolClosed
	}
	if bytes < 0 {
		return isNegative("bytes", bytes)
	}
	return poolTrim(p.handle, bytes)
}

// PoolStats is what a pool has done since it was made, and what it holds.
type PoolStats struct {
	// LentAgain counts scans that were lent a kept file.
	LentAgain uint64
	// NewFiles counts scans that got a new file.
	NewFiles uint64
	// Dropped counts files that were not used again because somebody still held them.
	Dropped uint64
	// KeptBytes is the memory, in bytes, of the files that are kept now. Files that are lent are not among them.
	KeptBytes int
}

// Stats returns what the pool has done so far, and what it holds. After Close the error is os.ErrClosed.
func (p *Pool) Stats() (PoolStats, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.handle == nil {
		return PoolStats{}, errPoolClosed
	}
	return poolStats(p.handle)
}

// Close frees the pool and the files it keeps. Scans whose callback has begun go on, and what they were lent is closed
// when they end. Closing again does nothing and returns nil, which is all that Close ever returns.
func (p *Pool) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.handle != nil {
		poolDestroy(p.handle)
		p.handle = nil
		runtime.SetFinalizer(p, nil)
	}
	return nil
}

var errPoolClosed = &Error{"pool", syscall.EBADF, "the pool is closed"}

func isNegative(op string, value int) error {
	return &Error{op, syscall.EINVAL, fmt.Sprintf("%d is negative", value)}
}
