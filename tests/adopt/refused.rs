//! Tests what is refused and what fails: the buffer is what it was, and nothing is left.

use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::null_mut;

use super::memory::*;
use super::shared::name;
use crate::faults::conditions::*;
use crate::support::fd::{Failure, content, pattern};
use crate::support::hosts;
use crate::support::map::page_size;

/// Asserts that the range of this memory is refused, and that none of its bytes changes.
fn refused_memory(memory: &Memory, errno: i32) -> Failure {
    let failure = refused(memory.address()..memory.address() + memory.length);
    assert_eq!((failure.errno, failure.op.as_str()), (errno, "range"), "{failure:?}");
    failure
}

pub fn what_is_no_whole_pages_is_einval() {
    let (page, memory) = (page_size(), Memory::pages(4));
    let einval = |address: usize, length: usize, op: &str, says: &str| {
        let before = memory.lines();
        let failure = adopt(address, length).expect_err("refused");
        assert_eq!((failure.errno, failure.op.as_str()), (libc::EINVAL, op), "{failure:?}");
        assert!(failure.message.contains(says), "{says}: {}", failure.message);
        assert_eq!(memory.lines(), before);
    };
    let at = memory.address();
    einval(0, page, "address", "NULL");
    for address in [at + 1, at + page / 2, at + page - 1, 1, usize::MAX] {
        einval(address, page, "address", &format!("{address:#x}"));
    }
    for length in [0, 1, page - 1, page + 1, 2 * page - 1, usize::MAX] {
        einval(at, length, "length", &length.to_string());
    }
    // Whole pages, but past the last address; and more than there can be of them.
    for length in [usize::MAX - page + 1, usize::MAX - at - page + 1 + page, 1 << 63] {
        einval(at, length - length % page, "length", &format!("{at:#x}"));
    }
    einval(usize::MAX - page + 1, page, "length", "past the last address");
    assert!(memory.bytes() == pattern(memory.length));
}

pub fn what_is_not_all_mapped_is_enomem() {
    let page = page_size();
    for hole in [0..page, 2 * page..3 * page, 3 * page..5 * page, 7 * page..8 * page, 0..8 * page] {
        let memory = Memory::pages(8);
        memory.unmap(hole.clone());
        let failure = refused_memory(&memory, libc::ENOMEM);
        let missing = format!("nothing mapped at {:#x}", memory.address() + hole.start);
        assert!(failure.message.contains(&missing), "{missing}: {}", failure.message);
        // The buffer without the hole can be adopted.
        memory.replace(hole, READ_WRITE, OURS, -1);
        memory.adopt().expect("adopted");
    }
    // No program has memory at these addresses.
    for address in [page, 1 << 60] {
        assert_eq!(refused(address..address + page).errno, libc::ENOMEM);
    }
}

pub fn other_protections_are_eacces() {
    let page = page_size();
    let executable = READ_WRITE | libc::PROT_EXEC;
    let protections = [
        (libc::PROT_NONE, "---p"),
        (libc::PROT_READ, "r--p"),
        (libc::PROT_READ | libc::PROT_EXEC, "r-xp"),
        (executable, "rwxp"),
    ];
    for (protection, shown) in protections {
        for part in [0..4 * page, 0..page, page..2 * page, 3 * page..4 * page] {
            let memory = Memory::pages(4);
            memory.protect(part.clone(), protection);
            let failure = refused_memory(&memory, libc::EACCES);
            let found = format!("found {shown} at {:#x}-", memory.address() + part.start);
            assert!(failure.message.contains(&found), "{found}: {}", failure.message);
            memory.protect(part, READ_WRITE);
            assert!(memory.bytes() == pattern(memory.length));
        }
    }
}

pub fn other_memory_than_private_and_anonymous_is_eopnotsupp() {
    let page = page_size();
    let file = tempfile::NamedTempFile::new().expect("a file");
    file.as_file().set_len(2 * page as u64).expect("longer");
    let zero =
        std::fs::File::options().read(true).write(true).open("/dev/zero").expect("/dev/zero");
    let (path, zero) = (file.path().to_str().expect("UTF-8"), zero.as_raw_fd());
    let file = file.as_file().as_raw_fd();
    let (private, shared) = (libc::MAP_PRIVATE, libc::MAP_SHARED);
    let cases = [
        (private, file, path),
        (shared, file, path),
        (private, zero, "/dev/zero"),
        (shared | libc::MAP_ANONYMOUS, -1, "/dev/zero (deleted)"),
    ];
    for (flags, fd, found) in cases {
        for part in [0..2 * page, page..3 * page, 2 * page..4 * page] {
            let memory = Memory::pages(4);
            memory.replace(part, READ_WRITE, flags, fd);
            let failure = refused_memory(&memory, libc::EOPNOTSUPP);
            assert!(failure.message.contains(found), "{found}: {}", failure.message);
        }
    }

    // These pages are not reserved, so that none need to exist. Nothing touches them.
    let (length, flags) =
        (2 << 20, OURS | libc::MAP_HUGETLB | libc::MAP_HUGE_2MB | libc::MAP_NORESERVE);
    // SAFETY: a new mapping, unmapped below.
    let huge = unsafe { libc::mmap(null_mut(), length, READ_WRITE, flags, -1, 0) };
    if huge == libc::MAP_FAILED {
        println!("SKIPPED: memory in hugetlb pages: {}", std::io::Error::last_os_error());
    } else {
        let failure = refused(huge.addr()..huge.addr() + length);
        assert_eq!(failure.errno, libc::EOPNOTSUPP);
        assert!(failure.message.contains("/anon_hugepage (deleted)"), "{}", failure.message);
        // SAFETY: mapped above.
        assert_eq!(unsafe { libc::munmap(huge, length) }, 0);
    }

    // The program's own, and what the kernel maps into it.
    static CONSTANT: u8 = 7;
    assert_eq!(refused(page_of((&raw const CONSTANT).addr())).errno, libc::EOPNOTSUPP);
    let _allocated = Box::new(7);
    for special in ["[heap]", "[vdso]", "[vvar]"] {
        let Some(range) = named(special) else {
            println!("SKIPPED: this process has no {special}");
            continue;
        };
        let failure = refused(page_of(range.start));
        assert_eq!(failure.errno, libc::EOPNOTSUPP);
        assert!(failure.message.contains(special), "{}", failure.message);
    }
}

