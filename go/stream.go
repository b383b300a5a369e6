package bytefd

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
)

const (
	// Room behind the expected bytes, so that the same read finds the end.
	streamEnd = 4 << 10
	// The size of the first buffer.
	streamFirst = 64<<10 + streamEnd
	// The size of the second buffer, and the most that is read at once.
	streamPiece = 1<<20 + streamEnd
)

// Buffers for the next reader. They contain no bytes of the reader before.
var (
	firstBuffers = sync.Pool{New: func() any { return new([streamFirst]byte) }}
	pieceBuffers = sync.Pool{New: func() any { return new([streamPiece]byte) }}
)

// streamed is the content that a reader delivers.
type streamed struct {
	r io.Reader
	// The number of bytes that may still be asked for: one more than is allowed, to detect a reader
	// that has more.
	left int64
	// What was read, in two buffers. Each may be nil.
	first   *[streamFirst]byte
	piece   *[streamPiece]byte
	parts   [2][]byte
	isAtEnd bool
}

// begin reads until the buffers are full. isAll reports that r has ended. The caller releases the
// buffers.
func (in *streamed) begin(r io.Reader, o wrapOptions) (isAll bool, err error) {
	if err := o.check(); err != nil {
		return false, err
	}
	in.r, in.left = r, o.maxBytes
	if in.left < in.left+1 {
		in.left++
	}
	if o.sizeHint < streamFirst {
		in.first = firstBuffers.Get().(*[streamFirst]byte)
		in.parts[0], err = in.fill(in.first[:])
	}
	if err == nil && in.left > 0 {
		in.piece = pieceBuffers.Get().(*[streamPiece]byte)
		in.parts[1], err = in.fill(in.piece[:])
	}
	switch {
	case err == nil && in.left > 0:
		return false, nil
	case err != nil && err != io.EOF:
		return false, err
	case int64(len(in.parts[0])+len(in.parts[1])) > o.maxBytes:
		const format = "the stream has more than the %d bytes that max_bytes allows"
		return false, &Error{"stream", syscall.EFBIG, fmt.Sprintf(format, o.maxBytes)}
	}
	return true, nil
}

// fill reads until b is full, or as many bytes as may be asked for. The error is io.EOF if r ends
// before that.
func (in *streamed) fill(b []byte) ([]byte, error) {
	n, err := readFull(in.r, b[:min(int64(len(b)), in.left)])
	in.left -= int64(n)
	return b[:n], err
}

// whole returns all that was read, if one buffer contains it.
func (in *streamed) whole() (b []byte, isWhole bool) {
	switch {
	case len(in.parts[1]) == 0:
		return in.parts[0], true
	case len(in.parts[0]) == 0:
		return in.parts[1], true
	}
	return nil, false
}

// release clears the buffers and gives them back.
func (in *streamed) release() {
	if in.first != nil {
		clear(in.parts[0])
		firstBuffers.Put(in.first)
	}
	if in.piece != nil {
		clear(in.parts[1])
		pieceBuffers.Put(in.piece)
	}
}

// passing gives what is read to C, which asks for it in a goroutine of its own. No frame of C may
// be between r and its caller, because r may panic or call runtime.Goexit.
type passing struct {
	requests chan []byte // C's memory to fill
	counts   chan int    // the number of bytes filled; 0 at the end, -1 to give up
}

// pass gives what was read, and what else r delivers, to store, which calls C.
func (in *streamed) pass(store func(p *passing) error) error {
	p := &passing{make(chan []byte), make(chan int)}
	done := make(chan error, 1)
	go func() {
		err := store(p)
		close(p.requests)
		done <- err
	}()
	isComplete := false
	defer func() {
		if !isComplete {
			// r has failed, panicked or called runtime.Goexit. No file is made then.
			p.counts <- -1
			<-done
		}
	}()
	rest := in.parts
	for b := range p.requests {
		n, err := in.serve(b, &rest)
		if err != nil {
			return err
		}
		p.counts <- n
	}
	isComplete = true
	return <-done
}

// serve fills b with the rest of what was read, and then from r. It returns the number of bytes
// filled.
func (in *streamed) serve(b []byte, rest *[2][]byte) (n int, err error) {
	for i := range rest {
		copied := copy(b[n:], rest[i])
		rest[i] = rest[i][copied:]
		n += copied
	}
	if n > 0 || in.isAtEnd {
		return n, nil
	}
	filled, err := in.fill(b)
	if in.isAtEnd = err == io.EOF; in.isAtEnd {
		err = nil
	}
	return len(filled), err
}

// readFull reads until b is full. The error is io.EOF if r ends before that.
func readFull(r io.Reader, b []byte) (n int, err error) {
	for idle := 0; n < len(b) && err == nil; {
		var count int
		count, err = r.Read(b[n:])
		if count < 0 || count > len(b)-n {
			const format = "the reader says that it read %d bytes into a buffer of %d"
			message := fmt.Sprintf(format, count, len(b)-n)
			return n, &Error{"read", syscall.EINVAL, message}
		}
		n += count
		if errors.Is(err, syscall.EIO) && isTerminalMaster(r) {
			err = io.EOF // the other side of the terminal is closed
		}
		if idle++; count > 0 {
			idle = 0
		} else if idle == 100 && err == nil {
			err = io.ErrNoProgress
		}
	}
	return n, err
}
