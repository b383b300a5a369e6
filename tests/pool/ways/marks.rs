//! Lists what is set at a file or its description, and what tells a process about the file.

use super::Rule::*;
use super::*;

pub const WAYS: &[Way] = &[
    Way { name: "a lock, flock", keep: locked, rule: Harmless },
    Way {
        name: "a lock on bytes of the description",
        keep: |fd, _| locked_bytes(fd, libc::F_OFD_SETLK),
        rule: Harmless,
    },
    Way {
        name: "a lock on bytes of the process",
        keep: |fd, _| locked_bytes(fd, libc::F_SETLK),
        rule: Harmless,
    },
    Way {
        name: "a lease for reading",
        keep: |fd, _| set(fd, libc::F_SETLEASE, libc::F_RDLCK),
        rule: Harmless,
    },
    Way {
        name: "a lease for writing",
        keep: |fd, _| set(fd, libc::F_SETLEASE, libc::F_WRLCK),
        rule: Harmless,
    },
    Way { name: "status flags", keep: status_flags, rule: Harmless },
    Way { name: "an owner of signals", keep: signals, rule: Harmless },
    Way { name: "F_NOTIFY", keep: |fd, _| set(fd, libc::F_NOTIFY, 1), rule: Harmless },
    Way { name: "a hint on the lifetime of writes", keep: write_hint, rule: Harmless },
    Way { name: "advice, posix_fadvise", keep: file_advice, rule: Harmless },
    Way { name: "inotify", keep: inotify, rule: Harmless },
    Way { name: "fanotify", keep: fanotify, rule: Named("fanotify(7)") },
    Way { name: "an attribute of users", keep: |fd, _| attribute(fd, c"user.scanned"), rule: Seen },
    Way {
        name: "an attribute of root",
        keep: |fd, _| attribute(fd, c"trusted.scanned"),
        rule: Seen,
    },
    Way {
        name: "an attribute of security",
        keep: |fd, _| attribute(fd, c"security.scanned"),
        rule: Seen,
    },
    Way { name: "an attribute that was removed again", keep: attribute_removed, rule: EACH_CHANGE },
    Way { name: "an access control list", keep: access_list, rule: Seen },
    Way { name: "a flag, FS_NODUMP_FL", keep: |fd, _| inode_flag(fd, 0x40), rule: EACH_CHANGE },
    Way { name: "a flag, FS_APPEND_FL", keep: |fd, _| inode_flag(fd, 0x20), rule: EACH_CHANGE },
    Way { name: "a flag, FS_IMMUTABLE_FL", keep: |fd, _| inode_flag(fd, 0x10), rule: EACH_CHANGE },
    Way { name: "times", keep: times, rule: Seen },
    Way { name: "another mode", keep: |fd, _| mode(fd, &[0o644]), rule: Seen },
    Way {
        name: "another mode and back",
        keep: |fd, _| mode(fd, &[0o644, 0o400]),
        rule: EACH_CHANGE,
    },
    Way { name: "another owner", keep: owner, rule: Seen },
    Way { name: "another length and back", keep: length, rule: EACH_CHANGE },
];

/// If the clock stands still for a moment, the change may not be seen, and does no harm.
const EACH_CHANGE: Rule = If(shows_each_change, &Seen, &Harmless);

fn set(fd: c_int, command: c_int, value: c_int) -> Result<Kept, Skip> {
    // SAFETY: touches no memory.
    checked(unsafe { libc::fcntl(fd, command, value) })?;
    Ok(Kept::default())
}

/// A later callback can lock as if there had been no lock.
fn locked(fd: c_int, _: usize) -> Result<Kept, Skip> {
    // SAFETY: touches no memory.
    checked(unsafe { libc::flock(fd, libc::LOCK_EX) })?;
    Ok(Kept::look(|fd| {
        let own = open_again(fd, libc::O_RDONLY);
        // SAFETY: as above.
        assert_eq!(unsafe { libc::flock(own.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) }, 0);
        None
    }))
}

