//go:build linux

package bytefd_test

import (
	"bytes"
	"os/exec"
	"syscall"
	"testing"
)

func TestAnotherProcessTruncatesAndReadingIsEIO(t *testing.T) {
	all := pattern(4 * page)
	path := fileOf(t, all)
	m := mapped(t, path)
	if err := exec.Command("truncate", "-s", "5000", path).Run(); err != nil {
		t.Fatal(err)
	}
	there := (5000 + page - 1) / page * page // the last page is there to its end
	want := append(bytes.Clone(all[:5000]), make([]byte, there-5000)...)

	p := make([]byte, len(all))
	n, err := m.ReadAt(p, 0)
	isError(t, err, syscall.EIO)
	if n != there || !bytes.Equal(p[:n], want) {
		t.Errorf("read %d bytes, want the %d that are there", n, there)
	}
	if n, err := m.ReadAt(p[:there], 0); n != there || err != nil {
		t.Errorf("read %d bytes that are there, %v", n, err)
	}
	n, err = m.ReadAt(p[:1], int64(there))
	isError(t, err, syscall.EIO)
	if n != 0 {
		t.Errorf("read %d bytes that are gone", n)
	}
}
