//go:build linux && cgo

// Four_ways shares the same buffer with another process in four ways, side by side.
//
// The child, this program again, knows nothing of its parent's memory but an address: the number of
// a segment, a name, a socket, a path. It prints what it found there. Only the sent memfd is
// sealed: nobody can change it while the child reads it.
package main

import (
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	bytefd "github.com/bytefd/bytefd/go"
)

const text = "the same bytes"

func main() {
	log.SetFlags(0)
	log.SetPrefix("four_ways: ")
	if len(os.Args) == 3 {
		must(use(os.Args[1], os.Args[2]))
		return
	}
	must(systemV())
	must(named())
	must(sent())
	must(mappedFile())
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// child runs this program again to use what is at an address.
func child(way, address string, files ...*os.File) error {
	again := exec.Command("/proc/self/exe", way, address)
	again.Stdout, again.Stderr, again.ExtraFiles = os.Stdout, os.Stderr, files
	return again.Run()
}

func systemV() error {
	m, shmid, err := bytefd.MapSysv(0, bytefd.SysvCreate(), bytefd.SysvTransient(),
		bytefd.SysvWrite(), bytefd.SysvLength(len(text)))
	if err != nil {
		return err
	}
	defer m.Close()
	copy(m.Bytes(), text)
	return child("System V", strconv.Itoa(shmid))
}

func named() error {
	n, err := bytefd.CreateShm("four_ways", bytefd.ShmWrite(), bytefd.ShmLength(int64(len(text))),
		bytefd.ShmOwned(), bytefd.ShmUnlinkOnClose())
	if err != nil {
		return err
	}
	defer n.Close()
	if _, err := n.File().WriteAt([]byte(text), 0); err != nil {
		return err
	}
	return child("named", n.Name())
}

func sent() error {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		return err
	}
	defer conn.Close()
	f, err := bytefd.WrapBuffer([]byte(text))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := bytefd.Send(conn.(*net.UnixConn), []byte("!"), f); err != nil {
		return err
	}
	return child("sent memfd", "3", theirs)
}

func mappedFile() error {
	folder, err := os.MkdirTemp("", "four_ways-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "file")
	m, err := bytefd.MapFile(path, bytefd.MapWrite(), bytefd.MapCreate(),
		bytefd.MapFileSize(int64(len(text))))
	if err != nil {
		return err
	}
	defer m.Close()
	copy(m.Bytes(), text)
	return child("mapped file", path)
}

// use prints the content at an address.
func use(way, address string) error {
	m, err := open(way, address)
	if err != nil {
		return err
	}
	defer m.Close()
	_, err = fmt.Printf("%-14s %s\n", way, m.Bytes())
	return err
}

func open(way, address string) (*bytefd.Map, error) {
	switch way {
	case "System V":
		shmid, err := strconv.Atoi(address)
		if err != nil {
			return nil, err
		}
		m, _, err := bytefd.MapSysv(shmid, bytefd.SysvByID())
		return m, err
	case "named":
		n, err := bytefd.OpenShm(address)
		if err != nil {
			return nil, err
		}
		defer n.Close()
		return bytefd.MapFD(int(n.File().Fd()))
	case "sent memfd":
		socket := os.NewFile(3, "socket")
		conn, err := net.FileConn(socket)
		socket.Close()
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		_, files, err := bytefd.Receive(conn.(*net.UnixConn), make([]byte, 1), 1,
			bytefd.RequireSealed())
		if err != nil {
			return nil, err
		}
		if len(files) == 0 {
			return nil, errors.New("no file came")
		}
		defer files[0].Close()
		return bytefd.MapFD(int(files[0].Fd()))
	}
	return bytefd.MapFile(address)
}
