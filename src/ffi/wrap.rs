//! Wraps bytes, and opens or names the file behind a descriptor.

use std::ffi::{c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;

use super::arguments::{bytes, open_descriptor, segments};
use super::boundary::{boundary, bytefd_error};
use super::flags::BYTEFD_INHERIT;
use super::options::check_flags;
use super::results::put_text;
use super::wrap_options::{bytefd_wrap_options, wrap_options};

/// Creates a sealed file that contains the `len` bytes at `buf` and returns a descriptor for it.
///
/// With default options the descriptor refers to a regular file:
/// - st_size is `len` (0 is allowed); the file offset is 0; st_nlink is 0; the mode is 0400.
/// - The file is sealed against writing, growing, shrinking and further seals. Linux 6.3 and later
///   also seal it against execve(2); a PROT_EXEC mapping still works.
/// - The descriptor is close-on-exec. It is open for reading and writing (O_RDWR), but the seals
///   make every write fail with EPERM. Kernels that cannot map a sealed file through such a
///   descriptor (before 6.7) get one that is open for reading only.
/// - Any PROT_READ mapping works, shared or private, on every kernel.
/// - A large file gets huge pages where the host provides them and they take less time to fill.
///
/// The file cannot be sealed on hosts without memfd_create(2), with BYTEFD_BACKEND_SHM or
/// BYTEFD_BACKEND_TMPFILE, and above `spill_threshold`. The descriptor is then open for reading
/// only (O_RDONLY), unless BYTEFD_WRITABLE is set. Set `backend` to BYTEFD_BACKEND_MEMFD to require
/// seals.
///
/// The caller owns the descriptor and closes it. The content exists until the last duplicate,
/// mapping or received copy is gone. `buf` is read only during the call. Any thread may call this
/// at any time.
///
/// Returns the descriptor, which is never 0, 1 or 2. On failure, returns one of the following and
/// leaves nothing behind:
/// - -EINVAL if `buf` is NULL and `len` is not 0, if `len` exceeds PTRDIFF_MAX, or if the options
///   are unknown or contradict each other.
/// - -E2BIG if the options have members that this version does not know.
/// - -EFAULT if part of `buf` is not readable, or was lost because it is in a mapping of a file
///   that was truncated. That includes lost pages that BYTEFD_MAP_GUARD has replaced by zeros.
/// - -EFBIG if `len` exceeds RLIMIT_FSIZE. SIGXFSZ is not raised.
/// - -ENOSPC if the file system behind the backend is full.
/// - -EMFILE, -ENFILE, -ENOMEM if a limit is reached. A copy that exceeds the limit of a memory
///   cgroup is no error, but kills a process; see `spill_threshold`.
/// - -ENOENT if /proc is not mounted, and the options or the host need it to open the file
///   read-only.
/// - The error of the system call in `error->op`.
///
/// ```c
/// int fd = shm_wrap_buffer("hello", 5, NULL, NULL);
/// if (fd >= 0)
///     close(fd);
/// ```
#[unsafe(no_mangle)]
#[must_use]
/// cbindgen:postfix=BYTEFD_READS(1, 2)
pub unsafe extern "C" fn bytefd_wrap_buffer(
    buf: *const c_void,
    len: usize,
    options: *const bytefd_wrap_options,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for `len` readable bytes at `buf`, and for valid options.
    boundary(error, || unsafe {
        let bytes = bytes(("buf", "len"), buf, len)?;
        wrap_options(options)?.wrap(bytes)
    })
}

/// Creates a file as bytefd_wrap_buffer does, from content that lies in several places. The file
/// contains the `count` segments in their order. `count` has no limit, and a segment of length 0 is
/// skipped. `iov` may be NULL only if `count` is 0.
///
/// ```c
/// struct iovec parts[2] = {{"head", 4}, {"body", 4}};
/// int fd = bytefd_wrap_iov(parts, 2, NULL, NULL);
/// ```
#[unsafe(no_mangle)]
#[must_use]
/// cbindgen:postfix=BYTEFD_READS(1, 2)
pub unsafe extern "C" fn bytefd_wrap_iov(
    iov: *const libc::iovec,
    count: usize,
    options: *const bytefd_wrap_options,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for `count` valid segments at `iov`, and for valid options.
    boundary(error, || unsafe {
        let segments = segments(iov, count)?;
        wrap_options(options)?.wrap_vectored(&segments)
    })
}

/// Opens the regular file behind `fd` again and returns a new descriptor, which the caller owns.
/// Use it to give each reader or each child a file offset of its own. The descriptor is open for
/// reading only, and has a file offset of its own, which is 0. It is close-on-exec unless `flags`
/// is BYTEFD_INHERIT. (A descriptor from dup(2) would share its offset with `fd`.) `fd` stays open.
///
/// This protects nothing by itself. Code that has the descriptor can open the file for writing
/// through /proc, if the file's mode allows that. Only seals protect the content.
///
/// Returns the descriptor. On failure, returns one of the following:
/// - -EBADF if `fd` is not open.
/// - -EINVAL if `fd` is not a regular file, or `flags` is neither 0 nor BYTEFD_INHERIT.
/// - -ENOENT if /proc is not mounted.
/// - -EACCES if the file's mode forbids reading.
/// - Other errors of open(2).
///
/// ```c
/// int fd = shm_wrap_buffer("hello", 5, NULL, NULL);
/// int other = bytefd_reopen(fd, 0, NULL);
/// ```
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn bytefd_reopen(fd: c_int, flags: u64, error: *mut bytefd_error) -> c_int {
    boundary(error, || {
        check_flags(flags, BYTEFD_INHERIT)?;
        let fd = open_descriptor(fd)?;
        if flags == BYTEFD_INHERIT { crate::reopen_inherited(fd) } else { crate::reopen(fd) }
    })
}

/// Writes the text "/proc/self/fd/N" for `fd`, with a final NUL, to `buf`, for code that takes only
/// a path. 32 bytes are always enough.
///
/// The path names the descriptor only in this process, and only while the descriptor is open.
/// Opening the path gives an open file description with an offset of its own. A child process finds
/// the file under the same path if it inherits the descriptor (BYTEFD_INHERIT).
///
/// Code that resolves the link first (SQLite does), or that opens it with O_NOFOLLOW, finds no
/// file. Use bytefd_tempfile_create for such code.
///
/// Warning: with another backend than memfd, code that resolves the link and opens the result can
/// open a wrong file. Another user can create a file of the name to which the link resolves. With a
/// memfd such code only finds no file.
///
/// Returns 0. On failure, returns one of the following and leaves `buf` unchanged:
/// - -EBADF if `fd` is not open.
/// - -EINVAL if `buf` is NULL.
/// - -ERANGE if `size` is too small.
///
/// ```c
/// char path[32];
/// int fd = shm_wrap_buffer("hello", 5, NULL, NULL);
/// if (fd >= 0 && bytefd_path(fd, path, sizeof path, NULL) == 0)
///     puts(path);
/// ```
#[unsafe(no_mangle)]
#[must_use]
/// cbindgen:postfix=BYTEFD_WRITES(2, 3)
pub unsafe extern "C" fn bytefd_path(
    fd: c_int,
    buf: *mut c_char,
    size: usize,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for `size` writable bytes at `buf`.
    boundary(error, || unsafe {
        put_text(crate::path(open_descriptor(fd)?).as_os_str().as_bytes(), buf, size)
    })
}