fn locked_bytes(fd: c_int, command: c_int) -> Result<Kept, Skip> {
    // SAFETY: all-zero is a valid lock, on the whole file.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_RDLCK as _;
    // SAFETY: a valid lock.
    checked(unsafe { libc::fcntl(fd, command, &lock) })?;
    Ok(Kept::look(move |fd| {
        let mut asked = lock;
        asked.l_type = libc::F_WRLCK as _;
        // SAFETY: a valid lock. Of a description of its own, which a lock of this process would be
        // in the way of, too.
        let status = unsafe {
            libc::fcntl(open_again(fd, libc::O_RDONLY).as_raw_fd(), libc::F_OFD_GETLK, &mut asked)
        };
        assert_eq!((status, c_int::from(asked.l_type)), (0, libc::F_UNLCK));
        None
    }))
}

/// Each description has status flags of its own.
fn status_flags(fd: c_int, _: usize) -> Result<Kept, Skip> {
    // SAFETY: touches no memory.
    let before = checked(unsafe { libc::fcntl(fd, libc::F_GETFL) })?;
    set(fd, libc::F_SETFL, libc::O_APPEND | libc::O_NONBLOCK | libc::O_NOATIME | libc::O_ASYNC)?;
    Ok(Kept::look(move |fd| {
        // SAFETY: as above.
        let now = unsafe { libc::fcntl(fd, libc::F_GETFL) };
        assert!(
            now == before || before & libc::O_ACCMODE == libc::O_RDWR,
            "{now:#o} was {before:#o}"
        );
        None
    }))
}

fn signals(fd: c_int, _: usize) -> Result<Kept, Skip> {
    const F_SETSIG: c_int = 10;
    // SAFETY: no preconditions.
    set(fd, libc::F_SETOWN, unsafe { libc::getpid() })?;
    set(fd, F_SETSIG, libc::SIGTERM)
}

fn write_hint(fd: c_int, _: usize) -> Result<Kept, Skip> {
    const F_SET_RW_HINT: c_int = 1036;
    let hint = 2u64;
    // SAFETY: a number.
    checked(unsafe { libc::fcntl(fd, F_SET_RW_HINT, &raw const hint) })?;
    Ok(Kept::default())
}

fn file_advice(fd: c_int, size: usize) -> Result<Kept, Skip> {
    for advice in [libc::POSIX_FADV_RANDOM, libc::POSIX_FADV_NOREUSE, libc::POSIX_FADV_DONTNEED] {
        // SAFETY: touches no memory.
        assert_eq!(unsafe { libc::posix_fadvise(fd, 0, size as i64, advice) }, 0);
    }
    Ok(Kept::default())
}

/// inotify tells that the file is used, and nothing of its content.
fn inotify(fd: c_int, _: usize) -> Result<Kept, Skip> {
    // SAFETY: touches no memory.
    let events =
        owned(unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) }.into())?;
    let path = std::ffi::CString::new(format!("/proc/self/fd/{fd}")).expect("no NUL");
    // SAFETY: a string.
    checked(unsafe {
        libc::inotify_add_watch(events.as_raw_fd(), path.as_ptr(), libc::IN_ALL_EVENTS)
    })?;
    Ok(Kept::thing(events))
}

/// Each event brings a descriptor of the file, as it is when the event is read.
fn fanotify(fd: c_int, _: usize) -> Result<Kept, Skip> {
    use std::os::fd::FromRawFd;
    const CLOEXEC_NONBLOCK: u32 = 3;
    const OPEN: u64 = 0x20;
    // SAFETY: touches no memory.
    let events = owned(
        unsafe { libc::fanotify_init(CLOEXEC_NONBLOCK, libc::O_RDONLY as u32 | 0o2000000) }.into(),
    )?;
    let path = std::ffi::CString::new(format!("/proc/self/fd/{fd}")).expect("no NUL");
    // SAFETY: a string.
    checked(unsafe {
        libc::fanotify_mark(
            events.as_raw_fd(),
            libc::FAN_MARK_ADD,
            OPEN,
            libc::AT_FDCWD,
            path.as_ptr(),
        )
    })?;
    Ok(Kept::look(move |_| {
        let mut event = [0u8; 24];
        // SAFETY: a valid buffer, of one `struct fanotify_event_metadata`.
        let count =
            unsafe { libc::read(events.as_raw_fd(), event.as_mut_ptr().cast(), event.len()) };
        let number = c_int::from_ne_bytes(event[16..20].try_into().expect("four bytes"));
        // SAFETY: the event's own, which is ours now.
        (count == 24 && number >= 0).then(|| content(&unsafe { OwnedFd::from_raw_fd(number) }))
    }))
}

