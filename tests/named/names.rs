//! Tests names, and what else is refused before anything is made.

use std::ffi::c_char;
use std::ptr::null;

use crate::faults::conditions::leaves_nothing;
use crate::support::abi::*;
use crate::support::hosts::has_shm;
use crate::support::named::*;

fn making() -> ShmOptions {
    ShmOptions { flags: SHM_NEW, access: WRITE, length: 10, ..ShmOptions::default() }
}

pub fn a_name_is_the_same_with_and_without_its_slash() {
    let Some(name) = Name::new("slash") else { return };
    let with_slash = format!("/{}", name.0);
    for (made_as, opened_as) in [(&name.0, &with_slash), (&with_slash, &name.0)] {
        let (_made, whole) = shm_open_named(made_as, &making()).expect("made");
        assert_eq!(whole, with_slash);
        let (_opened, whole) = shm_open_named(opened_as, &ShmOptions::default()).expect("opened");
        assert_eq!(whole, with_slash);
        assert_eq!(shm_open(opened_as, &making()).expect_err("there").errno, libc::EEXIST);
        shm_unlink(opened_as).expect("unlinked");
        assert!(!name.path().exists());
    }
}

/// Calls every function that opens or removes a name. Returns their answers.
fn refusals(name: *const c_char) -> Vec<i32> {
    let ways = [0, SHM_NEW, SHM_CREATE];
    let mut found: Vec<_> = ways
        .map(|flags| {
            let failure =
                shm_open_raw(name, &ShmOptions { flags, ..making() }, std::ptr::null_mut(), 0)
                    .expect_err("refused");
            assert_eq!(failure.op, "name");
            failure.errno
        })
        .into();
    let mut error = Error::untouched();
    // SAFETY: NULL or a string, and a writable error.
    found.push(-unsafe { (load().shm_unlink)(name, &mut error) });
    assert_eq!(error.op(), "name");
    found
}

pub fn names_that_are_no_names_are_refused() {
    let names: [&[u8]; 12] = [
        b"\0",
        b"/\0",
        b".\0",
        b"..\0",
        b"/.\0",
        b"/..\0",
        b"a/b\0",
        b"/a/b\0",
        b"../x\0",
        b"//x\0",
        b"x/\0",
        b"/dev/shm/x\0",
    ];
    leaves_nothing(|| {
        for name in names {
            assert_eq!(
                refusals(name.as_ptr().cast()),
                [libc::EINVAL; 4],
                "{}",
                name.escape_ascii()
            );
        }
        assert_eq!(refusals(null()), [libc::EINVAL; 4]);
        let long = [vec![b'x'; 256], vec![0]].concat();
        assert_eq!(refusals(long.as_ptr().cast()), [libc::ENAMETOOLONG; 4]);
    });
    // A NUL cannot be in C's names.
    let made = bytefd::share::ShmOptions::new().create("a\0b").expect_err("refused");
    let removed = bytefd::share::unlink_shm("a\0b").expect_err("refused");
    assert_eq!((made.errno(), removed.errno()), (libc::EINVAL, libc::EINVAL));
}

pub fn a_name_may_have_255_bytes() {
    for (byte, slash) in [("x", ""), ("x", "/"), ("é", "")] {
        let Some(name) = Name::new("long") else { return };
        let bare = format!("{}{}", name.0, byte.repeat((255 - name.0.len()) / byte.len()));
        let bare = format!("{bare}{}", "x".repeat(255 - bare.len()));
        let (fd, whole) = shm_open_named(&format!("{slash}{bare}"), &making()).expect("made");
        assert_eq!(whole, format!("/{bare}"));
        assert_eq!(whole.len() + 1, SHM_NAME_SIZE);
        drop(fd);
        shm_unlink(&whole).expect("unlinked");
    }
}

