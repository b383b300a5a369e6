//go:build linux

package bytefd_test

import (
	"os"
	"strings"
	"syscall"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
)

// lostMaps are maps of two pages, by name. The second page is lost.
func lostMaps(t *testing.T) map[string]*bytefd.Map {
	t.Helper()
	maps := map[string]*bytefd.Map{}
	for _, name := range []string{"plain", "guarded", "guarded, replaced"} {
		if name != "plain" && !hasCgo {
			continue
		}
		path := fileOf(t, pattern(2*page))
		var opts []bytefd.MapOption
		if name != "plain" {
			opts = append(opts, bytefd.MapGuard())
		}
		m := mapped(t, path, opts...)
		if err := os.Truncate(path, int64(page)); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "replaced") {
			if b := m.Bytes(); b[page] != 0 {
				t.Fatal("a lost page is not zero")
			}
		}
		maps[name] = m
	}
	return maps
}

// Lost bytes must never be read as zeros, which a scanner would find clean.
func TestLostBytesAreEFAULT(t *testing.T) {
	called := func(int) error { t.Error("called back"); return nil }
	for name, m := range lostMaps(t) {
		t.Run(name, func(t *testing.T) {
			b := m.Bytes()
			isError(t, bytefd.ScanBytes(b, called), syscall.EFAULT)
			_, err := bytefd.WrapBuffer(b)
			isError(t, err, syscall.EFAULT)
			for _, disk := range [][]bytefd.WrapOption{nil, {bytefd.WrapSpillThreshold(1)}} {
				_, err = bytefd.WrapBuffers([][]byte{pattern(page), b, pattern(page)}, disk...)
				isError(t, err, syscall.EFAULT)
			}
			isPromised(t, int(wrapped(t, b[:page]).Fd()), pattern(2 * page)[:page])
		})
	}
}
