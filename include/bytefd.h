/*
 * bytefd: bytes in, file descriptor out; and files as bytes. Linux.
 *
 * These conventions hold for every function, unless its comment says otherwise.
 *
 * Words
 * - A scan is a loan of a descriptor. It lasts while the callback of scan_bytes runs, or from
 *   bytefd_scan_begin (or a variant of it) to bytefd_scan_end. The library itself does not examine
 *   the content.
 * - A callback is a function of the program that the library calls.
 * - The borrower is the code that gets the descriptor of a scan: the callback, or the caller of
 *   bytefd_scan_begin. Code to which they pass the descriptor is part of it, also in other
 *   processes.
 * - An open file description is what open(2) creates. Duplicates of a descriptor share it, with its
 *   file offset and status flags.
 * - A lost page is a page of a map for which the file provides no content. The file ends before the
 *   page, its storage fails, or its storage has no space for a store. Access to it raises SIGBUS. A
 *   guarded map (BYTEFD_MAP_GUARD) survives that.
 *
 * Ownership
 * - The caller owns each descriptor that a function returns, and closes it. The descriptor is
 *   close-on-exec unless BYTEFD_INHERIT is given. The library keeps no copy of its number.
 * - A descriptor that is passed in remains the caller's, and must stay open during the call.
 * - A buffer that is passed in is used only during the call.
 * - The caller owns each handle, and ends it. bytefd_scan_end ends a bytefd_scan. Other handles are
 *   ended by the function whose name ends with _close.
 * - A function that takes a const handle does not change it.
 *
 * Results and errors
 * - A function that can fail returns an int: a descriptor, a count or 0 on success, and a negative
 *   errno on failure. It does not preserve errno.
 * - Its last parameter is a bytefd_error or NULL. A failure fills the bytefd_error, and a success
 *   leaves it unchanged. Functions that end a handle have no such parameter.
 * - Other out-parameters are written on success only. A failure leaves nothing behind.
 * - NULL for a handle, a path or an out-parameter is -EINVAL. Functions that end a handle accept
 *   NULL.
 * - A fault inside the library is -ENOTRECOVERABLE, and the error's message describes it.
 *
 * Lengths
 * - Sizes, lengths and offsets are in bytes.
 * - A length of 0 means no bytes: a function that takes a range checks its arguments, does nothing
 *   and returns 0.
 * - A buffer may be NULL only if its length is 0.
 * - BYTEFD_TO_END as a length means everything from the offset to the end of the map or file. For
 *   bytefd_file_lock and bytefd_file_unlock it is BYTEFD_UNLIMITED instead, because their lengths
 *   are uint64_t.
 * - An offset past the end of a map is -EINVAL.
 *
 * Flags and constants
 * - `flags` is a uint64_t, except in bytefd_map_flush. A bit that the function does not know is
 *   -EINVAL.
 * - No two flags or enumerated values are the same number. A constant in the place of another one
 *   is therefore -EINVAL.
 * - Constants of the kernel (PROT_*, MADV_*, MS_*, LOCK_*, F_SEAL_*) are passed unchanged.
 *
 * Structs
 * - A struct that begins with `size` is initialized with its _INIT macro, which sets all defaults.
 *   A struct that is filled with zeros instead is -EINVAL. NULL for options means all defaults.
 * - BYTEFD_UNLIMITED as a limit means no limit. In a member that _INIT sets to BYTEFD_UNLIMITED or
 *   BYTEFD_TO_END, 0 is -EINVAL. For other members, the comment says what 0 means.
 * - A member that is named `reserved` must be 0.
 * - Later versions add members at the end of structs. If the caller's struct is shorter than the
 *   library's, the missing members have their defaults. If it is longer, the further members must
 *   be 0; otherwise -E2BIG.
 * - A struct that a function fills is never -E2BIG. The function writes at most `size` bytes, and
 *   leaves members that the library does not know unchanged.
 *
 * Waiting
 * - A timeout is in nanoseconds and limits the whole call: -1 waits without a limit, 0 does not
 *   wait. Other negative numbers are -EINVAL.
 * - A call that takes longer fails with -ETIMEDOUT. Some functions return another errno if the
 *   timeout is 0; their lists name it.
 * - A call on a socket that does not block (O_NONBLOCK) returns -EAGAIN while nothing has been
 *   transferred, whatever the timeout.
 * - A signal handler that runs while a call waits does not end the call, unless
 *   BYTEFD_INTERRUPTIBLE is given.
 *
 * Threads and signals
 * - Any thread may call any function at any time. The comment on each handle type names the calls
 *   that exclude each other. No function is async-signal-safe, signal-safety(7).
 * - No function is a cancellation point: pthread_cancel(3) takes effect after the function has
 *   returned. The exception is the callback of scan_bytes: pthread_cancel(3) can end it, and the
 *   scan then ends too.
 *   A bytefd_read_fn cannot be cancelled, even while it waits in read(2).
 * - A child of fork(2) may call the functions, also if its parent has other threads, as far as the
 *   C library's malloc(3) works there.
 * - No function prints, exits, or changes the caller's signal mask. Only BYTEFD_MAP_GUARD changes
 *   a signal disposition: it installs a handler for SIGBUS.
 * - Inside a function, a lost page, a full disk or a file that is too large is an error, and raises
 *   neither SIGBUS nor SIGXFSZ. A `buf` that cannot be accessed can raise SIGSEGV or SIGBUS in a
 *   few cases, which bytefd_pool, bytefd_map_read and bytefd_map_write list.
 * - A memory cgroup is an exception for every function: if a copy exceeds its limit, the kernel
 *   kills a process of the cgroup. Set `spill_threshold`, so that large content goes to disk.
 *
 * shm_wrap_buffer, scan_bytes and map_file are short names of bytefd_wrap_buffer, bytefd_scan_bytes
 * and bytefd_map_file. They are defined at the end of the header. shm_wrap_buffer creates no named
 * object of shared memory; bytefd_shm_open does.
 *
 * The library is for 64-bit Linux and is tested on Linux 5.10 and later. A Linux version that
 * follows a feature, such as (Linux 6.3), is the first one that has it.
 *
 * Everything here exists since 0.1.0, unless it says otherwise.
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

/* The version of this header. bytefd_version() returns the version of the library. */
#define BYTEFD_VERSION_MAJOR 0
#define BYTEFD_VERSION_MINOR 1
#define BYTEFD_VERSION_PATCH 0
#define BYTEFD_VERSION "0.1.0"

/* As a length: to the end of the map or file. */
#define BYTEFD_TO_END SIZE_MAX
/* As a limit: no limit. As a length of bytefd_file_lock: to the end of the file. */
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
/* Clang warns of a NULL. GCC's nonnull is not used, because it deletes a program's checks. */
#if defined(__clang__)
#define BYTEFD_NONNULL _Nonnull
#else
#define BYTEFD_NONNULL
#endif

/* Each sets all defaults, and the size of the struct that this header declares. */
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
 * Clears close-on-exec: every program that this process executes from now on, from any thread, has
 * the descriptor under the same number.
 *
 * Warning: do not use this flag in a service that gives each upload to a child of its own. Every
 * child gets every such descriptor: in a trial, 159 of 160 children found more than one upload.
 * All children share one file offset, and each keeps the content alive.
 * - To give a descriptor to one child only, create it without this flag, and call
 *   posix_spawn_file_actions_adddup2(3).
 * - To give a child a file offset of its own, call bytefd_reopen for it, and pass the result.
 */
#define BYTEFD_INHERIT (1ull << 0)

/**
 * Lets a signal handler end the call: if one runs in the calling thread while the call waits, the
 * call returns -EINTR. That includes handlers that were set with SA_RESTART. Without this flag the
 * call continues to wait.
 */
#define BYTEFD_INTERRUPTIBLE (1ull << 1)

/**
 * Opens the file for reading and writing, without seals. The default mode is 0600, or 0700 with
 * BYTEFD_EXECUTABLE. Content and size can be changed, and on a memfd seals can be added later.
 * (Where vm.memfd_noexec is 2 the kernel itself adds F_SEAL_EXEC.)
 */
#define BYTEFD_WRITABLE (1ull << 2)

/**
 * Opens the descriptor for reading only (O_RDONLY), for code that checks the access mode. Without
 * this flag the descriptor of a sealed file can be open for reading and writing (O_RDWR), although
 * the seals make every write fail. The file has the same seals as without this flag. Needs /proc.
 */
#define BYTEFD_READ_ONLY (1ull << 3)

/**
 * Makes the file executable. The default mode is 0500, or 0700 with BYTEFD_WRITABLE. Without this
 * flag execve(2) of the file is refused. Linux 6.3 and later refuse it permanently, by a seal
 * (F_SEAL_EXEC), unless BYTEFD_WRITABLE or BYTEFD_SEAL_CONTENT is set. Only execve(2) is refused:
 * a PROT_EXEC mapping of any file works.
 * - A script needs BYTEFD_INHERIT too, because its interpreter opens it after close-on-exec has
 *   taken effect.
 * - After dlopen(3) of "/proc/self/fd/N", keep the descriptor open for as long as the object may
 *   be loaded. The dynamic linker remembers the name. If a later file gets the number N, dlopen
 *   returns the first object again.
 * - If a host has no memfd, the file is in /dev/shm or in a directory for temporary files, which
 *   can be mounted noexec. Set `backend` to BYTEFD_BACKEND_MEMFD to get an error there.
 */
#define BYTEFD_EXECUTABLE (1ull << 4)

/**
 * Seals content and size as usual, but leaves out the seal F_SEAL_SEAL, so that the caller can add
 * further seals. The file has exactly F_SEAL_WRITE, F_SEAL_GROW and F_SEAL_SHRINK (0xe). (Where
 * vm.memfd_noexec is 2 the kernel itself adds F_SEAL_EXEC.)
 * - Only a memfd can be sealed. BYTEFD_BACKEND_AUTO therefore means BYTEFD_BACKEND_MEMFD here, and
 *   other backends are -EINVAL.
 * - The descriptor is open for reading and writing, because adding seals needs that. With
 *   BYTEFD_READ_ONLY no seals can be added through it.
 * - Kernels before 6.7 map the file only privately through a descriptor that is open for writing.
 *   A descriptor from bytefd_reopen can be mapped shared there too.
 */
#define BYTEFD_SEAL_CONTENT (1ull << 5)

/**
 * Lends a cached file of a pool for reading and writing, without the kernel's proof that nobody
 * else has it open. The caller promises that the borrower keeps nothing and changes nothing. See
 * bytefd_pool.
 *
 * The flag is for scans with a pool of BYTEFD_POOL_REUSE or BYTEFD_POOL_AUTO. With
 * BYTEFD_POOL_NEW_FILES, without a pool, and in the functions whose names begin with bytefd_wrap_,
 * it is -EINVAL.
 *
 * Warning: never use this flag for a borrower in another process, or if the program may end the
 * scan at a deadline while the borrower still runs. Such a borrower can still read the file when
 * the scan has ended, and then reads the next upload. In a trial, 12 of 12 late answers belonged
 * to the next upload.
 */
#define BYTEFD_TRUST_CALLBACK (1ull << 6)

/**
 * Uses the first of BYTEFD_BACKEND_MEMFD, BYTEFD_BACKEND_SHM and BYTEFD_BACKEND_TMPFILE that this
 * host offers. 0 means the same. If descriptors, memory or space run out, the call fails and does
 * not try the next one.
 */
#define BYTEFD_BACKEND_AUTO 2147483664u

/**
 * Uses memfd_create(2), Linux 3.17. The file has no name, and no limit but memory and
 * RLIMIT_FSIZE. Only this backend can be sealed.
 */
#define BYTEFD_BACKEND_MEMFD 2147483665u

/**
 * Uses a file without a name on the tmpfs at /dev/shm, where shm_open(3) creates its objects. The
 * size of that file system limits it. Where that file system has no O_TMPFILE, the file has an
 * unguessable name until its first byte is written. If the process is killed in that moment,
 * bytefd_sweep removes the name.
 */
#define BYTEFD_BACKEND_SHM 2147483666u

/**
 * Uses open(2) with O_TMPFILE, Linux 3.11: a file without a name in $TMPDIR, /tmp or /var/tmp,
 * usually on disk.
 */
#define BYTEFD_BACKEND_TMPFILE 2147483667u

/**
 * Reuses files. From 64 KiB on it uses, for each size, the cheaper of BYTEFD_POOL_REUSE and
 * BYTEFD_POOL_NEW_FILES, if the host allows both. It protects content as BYTEFD_POOL_REUSE does. 0
 * means the same.
 */
#define BYTEFD_POOL_AUTO 2147483680u

/**
 * Reuses files, after the kernel has proved that nobody else has them open.
 */
#define BYTEFD_POOL_REUSE 2147483681u

/**
 * Creates a new file for each scan, on a file system in memory that belongs to the pool. See
 * bytefd_pool.
 */
#define BYTEFD_POOL_NEW_FILES 2147483682u

/**
 * Maps for reading only, by a private mapping (PROT_READ, MAP_PRIVATE). Changes of the file by
 * others are visible in the map, because without stores no page is copied. Exceptions are file
 * systems that have no shared mappings, such as FUSE with direct_io. The file is opened O_RDONLY.
 */
