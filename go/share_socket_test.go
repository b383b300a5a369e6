//go:build linux && cgo

package bytefd_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	bytefd "github.com/bytefd/bytefd/go"
	"golang.org/x/sys/unix"
)

// received is Receive; the files are closed when the test ends.
func received(t *testing.T, conn *net.UnixConn, message []byte, n int, wanted ...bytefd.Requirement) []*os.File {
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

var kinds = map[string]int{
	"stream": syscall.SOCK_STREAM, "datagram": syscall.SOCK_DGRAM, "packet": syscall.SOCK_SEQPACKET,
}

func TestFilesArriveAsTheSameDescriptionsAndCloseOnExec(t *testing.T) {
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			ours, theirs := socketPair(t, kind)
			first, second := wrapped(t, []byte("first")), wrapped(t, []byte("second"))
			must[int64](t)(first.Seek(2, io.SeekStart))
			sent(t, ours, []byte("message"), first, second)

			message := make([]byte, 7)
			files := received(t, theirs, message, 2)
			if string(message) != "message" {
				t.Errorf("received %q", message)
			}
			for i, want := range []*os.File{first, second} {
				got, want := int(files[i].Fd()), int(want.Fd())
				if fstat(t, got).Ino != fstat(t, want).Ino || !closeOnExec(t, got) || got < 3 {
					t.Errorf("descriptor %d is another file, or a child would inherit it", got)
				}
			}
			rest := must[[]byte](t)(io.ReadAll(files[0]))
			if string(rest) != "rst" {
				t.Errorf("read %q from the shared offset on", rest)
			}
		})
	}
}

