//go:build linux && cgo

package examples

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// The string that virus scanners agreed to find, in two parts so that they do not find it here.
const harmless = `X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-` + `STANDARD-ANTIVIRUS-TEST-FILE!$H+H*`

// ofAnyLength hides the length of the content, so that the client sends it in chunks.
type ofAnyLength struct{ io.Reader }

func TestScandAnswersWithTheVerdictsOfBothEngines(t *testing.T) {
	// Uploads of more than 1000000 bytes are on disk.
	s := startScand(t, "-spill", "1000000")
	for _, length := range []int{0, 1, 5000, 999_999, 5<<20 + 1} {
		content := bytes.Repeat([]byte("0123456789abc"), length/13+1)[:length]
		known, unknown := bytes.NewReader(content), ofAnyLength{bytes.NewReader(content)}
		for _, body := range []io.Reader{known, unknown} {
			v := s.scan(body)
			digest := fmt.Sprintf("%x  -", sha256.Sum256(content))
			if v.code != http.StatusOK || v.Verdict != "clean" || v.Bytes != length ||
				len(v.Engines) != 2 || v.Engines[0].Verdict != "clean" ||
				v.Engines[1].Verdict != "clean" || v.Engines[1].Detail != digest {
				t.Errorf("%d bytes: %+v", length, v)
			}
		}
	}
	// At the start, and across the engine's window of 64 KiB, in memory and on disk.
	for _, offset := range []int{0, 1, 65_500, 65_536, 2_000_000} {
		v := s.scan(strings.NewReader(strings.Repeat(".", offset) + harmless + "."))
		if v.code != http.StatusOK || v.Verdict != "found" ||
			v.Engines[0].Detail != fmt.Sprint("at byte ", offset) {
			t.Errorf("at %d: %+v", offset, v)
		}
	}
	s.isQuiet()
	s.ends()
}

func TestScandTakesTheExitStatusForTheVerdict(t *testing.T) {
	for _, status := range []struct {
		command, content string
		code             int
		verdict, detail  string
	}{
		{"echo good; exit 0", "x", http.StatusOK, "clean", "good"},
		{"echo bad; exit 1", "x", http.StatusOK, "found", "bad"},
		{
			"echo cannot; exit 2", "x", http.StatusInternalServerError, "error",
			"exit status 2: cannot",
		},
		// The verdict of the other engine is certain.
		{"echo cannot; exit 2", harmless, http.StatusOK, "found", "exit status 2: cannot"},
		{"yes | head -c 100000", "x", http.StatusOK, "clean", strings.Repeat("y\n", 511) + "y"},
		{"stat -L -c '%F %s' /dev/stdin", "x", http.StatusOK, "clean", "regular file 1"},
	} {
		s := startScand(t, "sh", "-c", status.command)
		v := s.scan(strings.NewReader(status.content))
		if v.code != status.code || v.Verdict != status.verdict ||
			v.Engines[1].Detail != status.detail {
			t.Errorf("%s: %+v", status.command, v)
		}
		s.isQuiet()
		s.ends()
	}
	s := startScand(t, "/no/such/command")
	v := s.scan(strings.NewReader("x"))
	if v.code != http.StatusInternalServerError || !strings.Contains(v.Error, "no such file") {
		t.Errorf("%+v", v)
	}
	s.isQuiet()
	s.ends()
}

func TestScandRefusesUploadsThatAreTooLong(t *testing.T) {
	s := startScand(t, "-max-bytes", "3000000", "-spill", "1000000")
	for range 3 {
		for _, more := range []int{0, 1, 1_000_000} {
			content := make([]byte, 3_000_000+more)
			known, unknown := bytes.NewReader(content), ofAnyLength{bytes.NewReader(content)}
			for _, body := range []io.Reader{known, unknown} {
				v := s.scan(body)
				want := http.StatusOK
				if more > 0 {
					want = http.StatusRequestEntityTooLarge
				}
				if v.code != want {
					t.Errorf("%d bytes: %+v", len(content), v)
				}
			}
		}
	}
	s.isQuiet()
	s.ends()
}

func TestScandForgetsUploadsWhoseClientHangsUp(t *testing.T) {
	s := startScand(t, "-spill", "1000000")
	for range 5 {
		// No byte of it, less than the first buffer, in memory, on disk.
		for _, bytes := range []int{0, 1, 500_000, 3_000_000} {
			s.begin(bytes).Close()
		}
	}
	s.isQuiet()
	if v := s.scan(strings.NewReader("x")); v.code != http.StatusOK {
		t.Errorf("%+v", v)
	}
	s.ends()
}

