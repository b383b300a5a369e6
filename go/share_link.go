package bytefd

import (
	"runtime"
	"sync"
	"unsafe"
)

// LinkedFile is a file with a path, for code that insists on one. Its methods may be called from any goroutine at any
// time.
//
// A LinkedFile that nothing refers to any more is removed by the garbage collector some time later. That is for
// accidents: call Close. A LinkedFile must not be copied.
type LinkedFile struct {
	mu     sync.Mutex
	handle unsafe.Pointer // nil when closed
	path   string
}

// Link puts bytes into a real file of mode 0600, whose name ends with suffix, alone in a directory of mode 0700 that
// nobody else can enter: on the tmpfs at /dev/shm, or in /tmp where there is none. It is for code that resolves links
// (SQLite) or looks at the end of a name (clamscan -d x.ndb).
//
// Such a file cannot be sealed: whoever runs as the same user can change it. Code that can take a descriptor, or its
// [Path], should be given that instead. A process that is killed leaves the file behind; [Sweep] removes it then.
//
// Errors: EINVAL for a suffix with a slash or a NUL, or that is not UTF-8; ENAMETOOLONG for one of more than 200 bytes;
// ENOSPC and EFBIG if there is no room; ENOENT where /proc is not mounted; and those of mkdir(2) and open(2).
func Link(b []byte, suffix string) (*LinkedFile, error) {
	handle, path, err := link(b, suffix)
	if err != nil {
		return nil, err
	}
	l := &LinkedFile{handle: handle, path: path}
	runtime.SetFinalizer(l, (*LinkedFile).Close)
	return l, nil
}

// Path returns where the file is, an absolute path without symbolic links, and "" after Close. The file is there until
// Close is called.
func (l *LinkedFile) Path() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.path
}

// Close removes the file, with its directory and whatever files the client has put beside it. Closing again does
// nothing and returns nil, which is all that Close ever returns.
func (l *LinkedFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.handle != nil {
		linkRelease(l.handle)
		l.handle, l.path = nil, ""
		runtime.SetFinalizer(l, nil)
	}
	return nil
}
