//! Tests shm_wrap_buffer and its relatives: what a descriptor promises, for every backend and flag.

mod boundary;
pub mod promises;

use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::ptr::{null, null_mut};

use crate::support::abi::{self, *};
use crate::support::fd::*;
use crate::support::hosts::{has_memfd, has_shm};
use crate::tests;

use boundary::*;
use promises::*;

tests![
    // boundary
    option_structs_of_every_size_are_handled_as_promised,
    null_and_closed_descriptors_are_refused_and_named,
    // here
    every_length_around_pages_and_none_is_exact,
    content_lives_as_long_as_a_duplicate_or_mapping,
    nobody_can_change_or_unseal_it,
    writable_is_unsealed_and_can_be_sealed_later,
    seal_content_leaves_the_set_open,
    backends_by_name_are_what_they_say,
    bad_buffers_are_refused,
    segments_are_joined_in_order,
    bad_segments_are_refused_by_number,
    refusals_say_what_was_asked_for,
    threads_wrap_at_the_same_time;
    alone:
    any_options_keep_every_promise_or_are_refused_as_documented,
];

const BACKENDS: [u32; 4] = [AUTO, MEMFD, SHM, TMPFILE];

/// Returns the backends that exist on this host.
pub fn backends() -> impl Iterator<Item = u32> {
    BACKENDS.into_iter().filter(|backend| match *backend {
        MEMFD => has_memfd(),
        SHM => has_shm(),
        _ => true,
    })
}

fn is_sealable(backend: u32) -> bool {
    has_memfd() && (backend == AUTO || backend == MEMFD)
}

const CONTENT_SEALS: i32 = 0xe;
const CLOSED_SEALS: i32 = 0xf;

fn every_length_around_pages_and_none_is_exact() {
    for backend in backends() {
        for length in [
            0,
            1,
            2,
            4095,
            4096,
            4097,
            8191,
            8192,
            8193,
            65_535,
            65_536,
            1 << 20,
            (2 << 20) - 1,
            5 << 20,
        ] {
            let bytes = pattern(length);
            let fd = wrap_with(&bytes, 0, backend).unwrap();
            assert_eq!(metadata(&fd).len() as usize, length);
            assert!(content(&fd) == bytes, "{length} bytes of backend {backend}");
        }
    }
}

fn content_lives_as_long_as_a_duplicate_or_mapping() {
    for backend in backends() {
        let bytes = pattern(9000);
        let fd = wrap_with(&bytes, 0, backend).unwrap();
        // SAFETY: a new mapping of a file that cannot shrink.
        let at = unsafe {
            libc::mmap(null_mut(), 9000, libc::PROT_READ, libc::MAP_PRIVATE, fd.as_raw_fd(), 0)
        };
        assert_ne!(at, libc::MAP_FAILED);
        let duplicate = fd.try_clone().unwrap();
        drop(fd);
        assert_eq!(content(&duplicate), bytes);
        drop(duplicate);
        // SAFETY: still mapped, and unmapped afterwards.
        unsafe {
            assert!(std::slice::from_raw_parts(at.cast::<u8>(), 9000) == bytes);
            libc::munmap(at, 9000);
        }
    }
}

fn nobody_can_change_or_unseal_it() {
    for flags in [0, READ_ONLY, EXECUTABLE, SEAL_CONTENT] {
        for backend in backends().filter(|backend| is_sealable(*backend)) {
            let bytes = pattern(5000);
            let fd = wrap_with(&bytes, flags, backend).unwrap();
            let again = std::fs::OpenOptions::new()
                .write(true)
                .open(format!("/proc/self/fd/{}", fd.as_raw_fd()));
            // Root may open it, whatever the mode, but cannot write.
            for raw in [Some(fd.as_raw_fd()), again.as_ref().ok().map(AsRawFd::as_raw_fd)]
                .into_iter()
                .flatten()
            {
                // SAFETY: one readable byte; the calls are to fail.
                unsafe {
                    assert_eq!(libc::pwrite(raw, c"x".as_ptr().cast(), 1, 0), -1);
                    assert_eq!(libc::pwrite(raw, c"x".as_ptr().cast(), 1, 5000), -1);
                    assert_eq!(libc::ftruncate(raw, 4000), -1);
                    assert_eq!(libc::ftruncate(raw, 6000), -1);
                }
            }
            assert!(mapped(&fd, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED).is_err());
            assert_eq!(content(&fd), bytes);
            if flags != SEAL_CONTENT {
                assert_eq!(
                    // SAFETY: touches no memory.
                    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, libc::F_SEAL_SHRINK) },
                    -1
                );
            }
        }
    }
}

