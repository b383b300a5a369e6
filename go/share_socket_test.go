//go:build linux && cgo

package bytefd_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	bytefd "github.com/bytefd/bytefd/go"
	"golang.org/x/sys/unix"
)

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
			if n, files, err := bytefd.Receive(theirs, message, 0); n != length ||
				len(files) != 0 || err != nil {
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

func TestWhatElseTheKernelPutsBesideTheDescriptorsDoesNotHide(t *testing.T) {
	ours, theirs := socketPair(t, syscall.SOCK_STREAM)
	raw := must[syscall.RawConn](t)(theirs.SyscallConn())
	const passPIDFD = 76
	raw.Control(func(fd uintptr) {
		for _, option := range []int{unix.SO_PASSCRED, unix.SO_TIMESTAMP, passPIDFD} {
			// As far as this kernel knows the option.
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, option, 1)
		}
	})
	before := len(openDescriptors())
	sent(t, ours, []byte("!"), wrapped(t, []byte("hello")))
	isPromised(t, int(received(t, theirs, make([]byte, 1), 1)[0].Fd()), []byte("hello"))
	if opened := len(openDescriptors()) - before; opened != 2 {
		t.Errorf("%d more descriptors are open, want that of the file here and that received",
			opened)
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
	us := bytefd.Credentials{PID: os.Getpid(), UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	if got := must[bytefd.Credentials](t)(bytefd.PeerCredentials(ours)); got != us {
		t.Errorf("got %+v, want %+v", got, us)
	}
	address := &net.UnixAddr{Name: filepath.Join(t.TempDir(), "socket"), Net: "unixgram"}
	alone := closedLater(t, must[*net.UnixConn](t)(net.ListenUnixgram("unixgram", address)))
	_, err := bytefd.PeerCredentials(alone)
	isError(t, err, syscall.ENOTCONN)
	isError(t, bytefd.Send(alone, []byte("hello")), syscall.ENOTCONN)
	_, err = bytefd.PeerCredentials(nil)
	isError(t, err, syscall.EINVAL)
}
