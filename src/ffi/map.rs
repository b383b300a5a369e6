//! A file or memory as bytes: where a map comes from, and where it ends.

use std::ffi::{OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;

use super::arguments::{open_descriptor, required, text};
use super::boundary::{boundary, bytefd_error, end};
use super::map_options::{bytefd_map_options, map_options};
use super::results::give;
use crate::Map;

/// A mapped range of a file, or memory without a file. Any number of threads may use one map at the same time, but
/// bytefd_map_resize, bytefd_map_unmap and bytefd_map_seal need it alone, and bytefd_map_close must come last.
pub struct bytefd_map(pub(super) Map);

/// Maps the file at `path` and writes the map to `*map`; the caller ends it with bytefd_map_close. With BYTEFD_MAP_WRITE the
/// map keeps a descriptor of the file (bytefd_map_descriptor); otherwise none stays open. A file of 0 bytes gives a valid map of length 0. A FIFO, socket or device is refused without being opened, so
/// nothing blocks.
///
/// The bytes are the file's: others who write to it change them, and when others make it shorter than the map, access to
/// the pages that are gone raises SIGBUS. BYTEFD_MAP_GUARD, bytefd_map_read and bytefd_map_write are the ways to live with that.
///
/// Returns 0, or a negative errno with `*map` untouched. A file that was created is gone again, and one that was to grow
/// has its old size.
/// - -EINVAL: `path` or `map` is NULL, or options that are unknown or contradict each other.
/// - -E2BIG: the options have members that this version does not know.
/// - -ENXIO: the range is not all in the file, and BYTEFD_MAP_BEYOND_EOF is not given, or no length with it.
/// - -ENOENT, -EACCES, ...: open(2)'s own; -ENOENT also for a symbolic link to nothing. BYTEFD_MAP_WRITE needs permission to read and write.
/// - -EISDIR: a directory. -ENODEV: anything else that is not a regular file, or whose content cannot be mapped (/proc).
/// - -EFBIG, -ENOSPC: the file cannot be grown to `file_size`: RLIMIT_FSIZE, or no space. (No SIGXFSZ is raised.)
/// - -EPERM: the file is sealed against writing, or execution was asked for on a file system mounted noexec.
/// - -ENOMEM, -EMFILE, -ENFILE: no memory, address space or descriptors left.
///
/// ```c
/// bytefd_map *map;
/// if (map_file("/etc/passwd", NULL, &map, NULL) == 0) {
///     fwrite(bytefd_map_data(map), 1, bytefd_map_length(map), stdout);
///     bytefd_map_close(map);
/// }
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn map_file(
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

/// Maps the regular file behind `fd`, which stays the caller's and may be closed afterwards. Its offset does not matter and
/// does not move. BYTEFD_MAP_WRITE needs one that was opened read-write, the others one that can be read. Otherwise as
/// map_file; BYTEFD_MAP_CREATE and a mode are -EINVAL.
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

/// Maps `length` bytes of memory without a file, zeros at first, that can be written: what anonymous mappings and /dev/zero
/// give. With BYTEFD_MAP_PRIVATE it is private, as malloc's is. Otherwise it is shared, with a memory file behind it whose
/// descriptor (bytefd_map_descriptor) can be given to other processes, and that bytefd_map_seal makes a sealed one.
///
/// With BYTEFD_MAP_POPULATE all of the memory is there before this returns, in huge pages where that pays; otherwise each page
/// comes when it is first touched. A `length` of 0 is an empty map, to be resized. Of the options only `access`, `reserve` and
/// the flags EXECUTE, POPULATE, LOCK, HUGE_PAGES, NO_RESERVE, GUARD, NO_FORK and WIPE_ON_FORK make sense, and the others must be 0.
///
/// Returns 0, or a negative errno with `*map` untouched:
/// - -EINVAL: `map` is NULL, or options that are unknown, are for files, or contradict each other; with
///   BYTEFD_MAP_HUGE_PAGES a `length` that is 0 or no multiple of the size of reserved huge pages.
/// - -E2BIG: the options have members that this version does not know.
/// - -ENOMEM: no memory, address space or reserved huge pages left. -EMFILE, -ENFILE: no descriptors.
/// - -EFBIG: `length` is above RLIMIT_FSIZE, which counts for shared memory. (No SIGXFSZ is raised.)
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
pub unsafe extern "C" fn bytefd_map_memory(
    length: usize,
    options: *const bytefd_map_options,
    map: *mut *mut bytefd_map,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for valid options and a writable pointer.
    boundary(error, || unsafe { give(map, "map", || map_options(options)?.memory(length).map(bytefd_map)) })
}

/// The first byte of the map, valid until bytefd_map_close or bytefd_map_resize. Not NULL, except for a NULL `map`; with a length of 0 it must
/// not be dereferenced. Stores need BYTEFD_MAP_WRITE or BYTEFD_MAP_PRIVATE; otherwise they raise SIGSEGV.
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

/// Bytes in the map; 0 for a NULL `map`.
///
/// ```c
/// size_t none = bytefd_map_length(NULL);
/// ```
#[unsafe(no_mangle)]
pub extern "C" fn bytefd_map_length(map: Option<&bytefd_map>) -> usize {
    map.map_or(0, |map| map.0.len())
}

/// The descriptor of the file behind the map, read-write: with BYTEFD_MAP_WRITE, and for shared memory until it is sealed. It stays
/// the map's: valid until bytefd_map_close or bytefd_map_seal, and not to be closed; dup(2) gives one to keep. Given to another
/// process, by inheritance or through a socket, it gives that process the memory. Close-on-exec.
///
/// Returns it, or a negative errno: -EINVAL if `map` is NULL, -EBADF if the map keeps none.
///
/// ```c
/// bytefd_map *map;
/// if (bytefd_map_memory(4096, NULL, &map, NULL) == 0) {
///     int fd = bytefd_map_descriptor(map, NULL);
///     write(fd, "hello", 5);
///     puts(bytefd_map_data(map));
///     bytefd_map_close(map);
/// }
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_map_descriptor(map: Option<&bytefd_map>, error: *mut bytefd_error) -> c_int {
    boundary(error, || required(map, "map")?.0.descriptor())
}

/// Unmaps and frees `map`. NULL is fine. Does not flush: the kernel writes shared changes back in its time.
///
/// Returns 0, or munmap(2)'s negative errno; `map` is gone either way.
///
/// ```c
/// bytefd_map_close(NULL);
/// ```
#[unsafe(no_mangle)]
pub extern "C" fn bytefd_map_close(map: Option<Box<bytefd_map>>) -> c_int {
    end(map, |map| map.0.close())
}
