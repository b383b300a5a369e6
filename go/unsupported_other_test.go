//go:build !linux

package bytefd_test

import (
	"errors"
	"strings"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
)

func TestEveryCallAnswersThatItIsUnsupported(t *testing.T) {
	called := func(int) error { t.Error("called without a descriptor"); return nil }
	_, buffer := bytefd.WrapBuffer([]byte("hello"), bytefd.WrapName("name"), bytefd.WrapInherit())
	_, buffers := bytefd.WrapBuffers([][]byte{[]byte("hello")}, bytefd.WrapMode(0o444),
		bytefd.WrapWritable())
	_, reader := bytefd.WrapReader(strings.NewReader("hello"),
		bytefd.WrapBackend(bytefd.BackendMemfd))
	_, reopened := bytefd.Reopen(0)
	_, file := bytefd.MapFile("file", bytefd.MapWrite(), bytefd.MapCreate())
	_, fd := bytefd.MapFD(0, bytefd.MapGuard())
	_, memory := bytefd.NewMap(5, bytefd.MapReserve(1<<20), bytefd.MapHugePages(),
		bytefd.MapWipeOnFork())
	_, writer := bytefd.NewMapWriter()
	_, pool := bytefd.NewPool(1 << 20)
	_, report := bytefd.HostReport()
	_, sweep := bytefd.Sweep()
	for name, err := range map[string]error{
		"WrapBuffer": buffer, "WrapBuffers": buffers, "WrapReader": reader, "Reopen": reopened,
		"MapFile":   file,
		"ScanBytes": bytefd.ScanBytes(nil, called), "NewPool": pool, "HostReport": report,
		"MapFD": fd, "NewMap": memory,
		"NewMapWriter": writer, "Sweep": sweep,
	} {
		var e *bytefd.Error
		if !errors.Is(err, errors.ErrUnsupported) || !errors.As(err, &e) ||
			!strings.Contains(e.Message, name) {
			t.Errorf("%s: %v (%T) is no *Error that is ErrUnsupported and names it", name, err, err)
		}
	}
}
