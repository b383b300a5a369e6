//go:build linux && cgo

package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
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

func upload(s *service, content string) (code int) {
	response := httptest.NewRecorder()
	s.ServeHTTP(response, httptest.NewRequest("POST", "/scan", strings.NewReader(content)))
	return response.Code
}

func TestALateEngineSeesItsOwnUploadAndKeepsItsPlace(t *testing.T) {
	const places = 4
	*uploadTime, *scanTime, *spill = time.Millisecond, time.Millisecond, 1_000_000
	pool, err := bytefd.NewPool(64<<20, bytefd.PoolMethod(bytefd.PoolReuse))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	began, hung := make(chan struct{}, 100), make(chan struct{})
	seen := make(chan string, 100)
	scan := func(ctx context.Context, f *os.File) (string, string, error) {
		began <- struct{}{}
		<-hung
		content, err := io.ReadAll(f)
		seen <- string(content)
		return "clean", "", err
	}
	s := &service{pool, []engine{{"hung", scan}}, make(chan struct{}, places)}

	want := map[string]bool{}
	for i := range places {
		// The last upload is on disk.
		content := strings.Repeat(string(rune('a'+i)), 500_000<<(i/3*2))
		want[content] = true
		if code := upload(s, content); code != http.StatusGatewayTimeout {
			t.Error("upload ", i, ": ", code)
		}
		<-began
	}
	*scanTime = time.Hour
	for range 3 {
		if code := upload(s, "one more"); code != http.StatusServiceUnavailable {
			t.Error(code)
		}
	}
	close(hung)
	for range places {
		content := <-seen
		if !want[content] {
			t.Errorf("an engine saw %d bytes, of %.1q", len(content), content)
		}
		delete(want, content)
	}
	for len(s.uploads) > 0 {
		time.Sleep(time.Millisecond)
	}
	if code := upload(s, "as ever"); code != http.StatusOK {
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
	pool, err := bytefd.NewPool(0)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	start := func(ctx context.Context, f *os.File) (string, string, error) {
		return command{"true"}.scan(ctx, last)
	}
	s := &service{pool, []engine{{"true", start}}, make(chan struct{}, 1)}
	if code := upload(s, "x"); code != http.StatusServiceUnavailable {
		t.Error(code)
	}
	s.engines[0].scan = func(ctx context.Context, f *os.File) (string, string, error) {
		return "", "", syscall.EBADF
	}
	if code := upload(s, "x"); code != http.StatusInternalServerError {
		t.Errorf("any other EBADF is %d", code)
	}
}
