//! Makes the system calls of io_uring(7): files and buffers that are registered stay, whatever is
//! closed and unmapped.

use std::io::Write;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering::*};

use super::Rule::*;
use super::mappings::{Mapped, mapped_for_writing};
use super::*;

const BUFFERS: Rule = Named("io_uring's registered buffers");

pub const WAYS: &[Way] = &[
    Way { name: "a file registered with io_uring", keep: registered_file, rule: Seen },
    Way {
        name: "the pool's own registered with io_uring",
        keep: registered_master,
        rule: Named("takes the pool's own descriptors"),
    },
    Way {
        name: "a buffer registered with io_uring, of a mapping for reading",
        keep: buffer_for_reading,
        rule: Harmless,
    },
    Way {
        name: "a buffer registered with io_uring, of a private mapping",
        keep: private_buffer,
        rule: Harmless,
    },
    Way {
        name: "a buffer registered with io_uring, of a mapping for writing",
        keep: stored_buffer,
        rule: If(shows_each_change, &Seen, &Named("Before Linux 6.13")),
    },
    Way { name: "the same some time after the scan began", keep: late_buffer, rule: Seen },
    // Root needs no other mode, and a mapping that is only read moves no time.
    Way {
        name: "a buffer registered with io_uring, of a mapping for writing that was read",
        keep: read_buffer,
        rule: If(is_root, &BUFFERS, &If(shows_each_change, &Seen, &Named("Before Linux 6.13"))),
    },
];

/// A ring of a few entries.
struct Ring {
    fd: OwnedFd,
    queue: Area,
    entries: Area,
    /// Offsets into `queue`: the tail and the array of submitted requests; head and tail of
    /// completed requests.
    tail: usize,
    array: usize,
    done_head: usize,
    done_tail: usize,
    mask: u32,
}

/// Memory of the kernel, mapped.
struct Area(*mut u8, usize);

