//go:build linux && cgo

package examples

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	bytefd "github.com/bytefd/bytefd/go"
	"github.com/bytefd/bytefd/go/internal/alarm"
)

// programs is the folder with the built commands.
var programs string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	alarm.Set()
	var err error
	if programs, err = os.MkdirTemp("", "bytefd-examples-"); err != nil {
		panic(err)
	}
	defer os.RemoveAll(programs)
	build := exec.Command("go", "build", "-o", programs+"/", "./...")
	if out, err := build.CombinedOutput(); err != nil {
		os.Stderr.Write(out)
		return 1
	}
	return m.Run()
}

// command returns a command for one of the programs, with a folder for temporary files in the
// folder of the test.
func command(t *testing.T, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(programs, name), args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	return cmd
}

// prints runs a program and checks that it succeeds and prints this.
func prints(t *testing.T, want, name string, args ...string) {
	t.Helper()
	out, err := command(t, name, args...).CombinedOutput()
	if err != nil || string(out) != want {
		t.Errorf("%s: %v, printed:\n%s\nwant:\n%s", name, err, out, want)
	}
}

// fails runs a program and checks that it ends with 1 and names the failure, after it has printed
// what it can.
func fails(t *testing.T, want, trouble, name string, args ...string) {
	t.Helper()
	cmd := command(t, name, args...)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	isNamed := strings.Contains(complaint.String(), trouble)
	if err == nil || cmd.ProcessState.ExitCode() != 1 || string(out) != want || !isNamed {
		t.Errorf("%s: %v, printed %q and %q", name, err, out, complaint.String())
	}
}

func fileOf(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func holds(t *testing.T, path string, want []byte) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s has %d bytes and not the %d expected, %v", path, len(got), len(want), err)
	}
}

func TestMmcatWritesFilesOneAfterTheOther(t *testing.T) {
	big := strings.Repeat("a line of text\n", 100_000)
	prints(t, "hello"+big, "mmcat", fileOf(t, "hello"), fileOf(t, ""), fileOf(t, big))
	fails(t, "hello", "/no/such", "mmcat", "/no/such", fileOf(t, "hello"))
}

func TestTMmapShowsAndChangesTheFirstBytes(t *testing.T) {
	path := fileOf(t, "hello\x00\x00\x00\x00\x00 world")
	prints(t, "current string: hello\n", "t_mmap", path)
	prints(t, "current string: hello\ncopied \"good bye\" to the map\n", "t_mmap", path, "good bye")
	prints(t, "current string: good bye\n", "t_mmap", path)
	holds(t, path, []byte("good bye\x00\x00 world"))
	fails(t, "current string: good bye\n", "too long", "t_mmap", path, "much too long")
	fails(t, "", "9 bytes", "t_mmap", fileOf(t, "too short"))
}

func TestAnonMmapSharesACounterWithAChild(t *testing.T) {
	prints(t, "child started, value = 1\nin the parent, value = 2\n", "anon_mmap")
}

func TestAskAndAnswerSeeWhatTheOtherWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	answer := command(t, "answer", path)
	out, err := answer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := answer.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		answer.Process.Kill() // if it still waits
		answer.Wait()
	}()
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); err != nil || line != "waiting for a question\n" {
		t.Fatalf("%q, %v", line, err)
	}
	prints(t, "answered \"IS ANYBODY THERE?\"\n", "ask", path, "is anybody there?")
	const asked = "asked \"is anybody there?\"\n"
	if rest, err := io.ReadAll(lines); err != nil || string(rest) != asked {
		t.Errorf("%q, %v", rest, err)
	}
}

