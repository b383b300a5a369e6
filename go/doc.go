// Package bytefd puts bytes behind a file descriptor, and files into memory. Linux.
//
// Much code takes a descriptor or a path and calls fstat, mmap, read or lseek on it: scanners,
// parsers, loaders, child processes. For a []byte, [ScanBytes] lends such a descriptor to a
// function and closes it afterwards; a [Pool] lends files that are used again, which is faster from
// some kilobytes on. [WrapBuffer], [WrapBuffers] and [WrapReader] give a descriptor away. [MapFile]
// and [MapFD] are the other direction: a [Map] is a file as memory, whose ReadAt, WriteAt and
// Guarded return an error, instead of crashing, when somebody truncates the file. [NewMap] gives
// memory that is shared with other processes, or becomes a sealed file without being copied; a
// [MapWriter] is such memory for an encoder to write to.
//
// Between processes, [Send] and [Receive] pass files over Unix sockets, and [Verify] says whether
// one can be trusted. [CreateShm] creates memory with a name, [NewTempFile] a real file with a
// path, and [Sweep] removes what killed processes have left of both. [FileLock] and [FutexWait]
// wait for others.
//
// # What a descriptor promises
//
// It stands for a regular file of exactly the bytes given (none is fine), at offset 0, without a
// name, with mode 0400 and close-on-exec. It is a sealed memfd, whose content and size nobody can
// change any more; on hosts that have no memfd it is a read-only description of an unnamed file.
// Every [WrapOption] changes one of these things, and a [Pool] says what it promises instead. The
// content lives as long as any duplicate or mapping of the descriptor. When a call fails, nothing
// is left behind.
//
// # Hosts
//
// What a kernel or host lacks is probed and worked around. [HostReport] says what is in use, and
// why.
//
// # Lengths
//
// Offsets and lengths are in bytes. A length of 0 is no bytes: the call checks the range and does
// nothing; [Map.Unmap], [FileLock] and [FileUnlock], where that makes no sense, return EINVAL.
// [ToEnd] as a length is everything from the offset on. Any other negative length is EINVAL.
//
// # Errors
//
// Errors of this package are of type [*Error]: the step that failed, the errno, and one line that
// says what was asked and what was found. A wait that ends in time is [os.ErrDeadlineExceeded], a
// closed value [os.ErrClosed], a nil receiver [os.ErrInvalid]; errors.Is finds each.
//
// # Goroutines
//
// All functions may be called from any goroutine at any time, but for those of a MapWriter. Byte
// slices that are passed in are only used during the call and must not be changed by others
// meanwhile.
//
// # Without cgo
//
// Where a program is built without cgo (CGO_ENABLED=0, no C compiler, cross-compiled) for Linux, on
// any processor, [WrapBuffer], [WrapBuffers], [WrapReader], [ScanBytes], [ScanFile], [Attach],
// [Reopen] and [Path] work, and [MapFile] and [MapFD] for reading. They are written in Go then.
// They promise the same, and their errors have the same words.
//
// cgo adds:
//   - huge pages for large content, which take less time to fill, and [Pool];
//   - [MapWrite], [MapPrivate] and [MapGuard], the methods of [Map] that take a range or change the
//     map, [NewMap] and [MapWriter];
//   - what processes share: [Send] and [Receive], [Verify], [PeerCredentials], [CreateShm] and
//     [OpenShm], [NewTempFile], [Sweep], [MapSysv], [FileLock], [FutexWait] and [ExportDMABuf],
//     with the functions that belong to them;
//   - [HostReport].
//
// Without cgo each of these returns an [*Error] that is [errors.ErrUnsupported], and names the
// function or option and cgo. Options that contradict each other are EINVAL, as with cgo. On other
// systems than Linux, but for Plan 9, the package compiles, and every call returns such an error.
//
// # Building
//
// With cgo the work is done by libbytefd. The module carries it for x86_64 and arm64, so a program
// needs
//
//	go get github.com/bytefd/bytefd/go
//
// and a C compiler. For musl, build with the tag musl and a compiler for musl: on Alpine
// "go build -tags musl", on Debian "CC=musl-gcc go build -tags musl". The tag bytefd_system links
// an installed library instead, found by pkg-config. A clone of the repository has no archives;
// there "make lib" builds one.
package bytefd
