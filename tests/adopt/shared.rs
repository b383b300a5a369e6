//! Tests adopted buffers: buffer and descriptor show the same memory.

use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::{Command, Stdio};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use super::memory::*;
use crate::faults::conditions::{End, leaves_nothing, read_in_child, store_in_child};
use crate::support::abi::{MapOptions, WRITE};
use crate::support::fd::*;
use crate::support::hosts;
use crate::support::map::{map, page_size, region_at};

const HUGE: usize = 2 << 20;

/// Asserts that each side shows what the other stores, at these places.
fn assert_same(memory: &Memory, fd: &OwnedFd, offset: usize, places: &[usize]) {
    for at in places {
        let new = memory.byte(offset + at).wrapping_add(1);
        memory.store(offset + at, &[new]);
        let mut seen = [0];
        file(fd).read_exact_at(&mut seen, *at as u64).expect("read");
        assert_eq!(seen, [new], "a store at {at} is in the file");
        file(fd).write_all_at(&[new.wrapping_add(1)], *at as u64).expect("written");
        assert_eq!(
            memory.byte(offset + at),
            new.wrapping_add(1),
            "a write at {at} is in the buffer"
        );
    }
}

/// Returns the first byte, the last, and those around pages.
fn places(length: usize) -> Vec<usize> {
    let page = page_size();
    let mut places = vec![0, 1, page - 1, page, length / 2, length - page, length - 1];
    places.retain(|place| *place < length);
    places
}

pub fn buffer_and_descriptor_are_the_same_memory() {
    let page = page_size();
    for length in [page, 2 * page, HUGE - page, HUGE, HUGE + page, 5 * HUGE + 3 * page, 32 * HUGE] {
        let bytes = pattern(length);
        let memory = Memory::untouched(length);
        memory.store(0, &bytes);
        let fd = memory.adopt().expect("adopted");
        let stat = metadata(&fd);
        assert!(stat.is_file() && fd.as_raw_fd() > 2);
        assert_eq!(
            (stat.len(), stat.nlink(), mode(&fd), offset(&fd)),
            (length as u64, 0, 0o600, 0)
        );
        assert_eq!(access_mode(&fd), libc::O_RDWR);
        assert!(is_close_on_exec(&fd));
        assert_eq!(seals(&fd), if hosts::can_forbid_execution() { 0x20 } else { 0 });
        let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).expect("a link");
        assert_eq!(link.to_str(), Some("/memfd:bytefd (deleted)"));

        assert!(memory.bytes() == bytes && content(&fd) == bytes, "{length} bytes");
        let lines = memory.lines();
        assert!(lines.len() == 1 && lines[0].contains(" rw-s 00000000 "), "{lines:?}");
        assert_eq!(addresses(&lines[0]), memory.address()..memory.address() + length);
        assert_same(&memory, &fd, 0, &places(length));
        let all = vec![0x5a; length];
        memory.store(0, &all);
        assert!(content(&fd) == all);
    }
}

/// Otherwise each store would be a page fault, and SIGBUS when no memory is left.
pub fn every_page_is_there() {
    for length in [page_size(), 8 * HUGE + page_size()] {
        for memory in [Memory::new(length), Memory::untouched(length)] {
            let fd = memory.adopt().expect("adopted");
            assert!(metadata(&fd).blocks() * 512 >= length as u64);
            assert_eq!(region_at(memory.address()).bytes("Rss"), length);
        }
    }
}

pub fn memory_that_was_never_touched_is_zeros() {
    let memory = Memory::untouched(3 * page_size());
    memory.store(page_size(), b"x");
    let fd = memory.adopt().expect("adopted");
    let mut expected = vec![0; memory.length];
    expected[page_size()] = b'x';
    assert_eq!(content(&fd), expected);
    assert_eq!(memory.bytes(), expected);
    assert_same(&memory, &fd, 0, &places(memory.length));
}

pub fn any_part_of_a_mapping_can_be_adopted() {
    let page = page_size();
    for part in [0..page, page..2 * page, 3 * page..7 * page, 7 * page..8 * page, 0..7 * page] {
        let memory = Memory::pages(8);
        let fd = memory.adopt_part(part.clone()).expect("adopted");
        assert!(content(&fd) == pattern(memory.length)[part.clone()]);
        assert!(memory.bytes() == pattern(memory.length));
        assert_same(&memory, &fd, part.start, &places(part.len()));
        for line in memory.lines() {
            let inside = addresses(&line).start >= memory.address() + part.start
                && addresses(&line).end <= memory.address() + part.end;
            assert!(line.contains(if inside { " rw-s " } else { " rw-p " }), "{line}");
        }
        let rest = content(&fd);
        (0..memory.length).filter(|at| !part.contains(at)).for_each(|at| memory.store(at, b"."));
        assert!(content(&fd) == rest, "the rest is not in the file");
    }
}

