/*
 * bytefd: bytes in, file descriptor out; and files as bytes. Linux.
 *
 * Conventions of every function here:
 * - Functions that can fail return an int: a descriptor or 0 on success, a negative errno on failure.
 *   Their last parameter, where it may be NULL, is filled on failure and left alone on success.
 * - Other out-parameters are written on success only. A buffer may be NULL only with a length of 0.
 * - A descriptor that is returned belongs to the caller, is close-on-exec unless BYTEFD_INHERIT is
 *   given, and the library keeps no copy of its number. A descriptor that is passed in stays the
 *   caller's and must stay open during the call.
 * - Handles (bytefd_map, bytefd_scan, bytefd_pool, bytefd_linked_file) belong to the caller until given to their last function, which
 *   accepts NULL. No other function does, unless it says so.
 * - All functions may be called from any thread. None prints, exits, or changes a signal mask or
 *   disposition (BYTEFD_MAP_GUARD aside). errno is not preserved. A fault inside the library is -ENOTRECOVERABLE, with its text.
 * - Sizes, lengths and offsets are in bytes.
 *
 * Everything here is there since 0.1.0, unless it says otherwise.
 *
 * Generated from the Rust sources by `make header`. Do not edit.
 */


#ifndef BYTEFD_H
#define BYTEFD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* All defaults, with the size of the struct as this header knows it. */
#define BYTEFD_WRAP_OPTIONS_INIT { sizeof(bytefd_wrap_options), NULL, 0, 0, 0, NULL }
#define BYTEFD_MAP_OPTIONS_INIT { sizeof(bytefd_map_options), 0, 0, 0, 0, 0, 0, 0 }
#define BYTEFD_STREAM_OPTIONS_INIT { sizeof(bytefd_stream_options), 0, 0 }
#define BYTEFD_REQUIREMENTS_INIT { sizeof(bytefd_requirements), 0, 0, 0, 0 }
#define BYTEFD_SHM_OPTIONS_INIT { sizeof(bytefd_shm_options), 0, 0, 0, 0, 0 }
#define BYTEFD_SYSV_OPTIONS_INIT { sizeof(bytefd_sysv_options), 0, 0, 0, 0, 0 }
#define BYTEFD_POOL_COUNTS_INIT { sizeof(bytefd_pool_counts), 0, 0, 0, 0 }

/**
 * Read-write, without seals, mode 0600: content and size can be changed, and seals added later. (Where
 * vm.memfd_noexec is 2 the kernel itself adds F_SEAL_EXEC.)
 */
#define BYTEFD_WRITABLE 1

/**
 * A description opened O_RDONLY, for code that looks at the access mode. Sealed all the same. Needs /proc.
 */
#define BYTEFD_READ_ONLY 2

/**
 * Can be executed and mapped executable; mode 0500. Without it the kernel refuses execution for good where it can
 * (F_SEAL_EXEC, Linux 6.3). A script needs BYTEFD_INHERIT too: its interpreter opens it after close-on-exec. Where there is no
 * memfd, /dev/shm or /tmp may be mounted noexec; who must execute asks for BYTEFD_BACKEND_MEMFD.
 */
#define BYTEFD_EXECUTABLE 4

/**
 * No close-on-exec: every program that this process executes from now on has the descriptor under the same number.
 */
#define BYTEFD_INHERIT 8

/**
 * Exactly F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK (0xe), so that the caller can add further seals. Only a memfd
 * can be sealed: with BYTEFD_BACKEND_AUTO this means BYTEFD_BACKEND_MEMFD. Seals are added through read-write
 * descriptions only, so this is one, and kernels before 6.7 map it privately only; bytefd_reopen gives one that maps.
 */
#define BYTEFD_SEAL_CONTENT 16

/**
 * For scans with a pool only: the callback promises to keep nothing, and is lent the kept file itself. See bytefd_pool.
 */
#define BYTEFD_TRUST_CALLBACK 32

/**
 * The first of the following that this host offers, in their order. Running out of something (descriptors, memory,
 * space) is an error and does not lead to the next.
 */
#define BYTEFD_BACKEND_AUTO 0

/**
 * memfd_create(2), Linux 3.17: no name, no limit but memory, and the only one that can be sealed.
 */
#define BYTEFD_BACKEND_MEMFD 1

/**
 * shm_open(3): on the tmpfs at /dev/shm and limited by its size. The name is unguessable and removed before the
 * first byte is written.
 */
#define BYTEFD_BACKEND_SHM 2

/**
 * open(2) with O_TMPFILE, Linux 3.11: without a name in $TMPDIR, /tmp or /var/tmp, usually on disk.
 */
#define BYTEFD_BACKEND_TMPFILE 3

/**
 * Reading only. What others write to the file shows in the map. The file is opened O_RDONLY.
 */
#define BYTEFD_MAP_READ 0

/**
 * Reading and writing, shared: stores reach the file and everybody who maps it. The file is opened O_RDWR.
 */
#define BYTEFD_MAP_WRITE 1

/**
 * Reading and writing, copy on write: stores stay in this map and never reach the file, which is opened O_RDONLY.
 * Whether later changes of the file show is unspecified, mmap(2).
 */
#define BYTEFD_MAP_PRIVATE 2

/**
 * With BYTEFD_MAP_WRITE: makes the file if there is none.
 */
#define BYTEFD_MAP_CREATE 1

/**
 * The memory may be executed too, PROT_EXEC.
 */
#define BYTEFD_MAP_EXECUTE 2

/**
 * Reads the pages in before returning, MAP_POPULATE; what cannot be read in now is read on first use.
 */
#define BYTEFD_MAP_POPULATE 4

/**
 * Keeps the pages in memory, mlock(2): -ENOMEM or -EPERM where RLIMIT_MEMLOCK does not allow it, -ENOMEM where pages are
 * past the end of the file.
 */
#define BYTEFD_MAP_LOCK 8

/**
 * For bytefd_map_memory: pages from the huge pages that the administrator has reserved (vm.nr_hugepages), hugetlbfs. The
 * length must be a multiple of their size, and not 0, and grows within `reserve` only; -ENOMEM where not enough are free. (Other huge pages need no asking:
 * with BYTEFD_MAP_POPULATE, memory is made of them where that pays.)
 */
#define BYTEFD_MAP_HUGE_PAGES 16

/**
 * Reserves neither disk space for growing nor swap space for private pages (MAP_NORESERVE): a sparse file of any
 * size, and a store that finds no room is a SIGBUS or the out-of-memory killer.
 */
#define BYTEFD_MAP_NO_RESERVE 32

/**
 * Allows a range past the end of the file. The rest of the last page reads zero, and what is stored there never
 * reaches the file; pages wholly past the end are SIGBUS until the file grows.
 */
#define BYTEFD_MAP_BEYOND_EOF 64

/**
 * Survives the loss of pages: where somebody has made the file shorter, or the storage behind it fails, access finds zeros
 * instead of raising SIGBUS, and bytefd_map_check says so. It costs nothing until then. System calls that are given lost
 * pages answer -EFAULT, as without it, and the pages stay lost. A handler for SIGBUS is installed at
 * the first such map and stays; every fault that is not in such a map goes on to the handler that was there before. A
 * handler that the program installs afterwards must pass on what is not its own. Threads that block SIGBUS are not saved,
 * and nobody is where the process can have no more mappings (vm.max_map_count): each lost page may need one.
 */
#define BYTEFD_MAP_GUARD 128

/**
 * Children made by fork(2) do not have the map, MADV_DONTFORK.
 */
#define BYTEFD_MAP_NO_FORK 256

/**
 * For private memory, bytefd_map_memory with BYTEFD_MAP_PRIVATE: children made by fork(2) find zeros there,
 * MADV_WIPEONFORK (Linux 4.14).
 */
#define BYTEFD_MAP_WIPE_ON_FORK 512

/**
 * Returns when the bytes are on the storage, MS_SYNC.
 */
#define BYTEFD_FLUSH_SYNC 0

/**
 * Schedules the writing and returns, MS_ASYNC. (On Linux a shared map is written back in time anyway.)
 */
#define BYTEFD_FLUSH_ASYNC 1

/**
 * May be added to either: other maps of the file are told to look again, MS_INVALIDATE. (On Linux they see every store
 * anyway.) -EBUSY if pages are locked.
 */
#define BYTEFD_FLUSH_INVALIDATE 2

/**
 * No special treatment: undoes RANDOM and SEQUENTIAL. This and the following are for bytefd_map_advise; their numbers are the
 * kernel's.
 */
#define BYTEFD_ADVICE_NORMAL 0

/**
 * Pages will be used in no order: reading ahead is of no use.
 */
#define BYTEFD_ADVICE_RANDOM 1

/**
 * Pages will be used in order: reading far ahead is of use.
 */
#define BYTEFD_ADVICE_SEQUENTIAL 2

/**
 * Pages will be used soon: reading them in begins.
 */
#define BYTEFD_ADVICE_WILL_NEED 3

/**
 * Pages will not be used soon, and may leave this process; a shared map has them again when they are used. Private maps
 * lose what was stored in them.
 */
#define BYTEFD_ADVICE_DONT_NEED 4

/**
 * The content may be lost, at any time from now on, when memory is short (Linux 4.5). Private memory only.
 */
#define BYTEFD_ADVICE_FREE 8

/**
 * The content is lost, also in the file: a hole is punched into it.
 */
#define BYTEFD_ADVICE_REMOVE 9

/**
 * Children made by fork(2) do not have the pages.
 */
#define BYTEFD_ADVICE_DONT_FORK 10

/**
 * Undoes DONT_FORK.
 */
#define BYTEFD_ADVICE_DO_FORK 11

/**
 * The kernel may merge pages with equal ones, KSM. Private memory only.
 */
#define BYTEFD_ADVICE_MERGEABLE 12

/**
 * Undoes MERGEABLE.
 */
#define BYTEFD_ADVICE_UNMERGEABLE 13

/**
 * Huge pages are welcome.
 */
#define BYTEFD_ADVICE_HUGE_PAGE 14

/**
 * No huge pages.
 */
#define BYTEFD_ADVICE_NO_HUGE_PAGE 15

/**
 * Left out of core dumps (Linux 3.4).
 */
#define BYTEFD_ADVICE_DONT_DUMP 16

/**
 * Undoes DONT_DUMP.
 */
#define BYTEFD_ADVICE_DO_DUMP 17

/**
 * Children made by fork(2) find zeros (Linux 4.14). Private memory only.
 */
#define BYTEFD_ADVICE_WIPE_ON_FORK 18

/**
 * Undoes WIPE_ON_FORK.
 */
