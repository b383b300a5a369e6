package bytefd

import (
	"io"
	"os"
)

// WrapBuffer copies b into a new file and returns it. The caller owns the file and closes it.
//
// An *os.File that nothing refers to any more is closed by the garbage collector, even if its
// number (File.Fd) is still in use somewhere: keep the file, or call runtime.KeepAlive, as long as
// the number is needed.
//
// Errors: EINVAL for options that are wrong or contradict each other; EFBIG beyond RLIMIT_FSIZE
// (without a SIGXFSZ); ENOSPC when the file system behind the backend is full; EMFILE, ENFILE and
// ENOMEM; EFAULT if b is the memory of a map whose file has been truncated, also where [MapGuard]
// has replaced what was lost; ENOENT where /proc is needed and not mounted; and what the system
// call in [Error.Op] answered.
func WrapBuffer(b []byte, opts ...WrapOption) (*os.File, error) {
	o := newWrapOptions(opts)
	fd, err := wrap(b, o)
	return newFile(fd, o.fileName(), err)
}

// WrapBuffers is [WrapBuffer] for content that lies in several slices: the file holds them in their
// order. Empty slices, and no slices at all, are fine.
func WrapBuffers(bs [][]byte, opts ...WrapOption) (*os.File, error) {
	o := newWrapOptions(opts)
	fd, err := wrapSegments(bs, o)
	return newFile(fd, o.fileName(), err)
}

// WrapReader is [WrapBuffer] for what r delivers until io.EOF, however much that is: it is never
// all held in memory of Go. Up to 1 MiB of it is read into a buffer, and the rest straight into
// memory of the library; so r must not keep what it is given to fill. Another error of r is
// returned as it is, also those of its deadlines and Close (of an os.File or net.Conn); then
// nothing is kept, and what was read is gone from r. io.ErrNoProgress if r goes on returning
// nothing.
//
// Other errors are those of [WrapBuffer], EFBIG for more than [WrapMaxBytes], and EINVAL if r says
// that it has read more than it was asked for.
func WrapReader(r io.Reader, opts ...WrapOption) (*os.File, error) {
	o := newWrapOptions(opts)
	var in streamed
	defer in.release()
	isAll, err := in.begin(r, o)
	if err != nil {
		return nil, err
	}
	var fd int
	if b, isWhole := in.whole(); isAll && isWhole {
		fd, err = wrap(b, o)
	} else if isAll {
		fd, err = wrapSegments(in.parts[:], o)
	} else {
		err = in.pass(func(p *passing) (err error) {
			fd, err = wrapReader(p, o)
			return err
		})
	}
	return newFile(fd, o.fileName(), err)
}

// newFile gives a new descriptor to an os.File, unless there was an error.
func newFile(fd int, name string, err error) (*os.File, error) {
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}
