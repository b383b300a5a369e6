//go:build linux

package bytefd_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
)

var guarding = map[string][]bytefd.MapOption{"plain": nil}

func init() {
	if hasCgo {
		guarding["guarded"] = []bytefd.MapOption{bytefd.MapGuard()}
	}
}

// cut makes another process truncate a file.
func cut(t *testing.T, path, size string) {
	t.Helper()
	if out, err := exec.Command("truncate", "-s", size, path).CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
}

func TestAnotherProcessTruncatesWhileGuardedReads(t *testing.T) {
	all := pattern(4 * page)
	for name, opts := range guarding {
		t.Run(name, func(t *testing.T) {
			path := fileOf(t, all)
			m := mapped(t, path, opts...)
			if err := m.Guarded(func([]byte) error { return m.Check() }); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(all))
			isDone := false
			err := m.Guarded(func(b []byte) error {
				copy(got[:page], b)
				cut(t, path, "0")
				copy(got[page:], b[page:])
				isDone = true
				return nil
			})
			isError(t, err, syscall.EIO)
			want := append(bytes.Clone(all[:page]), make([]byte, 3*page)...)
			if !bytes.Equal(got, want) || isDone != (name == "guarded") {
				t.Errorf("what was lost is not zero, or done is %v", isDone)
			}
			if err := m.Check(); errors.Is(err, syscall.EIO) != (name == "guarded") {
				t.Errorf("Check says %v", err)
			}
		})
	}
}

func TestManyGoroutinesFaultAtOnce(t *testing.T) {
	const pages, workers = 16, 8
	for name, opts := range guarding {
		t.Run(name, func(t *testing.T) {
			for round := 0; round < 50; round++ {
				path := fileOf(t, pattern(pages*page))
				m := mapped(t, path, opts...)
				if err := os.Truncate(path, 0); err != nil {
					t.Fatal(err)
				}
				start := make(chan struct{})
				var group sync.WaitGroup
				for g := 0; g < workers; g++ {
					group.Add(1)
					go func() {
						defer group.Done()
						runtime.LockOSThread() // each on a thread of its own
						<-start
						sum := 0
						err := m.Guarded(func(b []byte) error {
							for i := range pages {
								// Two goroutines at a time touch the same page.
								sum += int(b[(i+g/2)%pages*page])
							}
							return nil
						})
						if !errors.Is(err, syscall.EIO) || sum != 0 {
							t.Errorf("%v, %d", err, sum)
						}
					}()
				}
				close(start)
				group.Wait()
				if err := m.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestTruncationWhileGuardedReadsIsNeverACrash(t *testing.T) {
	for name, opts := range guarding {
		t.Run(name, func(t *testing.T) {
			for round := 0; round < 50; round++ {
				path := fileOf(t, pattern(8*page))
				m := mapped(t, path, opts...)
				var group sync.WaitGroup
				for g := 0; g < 2; g++ {
					group.Add(1)
					go func() {
						defer group.Done()
						got := make([]byte, 8*page)
						for {
							err := m.Guarded(func(b []byte) error { copy(got, b); return nil })
							if errors.Is(err, syscall.EIO) {
								return
							} else if err != nil {
								t.Error(err)
								return
							}
						}
					}()
				}
				if err := os.Truncate(path, int64(round%8*page)); err != nil {
					t.Error(err)
				}
				group.Wait()
			}
		})
	}
}

func TestWhatFReturnsOrPanicsWithPassesThrough(t *testing.T) {
	for name, opts := range guarding {
		t.Run(name, func(t *testing.T) {
			path := fileOf(t, pattern(page))
			m := mapped(t, path, opts...)
			if err := os.Truncate(path, 0); err != nil {
				t.Fatal(err)
			}
			mine := errors.New("mine")
			if err := m.Guarded(func(b []byte) error { return mine }); err != mine {
				t.Error(err)
			}
			recovered := func(f func(b []byte) error) (value any) {
				defer func() { value = recover() }()
				m.Guarded(f)
				return nil
			}
			if value := recovered(func([]byte) error { panic(mine) }); value != mine {
				t.Errorf("recovered %v", value)
			}
			var none *int
			ofNil := recovered(func([]byte) error { *none = 1; return nil })
			if _, ok := ofNil.(runtime.Error); !ok {
				t.Error("a nil pointer was dereferenced and nothing was said")
			}
			other := mapped(t, path, bytefd.MapLength(1), bytefd.MapBeyondEOF())
			elsewhere := recovered(func([]byte) error { _ = string(other.Bytes()); return nil })
			if _, ok := elsewhere.(runtime.Error); !ok {
				t.Error("a fault elsewhere was lost")
			}
			// The map can be changed again.
			if err := m.Unmap(0, bytefd.ToEnd); hasCgo && err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTheGoroutinesOwnSettingForFaultsStays(t *testing.T) {
	path := fileOf(t, make([]byte, page))
	m := mapped(t, path)
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	for _, setting := range []bool{true, false} {
		debug.SetPanicOnFault(setting)
		err := m.Guarded(func(b []byte) error { b[0]++; return nil })
		isError(t, err, syscall.EIO)
		if got := debug.SetPanicOnFault(false); got != setting {
			t.Errorf("the setting is %v, was %v", got, setting)
		}
	}
}
