//go:build linux && cgo

// Peer makes content, and shares it in one of the ways of this module. Or it uses what another peer
// has made, perhaps in another language. A test starts two of them.
//
//	peer make WAY ADDRESS LENGTH SEED [COMMAND...]
//	peer use  WAY ADDRESS LENGTH SEED
//	peer defaults PATH NAME
//
// The content has LENGTH bytes; byte i is (31*i + SEED) % 251. ADDRESS is decimal where it is a
// number.
//
// Make does what the table says, and prints one line that says where use finds the content. Then it
// waits for a line or the end of its standard input. It removes what it has made, and ends with
// status 0.
//
//	WAY        make: ADDRESS                       prints          use: ADDRESS
//	sent       path of a socket, a stream, to      the path        the path: connects, and
//	           listen on until one has come                        receives a message of one byte,
//	                                                               "!", with a sealed descriptor
//	                                                               of the content
//	named      name of shared memory, shm_open(3)  the whole name  the whole name
//	file       path of a file that there is not    the path        the path
//	sysv       key of a new segment, 0 for none    its number      its number
//	tempfile   end of the file's name              its path        its path
//	inherited  3                                   nothing         3, or the number it has by then
//
// With inherited, make prints nothing and waits for nothing. It runs COMMAND with its own standard
// streams, and ends with the status of COMMAND. COMMAND has a sealed descriptor of the content as
// number 3. (Make may become COMMAND, execve(2).)
//
// Use prints "ok" if it finds exactly the content. What is sent or inherited must also be sealed
// against writing and shrinking. Otherwise use prints in one line what differs. It ends with status
// 0 after "ok", otherwise with 1.
//
// Defaults prints one line for each call without options, in the same words in every language. The
// line says whether the result can be written, or how the call is refused. The calls map the file
// of this path and its descriptor, make memory, and use shared memory of this name and System V
// segments.
//
// Each prints an error on standard error, and ends with 1, or with 2 if its arguments are invalid.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	bytefd "github.com/bytefd/bytefd/go"
)

func main() {
	if len(os.Args) == 4 && os.Args[1] == "defaults" {
		if err := defaults(os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, "peer:", err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) < 6 {
		usage()
	}
	job, way, address, command := os.Args[1], os.Args[2], os.Args[3], os.Args[6:]
	length, lengthErr := strconv.Atoi(os.Args[4])
	seed, seedErr := strconv.Atoi(os.Args[5])
	if lengthErr != nil || seedErr != nil || length < 0 || seed < 0 || ways[way].use == nil {
		usage()
	}
	if (len(command) > 0) != (job == "make" && way == "inherited") {
		usage()
	}
	content := make([]byte, length)
	for i := range content {
		content[i] = byte((31*i + seed) % 251)
	}
	var err error
	switch job {
	case "make":
		err = ways[way].make(address, content, command)
	case "use":
		err = ways[way].use(address, content)
	default:
		usage()
	}
	if child := (*exec.ExitError)(nil); errors.As(err, &child) {
		os.Exit(child.ExitCode())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: peer make WAY ADDRESS LENGTH SEED [COMMAND...]")
	fmt.Fprintln(os.Stderr, "       peer use WAY ADDRESS LENGTH SEED")
	fmt.Fprintln(os.Stderr, "       peer defaults PATH NAME")
	os.Exit(2)
}

var ways = map[string]struct {
	make func(address string, content []byte, command []string) error
	use  func(address string, content []byte) error
}{
	"sent":      {makeSent, useSent},
	"named":     {makeNamed, useNamed},
	"file":      {makeFile, useFile},
	"sysv":      {makeSysv, useSysv},
	"tempfile":  {makeTempFile, useTempFile},
	"inherited": {makeInherited, useInherited},
}

// announce prints the address, and waits for a line or the end of the standard input.
func announce(address any) {
	fmt.Println(address)
	bufio.NewReader(os.Stdin).ReadString('\n')
}

// compare checks that these bytes are the content.
func compare(got, want []byte) error {
	if len(got) != len(want) {
		return differs("there are %d bytes, and not %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			return differs("byte %d is %d, and not %d", i, got[i], want[i])
		}
	}
	fmt.Println("ok")
	return nil
}

func differs(format string, args ...any) error {
	fmt.Printf(format+"\n", args...)
	return errors.New("that is not the content")
}

// compareFile checks the content behind a descriptor, whatever its offset.
func compareFile(f *os.File, want []byte) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	got, err := io.ReadAll(io.NewSectionReader(f, 0, info.Size()))
	if err != nil {
		return err
	}
	return compare(got, want)
}

// compareSealed is compareFile for a descriptor that was promised to be sealed.
func compareSealed(f *os.File, want []byte) error {
	if err := bytefd.Verify(f); err != nil {
		return differs("%v", err)
	}
	return compareFile(f, want)
}

func makeSent(path string, content []byte, _ []string) error {
	server, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return err
	}
	defer server.Close() // and removes the path
	f, err := bytefd.WrapBuffer(content)
	if err != nil {
		return err
	}
	defer f.Close()
	served := make(chan error, 1)
	go func() {
		conn, err := server.AcceptUnix()
		if err == nil {
			err = bytefd.Send(conn, []byte("!"), f)
			conn.Close()
		}
		served <- err
	}()
	announce(path)
	server.Close() // nobody has come
	if err := <-served; !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

func useSent(path string, content []byte) error {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return err
	}
	defer conn.Close()
	message := make([]byte, 1)
	_, files, err := bytefd.Receive(conn, message, 1)
	if err != nil {
		return err
	}
	if len(files) != 1 {
		return differs("%d files came", len(files))
	}
	defer files[0].Close()
	if string(message) != "!" {
		return differs("the message is %q", message)
	}
	return compareSealed(files[0], content)
}

