//! The content of a map: copied without a signal, looked after, made longer or shorter, sealed.

use std::ffi::{c_int, c_void};

use super::arguments::{check_buffer, required, shared};
use super::boundary::{boundary, bytefd_error};
use super::map::bytefd_map;
use super::options::{check_flags, timeout};
use super::results::put;

/// Copies `length` bytes of the map, from `offset` on, to `buf`, and writes the number of bytes
/// copied to `*copied`.
///
/// Lost pages of the map never raise a signal, whether the map is guarded or not. The copy ends
/// before a page that is lost, because another process made the file shorter or its storage failed;
/// `*copied` is then less than `length`. In a guarded map it ends exactly where the file ends now
/// (bytefd_map_file_size); in other maps the rest of the file's last page reads zero. The kernel
/// copies, process_vm_readv(2); a guarded map is copied under its handler, for many bytes nearly as
/// fast as memcpy (x86-64).
///
/// Returns 0, or a negative errno with `*copied` untouched:
/// - -EIO if not even the first byte exists any more. (So a loop over what is left ends with this.)
/// - -EINVAL if `map` or `copied` is NULL, `buf` is NULL and `length` is not 0, `length` is
///   BYTEFD_TO_END, or the range is not in the map.
/// - -EFAULT if `buf` cannot be written; part of it may be. With a guarded map a bad `buf` raises
///   SIGSEGV or SIGBUS, as any other store does.
/// - -EMFILE, -ENFILE if the kernel forbids process_vm_readv, and there are no descriptors for a
///   pipe instead.
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

/// Copies `length` bytes at `buf` into the map, from `offset` on, and writes the number of bytes
/// copied to `*copied`. The copy ends before a page that is lost or finds no room on the storage.
/// In a guarded map it ends at the file's end. Lost pages of the map never raise a signal.
///
/// Returns 0, or a negative errno with `*copied` untouched:
/// - -EIO if not even the first byte can be stored.
/// - -EINVAL if `map` or `copied` is NULL, `buf` is NULL and `length` is not 0, `length` is
///   BYTEFD_TO_END, or the range is not in the map.
/// - -EACCES if the map is for reading only.
/// - -EFAULT if `buf` cannot be read; part of it may have been copied. With a guarded map that
///   holds for lost pages of a mapping. A `buf` that is not mapped for reading raises SIGSEGV
///   there, as any other load does. Also if a guard has replaced bytes of `buf` by zeros.
/// - -EMFILE, -ENFILE as bytefd_map_read.
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

/// Fails if a page of a guarded map (BYTEFD_MAP_GUARD) was lost and replaced by zeros. Always 0 for
/// other maps.
///
/// Only whole pages are lost. If the file became shorter within a page, the rest of that page reads
/// zero and is not reported here; bytefd_map_file_size tells.
///
/// Returns 0, or a negative errno: -EIO if a page was lost; -EINVAL if `map` is NULL.
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

/// Writes to `*size` how many bytes the file behind the map has now. Maps that have a descriptor
/// (bytefd_map_descriptor) and guarded maps (BYTEFD_MAP_GUARD) can tell.
///
/// Returns 0, or a negative errno with `*size` untouched:
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

/// Sets the length of the map and of its file to `length` bytes. A file that extends past the end
/// of the map keeps its length.
///
/// Growing: the space of the file is reserved as for `file_size`. New bytes read zero, whatever was
/// stored past the old end. Shrinking: the file is cut off at the new end; access by other
/// processes and other maps past it raises SIGBUS.
///
/// The map stays where it is as long as its length has never been above the `reserve` of its
/// options. Otherwise it may move: what bytefd_map_data gave before is invalid. No other thread may
/// use the map during the call.
///
/// Returns 0, or a negative errno with nothing changed:
/// - -EINVAL: `map` is NULL, is not for writing (BYTEFD_MAP_WRITE, or memory), was sealed, or parts
///   of it were unmapped; or `length` is more than a map or file can have, or not whole reserved
///   huge pages.
/// - -EFBIG, -ENOSPC: the file cannot grow. -EPERM: it is sealed against it, as by
///   bytefd_map_share.
/// - -EIO: a guarded map has lost pages, and is to grow.
/// - -ENOMEM: no memory or address space left, or (also -EAGAIN) more than RLIMIT_MEMLOCK, for a
///   locked map.
/// - -EFAULT: the map must move, and parts of it have another protection or treatment than the
///   rest.
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
/// shm_wrap_buffer gives: exactly the map's length, offset 0, mode 0400 (0500 with
/// BYTEFD_MAP_EXECUTE), close-on-exec. The caller closes it. The map stays, at the same address and
/// for reading only; its bytes can never change. Protection of parts (bytefd_map_protect) ends,
/// also on failure. During the call other threads may only read the map's bytes.
///
/// A child that another thread forks in this moment has the memory mapped for writing until it
/// calls execve(2) or exits, which takes a few milliseconds. The call waits for it: `timeout_ns` is
/// the limit in nanoseconds, -1 for none, 0 not to wait. Processes that map the memory for reading
/// do not matter.
///
/// Returns the descriptor, or a negative errno. The map then keeps its bytes, address and length:
/// - -EINVAL if `map` is NULL, is not shared memory, is sealed already, or parts of it were
///   unmapped; or `timeout_ns` is less than -1.
/// - -EBUSY with a `timeout_ns` of 0, otherwise -ETIMEDOUT after it, if another process has the
///   memory mapped for writing, or the kernel uses pages of it (io_uring registered buffers, direct
///   I/O).
/// - -EPERM if another process has sealed it against seals. -EPERM or -EACCES if this process made
///   it as another user, and has changed its user since.
/// - -EIO if another process made it shorter. (If during this call, the map is for reading only
///   from then on.)
/// - -ENOMEM, -EMFILE, -ENFILE if memory or descriptors run out.
///
/// A map that was shared before (bytefd_map_share) is for reading only after a failure, and can be
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
/// this map goes on writing; they see every store. The caller closes it. It is close-on-exec and
/// has an offset of its own. `flags` must be 0.
///
/// The memory gets mode 0400 (0500 with BYTEFD_MAP_EXECUTE) and the seals F_SEAL_SHRINK,
/// F_SEAL_GROW and F_SEAL_FUTURE_WRITE (Linux 5.1): it can be written only through mappings that
/// exist already. bytefd_map_resize and MADV_REMOVE are -EPERM from then on. bytefd_map_seal still
/// works, but another process of the same user can prevent that.
///
/// Returns the descriptor, or a negative errno:
/// - -EINVAL if `map` is NULL, is not shared memory or is sealed, `flags` is not 0, or the kernel
///   does not know F_SEAL_FUTURE_WRITE.
/// - -EPERM if another process has sealed the memory against seals.
/// - -EIO if another process made it shorter.
/// - -ENOENT if /proc is not mounted. -EMFILE, -ENFILE if descriptors run out.
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
