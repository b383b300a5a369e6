//! Fills new files with bytes. The bytes are right whatever pages the kernel gives, and nothing is
//! left behind.

pub mod collapse;
pub mod huge;

use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::{null, null_mut};

pub use huge::kernel_collapses;

use crate::support::abi::{self, *};
use crate::support::fd::*;
use crate::support::hosts::{can_forbid_execution, has_memfd, has_shm};
use crate::support::map::{huge_page_size, page_size};
use crate::tests;

tests![
    every_size_around_huge_pages_is_exact,
    every_backend_and_flag_takes_large_contents,
    segments_that_cross_huge_pages_are_joined_in_order,
    many_small_segments_are_joined_in_order,
    the_source_may_be_a_file_that_was_wrapped,
    threads_fill_at_the_same_time;
    alone:
    memory_that_cannot_be_read_is_efault_wherever_it_is,
    a_segment_that_cannot_be_read_is_efault_wherever_it_is,
    a_large_file_above_the_limit_is_efbig_and_no_signal,
];

const MIB: usize = 1 << 20;
/// A huge page of x86_64, and of aarch64 with small pages of 4 KiB.
const HUGE: usize = 2 * MIB;

/// Checks everything that is promised of a large descriptor.
fn check(fd: &OwnedFd, bytes: &[u8]) {
    let stat = metadata(fd);
    assert_eq!((stat.len() as usize, offset(fd), mode(fd)), (bytes.len(), 0, 0o400));
    if has_memfd() {
        assert_eq!(
            seals(fd),
            0xf | if can_forbid_execution() { 0x20 } else { 0 },
            "{} bytes",
            bytes.len()
        );
    }
    assert!(content(fd) == bytes, "read: {} bytes", bytes.len());
    if !bytes.is_empty() {
        let seen = mapped(fd, libc::PROT_READ, libc::MAP_SHARED).expect("a mapping");
        assert!(seen[..bytes.len()] == *bytes, "mapped: {} bytes", bytes.len());
        assert!(
            seen[bytes.len()..].iter().all(|byte| *byte == 0),
            "behind the end of {} bytes",
            bytes.len()
        );
    }
    // The bytes after the end cannot be reached.
    let mut byte = 0u8;
    assert_eq!(
        // SAFETY: a valid buffer of one byte.
        unsafe { libc::pread(fd.as_raw_fd(), (&raw mut byte).cast(), 1, bytes.len() as i64) },
        0
    );
}

fn wrap_default(bytes: &[u8]) -> OwnedFd {
    wrap(bytes, &WrapOptions::default()).expect("a descriptor")
}

fn sizes() -> Vec<usize> {
    let mut sizes = vec![24 * MIB];
    for about in [MIB / 2, MIB, HUGE, HUGE + MIB, 2 * HUGE, 2 * HUGE + MIB, 3 * HUGE] {
        for off in [1, 4095, 4096, 4097] {
            sizes.extend([about - off, about + off]);
        }
        sizes.push(about);
    }
    sizes
}

fn every_size_around_huge_pages_is_exact() {
    let all = pattern(24 * MIB);
    for size in sizes() {
        check(&wrap_default(&all[..size]), &all[..size]);
    }
}

fn every_backend_and_flag_takes_large_contents() {
    let all = pattern(5 * MIB + 1);
    for backend in [AUTO, MEMFD, SHM, TMPFILE] {
        if backend == MEMFD && !has_memfd() || backend == SHM && !has_shm() {
            continue;
        }
        for flags in [0, WRITABLE, READ_ONLY, EXECUTABLE] {
            for size in [MIB, HUGE + 1, 2 * HUGE, 5 * MIB + 1] {
                let fd = wrap_with(&all[..size], flags, backend).unwrap();
                assert_eq!((metadata(&fd).len() as usize, offset(&fd)), (size, 0));
                assert!(
                    content(&fd) == all[..size],
                    "{size} bytes, backend {backend}, flags {flags}"
                );
            }
        }
    }
}

