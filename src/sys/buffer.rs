//! Memory that is filled from its start and not cleared before.

use std::mem::MaybeUninit;

use crate::error::Errno;
use crate::sys::call::Result;

/// A buffer of a fixed size. The part that was never written costs address space only.
pub(crate) struct Buffer {
    /// Its length is the number of bytes initialised until now.
    memory: Vec<u8>,
    filled: usize,
}

impl Buffer {
    /// Makes an empty buffer. ENOMEM if there is no memory for `size` bytes.
    pub fn new(size: usize) -> Result<Buffer> {
        let mut memory = Vec::new();
        memory.try_reserve_exact(size).map_err(|_| Errno(libc::ENOMEM))?;
        Ok(Buffer { memory, filled: 0 })
    }

    pub fn filled(&self) -> &[u8] {
        &self.memory[..self.filled]
    }

    /// Returns how many bytes can still be filled.
    pub fn room(&self) -> usize {
        self.memory.capacity() - self.filled
    }

    pub fn clear(&mut self) {
        self.filled = 0;
    }

    /// Fills at most `room` more bytes. `fill` returns the number of bytes filled, and so does
    /// this.
    pub fn fill<E>(
        &mut self,
        room: usize,
        fill: impl FnOnce(&mut Spare<'_>) -> std::result::Result<usize, E>,
    ) -> std::result::Result<usize, E> {
        let (filled, initialised) = (self.filled, self.memory.len());
        let room = room.min(self.room());
        // SAFETY: the range lies within the capacity, and `memory` is not used until `fill` has
        // returned.
        let memory = unsafe {
            let start = self.memory.as_mut_ptr().add(filled).cast::<MaybeUninit<u8>>();
            std::slice::from_raw_parts_mut(start, room)
        };
        let mut spare = Spare { memory, initialised: (initialised - filled).min(room) };
        let count = fill(&mut spare);
        let end = filled + spare.initialised;
        if initialised < end {
            // SAFETY: all bytes before were initialised, and `fill` has initialised the new ones.
            unsafe { self.memory.set_len(end) };
        }
        let count = count?;
        assert!(count <= end - filled);
        self.filled += count;
        Ok(count)
    }
}

/// Memory that is about to be filled from its start.
pub(crate) struct Spare<'a> {
    memory: &'a mut [MaybeUninit<u8>],
    /// Number of bytes, from the start, that are initialised.
    initialised: usize,
}

impl<'a> Spare<'a> {
    /// Makes a spare of memory that is initialised, all of it.
    pub(super) fn of(memory: &'a mut [MaybeUninit<u8>]) -> Spare<'a> {
        Spare { initialised: memory.len(), memory }
    }

    pub fn room(&self) -> usize {
        self.memory.len()
    }

    /// Limits the memory to its first `room` bytes.
    pub fn limit(&mut self, room: usize) {
        let room = room.min(self.room());
        self.memory = &mut std::mem::take(&mut self.memory)[..room];
        self.initialised = self.initialised.min(room);
    }

    /// Returns the first `size` bytes, for code that may read them before it fills them.
    pub fn cleared(&mut self, size: usize) -> &mut [u8] {
        if self.initialised < size {
            self.memory[self.initialised..size].fill(MaybeUninit::new(0));
            self.initialised = size;
        }
        let memory = &mut self.memory[..size];
        // SAFETY: all of these bytes are initialised, as done above.
        unsafe { &mut *(std::ptr::from_mut(memory) as *mut [u8]) }
    }

    /// Lets `read` fill the memory. Returns the number of bytes filled.
    ///
    /// # Safety
    /// `read` is given an address and the number of bytes that may be stored there. It stores as
    /// many bytes as it returns, or fails.
    pub(super) unsafe fn fill(
        &mut self,
        read: impl FnOnce(*mut libc::c_void, usize) -> Result<libc::ssize_t>,
    ) -> Result<usize> {
        let count = read(self.memory.as_mut_ptr().cast(), self.memory.len())? as usize;
        assert!(count <= self.memory.len());
        self.initialised = self.initialised.max(count);
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
        let count = buffer.fill(10, |spare| {
            // SAFETY: the closure stores as many bytes as it returns, and more.
            unsafe {
                spare.fill(|at, room| {
                    at.cast::<u8>().write_bytes(b'x', room);
                    Ok((room - 3) as libc::ssize_t)
                })
            }
        });
        assert_eq!(count, Ok(7));
        let filled = buffer.fill(40, |spare| -> Result<usize> {
            spare.limit(20);
            assert_eq!(spare.room(), 20);
            let bytes = spare.cleared(20);
            assert!(bytes.iter().all(|byte| *byte == 0));
            bytes.copy_from_slice(b"yz..................");
            Ok(2)
        });
        assert_eq!(filled, Ok(2));
        assert_eq!(buffer.filled(), b"xxxxxxxyz");
        // Bytes that were stored there before are not cleared again.
        let failed = buffer.fill(30, |spare| -> Result<usize> {
            let bytes = spare.cleared(30);
            assert!(bytes[..18].iter().all(|byte| *byte == b'.') && bytes[18..] == [0; 12]);
            Err(Errno(libc::EIO))
        });
        assert_eq!(failed, Err(Errno(libc::EIO)));
        // SAFETY: the closure stores nothing.
        let failed = buffer.fill(1, |spare| unsafe { spare.fill(|_, _| Err(Errno(libc::EIO))) });
        assert_eq!(failed, Err(Errno(libc::EIO)));
        assert_eq!(buffer.filled(), b"xxxxxxxyz");
        buffer.clear();
        assert!(buffer.filled().is_empty() && buffer.room() >= 100);
        assert_eq!(Buffer::new(usize::MAX).err(), Some(Errno(libc::ENOMEM)));
    }
}