#define BYTEFD_ADVICE_KEEP_ON_FORK 19

/**
 * Pages may leave memory before others (Linux 5.4).
 */
#define BYTEFD_ADVICE_COLD 20

/**
 * Pages leave memory now (Linux 5.4).
 */
#define BYTEFD_ADVICE_PAGE_OUT 21

/**
 * Pages are made ready for reading, now (Linux 5.14).
 */
#define BYTEFD_ADVICE_POPULATE_READ 22

/**
 * Pages are made ready for writing, now (Linux 5.14).
 */
#define BYTEFD_ADVICE_POPULATE_WRITE 23

/**
 * DONT_NEED, also for locked pages (Linux 5.18).
 */
#define BYTEFD_ADVICE_DONT_NEED_LOCKED 24

/**
 * Pages are made huge ones, now (Linux 6.1).
 */
#define BYTEFD_ADVICE_COLLAPSE 25

/**
 * The content is lost: the pages are treated as broken memory. Administrators only, for tests.
 */
#define BYTEFD_ADVICE_HARDWARE_POISON 100

/**
 * Pages move to other memory. Administrators only, for tests.
 */
#define BYTEFD_ADVICE_SOFT_OFFLINE 101

/**
 * The content is lost: access raises SIGSEGV from now on (Linux 6.13).
 */
#define BYTEFD_ADVICE_GUARD_INSTALL 102

/**
 * Undoes GUARD_INSTALL; the pages read zero, or what the file has.
 */
#define BYTEFD_ADVICE_GUARD_REMOVE 103

/**
 * Must be added to advice that loses content: FREE, REMOVE, HARDWARE_POISON, GUARD_INSTALL, and for private maps
 * DONT_NEED and DONT_NEED_LOCKED. It is given only to pages of which all bytes are in the range.
 */
#define BYTEFD_ADVICE_LOSE_DATA 65536

/**
 * Any access raises SIGSEGV. This and the following, or-ed, are for bytefd_map_protect. Linux lets nobody write or execute what
 * cannot be read, so BYTEFD_PROTECTION_READ must be among them unless there are none.
 */
#define BYTEFD_PROTECTION_NONE 0

/**
 * Reading.
 */
#define BYTEFD_PROTECTION_READ 1

/**
 * Writing, which the map must be for: BYTEFD_MAP_WRITE or BYTEFD_MAP_PRIVATE.
 */
#define BYTEFD_PROTECTION_WRITE 2

/**
 * Executing, which must have been asked for when the map was made: BYTEFD_MAP_EXECUTE.
 */
#define BYTEFD_PROTECTION_EXECUTE 4

/**
 * `owner` counts.
 */
#define BYTEFD_REQUIRE_OWNER 1

/**
 * No seals are asked for, not even the default ones. What is read then can change or go at any time.
 */
#define BYTEFD_REQUIRE_NO_SEALS 2

/**
 * Opens what has the name.
 */
#define BYTEFD_SHM_OPEN 0

/**
 * Makes it; there must be none yet.
 */
#define BYTEFD_SHM_CREATE 1

/**
 * Opens it, or makes it if there is none.
 */
#define BYTEFD_SHM_OPEN_OR_CREATE 2

/**
 * With BYTEFD_SHM_CREATE: what is made belongs to this process. Its name says so, so others need the whole name, and bytefd_shm_sweep
 * removes it when the process is gone.
 */
#define BYTEFD_SHM_OWNER 1

/**
 * Bytes for any name, with its slash and final NUL.
 */
#define BYTEFD_SHM_NAME_SIZE 257

/**
 * Attaches the segment with this key.
 */
#define BYTEFD_SYSV_OPEN 0

/**
 * Makes a segment with this key, which there must not be yet, or without one (IPC_PRIVATE), and attaches it.
 */
#define BYTEFD_SYSV_CREATE 1

/**
 * Attaches the segment with this number.
 */
#define BYTEFD_SYSV_ATTACH 2

/**
 * With BYTEFD_SYSV_CREATE and the key 0: what is made belongs to this process, and bytefd_shm_sweep removes it when the process is gone
 * and nobody has it attached. It has a key by which the sweep knows it, of which a process has 256.
 */
#define BYTEFD_SYSV_OWNER 1

/**
 * Others may lock the bytes shared, too. The descriptor must be open for reading.
 */
#define BYTEFD_LOCK_SHARED 0

/**
 * Nobody else may lock the bytes. The descriptor must be open for writing.
 */
#define BYTEFD_LOCK_EXCLUSIVE 1

/**
 * May be added to either: -EAGAIN instead of waiting.
 */
#define BYTEFD_LOCK_TRY 2

/**
 * A real file with a path, from bytefd_link.
 */
typedef struct bytefd_linked_file bytefd_linked_file;

/**
 * A mapped range of a file, or memory without a file. Any number of threads may use one map at the same time, but
 * bytefd_map_resize, bytefd_map_unmap and bytefd_map_seal need it alone, and bytefd_map_close must come last.
 */
typedef struct bytefd_map bytefd_map;

/**
 * Files for one trust domain, kept and lent again to scan_bytes and bytefd_scan_begin (options->pool). Writing into pages that
 * exist is many times faster than getting new ones. Made by the caller; nothing is shared between pools. Any number of threads
 * may use one pool at the same time, and a scan never waits for another scan's callback.
 *
 * Three levels, and what each protects against:
 * - No pool: every scan has a new, sealed file. Nothing of one scan can ever show in another, whatever the callback keeps.
 * - A pool: the callback is lent a read-only description of a file of mode 0400 that is not sealed. Before the file is used again
 *   the kernel is asked to prove that nobody holds it; who kept a duplicate, a mapping, a child that has it, or a description of
 *   their own keeps that file, and it is not used again. Content of an earlier scan is never visible, also not past the end.
 *   What the proof cannot see are pages in flight, to which a pipe, socket or device refers without a descriptor: vmsplice(2) from
 *   a mapping, zero-copy sends (MSG_ZEROCOPY), anything else that pins pages (io_uring's registered buffers, RDMA), and splice(2)
 *   and sendfile(2) from a descriptor without O_DIRECT. Who reads them later may read bytes of a later scan. The descriptor that
 *   is lent has O_DIRECT, with which splice and sendfile copy (Linux 6.6), unless the callback clears it or opens one of its own.
 *   Nor does the proof see an O_PATH descriptor, which can be opened during a later scan.
 * - A pool and BYTEFD_TRUST_CALLBACK: the kept file itself is lent, read-write, and nothing is proved. The callback promises to
 *   keep nothing and to change nothing. If it breaks the promise it sees and changes later scans of trusted callbacks.
 *
 * Of the options a pool takes BYTEFD_BACKEND_MEMFD, BYTEFD_INHERIT and BYTEFD_READ_ONLY (which it is anyway), or
 * BYTEFD_TRUST_CALLBACK alone; others are -EINVAL.
 * `buf` must be readable: what is copied into kept pages is copied as memcpy does, so there is no -EFAULT.
 *
 * A kept file keeps its inode number, and two scans may have the same size and time: a client that remembers files by these
 * (and marks nothing on them) is better given new files.
 *
 * A pool holds at most 64 descriptors; bytefd_pool_trim to 0 closes those that are not lent.
 *
 * After fork(2) the pool is empty in the child, and the files it kept, and one that is lent to a trusted callback, are closed at
 * the pool's first use there. Until then, and unless it executes another program, the child can read and change what the parent
 * scans later: make pools after forking workers, or call bytefd_pool_trim in the child. What other threads were making or
 * lending at that moment stays open in the child, as every descriptor of theirs does. Where the host has no memfd or
 * no /proc, or refuses leases, every scan has a new file.
 *
 * ```c
 * static int look(int fd, void *context)
 * {
 *     (void)context;
 *     return lseek(fd, 0, SEEK_END) == 5 ? 0 : 1;
 * }
 *
 * int example(void)
 * {
 *     bytefd_wrap_options options = BYTEFD_WRAP_OPTIONS_INIT;
 *     int status = bytefd_pool_create(64 << 20, &options.pool, NULL);
 *     if (status < 0)
 *         return status;
 *     status = scan_bytes("hello", 5, look, NULL, &options, NULL);
 *     bytefd_pool_destroy(options.pool);
 *     return status;
 * }
 * ```
 */
typedef struct bytefd_pool bytefd_pool;

/**
 * A descriptor on loan, between bytefd_scan_begin and bytefd_scan_end. One thread at a time may use it.
 */
typedef struct bytefd_scan bytefd_scan;

/**
 * How a descriptor is made. Start from BYTEFD_WRAP_OPTIONS_INIT, which is all defaults, as is a NULL pointer.
 *
 * `size` lets the struct grow at its end: a library that knows more members takes the missing ones as 0; one that
 * knows fewer accepts what is 0 and answers -E2BIG otherwise, and also above 4096. A size below this version's is -EINVAL.
 *
 * ```c
 * bytefd_wrap_options options = BYTEFD_WRAP_OPTIONS_INIT;
 * options.name = "upload";
 * options.flags = BYTEFD_READ_ONLY | BYTEFD_INHERIT;
 * int fd = shm_wrap_buffer("hello", 5, &options, NULL);
 * ```
 */
typedef struct bytefd_wrap_options {
    /**
     * sizeof(bytefd_wrap_options).
     */
    size_t size;
    /**
     * A label that shows in /proc/self/fd and /proc/self/maps: 1 to 200 bytes without '/' and newline. Need not be
     * unique. Files of BYTEFD_BACKEND_SHM show 160 bytes of it at least, those of BYTEFD_BACKEND_TMPFILE none. NULL is "bytefd".
     */
    const char *name;
    /**
     * BYTEFD_WRITABLE and the constants after it, or-ed. An unknown bit is -EINVAL, and so is BYTEFD_WRITABLE with
     * BYTEFD_READ_ONLY or BYTEFD_SEAL_CONTENT.
     */
    uint32_t flags;
    /**
     * One of BYTEFD_BACKEND_AUTO and the constants after it.
     */
    uint32_t backend;
    /**
     * The permission bits; 0 for the default: 0400, or 0600, 0500 or 0700 as the flags ask. The owner's read bit must
     * be set, execute bits only with BYTEFD_EXECUTABLE.
     */
    uint32_t mode;
    /**
     * For scans: the pool that lends the file, NULL for a new file each time. Otherwise it must be NULL, or -EINVAL.
     */
    struct bytefd_pool *pool;
} bytefd_wrap_options;