#define BYTEFD_MAP_READ 2147483649u

/**
 * Maps for reading and writing, shared: stores reach the file and every process that maps it. The
 * file is opened O_RDWR.
 */
#define BYTEFD_MAP_WRITE 2147483650u

/**
 * Maps for reading and writing, copy on write: stores stay in this map and never reach the file.
 * The file is opened O_RDONLY. A page shows changes of the file by others until it is copied: at
 * the first store, or at once with BYTEFD_MAP_POPULATE or BYTEFD_MAP_MLOCK. Linux does so; mmap(2)
 * leaves it unspecified.
 */
#define BYTEFD_MAP_PRIVATE 2147483651u

/**
 * Creates the file if it does not exist. For BYTEFD_MAP_WRITE.
 */
#define BYTEFD_MAP_CREATE (1ull << 8)

/**
 * Allows the memory to be executed too, PROT_EXEC.
 */
#define BYTEFD_MAP_EXECUTE (1ull << 9)

/**
 * Reads the pages in before the call returns, MAP_POPULATE. A page that cannot be read in now is
 * read on first use.
 */
#define BYTEFD_MAP_POPULATE (1ull << 10)

/**
 * Keeps the pages in memory, mlock(2). The call fails with -ENOMEM or -EPERM if RLIMIT_MEMLOCK
 * does not allow it, and with -ENOMEM if pages are past the end of the file. Other errors of
 * mlock(2) are possible.
 */
#define BYTEFD_MAP_MLOCK (1ull << 11)

/**
 * Uses huge pages that the administrator has reserved (vm.nr_hugepages), hugetlbfs. For
 * bytefd_map_memory. The length must be a multiple of their size, and not 0. It can grow only
 * within `reserve`. The call fails with -ENOMEM if not enough huge pages are free. (Huge pages
 * that are not reserved do not need this flag: with BYTEFD_MAP_POPULATE, bytefd_map_memory uses
 * them where they pay.)
 */
#define BYTEFD_MAP_HUGE_PAGES (1ull << 12)

/**
 * Reserves no disk space for growing, and no swap space for private pages (MAP_NORESERVE). A file
 * can then be sparse and of any size. A store that finds no space raises SIGBUS, which a map with
 * BYTEFD_MAP_GUARD survives; or it wakes the out-of-memory killer, against which the guard does
 * not help. The flag has nothing to do with the member `reserve`, which keeps address space.
 */
#define BYTEFD_MAP_NO_RESERVE (1ull << 13)

/**
 * Allows a range past the end of the file. The rest of the file's last page reads zero, and stores
 * there never reach the file. Access to pages entirely past the end raises SIGBUS until the file
 * grows. With BYTEFD_MAP_GUARD such a page is a lost page: the first access to it replaces it by
 * zeros instead.
 */
#define BYTEFD_MAP_BEYOND_EOF (1ull << 14)

/**
 * Keeps the process alive when pages of the map are lost. A page is lost if any process makes the
 * file shorter, if the storage behind the file fails, or if it has no space for a store. Access to
 * a lost page then finds zeros instead of raising SIGBUS, and bytefd_map_check fails from then on.
 * Until a page is lost, access costs nothing more. Opening a guarded map takes longer. A guarded
 * map of a file keeps a descriptor of the file, for bytefd_map_file_size.
 * - The first access to a lost page replaces it by zeros. The replacement keeps what the program
 *   stores there. It never shows the file again and never changes it, even if the file grows. The
 *   first access past the end of the file replaces 1 page. The next one replaces an aligned run of
 *   2 pages, then 4, and so on. If the storage fails, only the page itself is replaced. Each
 *   replacement may need a mapping of its own (vm.max_map_count). If no mapping is left, SIGBUS is
 *   raised.
 * - The handler for SIGBUS serves the whole process. Each new guarded map installs the handler in
 *   front of the program's own, unless it is in front already. The call fails with -EBUSY if
 *   other threads replace the handler again each time.
 * - Every other fault is passed to the handler that was installed before, which must stay loaded.
 *   A handler that the program installs later must pass on the faults that are not its own.
 *   Otherwise maps are not guarded until the next guarded map is made.
 * - The object that contains the handler stays loaded from the first guarded map on. dlclose(3)
 *   does not unload it, even if it is a plugin that was linked with libbytefd.a. The call fails
 *   with -ELIBACC if the dynamic linker refuses that.
 * - Loads and stores of threads that block SIGBUS are not protected. bytefd_map_read and
 *   bytefd_map_write are safe in such threads too. A system call on a lost page that is not
 *   replaced yet fails with EFAULT, as without a guard, and does not replace the page.
 */
#define BYTEFD_MAP_GUARD (1ull << 15)

/**
 * Removes the map from children made by fork(2), MADV_DONTFORK. A child must call no function with
 * the map, not even bytefd_map_close: other memory of the child may be at these addresses by then.
 */
#define BYTEFD_MAP_NO_FORK (1ull << 16)

/**
 * Shows zeros to children made by fork(2), MADV_WIPEONFORK (Linux 4.14). For private memory:
 * bytefd_map_memory with BYTEFD_MAP_PRIVATE.
 */
#define BYTEFD_MAP_WIPE_ON_FORK (1ull << 17)

/**
 * Allows bytefd_map_advise to lose the content of pages.
 */
#define BYTEFD_LOSE_CONTENT (1ull << 18)

/**
 * In bytefd_requirements: requires that the file's owner is the member `uid`.
 */
#define BYTEFD_REQUIRE_UID (1ull << 20)

/**
 * In bytefd_requirements: does not require seals. A file is accepted with and without them. The
 * member `seals` must be 0. Other processes can then change or shorten the file at any time.
 * Checking such a descriptor asks its file system, which may never answer (FUSE, NFS).
 */
#define BYTEFD_REQUIRE_NO_SEALS (1ull << 21)

/**
 * Makes bytefd_receive return what has arrived on a stream, at least one byte, instead of waiting
 * for `*length` bytes. Protocols whose messages contain their length, such as D-Bus, Wayland and
 * varlink, are read this way. On sockets for datagrams and packets the flag changes nothing: each
 * call receives one datagram or packet.
 */
#define BYTEFD_TRANSFER_SOME (1ull << 22)

/**
 * Creates the object if it does not exist.
 */
#define BYTEFD_SHM_CREATE (1ull << 24)

/**
 * Fails with -EEXIST if an object of this name exists. For BYTEFD_SHM_CREATE.
 */
#define BYTEFD_SHM_EXCLUSIVE (1ull << 25)

/**
 * Ties the object's name to the processes that open the object with this flag, its owning
 * processes. bytefd_sweep removes the name once nobody holds a descriptor or mapping that comes
 * from such an open. (The user who owns the object is something else: BYTEFD_SHM_ANY_OWNER is
 * about that.)
 * - Each owning process has a shared lock on its open file description (LOCK_SH, flock(2)).
 *   Duplicates, mappings, children and receivers keep the lock. The kernel ends it with the last
 *   of them, also after kill -9.
 * - The library adds the prefix "bytefd-owned." to the name, even if the name begins so already.
 *   With this flag, always pass the name without that prefix.
 * - Other processes can open the object by its full name, without this flag. A sweep does not
 *   count them: it removes the name even while they have the object open.
 * - A process that calls flock(2) on this descriptor loses the lock.
 */
#define BYTEFD_SHM_OWNED (1ull << 26)

/**
 * Opens an object whatever user ID owns it. Without this flag the call fails with -EPERM unless
 * the object belongs to the effective user or root. Any other user who owns it can change it at
 * any time, and may have created it because the name could be guessed.
 */
#define BYTEFD_SHM_ANY_OWNER (1ull << 27)

/**
 * Size in bytes of a buffer for any full name, with its slash and final NUL.
 */
#define BYTEFD_SHM_NAME_SIZE 257u

/**
 * Creates the segment if none with this key exists. With IPC_PRIVATE it always creates one.
 */
#define BYTEFD_SYSV_CREATE (1ull << 28)

/**
 * Fails with -EEXIST if a segment with this key exists. For BYTEFD_SYSV_CREATE.
 */
#define BYTEFD_SYSV_EXCLUSIVE (1ull << 29)

/**
 * Takes `key` as the number of a segment (its shmid).
 */
#define BYTEFD_SYSV_BY_ID (1ull << 30)

/**
 * Marks the segment for removal (IPC_RMID) as soon as it is attached. The key no longer finds a
 * marked segment; Linux allows other processes to attach it by its number (BYTEFD_SYSV_BY_ID). The
 * kernel removes the segment when its last user detaches it or ends, also by SIGKILL. A process
 * that is killed within the call, between creating and marking, leaves the segment behind.
 */
#define BYTEFD_SYSV_TRANSIENT (1ull << 32)

/**
 * A mapped range of a file, of a memory file without a name, or of anonymous memory; or a System V
 * segment (bytefd_map_sysv).
 *
 * Any number of threads may use one map at the same time, except that no other thread may use it:
 * - during bytefd_map_resize and bytefd_map_unmap;
 * - during and after bytefd_map_close;
 * - during bytefd_map_seal, except to load bytes through an address from an earlier
 *   bytefd_map_data.
 *
 * Use includes loads and stores through an address of bytefd_map_data, also if `reserve` keeps the
 * address the same.
 *
 * The functions that take a range accept any bytes of the map, not only whole pages. If `length`
 * is 0, they check the range and return 0, but bytefd_map_unmap returns -EINVAL. BYTEFD_TO_END as
 * `length` means to the end of the map. bytefd_map_read and bytefd_map_write return -EINVAL for
 * it, because their `length` also counts the bytes of `buf`. An `offset` past the end of the map
 * is -EINVAL.
 */
typedef struct bytefd_map bytefd_map;

