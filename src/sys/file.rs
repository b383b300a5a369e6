//! Descriptors and the files behind them. Every descriptor made here is close-on-exec from birth.

use std::ffi::CStr;
use std::io::IoSlice;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};

use super::buffer::Spare;
use super::call::{Result, check, retry};
use crate::error::Errno;

/// Takes over a descriptor that the kernel has just returned.
pub(super) fn own(fd: libc::c_int) -> OwnedFd {
    // SAFETY: the kernel has just returned `fd`, so nothing else owns it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Moves a descriptor above 2. In a program without standard streams a new descriptor gets the
/// number 0, 1 or 2, and the next `printf` would write into the file.
pub(crate) fn above_standard_streams(fd: OwnedFd) -> Result<OwnedFd> {
    if fd.as_raw_fd() > libc::STDERR_FILENO {
        return Ok(fd);
    }
    duplicate(fd.as_fd())
}

/// Makes another descriptor of the same open file description, above the standard streams.
pub(crate) fn duplicate(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC makes a new descriptor and touches no memory.
    match check(unsafe {
        libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, libc::STDERR_FILENO + 1)
    }) {
        // RLIMIT_NOFILE allows no number that high.
        Err(Errno(libc::EINVAL)) => Err(Errno(libc::EMFILE)),
        duplicate => duplicate.map(own),
    }
}

/// Makes a memory file, memfd_create(2). MFD_CLOEXEC is added.
pub(crate) fn memfd_create(name: &CStr, flags: libc::c_uint) -> Result<OwnedFd> {
    // SAFETY: `name` is NUL-terminated.
    retry(|| unsafe { libc::memfd_create(name.as_ptr(), flags | libc::MFD_CLOEXEC) }).map(own)
}

/// Opens a file, open(2). O_CLOEXEC and O_NOCTTY are added.
pub(crate) fn open(path: &CStr, flags: libc::c_int, mode: u32) -> Result<OwnedFd> {
    let flags = flags | libc::O_CLOEXEC | libc::O_NOCTTY;
    // SAFETY: `path` is NUL-terminated; open takes the mode as a variadic argument of this type.
    retry(|| unsafe { libc::open(path.as_ptr(), flags, mode) }).map(own)
}

/// Opens the file behind `fd` again through /proc/self/fd. The new open file description has an
/// offset of its own.
pub(crate) fn reopen(fd: BorrowedFd<'_>, flags: libc::c_int) -> Result<OwnedFd> {
    use std::io::Write;
    let mut path = [0; 32];
    write!(&mut path[..], "/proc/self/fd/{}\0", fd.as_raw_fd()).expect("26 bytes at most");
    open(CStr::from_bytes_until_nul(&path).expect("written above"), flags, 0)
}

/// Opens a file again like [`reopen`], through a descriptor of /proc/self/fd. That takes a quarter
/// less time.
pub(crate) fn reopen_in(
    directory: BorrowedFd<'_>,
    fd: BorrowedFd<'_>,
    flags: libc::c_int,
) -> Result<OwnedFd> {
    use std::io::Write;
    let mut name = [0; 16];
    write!(&mut name[..], "{}\0", fd.as_raw_fd()).expect("12 bytes at most");
    let flags = flags | libc::O_CLOEXEC | libc::O_NOCTTY;
    // SAFETY: `name` is NUL-terminated.
    retry(|| unsafe { libc::openat(directory.as_raw_fd(), name.as_ptr().cast(), flags) }).map(own)
}

/// Opens a descriptor for [`reopen_in`]. It serves this process only, not a child.
pub(crate) fn own_descriptors() -> Result<OwnedFd> {
    open(c"/proc/self/fd", libc::O_PATH | libc::O_DIRECTORY, 0)
}

/// Gives a name to a file that has none (O_TMPFILE), linkat(2) of /proc/self/fd. Fails if the name
/// is taken.
pub(crate) fn link(fd: BorrowedFd<'_>, path: &CStr) -> Result<()> {
    let own = std::ffi::CString::new(format!("/proc/self/fd/{}", fd.as_raw_fd())).expect("no NUL");
    let here = libc::AT_FDCWD;
    // SAFETY: both paths are NUL-terminated.
    check(unsafe { libc::linkat(here, own.as_ptr(), here, path.as_ptr(), libc::AT_SYMLINK_FOLLOW) })
        .map(drop)
}

/// Makes another name for a file, link(2).
pub(crate) fn link_path(from: &CStr, to: &CStr) -> Result<()> {
    // SAFETY: both paths are NUL-terminated.
    check(unsafe { libc::link(from.as_ptr(), to.as_ptr()) }).map(drop)
}

