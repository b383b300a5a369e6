//go:build linux && cgo

// T_mmap shows the first 10 bytes of a file, and changes them if it is given others.
//
//	t_mmap FILE [NEW]
package main

import (
	"bytes"
	"errors"
	"fmt"
	"log"
	"os"
	"syscall"

	bytefd "github.com/bytefd/bytefd/go"
)

const size = 10

func main() {
	log.SetFlags(0)
	log.SetPrefix("t_mmap: ")
	if len(os.Args) < 2 || len(os.Args) > 3 {
		log.Fatal("usage: t_mmap FILE [NEW]")
	}
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		log.Fatal(err)
	}
}

func run(path string, text []string) error {
	m, err := bytefd.MapFile(path, bytefd.MapWrite(), bytefd.MapLength(size))
	if err != nil {
		return err
	}
	defer m.Close()
	b := m.Bytes()
	current, _, _ := bytes.Cut(b, []byte{0})
	fmt.Printf("current string: %s\n", current)
	if len(text) == 0 {
		return nil
	}
	if len(text[0]) >= size {
		return errors.New("the new string is too long")
	}
	clear(b)
	copy(b, text[0])
	fmt.Printf("copied %q to the map\n", text[0])
	return m.Flush(0, bytefd.ToEnd, syscall.MS_SYNC)
}
