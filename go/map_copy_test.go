//go:build linux && cgo

package bytefd_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand"
	"os"
	"runtime/debug"
	"syscall"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
)

// mapKinds are the options of maps for writing, by name.
var mapKinds = map[string][]bytefd.MapOption{
	"plain":            {bytefd.MapWrite()},
	"private":          {bytefd.MapPrivate()},
	"guarded":          {bytefd.MapGuard(), bytefd.MapWrite()},
	"guarded, private": {bytefd.MapGuard(), bytefd.MapPrivate()},
}

func TestCopiesAllocateNothing(t *testing.T) {
	path := fileOf(t, pattern(3*page))
	maps := map[string]*bytefd.Map{"memory": memory(t, 3*page, bytefd.MapGuard())}
	for name, opts := range mapKinds {
		maps[name] = mapped(t, path, opts...)
		shown := mapped(t, path, opts...)
		shown.Bytes()
		maps[name+", shown"] = shown
		unmapped := mapped(t, path, opts...)
		if err := unmapped.Unmap(page, page); err != nil {
			t.Fatal(err)
		}
		maps[name+", with a part unmapped"] = unmapped
	}
	for name, m := range maps {
		for _, size := range []int{0, 64, page / 2} {
			p := make([]byte, size)
			for _, off := range []int64{5, int64(3*page - size)} {
				for what, f := range map[string]func([]byte, int64) (int, error){
					"ReadAt": m.ReadAt, "WriteAt": m.WriteAt,
				} {
					n := testing.AllocsPerRun(100, func() {
						if n, err := f(p, off); n != size || err != nil {
							t.Fatalf("%s: %s of %d bytes at %d: %d, %v",
								name, what, size, off, n, err)
						}
					})
					if n != 0 {
						t.Errorf("%s: %s of %d bytes at %d allocates %v times",
							name, what, size, off, n)
					}
				}
			}
		}
	}
}

// model is the content that a map of a file shows, and how many of its bytes the file has.
type model struct {
	content []byte
	end     int
}

func (m *model) count(off, length int) int { return max(0, min(length, m.end-off)) }

// Around page boundaries and anywhere.
func place(random *rand.Rand, end int) int {
	if random.Intn(2) == 0 {
		return random.Intn(end + 1)
	}
	return min(end, max(0, random.Intn(end/page+1)*page+random.Intn(3)-1))
}

