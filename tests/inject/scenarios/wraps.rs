//! Makes descriptors from bytes.

use std::ffi::{CStr, c_char};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::{Scenario, Stage, scenarios};
use crate::adopt::memory::Memory;
use crate::support::abi::{self, *};
use crate::support::fd::*;
use crate::support::hosts::{refuse, refuse_flags};
use crate::support::share::{Pieces, pair, plain_write, wrap_reader, wrap_stream_with};

const MINUTE: i64 = 60_000_000_000;

scenarios![
    "bytefd_wrap_buffer: a memory file": |stage| {
        check_sealed(stage.call(|| wrap(&small(), &options(0, MEMFD))))
    },
    "bytefd_wrap_buffer: a file in /dev/shm": |stage| {
        check_private(stage.call(|| wrap(&small(), &options(0, SHM))))
    },
    "bytefd_wrap_buffer: a file on disk": |stage| {
        check_private(stage.call(|| wrap(&small(), &options(0, TMPFILE))))
    },
    "bytefd_wrap_buffer: a file on a disk without O_TMPFILE": |stage| {
        no_unnamed_files();
        check_private(stage.call(|| wrap(&small(), &options(0, TMPFILE))));
    },
    "bytefd_wrap_buffer: whatever there is": |stage| {
        check_any(stage.call(|| wrap(&small(), &options(0, AUTO))))
    },
    "bytefd_wrap_buffer: whatever there is where memfd is not": |stage| {
        refuse(libc::SYS_memfd_create, libc::EPERM);
        check_private(stage.call(|| wrap(&small(), &options(0, AUTO))));
    },
    "bytefd_wrap_buffer: read-only, for every child": |stage| {
        let fd = stage.call(|| wrap(&small(), &options(READ_ONLY | INHERIT, MEMFD)));
        if let Some(fd) = &fd {
            assert!(!is_close_on_exec(fd) && access_mode(fd) == libc::O_RDONLY);
        }
        check_content(fd);
    },
    "bytefd_wrap_buffer: content sealed only": |stage| {
        check_content(stage.call(|| wrap(&small(), &options(SEAL_CONTENT, MEMFD))));
    },
    "bytefd_wrap_buffer: writable and executable": |stage| {
        let fd = stage.call(|| wrap(&small(), &options(WRITABLE | EXECUTABLE, AUTO)));
        check_content(fd);
    },
    "bytefd_wrap_buffer: large": |stage| {
        let bytes = pattern(LARGE);
        if let Some(fd) = stage.call(|| wrap(&bytes, &options(0, MEMFD))) {
            assert!(content(&fd) == bytes);
        }
    },
    "bytefd_wrap_buffer: spilled": |stage| {
        let options = WrapOptions { spill_threshold: 1000, ..WrapOptions::default() };
        check_private(stage.call(|| wrap(&small(), &options)));
    },
    "shm_wrap_buffer: the defaults": |stage| {
        check_any(stage.call(|| wrap(&small(), &WrapOptions::default())))
    },
    "bytefd_wrap_iov: three segments": |stage| {
        let (bytes, cuts) = (small(), [0, 1, 3000, LENGTH]);
        let segments: Vec<libc::iovec> =
            cuts.windows(2).map(|cut| segment(&bytes[cut[0]..cut[1]])).collect();
        let mut error = Error::untouched();
        let fd = stage.call(|| {
            // SAFETY: valid segments, and a writable error.
            let fd = unsafe {
                (abi::load().wrap_iov)(segments.as_ptr(), 3, &WrapOptions::default(), &mut error)
            };
            // SAFETY: the caller owns what is returned.
            result(fd, &error).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
        });
        check_any(fd);
    },
    "bytefd_wrap_stream: a pipe": |stage| stream(stage, Source::Pipe, -1, &WrapOptions::default()),
    "bytefd_wrap_stream: a pipe, in time": |stage| {
        stream(stage, Source::Pipe, MINUTE, &WrapOptions::default())
    },
    "bytefd_wrap_stream: a socket, in time": |stage| {
        stream(stage, Source::Socket, MINUTE, &WrapOptions::default())
    },
    "bytefd_wrap_stream: a file that spills": |stage| {
        stream(
            stage,
            Source::File,
            -1,
            &WrapOptions { spill_threshold: 3000, ..WrapOptions::default() },
        );
    },
    "bytefd_wrap_reader: in pieces": |stage| {
        let bytes = small();
        let mut pieces = Pieces { bytes: &bytes, at_once: 1000 };
        let (context, stream) = (pieces.context(), StreamOptions::default());
        // SAFETY: the function reads from the pieces.
        check_content(stage.call(|| unsafe {
            wrap_reader(Some(Pieces::read), context, &WrapOptions::default(), &stream)
        }));
    },
    "bytefd_reopen: a memory file": |stage| {
        let fd = wrap(&small(), &WrapOptions::default()).expect("wrapped");
        check_content(stage.call(|| reopen(&fd, 0)));
    },
    "bytefd_reopen: a writable file, for every child": |stage| {
        let fd = wrap(&small(), &options(WRITABLE, AUTO)).expect("wrapped");
        check_content(stage.call(|| reopen(&fd, INHERIT)));
    },
    "bytefd_path: of a descriptor": |stage| {
        let fd = wrap(&small(), &WrapOptions::default()).expect("wrapped");
        let mut path = [0 as c_char; 64];
        let mut error = Error::untouched();
        let asked = stage.call(|| {
            // SAFETY: a writable buffer of that size, and a writable error.
            result(
                unsafe {
                    (abi::load().path)(fd.as_raw_fd(), path.as_mut_ptr(), path.len(), &mut error)
                },
                &error,
            )
        });
        if asked.is_some() {
            // SAFETY: a successful call leaves a text.
            let path = unsafe { CStr::from_ptr(path.as_ptr()) }.to_str().expect("UTF-8");
            assert!(std::fs::read(path).expect("a path") == small());
        }
    },
    "bytefd_adopt: four pages": |stage| adopt(stage, 4),
    "bytefd_adopt: a huge page and more": |stage| adopt(stage, 600),
    "bytefd_host_report: all of it": |stage| {
        let (mut text, mut error) = ([0 as c_char; 2048], Error::untouched());
        let asked = stage.call(|| {
            // SAFETY: a writable buffer of that size, and a writable error.
            result(
                unsafe { (abi::load().host_report)(text.as_mut_ptr(), text.len(), &mut error) },
                &error,
            )
        });
        if asked.is_some() {
            assert_eq!(
                // SAFETY: a successful call leaves a text.
                unsafe { CStr::from_ptr(text.as_ptr()) }.to_str().expect("UTF-8").lines().count(),
                4
            );
        }
    },
    "bytefd_version: a text": |stage| {
        // SAFETY: a text for good.
        let version = stage.call(|| Ok(unsafe { CStr::from_ptr((abi::load().version)()) }));
        assert_eq!(version.expect("cannot fail").to_str(), Ok(env!("CARGO_PKG_VERSION")));
    },
];