/**
 * Lends files to scan_bytes and to the functions whose names begin with bytefd_scan_begin, for a
 * fraction of the cost of a new sealed file. The caller sets `options->pool`. Do not expect seals
 * on a descriptor from a pool; the following list says what protects its content instead.
 *
 * Make one pool for each group of code that may read each other's content (a trust domain). Pools
 * share nothing. Any number of threads may use one pool at the same time, and a scan never waits
 * for the end of another scan.
 *
 * Where the file comes from, and what protects its content:
 * - No pool: every scan has a new file. Nothing of one scan can ever be seen in another. With
 *   default options the file is sealed, and no process can change it; bytefd_wrap_buffer lists the
 *   exceptions.
 * - BYTEFD_POOL_NEW_FILES: every scan has a new file, which the pool never lends again. The kernel
 *   frees it once the scan has ended and the borrower keeps nothing of it. Nothing of one scan can
 *   be seen in another, whatever the borrower keeps. The exception is a borrower that takes the
 *   pool's own descriptors from /proc/self/fd; see the warning below. The descriptor is opened
 *   through a read-only mount. Through it the borrower, even as root, cannot write to the file or
 *   change its mode. Linking it, opening it for writing, and mapping it shared for writing fail
 *   too. The descriptor is not sealed (F_GET_SEALS returns F_SEAL_SEAL), so that a receiver that
 *   verifies seals refuses it. A scan gets a sealed memfd instead if a memfd is cheaper for its
 *   size, or if the file does not fit into `max_bytes`.
 * - BYTEFD_POOL_REUSE: the borrower gets a new read-only open file description of a file of mode
 *   0400 that is not sealed. Before the pool lends the file again, the kernel must prove that
 *   nobody else has it open or mapped. Its length, mode, owner, times and attributes must also be
 *   unchanged. Otherwise the pool drops the file and counts it. A borrower can keep the file by a
 *   duplicate, a mapping, a child, or an open file description of its own. It then sees the
 *   content unchanged. Content of an earlier scan is never visible, not even past the end.
 * - BYTEFD_POOL_AUTO (the default) reuses files. From 64 KiB on it makes new files for the sizes
 *   for which they cost less on this host. It protects content as BYTEFD_POOL_REUSE does.
 * - BYTEFD_POOL_REUSE or BYTEFD_POOL_AUTO with BYTEFD_TRUST_CALLBACK: the borrower gets the cached
 *   file for reading and writing, and nothing is proved. The descriptor is the pool's own: at the
 *   end of the scan the pool keeps it open, under the same number, for later scans. The caller
 *   promises that the borrower keeps nothing and changes nothing. A borrower that breaks the
 *   promise sees and changes the content of later trusted scans. If it truncates the file during a
 *   later scan, that scan can raise SIGBUS. The pool resets the file offset and the status flags
 *   (O_APPEND), but not locks, leases and the close-on-exec flag.
 *
 * Warning: never combine BYTEFD_TRUST_CALLBACK with a borrower in another process, or with a
 * deadline at which the program may end the scan while the borrower still runs. An answer that
 * arrives after the deadline can belong to the next upload.
 *
 * Warning: the kernel's proof of BYTEFD_POOL_REUSE does not detect the kinds of access to a file
 * that are listed below. A borrower with such access can read the content of later scans, and with
 * every kind but the first can also change it. If a borrower may get such access, use no pool.
 * BYTEFD_POOL_NEW_FILES is also enough, unless the borrower takes the pool's own descriptors. The
 * kinds are:
 * - Pages in flight, to which a pipe, socket or device refers without a descriptor. They come from
 *   vmsplice(2) of a mapping, zero-copy sends (MSG_ZEROCOPY), RDMA, and splice(2) and sendfile(2)
 *   from a descriptor without O_DIRECT. The descriptor that is lent has O_DIRECT, with which
 *   splice and sendfile copy (Linux 6.6); read(2) needs no alignment. A borrower can clear that
 *   flag, or open a descriptor without it.
 * - A reference that is not an open file now, but from which the borrower can open the file during
 *   a later scan. Such are an O_PATH descriptor, and for root a file handle (open_by_handle_at(2))
 *   or a mark of fanotify(7). While the library copies the content of that scan, the open waits,
 *   and then succeeds. Reading through it is never detected. A change is detected after the scan
 *   in which it was made, and the pool drops the file.
 * - A borrower that takes the pool's own descriptors, whose numbers it finds in /proc/self/fd.
 *   BYTEFD_POOL_NEW_FILES does not prevent this, so use no pool for such a borrower. With
 *   BYTEFD_POOL_NEW_FILES the pool has descriptors of its file system's directory. While it fills
 *   a file, it also has a descriptor for writing to that file. A file has a name in that directory
 *   for a moment, before its first byte.
 * - io_uring's registered buffers, and everything else that pins pages, if they belong to a
 *   mapping for writing. Only a borrower with CAP_DAC_OVERRIDE can make such a mapping without
 *   changing the mode.
 * - Before Linux 6.13, a short change of the mode: the kernel updates the time of the last change
 *   only every few milliseconds. Within that time after a scan begins, a borrower can set the
 *   mode, pin pages for writing, and set the mode back without being seen.
 *
 * Only the following options may be set with a pool; others are -EINVAL:
 * - `name` and `spill_threshold`. A file keeps its name, so that it is cached for scans of the
 *   same name only.
 * - BYTEFD_BACKEND_MEMFD. It matters only for a scan that gets no file of the pool: that scan gets
 *   a sealed memfd or fails.
 * - BYTEFD_INHERIT, and BYTEFD_READ_ONLY, which has no effect on a file of the pool.
 * - BYTEFD_TRUST_CALLBACK, but not together with BYTEFD_INHERIT or BYTEFD_READ_ONLY.
 *
 * The file system of new files is a tmpfs that is mounted nowhere; two descriptors are the only
 * references to it. Making it needs Linux 5.12, and the right to mount (CAP_SYS_ADMIN) or to
 * create a user namespace. A child process makes it in a few milliseconds. The child shares the
 * memory of this process, and the calling thread waits for it, as with vfork(2). The child has
 * ended when the function returns. The program sees no child, signal, mount or namespace.
 * - BYTEFD_POOL_NEW_FILES makes it in bytefd_pool_create, which fails with -EOPNOTSUPP if the host
 *   refuses a step. Reasons are a seccomp filter of a container, AppArmor, a lack of user
 *   namespaces, a chroot and Valgrind. A process that is not dumpable after setuid(2) is refused
 *   too. The next scan makes it again after fork(2), after bytefd_pool_trim with 0 `bytes`, and
 *   after a change of the user. If that is refused, scans get memfds.
 * - BYTEFD_POOL_AUTO makes it after scans of 64 KiB and more have taken 8 ms in total, and does
 *   without it if the host refuses. It does not try in a process with a seccomp filter, because a
 *   filter may kill instead of refusing. Once it is made, the pool measures some scans, without
 *   the time of their borrowers, and tries the more expensive way ever more rarely.
 *
 * Lost bytes of `buf`, in a mapping of a file that was truncated, are -EFAULT as without a pool.
 * The library asks the kernel what memory `buf` is (PROCMAP_QUERY, Linux 6.11). It copies
 * anonymous memory by itself, and lets the kernel copy all other memory, which takes longer.
 *
 * Warning: a scan with a pool can raise SIGSEGV or SIGBUS if `buf` is anonymous memory that is
 * mapped but inaccessible. That concerns MADV_GUARD_INSTALL, protection keys and userfaultfd(2),
 * but not munmap(2) and mprotect(2).
 *
 * A cached file keeps its inode number, and two scans may have the same size and time. Use
 * BYTEFD_POOL_NEW_FILES or no pool for a borrower that remembers results by these. A borrower that
 * marks a cached file instead, by an extended attribute, needs no new files: the pool drops the
 * marked file.
 *
 * No thread may begin a scan with a pool, or call a function with it, during or after
 * bytefd_pool_close. Scans that have begun may still end. A pool holds at most `max_files`
 * descriptors of files for reuse, two of /proc and two of its file system. While it fills a new
 * file, it holds one more for writing to that file. bytefd_pool_trim with 0 `bytes` closes those
 * that are not lent. A scan with the pool does so too, before it fails with -EMFILE or -ENFILE.
 *
 * A child of fork(2) inherits the descriptors of cached files, but lends none of them. The child's
 * first use of the pool closes these descriptors. It also closes the child's descriptor of a file
 * that is lent with BYTEFD_TRUST_CALLBACK. Until then the child can read and change what the
 * parent scans later, unless it calls execve(2). Create pools after forking workers, or call
 * bytefd_pool_trim in the child. Files that another thread is creating or handing out at the
 * moment of the fork stay open in the child.
 *
 * Every scan has a new file on a host that has no memfd or no /proc, or that refuses file leases
 * (F_SETLEASE, fcntl(2)), which the kernel's proof needs.
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
 * The handle of a scan, from bytefd_scan_begin or a variant of it to bytefd_scan_end. Any thread
 * may end the scan, once. The handle does not restrict which threads use the descriptor.
 */
typedef struct bytefd_scan bytefd_scan;

/**
 * A real file with a path, from bytefd_tempfile_create. Any number of threads may call
 * bytefd_tempfile_path at the same time. No thread may use the handle during or after
 * bytefd_tempfile_close.
 */
typedef struct bytefd_tempfile bytefd_tempfile;

/**
 * Selects how a descriptor is made. Start from BYTEFD_WRAP_OPTIONS_INIT, which sets all defaults.
 * A NULL pointer means the same.
 *
 * `size` tells the library how many bytes the caller's struct has, because later versions add
 * members at its end. If the caller's struct is shorter than the library's, the missing members
 * have their defaults. If it is longer, the further bytes must be 0, and `size` at most 4096;
 * otherwise -E2BIG. A `size` below that of the first version is -EINVAL.
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
     * A label that is shown in /proc/self/fd and /proc/self/maps: 1 to 200 bytes without '/' and
     * newline. It need not be unique. BYTEFD_BACKEND_SHM and BYTEFD_BACKEND_TMPFILE do not show
     * it. NULL means "bytefd".
     */
    const char *name;
    /**
     * For scans: the pool that lends the file. NULL means a new file for each scan. The functions
     * whose names begin with bytefd_wrap_ refuse a pool (-EINVAL).
     */
    struct bytefd_pool *pool;
    /**
     * The maximum number of bytes that are stored in memory. Longer content goes to an unlinked
     * file on disk instead, in $TMPDIR, /tmp or /var/tmp. That holds for every function that takes
     * these options.
     * - The file on disk has no seals and belongs to no pool. Its descriptor is open for reading
     *   only, unless BYTEFD_WRITABLE is set.
     * - BYTEFD_UNLIMITED (the default) keeps all content in memory. 0 is -EINVAL.
     * - With BYTEFD_BACKEND_MEMFD or BYTEFD_SEAL_CONTENT, any value but BYTEFD_UNLIMITED is
     *   -EINVAL.
     * - Set it in a process with a memory cgroup. The kernel kills a process whose copies exceed
     *   the limit of its cgroup, and no function can turn that into an error.
     */
    uint64_t spill_threshold;
    /**
     * BYTEFD_INHERIT and the flags from BYTEFD_WRITABLE to BYTEFD_TRUST_CALLBACK, or-ed. 0 (the
     * default) sets none. An unknown bit is -EINVAL, and so is BYTEFD_WRITABLE with
     * BYTEFD_READ_ONLY or BYTEFD_SEAL_CONTENT.
     */
    uint64_t flags;
    /**
     * One of the BYTEFD_BACKEND_ constants. 0 means BYTEFD_BACKEND_AUTO.
     */
    uint32_t backend;
    /**
     * The permission bits, whatever the umask is. 0 means the default: 0400; 0600 with
     * BYTEFD_WRITABLE, 0500 with BYTEFD_EXECUTABLE, 0700 with both. The owner's read bit must be
     * set. Execute bits need BYTEFD_EXECUTABLE.
     */
    uint32_t mode;
} bytefd_wrap_options;

/**
 * Describes a failure. A function that fails fills it, and a function that succeeds leaves it
 * unchanged. It belongs to the caller, and can be used for any number of calls, one after the
 * other. Its size is 256 bytes on every platform and in every version.
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
     * The negative errno that the function returned.
     */
    int code;
    /**
     * The value that the callback of a scan returned, if `op` is "callback". Otherwise 0.
     */
    int callback;
    /**
     * The step that failed, with a final NUL: a system call, such as "memfd_create", or the
     * argument that was refused, such as "name".
     */
    char op[32];
    /**
     * One line that says what was asked and what was found, with a final NUL. It has no newline,
     * and does not repeat `op`. A long message is shortened in its middle.
     */
    char message[216];
} bytefd_error;

/**
 * Limits how much is read from a stream, and how long that may take. Start from
 * BYTEFD_STREAM_OPTIONS_INIT, which sets no limits. A NULL pointer means the same. `size` works as
 * in bytefd_wrap_options.
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
     * The stream may be longer or shorter.
     * - Up to 1 MiB, the hint is the size of the first buffer.
     * - Above 1 MiB, the hint decides where the file is. If the hint exceeds `spill_threshold`,
     *   the file is on disk. A pool takes a cached file of about this size.
     * - A regular file has a length, and needs no hint.
     */
    uint64_t size_hint;
    /**
     * Maximum time for the whole call in nanoseconds; -ETIMEDOUT afterwards. -1 (the default) sets
     * no limit, and 0 does not wait. Other negative numbers are -EINVAL.
     * - The limit of a socket itself (SO_RCVTIMEO) has an effect only with -1 and without
     *   BYTEFD_INTERRUPTIBLE.
     * - A regular file always counts as ready. A file system that does not answer (FUSE, NFS) can
     *   therefore hold the call longer than the timeout.
     */
    int64_t timeout_ns;
    /**
     * BYTEFD_INTERRUPTIBLE or 0 (the default).
     */
    uint64_t flags;
} bytefd_stream_options;

/**
 * The callback of scan_bytes. `fd` is lent for the duration of the call, and `context` is the
 * pointer that the caller gave. A return value of 0 means success; any other value makes
 * scan_bytes return -ECANCELED.
 *
 * The callback may close the descriptor. It may duplicate, map and reopen it, and keep the
 * results; with BYTEFD_TRUST_CALLBACK it must keep nothing.
 *
 * In C++ the callback may throw: the exception passes through scan_bytes, and the scan ends as
 * usual. The callback must not leave by longjmp(3) or pthread_exit(3). pthread_cancel(3) may end
 * it; the scan then ends in the same way.
 */
typedef int (*bytefd_scan_fn)(int fd, void *context);

/**
 * The callback of bytefd_wrap_reader, which delivers the next bytes. It stores at most `size`
 * bytes at `buf`, and returns how many it stored. 0 means the end, and a negative errno an error.
 * After -EINTR the library calls it again. `context` is the pointer that the caller gave.
 *
 * The callback runs in the thread that called the library. It must return: it must not throw, call
 * longjmp(3) or end the thread. It must not keep `buf`.
 */
typedef ssize_t (*bytefd_read_fn)(void *context, void *buf, size_t size);

/**
 * Selects how a pool gets its files, and how many it keeps. Start from BYTEFD_POOL_OPTIONS_INIT,
 * which sets all defaults. A NULL pointer means the same. `size` works as in bytefd_wrap_options.
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
     * Maximum number of bytes of memory in cached files that are not lent. The default is 64 MiB.
     * - 0 caches nothing.
     * - This is also the size of the file system for new files, which is at least one page. It
     *   holds the files that are lent or that a borrower has kept. A file that does not fit is a
     *   memfd.
     */
    uint64_t max_bytes;
    /**
     * Time in nanoseconds after which an unused file is dropped. The pool checks the time when it
     * is used, because it has no thread of its own.
     * - -1 (the default) keeps files until their place is needed. Other negative numbers are
     *   -EINVAL.
     * - 0 drops a file at the next use of the pool, instead of lending it again.
     */
    int64_t idle_ns;
    /**
     * Must be 0.
     */
    uint64_t flags;
    /**
     * Maximum number of files for reuse, lent or not: 1 to 64. The pool has one descriptor for
     * each. The default is 64; 0 is -EINVAL. Set fewer where RLIMIT_NOFILE is small, so that
     * callbacks can open files. If descriptors run out, the pool closes cached files to begin a
     * scan, but cannot do that for a callback.
     */
    uint32_t max_files;
    /**
     * BYTEFD_POOL_AUTO, BYTEFD_POOL_REUSE or BYTEFD_POOL_NEW_FILES. 0 (the default) means
     * BYTEFD_POOL_AUTO.
     */
    uint32_t method;
} bytefd_pool_options;