pub fn several_mappings_become_one_file() {
    let page = page_size();
    let memory = Memory::pages(12);
    // A setting of their own keeps the kernel from joining them.
    for (start, advice) in
        [(2, libc::MADV_DONTDUMP), (5, libc::MADV_DONTFORK), (9, libc::MADV_DONTDUMP)]
    {
        assert_eq!(
            // SAFETY: three pages of this test.
            unsafe { libc::madvise(memory.at.add(start * page).cast(), 2 * page, advice) },
            0
        );
    }
    assert_eq!(memory.lines().len(), 7);
    let fd = memory.adopt_part(page..11 * page).expect("adopted");
    assert!(content(&fd) == pattern(memory.length)[page..11 * page]);
    assert!(memory.bytes() == pattern(memory.length));
    assert_eq!(memory.lines().len(), 3, "{:?}", memory.lines());
    assert_same(&memory, &fd, page, &places(10 * page));
}

pub fn a_name_of_the_callers_own_is_no_obstacle() {
    let memory = Memory::pages(2);
    if !name(&memory, c"frames") {
        return println!("SKIPPED: this kernel gives memory no names");
    }
    assert!(memory.lines()[0].ends_with("[anon:frames]"));
    let fd = memory.adopt().expect("adopted");
    assert_same(&memory, &fd, 0, &places(memory.length));
}

/// Names a mapping by PR_SET_VMA_ANON_NAME, Linux 5.17. Returns whether the kernel has it.
pub fn name(memory: &Memory, name: &std::ffi::CStr) -> bool {
    const PR_SET_VMA: libc::c_int = 0x5356_4d41;
    // SAFETY: the test's own pages and a string.
    unsafe { libc::prctl(PR_SET_VMA, 0, memory.at, memory.length, name.as_ptr()) == 0 }
}

pub fn buffer_and_descriptor_live_on_without_each_other() {
    let memory = Memory::pages(3);
    drop(memory.adopt().expect("adopted"));
    memory.store(5, b"J");
    assert_eq!((memory.byte(5), memory.byte(6)), (b'J', pattern(7)[6]));

    let memory = Memory::pages(3);
    let fd = memory.adopt().expect("adopted");
    memory.store(5, b"J");
    drop(memory);
    let mut expected = pattern(3 * page_size());
    expected[5] = b'J';
    assert!(content(&fd) == expected);
}

pub fn another_map_of_the_file_is_the_buffer_too() {
    let memory = Memory::pages(3);
    let fd = memory.adopt().expect("adopted");
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let other = map(path, &MapOptions { access: WRITE, ..MapOptions::default() }).expect("mapped");
    assert!(other.bytes() == memory.bytes());
    memory.store(4095, b"J");
    assert_eq!(other.part(4095, 1), b"J");
    other.store(4096, b"K");
    assert_eq!(memory.byte(4096), b'K');
}

pub fn another_process_that_has_the_descriptor_sees_and_changes_the_buffer() {
    let memory = Memory::untouched(page_size());
    memory.store(0, b"hello");
    let fd = memory.adopt().expect("adopted");
    memory.store(0, b"J");
    let mut other = Command::new("/bin/sh");
    // Opened again by its path: the shell has it as its standard input only.
    other
        .args(["-c", "/bin/cat; printf KELLO 1<>/proc/self/fd/0"])
        .stdin(file(&fd))
        .stdout(Stdio::piped());
    let mut other = other.spawn().expect("a shell");
    let mut seen = Vec::new();
    other.stdout.take().expect("a pipe").read_to_end(&mut seen).expect("read");
    assert!(other.wait().expect("ended").success());
    assert!(seen.len() == page_size() && seen.starts_with(b"Jello\0"));
    assert!(memory.bytes().starts_with(b"KELLO\0"));
}

pub fn seals_say_who_may_change_it() {
    const F_SEAL_FUTURE_WRITE: libc::c_int = 0x10;
    let memory = Memory::pages(2);
    let fd = memory.adopt().expect("adopted");
    // SAFETY: touches no memory.
    let seal =
        |seals: libc::c_int| unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, seals) };
    assert_eq!(seal(libc::F_SEAL_SHRINK | libc::F_SEAL_GROW), 0);
    for length in [0, memory.length as u64 + 1] {
        let refusal = file(&fd).set_len(length).expect_err("sealed");
        assert_eq!(refusal.raw_os_error(), Some(libc::EPERM));
    }
    assert_same(&memory, &fd, 0, &places(memory.length));

    assert_eq!(seal(libc::F_SEAL_WRITE), -1);
    assert_eq!(
        std::io::Error::last_os_error().raw_os_error(),
        Some(libc::EBUSY),
        "the buffer is a writable map"
    );
    assert_eq!(seal(F_SEAL_FUTURE_WRITE), 0);
    assert!(file(&fd).write_all_at(b"x", 0).is_err());
    memory.store(0, b"J");
    assert_eq!(content(&fd)[0], b'J', "the buffer is the one way left");

    drop(memory);
    assert_eq!(seal(libc::F_SEAL_WRITE | libc::F_SEAL_SEAL), 0);
    assert_eq!(content(&fd)[0], b'J');
}

