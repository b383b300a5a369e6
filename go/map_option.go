package bytefd

import (
	"io/fs"
	"syscall"
)

// MapOption changes which part of a file is mapped, and how. The default is the whole file, for
// reading; for [NewMap] it is shared memory. Options may be given in any order and used again. If
// two options set the same thing, the last one counts. Options that contradict each other are
// EINVAL.
//
// [MapRead], [MapWrite] and [MapPrivate] set the same thing.
type MapOption func(*mapOptions)

type mapOptions struct {
	offset   int64
	length   int
	fileSize int64
	access   uint32
	flags    uint64
	mode     fs.FileMode
	reserve  int
}

func newMapOptions(opts []MapOption) (*mapOptions, error) {
	o := &mapOptions{length: ToEnd}
	for _, set := range opts {
		set(o)
	}
	switch {
	case o.offset < 0:
		return nil, isNegative("offset", o.offset)
	case o.length < ToEnd:
		return nil, isNegative("length", o.length)
	case o.fileSize < 0:
		return nil, isNegative("file_size", o.fileSize)
	case o.reserve < 0:
		return nil, isNegative("reserve", o.reserve)
	case o.length == 0:
		return nil, &Error{"length", syscall.EINVAL,
			"length is 0, must be at least 1; ToEnd selects everything up to the end"}
	}
	return o, nil
}

// The values of include/bytefd.h. The package does not compile if a value differs there.
const (
	accessRead    = 0x80000001
	accessWrite   = 0x80000002
	accessPrivate = 0x80000003

	mapCreate     = 1 << 8
	mapExecute    = 1 << 9
	mapPopulate   = 1 << 10
	mapMlock      = 1 << 11
	mapHugePages  = 1 << 12
	mapNoReserve  = 1 << 13
	mapBeyondEOF  = 1 << 14
	mapGuard      = 1 << 15
	mapNoFork     = 1 << 16
	mapWipeOnFork = 1 << 17
)

func withAccess(access uint32) MapOption { return func(o *mapOptions) { o.access = access } }
func withMapFlag(flag uint64) MapOption  { return func(o *mapOptions) { o.flags |= flag } }

// MapRead maps for reading only. It is the default for files. What others write to the file shows
// in the map, except on file systems without shared mappings, such as FUSE with direct_io. EINVAL
// for [NewMap].
func MapRead() MapOption { return withAccess(accessRead) }

// MapWrite maps for reading and writing, shared: stores reach the file and every process that maps
// it. It is the default for [NewMap].
func MapWrite() MapOption { return withAccess(accessWrite) }

// MapPrivate maps for reading and writing, copy on write: stores stay in this map and never reach
// the file. Permission to read the file is enough. Whether later changes of the file show is
// unspecified, mmap(2). For [NewMap] it gives anonymous memory.
func MapPrivate() MapOption { return withAccess(accessPrivate) }

// MapOffset sets the first byte of the file that is mapped. It need not begin a page. The default
// is 0. EINVAL if offset is negative.
func MapOffset(offset int64) MapOption { return func(o *mapOptions) { o.offset = offset } }

// MapLength sets the number of bytes to map. The default, [ToEnd], means from the offset to the end
// of the file. EINVAL if length is 0, or negative and not [ToEnd].
func MapLength(length int) MapOption { return func(o *mapOptions) { o.length = length } }

// MapFileSize first grows a smaller file to size bytes, with zeros. It reserves the added space, so
// that a store there cannot meet a full disk; [MapNoReserve] skips that. A larger file stays as it
// is. Needs [MapWrite]. EINVAL if size is negative. Processes that grow one file at the same time
// must agree among themselves.
func MapFileSize(size int64) MapOption { return func(o *mapOptions) { o.fileSize = size } }

// MapMode sets the permission bits of a file that [MapCreate] creates, less the umask. The default,
// and the meaning of 0, is 0600. Other bits of fs.FileMode are EINVAL.
func MapMode(mode fs.FileMode) MapOption { return func(o *mapOptions) { o.mode = mode } }

// MapCreate creates the file if it does not exist. Needs [MapWrite].
func MapCreate() MapOption { return withMapFlag(mapCreate) }

// MapExecute also allows the memory to be executed, PROT_EXEC.
func MapExecute() MapOption { return withMapFlag(mapExecute) }

