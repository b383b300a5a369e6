//! bytefd_map_read and bytefd_map_write where pages are lost.

use std::ffi::c_int;
use std::ptr::null_mut;

use proptest::prelude::*;

use super::memory::*;
use crate::faults::conditions::*;
use crate::support::abi::*;
use crate::support::fd::pattern;
use crate::support::map::{Map, map, map_with, page_size};
use crate::support::{hosts, random};

const PAGES: usize = 4;

fn config() -> ProptestConfig {
    random(300)
}

/// Around page boundaries and anywhere.
fn places() -> impl Strategy<Value = usize> {
    let page = page_size();
    prop_oneof![
        (0..=PAGES, 0..3usize)
            .prop_map(move |(pages, more)| (pages * page + more).saturating_sub(1)),
        0..PAGES * page
    ]
    .prop_map(move |at| at.min(PAGES * page))
}

/// How many of these bytes exist in a file that seems to have `end` bytes. `None` if not even the
/// first.
fn existing(offset: usize, length: usize, end: usize) -> Option<usize> {
    Some(end.saturating_sub(offset).min(length)).filter(|count| *count > 0 || length == 0)
}

/// Copies any bytes of maps of a file of any length, and looks at what was copied.
fn copies_end_where_pages_are_lost(flags: u64) {
    let all = PAGES * page_size();
    let file = file(0);
    proptest!(config(), |(
        size in places(),
        from in places(),
        to in places(),
        access in prop::sample::select(vec![READ, WRITE, PRIVATE]),
    )| {
        let (offset, length) = (from.min(to), from.abs_diff(to));
        let original = pattern(all);
        std::fs::write(&file, &original).expect("written");
        let map = map_with(&file, access, flags).expect("mapped");
        file.as_file().set_len(size as u64).expect("cut");
        let mut model = original[..size].to_vec();
        model.resize(all, 0);

        let mut buffer = vec![0xaa; length + 2];
        let outcome = map.read(offset, &mut buffer[1..=length]).map_err(|failure| failure.errno);
        // A guarded map asks the file how long it is.
        let size_seen = if flags & GUARD != 0 { size } else { size.next_multiple_of(page_size()) };
        let expected = existing(offset, length, size_seen).ok_or(libc::EIO);
        prop_assert_eq!(outcome, expected);
        let count = expected.unwrap_or(0);
        prop_assert!(buffer[1..=count] == model[offset..offset + count]);
        prop_assert!(buffer[0] == 0xaa && buffer[count + 1..].iter().all(|byte| *byte == 0xaa));

        let news: Vec<u8> = original[..length].iter().map(|byte| !byte).collect();
        let outcome = map.write(offset, &news).map_err(|failure| failure.errno);
        if access == READ {
            prop_assert_eq!(outcome, Err(libc::EACCES));
        } else {
            prop_assert_eq!(outcome, expected);
            model[offset..offset + count].copy_from_slice(&news[..count]);
        }
        let end = size.next_multiple_of(page_size());
        prop_assert!(map.part(0, end) == model[..end]);
        prop_assert!(!is_lost(&map), "a copy replaces nothing");
        if end < all {
            prop_assert_eq!(map.prefetch(0, TO_END).expect_err("lost").errno, libc::EIO);
            prop_assert!(!is_lost(&map));
        }
    });
}

/// What is copied into a guarded map may be lost itself.
pub fn the_source_of_a_guarded_copy_may_be_lost() {
    let page = page_size();
    let own = file(1);
    for (flags, is_replaced) in [(0, false), (GUARD, false), (GUARD, true)] {
        let (whole, other) = (map_with(&own, WRITE, GUARD).expect("mapped"), file(2));
        let lost = map_with(&other, WRITE, flags).expect("mapped");
        let half = page / 2;
        other.as_file().set_len(page as u64).expect("cut");
        if is_replaced {
            // SAFETY: within the map, and guarded.
            assert_eq!(unsafe { lost.data().add(page).read_volatile() }, 0);
        }
        // SAFETY: within the map; only the library looks at what is lost.
        let bytes = unsafe { std::slice::from_raw_parts(lost.data().add(half), page) };
        assert_eq!(
            whole.write(0, bytes).expect_err("lost").errno,
            libc::EFAULT,
            "{flags:#x}, replaced {is_replaced}"
        );
        assert_eq!(whole.write(0, &bytes[..half]).expect("there"), half);
        assert!(!is_lost(&whole));
    }
}

