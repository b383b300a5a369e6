//go:build linux

package bytefd_test

import (
	"bytes"
	"errors"
	"math"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
	"golang.org/x/sys/unix"
)

// The promises hold with the library and without cgo. One table serves both: another descriptor, or
// another word in an error, fails here.

// promise describes a descriptor.
type promise struct {
	mode   uint32
	access int
	seals  int // -1: it cannot be sealed
	link   string
}

func inMemory(mode uint32, access, seals int) promise {
	return promise{mode, access, seals, "/memfd:bytefd (deleted)"}
}

func TestEveryCombinationOfOptionsGivesThePromisedDescriptor(t *testing.T) {
	const readWrite, readOnly = syscall.O_RDWR, syscall.O_RDONLY
	against := 0
	if fd, err := unix.MemfdCreate("probe", unix.MFD_CLOEXEC|unix.MFD_NOEXEC_SEAL); err == nil {
		against = sealExec
		unix.Close(fd)
	}
	sealed := readWrite
	if !mapsSealedFiles(t) {
		sealed = readOnly
	}
	type options []bytefd.WrapOption
	all, content := 0xf, 0xe
	for name, c := range map[string]struct {
		options options
		want    promise
	}{
		"default": {nil, inMemory(0o400, sealed, all|against)},
		"mode": {
			options{bytefd.WrapMode(0o644)}, inMemory(0o644, sealed, all|against),
		},
		"memfd": {
			options{bytefd.WrapBackend(bytefd.BackendMemfd)}, inMemory(0o400, sealed, all|against),
		},
		"read-only": {
			options{bytefd.WrapReadOnly()}, inMemory(0o400, readOnly, all|against),
		},
		"executable": {options{bytefd.WrapExecutable()}, inMemory(0o500, sealed, all)},
		"executable, mode": {
			options{bytefd.WrapExecutable(), bytefd.WrapMode(0o755)}, inMemory(0o755, sealed, all),
		},
		"writable": {options{bytefd.WrapWritable()}, inMemory(0o600, readWrite, 0)},
		"writable, executable": {
			options{bytefd.WrapWritable(), bytefd.WrapExecutable()}, inMemory(0o700, readWrite, 0),
		},
		"seal content": {
			options{bytefd.WrapSealContent()}, inMemory(0o400, readWrite, content),
		},
		"seal content, read-only": {
			options{bytefd.WrapSealContent(), bytefd.WrapReadOnly()},
			inMemory(0o400, readOnly, content),
		},
		"name": {
			options{bytefd.WrapName(strings.Repeat("n", 200))},
			promise{
				0o400, sealed, all | against, "/memfd:" + strings.Repeat("n", 200) + " (deleted)",
			},
		},
		"shm": {
			options{bytefd.WrapBackend(bytefd.BackendShm)}, promise{0o400, readOnly, -1, shm},
		},
		"shm, writable": {
			options{bytefd.WrapBackend(bytefd.BackendShm), bytefd.WrapWritable()},
			promise{0o600, readWrite, -1, shm},
		},
		"tmpfile": {
			options{bytefd.WrapBackend(bytefd.BackendTmpFile)},
			promise{0o400, readOnly, -1, os.TempDir()},
		},
		"spilled": {
			options{bytefd.WrapSpillThreshold(4)}, promise{0o400, readOnly, -1, os.TempDir()},
		},
		"spilled, writable": {
			options{bytefd.WrapSpillThreshold(4), bytefd.WrapWritable()},
			promise{0o600, readWrite, -1, os.TempDir()},
		},
		"not spilled": {
			options{bytefd.WrapSpillThreshold(5)}, inMemory(0o400, sealed, all|against),
		},
	} {
		for way, wrap := range wraps {
			err := wrap([]byte("hello"), func(fd int) {
				what := way + ": " + name
				isPromised(t, fd, []byte("hello"))
				got := promise{fstat(t, fd).Mode & 0o7777, accessMode(t, fd), -1,
					must[string](t)(os.Readlink(bytefd.Path(fd)))}
				if c.want.seals >= 0 {
					got.seals = seals(t, fd)
				} else if strings.HasPrefix(got.link, c.want.link+"/") {
					got.link = c.want.link
				}
				if got != c.want || !closeOnExec(t, fd) || fd <= 2 {
					t.Errorf("%s: %+v, want %+v; number %d, close-on-exec %v", what, got, c.want,
						fd, closeOnExec(t, fd))
				}
				isMappedForReading(t, fd, name != "seal content" || sealed == readWrite)
			}, c.options...)
			if err != nil {
				t.Errorf("%s: %s: %v", way, name, err)
			}
		}
	}
}

