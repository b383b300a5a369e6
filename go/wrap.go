package bytefd

import (
	"io"
	"os"
)

// WrapBuffer copies b into a new file and returns it. The caller owns the file and closes it.
//
// An *os.File that nothing refers to any more is closed by the garbage collector, even if its number (File.Fd) is still
// in use somewhere: keep the file, or call runtime.KeepAlive, as long as the number is needed.
//
// Errors: EINVAL for options that are wrong or contradict each other; EFBIG beyond RLIMIT_FSIZE (without a SIGXFSZ);
// ENOSPC when the file system behind the backend is full; EMFILE, ENFILE and ENOMEM; EFAULT if b is the memory of a map
// whose file has been truncated; ENOENT where /proc is needed and not mounted; and what the system call in [Error.Op]
// answered.
func WrapBuffer(b []byte, opts ...Option) (*os.File, error) {
	o := newWrapOptions(opts)
	fd, err := wrap(b, o)
	return newFile(fd, o.fileName(), err)
}

// WrapBuffers is [WrapBuffer] for content that lies in several slices: the file holds them in their order.
// Empty slices, and no slices at all, are fine.
func WrapBuffers(bs [][]byte, opts ...Option) (*os.File, error) {
	o := newWrapOptions(opts)
	fd, err := wrapSegments(bs, o)
	return newFile(fd, o.fileName(), err)
}

// WrapReader is [WrapBuffer] for what r delivers until io.EOF. Another error of r is returned as it is, and then there is
// no file. Without options r reads straight into the memory that becomes the file, as with [WrapStream]; with options all
// of it is held in memory meanwhile.
func WrapReader(r io.Reader, opts ...Option) (*os.File, error) {
	if len(opts) == 0 {
		return WrapStream(r)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	return WrapBuffer(b, opts...)
}

// newFile gives a new descriptor to an os.File, unless there was an error.
func newFile(fd int, name string, err error) (*os.File, error) {
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}
