//! Bytes into new files: right whatever pages the kernel gives, and nothing left behind on the way.

use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::ptr::{null, null_mut};

use crate::pool::in_fork;
use crate::support::abi::{self, *};
use crate::support::fd::*;
use crate::support::hosts::{can_forbid_execution, has_memfd, has_shm, refuse, refuse_value};
use crate::support::map::page_size;
use crate::tests;

tests![
    every_size_around_huge_pages_is_exact,
    every_backend_and_flag_takes_large_contents,
    segments_that_cross_huge_pages_are_joined_in_order,
    many_small_segments_are_joined_in_order,
    the_source_may_be_a_file_that_was_wrapped,
    threads_fill_at_the_same_time,
    less_than_one_huge_page_is_allocated_in_vain;
    alone:
    large_files_are_backed_by_huge_pages,
    without_collapsing_contents_are_right,
    a_kernel_without_huge_pages_gets_right_contents,
    a_host_without_sys_gets_right_contents,
    where_all_memory_is_locked_contents_are_right,
    forks_of_other_threads_do_not_keep_a_file_from_being_sealed,
    no_address_space_stays_behind,
    no_address_space_stays_behind_after_failures,
    without_address_space_contents_are_right,
    memory_that_cannot_be_read_is_efault_wherever_it_is,
    a_segment_that_cannot_be_read_is_efault_wherever_it_is,
    a_large_file_above_the_limit_is_efbig_and_no_signal,
];

const MIB: usize = 1 << 20;
/// A huge page of x86_64, and of aarch64 with small pages of 4 KiB.
const HUGE: usize = 2 * MIB;

/// Everything that is promised of a large descriptor.
fn check(fd: &OwnedFd, bytes: &[u8]) {
    let stat = metadata(fd);
    assert_eq!((stat.len() as usize, offset(fd), mode(fd)), (bytes.len(), 0, 0o400));
    if has_memfd() {
        assert_eq!(seals(fd), 0xf | if can_forbid_execution() { 0x20 } else { 0 }, "{} bytes", bytes.len());
    }
    assert!(content(fd) == bytes, "read: {} bytes", bytes.len());
    if !bytes.is_empty() {
        let seen = mapped(fd, libc::PROT_READ, libc::MAP_SHARED).expect("a mapping");
        assert!(seen[..bytes.len()] == *bytes, "mapped: {} bytes", bytes.len());
        assert!(seen[bytes.len()..].iter().all(|byte| *byte == 0), "behind the end of {} bytes", bytes.len());
    }
    // What lies behind cannot be reached.
    let mut byte = 0u8;
    // SAFETY: a valid buffer of one byte.
    assert_eq!(unsafe { libc::pread(fd.as_raw_fd(), (&raw mut byte).cast(), 1, bytes.len() as i64) }, 0);
}

fn wrap_default(bytes: &[u8]) -> OwnedFd {
    wrap(bytes, &WrapOptions::default()).expect("a descriptor")
}

fn sizes() -> Vec<usize> {
    let mut sizes = vec![64 * MIB];
    for about in [MIB / 2, MIB, HUGE, HUGE + MIB, 2 * HUGE, 2 * HUGE + MIB, 3 * HUGE] {
        for off in [1, 4095, 4096, 4097] {
            sizes.extend([about - off, about + off]);
        }
        sizes.push(about);
    }
    sizes
}

fn every_size_around_huge_pages_is_exact() {
    let all = pattern(64 * MIB);
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
                assert!(content(&fd) == all[..size], "{size} bytes, backend {backend}, flags {flags}");
            }
        }
    }
}