fn attribute(fd: c_int, name: &'static std::ffi::CStr) -> Result<Kept, Skip> {
    // SAFETY: strings.
    checked(unsafe { libc::fsetxattr(fd, name.as_ptr(), c"clean".as_ptr().cast(), 5, 0) })?;
    Ok(Kept::look(move |fd| {
        assert_eq!(
            // SAFETY: asks for the length only.
            unsafe { libc::fgetxattr(fd, name.as_ptr(), null_mut(), 0) },
            -1,
            "the mark of an earlier scan"
        );
        None
    }))
}

fn attribute_removed(fd: c_int, size: usize) -> Result<Kept, Skip> {
    let name = if is_root() { c"trusted.scanned" } else { c"user.scanned" };
    attribute(fd, name)?;
    let _ = size;
    // SAFETY: a string.
    checked(unsafe { libc::fremovexattr(fd, name.as_ptr()) })?;
    Ok(Kept::default())
}

fn access_list(fd: c_int, _: usize) -> Result<Kept, Skip> {
    // Version 2; then each a tag, its permissions and whose they are: owner, user 1, group, mask,
    // others.
    let mut list = 2u32.to_ne_bytes().to_vec();
    for (tag, permissions, whose) in
        [(1u16, 4u16, !0u32), (2, 4, 1), (4, 0, !0), (0x10, 4, !0), (0x20, 0, !0)]
    {
        list.extend([tag.to_ne_bytes(), permissions.to_ne_bytes()].concat());
        list.extend(whose.to_ne_bytes());
    }
    let name = c"system.posix_acl_access".as_ptr();
    // SAFETY: a string and a buffer.
    checked(unsafe { libc::fsetxattr(fd, name, list.as_ptr().cast(), list.len(), 0) })?;
    Ok(Kept::default())
}

fn inode_flag(fd: c_int, flag: libc::c_long) -> Result<Kept, Skip> {
    const FS_IOC_SETFLAGS: u64 = 0x4008_6602;
    // SAFETY: a number.
    checked(unsafe { libc::ioctl(fd, FS_IOC_SETFLAGS as _, &raw const flag) })?;
    Ok(Kept::default())
}

fn times(fd: c_int, _: usize) -> Result<Kept, Skip> {
    let times = [libc::timespec { tv_sec: 1, tv_nsec: 0 }; 2];
    // SAFETY: two times.
    checked(unsafe { libc::futimens(fd, times.as_ptr()) })?;
    Ok(Kept::look(|fd| {
        assert_ne!(metadata(&duplicate(fd)).mtime(), 1, "the times of an earlier scan");
        None
    }))
}

fn mode(fd: c_int, modes: &[libc::mode_t]) -> Result<Kept, Skip> {
    for mode in modes {
        // SAFETY: touches no memory.
        checked(unsafe { libc::fchmod(fd, *mode) })?;
    }
    Ok(Kept::look(|fd| {
        assert_eq!(super::mode(&duplicate(fd)), 0o400);
        None
    }))
}

fn owner(fd: c_int, _: usize) -> Result<Kept, Skip> {
    // SAFETY: touches no memory.
    checked(unsafe { libc::fchown(fd, 1234, 1234) })?;
    Ok(Kept::look(|fd| {
        assert_ne!(metadata(&duplicate(fd)).uid(), 1234);
        None
    }))
}

fn length(fd: c_int, size: usize) -> Result<Kept, Skip> {
    let writable = open_for_writing(fd);
    for length in [2 * size, size] {
        // SAFETY: touches no memory.
        checked(unsafe { libc::ftruncate(writable.as_raw_fd(), length as i64) })?;
    }
    Ok(Kept::default())
}