/// Renames a file to a name that is free, renameat2(2) with RENAME_NOREPLACE, Linux 3.15.
pub(crate) fn rename_new(from: &CStr, to: &CStr) -> Result<()> {
    const RENAME_NOREPLACE: libc::c_uint = 1;
    let here = libc::AT_FDCWD;
    // SAFETY: both paths are NUL-terminated. Not every C library has the function, so the call is
    // made by its number.
    check(unsafe {
        libc::syscall(libc::SYS_renameat2, here, from.as_ptr(), here, to.as_ptr(), RENAME_NOREPLACE)
    })
    .map(drop)
}

/// Makes a directory, mkdir(2). The umask takes bits from `mode`.
pub(crate) fn mkdir(path: &CStr, mode: u32) -> Result<()> {
    // SAFETY: `path` is NUL-terminated.
    check(unsafe { libc::mkdir(path.as_ptr(), mode) }).map(drop)
}

/// Removes a directory, rmdir(2).
pub(crate) fn rmdir(path: &CStr) -> Result<()> {
    // SAFETY: `path` is NUL-terminated.
    check(unsafe { libc::rmdir(path.as_ptr()) }).map(drop)
}

/// Removes a name, unlink(2).
pub(crate) fn unlink(path: &CStr) -> Result<()> {
    // SAFETY: `path` is NUL-terminated.
    check(unsafe { libc::unlink(path.as_ptr()) }).map(drop)
}

/// The part of `struct stat` that this crate reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub mode: u32,
    pub size: u64,
    /// Number of bytes that the file takes in memory or on disk.
    pub allocated: u64,
    pub owner: u32,
    pub group: u32,
    /// Time of the last change of the content, in seconds and nanoseconds.
    pub modified: (i64, i64),
    /// Time of the last change of anything. No process can set it.
    pub changed: (i64, i64),
    /// The preferred number of bytes for one read; on hugetlbfs the size of a page.
    pub block: u64,
    pub identity: Identity,
}

/// Distinguishes a file from all others that exist at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// Returns the device and the inode, for [`Identity::from_parts`].
    pub fn into_parts(self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// Returns whether both files are on one file system.
    pub fn is_on_device_of(self, other: Identity) -> bool {
        self.device == other.device
    }

    pub fn from_parts((device, inode): (u64, u64)) -> Identity {
        Identity { device, inode }
    }
}

impl Stat {
    pub(super) fn from_raw(raw: &libc::stat) -> Stat {
        Stat {
            mode: raw.st_mode,
            size: raw.st_size as u64,
            allocated: raw.st_blocks as u64 * 512,
            owner: raw.st_uid,
            group: raw.st_gid,
            modified: (raw.st_mtime, raw.st_mtime_nsec),
            changed: (raw.st_ctime, raw.st_ctime_nsec),
            block: raw.st_blksize as u64,
            identity: Identity { device: raw.st_dev, inode: raw.st_ino },
        }
    }

    pub fn is_pipe(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFIFO
    }

    pub fn is_socket(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFSOCK
    }

    pub fn is_regular(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFREG
    }

    pub fn is_symbolic_link(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFLNK
    }

    pub fn is_directory(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFDIR
    }

    /// Returns the kind of file in words, with its article.
    pub fn kind(&self) -> &'static str {
        match self.mode & libc::S_IFMT {
            libc::S_IFREG => "a regular file",
            libc::S_IFDIR => "a directory",
            libc::S_IFIFO => "a pipe or FIFO",
            libc::S_IFSOCK => "a socket",
            libc::S_IFCHR => "a character device",
            libc::S_IFBLK => "a block device",
            libc::S_IFLNK => "a symbolic link",
            _ => "an object without a file type",
        }
    }
}

/// Returns the status of a file, fstat(2).
pub(crate) fn fstat(fd: BorrowedFd<'_>) -> Result<Stat> {
    fstat_raw(fd.as_raw_fd())
}

/// Returns whether a number is an open descriptor. Asks no file system.
pub(crate) fn is_open(fd: libc::c_int) -> bool {
    // SAFETY: touches no memory.
    unsafe { libc::fcntl(fd, libc::F_GETFD) != -1 }
}

/// Returns the status of a file by a number that may not be open at all, fstat(2).
pub(crate) fn fstat_raw(fd: libc::c_int) -> Result<Stat> {
    // SAFETY: all-zero is a valid `struct stat`.
    let mut raw: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `raw` is writable; a number that is not open is EBADF.
    check(unsafe { libc::fstat(fd, &mut raw) })?;
    Ok(Stat::from_raw(&raw))
}

