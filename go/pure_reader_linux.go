//go:build !cgo

package bytefd

import (
	"errors"
	"fmt"
	"math"
	"syscall"

	"golang.org/x/sys/unix"
)

// readerPiece is the most bytes that a reader is asked for at once. They stay in the processor's
// cache until they are in the file.
const readerPiece = 256 << 10

var errReaderGaveUp = errors.New("the reader has failed")

// wrapReader asks p for the content, piece by piece, as the library does.
func wrapReader(p *passing, o wrapOptions) (int, error) {
	plan, err := newPlan(o)
	if err != nil {
		return 0, err
	}
	file, err := plan.create(o.sizeHint)
	if err != nil {
		return 0, err
	}
	if file, err = plan.collect(p, file); err != nil {
		unix.Close(file.fd)
		return 0, err
	}
	return plan.finish(file)
}

// collect writes what p delivers to a file, and returns the file that has it in the end.
func (p *plan) collect(from *passing, file emptyFile) (emptyFile, error) {
	buffer := make([]byte, readerPiece)
	for length := int64(0); ; {
		// RLIMIT_FSIZE may change meanwhile. Writing beyond it raises SIGXFSZ.
		limit := min(p.maxBytes, fileSizeLimit())
		left := limit - length
		if left < 0 {
			return file, p.tooLong(limit)
		}
		// Asks for one byte more than is allowed, to detect content that is too long.
		from.requests <- buffer[:min(left, readerPiece-1)+1]
		count := int64(<-from.counts)
		switch {
		case count < 0:
			return file, errReaderGaveUp
		case count == 0:
			return file, nil
		case count > left:
			return file, p.tooLong(limit)
		}
		// Reading may have taken any time, so the limit is read again.
		if limit = min(p.maxBytes, fileSizeLimit()); length+count > limit {
			return file, p.tooLong(limit)
		}
		var err error
		if file, err = p.spill(file, length, length+count); err != nil {
			return file, err
		}
		if err := writeAt(file.fd, [][]byte{buffer[:count]}, length, length+count); err != nil {
			return file, err
		}
		length += count
	}
}

func (p *plan) tooLong(limit int64) error {
	whose := "RLIMIT_FSIZE allows"
	if limit == p.maxBytes {
		whose = "max_bytes allows"
	}
	message := fmt.Sprintf("the stream has more than the %d bytes that %s", limit, whose)
	return &Error{"stream", syscall.EFBIG, message}
}

// spill replaces a file in memory by a file on disk with the same bytes, if content up to end does
// not fit in memory.
func (p *plan) spill(file emptyFile, length, end int64) (emptyFile, error) {
	if !p.spills(end) || file.backend == BackendTmpFile {
		return file, nil
	}
	disk, err := p.create(math.MaxInt64)
	if err != nil {
		return file, err
	}
	if err := copyFile(file.fd, disk.fd, length); err != nil {
		unix.Close(disk.fd)
		return file, err
	}
	unix.Close(file.fd)
	return disk, nil
}

// copyFile copies the first length bytes of one file to the other.
func copyFile(from, to int, length int64) error {
	buffer := make([]byte, readerPiece)
	for copied := int64(0); copied < length; {
		piece := buffer[:min(length-copied, readerPiece)]
		n, err := 0, error(nil)
		err = again(func() error {
			n, err = unix.Pread(from, piece, copied)
			return err
		})
		if err != nil {
			return because("pread", err, "content that moves to another file")
		}
		if n == 0 {
			return &Error{"pread", syscall.EIO,
				fmt.Sprintf("the file has only %d of %d bytes", copied, length)}
		}
		if err := writeAt(to, [][]byte{piece[:n]}, copied, copied+int64(n)); err != nil {
			return err
		}
		copied += int64(n)
	}
	return nil
}