/// bytefd_wrap_iov.
fn wrap_segments(segments: &[libc::iovec]) -> Result<OwnedFd, Failure> {
    let mut error = Error::untouched();
    // SAFETY: valid segments, or such as are to be refused.
    let fd = unsafe { (abi::load().wrap_iov)(segments.as_ptr(), segments.len(), null(), &mut error) };
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
        let segments: Vec<_> = starts.zip(ends).map(|(start, end)| segment(&all[start..*end])).collect();
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
        let at = unsafe { libc::mmap(null_mut(), length, libc::PROT_READ, libc::MAP_SHARED, fd.as_raw_fd(), 0) };
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
                    let bytes = vec![(thread * 10 + round) as u8 | 1; MIB + thread * 300_001 + round * 77_777];
                    assert!(content(&wrap_default(&bytes)) == bytes);
                }
            });
        }
    });
}

fn less_than_one_huge_page_is_allocated_in_vain() {
    if !has_memfd() {
        return;
    }
    let all = pattern(64 * MIB);
    for size in sizes().into_iter().chain([0, 1, 4096, 4097, 100_000, MIB - 5000]) {
        let memory = metadata(&wrap_default(&all[..size])).blocks() as usize * 512;
        assert!(memory >= size && memory - size < HUGE, "{memory} bytes of memory for {size}");
        if size < MIB / 2 {
            assert_eq!(memory, size.next_multiple_of(page_size()), "a small file has small pages");
        }
    }
}

/// Address space that begins where a huge page can, where the kernel may map huge pages.
struct Aligned {
    reservation: *mut c_void,
    at: *mut c_void,
}

const ROOM: usize = 8 * HUGE;

impl Aligned {
    fn map(fd: &OwnedFd, length: usize, protection: c_int) -> Aligned {
        assert!(length + HUGE <= ROOM);
        // SAFETY: a new reservation, in which the file is placed.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            let reservation = libc::mmap(null_mut(), ROOM, libc::PROT_NONE, flags, -1, 0);
            assert_ne!(reservation, libc::MAP_FAILED);
            let at = reservation.byte_add(reservation.addr().next_multiple_of(HUGE) - reservation.addr());
            let flags = libc::MAP_SHARED | libc::MAP_FIXED;
            assert_eq!(libc::mmap(at, length, protection, flags, fd.as_raw_fd(), 0), at);
            Aligned { reservation, at }
        }
    }
}

impl Drop for Aligned {
    fn drop(&mut self) {
        // SAFETY: reserved above, the placed file included.
        assert_eq!(unsafe { libc::munmap(self.reservation, ROOM) }, 0);
    }
}

/// Asked of the kernel and not of the library: whether it makes huge pages of a memory file when told to, Linux 6.1.
pub fn kernel_collapses() -> bool {
    // SAFETY: a valid name; what is returned is ours.
    let fd = unsafe { OwnedFd::from_raw_fd(libc::memfd_create(c"probe".as_ptr(), libc::MFD_CLOEXEC)) };
    file(&fd).set_len(HUGE as u64).unwrap();
    let aligned = Aligned::map(&fd, HUGE, libc::PROT_READ | libc::PROT_WRITE);
    // SAFETY: mapped for writing, as large as the file.
    unsafe {
        aligned.at.cast::<u8>().write(1);
        libc::madvise(aligned.at, HUGE, 25) == 0
    }
}

/// Bytes of a file that are mapped as huge pages, after each page was touched.
fn huge_bytes(fd: &OwnedFd) -> usize {
    let length = metadata(fd).len() as usize;
    let aligned = Aligned::map(fd, length.next_multiple_of(HUGE), libc::PROT_READ);
    for page in (0..length).step_by(page_size()) {
        // SAFETY: within the file.
        unsafe { aligned.at.cast::<u8>().add(page).read_volatile() };
    }
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let start = format!("{:x}-", aligned.at.addr());
    let entry = smaps.lines().skip_while(|line| !line.starts_with(&start)).skip(1);
    let mut fields = entry.map_while(|line| line.split_once(':')).take_while(|(name, _)| !name.contains('-'));
    let field = fields.find(|(name, _)| *name == "ShmemPmdMapped").expect("a field of that name").1;
    field.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
}