/**
 * Counts what a pool has done since it was created, and what it holds. Start from
 * BYTEFD_POOL_STATS_INIT.
 */
typedef struct bytefd_pool_stats {
    /**
     * sizeof(bytefd_pool_stats), set by the caller. The struct may grow at its end, and no more
     * bytes than this are written.
     */
    size_t size;
    /**
     * Number of scans that were lent a cached file.
     */
    uint64_t hits;
    /**
     * Number of scans that got a new file, with any method.
     */
    uint64_t misses;
    /**
     * Number of files that were dropped because they were held or changed. A file is held if
     * another open file description or mapping of it exists. bytefd_pool_get_stats first drops the
     * files that are held now and are not lent.
     */
    uint64_t dropped;
    /**
     * Number of cached files that are lent now. If that is `max_files`, every further scan gets a
     * new file that is not cached. Look for scans that were never ended.
     */
    uint64_t lent;
    /**
     * Number of bytes of memory in cached files that are not lent.
     */
    uint64_t cached_bytes;
} bytefd_pool_stats;

/**
 * Selects what is mapped, and how. Start from BYTEFD_MAP_OPTIONS_INIT, which maps the whole file
 * for reading. A NULL pointer means the same. `size` works as in bytefd_wrap_options.
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
     * Offset of the first byte of the file that is mapped. It need not be at the beginning of a
     * page.
     */
    uint64_t offset;
    /**
     * Number of bytes to map, at most PTRDIFF_MAX. BYTEFD_TO_END (the default) maps from the
     * offset to the end of the file; the offset must not be past the end. 0 is -EINVAL.
     */
    size_t length;
    /**
     * Minimum size of the file, for BYTEFD_MAP_WRITE. A smaller file is first grown to this many
     * bytes, with zeros; a larger file keeps its size. 0 (the default) never grows the file.
     * - Space for the added bytes is reserved, so that a store there cannot hit a full disk.
     *   BYTEFD_MAP_NO_RESERVE skips that. Holes that the file had before stay holes.
     * - Processes that grow one file at the same time must coordinate.
     */
    uint64_t file_size;
    /**
     * Number of bytes of address space to keep for the map, for BYTEFD_MAP_WRITE and for memory.
     * While the length of the map stays within it, bytefd_map_resize never moves the map. It costs
     * no memory. 0 (the default) keeps none.
     */
    size_t reserve;
    /**
     * The flags from BYTEFD_MAP_CREATE to BYTEFD_MAP_WIPE_ON_FORK, or-ed. 0 (the default) sets
     * none. An unknown bit is -EINVAL.
     */
    uint64_t flags;
    /**
     * BYTEFD_MAP_READ, BYTEFD_MAP_WRITE or BYTEFD_MAP_PRIVATE. 0 (the default) means
     * BYTEFD_MAP_READ for files, and BYTEFD_MAP_WRITE for bytefd_map_memory, which refuses
     * BYTEFD_MAP_READ (-EINVAL).
     */
    uint32_t access;
    /**
     * The permission bits of a file that BYTEFD_MAP_CREATE creates, less the umask. 0 means 0600.
     * bytefd_map_file ignores it without BYTEFD_MAP_CREATE. bytefd_map_fd and bytefd_map_memory
     * refuse any other value than 0 (-EINVAL).
     */
    uint32_t mode;
} bytefd_map_options;

/**
 * Requirements for a descriptor that another process has made. With any requirements, the
 * descriptor must refer to a regular file that is open for reading. Start from
 * BYTEFD_REQUIREMENTS_INIT, which requires seals against writing and shrinking. For bytefd_verify
 * a NULL pointer means the same; for bytefd_receive it means no requirements. `size` works as in
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
     * Minimum number of bytes. 0 (the default) accepts any number.
     */
    uint64_t min_length;
    /**
     * Maximum number of bytes. A sealed file can be far longer than its memory, because it may
     * consist of holes. BYTEFD_UNLIMITED (the default) sets no limit; 0 is -EINVAL.
     */
    uint64_t max_length;
    /**
     * BYTEFD_REQUIRE_UID and BYTEFD_REQUIRE_NO_SEALS, or-ed. 0 (the default) sets none.
     */
    uint64_t flags;
    /**
     * The seals that the file must have, F_SEAL_* of fcntl(2); it may have more. 0 (the default)
     * means F_SEAL_WRITE | F_SEAL_SHRINK.
     */
    uint32_t seals;
    /**
     * The required owner of the file, with BYTEFD_REQUIRE_UID. Otherwise it must be 0.
     */
    uid_t uid;
} bytefd_requirements;

/**
 * Selects how bytefd_send and bytefd_receive wait, and where a message on a stream ends. Start
 * from BYTEFD_TRANSFER_OPTIONS_INIT. A NULL pointer means the same. `size` works as in
 * bytefd_wrap_options.
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
     * Maximum time for the whole call in nanoseconds; -ETIMEDOUT afterwards. -1 (the default) sets
     * no limit, and 0 does not wait. The time limits of the socket (SO_RCVTIMEO, SO_SNDTIMEO) have
     * an effect only with -1 and without BYTEFD_INTERRUPTIBLE.
     */
    int64_t timeout_ns;
    /**
     * BYTEFD_TRANSFER_SOME and BYTEFD_INTERRUPTIBLE, or-ed. 0 (the default) sets none.
     */
    uint64_t flags;
} bytefd_transfer_options;

/**
 * Identifies the process, user and group at the other end of a connected socket, as the kernel saw
 * them at connect(2), listen(2) or socketpair(2). Start from BYTEFD_CREDENTIALS_INIT.
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
     * The process ID, as this process sees it; 0 if it cannot see that process. The process may
     * have ended, and another process may have the number by now.
     */
    pid_t pid;
    /**
     * The effective user ID.
     */
    uid_t uid;
    /**
     * The effective group ID.
     */
    gid_t gid;
    /**
     * Always 0.
     */
    uint32_t reserved;
} bytefd_credentials;

/**
 * Selects how an object of shared memory is created or opened. Start from BYTEFD_SHM_OPTIONS_INIT,
 * in which every member but `size` is 0. It opens an existing object for reading. A NULL pointer
 * means the same. `size` works as in bytefd_wrap_options.
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
     * With BYTEFD_SHM_CREATE: the size of the new object, zero-filled and preallocated. 0 creates
     * an empty object. If the object exists: its minimum size; a smaller object is -ENXIO. 0
     * accepts any size.
     */
    uint64_t length;
    /**
     * The BYTEFD_SHM_ flags, or-ed. 0 opens an existing object, and this process does not become
     * an owning process. An unknown bit is -EINVAL.
     */
    uint64_t flags;
    /**
     * BYTEFD_MAP_READ for reading, or BYTEFD_MAP_WRITE for reading and writing. 0 means
     * BYTEFD_MAP_READ.
     */
    uint32_t access;
    /**
     * The permission bits of a new object, whatever the umask is. 0 means 0600. It has no effect
     * on an object that exists. With BYTEFD_SHM_OWNED it must have the read or the write bit of
     * the user (0400, 0200), so that a sweep can open the object.
     */
    uint32_t mode;
} bytefd_shm_options;

/**
 * Counts what bytefd_sweep did. Start from BYTEFD_SWEEP_RESULT_INIT.
 *
 * ```c
 * bytefd_sweep_result result = BYTEFD_SWEEP_RESULT_INIT;
 * if (bytefd_sweep(&result, NULL) >= 0 && result.failed > 0)
 *     fprintf(stderr, "%llu were left behind\n", (unsigned long long)result.failed);
 * ```
 */
typedef struct bytefd_sweep_result {
    /**
     * sizeof(bytefd_sweep_result), set by the caller.
     */
    size_t size;
    /**
     * Number of names that were removed.
     */
    uint64_t removed;
    /**
     * Number of names of this user that a process still holds.
     */
    uint64_t in_use;
    /**
     * Number of names that could not be removed entirely, and of directories that could not be
     * read.
     */
    uint64_t failed;
} bytefd_sweep_result;

/**
 * Selects how a temporary file is created. Start from BYTEFD_TEMPFILE_OPTIONS_INIT, which sets all
 * defaults. A NULL pointer means the same. `size` works as in bytefd_wrap_options.
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
     * The end of the file's name, at most 200 bytes without a slash. NULL means no suffix.
     */
    const char *suffix;
    /**
     * An existing directory for the file. NULL means the tmpfs at /dev/shm, or /tmp if that cannot
     * be used. bytefd_sweep searches only /dev/shm, $TMPDIR, /tmp and /var/tmp. In any other
     * directory, a killed process leaves the file behind.
     */
    const char *directory;
    /**
     * Must be 0.
     */
    uint64_t flags;
    /**
     * The permission bits of the file, whatever the umask is. 0 means 0600. The directory around
     * the file admits no other user.
     */
    uint32_t mode;
    /**
     * Must be 0.
     */
    uint32_t reserved;
} bytefd_tempfile_options;

