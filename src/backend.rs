//! Makes an empty file: a memfd, POSIX shared memory or `O_TMPFILE`. When [`create`] returns, the
//! file is in no directory. Its descriptor is open for reading and writing, and close-on-exec.

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;

use crate::error::{Context, Errno, Error, Result};
use crate::ownership;
use crate::sys::{self, features};

/// Selects the kind of file behind a descriptor.
///
/// ```
/// use bytefd::{Backend, WrapOptions};
/// let fd = WrapOptions::new().backend(Backend::Shm).wrap(b"in /dev/shm, but without a name")?;
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// Uses the first of `Memfd`, `Shm` and `TmpFile` that this host offers. If descriptors, memory
    /// or space run out, the call fails and does not try the next one.
    #[default]
    Auto,
    /// Uses memfd_create(2), Linux 3.17. The file is in no directory. Its size is limited by memory
    /// and RLIMIT_FSIZE. Only its files can be sealed.
    Memfd,
    /// Uses a file without a name on the tmpfs at /dev/shm, where shm_open(3) creates its objects.
    /// The size of that file system limits it. Where that file system has no `O_TMPFILE`, the file
    /// has an unguessable name for a moment, before its first byte is written. If the process is
    /// killed in that moment, [`sweep`](crate::share::sweep()) removes the name.
    Shm,
    /// Uses open(2) with `O_TMPFILE`, Linux 3.11: a file without a name in `$TMPDIR`, /tmp or
    /// /var/tmp, usually on disk. Without `O_TMPFILE` it has a name for a moment, as with `Shm`.
    TmpFile,
}

/// Whether the new file may be made executable.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Execution {
    /// Never. Kernels that support F_SEAL_EXEC (6.3 and later) refuse execution from now on.
    Forbidden,
    /// The caller does not want to execute the file, but has chosen the set of seals, to which no
    /// seal may be added.
    Undecided,
    /// The file will be executed. If the host forbids that, the call fails.
    Wanted,
}

/// An empty file, and the backend that made it. `backend` is never `Auto`.
pub(crate) struct EmptyFile {
    pub fd: OwnedFd,
    pub backend: Backend,
}

/// Makes an empty file. `name` is a checked label: no `/`, newline or NUL, at most 200 bytes.
pub(crate) fn create(backend: Backend, name: &CStr, execution: Execution) -> Result<EmptyFile> {
    let make = |backend| {
        let fd = match backend {
            Backend::Shm => shm(),
            Backend::TmpFile => tmpfile(),
            _ => memfd(name, execution),
        }?;
        let fd = sys::file::above_standard_streams(fd)
            .context("fcntl F_DUPFD_CLOEXEC", || "a descriptor above 2")?;
        Ok(EmptyFile { fd, backend })
    };
    if backend != Backend::Auto {
        return make(backend);
    }
    let mut refusals: Vec<Error> = Vec::new();
    for backend in [Backend::Memfd, Backend::Shm, Backend::TmpFile] {
        match make(backend) {
            // If the administrator forbids executable memory files, no other backend replaces them.
            Err(error) if is_forbidden(&error, backend, execution) => return Err(error),
            Err(error) if !is_shortage(Errno(error.errno())) => refusals.push(error),
            result => return result,
        }
    }
    let all = refusals.iter().map(Error::to_string).collect::<Vec<_>>().join("; ");
    Err(Error::new("backend", refusals[0].errno(), format_args!("no backend works: {all}")))
}

fn is_forbidden(error: &Error, backend: Backend, execution: Execution) -> bool {
    backend == Backend::Memfd && execution == Execution::Wanted && error.errno() == libc::EACCES
}

/// Returns whether the errno means that a resource has run out. Other errnos mean that the host
/// does not offer the backend.
pub(crate) fn is_shortage(errno: Errno) -> bool {
    [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOSPC, libc::EDQUOT].contains(&errno.0)
}

// From linux/memfd.h, Linux 6.3, which not every C library has.
const MFD_NOEXEC_SEAL: libc::c_uint = 0x0008;
const MFD_EXEC: libc::c_uint = 0x0010;

fn memfd(name: &CStr, execution: Execution) -> Result<OwnedFd> {
    let flag = if execution == Execution::Forbidden { MFD_NOEXEC_SEAL } else { MFD_EXEC };
    let create = |flag| sys::file::memfd_create(name, libc::MFD_ALLOW_SEALING | flag);

    let first = if features::MFD_NOEXEC_SEAL.is_missing() {
        Err(Errno(libc::EINVAL))
    } else {
        create(flag)
    };
    let fd = match first {
        Err(Errno(libc::EINVAL)) => {
            create(0).inspect(|_| _ = features::MFD_NOEXEC_SEAL.remember(false))
        }
        // If vm.memfd_noexec is 2, the kernel makes memfds only with this flag.
        Err(Errno(libc::EACCES)) if execution == Execution::Undecided => create(MFD_NOEXEC_SEAL),
        result => result,
    };
    // The message leaves out the label, which the caller knows and which can be longer than the
    // rest.
    fd.context("memfd_create", || "a memory file")
}

fn shm() -> Result<OwnedFd> {
    ownership::unnamed_file(ownership::SHM).context("open O_TMPFILE", || "in /dev/shm")
}

fn tmpfile() -> Result<OwnedFd> {
    let mut refusals: Vec<(CString, Errno)> = Vec::new();
    for directory in temporary_directories() {
        match ownership::unnamed_file(&directory) {
            Err(errno) if !is_shortage(errno) => refusals.push((directory, errno)),
            made => return made.context("open O_TMPFILE", || directory.to_string_lossy()),
        }
    }
    // The errno is that of the first directory, which is $TMPDIR if it is set.
    let all: Vec<_> = refusals
        .iter()
        .map(|(path, errno)| format!("{} ({errno})", path.to_string_lossy()))
        .collect();
    Err(Error::new(
        "open O_TMPFILE",
        refusals[0].1.0,
        format_args!("no directory can be used: {}", all.join(", ")),
    ))
}

/// Returns the directories for files without a name on disk. The first directory in which a file
/// can be made is used.
pub(crate) fn temporary_directories() -> impl Iterator<Item = CString> {
    let chosen =
        std::env::var_os("TMPDIR").filter(|dir| !dir.is_empty() && !sys::is_privileged_exec());
    let chosen =
        chosen.map(|dir| CString::new(dir.into_vec()).expect("environment variables hold no NUL"));
    chosen.into_iter().chain([c"/tmp".into(), c"/var/tmp".into()])
}