pub fn a_file_made_shorter_makes_the_buffer_a_sigbus() {
    let memory = Memory::pages(2);
    let fd = memory.adopt().expect("adopted");
    file(&fd).set_len(page_size() as u64).expect("shorter");
    assert_eq!(read_in_child(memory.at), End::Exited(pattern(1)[0].into()));
    assert_eq!(read_in_child(memory.at.wrapping_add(page_size())), End::Killed(libc::SIGBUS));
}

pub fn children_share_from_then_on_and_had_a_copy_before() {
    let memory = Memory::pages(2);
    let (mut ready, done) = std::io::pipe().expect("a pipe");
    // SAFETY: the child reads, which allocates nothing, and ends.
    let earlier = match unsafe { libc::fork() } {
        0 => {
            drop(done);
            let _ = ready.read(&mut [0]);
            // SAFETY: async-signal-safe.
            unsafe { libc::_exit(memory.byte(0).into()) }
        }
        child => child,
    };
    assert!(earlier > 0, "{}", std::io::Error::last_os_error());

    // The new mapping does not keep this advice.
    for advice in [libc::MADV_DONTFORK, libc::MADV_WIPEONFORK] {
        // SAFETY: the test's own pages.
        assert_eq!(unsafe { libc::madvise(memory.at.cast(), memory.length, advice) }, 0);
    }
    let fd = memory.adopt().expect("adopted");
    memory.store(0, b"J");
    drop(done);
    let mut status = 0;
    // SAFETY: our own child; `status` is writable.
    assert_eq!(unsafe { libc::waitpid(earlier, &mut status, 0) }, earlier);
    assert!(
        libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == i32::from(pattern(1)[0]),
        "its own copy"
    );

    assert_eq!(read_in_child(memory.at), End::Exited(b'J'.into()));
    assert_eq!(store_in_child(memory.at, b'K'), End::Exited(0));
    assert_eq!((memory.byte(0), content(&fd)[0]), (b'K', b'K'));
}

pub fn threads_adopt_at_the_same_time() {
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                for round in 1..50 {
                    let memory = Memory::pages(1 + (thread + round) % 7);
                    let fd = memory.adopt().expect("adopted");
                    assert!(content(&fd) == pattern(memory.length));
                    assert_same(&memory, &fd, 0, &places(memory.length));
                }
            });
        }
    });
}

pub fn rust_gets_the_same() {
    let memory = Memory::pages(3);
    let address = NonNull::new(memory.at).expect("mapped");
    // SAFETY: the test's own pages, which nobody else uses.
    let fd = unsafe { bytefd::adopt(address, memory.length) }.expect("adopted");
    assert_same(&memory, &fd, 0, &places(memory.length));
    // SAFETY: as above; it is refused.
    let error = unsafe { bytefd::adopt(address, memory.length) }.expect_err("a file by now");
    assert_eq!((error.errno(), error.op()), (libc::EOPNOTSUPP, "range"));
}

/// Runs in a process of its own, because a reader that notices is killed.
pub fn readers_never_notice() {
    const ROUNDS: usize = 20;
    let length = HUGE + page_size();
    let expected = pattern(length);
    let mut meanwhile = 0;
    leaves_nothing(|| {
        for _ in 0..ROUNDS {
            let memory = Memory::new(length);
            let (done, ready, reads) =
                (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
            std::thread::scope(|scope| {
                for reader in 0..3 {
                    let (memory, expected, done, ready, reads) =
                        (&memory, &expected, &done, &ready, &reads);
                    scope.spawn(move || {
                        ready.fetch_add(1, SeqCst);
                        // Each at a pace of its own: through all bytes, or a byte of each page.
                        let step = [1, 4096, 509][reader];
                        while !done.load(SeqCst) {
                            for at in (0..length).step_by(step) {
                                assert_eq!(memory.byte(at), expected[at], "at {at}");
                                if at % 4096 == 0 && done.load(SeqCst) {
                                    break;
                                }
                            }
                            reads.fetch_add(1, SeqCst);
                        }
                    });
                }
                while ready.load(SeqCst) < 3 || reads.load(SeqCst) < 3 {
                    std::hint::spin_loop();
                }
                let before = reads.load(SeqCst);
                let fd = memory.adopt();
                meanwhile += reads.load(SeqCst) - before;
                let after = reads.load(SeqCst);
                while reads.load(SeqCst) < after + 3 && fd.is_ok() {
                    std::hint::spin_loop();
                }
                done.store(true, SeqCst);
                fd.expect("adopted");
            });
        }
    });
    assert!(meanwhile > 0, "nobody read while a buffer was replaced");
}