/**
 * What went wrong, filled by a function that fails and left alone by one that succeeds. Belongs to the caller; one
 * object serves any number of calls, one after the other. 256 bytes, on every platform and in every version.
 *
 * ```c
 * bytefd_error error;
 * int fd = shm_wrap_buffer("hello", 5, NULL, &error);
 * if (fd < 0)
 *     fprintf(stderr, "%s: %s\n", error.op, error.message);
 * ```
 */
typedef struct bytefd_error {
    /**
     * The function's return value again: a negative errno.
     */
    int code;
    /**
     * The step that failed: a system call ("memfd_create"), or the argument that was refused ("name").
     */
    char op[32];
    /**
     * One line that says what was asked and what was found. Without the step's name, without a newline. A long
     * message is shortened in its middle.
     */
    char message[220];
} bytefd_error;

/**
 * What scan_bytes calls: `fd` is lent for the duration of the call, `context` is the caller's own. Returns 0 to say
 * that all went well.
 *
 * It may dup, map and reopen the descriptor and keep those; it may even close it. In C++ it may throw: the exception
 * passes through scan_bytes, and the descriptor is closed. It must not leave by longjmp(3) or by ending the thread.
 */
typedef int (*bytefd_scan_fn)(int fd, void *context);

/**
 * What a pool has done since it was made, and what it holds.
 */
typedef struct bytefd_pool_counts {
    /**
     * sizeof(bytefd_pool_counts), as BYTEFD_POOL_COUNTS_INIT sets it. The struct may grow at its end; no more than this is written.
     */
    size_t size;
    /**
     * Scans that were lent a kept file.
     */
    uint64_t lent_again;
    /**
     * Scans that got a new file.
     */
    uint64_t new_files;
    /**
     * Files that were not used again because somebody still held them. Those that are held now are dropped by asking.
     */
    uint64_t dropped;
    /**
     * Bytes of memory in the files that are kept now.
     */
    uint64_t kept_bytes;
} bytefd_pool_counts;

/**
 * Which part of a file is mapped, and how. Start from BYTEFD_MAP_OPTIONS_INIT, which is the whole file for reading, as
 * is a NULL pointer. `size` works as in bytefd_wrap_options.
 *
 * ```c
 * bytefd_map_options options = BYTEFD_MAP_OPTIONS_INIT;
 * options.access = BYTEFD_MAP_WRITE;
 * options.flags = BYTEFD_MAP_CREATE;
 * options.file_size = 4096;
 * bytefd_map *map;
 * int status = map_file("table", &options, &map, NULL);
 * ```
 */
typedef struct bytefd_map_options {
    /**
     * sizeof(bytefd_map_options).
     */
    size_t size;
    /**
     * The first byte of the file that the map shows; any byte, page alignment is not the caller's business.
     */
    uint64_t offset;
    /**
     * How many bytes; 0 is from the offset, which is then not past it, to the end of the file. At most PTRDIFF_MAX.
     */
    size_t length;
    /**
     * With BYTEFD_MAP_WRITE: a smaller file is grown to this many bytes first, with zeros, and the space for what is
     * added is reserved, so that a store there cannot hit a full disk (unless BYTEFD_MAP_NO_RESERVE). Holes that the file
     * had stay holes. A larger file stays as it is. Processes that grow one file at the same time must agree among
     * themselves.
     */
    uint64_t file_size;
    /**
     * BYTEFD_MAP_READ, BYTEFD_MAP_WRITE or BYTEFD_MAP_PRIVATE.
     */
    uint32_t access;
    /**
     * BYTEFD_MAP_CREATE and the constants after it, or-ed. An unknown bit is -EINVAL.
     */
    uint32_t flags;
    /**
     * The permission bits of a file that BYTEFD_MAP_CREATE makes, less the umask; 0 is 0600. Unused otherwise, as in open(2).
     */
    uint32_t mode;
    /**
     * Address space that is kept for the map: as long as its length stays within this many bytes, bytefd_map_resize never
     * moves it. It costs no memory. 0 for none. With BYTEFD_MAP_WRITE, or for memory. The first version had no such member.
     */
    size_t reserve;
} bytefd_map_options;

/**
 * How much is taken from a stream, and where it goes. Start from BYTEFD_STREAM_OPTIONS_INIT, which is all of it, in memory, as is a
 * NULL pointer. `size` works as in bytefd_wrap_options.
 *
 * ```c
 * bytefd_stream_options options = BYTEFD_STREAM_OPTIONS_INIT;
 * options.most = 1 << 30;
 * int fd = bytefd_wrap_stream(STDIN_FILENO, &options, NULL);
 * ```
 */
typedef struct bytefd_stream_options {
    /**
     * sizeof(bytefd_stream_options).
     */
    size_t size;
    /**
     * A stream of more bytes is -EFBIG. 0 for any number.
     */
    uint64_t most;
    /**
     * Above so many bytes the content is in an unlinked file in $TMPDIR, /tmp or /var/tmp instead of memory, which cannot be sealed: the
     * descriptor is read-only then. 0 for never.
     */
    uint64_t spill_above;
} bytefd_stream_options;

/**
 * What is asked of a descriptor that somebody else has made: a regular file, opened for reading, and the following. Start from
 * BYTEFD_REQUIREMENTS_INIT, which asks for seals against writing and shrinking, as a NULL pointer does for bytefd_verify. `size`
 * works as in bytefd_wrap_options.
 *
 * ```c
 * bytefd_requirements requirements = BYTEFD_REQUIREMENTS_INIT;
 * requirements.length = 4096;
 * int status = bytefd_verify(STDIN_FILENO, &requirements, NULL);
 * ```
 */
typedef struct bytefd_requirements {
    /**
     * sizeof(bytefd_requirements).
     */
    size_t size;
    /**
     * At least so many bytes.
     */
    uint64_t length;
    /**
     * At least these seals, F_SEAL_* of fcntl(2); more are fine. 0 is F_SEAL_WRITE | F_SEAL_SHRINK.
     */
    uint32_t seals;
    /**
     * BYTEFD_REQUIRE_OWNER and BYTEFD_REQUIRE_NO_SEALS, or-ed. An unknown bit is -EINVAL.
     */
    uint32_t flags;
    /**
     * With BYTEFD_REQUIRE_OWNER: the file belongs to this user.
     */
    uint32_t owner;
} bytefd_requirements;

/**
 * Who is at the other end of a connected socket, as the kernel saw it then.
 *
 * ```c
 * bytefd_credentials peer;
 * if (bytefd_peer(STDIN_FILENO, &peer, NULL) == 0)
 *     printf("process %d of user %u\n", peer.process, (unsigned)peer.user);
 * ```
 */
typedef struct bytefd_credentials {
    /**
     * Its number, as this process sees it; 0 if it cannot. It may have ended, and the number be somebody else's by now.
     */
    int process;
    /**
     * Its effective user.
     */
    uint32_t user;
    /**
     * Its effective group.
     */
    uint32_t group;
} bytefd_credentials;

/**
 * How named memory is made or opened. Start from BYTEFD_SHM_OPTIONS_INIT, which opens what there is for reading, as a NULL pointer does.
 * `size` works as in bytefd_wrap_options.
 *
 * ```c
 * bytefd_shm_options options = BYTEFD_SHM_OPTIONS_INIT;
 * options.how = BYTEFD_SHM_CREATE;
 * options.access = BYTEFD_MAP_WRITE;
 * options.length = 4096;
 * int fd = bytefd_shm_open("table", &options, NULL, 0, NULL);
 * ```
 */
typedef struct bytefd_shm_options {
    /**
     * sizeof(bytefd_shm_options).
     */
    size_t size;
    /**
     * How many bytes what is made has, zeros at first, with the space reserved; and how many what is opened must have at least.
     */
    uint64_t length;
    /**
     * BYTEFD_SHM_OPEN or one of those after it.
     */
    uint32_t how;
    /**
     * BYTEFD_MAP_READ, or BYTEFD_MAP_WRITE for reading and writing.
     */
    uint32_t access;
    /**
     * BYTEFD_SHM_OWNER, or 0. An unknown bit is -EINVAL.
     */
    uint32_t flags;
    /**
     * The permission bits of what is made, whatever the umask says; 0 is 0600.
     */
    uint32_t mode;
} bytefd_shm_options;

/**
 * How a System V segment is made or attached. Start from BYTEFD_SYSV_OPTIONS_INIT, which opens what there is for reading, as a NULL
 * pointer does. `size` works as in bytefd_wrap_options.
 *
 * ```c
 * bytefd_sysv_options options = BYTEFD_SYSV_OPTIONS_INIT;
 * options.how = BYTEFD_SYSV_CREATE;
 * options.access = BYTEFD_MAP_WRITE;
 * options.length = 4096;
 * ```
 */
typedef struct bytefd_sysv_options {
    /**
     * sizeof(bytefd_sysv_options).
     */
    size_t size;
    /**
     * How many bytes what is made has, zeros at first; and how many what is attached must have at least.
     */
    size_t length;
    /**
     * BYTEFD_SYSV_OPEN or one of those after it.
     */
    uint32_t how;
    /**
     * BYTEFD_MAP_READ, or BYTEFD_MAP_WRITE for reading and writing. What is made must be for writing.
     */
    uint32_t access;
    /**
     * The permission bits of what is made; 0 is 0600.
     */
    uint32_t mode;
    /**
     * BYTEFD_SYSV_OWNER, or 0. An unknown bit is -EINVAL.
     */
    uint32_t flags;
} bytefd_sysv_options;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Copies `len` bytes from `buf` into a new file and returns its descriptor, which the caller owns and closes.
 *
 * What is returned with default options: a regular file of exactly `len` bytes (0 is fine), offset 0, link count 0,
 * mode 0400, close-on-exec; sealed against writing, growing, shrinking and further seals, and against execution where
 * the kernel can (Linux 6.3). Every PROT_READ mapping works on it, shared or private. The content lives as long as any
 * duplicate, mapping or receiver of the descriptor. Where there is no memfd the file cannot be sealed: then the
 * description is read-only instead. Descriptors 0, 1 and 2 are never returned.
 *
 * Reads `buf` only during the call. Any thread may call it at any time.
 *
 * Returns the descriptor, or a negative errno, with nothing left behind:
 * - -EINVAL: `buf` is NULL with a `len` above 0, `len` is above PTRDIFF_MAX, or options that are unknown or contradict
 *   each other.
 * - -E2BIG: the options have members that this version does not know.
 * - -EFAULT: `buf` is not all readable memory.
 * - -EFBIG: `len` is above RLIMIT_FSIZE. (No SIGXFSZ is raised.)
 * - -ENOSPC: the file system behind the chosen backend is full.
 * - -EMFILE, -ENFILE, -ENOMEM: no descriptors or memory left.
 * - -ENOENT: /proc is not mounted, and the options or the host need it to open the file read-only.
 * - what the system call in `error->op` answered.
 *
 * ```c
 * int fd = shm_wrap_buffer("hello", 5, NULL, NULL);
 * if (fd >= 0)
 *     close(fd);
 * ```
 */
