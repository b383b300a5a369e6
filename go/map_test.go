//go:build linux

package bytefd_test

import (
	"bytes"
	"fmt"
	"testing"
	"unsafe"

	bytefd "github.com/bytefd/bytefd/go"
)

func addressOf(m *bytefd.Map) uintptr {
	return uintptr(unsafe.Pointer(unsafe.SliceData(m.Bytes())))
}

func TestAMapHasTheBytesOfTheFile(t *testing.T) {
	for _, size := range sizes {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			want := pattern(size)
			m := mapped(t, fileOf(t, want))
			if m.Len() != size || m.Bytes() == nil || !bytes.Equal(m.Bytes(), want) {
				t.Errorf("the map of %d bytes differs from the file of %d", m.Len(), size)
			}
		})
	}
}
