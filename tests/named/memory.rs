//! Tests named memory: it is made whole, opened as it is, and the same as that of the C library.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};

use crate::faults::conditions::*;
use crate::support::abi::*;
use crate::support::fd::{self, Failure};
use crate::support::hosts::{refuse, refuse_flags};
use crate::support::map;
use crate::support::named::*;

fn making(length: u64) -> ShmOptions {
    ShmOptions { flags: SHM_NEW, access: WRITE, length, ..ShmOptions::default() }
}

const READING: ShmOptions =
    ShmOptions { size: size_of::<ShmOptions>(), length: 0, flags: 0, access: READ, mode: 0 };

/// Calls shm_open(3).
fn c_open(name: &str, flags: i32) -> Result<OwnedFd, i32> {
    let name = CString::new(name).expect("no NUL");
    // SAFETY: a string; the descriptor is ours.
    unsafe {
        match libc::shm_open(name.as_ptr(), flags, 0o600) {
            -1 => Err(std::io::Error::last_os_error().raw_os_error().expect("an errno")),
            fd => Ok(OwnedFd::from_raw_fd(fd)),
        }
    }
}

pub fn memory_is_made_whole_or_opened_as_it_is() {
    let Some(name) = Name::new("whole") else { return };
    for length in [0, 1, 4096, 100_000] {
        let made = shm_open(&name.0, &making(length)).expect("made");
        assert_eq!(fd::content(&made), vec![0; length as usize]);
        let allocated = fd::metadata(&made).blocks() * 512;
        assert!(allocated >= length, "{allocated} bytes of {length} are reserved");
        fd::file(&made).write_all_at(b"x", 0).expect("written");
        for (asked, flags) in [(0, 0), (length, 0), (length, SHM_CREATE), (0, SHM_CREATE)] {
            for access in [READ, WRITE] {
                let options = ShmOptions { length: asked, flags, access, mode: 0o777, ..READING };
                let opened = shm_open(&name.0, &options).expect("opened");
                assert_eq!(
                    (fd::mode(&opened), fd::metadata(&opened).len()),
                    (0o600, length.max(1))
                );
                assert_eq!(fd::content(&opened)[0], b'x');
                assert_eq!(fd::metadata(&opened).ino(), fd::metadata(&made).ino());
            }
        }
        shm_unlink(&name.0).expect("unlinked");
    }
}

pub fn a_descriptor_is_for_what_was_asked() {
    let Some(name) = Name::new("access") else { return };
    for (access, mode) in [(READ, libc::O_RDONLY), (WRITE, libc::O_RDWR)] {
        for flags in [SHM_NEW, 0, SHM_CREATE] {
            let fd =
                shm_open(&name.0, &ShmOptions { flags, access, ..making(10) }).expect("opened");
            assert_eq!((fd::access_mode(&fd), fd::offset(&fd)), (mode, 0));
            assert!(fd::is_close_on_exec(&fd) && fd.as_raw_fd() > 2);
            let mapped =
                map::map_fd(fd.as_raw_fd(), &MapOptions { access, ..MapOptions::default() });
            assert_eq!(mapped.expect("mapped").bytes(), [0; 10]);
        }
        shm_unlink(&name.0).expect("unlinked");
    }
}

pub fn memory_shorter_than_asked_is_enxio_with_both_numbers() {
    let Some(name) = Name::new("short") else { return };
    let _made = shm_open(&name.0, &making(4711)).expect("made");
    for flags in [0, SHM_CREATE] {
        let options = ShmOptions { flags, length: 4712, ..READING };
        let failure = leaves_nothing(|| shm_open(&name.0, &options).expect_err("too short"));
        assert_eq!((failure.errno, failure.op.as_str()), (libc::ENXIO, "length"));
        assert!(
            failure.message.contains("4711") && failure.message.contains("4712"),
            "{}",
            failure.message
        );
    }
    assert_eq!(name.path().metadata().expect("still there").len(), 4711);
}

