//! Creates and closes maps.

use std::ffi::{OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;

use super::arguments::{open_descriptor, required, text};
use super::boundary::{boundary, bytefd_error, end};
use super::map_options::{bytefd_map_options, map_options};
use super::results::give;
use crate::Map;

/// A mapped range of a file, of a memory file without a name, or of anonymous memory; or a System V
/// segment (bytefd_map_sysv).
///
/// Any number of threads may use one map at the same time, except that no other thread may use it:
/// - during bytefd_map_resize and bytefd_map_unmap;
/// - during and after bytefd_map_close;
/// - during bytefd_map_seal, except to load bytes through an address from an earlier
///   bytefd_map_data.
///
/// Use includes loads and stores through an address of bytefd_map_data, also if `reserve` keeps the
/// address the same.
///
/// The functions that take a range accept any bytes of the map, not only whole pages. If `length`
/// is 0, they check the range and return 0, but bytefd_map_unmap returns -EINVAL. BYTEFD_TO_END as
/// `length` means to the end of the map. bytefd_map_read and bytefd_map_write return -EINVAL for
/// it, because their `length` also counts the bytes of `buf`. An `offset` past the end of the map
/// is -EINVAL.
pub struct bytefd_map(pub(super) Map);

/// Maps the file at `path` and writes the map to `*map`. The caller ends it with bytefd_map_close.
/// A file of 0 bytes gives a valid map of length 0. A FIFO, socket or device is refused without
/// being opened, so that the call does not block.
///
/// With BYTEFD_MAP_WRITE the map keeps a descriptor of the file, which bytefd_map_descriptor
/// returns. With BYTEFD_MAP_GUARD alone it keeps one for bytefd_map_file_size only. Otherwise no
/// descriptor stays open.
///
/// Warning: the call opens the file, and closes that descriptor when it returns or when the map is
/// closed. The kernel then drops all POSIX record locks that this process has on the file,
/// fcntl(2). Use bytefd_map_fd for a file with such locks. A map of bytefd_map_fd with
/// BYTEFD_MAP_WRITE or BYTEFD_MAP_GUARD drops them too, when bytefd_map_close ends it.
///
/// The bytes are those of the file: a process that writes to the file changes them. If the file
/// becomes shorter than the map, access to the lost pages raises SIGBUS. BYTEFD_MAP_GUARD,
/// bytefd_map_read and bytefd_map_write survive that.
///
/// Returns 0. On failure, returns one of the following and leaves `*map` unchanged. A file that the
/// call created is removed. A file that the call should grow keeps its old size.
/// - -EINVAL if `path` or `map` is NULL, or the options are unknown or contradict each other.
/// - -EINVAL if `length` is 0 in the options; BYTEFD_MAP_OPTIONS_INIT sets it to BYTEFD_TO_END.
/// - -E2BIG if the options have members that this version does not know.
/// - -ENXIO if the range is not entirely in the file. BYTEFD_MAP_BEYOND_EOF with a `length` allows
///   such a range.
/// - -ENOENT if there is no such file, or the file is a symbolic link to nothing.
/// - -EACCES if permission is missing. BYTEFD_MAP_WRITE needs permission to read and write.
/// - -EISDIR if `path` is a directory.
/// - -ENODEV if `path` is anything else that is not a regular file, or a file whose content cannot
///   be mapped (/proc).
/// - -EFBIG, -ENOSPC if the file cannot be grown to `file_size`, because of RLIMIT_FSIZE or a lack
///   of space. SIGXFSZ is not raised.
/// - -EPERM if BYTEFD_MAP_WRITE is set and the file is sealed against writing, or
///   BYTEFD_MAP_EXECUTE is set and the file system is mounted noexec.
/// - -ENOMEM, -EMFILE, -ENFILE if memory, address space or descriptors run out.
/// - -EBUSY, -ELIBACC if the handler cannot be installed; see BYTEFD_MAP_GUARD.
/// - Other errors of open(2).
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

/// Maps the regular file behind `fd` and writes the map to `*map`. `fd` stays the caller's, and may
/// be closed afterwards. The file offset is neither used nor changed. BYTEFD_MAP_WRITE needs a
/// descriptor that is open for reading and writing; other maps need one that is open for reading.
///
/// Options and results are as for bytefd_map_file, except that BYTEFD_MAP_CREATE and `mode` are
/// -EINVAL.
///
/// With BYTEFD_MAP_WRITE or BYTEFD_MAP_GUARD the map keeps a duplicate of `fd`. When
/// bytefd_map_close closes the duplicate, the kernel drops this process's POSIX record locks on the
/// file, fcntl(2).
///
/// Returns 0. On failure, returns an error of bytefd_map_file or one of the following, and leaves
/// `*map` unchanged:
/// - -EBADF if `fd` is not an open descriptor.
/// - -EACCES if `fd` was not opened for the requested access.
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

/// Maps `length` bytes of new memory, for reading and writing. The bytes are zero at first, as with
/// anonymous mappings and /dev/zero. A `length` of 0 gives an empty map, which bytefd_map_resize
/// can grow.
///
/// With BYTEFD_MAP_PRIVATE it is anonymous memory, like that of malloc(3). Otherwise it is shared:
/// it belongs to a memory file without a name, whose descriptor (bytefd_map_descriptor) can be
/// given to other processes. bytefd_map_seal seals that file.
///
/// With BYTEFD_MAP_POPULATE the kernel provides all memory before the call returns, in huge pages
/// where they pay. Otherwise it provides each page on first access.
///
/// Only the following options may be set; the others must be what BYTEFD_MAP_OPTIONS_INIT sets:
/// - `access`, but not BYTEFD_MAP_READ.
/// - `reserve`.
/// - The flags BYTEFD_MAP_EXECUTE, _POPULATE, _MLOCK, _HUGE_PAGES, _NO_RESERVE, _GUARD, _NO_FORK
///   and _WIPE_ON_FORK.
///
/// Returns 0. On failure, returns one of the following and leaves `*map` unchanged:
/// - -EINVAL if `map` is NULL, or the options are unknown, are for files, or contradict each other.
/// - -EINVAL if BYTEFD_MAP_HUGE_PAGES is set, and `length` is 0 or not a multiple of the size of
///   reserved huge pages.
/// - -E2BIG if the options have members that this version does not know.
/// - -ENOMEM if memory, address space or reserved huge pages run out.
/// - -EMFILE, -ENFILE if descriptors run out.
/// - -EFBIG if `length` exceeds RLIMIT_FSIZE, which counts for shared memory. SIGXFSZ is not
///   raised.
/// - The errors of memfd_create(2), if it is refused.
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

/// Returns the address of the first byte. It is valid until bytefd_map_close, or until
/// bytefd_map_resize moves the map; see `reserve`. The result is NULL only if `map` is NULL. The
/// address of an empty map is aligned to a page and must not be dereferenced. Stores need
/// BYTEFD_MAP_WRITE or BYTEFD_MAP_PRIVATE; otherwise they raise SIGSEGV.
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

/// Returns the number of bytes in the map; 0 if `map` is NULL.
///
/// ```c
/// size_t none = bytefd_map_length(NULL);
/// ```
#[unsafe(no_mangle)]
pub extern "C" fn bytefd_map_length(map: Option<&bytefd_map>) -> usize {
    map.map_or(0, |map| map.0.len())
}

/// Returns the descriptor of the file behind the map, which is open for reading and writing. Maps
/// of files with BYTEFD_MAP_WRITE have one, and shared memory has one until it is sealed.
///
/// The descriptor belongs to the map, and must not be closed. It is valid until bytefd_map_close or
/// bytefd_map_seal; dup(2) gives one that can be kept. It is close-on-exec. A process that inherits
/// or receives it has the memory.
///
/// Returns the descriptor. On failure, returns one of the following:
/// - -EINVAL if `map` is NULL.
/// - -EBADF if the map has no descriptor, because it is for reading, is private, is a System V map,
///   or was sealed.
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

/// Unmaps and frees `map`. NULL is allowed. It does not flush: the kernel writes shared changes
/// back later.
///
/// Returns 0, or the negative errno of munmap(2). `map` is freed in both cases.
///
/// ```c
/// bytefd_map_close(NULL);
/// ```
#[unsafe(no_mangle)]
pub extern "C" fn bytefd_map_close(map: Option<Box<bytefd_map>>) -> c_int {
    end(map, |map| map.0.close())
}
