//! Tests huge pages: files have those that this host gives, and waste no memory. Which pages
//! they get depends on the kernel and on `shmem_enabled`; the guests of `kernels` run this group
//! with each of its values.

use std::collections::BTreeSet;
use std::ffi::{CStr, c_char};
use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt;

use super::*;
use crate::kernels::guest;
use crate::pool::{Pool, memory_files, memory_of};

tests![
    less_than_one_huge_page_is_allocated_in_vain,
    contents_are_right_whatever_the_pages;
    alone:
    large_files_have_the_huge_pages_that_this_host_gives,
    both_kinds_of_pages_are_tried,
    both_kinds_of_extents_take_their_turns,
    the_report_says_how_large_files_get_their_pages,
    a_pool_counts_the_memory_of_huge_pages,
];

/// Address space that begins where a huge page can begin, and that the kernel may map as huge
/// pages.
struct Aligned {
    reservation: *mut c_void,
    at: *mut c_void,
}

const ROOM: usize = 20 * HUGE;

impl Aligned {
    fn map(fd: &OwnedFd, length: usize, protection: c_int) -> Aligned {
        assert!(length + HUGE <= ROOM);
        // SAFETY: a new reservation, in which the file is placed.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            let reservation = libc::mmap(null_mut(), ROOM, libc::PROT_NONE, flags, -1, 0);
            assert_ne!(reservation, libc::MAP_FAILED);
            let at = reservation
                .byte_add(reservation.addr().next_multiple_of(HUGE) - reservation.addr());
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

/// Returns whether the kernel makes huge pages of a memory file when told to, Linux 6.1. Asks the
/// kernel and not the library.
pub fn kernel_collapses() -> bool {
    // SAFETY: a valid name; what is returned is ours.
    let fd =
        unsafe { OwnedFd::from_raw_fd(libc::memfd_create(c"probe".as_ptr(), libc::MFD_CLOEXEC)) };
    file(&fd).set_len(HUGE as u64).unwrap();
    let aligned = Aligned::map(&fd, HUGE, libc::PROT_READ | libc::PROT_WRITE);
    // SAFETY: mapped for writing, as large as the file.
    unsafe {
        aligned.at.cast::<u8>().write(1);
        libc::madvise(aligned.at, HUGE, 25) == 0
    }
}

/// Returns the bytes of a file that are mapped as huge pages, after each page was touched.
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
    let mut fields =
        entry.map_while(|line| line.split_once(':')).take_while(|(name, _)| !name.contains('-'));
    let field = fields.find(|(name, _)| *name == "ShmemPmdMapped").expect("a field of that name").1;
    field.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
}

/// Returns the word that is chosen in `shmem_enabled`, if this kernel has huge pages for files in
/// memory.
fn policy() -> Option<String> {
    let words = std::fs::read_to_string(guest::SHMEM_ENABLED).ok()?;
    Some(words.split_once('[')?.1.split_once(']')?.0.to_string())
}

/// Returns the expected bytes of huge pages in a large file.
fn expected(size: usize) -> RangeInclusive<usize> {
    let (whole, all) = (size / HUGE * HUGE, size.next_multiple_of(HUGE));
    let collapsed = if size - whole >= HUGE / 4 { all } else { whole };
    match policy().as_deref() {
        Some("always" | "force") => all..=all,
        Some("within_size") if size < HUGE => 0..=0,
        // Newer kernels require a huge page to end within the size. For older ones it is enough
        // that it begins there.
        Some("within_size") => match guest::release().as_deref() {
            Some("5.10") => all..=all,
            Some("6.1") => whole..=whole,
            _ => whole..=all,
        },
        _ if kernel_collapses() => collapsed..=collapsed,
        _ => 0..=0,
    }
}

/// Returns whether the library chooses between huge and small pages.
fn has_choice() -> bool {
    kernel_collapses() && !policy().is_some_and(|policy| policy != "never" && policy != "advise")
}

fn large_files_have_the_huge_pages_that_this_host_gives() {
    if !has_memfd() {
        return println!("SKIPPED: only memory files have huge pages");
    }
    if huge_page_size() != HUGE {
        return println!("SKIPPED: a huge page has {} bytes, which are not used", huge_page_size());
    }
    let all = pattern(7 * MIB);
    // If there is a choice, and small pages cost less, a huge page is tried only now and then.
    let is_right = |size: usize, found: usize| match expected(size) {
        all if has_choice() => {
            (found > 0) == (*all.end() > 0) && found <= *all.end() && found.is_multiple_of(HUGE)
        }
        expected => expected.contains(&found),
    };
    for size in [
        2 * HUGE,
        HUGE,
        HUGE + MIB,
        HUGE + MIB / 2,
        3 * HUGE,
        3 * HUGE + MIB / 2 - 1,
        MIB,
        MIB / 2,
        MIB / 2 - 1,
    ] {
        let mut counts = BTreeSet::new();
        let is_ever_right = (0..400).any(|_| {
            let fd = wrap_default(&all[..size]);
            let found = huge_bytes(&fd);
            assert!(content(&fd) == all[..size], "{found} bytes of huge pages in a file of {size}");
            counts.insert(found);
            is_right(size, found)
        });
        assert!(
            is_ever_right,
            "a file of {size} bytes has {counts:?} bytes of huge pages, not {:?}",
            expected(size)
        );
    }
    let segments: Vec<_> = all[..2 * HUGE].chunks(99_991).map(segment).collect();
    let mut attempts = (0..400).map(|_| huge_bytes(&wrap_segments(&segments).unwrap()));
    assert!(attempts.any(|found| is_right(2 * HUGE, found)), "a file of many segments");
    if !has_huge_pages_for_everything() {
        assert_eq!(huge_bytes(&wrap_default(&all[..100_000])), 0, "a small file");
    }
}

/// The library uses the pages that cost less here. To know which do, it also tries the others.
fn both_kinds_of_pages_are_tried() {
    if !has_memfd() || !has_choice() {
        return println!("SKIPPED: there is no choice here");
    }
    for size in [MIB / 2, MIB, HUGE] {
        let bytes = pattern(size);
        let huge = (0..256).filter(|_| huge_bytes(&wrap_default(&bytes)) > 0).count();
        assert!((1..256).contains(&huge), "{huge} of 256 files of {size} bytes have a huge page");
    }
}

/// Full extents and other extents take their turns separately. Every sixteenth extent of these
/// files is not full. If all were counted together, these would never get a turn.
fn both_kinds_of_extents_take_their_turns() {
    if !has_memfd() || !has_choice() {
        return println!("SKIPPED: there is no choice here");
    }
    let bytes = pattern(31 * MIB);
    let counts: BTreeSet<_> = (0..16).map(|_| huge_bytes(&wrap_default(&bytes))).collect();
    assert!(counts.len() > 1, "all have {counts:?} bytes of huge pages");
}

/// Returns whether the host gives even a single byte in memory a huge page.
fn has_huge_pages_for_everything() -> bool {
    matches!(policy().as_deref(), Some("always" | "force"))
}

fn less_than_one_huge_page_is_allocated_in_vain() {
    if !has_memfd() {
        return;
    }
    let all = vec![1; 24 * MIB];
    for size in sizes().into_iter().chain([0, 1, 4096, 4097, 100_000, MIB - 5000]) {
        let memory = metadata(&wrap_default(&all[..size])).blocks() as usize * 512;
        assert!(
            memory >= size && memory - size < huge_page_size(),
            "{memory} bytes of memory for {size}"
        );
        if size < MIB / 2 && !has_huge_pages_for_everything() {
            assert_eq!(memory, size.next_multiple_of(page_size()), "a small file has small pages");
        }
    }
}

fn contents_are_right_whatever_the_pages() {
    large_contents_are_right();
}

/// Returns the line of bytefd_host_report about filling.
fn filling() -> String {
    type Report = unsafe extern "C" fn(*mut c_char, usize, *mut Error) -> c_int;
    let (mut text, mut error) = ([0u8; 1024], Error::untouched());
    // SAFETY: the type is that of the header; a writable buffer and a writable error.
    let status = unsafe {
        let library = libloading::Library::new(abi::library_path()).unwrap();
        let report = library.get::<Report>(b"bytefd_host_report").unwrap();
        report(text.as_mut_ptr().cast(), text.len(), &mut error)
    };
    assert_eq!(result(status, &error).unwrap(), 0);
    let text = CStr::from_bytes_until_nul(&text).unwrap().to_str().unwrap();
    text.lines()
        .find_map(|line| line.strip_prefix("filling: "))
        .expect("a line on filling")
        .to_string()
}

fn the_report_says_how_large_files_get_their_pages() {
    if !has_memfd() {
        return println!("SKIPPED: only memory files have huge pages");
    }
    let Some(policy) = policy() else {
        return println!("SKIPPED: this kernel has no huge pages for files in memory");
    };
    let way = match policy.as_str() {
        _ if huge_page_size() != HUGE => "plain writes",
        "always" | "within_size" | "force" => "the size, then plain writes",
        _ if kernel_collapses() => "huge pages by MADV_COLLAPSE",
        _ => "plain writes",
    };
    // Before this process has wrapped anything, and when it knows its host.
    for _ in 0..2 {
        let said = filling();
        assert!(
            said.starts_with(way) && said.contains(&format!("(shmem_enabled={policy})")),
            "{way}, not {said:?}"
        );
        large_contents_are_right();
    }
}

/// Tests "at most `max_bytes` of memory": where five bytes take a huge page, a small pool does not
/// keep them.
fn a_pool_counts_the_memory_of_huge_pages() {
    for bound in [MIB, 5 * MIB, 64 * MIB] {
        let pool = Pool::new(bound);
        for round in 0..4u8 {
            for size in [5, 5000, MIB, HUGE + 1, 3 * MIB] {
                let bytes = vec![round; size];
                pool.scan(&bytes, |fd| crate::pool::check(fd, &bytes));
                let memory: u64 = memory_files().into_iter().map(|(fd, ..)| memory_of(fd)).sum();
                assert_eq!(pool.counts().cached_bytes, memory, "after a scan of {size} bytes");
                assert!(memory <= bound as u64, "{memory} bytes are kept, the bound is {bound}");
            }
        }
        assert!(
            !has_memfd() || bound < huge_page_size() || pool.counts().hits > 0,
            "{:?}",
            pool.counts()
        );
    }
}