/// The FIFO has a writer that waits. Otherwise the error would be ENXIO for the socket, and EISDIR
/// for opening the directory for writing.
pub fn what_is_no_memory_is_left_alone_and_named() {
    let Some(name) = Name::new("thing") else { return };
    let path = CString::new(name.path().to_str().expect("UTF-8")).expect("no NUL");
    let refusals = |errno: i32, kind: &str| {
        for flags in [0, SHM_NEW, SHM_CREATE] {
            for access in [READ, WRITE] {
                let failure =
                    shm_open(&name.0, &ShmOptions { flags, access, ..READING }).expect_err(kind);
                if flags == SHM_NEW {
                    assert_eq!(failure.errno, libc::EEXIST, "{kind}");
                } else {
                    assert_eq!(
                        (failure.errno, failure.op.as_str()),
                        (errno, "file type"),
                        "{kind}"
                    );
                    assert!(failure.message.contains(kind), "{}", failure.message);
                }
            }
        }
        std::fs::symlink_metadata(name.path()).expect("still there");
    };
    std::fs::create_dir(name.path()).expect("a directory");
    refusals(libc::ENODEV, "a directory");
    shm_unlink(&name.0).expect_err("unlink(2) removes none");
    std::fs::remove_dir(name.path()).expect("removed");

    // SAFETY: a string.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
    refusals(libc::ENODEV, "a pipe or FIFO");
    shm_unlink(&name.0).expect("unlinked");

    drop(std::os::unix::net::UnixListener::bind(name.path()).expect("a socket"));
    refusals(libc::ENODEV, "a socket");
    shm_unlink(&name.0).expect("unlinked");

    let aim = Name(unique("aim"));
    for make_aim in [false, true] {
        let _memory = make_aim.then(|| shm_open(&aim.0, &making(1)).expect("made"));
        std::os::unix::fs::symlink(aim.path(), name.path()).expect("a link");
        refusals(libc::ELOOP, "a symbolic link");
        shm_unlink(&name.0).expect("unlinked");
        assert_eq!(aim.path().exists(), make_aim, "the link is not followed");
    }
}

pub fn the_c_library_opens_and_removes_it() {
    let Some(name) = Name::new("to-c") else { return };
    let made = shm_open(&name.0, &making(5)).expect("made");
    for spelt in [name.0.clone(), format!("/{}", name.0)] {
        let opened = c_open(&spelt, libc::O_RDWR).expect("shm_open(3)");
        fd::file(&opened).write_all_at(b"hello", 0).expect("written");
        assert_eq!(fd::content(&made), b"hello");
    }
    assert_eq!(
        c_open(&name.0, libc::O_RDWR | libc::O_CREAT | libc::O_EXCL).expect_err("there"),
        libc::EEXIST
    );
    let text = CString::new(name.0.clone()).expect("no NUL");
    // SAFETY: a string.
    assert_eq!(unsafe { libc::shm_unlink(text.as_ptr()) }, 0);
    assert_eq!(shm_open(&name.0, &READING).expect_err("gone").errno, libc::ENOENT);
}

pub fn what_the_c_library_makes_is_opened_and_removed() {
    let Some(name) = Name::new("from-c") else { return };
    let made = c_open(&format!("/{}", name.0), libc::O_RDWR | libc::O_CREAT | libc::O_EXCL)
        .expect("shm_open(3)");
    fd::file(&made).write_all_at(b"hello", 0).expect("written");
    assert_eq!(shm_open(&name.0, &making(1)).expect_err("there").errno, libc::EEXIST);
    for flags in [0, SHM_CREATE] {
        let opened =
            shm_open(&name.0, &ShmOptions { flags, length: 5, ..READING }).expect("opened");
        assert_eq!(fd::content(&opened), b"hello");
    }
    shm_unlink(&name.0).expect("unlinked");
    assert_eq!(c_open(&name.0, libc::O_RDONLY).expect_err("gone"), libc::ENOENT);
}

pub fn memory_outlives_its_name() {
    let Some(name) = Name::new("outlives") else { return };
    let made = shm_open(&name.0, &making(5)).expect("made");
    let map = map::map_fd(made.as_raw_fd(), &MapOptions { access: WRITE, ..MapOptions::default() })
        .expect("mapped");
    shm_unlink(&name.0).expect("unlinked");
    map.store(0, b"hello");
    assert_eq!(fd::content(&made), b"hello");
    let other = shm_open(&name.0, &making(5)).expect("the name is free");
    assert_eq!(fd::content(&other), [0; 5]);
}