func TestAMessageOnAStreamArrivesWholeWhateverItsLength(t *testing.T) {
	ours, theirs := socketPair(t, syscall.SOCK_STREAM)
	f := wrapped(t, []byte("hello"))
	for _, size := range []int{1, page, 4<<20 + 1} {
		want := pattern(size)
		failed := make(chan error, 1)
		go func() { failed <- bytefd.Send(ours, want, f) }()
		got := make([]byte, size)
		files := received(t, theirs, got, 1)
		if err := <-failed; err != nil {
			t.Error(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%d bytes arrived changed", size)
		}
		isPromised(t, int(files[0].Fd()), []byte("hello"))
	}
}

func TestMoreFilesThanOneMessageCarriesGoInParts(t *testing.T) {
	ours, theirs := socketPair(t, syscall.SOCK_STREAM)
	pair := []*os.File{wrapped(t, []byte("even")), wrapped(t, []byte("odd"))}
	for _, count := range []int{253, 254, 600} {
		var files []*os.File
		for i := 0; i < count; i++ {
			files = append(files, pair[i%2])
		}
		message := []byte("123")[:(count+252)/253] // as short as can be
		sent(t, ours, message, files...)
		got := received(t, theirs, make([]byte, len(message)), count)
		for i, f := range got {
			if fstat(t, int(f.Fd())).Ino != fstat(t, int(pair[i%2].Fd())).Ino {
				t.Fatalf("file %d of %d is another one", i, count)
			}
			f.Close()
		}
	}
	isError(t, bytefd.Send(ours, []byte("12"), make600(pair)...), syscall.EINVAL)
	packets, _ := socketPair(t, syscall.SOCK_SEQPACKET)
	isError(t, bytefd.Send(packets, []byte("message"), make600(pair)...), syscall.E2BIG)
}

func make600(pair []*os.File) (files []*os.File) {
	for len(files) < 600 {
		files = append(files, pair...)
	}
	return files
}

func TestPacketsMayBeShorterAndNotLonger(t *testing.T) {
	f := wrapped(t, []byte("hello"))
	for _, name := range []string{"datagram", "packet"} {
		ours, theirs := socketPair(t, kinds[name])
		for _, length := range []int{0, 1, 5} {
			sent(t, ours, []byte("hello")[:length])
			message := make([]byte, 5)
			if n, files, err := bytefd.Receive(theirs, message, 0); n != length || len(files) != 0 || err != nil {
				t.Errorf("%s of %d bytes: %d, %v, %v", name, length, n, files, err)
			}
		}
		for _, c := range []struct {
			message string
			room    int
		}{{"h", 0}, {"hello", 0}, {"hello", 1}, {"hello", 4}} {
			before := holders(t)
			sent(t, ours, []byte(c.message), f)
			_, _, err := bytefd.Receive(theirs, make([]byte, c.room), 1)
			isError(t, err, syscall.EMSGSIZE)
			if holders(t) != before {
				t.Error("a descriptor is left open")
			}
		}
		sent(t, ours, []byte("next"))
		received(t, theirs, make([]byte, 4), 0)
	}
}

func TestAnotherNumberOfFilesIsEBADMSGAndTheyAreClosed(t *testing.T) {
	f := wrapped(t, []byte("hello"))
	for name, kind := range kinds {
		for _, count := range []int{0, 1, 2, 4, 253} {
			ours, theirs := socketPair(t, kind)
			var files []*os.File
			for i := 0; i < count; i++ {
				files = append(files, f)
			}
			before := holders(t)
			sent(t, ours, []byte("message"), files...)
			n, got, err := bytefd.Receive(theirs, make([]byte, 7), 3)
			isError(t, err, syscall.EBADMSG)
			if more := holders(t) - before; n != 0 || got != nil || more != 0 {
				t.Errorf("%s with %d files: got %d bytes, %v, and %d more holders", name, count, n, got, more)
			}
		}
	}
}

func TestTheEndIsEOFAndWithinAMessageECONNRESET(t *testing.T) {
	for _, kind := range []int{syscall.SOCK_STREAM, syscall.SOCK_SEQPACKET} {
		ours, theirs := socketPair(t, kind)
		ours.Close()
		if _, _, err := bytefd.Receive(theirs, make([]byte, 5), 0); err != io.EOF {
			t.Errorf("got %v, want io.EOF itself", err)
		}
	}
	ours, theirs := socketPair(t, syscall.SOCK_STREAM)
	sent(t, ours, []byte("hel"), wrapped(t, []byte("hello")))
	ours.Close()
	before := holders(t)
	_, _, err := bytefd.Receive(theirs, make([]byte, 5), 1)
	isError(t, err, syscall.ECONNRESET)
	if holders(t) != before {
		t.Error("a descriptor is left open")
	}
}

func TestNobodyToReceiveIsEPIPEAndNoSignal(t *testing.T) {
	ours, theirs := socketPair(t, syscall.SOCK_STREAM)
	theirs.Close()
	raisesNot(t, syscall.SIGPIPE, func() {
		isError(t, bytefd.Send(ours, []byte("hello")), syscall.EPIPE)
	})
}

// raisesNot calls f and sees whether this signal comes before a later one with a higher number, as it would.
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

// What ends a call that waits in the middle of a message, and what the call says then.
var endings = map[string]struct {
	end  func(conn *net.UnixConn)
	want error
}{
	"deadline": {func(conn *net.UnixConn) { conn.SetDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
	"close":    {func(conn *net.UnixConn) { conn.Close() }, net.ErrClosed},
}

func TestADeadlineAndCloseEndReceivingInTheMiddleOfAMessage(t *testing.T) {
	for name, ending := range endings {
		t.Run(name, func(t *testing.T) {
			ours, theirs := socketPair(t, syscall.SOCK_STREAM)
			before := holders(t)
			f := wrapped(t, []byte("hello"))
			sent(t, ours, []byte("hel"), f)
			f.Close()
			failed := make(chan error, 1)
			go func() {
				_, _, err := bytefd.Receive(theirs, make([]byte, 5), 1)
				failed <- err
			}()
			eventually(func() bool { return unreadBytes(t, ours) == 0 })
			ending.end(theirs)
			if err := <-failed; !errors.Is(err, ending.want) {
				t.Errorf("got %v, want %v", err, ending.want)
			}
			if holders(t) != before {
				t.Error("the descriptor that had come is left open")
			}
		})
	}
}

// unreadBytes returns how much of what was sent the other end has not received, SIOCOUTQ.
func unreadBytes(t *testing.T, conn *net.UnixConn) (bytes int) {
	raw := must[syscall.RawConn](t)(conn.SyscallConn())
	var failure error
	err := raw.Control(func(fd uintptr) { bytes, failure = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ) })
	if err != nil || failure != nil {
		t.Fatal(err, failure)
	}
	return bytes
}

func TestADeadlineAndCloseEndSendingInTheMiddleOfAMessage(t *testing.T) {
	for name, ending := range endings {
		t.Run(name, func(t *testing.T) {
			ours, theirs := socketPair(t, syscall.SOCK_STREAM)
			f := wrapped(t, []byte("hello"))
			failed := make(chan error, 1)
			go func() { failed <- bytefd.Send(ours, make([]byte, 16<<20), f) }()
			received(t, theirs, make([]byte, 1), 1) // it has begun
			ending.end(ours)
			if err := <-failed; !errors.Is(err, ending.want) {
				t.Errorf("got %v, want %v", err, ending.want)
			}
		})
	}
}

func TestADeadlineAndCloseEndWaitingForAMessage(t *testing.T) {
	for name, ending := range endings {
		for kindName, kind := range kinds {
			_, theirs := socketPair(t, kind)
			failed := make(chan error, 1)
			go func() {
				_, _, err := bytefd.Receive(theirs, make([]byte, 5), 1)
				failed <- err
			}()
			ending.end(theirs)
			if err := <-failed; !errors.Is(err, ending.want) {
				t.Errorf("%s, %s: got %v, want %v", name, kindName, err, ending.want)
			}
		}
	}
}

func TestMessagesOfManyGoroutinesDoNotMix(t *testing.T) {
	const senders, length = 8, 1 << 20
	ours, theirs := socketPair(t, syscall.SOCK_STREAM)
	var group sync.WaitGroup
	for i := 0; i < senders; i++ {
		f := wrapped(t, []byte{byte(i)})
		group.Add(1)
		go func() {
			defer group.Done()
			if err := bytefd.Send(ours, bytes.Repeat([]byte{byte(i)}, length), f); err != nil {
				t.Error(err)
			}
		}()
	}
	for i := 0; i < senders; i++ {
		message := make([]byte, length)
		f := received(t, theirs, message, 1)[0]
		if bytes.Count(message, message[:1]) != length {
			t.Error("messages mixed")
		}
		isPromised(t, int(f.Fd()), message[:1])
	}
	group.Wait()
}

func TestWhatIsReceivedIsRefusedUnlessItIsWhatWasAskedFor(t *testing.T) {
	ours, theirs := socketPair(t, syscall.SOCK_STREAM)
	sealed, open := wrapped(t, []byte("hello")), wrapped(t, []byte("hello"), bytefd.Writable())
	for _, c := range []struct {
		files  []*os.File
		wanted []bytefd.Requirement
		errno  syscall.Errno
	}{
		{[]*os.File{open}, nil, 0},
		{[]*os.File{sealed}, []bytefd.Requirement{bytefd.RequireSealed()}, 0},
		{[]*os.File{open}, []bytefd.Requirement{bytefd.RequireSealed()}, syscall.EPERM},
		{[]*os.File{open}, []bytefd.Requirement{bytefd.RequireLength(0)}, syscall.EPERM},
		{[]*os.File{open}, []bytefd.Requirement{bytefd.RequireSeals(0)}, 0},
		{[]*os.File{sealed, sealed, open}, []bytefd.Requirement{bytefd.RequireSealed()}, syscall.EPERM},
		{[]*os.File{sealed}, []bytefd.Requirement{bytefd.RequireLength(5)}, 0},
		{[]*os.File{sealed}, []bytefd.Requirement{bytefd.RequireLength(6)}, syscall.ENXIO},
		{[]*os.File{sealed}, []bytefd.Requirement{bytefd.RequireOwner(uint32(os.Geteuid()) + 1)}, syscall.EACCES},
	} {
		before := holders(t)
		sent(t, ours, []byte("!"), c.files...)
		_, files, err := bytefd.Receive(theirs, make([]byte, 1), len(c.files), c.wanted...)
		if c.errno != 0 {
			isError(t, err, c.errno)
			if files != nil {
				t.Error("there are files with an error")
			}
		} else if err != nil || len(files) != len(c.files) {
			t.Errorf("%d files, %v", len(files), err)
		}
		for _, f := range files {
			f.Close()
		}
		if holders(t) != before {
			t.Error("a descriptor is left open")
		}
	}
}

func TestNoDescriptorsLeftToReceiveIsEMFILEAndNothingStaysOpen(t *testing.T) {
	ours, theirs := socketPair(t, syscall.SOCK_STREAM)
	f := wrapped(t, []byte("hello"))
	before := holders(t)
	sent(t, ours, []byte("!"), f, f, f)
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 3, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	_, _, err := bytefd.Receive(theirs, make([]byte, 1), 3)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	isError(t, err, syscall.EMFILE)
	if holders(t) != before {
		t.Error("a descriptor is left open")
	}
}

func TestWhatElseTheKernelPutsBesideTheDescriptorsDoesNotHide(t *testing.T) {
	ours, theirs := socketPair(t, syscall.SOCK_STREAM)
	raw := must[syscall.RawConn](t)(theirs.SyscallConn())
	const passPIDFD = 76
	raw.Control(func(fd uintptr) {
		for _, option := range []int{unix.SO_PASSCRED, unix.SO_TIMESTAMP, passPIDFD} {
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, option, 1) // as far as this kernel knows it
		}
	})
	before := len(openDescriptors())
	sent(t, ours, []byte("!"), wrapped(t, []byte("hello")))
	isPromised(t, int(received(t, theirs, make([]byte, 1), 1)[0].Fd()), []byte("hello"))
	if opened := len(openDescriptors()) - before; opened != 2 {
		t.Errorf("%d more descriptors are open, want that of the file here and that received", opened)
	}
}

func TestSendingLeavesDeadlinesOfAFileAlone(t *testing.T) {
	ours, theirs := socketPair(t, syscall.SOCK_STREAM)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	closedLater(t, r)
	closedLater(t, w)
	sent(t, ours, []byte("!"), r)
	received(t, theirs, make([]byte, 1), 1)
	if err := r.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Error(err)
	}
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

func TestWhatCannotBeSentOrReceivedIsRefused(t *testing.T) {
	ours, theirs := socketPair(t, syscall.SOCK_STREAM)
	closed := wrapped(t, []byte("hello"))
	open := wrapped(t, []byte("hello"))
	closed.Close()
	err := bytefd.Send(ours, []byte("!"), open, closed)
	isError(t, err, syscall.EBADF)
	if !errors.Is(err, os.ErrClosed) {
		t.Errorf("%v is not os.ErrClosed", err)
	}
	isError(t, bytefd.Send(ours, []byte("!"), nil), syscall.EINVAL)
	isError(t, bytefd.Send(ours, nil), syscall.EINVAL)
	isError(t, bytefd.Send(ours, nil, open), syscall.EINVAL)
	isError(t, bytefd.Send(nil, []byte("!")), syscall.EINVAL)
	for _, receive := range []func() error{
		func() error { _, _, err := bytefd.Receive(nil, make([]byte, 1), 0); return err },
		func() error { _, _, err := bytefd.Receive(theirs, nil, 0); return err },
		func() error { _, _, err := bytefd.Receive(theirs, make([]byte, 1), -1); return err },
		func() error {
			_, _, err := bytefd.Receive(theirs, make([]byte, 1), 1, bytefd.RequireLength(-1))
			return err
		},
	} {
		isError(t, receive(), syscall.EINVAL)
	}
	// None of these has sent anything.
	sent(t, ours, []byte("hello"))
	received(t, theirs, make([]byte, 5), 0)

	ours.Close()
	if err := bytefd.Send(ours, []byte("!")); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if _, _, err := bytefd.Receive(ours, make([]byte, 1), 0); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if _, err := bytefd.Peer(ours); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

func TestADescriptorIsNeverTakenForAStandardStream(t *testing.T) {
	if os.Getenv(roleOfChild) == "" {
		child, lines := asChild(t, "without stdin")
		if line := nextLine(t, lines); line != "above 2" {
			t.Error(line)
		}
		for lines.Scan() {
		}
		if err := child.Wait(); err != nil {
			t.Error(err)
		}
		return
	}
	ours, theirs := socketPair(t, syscall.SOCK_STREAM)
	sent(t, ours, []byte("!"), wrapped(t, []byte("hello")))
	null := must[int](t)(syscall.Dup(0))
	syscall.Close(0)
	fd := received(t, theirs, make([]byte, 1), 1)[0].Fd()
	if isOpen(0) {
		t.Error("descriptor 0 is open")
	}
	syscall.Dup3(null, 0, 0)
	syscall.Close(null)
	if fd > 2 && closeOnExec(t, int(fd)) {
		fmt.Println("above 2")
	} else {
		fmt.Println("it is", fd)
	}
}

func TestThePeerIsWhoConnected(t *testing.T) {
	ours, _ := socketPair(t, syscall.SOCK_STREAM)
	us := bytefd.Credentials{Process: os.Getpid(), User: uint32(os.Geteuid()), Group: uint32(os.Getegid())}
	if got := must[bytefd.Credentials](t)(bytefd.Peer(ours)); got != us {
		t.Errorf("got %+v, want %+v", got, us)
	}
	address := &net.UnixAddr{Name: filepath.Join(t.TempDir(), "socket"), Net: "unixgram"}
	alone := closedLater(t, must[*net.UnixConn](t)(net.ListenUnixgram("unixgram", address)))
	_, err := bytefd.Peer(alone)
	isError(t, err, syscall.ENOTCONN)
	isError(t, bytefd.Send(alone, []byte("hello")), syscall.ENOTCONN)
	_, err = bytefd.Peer(nil)
	isError(t, err, syscall.EINVAL)
}

// A client in another language, that knows nothing of this package.
const pythonClient = `
import array, fcntl, mmap, os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
message, fds, flags, _ = socket.recv_fds(s, 7, 1)
assert message == b"message" and len(fds) == 1
assert fcntl.fcntl(fds[0], 1034) & 15 == 15
content = mmap.mmap(fds[0], 0, prot=mmap.PROT_READ)
try:
    os.write(fds[0], b"x")
    sys.exit("a sealed file was written to")
except PermissionError:
    pass
own = os.memfd_create("own", os.MFD_ALLOW_SEALING)
os.write(own, content[:][::-1])
fcntl.fcntl(own, 1033, 15)
socket.send_fds(s, [b"answer"], [fds[0], own])
`

func TestAPythonClientIsServedAndAnswers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	server := closedLater(t, must[*net.UnixListener](t)(net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})))
	var out strings.Builder
	client := exec.Command("python3", "-c", pythonClient, path)
	client.Stderr = &out
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- client.Wait()
		server.Close() // should it not have come
	}()
	conn := closedLater(t, must[*net.UnixConn](t)(server.AcceptUnix()))
	if who := must[bytefd.Credentials](t)(bytefd.Peer(conn)); who.Process != client.Process.Pid {
		t.Errorf("the peer is %d, want %d", who.Process, client.Process.Pid)
	}
	content := pattern(page + 1)
	ours := wrapped(t, content)
	sent(t, conn, []byte("message"), ours)
	message := make([]byte, 6)
	length, files, err := bytefd.Receive(conn, message, 2, bytefd.RequireLength(int64(len(content))))
	if err := <-ended; err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	if err != nil || string(message[:length]) != "answer" {
		t.Fatalf("got %q, %v", message[:length], err)
	}
	back, own := closedLater(t, files[0]), closedLater(t, files[1])
	if fstat(t, int(back.Fd())).Ino != fstat(t, int(ours.Fd())).Ino {
		t.Error("another file has come back")
	}
	reversed := make([]byte, len(content))
	if _, err := own.ReadAt(reversed, 0); err != nil {
		t.Fatal(err)
	}
	for i := range content {
		if reversed[i] != content[len(content)-1-i] {
			t.Fatal("the client's answer is wrong")
		}
	}
}
