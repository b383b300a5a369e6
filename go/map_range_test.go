//go:build linux && cgo

package bytefd_test

import (
	"bytes"
	"math"
	"os"
	"strings"
	"syscall"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
)

// What takes a range, with arguments that are right for memory.
var onRange = map[string]func(m *bytefd.Map, offset, length int) error{
	"Flush": func(m *bytefd.Map, offset, length int) error {
		return m.Flush(offset, length, bytefd.FlushSync|bytefd.FlushInvalidate)
	},
	"Advise": func(m *bytefd.Map, offset, length int) error {
		return m.Advise(offset, length, bytefd.AdviceSequential)
	},
	"Protect": func(m *bytefd.Map, offset, length int) error {
		return m.Protect(offset, length, bytefd.ProtectionRead|bytefd.ProtectionWrite)
	},
	"Lock":     (*bytefd.Map).Lock,
	"Unlock":   (*bytefd.Map).Unlock,
	"Prefetch": (*bytefd.Map).Prefetch,
	"Unmap":    (*bytefd.Map).Unmap,
}

func TestEveryRangeOfTheMapIsTaken(t *testing.T) {
	for name, do := range onRange {
		m := memory(t, 3*page+7)
		for _, r := range [][2]int{{0, 0}, {0, m.Len()}, {page + 1, 1}, {m.Len(), 0}, {m.Len() - 1, 1}, {5, 0}} {
			if name == "Unmap" {
				m = memory(t, 3*page+7)
			}
			if err := do(m, r[0], r[1]); err != nil {
				t.Errorf("%s, %d bytes from %d: %v", name, r[1], r[0], err)
			}
			m.Unlock(0, 0)
		}
	}
}

func TestARangeThatIsNotInTheMapIsEINVAL(t *testing.T) {
	for _, m := range []*bytefd.Map{memory(t, 5), memory(t, 0)} {
		for name, do := range onRange {
			for _, r := range [][2]int{
				{0, 6}, {5, 1}, {6, 0}, {-1, 1}, {0, -1}, {-1, 0}, {math.MinInt, 0}, {0, math.MinInt},
				{math.MaxInt, math.MaxInt}, {1, math.MaxInt}, {math.MaxInt, 0},
			} {
				t.Logf("%s, %d bytes from %d", name, r[1], r[0])
				isError(t, do(m, r[0], r[1]), syscall.EINVAL)
			}
		}
	}
}

func TestAdviceReachesTheKernel(t *testing.T) {
	path := fileOf(t, pattern(2*page))
	m := mapped(t, path, bytefd.MapWrite())
	for _, c := range []struct {
		advice bytefd.Advice
		flag   string
		set    bool
	}{
		{bytefd.AdviceSequential, "sr", true},
		{bytefd.AdviceRandom, "rr", true},
		{bytefd.AdviceNormal, "rr", false},
		{bytefd.AdviceDontFork, "dc", true},
		{bytefd.AdviceDoFork, "dc", false},
		{bytefd.AdviceDontDump, "dd", true},
		{bytefd.AdviceDoDump, "dd", false},
	} {
		if err := m.Advise(0, 0, c.advice); err != nil {
			t.Error(err)
		}
		if flags := vmFlags(t, path) + " "; strings.Contains(flags, " "+c.flag+" ") != c.set {
			t.Errorf("after advice %d the kernel's flags are %q", c.advice, flags)
		}
	}
}

func TestAdviceThatLosesDataMustBeAskedForTwice(t *testing.T) {
	for advice, m := range map[bytefd.Advice]*bytefd.Map{
		bytefd.AdviceRemove:         memory(t, 3*page),
		bytefd.AdviceDontNeed:       memory(t, 3*page, bytefd.MapPrivate()),
		bytefd.AdviceFree:           memory(t, 3*page, bytefd.MapPrivate()),
		bytefd.AdviceGuardInstall:   memory(t, 3*page, bytefd.MapPrivate()),
		bytefd.AdviceHardwarePoison: memory(t, 3*page),
	} {
		want := pattern(3 * page)
		copy(m.Bytes(), want)
		isError(t, m.Advise(0, 0, advice), syscall.EINVAL)
		if !bytes.Equal(m.Bytes(), want) {
			t.Errorf("advice %d lost data all the same", advice)
		}
		if advice != bytefd.AdviceRemove && advice != bytefd.AdviceDontNeed {
			continue
		}
		// Only the page of which all bytes are meant.
		if err := m.Advise(1, 2*page, advice|bytefd.AdviceLoseData); err != nil {
			t.Error(err)
		}
		copy(want[page:], make([]byte, page))
		if !bytes.Equal(m.Bytes(), want) {
			t.Errorf("advice %d did not lose exactly the page", advice)
		}
	}
}

func TestAdviceThatDoesNotExistIsEINVAL(t *testing.T) {
	m := memory(t, page)
	for _, advice := range []bytefd.Advice{5, 99, 1 << 20, math.MaxUint32, 5 | bytefd.AdviceLoseData} {
		isError(t, m.Advise(0, 0, advice), syscall.EINVAL)
	}
	// The kernel's answer, for shared memory.
	isError(t, m.Advise(0, 0, bytefd.AdviceWipeOnFork), syscall.EINVAL)
}