pub fn a_name_goes_with_its_value_in_rust() {
    use bytefd::share::ShmOptions;
    let Some(name) = Name::new("rust") else { return };
    let options = ShmOptions::new().write(true).length(5).unlink_on_close(true);
    drop(options.create(&name.0).expect("made"));
    assert!(!name.path().exists());

    let kept = OwnedFd::from(options.create(&name.0).expect("made"));
    assert!(name.path().exists(), "who takes the descriptor out takes over the name");
    assert_eq!(fd::content(&kept), [0; 5]);

    // Somebody else has the name by now.
    let named = options.open(&name.0).expect("opened");
    std::fs::remove_file(name.path()).expect("removed");
    let theirs = ShmOptions::new().length(7).create(&name.0).expect("made");
    assert_eq!(named.as_fd().try_clone_to_owned().map(|fd| fd::content(&fd)).expect("dup"), [0; 5]);
    drop(named);
    assert_eq!(name.path().metadata().expect("theirs is still there").len(), 7);
    drop(theirs);
    assert!(name.path().exists(), "without unlink_on_close it stays");
    let (named, is_new) = options.open_or_create(&name.0).expect("opened");
    assert!(!is_new && named.name() == format!("/{}", name.0).as_str());
    drop(named);
    assert!(!name.path().exists());
}

pub fn more_bytes_than_a_file_can_have_are_efbig() {
    let name = Name(unique("most"));
    for flags in [SHM_NEW, SHM_CREATE] {
        for length in [1 << 63, u64::MAX] {
            let failure =
                shm_open(&name.0, &ShmOptions { flags, ..making(length) }).expect_err("too long");
            assert_eq!(failure.errno, libc::EFBIG);
            assert!(!name.path().exists());
        }
    }
}

// Tests that affect the whole process
// ------------------------------------------------------------------------------------

pub fn the_mode_is_what_was_asked_whatever_the_umask_says() {
    let Some(name) = Name::new("mode") else { return };
    for umask in [0, 0o077, 0o777] {
        for access in [READ, WRITE] {
            for (asked, mode) in
                [(0, 0o600), (0o640, 0o640), (0o666, 0o666), (0o777, 0o777), (0o400, 0o400)]
            {
                // SAFETY: this process has one thread.
                let before = unsafe { libc::umask(umask) };
                let made = as_nobody(|| {
                    shm_open(&name.0, &ShmOptions { mode: asked, access, ..making(1) })
                });
                // SAFETY: as above.
                unsafe { libc::umask(before) };
                assert_eq!(fd::mode(&made.expect("made")), mode, "umask {umask:o}");
                shm_unlink(&name.0).expect("unlinked");
            }
        }
    }
}

pub fn a_name_that_many_create_is_created_once() {
    for round in 0..50 {
        let Some(name) = Name::new(&format!("race-{round}")) else { return };
        let children: Vec<_> = (0..8)
            .map(|_| {
                Child::new(|_| match shm_open(&name.0, &making(100)) {
                    Ok(_) => 1,
                    Err(Failure { errno: libc::EEXIST, .. }) => 0,
                    Err(_) => 2,
                })
            })
            .collect();
        let mut ends: Vec<_> =
            children.into_iter().map(Child::end).map(|end| matches!(end, End::Exited(1))).collect();
        ends.sort();
        assert_eq!(ends.iter().filter(|won| **won).count(), 1);
    }
}

/// Some processes remove it now and then, so that it is made again and again.
pub fn a_name_that_many_open_or_create_is_never_short() {
    let Some(name) = Name::new("either") else { return };
    let children: Vec<_> = (0..8)
        .map(|number| {
            let name = &name;
            Child::new(move |_| {
                for round in 0..200 {
                    let options = ShmOptions { flags: SHM_CREATE, mode: 0o666, ..making(100_000) };
                    let fd = shm_open(&name.0, &options).expect("opened or made");
                    assert_eq!((fd::metadata(&fd).len(), fd::mode(&fd)), (100_000, 0o666));
                    if let Ok(seen) = std::fs::metadata(name.path()) {
                        assert_eq!((seen.len(), seen.mode() & 0o777), (100_000, 0o666));
                    }
                    if (round + number) % 16 == 0 {
                        assert!(matches!(
                            shm_unlink(&name.0),
                            Ok(()) | Err(Failure { errno: libc::ENOENT, .. })
                        ));
                    }
                }
                0
            })
        })
        .collect();
    children.into_iter().for_each(|child| assert_eq!(child.end(), End::Exited(0)));
}

