//go:build !linux || !cgo

package bytefd_test

import (
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
)

func TestSharingAnswersThatItIsUnsupported(t *testing.T) {
	// Short, because an address has about 100 bytes.
	address := &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s"), Net: "unix"}
	server, err := net.ListenUnix("unix", address)
	if err != nil {
		t.Skip("this system has no Unix sockets:", err)
	}
	defer server.Close()
	conn, err := net.DialUnix("unix", nil, address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	f, err := conn.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()

	var word uint32
	send := bytefd.Send(conn, []byte("!"), f)
	_, _, receive := bytefd.Receive(conn, make([]byte, 1), 1, bytefd.RequireSealed())
	_, _, some := bytefd.ReceiveSome(conn, make([]byte, 1), 1)
	_, peer := bytefd.PeerCredentials(conn)
	_, create := bytefd.CreateShm("name", bytefd.ShmLength(1), bytefd.ShmUnlinkOnClose())
	_, open := bytefd.OpenShm("name")
	_, either := bytefd.OpenOrCreateShm("name")
	_, sweep := bytefd.Sweep()
	_, link := bytefd.NewTempFile([]byte("hello"), bytefd.TempFileSuffix(".txt"))
	_, _, segment := bytefd.MapSysv(0, bytefd.SysvCreate(), bytefd.SysvWrite(), bytefd.SysvLength(1))
	_, buffer := bytefd.ExportDMABuf(f)
	_, wake := bytefd.FutexWake(&word, 1)
	_, memory := bytefd.WrapReader(strings.NewReader("hello"))
	_, disk := bytefd.WrapReader(strings.NewReader("hello"), bytefd.WrapMaxBytes(5), bytefd.WrapSpillThreshold(1))
	for name, err := range map[string]error{
		"Send": send, "SendFD": bytefd.SendFD(conn, []byte("!"), 0), "Receive": receive, "ReceiveSome": some, "PeerCredentials": peer, "Verify": bytefd.Verify(f),
		"CreateShm": create, "OpenShm": open, "OpenOrCreateShm": either,
		"UnlinkShm": bytefd.UnlinkShm("name"), "Sweep": sweep, "NewTempFile": link,
		"MapSysv": segment, "RemoveSysv": bytefd.RemoveSysv(0), "ExportDMABuf": buffer,
		"FileLock": bytefd.FileLock(f, 0, bytefd.ToEnd, 2), "FileUnlock": bytefd.FileUnlock(f, 0, bytefd.ToEnd),
		"FutexWait": bytefd.FutexWait(&word, 0, 0), "FutexWake": wake,
		"WrapReader": memory, "WrapReader to disk": disk,
	} {
		var e *bytefd.Error
		if !errors.Is(err, errors.ErrUnsupported) || !errors.As(err, &e) {
			t.Errorf("%s: %v (%T) is no *Error that is ErrUnsupported", name, err, err)
		}
	}
}

func TestWhatWasNeverMadeIsClosed(t *testing.T) {
	var n bytefd.Shm
	var l bytefd.TempFile
	if n.Close() != nil || l.Close() != nil || l.Path() != "" || n.Name() != "" || n.Created() || n.File() != nil {
		t.Error("there is something")
	}
}
