//! Copies, checks, resizes, seals and shares the content of a map.

use std::ffi::{c_int, c_void};

use super::arguments::{check_buffer, required, shared};
use super::boundary::{boundary, bytefd_error};
use super::map::bytefd_map;
use super::options::{check_flags, timeout};
use super::results::put;

/// Copies `length` bytes of the map, beginning at `offset`, to `buf`, and writes the number of
/// bytes copied to `*copied`. Lost pages of the map never raise a signal, whether the map is
/// guarded or not.
///
/// The copy ends before the first page that cannot be read, and `*copied` is then less than
/// `length`. Such a page is one of:
/// - A lost page, because another process made the file shorter or the storage failed. That
///   includes a page that the guard has replaced, so stores into the replacement are not copied. In
///   a guarded map the copy ends exactly at the present end of the file (bytefd_map_file_size). In
///   other maps the rest of the file's last page reads zero.
/// - A page that was protected with PROT_NONE (bytefd_map_protect).
///
/// Usually the kernel makes the copy, by process_vm_readv(2). The library copies a guarded map by
/// itself, under the guard's handler, if a SIGBUS of this thread would reach that handler. If
/// bytefd_map_protect has protected pages of the map, the kernel makes the copy in this case too.
/// On x86-64, a copy by the library of content larger than the caches took 1.1 to 1.4 times as long
/// as memcpy(3) where it was measured.
///
/// Returns 0. On failure, returns one of the following and leaves `*copied` unchanged:
/// - -EIO if not even the first byte can be read: it no longer exists, or its page is protected. A
///   loop over the remaining bytes ends with this error.
/// - -EINVAL if `map` or `copied` is NULL, or the range is not in the map.
/// - -EINVAL if `buf` is NULL and `length` is not 0, or `length` is BYTEFD_TO_END.
/// - -EFAULT if `buf` cannot be written; a part of it may have been written. With a guarded map a
///   bad `buf` raises SIGSEGV or SIGBUS, as any other store does.
/// - -EMFILE, -ENFILE if the kernel forbids process_vm_readv, and no descriptors are left for a
///   pipe, which is used instead.
///
/// ```c
/// bytefd_map *map;
/// char line[80];
/// size_t copied;
/// if (map_file("/etc/passwd", NULL, &map, NULL) == 0) {
///     if (bytefd_map_read(map, 0, line, sizeof line, &copied, NULL) == 0)
///         fwrite(line, 1, copied, stdout);
///     bytefd_map_close(map);
/// }
/// ```
///
/// cbindgen:postfix=BYTEFD_WRITES(3, 4)
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn bytefd_map_read(
    map: Option<&bytefd_map>,
    offset: usize,
    buf: *mut c_void,
    length: usize,
    copied: *mut usize,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for `length` bytes that can be written, and a writable pointer.
    boundary(error, || unsafe {
        let map = required(map, "map")?;
        check_buffer("buf", buf, length)?;
        put(copied, "copied", || map.0.read_to(buf.cast(), length, offset))
    })
}

/// Copies `length` bytes at `buf` into the map, beginning at `offset`, and writes the number of
/// bytes copied to `*copied`. Lost pages of the map never raise a signal.
///
/// The copy ends before the first page that is lost (replaced by the guard or not), that is
/// protected against writing, or for which the storage has no space. In a guarded map it also ends
/// at the end of the file.
///
/// Returns 0. On failure, returns one of the following and leaves `*copied` unchanged:
/// - -EIO if not even the first byte can be stored.
/// - -EINVAL if `map` or `copied` is NULL, or the range is not in the map.
/// - -EINVAL if `buf` is NULL and `length` is not 0, or `length` is BYTEFD_TO_END.
/// - -EACCES if the map is for reading only.
/// - -EFAULT if `buf` cannot be read, or a guard has replaced bytes of `buf` by zeros. A part of
///   `buf` may have been copied. With a guarded map, only lost pages in `buf` are -EFAULT. Other
///   memory that cannot be read raises SIGSEGV, as any other load does.
/// - -EMFILE, -ENFILE as for bytefd_map_read.
///
/// ```c
/// bytefd_map *map;
/// size_t copied;
/// if (bytefd_map_memory(4096, NULL, &map, NULL) == 0) {
///     if (bytefd_map_write(map, 0, "hello", 5, &copied, NULL) == 0)
///         printf("%zu bytes\n", copied);
///     bytefd_map_close(map);
/// }
/// ```
///
/// cbindgen:postfix=BYTEFD_READS(3, 4)
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn bytefd_map_write(
    map: *mut bytefd_map,
    offset: usize,
    buf: *const c_void,
    length: usize,
    copied: *mut usize,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for a map, `length` bytes that can be read, and a writable pointer.
    boundary(error, || unsafe {
        let map = shared(map, "map")?;
        check_buffer("buf", buf, length)?;
        put(copied, "copied", || map.0.write_from(buf.cast(), length, offset))
    })
}

