//go:build linux && cgo

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	bytefd "github.com/bytefd/bytefd/go"
)

// engine is a scanner that takes a file.
type engine struct {
	name string
	scan scanFunc
}

// scanFunc should return when ctx ends, but need not.
type scanFunc func(ctx context.Context, f *os.File) (found bool, detail string, err error)

type verdict struct {
	Engine  string `json:"engine"`
	Verdict string `json:"verdict"`
	Detail  string `json:"detail"`
	err     error
}

func (e engine) verdict(ctx context.Context, f *os.File) verdict {
	found, detail, err := e.scan(ctx, f)
	switch {
	case err != nil:
		return verdict{e.name, "error", err.Error(), err}
	case found:
		return verdict{e.name, "found", detail, nil}
	}
	return verdict{e.name, "clean", detail, nil}
}

// scan gives the upload behind fd to each engine, and waits for them until ctx ends. It returns the
// error of an engine only if no other engine has found something.
func (s *service) scan(ctx context.Context, fd int) (answer, error) {
	select {
	case s.scans <- struct{}{}:
	case <-ctx.Done():
		return answer{}, errBusy
	}
	var running sync.WaitGroup
	// A late engine keeps its place among the scans, which limits the number of late engines.
	defer func() {
		go func() {
			running.Wait()
			<-s.scans
		}()
	}()
	var info syscall.Stat_t
	if err := syscall.Fstat(fd, &info); err != nil {
		return answer{}, err
	}
	a := answer{Verdict: "clean", Bytes: info.Size, Engines: make([]verdict, len(s.engines))}
	verdicts := make([]chan verdict, len(s.engines))
	for i, e := range s.engines {
		// Each engine gets an open file description, with its own offset, that is open as long as
		// the engine needs it. The pool sees that a late engine still has the file, and does not
		// lend it again. By then the number fd refers to another upload.
		f, err := bytefd.Reopen(fd)
		if err != nil {
			return answer{}, err
		}
		verdicts[i] = make(chan verdict, 1)
		running.Add(1)
		go func() {
			defer running.Done()
			v := e.verdict(ctx, f)
			f.Close() // before the pool looks who has the file
			verdicts[i] <- v
		}()
	}
	var failure error
	for i, e := range s.engines {
		select {
		case a.Engines[i] = <-verdicts[i]:
		case <-ctx.Done():
			a.Engines[i] = verdict{e.name, "error", "it is late", ctx.Err()}
		}
		if a.Engines[i].Verdict == "found" {
			a.Verdict = "found"
		} else if a.Engines[i].err != nil {
			failure = a.Engines[i].err
		}
	}
	if a.Verdict == "found" {
		failure = nil
	}
	return a, failure
}

// The harmless string that virus scanners agreed to find. In two parts, so that they do not find it
// here.
var signature = []byte(`X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-` + `STANDARD-ANTIVIRUS-TEST-FILE!$H+H*`)

// search is the engine in this process, in the place of a library that takes a descriptor and reads
// at offsets.
func search(ctx context.Context, f *os.File) (found bool, detail string, err error) {
	window := make([]byte, 64<<10)
	// Windows overlap, so that a signature across two windows is found.
	for at := int64(0); ctx.Err() == nil; at += int64(len(window) - len(signature) + 1) {
		n, err := f.ReadAt(window, at)
		if i := bytes.Index(window[:n], signature); i >= 0 {
			return true, fmt.Sprint("at byte ", at+int64(i)), nil
		}
		if err == io.EOF {
			return false, "", nil
		}
		if err != nil {
			return false, "", err
		}
	}
	return false, "", ctx.Err()
}

// command is the engine that runs a process for each upload. The process is killed when ctx ends,
// and when this process ends. Processes that it started are killed with it in the first case. In
// the second case they must end by themselves.
func command(args []string) scanFunc {
	return func(ctx context.Context, f *os.File) (found bool, detail string, err error) {
		// Pdeathsig is sent when the thread ends that started the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		var printed beginning
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = f, &printed, &printed
		// A process group can be killed as a whole, and does not get the Ctrl-C of a terminal.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
		cmd.WaitDelay = time.Second // for whoever else has its output
		err = cmd.Run()
		detail = string(bytes.TrimSpace(printed))
		switch {
		case err == nil:
			return false, detail, nil
		case cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == 1:
			return true, detail, nil
		case ctx.Err() != nil:
			return false, "", ctx.Err()
		}
		return false, "", fmt.Errorf("%w: %s", err, detail)
	}
}

// beginning keeps the first bytes of what is written to it.
type beginning []byte

func (b *beginning) Write(p []byte) (int, error) {
	const most = 1 << 10
	*b = append(*b, p[:min(len(p), most-len(*b))]...)
	return len(p), nil
}
