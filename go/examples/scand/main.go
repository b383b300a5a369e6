//go:build linux && cgo

// Scand is a service that scans uploads with two engines, one after the other. The first is a
// function of this process, the second a command, which is a new process for each upload.
//
//	scand [-listen ADDRESS] [FLAG]... [COMMAND [ARGUMENT]...]
//	curl --data-binary @FILE http://127.0.0.1:8080/scan
//
// The command finds the upload on its standard input, which is a regular file. It exits with 0 for
// clean and 1 for found, as "clamdscan -" does. The default is sha256sum. The answer is JSON. A
// finding of one engine counts even if the other engine fails; "clean" needs both. SIGTERM ends the
// service once the uploads that have begun are answered, and a second signal ends it at once.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	bytefd "github.com/bytefd/bytefd/go"
)

// Uploads take at most uploads times spill of memory, and the pool caches 64 MiB. A memory cgroup
// must allow that: beyond its limit the kernel kills the service instead of refusing memory. Longer
// uploads are in $TMPDIR, /tmp or /var/tmp, which helps only on a disk, not on a tmpfs.
var (
	listen     = flag.String("listen", "127.0.0.1:8080", "address, with port 0 for any")
	maxBytes   = flag.Int64("max-bytes", 256<<20, "length of the longest upload; more is 413")
	spill      = flag.Int64("spill", 8<<20, "length above which an upload lies on disk")
	maxUploads = flag.Int("uploads", 32, "uploads at a time; more is 503")
	uploadTime = flag.Duration("upload-time", time.Minute, "time for an upload; more is 408")
	scanTime   = flag.Duration("scan-time", 30*time.Second, "time to scan an upload; more is 504")
)

func main() {
	flag.Parse()
	args := flag.Args()
	if len(args) == 0 {
		args = []string{"sha256sum"}
	}
	pool, err := bytefd.NewPool(64<<20, bytefd.PoolMaxFiles(8)) // each has a descriptor
	if err != nil {
		log.Fatal(err)
	}
	engines := []engine{{"signature", search}, {args[0], command(args).scan}}
	http.Handle("POST /scan", &service{pool, engines, make(chan struct{}, *maxUploads)})
	server := &http.Server{ReadTimeout: *uploadTime, MaxHeaderBytes: 16 << 10}
	server.WriteTimeout = 2 * (*uploadTime + *scanTime) // counted from the header on
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	go func() {
		if err := server.Serve(listener); err != http.ErrServerClosed {
			log.Fatal(err)
		}
	}()
	log.Print("listening on ", listener.Addr())
	<-ctx.Done()
	stop() // from now on a signal ends the process
	log.Print("finishing")
	server.Shutdown(context.Background()) // each request has its limits
}

// service answers an upload with the verdicts of its engines.
type service struct {
	pool    *bytefd.Pool
	engines []engine
	uploads chan struct{} // as many as there are now
}

// engine scans a file. It should return when ctx ends, but need not.
type engine struct {
	name string
	scan func(ctx context.Context, f *os.File) (verdict, detail string, err error)
}

type answer struct {
	Verdict string    `json:"verdict"` // clean, found or error
	Bytes   int64     `json:"bytes"`
	Error   string    `json:"error,omitempty"`
	Engines []verdict `json:"engines,omitempty"`
	err     error
}

type verdict struct {
	Engine  string `json:"engine"`
	Verdict string `json:"verdict"`
	Detail  string `json:"detail"`
}

// The status codes of errors, if not 500. A shortage, 503, may end in a moment.
var codes = map[error]int{
	io.ErrUnexpectedEOF: 400, os.ErrDeadlineExceeded: 408, syscall.EFBIG: 413,
	syscall.EAGAIN: 503, syscall.EMFILE: 503, syscall.ENFILE: 503, syscall.ENOMEM: 503,
	syscall.ENOSPC: 503, context.DeadlineExceeded: 504,
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	limit, cancel := context.WithTimeout(context.Background(), *uploadTime+2*(*scanTime))
	defer cancel()
	answers := make(chan answer, 1)
	go func() { answers <- s.scan(r) }()
	var a answer
	select {
	case a = <-answers:
	case <-limit.Done(): // an engine in this process is late, and cannot be killed
		a.err = limit.Err()
	}
	code := http.StatusOK
	if a.err != nil {
		a.Verdict, a.Error, code = "error", a.err.Error(), http.StatusInternalServerError
		for cause, its := range codes {
			if errors.Is(a.err, cause) {
				code = its
			}
		}
		w.Header().Set("Connection", "close") // perhaps there is more, and it holds a descriptor
	}
	if code == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(a)
}

