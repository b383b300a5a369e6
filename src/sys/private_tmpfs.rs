//! A file system in memory that belongs to this process, mounted twice: for writing, and read-only for whoever borrows a
//! file. It is mounted nowhere: two descriptors are all there is of it, and it ends with the last descriptor of its files.
//!
//! Mounting needs rights that few processes have, and a user namespace, in which every process has them, can be entered only
//! by a process with one thread. So a child does it, which shares memory and descriptors with this process and is gone when
//! [`mount`] returns. The program does not see it:
//! - All signals are blocked meanwhile, or one for the process group would run the program's handler in the child, in shared
//!   memory. The child sends no signal when it ends, and wait(2) without `__WALL` does not find it.
//! - This thread waits until the child has ended (CLONE_VFORK). The child has a stack of its own, and makes system calls by
//!   itself: errno and everything else that belongs to a thread of the C library is this thread's.
//! - Its namespaces end with it. The mounts need none.

use std::arch::asm;
use std::ffi::{CStr, c_int, c_long};
use std::io::Write;
use std::os::fd::{FromRawFd, OwnedFd};

use super::call::{check, retry};
use super::file;
use super::mapping::Mapping;
use crate::error::Errno;

/// The two directories of a new file system, which are the same one.
pub(crate) struct Directories {
    pub writable: OwnedFd,
    pub read_only: OwnedFd,
}

/// What the host does not allow, or what ran out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    pub step: &'static str,
    pub errno: Errno,
}

impl Refusal {
    pub fn new(step: &'static str, errno: Errno) -> Refusal {
        Refusal { step, errno }
    }

    /// Something ran out, and may be there later. (What unshare(2) says of too many namespaces is a setting of the host.)
    pub fn is_shortage(&self) -> bool {
        [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::EAGAIN].contains(&self.errno.0)
    }
}

type Outcome<T> = std::result::Result<T, Refusal>;

/// What the child needs, made before it exists, and what it leaves behind.
struct Work {
    /// "0 UID 1" and "0 GID 1", for uid_map and gid_map.
    users: Text,
    groups: Text,
    /// The size of the file system in bytes.
    size: Text,
    /// What it is doing. So this is known of a child that a filter of system calls has killed, too.
    step: &'static str,
    /// How that ended.
    errno: c_int,
    // Descriptors, or -1.
    writable: c_int,
    read_only: c_int,
    other: c_int,
}

/// Room for two numbers, and a NUL at the end.
type Text = [u8; 48];

fn text(content: std::fmt::Arguments<'_>) -> Text {
    let mut text = [0; size_of::<Text>()];
    (&mut text[..]).write_fmt(content).expect("numbers are short");
    text
}

/// More than enough for the child, with optimizations and without.
const STACK: usize = 64 << 10;

/// Makes a file system of at most `bytes` bytes, a multiple of the page size.
pub(crate) fn mount(bytes: u64) -> Outcome<Directories> {
    // It ends a program that calls clone(2) in this way.
    if is_on_valgrind() {
        return Err(Refusal::new("clone", Errno(libc::ENOSYS)));
    }
    check_children()?;
    // SAFETY: no preconditions.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    let mut work = Work {
        users: text(format_args!("0 {user} 1")),
        groups: text(format_args!("0 {group} 1")),
        size: text(format_args!("{bytes}")),
        step: "clone",
        errno: 0,
        writable: -1,
        read_only: -1,
        other: -1,
    };
    let stack = Mapping::zeros(STACK).map_err(|errno| Refusal::new("mmap", errno))?;
    let ran = without_signals(|| {
        // SAFETY: the stack is ours and stays until the child has ended, for which this waits. What the child does is
        // fit for it, see there.
        let child = unsafe { clone(stack.base().as_ptr().wrapping_byte_add(STACK), &raw mut work) };
        if child < 0 {
            return Err(Errno(-child as c_int));
        }
        // If the program has waited for all of its children (__WALL) meanwhile, there is nothing to wait for any more.
        // SAFETY: a child of ours; NULL where it may be.
        let _ = retry(|| unsafe {
            libc::syscall(libc::SYS_wait4, child, std::ptr::null::<c_int>(), libc::__WALL, std::ptr::null::<c_int>())
        });
        Ok(())
    });
    let [writable, read_only, other] = [work.writable, work.read_only, work.other].map(|fd| {
        // SAFETY: the child opened it, and left it to us.
        (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
    });
    drop(other);
    ran.map_err(|errno| Refusal::new("clone", errno))?;
    let (Some(writable), Some(read_only), 0) = (writable, read_only, work.errno) else {
        return Err(Refusal::new(work.step, Errno(work.errno)));
    };
    let raised = |fd| file::above_standard_streams(fd).map_err(|errno| Refusal::new("fcntl F_DUPFD", errno));
    Ok(Directories { writable: raised(writable)?, read_only: raised(read_only)? })
}

