//go:build linux && cgo

package examples

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// scand is a running service.
type scand struct {
	*testing.T
	cmd     *exec.Cmd
	address string
	// Its folder for temporary files.
	folder string
	log    *log
	before map[string]bool
}

// log collects what a service prints.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// startScand starts the service with these arguments. A shell first runs the first argument if it
// is a command such as "ulimit -n 30".
func startScand(t *testing.T, args ...string) *scand {
	t.Helper()
	before := "true"
	if len(args) > 0 && strings.HasPrefix(args[0], "ulimit") {
		before, args = args[0], args[1:]
	}
	s := &scand{T: t, folder: t.TempDir(), log: &log{}}
	program := []string{"-c", before + `; exec "$0" "$@"`, filepath.Join(programs, "scand"),
		"-listen", "127.0.0.1:0"}
	s.cmd = exec.Command("sh", append(program, args...)...)
	s.cmd.Env = append(os.Environ(), "TMPDIR="+s.folder)
	s.cmd.Stderr = s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.cmd.Process.Kill() // if a test has failed
		s.cmd.Wait()
	})
	until(func() bool { return strings.Contains(s.log.String(), "\n") })
	isListening := false
	said := strings.TrimSpace(s.log.String())
	if _, s.address, isListening = strings.Cut(said, "listening on "); !isListening {
		t.Fatal(s.log)
	}
	s.before = s.held()
	return s
}

// until waits for a condition. The alarm ends a test that waits in vain.
func until(isTrue func() bool) {
	for !isTrue() {
		time.Sleep(time.Millisecond)
	}
}

// held returns the descriptors that the service has open, by number and name, without the cached
// files of its pool.
func (s *scand) held() map[string]bool {
	held := map[string]bool{}
	for _, path := range glob("/proc/%d/fd/*", s.cmd.Process.Pid) {
		link, err := os.Readlink(path)
		info, _ := os.Stat(path)
		if err != nil || info == nil {
			continue
		}
		isUpload := info.Mode().IsRegular() && !strings.HasPrefix(link, "/proc/") &&
			s.isForReading(filepath.Base(path))
		if isUpload || strings.HasPrefix(link, "socket:") || strings.HasPrefix(link, "pipe:") ||
			link == "anon_inode:[pidfd]" {
			held[filepath.Base(path)+" "+link] = true
		}
	}
	return held
}

// isForReading reports whether a descriptor is open for reading only, as those that are lent or
// were opened again for an engine. The descriptors that the pool keeps are open for writing.
func (s *scand) isForReading(number string) bool {
	info, _ := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%s", s.cmd.Process.Pid, number))
	_, flags, _ := strings.Cut(string(info), "flags:\t")
	value, err := strconv.ParseInt(strings.Fields(flags + " x")[0], 8, 64)
	return err == nil && value&syscall.O_ACCMODE == syscall.O_RDONLY
}

// isQuiet waits until no descriptor, process or file of any upload is left.
func (s *scand) isQuiet() {
	s.Helper()
	until(func() bool {
		for held := range s.held() {
			if !s.before[held] {
				return false
			}
		}
		return len(childrenOf(s.cmd.Process.Pid)) == 0
	})
	s.leavesNoFile()
}

func (s *scand) leavesNoFile() {
	s.Helper()
	// A name in /dev/shm ends with the process that made it.
	left := append(glob("%s/*", s.folder), glob("/dev/shm/bytefd*-%d", s.cmd.Process.Pid)...)
	if len(left) > 0 {
		s.Error("left behind: ", left)
	}
}

// ends sends SIGTERM, and checks that the service ends well.
func (s *scand) ends() {
	s.Helper()
	s.cmd.Process.Signal(syscall.SIGTERM)
	s.hasEnded()
}

// hasEnded waits for the end of the service, and fails unless it succeeds.
func (s *scand) hasEnded() {
	s.Helper()
	if err := s.cmd.Wait(); err != nil {
		s.Error(err, s.log)
	}
	s.leavesNoFile()
}

func glob(format string, args ...any) []string {
	paths, _ := filepath.Glob(fmt.Sprintf(format, args...))
	return paths
}

// childrenOf returns the children of a process, also those that have ended and were not waited for.
func childrenOf(parent int) (children []int) {
	for _, path := range glob("/proc/[0-9]*/stat") {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if fields[1] == strconv.Itoa(parent) {
			number, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			children = append(children, number)
		}
	}
	return children
}

// verdicts is the answer of the service.
type verdicts struct {
	code    int
	header  http.Header
	Verdict string
	Bytes   int
	Error   string
	Engines []struct{ Engine, Verdict, Detail string }
}

// scan uploads content, and returns the answer.
func (s *scand) scan(content io.Reader) verdicts {
	s.Helper()
	v, err := s.try(content)
	if err != nil {
		s.Fatal(err, s.log)
	}
	return v
}

// try is scan for a service that may be killed.
func (s *scand) try(content io.Reader) (v verdicts, err error) {
	client := http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	response, err := client.Post("http://"+s.address+"/scan", "application/octet-stream", content)
	if err != nil {
		return v, err
	}
	defer response.Body.Close()
	v.code, v.header = response.StatusCode, response.Header
	return v, json.NewDecoder(response.Body).Decode(&v)
}

// begin sends an upload of 4 MiB, except for what follows the first bytes, and returns the
// connection.
func (s *scand) begin(bytes int) net.Conn {
	s.Helper()
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { conn.Close() })
	const header = "POST /scan HTTP/1.1\r\nHost: scand\r\nContent-Length: 4194304\r\n\r\n"
	if _, err := io.WriteString(conn, header+strings.Repeat("x", bytes)); err != nil {
		s.Fatal(err)
	}
	return conn
}

// blocking is a command that waits until release is called. The test recognizes it in a list of
// processes.
type blocking struct {
	t    *testing.T
	fifo string
}

func newBlocking(t *testing.T) blocking {
	t.Helper()
	b := blocking{t, filepath.Join(t.TempDir(), "fifo")}
	if err := syscall.Mkfifo(b.fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	return b
}

// release lets one command, which waits or is about to, print this and end.
func (b blocking) release(text string) {
	b.t.Helper()
	if err := os.WriteFile(b.fifo, []byte(text), 0); err != nil {
		b.t.Fatal(err)
	}
}

// processes returns the processes that have the argument of the command.
func (b blocking) processes() (found []int) {
	for _, path := range glob("/proc/[0-9]*/cmdline") {
		line, _ := os.ReadFile(path)
		number, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if bytes.HasPrefix(line, []byte("cat\x00")) && bytes.Contains(line, []byte(b.fifo)) {
			found = append(found, number)
		}
	}
	return found
}

// isRunning waits until n commands run, and returns their process numbers.
func (b blocking) isRunning(n int) (found []int) {
	until(func() bool {
		found = b.processes()
		return len(found) == n
	})
	return found
}