/**
 * Selects how a System V segment is created or attached. Start from BYTEFD_SYSV_OPTIONS_INIT, in
 * which every member but `size` is 0. It attaches an existing segment for reading. A NULL pointer
 * means the same. `size` works as in bytefd_wrap_options.
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
     * With BYTEFD_SYSV_CREATE: the size of the new segment, zero-filled. 0 is -EINVAL if a segment
     * must be created. If the segment exists: its minimum size; a smaller segment is -ENXIO. 0
     * accepts any size.
     */
    size_t length;
    /**
     * The BYTEFD_SYSV_ flags, or-ed. 0 attaches the existing segment with the key. An unknown bit
     * is -EINVAL.
     */
    uint64_t flags;
    /**
     * BYTEFD_MAP_READ for reading, or BYTEFD_MAP_WRITE for reading and writing. 0 means
     * BYTEFD_MAP_READ. A new segment must be attached with BYTEFD_MAP_WRITE.
     */
    uint32_t access;
    /**
     * The permission bits of a new segment, whatever the umask is. 0 means 0600. It has no effect
     * on a segment that exists.
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
 * - A large file gets huge pages where the host provides them and they take less time to fill.
 *
 * The file cannot be sealed on hosts without memfd_create(2), with BYTEFD_BACKEND_SHM or
 * BYTEFD_BACKEND_TMPFILE, and above `spill_threshold`. The descriptor is then open for reading
 * only (O_RDONLY), unless BYTEFD_WRITABLE is set. Set `backend` to BYTEFD_BACKEND_MEMFD to require
 * seals.
 *
 * The caller owns the descriptor and closes it. The content exists until the last duplicate,
 * mapping or received copy is gone. `buf` is read only during the call. Any thread may call this
 * at any time.
 *
 * Returns the descriptor, which is never 0, 1 or 2. On failure, returns one of the following and
 * leaves nothing behind:
 * - -EINVAL if `buf` is NULL and `len` is not 0, if `len` exceeds PTRDIFF_MAX, or if the options
 *   are unknown or contradict each other.
 * - -E2BIG if the options have members that this version does not know.
 * - -EFAULT if part of `buf` is not readable, or was lost because it is in a mapping of a file
 *   that was truncated. That includes lost pages that BYTEFD_MAP_GUARD has replaced by zeros.
 * - -EFBIG if `len` exceeds RLIMIT_FSIZE. SIGXFSZ is not raised.
 * - -ENOSPC if the file system behind the backend is full.
 * - -EMFILE, -ENFILE, -ENOMEM if a limit is reached. A copy that exceeds the limit of a memory
 *   cgroup is no error, but kills a process; see `spill_threshold`.
 * - -ENOENT if /proc is not mounted, and the options or the host need it to open the file
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
 * Creates a file as bytefd_wrap_buffer does, from content that lies in several places. The file
 * contains the `count` segments in their order. `count` has no limit, and a segment of length 0 is
 * skipped. `iov` may be NULL only if `count` is 0.
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
 * Opens the regular file behind `fd` again and returns a new descriptor, which the caller owns.
 * Use it to give each reader or each child a file offset of its own. The descriptor is open for
 * reading only, and has a file offset of its own, which is 0. It is close-on-exec unless `flags`
 * is BYTEFD_INHERIT. (A descriptor from dup(2) would share its offset with `fd`.) `fd` stays open.
 *
 * This protects nothing by itself. Code that has the descriptor can open the file for writing
 * through /proc, if the file's mode allows that. Only seals protect the content.
 *
 * Returns the descriptor. On failure, returns one of the following:
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
 * Writes the text "/proc/self/fd/N" for `fd`, with a final NUL, to `buf`, for code that takes only
 * a path. 32 bytes are always enough.
 *
 * The path names the descriptor only in this process, and only while the descriptor is open.
 * Opening the path gives an open file description with an offset of its own. A child process finds
 * the file under the same path if it inherits the descriptor (BYTEFD_INHERIT).
 *
 * Code that resolves the link first (SQLite does), or that opens it with O_NOFOLLOW, finds no
 * file. Use bytefd_tempfile_create for such code.
 *
 * Warning: with another backend than memfd, code that resolves the link and opens the result can
 * open a wrong file. Another user can create a file of the name to which the link resolves. With a
 * memfd such code only finds no file.
 *
 * Returns 0. On failure, returns one of the following and leaves `buf` unchanged:
 * - -EBADF if `fd` is not open.
 * - -EINVAL if `buf` is NULL.
 * - -ERANGE if `size` is too small.
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
 * Reads `fd` to its end into a new file, and returns a descriptor for that file. Reading begins at
 * the present offset. The new descriptor is as bytefd_wrap_buffer makes it with the same options.
 *
 * `fd` is a pipe, stream socket, file or terminal. It stays the caller's, and its offset moves. At
 * most 1 MiB is held in memory besides the new file, except in the two cases below.
 *
 * If the stream is longer than 1 MiB, the bytes after the first MiB are read straight into a huge
 * page of the file, where the host provides one. In two cases the content is copied once more, and
 * two files exist for a moment:
 * - The kernel refuses to seal the file, because a child that another thread has forked maps it,
 *   or the kernel still uses its pages.
 * - The stream exceeds `spill_threshold`, and the file was in memory until then.
 *
 * The call blocks until the end of the stream, unless `timeout_ns` or BYTEFD_INTERRUPTIBLE ends
 * it. It also waits for a pipe that does not block (O_NONBLOCK). A terminal whose other side is
 * closed (EIO) is at its end.
 *
 * Returns the descriptor. On failure, returns one of the following and keeps nothing. The bytes
 * that were read from a pipe or socket are lost.
 * - -EFBIG if the stream is longer than `max_bytes` or RLIMIT_FSIZE.
 * - -ETIMEDOUT if `timeout_ns` has passed.
 * - -EINTR if BYTEFD_INTERRUPTIBLE is set and a signal handler ran.
 * - -EAGAIN if the socket does not block and nothing has been read, whatever the timeout; or if
 *   the socket's own limit (SO_RCVTIMEO) has passed.
 * - -EPROTOTYPE if `fd` is a socket for datagrams or packets.
 * - -EBADF if `fd` is not open, or not open for reading.
 * - -EISDIR if `fd` is a directory.
 * - -ENOSPC, -ENOMEM, -EMFILE, -ENFILE if a limit is reached.
 * - -EINVAL, -E2BIG if options are invalid, as for bytefd_wrap_buffer.
 * - Other errors of read(2).
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
 * Lends a descriptor of a file that contains the `len` bytes at `buf` to the callback `scan`, and
 * closes the descriptor afterwards.
 *
 * The descriptor is as bytefd_wrap_buffer makes it with the same options. Without a pool, each
 * call uses a new file, so that nothing of one scan can ever be seen in another. With
 * `options->pool` the descriptor belongs to a file of the pool. That is faster, but the file
 * usually has no seals; bytefd_pool describes what protects it.
 *
 * The descriptor is closed exactly once, whatever the callback does. (The descriptor of a cached
 * file that was lent with BYTEFD_TRUST_CALLBACK goes back to the pool instead, open.) If the
 * callback has closed the number, and another file has the number by then, the library leaves that
 * file open. Any thread may call this at any time, also from within a callback.
 *
 * Returns 0 if `scan` returned 0. Otherwise returns one of the following:
 * - -ECANCELED if `scan` returned another value. `error->op` is then "callback", and
 *   `error->callback` is that value.
 * - -EINVAL if `scan` is NULL.
 * - The errors of bytefd_wrap_buffer, if no descriptor can be made. `scan` is not called then.
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
 * Begins a scan without a callback, for languages whose callbacks do not cross C well.
 * bytefd_scan_end ends it.
 *
 * Returns the descriptor, which stays the library's, and writes a handle for bytefd_scan_end to
 * `*scan`. On failure, returns one of the following and leaves `*scan` unchanged:
 * - -EINVAL if `scan` is NULL.
 * - The errors of bytefd_wrap_buffer.
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
 * Begins a scan as bytefd_scan_begin does, of content that lies in several places, as
 * bytefd_wrap_iov takes it.
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
 * Begins a scan as bytefd_scan_begin does, of the stream behind the descriptor `fd`. It reads the
 * stream to its end as bytefd_wrap_stream does, into a file of `options->pool` if that is set.
 * `fd` stays the caller's.
 *
 * Returns the descriptor. On failure, returns what bytefd_wrap_stream returns, or -EINVAL if
 * `scan` is NULL.
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
 * Ends the scan and frees `scan`. It closes the descriptor, unless the borrower has closed it
 * already. (A descriptor that was lent with BYTEFD_TRUST_CALLBACK goes back to the pool instead,
 * open.) NULL is allowed. Always returns 0.
 *
 * ```c
 * bytefd_scan_end(NULL);
 * ```
 */
int bytefd_scan_end(struct bytefd_scan *scan);

/**
 * Creates a file as bytefd_wrap_stream does, from content that the callback `read` delivers. The
 * library calls `read` until it returns 0. Meanwhile the library holds no lock, and `read` may
 * call any function of the library.
 *
 * Returns the descriptor. On failure, returns what bytefd_wrap_stream returns with these `options`
 * and `stream`, or one of the following, and keeps nothing:
 * - The negative errno that `read` returned, with `error->op` "read".
 * - -EINVAL if `read` is NULL, or returned more than `size`.
 * - -EINVAL if `stream` has a timeout or BYTEFD_INTERRUPTIBLE, because only `read` itself can end
 *   its wait.
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
 * Begins a scan as bytefd_scan_begin does, of content that the callback `read` delivers. The
 * content goes into a file of `options->pool` if that is set.
 *
 * Returns the descriptor. On failure, returns what bytefd_wrap_reader returns, or -EINVAL if
 * `scan` is NULL.
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
 * Creates an empty pool and writes it to `*pool`. The caller ends it with bytefd_pool_close.
 *
 * Returns 0. On failure, returns one of the following:
 * - -EINVAL if `pool` is NULL, or a member of the options has an unknown value; the message names
 *   the member.
 * - -E2BIG if the options have members that this version does not know.
 * - -EOPNOTSUPP if `method` is BYTEFD_POOL_NEW_FILES and the host refuses a step. `error->op` is
 *   the step, such as "clone", "unshare", "write uid_map", "fsopen" or "mount_setattr".
 * - -EMFILE, -ENFILE or -ENOMEM with BYTEFD_POOL_NEW_FILES, if a limit is reached.
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
 * may end at the same time or later, in any thread. Always returns 0.
 *
 * ```c
 * bytefd_pool_close(NULL);
 * ```
 */
int bytefd_pool_close(struct bytefd_pool *pool);

/**
 * Drops cached files, the longest unused first, until at most `bytes` bytes are cached. With 0 it
 * drops all of them, empty ones too, and the file system for new files. A later scan makes that
 * file system again. Call it when memory or descriptors are short.
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
 * Returns 0, or -EINVAL if `pool` or `stats` is NULL, or `stats->size` is below that of the first
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
 * Maps the file at `path` and writes the map to `*map`. The caller ends it with bytefd_map_close.
 * A file of 0 bytes gives a valid map of length 0. A FIFO, socket or device is refused without
 * being opened, so that the call does not block.
 *
 * With BYTEFD_MAP_WRITE the map keeps a descriptor of the file, which bytefd_map_descriptor
 * returns. With BYTEFD_MAP_GUARD alone it keeps one for bytefd_map_file_size only. Otherwise no
 * descriptor stays open.
 *
 * Warning: the call opens the file, and closes that descriptor when it returns or when the map is
 * closed. The kernel then drops all POSIX record locks that this process has on the file,
 * fcntl(2). Use bytefd_map_fd for a file with such locks. A map of bytefd_map_fd with
 * BYTEFD_MAP_WRITE or BYTEFD_MAP_GUARD drops them too, when bytefd_map_close ends it.
 *
 * The bytes are those of the file: a process that writes to the file changes them. If the file
 * becomes shorter than the map, access to the lost pages raises SIGBUS. BYTEFD_MAP_GUARD,
 * bytefd_map_read and bytefd_map_write survive that.
 *
 * Returns 0. On failure, returns one of the following and leaves `*map` unchanged. A file that the
 * call created is removed. A file that the call should grow keeps its old size.
 * - -EINVAL if `path` or `map` is NULL, or the options are unknown or contradict each other.
 * - -EINVAL if `length` is 0 in the options; BYTEFD_MAP_OPTIONS_INIT sets it to BYTEFD_TO_END.
 * - -E2BIG if the options have members that this version does not know.
 * - -ENXIO if the range is not entirely in the file. BYTEFD_MAP_BEYOND_EOF with a `length` allows
 *   such a range.
 * - -ENOENT if there is no such file, or the file is a symbolic link to nothing.
 * - -EACCES if permission is missing. BYTEFD_MAP_WRITE needs permission to read and write.
 * - -EISDIR if `path` is a directory.
 * - -ENODEV if `path` is anything else that is not a regular file, or a file whose content cannot
 *   be mapped (/proc).
 * - -EFBIG, -ENOSPC if the file cannot be grown to `file_size`, because of RLIMIT_FSIZE or a lack
 *   of space. SIGXFSZ is not raised.
 * - -EPERM if BYTEFD_MAP_WRITE is set and the file is sealed against writing, or
 *   BYTEFD_MAP_EXECUTE is set and the file system is mounted noexec.
 * - -ENOMEM, -EMFILE, -ENFILE if memory, address space or descriptors run out.
 * - -EBUSY, -ELIBACC if the handler cannot be installed; see BYTEFD_MAP_GUARD.
 * - Other errors of open(2).
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
 * Maps the regular file behind `fd` and writes the map to `*map`. `fd` stays the caller's, and may
 * be closed afterwards. The file offset is neither used nor changed. BYTEFD_MAP_WRITE needs a
 * descriptor that is open for reading and writing; other maps need one that is open for reading.
 *
 * Options and results are as for bytefd_map_file, except that BYTEFD_MAP_CREATE and `mode` are
 * -EINVAL.
 *
 * With BYTEFD_MAP_WRITE or BYTEFD_MAP_GUARD the map keeps a duplicate of `fd`. When
 * bytefd_map_close closes the duplicate, the kernel drops this process's POSIX record locks on the
 * file, fcntl(2).
 *
 * Returns 0. On failure, returns an error of bytefd_map_file or one of the following, and leaves
 * `*map` unchanged:
 * - -EBADF if `fd` is not an open descriptor.
 * - -EACCES if `fd` was not opened for the requested access.
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
 * Maps `length` bytes of new memory, for reading and writing. The bytes are zero at first, as with
 * anonymous mappings and /dev/zero. A `length` of 0 gives an empty map, which bytefd_map_resize
 * can grow.
 *
 * With BYTEFD_MAP_PRIVATE it is anonymous memory, like that of malloc(3). Otherwise it is shared:
 * it belongs to a memory file without a name, whose descriptor (bytefd_map_descriptor) can be
 * given to other processes. bytefd_map_seal seals that file.
 *
 * With BYTEFD_MAP_POPULATE the kernel provides all memory before the call returns, in huge pages
 * where they pay. Otherwise it provides each page on first access.
 *
 * Only the following options may be set; the others must be what BYTEFD_MAP_OPTIONS_INIT sets:
 * - `access`, but not BYTEFD_MAP_READ.
 * - `reserve`.
 * - The flags BYTEFD_MAP_EXECUTE, _POPULATE, _MLOCK, _HUGE_PAGES, _NO_RESERVE, _GUARD, _NO_FORK
 *   and _WIPE_ON_FORK.
 *
 * Returns 0. On failure, returns one of the following and leaves `*map` unchanged:
 * - -EINVAL if `map` is NULL, or the options are unknown, are for files, or contradict each other.
 * - -EINVAL if BYTEFD_MAP_HUGE_PAGES is set, and `length` is 0 or not a multiple of the size of
 *   reserved huge pages.
 * - -E2BIG if the options have members that this version does not know.
 * - -ENOMEM if memory, address space or reserved huge pages run out.
 * - -EMFILE, -ENFILE if descriptors run out.
 * - -EFBIG if `length` exceeds RLIMIT_FSIZE, which counts for shared memory. SIGXFSZ is not
 *   raised.
 * - The errors of memfd_create(2), if it is refused.
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
 * Returns the address of the first byte. It is valid until bytefd_map_close, or until
 * bytefd_map_resize moves the map; see `reserve`. The result is NULL only if `map` is NULL. The
 * address of an empty map is aligned to a page and must not be dereferenced. Stores need
 * BYTEFD_MAP_WRITE or BYTEFD_MAP_PRIVATE; otherwise they raise SIGSEGV.
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
 * Returns the number of bytes in the map; 0 if `map` is NULL.
 *
 * ```c
 * size_t none = bytefd_map_length(NULL);
 * ```
 */
size_t bytefd_map_length(const struct bytefd_map *map);