// Files are truncated, read and written at any offset, also where they have zeros. A copy counts
// the bytes that the file has, and replaces no page.
func TestCopiesEndWhereTheFileEnds(t *testing.T) {
	const pages, rounds = 4, 400
	all := pages * page
	path := fileOf(t, nil)
	random := rand.New(rand.NewSource(1))
	for name, opts := range mapKinds {
		isGuarded := len(opts) == 2
		for round := range rounds {
			isShown := round%2 == 1
			content := pattern(all)
			if random.Intn(3) == 0 {
				clear(content[place(random, all):])
			}
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			m := mapped(t, path, opts...)
			if isShown {
				m.Bytes()
			}
			size := place(random, all)
			if err := os.Truncate(path, int64(size)); err != nil {
				t.Fatal(err)
			}
			model := model{append(bytes.Clone(content[:size]), make([]byte, all-size)...), size}
			if !isGuarded {
				model.end = (size + page - 1) / page * page
			}
			for range 3 {
				from, to := place(random, all), place(random, all)
				off, length := min(from, to), max(from, to)-min(from, to)
				what := fmt.Sprintf("%s, shown %v, %d bytes at %d of %d",
					name, isShown, length, off, size)
				want := model.count(off, length)

				news := make([]byte, length)
				random.Read(news)
				p := bytes.Repeat([]byte{0xaa}, length)
				n, err := m.ReadAt(p, int64(off))
				if n != want || !bytes.Equal(p[:n], model.content[off:off+n]) {
					t.Fatalf("%s: read %d, want %d, or others", what, n, want)
				}
				isEIO(t, what, err, want < length)

				n, err = m.WriteAt(news, int64(off))
				if n != want {
					t.Fatalf("%s: wrote %d, want %d", what, n, want)
				}
				isEIO(t, what, err, want < length)
				copy(model.content[off:off+n], news)
				if err := m.Check(); err != nil {
					t.Fatalf("%s: a copy replaces nothing: %v", what, err)
				}
			}
			// What was stored in a private map stays in the map, but is past the end now.
			if isGuarded && size > 0 {
				size = size - 1 - random.Intn(min(size, 100))
				if err := os.Truncate(path, int64(size)); err != nil {
					t.Fatal(err)
				}
				p := make([]byte, all)
				n, err := m.ReadAt(p, 0)
				if n != size || !bytes.Equal(p[:n], model.content[:n]) {
					t.Fatalf("%s, shown %v: read %d of %d bytes, or others", name, isShown, n, size)
				}
				isEIO(t, name, err, true)
			}
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func isEIO(t *testing.T, what string, err error, want bool) {
	t.Helper()
	if !want && err != nil {
		t.Fatalf("%s: %v", what, err)
	} else if want {
		isError(t, err, syscall.EIO)
	}
}

// Zeros of the guard are not bytes of the file, even if the file has the length again.
func TestReplacedPagesAreNotCopied(t *testing.T) {
	for name, opts := range mapKinds {
		if len(opts) != 2 {
			continue
		}
		path := fileOf(t, pattern(4*page))
		m := mapped(t, path, opts...)
		p := make([]byte, 4*page)
		if n, err := m.ReadAt(p, 0); n != len(p) || err != nil {
			t.Fatal(n, err)
		}
		cut(t, path, fmt.Sprint(2*page))
		err := m.Guarded(func(b []byte) error { b[2*page]++; return nil })
		isError(t, err, syscall.EIO)
		cut(t, path, fmt.Sprint(4*page))
		for what, f := range map[string]func([]byte, int64) (int, error){
			"ReadAt": m.ReadAt, "WriteAt": m.WriteAt,
		} {
			n, err := f(p, 0)
			if isError(t, err, syscall.EIO); n != 2*page {
				t.Errorf("%s: %s copies %d bytes", name, what, n)
			}
			n, err = f(p[:10], int64(2*page))
			if isError(t, err, syscall.EIO); n != 0 {
				t.Errorf("%s: %s copies %d bytes", name, what, n)
			}
			if n, err := f(p[:10], int64(2*page-10)); n != 10 || err != nil {
				t.Errorf("%s: %s: %d, %v", name, what, n, err)
			}
		}
	}
}

// Bytes that were stored past the end are not bytes of the file.
func TestWhatTheProgramStoresPastTheEndIsNotRead(t *testing.T) {
	for name, opts := range mapKinds {
		path := fileOf(t, pattern(page))
		m := mapped(t, path, opts...)
		b := m.Bytes()
		b[page-1] = 1
		cut(t, path, "10")
		b[page-1] = 1
		n, err := m.ReadAt(make([]byte, page), 0)
		if isGuarded := len(opts) == 2; !isGuarded {
			if n != page || err != nil {
				t.Errorf("%s: %d, %v", name, n, err)
			}
		} else if isError(t, err, syscall.EIO); n != 10 {
			t.Errorf("%s: %d bytes", name, n)
		}
	}
}

func TestWhatAProtectedPageHoldsIsNotCopied(t *testing.T) {
	for name, opts := range mapKinds {
		m := mapped(t, fileOf(t, pattern(3*page)), opts...)
		if err := m.Protect(page, page, syscall.PROT_NONE); err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 3*page)
		for what, f := range map[string]func([]byte, int64) (int, error){
			"ReadAt": m.ReadAt, "WriteAt": m.WriteAt,
		} {
			n, err := f(p, 0)
			if isError(t, err, syscall.EIO); n != page {
				t.Errorf("%s: %s copies %d bytes", name, what, n)
			}
			if n, err := f(p[:page], 0); n != page || err != nil {
				t.Errorf("%s: %s: %d, %v", name, what, n, err)
			}
		}
	}
}

// The buffer of a copy may be lost memory of a map.
func TestACopyFromOrToLostMemoryIsEFAULT(t *testing.T) {
	path := fileOf(t, pattern(page))
	lost := mapped(t, path, bytefd.MapWrite())
	cut(t, path, "0")
	for name, opts := range mapKinds {
		m := mapped(t, fileOf(t, pattern(2*page)), opts...)
		for what, f := range map[string]func([]byte, int64) (int, error){
			"ReadAt": m.ReadAt, "WriteAt": m.WriteAt,
		} {
			n, err := f(lost.Bytes(), 0)
			if isError(t, err, syscall.EFAULT); n != 0 {
				t.Errorf("%s: %s copies %d bytes", name, what, n)
			}
		}
	}
}

func TestCopiesWithinAMapAreAsWithASlice(t *testing.T) {
	for name, opts := range mapKinds {
		for _, to := range []int{0, 1, 99, 100, 101, 200} {
			want := pattern(2 * page)
			m := mapped(t, fileOf(t, want), opts...)
			if n, err := m.ReadAt(m.Bytes()[to:to+page], 100); n != page || err != nil {
				t.Errorf("%s: %d, %v", name, n, err)
			}
			copy(want[to:], want[100:100+page])
			if !bytes.Equal(m.Bytes(), want) {
				t.Errorf("%s: read to %d: other bytes", name, to)
			}
			if n, err := m.WriteAt(m.Bytes()[100:100+page], int64(to)); n != page || err != nil {
				t.Errorf("%s: %d, %v", name, n, err)
			}
			copy(want[to:], want[100:100+page])
			if !bytes.Equal(m.Bytes(), want) {
				t.Errorf("%s: written to %d: other bytes", name, to)
			}
		}
	}
}

func TestACopyLeavesTheSettingForFaults(t *testing.T) {
	path := fileOf(t, pattern(page))
	for name, opts := range mapKinds {
		m := mapped(t, path, opts...)
		for _, setting := range []bool{true, false} {
			for _, size := range []int64{int64(page), 0} {
				if err := os.Truncate(path, size); err != nil {
					t.Fatal(err)
				}
				debug.SetPanicOnFault(setting)
				m.ReadAt(make([]byte, 10), 0)
				m.WriteAt(make([]byte, 10), 0)
				if got := debug.SetPanicOnFault(false); got != setting {
					t.Errorf("%s: the setting is %v, was %v", name, got, setting)
				}
			}
		}
	}
}

// A program that has the memory of a map can cause the guard to replace pages, also after a resize.
func TestWhatAGuardHasReplacedIsNotWrittenElsewhere(t *testing.T) {
	path := fileOf(t, pattern(page))
	from := mapped(t, path, bytefd.MapGuard(), bytefd.MapWrite())
	to := memory(t, 8*page)
	from.Bytes()
	if err := from.Resize(4 * page); err != nil {
		t.Fatal(err)
	}
	cut(t, path, fmt.Sprint(2*page))
	b := from.Bytes()
	if b[3*page] != 0 {
		t.Error("a lost page is not zero")
	}
	_, err := to.WriteAt(b, 0)
	isError(t, err, syscall.EFAULT)
	if n, err := to.WriteAt(b[:2*page], 0); n != 2*page || err != nil {
		t.Error(n, err)
	}
	if n, err := to.ReadAt(make([]byte, page), 0); n != page || err != nil && err != io.EOF {
		t.Error(n, err)
	}
}
