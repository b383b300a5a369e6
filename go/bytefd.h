/*
 * bytefd: bytes in, file descriptor out; and files as bytes. Linux.
 *
 * These conventions hold for every function, unless its description says otherwise.
 *
 * Results and errors
 * - A function that can fail returns an int: a descriptor, a count or 0 on success, a negative
 *   errno on failure. It does not preserve errno.
 * - Its last parameter is a bytefd_error or NULL. A failure fills it, a success leaves it alone.
 *   Functions that end a handle have no such parameter.
 * - Other out-parameters are written on success only. A failure leaves nothing behind.
 * - NULL for a handle, a path or an out-parameter is -EINVAL. Functions that end a handle accept
 *   NULL.
 * - A fault inside the library is -ENOTRECOVERABLE, with its text.
 *
 * Ownership
 * - A descriptor that is returned belongs to the caller, who closes it. It is close-on-exec unless
 *   BYTEFD_INHERIT is given. The library keeps no copy of its number.
 * - A descriptor that is passed in stays the caller's, and must stay open during the call.
 * - A buffer that is passed in is used only during the call.
 * - A handle belongs to the caller, who ends it: a bytefd_scan with bytefd_scan_end, and a
 *   bytefd_map, bytefd_pool or bytefd_tempfile with the function whose name ends with _close.
 * - A function that takes a const handle does not change it.
 *
 * Lengths
 * - Sizes, lengths and offsets are in bytes.
 * - A length of 0 is no bytes: a call on a range checks its arguments, does nothing and returns 0.
 * - A buffer may be NULL only with a length of 0.
 * - BYTEFD_TO_END as a length is everything from the offset to the end of the map or file.
 * - An offset past the end of a map is -EINVAL.
 *
 * Flags and constants
 * - `flags` is a uint64_t, but an int with MS_* in bytefd_map_flush. A bit that the function does
 *   not know is -EINVAL.
 * - Each flag and each enumerated value is a number of its own: one that is given in the place of
 *   another is -EINVAL.
 * - Constants of the kernel (PROT_*, MADV_*, MS_*, LOCK_*, F_SEAL_*) are passed as they are.
 *
 * Structs
 * - A struct that begins with `size` is initialized with its _INIT macro, which sets all defaults.
 *   A struct that was filled with zeros instead is -EINVAL. NULL for options means all defaults.
 * - A limit that is BYTEFD_UNLIMITED does not limit. 0 in its place is -EINVAL, and so is 0 for a
 *   length that _INIT sets to BYTEFD_TO_END.
 * - A member that is named `reserved` must be 0.
 * - Structs grow at their end. A library that knows more members takes the default for those that
 *   are missing. A library that knows fewer accepts further members that are 0; others are -E2BIG.
 *
 * Waiting
 * - A timeout is in nanoseconds and limits the whole call: -1 waits without a limit, 0 does not
 *   wait, other negative numbers are -EINVAL. -ETIMEDOUT says that the time has passed. Where a
 *   call with 0 returns another errno, its list says so.
 * - A call on a socket that does not block (O_NONBLOCK) returns -EAGAIN while nothing has been
 *   transferred, whatever the timeout.
 * - A signal handler that runs meanwhile does not end the call, unless BYTEFD_INTERRUPTIBLE is
 *   given.
 *
 * Threads and signals
 * - Any thread may call any function at any time. The description of each handle says which calls
 *   exclude each other. No function is async-signal-safe, signal-safety(7).
 * - No function is a cancellation point: pthread_cancel(3) takes effect after it. It does take
 *   effect within the callback of a scan, whose descriptor is then closed.
 * - No function prints, exits, or changes the caller's signal mask. Only BYTEFD_MAP_GUARD changes
 *   a disposition: it installs a handler for SIGBUS.
 *
 * shm_wrap_buffer, scan_bytes and map_file are short names of bytefd_wrap_buffer,
 * bytefd_scan_bytes and bytefd_map_file; they stand at the end.
 *
 * Everything here is there since 0.1.0, unless it says otherwise.
 *
 * Generated from the Rust sources by `make header`. Do not edit.
 */

#if defined(__clang__)
#pragma clang diagnostic push
/* A pointer without _Nonnull may be NULL. */
#pragma clang diagnostic ignored "-Wnullability-completeness"
#pragma clang diagnostic ignored "-Wnullability-extension"
#endif


#ifndef BYTEFD_H
#define BYTEFD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/ipc.h>
#include <sys/uio.h>

/* The version of this header; bytefd_version() is that of the library. */
#define BYTEFD_VERSION_MAJOR 0
#define BYTEFD_VERSION_MINOR 1
#define BYTEFD_VERSION_PATCH 0
#define BYTEFD_VERSION "0.1.0"

/* A length: to the end of the map or file. */
#define BYTEFD_TO_END SIZE_MAX
/* A limit that does not limit. */
#define BYTEFD_UNLIMITED UINT64_MAX

/* The compiler warns if a result is dropped, and checks the sizes of buffers. */
#if defined(__GNUC__)
#define BYTEFD_MUST_USE __attribute__((warn_unused_result))
#else
#define BYTEFD_MUST_USE
#endif
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 11
#define BYTEFD_READS(pointer, size) __attribute__((access(read_only, pointer, size)))
#define BYTEFD_WRITES(pointer, size) __attribute__((access(write_only, pointer, size)))
#else
#define BYTEFD_READS(pointer, size)
#define BYTEFD_WRITES(pointer, size)
#endif
/* Clang warns of a NULL. GCC's nonnull would delete a program's own checks, so it is not used. */
#if defined(__clang__)
#define BYTEFD_NONNULL _Nonnull
#else
#define BYTEFD_NONNULL
#endif

/* All defaults, with the size of the struct as this header knows it. */
#define BYTEFD_WRAP_OPTIONS_INIT \
    { sizeof(bytefd_wrap_options), NULL, NULL, BYTEFD_UNLIMITED, 0, 0, 0 }
#define BYTEFD_STREAM_OPTIONS_INIT { sizeof(bytefd_stream_options), BYTEFD_UNLIMITED, 0, -1, 0 }
#define BYTEFD_POOL_OPTIONS_INIT { sizeof(bytefd_pool_options), 64 << 20, -1, 0, 64, 0 }
#define BYTEFD_POOL_STATS_INIT { sizeof(bytefd_pool_stats), 0, 0, 0, 0, 0 }
#define BYTEFD_MAP_OPTIONS_INIT { sizeof(bytefd_map_options), 0, BYTEFD_TO_END, 0, 0, 0, 0, 0 }
#define BYTEFD_REQUIREMENTS_INIT { sizeof(bytefd_requirements), 0, BYTEFD_UNLIMITED, 0, 0, 0 }
#define BYTEFD_TRANSFER_OPTIONS_INIT { sizeof(bytefd_transfer_options), -1, 0 }
#define BYTEFD_CREDENTIALS_INIT { sizeof(bytefd_credentials), 0, 0, 0, 0 }
#define BYTEFD_SHM_OPTIONS_INIT { sizeof(bytefd_shm_options), 0, 0, 0, 0 }
#define BYTEFD_SWEEP_RESULT_INIT { sizeof(bytefd_sweep_result), 0, 0, 0 }
#define BYTEFD_TEMPFILE_OPTIONS_INIT { sizeof(bytefd_tempfile_options), NULL, NULL, 0, 0, 0 }
#define BYTEFD_SYSV_OPTIONS_INIT { sizeof(bytefd_sysv_options), 0, 0, 0, 0 }

/**
 * No close-on-exec: every program that this process executes from now on, from any thread, has the
 * descriptor under the same number. Warning: those programs share one file offset, and each keeps
 * the content alive. To give a descriptor to one child, call posix_spawn_file_actions_adddup2(3)
 * with a descriptor that was made without this flag; to give a child an offset of its own, pass it
 * what bytefd_reopen returns with this flag.
 */
#define BYTEFD_INHERIT (1ull << 0)

/**
 * A signal handler that runs while the call waits ends it with -EINTR, also one that was set with
 * SA_RESTART. Without this flag the call goes on.
 */
#define BYTEFD_INTERRUPTIBLE (1ull << 1)

/**
 * The file is open for reading and writing, has no seals, and mode 0600: content and size can be
 * changed, and seals added later. (Where vm.memfd_noexec is 2 the kernel itself adds F_SEAL_EXEC.)
 */
#define BYTEFD_WRITABLE (1ull << 2)

/**
 * The descriptor is open for reading only (O_RDONLY), for code that looks at the access mode. The
 * file is sealed all the same. Needs /proc.
 */
#define BYTEFD_READ_ONLY (1ull << 3)

/**
 * The file can be executed; mode 0500. Without this flag execve(2) of the file is refused, for
 * good where the kernel can seal it (F_SEAL_EXEC, Linux 6.3). BYTEFD_WRITABLE and
 * BYTEFD_SEAL_CONTENT leave that seal out. That is all that is refused: a PROT_EXEC mapping of any
 * file still works.
 * - A script needs BYTEFD_INHERIT too: its interpreter opens it after close-on-exec has taken
 *   effect.
 * - dlopen(3) of "/proc/self/fd/N" remembers that name. If the descriptor is closed, and a later
 *   file gets the number N, dlopen of it returns the first object again. Keep the descriptor open
 *   for as long as the object may be loaded: then no other file gets its number.
 * - Where there is no memfd, /dev/shm or /tmp may be mounted noexec: ask for BYTEFD_BACKEND_MEMFD.
 */
#define BYTEFD_EXECUTABLE (1ull << 4)

/**
 * Exactly F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK (0xe), so that the caller can add further
 * seals. Only a memfd can be sealed: with BYTEFD_BACKEND_AUTO this means BYTEFD_BACKEND_MEMFD. The
 * descriptor is open for reading and writing, because adding seals needs that; with
 * BYTEFD_READ_ONLY it cannot add any. Kernels before 6.7 map it privately only; bytefd_reopen
 * gives one that maps.
 */
#define BYTEFD_SEAL_CONTENT (1ull << 5)

/**
 * For scans with a pool only: the callback promises to keep nothing and to change nothing, and is
 * lent the cached file itself. See bytefd_pool. For BYTEFD_POOL_REUSE and BYTEFD_POOL_AUTO;
 * -EINVAL with BYTEFD_POOL_NEW_FILES.
 */
#define BYTEFD_TRUST_CALLBACK (1ull << 6)

/**
 * The first of the following that this host offers, in their order. 0 means the same. Running out
 * of something (descriptors, memory, space) is an error and does not lead to the next.
 */
#define BYTEFD_BACKEND_AUTO 2147483664u

/**
 * memfd_create(2), Linux 3.17: no name, no limit but memory, and the only one that can be sealed.
 */
#define BYTEFD_BACKEND_MEMFD 2147483665u

/**
 * A file without a name on the tmpfs at /dev/shm, where shm_open(3) makes its own, limited by that
 * file system's size. Where that knows no O_TMPFILE the file has an unguessable name until the
 * first byte is written, which bytefd_sweep removes if the process is killed just then.
 */
#define BYTEFD_BACKEND_SHM 2147483666u

/**
 * open(2) with O_TMPFILE, Linux 3.11: without a name in $TMPDIR, /tmp or /var/tmp, usually on
 * disk.
 */
#define BYTEFD_BACKEND_TMPFILE 2147483667u

/**
 * For each size the cheaper one of the following methods that the host allows. It promises what
 * BYTEFD_POOL_REUSE promises. 0 means the same.
 */
#define BYTEFD_POOL_AUTO 2147483680u

/**
 * Reuses files, after the kernel has proved that nobody else has them open.
 */
#define BYTEFD_POOL_REUSE 2147483681u

/**
 * Makes a new file for each scan, on a file system in memory that belongs to the pool. See
 * bytefd_pool.
 */
#define BYTEFD_POOL_NEW_FILES 2147483682u

/**
 * Maps for reading only, through a private mapping (PROT_READ, MAP_PRIVATE). What others write to
 * the file shows in the map, except on file systems that have no shared mappings, such as FUSE
 * with direct_io. The file is opened O_RDONLY.
 */
#define BYTEFD_MAP_READ 2147483649u

/**
 * Maps for reading and writing, shared: stores reach the file and every process that maps it. The
 * file is opened O_RDWR.
 */
#define BYTEFD_MAP_WRITE 2147483650u

/**
 * Maps for reading and writing, copy on write: stores stay in this map and never reach the file,
 * which is opened O_RDONLY. Whether later changes of the file show is unspecified, mmap(2).
 */
#define BYTEFD_MAP_PRIVATE 2147483651u

/**
 * With BYTEFD_MAP_WRITE: makes the file if there is none.
 */
#define BYTEFD_MAP_CREATE (1ull << 8)

/**
 * The memory may be executed too, PROT_EXEC.
 */
#define BYTEFD_MAP_EXECUTE (1ull << 9)

/**
 * Reads the pages in before returning, MAP_POPULATE; what cannot be read in now is read on first
 * use.
 */
#define BYTEFD_MAP_POPULATE (1ull << 10)

/**
 * Keeps the pages in memory, mlock(2): -ENOMEM or -EPERM where RLIMIT_MEMLOCK does not allow it,
 * -ENOMEM where pages are past the end of the file.
 */
#define BYTEFD_MAP_MLOCK (1ull << 11)

/**
 * For bytefd_map_memory: pages from the huge pages that the administrator has reserved
 * (vm.nr_hugepages), hugetlbfs. The length must be a multiple of their size, and not 0, and grows
 * within `reserve` only; -ENOMEM where not enough are free. (Other huge pages need no asking: with
 * BYTEFD_MAP_POPULATE, memory is made of them where that pays.)
 */
#define BYTEFD_MAP_HUGE_PAGES (1ull << 12)

/**
 * Reserves neither disk space for growing nor swap space for private pages (MAP_NORESERVE): a
 * sparse file of any size, and a store that finds no room is a SIGBUS or the out-of-memory killer.
 */
#define BYTEFD_MAP_NO_RESERVE (1ull << 13)

/**
 * Allows a range past the end of the file. The rest of the last page reads zero, and what is
 * stored there never reaches the file; pages wholly past the end are SIGBUS until the file grows.
 */
#define BYTEFD_MAP_BEYOND_EOF (1ull << 14)

