//! A child that shares memory and descriptors with this process, for a few system calls that this
//! process must not make itself. It is gone when [`run`] returns, and the program does not see it:
//! - All signals are blocked meanwhile, or one for the process group would run the program's
//!   handler in the child, in shared memory. The child sends no signal when it ends, and wait(2)
//!   without `__WALL` does not find it.
//! - This thread waits until the child has ended (CLONE_VFORK). The child has a stack of its own,
//!   and makes system calls by itself: errno and everything else that belongs to a thread of the C
//!   library is this thread's.

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use std::arch::asm;
use std::ffi::{CStr, c_int, c_long, c_void};

use super::call::{check, retry};
use super::file;
use super::mapping::Mapping;
use crate::error::Errno;

/// What the child does. It runs in the memory of a thread that stands still, so it calls nothing
/// that uses errno, thread-local variables, locks or the heap, and does not panic.
pub(super) type Entry = unsafe extern "C" fn(*mut c_void);

/// The step that failed, and how.
pub(super) type Failure = (&'static str, Errno);

/// More than enough for the child, with optimizations and without.
const STACK: usize = 64 << 10;

/// Runs `entry` in a child, and waits for its end.
///
/// # Safety
/// `entry` may be called with this argument, and is fit for a child.
pub(super) unsafe fn run(entry: Entry, argument: *mut c_void) -> std::result::Result<(), Failure> {
    // It ends a program that calls clone(2) in this way.
    if is_on_valgrind() {
        return Err(("clone", Errno(libc::ENOSYS)));
    }
    check_namespace()?;
    let stack = Mapping::zeros(STACK).map_err(|errno| ("mmap", errno))?;
    let end = stack.base().as_ptr().wrapping_byte_add(STACK);
    without_signals(|| {
        // SAFETY: the stack is ours and stays until the child has ended. The caller vouches for the
        // rest.
        let child = unsafe { clone(end, entry, argument) };
        if child < 0 {
            return Err(("clone", Errno(-child as c_int)));
        }
        // If the program has waited for all of its children (__WALL) meanwhile, there is nothing to
        // wait for any more.
        let nothing = std::ptr::null::<c_int>();
        // SAFETY: a child of ours; NULL where it may be.
        let _ = retry(|| unsafe {
            libc::syscall(libc::SYS_wait4, child, nothing, libc::__WALL, nothing)
        });
        Ok(())
    })
}

/// Refuses where children get another process namespace than this thread has, after unshare(2) or
/// setns(2): the next child would be its first process, and the namespace would end with it.
fn check_namespace() -> std::result::Result<(), Failure> {
    let (own, of_children) =
        (c"/proc/thread-self/ns/pid", c"/proc/thread-self/ns/pid_for_children");
    let namespace = |path: &CStr| file::stat(path).map(|stat| stat.identity);
    match (namespace(own), namespace(of_children)) {
        (Ok(own), Ok(of_children)) if own == of_children => Ok(()),
        (Err(errno), _) | (_, Err(errno)) => Err(("stat pid_for_children", errno)),
        _ => Err(("stat pid_for_children", Errno(libc::EINVAL))),
    }
}

/// Also without those that the C library keeps for itself, so not by its own functions.
fn without_signals(
    work: impl FnOnce() -> std::result::Result<(), Failure>,
) -> std::result::Result<(), Failure> {
    const SIZE: usize = 8;
    let (all, mut before) = (u64::MAX, 0u64);
    let nothing = std::ptr::null_mut::<u64>();
    let set = |new: *const u64, old: *mut u64| {
        // SAFETY: two sets of signals of this size, or NULL.
        check(unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, new, old, SIZE) })
    };
    set(&all, &mut before).map_err(|errno| ("rt_sigprocmask", errno))?;
    let result = work();
    // The kernel does not refuse what it has given.
    let _ = set(&before, nothing);
    result
}

/// Memory, descriptors, and this thread waits. No signal at the end.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const CLONE_FLAGS: usize = (libc::CLONE_VM | libc::CLONE_FILES | libc::CLONE_VFORK) as usize;