func TestScandKillsTheCommandWhenTheClientHangsUp(t *testing.T) {
	command := newBlocking(t)
	s := startScand(t, "cat", command.fifo)
	conn := s.begin(4 << 20)
	command.isRunning(1)
	conn.Close()
	command.isRunning(0)
	s.isQuiet()
	s.ends()
}

func TestScandServesOthersWhileClientsAreSlow(t *testing.T) {
	s := startScand(t, "-uploads", "20")
	var slow []net.Conn
	for range 19 {
		slow = append(slow, s.begin(100_000))
	}
	for range 3 {
		if v := s.scan(strings.NewReader("x")); v.code != http.StatusOK {
			t.Errorf("%+v", v)
		}
	}
	for _, conn := range slow {
		conn.Close()
	}
	s.isQuiet()
	s.ends()
}

func TestScandGivesUpWhatIsTooSlow(t *testing.T) {
	s := startScand(t, "-upload-time", "100ms", "-spill", "1000000")
	for _, bytes := range []int{0, 1, 500_000, 3_000_000} {
		answer, err := io.ReadAll(s.begin(bytes))
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 408 ") {
			t.Errorf("%d bytes: %q, %v", bytes, answer, err)
		}
	}
	s.isQuiet()
	s.ends()
}

// The time limit for the upload ends the upload, not the scan.
func TestScandLetsAScanTakeLongerThanAnUpload(t *testing.T) {
	s := startScand(t, "-upload-time", "2s", "sleep", "3")
	if v := s.scan(strings.NewReader("x")); v.code != http.StatusOK {
		t.Errorf("%+v", v)
	}
	s.isQuiet()
	s.ends()
}

func TestScandRefusesMoreUploadsThanItHasRoomFor(t *testing.T) {
	command := newBlocking(t)
	s := startScand(t, "-uploads", "2", "cat", command.fifo)
	slow := []net.Conn{s.begin(4 << 20), s.begin(4 << 20)}
	command.isRunning(2)
	if v := s.scan(strings.NewReader("x")); v.code != http.StatusServiceUnavailable ||
		v.header.Get("Retry-After") == "" {
		t.Errorf("%+v", v)
	}
	slow[0].Close()
	command.isRunning(1)
	slow[1].Close()
	s.isQuiet()
	go command.release("released")
	if v := s.scan(strings.NewReader("x")); v.code != http.StatusOK ||
		v.Engines[1].Detail != "released" {
		t.Errorf("%+v", v)
	}
	s.ends()
}

func TestScandScansManyUploadsAtOnce(t *testing.T) {
	s := startScand(t, "-uploads", "64", "-spill", "1000000")
	var all sync.WaitGroup
	for i := range 60 {
		all.Add(1)
		go func() {
			defer all.Done()
			content := strings.Repeat(string(rune('a'+i%26)), 1+i*40_000)
			v, err := s.try(strings.NewReader(content))
			digest := fmt.Sprintf("%x  -", sha256.Sum256([]byte(content)))
			if err != nil || v.code != http.StatusOK || v.Bytes != len(content) ||
				v.Engines[1].Detail != digest {
				t.Errorf("%d bytes: %+v, %v", len(content), v, err)
			}
		}()
	}
	all.Wait()
	s.isQuiet()
	s.ends()
}

func TestScandSaysWhenItHasTooFewDescriptors(t *testing.T) {
	s := startScand(t, "ulimit -n 30", "-spill", "1000000")
	var all sync.WaitGroup
	var mu sync.Mutex
	codes := map[int]int{}
	for i := range 40 {
		all.Add(1)
		go func() {
			defer all.Done()
			v, err := s.try(bytes.NewReader(make([]byte, i*50_000)))
			if err != nil || v.code == http.StatusOK && v.Verdict != "clean" {
				t.Errorf("%+v, %v", v, err)
			}
			mu.Lock()
			defer mu.Unlock()
			if codes[v.code]++; v.code != http.StatusOK && v.code != http.StatusServiceUnavailable {
				t.Errorf("%+v", v)
			}
		}()
	}
	all.Wait()
	// While these are held, no other code can get descriptors.
	var slow []net.Conn
	for range 40 {
		slow = append(slow, s.begin(100_000))
	}
	until(func() bool { return strings.Contains(s.log.String(), "too many open files") })
	for _, conn := range slow {
		conn.Close()
	}
	s.isQuiet()
	if v := s.scan(strings.NewReader("x")); v.code != http.StatusOK {
		t.Errorf("%+v", v)
	}
	t.Log(codes)
	s.ends()
}