/**
 * Survives the loss of pages. If another process makes the file shorter, or the storage behind it
 * fails, access finds zeros instead of raising SIGBUS, and bytefd_map_check fails from then on. It
 * costs nothing until then. The map keeps a descriptor of the file, for bytefd_map_file_size.
 * - A lost page stays zeros, also when the file grows again. If the page is past the end of the
 *   file, other pages past the end are replaced with it, 1, 2, 4 and so on, so that they need few
 *   mappings. If the storage fails, only the page itself is replaced. Each replacement may need a
 *   mapping of its own (vm.max_map_count). If none is left, SIGBUS is raised.
 * - The handler for SIGBUS serves the whole process. Each new guarded map installs it in front of
 *   what the program has done about SIGBUS, unless it is in front already. The call fails with
 *   -EBUSY if the handler does not stay in place.
 * - Every fault that is not a lost page of a guarded map goes on to the handler that was there
 *   before, which must stay loaded. A handler that the program installs afterwards must pass on
 *   what it does not want. Otherwise maps are not guarded until the next guarded map is made.
 * - The object that has the handler stays loaded from the first guarded map on, also a plugin that
 *   was linked with libbytefd.a: dlclose(3) does not unload it. The call fails with -ELIBACC if
 *   the dynamic linker refuses that.
 * - Threads that block SIGBUS are not saved. System calls that are given lost pages fail with
 *   EFAULT, as without a guard, and the pages stay lost.
 */
#define BYTEFD_MAP_GUARD (1ull << 15)

/**
 * Children made by fork(2) do not have the map, MADV_DONTFORK.
 */
#define BYTEFD_MAP_NO_FORK (1ull << 16)

/**
 * For private memory, bytefd_map_memory with BYTEFD_MAP_PRIVATE: children made by fork(2) find
 * zeros there, MADV_WIPEONFORK (Linux 4.14).
 */
#define BYTEFD_MAP_WIPE_ON_FORK (1ull << 17)

/**
 * For bytefd_map_advise: the content of the pages may be lost.
 */
#define BYTEFD_LOSE_CONTENT (1ull << 18)

/**
 * Requires that the file's owner is `uid`.
 */
#define BYTEFD_REQUIRE_UID (1ull << 20)

/**
 * Accepts a file without seals. Other processes can then change or shorten it at any time.
 * Checking such a descriptor asks its file system, which may never answer (FUSE, NFS).
 */
#define BYTEFD_REQUIRE_NO_SEALS (1ull << 21)

/**
 * For bytefd_receive on a stream: takes what has arrived, one byte at least, instead of waiting
 * for `*length` bytes. Protocols whose messages say their length inside, such as D-Bus, Wayland
 * and varlink, are read this way.
 */
#define BYTEFD_TRANSFER_SOME (1ull << 22)

/**
 * Creates the object if there is none.
 */
#define BYTEFD_SHM_CREATE (1ull << 24)

/**
 * With BYTEFD_SHM_CREATE: -EEXIST if there is an object of this name.
 */
#define BYTEFD_SHM_EXCLUSIVE (1ull << 25)

/**
 * The object is owned by those that open it with this flag: bytefd_sweep removes its name once
 * none of them has it open or mapped. The owners share a lock on the open file description
 * (LOCK_SH, flock(2)). Duplicates, mappings, children and receivers keep it. The kernel ends it
 * with the last of them, also after kill -9. The name begins with "bytefd-owned.", which the
 * library adds. Other processes can open the object by its full name, without this flag; a sweep
 * does not see them. A process that calls flock(2) on this descriptor loses the lock.
 */
#define BYTEFD_SHM_OWNED (1ull << 26)

/**
 * Opens an object that belongs to any user. Without this flag an object is -EPERM unless its owner
 * is the effective user or root: another owner can change it at any time, and can have created it
 * in expectation of this name.
 */
#define BYTEFD_SHM_ANY_OWNER (1ull << 27)

/**
 * Size of a buffer for any full name, with its slash and final NUL.
 */
#define BYTEFD_SHM_NAME_SIZE 257u

/**
 * Creates the segment if there is none with this key; with IPC_PRIVATE always.
 */
#define BYTEFD_SYSV_CREATE (1ull << 28)

/**
 * With BYTEFD_SYSV_CREATE: -EEXIST if there is a segment with this key.
 */
#define BYTEFD_SYSV_EXCLUSIVE (1ull << 29)

/**
 * `key` is a segment's number.
 */
#define BYTEFD_SYSV_BY_ID (1ull << 30)

/**
 * Marks the segment for removal (IPC_RMID) as soon as it is attached. The kernel removes it when
 * its last user detaches it or ends, also by SIGKILL. From then on other processes attach it by
 * its number, which Linux allows, not by its key. A process that is killed within the call,
 * between creating and marking, leaves the segment behind.
 */
#define BYTEFD_SYSV_TRANSIENT (1ull << 32)

/**
 * A mapped range of a file, or memory without a file. Any number of threads may use one map at the
 * same time, with these exceptions: no other thread may use the map during bytefd_map_resize and
 * bytefd_map_unmap, or after bytefd_map_close. During bytefd_map_seal other threads may only read
 * its bytes.
 *
 * The functions that take a range accept any bytes of the map, not only whole pages. A `length` of
 * 0 is nothing: they check the range and return 0 (bytefd_map_unmap: -EINVAL). BYTEFD_TO_END is to
 * the end of the map, but bytefd_map_read and bytefd_map_write, which also take a buffer, refuse
 * it (-EINVAL). An `offset` past the end of the map is -EINVAL.
 */
typedef struct bytefd_map bytefd_map;

/**
 * Lends files to scan_bytes and the functions that begin with bytefd_scan_begin (options->pool),
 * for a fraction of what a new sealed file costs. Made by the caller for one trust domain; nothing
 * is shared between pools. Any number of threads may use one pool at the same time, and a scan
 * never waits for another scan's callback.
 *
 * Where the file comes from, and what each protects against:
 * - No pool: every scan has a new, sealed file. Nothing of one scan can ever show in another,
 *   whatever the callback keeps, and nobody can change the file.
 * - BYTEFD_POOL_NEW_FILES: every scan has a new file that nothing is left of afterwards. Nothing
 *   of one scan can ever show in another, whatever the callback keeps. The descriptor is not
 *   sealed: F_GET_SEALS is F_SEAL_SEAL. Instead it is open through a read-only mount, so that the
 *   borrower cannot write to the file, change its mode, open it for writing, map it shared for
 *   writing or link it, root included. A receiver that verifies seals refuses it. Sizes for which
 *   a memfd is cheaper, and files that do not fit into `max_bytes`, get a sealed memfd.
 * - BYTEFD_POOL_REUSE: the callback is lent a read-only description of a file of mode 0400 that is
 *   not sealed. Before the file is used again the kernel is asked to prove that nobody else has it
 *   open or mapped, and its length, mode, owner, times and attributes must be what they were. If
 *   not, the file is dropped and counted. A callback that keeps a duplicate, a mapping, a child
 *   that has it, or a description of its own keeps that file and sees its content unchanged.
 *   Content of an earlier scan is never visible, also not past the end.
 * - BYTEFD_POOL_AUTO (the default) reuses files, and from 64 KiB on makes new ones for the sizes
 *   for which that costs less on this host. It promises what BYTEFD_POOL_REUSE promises.
 * - BYTEFD_POOL_REUSE or BYTEFD_POOL_AUTO with BYTEFD_TRUST_CALLBACK: the cached file itself is
 *   lent, read-write, and nothing is proved. The callback promises to keep nothing and to change
 *   nothing. If it breaks the promise it sees and changes later scans of trusted callbacks, and if
 *   it cuts the file off during one, that scan can end in a SIGBUS. The pool sets the file offset
 *   and the status flags (O_APPEND) back, but not locks, leases and the close-on-exec flag.
 *
 * Warning: the proof does not see what this list names. Its holder can read later scans, and with
 * all but the first item change them. For callbacks that do this use BYTEFD_POOL_NEW_FILES, or no
 * pool:
 * - Pages in flight, to which a pipe, socket or device refers without a descriptor: vmsplice(2)
 *   from a mapping, zero-copy sends (MSG_ZEROCOPY), RDMA, and splice(2) and sendfile(2) from a
 *   descriptor without O_DIRECT. The descriptor that is lent has O_DIRECT, with which both copy
 *   (Linux 6.6), unless the callback clears it or opens one of its own.
 * - What can be opened later: an O_PATH descriptor, and for root a file handle
 *   (open_by_handle_at(2)) or a mark of fanotify(7). While the library copies, such an open waits.
 *   A file that was changed during a scan is dropped after it.
 * - A callback that takes the pool's own descriptors, whose numbers it finds in /proc/self/fd.
 *   (Those of BYTEFD_POOL_NEW_FILES are the directory of its file system, in which a file has a
 *   name for a moment before its first byte, and the description that a file is filled through.)
 * - io_uring's registered buffers, and whatever else pins pages, of a mapping for writing that a
 *   privileged callback made without changing the mode (CAP_DAC_OVERRIDE).
 * - Before Linux 6.13 the kernel's clock for changes stands still for some milliseconds. In that
 *   time after a scan begins, the proof does not see a callback that sets the mode, pins pages for
 *   writing, and sets the mode back.
 *
 * With a pool only these options may be set: `name`, `spill_threshold`, BYTEFD_BACKEND_MEMFD, and
 * either BYTEFD_INHERIT and BYTEFD_READ_ONLY (which it is anyway) or BYTEFD_TRUST_CALLBACK. Others
 * are -EINVAL. A file keeps its name, so it is cached for scans of the same name.
 *
 * The file system of new files is a tmpfs that is mounted nowhere: two descriptors are all there
 * is of it. Making it needs Linux 5.12, and the right to mount (CAP_SYS_ADMIN) or to a user
 * namespace. A child process that shares the memory of the calling thread makes it in a few
 * milliseconds. The child has ended when the function returns; the program sees no child, signal,
 * mount or namespace.
 * - BYTEFD_POOL_NEW_FILES makes it in bytefd_pool_create, which fails with -EOPNOTSUPP where the
 *   host refuses a step of that: seccomp filters of containers, AppArmor, no user namespaces, a
 *   chroot, a process that is not dumpable after setuid(2), Valgrind. Later it is made again after
 *   fork(2), bytefd_pool_trim to 0 and a change of the user; if that is refused, scans get memfds.
 * - BYTEFD_POOL_AUTO makes it once scans of 64 KiB and more have taken 8 ms, and does without
 *   where it is refused. It does not try in a process with a seccomp filter, which may kill
 *   instead of refusing. Then it measures some of the scans, without their callbacks, and tries
 *   the dearer way ever more rarely.
 *
 * Lost bytes, in a mapping of a file that was truncated, are -EFAULT as without a pool. The
 * library asks the kernel what `buf` is (PROCMAP_QUERY, Linux 6.11): it copies anonymous memory by
 * itself, and lets the kernel copy everything else, which takes longer. Anonymous memory that was
 * made inaccessible without munmap(2) or mprotect(2) raises the signal that any access raises:
 * MADV_GUARD_INSTALL, protection keys, userfaultfd(2).
 *
 * A cached file keeps its inode number, and two scans may have the same size and time: a client
 * that remembers files by these (and marks nothing on them) is better given new files.
 *
 * No thread may use a pool during or after bytefd_pool_close. A pool holds at most `max_files`
 * descriptors, two of /proc, and two of its file system. bytefd_pool_trim to 0 closes those that
 * are not lent, and a scan with the pool does so before it fails with -EMFILE or -ENFILE.
 *
 * In a child of fork(2) the pool is empty. The child's first use of the pool closes the files that
 * it kept, and one that is lent to a trusted callback. Until then the child can read and change
 * what the parent scans later; execve(2) ends that. So make pools after forking workers, or call
 * bytefd_pool_trim in the child. What other threads were making or lending at that moment stays
 * open in the child. Where the host has no memfd or no /proc, or refuses leases, every scan has a
 * new file.
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
 *     int status = bytefd_pool_create(NULL, &options.pool, NULL);
 *     if (status < 0)
 *         return status;
 *     status = scan_bytes("hello", 5, look, NULL, &options, NULL);
 *     bytefd_pool_close(options.pool);
 *     return status;
 * }
 * ```
 */
typedef struct bytefd_pool bytefd_pool;

/**
 * A descriptor on loan, between bytefd_scan_begin and bytefd_scan_end. One thread at a time may
 * use it.
 */
typedef struct bytefd_scan bytefd_scan;

/**
 * A real file with a path, from bytefd_tempfile_create.
 */
typedef struct bytefd_tempfile bytefd_tempfile;

/**
 * How a descriptor is made. Start from BYTEFD_WRAP_OPTIONS_INIT, which is all defaults, as is a
 * NULL pointer.
 *
 * `size` lets the struct grow at its end: a library that knows more members takes the missing ones
 * as their defaults; one that knows fewer accepts what is 0 and returns -E2BIG otherwise, and also
 * above 4096. A size below the first version's is -EINVAL.
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
     * A label that shows in /proc/self/fd and /proc/self/maps: 1 to 200 bytes without '/' and
     * newline. It need not be unique. Files of BYTEFD_BACKEND_SHM and BYTEFD_BACKEND_TMPFILE do
     * not show it. NULL is "bytefd".
     */
    const char *name;
    /**
     * For scans: the pool that lends the file, NULL for a new file each time. For functions that
     * give a file away it must be NULL, or -EINVAL.
     */
    struct bytefd_pool *pool;
    /**
     * Above this number of bytes the content goes to an unlinked file on disk, in $TMPDIR, /tmp or
     * /var/tmp, instead of memory. That holds for buffers, segments, scans and streams. Such a
     * file cannot be sealed, and it is never a pool's. Its descriptor is open for reading only,
     * without BYTEFD_WRITABLE. BYTEFD_UNLIMITED (the default) keeps everything in memory. 0 is
     * -EINVAL. With BYTEFD_BACKEND_MEMFD or BYTEFD_SEAL_CONTENT any other value is -EINVAL, too.
     */
    uint64_t spill_threshold;
    /**
     * BYTEFD_INHERIT and the flags from BYTEFD_WRITABLE to BYTEFD_TRUST_CALLBACK, or-ed. An
     * unknown bit is -EINVAL, and so is BYTEFD_WRITABLE with BYTEFD_READ_ONLY or
     * BYTEFD_SEAL_CONTENT.
     */
    uint64_t flags;
    /**
     * One of the BYTEFD_BACKEND_ constants; 0 is BYTEFD_BACKEND_AUTO.
     */
    uint32_t backend;
    /**
     * The permission bits; 0 for the default: 0400, or 0600, 0500 or 0700 as the flags ask. The
     * owner's read bit must be set, execute bits only with BYTEFD_EXECUTABLE.
     */
    uint32_t mode;
} bytefd_wrap_options;

/**
 * What went wrong, filled by a function that fails and left alone by one that succeeds. Belongs to
 * the caller; one object serves any number of calls, one after the other. 256 bytes, on every
 * platform and in every version.
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
     * With op "callback": what the callback of a scan returned. Otherwise 0.
     */
    int callback;
    /**
     * The step that failed: a system call ("memfd_create"), or the argument that was refused
     * ("name").
     */
    char op[32];
    /**
     * One line that says what was asked and what was found, with a final NUL. Without the step's
     * name, without a newline. A long message is shortened in its middle.
     */
    char message[216];
} bytefd_error;