/// clone(2): calls `entry` in a new process, which ends when that returns. The number of the
/// process, or a negative errno.
///
/// # Safety
/// `stack` is the end of memory for the child's stack, and a multiple of 16. Nobody else uses it
/// until the child has ended. `entry` may be called with this argument.
#[cfg(target_arch = "x86_64")]
unsafe fn clone(stack: *mut u8, entry: Entry, argument: *mut c_void) -> isize {
    let answer;
    // SAFETY: the parent goes on behind the label with all registers as they were. The child has a
    // stack of its own, and does not come there.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "xor edi, edi",
            "mov eax, {exit}",
            "syscall",
            "ud2",
            "2:",
            exit = const libc::SYS_exit,
            inlateout("rax") libc::SYS_clone as isize => answer,
            in("rdi") CLONE_FLAGS,
            in("rsi") stack,
            in("rdx") 0usize,
            in("r10") 0usize,
            in("r8") 0usize,
            in("r12") argument,
            in("r13") entry,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    answer
}

/// As for x86_64.
///
/// # Safety
/// As for x86_64.
#[cfg(target_arch = "aarch64")]
unsafe fn clone(stack: *mut u8, entry: Entry, argument: *mut c_void) -> isize {
    let answer;
    // SAFETY: as for x86_64.
    unsafe {
        asm!(
            "svc #0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x20",
            "blr x21",
            "mov x0, xzr",
            "mov x8, {exit}",
            "svc #0",
            "brk #1",
            "2:",
            exit = const libc::SYS_exit,
            in("x8") libc::SYS_clone,
            inlateout("x0") CLONE_FLAGS as isize => answer,
            in("x1") stack,
            in("x2") 0usize,
            in("x3") 0usize,
            in("x4") 0usize,
            in("x20") argument,
            in("x21") entry,
        );
    }
    answer
}

/// A system call, without errno: a negative one is the result of a call that fails.
///
/// # Safety
/// As the call.
#[cfg(target_arch = "x86_64")]
pub(super) unsafe fn raw(number: c_long, [a, b, c, d, e]: [usize; 5]) -> isize {
    let answer;
    // SAFETY: the caller vouches for the call; the kernel changes no other registers.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => answer,
            in("rdi") a,
            in("rsi") b,
            in("rdx") c,
            in("r10") d,
            in("r8") e,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    answer
}

/// As for x86_64.
///
/// # Safety
/// As the call.
#[cfg(target_arch = "aarch64")]
pub(super) unsafe fn raw(number: c_long, [a, b, c, d, e]: [usize; 5]) -> isize {
    let answer;
    // SAFETY: as for x86_64.
    unsafe {
        asm!(
            "svc #0",
            in("x8") number,
            inlateout("x0") a as isize => answer,
            in("x1") b,
            in("x2") c,
            in("x3") d,
            in("x4") e,
            options(nostack),
        );
    }
    answer
}

/// Whether Valgrind executes this program: valgrind.h, RUNNING_ON_VALGRIND. It knows these
/// instructions, which change nothing.
#[cfg(target_arch = "x86_64")]
fn is_on_valgrind() -> bool {
    let mut answer = 0usize;
    // SAFETY: a processor rotates by 128 bits altogether; Valgrind reads the request.
    unsafe {
        asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") &VALGRIND_REQUEST,
            inlateout("rdx") answer,
            inlateout("rdi") 0usize => _,
            options(nostack),
        );
    }
    answer != 0
}

/// As for x86_64.
#[cfg(target_arch = "aarch64")]
fn is_on_valgrind() -> bool {
    let mut answer = 0usize;
    // SAFETY: as for x86_64.
    unsafe {
        asm!(
            "ror x12, x12, #3",
            "ror x12, x12, #13",
            "ror x12, x12, #51",
            "ror x12, x12, #61",
            "orr x10, x10, x10",
            inlateout("x3") answer,
            in("x4") &VALGRIND_REQUEST,
            inlateout("x12") 0usize => _,
            options(nostack),
        );
    }
    answer != 0
}

/// The request, and its five arguments.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
static VALGRIND_REQUEST: [usize; 6] = [0x1001, 0, 0, 0, 0, 0];

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn is_on_valgrind() -> bool {
    false
}

/// Other architectures do without.
///
/// # Safety
/// None is needed.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn clone(_: *mut u8, _: Entry, _: *mut c_void) -> isize {
    -(libc::ENOSYS as isize)
}

/// As [`clone`].
///
/// # Safety
/// None is needed.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) unsafe fn raw(_: c_long, _: [usize; 5]) -> isize {
    -(libc::ENOSYS as isize)
}