func TestLockAndUnlockReachTheKernel(t *testing.T) {
	path := fileOf(t, pattern(page))
	m := mapped(t, path)
	isLocked := func() bool { return strings.Contains(vmFlags(t, path)+" ", " lo ") }
	if err := m.Lock(1, 1); err != nil || !isLocked() {
		t.Errorf("it is not locked, %v", err)
	}
	if err := m.Unlock(0, 0); err != nil || isLocked() {
		t.Errorf("it is still locked, %v", err)
	}
}

func TestWhatIsProtectedIsAnErrorAndNoCrash(t *testing.T) {
	for name, opts := range map[string][]bytefd.MapOption{"plain": nil, "guarded": {bytefd.MapGuard()}} {
		t.Run(name, func(t *testing.T) {
			m := memory(t, 2*page, opts...)
			p := make([]byte, 2*page)
			touch := func(write bool) error {
				return m.Guarded(func(b []byte) error {
					if write {
						b[2*page-1] = 1
					}
					p[0] = b[2*page-1]
					return nil
				})
			}
			if err := m.Protect(page, 0, bytefd.ProtectionNone); err != nil {
				t.Fatal(err)
			}
			isError(t, touch(false), syscall.EIO)
			n, err := m.ReadAt(p, 0)
			isError(t, err, syscall.EIO)
			if n != page {
				t.Errorf("read %d bytes, want those of the page that can be", n)
			}
			if err := m.Protect(0, 0, bytefd.ProtectionRead); err != nil {
				t.Fatal(err)
			}
			if err := touch(false); err != nil {
				t.Error(err)
			}
			isError(t, touch(true), syscall.EIO)
			if err := m.Protect(0, 0, bytefd.ProtectionRead|bytefd.ProtectionWrite); err != nil {
				t.Fatal(err)
			}
			if err := touch(true); err != nil || p[0] != 1 {
				t.Errorf("%v, %d", err, p[0])
			}
		})
	}
}

func TestProtectAllowsOnlyWhatTheMapIsFor(t *testing.T) {
	path := fileOf(t, pattern(page))
	rwx := bytefd.ProtectionRead | bytefd.ProtectionWrite | bytefd.ProtectionExecute
	isError(t, mapped(t, path).Protect(0, 0, bytefd.ProtectionRead|bytefd.ProtectionWrite), syscall.EACCES)
	isError(t, memory(t, page).Protect(0, 0, rwx), syscall.EACCES)
	for _, protection := range []bytefd.Protection{bytefd.ProtectionWrite, bytefd.ProtectionExecute, 8, math.MaxUint32} {
		isError(t, memory(t, page).Protect(0, 0, protection), syscall.EINVAL)
	}
	if err := mapped(t, path, bytefd.MapExecute(), bytefd.MapPrivate()).Protect(0, 0, rwx); err != nil {
		t.Error(err)
	}
}

func TestPrefetchReadsThePagesInAndSaysWhenTheyAreGone(t *testing.T) {
	path := fileOf(t, pattern(4*page))
	m := mapped(t, path)
	if err := m.Prefetch(0, 0); err != nil || resident(t, path) != "16 kB" && page == 4096 {
		t.Errorf("%v; %s of 4 pages are there", err, resident(t, path))
	}
	if err := os.Truncate(path, int64(page)); err != nil {
		t.Fatal(err)
	}
	isError(t, m.Prefetch(page, 1), syscall.EIO)
	if err := m.Prefetch(0, page); err != nil {
		t.Error(err)
	}
}

func TestWhatIsUnmappedIsGoneAndTheRestStays(t *testing.T) {
	path := fileOf(t, pattern(3*page))
	m := mapped(t, path, bytefd.MapWrite())
	if err := m.Unmap(page-1, page+1); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, page)
	for _, off := range []int64{1, int64(page), int64(2*page) - 1} {
		_, err := m.ReadAt(p, off)
		isError(t, err, syscall.EINVAL)
		_, err = m.WriteAt(p, off)
		isError(t, err, syscall.EINVAL)
	}
	for _, off := range []int64{0, int64(2 * page)} {
		if n, err := m.ReadAt(p, off); n != page || err != nil {
			t.Errorf("%d bytes at %d, %v", n, off, err)
		}
	}
	isError(t, m.Guarded(func(b []byte) error { p[0] = b[page]; return nil }), syscall.EIO)
	isError(t, m.Flush(0, 0, bytefd.FlushSync), syscall.EINVAL)
	isError(t, m.Resize(1), syscall.EINVAL)
	if m.Len() != 3*page {
		t.Errorf("%d bytes", m.Len())
	}
	if err := m.Unmap(0, 0); err != nil || isMapped(path) {
		t.Errorf("the file is still mapped, %v", err)
	}
}
