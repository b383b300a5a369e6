//go:build linux && cgo

package bytefd_test

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
)

// Every case holds for all three ways of making a descriptor.
func TestOptionsGiveTheDescriptorTheyDescribe(t *testing.T) {
	const (
		sealed  = sealWrite | sealGrow | sealShrink | sealSeal
		content = sealWrite | sealGrow | sealShrink
		noSeals = -1 // not a file that can be sealed
	)
	on := bytefd.WithBackend
	for name, want := range map[string]struct {
		opts     []bytefd.Option
		mode     uint32
		seals    int // besides F_SEAL_EXEC
		access   int
		inherits bool
	}{
		"default":             {nil, 0o400, sealed, syscall.O_RDWR, false},
		"writable":            {[]bytefd.Option{bytefd.Writable()}, 0o600, 0, syscall.O_RDWR, false},
		"read-only":           {[]bytefd.Option{bytefd.ReadOnly()}, 0o400, sealed, syscall.O_RDONLY, false},
		"executable":          {[]bytefd.Option{bytefd.Executable()}, 0o500, sealed, syscall.O_RDWR, false},
		"writable executable": {[]bytefd.Option{bytefd.Writable(), bytefd.Executable()}, 0o700, 0, syscall.O_RDWR, false},
		"inherit":             {[]bytefd.Option{bytefd.Inherit()}, 0o400, sealed, syscall.O_RDWR, true},
		"read-only inherit":   {[]bytefd.Option{bytefd.ReadOnly(), bytefd.Inherit()}, 0o400, sealed, syscall.O_RDONLY, true},
		"seal content":        {[]bytefd.Option{bytefd.SealContent()}, 0o400, content, syscall.O_RDWR, false},
		"mode":                {[]bytefd.Option{bytefd.WithMode(0o644)}, 0o644, sealed, syscall.O_RDWR, false},
		"mode 0":              {[]bytefd.Option{bytefd.WithMode(0)}, 0o400, sealed, syscall.O_RDWR, false},
		"last mode counts":    {[]bytefd.Option{bytefd.WithMode(0o644), bytefd.WithMode(0o444)}, 0o444, sealed, syscall.O_RDWR, false},
		"executable mode":     {[]bytefd.Option{bytefd.Executable(), bytefd.WithMode(0o755)}, 0o755, sealed, syscall.O_RDWR, false},
		"auto":                {[]bytefd.Option{on(bytefd.BackendAuto)}, 0o400, sealed, syscall.O_RDWR, false},
		"memfd":               {[]bytefd.Option{on(bytefd.BackendMemfd)}, 0o400, sealed, syscall.O_RDWR, false},
		"shm":                 {[]bytefd.Option{on(bytefd.BackendShm)}, 0o400, noSeals, syscall.O_RDONLY, false},
		"tmpfile":             {[]bytefd.Option{on(bytefd.BackendTmpfile)}, 0o400, noSeals, syscall.O_RDONLY, false},
		"writable shm":        {[]bytefd.Option{on(bytefd.BackendShm), bytefd.Writable()}, 0o600, noSeals, syscall.O_RDWR, false},
		"writable tmpfile":    {[]bytefd.Option{on(bytefd.BackendTmpfile), bytefd.Writable()}, 0o600, noSeals, syscall.O_RDWR, false},
	} {
		check := func(t *testing.T, fd int) {
			t.Helper()
			isPromised(t, fd, []byte("hello"))
			if mode := fstat(t, fd).Mode & 0o7777; mode != want.mode {
				t.Errorf("mode %04o, want %04o", mode, want.mode)
			}
			if want.seals != noSeals {
				if got := seals(t, fd) &^ sealExec; got != want.seals {
					t.Errorf("seals %#x, want %#x", got, want.seals)
				}
			}
			if got := accessMode(t, fd); got != want.access {
				t.Errorf("access mode %d, want %d", got, want.access)
			}
			if got := !closeOnExec(t, fd); got != want.inherits {
				t.Errorf("inherited: %v, want %v", got, want.inherits)
			}
		}
		t.Run(name, func(t *testing.T) {
			check(t, int(wrapped(t, []byte("hello"), want.opts...).Fd()))
			opts := append([]bytefd.Option{label(t)}, want.opts...)
			f := closedLater(t, must[*os.File](t)(bytefd.WrapBuffers([][]byte{[]byte("he"), []byte("llo")}, opts...)))
			check(t, int(f.Fd()))
			f = closedLater(t, must[*os.File](t)(bytefd.WrapReader(strings.NewReader("hello"), opts...)))
			check(t, int(f.Fd()))
			err := bytefd.ScanBytes([]byte("hello"), func(fd int) error { check(t, fd); return nil }, opts...)
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWrongOptionsAreEINVALAndNothingIsCalled(t *testing.T) {
	for name, opts := range map[string][]bytefd.Option{
		"writable and read-only":    {bytefd.Writable(), bytefd.ReadOnly()},
		"writable and sealed":       {bytefd.Writable(), bytefd.SealContent()},
		"sealed shm":                {bytefd.SealContent(), bytefd.WithBackend(bytefd.BackendShm)},
		"sealed tmpfile":            {bytefd.SealContent(), bytefd.WithBackend(bytefd.BackendTmpfile)},
		"unknown backend":           {bytefd.WithBackend(99)},
		"empty name":                {bytefd.WithName("")},
		"name with slash":           {bytefd.WithName("a/b")},
		"name with newline":         {bytefd.WithName("a\nb")},
		"name with NUL":             {bytefd.WithName("a\x00b")},
		"name of 201 bytes":         {bytefd.WithName(strings.Repeat("x", 201))},
		"mode nobody can read":      {bytefd.WithMode(0o044)},
		"mode with execution":       {bytefd.WithMode(0o500)},
		"mode of a directory":       {bytefd.WithMode(fs.ModeDir | 0o400)},
		"mode with set-user-ID":     {bytefd.WithMode(fs.ModeSetuid | 0o400)},
		"mode with a traditional 4": {bytefd.WithMode(0o4400)},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := bytefd.WrapBuffer([]byte("hello"), opts...)
			isError(t, err, syscall.EINVAL)
			_, err = bytefd.WrapBuffers([][]byte{[]byte("hello")}, opts...)
			isError(t, err, syscall.EINVAL)
			_, err = bytefd.WrapReader(strings.NewReader("hello"), opts...)
			isError(t, err, syscall.EINVAL)
			err = bytefd.ScanBytes([]byte("hello"), func(int) error { t.Error("called"); return nil }, opts...)
			isError(t, err, syscall.EINVAL)
		})
	}
}

func TestANameShowsInProcAndAsTheFilesName(t *testing.T) {
	for _, name := range []string{"bytefd", "upload", "ünïcode %s \\", "\xff", strings.Repeat("x", 200)} {
		opts := []bytefd.Option{bytefd.WithName(name)}
		if name == "bytefd" {
			opts = nil // the default
		}
		f := closedLater(t, must[*os.File](t)(bytefd.WrapBuffer([]byte("x"), opts...)))
		if f.Name() != name {
			t.Errorf("the file's name is %q, want %q", f.Name(), name)
		}
		link := must[string](t)(os.Readlink(bytefd.Path(int(f.Fd()))))
		if want := "/memfd:" + name + " (deleted)"; link != want {
			t.Errorf("/proc shows %q, want %q", link, want)
		}
	}
}

func TestAWritableFileCanBeChangedAndSealedLater(t *testing.T) {
	f := wrapped(t, []byte("hello"), bytefd.Writable())
	if _, err := f.WriteAt([]byte("J"), 0); err != nil {
		t.Error(err)
	}
	if err := f.Truncate(4); err != nil {
		t.Error(err)
	}
	isPromised(t, int(f.Fd()), []byte("Jell"))
	if _, err := fcntl(int(f.Fd()), fAddSeals, sealWrite); err != nil {
		t.Error("adding a seal:", err)
	}
	if _, err := f.WriteAt([]byte("h"), 0); err == nil {
		t.Error("could write after sealing")
	}
}

func TestSealedContentTakesFurtherSeals(t *testing.T) {
	f := wrapped(t, []byte("hello"), bytefd.SealContent())
	if _, err := fcntl(int(f.Fd()), fAddSeals, sealSeal); err != nil {
		t.Error("adding a seal:", err)
	}
}

func TestAnExecutableRunsAndOthersDoNot(t *testing.T) {
	program := must[[]byte](t)(os.ReadFile("/bin/true"))
	run := func(opts ...bytefd.Option) error {
		cmd := exec.Command(bytefd.Path(int(wrapped(t, program, opts...).Fd())))
		cmd.Args[0] = "true" // some hosts have one program for all of these and look at the name
		return cmd.Run()
	}
	if err := run(bytefd.Executable()); err != nil {
		t.Error("executable:", err)
	}
	if err := run(); err == nil {
		t.Error("a file that is not executable ran")
	}
}

func TestAScriptRunsWhenItsInterpreterInheritsIt(t *testing.T) {
	f := wrapped(t, []byte("#!/bin/sh\necho from a script\n"), bytefd.Executable(), bytefd.Inherit())
	out, err := exec.Command(bytefd.Path(int(f.Fd()))).Output()
	if err != nil || string(out) != "from a script\n" {
		t.Errorf("the script said %q, %v", out, err)
	}
}

func TestOnlyAnInheritableFileIsSeenByAChild(t *testing.T) {
	f := wrapped(t, []byte("hello"), bytefd.Inherit())
	out, err := exec.Command("cat", bytefd.Path(int(f.Fd()))).Output()
	if err != nil || !bytes.Equal(out, []byte("hello")) {
		t.Errorf("the child read %q, %v", out, err)
	}
	f = wrapped(t, []byte("hello"))
	if out, err := exec.Command("cat", bytefd.Path(int(f.Fd()))).Output(); err == nil {
		t.Errorf("the child read %q from a descriptor that is closed on exec", out)
	}
	// The usual way of Go programs works too.
	cmd := exec.Command("cat", bytefd.Path(3))
	cmd.ExtraFiles = []*os.File{f}
	if out, err := cmd.Output(); err != nil || !bytes.Equal(out, []byte("hello")) {
		t.Errorf("by ExtraFiles the child read %q, %v", out, err)
	}
}