/**
 * How much is read from a stream, and how long that may take. Start from
 * BYTEFD_STREAM_OPTIONS_INIT: all of it, however long it takes, as is a NULL pointer. `size` works
 * as in bytefd_wrap_options.
 *
 * ```c
 * bytefd_stream_options options = BYTEFD_STREAM_OPTIONS_INIT;
 * options.max_bytes = 1 << 30;
 * options.timeout_ns = 10 * 1000000000LL;
 * int fd = bytefd_wrap_stream(STDIN_FILENO, NULL, &options, NULL);
 * ```
 */
typedef struct bytefd_stream_options {
    /**
     * sizeof(bytefd_stream_options).
     */
    size_t size;
    /**
     * Maximum number of bytes to read. A longer stream fails with -EFBIG. BYTEFD_UNLIMITED (the
     * default) sets no limit; 0 is -EINVAL.
     */
    uint64_t max_bytes;
    /**
     * The expected number of bytes, such as a Content-Length; 0 (the default) if it is not known.
     * It is the size of the first buffer, up to 1 MiB. Above that it decides where the file is: on
     * disk if it exceeds `spill_threshold`, and in a pool a cached file of about this size. The
     * stream may be longer or shorter. A regular file needs no hint, because it has a length.
     */
    uint64_t size_hint;
    /**
     * How many nanoseconds the whole call may take; -ETIMEDOUT afterwards. -1 (the default) is no
     * limit, 0 does not wait at all; other negative numbers are -EINVAL. With a timeout a limit of
     * the socket (SO_RCVTIMEO) is not looked at. A regular file always counts as ready, so a file
     * system that does not answer (FUSE, NFS) holds the call longer.
     */
    int64_t timeout_ns;
    /**
     * BYTEFD_INTERRUPTIBLE or 0.
     */
    uint64_t flags;
} bytefd_stream_options;

/**
 * What scan_bytes calls: `fd` is lent for the duration of the call, `context` is the caller's own.
 * Returns 0 to say that all went well.
 *
 * It may dup, map and reopen the descriptor and keep those; it may even close it. In C++ it may
 * throw: the exception passes through scan_bytes, and the descriptor is closed. It must not leave
 * by longjmp(3) or pthread_exit(3). pthread_cancel(3) may end it: the descriptor is closed.
 */
typedef int (*bytefd_scan_fn)(int fd, void *context);

/**
 * What bytefd_wrap_reader calls for the next bytes: it stores at most `size` bytes at `buf` and
 * returns how many, 0 at the end, or a negative errno. After -EINTR it is called again. `context`
 * is the caller's own. It is called by the thread that called the library, and must return: no
 * exception, no longjmp(3), no end of the thread. It must not keep `buf`.
 */
typedef ssize_t (*bytefd_read_fn)(void *context, void *buf, size_t size);

/**
 * How a pool is made. Start from BYTEFD_POOL_OPTIONS_INIT, which is all defaults, as is a NULL
 * pointer. `size` works as in bytefd_wrap_options.
 *
 * ```c
 * bytefd_pool_options options = BYTEFD_POOL_OPTIONS_INIT;
 * options.max_bytes = 16 << 20;
 * options.idle_ns = 60 * 1000000000LL;
 * ```
 */
typedef struct bytefd_pool_options {
    /**
     * sizeof(bytefd_pool_options).
     */
    size_t size;
    /**
     * Maximum number of bytes of memory in cached files that are not lent. The default is 64 MiB;
     * 0 caches nothing. It is also the size of the file system for new files, which holds those
     * that are lent or that a borrower has kept; what does not fit there is a memfd.
     */
    uint64_t max_bytes;
    /**
     * After this many nanoseconds without a scan a file is dropped. The pool looks at the time
     * when it is used; it has no thread of its own. -1 (the default) keeps files until their place
     * is needed; other negative numbers are -EINVAL.
     */
    int64_t idle_ns;
    /**
     * Must be 0.
     */
    uint64_t flags;
    /**
     * Maximum number of files that are used again, cached and lent together: 1 to 64. The pool has
     * one descriptor for each. The default is 64.
     */
    uint32_t max_files;
    /**
     * BYTEFD_POOL_AUTO, BYTEFD_POOL_REUSE or BYTEFD_POOL_NEW_FILES; 0 is BYTEFD_POOL_AUTO.
     */
    uint32_t method;
} bytefd_pool_options;

/**
 * What a pool has done since it was made, and what it holds.
 */
typedef struct bytefd_pool_stats {
    /**
     * sizeof(bytefd_pool_stats), as BYTEFD_POOL_STATS_INIT sets it. The struct may grow at its
     * end; no more than this is written.
     */
    size_t size;
    /**
     * Scans that were lent a cached file.
     */
    uint64_t hits;
    /**
     * Scans that got a new file, whatever its method.
     */
    uint64_t misses;
    /**
     * Files that were dropped because another open file description or mapping of them existed, or
     * because they were changed while they were lent or cached. bytefd_pool_get_stats first drops
     * those that are held now.
     */
    uint64_t dropped;
    /**
     * Files of the cache that are lent now. When they are `max_files`, every further scan gets a
     * new file that is not cached: look for scans that were never ended.
     */
    uint64_t lent;
    /**
     * Bytes of memory in cached files that are not lent.
     */
    uint64_t cached_bytes;
} bytefd_pool_stats;

/**
 * Selects what is mapped, and how. Start from BYTEFD_MAP_OPTIONS_INIT: the whole file, for
 * reading. A NULL pointer means the same. `size` works as in bytefd_wrap_options.
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
     * The first byte of the file that the map shows. Any byte; it need not begin a page.
     */
    uint64_t offset;
    /**
     * The number of bytes to map, at most PTRDIFF_MAX. BYTEFD_TO_END (the default) is from the
     * offset to the end of the file; the offset must not be past it. 0 is -EINVAL.
     */
    size_t length;
    /**
     * With BYTEFD_MAP_WRITE, a smaller file is first grown to this many bytes, with zeros. The
     * added space is reserved, so that a store there cannot hit a full disk. BYTEFD_MAP_NO_RESERVE
     * skips that. Holes that the file had stay holes. A larger file stays as it is. Processes that
     * grow one file at the same time must agree among themselves.
     */
    uint64_t file_size;
    /**
     * Address space that is kept for the map: as long as its length stays within this many bytes,
     * bytefd_map_resize never moves it. It costs no memory. 0 for none. With BYTEFD_MAP_WRITE, or
     * for memory.
     */
    size_t reserve;
    /**
     * The flags from BYTEFD_MAP_CREATE to BYTEFD_MAP_WIPE_ON_FORK, or-ed. An unknown bit is
     * -EINVAL.
     */
    uint64_t flags;
    /**
     * BYTEFD_MAP_READ, BYTEFD_MAP_WRITE or BYTEFD_MAP_PRIVATE. 0 (the default) is BYTEFD_MAP_READ
     * for files and BYTEFD_MAP_WRITE for bytefd_map_memory, where BYTEFD_MAP_READ is -EINVAL.
     */
    uint32_t access;
    /**
     * The permission bits of a file that BYTEFD_MAP_CREATE makes, less the umask; 0 is 0600.
     * bytefd_map_file ignores it without BYTEFD_MAP_CREATE. bytefd_map_fd and bytefd_map_memory
     * refuse it (-EINVAL).
     */
    uint32_t mode;
} bytefd_map_options;

/**
 * What is asked of a descriptor that another process has made: a regular file that is open for
 * reading, and the following. Start from BYTEFD_REQUIREMENTS_INIT, which asks for seals against
 * writing and shrinking, as a NULL pointer does for bytefd_verify. `size` works as in
 * bytefd_wrap_options.
 *
 * ```c
 * bytefd_requirements requirements = BYTEFD_REQUIREMENTS_INIT;
 * requirements.min_length = 4096;
 * int status = bytefd_verify(STDIN_FILENO, &requirements, NULL);
 * ```
 */
typedef struct bytefd_requirements {
    /**
     * sizeof(bytefd_requirements).
     */
    size_t size;
    /**
     * Minimum number of bytes. 0 (the default) is any number.
     */
    uint64_t min_length;
    /**
     * Maximum number of bytes. A sealed file can be far longer than its memory: it may consist of
     * holes. BYTEFD_UNLIMITED (the default) sets no limit; 0 is -EINVAL.
     */
    uint64_t max_length;
    /**
     * BYTEFD_REQUIRE_UID and BYTEFD_REQUIRE_NO_SEALS, or-ed.
     */
    uint64_t flags;
    /**
     * The seals that must be there, F_SEAL_* of fcntl(2); more are fine. 0 is F_SEAL_WRITE |
     * F_SEAL_SHRINK.
     */
    uint32_t seals;
    /**
     * With BYTEFD_REQUIRE_UID: the owner of the file. Otherwise it must be 0.
     */
    uid_t uid;
} bytefd_requirements;

/**
 * How bytefd_send and bytefd_receive wait, and where a message on a stream ends. Start from
 * BYTEFD_TRANSFER_OPTIONS_INIT; NULL is the same. `size` works as in bytefd_wrap_options.
 *
 * ```c
 * bytefd_transfer_options soon = BYTEFD_TRANSFER_OPTIONS_INIT;
 * soon.timeout_ns = 1000000000;
 * int status = bytefd_send(STDOUT_FILENO, "!", 1, NULL, 0, &soon, NULL);
 * ```
 */
typedef struct bytefd_transfer_options {
    /**
     * sizeof(bytefd_transfer_options).
     */
    size_t size;
    /**
     * Time limit for the whole call in nanoseconds; it ends with -ETIMEDOUT. 0 does not wait; -1
     * (the default) is no limit. The time limits of the socket (SO_RCVTIMEO, SO_SNDTIMEO) have a
     * meaning only with -1 and without BYTEFD_INTERRUPTIBLE.
     */
    int64_t timeout_ns;
    /**
     * BYTEFD_TRANSFER_SOME and BYTEFD_INTERRUPTIBLE, or-ed.
     */
    uint64_t flags;
} bytefd_transfer_options;

/**
 * The process, user and group at the other end of a connected socket, as the kernel saw them then.
 * Start from BYTEFD_CREDENTIALS_INIT.
 *
 * ```c
 * bytefd_credentials peer = BYTEFD_CREDENTIALS_INIT;
 * if (bytefd_peer_credentials(STDIN_FILENO, &peer, NULL) == 0)
 *     printf("process %d of user %u\n", (int)peer.pid, (unsigned)peer.uid);
 * ```
 */
typedef struct bytefd_credentials {
    /**
     * sizeof(bytefd_credentials), set by the caller.
     */
    size_t size;
    /**
     * Its process, as this process sees it; 0 if it cannot. The process may have ended, and its
     * number be another's by now.
     */
    pid_t pid;
    /**
     * Its effective user.
     */
    uid_t uid;
    /**
     * Its effective group.
     */
    gid_t gid;
    /**
     * 0.
     */
    uint32_t reserved;
} bytefd_credentials;

/**
 * How an object of shared memory is created or opened. Start from BYTEFD_SHM_OPTIONS_INIT, which
 * opens for reading, as a NULL pointer does. `size` works as in bytefd_wrap_options.
 *
 * ```c
 * bytefd_shm_options options = BYTEFD_SHM_OPTIONS_INIT;
 * options.flags = BYTEFD_SHM_CREATE | BYTEFD_SHM_EXCLUSIVE;
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
     * With BYTEFD_SHM_CREATE: the size of the new object, zero-filled and preallocated. Otherwise,
     * and if there is an object already: the minimum size; a smaller object is -ENXIO.
     */
    uint64_t length;
    /**
     * The BYTEFD_SHM_ flags, or-ed. An unknown bit is -EINVAL.
     */
    uint64_t flags;
    /**
     * BYTEFD_MAP_READ (also 0), or BYTEFD_MAP_WRITE for reading and writing.
     */
    uint32_t access;
    /**
     * The permission bits of a new object, whatever the umask says; 0 is 0600. With
     * BYTEFD_SHM_OWNED its owner must be allowed to read or write it, or a sweep could not open
     * it.
     */
    uint32_t mode;
} bytefd_shm_options;

/**
 * What bytefd_sweep did. Start from BYTEFD_SWEEP_RESULT_INIT.
 *
 * ```c
 * bytefd_sweep_result result = BYTEFD_SWEEP_RESULT_INIT;
 * if (bytefd_sweep(&result, NULL) >= 0 && result.failed > 0)
 *     fprintf(stderr, "%llu were left behind\n", (unsigned long long)result.failed);
 * ```
 */
typedef struct bytefd_sweep_result {
    /**
     * sizeof(bytefd_sweep_result).
     */
    size_t size;
    /**
     * The number of names that were removed.
     */
    uint64_t removed;
    /**
     * The number of names of this user that a process holds.
     */
    uint64_t in_use;
    /**
     * The number of names that could not be removed, or not entirely, and of directories that
     * could not be read.
     */
    uint64_t failed;
} bytefd_sweep_result;

/**
 * How a temporary file is created. Start from BYTEFD_TEMPFILE_OPTIONS_INIT, which is all defaults,
 * as is a NULL pointer. `size` works as in bytefd_wrap_options.
 *
 * ```c
 * bytefd_tempfile_options options = BYTEFD_TEMPFILE_OPTIONS_INIT;
 * options.suffix = ".ndb";
 * ```
 */
typedef struct bytefd_tempfile_options {
    /**
     * sizeof(bytefd_tempfile_options).
     */
    size_t size;
    /**
     * The end of the file's name, without a slash, at most 200 bytes. NULL for none.
     */
    const char *suffix;
    /**
     * An existing directory for the file. NULL is the tmpfs at /dev/shm, or /tmp where that cannot
     * be used. bytefd_sweep looks into /dev/shm, $TMPDIR, /tmp and /var/tmp only: in another
     * directory, a killed process leaves the file behind.
     */
    const char *directory;
    /**
     * Must be 0.
     */
    uint64_t flags;
    /**
     * The permission bits of the file, whatever the umask says; 0 is 0600. Its directory lets no
     * other user in.
     */
    uint32_t mode;
    /**
     * Must be 0.
     */
    uint32_t reserved;
} bytefd_tempfile_options;