// isMappedForReading maps 5 bytes privately and, if that is promised, shared.
func isMappedForReading(t *testing.T, fd int, isShared bool) {
	t.Helper()
	for _, sharing := range []int{unix.MAP_PRIVATE, unix.MAP_SHARED} {
		if sharing == unix.MAP_SHARED && !isShared {
			continue
		}
		shown, err := unix.Mmap(fd, 0, page, unix.PROT_READ, sharing)
		if err != nil {
			t.Error("mmap:", err)
			continue
		}
		if !bytes.Equal(shown, append([]byte("hello"), make([]byte, page-5)...)) {
			t.Error("the page has other bytes, or does not end in zeros")
		}
		unix.Munmap(shown)
	}
}

// mapsSealedFiles reports whether the kernel maps a sealed file shared through a descriptor that is
// open for writing: Linux 6.7.
func mapsSealedFiles(t *testing.T) bool {
	t.Helper()
	fd := must[int](t)(unix.MemfdCreate("probe", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING))
	defer unix.Close(fd)
	must[int](t)(fcntl(fd, unix.F_ADD_SEALS, unix.F_SEAL_WRITE))
	shown, err := unix.Mmap(fd, 0, 1, unix.PROT_READ, unix.MAP_SHARED)
	if err == nil {
		unix.Munmap(shown)
	}
	return err == nil
}

func TestOnlyWhatIsMadeExecutableIsExecuted(t *testing.T) {
	program := must[[]byte](t)(os.ReadFile("/bin/true"))
	executes := func(opts ...bytefd.WrapOption) error {
		f := wrapped(t, program, opts...)
		return exec.Command(bytefd.Path(f)).Run()
	}
	if err := executes(bytefd.WrapExecutable()); err != nil {
		t.Error(err)
	}
	if err := executes(); !errors.Is(err, os.ErrPermission) {
		t.Errorf("%v is not os.ErrPermission", err)
	}
}

func TestAFileOfTooManyBytesIsEFBIGAndNoSignal(t *testing.T) {
	inAChild(t, func() {
		limit := syscall.Rlimit{Cur: 10_000, Max: 10_000}
		if err := syscall.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
			t.Fatal(err)
		}
		leavesNothing(t, func() {
			raisesNot(t, syscall.SIGXFSZ, func() {
				for _, backend := range []bytefd.Backend{
					bytefd.BackendAuto, bytefd.BackendShm, bytefd.BackendTmpFile,
				} {
					for way, wrap := range wraps {
						err := wrap(pattern(10_001), func(fd int) { t.Error("called") },
							bytefd.WrapBackend(backend))
						const want = "bytefd: file size: asked for a file of 10001 bytes, " +
							"the limit RLIMIT_FSIZE is 10000 bytes"
						if !errors.Is(err, syscall.EFBIG) || err.Error() != want {
							t.Errorf("%s: %v", way, err)
						}
						err = wrap(pattern(10_000),
							func(fd int) { isPromised(t, fd, pattern(10_000)) },
							bytefd.WrapBackend(backend))
						if err != nil {
							t.Errorf("%s: %v", way, err)
						}
					}
				}
			})
		})
	})
}