pub fn an_owned_name_may_have_255_bytes_too() {
    let Some(short) = Name::new("owned-name") else { return };
    let owned = ShmOptions { flags: SHM_NEW | SHM_OWNED, ..making() };
    let (_fd, whole) = shm_open_named(&short.0, &owned).expect("made");
    shm_unlink(&whole).expect("unlinked");
    let before = whole.len() - "/".len() - short.0.len();
    let longest = "y".repeat(255 - before);
    let (_fd, whole) = shm_open_named(&longest, &owned).expect("made");
    shm_unlink(&whole).expect("unlinked");
    assert!(whole.len() == 256 && whole.ends_with(&longest));
    let failure =
        leaves_nothing(|| shm_open_named(&format!("{longest}y"), &owned).expect_err("too long"));
    assert_eq!((failure.errno, failure.op.as_str()), (libc::ENAMETOOLONG, "name"));
    assert!(failure.message.contains("256"), "{}", failure.message);
}

pub fn arguments_that_mean_nothing_are_refused() {
    let name = Name(unique("arguments"));
    let refused = |options: ShmOptions| {
        let failure = shm_open_named(&name.0, &options).expect_err("refused");
        assert!(!name.path().exists());
        (failure.errno, failure.op)
    };
    let einval = |op: &str| (libc::EINVAL, op.to_string());
    for access in [PRIVATE, 3, u32::MAX] {
        assert_eq!(refused(ShmOptions { access, ..making() }), einval("access"));
    }
    // Unknown flags, flags of other families, and a flag that only makes sense with another.
    for flags in [1, INTERRUPTIBLE, 1 << 23, SYSV_CREATE, SYSV_TRANSIENT, 1 << 31, u64::MAX] {
        assert_eq!(refused(ShmOptions { flags, ..making() }), einval("flags"));
        assert_eq!(refused(ShmOptions { flags: flags | SHM_NEW, ..making() }), einval("flags"));
    }
    assert_eq!(refused(ShmOptions { flags: SHM_EXCLUSIVE, ..making() }), einval("flags"));
    for flags in [0, SHM_NEW, SHM_CREATE] {
        for mode in [0o1000, 0o4600, 0o10600, u32::MAX] {
            assert_eq!(refused(ShmOptions { flags, mode, ..making() }), einval("mode"));
        }
    }
}

pub fn a_name_may_be_any_bytes() {
    for end in [&b"\xff"[..], b"caf\xe9", b"new\nline"] {
        let Some(name) = Name::new("bytes") else { return };
        let bytes = std::ffi::CString::new([name.0.as_bytes(), end].concat()).expect("no NUL");
        let mut full = [0 as c_char; SHM_NAME_SIZE];
        drop(shm_open_raw(bytes.as_ptr(), &making(), full.as_mut_ptr(), full.len()).expect("made"));
        // SAFETY: the call has left a string.
        let full = unsafe { std::ffi::CStr::from_ptr(full.as_ptr()) };
        assert_eq!(full.to_bytes(), [b"/", bytes.to_bytes()].concat());
        // SAFETY: a string.
        assert_eq!(unsafe { (load().shm_unlink)(full.as_ptr(), std::ptr::null_mut()) }, 0);
    }
}

pub fn a_refusal_leaves_no_name_and_no_descriptor() {
    let name = Name(unique("refusal"));
    let text = std::ffi::CString::new(name.0.clone()).expect("no NUL");
    leaves_nothing(|| {
        let mut room = [0x55 as c_char; SHM_NAME_SIZE];
        for size in [0, 1, SHM_NAME_SIZE - 1] {
            let failure = shm_open_raw(text.as_ptr(), &making(), room.as_mut_ptr(), size)
                .expect_err("no room");
            assert_eq!((failure.errno, failure.op.as_str()), (libc::ERANGE, "full_name"));
            assert_eq!(room, [0x55; SHM_NAME_SIZE]);
        }
        let reading = ShmOptions::default();
        for options in [null(), &raw const reading] {
            // SAFETY: as the header allows, NULL or options.
            let status = unsafe {
                (load().shm_open)(
                    text.as_ptr(),
                    options,
                    std::ptr::null_mut(),
                    0,
                    std::ptr::null_mut(),
                )
            };
            assert_eq!(status, -libc::ENOENT);
        }
        let errno = shm_unlink(&name.0).expect_err("none").errno;
        assert!(errno == libc::ENOENT || errno == libc::EROFS && !has_shm(), "errno {errno}");
    });
}
