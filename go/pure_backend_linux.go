//go:build !cgo

package bytefd

import (
	"encoding/hex"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// emptyFile is an empty file that is in no directory. Its descriptor is close-on-exec, and its
// backend is never BackendAuto.
type emptyFile struct {
	fd      int
	backend Backend
}

func createFile(backend Backend, name string, e execution) (emptyFile, error) {
	if backend != BackendAuto {
		return createWith(backend, name, e)
	}
	var first *Error
	var refusals []string
	for _, backend := range []Backend{BackendMemfd, BackendShm, BackendTmpFile} {
		file, err := createWith(backend, name, e)
		if err == nil {
			return file, nil
		}
		refusal := err.(*Error)
		// If the administrator forbids executable memory files, no other backend replaces them.
		isForbidden := backend == BackendMemfd && e == executionWanted &&
			refusal.Errno == syscall.EACCES
		if isForbidden || isShortage(refusal.Errno) {
			return file, err
		}
		if first == nil {
			first = refusal
		}
		refusals = append(refusals, refusal.Op+": "+refusal.Message)
	}
	return emptyFile{}, &Error{"backend", first.Errno,
		"no backend works: " + strings.Join(refusals, "; ")}
}

func createWith(backend Backend, name string, e execution) (emptyFile, error) {
	fd, err := 0, error(nil)
	switch backend {
	case BackendShm:
		if fd, err = unnamedFile("/dev/shm"); err != nil {
			err = because("open O_TMPFILE", err, "in /dev/shm")
		}
	case BackendTmpFile:
		fd, err = temporaryFile()
	default:
		if fd, err = memoryFile(name, e); err != nil {
			// Without the name, which the caller knows and which can be long.
			err = because("memfd_create", err, "a memory file")
		}
	}
	if err != nil {
		return emptyFile{}, err
	}
	if fd, err = aboveStreams(fd); err != nil {
		return emptyFile{}, because("fcntl F_DUPFD_CLOEXEC", err, "a descriptor above 2")
	}
	return emptyFile{fd, backend}, nil
}

// isShortage reports whether the errno means that a resource has run out, not that the host lacks
// the backend.
func isShortage(errno syscall.Errno) bool {
	switch errno {
	case syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOSPC, syscall.EDQUOT:
		return true
	}
	return false
}

// lacksExecutionFlags is true if the kernel knows neither MFD_EXEC nor MFD_NOEXEC_SEAL: before
// Linux 6.3.
var lacksExecutionFlags atomic.Bool

func memoryFile(name string, e execution) (fd int, err error) {
	create := func(flag int) error {
		return again(func() (err error) {
			fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|flag)
			return err
		})
	}
	flag := unix.MFD_EXEC
	if e == executionForbidden {
		flag = unix.MFD_NOEXEC_SEAL
	}
	err = syscall.EINVAL
	if !lacksExecutionFlags.Load() {
		err = create(flag)
	}
	switch {
	case err == syscall.EINVAL:
		if err = create(0); err == nil {
			lacksExecutionFlags.Store(true)
		}
	case err == syscall.EACCES && e == executionUndecided:
		// If vm.memfd_noexec is 2, the kernel makes memfds only with this flag.
		err = create(unix.MFD_NOEXEC_SEAL)
	}
	return fd, err
}

func temporaryFile() (int, error) {
	var first error
	var refusals []string
	for _, directory := range temporaryDirectories() {
		fd, err := unnamedFile(directory)
		if err == nil {
			return fd, nil
		}
		errno, _ := err.(syscall.Errno)
		if isShortage(errno) {
			return 0, because("open O_TMPFILE", err, directory)
		}
		if first == nil {
			first = err // of the preferred directory
		}
		refusals = append(refusals, directory+" ("+inWords(errno)+")")
	}
	errno, _ := first.(syscall.Errno)
	return 0, &Error{"open O_TMPFILE", errno,
		"no directory can be used: " + strings.Join(refusals, ", ")}
}