int shm_wrap_buffer(const void *buf,
                    size_t len,
                    const struct bytefd_wrap_options *options,
                    struct bytefd_error *error);

/**
 * shm_wrap_buffer for content that lies in several places: the file holds the `count` segments in their order. Any
 * count; a segment of length 0 is skipped. `iov` may be NULL only with `count` 0.
 *
 * ```c
 * struct iovec parts[2] = {{"head", 4}, {"body", 4}};
 * int fd = bytefd_wrap_iov(parts, 2, NULL, NULL);
 * ```
 */
int bytefd_wrap_iov(const struct iovec *iov,
                    size_t count,
                    const struct bytefd_wrap_options *options,
                    struct bytefd_error *error);

/**
 * Opens the regular file behind `fd` again and returns a new descriptor, which the caller owns: read-only, with an
 * offset of its own at 0, close-on-exec. A dup(2) shares its offset with the original; this does not. `fd` stays open.
 *
 * It is no protection by itself: whoever holds it can open the file read-write through /proc again, as far as the
 * file's mode allows. Only seals protect.
 *
 * Returns the descriptor, or a negative errno: -EBADF, -EINVAL if it is not a regular file, -ENOENT where /proc is not
 * mounted, -EACCES if the file's mode forbids reading, and open(2)'s own.
 *
 * ```c
 * int fd = shm_wrap_buffer("hello", 5, NULL, NULL);
 * int other = bytefd_reopen(fd, NULL);
 * ```
 */
int bytefd_reopen(int fd,
                  struct bytefd_error *error);

/**
 * Writes the text "/proc/self/fd/N" for `fd` with its final NUL to `buf`, for code that takes only a path. 32 bytes
 * are always enough.
 *
 * The path names the descriptor for this process and as long as it is open; opening it gives a description with an
 * offset of its own. A child process finds it under the same path if it inherits the descriptor (BYTEFD_INHERIT). Code
 * that resolves the link first (SQLite does) or opens with O_NOFOLLOW finds nothing there. With a backend other than
 * memfd, give it to no code that resolves the link and opens the result: somebody else can make a file of that name.
 *
 * Returns 0, or a negative errno with `buf` untouched: -EBADF, -EINVAL if `buf` is NULL, -ERANGE if `len` is too small.
 *
 * ```c
 * char path[32];
 * int fd = shm_wrap_buffer("hello", 5, NULL, NULL);
 * if (fd >= 0 && bytefd_path(fd, path, sizeof path, NULL) == 0)
 *     puts(path);
 * ```
 */
int bytefd_path(int fd,
                char *buf,
                size_t len,
                struct bytefd_error *error);

/**
 * Lends a descriptor that holds `len` bytes from `buf` to the function `scan`, and closes it afterwards. The
 * descriptor is as shm_wrap_buffer makes it with these options: a new file for every call, so nothing of one scan can ever
 * show in another. With options->pool it is a file that is used again: faster, for what bytefd_pool says.
 *
 * The descriptor is closed exactly once, whatever the function does. If it closed the number itself, and the number
 * stands for another file by then, that is left alone. Any thread may call this at any time, also from within `scan`.
 *
 * Returns 0 when `scan` returned 0. When it returned anything else: -ECANCELED, with op "callback" and the value in the
 * message. When there is no descriptor to lend, `scan` is not called, and the answer is shm_wrap_buffer's (with a pool
 * there is no -EFAULT, see bytefd_pool); -EINVAL if `scan` is NULL.
 *
 * ```c
 * static int print_size(int fd, void *context)
 * {
 *     struct stat st;
 *     (void)context;
 *     if (fstat(fd, &st) < 0)
 *         return 1;
 *     printf("%lld bytes\n", (long long)st.st_size);
 *     return 0;
 * }
 *
 * int example(void)
 * {
 *     return scan_bytes("hello", 5, print_size, NULL, NULL, NULL);
 * }
 * ```
 */
int scan_bytes(const void *buf,
               size_t len,
               bytefd_scan_fn scan,
               void *context,
               const struct bytefd_wrap_options *options,
               struct bytefd_error *error);

/**
 * scan_bytes in two steps, for languages whose callbacks do not cross C well.
 *
 * Returns the descriptor, which stays the library's, and writes to `*scan` what bytefd_scan_end takes. On failure a
 * negative errno as scan_bytes, with `*scan` untouched; -EINVAL if `scan` is NULL.
 *
 * ```c
 * bytefd_scan *scan;
 * int fd = bytefd_scan_begin("hello", 5, NULL, &scan, NULL);
 * if (fd >= 0) {
 *     lseek(fd, 0, SEEK_END);
 *     bytefd_scan_end(scan);
 * }
 * ```
 */
int bytefd_scan_begin(const void *buf,
                      size_t len,
                      const struct bytefd_wrap_options *options,
                      struct bytefd_scan **scan,
                      struct bytefd_error *error);

/**
 * Ends the loan and frees `scan`: the descriptor is closed, unless the borrower has closed it already. NULL is fine.
 * Always returns 0.
 *
 * ```c
 * bytefd_scan_end(NULL);
 * ```
 */
int bytefd_scan_end(struct bytefd_scan *scan);

/**
 * Makes an empty pool that keeps at most `max_bytes` of memory in files that nobody uses at the moment, and writes it to `*pool`.
 * The caller ends it with bytefd_pool_destroy.
 *
 * Returns 0, or -EINVAL if `pool` is NULL.
 *
 * ```c
 * bytefd_pool *pool;
 * if (bytefd_pool_create(64 << 20, &pool, NULL) == 0)
 *     bytefd_pool_destroy(pool);
 * ```
 */
int bytefd_pool_create(size_t max_bytes,
                       struct bytefd_pool **pool,
                       struct bytefd_error *error);

/**
 * Frees the pool and the files it keeps. NULL is fine. Scans that were begun with it may end afterwards.
 *
 * ```c
 * bytefd_pool_destroy(NULL);
 * ```
 */
void bytefd_pool_destroy(struct bytefd_pool *pool);

/**
 * Drops kept files, the longest unused first, until at most `bytes` are kept; with 0 all of them, also empty ones. For the moment
 * in which memory or descriptors are short.
 *
 * Returns 0, or -EINVAL if `pool` is NULL.
 *
 * ```c
 * bytefd_pool *pool;
 * if (bytefd_pool_create(64 << 20, &pool, NULL) == 0) {
 *     bytefd_pool_trim(pool, 0, NULL);
 *     bytefd_pool_destroy(pool);
 * }
 * ```
 */
int bytefd_pool_trim(const struct bytefd_pool *pool,
                     size_t bytes,
                     struct bytefd_error *error);

/**
 * Writes what the pool has done so far, and what it holds, to `*counts`, whose `size` is set.
 *
 * Returns 0, or -EINVAL if `pool` or `counts` is NULL, or `size` is below that of the first version, 40.
 *
 * ```c
 * bytefd_pool *pool;
 * if (bytefd_pool_create(64 << 20, &pool, NULL) == 0) {
 *     bytefd_pool_counts counts = BYTEFD_POOL_COUNTS_INIT;
 *     bytefd_pool_stats(pool, &counts, NULL);
 *     printf("%llu bytes kept\n", (unsigned long long)counts.kept_bytes);
 *     bytefd_pool_destroy(pool);
 * }
 * ```
 */
int bytefd_pool_stats(const struct bytefd_pool *pool,
                      struct bytefd_pool_counts *counts,
                      struct bytefd_error *error);

/**
 * Maps the file at `path` and writes the map to `*map`; the caller ends it with bytefd_map_close. With BYTEFD_MAP_WRITE the
 * map keeps a descriptor of the file (bytefd_map_descriptor); otherwise none stays open. A file of 0 bytes gives a valid map of length 0. A FIFO, socket or device is refused without being opened, so
 * nothing blocks.
 *
 * The bytes are the file's: others who write to it change them, and when others make it shorter than the map, access to
 * the pages that are gone raises SIGBUS. BYTEFD_MAP_GUARD, bytefd_map_read and bytefd_map_write are the ways to live with that.
 *
 * Returns 0, or a negative errno with `*map` untouched. A file that was created is gone again, and one that was to grow
 * has its old size.
 * - -EINVAL: `path` or `map` is NULL, or options that are unknown or contradict each other.
 * - -E2BIG: the options have members that this version does not know.
 * - -ENXIO: the range is not all in the file, and BYTEFD_MAP_BEYOND_EOF is not given, or no length with it.
 * - -ENOENT, -EACCES, ...: open(2)'s own; -ENOENT also for a symbolic link to nothing. BYTEFD_MAP_WRITE needs permission to read and write.
 * - -EISDIR: a directory. -ENODEV: anything else that is not a regular file, or whose content cannot be mapped (/proc).
 * - -EFBIG, -ENOSPC: the file cannot be grown to `file_size`: RLIMIT_FSIZE, or no space. (No SIGXFSZ is raised.)
 * - -EPERM: the file is sealed against writing, or execution was asked for on a file system mounted noexec.
 * - -ENOMEM, -EMFILE, -ENFILE: no memory, address space or descriptors left.
 *
 * ```c
 * bytefd_map *map;
 * if (map_file("/etc/passwd", NULL, &map, NULL) == 0) {
 *     fwrite(bytefd_map_data(map), 1, bytefd_map_length(map), stdout);
 *     bytefd_map_close(map);
 * }
 * ```
 */
int map_file(const char *path,
             const struct bytefd_map_options *options,
             struct bytefd_map **map,
             struct bytefd_error *error);

/**
 * Maps the regular file behind `fd`, which stays the caller's and may be closed afterwards. Its offset does not matter and
 * does not move. BYTEFD_MAP_WRITE needs one that was opened read-write, the others one that can be read. Otherwise as
 * map_file; BYTEFD_MAP_CREATE and a mode are -EINVAL.
 *
 * Returns 0, or a negative errno with `*map` untouched: map_file's, and
 * - -EBADF: `fd` is not an open descriptor.
 * - -EACCES: it was not opened for what is asked. -EPERM: the file is sealed against it.
 *
 * ```c
 * int fd = shm_wrap_buffer("hello", 5, NULL, NULL);
 * bytefd_map *map;
 * if (bytefd_map_fd(fd, NULL, &map, NULL) == 0) {
 *     fwrite(bytefd_map_data(map), 1, bytefd_map_length(map), stdout);
 *     bytefd_map_close(map);
 * }
 * close(fd);
 * ```
 */