pub fn memory_has_its_space_or_is_enospc() {
    let _shm = hide("/dev/shm", "size=1024k");
    let made = shm_open("bytefd-fits", &making(512 << 10)).expect("made");
    for access in [READ, WRITE] {
        let failure =
            leaves_nothing(|| shm_open("bytefd-not", &ShmOptions { access, ..making(768 << 10) }));
        assert_eq!(failure.expect_err("no room").errno, libc::ENOSPC);
    }
    let failure = shm_open("bytefd-fits", &making(768 << 10)).expect_err("there");
    assert_eq!(failure.errno, libc::EEXIST, "which is why, whatever room there is");
    let fill = || std::fs::write("/dev/shm/bytefd-rest", vec![1; 1 << 20]);
    assert_eq!(fill().expect_err("the rest is less").raw_os_error(), Some(libc::ENOSPC));
    let map = map::map_fd(made.as_raw_fd(), &MapOptions { access: WRITE, ..MapOptions::default() })
        .expect("mapped");
    map.store(0, &vec![2; 512 << 10]);
    shm_unlink("bytefd-fits").expect("unlinked");
    std::fs::remove_file("/dev/shm/bytefd-rest").expect("removed");
    drop((map, made));
    assert_eq!(free_space("/dev/shm"), 1 << 20, "a failure keeps no space");
}

pub fn memory_that_can_only_be_read_is_opened_and_not_made() {
    let shm = hide("/dev/shm", "");
    shm_open("bytefd-there", &making(5)).expect("made");
    shm.restrict(libc::MS_RDONLY);
    let is_erofs = |name: &str, options: ShmOptions| {
        let failure = leaves_nothing(|| shm_open(name, &options).expect_err("read-only"));
        assert_eq!(failure.errno, libc::EROFS, "{failure:?}");
    };
    for flags in [SHM_NEW, SHM_CREATE] {
        for access in [READ, WRITE] {
            is_erofs("bytefd-new", ShmOptions { flags, access, ..making(5) });
        }
    }
    for flags in [0, SHM_CREATE] {
        is_erofs("bytefd-there", ShmOptions { flags, access: WRITE, ..READING });
        let opened =
            shm_open("bytefd-there", &ShmOptions { flags, length: 5, ..READING }).expect("opened");
        assert_eq!(fd::content(&opened), [0; 5]);
    }
    assert_eq!(shm_unlink("bytefd-there").expect_err("read-only").errno, libc::EROFS);
}

pub fn memory_above_the_file_size_limit_is_efbig_and_no_signal() {
    let Some(name) = Name::new("limit") else { return };
    file_size_signal_kills();
    with_limit(libc::RLIMIT_FSIZE, 4096, || {
        shm_open(&name.0, &making(4096)).expect("made");
        shm_unlink(&name.0).expect("unlinked");
        for flags in [SHM_NEW, SHM_CREATE] {
            let failure =
                leaves_nothing(|| shm_open(&name.0, &ShmOptions { flags, ..making(4097) }));
            let failure = failure.expect_err("above the limit");
            assert_eq!(failure.errno, libc::EFBIG);
            assert!(
                failure.message.contains("4097") && failure.message.contains("4096"),
                "{}",
                failure.message
            );
        }
    });
}

pub fn without_a_place_for_it_memory_is_enoent() {
    let _dev = hide("/dev", "");
    for flags in [0, SHM_NEW, SHM_CREATE] {
        let failure = shm_open("bytefd-nowhere", &ShmOptions { flags, ..making(1) })
            .expect_err("no /dev/shm");
        assert_eq!(failure.errno, libc::ENOENT);
    }
    assert_eq!(shm_unlink("bytefd-nowhere").expect_err("no /dev/shm").errno, libc::ENOENT);
}

