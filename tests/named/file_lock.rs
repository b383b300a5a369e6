//! Tests locks on bytes of files.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use crate::faults::conditions::*;
use crate::faults::signals::{under_alarms, under_restarting_alarms};
use crate::support::abi::*;
use crate::support::fd::Failure;
use crate::support::map::Map;
use crate::support::named::*;

/// Makes an empty file and two descriptions of it.
fn two() -> (File, File) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    (again(&file), again(&file))
}

fn again(file: &tempfile::NamedTempFile) -> File {
    File::options().read(true).write(true).open(file).expect("opened")
}

/// Returns whether no other description has a lock that excludes this one. Does not keep the lock.
fn is_free(fd: &impl AsRawFd, offset: u64, length: u64, operation: i32) -> bool {
    match lock(fd, offset, length, operation | libc::LOCK_NB) {
        Ok(()) => unlock(fd, offset, length).map(|()| true).expect("unlocked"),
        Err(Failure { errno: libc::EAGAIN, op, .. }) => {
            assert_eq!(op, "file_lock");
            false
        }
        Err(failure) => panic!("{failure:?}"),
    }
}

pub fn a_lock_excludes_another_description() {
    let (ours, theirs) = two();
    for (have, want, free) in [
        (libc::LOCK_SH, libc::LOCK_SH, true),
        (libc::LOCK_SH, libc::LOCK_EX, false),
        (libc::LOCK_EX, libc::LOCK_SH, false),
        (libc::LOCK_EX, libc::LOCK_EX, false),
    ] {
        for tried in [0, libc::LOCK_NB] {
            lock(&ours, 0, 10, have | tried).expect("locked");
            assert_eq!(is_free(&theirs, 5, 1, want), free, "{have} {want}");
            unlock(&ours, 0, 10).expect("unlocked");
            assert!(is_free(&theirs, 5, 1, want));
        }
    }
    unlock(&ours, 0, UNLIMITED).expect("nothing is locked, and that is fine");
}

pub fn ranges_that_touch_do_not_overlap() {
    let (ours, theirs) = two();
    lock(&ours, 100, 50, libc::LOCK_EX).expect("locked");
    for (offset, length, free) in [
        (0, 100, true),
        (0, 101, false),
        (99, 1, true),
        (100, 1, false),
        (149, 1, false),
        (150, 1, true),
        (149, 2, false),
        (150, UNLIMITED, true),
        (149, UNLIMITED, false),
        (0, UNLIMITED, false),
        (1 << 62, 1 << 20, true),
    ] {
        assert_eq!(
            is_free(&theirs, offset, length, libc::LOCK_SH),
            free,
            "{length} bytes from {offset}"
        );
    }
    unlock(&ours, 120, 10).expect("a hole");
    assert!(is_free(&theirs, 120, 10, libc::LOCK_EX));
    assert!(!is_free(&theirs, 119, 1, libc::LOCK_EX) && !is_free(&theirs, 130, 1, libc::LOCK_EX));
}

pub fn a_lock_to_the_end_is_to_any_end() {
    let (ours, theirs) = two();
    lock(&ours, 10, UNLIMITED, libc::LOCK_EX).expect("locked");
    ours.set_len(1 << 40).expect("longer");
    for offset in [10, 1 << 39, 1 << 41, i64::MAX as u64 - 1] {
        assert!(!is_free(&theirs, offset, 1, libc::LOCK_SH), "{offset}");
    }
    assert!(is_free(&theirs, 0, 10, libc::LOCK_SH));
    unlock(&ours, 1000, UNLIMITED).expect("unlocked");
    assert!(
        is_free(&theirs, 1000, UNLIMITED, libc::LOCK_EX)
            && !is_free(&theirs, 999, 1, libc::LOCK_EX)
    );
}

