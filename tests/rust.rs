//! Tests what Rust programs have beyond the C functions: closures, slices, ranges, errors.

mod command;
mod ranges;
mod writer;

use command::*;
use ranges::*;
use writer::*;

use std::io::{IoSlice, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use bytefd::{Access, Backend, Flush, MapOptions, WrapOptions};

use crate::tests;

tests![
    a_scan_returns_what_its_closure_returns,
    a_panic_in_a_closure_closes_the_descriptor_and_goes_on,
    scans_nest_and_borrow,
    wrapped_files_read_like_any_other,
    segments_make_one_file,
    a_map_gives_its_bytes,
    a_private_map_keeps_its_stores,
    errors_convert_and_keep_their_text,
    handles_cross_threads,
    // ranges
    every_kind_of_range_names_its_bytes,
    copies_end_where_the_map_does,
    sealed_bytes_are_owned_shared_and_become_a_descriptor,
    options_take_every_kind_of_range,
    words_are_shared;
    // Each in a process of its own: a child that another test forks meanwhile has the memory mapped
    // for writing.
    alone:
    // command
    a_passed_descriptor_has_its_number_in_the_child_and_in_no_other,
    passed_descriptors_may_have_any_numbers,
    a_command_that_cannot_start_says_so_whatever_was_passed,
    a_command_that_cannot_start_says_so_whatever_was_closed,
    standard_input_can_be_passed,
    // ranges
    a_sealed_map_is_for_reading_only,
    // writer
    a_writer_writes_what_a_vector_does,
    a_writer_takes_pieces_of_any_size,
    whole_streams_are_copied_into_a_writer,
    spare_room_is_written_in_place,
    counting_more_than_was_spare_panics_and_counts_nothing,
    more_than_there_can_be_is_an_error_and_the_writer_goes_on,
    bytes_that_a_guard_has_replaced_are_not_written,
    a_writer_works_where_so_much_address_space_cannot_be_kept,
    a_writer_past_the_file_size_limit_says_so_and_keeps_what_it_has,
    sealing_beside_forks_neither_fails_nor_loses,
    a_writer_seeks_as_a_cursor_does,
    a_writer_does_what_a_cursor_does_in_any_order,
    a_writer_that_is_not_sealed_comes_back_with_its_content,
];

/// Returns device and inode, which tell whether a number still stands for the same file.
fn identity(fd: i32) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(format!("/proc/self/fd/{fd}")).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

fn a_scan_returns_what_its_closure_returns() {
    let length =
        bytefd::scan(b"hello", |fd| std::fs::read(bytefd::path(fd)).unwrap().len()).unwrap();
    assert_eq!(length, 5);
    let failed: Result<(), &str> = bytefd::scan(b"hello", |_| Err("no")).unwrap();
    assert_eq!(failed, Err("no"));
}

fn a_panic_in_a_closure_closes_the_descriptor_and_goes_on() {
    let mut lent = (0, None);
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        bytefd::scan(b"hello", |fd| {
            lent = (fd.as_raw_fd(), identity(fd.as_raw_fd()));
            std::panic::resume_unwind(Box::new("from the closure"));
        })
    }));
    assert_eq!(*panic.unwrap_err().downcast::<&str>().unwrap(), "from the closure");
    assert!(lent.1.is_some());
    assert_ne!(identity(lent.0), lent.1);
}

fn scans_nest_and_borrow() {
    let mut seen = Vec::new();
    bytefd::scan(b"outer", |outer: BorrowedFd| {
        bytefd::scan(b"inner", |inner| seen.push(std::fs::read(bytefd::path(inner)).unwrap()))
            .unwrap();
        seen.push(std::fs::read(bytefd::path(outer)).unwrap());
    })
    .unwrap();
    assert_eq!(seen, [b"inner", b"outer"]);
}

fn wrapped_files_read_like_any_other() {
    for backend in [Backend::Auto, Backend::Shm, Backend::TmpFile] {
        let fd: OwnedFd = WrapOptions::new().backend(backend).wrap(b"hello").unwrap();
        let other = bytefd::reopen(&fd).unwrap();
        for fd in [fd, other] {
            let mut text = String::new();
            std::fs::File::from(fd).read_to_string(&mut text).unwrap();
            assert_eq!(text, "hello");
        }
    }
}

fn segments_make_one_file() {
    let segments = [IoSlice::new(b"he"), IoSlice::new(b""), IoSlice::new(b"llo")];
    let fd = WrapOptions::new().wrap_vectored(&segments).unwrap();
    assert_eq!(std::fs::read(bytefd::path(&fd)).unwrap(), b"hello");
}

fn a_map_gives_its_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let mut map =
        MapOptions::new().access(Access::Write).create(true).file_size(6000).open(&path).unwrap();
    assert_eq!((map.len(), map.is_empty(), map.access()), (6000, false, Access::Write));
    // SAFETY: only this test uses the file.
    unsafe { map.as_mut_slice() }.unwrap()[5000..5005].copy_from_slice(b"hello");
    map.flush(5000..5005, Flush::Sync).unwrap();
    map.close().unwrap();

    let mut map = MapOptions::new().range(5000..5005).open(&path).unwrap();
    // SAFETY: as above.
    unsafe {
        assert_eq!(map.as_slice(), b"hello");
        assert!(map.as_mut_slice().is_none(), "for reading only");
    }
}

fn a_private_map_keeps_its_stores() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, b"hello").unwrap();
    let mut map = MapOptions::new().access(Access::Private).open(&path).unwrap();
    // SAFETY: only this test uses the file.
    unsafe { map.as_mut_slice() }.unwrap()[0] = b'J';
    assert_eq!(std::fs::read(&path).unwrap(), b"hello");
}

fn errors_convert_and_keep_their_text() {
    let error = MapOptions::new().open("/no/such/file").unwrap_err();
    let text = error.to_string();
    assert_eq!(error.errno(), libc::ENOENT);
    let error = std::io::Error::from(error);
    assert_eq!((error.kind(), error.to_string()), (std::io::ErrorKind::NotFound, text));
    let source = error.get_ref().unwrap().downcast_ref::<bytefd::Error>().unwrap();
    assert_eq!(
        (source.errno(), source.clone().kind()),
        (libc::ENOENT, std::io::ErrorKind::NotFound)
    );
    assert!(!source.message().contains("os error"), "{source}");

    let error = WrapOptions::new().name("a\0b").wrap(b"").unwrap_err();
    assert_eq!((error.errno(), error.op()), (libc::EINVAL, "name"));
}

fn handles_cross_threads() {
    let map = MapOptions::new().open("/proc/self/exe").unwrap();
    let lent = WrapOptions::new().scan_begin(b"hello").unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(!map.is_empty()));
        scope.spawn(|| assert_eq!(std::fs::read(bytefd::path(lent.as_fd())).unwrap(), b"hello"));
    });
    std::thread::spawn(move || (drop(map), drop(lent))).join().unwrap();
}
