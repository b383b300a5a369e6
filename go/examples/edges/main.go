//go:build linux && cgo

// Edges touches bytes around the end of the file, the end of the map and the end of the last page,
// and prints what happens. It also prints which protection each way of opening a file allows.
//
// A byte that does not exist raises a signal that ends the process. So the program sends a child,
// which is this program again.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"syscall"
	"unsafe"

	bytefd "github.com/bytefd/bytefd/go"
)

var page = os.Getpagesize()

func main() {
	log.SetFlags(0)
	log.SetPrefix("edges: ")
	if len(os.Args) == 5 && os.Args[1] == "touch" {
		touch(os.Args[2], number(os.Args[3]), number(os.Args[4]))
		return
	}
	dir, err := os.MkdirTemp("", "edges-")
	check(err)
	path := filepath.Join(dir, "file")
	walk(path, 5000, 5000)
	walk(path, 5000, 15000)
	walk(path, 9500, 6000)
	walk(path, 2200, 6000)
	grow(path, 1000)
	table(path)
	check(os.RemoveAll(dir))
}

// walk maps the first bytes of a file, and checks what is behind the end of the file and of the
// map.
func walk(path string, size, length int) {
	fmt.Printf("a file of %d bytes, mapped at %d\n", size, length)
	check(os.WriteFile(path, bytes.Repeat([]byte{'f'}, size), 0o600))
	bus, segv := edges(path, length)
	say("are there", 0, bus)
	say("raise SIGBUS", bus, segv)
	fmt.Printf("  from %d on: SIGSEGV\n", segv)

	m := open(path, length)
	// All bytes that exist, also behind the end of the map.
	b := unsafe.Slice(unsafe.SliceData(m.Bytes()), bus)
	end := min(size, bus)
	if bytes.Count(b[end:], []byte{0}) == len(b[end:]) {
		say("read zero", end, bus)
	}
	for i := range b {
		b[i] = 'm'
	}
	check(m.Flush(0, bytefd.ToEnd, syscall.MS_SYNC))
	check(m.Close())
	file, err := os.ReadFile(path)
	check(err)
	reached := bytes.Count(file, []byte{'m'})
	say("reach the file when stored to", 0, reached)
	say("do not", reached, bus)
	fmt.Printf("  the file has %d bytes\n", len(file))
}

// grow maps this many pages of an empty file, and makes the file longer while it is mapped.
func grow(path string, pages int) {
	fmt.Printf("an empty file, mapped at %d pages\n", pages)
	check(os.WriteFile(path, nil, 0o600))
	m := open(path, pages*page)
	sizes := []int{0, 1, page, page + 1, pages / 2 * page, pages * page, (pages + 1) * page}
	for _, size := range sizes {
		check(os.Truncate(path, int64(size)))
		// ReadAt stops where other accesses raise the signal. It reads from the map that was made
		// in the beginning.
		there, err := m.ReadAt(make([]byte, m.Len()), 0)
		if err != nil && !errors.Is(err, syscall.EIO) {
			log.Fatal(err)
		}
		bus, segv := edges(path, m.Len())
		fmt.Printf("  the file has %d bytes: %d can be read, ", size, there)
		if bus < segv {
			fmt.Printf("SIGBUS from %d, ", bus)
		}
		fmt.Printf("SIGSEGV from %d\n", segv)
	}
	check(m.Close())
}

// table tries four protections on shared maps of files that are opened in three ways. It also tries
// them on a private map of a file that is opened for reading. It prints what the kernel returns,
// and what this module returns. For a private map the other two ways show nothing new. A file that
// cannot be read gives no map, and whether it can be written does not matter.
func table(path string) {
	fmt.Println("protection and open mode, kernel/bytefd")
	const row = "  %-12s%-17s%-17s%-17s%s\n"
	fmt.Printf(row, "", "shared O_RDONLY", "shared O_WRONLY", "shared O_RDWR", "private O_RDONLY")
	const none, read, write = syscall.PROT_NONE, syscall.PROT_READ, syscall.PROT_WRITE
	names := map[int]string{none: "none", read: "read", write: "write", read | write: "read+write"}
	for _, protection := range []int{none, read, write, read | write} {
		cells := []any{names[protection]}
		for _, way := range []struct{ open, sharing int }{
			{os.O_RDONLY, syscall.MAP_SHARED}, {os.O_WRONLY, syscall.MAP_SHARED},
			{os.O_RDWR, syscall.MAP_SHARED},
			{os.O_RDONLY, syscall.MAP_PRIVATE},
		} {
			f, err := os.OpenFile(path, way.open, 0)
			check(err)
			kernel := byKernel(int(f.Fd()), protection, way.sharing)
			own := byModule(int(f.Fd()), protection, way.sharing)
			check(f.Close())
			cells = append(cells, answer(kernel)+"/"+answer(own))
		}
		fmt.Printf(row, cells...)
	}
}

// These are the numbers of the kernel.
func byKernel(fd int, protection int, sharing int) error {
	b, err := syscall.Mmap(fd, 0, page, int(protection), sharing)
	if err != nil {
		return err
	}
	return syscall.Munmap(b)
}

func byModule(fd int, protection int, sharing int) error {
	access := bytefd.MapRead()
	if sharing == syscall.MAP_PRIVATE {
		access = bytefd.MapPrivate()
	} else if protection&syscall.PROT_WRITE != 0 {
		access = bytefd.MapWrite()
	}
	m, err := bytefd.MapFD(fd, access, bytefd.MapLength(page))
	if err != nil {
		return err
	}
	defer m.Close()
	return m.Protect(0, bytefd.ToEnd, protection)
}

func answer(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, syscall.EACCES):
		return "EACCES"
	case errors.Is(err, syscall.EINVAL):
		// A processor that can write can read, so writing without reading must be checked here.
		return "EINVAL"
	}
	return err.Error()
}

// edges returns the first bytes that raise SIGBUS, and SIGSEGV.
func edges(path string, length int) (bus, segv int) {
	first := func(isThere func(outcome string) bool) int {
		return page * sort.Search(length/page+2,
			func(at int) bool { return !isThere(send(path, length, at*page)) })
	}
	bus = first(func(outcome string) bool { return outcome == "" })
	segv = first(func(outcome string) bool { return outcome != "SIGSEGV" })
	return bus, segv
}

// send makes a child touch a byte, and returns the signal that ended it.
func send(path string, length, at int) string {
	touch := []string{"touch", path, strconv.Itoa(length), strconv.Itoa(at)}
	out, err := exec.Command("/proc/self/exe", touch...).CombinedOutput()
	for _, name := range []string{"SIGBUS", "SIGSEGV"} {
		if err != nil && bytes.Contains(out, []byte("signal "+name)) {
			return name
		}
	}
	check(err)
	return ""
}

func touch(path string, length, at int) {
	m := open(path, length)
	b := unsafe.Slice(unsafe.SliceData(m.Bytes()), at+1)
	b[at]++
	check(m.Close())
}

// open maps a file and leaves the address space behind its last page unused. Otherwise chance
// decides what is there.
func open(path string, length int) *bytefd.Map {
	reserve := bytefd.MapReserve(length + 2*page)
	m, err := bytefd.MapFile(path, bytefd.MapWrite(), bytefd.MapLength(length),
		bytefd.MapBeyondEOF(), reserve)
	check(err)
	return m
}

func say(what string, from, to int) {
	if from < to {
		fmt.Printf("  bytes %d to %d %s\n", from, to-1, what)
	}
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	check(err)
	return n
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
