//go:build linux && cgo

package bytefd

import (
	"strings"
	"testing"
)

// The text of a later version may exceed the first buffer.
func TestAReportOfAnyLengthIsWhole(t *testing.T) {
	whole, err := HostReport()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(whole, "\n") != 4 {
		t.Errorf("%q has not a line for each choice", whole)
	}
	for _, bytes := range []int{1, 2, 100, len(whole) - 1, len(whole), len(whole) + 1, 10_000} {
		report, err := hostReport(bytes)
		if err != nil || strings.Count(report, "\n") != strings.Count(whole, "\n") ||
			!strings.HasSuffix(report, "\n") {
			t.Errorf("asked with %d bytes first: %q, %v; want as many lines as in %q",
				bytes, report, err, whole)
		}
	}
}
