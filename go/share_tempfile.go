package bytefd

import (
	"io/fs"
	"os"
	"runtime"
	"sync"
	"unsafe"
)

// TempFileOption changes how a temporary file is created. The default: no suffix, in /dev/shm, mode
// 0600. Options may be given in any order and used again; of two that set the same thing the last
// one counts.
type TempFileOption func(*tempFileOptions)

type tempFileOptions struct {
	suffix, directory string
	mode              fs.FileMode
}

// TempFileSuffix sets the end of the file's name, at most 200 bytes.
func TempFileSuffix(suffix string) TempFileOption {
	return func(o *tempFileOptions) { o.suffix = suffix }
}

// TempFileDirectory sets an existing directory for the file. The default, and the meaning of "", is
// the tmpfs at /dev/shm, or /tmp where that cannot be used. [Sweep] looks into
// /dev/shm, $TMPDIR, /tmp and /var/tmp only: in another directory, a killed process leaves the file
// behind.
func TempFileDirectory(directory string) TempFileOption {
	return func(o *tempFileOptions) { o.directory = directory }
}

// TempFileMode sets the permission bits of the file, whatever the umask says. The default, and the
// meaning of 0, is 0600. Other bits of fs.FileMode are EINVAL. The file's directory lets no other
// user in.
func TempFileMode(mode fs.FileMode) TempFileOption {
	return func(o *tempFileOptions) { o.mode = mode }
}

// TempFile is a real file with a path, for code that does not take a descriptor. Its methods may be
// called from any goroutine at any time.
//
// A TempFile that nothing refers to any more is removed by the garbage collector some time later.
// That is for accidents: call Close. A TempFile must not be copied.
type TempFile struct {
	mu     sync.Mutex
	handle unsafe.Pointer // nil when closed
	path   string
}

// NewTempFile creates a real file that contains b, alone in a directory of mode 0700. It is for
// code that resolves symbolic links (SQLite) or looks at the end of a name (clamscan -d x.ndb).
//
// Such a file cannot be sealed: any process of the same user can change it. Give code that can take
// a descriptor, or its [Path], that instead. The value holds a descriptor of the directory, locked
// with flock(2). A killed process leaves the file behind; [Sweep] removes it once no process holds
// the directory, which children of fork(2) inherit.
//
// Errors:
//   - EINVAL for a suffix with a slash or a NUL, or a mode with other than permission bits.
//   - ENAMETOOLONG for a suffix of more than 200 bytes.
//   - ENOENT if there is no such directory.
//   - ENOSPC if the file system is full, EFBIG above RLIMIT_FSIZE.
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

// Path returns the absolute path of the file, without symbolic links, and "" after Close. The file
// is there until Close is called.
func (f *TempFile) Path() string {
	if f == nil {
		return ""
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.path
}

// Close removes the file, with its directory and what the client has put beside it. Closing again
// does nothing and returns nil. For a nil TempFile it returns os.ErrInvalid.
//
// Errors: EXDEV if something is mounted in the directory, which stays then; others of unlink(2) and
// rmdir(2).
func (f *TempFile) Close() error {
	if f == nil {
		return os.ErrInvalid
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
