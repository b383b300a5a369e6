//! Finds the owners of addresses of this process: /proc/self/maps, and what the kernel and the C
//! library say about stacks.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::ptr::null_mut;

use super::call::{Result, check};
use super::region::Region;
use super::{directory, file};
use crate::error::Errno;

/// Returns the regions that have addresses of `range`, in their order. Mappings that other threads
/// make elsewhere meanwhile do not change these.
pub(crate) fn regions(range: &Range<usize>) -> Result<Vec<Region>> {
    let mut regions = Vec::new();
    for line in BufReader::new(File::open("/proc/self/maps")?).split(b'\n') {
        let region = Region::parse(&String::from_utf8_lossy(&line?)).ok_or(Errno(libc::EIO))?;
        if region.addresses.start >= range.end {
            break;
        }
        if region.addresses.end > range.start {
            regions.push(region);
        }
    }
    Ok(regions)
}

/// Returns the stack of this thread, as the C library knows it. Empty if it does not know.
pub(crate) fn own_stack() -> Range<usize> {
    // SAFETY: all-zero is a valid object, which pthread_getattr_np fills.
    let mut attributes: libc::pthread_attr_t = unsafe { std::mem::zeroed() };
    // SAFETY: this thread exists, and the attributes are writable.
    if unsafe { libc::pthread_getattr_np(libc::pthread_self(), &mut attributes) } != 0 {
        return 0..0;
    }
    let (mut start, mut length) = (null_mut(), 0);
    // SAFETY: the attributes were filled just now, and are not used again.
    unsafe {
        libc::pthread_attr_getstack(&attributes, &mut start, &mut length);
        libc::pthread_attr_destroy(&mut attributes);
    }
    start.addr()..start.addr().saturating_add(length)
}

/// The kernel's information about another thread.
pub(crate) struct Thread {
    pub id: libc::pid_t,
    /// An address in the C library's record of the thread: the head of the list of robust mutexes,
    /// which the kernel knows. glibc keeps the record at the top of the stack.
    pub record: Option<usize>,
    /// The stack pointer, known while the thread waits in the kernel.
    pub stack_pointer: Option<usize>,
}

impl Thread {
    /// Returns whether this is the first thread. The kernel made its stack, and its record lies
    /// elsewhere.
    pub fn is_first(&self) -> bool {
        self.id as u32 == std::process::id()
    }
}

/// Returns all threads except this one. A thread that ends meanwhile has no known addresses.
pub(crate) fn other_threads() -> Result<Vec<Thread>> {
    // SAFETY: no preconditions.
    let own = unsafe { libc::gettid() };
    let mut threads = Vec::new();
    let directory = file::open(c"/proc/self/task", libc::O_RDONLY | libc::O_DIRECTORY, 0)?;
    for name in directory::all_names(directory)? {
        let id = name.to_str().ok().and_then(|name| name.parse().ok()).ok_or(Errno(libc::EIO))?;
        if id != own {
            threads.push(Thread { id, record: record(id), stack_pointer: stack_pointer(id) });
        }
    }
    Ok(threads)
}

fn record(id: libc::pid_t) -> Option<usize> {
    let (mut head, mut length) = (0usize, 0usize);
    // SAFETY: get_robust_list(2) writes one word each; nothing is read from the list.
    check(unsafe { libc::syscall(libc::SYS_get_robust_list, id, &mut head, &mut length) }).ok()?;
    Some(head).filter(|head| *head != 0)
}

/// Reads the stack pointer from /proc/self/task/TID/syscall. The line is "running", or numbers that
/// end with stack pointer and program counter.
fn stack_pointer(id: libc::pid_t) -> Option<usize> {
    let line = std::fs::read_to_string(format!("/proc/self/task/{id}/syscall")).ok()?;
    let pointer = line.split_ascii_whitespace().rev().nth(1)?;
    usize::from_str_radix(pointer.strip_prefix("0x")?, 16).ok()
}