/// Calls bytefd_wrap_iov.
fn wrap_segments(segments: &[libc::iovec]) -> Result<OwnedFd, Failure> {
    let mut error = Error::untouched();
    // SAFETY: valid segments, or such as are to be refused.
    let fd =
        unsafe { (abi::load().wrap_iov)(segments.as_ptr(), segments.len(), null(), &mut error) };
    // SAFETY: the caller owns what is returned.
    result(fd, &error).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

fn segment(bytes: &[u8]) -> libc::iovec {
    libc::iovec { iov_base: bytes.as_ptr() as *mut c_void, iov_len: bytes.len() }
}

fn segments_that_cross_huge_pages_are_joined_in_order() {
    let all = pattern(7 * MIB);
    let ends_at: [&[usize]; 9] = [
        &[1, 2, 4095, HUGE - 1, HUGE, HUGE + 1, 2 * HUGE - 7, 2 * HUGE + 7, 5 * MIB + 1],
        &[HUGE + 1, 5 * MIB + 1],
        &[HUGE - 1, HUGE + 1, 5 * MIB],
        &[4095, 4097, 3 * MIB],
        &[4096, 3 * MIB],
        &[0, 0, 5, 5, HUGE, HUGE, HUGE + MIB, HUGE + MIB],
        &[MIB / 2 + 3, MIB + 3],
        &[1, HUGE + 1, 2 * HUGE + 1, 3 * HUGE + 1],
        &[7 * MIB - 1, 7 * MIB],
    ];
    for ends in ends_at {
        let starts = [0].into_iter().chain(ends.iter().copied());
        let segments: Vec<_> =
            starts.zip(ends).map(|(start, end)| segment(&all[start..*end])).collect();
        check(&wrap_segments(&segments).unwrap(), &all[..*ends.last().unwrap()]);
    }
}

fn many_small_segments_are_joined_in_order() {
    let all = pattern(5 * MIB + 1);
    for length in [1021, 4093, 4096, 65_537, 1_000_003] {
        let segments: Vec<_> = all.chunks(length).map(segment).collect();
        check(&wrap_segments(&segments).unwrap(), &all);
    }
    // One byte at a time, around the ends of huge pages.
    let mut segments = vec![segment(&all[..HUGE - 50])];
    segments.extend(all[HUGE - 50..HUGE + 50].chunks(1).map(segment));
    segments.push(segment(&all[HUGE + 50..]));
    check(&wrap_segments(&segments).unwrap(), &all);
}

/// A mapping of a whole file.
struct Mapped(*mut u8, usize);

impl Mapped {
    fn new(fd: &OwnedFd) -> Mapped {
        let length = metadata(fd).len() as usize;
        // SAFETY: a new mapping.
        let at = unsafe {
            libc::mmap(null_mut(), length, libc::PROT_READ, libc::MAP_SHARED, fd.as_raw_fd(), 0)
        };
        assert_ne!(at, libc::MAP_FAILED);
        Mapped(at.cast(), length)
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: as long as the mapping; the file is sealed.
        unsafe { std::slice::from_raw_parts(self.0, self.1) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`.
        assert_eq!(unsafe { libc::munmap(self.0.cast(), self.1) }, 0);
    }
}

fn the_source_may_be_a_file_that_was_wrapped() {
    let all = pattern(5 * MIB + 1);
    let first = wrap_default(&all);
    let map = Mapped::new(&first);
    for start in [0, 1, 4096, HUGE - 1] {
        check(&wrap_default(&map.bytes()[start..]), &all[start..]);
    }
}

fn threads_fill_at_the_same_time() {
    std::thread::scope(|scope| {
        for thread in 0..8usize {
            scope.spawn(move || {
                for round in 0..10 {
                    let bytes = vec![
                        (thread * 10 + round) as u8 | 1;
                        MIB + thread * 300_001 + round * 77_777
                    ];
                    assert!(content(&wrap_default(&bytes)) == bytes);
                }
            });
        }
    });
}

/// Tests sizes that take every path through a file of huge pages.
fn large_contents_are_right() {
    let all = pattern(3 * HUGE + 12_345);
    for size in [
        MIB - 1,
        MIB,
        HUGE - 4097,
        HUGE,
        HUGE + 1,
        HUGE + MIB,
        2 * HUGE,
        5 * MIB + 1,
        3 * HUGE + 12_345,
    ] {
        check(&wrap_default(&all[..size]), &all[..size]);
        let segments: Vec<_> = all[..size].chunks(300_007).map(segment).collect();
        check(&wrap_segments(&segments).unwrap(), &all[..size]);
    }
}

/// At least 4 MiB of memory. Any page can be made unreadable.
struct Memory(*mut u8, usize);

fn unreadable_at(length: usize) -> Memory {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping.
    let at =
        unsafe { libc::mmap(null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    assert_ne!(at, libc::MAP_FAILED);
    Memory(at.cast(), length)
}

impl Memory {
    /// Gives the page at `offset` this protection.
    fn protect(&self, offset: usize, protection: c_int) {
        assert_eq!(
            // SAFETY: pages of our own, into which nothing refers.
            unsafe { libc::mprotect(self.0.add(offset).cast(), page_size(), protection) },
            0
        );
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: mapped in `unreadable_at`.
        assert_eq!(unsafe { libc::munmap(self.0.cast(), self.1) }, 0);
    }
}

/// Wraps 4 MiB, in which the page at `offset` cannot be read.
fn fail_at(memory: &Memory, offset: usize) {
    memory.protect(offset, libc::PROT_NONE);
    let mut error = Error::untouched();
    // SAFETY: memory that is to be found unreadable by the kernel.
    let value =
        unsafe { (abi::load().shm_wrap_buffer)(memory.0.cast(), 4 * MIB, null(), &mut error) };
    let failure = result(value, &error).expect_err("unreadable");
    assert_eq!(failure.errno, libc::EFAULT, "offset {offset}: {failure:?}");
    memory.protect(offset, libc::PROT_READ | libc::PROT_WRITE);
}

fn memory_that_cannot_be_read_is_efault_wherever_it_is() {
    let (memory, page) = (unreadable_at(4 * MIB), page_size());
    let mut offsets =
        vec![0, page, MIB, HUGE - page, HUGE, HUGE + page, HUGE + MIB, 4 * MIB - page];
    offsets.extend((0..4 * MIB).step_by(37 * page));
    for offset in offsets {
        fail_at(&memory, offset);
    }
    // And all is well again.
    // SAFETY: readable again.
    let bytes = unsafe { std::slice::from_raw_parts(memory.0, 4 * MIB) };
    check(&wrap_default(bytes), bytes);
}

fn a_segment_that_cannot_be_read_is_efault_wherever_it_is() {
    let (memory, good) = (unreadable_at(4 * MIB), pattern(HUGE));
    memory.protect(HUGE, libc::PROT_NONE);
    let bad = libc::iovec { iov_base: memory.0.wrapping_add(HUGE).cast(), iov_len: 100 };
    for before in [0, 1, 4095, 4096, 4097, MIB, HUGE - 1, HUGE] {
        let failure = wrap_segments(&[segment(&good[..before]), bad, segment(&good)]).unwrap_err();
        assert_eq!(failure.errno, libc::EFAULT, "after {before} bytes: {failure:?}");
    }
    for position in [0, 1, 99, 199] {
        let mut segments = vec![segment(&good[..1000]); 200];
        segments[position] = bad;
        assert_eq!(wrap_segments(&segments).unwrap_err().errno, libc::EFAULT, "segment {position}");
    }
}

fn a_large_file_above_the_limit_is_efbig_and_no_signal() {
    let bytes = pattern(5 * MIB);
    let limit = libc::rlimit { rlim_cur: 4 * MIB as u64, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: a valid limit.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) }, 0);
    for size in [4 * MIB + 1, 5 * MIB] {
        assert_eq!(wrap(&bytes[..size], &WrapOptions::default()).unwrap_err().errno, libc::EFBIG);
    }
    // The pages of the last huge page lie beyond the limit, its bytes do not.
    for size in [4 * MIB, 4 * MIB - 1, 3 * MIB + 5] {
        check(&wrap_default(&bytes[..size]), &bytes[..size]);
    }
}
