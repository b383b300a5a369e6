//go:build linux

package bytefd_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
	"golang.org/x/sys/unix"
)

// What is promised holds with the library and without cgo. One table serves both: whatever gives
// another descriptor, or another word in an error, fails here.

// promise is what a descriptor is.
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
		"default":                 {nil, inMemory(0o400, sealed, all|against)},
		"mode":                    {options{bytefd.WrapMode(0o644)}, inMemory(0o644, sealed, all|against)},
		"memfd":                   {options{bytefd.WrapBackend(bytefd.BackendMemfd)}, inMemory(0o400, sealed, all|against)},
		"read-only":               {options{bytefd.WrapReadOnly()}, inMemory(0o400, readOnly, all|against)},
		"executable":              {options{bytefd.WrapExecutable()}, inMemory(0o500, sealed, all)},
		"executable, mode":        {options{bytefd.WrapExecutable(), bytefd.WrapMode(0o755)}, inMemory(0o755, sealed, all)},
		"writable":                {options{bytefd.WrapWritable()}, inMemory(0o600, readWrite, 0)},
		"writable, executable":    {options{bytefd.WrapWritable(), bytefd.WrapExecutable()}, inMemory(0o700, readWrite, 0)},
		"seal content":            {options{bytefd.WrapSealContent()}, inMemory(0o400, readWrite, content)},
		"seal content, read-only": {options{bytefd.WrapSealContent(), bytefd.WrapReadOnly()}, inMemory(0o400, readOnly, content)},
		"name": {
			options{bytefd.WrapName(strings.Repeat("n", 200))},
			promise{0o400, sealed, all | against, "/memfd:" + strings.Repeat("n", 200) + " (deleted)"},
		},
		"shm":               {options{bytefd.WrapBackend(bytefd.BackendShm)}, promise{0o400, readOnly, -1, shm}},
		"shm, writable":     {options{bytefd.WrapBackend(bytefd.BackendShm), bytefd.WrapWritable()}, promise{0o600, readWrite, -1, shm}},
		"tmpfile":           {options{bytefd.WrapBackend(bytefd.BackendTmpFile)}, promise{0o400, readOnly, -1, os.TempDir()}},
		"spilled":           {options{bytefd.WrapSpillThreshold(4)}, promise{0o400, readOnly, -1, os.TempDir()}},
		"spilled, writable": {options{bytefd.WrapSpillThreshold(4), bytefd.WrapWritable()}, promise{0o600, readWrite, -1, os.TempDir()}},
		"not spilled":       {options{bytefd.WrapSpillThreshold(5)}, inMemory(0o400, sealed, all|against)},
	} {
		for way, wrap := range wraps {
			err := wrap([]byte("hello"), func(fd int) {
				what := way + ": " + name
				isPromised(t, fd, []byte("hello"))
				got := promise{fstat(t, fd).Mode & 0o7777, accessMode(t, fd), -1, must[string](t)(os.Readlink(bytefd.Path(fd)))}
				if c.want.seals >= 0 {
					got.seals = seals(t, fd)
				} else if strings.HasPrefix(got.link, c.want.link+"/") {
					got.link = c.want.link
				}
				if got != c.want || !closeOnExec(t, fd) || fd <= 2 {
					t.Errorf("%s: %+v, want %+v; number %d, close-on-exec %v", what, got, c.want, fd, closeOnExec(t, fd))
				}
				isMappedForReading(t, fd, name != "seal content" || sealed == readWrite)
			}, c.options...)
			if err != nil {
				t.Errorf("%s: %s: %v", way, name, err)
			}
		}
	}
}

// isMappedForReading maps 5 bytes, privately and, if that is promised, shared.
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