fn writable_is_unsealed_and_can_be_sealed_later() {
    for backend in backends() {
        let fd = wrap_with(b"hello", WRITABLE, backend).unwrap();
        assert_eq!((mode(&fd), access_mode(&fd), offset(&fd)), (0o600, libc::O_RDWR, 0));
        std::os::unix::fs::FileExt::write_all_at(&file(&fd), b"J", 0).unwrap();
        file(&fd).set_len(4).unwrap();
        assert_eq!(content(&fd), b"Jell");
        assert!(mapped(&fd, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED).is_ok());
        if is_sealable(backend) {
            assert_eq!(seals(&fd), 0);
            // SAFETY: touches no memory.
            assert_eq!(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, CLOSED_SEALS) }, 0);
            assert_eq!(seals(&fd), CLOSED_SEALS);
        }
    }
}

fn seal_content_leaves_the_set_open() {
    if !has_memfd() {
        for backend in BACKENDS {
            assert!(
                wrap_with(b"hello", SEAL_CONTENT, backend).is_err(),
                "no seals without a memfd, so an error"
            );
        }
        return;
    }
    for backend in [AUTO, MEMFD] {
        let fd = wrap_with(b"hello", SEAL_CONTENT, backend).unwrap();
        assert_eq!((seals(&fd), mode(&fd)), (CONTENT_SEALS, 0o400));
        // SAFETY: touches no memory.
        assert_eq!(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, libc::F_SEAL_SEAL) }, 0);
        assert_eq!(seals(&fd), CLOSED_SEALS, "what journald accepts, and nothing else");
    }
    assert_eq!(seals(&wrap_with(b"", SEAL_CONTENT | EXECUTABLE, AUTO).unwrap()), CONTENT_SEALS);
    for backend in [SHM, TMPFILE] {
        assert_eq!(wrap_with(b"hello", SEAL_CONTENT, backend).unwrap_err().errno, libc::EINVAL);
    }
}

fn refusals_say_what_was_asked_for() {
    let default = WrapOptions::default();
    for (options, said) in [
        (WrapOptions { flags: 1 << 20, ..default }, "0x100000"),
        (WrapOptions { flags: WRITABLE | READ_ONLY, ..default }, "writable"),
        (WrapOptions { backend: 4711, ..default }, "0x1267"),
        (WrapOptions { mode: 0o1234, ..default }, "1234"),
    ] {
        let failure = wrap(b"hello", &options).unwrap_err();
        assert!(failure.message.contains(said), "{failure:?}");
    }
}

fn backends_by_name_are_what_they_say() {
    let link = |backend| {
        let fd = wrap_with(b"hello", 0, backend).unwrap();
        std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))
            .unwrap()
            .to_str()
            .unwrap()
            .to_string()
    };
    if has_memfd() {
        assert_eq!(link(MEMFD), "/memfd:bytefd (deleted)");
    } else {
        assert!(wrap_with(b"hello", 0, MEMFD).is_err(), "asked for by name, there is no other");
    }
    assert_eq!(link(AUTO).starts_with("/memfd:"), has_memfd());
    if has_shm() {
        let shown = link(SHM);
        assert!(
            shown.starts_with("/dev/shm/#") && shown.ends_with(" (deleted)"),
            "{shown}: it never had a name"
        );
    }
    let directory = std::env::temp_dir();
    assert!(link(TMPFILE).starts_with(directory.to_str().unwrap()));
}