/// Returns whether a file consists of reserved huge pages.
pub(crate) fn is_on_hugetlbfs(fd: BorrowedFd<'_>) -> bool {
    is_on(fd, libc::HUGETLBFS_MAGIC as u64)
}

/// Returns whether a file is one of /proc.
pub(crate) fn is_on_proc(fd: BorrowedFd<'_>) -> bool {
    is_on(fd, libc::PROC_SUPER_MAGIC as u64)
}

/// Returns whether a file is on a file system of this kind, fstatfs(2).
fn is_on(fd: BorrowedFd<'_>, file_system: u64) -> bool {
    // SAFETY: all-zero is a valid `struct statfs`.
    let mut raw: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: `raw` is writable.
    let answer = check(unsafe { libc::fstatfs(fd.as_raw_fd(), &mut raw) });
    answer.is_ok() && raw.f_type as u64 == file_system
}

/// Returns the status of the file at `path`, stat(2). Follows symbolic links.
pub(crate) fn stat(path: &CStr) -> Result<Stat> {
    // SAFETY: all-zero is a valid `struct stat`.
    let mut raw: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `path` is NUL-terminated and `raw` is writable.
    check(unsafe { libc::stat(path.as_ptr(), &mut raw) })?;
    Ok(Stat::from_raw(&raw))
}

/// Returns the status of the file at `path`, lstat(2). Does not follow a symbolic link.
pub(crate) fn lstat(path: &CStr) -> Result<Stat> {
    // SAFETY: all-zero is a valid `struct stat`.
    let mut raw: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `path` is NUL-terminated and `raw` is writable.
    check(unsafe { libc::lstat(path.as_ptr(), &mut raw) })?;
    Ok(Stat::from_raw(&raw))
}

/// Returns the size of a file, lseek(2) with SEEK_END, for when fstat(2) fails. Sets the offset to
/// 0.
pub(crate) fn end(fd: BorrowedFd<'_>) -> Result<u64> {
    // SAFETY: touches no memory.
    let end = check(unsafe { libc::lseek(fd.as_raw_fd(), 0, libc::SEEK_END) })?;
    rewind(fd)?;
    Ok(end as u64)
}

/// Changes the mode of a file, fchmod(2).
pub(crate) fn fchmod(fd: BorrowedFd<'_>, mode: u32) -> Result<()> {
    // SAFETY: touches no memory.
    retry(|| unsafe { libc::fchmod(fd.as_raw_fd(), mode) }).map(drop)
}

/// Changes the size of a file, ftruncate(2). The caller has compared `size` with
/// [`super::file_size_limit`].
pub(crate) fn ftruncate(fd: BorrowedFd<'_>, size: u64) -> Result<()> {
    // SAFETY: touches no memory.
    retry(|| unsafe { libc::ftruncate(fd.as_raw_fd(), size as libc::off_t) }).map(drop)
}

/// Allocates or frees space of a file, fallocate(2). Returns EINTR to the caller. On tmpfs the
/// interrupted call has undone its work, so repeating it might never end.
pub(crate) fn fallocate(
    fd: BorrowedFd<'_>,
    mode: libc::c_int,
    offset: u64,
    length: u64,
) -> Result<()> {
    let (offset, length) = (offset as libc::off_t, length as libc::off_t);
    // SAFETY: touches no memory.
    check(unsafe { libc::fallocate(fd.as_raw_fd(), mode, offset, length) }).map(drop)
}

/// Writes bytes at an offset, pwrite(2). May write less than asked, like [`pwritev`].
pub(crate) fn pwrite(fd: BorrowedFd<'_>, bytes: &[u8], offset: u64) -> Result<usize> {
    // SAFETY: the pointer and length are those of `bytes`.
    let written = retry(|| unsafe {
        libc::pwrite(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), offset as libc::off_t)
    })?;
    Ok(written as usize)
}

/// Writes at most IOV_MAX segments at an offset, pwritev(2). May write less than asked. The kernel
/// reads the bytes, so lost memory is EFAULT here and not a signal.
pub(crate) fn pwritev(fd: BorrowedFd<'_>, segments: &[IoSlice<'_>], offset: u64) -> Result<usize> {
    let count = segments.len().min(libc::UIO_MAXIOV as usize) as libc::c_int;
    // SAFETY: `IoSlice` has the layout of `struct iovec`, and each points to readable bytes.
    let written = retry(|| unsafe {
        libc::pwritev(fd.as_raw_fd(), segments.as_ptr().cast(), count, offset as libc::off_t)
    })?;
    Ok(written as usize)
}