pub fn a_guarded_copy_ends_where_pages_are_lost() {
    copies_end_where_pages_are_lost(GUARD);
}

pub fn a_copy_by_the_kernel_ends_where_pages_are_lost() {
    copies_end_where_pages_are_lost(0);
}

pub fn a_copy_through_a_pipe_ends_where_pages_are_lost() {
    hosts::refuse(libc::SYS_process_vm_readv, libc::EPERM);
    copies_end_where_pages_are_lost(0);
    copies_end_where_pages_are_lost(GUARD);
}

/// They are not the file's, whoever touched them, and stay so when the file is as long again.
pub fn pages_that_were_replaced_are_not_copied() {
    let page = page_size();
    let file = file(4);
    let map = guarded(&file, WRITE);
    cut(&file, page);
    put(&map, 2 * page, 5);
    for length in [page, 4 * page] {
        cut(&file, length);
        let there = if length == page { 1 } else { 2 };
        let mut bytes = vec![1; 4 * page];
        assert_eq!(map.read(1, &mut bytes[1..]).expect("what is there"), there * page - 1);
        assert_eq!(map.write(0, &vec![7; 4 * page]).expect("what is there"), there * page);
        for at in [2 * page, 3 * page - 1] {
            assert_eq!(map.read(at, &mut bytes[..1]).expect_err("replaced").errno, libc::EIO);
            assert_eq!(map.write(at, &bytes[..1]).expect_err("replaced").errno, libc::EIO);
        }
        let last = map.read(3 * page, &mut bytes[..page]);
        assert_eq!(
            last.map_err(|failure| failure.errno),
            if there == 1 { Err(libc::EIO) } else { Ok(page) }
        );
    }
    assert_eq!([byte(&map, 0), byte(&map, 2 * page)], [7, 5]);
}

/// The buffer is memory like any other: where it is guarded, it is survived.
pub fn a_buffer_that_is_lost_is_replaced_if_it_is_guarded() {
    let page = page_size();
    let (file, other) = (file(2), file(2));
    let (map, buffer) = (guarded(&file, WRITE), guarded(&other, WRITE));
    cut(&other, 0);
    // SAFETY: a map of two pages that nobody else uses.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer.data(), 2 * page) };
    if cfg!(target_arch = "x86_64") {
        assert_eq!(map.read(0, bytes).expect("read"), 2 * page);
        assert!(bytes == pattern(2 * page));
        assert_eq!((is_lost(&buffer), is_lost(&map)), (true, false));
    } else {
        assert_eq!(map.read(0, bytes).expect_err("the kernel copies").errno, libc::EFAULT);
    }
}

/// What a call with this buffer and a length of ten bytes does in a child: its errno, or the
/// signal.
fn with_buffer(map: &Map, buffer: *mut u8, is_write: bool) -> End {
    in_child(|| {
        // SAFETY: what is at the buffer is what this finds out, in the child only.
        let buffer = unsafe { std::slice::from_raw_parts_mut(buffer, 10) };
        let outcome = if is_write { map.write(5, buffer) } else { map.read(5, buffer) };
        outcome.map_or_else(|failure| failure.errno, |_| 0)
    })
}

pub fn a_bad_buffer_is_efault_or_a_signal_if_the_map_is_guarded() {
    let page = page_size();
    let (file, other) = (file(1), file(1));
    let (plain, guarded) = (map_with(&file, WRITE, 0).expect("mapped"), guarded(&file, WRITE));
    let buffer = map_with(&other, WRITE, 0).expect("mapped");
    let signal = |signal| {
        if cfg!(target_arch = "x86_64") { End::Killed(signal) } else { End::Exited(libc::EFAULT) }
    };
    for protection in [libc::PROT_NONE, libc::PROT_READ] {
        buffer.protect(0, page, protection).expect("protected");
        assert_eq!(with_buffer(&plain, buffer.data(), false), End::Exited(libc::EFAULT));
        assert_eq!(with_buffer(&guarded, buffer.data(), false), signal(libc::SIGSEGV));
    }
    assert_eq!(with_buffer(&plain, buffer.data(), true), End::Exited(0));
    buffer.protect(0, page, libc::PROT_NONE).expect("protected");
    assert_eq!(with_buffer(&plain, buffer.data(), true), End::Exited(libc::EFAULT));
    assert_eq!(with_buffer(&guarded, buffer.data(), true), signal(libc::SIGSEGV));

    let stranger = Stranger::anywhere();
    for is_write in [false, true] {
        assert_eq!(with_buffer(&plain, stranger.address(), is_write), End::Exited(libc::EFAULT));
    }
    assert_eq!(with_buffer(&guarded, stranger.address(), false), signal(libc::SIGBUS));
    // Its page is lost.
    assert_eq!(with_buffer(&guarded, stranger.address(), true), End::Exited(libc::EFAULT));
    assert!(!is_lost(&guarded));
}