pub fn memory_of_a_runtime_is_eopnotsupp() {
    for label in [c" glibc: malloc arena", c" Go: heap"] {
        let memory = Memory::pages(2);
        if !name(&memory, label) {
            return println!("SKIPPED: this kernel gives memory no names");
        }
        let failure = refused_memory(&memory, libc::EOPNOTSUPP);
        assert!(failure.message.contains(label.to_str().expect("UTF-8")), "{}", failure.message);
        assert!(memory.bytes() == pattern(memory.length));
    }
}

pub fn what_is_adopted_cannot_be_adopted_again() {
    let memory = Memory::pages(4);
    let fd = memory.adopt_part(page_size()..2 * page_size()).expect("adopted");
    let failure = refused_memory(&memory, libc::EOPNOTSUPP);
    assert!(failure.message.contains("rw-s /memfd:bytefd (deleted)"), "{}", failure.message);
    drop(fd);
    refused_memory(&memory, libc::EOPNOTSUPP);
}

/// Runs in a process of its own, on the first thread.
pub fn the_stack_of_the_first_thread_is_eopnotsupp() {
    let check = |from: &str| {
        let stack = named("[stack]").expect("a stack");
        for page in [page_of(stack.start), page_of(stack.end - 1), stack.clone()] {
            let failure = refused(page);
            assert_eq!(failure.errno, libc::EOPNOTSUPP, "{from}");
            assert!(failure.message.contains("[stack]"), "{}", failure.message);
        }
    };
    check("the first thread");
    std::thread::scope(|scope| scope.spawn(|| check("another thread")).join().expect("refused"));
}

// A host, or its limits
// -------------------------------------------------------------------------------------------------

/// Runs `body` for buffers without and with huge pages. It must be refused and leave no trace.
fn fails(
    body: impl Fn(&dyn Fn() -> Result<OwnedFd, Failure>) -> Result<OwnedFd, Failure>,
) -> Failure {
    let mut failures = [3 * page_size(), (4 << 20) + page_size()].map(|length| {
        let memory = Memory::new(length);
        let before = memory.lines();
        let failure = leaves_nothing(|| body(&|| memory.adopt())).expect_err("refused");
        assert_eq!(memory.lines(), before, "{failure:?}");
        assert!(memory.bytes() == pattern(length));
        memory.store(0, b"x");
        failure
    });
    assert_eq!((failures[0].errno, &failures[0].op), (failures[1].errno, &failures[1].op));
    std::mem::replace(
        &mut failures[0],
        Failure { errno: 0, op: String::new(), message: String::new() },
    )
}

pub fn a_size_above_the_limit_leaves_the_buffer_as_it_was() {
    file_size_signal_kills();
    let limit = 3 * page_size() as u64;
    let failure = fails(|adopt| with_limit(libc::RLIMIT_FSIZE, limit - 1, adopt));
    assert_eq!(failure.errno, libc::EFBIG);
    assert!(failure.message.contains(&limit.to_string()), "{}", failure.message);
    let memory = Memory::new(limit as usize);
    with_limit(libc::RLIMIT_FSIZE, limit, || memory.adopt()).expect("within the limit");
}

pub fn without_descriptors_the_buffer_is_as_it_was() {
    assert_eq!(fails(|adopt| with_free_descriptors(0, adopt)).errno, libc::EMFILE);
    let memory = Memory::pages(3);
    let fd = with_free_descriptors(1, || memory.adopt()).expect("one is enough");
    assert!(content(&fd) == pattern(memory.length));
}

pub fn standard_streams_that_are_closed_are_not_returned() {
    let memory = Memory::pages(3);
    let fd = without_standard_input(|| memory.adopt()).expect("adopted");
    assert!(fd.as_raw_fd() > 2);
    // 0 is free, and there is no other.
    let failure = fails(|adopt| without_standard_input(|| with_free_descriptors(1, adopt)));
    assert_eq!(failure.errno, libc::EMFILE);
}

