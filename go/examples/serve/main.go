//go:build linux && cgo

// Serve gives what it reads from standard input, as a sealed file, to every client that connects to
// a Unix socket.
//
//	serve SOCKET CLIENTS < FILE
//
// The client gets a message of one byte with one descriptor. It can be any program: fetch in
// c-examples, or
//
//	python3 -c 'import os, socket; s = socket.socket(socket.AF_UNIX); s.connect("SOCKET")
//	print(os.pread(socket.recv_fds(s, 1, 1)[1][0], 100, 0))'
package main

import (
	"fmt"
	"log"
	"net"
	"os"
	"strconv"
	"time"

	bytefd "github.com/bytefd/bytefd/go"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("serve: ")
	if len(os.Args) != 3 {
		log.Fatal("usage: serve SOCKET CLIENTS < FILE")
	}
	clients, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	content, err := bytefd.WrapReader(os.Stdin)
	if err != nil {
		log.Fatal(err)
	}
	defer content.Close()
	server, err := net.ListenUnix("unix", &net.UnixAddr{Name: os.Args[1], Net: "unix"})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close() // and removes the path
	for range clients {
		client, err := server.AcceptUnix()
		if err != nil {
			log.Fatal(err)
		}
		// A client that hangs up before it has its descriptor does not affect the others.
		if err := serve(client, content); err != nil {
			log.Print(err)
		}
	}
}

func serve(client *net.UnixConn, content *os.File) error {
	defer client.Close()
	// A client that takes nothing does not keep the others waiting.
	client.SetDeadline(time.Now().Add(5 * time.Second))
	peer, err := bytefd.PeerCredentials(client)
	if err != nil {
		return err
	}
	if err := bytefd.Send(client, []byte("!"), content); err != nil {
		return err
	}
	_, err = fmt.Println("user", peer.UID)
	return err
}
