//! Tests memory that is there at once, and the huge pages that it is made of.

use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

use super::kinds::{private, shared};
use crate::faults::conditions::skip;
use crate::fill::huge::kernel_collapses;
use crate::support::abi::*;
use crate::support::fd::{Failure, file, pattern, seals};
use crate::support::hosts;
use crate::support::map::{Map, huge_page_size, memory, page_size};

fn with(access: u32, flags: u64) -> MapOptions {
    MapOptions { access, flags, ..MapOptions::default() }
}

/// Returns how many pages of the map are in memory, mincore(2).
pub fn present(map: &Map) -> usize {
    let head = map.data().addr() % page_size();
    let mut pages = vec![0u8; (head + map.length()).div_ceil(page_size())];
    let start = map.data().wrapping_sub(head).cast();
    // SAFETY: the map's pages, and a byte for each.
    assert_eq!(unsafe { libc::mincore(start, head + map.length(), pages.as_mut_ptr()) }, 0);
    pages.iter().filter(|page| **page & 1 == 1).count()
}

/// Returns whether madvise(2) knows MADV_POPULATE_WRITE, Linux 5.14.
fn kernel_populates() -> bool {
    let map = private(1);
    // SAFETY: populating changes no bytes.
    unsafe { libc::madvise(map.data().cast(), page_size(), 23) == 0 }
}

pub fn populated_memory_is_all_there() {
    let lengths = [1, page_size(), 10 * page_size() + 1, (2 << 20) - 1, (5 << 20) + 1];
    for length in lengths {
        let pages = length.div_ceil(page_size());
        assert_eq!(present(&private(length)), 0);
        let map = memory(length, &with(PRIVATE, POPULATE)).expect("memory");
        if kernel_populates() {
            assert_eq!(present(&map), pages);
        }
    }
    for length in lengths {
        let Some(empty) = shared(length, &MapOptions::default()) else { return };
        assert_eq!(present(&empty), 0);
        for reserve in [0, 1 << 30] {
            let Some(map) = shared(length, &MapOptions { reserve, ..with(WRITE, POPULATE) }) else {
                return;
            };
            assert_eq!(present(&map), length.div_ceil(page_size()));
            let fd = map.descriptor().expect("kept").try_clone_to_owned().expect("dup");
            let stat = file(&fd).metadata().expect("fstat");
            assert!(
                stat.size() == length as u64 && stat.blocks() * 512 >= length as u64,
                "{} blocks",
                stat.blocks()
            );
            assert!(map.bytes().iter().all(|byte| *byte == 0));
        }
    }
}

/// The size of memory for which huge pages pay.
const LARGE: usize = 8 << 20;

/// Returns whether any of several maps has huge pages. For a single one, huge pages may come too
/// late or not be available.
fn is_ever_huge(access: u32, field: &str) -> bool {
    (0..400).any(|_| {
        let map = memory(LARGE, &with(access, POPULATE)).expect("memory");
        map.store(0, &pattern(LARGE));
        assert!(map.bytes() == pattern(LARGE));
        map.region().bytes(field) >= LARGE
    })
}

pub fn large_shared_memory_is_of_huge_pages_where_the_kernel_makes_them() {
    need_allocation();
    if !kernel_collapses() {
        skip("this kernel makes no huge pages of memory files");
    }
    assert!(is_ever_huge(WRITE, "ShmemPmdMapped"));
}

pub fn large_private_memory_is_of_huge_pages_where_the_host_allows_them() {
    let policy = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    if LARGE < huge_page_size() {
        skip(format_args!("a huge page has {} bytes, and the memory {LARGE}", huge_page_size()));
    } else if policy.as_ref().is_ok_and(|policy| !policy.contains("[never]")) {
        assert!(is_ever_huge(PRIVATE, "AnonHugePages"));
    } else {
        skip(format_args!("no huge pages for private memory: {policy:?}"));
    }
}

/// Skips the test where fallocate(2) does not work. By it memory files get whole pages of any size.
fn need_allocation() {
    if !hosts::has_memfd() {
        skip("no memory files on this host");
    }
    let fd = shared(1, &MapOptions::default()).expect("memory");
    let fd = fd.descriptor().expect("kept");
    // SAFETY: touches no memory.
    if unsafe { libc::fallocate(fd.as_raw_fd(), 0, 0, 1) } != 0 {
        skip("no fallocate on this host");
    }
}

const RESERVED: &str = "/proc/sys/vm/nr_hugepages";

/// Returns a field of /proc/meminfo, such as "HugePages_Free".
pub fn meminfo(field: &str) -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").expect("/proc is mounted");
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    value.split_whitespace().next()?.parse().ok()
}