int bytefd_map_fd(int fd,
                  const struct bytefd_map_options *options,
                  struct bytefd_map **map,
                  struct bytefd_error *error);

/**
 * Maps `length` bytes of memory without a file, zeros at first, that can be written: what anonymous mappings and /dev/zero
 * give. With BYTEFD_MAP_PRIVATE it is private, as malloc's is. Otherwise it is shared, with a memory file behind it whose
 * descriptor (bytefd_map_descriptor) can be given to other processes, and that bytefd_map_seal makes a sealed one.
 *
 * With BYTEFD_MAP_POPULATE all of the memory is there before this returns, in huge pages where that pays; otherwise each page
 * comes when it is first touched. A `length` of 0 is an empty map, to be resized. Of the options only `access`, `reserve` and
 * the flags EXECUTE, POPULATE, LOCK, HUGE_PAGES, NO_RESERVE, GUARD, NO_FORK and WIPE_ON_FORK make sense, and the others must be 0.
 *
 * Returns 0, or a negative errno with `*map` untouched:
 * - -EINVAL: `map` is NULL, or options that are unknown, are for files, or contradict each other; with
 *   BYTEFD_MAP_HUGE_PAGES a `length` that is 0 or no multiple of the size of reserved huge pages.
 * - -E2BIG: the options have members that this version does not know.
 * - -ENOMEM: no memory, address space or reserved huge pages left. -EMFILE, -ENFILE: no descriptors.
 * - -EFBIG: `length` is above RLIMIT_FSIZE, which counts for shared memory. (No SIGXFSZ is raised.)
 * - memfd_create(2)'s own where it is refused.
 *
 * ```c
 * bytefd_map *map;
 * if (bytefd_map_memory(4096, NULL, &map, NULL) == 0) {
 *     strcpy(bytefd_map_data(map), "hello");
 *     bytefd_map_close(map);
 * }
 * ```
 */
int bytefd_map_memory(size_t length,
                      const struct bytefd_map_options *options,
                      struct bytefd_map **map,
                      struct bytefd_error *error);

/**
 * The first byte of the map, valid until bytefd_map_close or bytefd_map_resize. Not NULL, except for a NULL `map`; with a length of 0 it must
 * not be dereferenced. Stores need BYTEFD_MAP_WRITE or BYTEFD_MAP_PRIVATE; otherwise they raise SIGSEGV.
 *
 * ```c
 * bytefd_map *map;
 * if (map_file("/etc/passwd", NULL, &map, NULL) == 0) {
 *     const char *text = bytefd_map_data(map);
 *     putchar(text[0]);
 *     bytefd_map_close(map);
 * }
 * ```
 */
void *bytefd_map_data(const struct bytefd_map *map);

/**
 * Bytes in the map; 0 for a NULL `map`.
 *
 * ```c
 * size_t none = bytefd_map_length(NULL);
 * ```
 */
size_t bytefd_map_length(const struct bytefd_map *map);

/**
 * The descriptor of the file behind the map, read-write: with BYTEFD_MAP_WRITE, and for shared memory until it is sealed. It stays
 * the map's: valid until bytefd_map_close or bytefd_map_seal, and not to be closed; dup(2) gives one to keep. Given to another
 * process, by inheritance or through a socket, it gives that process the memory. Close-on-exec.
 *
 * Returns it, or a negative errno: -EINVAL if `map` is NULL, -EBADF if the map keeps none.
 *
 * ```c
 * bytefd_map *map;
 * if (bytefd_map_memory(4096, NULL, &map, NULL) == 0) {
 *     int fd = bytefd_map_descriptor(map, NULL);
 *     write(fd, "hello", 5);
 *     puts(bytefd_map_data(map));
 *     bytefd_map_close(map);
 * }
 * ```
 */
int bytefd_map_descriptor(const struct bytefd_map *map,
                          struct bytefd_error *error);

/**
 * Unmaps and frees `map`. NULL is fine. Does not flush: the kernel writes shared changes back in its time.
 *
 * Returns 0, or munmap(2)'s negative errno; `map` is gone either way.
 *
 * ```c
 * bytefd_map_close(NULL);
 * ```
 */
int bytefd_map_close(struct bytefd_map *map);

/**
 * Writes changed bytes back to the file, msync(2): any range of bytes of the map, not only whole pages. A `length` of 0
 * is from `offset` to the end of the map. `how` is BYTEFD_FLUSH_SYNC or BYTEFD_FLUSH_ASYNC, and BYTEFD_FLUSH_INVALIDATE.
 *
 * Returns 0, or a negative errno: -EINVAL if `map` is NULL, `how` is unknown, the range is not all in the map, or the
 * map is private, whose stores never reach the file; -EIO if writing failed, or a guarded map has lost pages.
 *
 * ```c
 * bytefd_map_options options = BYTEFD_MAP_OPTIONS_INIT;
 * bytefd_map *map;
 * options.access = BYTEFD_MAP_WRITE;
 * if (map_file("table", &options, &map, NULL) == 0) {
 *     memset(bytefd_map_data(map), 0, bytefd_map_length(map));
 *     bytefd_map_flush(map, 0, 0, BYTEFD_FLUSH_SYNC, NULL);
 *     bytefd_map_close(map);
 * }
 * ```
 */
int bytefd_map_flush(const struct bytefd_map *map,
                     size_t offset,
                     size_t length,
                     uint32_t how,
                     struct bytefd_error *error);

/**
 * Tells the kernel how the pages of a range will be used, madvise(2). `advice` is BYTEFD_ADVICE_NORMAL or one of those after
 * it. A `length` of 0 is from `offset` to the end of the map.
 *
 * Returns 0, or a negative errno:
 * - -EINVAL: `map` is NULL, there is no such advice, the range is not all in the map, the advice would lose content and
 *   BYTEFD_ADVICE_LOSE_DATA is not given, or the kernel does not do this with this kind of memory.
 * - -EOPNOTSUPP: this kernel does not know the advice.
 * - madvise(2)'s own.
 *
 * ```c
 * bytefd_map *map;
 * if (map_file("/etc/passwd", NULL, &map, NULL) == 0) {
 *     bytefd_map_advise(map, 0, 0, BYTEFD_ADVICE_SEQUENTIAL, NULL);
 *     bytefd_map_close(map);
 * }
 * ```
 */
int bytefd_map_advise(const struct bytefd_map *map,
                      size_t offset,
                      size_t length,
                      uint32_t advice,
                      struct bytefd_error *error);

/**
 * Keeps the pages of a range in memory, mlock(2). Locks do not add up. A `length` of 0 is from `offset` to the end of the map.
 *
 * Returns 0, or a negative errno: -EINVAL if `map` is NULL or the range is not all in the map; -ENOMEM or -EPERM where
 * RLIMIT_MEMLOCK does not allow it, -ENOMEM where pages are past the end of the file.
 *
 * ```c
 * bytefd_map *map;
 * if (bytefd_map_memory(4096, NULL, &map, NULL) == 0) {
 *     if (bytefd_map_lock(map, 0, 64, NULL) == 0)
 *         strcpy(bytefd_map_data(map), "a secret");
 *     bytefd_map_close(map);
 * }
 * ```
 */
int bytefd_map_lock(const struct bytefd_map *map,
                    size_t offset,
                    size_t length,
                    struct bytefd_error *error);

/**
 * Undoes bytefd_map_lock for the pages of a range, munlock(2). A `length` of 0 is from `offset` to the end of the map.
 *
 * Returns 0, or a negative errno: -EINVAL if `map` is NULL or the range is not all in the map.
 *
 * ```c
 * bytefd_map_options options = BYTEFD_MAP_OPTIONS_INIT;
 * bytefd_map *map;
 * options.flags = BYTEFD_MAP_LOCK;
 * if (map_file("/etc/passwd", &options, &map, NULL) == 0) {
 *     bytefd_map_unlock(map, 0, 0, NULL);
 *     bytefd_map_close(map);
 * }
 * ```
 */
int bytefd_map_unlock(const struct bytefd_map *map,
                      size_t offset,
                      size_t length,
                      struct bytefd_error *error);

/**
 * Allows or forbids access to the pages that hold bytes of a range, mprotect(2). A `length` of 0 is from `offset` to the end of
 * the map.
 *
 * Returns 0, or a negative errno: -EINVAL if `map` is NULL, there is no such protection, or the range is not all in the map;
 * -EACCES for what the map was not made for; mprotect(2)'s own.
 *
 * ```c
 * bytefd_map *map;
 * if (bytefd_map_memory(4096, NULL, &map, NULL) == 0) {
 *     strcpy(bytefd_map_data(map), "constant from now on");
 *     bytefd_map_protect(map, 0, 0, BYTEFD_PROTECTION_READ, NULL);
 *     bytefd_map_close(map);
 * }
 * ```
 */
int bytefd_map_protect(const struct bytefd_map *map,
                       size_t offset,
                       size_t length,
                       uint32_t protection,
                       struct bytefd_error *error);

/**
 * Reads the pages of a range in before it returns, so that reading them later waits for nothing. A `length` of 0 is from
 * `offset` to the end of the map.
 *
 * Returns 0, or a negative errno: -EINVAL if `map` is NULL or the range is not all in the map; -EIO if bytes do not exist any
 * more or cannot be read.
 *
 * ```c
 * bytefd_map *map;
 * if (map_file("/etc/passwd", NULL, &map, NULL) == 0) {
 *     bytefd_map_prefetch(map, 0, 100, NULL);
 *     bytefd_map_close(map);
 * }
 * ```
 */
int bytefd_map_prefetch(const struct bytefd_map *map,
                        size_t offset,
                        size_t length,
                        struct bytefd_error *error);

/**
 * Lets the pages go of which all bytes are in a range, munmap(2). A `length` of 0 is from `offset` to the end of the map.
 * Access there raises SIGSEGV from now on, other memory of the process may come to lie there, and operations on those bytes
 * are -EINVAL. The map keeps its length, but cannot be resized or sealed any more. No other thread may use the map during the
 * call.
 *
 * Returns 0, or a negative errno: -EINVAL if `map` is NULL or the range is not all in the map; munmap(2)'s own.
 *
 * ```c
 * bytefd_map *map;
 * if (bytefd_map_memory(1 << 20, NULL, &map, NULL) == 0) {
 *     bytefd_map_unmap(map, 1 << 19, 0, NULL);
 *     strcpy(bytefd_map_data(map), "the first half is still there");
 *     bytefd_map_close(map);
 * }
 * ```
 */
