//! Copies out of and into memory that may be lost: mapped files that are made shorter, or that have
//! no space left. A lost page ends the copy and not the process, and every byte before it is
//! copied.
//!
//! In a guarded range one instruction copies (`rep movsb`), which the handler of [`super::guard`]
//! knows and can end. The caller first checks that the handler would be called. Elsewhere the
//! kernel copies, by `process_vm_readv` on this process, or through a pipe where that call is
//! refused. The kernel answers EFAULT where a program gets a signal.
//!
//! Go copies without C (`go/internal/marked`), by the same instruction with the same marks. The
//! handler of every copy of the library in the process can end such a copy. So the marks are an
//! interface between the two languages, and never change. If the handler is not in place, a fault
//! becomes a panic in Go, and Go lets C copy the bytes. In a guarded map Go asks C only for what Go
//! cannot see:
//! - whether pages were replaced, if the program was ever given the map's memory;
//! - the length of the file, if the next page is not there. In the map's last page Go first reads
//!   two bytes: the last byte of the copy and the last byte of the map. If one of them is not zero,
//!   Go does not ask, because the kernel clears what it cuts off. In a map for writing, Go does
//!   this only if the program was never given the memory. If that map is private, the program must
//!   also have stored nothing in it.

use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use super::call::{Result, check, retry};
use super::features::PROCESS_VM_READV;
use super::file::{self, ZEROS};
use super::mapping::Mapping;
use super::process::page_size;
use crate::error::Errno;

pub(in crate::sys) use instruction::stop;

/// Copies the bytes at `mapped` to `to`, up to the first lost byte, and returns the number of bytes
/// copied. `guarded` means that all of them are in the range of a [`Guard`](super::guard::Guard),
/// which replaces none of its pages for this copy.
///
/// EFAULT if `to` cannot be written; in a guarded copy that raises a signal, like any other store.
///
/// # Safety
/// `mapped` is mapped and `to` is the caller's, `length` bytes each, and they do not overlap. Bytes
/// that others store meanwhile are copied or not.
pub(crate) unsafe fn read(
    mapped: *const u8,
    to: *mut u8,
    length: usize,
    guarded: bool,
) -> Result<usize> {
    if guarded && instruction::IS_KNOWN {
        return count(mapped, length, |at, length| {
            // SAFETY: the caller guarantees both ranges.
            Ok(unsafe { instruction::read(mapped.add(at), to.add(at), length) })
        });
    }
    let moved = by_kernel(mapped, length, |at, length| {
        // SAFETY: the caller guarantees both ranges.
        match unsafe { move_bytes(mapped.add(at), to.add(at), length) } {
            // EFAULT does not say which side failed. So the caller's side is probed: it does not
            // change, while a lost page may be back by now.
            // SAFETY: the caller guarantees that `to` is its own.
            Err(Errno(libc::EFAULT)) if unsafe { is_writable(to.add(at)) }? => Ok(0),
            result => result,
        }
    });
    moved.unwrap_or_else(|| {
        let pipe = Pipe::new()?;
        count(mapped, length, |at, length| {
            // SAFETY: the caller guarantees both ranges.
            let (mapped, to) = unsafe { (mapped.add(at), to.add(at)) };
            let put = or_lost(pipe.put(mapped, length))?;
            let mut got = 0;
            while got < put {
                // SAFETY: the pipe holds no more than was put, which is no more than `length`.
                got += unsafe { pipe.get(to.add(got), put - got) }?;
            }
            Ok(put)
        })
    })
}