/// The source of zeros that are written.
pub(super) static ZEROS: [u8; 4096] = [0; 4096];

/// Writes at most `length` zeros, pwritev(2).
pub(crate) fn write_zeros(fd: BorrowedFd<'_>, offset: u64, length: u64) -> Result<usize> {
    let mut segments = [IoSlice::new(&ZEROS); 64];
    let whole = (length / ZEROS.len() as u64).min(segments.len() as u64) as usize;
    if whole > 0 {
        return pwritev(fd, &segments[..whole], offset);
    }
    segments[0] = IoSlice::new(&ZEROS[..length as usize]);
    pwritev(fd, &segments[..1], offset)
}

/// Adds seals, fcntl(2), F_ADD_SEALS.
pub(crate) fn add_seals(fd: BorrowedFd<'_>, seals: libc::c_int) -> Result<()> {
    // SAFETY: touches no memory.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, seals) }).map(drop)
}

/// Returns whether a descriptor was opened for reading.
pub(crate) fn is_readable(fd: BorrowedFd<'_>) -> Result<bool> {
    let flags = status_flags(fd)?;
    Ok(flags & libc::O_PATH == 0 && flags & libc::O_ACCMODE != libc::O_WRONLY)
}

/// Reads into `spare`, read(2).
pub(crate) fn read(fd: BorrowedFd<'_>, spare: &mut Spare<'_>) -> Result<usize> {
    // SAFETY: the kernel stores as many bytes as it returns.
    unsafe { spare.fill(|at, room| retry(|| libc::read(fd.as_raw_fd(), at, room))) }
}

/// Reads what a pipe has now, preadv2(2) with RWF_NOWAIT. EAGAIN instead of waiting. EOPNOTSUPP
/// where the kernel does not support it (before 6.5) and for other files.
pub(crate) fn read_now(pipe: BorrowedFd<'_>, spare: &mut Spare<'_>) -> Result<usize> {
    // SAFETY: the kernel stores as many bytes as it returns. The offset -1 means that of the open
    // file description, and a pipe has none.
    unsafe {
        spare.fill(|at, room| {
            let part = libc::iovec { iov_base: at, iov_len: room };
            // musl has no function for this call before 1.2.5. The offset is passed in two halves;
            // on 64-bit the first has all of it.
            let (number, offset) = (libc::SYS_preadv2, [-1i64, 0]);
            let read = || {
                libc::syscall(
                    number,
                    pipe.as_raw_fd(),
                    &part,
                    1usize,
                    offset[0],
                    offset[1],
                    libc::RWF_NOWAIT,
                )
            };
            retry(|| read() as isize)
        })
    }
}

/// Reads bytes from an offset, pread(2).
pub(crate) fn pread(fd: BorrowedFd<'_>, buffer: &mut [u8], offset: u64) -> Result<usize> {
    let (at, room) = (buffer.as_mut_ptr().cast(), buffer.len());
    // SAFETY: the buffer is writable.
    retry(|| unsafe { libc::pread(fd.as_raw_fd(), at, room, offset as libc::off_t) })
        .map(|read| read as usize)
}

/// Returns whether a descriptor is the master of a pseudoterminal: only a master answers TIOCGPTN.
pub(crate) fn is_terminal_master(fd: BorrowedFd<'_>) -> bool {
    let mut number: libc::c_uint = 0;
    // SAFETY: the call writes one unsigned number.
    unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGPTN, &raw mut number) == 0 }
}

/// Returns whether a read waits: O_NONBLOCK is not set.
pub(crate) fn blocks(fd: BorrowedFd<'_>) -> Result<bool> {
    status_flags(fd).map(|flags| flags & libc::O_NONBLOCK == 0)
}

/// Returns the seals of a file, fcntl(2), F_GET_SEALS.
pub(crate) fn seals(fd: BorrowedFd<'_>) -> Result<libc::c_int> {
    // SAFETY: touches no memory.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GET_SEALS) })
}

/// Returns whether `master` is the only open file description of its file anywhere: no process
/// holds another one or a mapping. Only then does the kernel grant a write lease, fcntl(2). The
/// lease does not reveal a duplicate of `master`.
///
/// The lease lasts until [`end_lease`]. Meanwhile every open(2) of the file, and every truncate(2)
/// of its path, waits. After /proc/sys/fs/lease-break-time, usually 45 seconds, the kernel takes
/// the lease away from a process that does not end it.
pub(crate) fn lease(master: BorrowedFd<'_>) -> Result<bool> {
    // From fcntl.h; the libc crate does not have it for every C library.
    const F_SETSIG: libc::c_int = 10;
    // When an open(2) waits, the kernel sends a signal to this process. By default that is SIGIO,
    // which ends it. SIGURG is ignored unless the program handles it. Ending the lease sets the
    // default again.
    fcntl(master, F_SETSIG, libc::SIGURG)?;
    or_again(fcntl(master, libc::F_SETLEASE, libc::F_WRLCK))
}

