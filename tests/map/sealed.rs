//! Tests bytefd_map_seal: memory becomes a descriptor with content that no process can change. Each
//! test runs alone, because a child that another test forks meanwhile has the memory mapped for
//! writing.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

use super::kinds::{Kind, kinds, private, shared};
use crate::faults::conditions::*;
use crate::faults::traced::{Call, Stop, in_traced_child};
use crate::support::abi::*;
use crate::support::fd::{
    content, file, is_close_on_exec, mapped, metadata, mode, offset, pattern, seals,
};
use crate::support::hosts;
use crate::support::map::{Map, map, map_fd, map_with, page_size};

fn memory_of(length: usize, flags: u64, reserve: usize) -> Option<Map> {
    let map = shared(length, &MapOptions { flags, reserve, ..MapOptions::default() })?;
    map.store(0, &pattern(length));
    Some(map)
}

fn duplicate(map: &Map) -> OwnedFd {
    map.descriptor().expect("kept").try_clone_to_owned().expect("dup")
}

/// Checks a descriptor that must be as shm_wrap_buffer gives it.
fn check(fd: &OwnedFd, length: usize, expected_mode: u32) {
    let exec_seal = if hosts::can_forbid_execution() && expected_mode == 0o400 { 0x20 } else { 0 };
    // Memory that was shared keeps F_SEAL_FUTURE_WRITE.
    assert_eq!(seals(fd) & !libc::F_SEAL_FUTURE_WRITE, 0xf | exec_seal);
    assert_eq!((mode(fd), offset(fd), metadata(fd).len()), (expected_mode, 0, length as u64));
    assert!(is_close_on_exec(fd) && fd.as_raw_fd() > 2);
    assert!(content(fd) == pattern(length));
    assert!(file(fd).write_at(b"!", 0).is_err() && file(fd).set_len(length as u64 + 1).is_err());
    if length > 0 {
        for flags in [libc::MAP_SHARED, libc::MAP_PRIVATE] {
            assert!(
                mapped(fd, libc::PROT_READ, flags).expect("mapped")[..length] == pattern(length)
            );
        }
        mapped(fd, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED).expect_err("sealed");
    }
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    assert!(std::fs::read(path).expect("opened read-only") == pattern(length));
}

pub fn memory_becomes_a_sealed_descriptor() {
    for (flags, expected_mode) in
        [(0, 0o400), (EXECUTE, 0o500), (POPULATE | MLOCK | NO_FORK | NO_RESERVE, 0o400)]
    {
        for reserve in [0, 1 << 30] {
            for length in [0, 1, page_size() - 1, page_size(), page_size() + 1, (5 << 20) + 1] {
                let Some(mut map) = memory_of(length, flags, reserve) else { return };
                let address = map.data();
                let fd = map.seal().expect("sealed");
                check(&fd, length, expected_mode);
                assert!(
                    map.data() == address && map.bytes() == pattern(length),
                    "{length} bytes, flags {flags}"
                );
                assert_eq!(map.descriptor().expect_err("none any more").errno, libc::EBADF);
                drop(map);
                check(&fd, length, expected_mode);
            }
        }
    }
}

pub fn the_map_stays_for_reading_only() {
    for flags in [0, EXECUTE, MLOCK | NO_FORK] {
        let Some(mut map) = memory_of(5000, flags, 0) else { return };
        let fd = map.seal().expect("sealed");
        drop(fd);
        if flags & NO_FORK == 0 {
            assert_eq!(read_in_child(map.data()), End::Exited(pattern(1)[0].into()));
        } else {
            assert_eq!(read_in_child(map.data()), End::Killed(libc::SIGSEGV));
            assert!(map.region().has_flag("lo") && map.region().has_flag("dc"));
        }
        assert_eq!(store_in_child(map.data(), 1), End::Killed(libc::SIGSEGV));
        assert_eq!(
            map.region().permissions().get(..3),
            Some(if flags == EXECUTE { "r-x" } else { "r--" })
        );
        assert_eq!(map.write(0, b"!").expect_err("for reading only").errno, libc::EACCES);
        assert_eq!(map.protect(0, TO_END, 3).expect_err("for reading only").errno, libc::EACCES);
        for length in [0, 1, 5000, 5001, 1 << 20] {
            assert_eq!(map.resize(length).expect_err("sealed").errno, libc::EINVAL);
        }
        assert_eq!(map.seal().expect_err("sealed already").errno, libc::EINVAL);
        let mut seen = vec![0; 5000];
        assert_eq!(map.read(0, &mut seen).expect("read"), 5000);
        map.prefetch(0, TO_END).expect("there");
        map.munlock(0, TO_END).expect("unlocked");
        map.advise(0, TO_END, 4, 0).expect("pages may go");
        assert!(seen == pattern(5000) && map.bytes() == pattern(5000));
    }
}