/// Copies `from` to the bytes at `mapped`, up to the first lost byte, like [`read`]. EFAULT if
/// `from` cannot be read. In a guarded copy only a lost page of `from` is EFAULT; anything else
/// raises a signal, like any other load.
///
/// # Safety
/// The same as for [`read`].
pub(crate) unsafe fn write(
    mapped: *mut u8,
    from: *const u8,
    length: usize,
    guarded: bool,
) -> Result<usize> {
    if guarded && instruction::IS_KNOWN {
        return count(mapped, length, |at, length| {
            // SAFETY: the caller guarantees both ranges.
            unsafe { instruction::write(mapped.add(at), from.add(at), length) }
        });
    }
    let moved = by_kernel(mapped, length, |at, length| {
        // SAFETY: the caller guarantees both ranges.
        match unsafe { move_bytes(from.add(at), mapped.add(at), length) } {
            // SAFETY: `at` lies within the caller's `length` bytes.
            Err(Errno(libc::EFAULT)) if is_readable(unsafe { from.add(at) })? => Ok(0),
            result => result,
        }
    });
    moved.unwrap_or_else(|| {
        let mut pipe = Pipe::new()?;
        count(mapped, length, |at, length| {
            // SAFETY: `at` lies within the caller's `length` bytes.
            let put = pipe.put(unsafe { from.add(at) }, length)?;
            // SAFETY: the caller guarantees `length` bytes at `mapped`, and `put` is no more than
            // is left.
            let got = or_lost(unsafe { pipe.get(mapped.add(at), put) })?;
            if got < put {
                // The bytes that are left in the old pipe must not come out of it later.
                pipe = Pipe::new()?;
            }
            Ok(got)
        })
    })
}

/// Returns whether the byte at `at` in a mapping is there. `guarded` has the meaning it has in
/// [`read`].
pub(crate) fn is_present(mapping: &Mapping, at: usize, guarded: bool) -> Result<bool> {
    assert!(at < mapping.length());
    let mut byte = 0u8;
    // SAFETY: the byte lies in the mapping, as asserted, and `byte` is ours.
    let copied = unsafe { read(mapping.base().as_ptr().wrapping_add(at), &mut byte, 1, guarded) };
    copied.map(|count| count == 1)
}

/// Stores zeros into a mapping; EFAULT at a page that is protected or lost.
pub(crate) fn write_zeros(mapping: &Mapping, bytes: Range<usize>) -> Result<()> {
    assert!(bytes.end <= mapping.length());
    let mut at = bytes.start;
    while at < bytes.end {
        let count = (bytes.end - at).min(ZEROS.len());
        // SAFETY: the bytes lie in the mapping, as asserted, and its owner wants them to be zeros.
        match unsafe {
            write(mapping.base().as_ptr().wrapping_add(at), ZEROS.as_ptr(), count, false)
        }? {
            0 => return Err(Errno(libc::EFAULT)),
            stored => at += stored,
        }
    }
    Ok(())
}

/// Calls `copy` with an offset and a length until all is copied or the next byte is lost. `copy`
/// returns a number of bytes that it has certainly copied. If any page of its range is lost, that
/// number can be smaller than what it copied, even 0.
fn count(
    mapped: *const u8,
    length: usize,
    mut copy: impl FnMut(usize, usize) -> Result<usize>,
) -> Result<usize> {
    let mut done = 0;
    while done < length {
        let mut copied = copy(done, length - done)?;
        if copied == 0 {
            // One page is there or not, so a copy within it gives a certain answer.
            let page = page_size();
            copied = copy(done, (page - (mapped.addr() + done) % page).min(length - done))?;
        }
        if copied == 0 {
            break;
        }
        done += copied;
    }
    Ok(done)
}

fn or_lost(result: Result<usize>) -> Result<usize> {
    match result {
        Err(Errno(libc::EFAULT)) => Ok(0),
        result => result,
    }
}

