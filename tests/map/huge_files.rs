//! Tests files with larger pages than others: on hugetlbfs, or memory files of reserved huge pages.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::huge_memory::{Reserved, meminfo};
use crate::faults::conditions::*;
use crate::support::abi::*;
use crate::support::fd::{file, pattern};
use crate::support::map::{map, map_fd, page_size};

/// Makes a memory file of `pages` huge pages, none of them reserved. Returns it and its size.
fn huge_file(pages: usize) -> (OwnedFd, usize) {
    let Some(page) = meminfo("Hugepagesize").map(|kib| kib << 10) else {
        skip("no huge pages on this kernel")
    };
    // SAFETY: a string; the descriptor is nobody else's.
    let fd = unsafe { libc::memfd_create(c"huge".as_ptr(), libc::MFD_HUGETLB | libc::MFD_CLOEXEC) };
    if fd < 0 {
        skip(format_args!("no memory files of huge pages: {}", std::io::Error::last_os_error()));
    }
    // SAFETY: as above.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    file(&fd).set_len((pages * page) as u64).expect("ftruncate");
    (fd, page)
}

fn options(access: u32, flags: u64) -> MapOptions {
    MapOptions { access, flags, ..MapOptions::default() }
}

fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps").expect("/proc is mounted").lines().count()
}

/// munmap(2) of a part of a huge page is EINVAL, and the page stays mapped, until no mapping can be
/// made any more.
pub fn a_part_of_a_huge_page_is_mapped_and_unmapped() {
    let (fd, page) = huge_file(2);
    let mut before = 0;
    let ranges = [
        (0, 1000),
        (0, page),
        (1000, 1000),
        (page as u64 - 1, 2),
        (page as u64 + 5, TO_END),
        (0, TO_END),
    ];
    for access in [READ, READ, WRITE, PRIVATE] {
        for (offset, length) in ranges {
            for guard in [0, GUARD] {
                let asked = MapOptions { offset, length, ..options(access, NO_RESERVE | guard) };
                let map = map_fd(fd.as_raw_fd(), &asked).expect("mapped");
                let expected = if length == TO_END { 2 * page - offset as usize } else { length };
                assert_eq!(map.length(), expected);
                assert_eq!(map.data().addr() % page, offset as usize % page);
                // Its end is asserted to be 0.
                drop(map);
            }
        }
        // The first guard makes notes of its own.
        before = if before == 0 { mappings() } else { before };
    }
    assert!(mappings() <= before + 1, "{} mappings instead of {before}", mappings());
}

/// The file has no page there. A copy says so, and a guarded map gives zeros.
pub fn a_huge_page_that_is_not_there_is_no_signal() {
    let _reserved = Reserved::none();
    let (fd, page) = huge_file(2);
    if meminfo("HugePages_Free").is_none_or(|free| free > 0) {
        skip("this host has reserved huge pages");
    }
    let map = map_fd(fd.as_raw_fd(), &options(READ, NO_RESERVE)).expect("mapped");
    assert_eq!(map.read(5, &mut [0; 10]).expect_err("lost").errno, libc::EIO);
    drop(map);
    let map = map_fd(fd.as_raw_fd(), &options(READ, NO_RESERVE | GUARD)).expect("mapped");
    assert!(map.bytes() == vec![0; 2 * page]);
    assert_eq!(map.check().expect_err("lost").errno, libc::EIO);
    drop(map);
    // Without MAP_NORESERVE there must be some.
    assert_eq!(map_fd(fd.as_raw_fd(), &options(WRITE, 0)).expect_err("none").errno, libc::ENOMEM);
}

