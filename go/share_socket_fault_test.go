//go:build linux && cgo

package bytefd_test

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	bytefd "github.com/bytefd/bytefd/go"
)

func TestMoreFilesThanFitAreEBADMSGAndClosedAndFewerAreFine(t *testing.T) {
	f := wrapped(t, []byte("hello"))
	for name, kind := range kinds {
		for _, count := range []int{0, 1, 2, 4, 253} {
			for _, capacity := range []int{0, 3, 1000} {
				ours, theirs := socketPair(t, kind)
				var files []*os.File
				for i := 0; i < count; i++ {
					files = append(files, f)
				}
				before := holders(t)
				sent(t, ours, []byte("message"), files...)
				n, got, err := bytefd.Receive(theirs, make([]byte, 7), capacity)
				if count <= capacity {
					if n != 7 || len(got) != count || err != nil {
						t.Errorf("%s, %d of %d: got %d bytes, %d files, %v",
							name, count, capacity, n, len(got), err)
					}
				} else if isError(t, err, syscall.EBADMSG); n != 0 || got != nil {
					t.Errorf("%s, %d of %d: got %d bytes, %v", name, count, capacity, n, got)
				}
				closeEach(got)
				if more := holders(t) - before; more != 0 {
					t.Errorf("%s, %d of %d: %d more holders", name, count, capacity, more)
				}
			}
		}
	}
}

func closeEach(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

func TestAfterARefusalTheNextMessageIsWhole(t *testing.T) {
	f := wrapped(t, []byte("hello"))
	for _, capacity := range []int{0, 1, 4} {
		ours, theirs := socketPair(t, syscall.SOCK_STREAM)
		sent(t, ours, []byte("AA"), f, f)
		sent(t, ours, []byte("AA"), f, f, f)
		sent(t, ours, []byte("BBBB"), f)
		before := holders(t)
		_, _, err := bytefd.Receive(theirs, make([]byte, 4), capacity)
		isError(t, err, syscall.EBADMSG)
		if holders(t) != before {
			t.Error("a descriptor is left open")
		}
		next := make([]byte, 4)
		received(t, theirs, next, 1)
		if string(next) != "BBBB" {
			t.Errorf("capacity %d: the next message is %q", capacity, next)
		}
	}
}

func TestARefusedMessageThatDoesNotEndShutsTheSocketDown(t *testing.T) {
	f := wrapped(t, []byte("hello"))
	for _, deadline := range []time.Duration{0, time.Millisecond} {
		ours, theirs := socketPair(t, syscall.SOCK_STREAM)
		sent(t, ours, []byte("AA"), f)
		if deadline != 0 {
			theirs.SetReadDeadline(time.Now().Add(deadline))
		}
		_, _, err := bytefd.Receive(theirs, make([]byte, 4), 0)
		if deadline == 0 {
			isError(t, err, syscall.EBADMSG)
		}
		isShutDown(t, ours, theirs)
	}
}

// isShutDown checks that nothing more is received, also without a deadline, and that the other
// direction works.
func isShutDown(t *testing.T, ours, theirs *net.UnixConn) {
	t.Helper()
	isError(t, bytefd.Send(ours, []byte("AABBBB")), syscall.EPIPE)
	theirs.SetReadDeadline(time.Time{})
	if n, _, err := bytefd.Receive(theirs, make([]byte, 4), 1); err != io.EOF {
		t.Errorf("received %d bytes, %v", n, err)
	}
	sent(t, theirs, []byte("hello"))
	received(t, ours, make([]byte, 5), 0)
}

func TestADeadlineWithinAMessageShutsTheSocketDownAndBeforeItDoesNot(t *testing.T) {
	f := wrapped(t, []byte("hello"))
	ours, theirs := socketPair(t, syscall.SOCK_STREAM)
	late := func() {
		t.Helper()
		theirs.SetReadDeadline(time.Now().Add(time.Millisecond))
		_, _, err := bytefd.Receive(theirs, make([]byte, 5), 1)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v is not os.ErrDeadlineExceeded", err)
		}
	}
	late()
	theirs.SetReadDeadline(time.Time{})
	sent(t, ours, []byte("hello"), f)
	received(t, theirs, make([]byte, 5), 1)

	before := holders(t)
	sent(t, ours, []byte("h"), f)
	theirs.SetReadDeadline(time.Now().Add(time.Minute))
	ended := make(chan error)
	go func() {
		_, _, err := bytefd.Receive(theirs, make([]byte, 5), 1)
		ended <- err
	}()
	eventually(func() bool { return unreadBytes(t, ours) == 0 })
	theirs.SetReadDeadline(time.Unix(1, 0))
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v is not os.ErrDeadlineExceeded", err)
	}
	if holders(t) != before {
		t.Error("a descriptor is left open")
	}
	isShutDown(t, ours, theirs)
}

