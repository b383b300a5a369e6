//go:build linux && cgo

// Anon_mmap shares a counter in memory with a child process. The parent gives the child the
// descriptor of the memory. The child executes a program, this one again, so it has nothing else of
// its parent.
package main

import (
	"fmt"
	"log"
	"os"
	"os/exec"
	"sync/atomic"
	"unsafe"

	bytefd "github.com/bytefd/bytefd/go"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("anon_mmap: ")
	run := parent
	if len(os.Args) == 2 && os.Args[1] == "child" {
		run = child
	}
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func parent() error {
	m, err := bytefd.NewMap(8)
	if err != nil {
		return err
	}
	defer m.Close()
	counter(m).Store(1)

	f, err := m.File()
	if err != nil {
		return err
	}
	defer f.Close()
	cmd := exec.Command("/proc/self/exe", "child")
	cmd.ExtraFiles = []*os.File{f} // descriptor 3
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return err
	}
	fmt.Println("in the parent, value =", counter(m).Load())
	return nil
}

func child() error {
	m, err := bytefd.MapFD(3, bytefd.MapWrite())
	if err != nil {
		return err
	}
	defer m.Close()
	fmt.Println("child started, value =", counter(m).Load())
	counter(m).Add(1)
	return nil
}

// counter returns the memory as a number. It is at the start of a page, so it is aligned.
func counter(m *bytefd.Map) *atomic.Int64 {
	return (*atomic.Int64)(unsafe.Pointer(unsafe.SliceData(m.Bytes())))
}
