//! Tests bytes that cannot be read, and very many bytes.

use std::ffi::c_int;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::ptr::null_mut;

use super::every_way::{backends, options, refused_memory};
use crate::support::abi::{self, *};
use crate::support::fd::{file, metadata, result};
use crate::support::map::page_size;

/// A mapping of the test's own.
struct Memory {
    start: *mut u8,
    length: usize,
}

impl Memory {
    fn new(length: usize, flags: c_int, fd: c_int) -> Memory {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping.
        let start = unsafe { libc::mmap(null_mut(), length, protection, flags, fd, 0) };
        assert_ne!(start, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
        Memory { start: start.cast(), length }
    }

    fn anonymous(length: usize) -> Memory {
        Memory::new(length, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE, -1)
    }

    fn set(&self, at: usize, byte: u8) {
        assert!(at < self.length);
        // SAFETY: within the mapping.
        unsafe { self.start.add(at).write(byte) };
    }

    /// Makes one page unreadable from now on.
    fn close_page(&self, page: usize) {
        let start = self.start.wrapping_add(page * page_size());
        // SAFETY: a page of the mapping, to which nothing refers.
        assert_eq!(unsafe { libc::mprotect(start.cast(), page_size(), libc::PROT_NONE) }, 0);
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: nothing refers to the mapping.
        assert_eq!(unsafe { libc::munmap(self.start.cast(), self.length) }, 0);
    }
}

pub fn memory_that_cannot_be_read_is_efault() {
    const PAGES: usize = 100;
    for closed in [0, 1, 50, PAGES - 1] {
        let memory = Memory::anonymous(PAGES * page_size());
        memory.close_page(closed);
        for backend in backends() {
            for (start, length) in
                [(0, memory.length), (closed * page_size(), 1), (7, memory.length - 7)]
            {
                let failure =
                    refused_memory(memory.start.wrapping_add(start), length, &options(0, backend));
                assert_eq!(failure.errno, libc::EFAULT, "backend {backend}: {failure:?}");
            }
        }
    }
}

pub fn a_source_whose_file_was_made_shorter_is_efault() {
    let source = tempfile::tempfile().expect("a file");
    source.set_len(10 * page_size() as u64).expect("resized");
    let memory = Memory::new(10 * page_size(), libc::MAP_SHARED, source.as_raw_fd());
    for left in [5 * page_size() as u64, 1, 0] {
        source.set_len(left).expect("resized");
        for backend in backends() {
            let failure = refused_memory(memory.start, memory.length, &options(0, backend));
            assert_eq!(failure.errno, libc::EFAULT, "backend {backend}: {failure:?}");
        }
    }
}

/// A single system call moves at most 2 147 479 552 bytes.
pub fn more_than_two_gibibytes_arrive_whole() {
    const LENGTH: usize = 5 << 29;
    const NEEDED: u64 = 7 << 30;
    let memory_info = std::fs::read_to_string("/proc/meminfo").expect("/proc is mounted");
    let available = memory_info.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let available = available
        .and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok())
        .unwrap_or(0)
        << 10;
    if available < NEEDED {
        return println!(
            "SKIPPED: more than 2 GiB arrive whole: {available} bytes of memory, {NEEDED} needed"
        );
    }
    let memory = Memory::anonymous(LENGTH);
    const MOST: usize = 0x7fff_f000;
    let marks = [
        0,
        1,
        4095,
        1 << 30,
        MOST - 1,
        MOST,
        MOST + 1,
        (1 << 31) - 1,
        1 << 31,
        LENGTH - 2,
        LENGTH - 1,
    ];
    for (number, at) in marks.into_iter().enumerate() {
        memory.set(at, number as u8 + 1);
    }
    let mut error = Error::untouched();
    // SAFETY: a valid buffer.
    let fd = unsafe {
        (abi::load().shm_wrap_buffer)(memory.start.cast(), LENGTH, std::ptr::null(), &mut error)
    };
    // SAFETY: the caller owns what is returned.
    let fd = unsafe { OwnedFd::from_raw_fd(result(fd, &error).expect("wrapped")) };
    assert_eq!(metadata(&fd).len(), LENGTH as u64);

    let (file, mut chunk) = (file(&fd), vec![0; 1 << 20]);
    let mut found = Vec::new();
    for start in (0..LENGTH).step_by(chunk.len()) {
        file.read_exact_at(&mut chunk, start as u64).expect("read");
        // Whole words first: this is slow without optimisation.
        if chunk.chunks(4096).any(|page| page != [0; 4096]) {
            found.extend(
                chunk
                    .iter()
                    .enumerate()
                    .filter(|(_, byte)| **byte != 0)
                    .map(|(at, byte)| (start + at, *byte)),
            );
        }
    }
    let expected: Vec<_> =
        marks.into_iter().enumerate().map(|(number, at)| (at, number as u8 + 1)).collect();
    assert_eq!(found, expected);
}
