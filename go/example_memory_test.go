//go:build linux && cgo

package bytefd_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"syscall"

	bytefd "github.com/bytefd/bytefd/go"
)

// exampleMemory is NewMap for examples.
func exampleMemory(length int, opts ...bytefd.MapOption) *bytefd.Map {
	m, err := bytefd.NewMap(length, opts...)
	if err != nil {
		log.Fatal(err)
	}
	return m
}

// Memory that another process can map too.
func ExampleNewMap() {
	m, err := bytefd.NewMap(5)
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	copy(m.Bytes(), "hello")

	f, err := m.File() // to be given away, by exec.Cmd.ExtraFiles or through a socket
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	fmt.Printf("%s %v", text, err)
	// Output: hello <nil>
}

func ExampleMap_File() {
	path, remove := exampleFile("hello")
	defer remove()
	m, err := bytefd.MapFile(path, bytefd.MapWrite())
	if err != nil {
		log.Fatal(err)
	}
	f, err := m.File()
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	m.Close()
	_, err = f.WriteAt([]byte("J"), 0)
	text, _ := os.ReadFile(path)
	fmt.Printf("%s %v", text, err)
	// Output: Jello <nil>
}

func ExampleMap_Resize() {
	m := exampleMemory(5)
	defer m.Close()
	copy(m.Bytes(), "hello")
	for _, length := range []int{7, 2, 4, -1} {
		err := m.Resize(length)
		fmt.Printf("%q %v\n", m.Bytes(), err)
	}
	// Output:
	// "hello\x00\x00" <nil>
	// "he" <nil>
	// "he\x00\x00" <nil>
	// "he\x00\x00" bytefd: length: length is -1, must not be negative
}

func ExampleMap_Seal() {
	m := exampleMemory(5)
	defer m.Close()
	copy(m.Bytes(), "hello")
	f, err := m.Seal()
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	_, err = f.WriteAt([]byte("J"), 0)
	fmt.Println(errors.Is(err, syscall.EPERM))
	_, err = m.WriteAt([]byte("J"), 0)
	fmt.Println(errors.Is(err, syscall.EACCES))
	fmt.Printf("%s", m.Bytes())
	// Output:
	// true
	// true
	// hello
}

func ExampleMap_Unmap() {
	page := os.Getpagesize()
	m := exampleMemory(3 * page)
	defer m.Close()
	fmt.Println(m.Unmap(page, page))
	_, err := m.ReadAt(make([]byte, 1), int64(page))
	fmt.Println(errors.Is(err, syscall.EINVAL))
	_, err = m.ReadAt(make([]byte, 1), int64(2*page))
	fmt.Println(err)
	// Output:
	// <nil>
	// true
	// <nil>
}

// With MapGuard lost pages read zero, and Guarded returns the error afterwards. Without it, f ends
// at the lost page.
func ExampleMap_Guarded() {
	for _, opts := range [][]bytefd.MapOption{nil, {bytefd.MapGuard()}} {
		path, remove := exampleFile("hello")
		m, err := bytefd.MapFile(path, opts...)
		if err != nil {
			log.Fatal(err)
		}
		err = m.Guarded(func(b []byte) error {
			os.Truncate(path, 0) // somebody else makes the file shorter
			fmt.Printf("%q\n", b)
			return nil
		})
		fmt.Println(errors.Is(err, syscall.EIO))
		m.Close()
		remove()
	}
	// Output:
	// true
	// "\x00\x00\x00\x00\x00"
	// true
}

func ExampleMap_Check() {
	path, remove := exampleFile("hello")
	defer remove()
	m, err := bytefd.MapFile(path, bytefd.MapGuard())
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	fmt.Printf("%q\n", m.Bytes())
	fmt.Println(m.Check())
	os.Truncate(path, 0) // somebody else makes the file shorter
	fmt.Printf("%q\n", m.Bytes())
	fmt.Println(m.Check())
	// Output:
	// "hello"
	// <nil>
	// "\x00\x00\x00\x00\x00"
	// bytefd: check: pages of the map were lost and are zeros now
}