/// Ends the lease, and returns whether it had lasted until now.
pub(crate) fn end_lease(master: BorrowedFd<'_>) -> Result<bool> {
    or_again(fcntl(master, libc::F_SETLEASE, libc::F_UNLCK))
}

/// Returns whether the lease is there and no open(2) waits for its end.
pub(crate) fn is_leased(master: BorrowedFd<'_>) -> bool {
    fcntl(master, libc::F_GETLEASE, 0) == Ok(libc::F_WRLCK)
}

fn or_again(result: Result<libc::c_int>) -> Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(Errno(libc::EAGAIN)) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Calls fcntl(2) with a command that takes a number.
fn fcntl(fd: BorrowedFd<'_>, command: libc::c_int, argument: libc::c_int) -> Result<libc::c_int> {
    // SAFETY: touches no memory.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), command, argument) })
}

/// Returns the access mode and the file status flags, F_GETFL in fcntl(2).
pub(crate) fn status_flags(fd: BorrowedFd<'_>) -> Result<libc::c_int> {
    fcntl(fd, libc::F_GETFL, 0)
}

/// Sets the file status flags, F_SETFL in fcntl(2).
pub(crate) fn set_status_flags(fd: BorrowedFd<'_>, flags: libc::c_int) -> Result<()> {
    fcntl(fd, libc::F_SETFL, flags).map(drop)
}

/// Makes bytes zeros, even past the end of the file, FALLOC_FL_PUNCH_HOLE in fallocate(2).
pub(crate) fn punch(fd: BorrowedFd<'_>, bytes: Range<u64>) -> Result<()> {
    let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    fallocate(fd, mode, bytes.start, bytes.end - bytes.start)
}

/// Returns the number of bytes of the names of extended attributes, flistxattr(2). Returns 0 where
/// the file cannot have any.
pub(crate) fn attributes_length(fd: BorrowedFd<'_>) -> usize {
    // SAFETY: a length of 0 asks for the length only.
    check(unsafe { libc::flistxattr(fd.as_raw_fd(), std::ptr::null_mut(), 0) })
        .map_or(0, |length| length as usize)
}

/// Returns the offset of the open file description, lseek(2).
pub(crate) fn position(fd: BorrowedFd<'_>) -> Result<u64> {
    // SAFETY: touches no memory.
    check(unsafe { libc::lseek(fd.as_raw_fd(), 0, libc::SEEK_CUR) }).map(|offset| offset as u64)
}

/// Sets the offset to 0, lseek(2).
pub(crate) fn rewind(fd: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: touches no memory.
    check(unsafe { libc::lseek(fd.as_raw_fd(), 0, libc::SEEK_SET) }).map(drop)
}

/// Keeps the descriptor from passing through execve(2).
pub(crate) fn set_close_on_exec(fd: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: touches no memory.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) }).map(drop)
}

/// Lets the descriptor pass through execve(2).
pub(crate) fn clear_close_on_exec(fd: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: touches no memory. FD_CLOEXEC is the only descriptor flag, F_SETFD in fcntl(2).
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, 0) }).map(drop)
}

/// Closes `fd` if the number still refers to this file, and returns the status before. Otherwise
/// the code that was lent the descriptor has closed it, and the number may belong to other code by
/// now.
pub(crate) fn close_if(fd: OwnedFd, identity: Identity) -> Option<Stat> {
    let stat = stat_if(fd.as_raw_fd(), identity);
    if stat.is_none() {
        // The number does not belong to us any more.
        let _ = fd.into_raw_fd();
    }
    stat
}

/// Closes a number that was noted somewhere, like [`close_if`].
pub(crate) fn close_raw_if(fd: libc::c_int, identity: Identity) {
    if stat_if(fd, identity).is_some() {
        // SAFETY: the number was noted as ours, and still refers to our file.
        drop(unsafe { OwnedFd::from_raw_fd(fd) });
    }
}

/// Returns the status of the file, fstat(2), if the number refers to this file.
pub(crate) fn stat_if(fd: libc::c_int, identity: Identity) -> Option<Stat> {
    fstat_raw(fd).ok().filter(|stat| stat.identity == identity)
}
