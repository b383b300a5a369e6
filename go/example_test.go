//go:build linux

package bytefd_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"strings"
	"syscall"

	bytefd "github.com/bytefd/bytefd/go"
)

// Output of a child process that is given a path instead of bytes.
func ExampleScanBytes() {
	err := bytefd.ScanBytes([]byte("hello"), func(fd int) error {
		// Here a library would look at fd, or at its path.
		read, err := os.ReadFile(bytefd.Path(fd))
		fmt.Printf("%s\n", read)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: hello
}

func ExampleWrapBuffer() {
	f, err := bytefd.WrapBuffer([]byte("hello"))
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(info.Size(), info.Mode())
	// Output: 5 -r--------
}

func ExampleWrapBuffers() {
	f, err := bytefd.WrapBuffers([][]byte{[]byte("head "), []byte("body")})
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	fmt.Printf("%s %v", text, err)
	// Output: head body <nil>
}

func ExampleWrapReader() {
	f, err := bytefd.WrapReader(strings.NewReader("from a stream"))
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	f.Seek(-6, io.SeekEnd) // which a stream cannot
	text, err := io.ReadAll(f)
	fmt.Printf("%s %v", text, err)
	// Output: stream <nil>
}

func ExampleReopen() {
	f, err := bytefd.WrapBuffer([]byte("hello"))
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	other, err := bytefd.Reopen(int(f.Fd()))
	if err != nil {
		log.Fatal(err)
	}
	defer other.Close()
	io.ReadAll(f) // moves the offset of f, not of other
	text, err := io.ReadAll(other)
	fmt.Printf("%s %v", text, err)
	// Output: hello <nil>
}

func ExamplePath() {
	f, err := bytefd.WrapBuffer([]byte("hello"))
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	text, err := os.ReadFile(bytefd.Path(f))
	fmt.Printf("%s %v", text, err)
	// Output: hello <nil>
}

func ExampleWrapOption_reused() {
	// Options are values that can be kept.
	opts := []bytefd.WrapOption{bytefd.WrapName("upload"), bytefd.WrapReadOnly()}
	for _, text := range []string{"one", "two"} {
		f, err := bytefd.WrapBuffer([]byte(text), opts...)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(f.Name())
		f.Close()
	}
	// Output:
	// upload
	// upload
}

func ExampleWrapName() {
	f, err := bytefd.WrapBuffer([]byte("{}"), bytefd.WrapName("config.json"))
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	shown, err := os.Readlink(bytefd.Path(f))
	fmt.Println(shown, err)
	// Output: /memfd:config.json (deleted) <nil>
}

func ExampleWrapMode() {
	f, err := bytefd.WrapBuffer([]byte("hello"), bytefd.WrapMode(0o444))
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	fmt.Println(info.Mode(), err)
	// Output: -r--r--r-- <nil>
}

func ExampleWrapBackend() {
	for _, backend := range []bytefd.Backend{
		bytefd.BackendAuto, bytefd.BackendMemfd, bytefd.BackendShm, bytefd.BackendTmpFile,
	} {
		f, err := bytefd.WrapBuffer([]byte("hello"), bytefd.WrapBackend(backend))
		if err != nil {
			log.Fatal(err)
		}
		text, err := io.ReadAll(f)
		fmt.Printf("%s %v\n", text, err)
		f.Close()
	}
	// Output:
	// hello <nil>
	// hello <nil>
	// hello <nil>
	// hello <nil>
}

func ExampleWrapWritable() {
	f, err := bytefd.WrapBuffer([]byte("hello"), bytefd.WrapWritable())
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	f.WriteAt([]byte("J"), 0)
	text, err := io.ReadAll(f)
	fmt.Printf("%s %v", text, err)
	// Output: Jello <nil>
}

func ExampleWrapReadOnly() {
	f, err := bytefd.WrapBuffer([]byte("hello"), bytefd.WrapReadOnly())
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	_, err = f.Write([]byte("J"))
	fmt.Println(errors.Is(err, syscall.EBADF))
	// Output: true
}

func ExampleWrapExecutable() {
	program, err := os.ReadFile("/bin/echo")
	if err != nil {
		log.Fatal(err)
	}
	f, err := bytefd.WrapBuffer(program, bytefd.WrapExecutable())
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command(bytefd.Path(f), "from memory")
	cmd.Args[0] = "echo"
	out, err := cmd.Output()
	fmt.Printf("%s%v", out, err)
	// Output:
	// from memory
	// <nil>
}

// Every child that is started while the file is open gets it, at the same path.
func ExampleWrapInherit() {
	f, err := bytefd.WrapBuffer([]byte("hello"), bytefd.WrapInherit())
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	out, err := exec.Command("cat", bytefd.Path(f)).Output()
	fmt.Printf("%s %v", out, err)
	// Output: hello <nil>
}

func ExampleWrapSealContent() {
	f, err := bytefd.WrapBuffer([]byte("hello"), bytefd.WrapSealContent())
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	const getSeals = 1034 // F_GET_SEALS
	seals, _, _ := syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), getSeals, 0)
	fmt.Println(seals&0xf == 0xe)
	// Output: true
}

func ExampleError() {
	_, err := bytefd.WrapBuffer([]byte("hello"), bytefd.WrapName("a/b"))
	var e *bytefd.Error
	fmt.Println(errors.As(err, &e), e.Op, e.Errno)
	fmt.Println(errors.Is(err, syscall.EINVAL))

	_, err = bytefd.MapFile("/no/such/file")
	fmt.Println(errors.Is(err, fs.ErrNotExist))
	// Output:
	// true name invalid argument
	// true
	// true
}

func ExampleError_Error() {
	_, err := bytefd.WrapBuffer([]byte("hello"), bytefd.WrapMode(0o044))
	fmt.Println(err.Error())
	// Output: bytefd: mode: mode 0044 does not let the owner read
}

func ExampleError_Unwrap() {
	_, err := bytefd.MapFile("/no/such/file")
	fmt.Println(errors.Unwrap(err))
	// Output: no such file or directory
}

func ExampleError_closed() {
	m, err := bytefd.MapFile("/proc/self/exe")
	if err != nil {
		log.Fatal(err)
	}
	m.Close()
	_, err = m.ReadAt(make([]byte, 1), 0)
	fmt.Println(errors.Is(err, os.ErrClosed))
	// Output: true
}

func ExampleAttach() {
	cmd := exec.Command("cat")
	path, err := bytefd.Attach(cmd, []byte("for this child only"))
	if err != nil {
		log.Fatal(err)
	}
	defer cmd.ExtraFiles[0].Close()
	cmd.Args = append(cmd.Args, path)
	out, err := cmd.Output()
	fmt.Printf("%s, %v", out, err)
	// Output: for this child only, <nil>
}

func ExampleScanFile() {
	err := bytefd.ScanFile([]byte("hello"), func(f *os.File) error {
		text, err := io.ReadAll(f)
		fmt.Printf("%s in %s\n", text, f.Name())
		return err
	}, bytefd.WrapName("upload"))
	fmt.Println(err)
	// Output:
	// hello in upload
	// <nil>
}
