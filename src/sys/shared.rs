//! Holds descriptors that several threads use at the same time, and that can be closed meanwhile.

use std::os::fd::{BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::*};

use super::file::{self, Identity};

/// Holds two descriptors, or none. No thread waits. If the descriptors are closed while threads use
/// them, the last of these threads closes them.
#[derive(Debug)]
pub(crate) struct Shared {
    /// [`OPEN`] or not, plus the number of users. Or [`BUSY`] while a thread opens or closes them.
    state: AtomicU32,
    noted: [Noted; 2],
}

const OPEN: u32 = 1 << 31;
const BUSY: u32 = 1 << 30;

/// A descriptor, and the device and inode of its file, for the check in a child.
#[derive(Debug)]
struct Noted {
    fd: AtomicI32,
    device: AtomicU64,
    inode: AtomicU64,
}

const NONE: i32 = -1;

/// A use of the descriptors, which keeps them open.
pub(crate) struct User<'a>(&'a Shared);

impl Shared {
    pub const fn new() -> Shared {
        Shared { state: AtomicU32::new(0), noted: [Noted::new(), Noted::new()] }
    }

    /// Returns the descriptors, if they are open.
    pub fn enter(&self) -> Option<User<'_>> {
        let one_more = |state: u32| (state & OPEN != 0).then_some(state + 1);
        self.state.fetch_update(Acquire, Relaxed, one_more).ok().map(|_| User(self))
    }

    /// Calls `open` and notes its descriptors, if there are none yet. Returns `None`, without
    /// calling `open`, if the descriptors are open, or a thread uses, opens or closes them.
    pub fn open_with<E>(
        &self,
        open: impl FnOnce() -> std::result::Result<[(OwnedFd, Identity); 2], E>,
    ) -> Option<std::result::Result<User<'_>, E>> {
        self.state.compare_exchange(0, BUSY, Acquire, Relaxed).ok()?;
        let opened = open();
        let state = if opened.is_ok() { OPEN | 1 } else { 0 };
        let opened = opened.map(|descriptors| {
            for (noted, (fd, identity)) in self.noted.iter().zip(descriptors) {
                noted.note(fd, identity);
            }
            User(self)
        });
        self.state.store(state, Release);
        Some(opened)
    }

    /// Closes the descriptors, at once or after the last use.
    pub fn close(&self) {
        let closed = |state: u32| match state {
            OPEN => Some(BUSY),
            used if used & OPEN != 0 => Some(used & !OPEN),
            _ => None,
        };
        if self.state.fetch_update(AcqRel, Relaxed, closed) == Ok(OPEN) {
            self.close_now();
        }
    }

    /// Closes the descriptors. Only the thread that has set [`BUSY`] calls this.
    fn close_now(&self) {
        for noted in &self.noted {
            // SAFETY: its owner noted the descriptor here, and [`BUSY`] says that no thread uses it
            // any more.
            noted.take(|fd| drop(unsafe { OwnedFd::from_raw_fd(fd) }));
        }
        self.state.store(0, Release);
    }

    fn leave(&self) {
        let one_less = |state: u32| Some(if state == 1 { BUSY } else { state - 1 });
        if self.state.fetch_update(AcqRel, Relaxed, one_less) == Ok(1) {
            self.close_now();
        }
    }

    /// Closes, in a child made by fork, the parent's descriptors, if they are still open here. The
    /// child has no other thread.
    pub fn drop_inherited(&self) {
        self.noted
            .iter()
            .for_each(|noted| noted.take(|fd| file::close_raw_if(fd, noted.identity())));
        self.state.store(0, Release);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.close();
    }
}

impl User<'_> {
    pub fn first(&self) -> BorrowedFd<'_> {
        self.0.noted[0].borrow()
    }

    pub fn second(&self) -> BorrowedFd<'_> {
        self.0.noted[1].borrow()
    }
}

impl Drop for User<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Noted {
    const fn new() -> Noted {
        Noted { fd: AtomicI32::new(NONE), device: AtomicU64::new(0), inode: AtomicU64::new(0) }
    }

    fn note(&self, fd: OwnedFd, identity: Identity) {
        let (device, inode) = identity.into_parts();
        self.device.store(device, Relaxed);
        self.inode.store(inode, Relaxed);
        self.fd.store(fd.into_raw_fd(), Release);
    }

    fn borrow(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor was noted as open, and stays open while there is a `User`.
        unsafe { BorrowedFd::borrow_raw(self.fd.load(Relaxed)) }
    }

    fn identity(&self) -> Identity {
        Identity::from_parts((self.device.load(Relaxed), self.inode.load(Relaxed)))
    }

    /// Closes the descriptor, then forgets it. A child that is forked in between compares the file
    /// before it closes the number.
    fn take(&self, close: impl FnOnce(i32)) {
        let fd = self.fd.load(Acquire);
        if fd != NONE {
            close(fd);
            self.fd.store(NONE, Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd, AsRawFd};

    use super::*;

    fn two() -> std::result::Result<[(OwnedFd, Identity); 2], ()> {
        Ok([c"/proc", c"/sys"].map(|path| {
            let fd = file::open(path, libc::O_RDONLY, 0).expect("a directory");
            let identity = file::fstat(fd.as_fd()).expect("open").identity;
            (fd, identity)
        }))
    }

    fn stat(fd: i32) -> Option<Identity> {
        file::fstat_raw(fd).ok().map(|stat| stat.identity)
    }

    #[test]
    fn the_last_user_closes_what_was_closed_meanwhile() {
        let shared = Shared::new();
        assert!(shared.enter().is_none());
        assert!(shared.open_with(|| Err(())).is_some_and(|opened| opened.is_err()));
        let first = shared.open_with(two).expect("nobody else").expect("opened");
        assert!(shared.open_with(two).is_none());
        let second = shared.enter().expect("open");
        let (number, identity) = (second.first().as_raw_fd(), stat(second.first().as_raw_fd()));
        assert!(identity.is_some() && identity != stat(second.second().as_raw_fd()));
        shared.close();
        assert!(shared.enter().is_none() && shared.open_with(two).is_none());
        drop(first);
        assert_eq!(stat(number), identity);
        drop(second);
        assert_ne!(stat(number), identity);
        assert!(shared.open_with(two).is_some());
        shared.close();
        shared.close();
        assert!(shared.enter().is_none());
    }

    #[test]
    fn threads_that_use_and_close_never_find_a_closed_one() {
        let shared = Shared::new();
        let expected = two().expect("two").map(|(_, identity)| identity);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..2000 {
                        let user = shared
                            .enter()
                            .or_else(|| shared.open_with(two).map(|opened| opened.expect("two")));
                        if let Some(user) = user {
                            let seen = [user.first(), user.second()]
                                .map(|fd| file::fstat(fd).expect("open").identity);
                            assert_eq!(seen, expected);
                        }
                        if round % 7 == 0 {
                            shared.close();
                        }
                    }
                });
            }
        });
    }
}
