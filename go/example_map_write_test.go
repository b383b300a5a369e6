//go:build linux && cgo

package bytefd_test

import (
	"fmt"
	"log"
	"os"
	"syscall"

	bytefd "github.com/bytefd/bytefd/go"
)

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
	// bytefd: write: asked for bytes 5..6 of a map of 5 bytes
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

func ExampleMapNoReserve() {
	path, remove := exampleFile("")
	defer remove()
	m, err := bytefd.MapFile(path, bytefd.MapWrite(), bytefd.MapCreate(),
		bytefd.MapFileSize(1<<30), bytefd.MapNoReserve())
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	fmt.Println(m.Len())
	// Output: 1073741824
}
