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
	"strings"
	"syscall"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
)

func TestErrorsHaveTheSameWordsWithAndWithoutCgo(t *testing.T) {
	path, directory := fileOf(t, pattern(5000)), t.TempDir()
	fifo := directory + "/fifo"
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	second := func(_ any, err error) error { return err }
	wrap := func(opts ...bytefd.WrapOption) error {
		return second(bytefd.WrapBuffer([]byte("hello"), opts...))
	}
	open := func(path string, opts ...bytefd.MapOption) error {
		return second(bytefd.MapFile(path, opts...))
	}
	null := closedLater(t, must[*os.File](t)(os.OpenFile("/dev/null", os.O_RDWR, 0)))
	writer := closedLater(t, must[*os.File](t)(os.OpenFile(path, os.O_WRONLY, 0)))
	device, behind := fmt.Sprint(null.Fd()), fmt.Sprint(writer.Fd())
	closedMap := mapped(t, path)
	const all = " (bytes 0..the end, file size 0, mode 0000)"
	for _, c := range []struct {
		want string
		err  error
	}{
		{"name: a name of 0 bytes; 1 to 200 are allowed", wrap(bytefd.WrapName(""))},
		{"name: a name of 201 bytes; 1 to 200 are allowed",
			wrap(bytefd.WrapName(strings.Repeat("n", 201)))},
		{`name: "a/b" has '/' at byte 1; slash, newline and NUL are not allowed`,
			wrap(bytefd.WrapName("a/b"))},
		{`name: "\n" has '\n' at byte 0; slash, newline and NUL are not allowed`,
			wrap(bytefd.WrapName("\n"))},
		{`name: "ü/" has '/' at byte 2; slash, newline and NUL are not allowed`,
			wrap(bytefd.WrapName("ü/"))},
		{`name: "a\x00/" has a NUL byte`, wrap(bytefd.WrapName("a\x00/"))},
		{"mode: mode 0200 does not let the owner read", wrap(bytefd.WrapMode(0o200))},
		{"mode: mode 0700 has execute bits, but executable is not set",
			wrap(bytefd.WrapMode(0o700))},
		{"mode: mode 20000000400 has bits other than the nine permission bits",
			wrap(bytefd.WrapMode(fs.ModeDir | 0o400))},
		{"backend: unknown backend 0x7", wrap(bytefd.WrapBackend(7))},
		{"options: writable and read-only exclude each other",
			wrap(bytefd.WrapWritable(), bytefd.WrapReadOnly(), bytefd.WrapMode(0o200))},
		{"options: writable and sealed exclude each other",
			wrap(bytefd.WrapWritable(), bytefd.WrapSealContent())},
		{"options: trust_callback is for scans with a pool", wrap(bytefd.WrapTrustCallback())},
		{"options: asked for seals on a Shm file; only a memfd can be sealed",
			wrap(bytefd.WrapSealContent(), bytefd.WrapBackend(bytefd.BackendShm))},
		{"options: asked for seals on a TmpFile file; only a memfd can be sealed",
			wrap(bytefd.WrapSealContent(), bytefd.WrapBackend(bytefd.BackendTmpFile))},
		{"spill_threshold: spill_threshold is 0, must be at least 1",
			wrap(bytefd.WrapSpillThreshold(0))},
		{"size_hint: size_hint is -1, must not be negative", wrap(bytefd.WrapSizeHint(-1))},
		{"spill_threshold: spill_threshold puts content on disk; " +
			"the memfd backend and seals keep it in memory",
			wrap(bytefd.WrapSpillThreshold(1), bytefd.WrapSealContent())},
		{"stream: the stream has more than the 4 bytes that max_bytes allows",
			second(bytefd.WrapReader(strings.NewReader("hello"), bytefd.WrapMaxBytes(4)))},
		{"stream: the stream has more than the 2097152 bytes that max_bytes allows",
			second(bytefd.WrapReader(bytes.NewReader(make([]byte, 3<<20)),
				bytefd.WrapMaxBytes(2<<20)))},
		{"scan: scan is nil", bytefd.ScanBytes(nil, nil)},

		{"fd: -1 is not an open descriptor", second(bytefd.Reopen(-1))},
		{"fd: 2147483647 is not an open descriptor", second(bytefd.Reopen(math.MaxInt32))},
		{"fd: -2 is not an open descriptor", second(bytefd.MapFD(-2, bytefd.MapCreate()))},
		{"reopen: descriptor " + device + " is a character device, not a regular file",
			second(bytefd.Reopen(null))},
		{"file type: descriptor " + device +
			" is a character device, not a regular file",
			second(bytefd.MapFD(null))},
		{"mmap: bytes 0..5000 of descriptor " + behind + ": Permission denied",
			second(bytefd.MapFD(writer))},
		{"options: create and mode are for a file that is opened by its path" + all,
			second(bytefd.MapFD(writer, bytefd.MapCreate()))},

		{"stat: " + path + "x: No such file or directory", open(path + "x")},
		{"stat: " + path + "/x: Not a directory", open(path + "/x")},
		{"stat: : No such file or directory", open("")},
		{`path: "\x00" has a NUL byte`, open("\x00")},
		{"file type: " + directory + " is a directory, not a regular file",
			open(directory)},
		{"file type: " + fifo + " is a pipe or FIFO, not a regular file",
			open(fifo)},
		{"file type: /dev/zero is a character device, not a regular file",
			open("/dev/zero")},
		{"mmap: /proc/self/maps cannot be mapped: its file system does not support this mapping",
			open("/proc/self/maps")},
		{"mmap: /proc/version cannot be mapped: it is a file of /proc", open("/proc/version")},
		{"range: asked for bytes 5001..the end of a file of 5000 bytes: " + path,
			open(path, bytefd.MapOffset(5001))},
		{"range: asked for bytes 4000..5001 of a file of 5000 bytes: " + path,
			open(path, bytefd.MapOffset(4000), bytefd.MapLength(1001))},
		{"options: the range ends past the maximum file size 9223372036854775807 " +
			"(bytes 9223372036854775806..9223372036854775808, file size 0, mode 0000)",
			open(path, bytefd.MapOffset(1<<63-2), bytefd.MapLength(2))},
		{"options: create needs write access" + all, open(path, bytefd.MapCreate())},
		{"options: file_size needs write access (bytes 0..5, file size 6, mode 0000)",
			open(path, bytefd.MapLength(5), bytefd.MapFileSize(6))},
		{"options: huge_pages is for memory" + all, open(path, bytefd.MapHugePages())},
		{"options: wipe_on_fork is for private memory" + all,
			open(path, bytefd.MapWipeOnFork())},
		{"options: reserve needs write access" + all,
			open(path, bytefd.MapReserve(1))},

		{"descriptor: the map has no descriptor to read the file size from; " +
			"only maps of files for writing, guarded maps of files, " +
			"and shared memory that is not sealed have one", second(closedMap.FileSize())},
		{"descriptor: the map lends no descriptor; only maps of files for writing, " +
			"and shared memory that is not sealed, lend one", second(closedMap.File())},
		{"write: the map is for reading only", second(closedMap.WriteAt([]byte("h"), 0))},
		{"word: the map is for reading only", second(closedMap.Word(0))},
	} {
		if c.err == nil {
			t.Errorf("no error, want %q", c.want)
		} else if c.err.Error() != "bytefd: "+c.want {
			t.Errorf("%q, want %q", c.err, c.want)
		}
	}
	if _, err := closedMap.File(); !errors.Is(err, syscall.EBADF) {
		t.Error(err)
	}
	if _, err := closedMap.ReadAt(make([]byte, 5001), 0); err != io.EOF {
		t.Error(err)
	}
}

// The kernel would read the lower half of the number, which is an open descriptor.
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
		want := fmt.Sprintf("bytefd: fd: %d is not an open descriptor", number)
		if isError(t, err, syscall.EBADF); err.Error() != want {
			t.Error(err)
		}
	}
}
