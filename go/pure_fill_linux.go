//go:build !cgo

package bytefd

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// segmentsAtOnce is the most segments that one system call gets.
const segmentsAtOnce = 64

// fill writes the segments, which have total bytes, to the start of an empty file. The file offset
// stays 0.
func fill(fd int, bs [][]byte, total int64) error {
	if total == 0 {
		return nil
	}
	if limit := fileSizeLimit(); total > limit {
		const format = "asked for a file of %d bytes, the limit RLIMIT_FSIZE is %d bytes"
		return &Error{"file size", syscall.EFBIG, fmt.Sprintf(format, total, limit)}
	}
	return writeAt(fd, bs, 0, total)
}

// writeAt writes the segments from offset on, until the file has total bytes. The kernel reads the
// segments, so bytes that cannot be read are EFAULT and raise no signal.
func writeAt(fd int, bs [][]byte, offset, total int64) error {
	rest := segmentsLeft{bs, 0}
	for written := offset; written < total; {
		n, err := rest.write(fd, written)
		if err != nil {
			return because("write", err, fmt.Sprintf("%d of %d bytes written", written, total))
		}
		if n == 0 {
			return &Error{"write", syscall.EIO,
				fmt.Sprintf("the kernel wrote 0 bytes after %d of %d bytes", written, total)}
		}
		rest.advance(n)
		written += int64(n)
	}
	return nil
}

// segmentsLeft are segments without their first skip bytes.
type segmentsLeft struct {
	bs   [][]byte
	skip int
}

// write writes as many bytes as one system call does.
func (s *segmentsLeft) write(fd int, offset int64) (n int, err error) {
	var batch [segmentsAtOnce][]byte
	filled, skip := 0, s.skip
	for _, b := range s.bs {
		if b, skip = b[skip:], 0; len(b) > 0 {
			batch[filled] = b
			filled++
		}
		if filled == len(batch) {
			break
		}
	}
	err = again(func() (err error) {
		if filled == 1 {
			n, err = unix.Pwrite(fd, batch[0], offset)
		} else {
			n, err = unix.Pwritev(fd, batch[:filled], offset)
		}
		return err
	})
	return n, err
}

func (s *segmentsLeft) advance(n int) {
	s.skip += n
	for len(s.bs) > 0 && s.skip >= len(s.bs[0]) {
		s.skip -= len(s.bs[0])
		s.bs = s.bs[1:]
	}
}