pub fn a_file_of_huge_pages_grows_by_whole_ones() {
    let (fd, page) = huge_file(1);
    let growing = |file_size| MapOptions { file_size, ..options(WRITE, NO_RESERVE) };
    for size in [page + 1, page + page_size(), 3 * page - 1] {
        let failure = map_fd(fd.as_raw_fd(), &growing(size as u64)).expect_err("refused");
        assert_eq!(
            (failure.errno, failure.op.as_str()),
            (libc::EINVAL, "file_size"),
            "{failure:?}"
        );
        assert!(
            failure.message.contains(&page.to_string())
                && failure.message.contains(&size.to_string())
        );
        assert_eq!(file(&fd).metadata().expect("fstat").len(), page as u64);
    }
    let map = map_fd(fd.as_raw_fd(), &growing(3 * page as u64)).expect("nothing is reserved");
    assert_eq!(map.length(), 3 * page);
    assert_eq!(file(&fd).metadata().expect("fstat").len(), 3 * page as u64);
}

/// Tests content, any offset, changes of others, and the loss of the file, where there are huge
/// pages.
pub fn files_of_huge_pages_are_maps_as_others() {
    let _reserved = Reserved::new(4);
    let (fd, page) = huge_file(2);
    let content = pattern(2 * page);
    let writing = map_fd(fd.as_raw_fd(), &options(WRITE, 0)).expect("mapped");
    assert_eq!(writing.region().bytes("KernelPageSize"), page);
    writing.store(0, &content);
    for offset in [0, 1, 4096, 5000, page - 1, page, page + 77] {
        for access in [READ, WRITE] {
            for flags in [0, GUARD] {
                let map = map_fd(
                    fd.as_raw_fd(),
                    &MapOptions { offset: offset as u64, ..options(access, flags) },
                );
                let map = map.expect("mapped");
                assert!(map.bytes() == content[offset..]);
                let mut some = [0; 10];
                assert_eq!(map.read(7, &mut some).expect("read"), 10);
                assert_eq!(some, content[offset + 7..offset + 17]);
                map.flush(0, TO_END, libc::MS_SYNC).expect("flushed");
                map.prefetch(0, TO_END).expect("prefetched");
                map.protect(0, 1, libc::PROT_READ).expect("protected");
            }
        }
    }
    let guarded = map_fd(fd.as_raw_fd(), &options(READ, GUARD)).expect("mapped");
    assert!(guarded.part(0, page) == content[..page]);
    file(&fd).set_len(page as u64).expect("ftruncate");
    assert!(guarded.part(0, page) == content[..page]);
    assert!(guarded.part(page, page) == vec![0; page], "what is lost is zeros");
    assert_eq!(guarded.check().expect_err("lost").errno, libc::EIO);
    drop((guarded, writing));

    let mut map = map_fd(fd.as_raw_fd(), &MapOptions { reserve: 8 * page, ..options(WRITE, 0) })
        .expect("mapped");
    for length in [1, page_size(), page + 1] {
        assert_eq!(map.resize(length).expect_err("no whole page").errno, libc::EINVAL);
    }
    map.resize(2 * page).expect("grown");
    assert!(map.part(0, page) == content[..page] && map.part(page, page) == vec![0; page]);
    map.resize(page).expect("shrunk");
}

/// Uses a mount of hugetlbfs, where files have names.
pub fn a_file_on_hugetlbfs_is_mapped_by_its_path() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = std::ffi::CString::new(folder.path().to_str().expect("UTF-8")).expect("no NUL");
    // SAFETY: strings; no data.
    let status = unsafe {
        libc::mount(c"none".as_ptr(), at.as_ptr(), c"hugetlbfs".as_ptr(), 0, std::ptr::null())
    };
    if status != 0 {
        skip(format_args!("hugetlbfs: {}", std::io::Error::last_os_error()));
    }
    let page = meminfo("Hugepagesize").expect("there are some") << 10;
    let path = folder.path().join("file");
    let created =
        map(&path, &MapOptions { file_size: page as u64, ..options(WRITE, CREATE | NO_RESERVE) });
    drop(created.expect("created"));
    for length in [1, 1000, page] {
        let map = map(&path, &MapOptions { length, ..options(READ, NO_RESERVE) }).expect("mapped");
        assert_eq!(map.length(), length);
    }
    let failure =
        map(folder.path().join("new"), &MapOptions { file_size: 1000, ..options(WRITE, CREATE) });
    assert_eq!(failure.expect_err("no whole page").errno, libc::EINVAL);
    assert!(!folder.path().join("new").exists());
    unmount(folder.path());
}
