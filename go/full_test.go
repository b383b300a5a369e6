//go:build linux && cgo

package bytefd_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
)

func TestAFullFileSystemIsENOSPCAndLeavesNothing(t *testing.T) {
	inNamespaces(t, func() { inAFullFileSystem(t) })
}

// inNamespaces runs the test again in a child that may mount what it likes, and calls f there.
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
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EINVAL) {
		t.Skip("this host allows no user namespaces, in which a test can mount a file system:", err)
	}
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, out)
	}
}

func inAFullFileSystem(t *testing.T) {
	const shm = "/dev/shm"
	if err := syscall.Mount("bytefd", shm, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	big := make([]byte, 1<<20)

	_, err := bytefd.WrapBuffer(big, bytefd.WithBackend(bytefd.BackendShm))
	isError(t, err, syscall.ENOSPC)
	_, err = bytefd.WrapBuffers([][]byte{big[:100], big}, bytefd.WithBackend(bytefd.BackendShm))
	isError(t, err, syscall.ENOSPC)
	_, err = bytefd.WrapReader(bytes.NewReader(big), bytefd.WithBackend(bytefd.BackendShm))
	isError(t, err, syscall.ENOSPC)
	err = bytefd.ScanBytes(big, func(int) error { t.Error("called"); return nil }, bytefd.WithBackend(bytefd.BackendShm))
	isError(t, err, syscall.ENOSPC)

	path := filepath.Join(shm, "map")
	_, err = bytefd.MapFile(path, bytefd.MapWrite(), bytefd.MapCreate(), bytefd.MapFileSize(int64(len(big))))
	isError(t, err, syscall.ENOSPC)

	// Without a reservation it is the store that finds no room, and it is told how far it came.
	m := mapped(t, path, bytefd.MapWrite(), bytefd.MapCreate(), bytefd.MapFileSize(int64(len(big))), bytefd.MapNoReserve())
	n, err := m.WriteAt(big, 0)
	isError(t, err, syscall.EIO)
	if n == 0 || n%page != 0 || n > 64<<10 {
		t.Errorf("wrote %d bytes where 64 KiB have room", n)
	}
	m.Close()
	os.Remove(path)

	if left := must[[]os.DirEntry](t)(os.ReadDir(shm)); len(left) != 0 {
		t.Errorf("%v is left in %s", left, shm)
	}
	f := closedLater(t, must[*os.File](t)(bytefd.WrapBuffer(big[:64<<10], bytefd.WithBackend(bytefd.BackendShm))))
	isPromised(t, int(f.Fd()), big[:64<<10])
}
