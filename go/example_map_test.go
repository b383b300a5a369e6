//go:build linux

package bytefd_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"syscall"

	bytefd "github.com/bytefd/bytefd/go"
)

// exampleFile makes a file for an example and returns a function that removes it.
func exampleFile(text string) (path string, remove func()) {
	dir, err := os.MkdirTemp("", "bytefd-example-")
	if err != nil {
		log.Fatal(err)
	}
	path = filepath.Join(dir, "file")
	if text != "" {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			log.Fatal(err)
		}
	}
	return path, func() { os.RemoveAll(dir) }
}

// show maps a file with options and prints what is in the map.
func show(path string, opts ...bytefd.MapOption) {
	m, err := bytefd.MapFile(path, opts...)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	fmt.Printf("%q\n", m.Bytes())
}

func ExampleMapFile() {
	path, remove := exampleFile("hello")
	defer remove()
	m, err := bytefd.MapFile(path)
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	fmt.Printf("%s", m.Bytes())
	// Output: hello
}

// Any code that takes an io.ReaderAt can use a map.
func ExampleMap() {
	path, remove := exampleFile("a table of contents")
	defer remove()
	m, err := bytefd.MapFile(path)
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	text, err := io.ReadAll(io.NewSectionReader(m, 2, 5))
	fmt.Printf("%s %v", text, err)
	// Output: table <nil>
}

func ExampleMap_ReadAt() {
	path, remove := exampleFile("hello")
	defer remove()
	m, err := bytefd.MapFile(path)
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	p := make([]byte, 2)
	n, err := m.ReadAt(p, 1)
	fmt.Printf("%s %v\n", p[:n], err)

	os.Truncate(path, 0) // somebody else makes the file shorter
	_, err = m.ReadAt(p, 1)
	fmt.Println(errors.Is(err, syscall.EIO))
	// Output:
	// el <nil>
	// true
}

func ExampleMap_Len() {
	path, remove := exampleFile("hello")
	defer remove()
	m, err := bytefd.MapFile(path)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(m.Len())
	m.Close()
	fmt.Println(m.Len())
	// Output:
	// 5
	// 0
}

func ExampleMap_Close() {
	path, remove := exampleFile("hello")
	defer remove()
	m, err := bytefd.MapFile(path)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(m.Close(), m.Close())
	_, err = m.ReadAt(make([]byte, 1), 0)
	fmt.Println(errors.Is(err, os.ErrClosed))
	// Output:
	// <nil> <nil>
	// true
}

func ExampleMapOption() {
	path, remove := exampleFile("hello")
	defer remove()
	opts := []bytefd.MapOption{bytefd.MapOffset(1), bytefd.MapLength(3)}
	show(path, opts...)
	// Output: "ell"
}

func ExampleMapRead() {
	path, remove := exampleFile("hello")
	defer remove()
	show(path, bytefd.MapRead())
	// Output: "hello"
}

func ExampleMapOffset() {
	path, remove := exampleFile("hello")
	defer remove()
	show(path, bytefd.MapOffset(3))
	show(path, bytefd.MapOffset(5))
	// Output:
	// "lo"
	// ""
}

func ExampleMapLength() {
	path, remove := exampleFile("hello")
	defer remove()
	show(path, bytefd.MapLength(4))
	// Output: "hell"
}

func ExampleMapExecute() {
	show("/proc/self/exe", bytefd.MapExecute(), bytefd.MapLength(4))
	// Output: "\x7fELF"
}

func ExampleMapPopulate() {
	path, remove := exampleFile("hello")
	defer remove()
	show(path, bytefd.MapPopulate())
	// Output: "hello"
}

func ExampleMapMlock() {
	path, remove := exampleFile("hello")
	defer remove()
	show(path, bytefd.MapMlock())
	// Output: "hello"
}

func ExampleMapBeyondEOF() {
	path, remove := exampleFile("hello")
	defer remove()
	show(path, bytefd.MapLength(8), bytefd.MapBeyondEOF())
	// Output: "hello\x00\x00\x00"
}

func ExampleMapNoFork() {
	path, remove := exampleFile("hello")
	defer remove()
	show(path, bytefd.MapNoFork())
	// Output: "hello"
}

func ExampleMapFD() {
	f, err := bytefd.WrapBuffer([]byte("hello"))
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close() // also keeps it open until now
	m, err := bytefd.MapFD(int(f.Fd()), bytefd.MapOffset(1))
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	fmt.Printf("%s", m.Bytes())
	// Output: ello
}
