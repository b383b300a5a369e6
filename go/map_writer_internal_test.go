//go:build linux && cgo

package bytefd

import "testing"

func TestAWriterGrowsByDoublingAndThenByHugePages(t *testing.T) {
	for _, c := range []struct{ bytes, want int }{
		{1, 64 << 10}, {64 << 10, 64 << 10}, {64<<10 + 1, 128 << 10}, {1<<20 + 1, 2 << 20},
		{2 << 20, 2 << 20},
		{2<<20 + 1, 4 << 20}, {4<<20 + 1, 6 << 20}, {5 << 30, 5 << 30}, {5<<30 + 1, 5<<30 + 2<<20},
	} {
		if got := sizeFor(c.bytes); got != c.want {
			t.Errorf("%d bytes get %d, want %d", c.bytes, got, c.want)
		}
	}
}
