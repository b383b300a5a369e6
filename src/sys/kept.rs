//! Keeps descriptors between uses, for a question or a path that is needed again and again.

use std::os::fd::{AsFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering::*};

use super::call::Result;
use super::file::{self, Identity};

/// A descriptor that one thread at a time takes and puts back. Another thread opens its own
/// meanwhile.
#[derive(Debug)]
pub(crate) struct Kept {
    fd: AtomicI32,
    // Device and inode of the file, for the check in a child.
    device: AtomicU64,
    inode: AtomicU64,
}

const NONE: i32 = -1;

impl Kept {
    pub const fn new() -> Kept {
        Kept { fd: AtomicI32::new(NONE), device: AtomicU64::new(0), inode: AtomicU64::new(0) }
    }

    /// Returns the kept descriptor, or the one that `open` opens.
    pub fn take_or(&self, open: impl FnOnce() -> Result<OwnedFd>) -> Result<OwnedFd> {
        if let Some(kept) = self.take() {
            return Ok(kept);
        }
        let fd = open().and_then(file::above_standard_streams)?;
        let (device, inode) = file::fstat(fd.as_fd())?.identity.into_parts();
        self.device.store(device, Relaxed);
        self.inode.store(inode, Relaxed);
        Ok(fd)
    }

    pub fn put_back(&self, fd: OwnedFd) {
        let other = self.fd.swap(fd.into_raw_fd(), AcqRel);
        if other != NONE {
            // SAFETY: its owner put it here, and the swap made it ours.
            drop(unsafe { OwnedFd::from_raw_fd(other) });
        }
    }

    fn take(&self) -> Option<OwnedFd> {
        let fd = self.fd.swap(NONE, Acquire);
        // SAFETY: its owner put it here, and the swap made it ours.
        (fd != NONE).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// Closes the descriptor. The next use opens another one.
    pub fn close(&self) {
        self.take();
    }

    /// Closes, in a child made by fork, the parent's descriptor, if it is still open here.
    pub fn drop_inherited(&self) {
        let fd = self.fd.swap(NONE, Acquire);
        if fd != NONE {
            let identity =
                Identity::from_parts((self.device.load(Relaxed), self.inode.load(Relaxed)));
            file::close_raw_if(fd, identity);
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn one_thread_at_a_time_has_it_and_the_last_one_is_closed() {
        let kept = Kept::new();
        let open = || file::open(c"/proc/self/maps", libc::O_RDONLY, 0);
        let first = kept.take_or(open).expect("a descriptor");
        let second = kept.take_or(open).expect("another one");
        let numbers = (first.as_raw_fd(), second.as_raw_fd());
        assert_ne!(numbers.0, numbers.1);
        kept.put_back(first);
        assert_eq!(
            kept.take_or(|| unreachable!("kept")).expect("the first").into_raw_fd(),
            numbers.0
        );
        kept.put_back(second);
        // SAFETY: the number was taken out of its owner above.
        kept.put_back(unsafe { OwnedFd::from_raw_fd(numbers.0) });
        assert!(file::is_open(numbers.0));
        drop(kept);
        assert!(!file::fstat_raw(numbers.0).is_ok_and(|stat| stat.is_regular()));
    }
}
