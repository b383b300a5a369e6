//go:build linux && cgo

// Demo shows the use of a lent descriptor. It reads FILE into memory and lends the bytes. Then it
// passes the descriptor to code that knows nothing of this package: fstat and fcntl, libmagic, and
// sha256sum in a child process.
//
//	demo FILE
//
// It exits with 1 if the digest of the child is not that of the bytes.
package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	bytefd "github.com/bytefd/bytefd/go"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: demo FILE")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(path string) error {
	original, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return bytefd.ScanBytes(original, func(fd int) error {
		return show(fd, fmt.Sprintf("%x", sha256.Sum256(original)))
	}, bytefd.WrapInherit())
}

func show(fd int, want string) error {
	stat, err := describe(fd)
	if err != nil {
		return err
	}
	fmt.Println("Go    fstat  ", stat)

	kind, err := magic(fd)
	if err != nil {
		return err
	}
	fmt.Println("      magic  ", kind)

	out, err := exec.Command("sha256sum", bytefd.Path(fd)).Output()
	if err != nil {
		return err
	}
	digest, _, _ := strings.Cut(string(out), " ")
	fmt.Println("      child   sha256sum says", digest)

	if digest != want {
		fmt.Println("      result  DIFFERENT from the digest of the original,", want)
		return errors.New("the digests differ")
	}
	fmt.Println("      result  equal to the digest of the original")
	return nil
}

// describe returns what the kernel tells other code about the descriptor.
func describe(fd int) (string, error) {
	var stat syscall.Stat_t
	if err := syscall.Fstat(fd, &stat); err != nil {
		return "", os.NewSyscallError("fstat", err)
	}
	kind := "regular file"
	if stat.Mode&syscall.S_IFMT != syscall.S_IFREG {
		kind = "not a regular file"
	}
	offset, err := syscall.Seek(fd, 0, io.SeekCurrent)
	if err != nil {
		return "", os.NewSyscallError("lseek", err)
	}
	const getSeals = 1034 // F_GET_SEALS
	sealText := "none"
	if seals, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), getSeals, 0); errno == 0 {
		sealText = fmt.Sprintf("%#x", seals)
	}
	return fmt.Sprintf("%s, %d bytes, offset %d, links %d, mode %04o, seals %s",
		kind, stat.Size, offset, stat.Nlink, stat.Mode&0o7777, sealText), nil
}