/**
 * How a System V segment is created or attached. Start from BYTEFD_SYSV_OPTIONS_INIT, which
 * attaches for reading, as a NULL pointer does. `size` works as in bytefd_wrap_options.
 *
 * ```c
 * bytefd_sysv_options options = BYTEFD_SYSV_OPTIONS_INIT;
 * options.flags = BYTEFD_SYSV_CREATE | BYTEFD_SYSV_TRANSIENT;
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
     * With BYTEFD_SYSV_CREATE: the size of the new segment, zero-filled. Otherwise, and if there
     * is a segment already: the minimum size; a smaller segment is -ENXIO.
     */
    size_t length;
    /**
     * The BYTEFD_SYSV_ flags, or-ed. An unknown bit is -EINVAL.
     */
    uint64_t flags;
    /**
     * BYTEFD_MAP_READ (also 0), or BYTEFD_MAP_WRITE for reading and writing. A new segment must be
     * attached for writing.
     */
    uint32_t access;
    /**
     * The permission bits of a new segment; 0 is 0600.
     */
    uint32_t mode;
} bytefd_sysv_options;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Creates a sealed file that contains the `len` bytes at `buf` and returns a descriptor for it.
 *
 * With default options the descriptor refers to a regular file:
 * - st_size is `len` (0 is allowed); the file offset is 0; st_nlink is 0; the mode is 0400.
 * - The file is sealed against writing, growing, shrinking and further seals. Linux 6.3 and later
 *   also seal it against execve(2); a PROT_EXEC mapping still works.
 * - The descriptor is close-on-exec. It is open for reading and writing (O_RDWR), but the seals
 *   make every write fail with EPERM. Kernels that cannot map a sealed file through such a
 *   descriptor (before 6.7) get one that is open for reading only.
 * - Any PROT_READ mapping works, shared or private, on every kernel.
 *
 * On hosts without memfd_create(2), and with the backends other than BYTEFD_BACKEND_MEMFD, the
 * file cannot be sealed. The descriptor is then open for reading only (O_RDONLY), without
 * BYTEFD_WRITABLE. Set `backend` to BYTEFD_BACKEND_MEMFD to require seals.
 *
 * The caller owns the descriptor and closes it. The contents exist until the last duplicate,
 * mapping or received copy is gone. `buf` is read only during the call. Any thread may call this
 * at any time.
 *
 * Returns the descriptor, which is never 0, 1 or 2. On failure returns one of the following and
 * leaves nothing behind:
 * - -EINVAL if `buf` is NULL and `len` is not 0, if `len` exceeds PTRDIFF_MAX, or if the options
 *   are unknown or contradict each other.
 * - -E2BIG if the options have members that this version does not know.
 * - -EFAULT if part of `buf` is not readable, or was lost: it is in a mapping of a file that was
 *   truncated. That includes lost pages that BYTEFD_MAP_GUARD has replaced by zeros.
 * - -EFBIG if `len` exceeds RLIMIT_FSIZE. SIGXFSZ is not raised.
 * - -ENOSPC if the file system behind the backend is full.
 * - -EMFILE, -ENFILE, -ENOMEM if a limit is reached.
 * - -ENOENT if /proc is not mounted and the options or the host need it to open the file
 *   read-only.
 * - The error of the system call in `error->op`.
 *
 * ```c
 * int fd = shm_wrap_buffer("hello", 5, NULL, NULL);
 * if (fd >= 0)
 *     close(fd);
 * ```
 */
BYTEFD_MUST_USE
int bytefd_wrap_buffer(const void *buf,
                       size_t len,
                       const struct bytefd_wrap_options *options,
                       struct bytefd_error *error)
BYTEFD_READS(1, 2);

/**
 * shm_wrap_buffer for content that lies in several places: the file holds the `count` segments in
 * their order. Any count; a segment of length 0 is skipped. `iov` may be NULL only with `count` 0.
 *
 * ```c
 * struct iovec parts[2] = {{"head", 4}, {"body", 4}};
 * int fd = bytefd_wrap_iov(parts, 2, NULL, NULL);
 * ```
 */
BYTEFD_MUST_USE
int bytefd_wrap_iov(const struct iovec *iov,
                    size_t count,
                    const struct bytefd_wrap_options *options,
                    struct bytefd_error *error)
BYTEFD_READS(1, 2);

/**
 * Opens the regular file behind `fd` again and returns a new descriptor, which the caller owns. It
 * is open for reading only, has an offset of its own at 0, and is close-on-exec unless `flags` is
 * BYTEFD_INHERIT. A dup(2) shares its offset with the original; this does not. `fd` stays open.
 *
 * This is no protection by itself: code that has the descriptor can open the file for writing
 * through /proc, as far as the file's mode allows. Only seals protect.
 *
 * Returns the descriptor, or one of:
 * - -EBADF if `fd` is not open.
 * - -EINVAL if `fd` is not a regular file, or `flags` is neither 0 nor BYTEFD_INHERIT.
 * - -ENOENT if /proc is not mounted.
 * - -EACCES if the file's mode forbids reading.
 * - Other errors of open(2).
 *
 * ```c
 * int fd = shm_wrap_buffer("hello", 5, NULL, NULL);
 * int other = bytefd_reopen(fd, 0, NULL);
 * ```
 */
BYTEFD_MUST_USE int bytefd_reopen(int fd, uint64_t flags, struct bytefd_error *error);

/**
 * Writes the text "/proc/self/fd/N" for `fd` with its final NUL to `buf`, for code that takes only
 * a path. 32 bytes are always enough.
 *
 * The path names the descriptor for this process and as long as it is open; opening it gives a
 * description with an offset of its own. A child process finds it under the same path if it
 * inherits the descriptor (BYTEFD_INHERIT). Code that resolves the link first (SQLite does) or
 * opens with O_NOFOLLOW finds nothing there. With a backend other than memfd, do not give it to
 * code that resolves the link and opens the result: another user can create a file of that name.
 *
 * Returns 0, or a negative errno with `buf` untouched: -EBADF, -EINVAL if `buf` is NULL, -ERANGE
 * if `size` is too small.
 *
 * ```c
 * char path[32];
 * int fd = shm_wrap_buffer("hello", 5, NULL, NULL);
 * if (fd >= 0 && bytefd_path(fd, path, sizeof path, NULL) == 0)
 *     puts(path);
 * ```
 */
BYTEFD_MUST_USE
int bytefd_path(int fd,
                char *BYTEFD_NONNULL buf,
                size_t size,
                struct bytefd_error *error)
BYTEFD_WRITES(2, 3);

/**
 * Reads from `fd` into a new file, from the present offset to the end, and returns the new file's
 * descriptor, as bytefd_wrap_buffer does with the same options. `fd` is a pipe, stream socket,
 * file or terminal; it stays the caller's, and its offset moves. At most 1 MiB is held in memory
 * besides the file.
 *
 * The call blocks until the end of the stream, unless `timeout_ns` or BYTEFD_INTERRUPTIBLE ends
 * it. A pipe that does not block (O_NONBLOCK) is waited for too. A terminal whose other side is
 * closed (EIO) is at its end.
 *
 * Returns the descriptor. On failure returns one of the following and keeps nothing; what was read
 * is gone from a pipe or socket:
 * - -EFBIG if the stream is longer than `max_bytes` or RLIMIT_FSIZE.
 * - -ETIMEDOUT if `timeout_ns` has passed, -EINTR if BYTEFD_INTERRUPTIBLE is set and a signal
 *   handler ran.
 * - -EAGAIN if the socket does not block and has nothing to read yet, whatever the timeout; or if
 *   the socket's own limit (SO_RCVTIMEO) has passed.
 * - -EPROTOTYPE if `fd` is a socket for datagrams or packets.
 * - -EBADF if `fd` is not open, or not for reading; -EISDIR if it is a directory; other errors of
 *   read(2).
 * - -ENOSPC, -ENOMEM, -EMFILE, -ENFILE if a limit is reached; -EINVAL, -E2BIG if options are
 *   invalid, as shm_wrap_buffer.
 *
 * ```c
 * int fd = bytefd_wrap_stream(STDIN_FILENO, NULL, NULL, NULL);
 * if (fd >= 0)
 *     close(fd);
 * ```
 */
BYTEFD_MUST_USE
int bytefd_wrap_stream(int fd,
                       const struct bytefd_wrap_options *options,
                       const struct bytefd_stream_options *stream,
                       struct bytefd_error *error);

/**
 * Lends a descriptor that holds `len` bytes from `buf` to the function `scan`, and closes it
 * afterwards. The descriptor is as shm_wrap_buffer makes it with these options: a new file for
 * every call, so nothing of one scan can ever show in another. With options->pool it is a cached
 * file: faster, with the protection that bytefd_pool describes.
 *
 * The descriptor is closed exactly once, whatever the function does. If `scan` closed the number
 * itself, and another file has it by then, the library leaves that file open. Any thread may call
 * this at any time, also from within `scan`.
 *
 * Returns 0 when `scan` returned 0. When it returned anything else: -ECANCELED, with op "callback"
 * and the value in `error->callback`. When there is no descriptor to lend, `scan` is not called,
 * and the answer is shm_wrap_buffer's; -EINVAL if `scan` is NULL.
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
BYTEFD_MUST_USE
int bytefd_scan_bytes(const void *buf,
                      size_t len,
                      bytefd_scan_fn BYTEFD_NONNULL scan,
                      void *context,
                      const struct bytefd_wrap_options *options,
                      struct bytefd_error *error)
BYTEFD_READS(1, 2);

/**
 * scan_bytes in two steps, for languages whose callbacks do not cross C well.
 *
 * Returns the descriptor, which stays the library's, and writes to `*scan` what bytefd_scan_end
 * takes. On failure a negative errno as scan_bytes, with `*scan` untouched; -EINVAL if `scan` is
 * NULL.
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
BYTEFD_MUST_USE
int bytefd_scan_begin(const void *buf,
                      size_t len,
                      const struct bytefd_wrap_options *options,
                      struct bytefd_scan **BYTEFD_NONNULL scan,
                      struct bytefd_error *error)
BYTEFD_READS(1, 2);

/**
 * bytefd_scan_begin for content that lies in several places, as bytefd_wrap_iov takes it.
 *
 * ```c
 * struct iovec parts[2] = {{"head", 4}, {"body", 4}};
 * bytefd_scan *scan;
 * if (bytefd_scan_begin_iov(parts, 2, NULL, &scan, NULL) >= 0)
 *     bytefd_scan_end(scan);
 * ```
 */
BYTEFD_MUST_USE
int bytefd_scan_begin_iov(const struct iovec *iov,
                          size_t count,
                          const struct bytefd_wrap_options *options,
                          struct bytefd_scan **BYTEFD_NONNULL scan,
                          struct bytefd_error *error)
BYTEFD_READS(1, 2);

/**
 * bytefd_scan_begin for the stream behind the descriptor `fd`, which is read to its end as
 * bytefd_wrap_stream does, into a file of options->pool if there is one. `fd` stays the caller's.
 * On failure returns what bytefd_wrap_stream returns, or -EINVAL if `scan` is NULL.
 *
 * ```c
 * bytefd_scan *scan;
 * if (bytefd_scan_begin_stream(STDIN_FILENO, NULL, NULL, &scan, NULL) >= 0)
 *     bytefd_scan_end(scan);
 * ```
 */
BYTEFD_MUST_USE
int bytefd_scan_begin_stream(int fd,
                             const struct bytefd_wrap_options *options,
                             const struct bytefd_stream_options *stream,
                             struct bytefd_scan **BYTEFD_NONNULL scan,
                             struct bytefd_error *error);

/**
 * Ends the loan and frees `scan`: the descriptor is closed, unless the borrower has closed it
 * already. NULL is fine. Always returns 0.
 *
 * ```c
 * bytefd_scan_end(NULL);
 * ```
 */
int bytefd_scan_end(struct bytefd_scan *scan);

/**
 * bytefd_wrap_stream for content that the function `read` delivers, which is called until it
 * returns 0. The library holds no lock meanwhile, and `read` may call any of its functions.
 *
 * Returns the descriptor. On failure returns what bytefd_wrap_stream returns for `options` and for
 * `stream`, or one of the following; nothing is kept:
 * - The negative errno that `read` returned, with op "read".
 * - -EINVAL if `read` is NULL or returned more than `size`, or if `stream` has a timeout or
 *   BYTEFD_INTERRUPTIBLE: only `read` itself can end what it waits for.
 *
 * ```c
 * static ssize_t next(void *file, void *buf, size_t size)
 * {
 *     size_t count = fread(buf, 1, size, file);
 *     return count == 0 && ferror(file) ? -EIO : (ssize_t)count;
 * }
 *
 * int example(void)
 * {
 *     return bytefd_wrap_reader(next, stdin, NULL, NULL, NULL);
 * }
 * ```
 */
BYTEFD_MUST_USE
int bytefd_wrap_reader(bytefd_read_fn BYTEFD_NONNULL read,
                       void *context,
                       const struct bytefd_wrap_options *options,
                       const struct bytefd_stream_options *stream,
                       struct bytefd_error *error);

/**
 * bytefd_scan_begin for content that the function `read` delivers, into a file of options->pool if
 * there is one. On failure returns what bytefd_wrap_reader returns, or -EINVAL if `scan` is NULL.
 *
 * ```c
 * static ssize_t nothing(void *context, void *buf, size_t size)
 * {
 *     (void)context, (void)buf, (void)size;
 *     return 0;
 * }
 *
 * int example(void)
 * {
 *     bytefd_scan *scan;
 *     int fd = bytefd_scan_begin_reader(nothing, NULL, NULL, NULL, &scan, NULL);
 *     return fd < 0 ? fd : bytefd_scan_end(scan);
 * }
 * ```
 */
BYTEFD_MUST_USE
int bytefd_scan_begin_reader(bytefd_read_fn BYTEFD_NONNULL read,
                             void *context,
                             const struct bytefd_wrap_options *options,
                             const struct bytefd_stream_options *stream,
                             struct bytefd_scan **BYTEFD_NONNULL scan,
                             struct bytefd_error *error);

/**
 * Makes an empty pool and writes it to `*pool`. The caller ends it with bytefd_pool_close.
 *
 * Returns 0, or one of:
 * - -EINVAL if `pool` is NULL, or a member of the options has no such value; the message names it.
 * - -E2BIG if the options have members that this version does not know.
 * - -EOPNOTSUPP if `method` is BYTEFD_POOL_NEW_FILES and the host refuses a step. `error->op` is
 *   the step: "clone", "unshare", "write uid_map", "fsopen", "mount_setattr" and so on.
 * - -EMFILE, -ENFILE or -ENOMEM with BYTEFD_POOL_NEW_FILES.
 *
 * ```c
 * bytefd_pool *pool;
 * if (bytefd_pool_create(NULL, &pool, NULL) == 0)
 *     bytefd_pool_close(pool);
 * ```
 */
BYTEFD_MUST_USE
int bytefd_pool_create(const struct bytefd_pool_options *options,
                       struct bytefd_pool **BYTEFD_NONNULL pool,
                       struct bytefd_error *error);

/**
 * Frees the pool and the files it has cached. NULL is allowed. Scans that were begun with the pool
 * may end afterwards. Always returns 0.
 *
 * ```c
 * bytefd_pool_close(NULL);
 * ```
 */
int bytefd_pool_close(struct bytefd_pool *pool);

