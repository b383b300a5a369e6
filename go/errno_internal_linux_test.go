package bytefd

import (
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestErrnosHaveTheWordsOfTheCLibrary(t *testing.T) {
	for errno, want := range map[syscall.Errno]string{
		unix.EPERM:     "Operation not permitted",
		unix.EHWPOISON: "Memory page has hardware error",
		41:             "Unknown error 41", // no errno of any processor
		1000:           "Unknown error 1000",
	} {
		if got := inWords(errno); got != want {
			t.Errorf("%d: %q, want %q", int(errno), got, want)
		}
	}
}
