//! A file or memory as bytes: where a map comes from, and where it ends.

use std::ffi::{OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;

use super::arguments::{open_descriptor, required, text};
use super::boundary::{boundary, bytefd_error, end};
use super::map_options::{bytefd_map_options, map_options};
use super::results::give;
use crate::Map;

/// A mapped range of a file, or memory without a file. Any number of threads may use one map at the
/// same time, with these exceptions: no other thread may use the map during bytefd_map_resize and
/// bytefd_map_unmap, or after bytefd_map_close. During bytefd_map_seal other threads may only read
/// its bytes.
///
/// The functions that take a range accept any bytes of the map, not only whole pages. A `length` of
/// 0 is nothing: they check the range and return 0 (bytefd_map_unmap: -EINVAL). BYTEFD_TO_END is to
/// the end of the map, but bytefd_map_read and bytefd_map_write, which also take a buffer, refuse
/// it (-EINVAL). An `offset` past the end of the map is -EINVAL.
pub struct bytefd_map(pub(super) Map);

/// Maps the file at `path` and writes the map to `*map`; the caller ends it with bytefd_map_close.
/// With BYTEFD_MAP_WRITE the map keeps a descriptor of the file (bytefd_map_descriptor), with
/// BYTEFD_MAP_GUARD too; otherwise none stays open. A file of 0 bytes gives a valid map of length
/// 0. A FIFO, socket or device is refused without being opened, so nothing blocks.
///
/// Warning: the call opens the file, and the descriptor is closed at the latest with the map. The
/// kernel then drops all POSIX record locks that this process has on the file, fcntl(2). Use
/// bytefd_map_fd for a file that is locked so.
///
/// The bytes are the file's. A process that writes to the file changes them. If the file becomes
/// shorter than the map, access to the lost pages raises SIGBUS; BYTEFD_MAP_GUARD, bytefd_map_read
/// and bytefd_map_write survive that.
///
/// Returns 0, or a negative errno with `*map` untouched. A file that the call created is removed. A
/// file that it was to grow keeps its old size.
/// - -EINVAL: `path` or `map` is NULL, or options that are unknown or contradict each other.
/// - -E2BIG: the options have members that this version does not know.
/// - -EINVAL: `length` is 0 in the options; BYTEFD_MAP_OPTIONS_INIT sets it to BYTEFD_TO_END.
/// - -ENXIO: the range is not all in the file, and BYTEFD_MAP_BEYOND_EOF is not given, or no length
///   with it.
/// - -ENOENT, -EACCES, ...: open(2)'s own; -ENOENT also for a symbolic link to nothing.
///   BYTEFD_MAP_WRITE needs permission to read and write.
/// - -EISDIR: a directory. -ENODEV: anything else that is not a regular file, or whose content
///   cannot be mapped (/proc).
/// - -EFBIG, -ENOSPC: the file cannot be grown to `file_size`: RLIMIT_FSIZE, or no space. (No
///   SIGXFSZ is raised.)
/// - -EPERM: the file is sealed against writing, or execution was asked for on a file system
///   mounted noexec.
/// - -ENOMEM, -EMFILE, -ENFILE: no memory, address space or descriptors left.
/// - -EBUSY, -ELIBACC: the handler cannot be in place; see BYTEFD_MAP_GUARD.
///
/// ```c
/// bytefd_map *map;
/// if (map_file("/etc/passwd", NULL, &map, NULL) == 0) {
///     fwrite(bytefd_map_data(map), 1, bytefd_map_length(map), stdout);
///     bytefd_map_close(map);
/// }
/// ```
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn bytefd_map_file(
    path: *const c_char,
    options: *const bytefd_map_options,
    map: *mut *mut bytefd_map,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for a string, valid options and a writable pointer.
    boundary(error, || unsafe {
        let path = OsStr::from_bytes(text(path, "path")?.to_bytes());
        give(map, "map", || map_options(options)?.open(path).map(bytefd_map))
    })
}

/// Maps the regular file behind `fd`, which stays the caller's and may be closed afterwards. The
/// file offset is not used and does not move. BYTEFD_MAP_WRITE needs a descriptor that was opened
/// read-write, the others one that can be read. Otherwise as map_file; BYTEFD_MAP_CREATE and a mode
/// are -EINVAL.
///
/// With BYTEFD_MAP_WRITE or BYTEFD_MAP_GUARD the map keeps a duplicate. bytefd_map_close closes it,
/// which drops this process's POSIX record locks on the file, fcntl(2).
///
/// Returns 0, or a negative errno with `*map` untouched: map_file's, and
/// - -EBADF: `fd` is not an open descriptor.
/// - -EACCES: it was not opened for what is asked. -EPERM: the file is sealed against it.
///
/// ```c
/// int fd = shm_wrap_buffer("hello", 5, NULL, NULL);
/// bytefd_map *map;
/// if (bytefd_map_fd(fd, NULL, &map, NULL) == 0) {
///     fwrite(bytefd_map_data(map), 1, bytefd_map_length(map), stdout);
///     bytefd_map_close(map);
/// }
/// close(fd);
/// ```
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn bytefd_map_fd(
    fd: c_int,
    options: *const bytefd_map_options,
    map: *mut *mut bytefd_map,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for valid options and a writable pointer.
    boundary(error, || unsafe {
        give(map, "map", || map_options(options)?.map_fd(open_descriptor(fd)?).map(bytefd_map))
    })
}

/// Maps `length` bytes of memory without a file, zeros at first, for reading and writing: what
/// anonymous mappings and /dev/zero give. With BYTEFD_MAP_PRIVATE the memory is private, as
/// malloc's is. Otherwise it is shared: a memory file is behind it, whose descriptor
/// (bytefd_map_descriptor) can be given to other processes, and which bytefd_map_seal seals.
///
/// With BYTEFD_MAP_POPULATE all of the memory is there before this returns, in huge pages where
/// that pays; otherwise each page comes when it is first touched. A `length` of 0 is an empty map,
/// to be resized. Of the options only `access` (not BYTEFD_MAP_READ), `reserve` and the flags
/// BYTEFD_MAP_EXECUTE, _POPULATE, _MLOCK, _HUGE_PAGES, _NO_RESERVE, _GUARD, _NO_FORK and
/// _WIPE_ON_FORK may be set; the others must be what BYTEFD_MAP_OPTIONS_INIT sets.
///
/// Returns 0, or a negative errno with `*map` untouched:
/// - -EINVAL: `map` is NULL, or options that are unknown, are for files, or contradict each other;
///   with BYTEFD_MAP_HUGE_PAGES a `length` that is 0 or no multiple of the size of reserved huge
///   pages.
/// - -E2BIG: the options have members that this version does not know.
/// - -ENOMEM: no memory, address space or reserved huge pages left. -EMFILE, -ENFILE: no
///   descriptors.
/// - -EFBIG: `length` is above RLIMIT_FSIZE, which counts for shared memory. (No SIGXFSZ is
///   raised.)
/// - memfd_create(2)'s own where it is refused.
///
/// ```c
/// bytefd_map *map;
/// if (bytefd_map_memory(4096, NULL, &map, NULL) == 0) {
///     strcpy(bytefd_map_data(map), "hello");
///     bytefd_map_close(map);
/// }
/// ```
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn bytefd_map_memory(
    length: usize,
    options: *const bytefd_map_options,
    map: *mut *mut bytefd_map,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for valid options and a writable pointer.
    boundary(error, || unsafe {
        give(map, "map", || map_options(options)?.memory(length).map(bytefd_map))
    })
}

/// Returns the address of the first byte, valid until bytefd_map_close or bytefd_map_resize. NULL
/// only for a NULL `map`. The address of an empty map is aligned to a page and must not be
/// dereferenced. Stores need BYTEFD_MAP_WRITE or BYTEFD_MAP_PRIVATE; otherwise they raise SIGSEGV.
///
/// ```c
/// bytefd_map *map;
/// if (map_file("/etc/passwd", NULL, &map, NULL) == 0) {
///     const char *text = bytefd_map_data(map);
///     putchar(text[0]);
///     bytefd_map_close(map);
/// }
/// ```
#[unsafe(no_mangle)]
pub extern "C" fn bytefd_map_data(map: Option<&bytefd_map>) -> *mut c_void {
    map.map_or(std::ptr::null_mut(), |map| map.0.as_ptr().cast())
}

/// Returns the number of bytes in the map; 0 for a NULL `map`.
///
/// ```c
/// size_t none = bytefd_map_length(NULL);
/// ```
#[unsafe(no_mangle)]
pub extern "C" fn bytefd_map_length(map: Option<&bytefd_map>) -> usize {
    map.map_or(0, |map| map.0.len())
}

/// Returns the descriptor of the file behind the map, which is open for reading and writing: with
/// BYTEFD_MAP_WRITE, and for shared memory until it is sealed. It stays the map's: valid until
/// bytefd_map_close or bytefd_map_seal, and not to be closed; dup(2) gives one to keep. A process
/// that is given it, by inheritance or through a socket, has the memory. It is close-on-exec.
///
/// Returns it, or a negative errno: -EINVAL if `map` is NULL, -EBADF if there is none to give: the
/// map is for reading, private or of System V, or was sealed.
///
/// ```c
/// bytefd_map *map;
/// if (bytefd_map_memory(4096, NULL, &map, NULL) == 0) {
///     int fd = bytefd_map_descriptor(map, NULL);
///     if (fd >= 0 && write(fd, "hello", 5) == 5)
///         puts(bytefd_map_data(map));
///     bytefd_map_close(map);
/// }
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_map_descriptor(
    map: Option<&bytefd_map>,
    error: *mut bytefd_error,
) -> c_int {
    boundary(error, || required(map, "map")?.0.descriptor())
}

/// Unmaps and frees `map`. NULL is allowed. Does not flush: the kernel writes shared changes back
/// later.
///
/// Returns 0, or the negative errno of munmap(2); `map` is freed in both cases.
///
/// ```c
/// bytefd_map_close(NULL);
/// ```
#[unsafe(no_mangle)]
pub extern "C" fn bytefd_map_close(map: Option<Box<bytefd_map>>) -> c_int {
    end(map, |map| map.0.close())
}
