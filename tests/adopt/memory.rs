//! Maps buffers to adopt. Each has an inaccessible page on each side, so that no other mapping
//! joins it.

use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr::null_mut;

use crate::support::abi::{self, Error};
use crate::support::fd::{Failure, pattern, result};
use crate::support::map::page_size;

pub const READ_WRITE: c_int = libc::PROT_READ | libc::PROT_WRITE;
pub const OURS: c_int = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;

/// Pages of this process, unmapped on drop.
pub struct Memory {
    pub at: *mut u8,
    pub length: usize,
}

// SAFETY: an address range belongs to no thread; the tests decide which bytes they use.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// Maps zeros for which no page has been allocated.
    pub fn untouched(length: usize) -> Memory {
        let page = page_size();
        let memory = Memory {
            at: map(null_mut(), length + 2 * page, libc::PROT_NONE, OURS).wrapping_add(page),
            length,
        };
        memory.protect(0..length, READ_WRITE);
        memory
    }

    /// Maps a buffer and fills it with the pattern.
    pub fn new(length: usize) -> Memory {
        let memory = Memory::untouched(length);
        memory.store(0, &pattern(length));
        memory
    }

    pub fn pages(count: usize) -> Memory {
        Memory::new(count * page_size())
    }

    pub fn address(&self) -> usize {
        self.at.addr()
    }

    pub fn bytes(&self) -> Vec<u8> {
        // SAFETY: readable in the tests that call this.
        unsafe { std::slice::from_raw_parts(self.at, self.length) }.to_vec()
    }

    pub fn byte(&self, at: usize) -> u8 {
        assert!(at < self.length);
        // SAFETY: within the range, as above.
        unsafe { self.at.add(at).read_volatile() }
    }

    pub fn store(&self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.length);
        // SAFETY: within the range, which is writable in the tests that call this.
        unsafe { std::ptr::copy(bytes.as_ptr(), self.at.add(at), bytes.len()) };
    }

    pub fn protect(&self, part: Range<usize>, protection: c_int) {
        assert!(part.end <= self.length);
        assert_eq!(
            // SAFETY: within the range.
            unsafe { libc::mprotect(self.at.add(part.start).cast(), part.len(), protection) },
            0
        );
    }

    /// Maps something else in the place of a part.
    pub fn replace(&self, part: Range<usize>, protection: c_int, flags: c_int, fd: c_int) {
        assert!(part.end <= self.length);
        let at = self.at.wrapping_add(part.start);
        // SAFETY: within the range.
        let placed = unsafe {
            libc::mmap(at.cast(), part.len(), protection, flags | libc::MAP_FIXED, fd, 0)
        };
        assert_eq!(placed.cast(), at, "{}", std::io::Error::last_os_error());
    }

    pub fn unmap(&self, part: Range<usize>) {
        assert!(part.end <= self.length);
        // SAFETY: within the range.
        assert_eq!(unsafe { libc::munmap(self.at.add(part.start).cast(), part.len()) }, 0);
    }

    pub fn adopt(&self) -> Result<OwnedFd, Failure> {
        self.adopt_part(0..self.length)
    }

    pub fn adopt_part(&self, part: Range<usize>) -> Result<OwnedFd, Failure> {
        adopt(self.address() + part.start, part.len())
    }

    /// Returns the lines of /proc/self/maps for this memory.
    pub fn lines(&self) -> Vec<String> {
        lines(self.address()..self.address() + self.length)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let page = page_size();
        assert_eq!(
            // SAFETY: the test's own pages, with those on each side.
            unsafe { libc::munmap(self.at.wrapping_sub(page).cast(), self.length + 2 * page) },
            0
        );
    }
}

/// Calls mmap(2) for memory, at a place that the kernel chooses or is asked for.
pub fn map(at: *mut c_void, length: usize, protection: c_int, flags: c_int) -> *mut u8 {
    // SAFETY: where it is asked for, the tests own the place.
    let placed = unsafe { libc::mmap(at, length, protection, flags, -1, 0) };
    assert_ne!(placed, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
    placed.cast()
}

/// Calls bytefd_adopt.
pub fn adopt(address: usize, length: usize) -> Result<OwnedFd, Failure> {
    let mut error = Error::untouched();
    // SAFETY: memory of the test, or what is to be refused.
    let fd = unsafe {
        (abi::load().adopt)(std::ptr::with_exposed_provenance_mut(address), length, 0, &mut error)
    };
    // SAFETY: the caller of bytefd_adopt owns what it returns.
    result(fd, &error).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Asserts that the range is refused and is what it was, if it is mapped at all. Returns the
/// failure.
pub fn refused(range: Range<usize>) -> Failure {
    let before = lines(range.clone());
    let failure = adopt(range.start, range.len()).expect_err("refused");
    assert_eq!(lines(range.clone()), before, "{failure:?}");
    assert!(
        failure.message.contains(&format!("{:#x}-{:#x}", range.start, range.end)),
        "asked: {}",
        failure.message
    );
    failure
}

/// Returns the lines of /proc/self/maps that have addresses of the range.
pub fn lines(range: Range<usize>) -> Vec<String> {
    let maps = std::fs::read("/proc/self/maps").expect("/proc is mounted");
    let maps = String::from_utf8_lossy(&maps);
    let is_there =
        |line: &&str| addresses(line).start < range.end && addresses(line).end > range.start;
    maps.lines().filter(is_there).map(String::from).collect()
}

/// Returns the addresses at the beginning of a line.
pub fn addresses(line: &str) -> Range<usize> {
    let (start, rest) = line.split_once('-').expect("a line of maps");
    let end = rest.split(' ').next().expect("an address");
    let number = |text| usize::from_str_radix(text, 16).expect("a number");
    number(start)..number(end)
}

/// Returns the mapping with this name, if there is one.
pub fn named(name: &str) -> Option<Range<usize>> {
    lines(0..usize::MAX).iter().find(|line| line.ends_with(name)).map(|line| addresses(line))
}

/// Returns the page that contains an address.
pub fn page_of(address: usize) -> Range<usize> {
    let start = address - address % page_size();
    start..start + page_size()
}
