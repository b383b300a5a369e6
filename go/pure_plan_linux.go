//go:build !cgo

package bytefd

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// mostInName is the most bytes in the name of a file.
const mostInName = 200

// execution says whether a new file may be made executable.
type execution int

const (
	// Never. Linux 6.3 and later refuse execution permanently (F_SEAL_EXEC).
	executionForbidden execution = iota
	// No caller wants to execute the file, but the set of seals must be the one that the caller
	// chose.
	executionUndecided
	// The file will be executed. If the host forbids that, it is an error.
	executionWanted
)

// plan is what options ask for, checked and with all defaults.
type plan struct {
	wrapOptions
	execution execution
	bits      uint32 // the mode
	seals     int
}

// newPlan returns a value: a pointer would move the plan to the heap.
func newPlan(o wrapOptions) (plan, error) {
	if !o.hasName {
		o.name = "bytefd"
	}
	p := plan{wrapOptions: o, seals: unix.F_SEAL_WRITE | unix.F_SEAL_GROW | unix.F_SEAL_SHRINK}
	if !p.has(flagSealContent) {
		p.seals |= unix.F_SEAL_SEAL
	}
	switch {
	case p.has(flagExecutable):
		p.execution = executionWanted
	case p.has(flagWritable | flagSealContent):
		p.execution = executionUndecided
	}
	// Some checks also fill in defaults.
	err := cmp.Or(
		o.check(), checkText("name", p.name), p.checkBackend(), p.checkTogether(),
		p.checkSealing(), p.checkSpilling(), p.checkName(), p.checkMode(),
	)
	return p, err
}

// has reports whether one of the flags is set.
func (p *plan) has(flags uint64) bool { return p.flags&flags != 0 }

func (p *plan) checkBackend() error {
	switch p.backend {
	case 0:
		p.backend = BackendAuto
	case BackendAuto, BackendMemfd, BackendShm, BackendTmpFile:
	default:
		return &Error{"backend", syscall.EINVAL,
			fmt.Sprintf("unknown backend %#x", uint32(p.backend))}
	}
	return nil
}

func (p *plan) checkTogether() error {
	switch {
	case p.has(flagWritable) && p.has(flagReadOnly):
		return &Error{"options", syscall.EINVAL, "writable and read-only exclude each other"}
	case p.has(flagWritable) && p.has(flagSealContent):
		return &Error{"options", syscall.EINVAL, "writable and sealed exclude each other"}
	case p.has(flagTrustCallback):
		return &Error{"options", syscall.EINVAL, "trust_callback is for scans with a pool"}
	}
	return nil
}

func (p *plan) checkSealing() error {
	if !p.has(flagSealContent) {
		return nil
	}
	switch p.backend {
	case BackendShm:
		return &Error{"options", syscall.EINVAL,
			"asked for seals on a Shm file; only a memfd can be sealed"}
	case BackendTmpFile:
		return &Error{"options", syscall.EINVAL,
			"asked for seals on a TmpFile file; only a memfd can be sealed"}
	}
	p.backend = BackendMemfd
	return nil
}

func (p *plan) checkSpilling() error {
	if p.spillThreshold == math.MaxInt64 || p.backend != BackendMemfd {
		return nil
	}
	const message = "spill_threshold puts content on disk; " +
		"the memfd backend and seals keep it in memory"
	return &Error{"spill_threshold", syscall.EINVAL, message}
}

func (p *plan) checkName() error {
	if len(p.name) == 0 || len(p.name) > mostInName {
		const format = "a name of %d bytes; 1 to %d are allowed"
		return &Error{"name", syscall.EINVAL, fmt.Sprintf(format, len(p.name), mostInName)}
	}
	if at := strings.IndexAny(p.name, "/\n"); at >= 0 {
		const format = "%q has %q at byte %d; slash, newline and NUL are not allowed"
		name := strings.ToValidUTF8(p.name, "\uFFFD")
		return &Error{"name", syscall.EINVAL, fmt.Sprintf(format, name, rune(p.name[at]), at)}
	}
	return nil
}

func (p *plan) checkMode() error {
	p.bits = uint32(p.mode)
	if p.bits == 0 {
		p.bits = 0o400
		if p.has(flagWritable) {
			p.bits |= 0o200
		}
		if p.has(flagExecutable) {
			p.bits |= 0o100
		}
	}
	problem := ""
	switch {
	case p.bits&^0o777 != 0:
		problem = "has bits other than the nine permission bits"
	case p.bits&0o400 == 0:
		problem = "does not let the owner read"
	case p.bits&0o111 != 0 && !p.has(flagExecutable):
		problem = "has execute bits, but executable is not set"
	default:
		return nil
	}
	return &Error{"mode", syscall.EINVAL, fmt.Sprintf("mode %04o %s", p.bits, problem)}
}

// spills reports whether content of this length goes to a file on disk.
func (p *plan) spills(length int64) bool { return length > p.spillThreshold }

// create makes an empty file for content of this length, or of about this length.
func (p *plan) create(length int64) (emptyFile, error) {
	if p.spills(length) {
		return createFile(BackendTmpFile, p.name, p.execution)
	}
	return createFile(p.backend, p.name, p.execution)
}

// finish turns a file that has its content into the descriptor that the options ask for. It closes
// the file if it returns an error.
func (p *plan) finish(file emptyFile) (fd int, err error) {
	fd = file.fd
	defer func() {
		if err != nil {
			unix.Close(fd)
			fd = 0
		}
	}()
	isSealed := file.backend == BackendMemfd && !p.has(flagWritable)
	if isSealed {
		if err := addSeals(fd, p.seals); err != nil {
			return fd, because("seal", err, fmt.Sprintf("seals %#x", p.seals))
		}
	}
	if err := again(func() error { return unix.Fchmod(fd, p.bits) }); err != nil {
		return fd, because("fchmod", err, fmt.Sprintf("mode %04o", p.bits))
	}
	if p.needsReopening(isSealed, fd) {
		reopened, err := reopenForReading(fd)
		if err != nil {
			return fd, err
		}
		unix.Close(fd)
		fd = reopened
	}
	if p.has(flagInherit) {
		// Last, so that no child has the descriptor of a file that failed halfway.
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return fd, because("fcntl F_SETFD", err, "descriptor for inheritance")
		}
	}
	return fd, nil
}

func addSeals(fd, seals int) error {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
	if err == syscall.EBUSY {
		// The kernel has waited for pages that were in use. They may be free now.
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
	}
	return err
}

// needsReopening reports whether the caller must get a read-only descriptor. A descriptor through
// which seals can be added is not reopened, because adding needs write access.
func (p *plan) needsReopening(isSealed bool, fd int) bool {
	switch {
	case p.has(flagReadOnly):
		return true
	case p.has(flagWritable | flagSealContent):
		return false
	}
	return !isSealed || !mapsSealedShared(fd)
}

// sealedMapping remembers whether the kernel can map a write-sealed file shared, for reading,
// through a descriptor that is open for reading and writing: Linux 6.7.
var sealedMapping atomic.Pointer[bool]

func mapsSealedShared(sealed int) bool {
	if known := sealedMapping.Load(); known != nil {
		return *known
	}
	page, err := unix.MmapPtr(sealed, 0, nil, 1, unix.PROT_READ, unix.MAP_SHARED)
	isMapped := err == nil
	if isMapped {
		unix.MunmapPtr(page, 1)
	} else if err != syscall.EPERM {
		return false // the reason is another one, so the answer is still unknown
	}
	sealedMapping.Store(&isMapped)
	return isMapped
}