// scan reads an upload, and asks one engine after the other.
func (s *service) scan(r *http.Request) (a answer) {
	if r.ContentLength > *maxBytes {
		return answer{err: syscall.EFBIG} // before a byte of it is read
	}
	select {
	case s.uploads <- struct{}{}:
		defer func() { <-s.uploads }() // a late engine keeps the place, so few can be late
	default:
		return answer{err: fmt.Errorf("too many uploads: %w", syscall.EAGAIN)}
	}
	// Never with WrapTrustCallback: a command can leave a process behind that has the file.
	a.err = s.pool.ScanReader(r.Body, func(fd int) (err error) {
		ctx, cancel := context.WithTimeout(r.Context(), *scanTime) // or until the client hangs up
		defer cancel()
		a.Verdict = "clean"
		a.Bytes, err = syscall.Seek(fd, 0, io.SeekEnd)
		for _, e := range s.engines {
			var v, detail string
			f, failure := bytefd.Reopen(fd) // for an offset of its own
			if failure == nil {
				v, detail, failure = e.scan(ctx, f)
				f.Close()
			}
			if failure != nil {
				v, detail = "error", failure.Error()
			}
			a.Engines = append(a.Engines, verdict{e.name, v, detail})
			if a.Verdict != "found" && v != "clean" {
				a.Verdict, err = v, failure
			}
		}
		return err
	}, bytefd.WrapName("upload"), bytefd.WrapMaxBytes(*maxBytes),
		bytefd.WrapSpillThreshold(*spill), bytefd.WrapSizeHint(max(0, r.ContentLength)))
	return a
}

// The string that virus scanners agreed to find, in two parts so that they do not find it here.
var signature = []byte(`X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-` + `STANDARD-ANTIVIRUS-TEST-FILE!$H+H*`)

// search is the engine in this process, in the place of a library that reads a descriptor.
func search(ctx context.Context, f *os.File) (verdict, detail string, err error) {
	window := make([]byte, 64<<10)
	// Windows overlap, so that a signature across two windows is found.
	for at := int64(0); ctx.Err() == nil; at += int64(len(window) - len(signature) + 1) {
		n, err := f.ReadAt(window, at)
		switch i := bytes.Index(window[:n], signature); {
		case i >= 0:
			return "found", fmt.Sprint("at byte ", at+int64(i)), nil
		case err == io.EOF:
			return "clean", "", nil
		case err != nil:
			return "", "", err
		}
	}
	return "", "", ctx.Err()
}

// command is the engine that runs a process for each upload. The process is killed when ctx ends,
// with those that it has started, and alone when this process ends.
type command []string

func (c command) scan(ctx context.Context, f *os.File) (verdict, detail string, err error) {
	runtime.LockOSThread() // Pdeathsig is sent when the thread ends that started the child
	defer runtime.UnlockOSThread()
	var printed beginning
	cmd := exec.CommandContext(ctx, c[0], c[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = f, &printed, &printed
	// A process group can be killed as a whole, and does not get the Ctrl-C of a terminal.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second // for other processes that have its output
	err = cmd.Run()
	detail = string(bytes.TrimSpace(printed))
	switch {
	case err == nil:
		return "clean", detail, nil
	case cmd.ProcessState.ExitCode() == 1:
		return "found", detail, nil
	case ctx.Err() != nil:
		return "", "", ctx.Err()
	case errors.Is(err, syscall.EBADF):
		return "", "", syscall.EMFILE // no number is left for a descriptor of the child
	}
	return "", "", fmt.Errorf("%w: %s", err, detail)
}

// beginning keeps the first kilobyte of what is written to it.
type beginning []byte

func (b *beginning) Write(p []byte) (int, error) {
	*b = append(*b, p[:min(len(p), 1<<10-len(*b))]...)
	return len(p), nil
}