func ExampleMapGuard() {
	path, remove := exampleFile("hello")
	defer remove()
	show(path, bytefd.MapGuard())
	// Output: "hello"
}

func ExampleMapReserve() {
	m := exampleMemory(5, bytefd.MapReserve(1<<30))
	defer m.Close()
	b := m.Bytes()
	copy(b, "hello")
	if err := m.Resize(1 << 20); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, %v", b, &b[0] == &m.Bytes()[0])
	// Output: hello, true
}

func ExampleMapWipeOnFork() {
	m := exampleMemory(5, bytefd.MapPrivate(), bytefd.MapWipeOnFork())
	defer m.Close()
	fmt.Printf("%q", m.Bytes())
	// Output: "\x00\x00\x00\x00\x00"
}

func ExampleMapHugePages() {
	m, err := bytefd.NewMap(2<<20, bytefd.MapHugePages())
	if err != nil { // most machines have none reserved
		m, err = bytefd.NewMap(2<<20, bytefd.MapPopulate())
	}
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	fmt.Println(m.Len())
	// Output: 2097152
}

func ExampleMap_Advise() {
	m := exampleMemory(1 << 20)
	defer m.Close()
	for _, advice := range []int{
		syscall.MADV_SEQUENTIAL, syscall.MADV_RANDOM, syscall.MADV_NORMAL, syscall.MADV_WILLNEED,
	} {
		fmt.Println(m.Advise(0, bytefd.ToEnd, advice))
	}
	// Output:
	// <nil>
	// <nil>
	// <nil>
	// <nil>
}

func ExampleMap_Discard() {
	m := exampleMemory(os.Getpagesize(), bytefd.MapPrivate())
	defer m.Close()
	copy(m.Bytes(), "hello")
	fmt.Println(m.Advise(0, bytefd.ToEnd, syscall.MADV_DONTNEED))
	fmt.Println(m.Discard(0, bytefd.ToEnd, syscall.MADV_DONTNEED))
	fmt.Printf("%q", m.Bytes()[:5])
	// Output:
	// bytefd: madvise: MADV_DONTNEED loses content; use discard, or BYTEFD_LOSE_CONTENT in C
	// <nil>
	// "\x00\x00\x00\x00\x00"
}

func ExampleMap_Mlock() {
	m := exampleMemory(100)
	defer m.Close()
	fmt.Println(m.Mlock(0, 64))
	copy(m.Bytes(), "a secret")
	// Output: <nil>
}

func ExampleMap_Munlock() {
	m := exampleMemory(100, bytefd.MapMlock())
	defer m.Close()
	fmt.Println(m.Munlock(0, bytefd.ToEnd))
	// Output: <nil>
}

func ExampleMap_Protect() {
	m := exampleMemory(100)
	defer m.Close()
	copy(m.Bytes(), "constant from now on")
	fmt.Println(m.Protect(0, bytefd.ToEnd, syscall.PROT_READ))
	_, err := m.WriteAt([]byte("C"), 0)
	fmt.Println(errors.Is(err, syscall.EIO))
	// Output:
	// <nil>
	// true
}

func ExampleMap_Protect_refused() {
	m := exampleMemory(100)
	defer m.Close()
	for _, allowed := range []int{
		syscall.PROT_NONE,
		syscall.PROT_READ | syscall.PROT_WRITE,
		syscall.PROT_READ | syscall.PROT_EXEC,
	} {
		fmt.Println(m.Protect(0, bytefd.ToEnd, allowed))
	}
	// Output:
	// <nil>
	// <nil>
	// bytefd: protection: asked for execute access, but the map was made without execute
}

func ExampleMap_Prefetch() {
	path, remove := exampleFile("hello")
	defer remove()
	m, err := bytefd.MapFile(path)
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	fmt.Println(m.Prefetch(0, bytefd.ToEnd))
	// Output: <nil>
}

func ExampleMap_Word() {
	m := exampleMemory(4096)
	defer m.Close()
	word, err := m.Word(8)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(word.Add(5), m.Bytes()[8]+m.Bytes()[11])
	// Output: 5 5
}

