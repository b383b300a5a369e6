//go:build linux && cgo

// Mmcat writes files to standard output, like cat, but maps them instead of reading them.
//
//	mmcat FILE...
//
// It names a file that cannot be mapped, or that is truncated meanwhile, on standard error. It
// still writes the other files, and exits with 1.
package main

import (
	"fmt"
	"os"

	bytefd "github.com/bytefd/bytefd/go"
)

func main() {
	status := 0
	for _, path := range os.Args[1:] {
		if err := cat(path); err != nil {
			fmt.Fprintln(os.Stderr, "mmcat:", err)
			status = 1
		}
	}
	os.Exit(status)
}

func cat(path string) error {
	m, err := bytefd.MapFile(path)
	if err != nil {
		return err
	}
	defer m.Close()
	return m.Guarded(func(b []byte) error {
		_, err := os.Stdout.Write(b)
		return err
	})
}
