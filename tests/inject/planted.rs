//! Calls with a planted fault, which the harness must find, and one without.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::scenarios::Scenario;
use super::stage::Stage;
use crate::support::fd::{Failure, metadata};

/// A call, and what is found. `None`: nothing.
pub const PLANTED: [(Scenario, Option<&str>); 5] = [
    (
        Scenario { name: "planted: nothing", run: |stage| make(stage, |_, failure| Err(failure)) },
        None,
    ),
    (
        Scenario {
            name: "planted: a descriptor stays open",
            run: |stage| {
                make(stage, |fd, failure| {
                    std::mem::forget(fd);
                    Err(failure)
                })
            },
        },
        Some("left behind"),
    ),
    (
        Scenario {
            name: "planted: success in spite of it",
            run: |stage| make(stage, |fd, _| Ok(fd)),
        },
        Some("the length"),
    ),
    (
        Scenario {
            name: "planted: another errno",
            run: |stage| make(stage, |_, failure| Err(Failure { errno: libc::EXDEV, ..failure })),
        },
        Some("errno 18"),
    ),
    (
        Scenario {
            name: "planted: the end of the process",
            run: |stage| make(stage, |_, _| std::process::abort()),
        },
        Some("killed by signal 6"),
    ),
];

/// Makes a file of 5 bytes. `fail` decides what comes of a failure to set the length.
fn make(stage: &Stage, fail: fn(OwnedFd, Failure) -> Result<OwnedFd, Failure>) {
    let failure = |op: &str| {
        let error = std::io::Error::last_os_error();
        let errno = error.raw_os_error().expect("an errno");
        Failure { errno, op: op.into(), message: String::new() }
    };
    let file = stage.call(|| {
        // SAFETY: a NUL-terminated name; the descriptor is new, and only the file owns it.
        let fd = unsafe {
            match libc::memfd_create(c"planted".as_ptr(), libc::MFD_CLOEXEC) {
                -1 => return Err(failure("memfd_create")),
                fd => OwnedFd::from_raw_fd(fd),
            }
        };
        loop {
            // SAFETY: touches no memory.
            match unsafe { libc::ftruncate(fd.as_raw_fd(), 5) } {
                0 => return Ok(fd),
                _ if failure("").errno == libc::EINTR => {}
                _ => return fail(fd, failure("ftruncate")),
            }
        }
    });
    if let Some(fd) = file {
        assert_eq!(metadata(&fd).len(), 5, "the length");
    }
}