int bytefd_map_unmap(struct bytefd_map *map,
                     size_t offset,
                     size_t length,
                     struct bytefd_error *error);

/**
 * Copies `length` bytes of the map, from `offset` on, to `buf`, and writes to `*copied` how many: all, or those that exist up to
 * a page that is lost because somebody made the file shorter or the storage failed, also one that a guard has replaced. Never a
 * signal, whether the map is guarded or not, and whatever the program has done about SIGBUS before: the kernel copies,
 * process_vm_readv(2); or a guarded map is copied under its handler, for many bytes nearly as fast as memcpy (x86-64).
 *
 * Returns 0, or a negative errno with `*copied` untouched:
 * - -EIO: not even the first byte exists any more. (So a loop over what is left ends with this.)
 * - -EMFILE, -ENFILE: the kernel forbids process_vm_readv, and there are no descriptors for a pipe instead.
 * - -EINVAL: `map` or `copied` is NULL, or `buf` is and `length` is not 0; the range is not all in the map.
 * - -EFAULT: `buf` cannot be written; part of it may be. With a guarded map that is a SIGSEGV, as for any other store.
 *
 * ```c
 * bytefd_map *map;
 * char line[80];
 * size_t copied;
 * if (map_file("/etc/passwd", NULL, &map, NULL) == 0) {
 *     if (bytefd_map_read(map, 0, line, sizeof line, &copied, NULL) == 0)
 *         fwrite(line, 1, copied, stdout);
 *     bytefd_map_close(map);
 * }
 * ```
 */
int bytefd_map_read(const struct bytefd_map *map,
                    size_t offset,
                    void *buf,
                    size_t length,
                    size_t *copied,
                    struct bytefd_error *error);

/**
 * Copies `length` bytes at `buf` into the map from `offset` on, and writes to `*copied` how many: all, or those before a page that
 * is lost or finds no room on the storage. Never a signal, as bytefd_map_read.
 *
 * Returns 0, or a negative errno with `*copied` untouched:
 * - -EIO: not even the first byte can be stored.
 * - -EMFILE, -ENFILE: as bytefd_map_read.
 * - -EINVAL: `map` or `copied` is NULL, or `buf` is and `length` is not 0; the range is not all in the map.
 * - -EACCES: the map is for reading only.
 * - -EFAULT: `buf` cannot be read; part of it may have been copied. With a guarded map that is a SIGSEGV, as for any other load.
 *
 * ```c
 * bytefd_map *map;
 * size_t copied;
 * if (bytefd_map_memory(4096, NULL, &map, NULL) == 0) {
 *     bytefd_map_write(map, 0, "hello", 5, &copied, NULL);
 *     bytefd_map_close(map);
 * }
 * ```
 */
int bytefd_map_write(const struct bytefd_map *map,
                     size_t offset,
                     const void *buf,
                     size_t length,
                     size_t *copied,
                     struct bytefd_error *error);

/**
 * Whether all pages of a guarded map are what they were. Always so without BYTEFD_MAP_GUARD.
 *
 * Returns 0; -EIO from the moment on in which a lost page was replaced by zeros; -EINVAL if `map` is NULL.
 *
 * ```c
 * bytefd_map_options options = BYTEFD_MAP_OPTIONS_INIT;
 * bytefd_map *map;
 * options.flags = BYTEFD_MAP_GUARD;
 * if (map_file("/etc/passwd", &options, &map, NULL) == 0) {
 *     const char *text = bytefd_map_data(map);
 *     size_t lines = 0;
 *     for (size_t i = 0; i < bytefd_map_length(map); i++)
 *         lines += text[i] == '\n';
 *     if (bytefd_map_check(map, NULL) != 0)
 *         fprintf(stderr, "somebody made the file shorter meanwhile\n");
 *     bytefd_map_close(map);
 * }
 * ```
 */
int bytefd_map_check(const struct bytefd_map *map,
                     struct bytefd_error *error);

/**
 * Makes the map, and what is behind it, `length` bytes long.
 *
 * Growing: the file grows too, unless it goes on behind the map, and its space is reserved as for `file_size`. What is new reads
 * zero, whatever was stored behind the old end before. Shrinking: the file is cut off at the new end, unless it goes on behind
 * the map; other processes and other maps find SIGBUS there.
 *
 * The map stays where it is as long as its length has never been above the `reserve` of its options. Otherwise it may move: what
 * bytefd_map_data gave before is invalid. No other thread may use the map during the call.
 *
 * Returns 0, or a negative errno with nothing changed:
 * - -EINVAL: `map` is NULL, is not for writing (BYTEFD_MAP_WRITE, or memory), was sealed, or parts of it were unmapped; or
 *   `length` is more than a map or file can have, or not whole reserved huge pages.
 * - -EFBIG, -ENOSPC: the file cannot grow. -EPERM: it is sealed against it.
 * - -EIO: a guarded map has lost pages, and is to grow.
 * - -ENOMEM: no memory or address space left, or (also -EAGAIN) more than RLIMIT_MEMLOCK, for a locked map.
 * - -EFAULT: the map must move, and parts of it have another protection or treatment than the rest.
 *
 * ```c
 * bytefd_map *map;
 * if (bytefd_map_memory(0, NULL, &map, NULL) == 0) {
 *     if (bytefd_map_resize(map, 10000, NULL) == 0)
 *         strcpy(bytefd_map_data(map), "hello");
 *     bytefd_map_close(map);
 * }
 * ```
 */
int bytefd_map_resize(struct bytefd_map *map,
                      size_t length,
                      struct bytefd_error *error);

/**
 * Turns shared memory (bytefd_map_memory) into a sealed descriptor as shm_wrap_buffer gives, without copying: exactly the
 * map's length, offset 0, mode 0400 (0500 with BYTEFD_MAP_EXECUTE), close-on-exec, for the caller to close. The map stays, at
 * the same address and for reading only; its bytes can never change any more. What parts were protected against
 * (bytefd_map_protect) ends, also on failure. No other thread may use the map during the
 * call, but for reading its bytes.
 *
 * Returns the descriptor, or a negative errno with the map as it was:
 * - -EINVAL: `map` is NULL, is not shared memory, is sealed already, or parts of it were unmapped.
 * - -EBUSY: somebody else, who was given the descriptor, or a child that was forked with the map, has it mapped for writing.
 * - -EPERM: somebody has sealed it against sealing; or (also -EACCES) it was made by another user, who this process was.
 * - -EIO: somebody who has it made it shorter. (If during this call, the map is for reading only from then on.)
 * - -ENOMEM, -EMFILE, -ENFILE: no memory or descriptors left.
 *
 * ```c
 * bytefd_map *map;
 * if (bytefd_map_memory(5, NULL, &map, NULL) == 0) {
 *     memcpy(bytefd_map_data(map), "hello", 5);
 *     int fd = bytefd_map_seal(map, NULL);
 *     bytefd_map_close(map);
 *     if (fd >= 0)
 *         close(fd);
 * }
 * ```
 */
int bytefd_map_seal(struct bytefd_map *map,
                    struct bytefd_error *error);

/**
 * Makes the buffer at `address` its own file: copies its `length` bytes into a new memory file, puts the file in the
 * buffer's place, and returns the file's descriptor, which the caller owns and closes. From then on both are the same
 * memory: stores into the buffer are seen through the descriptor, and the other way round.
 *
 * The buffer is whole pages that the caller has mapped, mmap(2) with PROT_READ | PROT_WRITE and MAP_PRIVATE |
 * MAP_ANONYMOUS: any part of a mapping, or several that adjoin. It stays the caller's, at the same address, until
 * munmap(2), and the library keeps nothing of it: descriptor and buffer live on without each other.
 *
 * The file is a memfd of exactly `length` bytes, read-write, offset 0, mode 0600, close-on-exec. Seals can be added;
 * at first it has none but that against execution, where the kernel has one (Linux 6.3). Whoever can make the file
 * shorter makes access to the buffer a SIGBUS, so add F_SEAL_SHRINK before giving it away. F_SEAL_WRITE is EBUSY for
 * as long as the buffer is mapped; F_SEAL_FUTURE_WRITE (Linux 5.1) leaves the buffer as the one way to change the
 * file.
 *
 * The replacement is one step: other threads may read the buffer all the time. The rest is the caller's part:
 * - Nobody maps, unmaps or protects a part of the range during the call.
 * - Nobody stores into it during the call: what is stored where the copy has been is lost. That includes the kernel: a
 *   read into the buffer that is under way (io_uring, O_DIRECT), or a buffer registered for later ones, fills the old
 *   memory. Nobody waits in it on a futex that is shared between processes.
 * - It is no memory of malloc's, unless it is never freed: malloc would give it to somebody else, whose bytes the file
 *   then shows. Some allocators also take memory for zeros after MADV_DONTNEED, which a file's is not.
 *
 * Children that are forked later share the buffer instead of having a copy; those that were forked before keep theirs.
 * What was set for the old memory is gone: mlock (lock it again), madvise (also MADV_DONTFORK and MADV_WIPEONFORK),
 * mbind, protection keys, userfaultfd, names. All of the buffer takes memory from then on, and twice as much during
 * the call. Large buffers get huge pages as shm_wrap_buffer's files do, whatever they had before.
 *
 * Returns the descriptor, or a negative errno, with the buffer as it was and nothing left behind:
 * - -EINVAL: `address` is NULL, `address` or `length` is not a multiple of the page size, `length` is 0, or the range
 *   ends past the last address.
 * - -ENOMEM: the range is not all mapped; or there is no memory left, or no mapping (vm.max_map_count).
 * - -EACCES: a part of it is not readable and writable, or is executable.
 * - -EOPNOTSUPP: a part of it is something else than private anonymous memory of the caller: a mapping of a file,
 *   shared memory, memory in hugetlb pages, what the kernel maps into every process, the heap (`[heap]`), memory that
 *   the C library or Go says is its own ("[anon: glibc: ...]", "[anon: Go: ...]"), or a stack.
 * - -ENOENT: /proc is not mounted. The range is looked up in /proc/self/maps.
 * - -EFBIG: `length` is above RLIMIT_FSIZE. (No SIGXFSZ is raised.)
 * - -EMFILE, -ENFILE: no descriptors left.
 * - memfd_create(2)'s own where it is refused; mmap(2)'s own: -EPERM for memory that is sealed, mseal(2), and -EAGAIN
 *   beyond RLIMIT_MEMLOCK after mlockall(2).
 *
 * Stacks are found as far as that can be: all of this thread's and of the first one's, and all of those that glibc gave
 * a thread. Of any other (a thread's of another C library, one that a program switches to) the page that is in use, by
 * this thread or one that waits in the kernel.
 *
 * ```c
 * size_t length = 1 << 20;
 * int protection = PROT_READ | PROT_WRITE;
 * char *buffer = mmap(NULL, length, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
 * if (buffer != MAP_FAILED) {
 *     int fd = bytefd_adopt(buffer, length, NULL);
 *     if (fd >= 0)
 *         fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
 *     strcpy(buffer, "seen by whoever is given the descriptor");
 * }
 * ```
 */
