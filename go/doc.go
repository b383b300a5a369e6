// Package bytefd puts bytes behind a file descriptor, and maps files into memory. It is for Linux.
//
// Much code takes a descriptor or a path and calls fstat, mmap, read or lseek on it: scanners,
// parsers, loaders, child processes. This package serves such code from a []byte or an io.Reader:
//
//   - [ScanBytes] lends a descriptor to a function and closes it afterwards.
//   - A [Pool] does the same, at a lower cost for content of some kilobytes or more: it reuses
//     files, or makes cheaper ones.
//   - [WrapBuffer], [WrapBuffers] and [WrapReader] return a file that the caller owns.
//   - [Attach] gives bytes to one child process.
//
// A scanner gives the same verdict as for a file on disk, because it finds a regular file.
//
// The other direction maps files and memory as bytes:
//
//   - [MapFile] and [MapFD] map a file. If another process truncates it, [Map.ReadAt],
//     [Map.WriteAt] and [Map.Guarded] do not crash: they return an error at pages that no longer
//     exist.
//   - [NewMap] maps memory that other processes can share. [Map.Seal] makes it a sealed file
//     without copying.
//   - A [MapWriter] is memory for an encoder to write to. It becomes a sealed file.
//
// Processes share content in these ways:
//
//   - [Send] and [Receive] pass files over Unix sockets. [Verify] checks whether a received file
//     can be trusted.
//   - [CreateShm] creates shared memory with a name, and [NewTempFile] a real file with a path.
//     [Sweep] removes what killed processes have left behind: files of NewTempFile, and shared
//     memory that was made with [ShmOwned].
//   - [FileLock] and [FutexWait] wait for other processes.
//
// # What a descriptor promises
//
// A descriptor of [ScanBytes], [Attach] or a Wrap function refers to a regular file that contains
// exactly the given bytes. The file may be empty. The file offset is 0, the file has no name, and
// its mode is 0400. The descriptor is close-on-exec.
//
// The file is a memfd with the seals F_SEAL_WRITE, F_SEAL_GROW, F_SEAL_SHRINK and F_SEAL_SEAL:
// no process can change its content or its size any more. Linux 6.3 and later also seal it against
// execve(2). The descriptor is open for reading and writing (O_RDWR), but every write fails with
// EPERM. Before Linux 6.7 it is open for reading only.
//
// On a host without memfd_create(2) the file cannot be sealed. The descriptor is then open for
// reading only. Options of type [WrapOption] change these promises. A [Pool] makes other promises;
// most of its descriptors have no seals.
//
// The content exists until the last duplicate, mapping or received copy of the descriptor is gone.
// A call that fails leaves no file and no descriptor behind. Nothing is left after kill -9, because
// the file has no name. Where a file system does not support O_TMPFILE, a file that is not a memfd
// has a name for a moment; [Sweep] removes names that killed processes have left.
//
// # Memory limits and signals
//
// Content stays in memory, and the memory counts for the cgroup of the process. If a memory cgroup
// is full, the kernel kills a process of that cgroup with SIGKILL: no call can return an error for
// that. [WrapSpillThreshold] puts larger content on disk instead. Beyond RLIMIT_FSIZE a call
// returns EFBIG, and SIGXFSZ is not raised.
//
// # Hosts
//
// The package probes what a kernel or host lacks, and works around it. [HostReport] returns what is
// in use on this host, and why.
//
// # Lengths
//
// Offsets and lengths are in bytes. A length of 0 means no bytes: the call checks the range and
// does nothing. [MapLength], [Map.Unmap], [FileLock] and [FileUnlock] are the exceptions: there a
// length of 0 is EINVAL. [ToEnd] as a length means everything from the offset on. Any other
// negative length is EINVAL. The length of a whole map ([NewMap], [Map.Resize]) or of an object of
// shared memory ([ShmLength]) may be 0, but not ToEnd. A map with [MapHugePages] must not have
// length 0, and neither must a new System V segment.
//
// # Errors
//
// errors.As finds an [*Error] in the errors of this package. It has the step that failed, the
// errno, and one line that says what was asked and what was found. Documentation names errors by
// errno, as in "EINVAL if n is negative". errors.Is finds the errno (syscall.EINVAL), and also:
//
//   - [os.ErrDeadlineExceeded] if the time of a wait has passed.
//   - [os.ErrClosed] if a value of this package or a file is closed. Such an error is EBADF too, so
//     ask for os.ErrClosed first. An EBADF of the kernel is not os.ErrClosed. A closed connection
//     is net.ErrClosed.
//   - [os.ErrInvalid], and EINVAL too, if the receiver is nil.
//
// # Goroutines
//
// Any goroutine may call any function at any time, except the methods of a [MapWriter]. A byte
// slice that is passed in is used only during the call. No goroutine may change it meanwhile.
//
// # Without cgo
//
// A program for Linux can be built without cgo (CGO_ENABLED=0, no C compiler, cross-compiled), for
// any processor. Then [WrapBuffer], [WrapBuffers], [WrapReader], [ScanBytes], [ScanFile], [Attach],
// [Reopen] and [Path] work, and [MapFile] and [MapFD] for reading. They are then written in Go.
// They make the same promises, and their errors have the same words. Large content gets no huge
// pages then, and takes longer to fill.
//
// The following need cgo:
//
//   - [Pool];
//   - [MapWrite], [MapPrivate], [MapGuard], [NewMap] and [MapWriter];
//   - the methods of Map that change it or tell the kernel about it: Advise, Discard, Flush, Mlock,
//     Munlock, Prefetch, Protect, Resize, Seal, Share and Unmap;
//   - what processes share: [Send] and [Receive], [Verify], [PeerCredentials], [CreateShm] and
//     [OpenShm], [NewTempFile], [Sweep], [MapSysv], [FileLock], [FutexWait] and [ExportDMABuf],
//     with the functions that belong to them;
//   - [HostReport].
//
// Without cgo each of these returns an [*Error] that is [errors.ErrUnsupported] and that names the
// function or option and cgo. Options that contradict each other are EINVAL, as with cgo. On other
// systems than Linux the package compiles, except on Plan 9, and every call that can fail returns
// such an error.
//
// # Building
//
// With cgo, libbytefd does the work. The module contains it for x86_64 and arm64, so a program
// needs
//
//	go get github.com/bytefd/bytefd/go
//
// and a C compiler. For musl, build with the tag musl and a compiler for musl: on Alpine "go build
// -tags musl", on Debian "CC=musl-gcc go build -tags musl". The tag bytefd_system links an
// installed library instead, which pkg-config finds. A clone of the repository does not contain the
// compiled library; there "make lib" builds it. For other processors and for Android, build without
// cgo or with bytefd_system; otherwise the build stops and says so.
package bytefd