/**
 * Drops cached files, the longest unused first, until at most `bytes` are cached; with 0 all of
 * them, also empty ones, and the file system for new files, which a later scan makes again. For
 * the moment in which memory or descriptors are short.
 *
 * Returns 0, or -EINVAL if `pool` is NULL.
 *
 * ```c
 * bytefd_pool *pool;
 * if (bytefd_pool_create(NULL, &pool, NULL) == 0) {
 *     bytefd_pool_trim(pool, 0, NULL);
 *     bytefd_pool_close(pool);
 * }
 * ```
 */
int bytefd_pool_trim(struct bytefd_pool *BYTEFD_NONNULL pool,
                     uint64_t bytes,
                     struct bytefd_error *error);

/**
 * Writes what the pool has done so far, and what it holds, to `*stats`. The caller sets
 * `stats->size`.
 *
 * Returns 0, or -EINVAL if `pool` or `stats` is NULL, or `size` is below that of the first
 * version, 48.
 *
 * ```c
 * bytefd_pool *pool;
 * if (bytefd_pool_create(NULL, &pool, NULL) == 0) {
 *     bytefd_pool_stats stats = BYTEFD_POOL_STATS_INIT;
 *     if (bytefd_pool_get_stats(pool, &stats, NULL) == 0)
 *         printf("%llu bytes cached\n", (unsigned long long)stats.cached_bytes);
 *     bytefd_pool_close(pool);
 * }
 * ```
 */
BYTEFD_MUST_USE
int bytefd_pool_get_stats(struct bytefd_pool *BYTEFD_NONNULL pool,
                          struct bytefd_pool_stats *BYTEFD_NONNULL stats,
                          struct bytefd_error *error);

/**
 * Maps the file at `path` and writes the map to `*map`; the caller ends it with bytefd_map_close.
 * With BYTEFD_MAP_WRITE the map keeps a descriptor of the file (bytefd_map_descriptor), with
 * BYTEFD_MAP_GUARD too; otherwise none stays open. A file of 0 bytes gives a valid map of length
 * 0. A FIFO, socket or device is refused without being opened, so nothing blocks.
 *
 * Warning: the call opens the file, and the descriptor is closed at the latest with the map. The
 * kernel then drops all POSIX record locks that this process has on the file, fcntl(2). Use
 * bytefd_map_fd for a file that is locked so.
 *
 * The bytes are the file's. A process that writes to the file changes them. If the file becomes
 * shorter than the map, access to the lost pages raises SIGBUS; BYTEFD_MAP_GUARD, bytefd_map_read
 * and bytefd_map_write survive that.
 *
 * Returns 0, or a negative errno with `*map` untouched. A file that the call created is removed. A
 * file that it was to grow keeps its old size.
 * - -EINVAL: `path` or `map` is NULL, or options that are unknown or contradict each other.
 * - -E2BIG: the options have members that this version does not know.
 * - -EINVAL: `length` is 0 in the options; BYTEFD_MAP_OPTIONS_INIT sets it to BYTEFD_TO_END.
 * - -ENXIO: the range is not all in the file, and BYTEFD_MAP_BEYOND_EOF is not given, or no length
 *   with it.
 * - -ENOENT, -EACCES, ...: open(2)'s own; -ENOENT also for a symbolic link to nothing.
 *   BYTEFD_MAP_WRITE needs permission to read and write.
 * - -EISDIR: a directory. -ENODEV: anything else that is not a regular file, or whose content
 *   cannot be mapped (/proc).
 * - -EFBIG, -ENOSPC: the file cannot be grown to `file_size`: RLIMIT_FSIZE, or no space. (No
 *   SIGXFSZ is raised.)
 * - -EPERM: the file is sealed against writing, or execution was asked for on a file system
 *   mounted noexec.
 * - -ENOMEM, -EMFILE, -ENFILE: no memory, address space or descriptors left.
 * - -EBUSY, -ELIBACC: the handler cannot be in place; see BYTEFD_MAP_GUARD.
 *
 * ```c
 * bytefd_map *map;
 * if (map_file("/etc/passwd", NULL, &map, NULL) == 0) {
 *     fwrite(bytefd_map_data(map), 1, bytefd_map_length(map), stdout);
 *     bytefd_map_close(map);
 * }
 * ```
 */
BYTEFD_MUST_USE
int bytefd_map_file(const char *BYTEFD_NONNULL path,
                    const struct bytefd_map_options *options,
                    struct bytefd_map **BYTEFD_NONNULL map,
                    struct bytefd_error *error);

/**
 * Maps the regular file behind `fd`, which stays the caller's and may be closed afterwards. The
 * file offset is not used and does not move. BYTEFD_MAP_WRITE needs a descriptor that was opened
 * read-write, the others one that can be read. Otherwise as map_file; BYTEFD_MAP_CREATE and a mode
 * are -EINVAL.
 *
 * With BYTEFD_MAP_WRITE or BYTEFD_MAP_GUARD the map keeps a duplicate. bytefd_map_close closes it,
 * which drops this process's POSIX record locks on the file, fcntl(2).
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
BYTEFD_MUST_USE
int bytefd_map_fd(int fd,
                  const struct bytefd_map_options *options,
                  struct bytefd_map **BYTEFD_NONNULL map,
                  struct bytefd_error *error);

/**
 * Maps `length` bytes of memory without a file, zeros at first, for reading and writing: what
 * anonymous mappings and /dev/zero give. With BYTEFD_MAP_PRIVATE the memory is private, as
 * malloc's is. Otherwise it is shared: a memory file is behind it, whose descriptor
 * (bytefd_map_descriptor) can be given to other processes, and which bytefd_map_seal seals.
 *
 * With BYTEFD_MAP_POPULATE all of the memory is there before this returns, in huge pages where
 * that pays; otherwise each page comes when it is first touched. A `length` of 0 is an empty map,
 * to be resized. Of the options only `access` (not BYTEFD_MAP_READ), `reserve` and the flags
 * BYTEFD_MAP_EXECUTE, _POPULATE, _MLOCK, _HUGE_PAGES, _NO_RESERVE, _GUARD, _NO_FORK and
 * _WIPE_ON_FORK may be set; the others must be what BYTEFD_MAP_OPTIONS_INIT sets.
 *
 * Returns 0, or a negative errno with `*map` untouched:
 * - -EINVAL: `map` is NULL, or options that are unknown, are for files, or contradict each other;
 *   with BYTEFD_MAP_HUGE_PAGES a `length` that is 0 or no multiple of the size of reserved huge
 *   pages.
 * - -E2BIG: the options have members that this version does not know.
 * - -ENOMEM: no memory, address space or reserved huge pages left. -EMFILE, -ENFILE: no
 *   descriptors.
 * - -EFBIG: `length` is above RLIMIT_FSIZE, which counts for shared memory. (No SIGXFSZ is
 *   raised.)
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
BYTEFD_MUST_USE
int bytefd_map_memory(size_t length,
                      const struct bytefd_map_options *options,
                      struct bytefd_map **BYTEFD_NONNULL map,
                      struct bytefd_error *error);

/**
 * Returns the address of the first byte, valid until bytefd_map_close or bytefd_map_resize. NULL
 * only for a NULL `map`. The address of an empty map is aligned to a page and must not be
 * dereferenced. Stores need BYTEFD_MAP_WRITE or BYTEFD_MAP_PRIVATE; otherwise they raise SIGSEGV.
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
 * Returns the number of bytes in the map; 0 for a NULL `map`.
 *
 * ```c
 * size_t none = bytefd_map_length(NULL);
 * ```
 */
size_t bytefd_map_length(const struct bytefd_map *map);

/**
 * Returns the descriptor of the file behind the map, which is open for reading and writing: with
 * BYTEFD_MAP_WRITE, and for shared memory until it is sealed. It stays the map's: valid until
 * bytefd_map_close or bytefd_map_seal, and not to be closed; dup(2) gives one to keep. A process
 * that is given it, by inheritance or through a socket, has the memory. It is close-on-exec.
 *
 * Returns it, or a negative errno: -EINVAL if `map` is NULL, -EBADF if there is none to give: the
 * map is for reading, private or of System V, or was sealed.
 *
 * ```c
 * bytefd_map *map;
 * if (bytefd_map_memory(4096, NULL, &map, NULL) == 0) {
 *     int fd = bytefd_map_descriptor(map, NULL);
 *     if (fd >= 0 && write(fd, "hello", 5) == 5)
 *         puts(bytefd_map_data(map));
 *     bytefd_map_close(map);
 * }
 * ```
 */
int bytefd_map_descriptor(const struct bytefd_map *BYTEFD_NONNULL map, struct bytefd_error *error);

/**
 * Unmaps and frees `map`. NULL is allowed. Does not flush: the kernel writes shared changes back
 * later.
 *
 * Returns 0, or the negative errno of munmap(2); `map` is freed in both cases.
 *
 * ```c
 * bytefd_map_close(NULL);
 * ```
 */
int bytefd_map_close(struct bytefd_map *map);

/**
 * Writes changed bytes back to the file, msync(2): any range of bytes of the map, not only whole
 * pages. `length` may be BYTEFD_TO_END; 0 writes nothing. `flags` is one of:
 * - MS_SYNC: returns when the bytes are on the storage.
 * - MS_ASYNC: schedules the writing and returns. (On Linux a shared map is written back in time
 *   anyway.)
 *
 * MS_INVALIDATE may be added: other maps of the file are told to look again. (On Linux they see
 * every store anyway.)
 *
 * Returns 0, or a negative errno:
 * - -EINVAL if `map` is NULL, `flags` has other values, the range is not in the map, or the map is
 *   a BYTEFD_MAP_PRIVATE one, whose stores never reach the file.
 * - -EBUSY if pages are locked, with MS_INVALIDATE.
 * - -EIO if writing failed, or a guarded map has lost pages.
 *
 * ```c
 * bytefd_map_options options = BYTEFD_MAP_OPTIONS_INIT;
 * bytefd_map *map;
 * options.access = BYTEFD_MAP_WRITE;
 * if (map_file("table", &options, &map, NULL) == 0) {
 *     memset(bytefd_map_data(map), 0, bytefd_map_length(map));
 *     if (bytefd_map_flush(map, 0, BYTEFD_TO_END, MS_SYNC, NULL) != 0)
 *         fprintf(stderr, "not on the storage\n");
 *     bytefd_map_close(map);
 * }
 * ```
 */
BYTEFD_MUST_USE
int bytefd_map_flush(struct bytefd_map *BYTEFD_NONNULL map,
                     size_t offset,
                     size_t length,
                     int flags,
                     struct bytefd_error *error);

/**
 * Tells the kernel how the pages of a range will be used, madvise(2). `advice` is a MADV_*
 * constant. `length` may be BYTEFD_TO_END; 0 does nothing.
 *
 * `flags` must be BYTEFD_LOSE_CONTENT for advice that loses content, and may be 0 for other
 * advice. MADV_FREE, MADV_REMOVE, MADV_HWPOISON and MADV_GUARD_INSTALL lose content; for maps with
 * BYTEFD_MAP_PRIVATE MADV_DONTNEED and MADV_DONTNEED_LOCKED do. Such advice is given only to pages
 * that lie entirely within the range, other advice to every page that holds bytes of it.
 *
 * Returns 0, or a negative errno:
 * - -EINVAL if `map` is NULL, `advice` or `flags` is unknown, the range is not in the map, the
 *   advice would lose content and BYTEFD_LOSE_CONTENT is missing, or the kernel does not do this
 *   with this kind of memory.
 * - -EOPNOTSUPP if this kernel does not know the advice.
 * - -EPERM for MADV_REMOVE if the memory was shared (bytefd_map_share).
 * - Other errors of madvise(2).
 *
 * ```c
 * bytefd_map *map;
 * if (map_file("/etc/passwd", NULL, &map, NULL) == 0) {
 *     bytefd_map_advise(map, 0, BYTEFD_TO_END, MADV_SEQUENTIAL, 0, NULL);
 *     bytefd_map_close(map);
 * }
 * ```
 */
int bytefd_map_advise(struct bytefd_map *BYTEFD_NONNULL map,
                      size_t offset,
                      size_t length,
                      int advice,
                      uint64_t flags,
                      struct bytefd_error *error);

/**
 * Keeps the pages of a range in memory, mlock(2). Locks do not add up. `length` may be
 * BYTEFD_TO_END; 0 locks nothing.
 *
 * Returns 0, or a negative errno:
 * - -EINVAL if `map` is NULL or the range is not in the map.
 * - -ENOMEM or -EPERM if RLIMIT_MEMLOCK does not allow it; -ENOMEM if pages are past the end of
 *   the file.
 *
 * ```c
 * bytefd_map *map;
 * if (bytefd_map_memory(4096, NULL, &map, NULL) == 0) {
 *     if (bytefd_map_mlock(map, 0, 64, NULL) == 0)
 *         strcpy(bytefd_map_data(map), "a secret");
 *     bytefd_map_close(map);
 * }
 * ```
 */
BYTEFD_MUST_USE
int bytefd_map_mlock(struct bytefd_map *BYTEFD_NONNULL map,
                     size_t offset,
                     size_t length,
                     struct bytefd_error *error);

/**
 * Undoes bytefd_map_mlock and BYTEFD_MAP_MLOCK for the pages of a range, munlock(2). `length` may
 * be BYTEFD_TO_END; 0 unlocks nothing.
 *
 * Returns 0, or a negative errno: -EINVAL if `map` is NULL or the range is not in the map.
 *
 * ```c
 * bytefd_map_options options = BYTEFD_MAP_OPTIONS_INIT;
 * bytefd_map *map;
 * options.flags = BYTEFD_MAP_MLOCK;
 * if (map_file("/etc/passwd", &options, &map, NULL) == 0) {
 *     bytefd_map_munlock(map, 0, BYTEFD_TO_END, NULL);
 *     bytefd_map_close(map);
 * }
 * ```
 */
int bytefd_map_munlock(struct bytefd_map *BYTEFD_NONNULL map,
                       size_t offset,
                       size_t length,
                       struct bytefd_error *error);

/**
 * Allows or forbids access to the pages that hold bytes of a range, mprotect(2). `length` may be
 * BYTEFD_TO_END; 0 does nothing. `prot` is PROT_NONE, PROT_READ, or PROT_READ with PROT_WRITE and
 * PROT_EXEC. PROT_WRITE and PROT_EXEC need PROT_READ, because Linux lets nobody write or execute
 * what cannot be read.
 *
 * Returns 0, or a negative errno:
 * - -EINVAL if `map` is NULL, `prot` is another value, or the range is not in the map.
 * - -EACCES for what the map was not made for: PROT_WRITE without BYTEFD_MAP_WRITE or
 *   BYTEFD_MAP_PRIVATE, PROT_EXEC without BYTEFD_MAP_EXECUTE.
 * - Other errors of mprotect(2).
 *
 * ```c
 * bytefd_map *map;
 * if (bytefd_map_memory(4096, NULL, &map, NULL) == 0) {
 *     strcpy(bytefd_map_data(map), "constant from now on");
 *     if (bytefd_map_protect(map, 0, BYTEFD_TO_END, PROT_READ, NULL) < 0)
 *         fprintf(stderr, "it can still be written\n");
 *     bytefd_map_close(map);
 * }
 * ```
 */
