//! Lists what the manual page of each system call says that it may answer.

use std::ffi::{c_int, c_long};

/// An errno and its name.
pub type Named = (&'static str, c_int);

/// A system call, or one command of it.
pub struct Page {
    /// "openat", "fcntl F_SETFD".
    pub name: &'static str,
    pub number: c_long,
    /// The value of the argument that [`command`] looks at. `None` for any.
    pub command: Option<u64>,
    pub errnos: &'static [Named],
    pub short: Short,
}

/// The place where a call says how much it does, if it may do less than it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Short {
    Never,
    /// A number of bytes, in this argument.
    Count(usize),
    /// An array of segments, at this argument.
    Segments(usize),
    /// A msghdr, at this argument.
    Message(usize),
}

/// Returns the argument that distinguishes the commands of one system call.
pub fn command(number: c_long, arguments: &[u64; 6]) -> u64 {
    match number {
        libc::SYS_fcntl | libc::SYS_ioctl | libc::SYS_shmctl => arguments[1],
        libc::SYS_futex => arguments[1] & 0x7f,
        libc::SYS_madvise | libc::SYS_getsockopt => arguments[2],
        _ => 0,
    }
}

pub fn page(number: c_long, command: u64) -> Option<&'static Page> {
    let exact = PAGES.iter().find(|page| page.number == number && page.command == Some(command));
    exact.or_else(|| PAGES.iter().find(|page| page.number == number && page.command.is_none()))
}