pub fn a_new_lock_of_a_description_replaces_its_old_one() {
    let (ours, theirs) = two();
    lock(&ours, 0, 10, libc::LOCK_EX).expect("locked");
    lock(&ours, 0, 5, libc::LOCK_SH).expect("a part becomes shared");
    assert!(is_free(&theirs, 0, 5, libc::LOCK_SH) && !is_free(&theirs, 0, 5, libc::LOCK_EX));
    assert!(!is_free(&theirs, 5, 1, libc::LOCK_SH));
    lock(&theirs, 0, 5, libc::LOCK_SH).expect("shared");
    let failure = lock(&ours, 0, 10, libc::LOCK_EX | libc::LOCK_NB).expect_err("they have one");
    assert_eq!(failure.errno, libc::EAGAIN);
    assert!(
        !is_free(&theirs, 5, 1, libc::LOCK_SH) && !is_free(&theirs, 0, 5, libc::LOCK_EX),
        "it is as before"
    );
    unlock(&theirs, 0, 5).expect("unlocked");
    lock(&ours, 0, 10, libc::LOCK_EX | libc::LOCK_NB).expect("they have none");
    assert!(!is_free(&theirs, 0, 1, libc::LOCK_SH));
}

pub fn duplicates_share_a_lock_until_the_last_is_closed() {
    let (ours, theirs) = two();
    let same = ours.try_clone().expect("dup");
    lock(&ours, 0, 10, libc::LOCK_EX).expect("locked");
    lock(&same, 0, 10, libc::LOCK_EX | libc::LOCK_NB).expect("it is theirs too");
    drop(ours);
    assert!(!is_free(&theirs, 0, 10, libc::LOCK_SH));
    drop(same);
    assert!(is_free(&theirs, 0, 10, libc::LOCK_EX));

    // A lock of the process, as fcntl(2) has them otherwise, would go with any descriptor of the
    // file.
    lock(&theirs, 0, 10, libc::LOCK_EX).expect("locked");
    let path = format!("/proc/self/fd/{}", theirs.as_raw_fd());
    let open = || File::options().read(true).write(true).open(&path).expect("opened");
    drop(open());
    assert!(!is_free(&open(), 0, 10, libc::LOCK_SH));
}

/// Calls F_OFD_SETLK by hand.
fn by_hand(fd: &File, kind: libc::c_int, start: i64, length: i64) -> Result<(), i32> {
    // SAFETY: all-zero is a valid flock.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    (lock.l_type, lock.l_start, lock.l_len) = (kind as i16, start, length);
    // SAFETY: a valid flock.
    match unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_OFD_SETLK, &lock) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error().raw_os_error().expect("an errno")),
    }
}

pub fn locks_and_those_of_fcntl_see_each_other() {
    let (ours, theirs) = two();
    lock(&ours, 10, 10, libc::LOCK_EX).expect("locked");
    assert_eq!(by_hand(&theirs, libc::F_RDLCK, 19, 1), Err(libc::EAGAIN));
    assert_eq!(by_hand(&theirs, libc::F_WRLCK, 20, 0), Ok(()));
    assert!(!is_free(&ours, 1 << 40, 1, libc::LOCK_SH));
    assert_eq!(by_hand(&theirs, libc::F_UNLCK, 0, 0), Ok(()));
    lock(&ours, 0, UNLIMITED, libc::LOCK_SH).expect("locked");
    assert_eq!(by_hand(&theirs, libc::F_RDLCK, 0, 0), Ok(()));
    assert_eq!(by_hand(&ours, libc::F_UNLCK, 0, 0), Ok(()));
    assert!(
        is_free(&theirs, 0, UNLIMITED, libc::LOCK_EX),
        "what was locked here is unlocked there"
    );
}