/// Fails if a page of a guarded map (BYTEFD_MAP_GUARD) was lost and replaced by zeros. For other
/// maps it always returns 0.
///
/// Only whole pages are lost. If the file became shorter within a page, the rest of that page reads
/// zero and is not reported here. bytefd_map_file_size shows it.
///
/// Returns 0. On failure, returns one of the following:
/// - -EIO if a page was lost and replaced. A lost page that no load or store has touched is not
///   reported: bytefd_map_read, bytefd_map_write and system calls replace no page.
/// - -EINVAL if `map` is NULL.
///
/// ```c
/// bytefd_map_options options = BYTEFD_MAP_OPTIONS_INIT;
/// bytefd_map *map;
/// options.flags = BYTEFD_MAP_GUARD;
/// if (map_file("/etc/passwd", &options, &map, NULL) == 0) {
///     const char *text = bytefd_map_data(map);
///     size_t lines = 0;
///     for (size_t i = 0; i < bytefd_map_length(map); i++)
///         lines += text[i] == '\n';
///     if (bytefd_map_check(map, NULL) != 0)
///         fprintf(stderr, "another process made the file shorter meanwhile\n");
///     bytefd_map_close(map);
/// }
/// ```
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn bytefd_map_check(
    map: Option<&bytefd_map>,
    error: *mut bytefd_error,
) -> c_int {
    boundary(error, || required(map, "map")?.0.check())
}

/// Writes the present size of the file behind the map, in bytes, to `*size`. It works for maps with
/// a descriptor (bytefd_map_descriptor) and for guarded maps of files (BYTEFD_MAP_GUARD).
///
/// Returns 0. On failure, returns one of the following and leaves `*size` unchanged:
/// - -EINVAL if `map` or `size` is NULL.
/// - -EBADF if the map keeps no descriptor.
///
/// ```c
/// bytefd_map_options options = BYTEFD_MAP_OPTIONS_INIT;
/// bytefd_map *map;
/// uint64_t size;
/// options.flags = BYTEFD_MAP_GUARD;
/// if (map_file("/etc/passwd", &options, &map, NULL) == 0) {
///     if (bytefd_map_file_size(map, &size, NULL) == 0 && size < bytefd_map_length(map))
///         fprintf(stderr, "the file is shorter now\n");
///     bytefd_map_close(map);
/// }
/// ```
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn bytefd_map_file_size(
    map: Option<&bytefd_map>,
    size: *mut u64,
    error: *mut bytefd_error,
) -> c_int {
    boundary(error, || {
        let map = required(map, "map")?;
        // SAFETY: the header asks for a writable pointer.
        unsafe { put(size, "size", || map.0.file_size()) }
    })
}

/// Sets the length of the map to `length` bytes. Its `offset` in the file stays the same.
/// - Growing also grows a file that ends before the new end of the map, and reserves the space, as
///   `file_size` does. The bytes that the file gains read zero, whatever was stored past the old
///   end.
/// - Shrinking truncates the file at the new end of the map, unless the file extends past the old
///   end. Access past the new end by other processes and other maps then raises SIGBUS.
/// - A file that extends past the end of the map keeps its bytes, and growing the map shows them.
///
/// The map keeps its address if neither `length` nor any earlier length exceeds the `reserve` of
/// its options. Otherwise it may move, and an earlier result of bytefd_map_data is then invalid. No
/// other thread may use the map during the call.
///
/// Returns 0. On failure, returns one of the following and changes nothing:
/// - -EINVAL if `map` is NULL, was sealed, or parts of it were unmapped.
/// - -EINVAL if the map is for reading, is a private map of a file, or is a System V map.
/// - -EINVAL if `length` is more than a map or file can have, or does not consist of whole reserved
///   huge pages.
/// - -EFBIG, -ENOSPC if the file cannot grow.
/// - -EPERM if the file is sealed against it, for example by bytefd_map_share.
/// - -EIO if a guarded map has replaced lost pages, and is to grow.
/// - -ENOMEM if memory or address space runs out.
/// - -ENOMEM or -EAGAIN if a locked map would exceed RLIMIT_MEMLOCK.
/// - -EFAULT if the map must move, and parts of it have another protection or advice than the rest.
///
/// ```c
/// bytefd_map *map;
/// if (bytefd_map_memory(0, NULL, &map, NULL) == 0) {
///     if (bytefd_map_resize(map, 10000, NULL) == 0)
///         strcpy(bytefd_map_data(map), "hello");
///     bytefd_map_close(map);
/// }
/// ```
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn bytefd_map_resize(
    map: Option<&mut bytefd_map>,
    length: usize,
    error: *mut bytefd_error,
) -> c_int {
    boundary(error, || required(map, "map")?.0.resize(length))
}