int bytefd_adopt(void *address,
                 size_t length,
                 struct bytefd_error *error);

/**
 * Reads what is behind a descriptor – a pipe, stream socket, file, terminal – from where it is to its end, into a descriptor as shm_wrap_buffer
 * gives. The bytes go where they stay, and are never held twice. Blocks until the end has come: interrupted reads go on, and a
 * descriptor that does not block (EAGAIN) is waited for. `fd` stays the caller's.
 *
 * Returns the descriptor, or a negative errno with nothing kept; what was read is gone from a pipe or socket.
 * - -EFBIG: more than `most` bytes, or than RLIMIT_FSIZE. -ENOSPC, -ENOMEM, -EMFILE, -ENFILE: no room, memory or descriptors left.
 * - -EAGAIN: a time limit of the socket (SO_RCVTIMEO) has passed. -EPROTOTYPE: a socket of datagrams or packets.
 * - -EBADF: `fd` is not open, or not for reading; -EISDIR; read(2)'s own. -EINVAL, -E2BIG: options that are unknown.
 *
 * ```c
 * int fd = bytefd_wrap_stream(STDIN_FILENO, NULL, NULL);
 * if (fd >= 0)
 *     close(fd);
 * ```
 */
int bytefd_wrap_stream(int fd,
                       const struct bytefd_stream_options *options,
                       struct bytefd_error *error);

/**
 * Whether a descriptor is what is asked for. What is sealed stays so; without F_SEAL_SHRINK the length, and the owner in any case,
 * can be another the moment after. NULL is BYTEFD_REQUIREMENTS_INIT.
 *
 * Returns 0, or a negative errno:
 * - -EISDIR: a directory. -ENODEV: anything else that is not a regular file.
 * - -EPERM: seals are missing, or the file cannot have any.
 * - -ENXIO: it is shorter than asked.
 * - -EACCES: it belongs to another user, or was not opened for reading.
 * - -EBADF: `fd` is not an open descriptor. -EINVAL, -E2BIG: requirements that are unknown or contradict each other.
 *
 * ```c
 * int fd = shm_wrap_buffer("hello", 5, NULL, NULL);
 * if (bytefd_verify(fd, NULL, NULL) == 0)
 *     puts("nobody can change it");
 * ```
 */
int bytefd_verify(int fd,
                  const struct bytefd_requirements *requirements,
                  struct bytefd_error *error);

/**
 * Sends a message of `length` bytes and `count` descriptors over a Unix socket, unix(7): a stream, datagrams or sequenced packets. The
 * receiver gets descriptors of the same descriptions (SCM_RIGHTS); those here stay the caller's. Nothing is added to the bytes, so the
 * other end can be anybody's code. No SIGPIPE is raised.
 *
 * On a stream the message goes out whole, in parts if need be: interrupted and short transfers go on, also on a socket that does not
 * block, once something was sent. More than 253 descriptors are sent in parts too, each with one byte at least.
 *
 * Returns 0, or a negative errno. On a stream part of the message may have gone out then.
 * - -EINVAL: `message` is NULL and `length` not 0, or `fds` is and `count` not 0; on a stream no bytes, or fewer than parts.
 * - -E2BIG: more than 253 descriptors in one datagram or packet. -EMSGSIZE: it is too long.
 * - -EBADF: one of the descriptors is not open. -ENOTSOCK, -EPROTOTYPE: `socket` is no socket, or none of the Unix family.
 * - -EPIPE, -ECONNRESET, for datagrams -ECONNREFUSED: nobody receives any more.
 * - -EAGAIN: the socket does not block and takes nothing now, or its time limit (SO_SNDTIMEO) has passed.
 * - -ETOOMANYREFS: too many descriptors are in flight; sendmsg(2)'s own.
 *
 * ```c
 * int pair[2];
 * int fd = shm_wrap_buffer("hello", 5, NULL, NULL);
 * if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0)
 *     bytefd_send(pair[0], "!", 1, &fd, 1, NULL);
 * ```
 */
int bytefd_send(int socket,
                const void *message,
                size_t length,
                const int *fds,
                size_t count,
                struct bytefd_error *error);

/**
 * Receives a message with exactly `count` descriptors, writes its bytes to `message`, how many there are to `*received`, and the
 * descriptors to `fds`: the caller's, and close-on-exec from the start. With `requirements` each of them is looked at as by bytefd_verify,
 * and all are refused if one is not what is asked for; NULL asks for nothing.
 *
 * On a stream the message is `length` bytes long, and is waited for: interrupted and short transfers go on, also on a socket that does
 * not block, once something has arrived. Datagrams and packets may be shorter.
 *
 * Returns 0, or a negative errno; `*received` and `fds` are untouched then, and the descriptors that came are closed. (`message` may
 * have been written to.)
 * - -EBADMSG: another number of descriptors has come.
 * - -EMSGSIZE: the datagram or packet is longer than `length`.
 * - -EMFILE: the kernel could not deliver all descriptors: RLIMIT_NOFILE, or a security module forbids it.
 * - -ENODATA: the other end was closed, and no byte of a message has come (an empty packet of one who has gone looks the
 *   same). -ECONNRESET: it was closed within a message, or before it had read all that was sent to it.
 * - -EAGAIN: the socket does not block and has nothing now, or its time limit (SO_RCVTIMEO) has passed.
 * - bytefd_verify's own, for a descriptor that is not what is asked for.
 * - -EINVAL: `message`, `received` or `fds` is NULL where it must not be, or `length` is 0 on a stream. -ENOTSOCK, -EPROTOTYPE: `socket` is
 *   no socket, or none of the Unix family; recvmsg(2)'s own.
 *
 * ```c
 * char message[1];
 * size_t received;
 * int fd;
 * bytefd_requirements requirements = BYTEFD_REQUIREMENTS_INIT;
 * if (bytefd_receive(STDIN_FILENO, message, 1, &received, &fd, 1, &requirements, NULL) == 0)
 *     close(fd);
 * ```
 */
int bytefd_receive(int socket,
                   void *message,
                   size_t length,
                   size_t *received,
                   int *fds,
                   size_t count,
                   const struct bytefd_requirements *requirements,
                   struct bytefd_error *error);

/**
 * Writes to `*peer` who called connect(2), listen(2) or socketpair(2) for the other end of a socket: SO_PEERCRED, unix(7). Nobody can
 * pretend. Who has the other end now may be somebody else, because sockets are inherited and sent.
 *
 * Returns 0, or a negative errno with `*peer` untouched: -EINVAL if `peer` is NULL; -ENOTCONN: not connected, or one
 * for datagrams that socketpair(2) has not made; -EBADF, -ENOTSOCK, -EPROTOTYPE.
 *
 * ```c
 * int pair[2];
 * bytefd_credentials peer;
 * if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && bytefd_peer(pair[0], &peer, NULL) == 0)
 *     printf("%d is %d\n", peer.process, (int)getpid());
 * ```
 */
int bytefd_peer(int socket,
                struct bytefd_credentials *peer,
                struct bytefd_error *error);

/**
 * Opens or makes memory with a name, shm_overview(7), for all processes that know the name and may. bytefd_map_fd maps it. Opening
 * changes neither length nor mode nor content. Making it takes no moment in which others could see it without its length.
 *
 * A slash before the name is added if there is none. If `full_name` is not NULL the whole name is written there, with its slash and a final
 * NUL; BYTEFD_SHM_NAME_SIZE bytes are always enough, and fewer are refused.
 *
 * Returns a descriptor, the caller's, close-on-exec, or a negative errno with `full_name` untouched and nothing made:
 * - -EEXIST, -ENOENT: there is one already, or none; -ENOENT also where there is no /dev/shm, or for making no /proc.
 * - -EINVAL: `name` is NULL, empty, "." or "..", not UTF-8, or has a slash that is not its first byte; options that are unknown
 *   or contradict each other. -ENAMETOOLONG: more than 255 bytes, with its owner. -E2BIG: options with members that this version
 *   does not know.
 * - -ENXIO: it has fewer bytes than asked. -ENODEV, -ELOOP: what has the name is no regular file, or a symbolic link.
 * - -ENOSPC, -EFBIG: no room for it, or RLIMIT_FSIZE. (No SIGXFSZ is raised.)
 * - -ERANGE: `room` is below BYTEFD_SHM_NAME_SIZE.
 * - -EACCES, -EMFILE: open(2)'s own.
 *
 * ```c
 * int fd = bytefd_shm_open("table", NULL, NULL, 0, NULL);
 * bytefd_map *map;
 * if (fd >= 0 && bytefd_map_fd(fd, NULL, &map, NULL) == 0)
 *     bytefd_map_close(map);
 * ```
 */
int bytefd_shm_open(const char *name,
                    const struct bytefd_shm_options *options,
                    char *full_name,
                    size_t room,
                    struct bytefd_error *error);

/**
 * Removes a name. The memory lives for as long as somebody has it open or mapped.
 *
 * Returns 0, or a negative errno: -ENOENT; -EINVAL, -ENAMETOOLONG: as bytefd_shm_open; -EACCES, -EPERM: unlink(2)'s own.
 *
 * ```c
 * bytefd_shm_unlink("table", NULL);
 * ```
 */
int bytefd_shm_unlink(const char *name,
                      struct bytefd_error *error);

/**
 * Removes what killed processes of this user have left: named memory with BYTEFD_SHM_OWNER, bytefd_link's files, System V segments
 * with BYTEFD_SYSV_OWNER that nobody has attached, and the names that files of BYTEFD_BACKEND_SHM have for a moment. Touches nothing else:
 * not what has no owner, belongs to a process of another container (pid_namespaces(7)) or to another user, or whose owner may be
 * alive. (A segment has room for 22 bits that say so: one of 4194304 that other programs of this user have left behind looks like it.)
 *
 * Returns how many were removed, or a negative errno: -ENOENT where /proc is not mounted, or is that of another
 * container, because nobody can be known to be gone then.
 *
 * ```c
 * bytefd_shm_sweep(NULL);
 * ```
 */