macro_rules! pages {
    ($(
        $(#[$attribute:meta])*
        $name:literal $number:ident $($command:expr)?, $short:expr, [$($errno:ident)*];
    )*) => {
        &[$($(#[$attribute])* Page {
            name: $name,
            number: libc::$number,
            command: [$(Some($command as u64),)? None][0],
            errnos: &[$((stringify!($errno), libc::$errno),)*],
            short: $short,
        },)*]
    };
}

use Short::{Count, Message, Never, Segments};

/// EFAULT and EBADF are listed where a caller can cause them. Calls that cannot fail are listed
/// without an errno.
const PAGES: &[Page] = pages![
    // Files and names.
    "openat" SYS_openat, Never, [EACCES EAGAIN EBUSY EDQUOT EEXIST EFBIG EINTR EINVAL EISDIR ELOOP
        EMFILE ENAMETOOLONG ENFILE ENODEV ENOENT ENOMEM ENOSPC ENOTDIR ENXIO EOPNOTSUPP EOVERFLOW
        EPERM EROFS ETXTBSY];
    "openat2" SYS_openat2, Never, [EACCES EAGAIN ELOOP EMFILE ENFILE ENOENT ENOMEM ENOSYS ENOTDIR
        EPERM EXDEV];
    "memfd_create" SYS_memfd_create, Never, [EINVAL EMFILE ENFILE ENOMEM EPERM EACCES ENOSYS];
    "close" SYS_close, Never, [EINTR EIO ENOSPC EDQUOT];
    "newfstatat" SYS_newfstatat, Never, [EACCES EBADF ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR
        EOVERFLOW];
    "fstat" SYS_fstat, Never, [EACCES EBADF ENOMEM EOVERFLOW];
    "statx" SYS_statx, Never, [EACCES EBADF ELOOP ENAMETOOLONG ENOENT ENOMEM ENOSYS ENOTDIR EPERM];
    "fstatfs" SYS_fstatfs, Never, [EBADF EINTR EIO ENOMEM ENOSYS EOVERFLOW];
    "statfs" SYS_statfs, Never, [EACCES EINTR EIO ELOOP ENAMETOOLONG ENOENT ENOMEM ENOSYS ENOTDIR
        EOVERFLOW];
    "faccessat" SYS_faccessat, Never, [EACCES EIO ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR EROFS];
    "readlinkat" SYS_readlinkat, Never, [EACCES EINVAL EIO ELOOP ENAMETOOLONG ENOENT ENOMEM
        ENOTDIR];
    "linkat" SYS_linkat, Never, [EACCES EDQUOT EEXIST EIO ELOOP EMLINK ENAMETOOLONG ENOENT ENOMEM
        ENOSPC ENOTDIR EPERM EROFS EXDEV];
    "renameat2" SYS_renameat2, Never, [EACCES EBUSY EDQUOT EEXIST EINVAL EIO EISDIR ELOOP EMLINK
        ENAMETOOLONG ENOENT ENOMEM ENOSPC ENOTDIR ENOTEMPTY EPERM EROFS EXDEV ENOSYS];
    "unlinkat" SYS_unlinkat, Never, [EACCES EBUSY EIO EISDIR ELOOP ENAMETOOLONG ENOENT ENOMEM
        ENOTDIR EPERM EROFS ENOTEMPTY];
    "mkdirat" SYS_mkdirat, Never, [EACCES EDQUOT EEXIST ELOOP EMLINK ENAMETOOLONG ENOENT ENOMEM
        ENOSPC ENOTDIR EPERM EROFS];
    "getdents64" SYS_getdents64, Never, [EBADF EINVAL ENOENT ENOTDIR];
    "fchmod" SYS_fchmod, Never, [EACCES EBADF EIO ENOENT ENOMEM EPERM EROFS];
    "fchmodat" SYS_fchmodat, Never, [EACCES EIO ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR EPERM
        EROFS];
    "flistxattr" SYS_flistxattr, Never, [E2BIG ENOTSUP ERANGE EBADF];
    "flock" SYS_flock, Never, [EBADF EINTR EINVAL ENOLCK EWOULDBLOCK];
    #[cfg(target_arch = "x86_64")]
    "stat" SYS_stat, Never, [EACCES ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR EOVERFLOW];
    #[cfg(target_arch = "x86_64")]
    "lstat" SYS_lstat, Never, [EACCES ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR EOVERFLOW];
    #[cfg(target_arch = "x86_64")]
    "access" SYS_access, Never, [EACCES EIO ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR EROFS];
    #[cfg(target_arch = "x86_64")]
    "readlink" SYS_readlink, Never, [EACCES EINVAL EIO ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR];
    #[cfg(target_arch = "x86_64")]
    "link" SYS_link, Never, [EACCES EDQUOT EEXIST EIO ELOOP EMLINK ENAMETOOLONG ENOENT ENOMEM ENOSPC
        ENOTDIR EPERM EROFS EXDEV];
    #[cfg(target_arch = "x86_64")]
    "unlink" SYS_unlink, Never, [EACCES EBUSY EIO EISDIR ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR
        EPERM EROFS];
    #[cfg(target_arch = "x86_64")]
    "mkdir" SYS_mkdir, Never, [EACCES EDQUOT EEXIST ELOOP EMLINK ENAMETOOLONG ENOENT ENOMEM ENOSPC
        ENOTDIR EPERM EROFS];
    #[cfg(target_arch = "x86_64")]
    "rmdir" SYS_rmdir, Never, [EACCES EBUSY ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR ENOTEMPTY EPERM
        EROFS];
    #[cfg(target_arch = "x86_64")]
    "chmod" SYS_chmod, Never, [EACCES EIO ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR EPERM EROFS];

    // Content.
    "ftruncate" SYS_ftruncate, Never, [EFBIG EINTR EINVAL EIO EPERM EROFS ETXTBSY ENOSPC];
    "fallocate" SYS_fallocate, Never, [EBADF EFBIG EINTR EINVAL EIO ENODEV ENOSPC ENOSYS EOPNOTSUPP
        EPERM ETXTBSY];
    "read" SYS_read, Count(2), [EAGAIN EBADF EINTR EINVAL EIO EISDIR];
    "pread64" SYS_pread64, Count(2), [EAGAIN EBADF EINTR EINVAL EIO EISDIR ENXIO EOVERFLOW ESPIPE];
    "readv" SYS_readv, Segments(1), [EAGAIN EBADF EINTR EINVAL EIO EISDIR];
    "preadv2" SYS_preadv2, Segments(1), [EAGAIN EBADF EINTR EINVAL EIO EISDIR EOPNOTSUPP ESPIPE
        ENOSYS];
    "write" SYS_write, Count(2), [EAGAIN EBADF EDQUOT EFAULT EFBIG EINTR EINVAL EIO ENOSPC EPERM
        EPIPE];
    "pwrite64" SYS_pwrite64, Count(2), [EAGAIN EBADF EDQUOT EFAULT EFBIG EINTR EINVAL EIO ENOSPC
        EPERM ESPIPE];
    "writev" SYS_writev, Segments(1), [EAGAIN EBADF EDQUOT EFAULT EFBIG EINTR EINVAL EIO ENOSPC
        EPERM EPIPE];
    "pwritev" SYS_pwritev, Segments(1), [EAGAIN EBADF EDQUOT EFAULT EFBIG EINTR EINVAL EIO ENOSPC
        EPERM ESPIPE];
    "sendfile" SYS_sendfile, Count(3), [EAGAIN EBADF EFAULT EINVAL EIO ENOMEM EOVERFLOW ESPIPE];
    "splice" SYS_splice, Count(4), [EAGAIN EBADF EINVAL ENOMEM ESPIPE];
    "lseek" SYS_lseek, Never, [EBADF EINVAL ENXIO EOVERFLOW ESPIPE];
    "process_vm_readv" SYS_process_vm_readv, Segments(1), [EFAULT EINVAL ENOMEM EPERM ESRCH ENOSYS];
    "pipe2" SYS_pipe2, Never, [EINVAL EMFILE ENFILE];

    // Descriptors.
    "fcntl F_DUPFD_CLOEXEC" SYS_fcntl libc::F_DUPFD_CLOEXEC, Never, [EBADF EINVAL EMFILE];
    "fcntl F_GETFD" SYS_fcntl libc::F_GETFD, Never, [EBADF];
    "fcntl F_SETFD" SYS_fcntl libc::F_SETFD, Never, [EBADF];
    "fcntl F_GETFL" SYS_fcntl libc::F_GETFL, Never, [EBADF];
    "fcntl F_SETFL" SYS_fcntl libc::F_SETFL, Never, [EBADF EPERM];
    "fcntl F_SETSIG" SYS_fcntl 10, Never, [EBADF EINVAL];
    "fcntl F_SETOWN_EX" SYS_fcntl 15, Never, [EBADF EINVAL ESRCH];
    "fcntl F_SETLEASE" SYS_fcntl libc::F_SETLEASE, Never, [EACCES EAGAIN EBADF EINVAL ENOMEM];
    "fcntl F_GETLEASE" SYS_fcntl libc::F_GETLEASE, Never, [EBADF];
    "fcntl F_ADD_SEALS" SYS_fcntl libc::F_ADD_SEALS, Never, [EBADF EBUSY EINVAL EPERM];
    "fcntl F_GET_SEALS" SYS_fcntl libc::F_GET_SEALS, Never, [EBADF EINVAL];
    "fcntl F_OFD_SETLK" SYS_fcntl libc::F_OFD_SETLK, Never, [EACCES EAGAIN EBADF EINTR EINVAL
        ENOLCK];
    "fcntl F_OFD_SETLKW" SYS_fcntl libc::F_OFD_SETLKW, Never, [EBADF EDEADLK EINTR EINVAL ENOLCK];
    "fcntl F_OFD_GETLK" SYS_fcntl libc::F_OFD_GETLK, Never, [EBADF EINVAL];
    "ioctl" SYS_ioctl, Never, [EBADF EINVAL ENOTTY EBUSY EFAULT ENOMEM EPERM];
    "poll" SYS_ppoll, Never, [EINTR EINVAL ENOMEM];
    #[cfg(target_arch = "x86_64")]
    "poll" SYS_poll, Never, [EINTR EINVAL ENOMEM];

    // Memory.
    "mmap" SYS_mmap, Never, [EACCES EAGAIN EBADF EEXIST EINVAL ENFILE ENODEV ENOMEM EOVERFLOW EPERM
        ETXTBSY];
    "munmap" SYS_munmap, Never, [EINVAL ENOMEM];
    "mprotect" SYS_mprotect, Never, [EACCES EINVAL ENOMEM];
    "mremap" SYS_mremap, Never, [EAGAIN EFAULT EINVAL ENOMEM];
    "msync" SYS_msync, Never, [EBUSY EINVAL EIO ENOMEM];
    "mlock" SYS_mlock, Never, [EAGAIN EINVAL ENOMEM EPERM];
    "munlock" SYS_munlock, Never, [EAGAIN EINVAL ENOMEM EPERM];
    "madvise" SYS_madvise, Never, [EACCES EAGAIN EBADF EBUSY EFAULT EINTR EINVAL EIO ENOMEM EPERM];
    "mincore" SYS_mincore, Never, [EAGAIN EFAULT EINVAL ENOMEM];
    "shmget" SYS_shmget, Never, [EACCES EEXIST EINVAL ENFILE ENOENT ENOMEM ENOSPC EPERM];
    "shmat" SYS_shmat, Never, [EACCES EIDRM EINVAL ENOMEM];
    "shmdt" SYS_shmdt, Never, [EINVAL];
    "shmctl" SYS_shmctl, Never, [EACCES EFAULT EIDRM EINVAL ENOMEM EOVERFLOW EPERM];

    // Sockets and waiting.
    "sendmsg" SYS_sendmsg, Message(1), [EACCES EAGAIN EBADF ECONNRESET EDESTADDRREQ EINTR EINVAL
        EISCONN EMSGSIZE ENOBUFS ENOMEM ENOTCONN EOPNOTSUPP EPIPE ETOOMANYREFS];
    "sendto" SYS_sendto, Count(2), [EACCES EAGAIN EBADF ECONNRESET EDESTADDRREQ EINTR EINVAL EISCONN
        EMSGSIZE ENOBUFS ENOMEM ENOTCONN EOPNOTSUPP EPIPE];
    "recvmsg" SYS_recvmsg, Message(1), [EAGAIN EBADF ECONNREFUSED EINTR EINVAL EMFILE ENOMEM
        ENOTCONN];
    "recvfrom" SYS_recvfrom, Count(2), [EAGAIN EBADF ECONNREFUSED EINTR EINVAL ENOMEM ENOTCONN];
    "shutdown" SYS_shutdown, Never, [EBADF EINVAL ENOTCONN];
    "getsockopt" SYS_getsockopt, Never, [EBADF EFAULT EINVAL ENOPROTOOPT ENOTSOCK];
    "futex FUTEX_WAKE" SYS_futex libc::FUTEX_WAKE, Never, [EACCES EFAULT EINVAL ENOSYS];
    "futex" SYS_futex, Never, [EACCES EAGAIN EFAULT EINTR EINVAL ENOSYS ETIMEDOUT];
    "nanosleep" SYS_clock_nanosleep, Never, [EINTR EINVAL];

    // The process.
    "prlimit64" SYS_prlimit64, Never, [EFAULT EINVAL EPERM ESRCH];
    #[cfg(target_arch = "x86_64")]
    "getrlimit" SYS_getrlimit, Never, [EFAULT EINVAL];
    "getrandom" SYS_getrandom, Never, [EAGAIN EFAULT EINTR EINVAL ENOSYS];
    "rt_sigaction" SYS_rt_sigaction, Never, [EFAULT EINVAL];
    "rt_sigprocmask" SYS_rt_sigprocmask, Never, [EFAULT EINVAL];
    "sigaltstack" SYS_sigaltstack, Never, [EFAULT EINVAL ENOMEM EPERM];
    "get_robust_list" SYS_get_robust_list, Never, [EPERM ESRCH];
    "sched_getaffinity" SYS_sched_getaffinity, Never, [EFAULT EINVAL EPERM ESRCH];
    "clone" SYS_clone, Never, [EAGAIN EINVAL ENOMEM ENOSPC ENOSYS EPERM EUSERS];
    "wait4" SYS_wait4, Never, [ECHILD EINTR EINVAL];
    "kill" SYS_kill, Never, [EINVAL EPERM ESRCH];
    "tgkill" SYS_tgkill, Never, [EAGAIN EINVAL EPERM ESRCH];
    "prctl" SYS_prctl, Never, [EINVAL EPERM];
    // EINVAL is for clocks that the kernel does not have. It has CLOCK_MONOTONIC.
    "clock_gettime" SYS_clock_gettime, Never, [];
    "getpid" SYS_getpid, Never, [];
    "gettid" SYS_gettid, Never, [];
    "getuid" SYS_getuid, Never, [];
    "geteuid" SYS_geteuid, Never, [];
    "getgid" SYS_getgid, Never, [];
    "getegid" SYS_getegid, Never, [];
    "umask" SYS_umask, Never, [];
    "sched_yield" SYS_sched_yield, Never, [];
    // The C library's heap. These tests keep enough of it for every call.
    "brk" SYS_brk, Never, [];
];