func TestReceiveSomeTakesWhatHasArrived(t *testing.T) {
	f := wrapped(t, []byte("hello"))
	ours, theirs := socketPair(t, syscall.SOCK_STREAM)
	some := func(size, capacity int) (string, error) {
		b := make([]byte, size)
		n, files, err := bytefd.ReceiveSome(theirs, b, capacity)
		closeEach(files)
		return string(b[:n]), err
	}
	sent(t, ours, []byte("hello"), f)
	if got, err := some(100, 2); got != "hello" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	sent(t, ours, []byte("hello"), f, f)
	_, err := some(2, 1)
	isError(t, err, syscall.EBADMSG)
	if got, err := some(100, 1); got != "llo" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	_, err = some(0, 1)
	isError(t, err, syscall.EINVAL)
	ours.Close()
	if _, err = some(100, 1); err != io.EOF {
		t.Error(err)
	}
}

func TestSendFDSendsALentNumber(t *testing.T) {
	ours, theirs := socketPair(t, syscall.SOCK_STREAM)
	if err := bytefd.ScanBytes([]byte("hello"), func(fd int) error {
		return bytefd.SendFD(ours, []byte("!"), fd, fd)
	}, label(t)); err != nil {
		t.Fatal(err)
	}
	for _, f := range received(t, theirs, make([]byte, 1), 2) {
		isPromised(t, int(f.Fd()), []byte("hello"))
	}
	for _, fd := range []int{-1, 1 << 20, 1 << 32} {
		isError(t, bytefd.SendFD(ours, []byte("!"), fd), syscall.EBADF)
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

func TestWhatIsReceivedIsRefusedUnlessItIsWhatWasAskedFor(t *testing.T) {
	ours, theirs := socketPair(t, syscall.SOCK_STREAM)
	sealed, open := wrapped(t, []byte("hello")), wrapped(t, []byte("hello"), bytefd.WrapWritable())
	for _, c := range []struct {
		files  []*os.File
		wanted []bytefd.Requirement
		errno  syscall.Errno
	}{
		{[]*os.File{open}, nil, 0},
		{[]*os.File{sealed}, []bytefd.Requirement{bytefd.RequireSealed()}, 0},
		{[]*os.File{open}, []bytefd.Requirement{bytefd.RequireSealed()}, syscall.EPERM},
		{[]*os.File{open}, []bytefd.Requirement{bytefd.RequireMinLength(0)}, syscall.EPERM},
		{[]*os.File{open}, []bytefd.Requirement{bytefd.RequireNoSeals()}, 0},
		{
			[]*os.File{sealed, sealed, open},
			[]bytefd.Requirement{bytefd.RequireSealed()},
			syscall.EPERM,
		},
		{[]*os.File{sealed}, []bytefd.Requirement{bytefd.RequireMinLength(5)}, 0},
		{[]*os.File{sealed}, []bytefd.Requirement{bytefd.RequireMinLength(6)}, syscall.ENXIO},
		{
			[]*os.File{sealed},
			[]bytefd.Requirement{bytefd.RequireUID(uint32(os.Geteuid()) + 1)},
			syscall.EACCES,
		},
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
	few := &syscall.Rlimit{Cur: 3, Max: old.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, few); err != nil {
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
			_, _, err := bytefd.Receive(theirs, make([]byte, 1), 1, bytefd.RequireMinLength(-1))
			return err
		},
	} {
		isError(t, receive(), syscall.EINVAL)
	}
	// None of these calls has sent anything.
	sent(t, ours, []byte("hello"))
	received(t, theirs, make([]byte, 5), 0)

	ours.Close()
	if err := bytefd.Send(ours, []byte("!")); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if _, _, err := bytefd.Receive(ours, make([]byte, 1), 0); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if _, err := bytefd.PeerCredentials(ours); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}