int bytefd_shm_sweep(struct bytefd_error *error);

/**
 * Puts bytes into a real file of mode 0600, whose name ends with `suffix` (NULL for none), alone in a directory of mode 0700 that nobody else
 * can enter: on the tmpfs at /dev/shm, or in /tmp where there is none. For code that resolves links (SQLite) or looks at the end of a
 * name (clamscan -d x.ndb). Writes a handle to `*file`; the caller ends it, and the file, with bytefd_link_release.
 *
 * Such a file cannot be sealed: whoever runs as the same user can change it. Code that can take a descriptor, or its path in /proc, should
 * be given that instead. A process that is killed leaves the file behind; bytefd_shm_sweep removes it then.
 *
 * Returns 0, or a negative errno with `*file` untouched and nothing left:
 * - -EINVAL: `buf` is NULL and `len` not 0, `file` is NULL, or the suffix has a slash or is not UTF-8. -ENAMETOOLONG: it has more
 *   than 200 bytes.
 * - -ENOSPC, -EFBIG: no room, or RLIMIT_FSIZE. -ENOENT: /proc is not mounted, or is that of another container. mkdir(2)'s and
 *   open(2)'s own.
 *
 * ```c
 * bytefd_linked_file *file;
 * if (bytefd_link("hello", 5, ".txt", &file, NULL) == 0) {
 *     puts(bytefd_link_path(file));
 *     bytefd_link_release(file);
 * }
 * ```
 */
int bytefd_link(const void *buf,
                size_t len,
                const char *suffix,
                struct bytefd_linked_file **file,
                struct bytefd_error *error);

/**
 * Where the file is: an absolute path without symbolic links, valid until bytefd_link_release. NULL for a NULL `file`.
 *
 * ```c
 * const char *nowhere = bytefd_link_path(NULL);
 * ```
 */
const char *bytefd_link_path(const struct bytefd_linked_file *file);

/**
 * Removes the file with its directory and whatever the client has put beside it, and frees `file`. NULL is fine. Always 0.
 * In a child made by fork(2) too it is the parent's file that is removed.
 *
 * ```c
 * bytefd_link_release(NULL);
 * ```
 */
int bytefd_link_release(struct bytefd_linked_file *file);

/**
 * Makes or attaches a System V segment, sysvipc(7), as a map, for programs that still speak it; the map has as many bytes as the segment.
 * `key` is a key of ftok(3) or the like, or with BYTEFD_SYSV_ATTACH a number. bytefd_map_close detaches it; it stays until
 * bytefd_sysv_remove, also when all processes are gone (BYTEFD_SYSV_OWNER aside). If `number` is not NULL the segment's number is written
 * there. Such a map has no descriptor; shm_wrap_buffer copies its bytes into one.
 *
 * Returns 0, or a negative errno with `*map` and `*number` untouched:
 * - -EINVAL: `map` is NULL; options that are unknown; a new segment without length, or above /proc/sys/kernel/shmmax; no such number;
 *   0, which is no key, with BYTEFD_SYSV_OPEN; any other key with BYTEFD_SYSV_OWNER.
 * - -EEXIST, -ENOENT: there is one with this key already, or none. -ENXIO: it has fewer bytes than asked.
 * - -EACCES: its mode does not allow it. -EIDRM: it is being removed. -ENOSPC: too many segments. -ENOMEM. -ENOSYS: the kernel has none.
 * - -ENOENT, -EMFILE with BYTEFD_SYSV_OWNER: /proc is not mounted, is that of another container, or cannot be read.
 *
 * ```c
 * bytefd_sysv_options options = BYTEFD_SYSV_OPTIONS_INIT;
 * bytefd_map *map;
 * int number;
 * options.how = BYTEFD_SYSV_CREATE;
 * options.access = BYTEFD_MAP_WRITE;
 * options.length = 4096;
 * if (bytefd_map_sysv(0, &options, &map, &number, NULL) == 0) {
 *     bytefd_sysv_remove(number, NULL);
 *     strcpy(bytefd_map_data(map), "goes with the last who has it");
 *     bytefd_map_close(map);
 * }
 * ```
 */
int bytefd_map_sysv(int key,
                    const struct bytefd_sysv_options *options,
                    struct bytefd_map **map,
                    int *number,
                    struct bytefd_error *error);

/**
 * Marks a segment for removal: it goes when the last process has detached it, and nobody finds it by its key any more.
 *
 * Returns 0, or a negative errno: -EINVAL: there is none of that number; -EPERM: it is somebody else's.
 *
 * ```c
 * bytefd_sysv_remove(-1, NULL);
 * ```
 */
int bytefd_sysv_remove(int number,
                       struct bytefd_error *error);

/**
 * Makes a dma-buf, which drivers of graphics cards, cameras and the like take, of all pages of a memory file: /dev/udmabuf, Linux 4.20.
 * Both show the same memory, and the dma-buf lives on without `fd`, which stays the caller's. `fd` must be a memfd of whole pages, sealed
 * against shrinking (F_SEAL_SHRINK) and not against writing, because devices write.
 *
 * Returns the descriptor of the dma-buf, the caller's, close-on-exec, or a negative errno:
 * - -ENODEV: this kernel has no such driver, or it is not loaded. -EACCES: this user may not open it.
 * - -EINVAL: not a memfd, not whole pages or none, not sealed against shrinking, or sealed against writing; or more than the driver
 *   allows (its parameter size_limit_mb).
 * - -EBADF, -EMFILE, -ENFILE; the driver's own.
 *
 * ```c
 * bytefd_map *map;
 * if (bytefd_map_memory(4096, NULL, &map, NULL) == 0) {
 *     int fd = bytefd_map_descriptor(map, NULL);
 *     fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK);
 *     int buffer = bytefd_export_dmabuf(fd, NULL);
 *     if (buffer >= 0)
 *         close(buffer);
 *     bytefd_map_close(map);
 * }
 * ```
 */
int bytefd_export_dmabuf(int fd,
                         struct bytefd_error *error);

/**
 * Locks bytes of a file, any range, also past its end, and waits until nobody else has a lock that excludes it. A `length` of 0 is to the
 * end, wherever that is. `how` is BYTEFD_LOCK_SHARED or BYTEFD_LOCK_EXCLUSIVE, and BYTEFD_LOCK_TRY. A lock of the same description
 * on these bytes is replaced.
 *
 * The lock is advisory: it keeps out who asks for one too, in any process, and says nothing to who just reads or writes. It belongs to the
 * open file description (F_OFD_SETLKW, fcntl(2), Linux 3.15): all duplicates of the descriptor have it, also in other processes, and
 * it ends with bytefd_unlock or when the last of them is closed, so also when the last holder is killed. Two descriptions exclude each other
 * even in one process; threads that share one do not. Who was sent a descriptor, or has inherited it, needs one of its own, by open(2)
 * of its path in /proc, to be excluded.
 *
 * Returns 0, or a negative errno: -EAGAIN: somebody else has a lock that excludes it; -EINVAL: unknown `how`, or more bytes than a file
 * can have; -EBADF: not open, or not for what the lock needs; -ENOLCK: too many locks. Two that wait for each other wait for ever.
 *
 * ```c
 * bytefd_map *map;
 * if (bytefd_map_memory(4096, NULL, &map, NULL) == 0) {
 *     int fd = bytefd_map_descriptor(map, NULL);
 *     if (bytefd_lock(fd, 0, 64, BYTEFD_LOCK_EXCLUSIVE, NULL) == 0)
 *         bytefd_unlock(fd, 0, 64, NULL);
 *     bytefd_map_close(map);
 * }
 * ```
 */
int bytefd_lock(int fd,
                uint64_t offset,
                uint64_t length,
                uint32_t how,
                struct bytefd_error *error);

/**
 * Ends the locks of this description on these bytes. A `length` of 0 is to the end, wherever that is.
 *
 * Returns 0, or a negative errno: -EINVAL: more bytes than a file can have; -EBADF.
 *
 * ```c
 * bytefd_unlock(STDIN_FILENO, 0, 0, NULL);
 * ```
 */
int bytefd_unlock(int fd,
                  uint64_t offset,
                  uint64_t length,
                  struct bytefd_error *error);

/**
 * Waits until a word in shared memory has another value than `value`, or somebody calls bytefd_wake on it: futex(2). Returns at once if it
 * has another value already. May return without a reason; look at the word, and wait again.
 *
 * The word, 4 bytes at a multiple of 4, lies in a map that all processes share (at whatever address), or in memory of this process, and
 * is changed by atomic operations. Who changes it must call bytefd_wake afterwards. One who is killed in between wakes nobody: wait with
 * a time limit, or for a lock (bytefd_lock), which the kernel ends with its holder. `nanoseconds` below 0 is for ever.
 *
 * Returns 0, or a negative errno: -ETIMEDOUT: the time has passed; -EINVAL: `word` is NULL or not at a multiple of 4; -EFAULT: its page
 * is gone.
 *
 * ```c
 * bytefd_map *map;
 * if (bytefd_map_memory(4096, NULL, &map, NULL) == 0) {
 *     const uint32_t *word = bytefd_map_data(map);
 *     int status = bytefd_wait(word, 0, 1000000, NULL);
 *     printf("%s\n", status == -ETIMEDOUT ? "nobody came" : "woken");
 *     bytefd_map_close(map);
 * }
 * ```
 */
int bytefd_wait(const uint32_t *word,
                uint32_t value,
                int64_t nanoseconds,
                struct bytefd_error *error);

/**
 * Wakes at most `count` of those that wait on this word, in any process.
 *
 * Returns how many it were, or a negative errno: -EINVAL: `word` is NULL or not at a multiple of 4; -EFAULT: it is not there.
 *
 * ```c
 * static uint32_t word;
 * bytefd_wake(&word, UINT32_MAX, NULL);
 * ```
 */
int bytefd_wake(const uint32_t *word,
                uint32_t count,
                struct bytefd_error *error);

/**
 * Writes one line for each choice the library makes on this host, what it uses and why, with a final NUL to `buf`: for people
 * and logs; the words may change. 1024 bytes are enough in this version. It finds out by doing.
 *
 * Returns 0, or a negative errno with `buf` untouched: -EINVAL if `buf` is NULL, -ERANGE if `len` is too small, or
 * shm_wrap_buffer's.
 *
 * ```c
 * char report[1024];
 * if (bytefd_host_report(report, sizeof report, NULL) == 0)
 *     fputs(report, stderr);
 * ```
 */
int bytefd_host_report(char *buf,
                       size_t len,
                       struct bytefd_error *error);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* BYTEFD_H */
