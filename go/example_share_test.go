//go:build linux && cgo

package bytefd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unsafe"

	bytefd "github.com/bytefd/bytefd/go"
)

// connected returns two connected sockets for an example, and a function that closes them.
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

// exampleName returns a name for shared memory that no other process uses.
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

// A server that trusts no client.
func ExampleReceive() {
	ours, theirs, end := connected()
	defer end()
	f, err := bytefd.WrapBuffer([]byte("hello"), bytefd.WrapWritable())
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

// A lent descriptor is sent as it is.
func ExampleSendFD() {
	ours, theirs, end := connected()
	defer end()
	err := bytefd.ScanBytes([]byte("hello"), func(fd int) error {
		return bytefd.SendFD(ours, []byte("!"), fd)
	})
	fmt.Println(err)

	_, files, err := bytefd.Receive(theirs, make([]byte, 1), 1, bytefd.RequireSealed())
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

// Messages that end with a newline. What has arrived may be less than a message, or more than one.
func ExampleReceiveSome() {
	ours, theirs, end := connected()
	defer end()
	if err := bytefd.Send(ours, []byte("first\nsecond\n")); err != nil {
		log.Fatal(err)
	}
	var arrived []byte
	for bytes.Count(arrived, []byte("\n")) < 2 {
		buffer := make([]byte, 1000)
		length, _, err := bytefd.ReceiveSome(theirs, buffer, 1)
		if err != nil {
			log.Fatal(err)
		}
		arrived = append(arrived, buffer[:length]...)
	}
	first, second, _ := strings.Cut(string(arrived), "\n")
	fmt.Printf("%q %q\n", first, second)
	// Output: "first" "second\n"
}

func ExamplePeerCredentials() {
	ours, _, end := connected()
	defer end()
	var who bytefd.Credentials
	who, err := bytefd.PeerCredentials(ours)
	fmt.Println(who.PID == os.Getpid(), err)
	// Output: true <nil>
}

func ExampleVerify() {
	f, err := bytefd.WrapBuffer([]byte("hello"))
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	wanted := []bytefd.Requirement{
		bytefd.RequireMinLength(5),
		bytefd.RequireMaxLength(1 << 30),
		bytefd.RequireSeals(0x8 | 0x4 | 0x2), // F_SEAL_WRITE, F_SEAL_GROW, F_SEAL_SHRINK
		bytefd.RequireUID(uint32(os.Geteuid())),
	}
	fmt.Println(bytefd.Verify(f, wanted...))
	fmt.Println(errors.Is(bytefd.Verify(f, bytefd.RequireMinLength(6)), syscall.ENXIO))

	// A file that can still change is refused, unless no seal is required.
	changing, err := bytefd.WrapBuffer([]byte("hello"), bytefd.WrapWritable())
	if err != nil {
		log.Fatal(err)
	}
	defer changing.Close()
	fmt.Println(errors.Is(bytefd.Verify(changing), syscall.EPERM))
	fmt.Println(bytefd.Verify(changing, bytefd.RequireNoSeals()))
	// Output:
	// <nil>
	// true
	// true
	// <nil>
}

func ExampleCreateShm() {
	opts := []bytefd.ShmOption{
		bytefd.ShmWrite(), bytefd.ShmLength(4096), bytefd.ShmMode(0o640), bytefd.ShmUnlinkOnClose(),
	}
	table, err := bytefd.CreateShm(exampleName(), opts...)
	if err != nil {
		log.Fatal(err)
	}
	defer table.Close()
	_, err = table.File().WriteAt([]byte("hello"), 0)
	fmt.Println(strings.HasPrefix(table.Name(), "/bytefd-example-"), err)
	// Output: true <nil>
}

func ExampleOpenShm() {
	var table *bytefd.Shm
	table, err := bytefd.OpenShm("no-such-object", bytefd.ShmAnyOwner())
	fmt.Println(table, errors.Is(err, os.ErrNotExist))
	// Output: <nil> true
}

func ExampleOpenOrCreateShm() {
	for i := 0; i < 2; i++ {
		table, err := bytefd.OpenOrCreateShm(exampleName(), bytefd.ShmLength(4096),
			bytefd.ShmUnlinkOnClose())
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

func ExampleUnlinkShm() {
	err := bytefd.UnlinkShm("no-such-object")
	fmt.Println(errors.Is(err, os.ErrNotExist))
	// Output: true
}

// An owned object does not outlive its owner for long.
func ExampleSweep() {
	table, err := bytefd.CreateShm("table", bytefd.ShmOwned(), bytefd.ShmUnlinkOnClose())
	if err != nil {
		log.Fatal(err)
	}
	defer table.Close()
	fmt.Println(strings.HasSuffix(table.Name(), ".table"))
	var swept bytefd.SweepResult
	swept, err = bytefd.Sweep()
	fmt.Println(swept.Removed >= 0, swept.InUse > 0, swept.Failed >= 0, err)
	// Output:
	// true
	// true true true <nil>
}

func ExampleNewTempFile() {
	var f *bytefd.TempFile
	opts := []bytefd.TempFileOption{
		bytefd.TempFileSuffix(".ndb"), bytefd.TempFileDirectory("/tmp"), bytefd.TempFileMode(0o400),
	}
	f, err := bytefd.NewTempFile([]byte("EICAR:0:*:6869"), opts...)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	text, err := os.ReadFile(f.Path())
	fmt.Printf("%s %s %v", filepath.Ext(f.Path()), text, err)
	// Output: .ndb EICAR:0:*:6869 <nil>
}

func ExampleMapSysv() {
	opts := []bytefd.SysvOption{
		bytefd.SysvCreate(), bytefd.SysvExclusive(), bytefd.SysvTransient(), bytefd.SysvWrite(),
		bytefd.SysvLength(4096), bytefd.SysvMode(0o640),
	}
	ours, shmid, err := bytefd.MapSysv(0, opts...)
	if err != nil {
		log.Fatal(err)
	}
	defer ours.Close()
	theirs, _, err := bytefd.MapSysv(shmid, bytefd.SysvByID())
	if err != nil {
		log.Fatal(err)
	}
	defer theirs.Close()
	copy(ours.Bytes(), "goes with its last user")
	fmt.Printf("%s", theirs.Bytes()[:23])
	// Output: goes with its last user
}

func ExampleRemoveSysv() {
	fmt.Println(errors.Is(bytefd.RemoveSysv(-1), syscall.EINVAL))
	// Output: true
}

func ExampleExportDMABuf() {
	f, err := bytefd.WrapBuffer(make([]byte, 1<<16), bytefd.WrapWritable())
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

func ExampleFileLock() {
	ours, err := bytefd.WrapBuffer([]byte("hello"), bytefd.WrapWritable())
	if err != nil {
		log.Fatal(err)
	}
	defer ours.Close()
	theirs, err := os.Open(bytefd.Path(ours))
	if err != nil {
		log.Fatal(err)
	}
	defer theirs.Close()
	fmt.Println(bytefd.FileLock(ours, 0, 4, syscall.LOCK_EX))
	err = bytefd.FileLock(theirs, 3, 2, syscall.LOCK_SH|syscall.LOCK_NB)
	fmt.Println(errors.Is(err, syscall.EAGAIN))
	fmt.Println(bytefd.FileUnlock(ours, 3, bytefd.ToEnd))
	fmt.Println(bytefd.FileLock(theirs, 3, 2, syscall.LOCK_SH|syscall.LOCK_NB))
	// Output:
	// <nil>
	// true
	// <nil>
	// <nil>
}

func ExampleFileLockContext() {
	ours, err := bytefd.WrapBuffer([]byte("hello"), bytefd.WrapWritable())
	if err != nil {
		log.Fatal(err)
	}
	defer ours.Close()
	theirs, err := os.Open(bytefd.Path(ours))
	if err != nil {
		log.Fatal(err)
	}
	defer theirs.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	fmt.Println(bytefd.FileLock(ours, 0, 5, syscall.LOCK_EX))
	err = bytefd.FileLockContext(ctx, theirs, 0, 5, syscall.LOCK_SH)
	fmt.Println(errors.Is(err, os.ErrDeadlineExceeded))
	// Output:
	// <nil>
	// true
}

func ExampleFutexWait() {
	m, err := bytefd.NewMap(4096)
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close() // after the other has woken us, and will not touch it any more
	word, err := m.Word(0)
	if err != nil {
		log.Fatal(err)
	}
	futex := (*uint32)(unsafe.Pointer(word))
	woke := make(chan error)
	go func() { // usually another process, which has m.File
		word.Store(1)
		_, err := bytefd.FutexWake(futex, 1)
		woke <- err
	}()
	for word.Load() == 0 {
		if err := bytefd.FutexWait(futex, 0, -1); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(word.Load(), <-woke)
	// Output: 1 <nil>
}

func ExampleFutexWaitContext() {
	var word uint32
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	err := bytefd.FutexWaitContext(ctx, &word, 0)
	fmt.Println(errors.Is(err, os.ErrDeadlineExceeded))
	// Output: true
}

func ExampleWrapReader_limits() {
	r := strings.NewReader("hello")
	f, err := bytefd.WrapReader(r, bytefd.WrapMaxBytes(1<<30), bytefd.WrapSpillThreshold(64<<20))
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	fmt.Printf("%s %v", text, err)
	// Output: hello <nil>
}

func ExampleWrapOption() {
	opts := []bytefd.WrapOption{bytefd.WrapMaxBytes(4)}
	_, err := bytefd.WrapReader(strings.NewReader("hello"), opts...)
	fmt.Println(errors.Is(err, syscall.EFBIG))
	// Output: true
}
