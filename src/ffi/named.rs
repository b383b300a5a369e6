//! Memory with a name, and files with a path.

use std::ffi::{CString, c_char, c_int, c_void};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use super::arguments::{bytes, optional_text, text, utf8};
use super::boundary::{boundary, bytefd_error, end};
use super::map_options::is_for_writing;
use super::options::{Extensible, Flag, read, set_flags, unknown};
use super::results::{give, put_text};
use crate::Error;
use crate::share::{self, Link, NamedOptions};

/// Opens what has the name.
pub const BYTEFD_SHM_OPEN: u32 = 0;
/// Makes it; there must be none yet.
pub const BYTEFD_SHM_CREATE: u32 = 1;
/// Opens it, or makes it if there is none.
pub const BYTEFD_SHM_OPEN_OR_CREATE: u32 = 2;

/// With BYTEFD_SHM_CREATE: what is made belongs to this process. Its name says so, so others need the whole name, and bytefd_shm_sweep
/// removes it when the process is gone.
pub const BYTEFD_SHM_OWNER: u32 = 1;

/// Bytes for any name, with its slash and final NUL.
pub const BYTEFD_SHM_NAME_SIZE: usize = 257;

/// How named memory is made or opened. Start from BYTEFD_SHM_OPTIONS_INIT, which opens what there is for reading, as a NULL pointer does.
/// `size` works as in bytefd_wrap_options.
///
/// ```c
/// bytefd_shm_options options = BYTEFD_SHM_OPTIONS_INIT;
/// options.how = BYTEFD_SHM_CREATE;
/// options.access = BYTEFD_MAP_WRITE;
/// options.length = 4096;
/// int fd = bytefd_shm_open("table", &options, NULL, 0, NULL);
/// ```
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bytefd_shm_options {
    /// sizeof(bytefd_shm_options).
    pub size: usize,
    /// How many bytes what is made has, zeros at first, with the space reserved; and how many what is opened must have at least.
    pub length: u64,
    /// BYTEFD_SHM_OPEN or one of those after it.
    pub how: u32,
    /// BYTEFD_MAP_READ, or BYTEFD_MAP_WRITE for reading and writing.
    pub access: u32,
    /// BYTEFD_SHM_OWNER, or 0. An unknown bit is -EINVAL.
    pub flags: u32,
    /// The permission bits of what is made, whatever the umask says; 0 is 0600.
    pub mode: u32,
}

// SAFETY: integers, for which all-zero bytes are valid values.
unsafe impl Extensible for bytefd_shm_options {
    const FIRST_SIZE: usize = 32;
}

const FLAGS: &[Flag<NamedOptions>] = &[(BYTEFD_SHM_OWNER, NamedOptions::owned)];

/// Opens or makes memory with a name, shm_overview(7), for all processes that know the name and may. bytefd_map_fd maps it. Opening
/// changes neither length nor mode nor content. Making it takes no moment in which others could see it without its length.
///
/// A slash before the name is added if there is none. If `full_name` is not NULL the whole name is written there, with its slash and a final
/// NUL; BYTEFD_SHM_NAME_SIZE bytes are always enough, and fewer are refused.
///
/// Returns a descriptor, the caller's, close-on-exec, or a negative errno with `full_name` untouched and nothing made:
/// - -EEXIST, -ENOENT: there is one already, or none; -ENOENT also where there is no /dev/shm, or for making no /proc.
/// - -EINVAL: `name` is NULL, empty, "." or "..", not UTF-8, or has a slash that is not its first byte; options that are unknown
///   or contradict each other. -ENAMETOOLONG: more than 255 bytes, with its owner. -E2BIG: options with members that this version
///   does not know.
/// - -ENXIO: it has fewer bytes than asked. -ENODEV, -ELOOP: what has the name is no regular file, or a symbolic link.
/// - -ENOSPC, -EFBIG: no room for it, or RLIMIT_FSIZE. (No SIGXFSZ is raised.)
/// - -ERANGE: `room` is below BYTEFD_SHM_NAME_SIZE.
/// - -EACCES, -EMFILE: open(2)'s own.
///
/// ```c
/// int fd = bytefd_shm_open("table", NULL, NULL, 0, NULL);
/// bytefd_map *map;
/// if (fd >= 0 && bytefd_map_fd(fd, NULL, &map, NULL) == 0)
///     bytefd_map_close(map);
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_shm_open(
    name: *const c_char,
    options: *const bytefd_shm_options,
    full_name: *mut c_char,
    room: usize,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for a string, valid options, and `room` writable bytes at `full_name`.
    boundary(error, || unsafe {
        let (name, given) = (utf8(text(name, "name")?, "name")?, read(options)?);
        if !full_name.is_null() && room < BYTEFD_SHM_NAME_SIZE {
            let message = format_args!("there is room for {room} bytes, and {BYTEFD_SHM_NAME_SIZE} are needed");
            return Err(Error::new("full_name", libc::ERANGE, message));
        }
        let wanted = set_flags(given.flags, FLAGS, NamedOptions::new())?
            .length(given.length)
            .mode(given.mode)
            .write(is_for_writing(given.access)?);
        let named = match given.how {
            BYTEFD_SHM_OPEN => wanted.open(name)?,
            BYTEFD_SHM_CREATE => wanted.create(name)?,
            BYTEFD_SHM_OPEN_OR_CREATE => wanted.open_or_create(name)?.0,
            other => return Err(unknown("how", other)),
        };
        if !full_name.is_null() {
            put_text(named.name().as_bytes(), full_name, room)?;
        }
        Ok(OwnedFd::from(named))
    })
}