func makeNamed(name string, content []byte, _ []string) error {
	opts := []bytefd.ShmOption{bytefd.ShmWrite(), bytefd.ShmLength(int64(len(content))),
		bytefd.ShmUnlinkOnClose()}
	n, err := bytefd.CreateShm(name, opts...)
	if err != nil {
		return err
	}
	defer n.Close()
	if _, err := n.File().WriteAt(content, 0); err != nil {
		return err
	}
	announce(n.Name())
	return nil
}

func useNamed(name string, content []byte) error {
	n, err := bytefd.OpenShm(name)
	if err != nil {
		return err
	}
	defer n.Close()
	return compareFile(n.File(), content)
}

func makeFile(path string, content []byte, _ []string) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s is there already", path)
	}
	m, err := bytefd.MapFile(path, bytefd.MapWrite(), bytefd.MapCreate(),
		bytefd.MapFileSize(int64(len(content))))
	if err != nil {
		return err
	}
	defer os.Remove(path)
	defer m.Close()
	copy(m.Bytes(), content)
	announce(path)
	return nil
}

func useFile(path string, content []byte) error {
	m, err := bytefd.MapFile(path)
	if err != nil {
		return err
	}
	defer m.Close()
	return compare(m.Bytes(), content)
}

func makeSysv(key string, content []byte, _ []string) error {
	number, err := strconv.Atoi(key)
	if err != nil {
		return err
	}
	m, number, err := bytefd.MapSysv(number, bytefd.SysvCreate(), bytefd.SysvWrite(),
		bytefd.SysvLength(len(content)))
	if err != nil {
		return err
	}
	defer bytefd.RemoveSysv(number)
	defer m.Close()
	copy(m.Bytes(), content)
	announce(number)
	return nil
}

func useSysv(address string, content []byte) error {
	number, err := strconv.Atoi(address)
	if err != nil {
		return err
	}
	m, _, err := bytefd.MapSysv(number, bytefd.SysvByID())
	if err != nil {
		return err
	}
	defer m.Close()
	return compare(m.Bytes(), content)
}

func makeTempFile(suffix string, content []byte, _ []string) error {
	l, err := bytefd.NewTempFile(content, bytefd.TempFileSuffix(suffix))
	if err != nil {
		return err
	}
	defer l.Close()
	announce(l.Path())
	return nil
}

func useTempFile(path string, content []byte) error {
	got, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return compare(got, content)
}

func makeInherited(_ string, content []byte, command []string) error {
	f, err := bytefd.WrapBuffer(content)
	if err != nil {
		return err
	}
	defer f.Close()
	child := exec.Command(command[0], command[1:]...)
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	child.ExtraFiles = []*os.File{f} // as number 3
	return child.Run()
}

func useInherited(address string, content []byte) error {
	fd, err := strconv.Atoi(address)
	if err != nil {
		return err
	}
	return compareSealed(os.NewFile(uintptr(fd), "inherited"), content)
}

func defaults(path, name string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, made := range []struct {
		what string
		make func() (*bytefd.Map, error)
	}{
		{"file", func() (*bytefd.Map, error) { return bytefd.MapFile(path) }},
		{"descriptor", func() (*bytefd.Map, error) { return bytefd.MapFD(f) }},
		{"memory", func() (*bytefd.Map, error) { return bytefd.NewMap(4096) }},
	} {
		m, err := made.make()
		if err != nil {
			return err
		}
		sayOf(made.what, m)
		m.Close()
	}
	created, err := bytefd.CreateShm(name, bytefd.ShmLength(4096), bytefd.ShmUnlinkOnClose())
	if err != nil {
		return err
	}
	defer created.Close()
	sayOf("shm created", created.File())
	opened, err := bytefd.OpenShm(name)
	if err != nil {
		return err
	}
	defer opened.Close()
	sayOf("shm opened", opened.File())
	segment := []bytefd.SysvOption{bytefd.SysvCreate(), bytefd.SysvTransient(),
		bytefd.SysvLength(4096)}
	_, _, err = bytefd.MapSysv(0, segment...)
	say("sysv created", err)
	m, number, err := bytefd.MapSysv(0, append(segment, bytefd.SysvWrite())...)
	if err != nil {
		return err
	}
	defer m.Close()
	attached, _, err := bytefd.MapSysv(number, bytefd.SysvByID())
	if err != nil {
		return err
	}
	defer attached.Close()
	sayOf("sysv attached", attached)
	say("unsealed", bytefd.Verify(f))
	return nil
}

func sayOf(what string, target io.WriterAt) {
	_, err := target.WriteAt([]byte("!"), 0)
	say(what, err)
}

func say(what string, err error) {
	var errno syscall.Errno
	switch {
	case err == nil:
		fmt.Printf("%s: writing\n", what)
	case !errors.As(err, &errno):
		fmt.Printf("%s: %v\n", what, err)
	case errno == syscall.EACCES || errno == syscall.EBADF:
		fmt.Printf("%s: reading\n", what)
	default:
		fmt.Printf("%s: refused, %d\n", what, errno)
	}
}
