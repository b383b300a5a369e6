//go:build linux && cgo

// Recvfile reads bytes from a Unix socket straight into a file: the socket writes into the map of
// the file, without a buffer in between.
//
//	recvfile SOCKET FILE LENGTH
//
// The file then has exactly LENGTH bytes, and they are on storage.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"syscall"

	bytefd "github.com/bytefd/bytefd/go"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("recvfile: ")
	if len(os.Args) != 4 {
		log.Fatal("usage: recvfile SOCKET FILE LENGTH")
	}
	length, err := strconv.Atoi(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	if err := receive(os.Args[1], os.Args[2], length); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("received %d bytes\n", length)
}

func receive(socket, path string, length int) error {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	m, err := bytefd.MapFile(path, bytefd.MapWrite(), bytefd.MapCreate())
	if err != nil {
		return err
	}
	defer m.Close()
	// Makes the file this long and reserves its space, so that a full disk is an error here and no
	// signal later.
	if err := m.Resize(length); err != nil {
		return err
	}
	err = m.Guarded(func(b []byte) error {
		_, err := io.ReadFull(conn, b)
		return err
	})
	if err != nil {
		return err
	}
	return m.Flush(0, bytefd.ToEnd, syscall.MS_SYNC)
}
