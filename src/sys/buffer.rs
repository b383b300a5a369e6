//! Memory that is filled from its start, and not cleared before.

use crate::error::Errno;
use crate::sys::call::Result;

/// A buffer of a fixed size. What has not been filled yet costs address space only, until somebody
/// writes there.
pub(crate) struct Buffer {
    /// Its length is what has been initialised so far.
    memory: Vec<u8>,
    filled: usize,
}

impl Buffer {
    /// ENOMEM if there is no memory for `size` bytes.
    pub fn new(size: usize) -> Result<Buffer> {
        let mut memory = Vec::new();
        memory.try_reserve_exact(size).map_err(|_| Errno(libc::ENOMEM))?;
        Ok(Buffer { memory, filled: 0 })
    }

    pub fn filled(&self) -> &[u8] {
        &self.memory[..self.filled]
    }

    /// How many bytes more it takes.
    pub fn room(&self) -> usize {
        self.memory.capacity() - self.filled
    }

    pub fn clear(&mut self) {
        self.filled = 0;
    }

    /// The next `size` bytes, for code that may look at them before it fills them. There must be
    /// room for them.
    pub fn spare(&mut self, size: usize) -> &mut [u8] {
        assert!(size <= self.room());
        let end = self.filled + size;
        if self.memory.len() < end {
            self.memory.resize(end, 0);
        }
        &mut self.memory[self.filled..end]
    }

    /// Counts bytes of [`Buffer::spare`] as filled.
    pub fn advance(&mut self, count: usize) {
        assert!(count <= self.memory.len() - self.filled);
        self.filled += count;
    }

    /// Lets the kernel fill at most `room` bytes. Returns how many it has filled.
    ///
    /// # Safety
    /// `read` is given an address and the number of bytes that may be stored there. It stores as
    /// many as it says, or fails.
    pub(super) unsafe fn fill(
        &mut self,
        room: usize,
        read: impl FnOnce(*mut libc::c_void, usize) -> Result<libc::ssize_t>,
    ) -> Result<usize> {
        let room = room.min(self.room());
        // SAFETY: within the capacity.
        let at = unsafe { self.memory.as_mut_ptr().add(self.filled) };
        let count = read(at.cast(), room)? as usize;
        assert!(count <= room);
        self.filled += count;
        if self.memory.len() < self.filled {
            // SAFETY: within the capacity, and the caller vouches for what is new.
            unsafe { self.memory.set_len(self.filled) };
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_filled_either_way_is_there_and_nothing_else() {
        let mut buffer = Buffer::new(100).expect("memory");
        assert!(buffer.room() >= 100 && buffer.filled().is_empty());
        // SAFETY: stores what it says.
        let count = unsafe {
            buffer.fill(10, |at, room| {
                at.cast::<u8>().write_bytes(b'x', room - 3);
                Ok((room - 3) as libc::ssize_t)
            })
        };
        assert_eq!(count, Ok(7));
        buffer.spare(20)[..2].copy_from_slice(b"yz");
        assert!(buffer.spare(20)[2..].iter().all(|byte| *byte == 0));
        buffer.advance(2);
        assert_eq!(buffer.filled(), b"xxxxxxxyz");
        // SAFETY: it stores nothing.
        assert_eq!(unsafe { buffer.fill(1, |_, _| Err(Errno(libc::EIO))) }, Err(Errno(libc::EIO)));
        assert_eq!(buffer.filled(), b"xxxxxxxyz");
        buffer.clear();
        assert!(buffer.filled().is_empty() && buffer.room() >= 100);
        assert_eq!(Buffer::new(usize::MAX).err(), Some(Errno(libc::ENOMEM)));
    }
}
