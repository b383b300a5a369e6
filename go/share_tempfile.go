package bytefd

import (
	"io/fs"
	"runtime"
	"sync"
	"unsafe"
)

// TempFileOption changes how a temporary file is created. By default the file has no suffix and
// mode 0600, and its directory is made in /dev/shm, or in /tmp if that cannot be used. Options may
// be given in any order and used again. If two options set the same thing, the last one counts.
type TempFileOption func(*tempFileOptions)

type tempFileOptions struct {
	suffix, directory string
	mode              fs.FileMode
}

// TempFileSuffix sets the end of the file's name, at most 200 bytes.
func TempFileSuffix(suffix string) TempFileOption {
	return func(o *tempFileOptions) { o.suffix = suffix }
}

// TempFileDirectory sets the directory in which the file's own new directory is made. It must
// exist. The default, and the meaning of "", is the tmpfs at /dev/shm, or /tmp if that cannot be
// used. [Sweep] looks only into /dev/shm, $TMPDIR, /tmp and /var/tmp. In another directory a killed
// process leaves the file behind.
func TempFileDirectory(directory string) TempFileOption {
	return func(o *tempFileOptions) { o.directory = directory }
}

// TempFileMode sets the permission bits of the file, independent of the umask. The default, and the
// meaning of 0, is 0600. Other bits of fs.FileMode are EINVAL. The directory of the file has mode
// 0700, so no other user reaches the file.
func TempFileMode(mode fs.FileMode) TempFileOption {
	return func(o *tempFileOptions) { o.mode = mode }
}

// TempFile is a real file with a path, for code that takes no descriptor. Any goroutine may call
// the methods at any time.
//
// The garbage collector removes the file of a TempFile that nothing refers to any more, but late:
// call Close. A TempFile must not be copied.
type TempFile struct {
	mu     sync.Mutex
	handle unsafe.Pointer // nil when closed
	path   string
}

// NewTempFile creates a real file that contains b, alone in a new directory of mode 0700. It is for
// code that resolves symbolic links (SQLite) or looks at the end of a name (clamscan -d x.ndb).
//
// The file cannot be sealed: any process of the same user can change it. If the code can take a
// descriptor, or the /proc path that the function [Path] returns for one, give it that instead. The
// TempFile holds a descriptor of the directory, locked with flock(2). A killed process leaves the
// file behind. [Sweep] removes it once no process has the locked descriptor, which children of
// fork(2) inherit.
//
// Errors:
//   - EFBIG if b is longer than RLIMIT_FSIZE.
//   - EINVAL if the suffix has a slash or a NUL, or the mode has other bits than permission bits.
//   - ENAMETOOLONG if the suffix has more than 200 bytes.
//   - ENOENT if the directory does not exist.
//   - ENOSPC if the file system is full.
//   - Others of mkdir(2) and open(2).
func NewTempFile(b []byte, opts ...TempFileOption) (*TempFile, error) {
	o := &tempFileOptions{}
	for _, set := range opts {
		set(o)
	}
	handle, path, err := tempFileCreate(b, o)
	if err != nil {
		return nil, err
	}
	f := &TempFile{handle: handle, path: path}
	runtime.SetFinalizer(f, (*TempFile).Close)
	return f, nil
}

// Path returns the absolute path of the file, without symbolic links, until Close. It returns ""
// after Close.
func (f *TempFile) Path() string {
	if f == nil {
		return ""
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.path
}

// Close removes the file and its directory, with everything that other code has put there. A second
// Close does nothing and returns nil.
//
// Errors: EXDEV if a file system is mounted in the directory, which then stays. Others of unlink(2)
// and rmdir(2).
func (f *TempFile) Close() error {
	if f == nil {
		return isNil("temporary file")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.handle == nil {
		return nil
	}
	err := tempFileClose(f.handle)
	f.handle, f.path = nil, ""
	runtime.SetFinalizer(f, nil)
	return err
}
