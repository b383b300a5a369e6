//! Copies out of and into memory that may be lost: mapped files that are made shorter, or that have
//! no space left. A lost page ends the copy and not the process, and every byte before it is
//! copied.
//!
//! In a guarded range one instruction copies (`rep movsb`), which the handler of [`super::guard`]
//! knows and can end. First the handler is asked whether it would be called. Elsewhere the kernel
//! copies, by `process_vm_readv` on ourselves, or through a pipe where that is refused. It answers
//! EFAULT where a program gets a signal.
//!
//! Go copies without C (`go/internal/marked`): the same instruction with the same marks, which the
//! handler of any copy of the library ends. The marks are part of the interface between the two,
//! and never change. Where the handler is not in place, a fault is a panic in Go, and C finds out
//! what is missing. In a guarded map Go asks C only for what it cannot see:
//! - whether pages were replaced, if the program was ever given the memory;
//! - how long the file is, if the next page is not there, and in the last page if the bytes that
//!   tell are zero.

use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use super::call::{Result, check, retry};
use super::features::PROCESS_VM_READV;
use super::file::{self, ZEROS};
use super::mapping::Mapping;
use super::process::page_size;
use crate::error::Errno;

pub(in crate::sys) use instruction::stop;

/// Copies the bytes at `mapped` to `to`, up to the first that is lost, and returns how many there
/// were. `guarded`: all of them are in the range of a [`Guard`](super::guard::Guard), which
/// replaces none of its pages for this.
///
/// EFAULT if `to` cannot be written; in a guarded copy that is a signal, as for any other store.
///
/// # Safety
/// `mapped` is mapped and `to` is the caller's, `length` bytes each, and they do not overlap. What
/// others store meanwhile is copied or not.
pub(crate) unsafe fn read(
    mapped: *const u8,
    to: *mut u8,
    length: usize,
    guarded: bool,
) -> Result<usize> {
    if guarded && instruction::IS_KNOWN {
        return count(mapped, length, |at, length| {
            // SAFETY: the caller vouches for both.
            Ok(unsafe { instruction::read(mapped.add(at), to.add(at), length) })
        });
    }
    let moved = by_kernel(mapped, length, |at, length| {
        // SAFETY: the caller vouches for both.
        match unsafe { move_bytes(mapped.add(at), to.add(at), length) } {
            // Asked of the caller's side, which does not change meanwhile. A lost page may be back.
            // SAFETY: as above.
            Err(Errno(libc::EFAULT)) if unsafe { is_writable(to.add(at)) }? => Ok(0),
            result => result,
        }
    });
    moved.unwrap_or_else(|| {
        let pipe = Pipe::new()?;
        count(mapped, length, |at, length| {
            // SAFETY: the caller vouches for both.
            let (mapped, to) = unsafe { (mapped.add(at), to.add(at)) };
            let put = or_lost(pipe.put(mapped, length))?;
            let mut got = 0;
            while got < put {
                // SAFETY: no more than was put, which is no more than `length`.
                got += unsafe { pipe.get(to.add(got), put - got) }?;
            }
            Ok(put)
        })
    })
}

/// Copies `from` to the bytes at `mapped`, as [`read`]. EFAULT if `from` cannot be read; in a
/// guarded copy that is so for lost pages, and otherwise a signal, as for any other load.
///
/// # Safety
/// As [`read`].
pub(crate) unsafe fn write(
    mapped: *mut u8,
    from: *const u8,
    length: usize,
    guarded: bool,
) -> Result<usize> {
    if guarded && instruction::IS_KNOWN {
        return count(mapped, length, |at, length| {
            // SAFETY: the caller vouches for both.
            unsafe { instruction::write(mapped.add(at), from.add(at), length) }
        });
    }
    let moved = by_kernel(mapped, length, |at, length| {
        // SAFETY: the caller vouches for both.
        match unsafe { move_bytes(from.add(at), mapped.add(at), length) } {
            // SAFETY: as above.
            Err(Errno(libc::EFAULT)) if is_readable(unsafe { from.add(at) })? => Ok(0),
            result => result,
        }
    });
    moved.unwrap_or_else(|| {
        let mut pipe = Pipe::new()?;
        count(mapped, length, |at, length| {
            // SAFETY: the caller vouches for both.
            let put = pipe.put(unsafe { from.add(at) }, length)?;
            // SAFETY: the same.
            let got = or_lost(unsafe { pipe.get(mapped.add(at), put) })?;
            if got < put {
                // What is left in it is not wanted again.
                pipe = Pipe::new()?;
            }
            Ok(got)
        })
    })
}

/// Whether the byte at `at` in a mapping is there. `guarded`: as for [`read`].
pub(crate) fn is_present(mapping: &Mapping, at: usize, guarded: bool) -> Result<bool> {
    assert!(at < mapping.length());
    let mut byte = 0u8;
    // SAFETY: the byte is in the mapping, and `byte` is ours.
    let copied = unsafe { read(mapping.base().as_ptr().wrapping_add(at), &mut byte, 1, guarded) };
    copied.map(|count| count == 1)
}

/// Stores zeros into a mapping; EFAULT at a page that is protected or lost.
pub(crate) fn write_zeros(mapping: &Mapping, bytes: Range<usize>) -> Result<()> {
    assert!(bytes.end <= mapping.length());
    let mut at = bytes.start;
    while at < bytes.end {
        let count = (bytes.end - at).min(ZEROS.len());
        // SAFETY: the bytes are in the mapping, whose owner wants them to be zeros.
        match unsafe {
            write(mapping.base().as_ptr().wrapping_add(at), ZEROS.as_ptr(), count, false)
        }? {
            0 => return Err(Errno(libc::EFAULT)),
            stored => at += stored,
        }
    }
    Ok(())
}

