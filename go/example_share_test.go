//go:build linux && cgo

package bytefd_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"unsafe"

	bytefd "github.com/bytefd/bytefd/go"
)

// connected returns two connected sockets for an example, and what closes them.
func connected() (ours, theirs *net.UnixConn, end func()) {
	dir, err := os.MkdirTemp("", "bytefd-example-")
	if err != nil {
		log.Fatal(err)
	}
	address := &net.UnixAddr{Name: filepath.Join(dir, "socket"), Net: "unix"}
	server, err := net.ListenUnix("unix", address)
	if err != nil {
		log.Fatal(err)
	}
	if ours, err = net.DialUnix("unix", nil, address); err != nil {
		log.Fatal(err)
	}
	if theirs, err = server.AcceptUnix(); err != nil {
		log.Fatal(err)
	}
	return ours, theirs, func() {
		ours.Close()
		theirs.Close()
		server.Close()
		os.RemoveAll(dir)
	}
}

// exampleName is a name for shared memory that no other process uses.
func exampleName() string { return fmt.Sprintf("bytefd-example-%d", os.Getpid()) }

func ExampleSend() {
	ours, theirs, end := connected()
	defer end()
	f, err := bytefd.WrapBuffer([]byte("hello"))
	if err != nil {
		log.Fatal(err)
	}
	err = bytefd.Send(ours, []byte("!"), f)
	f.Close()
	fmt.Println(err)

	_, files, err := bytefd.Receive(theirs, make([]byte, 1), 1)
	if err != nil {
		log.Fatal(err)
	}
	defer files[0].Close()
	text, err := io.ReadAll(files[0])
	fmt.Printf("%s %v", text, err)
	// Output:
	// <nil>
	// hello <nil>
}

// A server that trusts nobody.
func ExampleReceive() {
	ours, theirs, end := connected()
	defer end()
	f, err := bytefd.WrapBuffer([]byte("hello"), bytefd.Writable())
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	if err := bytefd.Send(ours, []byte("!"), f); err != nil {
		log.Fatal(err)
	}

	_, _, err = bytefd.Receive(theirs, make([]byte, 1), 1, bytefd.RequireSealed())
	fmt.Println(errors.Is(err, syscall.EPERM))
	// Output: true
}

func ExamplePeer() {
	ours, _, end := connected()
	defer end()
	var who bytefd.Credentials
	who, err := bytefd.Peer(ours)
	fmt.Println(who.Process == os.Getpid(), err)
	// Output: true <nil>
}

func ExampleVerify() {
	f, err := bytefd.WrapBuffer([]byte("hello"))
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	wanted := []bytefd.Requirement{
		bytefd.RequireLength(5),
		bytefd.RequireSeals(0x8 | 0x4 | 0x2), // F_SEAL_WRITE, F_SEAL_GROW, F_SEAL_SHRINK
		bytefd.RequireOwner(uint32(os.Geteuid())),
	}
	fmt.Println(bytefd.Verify(f, wanted...))
	fmt.Println(errors.Is(bytefd.Verify(f, bytefd.RequireLength(6)), syscall.ENXIO))
	// Output:
	// <nil>
	// true
}

func ExampleCreateNamed() {
	opts := []bytefd.NamedOption{
		bytefd.NamedWrite(), bytefd.NamedLength(4096), bytefd.NamedMode(0o640), bytefd.UnlinkOnClose(),
	}
	table, err := bytefd.CreateNamed(exampleName(), opts...)
	if err != nil {
		log.Fatal(err)
	}
	defer table.Close()
	_, err = table.File().WriteAt([]byte("hello"), 0)
	fmt.Println(strings.HasPrefix(table.Name(), "/bytefd-example-"), err)
	// Output: true <nil>
}

func ExampleOpenNamed() {
	var table *bytefd.Named
	table, err := bytefd.OpenNamed("nobody-has-made-it")
	fmt.Println(table, errors.Is(err, os.ErrNotExist))
	// Output: <nil> true
}

func ExampleOpenOrCreateNamed() {
	for i := 0; i < 2; i++ {
		table, err := bytefd.OpenOrCreateNamed(exampleName(), bytefd.NamedLength(4096), bytefd.UnlinkOnClose())
		if err != nil {
			log.Fatal(err)
		}
		defer table.Close()
		fmt.Println(table.Created())
	}
	// Output:
	// true
	// false
}

func ExampleUnlinkNamed() {
	err := bytefd.UnlinkNamed("nobody-has-made-it")
	fmt.Println(errors.Is(err, os.ErrNotExist))
	// Output: true
}

