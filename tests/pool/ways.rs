//! Tries every way to keep hold of a file between two scans. Each is tried as root, as another user
//! and with a trusted callback, in three sizes, and must be one of three things:
//! - seen: the pool drops the file, and counts it;
//! - harmless: the keeper neither sees nor changes what is scanned later;
//! - named: the header warns of it, in words that the table repeats.
//!
//! Ways that this kernel, or this user, does not have are skipped, with a reason.

mod descriptors;
mod io_uring;
mod mappings;
mod marks;
mod pages;

use std::ffi::{c_int, c_long};

use super::*;
use crate::support::abi::TRUST_CALLBACK;

pub fn descriptions_that_are_kept_are_seen_or_harmless_or_named() {
    try_all(descriptors::WAYS);
}

pub fn mappings_that_are_kept_are_seen_or_harmless_or_named() {
    try_all(mappings::WAYS);
}

pub fn pages_in_flight_are_seen_or_harmless_or_named() {
    try_all(pages::WAYS);
}

pub fn what_io_uring_keeps_is_seen_or_harmless_or_named() {
    try_all(io_uring::WAYS);
}

pub fn marks_that_are_left_are_seen_or_harmless_or_named() {
    try_all(marks::WAYS);
}

const SIZES: [usize; 3] = [100, 64 << 10, 3 << 20];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    Root,
    User,
    /// The callback is trusted. What it keeps must not reach callbacks that are not.
    Trusted,
}

#[derive(Clone, Copy)]
struct Way {
    name: &'static str,
    /// Runs in the callback. The result is dropped after all scans.
    keep: fn(c_int, usize) -> Result<Kept, Skip>,
    rule: Rule,
}

#[derive(Clone, Copy)]
enum Rule {
    Seen,
    Harmless,
    /// The header says these words.
    Named(&'static str),
    /// It depends on the kernel.
    If(fn() -> bool, &'static Rule, &'static Rule),
}

impl Rule {
    fn here(&self) -> Rule {
        match *self {
            Rule::If(condition, yes, no) => if condition() { yes } else { no }.here(),
            rule => rule,
        }
    }
}

/// The reason why a way cannot be tried.
struct Skip(String);

impl From<std::io::Error> for Skip {
    fn from(error: std::io::Error) -> Skip {
        Skip(error.to_string())
    }
}

/// What a callback has kept.
#[derive(Default)]
struct Kept {
    /// Shows what the keeper sees of the file, in a later scan whose descriptor is given.
    look: Option<Box<Look>>,
    /// Changes what the keeper can change.
    meddle: Option<Box<dyn FnMut()>>,
}

type Look = dyn FnMut(c_int) -> Option<Vec<u8>>;

impl Kept {
    fn look(look: impl FnMut(c_int) -> Option<Vec<u8>> + 'static) -> Kept {
        Kept { look: Some(Box::new(look)), meddle: None }
    }

    fn and_meddle(self, meddle: impl FnMut() + 'static) -> Kept {
        Kept { meddle: Some(Box::new(meddle)), ..self }
    }

    /// Keeps a value until the end, which neither shows nor changes anything.
    fn thing<T: 'static>(thing: T) -> Kept {
        Kept::look(move |_| {
            let _ = &thing;
            None
        })
    }
}

fn try_all(ways: &[Way]) {
    if !has_memfd() {
        return;
    }
    let header = header_of_pools();
    for way in ways {
        if let Rule::Named(words) = way.rule.here() {
            assert!(header.contains(words), "{}: bytefd_pool does not say \"{words}\"", way.name);
        }
        for who in [Who::Root, Who::User, Who::Trusted] {
            if who == Who::Root && !is_root() {
                continue;
            }
            for size in SIZES {
                in_fork(|| try_one(way, who, size));
            }
        }
    }
    println!("{} ways, {} sizes, as root {}", ways.len(), SIZES.len(), is_root());
}

/// Returns bytes of which none is the same in another round.
fn filled(round: u8, size: usize) -> Vec<u8> {
    vec![b'a' + round; size]
}

/// Returns the header's text on pools, as one line.
fn header_of_pools() -> String {
    // Guests do not have the repository.
    let header = include_str!("../../include/bytefd.h");
    let end = header.find("typedef struct bytefd_pool bytefd_pool;").expect("the pool");
    let start = header[..end].rfind("/**").expect("its comment");
    let words = header[start..end].split_whitespace().filter(|word| *word != "*");
    words.collect::<Vec<_>>().join(" ")
}