pub fn locks_that_cannot_be_are_refused() {
    let (ours, theirs) = two();
    let most = i64::MAX as u64;
    let errno = |result: Result<(), Failure>| result.expect_err("refused").errno;
    for (offset, length) in [
        (u64::MAX, 1),
        (1, u64::MAX - 1),
        (u64::MAX, UNLIMITED),
        (most, 1),
        (most - 1, 2),
        (most + 1, UNLIMITED),
        (0, most + 1),
        (0, 0),
        (most, 0),
    ] {
        for operation in [
            libc::LOCK_SH,
            libc::LOCK_EX,
            libc::LOCK_SH | libc::LOCK_NB,
            libc::LOCK_EX | libc::LOCK_NB,
        ] {
            assert_eq!(
                errno(lock(&ours, offset, length, operation)),
                libc::EINVAL,
                "{length} bytes from {offset}"
            );
        }
        assert_eq!(errno(unlock(&ours, offset, length)), libc::EINVAL);
    }
    for (offset, length) in [(most - 1, 1), (0, most), (most - 1, UNLIMITED)] {
        lock(&ours, offset, length, libc::LOCK_EX).expect("a file can have these bytes");
        assert!(!is_free(&theirs, most - 1, 1, libc::LOCK_SH));
        unlock(&ours, offset, length).expect("unlocked");
    }
    let op = |result: Result<(), Failure>| {
        let failure = result.expect_err("refused");
        assert_eq!(failure.errno, libc::EINVAL);
        failure.op
    };
    assert_eq!(
        (op(lock(&ours, 0, 0, libc::LOCK_SH)), op(unlock(&ours, 0, 0))),
        ("length".into(), "length".into())
    );
    for operation in
        [0, libc::LOCK_UN, libc::LOCK_NB, libc::LOCK_SH | libc::LOCK_EX, 16, 32, -1, i32::MIN]
    {
        assert_eq!(op(lock(&ours, 0, 1, operation)), "operation");
    }
    for flags in [1, 4, SHM_CREATE, 1 << 31, u64::MAX] {
        assert_eq!(op(file_lock(&ours, 0, 1, libc::LOCK_SH, -1, flags)), "flags");
    }
    for timeout in [-2, i64::MIN] {
        assert_eq!(op(file_lock(&ours, 0, 1, libc::LOCK_SH, timeout, 0)), "timeout_ns");
        assert_eq!(
            op(file_lock(&ours, 0, 1, libc::LOCK_SH | libc::LOCK_NB, timeout, 0)),
            "timeout_ns"
        );
    }
    for number in [-1, i32::MAX] {
        assert_eq!(errno(lock(&number, 0, 1, libc::LOCK_SH)), libc::EBADF);
        assert_eq!(errno(unlock(&number, 0, 1)), libc::EBADF);
    }
    let path = format!("/proc/self/fd/{}", ours.as_raw_fd());
    let reading = File::open(&path).expect("opened");
    let writing = File::options().write(true).open(&path).expect("opened");
    for tried in [0, libc::LOCK_NB] {
        assert_eq!(errno(lock(&reading, 0, 1, libc::LOCK_EX | tried)), libc::EBADF);
        assert_eq!(errno(lock(&writing, 0, 1, libc::LOCK_SH | tried)), libc::EBADF);
    }
    assert!(is_free(&reading, 0, 1, libc::LOCK_SH) && is_free(&writing, 0, 1, libc::LOCK_EX));
}

pub fn a_wait_for_a_lock_ends_with_its_timeout() {
    let (ours, theirs) = two();
    lock(&ours, 0, 10, libc::LOCK_EX).expect("locked");
    for timeout in [1, 1_000_000, 30_000_000] {
        for flags in [0, INTERRUPTIBLE] {
            let before = Instant::now();
            let failure = file_lock(&theirs, 5, 1, libc::LOCK_SH, timeout, flags)
                .expect_err("nobody unlocks it");
            assert_eq!((failure.errno, failure.op.as_str()), (libc::ETIMEDOUT, "file_lock"));
            assert!(before.elapsed() >= Duration::from_nanos(timeout as u64), "not before");
        }
    }
    for (operation, timeout) in [
        (libc::LOCK_SH, 0),
        (libc::LOCK_SH | libc::LOCK_NB, -1),
        (libc::LOCK_EX | libc::LOCK_NB, i64::MAX),
    ] {
        let failure =
            file_lock(&theirs, 5, 1, operation, timeout, 0).expect_err("nobody unlocks it");
        assert_eq!(failure.errno, libc::EAGAIN);
    }
    // A free lock is not waited for.
    for timeout in [-1, 0, 1, i64::MAX] {
        file_lock(&theirs, 20, 1, libc::LOCK_EX, timeout, INTERRUPTIBLE).expect("free");
    }
}