BYTEFD_MUST_USE
int bytefd_map_protect(struct bytefd_map *BYTEFD_NONNULL map,
                       size_t offset,
                       size_t length,
                       int prot,
                       struct bytefd_error *error);

/**
 * Reads the pages of a range in before it returns, so that reading them later does not wait.
 * `length` may be BYTEFD_TO_END; 0 reads nothing.
 *
 * Returns 0, or a negative errno:
 * - -EINVAL if `map` is NULL or the range is not in the map.
 * - -EIO if bytes no longer exist or cannot be read.
 *
 * ```c
 * bytefd_map *map;
 * if (map_file("/etc/passwd", NULL, &map, NULL) == 0) {
 *     bytefd_map_prefetch(map, 0, 100, NULL);
 *     bytefd_map_close(map);
 * }
 * ```
 */
int bytefd_map_prefetch(struct bytefd_map *BYTEFD_NONNULL map,
                        size_t offset,
                        size_t length,
                        struct bytefd_error *error);

/**
 * Unmaps every page that lies entirely within a range, munmap(2). `length` may be BYTEFD_TO_END.
 *
 * Access there raises SIGSEGV from now on, or finds other memory of the process. Operations on
 * those bytes are -EINVAL. The map keeps its length, but can no longer be resized or sealed. No
 * other thread may use the map during the call.
 *
 * Returns 0, or a negative errno:
 * - -EINVAL if `map` is NULL, `length` is 0, or the range is not in the map.
 * - Other errors of munmap(2).
 *
 * ```c
 * bytefd_map *map;
 * if (bytefd_map_memory(1 << 20, NULL, &map, NULL) == 0) {
 *     bytefd_map_unmap(map, 1 << 19, BYTEFD_TO_END, NULL);
 *     strcpy(bytefd_map_data(map), "the first half is still there");
 *     bytefd_map_close(map);
 * }
 * ```
 */
int bytefd_map_unmap(struct bytefd_map *BYTEFD_NONNULL map,
                     size_t offset,
                     size_t length,
                     struct bytefd_error *error);

/**
 * Copies `length` bytes of the map, from `offset` on, to `buf`, and writes the number of bytes
 * copied to `*copied`.
 *
 * Lost pages of the map never raise a signal, whether the map is guarded or not. The copy ends
 * before a page that is lost, because another process made the file shorter or its storage failed;
 * `*copied` is then less than `length`. In a guarded map it ends exactly where the file ends now
 * (bytefd_map_file_size); in other maps the rest of the file's last page reads zero. The kernel
 * copies, process_vm_readv(2); a guarded map is copied under its handler, for many bytes nearly as
 * fast as memcpy (x86-64).
 *
 * Returns 0, or a negative errno with `*copied` untouched:
 * - -EIO if not even the first byte exists any more. (So a loop over what is left ends with this.)
 * - -EINVAL if `map` or `copied` is NULL, `buf` is NULL and `length` is not 0, `length` is
 *   BYTEFD_TO_END, or the range is not in the map.
 * - -EFAULT if `buf` cannot be written; part of it may be. With a guarded map a bad `buf` raises
 *   SIGSEGV or SIGBUS, as any other store does.
 * - -EMFILE, -ENFILE if the kernel forbids process_vm_readv, and there are no descriptors for a
 *   pipe instead.
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
 *
 */
BYTEFD_MUST_USE
int bytefd_map_read(const struct bytefd_map *BYTEFD_NONNULL map,
                    size_t offset,
                    void *buf,
                    size_t length,
                    size_t *BYTEFD_NONNULL copied,
                    struct bytefd_error *error)
BYTEFD_WRITES(3, 4);

/**
 * Copies `length` bytes at `buf` into the map, from `offset` on, and writes the number of bytes
 * copied to `*copied`. The copy ends before a page that is lost or finds no room on the storage.
 * In a guarded map it ends at the file's end. Lost pages of the map never raise a signal.
 *
 * Returns 0, or a negative errno with `*copied` untouched:
 * - -EIO if not even the first byte can be stored.
 * - -EINVAL if `map` or `copied` is NULL, `buf` is NULL and `length` is not 0, `length` is
 *   BYTEFD_TO_END, or the range is not in the map.
 * - -EACCES if the map is for reading only.
 * - -EFAULT if `buf` cannot be read; part of it may have been copied. With a guarded map that
 *   holds for lost pages of a mapping. A `buf` that is not mapped for reading raises SIGSEGV
 *   there, as any other load does. Also if a guard has replaced bytes of `buf` by zeros.
 * - -EMFILE, -ENFILE as bytefd_map_read.
 *
 * ```c
 * bytefd_map *map;
 * size_t copied;
 * if (bytefd_map_memory(4096, NULL, &map, NULL) == 0) {
 *     if (bytefd_map_write(map, 0, "hello", 5, &copied, NULL) == 0)
 *         printf("%zu bytes\n", copied);
 *     bytefd_map_close(map);
 * }
 * ```
 *
 */
BYTEFD_MUST_USE
int bytefd_map_write(struct bytefd_map *BYTEFD_NONNULL map,
                     size_t offset,
                     const void *buf,
                     size_t length,
                     size_t *BYTEFD_NONNULL copied,
                     struct bytefd_error *error)
BYTEFD_READS(3, 4);

/**
 * Fails if a page of a guarded map (BYTEFD_MAP_GUARD) was lost and replaced by zeros. Always 0 for
 * other maps.
 *
 * Only whole pages are lost. If the file became shorter within a page, the rest of that page reads
 * zero and is not reported here; bytefd_map_file_size tells.
 *
 * Returns 0, or a negative errno: -EIO if a page was lost; -EINVAL if `map` is NULL.
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
 *         fprintf(stderr, "another process made the file shorter meanwhile\n");
 *     bytefd_map_close(map);
 * }
 * ```
 */
BYTEFD_MUST_USE int bytefd_map_check(const struct bytefd_map *BYTEFD_NONNULL map,
                                     struct bytefd_error *error);

/**
 * Writes to `*size` how many bytes the file behind the map has now. Maps that have a descriptor
 * (bytefd_map_descriptor) and guarded maps (BYTEFD_MAP_GUARD) can tell.
 *
 * Returns 0, or a negative errno with `*size` untouched:
 * - -EINVAL if `map` or `size` is NULL.
 * - -EBADF if the map keeps no descriptor.
 *
 * ```c
 * bytefd_map_options options = BYTEFD_MAP_OPTIONS_INIT;
 * bytefd_map *map;
 * uint64_t size;
 * options.flags = BYTEFD_MAP_GUARD;
 * if (map_file("/etc/passwd", &options, &map, NULL) == 0) {
 *     if (bytefd_map_file_size(map, &size, NULL) == 0 && size < bytefd_map_length(map))
 *         fprintf(stderr, "the file is shorter now\n");
 *     bytefd_map_close(map);
 * }
 * ```
 */
BYTEFD_MUST_USE
int bytefd_map_file_size(const struct bytefd_map *BYTEFD_NONNULL map,
                         uint64_t *BYTEFD_NONNULL size,
                         struct bytefd_error *error);

/**
 * Sets the length of the map and of its file to `length` bytes. A file that extends past the end
 * of the map keeps its length.
 *
 * Growing: the space of the file is reserved as for `file_size`. New bytes read zero, whatever was
 * stored past the old end. Shrinking: the file is cut off at the new end; access by other
 * processes and other maps past it raises SIGBUS.
 *
 * The map stays where it is as long as its length has never been above the `reserve` of its
 * options. Otherwise it may move: what bytefd_map_data gave before is invalid. No other thread may
 * use the map during the call.
 *
 * Returns 0, or a negative errno with nothing changed:
 * - -EINVAL: `map` is NULL, is not for writing (BYTEFD_MAP_WRITE, or memory), was sealed, or parts
 *   of it were unmapped; or `length` is more than a map or file can have, or not whole reserved
 *   huge pages.
 * - -EFBIG, -ENOSPC: the file cannot grow. -EPERM: it is sealed against it, as by
 *   bytefd_map_share.
 * - -EIO: a guarded map has lost pages, and is to grow.
 * - -ENOMEM: no memory or address space left, or (also -EAGAIN) more than RLIMIT_MEMLOCK, for a
 *   locked map.
 * - -EFAULT: the map must move, and parts of it have another protection or treatment than the
 *   rest.
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
BYTEFD_MUST_USE
int bytefd_map_resize(struct bytefd_map *BYTEFD_NONNULL map,
                      size_t length,
                      struct bytefd_error *error);

/**
 * Seals shared memory (bytefd_map_memory) without copying and returns a descriptor as
 * shm_wrap_buffer gives: exactly the map's length, offset 0, mode 0400 (0500 with
 * BYTEFD_MAP_EXECUTE), close-on-exec. The caller closes it. The map stays, at the same address and
 * for reading only; its bytes can never change. Protection of parts (bytefd_map_protect) ends,
 * also on failure. During the call other threads may only read the map's bytes.
 *
 * A child that another thread forks in this moment has the memory mapped for writing until it
 * calls execve(2) or exits, which takes a few milliseconds. The call waits for it: `timeout_ns` is
 * the limit in nanoseconds, -1 for none, 0 not to wait. Processes that map the memory for reading
 * do not matter.
 *
 * Returns the descriptor, or a negative errno. The map then keeps its bytes, address and length:
 * - -EINVAL if `map` is NULL, is not shared memory, is sealed already, or parts of it were
 *   unmapped; or `timeout_ns` is less than -1.
 * - -EBUSY with a `timeout_ns` of 0, otherwise -ETIMEDOUT after it, if another process has the
 *   memory mapped for writing, or the kernel uses pages of it (io_uring registered buffers, direct
 *   I/O).
 * - -EPERM if another process has sealed it against seals. -EPERM or -EACCES if this process made
 *   it as another user, and has changed its user since.
 * - -EIO if another process made it shorter. (If during this call, the map is for reading only
 *   from then on.)
 * - -ENOMEM, -EMFILE, -ENFILE if memory or descriptors run out.
 *
 * A map that was shared before (bytefd_map_share) is for reading only after a failure, and can be
 * sealed later.
 *
 * ```c
 * bytefd_map *map;
 * if (bytefd_map_memory(5, NULL, &map, NULL) == 0) {
 *     memcpy(bytefd_map_data(map), "hello", 5);
 *     int fd = bytefd_map_seal(map, 100000000, NULL);
 *     bytefd_map_close(map);
 *     if (fd >= 0)
 *         close(fd);
 * }
 * ```
 */
BYTEFD_MUST_USE
int bytefd_map_seal(struct bytefd_map *BYTEFD_NONNULL map,
                    int64_t timeout_ns,
                    struct bytefd_error *error);

/**
 * Returns a read-only descriptor of shared memory (bytefd_map_memory) for other processes, while
 * this map goes on writing; they see every store. The caller closes it. It is close-on-exec and
 * has an offset of its own. `flags` must be 0.
 *
 * The memory gets mode 0400 (0500 with BYTEFD_MAP_EXECUTE) and the seals F_SEAL_SHRINK,
 * F_SEAL_GROW and F_SEAL_FUTURE_WRITE (Linux 5.1): it can be written only through mappings that
 * exist already. bytefd_map_resize and MADV_REMOVE are -EPERM from then on. bytefd_map_seal still
 * works, but another process of the same user can prevent that.
 *
 * Returns the descriptor, or a negative errno:
 * - -EINVAL if `map` is NULL, is not shared memory or is sealed, `flags` is not 0, or the kernel
 *   does not know F_SEAL_FUTURE_WRITE.
 * - -EPERM if another process has sealed the memory against seals.
 * - -EIO if another process made it shorter.
 * - -ENOENT if /proc is not mounted. -EMFILE, -ENFILE if descriptors run out.
 *
 * ```c
 * bytefd_map *map;
 * if (bytefd_map_memory(4096, NULL, &map, NULL) == 0) {
 *     int fd = bytefd_map_share(map, 0, NULL);
 *     strcpy(bytefd_map_data(map), "seen by every process that has fd");
 *     if (fd >= 0)
 *         close(fd);
 *     bytefd_map_close(map);
 * }
 * ```
 */
BYTEFD_MUST_USE
int bytefd_map_share(struct bytefd_map *BYTEFD_NONNULL map,
                     uint64_t flags,
                     struct bytefd_error *error);