// temporaryDirectories returns the directories for files on disk. The first one that can be written
// is used.
func temporaryDirectories() []string {
	directories := []string{"/tmp", "/var/tmp"}
	if chosen := os.Getenv("TMPDIR"); chosen != "" && !isPrivilegedExec() {
		directories = append([]string{chosen}, directories...)
	}
	return directories
}

// isPrivilegedExec reports whether the program has more rights than its caller, as with
// set-user-ID. Then the environment must not be trusted; see getauxval(3), AT_SECURE.
func isPrivilegedExec() bool {
	const secure = 23 // AT_SECURE
	vector, _ := unix.Auxv()
	for _, entry := range vector {
		if entry[0] == secure {
			return entry[1] != 0
		}
	}
	return unix.Getuid() != unix.Geteuid() || unix.Getgid() != unix.Getegid()
}

// unnamedFile makes a file that has no name. If the file system does not know O_TMPFILE, the file
// has a name for a moment. The errors are bare errnos.
func unnamedFile(directory string) (fd int, err error) {
	// O_EXCL: no later linkat(2) can give it a name, open(2).
	fd, err = openFile(directory, unix.O_TMPFILE|unix.O_RDWR|unix.O_EXCL, 0o600)
	if err != syscall.EOPNOTSUPP && err != syscall.EISDIR {
		return fd, err
	}
	// EOPNOTSUPP: the file system does not support O_TMPFILE. EISDIR: the kernel does not (before
	// 3.11), and sees only O_DIRECTORY.
	for range hiddenTries {
		name, err := hiddenName(directory)
		if err != nil {
			return 0, err
		}
		if fd, err := hiddenFile(name); fd >= 0 || err != syscall.EEXIST {
			return fd, err
		}
	}
	return 0, syscall.EBUSY
}

const (
	// The start of the names that a sweep looks at.
	ownedPrefix = "bytefd-owned."
	// How often a step is tried that another process can interfere with, and how long the pauses
	// are.
	hiddenTries = 100
	hiddenPause = time.Millisecond
)

// hiddenFile makes a file with an unguessable name and removes the name before the first byte, so
// that a later crash leaves nothing. The error is EEXIST if the name exists, and also if a sweep
// was faster.
func hiddenFile(name string) (fd int, err error) {
	fd, err = openFile(name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return -1, err
	}
	err = hold(fd, name)
	if removed := unix.Unlink(name); err == nil && removed != syscall.ENOENT {
		err = removed
	}
	if err == nil {
		err = again(func() error { return unix.Flock(fd, unix.LOCK_UN) })
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// hold takes the lock that keeps a sweep from removing the name. The error is EEXIST if the name no
// longer refers to the file.
func hold(fd int, name string) error {
	for range hiddenTries {
		err := again(func() error { return unix.Flock(fd, unix.LOCK_SH|unix.LOCK_NB) })
		if err == syscall.EWOULDBLOCK {
			time.Sleep(hiddenPause)
			continue
		}
		if err != nil {
			return err
		}
		var named unix.Stat_t
		if err := unix.Lstat(name, &named); err != nil {
			if err == syscall.ENOENT {
				err = syscall.EEXIST
			}
			return err
		}
		stat, err := fstat(fd)
		if err == nil && identityOf(&named) != identityOf(&stat) {
			err = syscall.EEXIST
		}
		return err
	}
	return syscall.EBUSY
}

// hiddenName returns an unguessable name in the directory.
func hiddenName(directory string) (string, error) {
	var random [16]byte
	err := again(func() error {
		_, err := unix.Getrandom(random[:], 0)
		return err
	})
	if err == syscall.ENOSYS {
		err = readRandom(random[:]) // before Linux 3.17
	}
	return directory + "/" + ownedPrefix + hex.EncodeToString(random[:]), err
}

func readRandom(random []byte) error {
	fd, err := openFile("/dev/urandom", unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	n, err := unix.Read(fd, random)
	if err == nil && n < len(random) {
		err = syscall.EIO
	}
	return err
}
