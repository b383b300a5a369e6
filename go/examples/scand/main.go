//go:build linux && cgo

// Scand is a service that scans uploads with two engines: a function of this process, and a
// command, which is a new process for each upload.
//
//	scand [-listen ADDRESS] [FLAG]... [COMMAND [ARGUMENT]...]
//	curl --data-binary @FILE http://127.0.0.1:8080/scan
//
// The command finds the upload on its standard input, which is a regular file, and exits with 0 for
// clean, 1 for found: "clamdscan -", for example. The default is sha256sum. The answer is JSON. A
// finding of one engine counts even if the other engine fails; "clean" needs both. SIGTERM ends the
// service once the uploads that have begun are answered, and a second signal ends it at once.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	bytefd "github.com/bytefd/bytefd/go"
)

// Uploads take at most (uploads + scans) times spill of memory, and the pool caches 64 MiB. A
// memory cgroup must allow that: beyond its limit the kernel kills the service instead of refusing
// memory. Longer uploads are in $TMPDIR, /tmp or /var/tmp. That helps only if the folder is on a
// disk, not on a tmpfs.
var (
	listen     = flag.String("listen", "127.0.0.1:8080", "address, with port 0 for any")
	maxBytes   = flag.Int64("max-bytes", 256<<20, "length of the longest upload; more is 413")
	spill      = flag.Int64("spill", 8<<20, "length above which an upload lies on disk")
	maxUploads = flag.Int("uploads", 32, "uploads at a time; more is 503")
	maxScans   = flag.Int("scans", 2*runtime.NumCPU(), "scans at a time; more wait")
	uploadTime = flag.Duration("upload-time", time.Minute, "time for one upload; more is 408")
	scanTime   = flag.Duration("scan-time", 30*time.Second, "time for one scan; more is 504")
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("scand: ")
	flag.Parse()
	args := flag.Args()
	if len(args) == 0 {
		args = []string{"sha256sum"}
	}
	// Never with WrapTrustCallback: a child, and an engine that is late, still have the file when
	// the callback returns.
	pool, err := bytefd.NewPool(64 << 20)
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	handler := http.NewServeMux()
	engines := []engine{{"signature", search}, {args[0], command(args)}}
	handler.Handle("POST /scan", newService(pool, engines...))
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       *uploadTime,
		WriteTimeout:      *uploadTime + *scanTime + 10*time.Second, // counted from the header on
		IdleTimeout:       30 * time.Second,
		MaxHeaderBytes:    16 << 10,
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	log.Print("listening on ", listener.Addr())
	select {
	case err := <-served:
		log.Fatal(err)
	case <-ctx.Done():
	}
	stop() // from now on a signal ends the process
	log.Print("finishing")
	if err := server.Shutdown(context.Background()); err != nil { // each request has its limits
		log.Fatal(err)
	}
}

// service answers an upload with the verdicts on it.
type service struct {
	pool           *bytefd.Pool
	engines        []engine
	uploads, scans chan struct{} // as many as there are now
}

func newService(pool *bytefd.Pool, engines ...engine) *service {
	return &service{pool, engines, make(chan struct{}, *maxUploads), make(chan struct{}, *maxScans)}
}

type answer struct {
	Verdict string    `json:"verdict"`
	Bytes   int64     `json:"bytes"`
	Error   string    `json:"error,omitempty"`
	Engines []verdict `json:"engines,omitempty"`
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case s.uploads <- struct{}{}:
		defer func() { <-s.uploads }()
	default:
		reply(w, answer{}, errBusy)
		return
	}
	if r.ContentLength > *maxBytes {
		reply(w, answer{}, &http.MaxBytesError{Limit: *maxBytes}) // before a byte of it is read
		return
	}
	body := upload{http.MaxBytesReader(w, r.Body, *maxBytes)}
	hint := bytefd.WrapSizeHint(max(0, r.ContentLength)) // -1 if it is not known
	var a answer
	err := s.pool.ScanReader(body, func(fd int) (err error) {
		// The context of the request ends when the client hangs up and no longer waits for the
		// verdict.
		ctx, cancel := context.WithTimeout(r.Context(), *scanTime)
		defer cancel()
		a, err = s.scan(ctx, fd)
		return err
	}, bytefd.WrapName("upload"), bytefd.WrapSpillThreshold(*spill), hint)
	reply(w, a, err)
}

// upload is the body of a request. Its errors are those of the client.
type upload struct{ io.Reader }

type uploadError struct{ error }

func (e uploadError) Unwrap() error { return e.error }

func (u upload) Read(b []byte) (int, error) {
	n, err := u.Reader.Read(b)
	if err != nil && err != io.EOF {
		err = uploadError{err}
	}
	return n, err
}

var errBusy = errors.New("there are too many uploads or scans now")

func reply(w http.ResponseWriter, a answer, err error) {
	code := http.StatusOK
	if err != nil {
		a.Verdict, a.Error, code = "error", err.Error(), status(err)
		w.Header().Set("Connection", "close") // perhaps there is more, and it holds a descriptor
	}
	if code == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(a)
}

// Shortages that may end in a moment: places, descriptors, memory, disk space, processes.
var shortages = []error{
	errBusy, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOSPC, syscall.EAGAIN,
}

func status(err error) int {
	switch {
	case errors.As(err, new(*http.MaxBytesError)):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return http.StatusRequestTimeout
	case errors.As(err, new(uploadError)):
		return http.StatusBadRequest
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout
	}
	for _, short := range shortages {
		if errors.Is(err, short) {
			return http.StatusServiceUnavailable
		}
	}
	// A child's descriptors get numbers above those that are open. If RLIMIT_NOFILE leaves none,
	// the kernel says EBADF.
	if start := new(os.PathError); errors.As(err, &start) && start.Op == "fork/exec" &&
		errors.Is(err, syscall.EBADF) {
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