func TestNoDescriptorsLeftIsEMFILEAndNothingElseIsTried(t *testing.T) {
	inAChild(t, func() {
		path := fileOf(t, []byte("hello"))
		wrapped(t, nil) // what is probed once is known then
		free := must[int](t)(unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0))
		unix.Close(free)
		var old syscall.Rlimit
		if err := syscall.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Fatal(err)
		}
		limit := syscall.Rlimit{Cur: uint64(free), Max: old.Max}
		if err := syscall.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
		var errs []error
		for _, wrap := range wraps {
			errs = append(errs, wrap([]byte("hello"), func(fd int) { t.Error("called") }))
		}
		_, err := bytefd.MapFile(path)
		errs = append(errs, err)
		if err := syscall.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Fatal(err)
		}
		for _, err := range errs {
			isError(t, err, syscall.EMFILE)
		}
		if !strings.HasPrefix(errs[0].Error(), "bytefd: memfd_create: a memory file: ") {
			t.Error(errs[0])
		}
	})
}

func TestADescriptorIsNeverAStandardStream(t *testing.T) {
	inAChild(t, func() {
		path := fileOf(t, []byte("hello"))
		kept := must[int](t)(fcntl(0, unix.F_DUPFD_CLOEXEC, 10))
		for _, backend := range []bytefd.Backend{
			bytefd.BackendMemfd, bytefd.BackendShm, bytefd.BackendTmpFile,
		} {
			for way, wrap := range wraps {
				opts := []bytefd.WrapOption{bytefd.WrapInherit(), bytefd.WrapReadOnly()}
				for _, opt := range opts {
					unix.Close(0)
					err := wrap([]byte("hello"), func(fd int) {
						isPromised(t, fd, []byte("hello"))
						if fd <= 2 || isOpen(0) {
							t.Errorf("%s: number %d, or 0 is open", way, fd)
						}
					}, bytefd.WrapBackend(backend), opt)
					if err != nil {
						t.Errorf("%s: %v", way, err)
					}
				}
			}
		}
		m := mapped(t, path)
		f := wrapped(t, []byte("hello"))
		reopened := closedLater(t, must[*os.File](t)(bytefd.Reopen(f)))
		if string(m.Bytes()) != "hello" || isOpen(0) || reopened.Fd() <= 2 {
			t.Errorf("%q, or 0 is open", m.Bytes())
		}
		if err := unix.Dup3(kept, 0, 0); err != nil {
			t.Fatal(err)
		}
		unix.Close(kept)
	})
}

func TestAThousandSegmentsAreWrittenInTheirOrder(t *testing.T) {
	var segments [][]byte
	want := pattern(300_000)
	for at, n := 0, 0; at < len(want); n++ {
		end := min(len(want), at+n%601)
		segments = append(segments, want[at:end])
		at = end
	}
	if len(segments) < 1000 {
		t.Fatal(len(segments))
	}
	for _, backend := range []bytefd.Backend{bytefd.BackendMemfd, bytefd.BackendTmpFile} {
		f := closedLater(t,
			must[*os.File](t)(bytefd.WrapBuffers(segments, bytefd.WrapBackend(backend))))
		isPromised(t, int(f.Fd()), want)
	}
}