func TestErrorsHaveTheSameWordsWithAndWithoutCgo(t *testing.T) {
	path, directory := fileOf(t, pattern(5000)), t.TempDir()
	fifo := directory + "/fifo"
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	second := func(_ any, err error) error { return err }
	wrap := func(opts ...bytefd.WrapOption) error { return second(bytefd.WrapBuffer([]byte("hello"), opts...)) }
	open := func(path string, opts ...bytefd.MapOption) error { return second(bytefd.MapFile(path, opts...)) }
	null := closedLater(t, must[*os.File](t)(os.OpenFile("/dev/null", os.O_RDWR, 0)))
	writer := closedLater(t, must[*os.File](t)(os.OpenFile(path, os.O_WRONLY, 0)))
	device, behind := fmt.Sprint(null.Fd()), fmt.Sprint(writer.Fd())
	closedMap := mapped(t, path)
	for want, err := range map[string]error{
		"name: a name of 0 bytes; 1 to 200 are allowed":                            wrap(bytefd.WrapName("")),
		"name: a name of 201 bytes; 1 to 200 are allowed":                          wrap(bytefd.WrapName(strings.Repeat("n", 201))),
		`name: "a/b" has '/' at byte 1; slash, newline and NUL are not allowed`:    wrap(bytefd.WrapName("a/b")),
		`name: "\n" has '\n' at byte 0; slash, newline and NUL are not allowed`:    wrap(bytefd.WrapName("\n")),
		`name: "ü/" has '/' at byte 2; slash, newline and NUL are not allowed`:     wrap(bytefd.WrapName("ü/")),
		`name: "a\x00/" holds a NUL byte`:                                          wrap(bytefd.WrapName("a\x00/")),
		"mode: 0200 does not let the owner read":                                   wrap(bytefd.WrapMode(0o200)),
		"mode: 0700 has execute bits, but the file was not asked to be executable": wrap(bytefd.WrapMode(0o700)),
		"mode: 20000000400 has bits other than the nine permission bits":           wrap(bytefd.WrapMode(fs.ModeDir | 0o400)),
		"backend: unknown backend 0x7":                                             wrap(bytefd.WrapBackend(7)),
		"options: writable and read-only exclude each other":                       wrap(bytefd.WrapWritable(), bytefd.WrapReadOnly(), bytefd.WrapMode(0o200)),
		"options: writable and sealed exclude each other":                          wrap(bytefd.WrapWritable(), bytefd.WrapSealContent()),
		"options: trust_callback is for scans with a pool":                         wrap(bytefd.WrapTrustCallback()),
		"options: asked for seals on a Shm file; only a memfd can be sealed":       wrap(bytefd.WrapSealContent(), bytefd.WrapBackend(bytefd.BackendShm)),
		"options: asked for seals on a TmpFile file; only a memfd can be sealed":   wrap(bytefd.WrapSealContent(), bytefd.WrapBackend(bytefd.BackendTmpFile)),
		"spill_threshold: spill_threshold is 0, must be more than 0":               wrap(bytefd.WrapSpillThreshold(0)),
		"size_hint: size_hint is -1, must not be negative":                         wrap(bytefd.WrapSizeHint(-1)),
		"spill_threshold: spill_threshold puts content on disk; the memfd backend and seals keep it in memory": wrap(
			bytefd.WrapSpillThreshold(1), bytefd.WrapSealContent()),
		"stream: the stream has more than the 4 bytes that max_bytes allows": second(bytefd.WrapReader(
			strings.NewReader("hello"), bytefd.WrapMaxBytes(4))),
		"stream: the stream has more than the 2097152 bytes that max_bytes allows": second(bytefd.WrapReader(
			bytes.NewReader(make([]byte, 3<<20)), bytefd.WrapMaxBytes(2<<20))),
		"scan: scan is nil": bytefd.ScanBytes(nil, nil),

		"fd: -1 is not an open descriptor":                                                             second(bytefd.Reopen(-1)),
		"fd: 2147483647 is not an open descriptor":                                                     second(bytefd.Reopen(math.MaxInt32)),
		"fd: -2 is not an open descriptor":                                                             second(bytefd.MapFD(-2, bytefd.MapCreate())),
		"reopen: descriptor " + device + " is a character device, not a regular file":                  second(bytefd.Reopen(null)),
		"file type: descriptor " + device + " is a character device; only regular files can be mapped": second(bytefd.MapFD(null)),
		"mmap: bytes 0..5000 of descriptor " + behind + ": Permission denied":                          second(bytefd.MapFD(writer)),
		"options: create and mode are for a file that is opened by its path (bytes 0..the end, file size 0, mode 0000)": second(
			bytefd.MapFD(writer, bytefd.MapCreate())),

		"stat: " + path + "x: No such file or directory":                                        open(path + "x"),
		"stat: " + path + "/x: Not a directory":                                                 open(path + "/x"),
		"stat: : No such file or directory":                                                     open(""),
		`path: "\x00" holds a NUL byte`:                                                         open("\x00"),
		"file type: " + directory + " is a directory; only regular files can be mapped":         open(directory),
		"file type: " + fifo + " is a pipe or FIFO; only regular files can be mapped":           open(fifo),
		"file type: /dev/zero is a character device; only regular files can be mapped":          open("/dev/zero"),
		"mmap: /proc/self/maps cannot be mapped: its file system does not support this mapping": open("/proc/self/maps"),
		"mmap: /proc/version cannot be mapped: it is a file of /proc":                           open("/proc/version"),
		"range: asked for bytes 5001..the end of a file of 5000 bytes: " + path:                 open(path, bytefd.MapOffset(5001)),
		"range: asked for bytes 4000..5001 of a file of 5000 bytes: " + path:                    open(path, bytefd.MapOffset(4000), bytefd.MapLength(1001)),
		"options: the range is past what a file can have (bytes 9223372036854775806..9223372036854775808, file size 0, mode 0000)": open(
			path, bytefd.MapOffset(1<<63-2), bytefd.MapLength(2)),
		"options: create needs write access (bytes 0..the end, file size 0, mode 0000)":          open(path, bytefd.MapCreate()),
		"options: growing a file needs write access (bytes 0..5, file size 6, mode 0000)":        open(path, bytefd.MapLength(5), bytefd.MapFileSize(6)),
		"options: huge_pages is for memory (bytes 0..the end, file size 0, mode 0000)":           open(path, bytefd.MapHugePages()),
		"options: wipe_on_fork is for private memory (bytes 0..the end, file size 0, mode 0000)": open(path, bytefd.MapWipeOnFork()),
		"options: keeping address space for growing needs write access (bytes 0..the end, file size 0, mode 0000)": open(
			path, bytefd.MapReserve(1)),

		"descriptor: the map keeps no descriptor; maps for writing and guarded maps do, and shared memory until it is sealed": second(closedMap.FileSize()),
		"write: the map is for reading only": second(closedMap.WriteAt([]byte("h"), 0)),
		"word: the map is for reading":       second(closedMap.Word(0)),
	} {
		if err == nil {
			t.Errorf("no error, want %q", want)
		} else if err.Error() != "bytefd: "+want {
			t.Errorf("%q, want %q", err, want)
		}
	}
	if _, err := closedMap.File(); !errors.Is(err, syscall.EBADF) {
		t.Error(err)
	}
	if _, err := closedMap.ReadAt(make([]byte, 5001), 0); err != io.EOF {
		t.Error(err)
	}
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
				for _, backend := range []bytefd.Backend{bytefd.BackendAuto, bytefd.BackendShm, bytefd.BackendTmpFile} {
					for way, wrap := range wraps {
						err := wrap(pattern(10_001), func(fd int) { t.Error("called") }, bytefd.WrapBackend(backend))
						const want = "bytefd: file size: asked for a file of 10001 bytes, the limit RLIMIT_FSIZE is 10000 bytes"
						if !errors.Is(err, syscall.EFBIG) || err.Error() != want {
							t.Errorf("%s: %v", way, err)
						}
						err = wrap(pattern(10_000), func(fd int) { isPromised(t, fd, pattern(10_000)) }, bytefd.WrapBackend(backend))
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
		for _, backend := range []bytefd.Backend{bytefd.BackendMemfd, bytefd.BackendShm, bytefd.BackendTmpFile} {
			for way, wrap := range wraps {
				for _, opt := range []bytefd.WrapOption{bytefd.WrapInherit(), bytefd.WrapReadOnly()} {
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
		f := closedLater(t, must[*os.File](t)(bytefd.WrapBuffers(segments, bytefd.WrapBackend(backend))))
		isPromised(t, int(f.Fd()), want)
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
	for _, offset := range []int{0, 1, page - 1, page, page + 1, 2 * page, len(want) - 1, len(want)} {
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
		if m := mapped(t, path, bytefd.MapOffset(int64(offset))); !bytes.Equal(m.Bytes(), want[offset:]) {
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

// A lease is broken by whoever opens the file, and open(2) with O_NONBLOCK does not wait for that.
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
	// The lease is asked back once somebody waits.
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

// The kernel would see the lower half of them, which is the number of an open descriptor.
func TestNumbersOfTooManyBitsAreEBADF(t *testing.T) {
	f := wrapped(t, []byte("hello"))
	shift := 32
	if 1<<shift == 0 {
		t.Skip("an int has 32 bits here")
	}
	for _, high := range []int{1 << shift, -1 << shift} {
		number := high | int(f.Fd())
		_, err := bytefd.Reopen(number)
		isError(t, err, syscall.EBADF)
		_, err = bytefd.MapFD(number)
		if isError(t, err, syscall.EBADF); err.Error() != fmt.Sprintf("bytefd: fd: %d is not an open descriptor", number) {
			t.Error(err)
		}
	}
}