fn large_files_are_backed_by_huge_pages() {
    if !has_memfd() || !kernel_collapses() {
        return println!("SKIPPED: this kernel makes no huge pages of memory files");
    }
    let all = pattern(7 * MIB);
    for (size, huge) in [(2 * HUGE, 2 * HUGE), (HUGE, HUGE), (HUGE + MIB, 2 * HUGE), (3 * HUGE, 3 * HUGE), (MIB, HUGE)]
    {
        // After a huge page that was slow to come there are none for a while.
        let attempts = (0..400).map(|_| wrap_default(&all[..size]));
        let found = attempts.map(|fd| (huge_bytes(&fd), fd)).find(|(found, _)| *found == huge);
        let (_, fd) = found.unwrap_or_else(|| panic!("no file of {size} bytes has {huge} bytes of huge pages"));
        assert!(content(&fd) == all[..size]);
    }
    assert_eq!(huge_bytes(&wrap_default(&all[..100_000])), 0, "a small file");
    let segments: Vec<_> = all[..2 * HUGE].chunks(99_991).map(segment).collect();
    let mut attempts = (0..400).map(|_| huge_bytes(&wrap_segments(&segments).unwrap()));
    assert!(attempts.any(|found| found == 2 * HUGE), "a file of many segments");
}

/// Sizes that take every path through a file of huge pages.
fn large_contents_are_right() {
    let all = pattern(3 * HUGE + 12_345);
    for size in [MIB - 1, MIB, HUGE - 4097, HUGE, HUGE + 1, HUGE + MIB, 2 * HUGE, 5 * MIB + 1, 3 * HUGE + 12_345] {
        check(&wrap_default(&all[..size]), &all[..size]);
        let segments: Vec<_> = all[..size].chunks(300_007).map(segment).collect();
        check(&wrap_segments(&segments).unwrap(), &all[..size]);
    }
}

/// Old kernels, those without memory to spare, and those with other troubles.
fn without_collapsing_contents_are_right() {
    for errno in [libc::EINVAL, libc::ENOMEM, libc::EAGAIN, libc::EBUSY, libc::EPERM, libc::ENOSYS] {
        in_fork(|| {
            refuse(libc::SYS_madvise, errno);
            large_contents_are_right();
        });
    }
    // After it has worked.
    in_fork(|| {
        large_contents_are_right();
        refuse_value(libc::SYS_madvise, 2, 25, libc::EINVAL);
        large_contents_are_right();
    });
}

fn a_kernel_without_huge_pages_gets_right_contents() {
    in_fork(|| {
        // SAFETY: touches no memory.
        assert_eq!(unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) }, 0);
        large_contents_are_right();
    });
}

/// Containers may hide it.
fn a_host_without_sys_gets_right_contents() {
    in_fork(|| {
        // SAFETY: valid strings and NULL where it may be.
        unsafe {
            assert_eq!(libc::unshare(libc::CLONE_NEWNS), 0, "this test needs root");
            let (none, private) = (c"none".as_ptr(), libc::MS_REC | libc::MS_PRIVATE);
            assert_eq!(libc::mount(none, c"/".as_ptr(), none, private, null()), 0);
            assert_eq!(libc::mount(none, c"/sys".as_ptr(), c"tmpfs".as_ptr(), 0, null()), 0);
        }
        large_contents_are_right();
    });
}

fn where_all_memory_is_locked_contents_are_right() {
    in_fork(|| {
        // SAFETY: touches no memory.
        assert_eq!(unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) }, 0, "this test needs root");
        large_contents_are_right();
    });
}

/// Mappings, and pages of address space.
fn address_space() -> (usize, usize) {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    (maps.lines().count(), pages.split(' ').next().unwrap().parse().unwrap())
}

fn no_address_space_stays_behind() {
    let bytes = pattern(4 * MIB);
    let repeat = |times: usize| {
        for _ in 0..times {
            wrap_default(&bytes);
            wrap_segments(&[segment(&bytes[..HUGE + 1]), segment(&bytes[HUGE + 1..])]).unwrap();
        }
    };
    repeat(3);
    let before = address_space();
    repeat(200);
    assert_eq!(address_space(), before);
}