/// Reserves huge pages until this is dropped. No other test reserves or takes any meanwhile.
pub struct Reserved(usize, std::fs::File);

impl Reserved {
    /// Reserves no further pages.
    pub fn none() -> Reserved {
        let file = match std::fs::File::open(RESERVED) {
            Ok(file) => file,
            Err(error) => skip(format_args!("{RESERVED}: {error}")),
        };
        // SAFETY: touches no memory.
        assert_eq!(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) }, 0);
        Reserved(0, file)
    }

    pub fn new(pages: usize) -> Reserved {
        let none = Self::none();
        let before = Self::all();
        if let Err(error) = std::fs::write(RESERVED, (before + pages).to_string()) {
            skip(format_args!("{RESERVED}: {error}"));
        }
        let reserved =
            Reserved(Self::all().saturating_sub(before), none.1.try_clone().expect("dup"));
        if reserved.0 < pages || meminfo("HugePages_Free").is_none_or(|free| free < pages) {
            drop(reserved);
            skip(format_args!("{RESERVED}: no {pages} huge pages to be had"));
        }
        reserved
    }

    fn all() -> usize {
        match std::fs::read_to_string(RESERVED) {
            Ok(number) => number.trim().parse().expect("a number"),
            Err(error) => skip(format_args!("{RESERVED}: {error}")),
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if self.0 > 0 {
            std::fs::write(RESERVED, Self::all().saturating_sub(self.0).to_string())
                .expect("given back");
        }
    }
}

fn huge(length: usize, access: u32) -> Result<Map, Failure> {
    memory(length, &with(access, HUGE_PAGES))
}

fn refused<T: std::fmt::Debug>(outcome: Result<T, Failure>, errno: i32) {
    let failure = outcome.expect_err("refused");
    assert_eq!(failure.errno, errno, "{failure:?}");
}

pub fn reserved_huge_pages_that_are_not_there_are_enomem() {
    let Some(page) = meminfo("Hugepagesize").map(|kib| kib << 10) else {
        skip("no huge pages on this kernel")
    };
    if !hosts::has_memfd() {
        skip("no memory files on this host");
    }
    for access in [WRITE, PRIVATE] {
        // More than any machine has.
        refused(huge(1 << 45, access), libc::ENOMEM);
        for length in [0, 1, page - 1, page + 1, page_size(), (1 << 45) + 1] {
            refused(huge(length, access), libc::EINVAL);
        }
    }
}

pub fn reserved_huge_pages_make_memory_that_is_resized_and_sealed() {
    need_allocation();
    let _reserved = Reserved::new(4);
    let page = meminfo("Hugepagesize").expect("there are some") << 10;
    // Where small pages have 16 KiB, huge pages have 32 MiB, which an emulated processor takes long
    // to compare.
    let ways = [(0, 16 * page), (0, 0), (POPULATE, 0), (MLOCK | NO_FORK, 0)];
    let ways = if page > 4 << 20 { &ways[..1] } else { &ways };
    for access in [WRITE, PRIVATE] {
        for &(flags, reserve) in ways {
            let options = MapOptions { reserve, ..with(access, HUGE_PAGES | flags) };
            let mut map = memory(2 * page, &options).expect("memory");
            assert_eq!(map.region().bytes("KernelPageSize"), page);
            map.store(0, &pattern(2 * page));
            assert!(map.bytes() == pattern(2 * page));
            for length in [0, 1, page + 1, page + page_size(), 3 * page - 1] {
                refused(map.resize(length), libc::EINVAL);
            }
            let failure = map.resize(1 << 45).expect_err("refused");
            // mremap(2), which makes none of them longer, says the one.
            assert!([libc::EINVAL, libc::ENOMEM].contains(&failure.errno), "{failure:?}");
            assert!(map.length() == 2 * page && map.bytes() == pattern(2 * page), "as it was");
            map.resize(page).expect("shrunk");
            let mut expected = pattern(page);
            if reserve > 0 {
                map.resize(3 * page).expect("grown");
                expected.resize(3 * page, 0);
            }
            assert!(map.bytes() == expected, "access {access}, flags {flags}, reserve {reserve}");
            if access == PRIVATE && reserve > 0 {
                // Whole huge pages only.
                map.unmap(1, 2 * page).expect("unmapped");
                assert!(
                    map.part(0, page) == pattern(page)
                        && map.part(2 * page, page) == expected[2 * page..]
                );
                refused(map.read(page, &mut [0]), libc::EINVAL);
            } else if access == WRITE {
                let address = map.data();
                let fd = map.seal().expect("sealed");
                assert!(map.data() == address && map.bytes() == expected);
                assert_eq!(seals(&fd) & 0xf, 0xf);
            }
        }
    }
}