pub fn only_shared_memory_can_be_sealed() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    for size in [0, 100] {
        std::fs::write(&file, pattern(size)).expect("written");
        for access in [READ, WRITE, PRIVATE] {
            let mut map = map_with(&file, access, 0).expect("mapped");
            assert_eq!(map.seal().expect_err("a file").errno, libc::EINVAL);
            assert!(map.bytes() == pattern(size));
        }
        assert_eq!(private(size).seal().expect_err("private").errno, libc::EINVAL);
    }
    for kind in kinds().filter(|kind| *kind != Kind::Shared) {
        kind.filled(100).map.seal().expect_err("not shared memory");
    }
}

/// A process that was given the descriptor has done what it could with it.
pub fn what_others_did_with_the_descriptor_does_not_show() {
    type Deed = fn(&OwnedFd);
    let deeds: [(&str, Deed); 4] = [
        ("moved its offset", |fd| {
            // SAFETY: touches no memory.
            assert_eq!(unsafe { libc::lseek(fd.as_raw_fd(), 77, libc::SEEK_SET) }, 77);
        }),
        ("changed its mode", |fd| {
            file(fd).set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap()
        }),
        ("made it longer", |fd| file(fd).set_len(20_000).expect("grown")),
        ("made it longer by pages", |fd| file(fd).set_len(1 << 20).expect("grown")),
    ];
    for (what, deed) in deeds {
        let Some(mut map) = memory_of(5000, EXECUTE, 0) else { return };
        let fd = duplicate(&map);
        deed(&fd);
        let sealed = map.seal().unwrap_or_else(|failure| panic!("somebody {what}: {failure:?}"));
        assert_eq!(metadata(&sealed).len(), 5000, "somebody {what}");
        check(&sealed, 5000, 0o500);
    }
}

pub fn a_descriptor_that_is_inherited_is_close_on_exec_once_sealed() {
    let Some(mut map) = memory_of(5000, 0, 0) else { return };
    let fd = map.descriptor().expect("kept").as_raw_fd();
    // SAFETY: touches no memory.
    assert_eq!(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) }, 0);
    check(&map.seal().expect("sealed"), 5000, 0o400);
}

/// Asserts that everything that can be seen of the map is as it was.
fn is_as_it_was(map: &Map, flags: u64) {
    assert!(map.bytes() == pattern(map.length()));
    assert_eq!(map.region().permissions(), if flags & EXECUTE == 0 { "rw-s" } else { "rwxs" });
    assert_eq!(map.region().has_flag("lo"), flags & MLOCK != 0, "locked");
    assert_eq!(map.region().has_flag("dc"), flags & NO_FORK != 0, "hidden from children");
    map.store(0, b"J");
    assert_eq!(content(&duplicate(map))[0], b'J', "it is still the memory");
    map.store(0, &pattern(1));
}

