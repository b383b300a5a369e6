//go:build linux && cgo

package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	bytefd "github.com/bytefd/bytefd/go"
	"github.com/bytefd/bytefd/go/internal/alarm"
)

// The tests one folder above run the whole service as a program. This test needs an engine that
// hangs in the process itself.
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