/**
 * Makes the buffer at `address` its own file: copies its `length` bytes into a new memory file,
 * puts the file in the buffer's place, and returns the file's descriptor, which the caller owns
 * and closes. From then on both are the same memory: stores into the buffer are seen through the
 * descriptor, and the other way round. `flags` must be 0.
 *
 * The buffer is whole pages that the caller has mapped, mmap(2) with PROT_READ | PROT_WRITE and
 * MAP_PRIVATE | MAP_ANONYMOUS: any part of a mapping, or several that adjoin. It stays the
 * caller's, at the same address, until munmap(2), and the library keeps nothing of it: descriptor
 * and buffer live on without each other.
 *
 * The file is a memfd of exactly `length` bytes, read-write, offset 0, mode 0600, close-on-exec.
 * Seals can be added; at first it has none but that against execution, where the kernel has one
 * (Linux 6.3). Whoever can make the file shorter makes access to the buffer a SIGBUS, so add
 * F_SEAL_SHRINK before giving it away. F_SEAL_WRITE is EBUSY for as long as the buffer is mapped;
 * F_SEAL_FUTURE_WRITE (Linux 5.1) leaves the buffer as the one way to change the file.
 *
 * The replacement is one step: other threads may read the buffer all the time. The rest is the
 * caller's part:
 * - Nobody maps, unmaps or protects a part of the range during the call.
 * - Nobody stores into it during the call: what is stored where the copy has been is lost. That
 *   includes the kernel: a read into the buffer that is under way (io_uring, O_DIRECT), or a
 *   buffer registered for later ones, fills the old memory. Nobody waits in it on a futex that is
 *   shared between processes.
 * - It is no memory of malloc's, unless it is never freed: malloc would give it to somebody else,
 *   whose bytes the file then shows. Some allocators also expect zeros after MADV_DONTNEED, where
 *   a file gives its bytes again.
 *
 * Children that are forked later share the buffer instead of having a copy; those that were forked
 * before keep theirs. What was set for the old memory is gone: mlock (lock it again), madvise
 * (also MADV_DONTFORK and MADV_WIPEONFORK), mbind, protection keys, userfaultfd, names. All of the
 * buffer takes memory from then on, and twice as much during the call. Large buffers get huge
 * pages as shm_wrap_buffer's files do, whatever they had before.
 *
 * Returns the descriptor, or a negative errno, with the buffer as it was and nothing left behind:
 * - -EINVAL: `flags` is not 0, `address` is NULL, `address` or `length` is not a multiple of the
 *   page size, `length` is 0, or the range ends past the last address.
 * - -ENOMEM: the range is not all mapped; or there is no memory left, or no mapping
 *   (vm.max_map_count).
 * - -EACCES: a part of it is not readable and writable, or is executable.
 * - -EOPNOTSUPP: a part of it is something else than private anonymous memory of the caller: a
 *   mapping of a file, shared memory, memory in hugetlb pages, what the kernel maps into every
 *   process, the heap (`[heap]`), memory that the C library or Go says is its own ("[anon: glibc:
 *   ...]", "[anon: Go: ...]"), or a stack.
 * - -ENOENT: /proc is not mounted. The range is looked up in /proc/self/maps.
 * - -EFBIG: `length` is above RLIMIT_FSIZE. (No SIGXFSZ is raised.)
 * - -EMFILE, -ENFILE: no descriptors left.
 * - memfd_create(2)'s own where it is refused; mmap(2)'s own: -EPERM for memory that is sealed,
 *   mseal(2), and -EAGAIN beyond RLIMIT_MEMLOCK after mlockall(2).
 *
 * Stacks are found as far as possible: all of this thread's and of the first thread's, and all
 * that glibc made. Of another stack (another C library's, or one that a program switches to) only
 * the page is found that this thread uses, or a thread that waits in the kernel.
 *
 * ```c
 * size_t length = 1 << 20;
 * int protection = PROT_READ | PROT_WRITE;
 * char *buffer = mmap(NULL, length, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
 * if (buffer != MAP_FAILED) {
 *     int fd = bytefd_adopt(buffer, length, 0, NULL);
 *     if (fd >= 0)
 *         fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
 *     strcpy(buffer, "seen by whoever is given the descriptor");
 * }
 * ```
 */
BYTEFD_MUST_USE
int bytefd_adopt(void *BYTEFD_NONNULL address,
                 size_t length,
                 uint64_t flags,
                 struct bytefd_error *error);

/**
 * Checks whether a descriptor is what `requirements` ask for; NULL is BYTEFD_REQUIREMENTS_INIT.
 * Seals stay. Without F_SEAL_SHRINK and F_SEAL_GROW the length, and in any case the owner, can
 * change afterwards.
 *
 * Seals are checked before anything that asks a file system, which may never answer (FUSE, NFS).
 *
 * Returns 0, or one of the following:
 * - -EPERM   if seals are missing, or the file cannot have any.
 * - -EISDIR  if it is a directory, -ENODEV if it is anything else that is not a regular file (both
 *   with BYTEFD_REQUIRE_NO_SEALS; without that, seals are missing).
 * - -ENXIO   if it is shorter than `min_length`.
 * - -EFBIG   if it is longer than `max_length`.
 * - -EACCES  if it belongs to another user, or is not open for reading.
 * - -EBADF   if `fd` is not an open descriptor.
 * - -EINVAL, -E2BIG  if a requirement is unknown, or requirements contradict each other.
 *
 * ```c
 * int fd = shm_wrap_buffer("hello", 5, NULL, NULL);
 * if (bytefd_verify(fd, NULL, NULL) == 0)
 *     puts("nobody can change it");
 * ```
 */
BYTEFD_MUST_USE
int bytefd_verify(int fd,
                  const struct bytefd_requirements *requirements,
                  struct bytefd_error *error);

/**
 * Sends a message of `length` bytes and `count` descriptors over a Unix socket, unix(7): a stream,
 * datagrams or sequenced packets. The receiver gets descriptors of the same open file descriptions
 * (SCM_RIGHTS); those here stay the caller's. Nothing is added to the bytes, so the other end can
 * be anybody's code. No SIGPIPE is raised.
 *
 * On a stream the message goes out whole, in parts if need be. A socket that does not block is
 * waited for once something was sent. More than 253 descriptors are sent in parts too, each with
 * one byte at least.
 *
 * Not a cancellation point.
 *
 * Returns 0, or one of the following. On a stream part of the message may have gone out then; only
 * closing the socket helps.
 * - -EINVAL  if `message` is NULL and `length` is not 0, or `fds` is NULL and `count` is not 0; on
 *   a stream if there are no bytes, or fewer than parts (one for each 253 descriptors); if
 *   BYTEFD_TRANSFER_SOME is set, or the options are invalid.
 * - -E2BIG   if there are more than 253 descriptors in one datagram or packet. -EMSGSIZE if it is
 *   too long.
 * - -EBADF   if one of the descriptors is not open. -ENOTSOCK if `socket` is not a socket,
 *   -EPROTOTYPE if it is not of the Unix family.
 * - -EPIPE, -ECONNRESET, for datagrams -ECONNREFUSED  if the other end is closed.
 * - -EAGAIN  if nothing was sent and the socket does not block, whatever the timeout; or if its
 *   time limit (SO_SNDTIMEO) has passed.
 * - -ETIMEDOUT, -EINTR  as the options say.
 * - -ETOOMANYREFS  if too many descriptors are in flight; see sendmsg(2).
 *
 * ```c
 * int pair[2];
 * int fd = shm_wrap_buffer("hello", 5, NULL, NULL);
 * if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0
 *     && bytefd_send(pair[0], "!", 1, &fd, 1, NULL, NULL) == 0)
 *     puts("sent");
 * ```
 */
BYTEFD_MUST_USE
int bytefd_send(int socket,
                const void *message,
                size_t length,
                const int *fds,
                size_t count,
                const struct bytefd_transfer_options *options,
                struct bytefd_error *error)
BYTEFD_READS(2, 3) BYTEFD_READS(4, 5);

/**
 * Receives a message and its descriptors. On call, `*length` is the size of `message` and `*count`
 * is the number of descriptors that fit into `fds`. On success they are how many came. The
 * descriptors belong to the caller and are close-on-exec from the start.
 *
 * Fewer descriptors than fit are fine; more are -EBADMSG. With `requirements` each of them is
 * checked as by bytefd_verify, and all are refused if one is not what is asked for; NULL asks for
 * nothing.
 *
 * On a stream the message is exactly `*length` bytes, and the call waits for all of them. Once a
 * byte has arrived, it waits on a socket that does not block, too. With BYTEFD_TRANSFER_SOME the
 * message is what has arrived, one byte at least. Datagrams and packets may be shorter.
 *
 * After a refusal on a stream the rest of that message is read and discarded. Where that cannot
 * be, because the time has passed or the peer has sent nothing for a second, the socket is shut
 * down for receiving, and the error's message says so. The next call never sees a mixture of two
 * messages.
 *
 * With a `*count` of 0 the kernel drops descriptors instead of delivering them. That is -EBADMSG
 * as well, unless SO_PASSCRED, SO_PASSSEC or SO_PASSPIDFD is set on the socket: then the kernel
 * does not say what it has dropped.
 *
 * Warning: a refusal can block, whatever the timeout. Its last step closes the received
 * descriptors, and close(2) of a file on FUSE or NFS waits for the server of that file system. The
 * caller's own close(2) of a received descriptor does so too. With a `*count` of 0 there is
 * nothing to close.
 *
 * Not a cancellation point.
 *
 * Returns 0, or one of the following; `*length`, `*count` and `fds` are unchanged then, and the
 * received descriptors are closed. (`message` may have been written to.)
 * - -EBADMSG  if more descriptors came than fit.
 * - -EMSGSIZE  if the datagram or packet is longer than `*length`.
 * - -EMFILE  if the kernel could not deliver all descriptors, because of RLIMIT_NOFILE or a
 *   security module.
 * - -ENODATA  if the other end is closed, or the socket was shut down for receiving, before a byte
 *   of a message has come. (An empty packet of a peer that has gone looks the same.)
 * - -ECONNRESET  if the other end was closed within a message, or before it had read all that was
 *   sent to it.
 * - -EAGAIN  if nothing has arrived and the socket does not block, whatever the timeout; or if its
 *   time limit (SO_RCVTIMEO) has passed.
 * - -ETIMEDOUT, -EINTR  as the options say.
 * - Those of bytefd_verify, if a descriptor is not what is asked for.
 * - -EINVAL  if `message`, `length`, `fds` or `count` is NULL where it must not be, if `*length`
 *   is 0 on a stream, or the requirements or options are invalid. -ENOTSOCK if `socket` is not a
 *   socket, -EPROTOTYPE if it is not of the Unix family; see recvmsg(2).
 *
 * ```c
 * char message[1];
 * size_t length = sizeof message, count = 1;
 * int fd;
 * bytefd_requirements requirements = BYTEFD_REQUIREMENTS_INIT;
 * int status = bytefd_receive(STDIN_FILENO, message, &length, &fd, &count,
 *                             &requirements, NULL, NULL);
 * if (status == 0 && count == 1)
 *     close(fd);
 * ```
 */
BYTEFD_MUST_USE
int bytefd_receive(int socket,
                   void *message,
                   size_t *BYTEFD_NONNULL length,
                   int *fds,
                   size_t *BYTEFD_NONNULL count,
                   const struct bytefd_requirements *requirements,
                   const struct bytefd_transfer_options *options,
                   struct bytefd_error *error);

/**
 * Writes to `*credentials` who called connect(2), listen(2) or socketpair(2) for the other end of
 * a socket: SO_PEERCRED, unix(7). The kernel vouches for it. Another process may have the other
 * end by now, because sockets are inherited and sent.
 *
 * Returns 0, or one of the following, with `*credentials` unchanged:
 * - -EINVAL    if `credentials` is NULL, or its `size` is too small.
 * - -ENOTCONN  if the socket is not connected, or is one for datagrams that socketpair(2) has not
 *   made.
 * - -EBADF, -ENOTSOCK, -EPROTOTYPE  if `socket` is not open, not a socket, not of the Unix family.
 *
 * ```c
 * int pair[2];
 * bytefd_credentials peer = BYTEFD_CREDENTIALS_INIT;
 * if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0
 *     && bytefd_peer_credentials(pair[0], &peer, NULL) == 0)
 *     printf("%d is %d\n", (int)peer.pid, (int)getpid());
 * ```
 */
BYTEFD_MUST_USE
int bytefd_peer_credentials(int socket,
                            struct bytefd_credentials *BYTEFD_NONNULL credentials,
                            struct bytefd_error *error);

/**
 * Opens or creates an object of shared memory, shm_overview(7), for all processes that know its
 * name and have the permission. bytefd_map_fd maps it. Opening changes neither length nor mode nor
 * content. Other processes see a new object when it has its length and mode.
 *
 * A slash before the name is added if there is none. If `full_name` is not NULL, the full name is
 * written there, with its slash and a final NUL. `size` is its capacity, at least
 * BYTEFD_SHM_NAME_SIZE.
 *
 * Returns a descriptor, close-on-exec, which the caller owns. On failure, returns one of the
 * following, leaves `full_name` alone and nothing behind:
 * - -EACCES   if the mode does not allow it.
 * - -E2BIG    if the options have members that this version does not know.
 * - -EBUSY    if another process has locked the object exclusively, with BYTEFD_SHM_OWNED.
 * - -EEXIST   if there is an object of this name, with BYTEFD_SHM_EXCLUSIVE.
 * - -EFBIG    if `length` exceeds RLIMIT_FSIZE. SIGXFSZ is not raised.
 * - -EINVAL   if `name` is NULL, empty, "." or "..", or has a slash that is not its first byte; or
 *   if the options are invalid.
 * - -ELOOP    if the name is that of a symbolic link; -ENODEV if it is not that of a regular file.
 * - -ENAMETOOLONG  if the name has more than 255 bytes, with "bytefd-owned." if it is owned.
 * - -ENOENT   if there is no such object, or no /dev/shm.
 * - -ENOSPC   if the file system is full.
 * - -ENXIO    if the object is smaller than `length`.
 * - -EPERM    if the object belongs to another user than the effective one and root, without
 *   BYTEFD_SHM_ANY_OWNER.
 * - -ERANGE   if `size` is less than BYTEFD_SHM_NAME_SIZE.
 * - -EMFILE, -ENFILE, -ENOMEM  if a limit is reached; see open(2).
 *
 * ```c
 * int fd = bytefd_shm_open("table", NULL, NULL, 0, NULL);
 * bytefd_map *map;
 * if (fd >= 0 && bytefd_map_fd(fd, NULL, &map, NULL) == 0)
 *     bytefd_map_close(map);
 * ```
 *
 */
BYTEFD_MUST_USE
int bytefd_shm_open(const char *BYTEFD_NONNULL name,
                    const struct bytefd_shm_options *options,
                    char *full_name,
                    size_t size,
                    struct bytefd_error *error)
BYTEFD_WRITES(3, 4);

/**
 * Removes a name. The object lives as long as a process has it open or mapped. For an object that
 * was opened with BYTEFD_SHM_OWNED, `name` is the full name that bytefd_shm_open gave.
 *
 * Returns 0. On failure, returns one of the following:
 * - -ENOENT  if there is no object of this name.
 * - -EINVAL, -ENAMETOOLONG  as bytefd_shm_open.
 * - -EACCES, -EPERM and other errors of unlink(2).
 *
 * ```c
 * bytefd_shm_unlink("table", NULL);
 * ```
 */
int bytefd_shm_unlink(const char *BYTEFD_NONNULL name, struct bytefd_error *error);

/**
 * Removes what killed processes of this user have left: objects with BYTEFD_SHM_OWNED, the files
 * of bytefd_tempfile_create, and the names that some files have for a moment. It looks into
 * /dev/shm, $TMPDIR, /tmp and /var/tmp, goes on after a failure, and counts it. Fills `*result`
 * if that is not NULL.
 *
 * A process holds a shared lock, flock(2), on what it owns; the kernel ends that lock with the
 * process. The sweep removes what it can lock exclusively: names that begin with "bytefd-owned.",
 * belong to this user, and have no process that holds them, in any container. It leaves everything
 * else alone, and enters nothing that is mounted in a directory that it removes.
 *
 * Returns the number of names that were removed. On failure, returns the following and removes
 * nothing:
 * - -EINVAL  if the size of `*result` is below the first version's.
 *
 * ```c
 * bytefd_sweep(NULL, NULL);
 * ```
 */
int bytefd_sweep(struct bytefd_sweep_result *result, struct bytefd_error *error);