pub fn while_others_have_it_mapped_for_writing_it_is_ebusy_and_as_it_was() {
    for flags in [0, EXECUTE, MLOCK, NO_FORK, POPULATE | MLOCK | NO_FORK] {
        let Some(mut ours) = memory_of(5000, flags, 1 << 20) else { return };
        let fd = duplicate(&ours);
        let theirs = map_fd(fd.as_raw_fd(), &MapOptions { access: WRITE, ..MapOptions::default() });
        let theirs = theirs.expect("mapped");
        for _ in 0..2 {
            let address = ours.data();
            let failure = ours.seal().expect_err("mapped for writing");
            assert_eq!(failure.errno, libc::EBUSY, "{failure:?}");
            assert_eq!(ours.data(), address);
            assert_eq!(seals(&fd) & 0xf, 0);
            is_as_it_was(&ours, flags);
        }
        ours.resize(6000).expect("grown");
        ours.resize(5000).expect("shrunk");
        drop(theirs);
        check(&ours.seal().expect("sealed"), 5000, if flags == EXECUTE { 0o500 } else { 0o400 });
    }
}

pub fn what_is_sealed_against_seals_is_eperm_and_as_it_was() {
    let Some(mut map) = memory_of(5000, MLOCK, 0) else { return };
    let fd = duplicate(&map);
    // SAFETY: touches no memory.
    assert_eq!(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, libc::F_SEAL_SEAL) }, 0);
    assert_eq!(map.seal().expect_err("refused").errno, libc::EPERM);
    is_as_it_was(&map, MLOCK);
}

pub fn maps_of_the_descriptor_for_reading_do_not_matter() {
    let Some(mut ours) = memory_of(5000, 0, 0) else { return };
    let path = format!("/proc/self/fd/{}", ours.descriptor().expect("kept").as_raw_fd());
    let (reader, private) = (
        map_with(&path, READ, 0),
        map(&path, &MapOptions { access: PRIVATE, ..Default::default() }),
    );
    let (reader, private) = (reader.expect("mapped"), private.expect("mapped"));
    check(&ours.seal().expect("sealed"), 5000, 0o400);
    private.store(0, b"!");
    assert!(reader.bytes() == pattern(5000));
}

/// Plays a kernel on which a sealed file must be opened again to be mapped (Linux before 6.7), and
/// where that fails. A process that has become another user cannot give the file its mode any more.
pub fn memory_of_another_user_is_eperm_and_as_it_was() {
    // SAFETY: no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        skip("only root can become another user");
    }
    let Some(mut map) = memory_of(5000, 0, 0) else { return };
    as_nobody(|| {
        for _ in 0..2 {
            let failure = map.seal().expect_err("not ours");
            // Kernels before 6.7 need another description of it, which is the first to be refused.
            let refusals = [(libc::EPERM, "fchmod"), (libc::EACCES, "reopen")];
            assert!(refusals.contains(&(failure.errno, failure.op.as_str())), "{failure:?}");
        }
    });
    map.store(0, b"hello");
    assert_eq!(seals(&duplicate(&map)) & 0xf, 0);
    let fd = map.seal().expect("ours again");
    assert_eq!((&content(&fd)[..5], mode(&fd)), (&b"hello"[..], 0o400));
}

pub fn what_was_stored_behind_the_end_is_not_in_it() {
    for length in [0, 5, page_size() - 1, page_size() + 1] {
        let Some(mut map) = memory_of(length, 0, 0) else { return };
        let end = length.next_multiple_of(page_size());
        // SAFETY: the rest of the last page is mapped, too.
        unsafe { map.data().add(length).write_bytes(0xee, end - length) };
        let fd = map.seal().expect("sealed");
        assert!(content(&fd) == pattern(length));
        if length > 0 {
            let bytes = mapped(&fd, libc::PROT_READ, libc::MAP_PRIVATE).expect("mapped");
            assert!(bytes[length..].iter().all(|byte| *byte == 0), "{length} bytes");
        }
    }
}

pub fn without_descriptors_it_is_sealed_or_emfile_and_as_it_was() {
    if !hosts::has_memfd() {
        skip("no memory files on this host");
    }
    // By its length, the probe.
    hosts::refuse_value(libc::SYS_mmap, 1, 1, libc::EPERM);
    let mut map = memory_of(5000, 0, 0).expect("memory");
    match leaves_nothing(|| with_free_descriptors(0, || map.seal())) {
        Ok(fd) => check(&fd, 5000, 0o400),
        Err(failure) => {
            assert_eq!(failure.errno, libc::EMFILE, "{failure:?}");
            is_as_it_was(&map, 0);
            check(&map.seal().expect("sealed"), 5000, 0o400);
        }
    }
}