func ExampleMap_Share() {
	m := exampleMemory(5)
	defer m.Close()
	f, err := m.Share()
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	copy(m.Bytes(), "hello")
	text, err := io.ReadAll(f)
	fmt.Printf("%s %v", text, err)
	// Output: hello <nil>
}

func ExampleMap_FileSize() {
	m := exampleMemory(5)
	defer m.Close()
	fmt.Println(m.FileSize())
	// Output: 5 <nil>
}

func ExampleSealTimeout() {
	m := exampleMemory(5)
	defer m.Close()
	opts := []bytefd.SealOption{bytefd.SealTimeout(-1)}
	f, err := m.Seal(opts...)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(f.Close())
	// Output: <nil>
}

func ExampleMap_Flush_invalidate() {
	m := exampleMemory(100)
	defer m.Close()
	fmt.Println(m.Flush(0, bytefd.ToEnd, syscall.MS_SYNC|syscall.MS_INVALIDATE))
	// Output: <nil>
}

// An encoder writes straight into the memory that becomes the file.
func ExampleMapWriter() {
	w, err := bytefd.NewMapWriter()
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()
	if err := json.NewEncoder(w).Encode(map[string]int{"answer": 42}); err != nil {
		log.Fatal(err)
	}
	f, m, err := w.Seal()
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	defer m.Close()
	io.Copy(os.Stdout, f)
	fmt.Printf("%s", m.Bytes())
	// Output:
	// {"answer":42}
	// {"answer":42}
}

// exampleWriter is NewMapWriter for examples.
func exampleWriter() *bytefd.MapWriter {
	w, err := bytefd.NewMapWriter()
	if err != nil {
		log.Fatal(err)
	}
	return w
}

func ExampleNewMapWriter() {
	w, err := bytefd.NewMapWriter()
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()
	fmt.Println(w.Len())
	// Output: 0
}

func ExampleMapWriter_Write() {
	w := exampleWriter()
	defer w.Close()
	fmt.Println(w.Write([]byte("hello")))
	// Output: 5 <nil>
}

func ExampleMapWriter_WriteString() {
	w := exampleWriter()
	defer w.Close()
	fmt.Println(w.WriteString("hello"))
	// Output: 5 <nil>
}

func ExampleMapWriter_WriteByte() {
	w := exampleWriter()
	defer w.Close()
	fmt.Println(w.WriteByte('!'), w.Len())
	// Output: <nil> 1
}

// io.Copy calls ReadFrom by itself, which reads straight into the memory.
func ExampleMapWriter_ReadFrom() {
	w := exampleWriter()
	defer w.Close()
	fmt.Println(io.Copy(w, strings.NewReader("hello")))
	// Output: 5 <nil>
}

func ExampleMapWriter_Len() {
	w := exampleWriter()
	defer w.Close()
	fmt.Fprintf(w, "%05d", 42)
	fmt.Println(w.Len())
	// Output: 5
}

func ExampleMapWriter_Seal() {
	w := exampleWriter()
	fmt.Fprint(w, "hello")
	f, m, err := w.Seal()
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	defer m.Close()
	text, err := io.ReadAll(f)
	fmt.Printf("%s %v\n", text, err)
	_, err = w.Write([]byte("too late"))
	fmt.Println(errors.Is(err, os.ErrClosed))
	// Output:
	// hello <nil>
	// true
}

func ExampleMapWriter_Close() {
	w := exampleWriter()
	fmt.Fprint(w, "never mind")
	fmt.Println(w.Close())
	fmt.Println(w.Close())
	// Output:
	// <nil>
	// <nil>
}

func ExampleHostReport() {
	report, err := bytefd.HostReport()
	if err != nil {
		log.Fatal(err)
	}
	// The text after each subject differs from host to host.
	for _, line := range strings.Split(strings.TrimSpace(report), "\n") {
		subject, _, _ := strings.Cut(line, ": ")
		fmt.Println(subject)
	}
	// Output:
	// files
	// descriptors
	// filling
	// pools
}
