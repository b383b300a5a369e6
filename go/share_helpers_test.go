//go:build linux

package bytefd_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"os/signal"

	bytefd "github.com/bytefd/bytefd/go"
	"golang.org/x/sys/unix"
)

// socketPair returns two connected sockets of package net.
func socketPair(t *testing.T, kind int) (ours, theirs *net.UnixConn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, kind|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return asConn(t, fds[0]), asConn(t, fds[1])
}

// asConn makes a connection of package net from a socket. It is closed when the test ends.
func asConn(t *testing.T, fd int) *net.UnixConn {
	t.Helper()
	f := os.NewFile(uintptr(fd), "socket")
	defer f.Close()
	return closedLater(t, must[net.Conn](t)(net.FileConn(f)).(*net.UnixConn))
}

var kinds = map[string]int{
	"stream": syscall.SOCK_STREAM, "datagram": syscall.SOCK_DGRAM, "packet": syscall.SOCK_SEQPACKET,
}

// received calls Receive. The files are closed when the test ends.
func received(
	t *testing.T, conn *net.UnixConn, message []byte, n int, wanted ...bytefd.Requirement,
) []*os.File {
	t.Helper()
	length, files, err := bytefd.Receive(conn, message, n, wanted...)
	if err != nil {
		t.Fatal(err)
	}
	if length != len(message) {
		t.Errorf("%d bytes, want %d", length, len(message))
	}
	for _, f := range files {
		closedLater(t, f)
	}
	return files
}

func sent(t *testing.T, conn *net.UnixConn, message []byte, files ...*os.File) {
	t.Helper()
	if err := bytefd.Send(conn, message, files...); err != nil {
		t.Fatal(err)
	}
}

// holders counts the descriptors and mappings of this process that refer to files with the label of
// a test.
func holders(t *testing.T) (count int) {
	name := strings.ReplaceAll(t.Name(), "/", ".")
	for _, link := range openDescriptors() {
		if strings.Contains(link, name) {
			count++
		}
	}
	for path := range mappedFiles() {
		if strings.Contains(path, name) {
			count++
		}
	}
	return count
}

// eventually waits for a state that is not reported.
func eventually(is func() bool) {
	for !is() {
		time.Sleep(time.Millisecond)
	}
}

// sharedName returns a name for shared memory that only this test uses and that identifies a leak.
func sharedName(t *testing.T) string {
	return fmt.Sprintf("bytefd-test-%s-%d", strings.ReplaceAll(t.Name(), "/", "."), os.Getpid())
}

const roleOfChild = "BYTEFD_TEST_ROLE"

// asChild runs the same test in another process, which reads what it needs from its environment.
// The process is killed when the test ends.
func asChild(t *testing.T, role string) (child *exec.Cmd, lines *bufio.Scanner) {
	t.Helper()
	child = exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), roleOfChild+"="+role)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		child.Process.Kill()
		child.Wait()
	})
	return child, bufio.NewScanner(out)
}

// nextLine returns the next line of a child.
func nextLine(t *testing.T, lines *bufio.Scanner) string {
	t.Helper()
	if !lines.Scan() {
		t.Fatal("the child said nothing:", lines.Err())
	}
	return lines.Text()
}

// inNamespaces runs the test again in a child that may mount file systems, and calls f there.
func inNamespaces(t *testing.T, f func()) {
	t.Helper()
	const inside = "BYTEFD_TEST_IN_NAMESPACES"
	if os.Getenv(inside) != "" {
		if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		f()
		return
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) ||
		errors.Is(err, syscall.EINVAL) {
		t.Skip("this host allows no user namespaces, in which a test can mount a file system:", err)
	}
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, out)
	}
}

// segment makes a segment without a key. It is removed when the test ends.
func segment(t *testing.T, key, length int, opts ...bytefd.SysvOption) (*bytefd.Map, int) {
	t.Helper()
	always := []bytefd.SysvOption{
		bytefd.SysvCreate(), bytefd.SysvWrite(), bytefd.SysvLength(length),
	}
	opts = append(always, opts...)
	m, number, err := bytefd.MapSysv(key, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bytefd.RemoveSysv(number) })
	return closedLater(t, m), number
}

// raisesNot calls f and checks that this signal does not come before a later one with a higher
// number.
func raisesNot(t *testing.T, unwanted syscall.Signal, f func()) {
	t.Helper()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, unwanted, syscall.SIGWINCH)
	defer signal.Stop(signals)
	f()
	if err := syscall.Kill(os.Getpid(), syscall.SIGWINCH); err != nil {
		t.Fatal(err)
	}
	if first := <-signals; first == unwanted {
		t.Errorf("%v was raised", first)
	}
}

// The ways to end a call that waits in the middle of a message, and the error of the call.
var endings = map[string]struct {
	end  func(conn *net.UnixConn)
	want error
}{
	"deadline": {
		func(conn *net.UnixConn) { conn.SetDeadline(time.Unix(1, 0)) },
		os.ErrDeadlineExceeded,
	},
	"close": {func(conn *net.UnixConn) { conn.Close() }, net.ErrClosed},
}

// unreadBytes returns how many bytes that were sent the other end has not received, SIOCOUTQ.
func unreadBytes(t *testing.T, conn *net.UnixConn) (bytes int) {
	raw := must[syscall.RawConn](t)(conn.SyscallConn())
	var failure error
	err := raw.Control(func(fd uintptr) {
		bytes, failure = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ)
	})
	if err != nil || failure != nil {
		t.Fatal(err, failure)
	}
	return bytes
}
