//! The content of a map: copied without a signal, looked after, made longer or shorter, sealed.

use std::ffi::{c_int, c_void};

use super::arguments::{check_buffer, required};
use super::boundary::{boundary, bytefd_error};
use super::map::bytefd_map;
use super::results::put;

/// Copies `length` bytes of the map, from `offset` on, to `buf`, and writes to `*copied` how many: all, or those that exist up to
/// a page that is lost because somebody made the file shorter or the storage failed, also one that a guard has replaced. Never a
/// signal, whether the map is guarded or not, and whatever the program has done about SIGBUS before: the kernel copies,
/// process_vm_readv(2); or a guarded map is copied under its handler, for many bytes nearly as fast as memcpy (x86-64).
///
/// Returns 0, or a negative errno with `*copied` untouched:
/// - -EIO: not even the first byte exists any more. (So a loop over what is left ends with this.)
/// - -EMFILE, -ENFILE: the kernel forbids process_vm_readv, and there are no descriptors for a pipe instead.
/// - -EINVAL: `map` or `copied` is NULL, or `buf` is and `length` is not 0; the range is not all in the map.
/// - -EFAULT: `buf` cannot be written; part of it may be. With a guarded map that is a SIGSEGV, as for any other store.
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
#[unsafe(no_mangle)]
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
        put(copied, "copied", || map.0.read_to(offset, buf.cast(), length))
    })
}

/// Copies `length` bytes at `buf` into the map from `offset` on, and writes to `*copied` how many: all, or those before a page that
/// is lost or finds no room on the storage. Never a signal, as bytefd_map_read.
///
/// Returns 0, or a negative errno with `*copied` untouched:
/// - -EIO: not even the first byte can be stored.
/// - -EMFILE, -ENFILE: as bytefd_map_read.
/// - -EINVAL: `map` or `copied` is NULL, or `buf` is and `length` is not 0; the range is not all in the map.
/// - -EACCES: the map is for reading only.
/// - -EFAULT: `buf` cannot be read; part of it may have been copied. With a guarded map that is a SIGSEGV, as for any other load.
///
/// ```c
/// bytefd_map *map;
/// size_t copied;
/// if (bytefd_map_memory(4096, NULL, &map, NULL) == 0) {
///     bytefd_map_write(map, 0, "hello", 5, &copied, NULL);
///     bytefd_map_close(map);
/// }
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_map_write(
    map: Option<&bytefd_map>,
    offset: usize,
    buf: *const c_void,
    length: usize,
    copied: *mut usize,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for `length` bytes that can be read, and a writable pointer.
    boundary(error, || unsafe {
        let map = required(map, "map")?;
        check_buffer("buf", buf, length)?;
        put(copied, "copied", || map.0.write_from(offset, buf.cast(), length))
    })
}

/// Whether all pages of a guarded map are what they were. Always so without BYTEFD_MAP_GUARD.
///
/// Returns 0; -EIO from the moment on in which a lost page was replaced by zeros; -EINVAL if `map` is NULL.
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
///         fprintf(stderr, "somebody made the file shorter meanwhile\n");
///     bytefd_map_close(map);
/// }
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_map_check(map: Option<&bytefd_map>, error: *mut bytefd_error) -> c_int {
    boundary(error, || required(map, "map")?.0.check())
}

/// Makes the map, and what is behind it, `length` bytes long.
///
/// Growing: the file grows too, unless it goes on behind the map, and its space is reserved as for `file_size`. What is new reads
/// zero, whatever was stored behind the old end before. Shrinking: the file is cut off at the new end, unless it goes on behind
/// the map; other processes and other maps find SIGBUS there.
///
/// The map stays where it is as long as its length has never been above the `reserve` of its options. Otherwise it may move: what
/// bytefd_map_data gave before is invalid. No other thread may use the map during the call.
///
/// Returns 0, or a negative errno with nothing changed:
/// - -EINVAL: `map` is NULL, is not for writing (BYTEFD_MAP_WRITE, or memory), was sealed, or parts of it were unmapped; or
///   `length` is more than a map or file can have, or not whole reserved huge pages.
/// - -EFBIG, -ENOSPC: the file cannot grow. -EPERM: it is sealed against it.
/// - -EIO: a guarded map has lost pages, and is to grow.
/// - -ENOMEM: no memory or address space left, or (also -EAGAIN) more than RLIMIT_MEMLOCK, for a locked map.
/// - -EFAULT: the map must move, and parts of it have another protection or treatment than the rest.
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
pub unsafe extern "C" fn bytefd_map_resize(
    map: Option<&mut bytefd_map>,
    length: usize,
    error: *mut bytefd_error,
) -> c_int {
    boundary(error, || required(map, "map")?.0.resize(length))
}

/// Turns shared memory (bytefd_map_memory) into a sealed descriptor as shm_wrap_buffer gives, without copying: exactly the
/// map's length, offset 0, mode 0400 (0500 with BYTEFD_MAP_EXECUTE), close-on-exec, for the caller to close. The map stays, at
/// the same address and for reading only; its bytes can never change any more. What parts were protected against
/// (bytefd_map_protect) ends, also on failure. No other thread may use the map during the
/// call, but for reading its bytes.
///
/// Returns the descriptor, or a negative errno with the map as it was:
/// - -EINVAL: `map` is NULL, is not shared memory, is sealed already, or parts of it were unmapped.
/// - -EBUSY: somebody else, who was given the descriptor, or a child that was forked with the map, has it mapped for writing.
/// - -EPERM: somebody has sealed it against sealing; or (also -EACCES) it was made by another user, who this process was.
/// - -EIO: somebody who has it made it shorter. (If during this call, the map is for reading only from then on.)
/// - -ENOMEM, -EMFILE, -ENFILE: no memory or descriptors left.
///
/// ```c
/// bytefd_map *map;
/// if (bytefd_map_memory(5, NULL, &map, NULL) == 0) {
///     memcpy(bytefd_map_data(map), "hello", 5);
///     int fd = bytefd_map_seal(map, NULL);
///     bytefd_map_close(map);
///     if (fd >= 0)
///         close(fd);
/// }
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_map_seal(map: Option<&mut bytefd_map>, error: *mut bytefd_error) -> c_int {
    boundary(error, || required(map, "map")?.0.seal())
}