fn no_address_space_stays_behind_after_failures() {
    let map = unreadable_at(5 * MIB);
    let _ = address_space();
    fail_at(&map, 0);
    let before = address_space();
    for offset in [0, 4096, HUGE - 4096, HUGE, HUGE + 4096] {
        for _ in 0..20 {
            fail_at(&map, offset);
        }
    }
    assert_eq!(address_space(), before);
}

fn without_address_space_contents_are_right() {
    in_fork(|| {
        let all = pattern(5 * MIB + 1);
        let mut seen = vec![0; all.len() + 1];
        wrap_default(&all);
        let limit = |bytes: u64| {
            let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
            // SAFETY: a valid limit.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
        };
        // None at all, and too little for a huge page.
        let now = address_space().1 as u64 * page_size() as u64;
        for bytes in [0, now + MIB as u64, now + 3 * MIB as u64] {
            for size in [MIB, HUGE, HUGE + MIB, 5 * MIB + 1] {
                limit(bytes);
                let fd = wrap(&all[..size], &WrapOptions::default());
                limit(libc::RLIM_INFINITY);
                let fd = fd.expect("a descriptor");
                assert_eq!(metadata(&fd).len() as usize, size);
                // SAFETY: a valid buffer.
                let count = unsafe { libc::pread(fd.as_raw_fd(), seen.as_mut_ptr().cast(), seen.len(), 0) };
                assert!(seen[..count as usize] == all[..size]);
            }
        }
    });
}

/// 4 MiB of memory and more, of which any page can be made unreadable.
struct Memory(*mut u8, usize);

fn unreadable_at(length: usize) -> Memory {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping.
    let at = unsafe { libc::mmap(null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    assert_ne!(at, libc::MAP_FAILED);
    Memory(at.cast(), length)
}

impl Memory {
    /// The page at `offset` gets this protection.
    fn protect(&self, offset: usize, protection: c_int) {
        // SAFETY: pages of our own, into which nothing refers.
        assert_eq!(unsafe { libc::mprotect(self.0.add(offset).cast(), page_size(), protection) }, 0);
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: mapped in `unreadable_at`.
        assert_eq!(unsafe { libc::munmap(self.0.cast(), self.1) }, 0);
    }
}

/// Wraps 4 MiB of which the page at `offset` cannot be read.
fn fail_at(memory: &Memory, offset: usize) {
    memory.protect(offset, libc::PROT_NONE);
    let mut error = Error::untouched();
    // SAFETY: memory that is to be found unreadable by the kernel.
    let value = unsafe { (abi::load().shm_wrap_buffer)(memory.0.cast(), 4 * MIB, null(), &mut error) };
    let failure = result(value, &error).expect_err("unreadable");
    assert_eq!(failure.errno, libc::EFAULT, "offset {offset}: {failure:?}");
    memory.protect(offset, libc::PROT_READ | libc::PROT_WRITE);
}

fn memory_that_cannot_be_read_is_efault_wherever_it_is() {
    let memory = unreadable_at(4 * MIB);
    let mut offsets = vec![0, 4096, MIB, HUGE - 4096, HUGE, HUGE + 4096, HUGE + MIB, 4 * MIB - 4096];
    offsets.extend((0..4 * MIB).step_by(37 * 4096));
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

/// A child that is forked in the middle inherits whatever is mapped at that moment, and lives on.
fn forks_of_other_threads_do_not_keep_a_file_from_being_sealed() {
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let bytes = pattern(8 * MIB);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                // SAFETY: the child only sleeps and ends.
                unsafe {
                    let child = libc::fork();
                    if child == 0 {
                        libc::usleep(2_000);
                        libc::_exit(0);
                    }
                    libc::waitpid(child, null_mut(), 0);
                }
            }
        });
        let wrapped: Vec<_> = (0..100).map(|_| wrap_with(&bytes, 0, AUTO).map(drop)).collect();
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        wrapped.into_iter().for_each(|result| result.expect("sealed"));
    });
    check(&wrap_default(&bytes), &bytes);
}
