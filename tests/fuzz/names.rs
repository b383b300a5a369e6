//! Tests names of objects, suffixes of temporary files, and labels of wrapped files. An input is
//! refused as the header says, or it is the name, byte by byte.

use std::ffi::{CStr, CString, OsStr, c_char};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::null_mut;

use super::driver::{Bytes, fuzz};
use crate::faults::conditions::leaves_nothing;
use crate::support::abi::*;
use crate::support::fd::{Failure, content, wrap};
use crate::support::hosts;
use crate::support::named::{shm_open_raw, tempfile_with};

/// The answer to a name: refused with this errno, or accepted.
#[derive(Debug, PartialEq)]
enum Answer {
    Accepted,
    Refused(i32),
}

use Answer::{Accepted, Refused};

/// Returns the header's answer to the name of an object. `prefix` is the length of what the library
/// puts before the name.
fn of_object(name: &[u8], prefix: usize) -> Answer {
    let bare = name.strip_prefix(b"/").unwrap_or(name);
    if bare.is_empty() || bare == b"." || bare == b".." || bare.contains(&b'/') {
        Refused(libc::EINVAL)
    } else if prefix + bare.len() > 255 {
        Refused(libc::ENAMETOOLONG)
    } else {
        Accepted
    }
}

fn of_suffix(suffix: &[u8]) -> Answer {
    match suffix {
        _ if suffix.contains(&b'/') => Refused(libc::EINVAL),
        _ if suffix.len() > 200 => Refused(libc::ENAMETOOLONG),
        _ => Accepted,
    }
}

fn of_label(label: &[u8]) -> Answer {
    let is_none = label.is_empty() || label.len() > 200 || label.contains(&b'/');
    if is_none || label.contains(&b'\n') { Refused(libc::EINVAL) } else { Accepted }
}

/// Checks that the call has done what was expected. A refusal names the argument.
fn agrees<T>(outcome: Result<T, Failure>, expected: &Answer, op: &str) -> Option<T> {
    match outcome {
        Ok(made) => {
            assert_eq!(*expected, Accepted);
            Some(made)
        }
        Err(failure) => {
            assert_eq!(*expected, Refused(failure.errno), "{failure:?}");
            assert_eq!(failure.op, op, "{failure:?}");
            None
        }
    }
}

fn entries() -> Vec<std::ffi::OsString> {
    let entries = std::fs::read_dir("/dev/shm").expect("/dev/shm").flatten();
    entries.map(|entry| entry.file_name()).collect()
}

fn unlink(name: &CStr) -> Result<(), i32> {
    // SAFETY: a string.
    match unsafe { (load().shm_unlink)(name.as_ptr(), null_mut()) } {
        0 => Ok(()),
        status => Err(-status),
    }
}

fn object(name: &CStr, flags: u64) -> &'static str {
    const PREFIX: &[u8] = b"bytefd-owned.";
    let prefix = if flags & SHM_OWNED != 0 { PREFIX } else { b"" };
    let expected = of_object(name.to_bytes(), prefix.len());
    let options = ShmOptions { flags, length: 5, access: WRITE, ..ShmOptions::default() };
    let mut full = [0 as c_char; SHM_NAME_SIZE];
    let before = entries();
    let made = shm_open_raw(name.as_ptr(), &options, full.as_mut_ptr(), full.len());
    // Somebody else's, which stays.
    if made.as_ref().is_err_and(|failure| failure.errno == libc::EEXIST) {
        return "an object that exists";
    }
    let Some(fd) = agrees(made, &expected, "name") else {
        let removed = unlink(name).expect_err("no name");
        assert!(removed == libc::ENOENT || Refused(removed) == of_object(name.to_bytes(), 0));
        return "a name of an object that is refused";
    };
    // SAFETY: a successful call leaves a string.
    let full = unsafe { CStr::from_ptr(full.as_ptr()) };
    let bare = name.to_bytes().strip_prefix(b"/").unwrap_or(name.to_bytes());
    let whole = [prefix, bare].concat();
    assert_eq!(full.to_bytes(), [b"/", &whole[..]].concat());
    let new: Vec<_> = entries().into_iter().filter(|entry| !before.contains(entry)).collect();
    assert!(new.iter().any(|entry| entry.as_bytes() == whole), "{new:?}");
    assert_eq!(content(&fd), [0; 5]);
    unlink(full).expect("unlinked");
    assert!(!Path::new("/dev/shm").join(OsStr::from_bytes(&whole)).exists());
    "a name of an object"
}

fn suffix(suffix: &CStr) -> &'static str {
    let options = TempfileOptions { suffix: suffix.as_ptr(), ..TempfileOptions::default() };
    let expected = of_suffix(suffix.to_bytes());
    let Some(file) = agrees(tempfile_with(b"hello", &options), &expected, "suffix") else {
        return "a suffix that is refused";
    };
    let path = file.path();
    assert!(path.as_os_str().as_bytes().ends_with(suffix.to_bytes()), "{path:?}");
    assert_eq!(std::fs::read(&path).expect("a file"), b"hello");
    assert_eq!(file.close(), 0);
    assert!(!path.exists() && !path.parent().expect("a directory").exists(), "{path:?}");
    "a suffix"
}

fn label(label: &CStr) -> &'static str {
    let options = WrapOptions { name: label.as_ptr(), ..WrapOptions::default() };
    let expected = of_label(label.to_bytes());
    let made: Option<OwnedFd> = agrees(wrap(b"hello", &options), &expected, "name");
    let Some(fd) = made else { return "a label that is refused" };
    if hosts::has_memfd() {
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let link = std::fs::read_link(path).expect("/proc is mounted");
        let wanted = [b"/memfd:", label.to_bytes(), b" (deleted)"].concat();
        assert_eq!(link.as_os_str().as_bytes(), wanted);
    }
    assert_eq!(content(&fd), b"hello");
    "a label"
}

fn check(input: &[u8]) -> &'static str {
    let mut bytes = Bytes(input);
    let kind = bytes.byte();
    let end = bytes.0.iter().position(|byte| *byte == 0).unwrap_or(bytes.0.len());
    let name = CString::new(&bytes.0[..end]).expect("no NUL");
    leaves_nothing(|| match kind % 4 {
        0 => object(&name, SHM_NEW),
        1 => object(&name, SHM_NEW | SHM_OWNED),
        2 => suffix(&name),
        _ => label(&name),
    })
}

pub fn any_name_is_refused_or_is_the_name() {
    if !hosts::has_shm() {
        return println!("SKIPPED: names: nothing can be made in /dev/shm on this host");
    }
    fuzz("names", check);
}
