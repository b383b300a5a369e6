//! Creates real files with a path.

use std::ffi::{CString, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;

use super::arguments::{bytes, optional_text};
use super::boundary::{boundary, bytefd_error, end};
use super::options::{Extensible, check_flags, check_reserved, read};
use super::results::give;
use crate::share::{TempFile, TempFileOptions};

/// Selects how a temporary file is created. Start from BYTEFD_TEMPFILE_OPTIONS_INIT, which sets all
/// defaults. A NULL pointer means the same. `size` works as in bytefd_wrap_options.
///
/// ```c
/// bytefd_tempfile_options options = BYTEFD_TEMPFILE_OPTIONS_INIT;
/// options.suffix = ".ndb";
/// ```
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bytefd_tempfile_options {
    /// sizeof(bytefd_tempfile_options).
    pub size: usize,
    /// The end of the file's name, at most 200 bytes without a slash. NULL means no suffix.
    pub suffix: *const c_char,
    /// An existing directory for the file. NULL means the tmpfs at /dev/shm, or /tmp if that cannot
    /// be used. bytefd_sweep searches only /dev/shm, $TMPDIR, /tmp and /var/tmp. In any other
    /// directory, a killed process leaves the file behind.
    pub directory: *const c_char,
    /// Must be 0.
    pub flags: u64,
    /// The permission bits of the file, whatever the umask is. 0 means 0600. The directory around
    /// the file admits no other user.
    pub mode: u32,
    /// Must be 0.
    pub reserved: u32,
}

// SAFETY: integers and pointers, for which all-zero bytes are valid values.
unsafe impl Extensible for bytefd_tempfile_options {
    // SAFETY: as above.
    const INIT: Self = unsafe { std::mem::zeroed() };
    const FIRST_SIZE: usize = 40;
}

/// A real file with a path, from bytefd_tempfile_create. Any number of threads may call
/// bytefd_tempfile_path at the same time. No thread may use the handle during or after
/// bytefd_tempfile_close.
pub struct bytefd_tempfile {
    path: CString,
    file: TempFile,
}

impl From<TempFile> for bytefd_tempfile {
    fn from(file: TempFile) -> bytefd_tempfile {
        let path =
            CString::new(file.path().as_os_str().as_bytes()).expect("a path of the library's");
        bytefd_tempfile { path, file }
    }
}

/// Creates a real file that contains the `len` bytes at `buf`, and writes a handle to `*file`. The
/// file is alone in a new directory of mode 0700. It is for code that resolves symbolic links
/// (SQLite), or that checks the suffix of a name (clamscan -d x.ndb). bytefd_tempfile_close ends
/// the handle and removes the file.
///
/// Such a file cannot be sealed: any process of the same user can change it. If the code accepts a
/// descriptor, or its path in /proc, pass that instead.
///
/// The handle holds a descriptor of the directory, locked with flock(2). If the process is killed,
/// the file stays. bytefd_sweep removes the file once no process holds the directory, which
/// children of fork(2) inherit.
///
/// Returns 0. On failure, returns one of the following, leaves `*file` unchanged and nothing
/// behind:
/// - -E2BIG   if the options have members that this version does not know.
/// - -EFBIG   if `len` exceeds RLIMIT_FSIZE. SIGXFSZ is not raised.
/// - -EINVAL  if `buf` is NULL and `len` is not 0, `file` is NULL, the suffix has a slash, or the
///   options are invalid.
/// - -ENAMETOOLONG  if the suffix has more than 200 bytes.
/// - -ENOENT  if `directory` does not exist.
/// - -ENOSPC  if the file system is full.
/// - Other errors of mkdir(2) and open(2).
///
/// ```c
/// bytefd_tempfile *file;
/// if (bytefd_tempfile_create("hello", 5, NULL, &file, NULL) == 0) {
///     puts(bytefd_tempfile_path(file));
///     bytefd_tempfile_close(file);
/// }
/// ```
///
/// cbindgen:postfix=BYTEFD_READS(1, 2)
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn bytefd_tempfile_create(
    buf: *const c_void,
    len: usize,
    options: *const bytefd_tempfile_options,
    file: *mut *mut bytefd_tempfile,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for `len` readable bytes at `buf`, valid options with strings, and a
    // writable pointer.
    boundary(error, || unsafe {
        give(file, "file", || {
            let (content, given) = (bytes(("buf", "len"), buf, len)?, read(options)?);
            check_flags(given.flags, 0)?;
            check_reserved(given.reserved)?;
            let mut wanted = TempFileOptions::new().mode(given.mode);
            if let Some(suffix) = optional_text(given.suffix) {
                wanted = wanted.suffix(OsStr::from_bytes(suffix.to_bytes()));
            }
            if let Some(directory) = optional_text(given.directory) {
                wanted = wanted.directory(OsStr::from_bytes(directory.to_bytes()));
            }
            wanted.create(content).map(bytefd_tempfile::from)
        })
    })
}

/// Returns the path of the file, which is absolute and has no symbolic links. It is valid until
/// bytefd_tempfile_close. The result is NULL if `file` is NULL.
///
/// ```c
/// const char *nowhere = bytefd_tempfile_path(NULL);
/// ```
#[unsafe(no_mangle)]
pub extern "C" fn bytefd_tempfile_path(file: Option<&bytefd_tempfile>) -> *const c_char {
    file.map_or(std::ptr::null(), |file| file.path.as_ptr())
}

/// Removes the file, its directory and everything that other code has put beside the file, and
/// frees `file`. NULL is allowed. In a child made by fork(2) it removes nothing, because the file
/// belongs to the parent.
///
/// Returns 0, or the first error of the removal. -EXDEV means that something is mounted in the
/// directory, which then stays. `file` is freed in every case.
///
/// ```c
/// bytefd_tempfile_close(NULL);
/// ```
#[unsafe(no_mangle)]
pub extern "C" fn bytefd_tempfile_close(file: Option<Box<bytefd_tempfile>>) -> c_int {
    end(file, |file| file.file.close())
}