pub fn a_lock_ends_with_its_value_in_rust() {
    use bytefd::share::{FileLockOptions, LockKind, file_lock, file_unlock};
    let (ours, theirs) = two();
    let locked = file_lock(&ours, 0..10, LockKind::Exclusive).expect("locked");
    assert!(
        !is_free(&theirs, 9, 1, libc::LOCK_SH) && is_free(&theirs, 10, UNLIMITED, libc::LOCK_EX)
    );
    let limited = FileLockOptions::new().timeout(Duration::from_millis(1)).interruptible(true);
    let error = limited.lock(&theirs, 9..=9, LockKind::Shared).expect_err("locked");
    assert_eq!((error.errno(), error.op()), (libc::ETIMEDOUT, "file_lock"));
    drop(locked);
    assert!(is_free(&theirs, 0, UNLIMITED, libc::LOCK_EX));
    file_lock(&ours, .., LockKind::Shared).expect("locked").keep();
    assert!(!is_free(&theirs, 0, 1, libc::LOCK_EX), "it is kept");
    file_unlock(&ours, ..).expect("unlocked");
    assert!(is_free(&theirs, 0, 1, libc::LOCK_EX));
    for range in [0..0, 5..5] {
        let error = file_lock(&ours, range, LockKind::Shared).map(|_| ()).expect_err("no bytes");
        assert_eq!((error.errno(), error.op()), (libc::EINVAL, "length"));
    }
}

// Waiting that another process must end
// -------------------------------------------------------------------------------------------------

/// Forks a child that locks all exclusively by a description of its own, and ends with the mark
/// that it then finds.
fn waiter(file: &tempfile::NamedTempFile, mark: &Map) -> Child {
    let mut child = Child::new(|to| {
        let own = again(file);
        say(to, 1);
        lock(&own, 0, UNLIMITED, libc::LOCK_EX).expect("locked");
        mark.part(0, 1)[0].into()
    });
    child.hear();
    child.wait_until_asleep();
    child
}

pub fn a_lock_is_waited_for_until_it_is_ended() {
    let (file, mark) = (tempfile::NamedTempFile::new().expect("a file"), shared(1));
    let ours = again(&file);
    for operation in [libc::LOCK_SH, libc::LOCK_EX] {
        mark.store(0, &[0]);
        lock(&ours, 5, 1, operation).expect("locked");
        let child = waiter(&file, &mark);
        mark.store(0, &[7]);
        unlock(&ours, 0, UNLIMITED).expect("unlocked");
        assert_eq!(child.end(), End::Exited(7));
    }
}

pub fn a_lock_is_waited_for_until_its_last_descriptor_is_closed() {
    let (file, mark) = (tempfile::NamedTempFile::new().expect("a file"), shared(1));
    let ours = again(&file);
    let same = ours.try_clone().expect("dup");
    lock(&ours, 5, 1, libc::LOCK_EX).expect("locked");
    let mut child = Child::new(|to| {
        // A child has what its parent has: these would keep the lock.
        for inherited in [&ours, &same] {
            // SAFETY: not used again here, and the child ends without dropping it.
            assert_eq!(unsafe { libc::close(inherited.as_raw_fd()) }, 0);
        }
        let own = again(&file);
        say(to, 1);
        lock(&own, 0, UNLIMITED, libc::LOCK_EX).expect("locked");
        mark.part(0, 1)[0].into()
    });
    child.hear();
    child.wait_until_asleep();
    drop(ours);
    mark.store(0, &[7]);
    drop(same);
    assert_eq!(child.end(), End::Exited(7));
}