func TestScandSaysWhenTheCommandWasKilled(t *testing.T) {
	command := newBlocking(t)
	s := startScand(t, "cat", command.fifo)
	answered := make(chan verdicts)
	go func() {
		v, _ := s.try(strings.NewReader("x"))
		answered <- v
	}()
	syscall.Kill(command.isRunning(1)[0], syscall.SIGKILL)
	v := <-answered
	if v.code != http.StatusInternalServerError || v.Verdict != "error" ||
		!strings.Contains(v.Error, "killed") {
		t.Errorf("%+v", v)
	}
	go command.release("released")
	if v := s.scan(strings.NewReader("x")); v.code != http.StatusOK {
		t.Errorf("%+v", v)
	}
	s.isQuiet()
	s.ends()
}

func TestScandKillsACommandThatIsLateWithAllItHasStarted(t *testing.T) {
	command := newBlocking(t)
	s := startScand(t, "-scan-time", "3s", "sh", "-c", `cat "$0"; true`, command.fifo)
	answered := make(chan verdicts)
	go func() {
		v, _ := s.try(strings.NewReader(harmless))
		answered <- v
	}()
	v := s.scan(strings.NewReader("x"))
	if v.code != http.StatusGatewayTimeout || v.Verdict != "error" ||
		v.Engines[0].Verdict != "clean" {
		t.Errorf("%+v", v)
	}
	// The finding of the other engine counts.
	if v := <-answered; v.code != http.StatusOK || v.Verdict != "found" ||
		v.Engines[1].Verdict != "error" {
		t.Errorf("%+v", v)
	}
	command.isRunning(0)
	s.isQuiet()
	s.ends()
}

// The time is too short for any engine.
func TestScandAnswersWhenEveryScanIsLate(t *testing.T) {
	s := startScand(t, "-scan-time", "1ns", "-uploads", "64")
	var all sync.WaitGroup
	for i := range 50 {
		all.Add(1)
		go func() {
			defer all.Done()
			v, err := s.try(bytes.NewReader(make([]byte, i*50_000)))
			if err != nil ||
				v.code != http.StatusGatewayTimeout && v.code != http.StatusServiceUnavailable {
				t.Errorf("%+v, %v", v, err)
			}
		}()
	}
	all.Wait()
	s.isQuiet()
	s.ends()
}

func TestScandLeavesNothingWhenItIsKilled(t *testing.T) {
	command := newBlocking(t)
	s := startScand(t, "-spill", "1000000", "cat", command.fifo)
	// During uploads and during scans, in memory and on disk.
	for _, bytes := range []int{1, 500_000, 3_000_000, 4 << 20} {
		s.begin(bytes)
	}
	failed := make(chan error)
	go func() {
		_, err := s.try(strings.NewReader("x"))
		failed <- err
	}()
	command.isRunning(2)
	s.cmd.Process.Kill()
	if err := <-failed; err == nil {
		t.Error("an answer came")
	}
	s.cmd.Wait()
	command.isRunning(0)
	s.leavesNoFile()
}

func TestScandFinishesScansBeforeItEnds(t *testing.T) {
	command := newBlocking(t)
	s := startScand(t, "cat", command.fifo)
	answered := make(chan verdicts)
	go func() {
		v, _ := s.try(strings.NewReader("x"))
		answered <- v
	}()
	command.isRunning(1)
	s.cmd.Process.Signal(syscall.SIGTERM)
	until(func() bool {
		conn, err := net.Dial("tcp", s.address)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	command.release("released")
	if v := <-answered; v.code != http.StatusOK || v.Engines[1].Detail != "released" {
		t.Errorf("%+v", v)
	}
	s.hasEnded()
}

func TestScandEndsAtOnceAtTheSecondSignal(t *testing.T) {
	command := newBlocking(t)
	s := startScand(t, "cat", command.fifo)
	s.begin(4 << 20)
	command.isRunning(1)
	s.cmd.Process.Signal(syscall.SIGTERM)
	until(func() bool { return strings.Contains(s.log.String(), "finishing") })
	s.cmd.Process.Signal(syscall.SIGTERM)
	if err := s.cmd.Wait(); err == nil || !strings.Contains(err.Error(), "terminated") {
		t.Error(err)
	}
	command.isRunning(0)
	s.leavesNoFile()
}

func TestScandNeedsAnAddressThatIsFree(t *testing.T) {
	s := startScand(t)
	fails(t, "", "address already in use", "scand", "-listen", s.address)
	fails(t, "", "unknown port", "scand", "-listen", "127.0.0.1:no-port")
	s.ends()
}
