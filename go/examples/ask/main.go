//go:build linux && cgo

// Ask asks the program answer, which must be running, a question in a file that both have mapped.
//
//	ask FILE QUESTION
package main

import (
	"bytes"
	"fmt"
	"log"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	bytefd "github.com/bytefd/bytefd/go"
)

// The meaning of the first four bytes of the file. The text follows, up to a zero.
const (
	nothing = iota
	question
	answer
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("ask: ")
	if len(os.Args) != 3 {
		log.Fatal("usage: ask FILE QUESTION")
	}
	m, err := bytefd.MapFile(os.Args[1], bytefd.MapWrite())
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	if len(os.Args[2])+5 > m.Len() {
		log.Fatal("the question is too long")
	}
	state, text := (*atomic.Uint32)(unsafe.Pointer(unsafe.SliceData(m.Bytes()))), m.Bytes()[4:]

	copy(text, os.Args[2]+"\x00")
	state.Store(question) // after the text, so a process that sees this also sees the text
	for state.Load() != answer {
		time.Sleep(time.Millisecond)
	}
	answered, _, _ := bytes.Cut(text, []byte{0})
	fmt.Printf("answered %q\n", answered)
}
