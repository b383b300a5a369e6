//! A file as bytes.

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;

use super::boundary::{boundary, bytefd_error, is_null};
use super::options::{BYTEFD_FLUSH_ASYNC, BYTEFD_FLUSH_SYNC, bytefd_map_options, map_options};
use crate::{Error, Flush, Map};

/// A mapped range of a file. Any number of threads may use one map at the same time; bytefd_map_close must come last.
pub struct bytefd_map(Map);

/// Maps the file at `path` and writes the map to `*map`; the caller ends it with bytefd_map_close. No descriptor stays
/// open. A file of 0 bytes gives a valid map of length 0. A FIFO, socket or device is refused without being opened, so
/// nothing blocks.
///
/// The bytes are the file's: others who write to it change them, and when others make it shorter than the map, access to
/// the pages that are gone raises SIGBUS.
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
    boundary(error, || {
        if path.is_null() {
            return Err(is_null("path"));
        }
        if map.is_null() {
            return Err(is_null("map"));
        }
        // SAFETY: the header asks for a string, and for valid options.
        let (path, options) = unsafe { (CStr::from_ptr(path), map_options(options)?) };
        let opened = options.open(OsStr::from_bytes(path.to_bytes()))?;
        // SAFETY: the header asks for a writable pointer, and it is not NULL.
        unsafe { map.write(Box::into_raw(Box::new(bytefd_map(opened)))) };
        Ok(0)
    })
}

/// The first byte of the map, valid until bytefd_map_close. Not NULL, except for a NULL `map`; with a length of 0 it must
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

/// Writes changed bytes back to the file, msync(2): any range of bytes of the map, not only whole pages. A `length` of 0
/// is from `offset` to the end of the map. `how` is BYTEFD_FLUSH_SYNC or BYTEFD_FLUSH_ASYNC.
///
/// Returns 0, or a negative errno: -EINVAL if `map` is NULL, `how` is unknown, the range is not all in the map, or the
/// map is private, whose stores never reach the file; -EIO if writing failed.
///
/// ```c
/// bytefd_map_options options = BYTEFD_MAP_OPTIONS_INIT;
/// bytefd_map *map;
/// options.access = BYTEFD_MAP_WRITE;
/// if (map_file("table", &options, &map, NULL) == 0) {
///     memset(bytefd_map_data(map), 0, bytefd_map_length(map));
///     bytefd_map_flush(map, 0, 0, BYTEFD_FLUSH_SYNC, NULL);
///     bytefd_map_close(map);
/// }
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_map_flush(
    map: Option<&bytefd_map>,
    offset: usize,
    length: usize,
    how: u32,
    error: *mut bytefd_error,
) -> c_int {
    boundary(error, || {
        let map = &map.ok_or_else(|| is_null("map"))?.0;
        let how = match how {
            BYTEFD_FLUSH_SYNC => Flush::Sync,
            BYTEFD_FLUSH_ASYNC => Flush::Async,
            other => return Err(Error::new("how", libc::EINVAL, format_args!("there is no way of flushing {other}"))),
        };
        match offset.checked_add(length) {
            _ if length == 0 => map.flush(offset.., how),
            Some(end) => map.flush(offset..end, how),
            None => Err(Error::new(
                "range",
                libc::EINVAL,
                format_args!("asked for {length} bytes from {offset} of a map of {} bytes", map.len()),
            )),
        }?;
        Ok(0)
    })
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
    boundary(std::ptr::null_mut(), || {
        if let Some(map) = map {
            map.0.close()?;
        }
        Ok(0)
    })
}
