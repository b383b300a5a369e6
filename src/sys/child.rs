//! Runs a child that shares memory and descriptors with this process, for a few system calls that
//! this process must not make itself. The child is gone when [`run`] returns, and the program does
//! not see it:
//! - All signals are blocked meanwhile. Otherwise a signal for the process group would run the
//!   program's handler in the child, in shared memory. The child sends no signal when it ends, and
//!   wait(2) without `__WALL` does not find it.
//! - This thread waits until the child has ended (CLONE_VFORK). The child has a stack of its own,
//!   and calls no function of the C library. So errno and everything else of the C library that
//!   belongs to a thread stays this thread's.

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use std::arch::asm;
use std::ffi::{CStr, c_int, c_long, c_void};

use super::call::{check, retry};
use super::file;
use super::mapping::Mapping;
use crate::error::Errno;

/// The work of the child. It runs in the memory of a thread that stands still. So it uses no errno,
/// thread-local variable, lock or heap, and does not panic.
pub(super) type Entry = unsafe extern "C" fn(*mut c_void);

/// The step that failed, and its errno.
pub(super) type Failure = (&'static str, Errno);

/// Bytes of the child's stack: more than enough, with optimizations and without.
const STACK: usize = 64 << 10;

/// Runs `entry` in a child, and waits until the child has ended.
///
/// # Safety
/// `entry` may be called with this argument, and does only what [`Entry`] allows.
pub(super) unsafe fn run(entry: Entry, argument: *mut c_void) -> std::result::Result<(), Failure> {
    // Valgrind ends a program that calls clone(2) in this way.
    if is_on_valgrind() {
        return Err(("clone", Errno(libc::ENOSYS)));
    }
    check_namespace()?;
    let stack = Mapping::zeros(STACK).map_err(|errno| ("mmap", errno))?;
    let end = stack.base().as_ptr().wrapping_byte_add(STACK);
    without_signals(|| {
        // SAFETY: the stack is ours and stays until the child has ended. The caller guarantees the
        // rest.
        let child = unsafe { clone(end, entry, argument) };
        if child < 0 {
            return Err(("clone", Errno(-child as c_int)));
        }
        // Another thread may have waited for all children (__WALL) meanwhile. Then wait4 fails, and
        // there is nothing left to wait for.
        let nothing = std::ptr::null::<c_int>();
        // SAFETY: `child` is a child of ours; wait4 allows NULL for both pointers.
        let _ = retry(|| unsafe {
            libc::syscall(libc::SYS_wait4, child, nothing, libc::__WALL, nothing)
        });
        Ok(())
    })
}

/// Fails if children would be in another PID namespace than this thread, after unshare(2) or
/// setns(2). The child could then be the first process of that namespace, and the namespace would
/// end with the child.
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

/// Runs `work` with all signals blocked. The C library's functions would leave out the signals that
/// it keeps for itself, so this makes the system call.
fn without_signals(
    work: impl FnOnce() -> std::result::Result<(), Failure>,
) -> std::result::Result<(), Failure> {
    const SIZE: usize = 8;
    let (all, mut before) = (u64::MAX, 0u64);
    let nothing = std::ptr::null_mut::<u64>();
    let set = |new: *const u64, old: *mut u64| {
        // SAFETY: each pointer is NULL or a set of signals of this size.
        check(unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, new, old, SIZE) })
    };
    set(&all, &mut before).map_err(|errno| ("rt_sigprocmask", errno))?;
    let result = work();
    // The kernel does not refuse a mask that it has returned.
    let _ = set(&before, nothing);
    result
}

/// Memory and descriptors are shared, and this thread waits. No signal is sent at the end.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const CLONE_FLAGS: usize = (libc::CLONE_VM | libc::CLONE_FILES | libc::CLONE_VFORK) as usize;

/// Calls `entry` in a new process, clone(2). The process ends when `entry` returns. Returns the
/// number of the process, or a negative errno.
///
/// # Safety
/// `stack` is the end of memory for the child's stack, and a multiple of 16. Only the child uses
/// that memory until it has ended. `entry` may be called with this argument.
#[cfg(target_arch = "x86_64")]
unsafe fn clone(stack: *mut u8, entry: Entry, argument: *mut c_void) -> isize {
    let answer;
    // SAFETY: the parent goes on behind the label with all registers unchanged. The child has a
    // stack of its own, and does not reach the label.
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

/// Calls `entry` in a new process, like the function for x86_64.
///
/// # Safety
/// The same as for x86_64.
#[cfg(target_arch = "aarch64")]
unsafe fn clone(stack: *mut u8, entry: Entry, argument: *mut c_void) -> isize {
    let answer;
    // SAFETY: the same as for x86_64.
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

/// Makes a system call without errno. Returns its result, or a negative errno.
///
/// # Safety
/// The arguments are valid for the call.
#[cfg(target_arch = "x86_64")]
pub(super) unsafe fn raw(number: c_long, [a, b, c, d, e]: [usize; 5]) -> isize {
    let answer;
    // SAFETY: the caller guarantees that the call is allowed; the kernel changes no other
    // registers.
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

/// Makes a system call, like the function for x86_64.
///
/// # Safety
/// The arguments are valid for the call.
#[cfg(target_arch = "aarch64")]
pub(super) unsafe fn raw(number: c_long, [a, b, c, d, e]: [usize; 5]) -> isize {
    let answer;
    // SAFETY: the same as for x86_64.
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

/// Returns whether Valgrind executes this program; see RUNNING_ON_VALGRIND in valgrind.h. Valgrind
/// recognizes these instructions, which change nothing.
#[cfg(target_arch = "x86_64")]
fn is_on_valgrind() -> bool {
    let mut answer = 0usize;
    // SAFETY: a processor rotates by 128 bits in all, which changes nothing. Valgrind reads the
    // request.
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

/// Returns whether Valgrind executes this program, like the function for x86_64.
#[cfg(target_arch = "aarch64")]
fn is_on_valgrind() -> bool {
    let mut answer = 0usize;
    // SAFETY: the same as for x86_64.
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

/// The request and its five arguments.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
static VALGRIND_REQUEST: [usize; 6] = [0x1001, 0, 0, 0, 0, 0];

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn is_on_valgrind() -> bool {
    false
}

/// Fails with ENOSYS on other processors.
///
/// # Safety
/// Nothing is required.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn clone(_: *mut u8, _: Entry, _: *mut c_void) -> isize {
    -(libc::ENOSYS as isize)
}

/// Fails like [`clone`].
///
/// # Safety
/// Nothing is required.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) unsafe fn raw(_: c_long, _: [usize; 5]) -> isize {
    -(libc::ENOSYS as isize)
}
