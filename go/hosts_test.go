//go:build linux

package bytefd_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
	"golang.org/x/sys/unix"
)

// Hosts that lack a feature: a child refuses the system calls to itself. The library and the
// package without cgo behave alike.

// fallsBack checks the result of every way without memfd, and where the file is.
func fallsBack(t *testing.T, place string) {
	t.Helper()
	for _, size := range sizes {
		for way, wrap := range wraps {
			leavesNothing(t, func() {
				err := wrap(pattern(size), func(fd int) {
					isPromised(t, fd, pattern(size))
					link := must[string](t)(os.Readlink(bytefd.Path(fd)))
					mode := fstat(t, fd).Mode & 0o7777
					if !strings.HasPrefix(link, place) || mode != 0o400 ||
						accessMode(t, fd) != syscall.O_RDONLY ||
						!closeOnExec(t, fd) {
						t.Errorf("%s: %s, mode %o, access %d", way, link, mode, accessMode(t, fd))
					}
				})
				if err != nil {
					t.Errorf("%s: %v", way, err)
				}
			})
		}
	}
	// A caller that requires seals gets them or an error.
	needsMemfd := []bytefd.WrapOption{
		bytefd.WrapBackend(bytefd.BackendMemfd), bytefd.WrapSealContent(),
	}
	for _, opt := range needsMemfd {
		_, err := bytefd.WrapBuffer([]byte("hello"), opt)
		if err == nil || !strings.HasPrefix(err.Error(), "bytefd: memfd_create: a memory file: ") {
			t.Error(err)
		}
	}
	if names, _ := filepath.Glob(shm + "/bytefd*" + fmt.Sprint(os.Getpid())); len(names) > 0 {
		t.Error("names are left:", names)
	}
}

func TestWithoutMemfdAFileInShmIsMade(t *testing.T) {
	inAChild(t, func() {
		refuseMemfd(t)
		fallsBack(t, shm+"/#")
	})
}

// A kernel before 3.17 has neither, and this file system does not know O_TMPFILE.
func TestWithoutMemfdAndUnnamedFilesAHiddenNameIsRemovedAtOnce(t *testing.T) {
	inAChild(t, func() {
		refuse(t, unix.SYS_MEMFD_CREATE, syscall.ENOSYS)
		refuse(t, unix.SYS_GETRANDOM, syscall.ENOSYS)
		refuseUnnamed(t, syscall.EOPNOTSUPP)
		fallsBack(t, shm+"/bytefd-owned.")
	})
}