/// A child that has the memory mapped, forked when `map` is there, until the pipe is closed.
struct Holder {
    child: libc::pid_t,
    until: std::io::PipeWriter,
}

impl Holder {
    fn new() -> Holder {
        let (reader, until) = std::io::pipe().expect("a pipe");
        let mut byte = 0u8;
        // SAFETY: the child makes system calls only.
        let child = unsafe {
            match libc::fork() {
                0 => {
                    libc::close(until.as_raw_fd());
                    libc::read(reader.as_raw_fd(), (&raw mut byte).cast(), 1);
                    libc::_exit(0)
                }
                child => child,
            }
        };
        assert!(child > 0);
        Holder { child, until }
    }

    fn end(self) {
        drop(self.until);
        // SAFETY: our child.
        assert_eq!(unsafe { libc::waitpid(self.child, std::ptr::null_mut(), 0) }, self.child);
    }
}

pub fn sealing_waits_for_a_child_as_long_as_it_is_told() {
    let Some(mut map) = memory_of(5000, 0, 0) else { return };
    let holder = Holder::new();
    for (timeout, errno) in [(0, libc::EBUSY), (1, libc::ETIMEDOUT), (30_000_000, libc::ETIMEDOUT)]
    {
        let failure = map.seal_timeout(timeout).expect_err("the child has it");
        assert_eq!((failure.errno, failure.op.as_str()), (errno, "seal"));
        for cause in ["another process", "io_uring"] {
            assert!(failure.message.contains(cause), "{failure:?}");
        }
        is_as_it_was(&map, 0);
    }
    for timeout in [-1, 60_000_000_000] {
        let Some(mut map) = memory_of(5000, 0, 0) else { return };
        let holder = Holder::new();
        let ending = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(20));
            holder.end();
        });
        check(&map.seal_timeout(timeout).expect("sealed once the child is gone"), 5000, 0o400);
        ending.join().expect("ended");
    }
    holder.end();
    check(&map.seal().expect("sealed"), 5000, 0o400);
}

/// A peer has nothing but the descriptor, which is open for writing.
pub fn a_peer_that_maps_the_descriptor_for_reading_does_not_matter() {
    let Some(mut ours) = memory_of(5000, 0, 0) else { return };
    let theirs = map_fd(duplicate(&ours).as_raw_fd(), &MapOptions::default()).expect("mapped");
    ours.store(0, b"J");
    assert_eq!(theirs.part(0, 1), b"J", "stores show");
    ours.store(0, &pattern(1));
    check(&ours.seal().expect("sealed"), 5000, 0o400);
    assert!(theirs.bytes() == pattern(5000));
}

/// All that can fail comes before the seals, which stay.
pub fn a_seal_that_fails_leaves_the_map_as_it_was() {
    if !hosts::has_memfd() {
        skip("no memory files on this host");
    }
    let mut maps: Vec<_> = (0..3).map(|_| memory_of(5000, 0, 0).expect("memory")).collect();
    // The probe of how the kernel maps sealed files.
    drop(memory_of(1, 0, 0).expect("memory").seal());
    hosts::refuse_value(libc::SYS_fcntl, 1, libc::F_SETFD as u64, libc::EIO);
    assert_eq!(maps[0].seal().expect_err("refused").errno, libc::EIO);
    is_as_it_was(&maps[0], 0);
    hosts::refuse(libc::SYS_fchmod, libc::EIO);
    assert_eq!(maps[1].seal().expect_err("refused").errno, libc::EIO);
    is_as_it_was(&maps[1], 0);
}

