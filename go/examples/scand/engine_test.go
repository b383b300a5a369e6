//go:build linux && cgo

package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	bytefd "github.com/bytefd/bytefd/go"
	"github.com/bytefd/bytefd/go/internal/alarm"
)

// The tests one folder above run the whole service as a program. These tests need an engine that
// hangs in the process itself, and one that cannot start a child.
func TestMain(m *testing.M) {
	alarm.Set()
	os.Exit(m.Run())
}

func TestALateEngineSeesItsOwnUploadAndKeepsItsPlace(t *testing.T) {
	*scanTime, *maxScans, *spill = time.Millisecond, 4, 1_000_000
	pool, err := bytefd.NewPool(64<<20, bytefd.PoolMethod(bytefd.PoolReuse))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	hung := make(chan struct{})
	seen := make(chan string, 100)
	scan := func(ctx context.Context, f *os.File) (bool, string, error) {
		<-hung
		content, err := io.ReadAll(f)
		seen <- string(content)
		return false, "", err
	}
	s := newService(pool, engine{"hung", scan})
	upload := func(content string) int {
		response := httptest.NewRecorder()
		s.ServeHTTP(response, httptest.NewRequest("POST", "/scan", strings.NewReader(content)))
		return response.Code
	}

	want := map[string]bool{}
	for i := range *maxScans {
		// The last upload is on disk.
		content := strings.Repeat(string(rune('a'+i)), 500_000<<(i/3*2))
		want[content] = true
		if code := upload(content); code != http.StatusGatewayTimeout {
			t.Error("upload ", i, ": ", code)
		}
	}
	for range 3 {
		if code := upload("one more"); code != http.StatusServiceUnavailable {
			t.Error(code)
		}
	}
	close(hung)
	for range *maxScans {
		content := <-seen
		if !want[content] {
			t.Errorf("an engine saw %d bytes, of %.1q", len(content), content)
		}
		delete(want, content)
	}
	for len(s.scans) > 0 {
		time.Sleep(time.Millisecond)
	}
	*scanTime = time.Hour
	if code := upload("as ever"); code != http.StatusOK {
		t.Error(code)
	}
}

func TestNoNumberForADescriptorOfAChildIsAShortage(t *testing.T) {
	const number = 200
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if err := syscall.Dup3(int(null.Fd()), number, syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	last := os.NewFile(number, "the last descriptor")
	defer last.Close()
	defer syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before)
	limit := syscall.Rlimit{Cur: number + 1, Max: before.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("true")
	cmd.Stdin = last
	err = cmd.Run()
	if !errors.Is(err, syscall.EBADF) || status(err) != http.StatusServiceUnavailable {
		t.Errorf("%v is %d", err, status(err))
	}
	if code := status(syscall.EBADF); code != http.StatusInternalServerError {
		t.Errorf("any other EBADF is %d", code)
	}
}