impl Area {
    fn new(fd: &OwnedFd, offset: i64, length: usize) -> Result<Area, Skip> {
        let (protection, sharing) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_POPULATE);
        // SAFETY: a new mapping.
        let at =
            unsafe { libc::mmap(null_mut(), length, protection, sharing, fd.as_raw_fd(), offset) };
        if at == libc::MAP_FAILED {
            Err(std::io::Error::last_os_error().into())
        } else {
            Ok(Area(at.cast(), length))
        }
    }

    fn word(&self, at: usize) -> &AtomicU32 {
        // SAFETY: aligned, within the mapping, and only used in this way.
        unsafe { &*self.0.add(at).cast() }
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`.
        unsafe { libc::munmap(self.0.cast(), self.1) };
    }
}

impl Ring {
    fn new() -> Result<Ring, Skip> {
        const ENTRIES: usize = 4;
        // `struct io_uring_params`: after ten words the offsets of the two queues, ten words each.
        let mut parameters = [0u32; 30];
        // SAFETY: as long as the struct.
        let fd = owned(unsafe {
            libc::syscall(libc::SYS_io_uring_setup, ENTRIES, parameters.as_mut_ptr())
        })?;
        let at = |index: usize| parameters[index] as usize;
        let length = at(10 + 6) + ENTRIES * 4;
        let length = length.max(at(20 + 5) + at(1) * 16);
        Ok(Ring {
            queue: Area::new(&fd, 0, length)?,
            entries: Area::new(&fd, 0x1000_0000, ENTRIES * 64)?,
            tail: at(10 + 1),
            array: at(10 + 6),
            done_head: at(20),
            done_tail: at(20 + 1),
            mask: ENTRIES as u32 - 1,
            fd,
        })
    }

    fn register(&self, what: u32, argument: *const std::ffi::c_void) -> Result<(), Skip> {
        // SAFETY: one buffer or file.
        checked(unsafe {
            libc::syscall(libc::SYS_io_uring_register, self.fd.as_raw_fd(), what, argument, 1)
        })
        .map(drop)
    }

    fn register_buffer(&self, map: &Mapped, size: usize) -> Result<(), Skip> {
        let part = libc::iovec { iov_base: map.at.cast(), iov_len: size };
        self.register(0, (&raw const part).cast())
    }

    fn register_file(&self, fd: c_int) -> Result<(), Skip> {
        self.register(2, (&raw const fd).cast())
    }

    /// Does one thing, and waits until it is done.
    fn run(&self, operation: u8, flags: u8, fd: c_int, address: u64, length: usize) {
        let tail = self.queue.word(self.tail).load(Acquire);
        let index = tail & self.mask;
        // `struct io_uring_sqe`; offset 0, the first of what is registered.
        let mut entry = [0u8; 64];
        (entry[0], entry[1]) = (operation, flags);
        entry[4..8].copy_from_slice(&fd.to_ne_bytes());
        entry[16..24].copy_from_slice(&address.to_ne_bytes());
        entry[24..28].copy_from_slice(&(length as u32).to_ne_bytes());
        // SAFETY: an entry that the kernel does not look at now.
        unsafe { self.entries.0.add(index as usize * 64).copy_from(entry.as_ptr(), 64) };
        self.queue.word(self.array + index as usize * 4).store(index, Relaxed);
        self.queue.word(self.tail).store(tail + 1, Release);
        const GETEVENTS: u32 = 1;
        let call = libc::SYS_io_uring_enter;
        // SAFETY: no pointers are given.
        let done = unsafe {
            libc::syscall(call, self.fd.as_raw_fd(), 1, 1, GETEVENTS, null_mut::<u8>(), 0)
        };
        assert_eq!(done, 1, "{}", std::io::Error::last_os_error());
        self.queue
            .word(self.done_head)
            .store(self.queue.word(self.done_tail).load(Acquire), Release);
    }
}

/// Reads from a pipe into the buffer, and writes from it into a pipe, wherever its pages are by
/// now.
fn through_buffer(ring: Ring, address: u64, size: usize) -> Kept {
    const READ_FIXED: u8 = 4;
    const WRITE_FIXED: u8 = 5;
    let ring = Rc::new(ring);
    let same = ring.clone();
    let count = size.min(page_size());
    let look = move |_| {
        use std::io::Read;
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        ring.run(WRITE_FIXED, 0, writer.as_raw_fd(), address, count);
        let mut seen = vec![0; count];
        reader.read_exact(&mut seen).expect("what was written");
        Some(seen)
    };
    Kept::look(look).and_meddle(move || {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        writer.write_all(&vec![b'X'; count]).expect("room");
        same.run(READ_FIXED, 0, reader.as_raw_fd(), address, count);
    })
}

fn registered(map: Mapped, size: usize) -> Result<Kept, Skip> {
    let ring = Ring::new()?;
    ring.register_buffer(&map, size)?;
    Ok(through_buffer(ring, map.at.addr() as u64, size))
}

/// This is refused: the kernel wants to write into what is registered.
fn buffer_for_reading(fd: c_int, size: usize) -> Result<Kept, Skip> {
    registered(Mapped::new(fd, size, libc::PROT_READ, libc::MAP_SHARED)?, size)
}

/// The registration copies the pages.
fn private_buffer(fd: c_int, size: usize) -> Result<Kept, Skip> {
    registered(Mapped::new(fd, size, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE)?, size)
}

fn stored_buffer(fd: c_int, size: usize) -> Result<Kept, Skip> {
    let map = mapped_for_writing(fd, size)?;
    // Not read before: that would let the store pass unnoticed.
    // SAFETY: a byte of the mapping.
    unsafe { map.at.write_volatile(b'X') };
    registered(map, size)
}

/// Stores after the clock has moved on, so that the change has a new time.
fn late_buffer(fd: c_int, size: usize) -> Result<Kept, Skip> {
    let now = || {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: writable.
        assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &mut time) }, 0);
        (time.tv_sec, time.tv_nsec)
    };
    let began = now();
    while now() == began {
        std::thread::yield_now();
    }
    stored_buffer(fd, size)
}

fn read_buffer(fd: c_int, size: usize) -> Result<Kept, Skip> {
    let map = mapped_for_writing(fd, size)?;
    for page in (0..size).step_by(page_size()) {
        // SAFETY: a byte of the mapping.
        unsafe { map.at.add(page).read_volatile() };
    }
    registered(map, size)
}

/// Reads through a registered file.
fn through_file(ring: Ring, size: usize) -> Kept {
    const FIXED_FILE: u8 = 1;
    const READ: u8 = 22;
    const WRITE: u8 = 23;
    let ring = Rc::new(ring);
    let same = ring.clone();
    let look = move |_| {
        let mut seen = vec![0u8; size];
        ring.run(READ, FIXED_FILE, 0, seen.as_mut_ptr().addr() as u64, size);
        Some(seen)
    };
    Kept::look(look).and_meddle(move || {
        let bytes = [b'X'; 100];
        same.run(WRITE, FIXED_FILE, 0, bytes.as_ptr().addr() as u64, bytes.len());
    })
}

fn registered_file(fd: c_int, size: usize) -> Result<Kept, Skip> {
    let ring = Ring::new()?;
    ring.register_file(fd)?;
    Ok(through_file(ring, size))
}

fn registered_master(fd: c_int, size: usize) -> Result<Kept, Skip> {
    registered_file(master_of(fd)?, size)
}