pub fn a_lock_is_waited_for_until_its_holder_is_killed() {
    let (file, mark) = (tempfile::NamedTempFile::new().expect("a file"), shared(1));
    let mut holder = Child::new(|to| {
        let own = again(&file);
        lock(&own, 5, 1, libc::LOCK_EX).expect("locked");
        say(to, 1);
        sleep_for_ever()
    });
    holder.hear();
    let child = waiter(&file, &mark);
    assert!(!is_free(&again(&file), 5, 1, libc::LOCK_SH));
    mark.store(0, &[7]);
    holder.kill();
    assert_eq!(child.end(), End::Exited(7));
}

pub fn shared_locks_of_many_processes_keep_an_exclusive_one_out() {
    let (file, mark) = (tempfile::NamedTempFile::new().expect("a file"), shared(1));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let mut child = Child::new(|to| {
                let own = again(&file);
                lock(&own, 0, 10, libc::LOCK_SH).expect("locked");
                say(to, 1);
                sleep_for_ever()
            });
            child.hear();
            child
        })
        .collect();
    let child = waiter(&file, &mark);
    for reader in readers {
        assert!(!is_free(&again(&file), 0, 10, libc::LOCK_EX));
        mark.store(0, &[mark.part(0, 1)[0] + 1]);
        reader.kill();
    }
    assert_eq!(child.end(), End::Exited(3), "when the last has gone");
}

pub fn a_lock_is_waited_for_though_signals_interrupt() {
    let (file, mark) = (tempfile::NamedTempFile::new().expect("a file"), shared(1));
    let ours = again(&file);
    lock(&ours, 0, UNLIMITED, libc::LOCK_EX).expect("locked");
    let mut child = Child::new(|to| {
        extern "C" fn nothing(_: i32) {}
        // SAFETY: a handler that does nothing, without SA_RESTART.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = nothing as *const () as usize;
            libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut());
        }
        let own = again(&file);
        say(to, 1);
        lock(&own, 0, UNLIMITED, libc::LOCK_EX).expect("locked");
        mark.part(0, 1)[0].into()
    });
    child.hear();
    for _ in 0..20 {
        child.wait_until_asleep();
        // SAFETY: our own child.
        unsafe { libc::kill(child.process(), libc::SIGUSR1) };
    }
    mark.store(0, &[7]);
    unlock(&ours, 0, UNLIMITED).expect("unlocked");
    assert_eq!(child.end(), End::Exited(7));
}

/// F_OFD_SETLKW would go on under SA_RESTART.
pub fn a_signal_ends_an_interruptible_wait_for_a_lock() {
    let (ours, theirs) = two();
    lock(&ours, 0, UNLIMITED, libc::LOCK_EX).expect("locked");
    for timeout in [-1, i64::MAX] {
        let ended = under_restarting_alarms(|| {
            file_lock(&theirs, 0, 1, libc::LOCK_SH, timeout, INTERRUPTIBLE)
        });
        assert_eq!(ended.expect_err("interrupted").errno, libc::EINTR);
        let ended =
            under_alarms(|_| file_lock(&theirs, 0, 1, libc::LOCK_SH, timeout, INTERRUPTIBLE));
        assert_eq!(ended.expect_err("interrupted").errno, libc::EINTR);
    }
    let ended = under_restarting_alarms(|| file_lock(&theirs, 0, 1, libc::LOCK_SH, 50_000_000, 0));
    assert_eq!(ended.expect_err("it waits on").errno, libc::ETIMEDOUT);
}