/**
 * Returns the descriptor of the file behind the map, which is open for reading and writing. Maps
 * of files with BYTEFD_MAP_WRITE have one, and shared memory has one until it is sealed.
 *
 * The descriptor belongs to the map, and must not be closed. It is valid until bytefd_map_close or
 * bytefd_map_seal; dup(2) gives one that can be kept. It is close-on-exec. A process that inherits
 * or receives it has the memory.
 *
 * Returns the descriptor. On failure, returns one of the following:
 * - -EINVAL if `map` is NULL.
 * - -EBADF if the map has no descriptor, because it is for reading, is private, is a System V map,
 *   or was sealed.
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
 * Unmaps and frees `map`. NULL is allowed. It does not flush: the kernel writes shared changes
 * back later.
 *
 * Returns 0, or the negative errno of munmap(2). `map` is freed in both cases.
 *
 * ```c
 * bytefd_map_close(NULL);
 * ```
 */
int bytefd_map_close(struct bytefd_map *map);

/**
 * Writes the changed bytes of a range back to the file, msync(2). The range is any bytes of the
 * map, not only whole pages. `length` may be BYTEFD_TO_END; 0 writes nothing.
 *
 * `flags` is an int, as in msync(2), because it takes the kernel's MS_ constants and no flag of
 * this library. It is one of:
 * - MS_SYNC: returns when the bytes are on the storage.
 * - MS_ASYNC: schedules the writing and returns. (Linux writes a shared map back later even
 *   without this call.)
 *
 * MS_INVALIDATE may be added, so that other maps of the file show its new content. (On Linux they
 * always do.)
 *
 * Returns 0. On failure, returns one of the following:
 * - -EINVAL if `map` is NULL, `flags` has another value, or the range is not in the map.
 * - -EINVAL if the map is a BYTEFD_MAP_PRIVATE one, whose stores never reach the file.
 * - -EBUSY if pages are locked, with MS_INVALIDATE.
 * - -EIO if writing failed, or a guarded map has replaced lost pages.
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
 * Tells the kernel how the pages of a range will be used, madvise(2). `advice` is a MADV_
 * constant. `length` may be BYTEFD_TO_END; 0 does nothing.
 *
 * `flags` must be BYTEFD_LOSE_CONTENT for advice that loses content, and may be 0 for other
 * advice. The following advice loses content:
 * - MADV_FREE, MADV_REMOVE, MADV_HWPOISON and MADV_GUARD_INSTALL.
 * - MADV_DONTNEED and MADV_DONTNEED_LOCKED in maps with BYTEFD_MAP_PRIVATE.
 *
 * After MADV_DONTFORK, children must call no function with the map, as with BYTEFD_MAP_NO_FORK.
 *
 * Advice that loses content is given only to pages that lie entirely within the range; a last page
 * that the map does not fill is left alone. Other advice is given to every page that contains
 * bytes of the range.
 *
 * Returns 0. On failure, returns one of the following:
 * - -EINVAL if `map` is NULL, `advice` or `flags` is unknown, or the range is not in the map.
 * - -EINVAL if the advice would lose content and BYTEFD_LOSE_CONTENT is missing.
 * - -EINVAL if the kernel does not support the advice for this kind of memory.
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
 * Keeps the pages of a range in memory, mlock(2). Locks do not add up: one bytefd_map_munlock ends
 * all of them. `length` may be BYTEFD_TO_END; 0 locks nothing.
 *
 * Returns 0. On failure, returns one of the following:
 * - -EINVAL if `map` is NULL or the range is not in the map.
 * - -ENOMEM or -EPERM if RLIMIT_MEMLOCK does not allow it.
 * - -ENOMEM if pages are past the end of the file.
 * - Other errors of mlock(2).
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
 * Reverts bytefd_map_mlock and BYTEFD_MAP_MLOCK for the pages of a range, munlock(2). `length` may
 * be BYTEFD_TO_END; 0 unlocks nothing.
 *
 * Returns 0, or -EINVAL if `map` is NULL or the range is not in the map.
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
 * Allows or forbids access to the pages that contain bytes of a range, mprotect(2). `length` may
 * be BYTEFD_TO_END; 0 does nothing. `prot` is PROT_NONE, or PROT_READ with or without PROT_WRITE
 * and PROT_EXEC. PROT_WRITE and PROT_EXEC need PROT_READ, because Linux does not reliably forbid
 * reading of memory that can be written or executed.
 *
 * Returns 0. On failure, returns one of the following:
 * - -EINVAL if `map` is NULL, `prot` is another value, or the range is not in the map.
 * - -EACCES for PROT_WRITE without BYTEFD_MAP_WRITE or BYTEFD_MAP_PRIVATE.
 * - -EACCES for PROT_EXEC without BYTEFD_MAP_EXECUTE.
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
 * Reads the pages of a range in before it returns, so that later access does not wait. `length`
 * may be BYTEFD_TO_END; 0 reads nothing.
 *
 * Returns 0. On failure, returns one of the following:
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
 * The map can begin or end within a page. The page in which it begins is unmapped too, provided
 * that the range begins at the map's first byte. The page in which it ends is unmapped too,
 * provided that the range ends at the map's last byte.
 *
 * Access to these pages then raises SIGSEGV, or finds other memory of the process. Operations on
 * their bytes are -EINVAL. The map keeps its length, but can no longer be resized or sealed. No
 * other thread may use the map during the call.
 *
 * Returns 0. On failure, returns one of the following:
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
 * Copies `length` bytes of the map, beginning at `offset`, to `buf`, and writes the number of
 * bytes copied to `*copied`. Lost pages of the map never raise a signal, whether the map is
 * guarded or not.
 *
 * The copy ends before the first page that cannot be read, and `*copied` is then less than
 * `length`. Such a page is one of:
 * - A lost page, because another process made the file shorter or the storage failed. That
 *   includes a page that the guard has replaced, so stores into the replacement are not copied. In
 *   a guarded map the copy ends exactly at the present end of the file (bytefd_map_file_size). In
 *   other maps the rest of the file's last page reads zero.
 * - A page that was protected with PROT_NONE (bytefd_map_protect).
 *
 * Usually the kernel makes the copy, by process_vm_readv(2). The library copies a guarded map by
 * itself, under the guard's handler, if a SIGBUS of this thread would reach that handler. If
 * bytefd_map_protect has protected pages of the map, the kernel makes the copy in this case too.
 * On x86-64, a copy by the library of content larger than the caches took 1.1 to 1.4 times as long
 * as memcpy(3) where it was measured.
 *
 * Returns 0. On failure, returns one of the following and leaves `*copied` unchanged:
 * - -EIO if not even the first byte can be read: it no longer exists, or its page is protected. A
 *   loop over the remaining bytes ends with this error.
 * - -EINVAL if `map` or `copied` is NULL, or the range is not in the map.
 * - -EINVAL if `buf` is NULL and `length` is not 0, or `length` is BYTEFD_TO_END.
 * - -EFAULT if `buf` cannot be written; a part of it may have been written. With a guarded map a
 *   bad `buf` raises SIGSEGV or SIGBUS, as any other store does.
 * - -EMFILE, -ENFILE if the kernel forbids process_vm_readv, and no descriptors are left for a
 *   pipe, which is used instead.
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
 * Copies `length` bytes at `buf` into the map, beginning at `offset`, and writes the number of
 * bytes copied to `*copied`. Lost pages of the map never raise a signal.
 *
 * The copy ends before the first page that is lost (replaced by the guard or not), that is
 * protected against writing, or for which the storage has no space. In a guarded map it also ends
 * at the end of the file.
 *
 * Returns 0. On failure, returns one of the following and leaves `*copied` unchanged:
 * - -EIO if not even the first byte can be stored.
 * - -EINVAL if `map` or `copied` is NULL, or the range is not in the map.
 * - -EINVAL if `buf` is NULL and `length` is not 0, or `length` is BYTEFD_TO_END.
 * - -EACCES if the map is for reading only.
 * - -EFAULT if `buf` cannot be read, or a guard has replaced bytes of `buf` by zeros. A part of
 *   `buf` may have been copied. With a guarded map, only lost pages in `buf` are -EFAULT. Other
 *   memory that cannot be read raises SIGSEGV, as any other load does.
 * - -EMFILE, -ENFILE as for bytefd_map_read.
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
 * Fails if a page of a guarded map (BYTEFD_MAP_GUARD) was lost and replaced by zeros. For other
 * maps it always returns 0.
 *
 * Only whole pages are lost. If the file became shorter within a page, the rest of that page reads
 * zero and is not reported here. bytefd_map_file_size shows it.
 *
 * Returns 0. On failure, returns one of the following:
 * - -EIO if a page was lost and replaced. A lost page that no load or store has touched is not
 *   reported: bytefd_map_read, bytefd_map_write and system calls replace no page.
 * - -EINVAL if `map` is NULL.
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
 * Writes the present size of the file behind the map, in bytes, to `*size`. It works for maps with
 * a descriptor (bytefd_map_descriptor) and for guarded maps of files (BYTEFD_MAP_GUARD).
 *
 * Returns 0. On failure, returns one of the following and leaves `*size` unchanged:
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
 * Sets the length of the map to `length` bytes. Its `offset` in the file stays the same.
 * - Growing also grows a file that ends before the new end of the map, and reserves the space, as
 *   `file_size` does. The bytes that the file gains read zero, whatever was stored past the old
 *   end.
 * - Shrinking truncates the file at the new end of the map, unless the file extends past the old
 *   end. Access past the new end by other processes and other maps then raises SIGBUS.
 * - A file that extends past the end of the map keeps its bytes, and growing the map shows them.
 *
 * The map keeps its address if neither `length` nor any earlier length exceeds the `reserve` of
 * its options. Otherwise it may move, and an earlier result of bytefd_map_data is then invalid. No
 * other thread may use the map during the call.
 *
 * Returns 0. On failure, returns one of the following and changes nothing:
 * - -EINVAL if `map` is NULL, was sealed, or parts of it were unmapped.
 * - -EINVAL if the map is for reading, is a private map of a file, or is a System V map.
 * - -EINVAL if `length` is more than a map or file can have, or does not consist of whole reserved
 *   huge pages.
 * - -EFBIG, -ENOSPC if the file cannot grow.
 * - -EPERM if the file is sealed against it, for example by bytefd_map_share.
 * - -EIO if a guarded map has replaced lost pages, and is to grow.
 * - -ENOMEM if memory or address space runs out.
 * - -ENOMEM or -EAGAIN if a locked map would exceed RLIMIT_MEMLOCK.
 * - -EFAULT if the map must move, and parts of it have another protection or advice than the rest.
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
 * bytefd_wrap_buffer does. The file has exactly the map's length, offset 0 and mode 0400 (0500
 * with BYTEFD_MAP_EXECUTE). The descriptor is close-on-exec, and the caller closes it.
 *
 * The map stays at the same address, for reading only, and its bytes can never change. The
 * protection of parts (bytefd_map_protect) ends, even on failure. During the call other threads
 * may only load bytes through an address from an earlier bytefd_map_data. They may call no
 * function with the map, not even bytefd_map_read.
 *
 * The call waits while another mapping of the memory could be written, in any process including
 * this one. It also waits while the kernel uses pages of the memory (io_uring registered buffers,
 * direct I/O). A shared mapping counts, even with PROT_READ, if it was made through a descriptor
 * that is open for writing, such as that of bytefd_map_descriptor. Private mappings, such as those
 * of BYTEFD_MAP_READ, and mappings through a read-only descriptor (bytefd_map_share,
 * bytefd_reopen) do not delay the call.
 *
 * The mapping that a child of fork(2) has inherited counts too, until the child calls execve(2) or
 * exits. If another thread forks a child during the call to execute a program, that usually delays
 * the call by a few milliseconds.
 *
 * `timeout_ns` limits the wait in nanoseconds: -1 waits without a limit, and 0 does not wait. With
 * -1 the call never returns if such a mapping is never unmapped.
 *
 * Returns the descriptor. On failure, returns one of the following; the map keeps its bytes,
 * address and length:
 * - -EINVAL if `map` is NULL, is not shared memory, is sealed already, or parts of it were
 *   unmapped.
 * - -EINVAL if `timeout_ns` is less than -1.
 * - -ETIMEDOUT if the timeout has passed before the wait has ended. With a `timeout_ns` of 0 the
 *   error is -EBUSY instead.
 * - -EPERM if another process has set F_SEAL_SEAL on the memory.
 * - -EPERM or -EACCES if this process created the memory as another user.
 * - -EIO if another process made the memory shorter. If that happened during this call, the map is
 *   for reading only from then on.
 * - -ENOENT if /proc is not mounted, on kernels before 6.7.
 * - -ENOMEM, -EMFILE, -ENFILE if memory or descriptors run out.
 *
 * If the map was shared before (bytefd_map_share), a failure leaves it for reading only. It can be
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
 * this map stays writable. The other processes see every store. The caller closes the descriptor.
 * It is close-on-exec and has an offset of its own. `flags` must be 0.
 *
 * The memory gets mode 0400 (0500 with BYTEFD_MAP_EXECUTE), and the seals F_SEAL_SHRINK,
 * F_SEAL_GROW and F_SEAL_FUTURE_WRITE (Linux 5.1). It can then be written only through mappings
 * that exist already. bytefd_map_resize and MADV_REMOVE are -EPERM from then on. bytefd_map_seal
 * still works, but another process of the same user can prevent it.
 *
 * Returns the descriptor. On failure, returns one of the following:
 * - -EINVAL if `map` is NULL, is not shared memory or is sealed, `flags` is not 0, or the kernel
 *   does not know F_SEAL_FUTURE_WRITE.
 * - -EPERM if another process has set F_SEAL_SEAL on the memory.
 * - -EPERM or -EACCES if this process created the memory as another user.
 * - -EIO if another process made the memory shorter.
 * - -ENOENT if /proc is not mounted.
 * - -EMFILE, -ENFILE if descriptors run out.
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
 * Turns the buffer at `address` into a file and returns a descriptor of the file. The caller keeps
 * the buffer, and owns and closes the descriptor. The call copies the `length` bytes once into a
 * new memory file, and maps the file in the place of the buffer. Buffer and file are then the same
 * memory: a store into one is visible in the other. `flags` must be 0.
 *
 * The buffer consists of whole pages that the caller has mapped by mmap(2), with PROT_READ |
 * PROT_WRITE and MAP_PRIVATE | MAP_ANONYMOUS. It can be a part of a mapping, or several adjoining
 * mappings. It stays at the same address until the caller calls munmap(2). The library keeps
 * nothing of it: closing the descriptor and unmapping the buffer do not affect each other.
 *
 * The file is a memfd of exactly `length` bytes, for reading and writing, with offset 0 and mode
 * 0600, close-on-exec. At first it has no seals, except against execution (Linux 6.3). The caller
 * can add seals:
 * - F_SEAL_SHRINK before giving the descriptor away. Without it, every process that can make the
 *   file shorter can make access to the buffer raise SIGBUS.
 * - F_SEAL_FUTURE_WRITE (Linux 5.1), after which only the buffer can change the file.
 * - F_SEAL_WRITE only after the buffer was unmapped; before that it is EBUSY.
 *
 * The replacement is one step, so that other threads may read the buffer all the time. The caller
 * must ensure the following:
 * - No thread maps, unmaps or protects a part of the range during the call.
 * - No thread stores into the range during the call, because a store to bytes that were already
 *   copied is lost. That includes the kernel. A read into the buffer that is in progress
 *   (io_uring, O_DIRECT) fills the old memory. Later reads into a buffer that was registered
 *   before the call fill the old memory too.
 * - No thread waits in the range on a futex of the kind that works between processes: one without
 *   FUTEX_PRIVATE_FLAG, such as bytefd_futex_wait uses, even if only this process uses it.
 * - The buffer is not memory of malloc(3), unless it is never freed. malloc would reuse it for
 *   other data, which the file then shows. Some allocators also expect zeros after MADV_DONTNEED,
 *   but a file gives its bytes again.
 *
 * The call has these effects on the buffer:
 * - Children that are forked later share the buffer instead of having a copy. Children that were
 *   forked before keep their copy.
 * - Settings of the old memory are gone: mlock(2) (lock it again), madvise(2) (also MADV_DONTFORK
 *   and MADV_WIPEONFORK), mbind(2), protection keys, userfaultfd(2) and names.
 * - The whole buffer takes memory from then on, and twice as much during the call.
 * - A large buffer gets huge pages where a file of bytefd_wrap_buffer would get them, whatever
 *   pages it had before.
 *
 * Returns the descriptor. On failure, returns one of the following, leaves the buffer unchanged
 * and nothing behind:
 * - -EINVAL if `flags` is not 0, `address` is NULL, or `length` is 0.
 * - -EINVAL if `address` or `length` is not a multiple of the page size, or the range ends past
 *   the last address.
 * - -ENOMEM if a part of the range is not mapped; or if memory or mappings (vm.max_map_count) run
 *   out.
 * - -EACCES if a part of the range is not readable and writable, or is executable.
 * - -EFAULT if a part of the range is a lost page that BYTEFD_MAP_GUARD has replaced by zeros.
 * - -EOPNOTSUPP if a part of the range is not private anonymous memory of the caller. It is then a
 *   mapping of a file, shared memory, hugetlb pages, or memory that the kernel maps into every
 *   process.
 * - -EOPNOTSUPP if a part of the range is a stack or the heap (`[heap]`).
 * - -EOPNOTSUPP if glibc or Go has named a part of the range as its own ("[anon: glibc: ...]",
 *   "[anon: Go: ...]").
 * - -ENOENT if /proc is not mounted. The range is looked up in /proc/self/maps.
 * - -EFBIG if `length` exceeds RLIMIT_FSIZE. SIGXFSZ is not raised.
 * - -EMFILE, -ENFILE if descriptors run out.
 * - -EPERM if the memory is sealed, mseal(2).
 * - -EAGAIN if mlockall(2) is in effect and RLIMIT_MEMLOCK would be exceeded.
 * - The errors of memfd_create(2), if it is refused; other errors of mmap(2).
 *
 * The call detects the stack of this thread, the stack of the first thread, and every stack that
 * glibc made. Never pass any part of another stack, which another C library has made or to which
 * the program switches by itself. Of such a stack the call detects only the page that this thread,
 * or a thread that waits in the kernel, uses now.
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
 * Checks that a descriptor meets `requirements`. NULL means BYTEFD_REQUIREMENTS_INIT, which
 * requires F_SEAL_WRITE and F_SEAL_SHRINK. The bytes that the file has can then never change or
 * go, but without F_SEAL_GROW the file can become longer.
 *
 * The result about seals stays true, because seals cannot be removed. The file can get another
 * owner afterwards, and another length unless it has both F_SEAL_SHRINK and F_SEAL_GROW. Seals are
 * checked before everything that asks a file system, which may never answer (FUSE, NFS).
 *
 * Returns 0. On failure, returns one of the following:
 * - -EPERM   if seals are missing, or the file cannot have any. That includes every file that is
 *   not a regular file, without BYTEFD_REQUIRE_NO_SEALS.
 * - -EISDIR  if it is a directory, with BYTEFD_REQUIRE_NO_SEALS.
 * - -ENODEV  if it is another file that is not regular, with BYTEFD_REQUIRE_NO_SEALS.
 * - -ENXIO   if it is shorter than `min_length`.
 * - -EFBIG   if it is longer than `max_length`.
 * - -EACCES  if its owner is not `uid`, with BYTEFD_REQUIRE_UID; or if it is not open for reading.
 * - -EBADF   if `fd` is not an open descriptor.
 * - -EINVAL, -E2BIG  if a requirement is unknown, or requirements contradict each other.
 *
 * ```c
 * int fd = shm_wrap_buffer("hello", 5, NULL, NULL);
 * if (bytefd_verify(fd, NULL, NULL) == 0)
 *     puts("nobody can change or remove its bytes");
 * ```
 */