/// Seals shared memory (bytefd_map_memory) without copying and returns a descriptor as
/// bytefd_wrap_buffer does. The file has exactly the map's length, offset 0 and mode 0400 (0500
/// with BYTEFD_MAP_EXECUTE). The descriptor is close-on-exec, and the caller closes it.
///
/// The map stays at the same address, for reading only, and its bytes can never change. The
/// protection of parts (bytefd_map_protect) ends, even on failure. During the call other threads
/// may only load bytes through an address from an earlier bytefd_map_data. They may call no
/// function with the map, not even bytefd_map_read.
///
/// The call waits while another mapping of the memory could be written, in any process including
/// this one. It also waits while the kernel uses pages of the memory (io_uring registered buffers,
/// direct I/O). A shared mapping counts, even with PROT_READ, if it was made through a descriptor
/// that is open for writing, such as that of bytefd_map_descriptor. Private mappings, such as those
/// of BYTEFD_MAP_READ, and mappings through a read-only descriptor (bytefd_map_share,
/// bytefd_reopen) do not delay the call.
///
/// The mapping that a child of fork(2) has inherited counts too, until the child calls execve(2) or
/// exits. If another thread forks a child during the call to execute a program, that usually delays
/// the call by a few milliseconds.
///
/// `timeout_ns` limits the wait in nanoseconds: -1 waits without a limit, and 0 does not wait. With
/// -1 the call never returns if such a mapping is never unmapped.
///
/// Returns the descriptor. On failure, returns one of the following; the map keeps its bytes,
/// address and length:
/// - -EINVAL if `map` is NULL, is not shared memory, is sealed already, or parts of it were
///   unmapped.
/// - -EINVAL if `timeout_ns` is less than -1.
/// - -ETIMEDOUT if the timeout has passed before the wait has ended. With a `timeout_ns` of 0 the
///   error is -EBUSY instead.
/// - -EPERM if another process has set F_SEAL_SEAL on the memory.
/// - -EPERM or -EACCES if this process created the memory as another user.
/// - -EIO if another process made the memory shorter. If that happened during this call, the map is
///   for reading only from then on.
/// - -ENOENT if /proc is not mounted, on kernels before 6.7.
/// - -ENOMEM, -EMFILE, -ENFILE if memory or descriptors run out.
///
/// If the map was shared before (bytefd_map_share), a failure leaves it for reading only. It can be
/// sealed later.
///
/// ```c
/// bytefd_map *map;
/// if (bytefd_map_memory(5, NULL, &map, NULL) == 0) {
///     memcpy(bytefd_map_data(map), "hello", 5);
///     int fd = bytefd_map_seal(map, 100000000, NULL);
///     bytefd_map_close(map);
///     if (fd >= 0)
///         close(fd);
/// }
/// ```
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn bytefd_map_seal(
    map: Option<&mut bytefd_map>,
    timeout_ns: i64,
    error: *mut bytefd_error,
) -> c_int {
    boundary(error, || {
        let timeout = timeout(timeout_ns, "timeout_ns")?;
        required(map, "map")?.0.seal_in_place(timeout)
    })
}

/// Returns a read-only descriptor of shared memory (bytefd_map_memory) for other processes, while
/// this map stays writable. The other processes see every store. The caller closes the descriptor.
/// It is close-on-exec and has an offset of its own. `flags` must be 0.
///
/// The memory gets mode 0400 (0500 with BYTEFD_MAP_EXECUTE), and the seals F_SEAL_SHRINK,
/// F_SEAL_GROW and F_SEAL_FUTURE_WRITE (Linux 5.1). It can then be written only through mappings
/// that exist already. bytefd_map_resize and MADV_REMOVE are -EPERM from then on. bytefd_map_seal
/// still works, but another process of the same user can prevent it.
///
/// Returns the descriptor. On failure, returns one of the following:
/// - -EINVAL if `map` is NULL, is not shared memory or is sealed, `flags` is not 0, or the kernel
///   does not know F_SEAL_FUTURE_WRITE.
/// - -EPERM if another process has set F_SEAL_SEAL on the memory.
/// - -EPERM or -EACCES if this process created the memory as another user.
/// - -EIO if another process made the memory shorter.
/// - -ENOENT if /proc is not mounted.
/// - -EMFILE, -ENFILE if descriptors run out.
///
/// ```c
/// bytefd_map *map;
/// if (bytefd_map_memory(4096, NULL, &map, NULL) == 0) {
///     int fd = bytefd_map_share(map, 0, NULL);
///     strcpy(bytefd_map_data(map), "seen by every process that has fd");
///     if (fd >= 0)
///         close(fd);
///     bytefd_map_close(map);
/// }
/// ```
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn bytefd_map_share(
    map: *mut bytefd_map,
    flags: u64,
    error: *mut bytefd_error,
) -> c_int {
    boundary(error, || {
        check_flags(flags, 0)?;
        // SAFETY: the header asks for a map.
        unsafe { shared(map, "map")? }.0.share()
    })
}