fn bad_buffers_are_refused() {
    let call = |buf, len| {
        let mut error = Error::untouched();
        // SAFETY: what the call may not read, it is to refuse.
        let value = unsafe { (abi::load().shm_wrap_buffer)(buf, len, null(), &mut error) };
        result(value, &error)
    };
    for length in [1, 4096, isize::MAX as usize] {
        let failure = call(null(), length).unwrap_err();
        assert_eq!((failure.errno, failure.op.as_str()), (libc::EINVAL, "buf"));
        assert!(failure.message.contains(&length.to_string()));
    }
    for length in [isize::MAX as usize + 1, usize::MAX] {
        for buf in [null(), c"hello".as_ptr().cast()] {
            let failure = call(buf, length).unwrap_err();
            assert_eq!((failure.errno, failure.op.as_str()), (libc::EINVAL, "len"));
        }
    }
    let nothing = call(null(), 0).unwrap();
    // SAFETY: the call's owner is this test.
    assert_eq!(metadata(&unsafe { OwnedFd::from_raw_fd(nothing) }).len(), 0);
}

fn wrap_iov(segments: &[libc::iovec]) -> Result<OwnedFd, Failure> {
    let mut error = Error::untouched();
    // SAFETY: segments that are valid, or are to be refused.
    let fd =
        unsafe { (abi::load().wrap_iov)(segments.as_ptr(), segments.len(), null(), &mut error) };
    // SAFETY: the caller owns what is returned.
    result(fd, &error).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

fn segment(bytes: &[u8]) -> libc::iovec {
    libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
}

fn segments_are_joined_in_order() {
    assert_eq!(content(&wrap_iov(&[]).unwrap()), b"");
    let bytes = pattern(100_000);
    // 1024 is the most the kernel takes in one call.
    for count in [1, 2, 63, 64, 65, 1023, 1024, 1025, 5000] {
        let parts: Vec<_> = bytes.chunks(bytes.len() / count).map(segment).collect();
        assert_eq!(content(&wrap_iov(&parts).unwrap()), bytes);
    }
    let nothing = libc::iovec { iov_base: null_mut(), iov_len: 0 };
    let mut parts = vec![nothing; 200];
    parts.extend([segment(b"head"), nothing, segment(b"body")]);
    parts.extend(vec![nothing; 200]);
    let fd = wrap_iov(&parts).unwrap();
    assert_eq!((content(&fd), mode(&fd), offset(&fd)), (b"headbody".to_vec(), 0o400, 0));
    assert_eq!(content(&wrap_iov(&[nothing; 300]).unwrap()), b"");
}

fn bad_segments_are_refused_by_number() {
    let good = segment(b"good");
    let null_base = libc::iovec { iov_base: null_mut(), iov_len: 5 };
    let failure = wrap_iov(&[good, good, null_base]).unwrap_err();
    assert_eq!((failure.errno, failure.op.as_str()), (libc::EINVAL, "iov"));
    assert!(failure.message.contains("segment 2"), "{}", failure.message);
    let endless = libc::iovec { iov_len: usize::MAX, ..good };
    assert_eq!(wrap_iov(&[endless]).unwrap_err().errno, libc::EINVAL);
    let half = libc::iovec { iov_len: isize::MAX as usize, ..good };
    for parts in [&[half, good][..], &[half, half, half]] {
        let failure = wrap_iov(parts).unwrap_err();
        assert_eq!(
            (failure.errno, failure.op.as_str()),
            (libc::EINVAL, "length"),
            "together too long"
        );
    }
    for count in [1, usize::MAX] {
        let mut error = Error::untouched();
        // SAFETY: refused before anything is read.
        let value = unsafe { (abi::load().wrap_iov)(null(), count, null(), &mut error) };
        assert_eq!(result(value, &error).unwrap_err().errno, libc::EINVAL);
    }
}

fn threads_wrap_at_the_same_time() {
    std::thread::scope(|scope| {
        for thread in 0..8u8 {
            scope.spawn(move || {
                for round in 0..200usize {
                    let bytes = vec![thread; round * 37];
                    let fd = wrap_with(&bytes, 0, BACKENDS[0]).unwrap();
                    assert_eq!(content(&fd), bytes);
                    let raw = fd.into_raw_fd();
                    // SAFETY: given away just now.
                    assert_eq!(unsafe { libc::close(raw) }, 0);
                }
            });
        }
    });
}
