package bytefd

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"syscall"
)

// StreamOption changes how much is taken from a stream, and where it goes. The default is all of it, in memory. Options
// may be given in any order and used again; of two that set the same thing the last one counts.
type StreamOption func(*streamOptions)

type streamOptions struct {
	most       int64
	spillAbove int64
}

// MaxBytes makes a stream of more bytes an error, EFBIG. EINVAL if negative.
func MaxBytes(n int64) StreamOption { return func(o *streamOptions) { o.most = n } }

// SpillAbove keeps content of more than n bytes in an unlinked file in $TMPDIR, /tmp or /var/tmp instead of memory,
// which cannot be sealed: the descriptor is read-only then. EINVAL if negative; 0 is for whatever has a byte.
func SpillAbove(n int64) StreamOption { return func(o *streamOptions) { o.spillAbove = n } }

// WrapStream is [WrapReader] for content of unknown length that may be large: r reads straight into the memory that
// becomes the descriptor, so that no byte is held twice. The result is as [WrapBuffer] gives it without options, unless
// [SpillAbove] says otherwise. r must not keep the slices that it is given, as io.Reader says.
//
// r is read until io.EOF. Another error of it is returned as it is, also those of its deadlines and Close (of an
// os.File or net.Conn), and then nothing is kept; what was read is gone from r. io.ErrNoProgress if it goes on
// returning nothing.
//
// Other errors: EFBIG for more than [MaxBytes], or than RLIMIT_FSIZE; EINVAL for options that are negative; EIO if r
// says that it has read more than it was asked for; ENOSPC, ENOMEM, EMFILE and others of [WrapBuffer].
func WrapStream(r io.Reader, opts ...StreamOption) (*os.File, error) {
	o := &streamOptions{most: math.MaxInt64, spillAbove: math.MaxInt64}
	for _, set := range opts {
		set(o)
	}
	if o.most < 0 || o.spillAbove < 0 {
		message := fmt.Sprintf("at most %d bytes, above %d on disk: none may be negative", o.most, o.spillAbove)
		return nil, &Error{"options", syscall.EINVAL, message}
	}
	s, err := newSink()
	if err != nil {
		return nil, err
	}
	defer s.close() // also if r panics
	for idle := 0; ; {
		// One byte more than is allowed is asked for, to find out that there is one.
		room, err := s.room(min(o.most-s.length, streamPiece-1) + 1)
		if err != nil {
			return nil, err
		}
		n, readErr := r.Read(room)
		if n < 0 || n > len(room) {
			message := fmt.Sprintf("the reader says that it has read %d of %d bytes", n, len(room))
			return nil, &Error{"read", syscall.EIO, message}
		}
		if err := s.take(n); err != nil {
			return nil, err
		}
		if s.length > o.most {
			return nil, &Error{"stream", syscall.EFBIG, fmt.Sprintf("it has more than %d bytes", o.most)}
		}
		if s.length > o.spillAbove {
			if err := s.spill(); err != nil {
				return nil, err
			}
		}
		if readErr == io.EOF {
			return s.finish()
		}
		if readErr != nil {
			return nil, readErr
		}
		if idle++; n > 0 {
			idle = 0
		} else if idle == 100 {
			return nil, io.ErrNoProgress
		}
	}
}

const (
	// The most that is read at once.
	streamPiece = 1 << 20
	// What the first byte gets.
	streamFirst = 64 << 10
	// From here on memory grows by so much, a huge page on most machines; below it doubles.
	streamStep = 2 << 20
)

// sink is where the bytes of a stream go.
type sink struct {
	length int64
	// Memory that they are read into.
	memory *streamMemory
	// Without memory: the file that they are copied to, and what they are read into.
	disk   *os.File
	buffer []byte
}

func newSink() (*sink, error) {
	memory, err := newStreamMemory()
	if err != nil && !isShortage(err) {
		return onDisk(BackendAuto) // no memory files on this host
	}
	return &sink{memory: memory}, err
}

func onDisk(backend Backend) (*sink, error) {
	disk, err := WrapBuffer(nil, Writable(), WithBackend(backend))
	return &sink{disk: disk, buffer: make([]byte, streamPiece)}, err
}

// room returns where the next bytes go, at most so many and at least one.
func (s *sink) room(most int64) ([]byte, error) {
	if s.disk != nil {
		return s.buffer[:most], nil
	}
	if s.length == int64(len(s.memory.data)) {
		size := max(2*s.length, streamFirst)
		if size > streamStep {
			size = s.length - s.length%streamStep + streamStep
		}
		if err := s.memory.resize(int(size)); err != nil {
			return nil, err
		}
	}
	room := s.memory.data[s.length:]
	return room[:min(most, int64(len(room)))], nil
}

// take counts bytes in what room has returned.
func (s *sink) take(n int) error {
	if s.disk != nil && n > 0 {
		if err := appendTo(s.disk, s.buffer[:n], s.length); err != nil {
			return err
		}
	}
	s.length += int64(n)
	return nil
}

// spill goes on in a file on disk.
func (s *sink) spill() error {
	if s.disk != nil {
		return nil
	}
	other, err := onDisk(BackendTmpfile)
	if err != nil {
		return err
	}
	if err := appendTo(other.disk, s.memory.data[:s.length], 0); err != nil {
		other.close()
		return err
	}
	s.memory.close()
	s.memory, s.disk, s.buffer = nil, other.disk, other.buffer
	return nil
}

func (s *sink) finish() (*os.File, error) {
	if s.disk == nil {
		fd, err := s.memory.seal(int(s.length))
		return newFile(fd, "bytefd", err)
	}
	if err := s.disk.Chmod(0o400); err != nil {
		return nil, failed("fchmod", err, "mode 0400")
	}
	var fd int
	err := lent(s.disk, func(disk int) (err error) {
		fd, err = reopen(disk)
		return err
	})
	return newFile(fd, "bytefd", err)
}

// close drops what has not become a descriptor.
func (s *sink) close() {
	if s.memory != nil {
		s.memory.close()
	}
	if s.disk != nil {
		s.disk.Close()
	}
}

// isShortage reports whether something ran out, as opposed to not being there.
func isShortage(err error) bool {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return false
	}
	switch errno {
	case syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOSPC, syscall.EDQUOT:
		return true
	}
	return false
}