// MapPopulate reads all pages of the map before the map is returned. A page of a file that cannot
// be read at that time is read on first access. For [NewMap] all pages exist then.
func MapPopulate() MapOption { return withMapFlag(mapPopulate) }

// MapMlock keeps the pages in memory, mlock(2). ENOMEM or EPERM if RLIMIT_MEMLOCK does not allow
// it. ENOMEM if pages are past the end of the file.
func MapMlock() MapOption { return withMapFlag(mapMlock) }

// MapNoReserve reserves neither disk space for growing nor swap space for private pages. It has
// nothing to do with [MapReserve]. It allows a sparse file of any size. If there is no room for a
// store, [Map.WriteAt] returns EIO, and a store through [Map.Bytes] raises SIGBUS or ends in the
// out-of-memory killer. With [MapGuard] a store that would raise SIGBUS makes the page a lost page
// instead.
func MapNoReserve() MapOption { return withMapFlag(mapNoReserve) }

// MapBeyondEOF allows a range past the end of the file. The rest of the last page usually reads
// zero, and stores there never reach the file. Pages entirely past the end do not exist until the
// file grows: [Map.ReadAt] and [Map.WriteAt] return EIO there, and access through [Map.Bytes]
// raises SIGBUS. With [MapGuard], Map.ReadAt and Map.WriteAt return EIO from the end of the file
// on, also in its last page; Map.ReadAt names one exception. With MapGuard, access through
// Map.Bytes to a page entirely past the end raises no SIGBUS, but makes it a lost page, which does
// not show the file even when the file grows.
func MapBeyondEOF() MapOption { return withMapFlag(mapBeyondEOF) }

// MapNoFork keeps the map out of children of fork(2), MADV_DONTFORK.
func MapNoFork() MapOption { return withMapFlag(mapNoFork) }

// MapWipeOnFork gives children of fork(2) zeros instead of the content, MADV_WIPEONFORK (Linux
// 4.14). It is for private memory: [NewMap] with [MapPrivate].
func MapWipeOnFork() MapOption { return withMapFlag(mapWipeOnFork) }

// MapHugePages makes the memory of [NewMap] from the huge pages that the administrator has reserved
// (vm.nr_hugepages). The length must be a multiple of their size, and not 0. The map can grow
// within [MapReserve] only. ENOMEM if too few are free. Transparent huge pages do not need this
// option: [MapPopulate] uses them where they are faster.
func MapHugePages() MapOption { return withMapFlag(mapHugePages) }

// MapGuard makes a map survive the loss of pages. If another process truncates the file, or the
// storage fails, access to the memory itself ([Map.Bytes], [Map.Word], [Map.Guarded]) finds zeros
// instead of raising SIGBUS. [Map.Check] returns EIO from then on. Until a page is lost, access to
// the memory costs no more than without a guard. Opening takes longer. A guarded map of a file
// keeps a descriptor of the file, for [Map.FileSize].
//
//   - The first access to a lost page replaces it by zeros. The replacement keeps what the program
//     stores there, but never shows the file again, even if the file grows. Each replacement may
//     need a mapping of its own (vm.max_map_count). To need fewer, a fault past the end of the file
//     also replaces pages that follow. Their number doubles at each fault, and they too never show
//     the file again. If the storage fails, only the page itself is replaced. If the process has
//     reached vm.max_map_count, the page cannot be replaced, and the Go runtime handles the fault.
//   - The handler for SIGBUS serves the whole process. Each new guarded map installs it in front of
//     the handler of the Go runtime or of C code, unless it is in front already. The call that
//     makes the map returns EBUSY if other threads replace the handler again each time.
//   - Every other fault is handled by the Go runtime, as without a guard: it panics under
//     debug.SetPanicOnFault, and otherwise ends the process. signal.Notify still receives a SIGBUS
//     that a process sends.
//   - C code that blocks SIGBUS is not protected. A system call on a lost page that is not replaced
//     yet returns EFAULT, and does not replace the page.
func MapGuard() MapOption { return withMapFlag(mapGuard) }

// MapReserve keeps address space for the map, which costs no memory. It has nothing to do with
// [MapNoReserve]. As long as the length of the map has never exceeded this many bytes, [Map.Resize]
// does not move it, and slices of it stay valid. Needs [MapWrite] or [NewMap]. The default is 0.
// EINVAL if bytes is negative.
func MapReserve(bytes int) MapOption { return func(o *mapOptions) { o.reserve = bytes } }
