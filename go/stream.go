package bytefd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

const (
	// What is read before it is known whether there is more.
	streamFirst = 64 << 10
	// The most that is read at once.
	streamPiece = 1 << 20
)

// collect reads r to its end. Small content is given to buffer. Content that is larger goes through
// a pipe, which stream reads to its end; undo drops what stream has made.
func collect(r io.Reader, o wrapOptions, buffer func(b []byte) error, stream func(pipe int) (undo func(), err error)) error {
	if err := o.check(); err != nil {
		return err
	}
	piece := make([]byte, min(max(streamFirst, o.sizeHint+1), streamPiece))
	// One byte more than is allowed is asked for, to find out that there is one.
	left := o.maxBytes
	if left < left+1 {
		left++
	}
	n, err := readFull(r, piece[:min(int64(len(piece)), left)])
	left -= int64(n)
	switch {
	case err == nil && left > 0:
		return throughPipe(r, piece[:n], left, stream)
	case err != nil && err != io.EOF:
		return err
	case int64(n) > o.maxBytes:
		message := fmt.Sprintf("the stream has more than the %d bytes that max_bytes allows", o.maxBytes)
		return &Error{"stream", syscall.EFBIG, message}
	}
	return buffer(piece[:n])
}

// throughPipe writes what was read, and at most left bytes more, to a pipe for stream.
func throughPipe(r io.Reader, piece []byte, left int64, stream func(pipe int) (undo func(), err error)) error {
	from, to, err := os.Pipe()
	if err != nil {
		return failed("pipe", err, "for a stream")
	}
	done := make(chan error, 1)
	undo := func() {}
	go func() {
		// With a pipe that blocks, the call waits in the kernel.
		made, err := stream(int(from.Fd()))
		from.Close()
		if err == nil {
			undo = made
		}
		done <- err
	}()
	isComplete := false
	// Also if r panics or calls runtime.Goexit.
	var made error
	finish := func() {
		to.Close()
		made = <-done
		if !isComplete && made == nil {
			undo()
		}
	}
	finished := false
	defer func() {
		if !finished {
			finish()
		}
	}()
	_, err = to.Write(piece)
	for err == nil && left > 0 {
		var n int
		n, err = readFull(r, piece[:min(int64(len(piece)), left)])
		left -= int64(n)
		if _, failure := to.Write(piece[:n]); failure != nil {
			// The other end has stopped, and says why.
			err = io.EOF
		}
	}
	isComplete = err == nil || err == io.EOF
	finished = true
	finish()
	if !isComplete {
		return err
	}
	return made
}

// readFull fills b. The error is io.EOF if r ends before that.
func readFull(r io.Reader, b []byte) (n int, err error) {
	for idle := 0; n < len(b) && err == nil; {
		var count int
		count, err = r.Read(b[n:])
		if count < 0 || count > len(b)-n {
			message := fmt.Sprintf("the reader says that it read %d bytes into a buffer of %d", count, len(b)-n)
			return n, &Error{"read", syscall.EINVAL, message}
		}
		n += count
		if errors.Is(err, syscall.EIO) && isTerminal(r) {
			err = io.EOF // its other side is closed
		}
		if idle++; count > 0 {
			idle = 0
		} else if idle == 100 && err == nil {
			err = io.ErrNoProgress
		}
	}
	return n, err
}