pub fn shared_memory_is_read_by_others_while_it_is_written() {
    for (flags, expected_mode) in [(0, 0o400), (EXECUTE, 0o500)] {
        let Some(mut map) = memory_of(5000, flags, 0) else { return };
        let fd = map.share(0).expect("shared");
        assert_eq!(seals(&fd) & 0x1f, 0x16, "shrink, grow, future write");
        assert_eq!((mode(&fd), offset(&fd), metadata(&fd).len()), (expected_mode, 0, 5000));
        assert!(is_close_on_exec(&fd) && fd.as_raw_fd() > 2);
        file(&fd).write_at(b"!", 0).expect_err("for reading only");
        file(&duplicate(&map)).write_at(b"!", 0).expect_err("sealed");
        mapped(&duplicate(&map), libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED)
            .expect_err("sealed");
        let theirs = map_fd(fd.as_raw_fd(), &MapOptions::default()).expect("mapped");
        map.store(4995, b"there");
        assert_eq!(theirs.part(4995, 5), b"there");
        for length in [4999, 5001, 0] {
            assert_eq!(
                map.resize(length).expect_err("sealed").errno,
                libc::EPERM,
                "{length} bytes"
            );
        }
        map.resize(5000).expect("as long as it is");
        // MADV_REMOVE removes whole pages. Larger pages are not whole in this map.
        let removed = map.advise(0, TO_END, libc::MADV_REMOVE, LOSE_CONTENT);
        let is_refused = removed.is_err_and(|error| error.errno == libc::EPERM);
        assert_eq!(is_refused, page_size() <= 5000);
        map.share(0).expect("again");
        for flags in [1, 1 << 18, 1 << 63] {
            assert_eq!(map.share(flags).expect_err("unknown").op, "flags");
        }
        map.store(4995, &pattern(5000)[4995..]);
        check(&map.seal().expect("sealed"), 5000, expected_mode);
        assert_eq!(map.share(0).expect_err("sealed").errno, libc::EINVAL);
    }
    for kind in kinds().filter(|kind| *kind != Kind::Shared) {
        assert_eq!(
            kind.filled(100).map.share(0).expect_err("not shared memory").errno,
            libc::EINVAL
        );
    }
}

/// The map cannot be made writable again.
pub fn a_shared_map_that_is_not_sealed_is_for_reading_and_can_be_sealed_later() {
    let Some(mut map) = memory_of(5000, 0, 0) else { return };
    let fd = map.share(0).expect("shared");
    let holder = Holder::new();
    assert_eq!(map.seal().expect_err("the child has it").errno, libc::EBUSY);
    assert!(map.bytes() == pattern(5000));
    assert_eq!(map.write(0, b"!").expect_err("for reading").errno, libc::EACCES);
    holder.end();
    check(&map.seal().expect("sealed"), 5000, 0o400);
    assert!(content(&fd) == pattern(5000));
}

/// Another process shortens the memory between the last check of the length and the seal.
pub fn memory_that_becomes_shorter_while_it_is_sealed_is_eio() {
    let page = page_size();
    let Some(mut map) = memory_of(2 * page, 0, 0) else { return };
    let (file, ours) = (duplicate(&map), map.data());
    let sealing = || {
        let failure = map.seal().expect_err("shorter");
        assert_eq!(failure.errno, libc::EIO, "{failure:?}");
        assert!(failure.message.contains(&page.to_string()), "{failure:?}");
        assert!(map.part(0, page) == pattern(2 * page)[..page]);
    };
    let is_seal = |call: &Call| {
        call.number == libc::SYS_fcntl && call.arguments[1] == libc::F_ADD_SEALS as u64
    };
    let mut cuts = 0;
    in_traced_child(sealing, |stop| match stop {
        Stop::Before(call) if is_seal(&call) => {
            // The map of this process would keep the child from sealing.
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
            // SAFETY: replaces this map, which is only closed afterwards.
            unsafe { libc::mmap(ours.cast(), 2 * page, libc::PROT_READ, flags, -1, 0) };
            // SAFETY: touches no memory.
            assert_eq!(unsafe { libc::ftruncate(file.as_raw_fd(), page as libc::off_t) }, 0);
            cuts += 1;
        }
        _ => {}
    });
    assert!(cuts > 0);
}