pub fn without_proc_memory_is_opened_and_made() {
    let Some(name) = Name::new("no-proc") else { return };
    let made = shm_open(&name.0, &making(5)).expect("made");
    let proc = hide("/proc", "");
    let opened = shm_open(&name.0, &ShmOptions { flags: SHM_CREATE, ..making(5) }).expect("opened");
    assert_eq!(fd::metadata(&opened).ino(), fd::metadata(&made).ino());
    shm_unlink(&name.0).expect("unlinked");
    for (access, flags) in [(READ, 0), (WRITE, 0), (WRITE, SHM_OWNED)] {
        let options = ShmOptions { access, flags: SHM_NEW | flags, ..making(5) };
        let (made, whole) = shm_open_named(&name.0, &options).expect("by a hidden name");
        assert_eq!((fd::metadata(&made).nlink(), fd::metadata(&made).len()), (1, 5));
        // SAFETY: touches no memory.
        let is_locked = unsafe {
            libc::flock(
                shm_open(&whole, &READING).expect("opened").as_raw_fd(),
                libc::LOCK_EX | libc::LOCK_NB,
            )
        } != 0;
        assert_eq!(is_locked, flags == SHM_OWNED, "a hidden name is held, and an owned one");
        shm_unlink(&whole).expect("unlinked");
    }
    drop(proc);
}

pub fn without_descriptors_memory_is_emfile() {
    let Some(name) = Name::new("emfile") else { return };
    let there = Name(unique("emfile-there"));
    shm_open(&there.0, &making(5)).expect("made");
    for access in [READ, WRITE] {
        for flags in [SHM_NEW, SHM_NEW | SHM_OWNED] {
            let failure = with_free_descriptors(0, || {
                leaves_nothing(|| {
                    shm_open(&name.0, &ShmOptions { access, flags, ..making(5) }).expect_err("none")
                })
            });
            assert_eq!(failure.errno, libc::EMFILE);
        }
        let opened =
            with_free_descriptors(0, || shm_open(&there.0, &ShmOptions { access, ..READING }));
        assert_eq!(opened.expect_err("none").errno, libc::EMFILE);
    }
    // For reading only there is a second one for a moment.
    let failure = with_free_descriptors(1, || {
        leaves_nothing(|| {
            shm_open(&name.0, &ShmOptions { access: READ, ..making(5) })
                .expect_err("one is too few")
        })
    });
    assert_eq!(failure.errno, libc::EMFILE);
    assert!(!name.path().exists());
}

pub fn memory_of_another_user_is_eacces() {
    // SAFETY: no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        skip("only root can become another user");
    }
    let Some(name) = Name::new("eacces") else { return };
    let _made = shm_open(&name.0, &ShmOptions { mode: 0o644, ..making(5) }).expect("made");
    as_nobody(|| {
        shm_open(&name.0, &READING).expect("the mode lets everybody read");
        let failure = shm_open(&name.0, &ShmOptions { access: WRITE, ..READING })
            .expect_err("and nobody write");
        assert_eq!(failure.errno, libc::EACCES);
        let failure = shm_unlink(&name.0).expect_err("the folder is sticky");
        assert!([libc::EACCES, libc::EPERM].contains(&failure.errno));
    });
    std::fs::set_permissions(name.path(), std::fs::Permissions::from_mode(0o600)).expect("chmod");
    assert_eq!(as_nobody(|| shm_open(&name.0, &READING).expect_err("hidden").errno), libc::EACCES);
}

/// A process that opens the memory trusts its content, and that it keeps its length.
pub fn memory_that_another_user_has_made_is_eperm_unless_asked_for() {
    // SAFETY: no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        skip("only root can become another user");
    }
    let Some(name) = Name::new("eperm") else { return };
    let theirs = ShmOptions { mode: 0o666, ..making(5) };
    as_nobody(|| drop(shm_open(&name.0, &theirs).expect("made")));
    for flags in [0, SHM_CREATE] {
        for access in [READ, WRITE] {
            let options = ShmOptions { flags, access, ..READING };
            let failure =
                leaves_nothing(|| shm_open(&name.0, &options).expect_err("another user's"));
            assert_eq!((failure.errno, failure.op.as_str()), (libc::EPERM, "owner"));
            assert!(failure.message.contains("65534"), "{}", failure.message);
            let asked = ShmOptions { flags: flags | SHM_ANY_OWNER, ..options };
            // fs.protected_regular does not concern what is opened without O_CREAT.
            shm_open(&name.0, &asked).expect("asked for");
        }
    }
    as_nobody(|| {
        drop(shm_open(&name.0, &READING).expect("its own"));
        shm_unlink(&name.0).expect("unlinked");
    });
    // Memory of root is accepted by every user.
    drop(shm_open(&name.0, &theirs).expect("made"));
    as_nobody(|| drop(shm_open(&name.0, &READING).expect("root's")));
}

