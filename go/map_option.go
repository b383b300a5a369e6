package bytefd

import (
	"fmt"
	"io/fs"
	"syscall"
)

// MapOption changes which part of a file is mapped, and how. The default is all of the file, for
// reading; for memory it is memory that is shared. Options may be given in any order and used
// again; of two that set the same thing the last one counts. Options that contradict each other are
// EINVAL.
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
	if o.offset < 0 || o.length < ToEnd || o.fileSize < 0 || o.reserve < 0 {
		const format = "offset %d, length %d, file size %d, reserve %d: none may be negative"
		message := fmt.Sprintf(format, o.offset, o.length, o.fileSize, o.reserve)
		return nil, &Error{"options", syscall.EINVAL, message}
	}
	if o.length == 0 {
		return nil, &Error{"length", syscall.EINVAL,
			"length is 0, must be more; ToEnd is to the end of the file"}
	}
	return o, nil
}

// The values of include/bytefd.h; one that differs there does not compile.
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

// MapRead maps for reading only, through a private mapping: the default for files. What others
// write to the file shows in the map, except on file systems that have no shared mappings, such as
// FUSE with direct_io. EINVAL for memory.
func MapRead() MapOption { return withAccess(accessRead) }

// MapWrite maps for reading and writing, shared: stores reach the file and everybody who maps it.
func MapWrite() MapOption { return withAccess(accessWrite) }

// MapPrivate maps for reading and writing, copy on write: stores stay in this map and never reach
// the file, for which permission to read is enough. Whether later changes of the file show is
// unspecified, mmap(2).
func MapPrivate() MapOption { return withAccess(accessPrivate) }

// MapOffset sets the first byte of the file that the map shows: any byte, not only the first of a
// page. EINVAL if negative. The default is 0.
func MapOffset(offset int64) MapOption { return func(o *mapOptions) { o.offset = offset } }

// MapLength sets how many bytes are mapped. The default, [ToEnd], is from the offset to the end of
// the file. EINVAL if 0 or another negative number.
func MapLength(length int) MapOption { return func(o *mapOptions) { o.length = length } }

// MapFileSize grows a smaller file to this many bytes first, with zeros, and reserves its space so
// that a store cannot hit a full disk (unless [MapNoReserve] is given). A larger file stays as it
// is. Needs [MapWrite]. Processes that grow one file at the same time must agree among themselves.
func MapFileSize(size int64) MapOption { return func(o *mapOptions) { o.fileSize = size } }

// MapMode sets the permission bits of a file that [MapCreate] makes, less the umask. The default,
// and the meaning of 0, is 0600. Other bits of fs.FileMode are EINVAL.
func MapMode(mode fs.FileMode) MapOption { return func(o *mapOptions) { o.mode = mode } }

// MapCreate makes the file if there is none. Needs [MapWrite].
func MapCreate() MapOption { return withMapFlag(mapCreate) }

// MapExecute allows the memory to be executed too, PROT_EXEC.
func MapExecute() MapOption { return withMapFlag(mapExecute) }

// MapPopulate reads the pages in before the map is returned; what cannot be read in then is read on
// first use. Memory is all there then.
func MapPopulate() MapOption { return withMapFlag(mapPopulate) }

// MapMlock keeps the pages in memory, mlock(2): ENOMEM or EPERM where RLIMIT_MEMLOCK does not allow
// it.
func MapMlock() MapOption { return withMapFlag(mapMlock) }

// MapNoReserve reserves neither disk space for growing nor swap space for private pages: a sparse
// file of any size, where a [Map.WriteAt] that finds no room is EIO.
func MapNoReserve() MapOption { return withMapFlag(mapNoReserve) }

// MapBeyondEOF allows a range past the end of the file. The rest of the last page reads zero, and
// what is stored there never reaches the file. Pages wholly past the end are not there until the
// file grows: ReadAt and WriteAt answer EIO.
func MapBeyondEOF() MapOption { return withMapFlag(mapBeyondEOF) }

// MapNoFork keeps the map out of children made by fork(2), MADV_DONTFORK.
func MapNoFork() MapOption { return withMapFlag(mapNoFork) }

// MapWipeOnFork lets children made by fork(2) find zeros in private memory, [NewMap] with
// [MapPrivate]: MADV_WIPEONFORK (Linux 4.14).
func MapWipeOnFork() MapOption { return withMapFlag(mapWipeOnFork) }

// MapHugePages makes memory ([NewMap]) of the huge pages that the administrator has reserved
// (vm.nr_hugepages), hugetlbfs. The length must be a multiple of their size, and not 0; ENOMEM
// where not enough are free. (Other huge pages need no asking: with [MapPopulate], memory is made
// of them where that pays.)
func MapHugePages() MapOption { return withMapFlag(mapHugePages) }

// MapGuard survives the loss of pages. If another process makes the file shorter, or the storage
// behind it fails, access finds zeros instead of raising SIGBUS, and [Map.Check] fails from then
// on. It costs nothing until then. The map keeps a descriptor of the file, for [Map.FileSize].
//
//   - A lost page stays zeros, also when the file grows again. With a page past the end of the file
//     others that are past the end at that moment are replaced: 1, 2, 4 and so on, so that they
//     need few mappings. Where the storage fails, only the page itself is replaced. It may need a
//     mapping of its own (vm.max_map_count); where none is left, the fault is what Go makes of it.
//   - The handler for SIGBUS serves the whole process. Each new guarded map installs it in front of
//     the Go runtime's, or of what C code has installed, unless it is in front already: EBUSY if it
//     does not stay in place.
//   - Every fault that is not a lost page of a guarded map is what Go makes of it, as before: a
//     panic under debug.SetPanicOnFault, otherwise the end of the process. signal.Notify sees
//     signals that are sent.
//   - C code in the program that blocks SIGBUS is not saved. System calls that are given lost pages
//     fail with EFAULT, and the pages stay lost.
func MapGuard() MapOption { return withMapFlag(mapGuard) }

// MapReserve keeps address space for the map: as long as its length stays within this many bytes,
// [Map.Resize] never moves it, and slices of it stay valid. It costs no memory. Needs [MapWrite],
// or memory ([NewMap]). EINVAL if negative; the default is 0, for none.
func MapReserve(bytes int) MapOption { return func(o *mapOptions) { o.reserve = bytes } }
