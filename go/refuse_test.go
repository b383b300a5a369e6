//go:build linux

package bytefd_test

import (
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// given says what an argument of a system call must be, in the bits of the mask.
type given struct {
	index       int
	mask, value uint32
}

// numbersOf386 are the system calls that package unix uses on 386 instead: fcntl64 and mmap2.
var numbersOf386 = map[int]int{unix.SYS_FCNTL: 221, unix.SYS_MMAP: 192}

// refuse makes a system call fail in this process from now on, if it has these arguments,
// seccomp(2).
func refuse(t *testing.T, number int, errno syscall.Errno, arguments ...given) {
	t.Helper()
	const numberAt, argumentsAt = 0, 16 // in struct seccomp_data
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: numberAt}}
	// A comparison that fails continues at the last instruction.
	compare := func(value uint32, left int) {
		skipped := uint8(3*left + 1)
		filter = append(filter,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: value, Jf: skipped})
	}
	if other, isOther := numbersOf386[number]; isOther && runtime.GOARCH == "386" {
		number = other
	}
	compare(uint32(number), len(arguments))
	for i, argument := range arguments {
		at := uint32(argumentsAt + 8*argument.index) // of the lower half, little endian
		filter = append(filter,
			unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at},
			unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: argument.mask})
		compare(argument.value, len(arguments)-i-1)
	}
	filter = append(filter,
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread() // the next two are the same thread's
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	_, _, failure := syscall.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	if failure != 0 {
		t.Fatal(failure)
	}
}

// refuseMemfd makes memfd_create fail in this process from now on.
func refuseMemfd(t *testing.T) {
	t.Helper()
	refuse(t, unix.SYS_MEMFD_CREATE, syscall.EPERM)
}

// refuseUnnamed makes open(2) with O_TMPFILE fail in this process from now on.
func refuseUnnamed(t *testing.T, errno syscall.Errno) {
	t.Helper()
	const flag = unix.O_TMPFILE &^ unix.O_DIRECTORY
	refuse(t, unix.SYS_OPENAT, errno, given{2, flag, flag})
}