/// Calls [`count`] for a `copy` that uses [`move_bytes`]. Returns `None` if the kernel lacks
/// CONFIG_CROSS_MEMORY_ATTACH, if a filter refuses the call, or if memory ran out. The first two
/// are remembered. (The rules on tracing other processes do not concern a process's own memory.)
fn by_kernel(
    mapped: *const u8,
    length: usize,
    copy: impl FnMut(usize, usize) -> Result<usize>,
) -> Option<Result<usize>> {
    if PROCESS_VM_READV.is_missing() {
        return None;
    }
    match count(mapped, length, copy) {
        Err(Errno(libc::ENOMEM)) => None,
        Err(Errno(errno)) if errno != libc::EFAULT => {
            PROCESS_VM_READV.remember(false);
            None
        }
        result => Some(result),
    }
}

/// Copies bytes within this process, process_vm_readv(2) (Linux 3.2). The kernel stores into `to`
/// as the program would, so a file that is mapped there notices the change. With
/// process_vm_writev(2) the kernel writes to the pages themselves, which the file may not notice.
///
/// # Safety
/// `to` is `length` bytes that may be written, or that are not there.
unsafe fn move_bytes(from: *const u8, to: *mut u8, length: usize) -> Result<usize> {
    let to = libc::iovec { iov_base: to.cast(), iov_len: length };
    let from = libc::iovec { iov_base: from.cast_mut().cast(), iov_len: length };
    // SAFETY: one segment each. The caller guarantees `to`, and bytes that are not there are
    // EFAULT.
    retry(|| unsafe { libc::process_vm_readv(libc::getpid(), &to, 1, &from, 1, 0) })
        .map(|moved| moved as usize)
}

/// Returns whether the byte can be read.
fn is_readable(byte: *const u8) -> Result<bool> {
    // SAFETY: the variable is one byte.
    is_moved(unsafe { move_bytes(byte, &mut 0, 1) })
}

/// Returns whether the byte can be stored to. Stores the value that the byte has.
///
/// # Safety
/// The same as for [`move_bytes`].
unsafe fn is_writable(byte: *mut u8) -> Result<bool> {
    let mut held = 0;
    // SAFETY: the variable is one byte; the caller guarantees the other one.
    unsafe {
        Ok(is_moved(move_bytes(byte, &mut held, 1))? && is_moved(move_bytes(&held, byte, 1))?)
    }
}

fn is_moved(result: Result<usize>) -> Result<bool> {
    or_lost(result).map(|moved| moved > 0)
}

/// Holds bytes between their source and `to`, where process_vm_readv(2) cannot be used. A temporary
/// file would be subject to RLIMIT_FSIZE.
struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Pipe {
    fn new() -> Result<Pipe> {
        let mut ends = [-1; 2];
        // SAFETY: `ends` has room for two numbers.
        check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) })?;
        // SAFETY: the kernel has just returned these descriptors, so nothing else owns them.
        let [reader, writer] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
        Ok(Pipe {
            reader: file::above_standard_streams(reader)?,
            writer: file::above_standard_streams(writer)?,
        })
    }

    /// Fills the empty pipe with some of the bytes. EFAULT if the first of them are not there.
    fn put(&self, from: *const u8, length: usize) -> Result<usize> {
        let fd = self.writer.as_fd().as_raw_fd();
        // SAFETY: the kernel reads, and stops at the first byte that is not there.
        retry(|| unsafe { libc::write(fd, from.cast(), length) }).map(|put| put as usize)
    }

    /// Takes some bytes out of the pipe.
    ///
    /// # Safety
    /// The same as for [`move_bytes`].
    unsafe fn get(&self, to: *mut u8, length: usize) -> Result<usize> {
        let fd = self.reader.as_fd().as_raw_fd();
        // SAFETY: the caller guarantees `to`.
        retry(|| unsafe { libc::read(fd, to.cast(), length) }).map(|got| got as usize)
    }
}

/// The copy that the handler of SIGBUS knows.
#[cfg(target_arch = "x86_64")]
mod instruction {
    use std::arch::asm;
    use std::ffi::c_void;

    use super::Result;
    use crate::error::Errno;

    pub const IS_KNOWN: bool = true;