/// Calls `copy` with an offset and a length until all is copied or the next byte is lost. It
/// returns how many bytes it copied for sure: fewer where a page is lost anywhere in what it was
/// asked for, perhaps 0.
fn count(
    mapped: *const u8,
    length: usize,
    mut copy: impl FnMut(usize, usize) -> Result<usize>,
) -> Result<usize> {
    let mut done = 0;
    while done < length {
        let mut copied = copy(done, length - done)?;
        if copied == 0 {
            // A page is there or not, so that leaves no doubt.
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

/// [`count`] with [`move_bytes`]; `None` where that is refused: by a kernel without
/// CONFIG_CROSS_MEMORY_ATTACH, or by a filter of system calls. (The rules on tracing others do not
/// concern a process's own memory.)
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

/// process_vm_readv(2) (Linux 3.2) in this process. The kernel stores into `to` as a program does,
/// and the file there learns of it. Of what process_vm_writev stores it may not: the pages are
/// written behind its back.
///
/// # Safety
/// `to` is `length` bytes that may be written, or not there.
unsafe fn move_bytes(from: *const u8, to: *mut u8, length: usize) -> Result<usize> {
    let to = libc::iovec { iov_base: to.cast(), iov_len: length };
    let from = libc::iovec { iov_base: from.cast_mut().cast(), iov_len: length };
    // SAFETY: one segment each; the caller vouches for `to`, and what is not there is EFAULT.
    retry(|| unsafe { libc::process_vm_readv(libc::getpid(), &to, 1, &from, 1, 0) })
        .map(|moved| moved as usize)
}

/// Whether the byte is there.
fn is_readable(byte: *const u8) -> Result<bool> {
    // SAFETY: the variable is one byte.
    is_moved(unsafe { move_bytes(byte, &mut 0, 1) })
}

/// Whether the byte can be stored to, which is done with what it holds.
///
/// # Safety
/// As [`move_bytes`].
unsafe fn is_writable(byte: *mut u8) -> Result<bool> {
    let mut held = 0;
    // SAFETY: the variable is one byte; the caller vouches for the other.
    unsafe {
        Ok(is_moved(move_bytes(byte, &mut held, 1))? && is_moved(move_bytes(&held, byte, 1))?)
    }
}

fn is_moved(result: Result<usize>) -> Result<bool> {
    or_lost(result).map(|moved| moved > 0)
}

/// What takes the bytes in between where they cannot be moved at once. A file would have to obey
/// RLIMIT_FSIZE.
struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Pipe {
    fn new() -> Result<Pipe> {
        let mut ends = [-1; 2];
        // SAFETY: two numbers can be written.
        check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) })?;
        // SAFETY: the kernel just returned them to us, so nobody else owns them.
        let [reader, writer] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
        Ok(Pipe {
            reader: file::above_standard_streams(reader)?,
            writer: file::above_standard_streams(writer)?,
        })
    }

    /// Fills the pipe, which is empty, with some of the bytes. Those that are not there are EFAULT.
    fn put(&self, from: *const u8, length: usize) -> Result<usize> {
        let fd = self.writer.as_fd().as_raw_fd();
        // SAFETY: the kernel reads, and stops where nothing is.
        retry(|| unsafe { libc::write(fd, from.cast(), length) }).map(|put| put as usize)
    }

    /// Takes some bytes out.
    ///
    /// # Safety
    /// As [`move_bytes`].
    unsafe fn get(&self, to: *mut u8, length: usize) -> Result<usize> {
        let fd = self.reader.as_fd().as_raw_fd();
        // SAFETY: the caller vouches for `to`.
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

    /// One of these numbers is in a register while bytes are copied. No other code has it there.
    /// The Go package has the same numbers and the same instruction in `go/internal/marked`, so
    /// neither may ever change.
    const READ: u64 = u64::from_be_bytes(*b"bytefdRD");
    const WRITE: u64 = u64::from_be_bytes(*b"bytefdWR");

    /// Returns how many bytes were copied before a page of `mapped` was lost.
    pub unsafe fn read(mapped: *const u8, to: *mut u8, length: usize) -> usize {
        // SAFETY: the caller's.
        unsafe { copy(READ, mapped, to, length).0 }
    }

    /// As [`read`]. EFAULT if a page of `from` was lost.
    pub unsafe fn write(mapped: *mut u8, from: *const u8, length: usize) -> Result<usize> {
        // SAFETY: the caller's.
        let (count, has_lost_source) = unsafe { copy(WRITE, from, mapped, length) };
        if has_lost_source { Err(Errno(libc::EFAULT)) } else { Ok(count) }
    }

    /// Returns how many bytes were copied, and whether `stop` found the source of a write lost.
    unsafe fn copy(mark: u64, from: *const u8, to: *mut u8, length: usize) -> (usize, bool) {
        let (end, after): (*const u8, u64);
        // SAFETY: the caller vouches for both ranges. The direction is forwards wherever assembly
        // begins. At a fault the registers say how far it came, also when `stop` goes on behind the
        // instruction. (In rcx an emulator may have counted the byte that is lost.)
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

    /// In the register of the mark, after a write whose source was lost.
    const SOURCE_IS_LOST: u64 = 0;

    /// If a copy was interrupted at its side that is mapped, or at the source of a write, lets it
    /// go on behind the instruction, and says so.
    ///
    /// # Safety
    /// `context` is the ucontext_t of a fault.
    pub unsafe fn stop(context: *mut c_void) -> bool {
        /// Bytes of `rep movsb`.
        const LENGTH: i64 = 2;
        /// Set in the error code of a page fault by a store.
        const STORE: i64 = 2;
        // SAFETY: the caller vouches for it.
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

/// Other processors do without: the kernel copies in guarded ranges too, and raises no signal
/// there.
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