func TestRecvfileReadsASocketIntoAFile(t *testing.T) {
	// The path of a socket must be short.
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "socket")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	content := bytes.Repeat([]byte("0123456789"), 100_000)
	sent := make(chan error)
	send := func() {
		conn, err := listener.Accept()
		if err == nil {
			conn.Write(content) // a receiver that fails hangs up
			err = conn.Close()
		}
		sent <- err
	}

	older := fileOf(t, strings.Repeat("x", 2_000_000))
	for _, path := range []string{filepath.Join(t.TempDir(), "new"), older} {
		go send()
		prints(t, "received 1000000 bytes\n", "recvfile", socket, path, "1000000")
		if err := <-sent; err != nil {
			t.Error(err)
		}
		holds(t, path, content)
	}
	go send()
	fails(t, "", "EOF", "recvfile", socket, older, "1000001")
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func TestEdgesAreWhereTheManualSays(t *testing.T) {
	if os.Getpagesize() != 4096 {
		t.Skip("what is expected here is for pages of 4096 bytes")
	}
	prints(t, `a file of 5000 bytes, mapped at 5000
  bytes 0 to 8191 are there
  from 8192 on: SIGSEGV
  bytes 5000 to 8191 read zero
  bytes 0 to 4999 reach the file when stored to
  bytes 5000 to 8191 do not
  the file has 5000 bytes
a file of 5000 bytes, mapped at 15000
  bytes 0 to 8191 are there
  bytes 8192 to 16383 raise SIGBUS
  from 16384 on: SIGSEGV
  bytes 5000 to 8191 read zero
  bytes 0 to 4999 reach the file when stored to
  bytes 5000 to 8191 do not
  the file has 5000 bytes
a file of 9500 bytes, mapped at 6000
  bytes 0 to 8191 are there
  from 8192 on: SIGSEGV
  bytes 0 to 8191 reach the file when stored to
  the file has 9500 bytes
a file of 2200 bytes, mapped at 6000
  bytes 0 to 4095 are there
  bytes 4096 to 8191 raise SIGBUS
  from 8192 on: SIGSEGV
  bytes 2200 to 4095 read zero
  bytes 0 to 2199 reach the file when stored to
  bytes 2200 to 4095 do not
  the file has 2200 bytes
an empty file, mapped at 1000 pages
  the file has 0 bytes: 0 can be read, SIGBUS from 0, SIGSEGV from 4096000
  the file has 1 bytes: 4096 can be read, SIGBUS from 4096, SIGSEGV from 4096000
  the file has 4096 bytes: 4096 can be read, SIGBUS from 4096, SIGSEGV from 4096000
  the file has 4097 bytes: 8192 can be read, SIGBUS from 8192, SIGSEGV from 4096000
  the file has 2048000 bytes: 2048000 can be read, SIGBUS from 2048000, SIGSEGV from 4096000
  the file has 4096000 bytes: 4096000 can be read, SIGSEGV from 4096000
  the file has 4100096 bytes: 4096000 can be read, SIGSEGV from 4096000
protection and open mode, kernel/bytefd
              shared O_RDONLY  shared O_WRONLY  shared O_RDWR    private O_RDONLY
  none        ok/ok            EACCES/EACCES    ok/ok            ok/ok
  read        ok/ok            EACCES/EACCES    ok/ok            ok/ok
  write       EACCES/EACCES    EACCES/EACCES    ok/EINVAL        ok/EINVAL
  read+write  EACCES/EACCES    EACCES/EACCES    ok/ok            ok/ok
`, "edges")
}

func TestFourWaysFindTheSameBytes(t *testing.T) {
	want := "System V       the same bytes\nnamed          the same bytes\n" +
		"sent memfd     the same bytes\nmapped file    the same bytes\n"
	prints(t, want, "four_ways")
}

// fetch of c-examples tests what a client in another language gets.
func TestServeGivesEveryClientTheContent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	server := command(t, "serve", path, "2")
	server.Stdin = strings.NewReader("hello")
	var printed bytes.Buffer
	server.Stdout, server.Stderr = &printed, &printed
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		conn := dial(t, path)
		message := make([]byte, 1)
		_, files, err := bytefd.Receive(conn, message, 1, bytefd.RequireSealed())
		if err != nil || len(files) != 1 || message[0] != '!' {
			t.Fatal(message, files, err)
		}
		got, err := io.ReadAll(io.NewSectionReader(files[0], 0, 100))
		if err != nil || string(got) != "hello" {
			t.Error(got, err)
		}
		files[0].Close()
		conn.Close()
	}
	want := strings.Repeat(fmt.Sprintln("user", os.Getuid()), 2)
	if err := server.Wait(); err != nil || printed.String() != want {
		t.Errorf("%v, printed %q", err, printed.String())
	}
	if _, err := os.Lstat(path); err == nil {
		t.Error("the socket is still there")
	}
}

// dial waits until a server listens.
func dial(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	for {
		conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
		if err == nil {
			return conn
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
}