    /// One of these numbers is in a register while bytes are copied. No other code has one there.
    /// The Go package has the same numbers and the same instruction in `go/internal/marked`, so
    /// neither may ever change.
    const READ: u64 = u64::from_be_bytes(*b"bytefdRD");
    const WRITE: u64 = u64::from_be_bytes(*b"bytefdWR");

    /// Returns the number of bytes copied before a lost page of `mapped`.
    pub unsafe fn read(mapped: *const u8, to: *mut u8, length: usize) -> usize {
        // SAFETY: the caller guarantees both ranges.
        unsafe { copy(READ, mapped, to, length).0 }
    }

    /// Copies like [`read`]. EFAULT if a page of `from` was lost.
    pub unsafe fn write(mapped: *mut u8, from: *const u8, length: usize) -> Result<usize> {
        // SAFETY: the caller guarantees both ranges.
        let (count, has_lost_source) = unsafe { copy(WRITE, from, mapped, length) };
        if has_lost_source { Err(Errno(libc::EFAULT)) } else { Ok(count) }
    }

    /// Returns the number of bytes copied, and whether `stop` found the source of a write lost.
    unsafe fn copy(mark: u64, from: *const u8, to: *mut u8, length: usize) -> (usize, bool) {
        let (end, after): (*const u8, u64);
        // SAFETY: the caller guarantees both ranges. The direction flag is clear wherever assembly
        // begins. At a fault the registers say how far the copy came, even when `stop` continues
        // behind the instruction. (An emulator may have counted the lost byte in rcx, so the end in
        // rsi is used.)
        unsafe {
            asm!(
                "lea r8, [rip + 2f]",
                "rep movsb",
                "2:",
                inout("rcx") length => _,
                inout("rsi") from => end,
                inout("rdi") to => _,
                inout("r9") mark => after,
                out("r8") _,
                options(nostack, preserves_flags),
            );
        }
        (end.addr() - from.addr(), after == SOURCE_IS_LOST)
    }

    /// In the register of the mark after a write whose source was lost.
    const SOURCE_IS_LOST: u64 = 0;

    /// Ends a copy that a fault interrupted, if the fault was on its mapped side or on the source
    /// of a write. The thread then continues behind the instruction. Returns whether it did so.
    ///
    /// # Safety
    /// `context` is the ucontext_t of a fault.
    pub unsafe fn stop(context: *mut c_void) -> bool {
        /// Length of `rep movsb` in bytes.
        const LENGTH: i64 = 2;
        /// Bit in the error code of a page fault that was caused by a store.
        const STORE: i64 = 2;
        // SAFETY: the caller guarantees that `context` is a ucontext_t.
        let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
        let [r8, r9, rip, error] = [libc::REG_R8, libc::REG_R9, libc::REG_RIP, libc::REG_ERR]
            .map(|name| registers[name as usize]);
        if r8 != rip.wrapping_add(LENGTH) {
            return false;
        }
        let is_marked = |mark: u64| r9 as u64 == mark;
        let is_store = error & STORE != 0;
        if is_marked(WRITE) && !is_store {
            registers[libc::REG_R9 as usize] = SOURCE_IS_LOST as i64;
        } else if !is_marked(if is_store { WRITE } else { READ }) {
            return false;
        }
        registers[libc::REG_RIP as usize] = r8;
        true
    }
}

/// The stand-in for other processors: there the kernel copies in guarded ranges too, and raises no
/// signal.
#[cfg(not(target_arch = "x86_64"))]
mod instruction {
    use std::ffi::c_void;

    use super::Result;

    pub const IS_KNOWN: bool = false;

    pub unsafe fn read(_: *const u8, _: *mut u8, _: usize) -> usize {
        0
    }

    pub unsafe fn write(_: *mut u8, _: *const u8, _: usize) -> Result<usize> {
        Ok(0)
    }

    pub unsafe fn stop(_: *mut c_void) -> bool {
        false
    }
}