/// Refuses where children get another process namespace than this thread has, after unshare(2) or setns(2): the next child
/// would be its first process, and the namespace would end with it.
fn check_children() -> Outcome<()> {
    let (own, of_children) = (c"/proc/thread-self/ns/pid", c"/proc/thread-self/ns/pid_for_children");
    let namespace = |path: &CStr| file::stat(path).map(|stat| stat.identity);
    match (namespace(own), namespace(of_children)) {
        (Ok(own), Ok(of_children)) if own == of_children => Ok(()),
        (Err(errno), _) | (_, Err(errno)) => Err(Refusal::new("stat pid_for_children", errno)),
        _ => Err(Refusal::new("stat pid_for_children", Errno(libc::EINVAL))),
    }
}

/// Also without those that the C library keeps for itself, so not by its own functions.
fn without_signals<R>(work: impl FnOnce() -> std::result::Result<R, Errno>) -> std::result::Result<R, Errno> {
    const SIZE: usize = 8;
    let (all, mut before) = (u64::MAX, 0u64);
    let nothing = std::ptr::null_mut::<u64>();
    let set = |new: *const u64, old: *mut u64| {
        // SAFETY: two sets of signals of this size, or NULL.
        check(unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, new, old, SIZE) })
    };
    set(&all, &mut before)?;
    let result = work();
    // The kernel does not refuse what it has given.
    let _ = set(&before, nothing);
    result
}

// linux/mount.h, not in every C library this builds with.
const FSOPEN_CLOEXEC: usize = 1;
const FSCONFIG_SET_STRING: usize = 1;
const FSCONFIG_CMD_CREATE: usize = 6;
const FSMOUNT_CLOEXEC: usize = 1;
const MOUNT_ATTR_RDONLY: u64 = 1;
const MOUNT_ATTR_NOSUID: usize = 2;
const MOUNT_ATTR_NODEV: usize = 4;
const OPEN_TREE_CLONE: usize = 1;
const MOVE_MOUNT_F_EMPTY_PATH: usize = 4;

/// `struct mount_attr`
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Something was refused: `step` and `errno` say what.
struct Refused;

type Done<T> = std::result::Result<T, Refused>;

/// The child. It runs in the memory of a thread that stands still, so it calls nothing that uses errno, thread-local
/// variables, locks or the heap, and does not panic: only functions of this file.
///
/// # Safety
/// Nobody else uses `work` meanwhile.
unsafe extern "C" fn child(work: *mut Work) {
    // SAFETY: the caller vouches for it.
    let work = unsafe { &mut *work };
    let _ = work.mount();
}

impl Work {
    fn mount(&mut self) -> Done<()> {
        self.enter()?;
        let huge = (c"huge".as_ptr() as usize, c"within_size".as_ptr() as usize);
        let size = (c"size".as_ptr() as usize, self.size.as_ptr() as usize);
        let context = self.open("fsopen", libc::SYS_fsopen, [c"tmpfs".as_ptr() as usize, FSOPEN_CLOEXEC, 0, 0, 0])?;
        // Kernels without huge pages refuse this; it works without.
        let _ = self.call("fsconfig", libc::SYS_fsconfig, [context, FSCONFIG_SET_STRING, huge.0, huge.1, 0]);
        self.call("fsconfig", libc::SYS_fsconfig, [context, FSCONFIG_SET_STRING, size.0, size.1, 0])?;
        self.call("fsconfig", libc::SYS_fsconfig, [context, FSCONFIG_CMD_CREATE, 0, 0, 0])?;
        let flags = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
        let writable = self.call("fsmount", libc::SYS_fsmount, [context, FSMOUNT_CLOEXEC, flags, 0, 0])?;
        self.writable = writable as c_int;
        self.close();

        let read_only = self.clone_mount(writable)?;
        self.read_only = read_only as c_int;
        let attributes = MountAttributes { set: MOUNT_ATTR_RDONLY, clear: 0, propagation: 0, user_namespace: 0 };
        let at = (&raw const attributes) as usize;
        let arguments = [read_only, EMPTY.as_ptr() as usize, AT_EMPTY_PATH, at, size_of_val(&attributes)];
        self.call("mount_setattr", libc::SYS_mount_setattr, arguments)?;
        Ok(())
    }