pub fn a_copy_from_or_into_a_protected_page_is_no_signal() {
    let page = page_size();
    for flags in [0, GUARD] {
        let file = file(3);
        let options = MapOptions { access: WRITE, flags, ..MapOptions::default() };
        let map = map(&file, &options).expect("mapped");
        let mut bytes = vec![0; 3 * page];
        map.protect(page, page, libc::PROT_READ).expect("protected");
        assert_eq!(map.read(0, &mut bytes).expect("read"), 3 * page);
        assert_eq!(map.write(0, &bytes).expect("up to the page"), page);
        assert_eq!(map.write(page, &bytes[..10]).expect_err("protected").errno, libc::EIO);
        map.protect(page, page, libc::PROT_NONE).expect("protected");
        assert_eq!(map.read(0, &mut bytes).expect("up to the page"), page);
        assert_eq!(map.read(page, &mut bytes[..10]).expect_err("protected").errno, libc::EIO);
        assert!(map.read(2 * page, &mut bytes[..page]).is_ok() && !is_lost(&map));
    }
}

/// Copies at the end of maps, guarded or not, where what is done after they were made would let a
/// lost page kill the process.
fn copies_are_no_signal_after(done: fn()) {
    let page = page_size();
    let end = in_child(|| {
        for flags in [0, GUARD] {
            let file = file(40);
            let map = map_with(&file, WRITE, flags).expect("mapped");
            done();
            file.as_file().set_len(page as u64).expect("cut");
            let mut bytes = vec![0; 40 * page];
            assert_eq!(map.read(0, &mut bytes).expect("a page"), page);
            assert!(bytes[..page] == pattern(page));
            assert_eq!(map.write(1, &bytes[1..]).expect("the rest of it"), page - 1);
            assert_eq!(map.read(page, &mut bytes[..10]).expect_err("lost").errno, libc::EIO);
            assert_eq!(map.write(page, &bytes[..10]).expect_err("lost").errno, libc::EIO);
            assert!(!is_lost(&map));
        }
        0
    });
    assert_eq!(end, End::Exited(0));
}

pub fn a_copy_by_a_thread_that_blocks_the_signal_is_no_signal() {
    copies_are_no_signal_after(|| {
        // SAFETY: all-zero is a valid set, which is filled.
        unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            assert_eq!(libc::sigfillset(&mut all), 0);
            assert_eq!(libc::pthread_sigmask(libc::SIG_BLOCK, &all, null_mut()), 0);
        }
    });
}

pub fn a_copy_after_the_program_has_put_another_handler_in_place_is_no_signal() {
    extern "C" fn exit(_: c_int) {
        // SAFETY: may be called in a handler.
        unsafe { libc::_exit(42) };
    }
    copies_are_no_signal_after(|| {
        // SAFETY: no handler at all.
        unsafe { libc::signal(libc::SIGBUS, libc::SIG_DFL) };
    });
    copies_are_no_signal_after(|| {
        // SAFETY: it does only what handlers may.
        unsafe { libc::signal(libc::SIGBUS, exit as *const () as usize) };
    });
}

pub fn a_missing_part_is_refused_and_the_rest_is_copied() {
    let page = page_size();
    let file = file(3);
    let mut map = guarded(&file, WRITE);
    map.unmap(page, page).expect("unmapped");
    let mut bytes = vec![0; 2 * page];
    assert_eq!(map.read(0, &mut bytes).expect_err("a hole").errno, libc::EINVAL);
    assert_eq!(map.write(2 * page - 1, &bytes[..2]).expect_err("a hole").errno, libc::EINVAL);
    assert_eq!(map.read(2 * page, &mut bytes[..page]).expect("read"), page);
    assert!(bytes[..page] == pattern(3 * page)[2 * page..]);
}
