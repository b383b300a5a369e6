package bytefd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

const (
	// What is held in memory of Go before it is known whether there is more.
	streamSmall = 1 << 20
	// The first buffer for it, and how many times as large each next one is, so that no byte is moved.
	streamFirst, streamGrowth = 4 << 10, 4
)

// collect reads r to its end. Small content is given to buffers. Content that is larger goes through a pipe, which stream reads
// to its end; undo drops what stream has made.
func collect(
	r io.Reader, o *wrapOptions, buffers func(bs [][]byte) error, stream func(pipe int) (undo func(), err error),
) error {
	if err := o.check(); err != nil {
		return err
	}
	// One byte more than is allowed is asked for, to find out that there is one.
	left := o.maxBytes
	if left < left+1 {
		left++
	}
	size := streamFirst
	if o.sizeHint > 0 {
		// The end is found by asking for one byte more.
		size = int(min(o.sizeHint, streamSmall)) + 1
	}
	var pieces [][]byte
	for total := 0; ; size *= streamGrowth {
		// Also found where the buffers end.
		size = min(size, streamSmall+1-total)
		piece := make([]byte, size)
		n, err := readFull(r, piece[:min(int64(size), left)])
		left -= int64(n)
		total += n
		if err != nil && err != io.EOF {
			return err
		}
		pieces = append(pieces, piece[:n])
		switch {
		case int64(total) > o.maxBytes:
			message := fmt.Sprintf("the stream has more than the %d bytes that max_bytes allows", o.maxBytes)
			return &Error{"stream", syscall.EFBIG, message}
		case err == io.EOF:
			return buffers(pieces)
		case total > streamSmall:
			return throughPipe(r, pieces, left, stream)
		}
	}
}

// throughPipe writes what was read, and at most left bytes more, to a pipe for stream.
func throughPipe(r io.Reader, pieces [][]byte, left int64, stream func(pipe int) (undo func(), err error)) error {
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
	for _, piece := range pieces {
		if _, err = to.Write(piece); err != nil {
			break
		}
	}
	piece := pieces[len(pieces)-1]
	piece = piece[:cap(piece)]
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