BYTEFD_MUST_USE
int bytefd_verify(int fd,
                  const struct bytefd_requirements *requirements,
                  struct bytefd_error *error);

/**
 * Sends a message of `length` bytes and `count` descriptors over a Unix socket, unix(7): a stream,
 * datagrams or sequenced packets. The receiver gets descriptors of the same open file descriptions
 * (SCM_RIGHTS); the caller keeps those at `fds`. Nothing is added to the bytes, so that the
 * receiver need not use this library. No SIGPIPE is raised.
 *
 * On a stream the whole message is sent, in parts if necessary. Only one thread or process may
 * send on a stream at a time; otherwise the parts of their messages can be mixed. When a part has
 * been sent, the call waits even for a socket that does not block. More than 253 descriptors are
 * also sent in parts, each with at least one byte.
 *
 * Returns 0. On failure, returns one of the following. On a stream nothing was sent after -EINVAL,
 * -E2BIG, -ENOTSOCK, -EPROTOTYPE, or the -EAGAIN of a socket that does not block. After any other
 * failure on a stream, a part of the message may have been sent (`error->message` says how much),
 * and the caller must close the socket.
 * - -EINVAL  if `message` is NULL and `length` is not 0, or `fds` is NULL and `count` is not 0.
 * - -EINVAL  if a stream would get no bytes, or fewer bytes than parts (one part for each 253
 *   descriptors).
 * - -EINVAL  if BYTEFD_TRANSFER_SOME is set.
 * - -EINVAL, -E2BIG  if the options are invalid.
 * - -E2BIG   if a datagram or packet has more than 253 descriptors.
 * - -EMSGSIZE  if a datagram or packet is too long.
 * - -EBADF   if one of the descriptors is not open.
 * - -ENOTSOCK  if `socket` is not a socket.
 * - -EPROTOTYPE  if `socket` is not a Unix socket.
 * - -EPIPE, -ECONNRESET  if the other end is closed; -ECONNREFUSED for datagrams.
 * - -EAGAIN if the socket does not block and nothing was sent, whatever the timeout; or if the
 *   socket's own limit (SO_SNDTIMEO) has passed; a part may then have been sent.
 * - -ETIMEDOUT, -EINTR  as the options say.
 * - -ETOOMANYREFS if too many descriptors are in flight.
 * - -ENOTCONN if the socket is not connected.
 * - Other errors of sendmsg(2).
 *
 * ```c
 * int pair[2];
 * int fd = shm_wrap_buffer("hello", 5, NULL, NULL);
 * if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0
 *     && bytefd_send(pair[0], "!", 1, &fd, 1, NULL, NULL) == 0)
 *     puts("sent");
 * ```
 *
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
 * Receives a message and its descriptors. Before the call, `*length` is the capacity of `message`
 * in bytes, and `*count` the number of descriptors that fit into `fds`. On success the call sets
 * both to what has arrived. The caller owns the descriptors. They are close-on-exec from the
 * start. Each shares its file offset and status flags with the sender's descriptor, also if the
 * file is sealed. Read with pread(2), map the file, or call bytefd_reopen for an offset of its
 * own.
 *
 * Fewer descriptors than fit are allowed; more are -EBADMSG. Each descriptor is checked against
 * `requirements` as bytefd_verify does, and the call fails if one does not meet them. NULL
 * requires nothing.
 *
 * What a message is depends on the socket:
 * - On a stream the message is exactly `*length` bytes, and the call waits for all of them. When
 *   one byte has arrived, it waits even on a socket that does not block.
 * - On a stream with BYTEFD_TRANSFER_SOME the message is what has arrived, at least one byte.
 * - Only one thread or process may receive from a stream at a time; otherwise each can get parts
 *   of a message.
 * - On other sockets the message is one datagram or packet, which may be shorter than `*length`.
 *
 * On a stream, every failure after the first byte of a message loses the message:
 * - The call reads and discards the rest, so that the next call never sees a mixture of two
 *   messages. With BYTEFD_TRANSFER_SOME there is no rest.
 * - After -ETIMEDOUT, -EINTR or -EAGAIN the call does not wait for the rest. After other failures
 *   it waits for the rest until the timeout has passed, or until nothing has arrived for a second.
 * - If the rest has not arrived then, and the other end is open, the call shuts the socket down
 *   for receiving instead. `error->message` says so.
 *
 * A failure before the first byte, such as -ETIMEDOUT or -EAGAIN, loses nothing, and the socket
 * stays usable.
 *
 * With a `*count` of 0 the kernel drops descriptors that arrive, instead of delivering them, and
 * the call fails with -EBADMSG if it has dropped any. If SO_PASSCRED, SO_PASSSEC, SO_PASSPIDFD or
 * one of SO_TIMESTAMP, SO_TIMESTAMPNS and SO_TIMESTAMPING is set on the socket, dropped
 * descriptors cannot be told from other dropped data, and the call succeeds.
 *
 * Warning: a failure can block, whatever the timeout. The last step of a failed call closes the
 * received descriptors. On FUSE and NFS, close(2) of a file waits for the server of the file
 * system. The caller's own close(2) of a received descriptor does so too. With a `*count` of 0
 * there is nothing to close.
 *
 * Returns 0. On failure, returns one of the following, closes the received descriptors, and leaves
 * `*length`, `*count` and `fds` unchanged. (`message` may have been written.)
 * - -EBADMSG  if more descriptors arrived than fit.
 * - -EMSGSIZE  if the datagram or packet is longer than `*length`.
 * - -EMFILE  if the kernel could not deliver all descriptors, because of RLIMIT_NOFILE or a
 *   security module.
 * - -ENODATA  if the other end is closed, or the socket was shut down for receiving, before a byte
 *   of a message arrived. (An empty packet of a peer that has gone looks the same.)
 * - -ECONNRESET  if the other end was closed within a message, or before it had read all that was
 *   sent to it.
 * - -EAGAIN  if nothing has arrived and the socket does not block, whatever the timeout; or if the
 *   socket's own limit (SO_RCVTIMEO) has passed.
 * - -ETIMEDOUT, -EINTR  as the options say.
 * - The errors of bytefd_verify, if a descriptor does not meet the requirements.
 * - -EINVAL if `length` or `count` is NULL, `message` is NULL and `*length` is not 0, or `fds` is
 *   NULL and `*count` is not 0.
 * - -EINVAL  if `*length` is 0 on a stream.
 * - -EINVAL, -E2BIG  if the requirements or options are invalid.
 * - -ENOTSOCK  if `socket` is not a socket.
 * - -EPROTOTYPE  if `socket` is not a Unix socket.
 * - Other errors of recvmsg(2).
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
 * Writes to `*credentials` which process called connect(2), listen(2) or socketpair(2) for the
 * other end of a socket: SO_PEERCRED, unix(7). The kernel guarantees the result. By now another
 * process may have the other end, because sockets are inherited and sent.
 *
 * Returns 0. On failure, returns one of the following and leaves `*credentials` unchanged:
 * - -EINVAL    if `credentials` is NULL, or its `size` is below the first version's.
 * - -ENOTCONN  if the socket is not connected, or is a datagram socket that was not made by
 *   socketpair(2).
 * - -EBADF  if `socket` is not open.
 * - -ENOTSOCK  if `socket` is not a socket.
 * - -EPROTOTYPE  if `socket` is not a Unix socket.
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
 * name and have the permission. bytefd_map_fd maps the object. Opening changes neither its length
 * nor its mode nor its content. Other processes see a new object only when it has its length and
 * mode.
 *
 * A name without a slash at its beginning gets one. If `full_name` is not NULL, the full name is
 * written there, with its slash and a final NUL. `size` is the capacity of `full_name`, at least
 * BYTEFD_SHM_NAME_SIZE.
 *
 * Returns a descriptor, close-on-exec, which the caller owns. On failure, returns one of the
 * following, leaves `full_name` unchanged and nothing behind:
 * - -EACCES   if the mode does not allow it.
 * - -E2BIG    if the options have members that this version does not know.
 * - -EBUSY    with BYTEFD_SHM_OWNED, if another process has locked the object exclusively.
 * - -EEXIST   if an object of this name exists, with BYTEFD_SHM_EXCLUSIVE.
 * - -EFBIG    if `length` exceeds RLIMIT_FSIZE. SIGXFSZ is not raised.
 * - -EINVAL   if `name` is NULL, empty, "." or "..", or has a slash that is not its first byte; or
 *   if the options are invalid.
 * - -ELOOP    if the name is that of a symbolic link.
 * - -ENODEV   if the name is that of another file that is not regular.
 * - -ENAMETOOLONG if the name, without its slash, has more than 255 bytes, including
 *   "bytefd-owned." if the object is owned.
 * - -ENOENT   if there is no such object, or no /dev/shm.
 * - -ENOSPC   if the file system is full.
 * - -ENXIO    if the object is smaller than `length`.
 * - -EPERM    if the object belongs to neither the effective user nor root, without
 *   BYTEFD_SHM_ANY_OWNER.
 * - -ERANGE   if `full_name` is not NULL and `size` is less than BYTEFD_SHM_NAME_SIZE.
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
 * Removes the name of an object. The object exists as long as a process has it open or mapped. For
 * an object that was opened with BYTEFD_SHM_OWNED, `name` is the full name that bytefd_shm_open
 * wrote.
 *
 * Returns 0. On failure, returns one of the following:
 * - -ENOENT  if there is no object of this name.
 * - -EINVAL, -ENAMETOOLONG  as for bytefd_shm_open.
 * - -EACCES, -EPERM and other errors of unlink(2).
 *
 * ```c
 * bytefd_shm_unlink("table", NULL);
 * ```
 */