/// Tries a way in a child that may do what it likes.
fn try_one(way: &Way, who: Who, size: usize) {
    if who == Who::User {
        become_user();
    }
    let pool = Pool::new(PLENTY);
    let flags = if who == Who::Trusted { TRUST_CALLBACK } else { 0 };
    for round in 0..2 {
        pool.scan_with(flags, &filled(round, size), |_| {});
    }
    let before = pool.counts();
    let (mut kept, mut file) = (Err(Skip("not called".into())), 0);
    pool.scan_with(flags, &filled(2, size), |fd| {
        file = inode(fd);
        kept = (way.keep)(fd, size);
    });
    let mut kept = match kept {
        Ok(kept) => kept,
        Err(Skip(reason)) => {
            if size == SIZES[0] {
                println!("skipped as {who:?}: {}: {reason}", way.name);
            }
            return;
        }
    };
    let (mut is_reused, mut sees, mut changes) = (false, false, false);
    for round in 3..7 {
        let bytes = filled(round, size);
        pool.scan(&bytes, |fd| {
            check_content(fd, &bytes);
            is_reused |= inode(fd) == file;
            if let Some(seen) = kept.look.as_mut().and_then(|look| look(fd)) {
                let common = seen.len().min(size);
                sees |= common > 0 && seen[..common] == bytes[..common];
            }
            if let Some(meddle) = &mut kept.meddle {
                meddle();
                changes |= content(&duplicate(fd)) != bytes;
            }
        });
    }
    let dropped = pool.counts().dropped - before.dropped;
    drop(kept);
    let found = format!(
        "{} as {who:?}, {size} bytes: lent again {is_reused}, dropped {dropped}, shows later \
         content {sees}, changes it {changes}",
        way.name
    );
    match (who, way.rule.here()) {
        (Who::Trusted, _) => assert!(!is_reused && !sees && !changes, "{found}"),
        (_, Rule::Seen) => assert!(!is_reused && dropped > 0 && !sees && !changes, "{found}"),
        (_, Rule::Harmless) => assert!(!sees && !changes, "{found}"),
        // If the pool sees it, that is even better.
        (_, Rule::Named(_)) => assert!(is_reused || !(sees || changes), "{found}"),
        (_, Rule::If(..)) => unreachable!("decided by `here`"),
    }
}

fn become_user() {
    const NOBODY: u32 = 65_534;
    if is_root() {
        // SAFETY: touches no memory; this process is a child that ends soon.
        unsafe {
            assert_eq!(libc::setgroups(0, null_mut()), 0);
            assert_eq!(libc::setresgid(NOBODY, NOBODY, NOBODY), 0);
            assert_eq!(libc::setresuid(NOBODY, NOBODY, NOBODY), 0);
            // Otherwise /proc/self is root's.
            assert_eq!(libc::prctl(libc::PR_SET_DUMPABLE, 1), 0);
        }
    }
}

fn is_root() -> bool {
    // SAFETY: no preconditions.
    unsafe { libc::geteuid() == 0 }
}

/// Returns the result of a call that answers -1 on failure.
fn checked<T: Copy + PartialEq + From<i8>>(value: T) -> Result<T, Skip> {
    if value == T::from(-1) { Err(std::io::Error::last_os_error().into()) } else { Ok(value) }
}

fn owned(fd: c_long) -> Result<OwnedFd, Skip> {
    use std::os::fd::FromRawFd;
    let fd = checked(fd)?;
    // SAFETY: just returned by the kernel, so it is ours.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as c_int) })
}

/// Opens the file of a number for writing. Only root can without changing the mode, which is
/// restored.
fn open_for_writing(fd: c_int) -> OwnedFd {
    if is_root() {
        return open_again(fd, libc::O_RDWR);
    }
    with_write_permission(fd, || open_again(fd, libc::O_RDWR))
}

fn with_write_permission<T>(fd: c_int, call: impl FnOnce() -> T) -> T {
    let path = std::ffi::CString::new(format!("/proc/self/fd/{fd}")).expect("no NUL");
    // SAFETY: a string. Through the path, because O_PATH descriptors take no fchmod.
    unsafe {
        assert_eq!(libc::chmod(path.as_ptr(), 0o600), 0);
        let result = call();
        assert_eq!(libc::chmod(path.as_ptr(), 0o400), 0);
        result
    }
}

fn write_over(fd: c_int, size: usize) {
    let bytes = vec![b'X'; size];
    // SAFETY: a valid buffer.
    unsafe { libc::pwrite(fd, bytes.as_ptr().cast(), size, 0) };
}

/// Returns the number of the pool's own description of a file on loan.
fn master_of(lent: c_int) -> Result<c_int, Skip> {
    let number = memory_files()
        .into_iter()
        .find(|(fd, file, access)| *file == inode(lent) && *fd != lent && *access == libc::O_RDWR);
    // A trusted callback has it.
    Ok(number.map_or(lent, |(fd, ..)| fd))
}

/// Looks only after several later scans, because this can be read only once.
fn once(look: impl FnOnce() -> Vec<u8> + 'static) -> Kept {
    let (mut look, mut calls) = (Some(look), 0);
    Kept::look(move |_| {
        calls += 1;
        if calls == 3 { look.take().map(|look| look()) } else { None }
    })
}