/// Plays overlay file systems and others. The filter sees the bit of O_TMPFILE that no other flag
/// has.
pub fn memory_is_made_whole_where_there_is_no_o_tmpfile() {
    const ITS_OWN_BIT: u64 = 0o20000000;
    for errno in [libc::EOPNOTSUPP, libc::EISDIR] {
        let child = Child::new(|_| {
            let Some(name) = Name::new("no-tmpfile") else { return 0 };
            refuse_flags(libc::SYS_openat, 2, ITS_OWN_BIT, errno);
            for access in [READ, WRITE] {
                let made = leaves_nothing_but_what_is_returned(|| {
                    shm_open(&name.0, &ShmOptions { access, ..making(5000) })
                });
                let made = made.expect("made");
                assert_eq!((fd::metadata(&made).len(), fd::mode(&made)), (5000, 0o600));
                assert_eq!(fd::metadata(&made).nlink(), 1, "the hidden name is gone");
                let opened = shm_open(&name.0, &READING).expect("opened");
                assert_eq!(fd::metadata(&opened).ino(), fd::metadata(&made).ino());
                let failure = leaves_nothing(|| shm_open(&name.0, &making(5)).expect_err("there"));
                assert_eq!(failure.errno, libc::EEXIST);
                shm_unlink(&name.0).expect("unlinked");
            }
            // A file system that has no links either.
            #[cfg(target_arch = "x86_64")]
            refuse(libc::SYS_link, libc::EPERM);
            refuse(libc::SYS_linkat, libc::EPERM);
            let made = shm_open(&name.0, &making(5)).expect("made");
            assert_eq!(fd::metadata(&made).nlink(), 1);
            shm_unlink(&name.0).expect("unlinked");
            // The name of this backend's file is gone before any process sees it.
            let file = fd::wrap_with(b"hello", 0, TMPFILE).expect("wrapped");
            assert_eq!((fd::content(&file), fd::metadata(&file).nlink()), (b"hello".to_vec(), 0));
            0
        });
        assert_eq!(child.end(), End::Exited(0));
    }
}

fn leaves_nothing_but_what_is_returned<R>(body: impl FnOnce() -> R) -> R {
    // Those of the hidden names, which begin so.
    let names = || {
        let entries = std::fs::read_dir("/dev/shm")
            .expect("/dev/shm")
            .flatten()
            .map(|entry| entry.file_name());
        entries.filter(|name| name.to_string_lossy().contains("bytefd")).collect::<Vec<_>>()
    };
    let before = names();
    let result = body();
    assert_eq!(names(), before);
    result
}

pub fn owned_memory_is_made_and_opened_again_by_its_owner() {
    let Some(name) = Name::new("owned") else { return };
    for flags in [SHM_CREATE, SHM_NEW] {
        let owned = |flags| ShmOptions { flags: flags | SHM_OWNED, ..making(100) };
        let (made, whole) = shm_open_named(&name.0, &owned(flags)).expect("made");
        assert_eq!(shm_open(&name.0, &owned(SHM_NEW)).expect_err("there").errno, libc::EEXIST);
        for flags in [0, SHM_CREATE] {
            let (again, same) = shm_open_named(&name.0, &owned(flags)).expect("opened");
            assert_eq!((fd::metadata(&again).ino(), &same), (fd::metadata(&made).ino(), &whole));
        }
        let opened = shm_open(&whole, &READING).expect("by its whole name");
        assert_eq!(fd::metadata(&opened).ino(), fd::metadata(&made).ino());
        shm_unlink(&whole).expect("unlinked");
    }
    let failure = shm_open(&name.0, &ShmOptions { flags: SHM_OWNED, ..READING }).expect_err("none");
    assert_eq!(failure.errno, libc::ENOENT);
}

pub fn memory_has_no_number_of_a_standard_stream() {
    let Some(name) = Name::new("stream") else { return };
    for access in [READ, WRITE] {
        let numbers = without_standard_input(|| {
            let made = shm_open(&name.0, &ShmOptions { access, ..making(5) }).expect("made");
            let opened = shm_open(&name.0, &ShmOptions { access, ..READING }).expect("opened");
            [made.as_raw_fd(), opened.as_raw_fd()]
        });
        assert!(numbers.iter().all(|fd| *fd > 2), "{numbers:?}");
        shm_unlink(&name.0).expect("unlinked");
    }
}
