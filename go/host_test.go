//go:build linux && cgo

package bytefd_test

import (
	"strings"
	"syscall"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
)

func TestTheHostReportHasALineForEachChoice(t *testing.T) {
	report := must[string](t)(bytefd.HostReport())
	if strings.ContainsRune(report, 0) {
		t.Errorf("%q holds a NUL byte", report)
	}
	lines := strings.SplitAfter(report, "\n")
	subjects := []string{"files: ", "descriptors: ", "filling: ", "pools: ", ""} // nothing after the last newline
	if len(lines) != len(subjects) {
		t.Fatalf("%d lines in %q, want %d", len(lines)-1, report, len(subjects)-1)
	}
	for i, subject := range subjects {
		words, found := strings.CutPrefix(lines[i], subject)
		if !found || subject != "" && strings.TrimSpace(words) == "" {
			t.Errorf("line %d is %q, want words about %q", i, lines[i], subject)
		}
	}
}

func TestAHostReportLeavesNothing(t *testing.T) {
	before := takeInventory()
	must[string](t)(bytefd.HostReport())
	for _, leftover := range before.leftovers() {
		t.Error("left over:", leftover)
	}
}

func TestAHostReportWithoutDescriptorsIsEMFILEAndLeavesNothing(t *testing.T) {
	before := takeInventory()
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 3, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	report, err := bytefd.HostReport()
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	isError(t, err, syscall.EMFILE)
	if report != "" {
		t.Errorf("there is a report too: %q", report)
	}
	for _, leftover := range before.leftovers() {
		t.Error("left over:", leftover)
	}
}