pub fn where_memfd_is_refused_the_buffer_is_as_it_was() {
    hosts::refuse(libc::SYS_memfd_create, libc::EPERM);
    let failure = fails(|adopt| adopt());
    assert_eq!((failure.errno, failure.op.as_str()), (libc::EPERM, "memfd_create"));
}

pub fn without_proc_the_buffer_is_as_it_was() {
    let memory = Memory::pages(3);
    let proc = hide("/proc", "");
    let failure = leaves_nothing(|| memory.adopt()).expect_err("refused");
    assert_eq!((failure.errno, failure.op.as_str()), (libc::ENOENT, "maps"));
    assert!(failure.message.contains("/proc is not mounted"), "{}", failure.message);
    drop(proc);
    assert!(memory.lines()[0].contains(" rw-p ") && memory.bytes() == pattern(memory.length));
    memory.adopt().expect("adopted");
}

pub fn a_replacement_the_kernel_refuses_leaves_the_buffer_as_it_was() {
    hosts::refuse_flags(libc::SYS_mmap, 3, libc::MAP_FIXED as u64, libc::EAGAIN);
    let failure = fails(|adopt| adopt());
    assert_eq!((failure.errno, failure.op.as_str()), (libc::EAGAIN, "mmap"));
}

pub fn without_a_free_mapping_the_buffer_is_as_it_was() {
    let limit = std::fs::read_to_string("/proc/sys/vm/max_map_count").expect("/proc is mounted");
    let limit: usize = limit.trim().parse().expect("a number");
    if limit > 200_000 {
        return println!("SKIPPED: {limit} mappings are more than a test should make");
    }
    let (page, memory) = (page_size(), Memory::pages(3));
    // Every other page readable: nothing to join.
    let plug = Memory::untouched((limit + 2) * page);
    let is_full = |at: &usize| {
        // SAFETY: a page of the plug.
        unsafe { libc::mprotect(plug.at.add(*at).cast(), page, libc::PROT_NONE) != 0 }
    };
    (0..plug.length).step_by(2 * page).find(is_full).expect("as many mappings as there can be");
    // The part is in the middle, so that there would be two mappings more.
    let adopted = leaves_nothing_but_proc(|| memory.adopt_part(page..2 * page));
    drop(plug);
    let failure = adopted.expect_err("refused");
    assert_eq!((failure.errno, failure.op.as_str()), (libc::ENOMEM, "mmap"), "{failure:?}");
    assert!(memory.lines().len() == 1 && memory.lines()[0].contains(" rw-p "));
    assert!(memory.bytes() == pattern(memory.length));
    memory.adopt_part(page..2 * page).expect("adopted");
}

/// Replaces `leaves_nothing` while no mapping can be made.
fn leaves_nothing_but_proc<R>(body: impl FnOnce() -> R) -> R {
    let before = open_descriptors();
    let result = body();
    assert_eq!(open_descriptors(), before, "descriptors, after and before");
    result
}

/// Tests mseal(2), Linux 6.10. The mapping exists until the process ends.
pub fn memory_that_is_sealed_is_eperm() {
    const SYS_MSEAL: libc::c_long = 462;
    let memory = std::mem::ManuallyDrop::new(Memory::pages(3));
    // SAFETY: the test's own pages.
    if unsafe { libc::syscall(SYS_MSEAL, memory.at, memory.length, 0) } != 0 {
        return println!("SKIPPED: memory that is sealed: {}", std::io::Error::last_os_error());
    }
    let before = memory.lines();
    let failure = leaves_nothing(|| memory.adopt()).expect_err("refused");
    assert_eq!((failure.errno, failure.op.as_str()), (libc::EPERM, "mmap"));
    assert_eq!(memory.lines(), before);
    assert!(memory.bytes() == pattern(memory.length));
}

/// After mlockall(2) a new mapping is locked, and the old one counts until it is gone.
pub fn memory_that_would_have_to_be_locked_is_eagain() {
    // Every process may lock this much on old kernels. It is less than the buffer, and enough for
    // what the allocator takes meanwhile.
    let (limit, memory) = (64 << 10, Memory::pages(64));
    as_nobody(|| {
        with_limit(libc::RLIMIT_MEMLOCK, limit, || {
            // SAFETY: concerns mappings to come.
            if unsafe { libc::mlockall(libc::MCL_FUTURE) } != 0 {
                return println!(
                    "SKIPPED: memory that would have to be locked: {}",
                    std::io::Error::last_os_error()
                );
            }
            let failure = leaves_nothing(|| memory.adopt()).expect_err("refused");
            assert_eq!((failure.errno, failure.op.as_str()), (libc::EAGAIN, "mmap"), "{failure:?}");
            // SAFETY: undoes it.
            assert_eq!(unsafe { libc::munlockall() }, 0);
        });
        assert!(memory.lines()[0].contains(" rw-p ") && memory.bytes() == pattern(memory.length));
        memory
            .adopt()
            .expect("adopted, also by a process that the kernel takes for privileged once");
    });
}
