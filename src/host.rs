//! Reports what this kernel and host offer, in words.

use std::fmt::Write;
use std::os::fd::AsFd;

use crate::backend::{self, Backend};
use crate::error::{Context, Result};
use crate::fill::{self, Way};
use crate::pool::{Pool, PoolMethod, PoolOptions};
use crate::sys::{self, features};
use crate::wrap::WrapOptions;

/// Returns one line for each choice that the library makes on this host, with the reason. The
/// report is for people, and its words may change.
///
/// The function tries each choice: a small file, a file that is large enough for a huge page, a
/// cached file, and a pool's file system for new files. It does not try the last one under a filter
/// of system calls (seccomp).
///
/// ```
/// let report = bytefd::host::report()?;
/// assert!(report.starts_with("files: "));
/// # Ok::<(), bytefd::Error>(())
/// ```
///
/// # Errors
/// As [`WrapOptions::wrap`].
pub fn report() -> Result<String> {
    let file = backend::create(Backend::Auto, c"bytefd", backend::Execution::Forbidden)?;
    if file.backend == Backend::Memfd {
        // Below, the properties of a sealed file are probed.
        sys::file::add_seals(file.fd.as_fd(), libc::F_SEAL_WRITE)
            .context("seal", || "a new file")?;
    }
    // The library remembers the results of these calls. If a limit makes a call fail, the report
    // says what was known before.
    let large = vec![0; fill::worth_an_extent(features::huge_page_size()) as usize];
    for _ in 0..features::COLLAPSE_REFUSALS_BELIEVED {
        let _ = WrapOptions::new().wrap(&large);
    }
    let pool = Pool::new(u64::MAX);
    let is_kept = pool.scan(b"probe", |_| ()).is_ok() && pool.stats().cached_bytes > 0;

    let files = match file.backend {
        Backend::Memfd if !features::MFD_NOEXEC_SEAL.is_missing() => {
            "memfd, sealed also against execution (MFD_NOEXEC_SEAL)"
        }
        Backend::Memfd => "memfd; this kernel cannot seal against execution (before 6.3)",
        Backend::Shm => "POSIX shared memory, unsealed, because memfd_create is refused",
        _ => "unnamed files (O_TMPFILE), unsealed, because memfd_create and /dev/shm are refused",
    };
    let descriptors = match file.backend {
        Backend::Memfd if features::maps_sealed_file_shared(file.fd.as_fd()) => {
            "as they are made: sealed files can be mapped shared"
        }
        Backend::Memfd => {
            "opened again for reading only: before 6.7 the kernel maps a sealed file shared only \
             through such a descriptor"
        }
        _ => "opened again for reading only, because the file cannot be sealed",
    };
    let policy = features::shmem_enabled().unwrap_or("unknown");
    let filling = match fill::way() {
        Way::SizeThenWrite => {
            format!(
                "the size, then plain writes: the host gives huge pages by itself \
                 (shmem_enabled={policy})"
            )
        }
        Way::Collapse => {
            format!(
                "huge pages by MADV_COLLAPSE while they cost less, because the host gives none by \
                 itself (shmem_enabled={policy})"
            )
        }
        Way::Write => format!(
            "plain writes: this kernel has no huge pages of up to 4 MiB for files in memory, or \
             refuses MADV_COLLAPSE (shmem_enabled={policy})"
        ),
    };
    let pools = match (is_kept, !features::O_DIRECT_OF_MEMFD.is_missing()) {
        (true, true) => {
            "files are reused: a lease proves that nobody else has the file open; lent with \
             O_DIRECT, so that splice(2) copies"
        }
        (true, false) => {
            "files are reused: a lease proves that nobody else has the file open; lent without \
             O_DIRECT (before Linux 6.6), so that splice(2) refers to the file's pages"
        }
        (false, _) => {
            "files are not reused: no memfd, no /proc, leases are refused, or a limit prevented \
             the probe"
        }
    };
    let new_files = if sys::process::is_filtered() {
        "not tried, because system calls are filtered (seccomp)".into()
    } else {
        match PoolOptions::new().method(PoolMethod::NewFiles).create() {
            Ok(_) => "on a file system of their own".into(),
            Err(error) => format!("memfds, because {} is refused", error.op()),
        }
    };
    let pools = format!("{pools}; new files: {new_files}");

    let mut text = String::new();
    for (subject, words) in
        [("files", files), ("descriptors", descriptors), ("filling", &filling), ("pools", &pools)]
    {
        let _ = writeln!(text, "{subject}: {words}");
    }
    Ok(text)
}
