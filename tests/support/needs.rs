//! Finds out which needs of tests this machine meets: third-party programs and libraries, and
//! features that a kernel may forbid.

use std::path::{Path, PathBuf};

/// Returns the first of these that is missing here. Each is a program, a library by its name,
/// `root`, or `io_uring`; `a|b` is one of them.
pub fn missing(needs: &'static [&'static str]) -> Option<&'static str> {
    needs.iter().copied().find(|need| !need.split('|').any(is_here))
}

/// Returns whether this need is met here.
pub fn is_here(need: &str) -> bool {
    match need {
        "io_uring" => has_io_uring(),
        // SAFETY: no preconditions.
        "root" => unsafe { libc::geteuid() == 0 },
        _ if need.contains(".so") => libraries().iter().any(|folder| folder.join(need).exists()),
        _ => programs().iter().any(|folder| folder.join(need).is_file()),
    }
}

fn programs() -> Vec<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect()
}

/// Returns the folders where the loader looks on Debian and elsewhere. Nothing is loaded for tests
/// that do not run.
fn libraries() -> Vec<PathBuf> {
    let debian = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    [&debian, "/usr/lib64", "/usr/lib", "/lib64", "/lib", "/usr/local/lib"]
        .map(Path::new)
        .map(PathBuf::from)
        .into()
}

/// Returns whether io_uring works here. Kernels can be built without it, and sysctl
/// kernel.io_uring_disabled and filters of system calls forbid it.
fn has_io_uring() -> bool {
    let mut parameters = [0u32; 30];
    // SAFETY: a writable io_uring_params, 120 bytes of zeros; the descriptor is closed at once.
    unsafe {
        let ring = libc::syscall(libc::SYS_io_uring_setup, 1, parameters.as_mut_ptr());
        ring >= 0 && libc::close(ring as libc::c_int) == 0
    }
}