int bytefd_shm_unlink(const char *BYTEFD_NONNULL name, struct bytefd_error *error);

/**
 * Removes names of this user that no process holds any more, such as those that killed processes
 * have left behind. Writes counts to `*result` if `result` is not NULL. It removes objects with
 * BYTEFD_SHM_OWNED, files of bytefd_tempfile_create, and the names that some new files have for a
 * moment. It searches /dev/shm, $TMPDIR, /tmp and /var/tmp. After a failure it continues, and
 * counts the failure.
 *
 * A process holds a shared lock, flock(2), on each object and file that it owns. The kernel ends
 * that lock with the last duplicate, mapping, child or receiver. The sweep removes a name only if
 * all of the following hold:
 * - It begins with "bytefd-owned.".
 * - It belongs to this user.
 * - No process holds it, in any container, so that the sweep can lock it exclusively.
 *
 * If a directory that it removes contains a mount, it does not enter the mount.
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
 * Creates a real file that contains the `len` bytes at `buf`, and writes a handle to `*file`. The
 * file is alone in a new directory of mode 0700. It is for code that resolves symbolic links
 * (SQLite), or that checks the suffix of a name (clamscan -d x.ndb). bytefd_tempfile_close ends
 * the handle and removes the file.
 *
 * Such a file cannot be sealed: any process of the same user can change it. If the code accepts a
 * descriptor, or its path in /proc, pass that instead.
 *
 * The handle holds a descriptor of the directory, locked with flock(2). If the process is killed,
 * the file stays. bytefd_sweep removes the file once no process holds the directory, which
 * children of fork(2) inherit.
 *
 * Returns 0. On failure, returns one of the following, leaves `*file` unchanged and nothing
 * behind:
 * - -E2BIG   if the options have members that this version does not know.
 * - -EFBIG   if `len` exceeds RLIMIT_FSIZE. SIGXFSZ is not raised.
 * - -EINVAL  if `buf` is NULL and `len` is not 0, `file` is NULL, the suffix has a slash, or the
 *   options are invalid.
 * - -ENAMETOOLONG  if the suffix has more than 200 bytes.
 * - -ENOENT  if `directory` does not exist.
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
 * Returns the path of the file, which is absolute and has no symbolic links. It is valid until
 * bytefd_tempfile_close. The result is NULL if `file` is NULL.
 *
 * ```c
 * const char *nowhere = bytefd_tempfile_path(NULL);
 * ```
 */
const char *bytefd_tempfile_path(const struct bytefd_tempfile *file);

/**
 * Removes the file, its directory and everything that other code has put beside the file, and
 * frees `file`. NULL is allowed. In a child made by fork(2) it removes nothing, because the file
 * belongs to the parent.
 *
 * Returns 0, or the first error of the removal. -EXDEV means that something is mounted in the
 * directory, which then stays. `file` is freed in every case.
 *
 * ```c
 * bytefd_tempfile_close(NULL);
 * ```
 */
int bytefd_tempfile_close(struct bytefd_tempfile *file);

/**
 * Creates or attaches a System V segment, sysvipc(7), as a map, for programs that still use them.
 * The map is as long as the segment. `key` is IPC_PRIVATE, a key as from ftok(3), or with
 * BYTEFD_SYSV_BY_ID the number of a segment. If `shmid` is not NULL, the segment's number is
 * written there.
 *
 * bytefd_map_close detaches the segment. The segment stays until bytefd_sysv_remove, even if no
 * process uses it, unless it was attached with BYTEFD_SYSV_TRANSIENT.
 *
 * The functions that take a map work on System V maps, with the following exceptions:
 * - bytefd_map_resize, bytefd_map_seal and bytefd_map_share return -EINVAL.
 * - bytefd_map_descriptor and bytefd_map_file_size return -EBADF. To get a descriptor, call
 *   bytefd_wrap_buffer on the bytes of the map; it copies them.
 * - bytefd_map_protect with PROT_EXEC returns -EACCES.
 * - bytefd_map_check always returns 0, because a System V map cannot be guarded.
 *
 * Returns 0. On failure, returns one of the following and leaves `*map` and `*shmid` unchanged:
 * - -EACCES  if the mode of the segment does not allow it.
 * - -E2BIG   if the options have members that this version does not know.
 * - -EEXIST  if a segment with this key exists, with BYTEFD_SYSV_EXCLUSIVE.
 * - -EIDRM   if the segment is removed during the call.
 * - -EINVAL  if `map` is NULL, the options are invalid, or there is no segment of this number.
 * - -EINVAL  if a new segment has length 0 or exceeds /proc/sys/kernel/shmmax.
 * - -EINVAL  if `key` is IPC_PRIVATE with neither BYTEFD_SYSV_CREATE nor BYTEFD_SYSV_BY_ID.
 * - -ENOENT  if there is no segment with this key.
 * - -ENOMEM  if memory runs out.
 * - -ENOSPC  if there are too many segments.
 * - -ENOSYS  if the kernel has no System V segments.
 * - -ENXIO   if the segment is smaller than `length`.
 * - -EPERM   if the segment belongs to another user, with BYTEFD_SYSV_TRANSIENT.
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
 * Marks a segment for removal (IPC_RMID). The kernel removes it when the last process has detached
 * it. Its key no longer finds it.
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
 * graphics cards, cameras and other devices accept dma-bufs. The file and the dma-buf are the same
 * memory. The dma-buf outlives `fd`, which stays the caller's.
 *
 * `fd` must be a memfd of whole pages, sealed with F_SEAL_SHRINK. It must not be sealed with
 * F_SEAL_WRITE, because devices write.
 *
 * Returns the descriptor of the dma-buf, close-on-exec, which the caller owns. On failure, returns
 * one of the following:
 * - -EACCES  if this user may not open /dev/udmabuf.
 * - -EBADF   if `fd` is not open.
 * - -EINVAL  if `fd` is not such a memfd, or is larger than the driver allows (its parameter
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
 * Locks bytes of a file, and waits until no other open file description has a conflicting lock.
 * The range may lie past the end of the file. A `length` of BYTEFD_UNLIMITED locks to the end of
 * the file, wherever that is. The new lock replaces a lock of the same open file description on
 * these bytes.
 *
 * `operation` is one of the following, from <sys/file.h>. With LOCK_NB added, the call does not
 * wait.
 * - LOCK_SH: a shared lock, which admits other shared locks. The descriptor must be open for
 *   reading.
 * - LOCK_EX: an exclusive lock, which admits no other lock. The descriptor must be open for
 *   writing.
 *
 * `timeout_ns` limits the whole call: -1 waits without a limit, 0 does not wait. `flags` is
 * BYTEFD_INTERRUPTIBLE or 0. While the call waits, it polls the lock at least every 10 ms.
 *
 * The lock is advisory: it conflicts with other locks on these bytes, in any process, but does not
 * stop read(2) or write(2). It belongs to the open file description (F_OFD_SETLK, fcntl(2), Linux
 * 3.15):
 * - All duplicates of the descriptor have it, also in other processes.
 * - It ends with bytefd_file_unlock. Otherwise it ends when the last duplicate is closed and the
 *   last mapping that was made through one of them is unmapped. Duplicates and mappings in
 *   children and receivers count too. The kernel closes and unmaps those of a process that is
 *   killed.
 * - Two open file descriptions conflict even in one process. Threads that share one do not.
 * - A process that received or inherited the descriptor shares the open file description, and its
 *   locks do not conflict with the sender's. To get one of its own, it calls open(2) on the
 *   descriptor's path (bytefd_path). bytefd_reopen is enough for LOCK_SH, because it opens for
 *   reading only.
 *
 * Returns 0. On failure, returns one of the following:
 * - -EAGAIN  if another open file description has a conflicting lock, with LOCK_NB or a
 *   `timeout_ns` of 0.
 * - -EBADF   if `fd` is not open, or not open for what the lock needs.
 * - -EINTR   if a signal handler ran, with BYTEFD_INTERRUPTIBLE.
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
 * Ends the locks of this open file description on these bytes. A `length` of BYTEFD_UNLIMITED
 * unlocks to the end of the file, wherever that is.
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
 * Waits until another thread or process calls bytefd_futex_wake on `word`, futex(2). It returns
 * immediately if the word is not `value`, and may return without a reason. After each return, read
 * the word and wait again if necessary.
 *
 * The word is 4 bytes at a multiple of 4. It lies in a map that the processes share, which each
 * may have at another address, or in memory of this process. Change it by atomic operations. A
 * writer changes the word first, and then calls bytefd_futex_wake. If the writer dies between the
 * two, no waiter wakes. Set a timeout, or use bytefd_file_lock, whose locks end with their holder.
 *
 * `timeout_ns` limits the whole call: -1 waits without a limit, 0 does not wait. `flags` is
 * BYTEFD_INTERRUPTIBLE or 0.
 *
 * Returns 0. On failure, returns one of the following:
 * - -EFAULT  if the page of the word is lost or not mapped.
 * - -EINTR   if a signal handler ran, with BYTEFD_INTERRUPTIBLE.
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
 * Writes a report to `buf`, with a final NUL: one line for each choice that the library makes on
 * this host, with the reason. The report is for people and logs, and its words may change. `size`
 * is the capacity of `buf`; 1024 is enough in this version. The function tries each choice on this
 * host.
 *
 * Returns 0. On failure, returns one of the following and leaves `buf` unchanged:
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
 * Defines the short names as static inline functions. A function of the same name in another source
 * file of the program does not conflict with them. Define BYTEFD_NO_SHORT_NAMES to omit them.
 *
 * The shared library also exports the short names, for dlsym(3) and other languages. Nothing in it
 * calls them. As with every global name, they also affect a library that is loaded after it. If
 * that library calls its own global function by one of these names, it gets the function of
 * libbytefd.so. To prevent that, do one of the following:
 * - Give that function hidden visibility.
 * - Link that library with -Bsymbolic.
 * - Link libbytefd.a, which has no short names.
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
