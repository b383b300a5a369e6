//go:build linux && cgo

package bytefd_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
)

// peer is the program internal/peer. It is tested here and not beside itself, because names in /dev/shm that come and
// go while the tests of this package run would look like leaks of theirs.
type peer string

func TestPeers(t *testing.T) {
	p := peer(filepath.Join(t.TempDir(), "peer"))
	if out, err := exec.Command("go", "build", "-o", string(p), "./internal/peer").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Run("what one makes another uses", p.useWhatIsMade)
	t.Run("what one leaves its child uses", p.useWhatIsInherited)
	t.Run("an unsealed descriptor is not ok", p.refuseUnsealed)
	t.Run("nobody needs to come", p.waitForNobody)
	t.Run("arguments that make no sense end with 2", p.refuseArguments)
}

// made starts a maker and returns where it says its content is. What ends it returns how it ended.
func (p peer) made(t *testing.T, args ...string) (address string, end func() error) {
	t.Helper()
	cmd := exec.Command(string(p), append([]string{"make"}, args...)...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	address = nextLine(t, bufio.NewScanner(out))
	return address, func() error {
		io.WriteString(in, "\n")
		return cmd.Wait()
	}
}

// used runs a user and returns what it says and how it ended.
func (p peer) used(args ...string) (string, int) {
	cmd := exec.Command(string(p), append([]string{"use"}, args...)...)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err.Error(), -1
	}
	return strings.TrimSuffix(string(out), "\n"), cmd.ProcessState.ExitCode()
}

func (p peer) useWhatIsMade(t *testing.T) {
	dir := t.TempDir()
	for way, address := range map[string]string{
		"sent":  filepath.Join(dir, "socket"),
		"named": fmt.Sprintf("bytefd-test-peer-%d", os.Getpid()),
		"file":  filepath.Join(dir, "file"),
		"sysv":  "0",
		"link":  ".ndb",
	} {
		for _, length := range []string{"1", "4096", "100001"} {
			for _, c := range []struct {
				length, seed, says string
				status             int
			}{
				{length, "7", "ok", 0},
				{length, "8", "byte 0 is 7, and not 8", 1},
				{"5", "7", "there are " + length + " bytes, and not 5", 1},
			} {
				found, end := p.made(t, way, address, length, "7")
				if says, status := p.used(way, found, c.length, c.seed); says != c.says || status != c.status {
					t.Errorf("%s of %s bytes: it says %q and ends with %d, want %q", way, length, says, status, c.says)
				}
				if err := end(); err != nil {
					t.Errorf("%s: %v", way, err)
				}
				if says, status := p.used(way, found, length, "7"); status != 1 {
					t.Errorf("%s: afterwards it says %q and ends with %d", way, says, status)
				}
			}
		}
	}
}

func (p peer) useWhatIsInherited(t *testing.T) {
	for seed, want := range map[string]string{"7": "ok", "8": "byte 0 is 7, and not 8"} {
		args := "make inherited 3 100001 7 " + string(p) + " use inherited 3 100001 " + seed
		out, err := exec.Command(string(p), strings.Fields(args)...).Output()
		if says := strings.TrimSuffix(string(out), "\n"); says != want || (err == nil) != (want == "ok") {
			t.Errorf("it says %q, want %q: %v", says, want, err)
		}
	}
}

func (p peer) refuseUnsealed(t *testing.T) {
	use := exec.Command(string(p), "use", "inherited", "3", "0", "7")
	use.ExtraFiles = []*os.File{wrapped(t, nil, bytefd.Writable())}
	if out, err := use.Output(); err == nil || !strings.Contains(string(out), "seals") {
		t.Errorf("it says %q: %v", out, err)
	}
}

func (p peer) waitForNobody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	_, end := p.made(t, "sent", path, "5", "7")
	if err := end(); err != nil {
		t.Error(err)
	}
	if exists(path) {
		t.Error("the socket is still there")
	}
}

func (p peer) refuseArguments(t *testing.T) {
	for _, args := range []string{
		"", "make", "make sent a b c", "use sent a -1 0", "use pigeon a 0 0", "eat sent a 0 0", "use sent a 0 0 true",
		"make inherited 3 0 0",
	} {
		cmd := exec.Command(string(p), strings.Fields(args)...)
		if err := cmd.Run(); cmd.ProcessState.ExitCode() != 2 {
			t.Errorf("%q: %v", args, err)
		}
	}
}