// Where an int has 32 bits, the last page of such a map ends past what a slice can have.
func TestAMapMayHaveTwoGiBLessOneByte(t *testing.T) {
	const most = math.MaxInt32
	path := t.TempDir() + "/holes"
	f := closedLater(t, must[*os.File](t)(os.Create(path)))
	if err := f.Truncate(most + 1); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("end"), most-2); err != nil {
		t.Fatal(err)
	}
	for _, offset := range []int64{0, 1} {
		m, err := bytefd.MapFile(path, bytefd.MapOffset(offset), bytefd.MapLength(most),
			bytefd.MapNoFork())
		if errors.Is(err, syscall.ENOMEM) {
			t.Skip("this process has no room for it:", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		last := make([]byte, 3)
		at := most - 2 - offset
		if n, err := m.ReadAt(last, at); n != min(3, int(most-at)) || string(last[:2]) != "en" {
			t.Errorf("from %d on: %q, %d, %v", offset, last, n, err)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestANumberThatStandsForAnotherFileAfterAScanIsLeftAlone(t *testing.T) {
	path := fileOf(t, []byte("other"))
	other := -1
	err := bytefd.ScanBytes([]byte("hello"), func(fd int) error {
		other = fd
		opened := must[int](t)(unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0))
		defer unix.Close(opened)
		return unix.Dup3(opened, fd, unix.O_CLOEXEC)
	})
	if err != nil {
		t.Fatal(err)
	}
	if !isOpen(other) || fstat(t, other).Size != 5 || fstat(t, other).Nlink != 1 {
		t.Error("the other file was closed")
	}
	unix.Close(other)
}

func TestEveryRangeOfAFileIsMapped(t *testing.T) {
	want := pattern(2*page + 100)
	path := fileOf(t, want)
	offsets := []int{0, 1, page - 1, page, page + 1, 2 * page, len(want) - 1, len(want)}
	for _, offset := range offsets {
		for _, length := range []int{1, 99, page, len(want)} {
			opts := []bytefd.MapOption{bytefd.MapOffset(int64(offset)), bytefd.MapLength(length)}
			if offset+length > len(want) {
				_, err := bytefd.MapFile(path, opts...)
				isError(t, err, syscall.ENXIO)
				continue
			}
			if m := mapped(t, path, opts...); !bytes.Equal(m.Bytes(), want[offset:offset+length]) {
				t.Errorf("%d bytes at %d are others", length, offset)
			}
		}
		m := mapped(t, path, bytefd.MapOffset(int64(offset)))
		if !bytes.Equal(m.Bytes(), want[offset:]) {
			t.Errorf("the bytes from %d on are others", offset)
		}
	}
	empty := mapped(t, path, bytefd.MapOffset(int64(len(want))))
	if empty.Bytes() == nil || addressOf(empty)%uintptr(page) != 0 {
		t.Errorf("an empty map at %#x is not at the start of a page", addressOf(empty))
	}
}

func TestChangesOfAFileShowInAMapForReading(t *testing.T) {
	path := fileOf(t, []byte("hello"))
	m := mapped(t, path)
	f := closedLater(t, must[*os.File](t)(os.OpenFile(path, os.O_WRONLY, 0)))
	must[int](t)(f.WriteAt([]byte("J"), 0))
	p := make([]byte, 5)
	if _, err := m.ReadAt(p, 0); err != nil || string(p) != "Jello" {
		t.Errorf("%q, %v", p, err)
	}
}

// Opening the file breaks the lease. open(2) with O_NONBLOCK does not wait for that.
func TestAFileWithALeaseIsWaitedFor(t *testing.T) {
	path := fileOf(t, []byte("hello"))
	holder := must[*os.File](t)(os.OpenFile(path, os.O_RDWR, 0))
	defer holder.Close()
	if _, err := fcntl(int(holder.Fd()), unix.F_SETSIG, uintptr(syscall.SIGURG)); err != nil {
		t.Fatal(err)
	}
	if _, err := fcntl(int(holder.Fd()), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		t.Skip("no leases here: ", err)
	}
	done := make(chan error)
	go func() {
		m, err := bytefd.MapFile(path)
		if err == nil {
			err = m.Close()
		}
		done <- err
	}()
	// The kernel asks for the lease once a process waits.
	eventually(func() bool {
		kind, err := fcntl(int(holder.Fd()), unix.F_GETLEASE, 0)
		return err != nil || kind != unix.F_WRLCK
	})
	if _, err := fcntl(int(holder.Fd()), unix.F_SETLEASE, unix.F_UNLCK); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