/// Removes a name. The memory lives for as long as somebody has it open or mapped.
///
/// Returns 0, or a negative errno: -ENOENT; -EINVAL, -ENAMETOOLONG: as bytefd_shm_open; -EACCES, -EPERM: unlink(2)'s own.
///
/// ```c
/// bytefd_shm_unlink("table", NULL);
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_shm_unlink(name: *const c_char, error: *mut bytefd_error) -> c_int {
    // SAFETY: the header asks for a string.
    boundary(error, || unsafe { share::unlink(utf8(text(name, "name")?, "name")?) })
}

/// Removes what killed processes of this user have left: named memory with BYTEFD_SHM_OWNER, bytefd_link's files, System V segments
/// with BYTEFD_SYSV_OWNER that nobody has attached, and the names that files of BYTEFD_BACKEND_SHM have for a moment. Touches nothing else:
/// not what has no owner, belongs to a process of another container (pid_namespaces(7)) or to another user, or whose owner may be
/// alive. (A segment has room for 22 bits that say so: one of 4194304 that other programs of this user have left behind looks like it.)
///
/// Returns how many were removed, or a negative errno: -ENOENT where /proc is not mounted, or is that of another
/// container, because nobody can be known to be gone then.
///
/// ```c
/// bytefd_shm_sweep(NULL);
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_shm_sweep(error: *mut bytefd_error) -> c_int {
    boundary(error, share::sweep)
}

/// A real file with a path, from bytefd_link.
pub struct bytefd_linked_file {
    path: CString,
    /// The file goes with it.
    _link: Link,
}

impl From<Link> for bytefd_linked_file {
    fn from(link: Link) -> bytefd_linked_file {
        let path = CString::new(link.path().as_os_str().as_bytes()).expect("a path of the library's");
        bytefd_linked_file { path, _link: link }
    }
}

/// Puts bytes into a real file of mode 0600, whose name ends with `suffix` (NULL for none), alone in a directory of mode 0700 that nobody else
/// can enter: on the tmpfs at /dev/shm, or in /tmp where there is none. For code that resolves links (SQLite) or looks at the end of a
/// name (clamscan -d x.ndb). Writes a handle to `*file`; the caller ends it, and the file, with bytefd_link_release.
///
/// Such a file cannot be sealed: whoever runs as the same user can change it. Code that can take a descriptor, or its path in /proc, should
/// be given that instead. A process that is killed leaves the file behind; bytefd_shm_sweep removes it then.
///
/// Returns 0, or a negative errno with `*file` untouched and nothing left:
/// - -EINVAL: `buf` is NULL and `len` not 0, `file` is NULL, or the suffix has a slash or is not UTF-8. -ENAMETOOLONG: it has more
///   than 200 bytes.
/// - -ENOSPC, -EFBIG: no room, or RLIMIT_FSIZE. -ENOENT: /proc is not mounted, or is that of another container. mkdir(2)'s and
///   open(2)'s own.
///
/// ```c
/// bytefd_linked_file *file;
/// if (bytefd_link("hello", 5, ".txt", &file, NULL) == 0) {
///     puts(bytefd_link_path(file));
///     bytefd_link_release(file);
/// }
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_link(
    buf: *const c_void,
    len: usize,
    suffix: *const c_char,
    file: *mut *mut bytefd_linked_file,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for `len` readable bytes at `buf`, NULL or a string, and a writable pointer.
    boundary(error, || unsafe {
        give(file, "file", || {
            let suffix = utf8(optional_text(suffix).unwrap_or(c""), "suffix")?;
            share::link(bytes(("buf", "len"), buf, len)?, suffix).map(bytefd_linked_file::from)
        })
    })
}

/// Where the file is: an absolute path without symbolic links, valid until bytefd_link_release. NULL for a NULL `file`.
///
/// ```c
/// const char *nowhere = bytefd_link_path(NULL);
/// ```
#[unsafe(no_mangle)]
pub extern "C" fn bytefd_link_path(file: Option<&bytefd_linked_file>) -> *const c_char {
    file.map_or(std::ptr::null(), |file| file.path.as_ptr())
}

/// Removes the file with its directory and whatever the client has put beside it, and frees `file`. NULL is fine. Always 0.
/// In a child made by fork(2) too it is the parent's file that is removed.
///
/// ```c
/// bytefd_link_release(NULL);
/// ```
#[unsafe(no_mangle)]
pub extern "C" fn bytefd_link_release(file: Option<Box<bytefd_linked_file>>) -> c_int {
    end(file, |_| Ok(()))
}