/**
 * Creates a real file that contains the `len` bytes at `buf`, alone in a directory of mode 0700,
 * and writes a handle to `*file`. It is for code that resolves symbolic links (SQLite) or looks at
 * the end of a name (clamscan -d x.ndb). The caller ends the handle, and the file, with
 * bytefd_tempfile_close.
 *
 * Such a file cannot be sealed: any process of the same user can change it. If the code accepts a
 * descriptor, or its path in /proc, pass that instead. The handle holds a descriptor of the
 * directory, locked with flock(2). A killed process leaves the file behind; bytefd_sweep removes
 * it once no process holds the directory, which children of fork(2) inherit.
 *
 * Returns 0. On failure, returns one of the following, leaves `*file` alone and nothing behind:
 * - -E2BIG   if the options have members that this version does not know.
 * - -EFBIG   if `len` exceeds RLIMIT_FSIZE. SIGXFSZ is not raised.
 * - -EINVAL  if `buf` is NULL and `len` is not 0, `file` is NULL, the suffix has a slash, or the
 *   options are invalid.
 * - -ENAMETOOLONG  if the suffix has more than 200 bytes.
 * - -ENOENT  if there is no such directory.
 * - -ENOSPC  if the file system is full.
 * - Other errors of mkdir(2) and open(2).
 *
 * ```c
 * bytefd_tempfile *file;
 * if (bytefd_tempfile_create("hello", 5, NULL, &file, NULL) == 0) {
 *     puts(bytefd_tempfile_path(file));
 *     bytefd_tempfile_close(file);
 * }
 * ```
 *
 */
BYTEFD_MUST_USE
int bytefd_tempfile_create(const void *buf,
                           size_t len,
                           const struct bytefd_tempfile_options *options,
                           struct bytefd_tempfile **BYTEFD_NONNULL file,
                           struct bytefd_error *error)
BYTEFD_READS(1, 2);

/**
 * Returns the path of the file, absolute and without symbolic links, valid until
 * bytefd_tempfile_close. NULL for a NULL `file`.
 *
 * ```c
 * const char *nowhere = bytefd_tempfile_path(NULL);
 * ```
 */
const char *bytefd_tempfile_path(const struct bytefd_tempfile *file);

/**
 * Removes the file, with its directory and what the client has put beside it, and frees `file`.
 * NULL is allowed. In a child made by fork(2) it removes nothing, because the file is the
 * parent's.
 *
 * Returns 0, or the first reason why something could not be removed: -EXDEV if something is
 * mounted in the directory, which stays then. `file` is freed in every case.
 *
 * ```c
 * bytefd_tempfile_close(NULL);
 * ```
 */
int bytefd_tempfile_close(struct bytefd_tempfile *file);

/**
 * Creates or attaches a System V segment, sysvipc(7), as a map, for programs that still use them.
 * The map is as long as the segment. `key` is IPC_PRIVATE, a key as from ftok(3), or with
 * BYTEFD_SYSV_BY_ID a number. If `shmid` is not NULL, the segment's number is written there.
 *
 * bytefd_map_close detaches the segment. It stays until bytefd_sysv_remove, also when all
 * processes are gone, unless it was attached with BYTEFD_SYSV_TRANSIENT. A System V map has no
 * descriptor; bytefd_wrap_buffer copies its bytes into one.
 *
 * Returns 0. On failure, returns one of the following and leaves `*map` and `*shmid` alone:
 * - -EACCES  if the mode of the segment does not allow it.
 * - -E2BIG   if the options have members that this version does not know.
 * - -EEXIST  if there is a segment with this key, with BYTEFD_SYSV_EXCLUSIVE.
 * - -EIDRM   if the segment is being removed.
 * - -EINVAL  if `map` is NULL; the options are invalid; a new segment has length 0 or exceeds
 *   /proc/sys/kernel/shmmax; there is no segment of this number; or `key` is IPC_PRIVATE without
 *   BYTEFD_SYSV_CREATE.
 * - -ENOENT  if there is no segment with this key.
 * - -ENOSPC  if there are too many segments.
 * - -ENOSYS  if the kernel has no System V segments.
 * - -ENXIO   if the segment is smaller than `length`.
 * - -EPERM   if the segment belongs to another user, with BYTEFD_SYSV_TRANSIENT.
 * - -ENOMEM.
 *
 * ```c
 * bytefd_sysv_options options = BYTEFD_SYSV_OPTIONS_INIT;
 * bytefd_map *map;
 * int shmid;
 * options.flags = BYTEFD_SYSV_CREATE | BYTEFD_SYSV_TRANSIENT;
 * options.access = BYTEFD_MAP_WRITE;
 * options.length = 4096;
 * if (bytefd_map_sysv(IPC_PRIVATE, &options, &map, &shmid, NULL) == 0) {
 *     strcpy(bytefd_map_data(map), "goes with its last user");
 *     bytefd_map_close(map);
 * }
 * ```
 */
BYTEFD_MUST_USE
int bytefd_map_sysv(key_t key,
                    const struct bytefd_sysv_options *options,
                    struct bytefd_map **BYTEFD_NONNULL map,
                    int *shmid,
                    struct bytefd_error *error);

/**
 * Marks a segment for removal (IPC_RMID). It is removed when the last process has detached it. Its
 * key finds it no more.
 *
 * Returns 0. On failure, returns one of the following:
 * - -EINVAL  if there is no segment of this number.
 * - -EPERM   if it belongs to another user.
 *
 * ```c
 * bytefd_sysv_remove(-1, NULL);
 * ```
 */
int bytefd_sysv_remove(int shmid, struct bytefd_error *error);

/**
 * Creates a dma-buf of all pages of a memory file, through /dev/udmabuf (Linux 4.20). Drivers of
 * graphics cards, cameras and other devices take dma-bufs. The file and the dma-buf are the same
 * memory. The dma-buf outlives `fd`, which stays the caller's.
 *
 * `fd` must be a memfd of whole pages, sealed with F_SEAL_SHRINK and not with F_SEAL_WRITE,
 * because devices write.
 *
 * Returns the descriptor of the dma-buf, close-on-exec, which the caller owns. On failure, returns
 * one of the following:
 * - -EACCES  if this user may not open /dev/udmabuf.
 * - -EBADF   if `fd` is not open.
 * - -EINVAL  if `fd` is no such memfd, or is larger than the driver allows (its parameter
 *   size_limit_mb).
 * - -ENODEV  if this kernel has no such driver, or has not loaded it.
 * - -EMFILE, -ENFILE  if a limit is reached; and errors of the driver.
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
BYTEFD_MUST_USE int bytefd_export_dmabuf(int fd, struct bytefd_error *error);

/**
 * Locks bytes of a file, and waits until no other open file description has a lock that excludes
 * this one. The range may lie past the end of the file. A `length` of BYTEFD_UNLIMITED (not
 * BYTEFD_TO_END) is to the end, wherever that is. Replaces a lock of the same open file
 * description on these bytes.
 *
 * `operation` is LOCK_SH, which admits other shared locks and needs a descriptor that is open for
 * reading, or LOCK_EX, which admits none and needs one that is open for writing; both of
 * <sys/file.h>. With LOCK_NB it does not wait.
 *
 * `timeout_ns` limits the whole call: -1 waits without a limit, 0 does not wait. `flags` is
 * BYTEFD_INTERRUPTIBLE or 0. While it waits, the lock is polled, at least every 10 ms.
 *
 * The lock is advisory: it excludes other locks on these bytes, in any process. It does not stop
 * read(2) or write(2). It belongs to the open file description (F_OFD_SETLK, fcntl(2), Linux
 * 3.15): all duplicates of the descriptor have it, also in other processes. It ends with
 * bytefd_file_unlock, or when the last duplicate is closed, which happens too when the last holder
 * is killed. Two open file descriptions exclude each other even in one process; threads that share
 * one do not. A process that was sent a descriptor or has inherited it needs an open file
 * description of its own, by open(2) of its path in /proc.
 *
 * Returns 0. On failure, returns one of the following:
 * - -EAGAIN  if another open file description has a lock that excludes this one, with LOCK_NB or a
 *   `timeout_ns` of 0.
 * - -EBADF   if `fd` is not open, or not for what the lock needs.
 * - -EINTR   if a signal handler has run, with BYTEFD_INTERRUPTIBLE.
 * - -EINVAL  if `length` is 0, the range is more than a file can have, or `operation`,
 *   `timeout_ns` or `flags` is invalid.
 * - -ENOLCK  if there are too many locks.
 * - -ETIMEDOUT  if the timeout has passed.
 *
 * A deadlock is not detected: two processes that wait for each other wait until their timeouts.
 *
 * ```c
 * bytefd_map *map;
 * if (bytefd_map_memory(4096, NULL, &map, NULL) == 0) {
 *     int fd = bytefd_map_descriptor(map, NULL);
 *     if (bytefd_file_lock(fd, 0, 64, LOCK_EX, -1, 0, NULL) == 0)
 *         bytefd_file_unlock(fd, 0, 64, NULL);
 *     bytefd_map_close(map);
 * }
 * ```
 */
BYTEFD_MUST_USE
int bytefd_file_lock(int fd,
                     uint64_t offset,
                     uint64_t length,
                     int operation,
                     int64_t timeout_ns,
                     uint64_t flags,
                     struct bytefd_error *error);

/**
 * Ends the locks of this open file description on these bytes. A `length` of BYTEFD_UNLIMITED is
 * to the end, wherever that is.
 *
 * Returns 0. On failure, returns one of the following:
 * - -EBADF   if `fd` is not open.
 * - -EINVAL  if `length` is 0, or the range is more than a file can have.
 *
 * ```c
 * bytefd_file_unlock(STDIN_FILENO, 0, BYTEFD_UNLIMITED, NULL);
 * ```
 */
int bytefd_file_unlock(int fd, uint64_t offset, uint64_t length, struct bytefd_error *error);

/**
 * Waits until another thread or process calls bytefd_futex_wake on `word`, futex(2). Returns at
 * once if the word is not `value`, and may return without a reason: read the word, and wait again.
 *
 * The word, 4 bytes at a multiple of 4, lies in a map that the processes share, at any address, or
 * in memory of this process. It is changed by atomic operations. A writer changes the word first,
 * then calls bytefd_futex_wake. If the writer dies between the two, no waiter wakes: set a
 * timeout, or use bytefd_file_lock, which ends with its holder.
 *
 * `timeout_ns` limits the whole call: -1 waits without a limit, 0 does not wait. `flags` is
 * BYTEFD_INTERRUPTIBLE or 0.
 *
 * Returns 0. On failure, returns one of the following:
 * - -EFAULT  if the page of the word is lost or not mapped.
 * - -EINTR   if a signal handler has run, with BYTEFD_INTERRUPTIBLE.
 * - -EINVAL  if `word` is NULL or not at a multiple of 4, or `timeout_ns` or `flags` is invalid.
 * - -ETIMEDOUT  if the timeout has passed.
 *
 * ```c
 * bytefd_map *map;
 * if (bytefd_map_memory(4096, NULL, &map, NULL) == 0) {
 *     const volatile uint32_t *word = bytefd_map_data(map);
 *     int status = bytefd_futex_wait(word, 0, 1000000, 0, NULL);
 *     printf("%s\n", status == -ETIMEDOUT ? "not woken" : "woken");
 *     bytefd_map_close(map);
 * }
 * ```
 */
BYTEFD_MUST_USE
int bytefd_futex_wait(const volatile void *BYTEFD_NONNULL word,
                      uint32_t value,
                      int64_t timeout_ns,
                      uint64_t flags,
                      struct bytefd_error *error);

/**
 * Wakes at most `count` waiters of `word`, in any process.
 *
 * Returns the number of waiters woken. On failure, returns one of the following:
 * - -EFAULT  if the page of the word is lost or not mapped.
 * - -EINVAL  if `word` is NULL or not at a multiple of 4.
 *
 * ```c
 * static uint32_t word;
 * bytefd_futex_wake(&word, UINT32_MAX, NULL);
 * ```
 */
int bytefd_futex_wake(const volatile void *BYTEFD_NONNULL word,
                      uint32_t count,
                      struct bytefd_error *error);

/**
 * Writes one line for each choice that the library makes on this host, what it uses and why, with
 * a final NUL to `buf`: for people and logs. The words may change. `size` is the capacity of
 * `buf`; 1024 is enough in this version. The function tries each choice on this host.
 *
 * Returns 0. On failure, returns one of the following and leaves `buf` alone:
 * - -EINVAL  if `buf` is NULL.
 * - -ERANGE  if `size` is too small.
 * - Errors of bytefd_wrap_buffer.
 *
 * ```c
 * char report[1024];
 * if (bytefd_host_report(report, sizeof report, NULL) == 0)
 *     fputs(report, stderr);
 * ```
 *
 */
BYTEFD_MUST_USE
int bytefd_host_report(char *BYTEFD_NONNULL buf,
                       size_t size,
                       struct bytefd_error *error)
BYTEFD_WRITES(1, 2);

/**
 * Returns the version of the library that the program runs with, such as "0.1.0". BYTEFD_VERSION
 * is the version of the header that the program was compiled with. The text is static.
 *
 * ```c
 * printf("compiled with bytefd %s, running with %s\n", BYTEFD_VERSION, bytefd_version());
 * ```
 */
BYTEFD_MUST_USE const char *bytefd_version(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* BYTEFD_H */


/*
 * The three short names. They are inline, so that a program with a function of such a name in
 * another file gets the right one in each. Define BYTEFD_NO_SHORT_NAMES to leave them out.
 *
 * The shared library also exports the short names, for dlsym(3) and other languages; nothing in it
 * calls them. A library that is loaded after it, and that calls a global function of its own by one
 * of these names, gets the function of libbytefd.so, as with every global name. To prevent that,
 * give that function hidden visibility, link that library with -Bsymbolic, or link libbytefd.a,
 * which has no short names.
 */
#if !defined(BYTEFD_NO_SHORT_NAMES) && !defined(BYTEFD_SHORT_NAMES)
#define BYTEFD_SHORT_NAMES
#ifdef __cplusplus
extern "C" {
#endif
BYTEFD_MUST_USE
static inline int shm_wrap_buffer(const void *buf, size_t len, const bytefd_wrap_options *options,
                                  bytefd_error *error)
{
    return bytefd_wrap_buffer(buf, len, options, error);
}

BYTEFD_MUST_USE
static inline int scan_bytes(const void *buf, size_t len, bytefd_scan_fn BYTEFD_NONNULL scan,
                             void *context, const bytefd_wrap_options *options, bytefd_error *error)
{
    return bytefd_scan_bytes(buf, len, scan, context, options, error);
}

BYTEFD_MUST_USE
static inline int map_file(const char *BYTEFD_NONNULL path, const bytefd_map_options *options,
                           bytefd_map **BYTEFD_NONNULL map, bytefd_error *error)
{
    return bytefd_map_file(path, options, map, error);
}
#ifdef __cplusplus
}
#endif
#endif

#if defined(__clang__)
#pragma clang diagnostic pop
#endif
