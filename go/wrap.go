package bytefd

import (
	"io"
	"os"
)

// WrapBuffer copies b into a new file and returns the file. The caller owns the file and closes it.
// The package documentation says what the file is: sealed, unnamed, at offset 0.
//
// The garbage collector closes an *os.File that nothing refers to any more, even if its number
// (File.Fd) is still in use. Keep the file, or call runtime.KeepAlive, as long as the number is
// needed.
//
// Errors:
//   - EFAULT if b contains bytes of a [Map] that no longer exist, because its file was truncated or
//     its storage fails. That includes bytes that [MapGuard] has replaced by zeros.
//   - EFBIG if b is longer than RLIMIT_FSIZE. SIGXFSZ is not raised.
//   - EINVAL if options are invalid or contradict each other.
//   - EMFILE, ENFILE or ENOMEM if a limit is reached.
//   - ENOENT if /proc is not mounted and the descriptor must be for reading only. That is so in
//     three cases: with [WrapReadOnly]; if the file is not a memfd, unless [WrapWritable] is given;
//     and for a memfd before Linux 6.7, unless WrapWritable or [WrapSealContent] is given (neither
//     sets F_SEAL_SEAL).
//   - ENOSPC if the file system behind the backend is full.
//   - Other errors of the system call that [Error.Op] names.
//
// A full memory cgroup is no error: the kernel kills a process of the cgroup. See
// [WrapSpillThreshold].
func WrapBuffer(b []byte, opts ...WrapOption) (*os.File, error) {
	o := newWrapOptions(opts)
	fd, err := wrap(b, o)
	return newFile(fd, o.fileName(), err)
}

// WrapBuffers is [WrapBuffer] for content in several slices. The file contains them in their order.
// Empty slices are allowed, and so are no slices.
func WrapBuffers(bs [][]byte, opts ...WrapOption) (*os.File, error) {
	o := newWrapOptions(opts)
	fd, err := wrapSegments(bs, o)
	return newFile(fd, o.fileName(), err)
}

// WrapReader is [WrapBuffer] for everything that r delivers until io.EOF, of any length. About 1
// MiB of it is read into buffers. The rest is read straight into memory of the library, so r must
// not keep the slices that it is given to fill.
//
// Errors are those of [WrapBuffer], and:
//   - EFBIG if r delivers more than [WrapMaxBytes].
//   - EINVAL if r says that it has read more bytes than it was asked for.
//   - io.ErrNoProgress if r goes on returning no bytes and no error.
//   - Another error of r, unchanged, such as those of the deadline or Close of an os.File or
//     net.Conn.
//
// After an error no file remains. What was read is gone from r.
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

// newFile makes an os.File of a new descriptor, unless there was an error.
func newFile(fd int, name string, err error) (*os.File, error) {
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}