    /// Enters a mount namespace of its own, and one of users where that takes rights that this process does not have.
    fn enter(&mut self) -> Done<()> {
        if self.unshare(libc::CLONE_NEWNS).is_ok() {
            return Ok(());
        }
        self.unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS)?;
        // Without it an unprivileged process may not write gid_map.
        self.write("write setgroups", c"/proc/self/setgroups", *b"deny\0")?;
        self.write("write uid_map", c"/proc/self/uid_map", self.users)?;
        self.write("write gid_map", c"/proc/self/gid_map", self.groups)
    }

    /// Another mount of the same file system. Up to Linux 6.14 the kernel clones no mount that is mounted nowhere: it is mounted
    /// in the child's own namespace first.
    fn clone_mount(&mut self, mount: usize) -> Done<usize> {
        let flags = OPEN_TREE_CLONE | AT_EMPTY_PATH | libc::O_CLOEXEC as usize;
        let arguments = [mount, EMPTY.as_ptr() as usize, flags, 0, 0];
        if let Ok(clone) = self.call("open_tree", libc::SYS_open_tree, arguments) {
            return Ok(clone);
        }
        if self.errno != libc::EINVAL {
            return Err(Refused);
        }
        let root = c"/".as_ptr() as usize;
        // Or it would be seen in the namespace that this one was made from.
        self.call("mount MS_PRIVATE", libc::SYS_mount, [0, root, 0, (libc::MS_REC | libc::MS_PRIVATE) as usize, 0])?;
        let here = libc::AT_FDCWD as usize;
        let to_root = [mount, EMPTY.as_ptr() as usize, here, root, MOVE_MOUNT_F_EMPTY_PATH];
        self.call("move_mount", libc::SYS_move_mount, to_root)?;
        self.call("open_tree", libc::SYS_open_tree, arguments)
    }

    fn unshare(&mut self, namespaces: c_int) -> Done<()> {
        self.call("unshare", libc::SYS_unshare, [namespaces as usize, 0, 0, 0, 0])?;
        Ok(())
    }

    /// Writes a text up to its NUL to a file.
    fn write<const N: usize>(&mut self, step: &'static str, path: &CStr, text: [u8; N]) -> Done<()> {
        let flags = (libc::O_WRONLY | libc::O_CLOEXEC) as usize;
        let file = self.open(step, libc::SYS_openat, [libc::AT_FDCWD as usize, path.as_ptr() as usize, flags, 0, 0])?;
        let length = text.iter().take_while(|byte| **byte != 0).count();
        self.call(step, libc::SYS_write, [file, text.as_ptr() as usize, length, 0, 0])?;
        self.close();
        Ok(())
    }

    /// A call that opens a descriptor, which [`Work::close`] closes. There is one at a time.
    fn open(&mut self, step: &'static str, number: c_long, arguments: [usize; 5]) -> Done<usize> {
        let fd = self.call(step, number, arguments)?;
        self.other = fd as c_int;
        Ok(fd)
    }

    fn close(&mut self) {
        // SAFETY: opened by the child, and not used again.
        unsafe { raw(libc::SYS_close, [self.other as usize, 0, 0, 0, 0]) };
        self.other = -1;
    }

    fn call(&mut self, step: &'static str, number: c_long, arguments: [usize; 5]) -> Done<usize> {
        // What stays if a filter kills the child.
        (self.step, self.errno) = (step, libc::EPERM);
        // SAFETY: each call of this file has valid arguments.
        let answer = unsafe { raw(number, arguments) };
        if (-4095..0).contains(&answer) {
            self.errno = -answer as c_int;
            return Err(Refused);
        }
        self.errno = 0;
        Ok(answer as usize)
    }
}

const EMPTY: &CStr = c"";
const AT_EMPTY_PATH: usize = libc::AT_EMPTY_PATH as usize;

/// Memory, descriptors, and this thread waits. No signal at the end.
const CLONE_FLAGS: usize = (libc::CLONE_VM | libc::CLONE_FILES | libc::CLONE_VFORK) as usize;

/// clone(2): calls [`child`] in a new process, which ends when that returns. The number of the process, or a negative errno.
///
/// # Safety
/// `stack` is the end of memory for the child's stack, and a multiple of 16. Nobody else uses it or `work` until the child
/// has ended.
#[cfg(target_arch = "x86_64")]
unsafe fn clone(stack: *mut u8, work: *mut Work) -> isize {
    let answer;
    // SAFETY: the parent goes on behind the label with all registers as they were. The child has a stack of its own, and does
    // not come there.
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
            in("r12") work,
            in("r13") child as unsafe extern "C" fn(*mut Work),
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
unsafe fn clone(stack: *mut u8, work: *mut Work) -> isize {
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
            in("x20") work,
            in("x21") child as unsafe extern "C" fn(*mut Work),
        );
    }
    answer
}

/// A system call, without errno: a negative one is the result of a call that fails.
///
/// # Safety
/// As the call.
#[cfg(target_arch = "x86_64")]
unsafe fn raw(number: c_long, [a, b, c, d, e]: [usize; 5]) -> isize {
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
unsafe fn raw(number: c_long, [a, b, c, d, e]: [usize; 5]) -> isize {
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

/// Whether Valgrind executes this program: valgrind.h, RUNNING_ON_VALGRIND. It knows these instructions, which change nothing.
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
unsafe fn clone(_: *mut u8, _: *mut Work) -> isize {
    let _ = child;
    -(libc::ENOSYS as isize)
}

/// As [`clone`].
///
/// # Safety
/// None is needed.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn raw(_: c_long, _: [usize; 5]) -> isize {
    -(libc::ENOSYS as isize)
}
