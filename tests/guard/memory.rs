//! Guarded maps, files that lose their pages, and access by pointer.

use std::os::fd::{AsFd, AsRawFd};
use std::ptr::null_mut;

use crate::faults::conditions::{End, in_child};
use crate::support::abi::*;
use crate::support::fd::pattern;
use crate::support::map::{Map, map_with, page_size};

/// A file of whole pages that holds the pattern.
pub fn file(pages: usize) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, pattern(pages * page_size())).expect("written");
    file
}

pub fn guarded(file: &tempfile::NamedTempFile, access: u32) -> Map {
    map_with(file, access, GUARD).expect("mapped")
}

/// Guarded shared memory that holds the pattern.
pub fn guarded_memory(pages: usize) -> Map {
    let map = crate::support::map::memory(
        pages * page_size(),
        &MapOptions { flags: GUARD, ..MapOptions::default() },
    );
    let map = map.expect("memory");
    map.store(0, &pattern(pages * page_size()));
    map
}

/// Another process gives the file this length.
pub fn cut(file: impl AsFd, length: usize) {
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: touches no memory.
    assert_eq!(in_child(|| unsafe { libc::ftruncate(fd, length as libc::off_t) }), End::Exited(0));
}

pub fn byte(map: &Map, at: usize) -> u8 {
    assert!(at < map.length());
    // SAFETY: within the map; that it may be lost is the point.
    unsafe { map.data().add(at).read_volatile() }
}

pub fn put(map: &Map, at: usize, byte: u8) {
    assert!(at < map.length());
    // SAFETY: as above.
    unsafe { map.data().add(at).write_volatile(byte) };
}

/// bytefd_map_check: -EIO or 0.
pub fn is_lost(map: &Map) -> bool {
    match map.check() {
        Ok(()) => false,
        Err(failure) => {
            assert_eq!((failure.errno, failure.op.as_str()), (libc::EIO, "check"));
            true
        }
    }
}

/// A page of a file that has none, mapped by the program itself: access is a SIGBUS. Unmapped on
/// drop.
pub struct Stranger(*mut u8);

impl Stranger {
    /// Where nothing is mapped.
    pub fn at(address: *mut u8) -> Stranger {
        Stranger::place(address).unwrap_or_else(|error| panic!("at {address:?}: {error}"))
    }

    /// Where nothing is mapped, or anywhere.
    pub fn place(address: *mut u8) -> std::io::Result<Stranger> {
        let fd = tempfile::tempfile().expect("a file");
        let (flags, protection) = (libc::MAP_SHARED, libc::PROT_READ | libc::PROT_WRITE);
        let flags = if address.is_null() { flags } else { flags | libc::MAP_FIXED_NOREPLACE };
        // SAFETY: no mapping is replaced.
        let placed = unsafe {
            libc::mmap(address.cast(), page_size(), protection, flags, fd.as_raw_fd(), 0)
        };
        if placed == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        assert!(address.is_null() || placed.cast() == address);
        Ok(Stranger(placed.cast()))
    }

    pub fn anywhere() -> Stranger {
        Stranger::at(null_mut())
    }

    pub fn address(&self) -> *mut u8 {
        self.0
    }

    /// Raises the signal, unless somebody is wrong.
    pub fn touch(&self) {
        // SAFETY: what this finds out.
        unsafe { self.0.read_volatile() };
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        // SAFETY: mapped by `at`.
        assert_eq!(unsafe { libc::munmap(self.0.cast(), page_size()) }, 0);
    }
}