const LENGTH: usize = 5000;

/// More bytes than a huge page has.
const LARGE: usize = (3 << 20) + 77;

pub fn small() -> Vec<u8> {
    pattern(LENGTH)
}

pub fn options(flags: u64, backend: u32) -> WrapOptions {
    WrapOptions { flags, backend, ..WrapOptions::default() }
}

pub fn segment(bytes: &[u8]) -> libc::iovec {
    libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
}

/// Plays file systems without O_TMPFILE.
pub fn no_unnamed_files() {
    refuse_flags(
        libc::SYS_openat,
        2,
        (libc::O_TMPFILE & !libc::O_DIRECTORY) as u64,
        libc::EOPNOTSUPP,
    );
}

fn reopen(fd: &OwnedFd, flags: u64) -> Result<OwnedFd, Failure> {
    let mut error = Error::untouched();
    // SAFETY: a writable error.
    let fd = unsafe { (abi::load().reopen)(fd.as_raw_fd(), flags, &mut error) };
    // SAFETY: the caller owns what is returned.
    result(fd, &error).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Checks the bytes, from offset 0.
fn check_content(fd: Option<OwnedFd>) {
    if let Some(fd) = fd {
        assert_eq!((offset(&fd), metadata(&fd).len()), (0, LENGTH as u64));
        assert!(content(&fd) == small());
    }
}

/// Checks the bytes, and the default seals.
fn check_sealed(fd: Option<OwnedFd>) {
    if let Some(fd) = &fd {
        assert_eq!((seals(fd) & 0xf, mode(fd)), (0xf, 0o400));
        assert!(is_close_on_exec(fd));
    }
    check_content(fd);
}

/// Checks a descriptor of the backends without seals.
fn check_private(fd: Option<OwnedFd>) {
    if let Some(fd) = &fd {
        assert_eq!((access_mode(fd), mode(fd)), (libc::O_RDONLY, 0o400));
        assert!(is_close_on_exec(fd));
    }
    check_content(fd);
}

fn check_any(fd: Option<OwnedFd>) {
    if fd.as_ref().is_some_and(|fd| seals(fd) >= 0 && seals(fd) & libc::F_SEAL_WRITE != 0) {
        check_sealed(fd);
    } else {
        check_private(fd);
    }
}

enum Source {
    Pipe,
    Socket,
    File,
}

fn stream(stage: &Stage, source: Source, timeout_ns: i64, wrap: &WrapOptions) {
    let reader: OwnedFd = match source {
        Source::Pipe => {
            let (reader, mut writer) = std::io::pipe().expect("a pipe");
            std::io::Write::write_all(&mut writer, &small()).expect("a pipe has room");
            reader.into()
        }
        Source::Socket => {
            let (reader, writer) = pair(libc::SOCK_STREAM);
            plain_write(&writer, &small());
            reader
        }
        Source::File => {
            use std::io::{Seek, Write};
            let mut file = tempfile::tempfile().expect("a file");
            file.write_all(&small()).and_then(|()| file.rewind()).expect("written");
            file.into()
        }
    };
    let options = StreamOptions { timeout_ns, ..StreamOptions::default() };
    check_content(stage.call(|| wrap_stream_with(&reader, wrap, &options)));
}

fn adopt(stage: &Stage, pages: usize) {
    let memory = Memory::pages(pages);
    let bytes = memory.bytes();
    let fd = stage.call(|| memory.adopt());
    assert!(memory.bytes() == bytes, "the buffer's bytes");
    if let Some(fd) = fd {
        assert!(content(&fd) == bytes);
        memory.store(7, b"seen");
        assert_eq!(content(&fd)[7..11], *b"seen");
    } else {
        let is_shared = memory.lines().iter().any(|line| line.contains("rw-s"));
        assert!(!is_shared, "a buffer that is not adopted is still private: {:?}", memory.lines());
    }
}