// What is owned does not outlive its owner for long.
func ExampleSweep() {
	table, err := bytefd.CreateNamed("table", bytefd.NamedOwned(), bytefd.UnlinkOnClose())
	if err != nil {
		log.Fatal(err)
	}
	defer table.Close()
	fmt.Println(strings.HasSuffix(table.Name(), ".table"))
	_, err = bytefd.Sweep()
	fmt.Println(err)
	// Output:
	// true
	// <nil>
}

func ExampleLink() {
	var l *bytefd.LinkedFile
	l, err := bytefd.Link([]byte("EICAR:0:*:6869"), ".ndb")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	text, err := os.ReadFile(l.Path())
	fmt.Printf("%s %s %v", filepath.Ext(l.Path()), text, err)
	// Output: .ndb EICAR:0:*:6869 <nil>
}

func ExampleMapSysv() {
	opts := []bytefd.SysvOption{
		bytefd.SysvCreate(), bytefd.SysvWrite(), bytefd.SysvLength(4096), bytefd.SysvMode(0o640),
		bytefd.SysvOwned(),
	}
	ours, number, err := bytefd.MapSysv(0, opts...)
	if err != nil {
		log.Fatal(err)
	}
	defer ours.Close()
	theirs, _, err := bytefd.MapSysv(number, bytefd.SysvAttach())
	if err != nil {
		log.Fatal(err)
	}
	defer theirs.Close()
	fmt.Println(bytefd.RemoveSysv(number))
	copy(ours.Bytes(), "goes with the last who has it")
	fmt.Printf("%s", theirs.Bytes()[:29])
	// Output:
	// <nil>
	// goes with the last who has it
}

func ExampleRemoveSysv() {
	fmt.Println(errors.Is(bytefd.RemoveSysv(-1), syscall.EINVAL))
	// Output: true
}

func ExampleExportDMABuf() {
	f, err := bytefd.WrapBuffer(make([]byte, 1<<16), bytefd.Writable())
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	const addSeals, sealShrink = 1033, 0x2 // F_ADD_SEALS, F_SEAL_SHRINK
	syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), addSeals, sealShrink)
	buffer, err := bytefd.ExportDMABuf(f)
	if err == nil {
		buffer.Close()
	}
	// Not every machine has the driver.
	fmt.Println(err == nil || errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.EACCES))
	// Output: true
}

func ExampleLock() {
	ours, err := bytefd.WrapBuffer([]byte("hello"), bytefd.Writable())
	if err != nil {
		log.Fatal(err)
	}
	defer ours.Close()
	theirs, err := os.Open(bytefd.Path(int(ours.Fd())))
	if err != nil {
		log.Fatal(err)
	}
	defer theirs.Close()
	fmt.Println(bytefd.Lock(ours, 0, 4, bytefd.LockExclusive))
	fmt.Println(bytefd.TryLock(theirs, 3, 2, bytefd.LockShared))
	fmt.Println(bytefd.Unlock(ours, 3, 0))
	fmt.Println(bytefd.TryLock(theirs, 3, 2, bytefd.LockShared))
	// Output:
	// <nil>
	// false <nil>
	// <nil>
	// true <nil>
}

func ExampleLockMode() {
	f, err := bytefd.WrapBuffer([]byte("hello"))
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	for _, mode := range []bytefd.LockMode{bytefd.LockShared, bytefd.LockExclusive} {
		fmt.Println(bytefd.Lock(f, 0, 0, mode))
	}
	// Output:
	// <nil>
	// <nil>
}

func ExampleWait() {
	m, number, err := bytefd.MapSysv(0, bytefd.SysvCreate(), bytefd.SysvWrite(), bytefd.SysvLength(4096))
	if err != nil {
		log.Fatal(err)
	}
	bytefd.RemoveSysv(number)
	defer m.Close() // after the other has woken us, and will not touch it any more
	word := (*uint32)(unsafe.Pointer(&m.Bytes()[0]))
	woke := make(chan error)
	go func() { // usually another process
		atomic.StoreUint32(word, 1)
		_, err := bytefd.Wake(word, 1)
		woke <- err
	}()
	for atomic.LoadUint32(word) == 0 {
		if err := bytefd.Wait(word, 0, -1); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(atomic.LoadUint32(word), <-woke)
	// Output: 1 <nil>
}

func ExampleWrapStream() {
	r := strings.NewReader("hello")
	f, err := bytefd.WrapStream(r, bytefd.MaxBytes(1<<30), bytefd.SpillAbove(64<<20))
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	fmt.Printf("%s %v", text, err)
	// Output: hello <nil>
}

func ExampleStreamOption() {
	opts := []bytefd.StreamOption{bytefd.MaxBytes(4)}
	_, err := bytefd.WrapStream(strings.NewReader("hello"), opts...)
	fmt.Println(errors.Is(err, syscall.EFBIG))
	// Output: true
}
