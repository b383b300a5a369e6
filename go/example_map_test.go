//go:build linux && cgo

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

// exampleFile makes a file for an example and returns what removes it.
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

func ExampleMap_WriteAt() {
	path, remove := exampleFile("hello")
	defer remove()
	m, err := bytefd.MapFile(path, bytefd.MapWrite())
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	n, err := m.WriteAt([]byte("J"), 0)
	fmt.Println(n, err)
	_, err = m.WriteAt([]byte("!"), 5)
	fmt.Println(err)
	text, err := os.ReadFile(path)
	fmt.Printf("%s %v", text, err)
	// Output:
	// 1 <nil>
	// bytefd: write: asked to write 1 bytes at offset 5 of a map of 5 bytes
	// Jello <nil>
}

func ExampleMap_Flush() {
	path, remove := exampleFile("hello")
	defer remove()
	m, err := bytefd.MapFile(path, bytefd.MapWrite())
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	m.Bytes()[4] = 'p'
	for _, how := range []int{syscall.MS_ASYNC, syscall.MS_SYNC} {
		fmt.Println(m.Flush(4, 1, how))
	}
	// Output:
	// <nil>
	// <nil>
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

func ExampleMap_Bytes() {
	path, remove := exampleFile("hello")
	defer remove()
	m, err := bytefd.MapFile(path, bytefd.MapPrivate())
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close() // also keeps the memory there until now
	b := m.Bytes()
	b[0] = 'J'
	fmt.Printf("%s", b)
	// Output: Jello
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

func ExampleMapWrite() {
	path, remove := exampleFile("hello")
	defer remove()
	show(path, bytefd.MapWrite())
	// Output: "hello"
}

func ExampleMapPrivate() {
	show("/proc/self/exe", bytefd.MapPrivate(), bytefd.MapLength(4))
	// Output: "\x7fELF"
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

func ExampleMapFileSize() {
	path, remove := exampleFile("hello")
	defer remove()
	show(path, bytefd.MapWrite(), bytefd.MapFileSize(7))
	// Output: "hello\x00\x00"
}

func ExampleMapCreate() {
	path, remove := exampleFile("")
	defer remove()
	show(path, bytefd.MapWrite(), bytefd.MapCreate(), bytefd.MapFileSize(3))
	// Output: "\x00\x00\x00"
}

func ExampleMapMode() {
	path, remove := exampleFile("")
	defer remove()
	show(path, bytefd.MapWrite(), bytefd.MapCreate(), bytefd.MapMode(0o400))
	info, err := os.Stat(path)
	fmt.Println(info.Mode(), err)
	// Output:
	// ""
	// -r-------- <nil>
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

func ExampleMapNoReserve() {
	path, remove := exampleFile("")
	defer remove()
	m, err := bytefd.MapFile(path, bytefd.MapWrite(), bytefd.MapCreate(), bytefd.MapFileSize(1<<30), bytefd.MapNoReserve())
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	fmt.Println(m.Len())
	// Output: 1073741824
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