func TestWhereShmCannotBeWrittenATemporaryFileIsMade(t *testing.T) {
	inNamespaces(t, func() {
		if err := syscall.Mount("bytefd", shm, "tmpfs", syscall.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
		directory := t.TempDir()
		t.Setenv("TMPDIR", directory)
		refuseMemfd(t)
		fallsBack(t, directory+"/#")
		t.Setenv("TMPDIR", directory+"/missing")
		fallsBack(t, "/tmp/#")
	})
}

func TestWhereNothingWorksTheErrorNamesWhatWasTried(t *testing.T) {
	inAChild(t, func() {
		refuseMemfd(t)
		refuseUnnamed(t, syscall.EACCES)
		t.Setenv("TMPDIR", "/nowhere")
		leavesNothing(t, func() {
			_, err := bytefd.WrapBuffer([]byte("hello"))
			isError(t, err, syscall.EPERM)
			// A message of the library has at most 215 bytes; a longer one lacks its middle.
			const begin = "bytefd: backend: no backend works: " +
				"memfd_create: a memory file: Operation not permitted; " +
				"open O_TMPFILE: in /dev/shm: Permi"
			const end = " can be used: /nowhere (Permission denied), " +
				"/tmp (Permission denied), " +
				"/var/tmp (Permission denied)"
			if text := err.Error(); !strings.HasPrefix(text, begin) ||
				!strings.HasSuffix(text, end) {
				t.Error(text)
			}
		})
	})
}

// A shortage is no property of the host, and must not be remembered.
func TestAShortageDoesNotLeadToTheNextBackend(t *testing.T) {
	inAChild(t, func() {
		refuse(t, unix.SYS_MEMFD_CREATE, syscall.ENFILE)
		for way, wrap := range wraps {
			err := wrap([]byte("hello"), func(int) { t.Error("called") })
			const want = "bytefd: memfd_create: a memory file: Too many open files in system"
			if isError(t, err, syscall.ENFILE); err.Error() != want {
				t.Errorf("%s: %v", way, err)
			}
		}
	})
}

// Linux before 6.3 returns EINVAL for the flags about execution.
func TestKernelsWithoutTheFlagsAboutExecutionGetNone(t *testing.T) {
	inAChild(t, func() {
		for _, flag := range []uint32{unix.MFD_EXEC, unix.MFD_NOEXEC_SEAL} {
			refuse(t, unix.SYS_MEMFD_CREATE, syscall.EINVAL, given{1, flag, flag})
		}
		sealsAre(t, map[int][]bytefd.WrapOption{
			0xf: nil, 0xe: {bytefd.WrapSealContent()}, 0: {bytefd.WrapWritable()},
		})
		f := wrapped(t, []byte("hello"), bytefd.WrapExecutable())
		if seals(t, int(f.Fd())) != 0xf || fstat(t, int(f.Fd())).Mode&0o777 != 0o500 {
			t.Error("it is not executable, or not sealed")
		}
	})
}

// vm.memfd_noexec=2 is respected, and not worked around.
func TestWhereMemoryFilesMustNotBeExecutableThatIsObeyed(t *testing.T) {
	if fd, err := unix.MemfdCreate("probe", unix.MFD_CLOEXEC|unix.MFD_NOEXEC_SEAL); err != nil {
		t.Skip("this kernel knows no such rule: ", err)
	} else {
		unix.Close(fd)
	}
	inAChild(t, func() {
		refuse(t, unix.SYS_MEMFD_CREATE, syscall.EACCES, given{1, unix.MFD_EXEC, unix.MFD_EXEC})
		sealsAre(t, map[int][]bytefd.WrapOption{
			0xf | sealExec: nil,
			0xe | sealExec: {bytefd.WrapSealContent()},
			sealExec:       {bytefd.WrapWritable()},
		})
		_, err := bytefd.WrapBuffer([]byte("hello"), bytefd.WrapExecutable())
		const want = "bytefd: memfd_create: a memory file: Permission denied"
		if isError(t, err, syscall.EACCES); err.Error() != want {
			t.Error(err)
		}
	})
}

func sealsAre(t *testing.T, wanted map[int][]bytefd.WrapOption) {
	t.Helper()
	for want, opts := range wanted {
		for way, wrap := range wraps {
			err := wrap([]byte("hello"), func(fd int) {
				isPromised(t, fd, []byte("hello"))
				if got := seals(t, fd); got != want {
					t.Errorf("%s: seals %#x, want %#x", way, got, want)
				}
			}, opts...)
			if err != nil {
				t.Errorf("%s: %v", way, err)
			}
		}
	}
}

// Linux before 6.7 refuses to map a sealed file shared through a descriptor that is open for
// writing.
func TestKernelsThatCannotMapSealedFilesGiveAReadOnlyDescriptor(t *testing.T) {
	inAChild(t, func() {
		all := ^uint32(0)
		refuse(t, unix.SYS_MMAP, syscall.EPERM, given{2, all, unix.PROT_READ},
			given{3, all, unix.MAP_SHARED})
		for _, size := range sizes {
			for way, wrap := range wraps {
				for access, opts := range map[int][]bytefd.WrapOption{
					syscall.O_RDONLY: nil, syscall.O_RDWR: {bytefd.WrapSealContent()},
				} {
					err := wrap(pattern(size), func(fd int) {
						isPromised(t, fd, pattern(size))
						if got := accessMode(t, fd); got != access || seals(t, fd)&0xe != 0xe {
							t.Errorf("%s: access %d, want %d; seals %#x",
								way, got, access, seals(t, fd))
						}
					}, opts...)
					if err != nil {
						t.Errorf("%s: %v", way, err)
					}
				}
			}
		}
		m := mapped(t, fileOf(t, []byte("hello")))
		if string(m.Bytes()) != "hello" {
			t.Errorf("%q", m.Bytes())
		}
	})
}

func TestAFileThatCannotBeSealedIsEBUSYAndNothingIsLeft(t *testing.T) {
	inAChild(t, func() {
		refuse(t, unix.SYS_FCNTL, syscall.EBUSY, given{1, ^uint32(0), unix.F_ADD_SEALS})
		leavesNothing(t, func() {
			for way, wrap := range wraps {
				err := wrap([]byte("hello"), func(int) { t.Error("called") })
				const want = "bytefd: seal: seals 0xf: Device or resource busy"
				if isError(t, err, syscall.EBUSY); err.Error() != want {
					t.Errorf("%s: %v", way, err)
				}
			}
		})
	})
}

func TestWithoutProcTheErrorSaysSo(t *testing.T) {
	inNamespaces(t, func() {
		path := fileOf(t, []byte("hello"))
		f := wrapped(t, []byte("hello"))
		if err := syscall.Mount("bytefd", "/proc", "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		var errs []error
		for _, wrap := range wraps {
			errs = append(errs,
				wrap([]byte("hello"), func(int) { t.Error("called") }, bytefd.WrapReadOnly()))
		}
		_, err := bytefd.Reopen(f)
		errs = append(errs, err)
		m, mapErr := bytefd.MapFile(path)
		if err := syscall.Unmount("/proc", 0); err != nil {
			t.Fatal(err)
		}
		for _, err := range errs {
			isError(t, err, syscall.ENOENT)
			const want = " (/proc is not mounted): No such file or directory"
			if text := err.Error(); !strings.HasPrefix(text, "bytefd: reopen: /proc/self/fd/") ||
				!strings.HasSuffix(text, want) {
				t.Error(text)
			}
		}
		if mapErr != nil {
			t.Fatal(mapErr)
		}
		m.Close()
	})
}
