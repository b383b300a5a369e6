//go:build linux && cgo

// Answer waits for a question from the program ask in a file that both have mapped. It answers
// there, in capitals. It makes the file.
//
//	answer FILE
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
	log.SetPrefix("answer: ")
	if len(os.Args) != 2 {
		log.Fatal("usage: answer FILE")
	}
	m, err := bytefd.MapFile(os.Args[1], bytefd.MapWrite(), bytefd.MapCreate(),
		bytefd.MapFileSize(4096))
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	state, text := (*atomic.Uint32)(unsafe.Pointer(unsafe.SliceData(m.Bytes()))), m.Bytes()[4:]

	state.Store(nothing)
	fmt.Println("waiting for a question")
	for state.Load() != question {
		time.Sleep(time.Millisecond) // a map has nothing to wait for
	}
	asked, _, _ := bytes.Cut(text, []byte{0})
	fmt.Printf("asked %q\n", asked)
	copy(text, bytes.ToUpper(asked))
	state.Store(answer)
}
