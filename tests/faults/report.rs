//! Tests bytefd_host_report where it cannot find out everything: the report is complete, or refused
//! with the buffer unchanged.

use std::path::Path;

use super::conditions::*;
use crate::pool::in_fork;
use crate::support::abi::{self, Error, WrapOptions};
use crate::support::fd::{Failure, content, pattern, result, wrap};
use crate::support::map::page_size;

const UNTOUCHED: u8 = b'?';

/// Calls bytefd_host_report with a buffer of `length` bytes.
fn report_into(length: usize) -> Result<String, Failure> {
    let (mut buffer, mut error) = (vec![UNTOUCHED; length], Error::untouched());
    // SAFETY: a writable buffer and a writable error.
    let status =
        unsafe { (abi::load().host_report)(buffer.as_mut_ptr().cast(), length, &mut error) };
    match result(status, &error) {
        Ok(status) => {
            assert_eq!(status, 0, "success is 0");
            let end = buffer.iter().position(|byte| *byte == 0).expect("a final NUL");
            assert!(
                buffer[end + 1..].iter().all(|byte| *byte == UNTOUCHED),
                "nothing is written past the NUL"
            );
            Ok(String::from_utf8(buffer[..end].to_vec()).expect("UTF-8"))
        }
        Err(failure) => {
            assert!(
                buffer.iter().all(|byte| *byte == UNTOUCHED),
                "failure must leave the buffer alone: {failure:?}"
            );
            Err(failure)
        }
    }
}

/// Calls bytefd_host_report with as many bytes as the header says are enough.
fn report() -> Result<String, Failure> {
    report_into(1024)
}

fn assert_is_whole(report: &str) {
    let lines: Vec<&str> = report.split_inclusive('\n').collect();
    assert_eq!(lines.len(), 4, "{report:?}");
    for (line, subject) in lines.iter().zip(["files", "descriptors", "filling", "pools"]) {
        let words = line.strip_prefix(subject).and_then(|rest| rest.strip_prefix(": "));
        assert!(
            words.is_some_and(|words| !words.trim().is_empty() && words.ends_with('\n')),
            "{subject} in {report:?}"
        );
    }
}

/// Returns the mappings of memory files and of other unlinked files.
fn mapped_files() -> Vec<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("/proc is mounted");
    maps.lines()
        .filter(|line| line.contains("memfd:") || line.ends_with("(deleted)"))
        .map(String::from)
        .collect()
}

/// Returns the bytes of address space in use.
fn address_space() -> usize {
    let sizes = std::fs::read_to_string("/proc/self/statm").expect("/proc is mounted");
    sizes.split(' ').next().and_then(|pages| pages.parse::<usize>().ok()).expect("a number")
        * page_size()
}

/// Checks the report of a process under a limit, for the first report of the process and for a
/// later one. `expected` is the only error that may refuse it. The report must be complete once the
/// limit is gone.
fn assert_told_or_refused(expected: Option<i32>, limited: impl Fn(&mut dyn FnMut())) {
    for is_warm in [false, true] {
        in_fork(|| {
            if is_warm {
                assert_is_whole(&report().expect("no limit"));
            }
            let mapped = mapped_files();
            let ask = || {
                let mut outcome = None;
                leaves_nothing(|| limited(&mut || outcome = Some(report())));
                assert_eq!(mapped_files(), mapped);
                match outcome.expect("asked") {
                    Ok(report) => assert_is_whole(&report),
                    Err(failure) => assert_eq!(Some(failure.errno), expected, "{failure:?}"),
                }
            };
            ask();
            let before = address_space();
            (0..5).for_each(|_| ask());
            assert!(
                address_space() < before + (4 << 20),
                "{} bytes, {before} before",
                address_space()
            );
            assert_is_whole(&report().expect("the limit is gone"));
        });
    }
}

pub fn a_report_under_a_file_size_limit_is_whole_and_no_signal() {
    file_size_signal_kills();
    // Nothing fits, not even the few bytes that a pool is tried with; a page; not quite a file that
    // is worth a huge page.
    for limit in [0, 1, 4096, (1 << 20) - 1, 1 << 20] {
        assert_told_or_refused(Some(libc::EFBIG), |ask| with_limit(libc::RLIMIT_FSIZE, limit, ask));
    }
}

pub fn a_report_with_few_descriptors_is_whole_or_emfile() {
    for free in 0..=6 {
        assert_told_or_refused(Some(libc::EMFILE), |ask| with_free_descriptors(free, ask));
    }
    assert_told_or_refused(None, |ask| with_free_descriptors(20, ask));
}

pub fn a_report_without_descriptors_is_emfile() {
    for limited in [
        |ask: &mut dyn FnMut()| with_free_descriptors(0, ask),
        // The only free number is 0, which the library must move away from and cannot.
        |ask: &mut dyn FnMut()| {
            without_standard_input(|| leaves_nothing(|| with_limit(libc::RLIMIT_NOFILE, 3, ask)));
        },
    ] {
        in_fork(|| {
            let mut outcome = None;
            leaves_nothing(|| limited(&mut || outcome = Some(report())));
            let failure = outcome.expect("asked").expect_err("there is nothing to find out with");
            assert_eq!(failure.errno, libc::EMFILE, "{failure:?}");
        });
    }
}

pub fn a_report_that_does_not_fit_is_erange_and_leaves_the_buffer_alone() {
    // A host may refuse by chance. The library believes a refusal, and reports it, only after
    // several attempts.
    for _ in 0..4 {
        report().expect("a report");
    }
    let whole = report().expect("a report");
    assert_is_whole(&whole);
    for length in [0, 1, 8, whole.len() - 1, whole.len()] {
        assert_eq!(
            report_into(length).expect_err("too small").errno,
            libc::ERANGE,
            "{length} bytes"
        );
    }
    assert_is_whole(&report_into(whole.len() + 1).expect("with its NUL it just fits"));
    let mut error = Error::untouched();
    // SAFETY: NULL is to be refused.
    let status = unsafe { (abi::load().host_report)(std::ptr::null_mut(), 1024, &mut error) };
    assert_eq!((status, error.op()), (-libc::EINVAL, "buf"));
}

/// Returns the most memory that this process has had so far, in bytes, proc_pid_status(5).
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

/// Plays pages of 64 KiB, whose huge pages are large. What is tried for the report must not take as
/// much memory as such a page.
pub fn a_report_takes_no_memory_of_the_size_of_a_large_huge_page() {
    const SIZE: &str = "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size";
    if !Path::new(SIZE).exists() {
        skip("no huge pages on this kernel");
    }
    let played = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(played.path(), "536870912\n").expect("written");
    // Mounts of its own.
    let _shm = hide("/dev/shm", "");
    bind(played.path(), Path::new(SIZE));
    let before = peak();
    assert_is_whole(&report().expect("a report"));
    assert!(peak() - before < 16 << 20, "{} bytes", peak() - before);
    // Filling files does not take that much memory either.
    let bytes = pattern(9 << 20);
    let fd = wrap(&bytes, &WrapOptions::default()).expect("wrapped");
    assert!(content(&fd) == bytes);
    unmount(Path::new(SIZE));
}
