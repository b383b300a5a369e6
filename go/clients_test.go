//go:build linux && cgo

package bytefd_test

import (
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
)

// sizes are the lengths of the content for clients, as in the tests of the exported functions.
var clientSizes = []int{0, 12345, 5 << 20}

// TestExtraFilesAreTheChilds is a row of CLIENTS.md: os/exec gives a child duplicates, from number
// 3 on, and leaves the file to its owner. The file offset is shared.
func TestExtraFilesAreTheChilds(t *testing.T) {
	for _, size := range clientSizes {
		want := pattern(size)
		f := wrapped(t, want)
		before := must[int](t)(fcntl(int(f.Fd()), fGetSeals, 0))

		cmd := exec.Command("/bin/sh", "-c", "cat <&3")
		cmd.ExtraFiles = []*os.File{f}
		if got := must[[]byte](t)(cmd.Output()); !bytes.Equal(got, want) {
			t.Errorf("%d bytes: the child has read %d", size, len(got))
		}
		if offset := must[int64](t)(f.Seek(0, 1)); offset != int64(size) {
			t.Errorf("%d bytes: the child has left the offset at %d", size, offset)
		}
		// A second child begins where the first one ended. With a reopened file it does not.
		again := exec.Command("/bin/sh", "-c", "cat <&3; cat <&4")
		again.ExtraFiles = []*os.File{f, closedLater(t, must[*os.File](t)(bytefd.Reopen(f)))}
		if got := must[[]byte](t)(again.Output()); !bytes.Equal(got, want) {
			t.Errorf("%d bytes: a second child has read %d", size, len(got))
		}
		if after := must[int](t)(fcntl(int(f.Fd()), fGetSeals, 0)); after != before {
			t.Errorf("%d bytes: seals %#x, before %#x", size, after, before)
		}
		if stat := fstat(t, int(f.Fd())); stat.Size != int64(size) {
			t.Errorf("the file has %d bytes now, not %d", stat.Size, size)
		}
	}
}

// TestAttachedBytesAreTheChildsAtItsPath is a row of CLIENTS.md: a child that wants a path.
func TestAttachedBytesAreTheChildsAtItsPath(t *testing.T) {
	for _, size := range clientSizes {
		want := pattern(size)
		cmd := exec.Command("/bin/sh", "-c", `wc -c "$1"; cat "$1" >&2`, "sh")
		cmd.Args = append(cmd.Args, must[string](t)(bytefd.Attach(cmd, want, label(t))))
		var said, content bytes.Buffer
		cmd.Stdout, cmd.Stderr = &said, &content
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		prefix := []byte(strconv.Itoa(size) + " ")
		if !bytes.HasPrefix(said.Bytes(), prefix) || !bytes.Equal(content.Bytes(), want) {
			t.Errorf("%d bytes: the child says %q and has read %d",
				size, said.String(), content.Len())
		}
		for _, f := range cmd.ExtraFiles {
			if offset := must[int64](t)(f.Seek(0, 1)); offset != 0 {
				t.Errorf("%d bytes: the offset is %d", size, offset)
			}
			f.Close()
		}
	}
}
