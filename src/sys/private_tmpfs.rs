//! Mounts a file system in memory for this process alone. It is mounted twice: for writing, and
//! read-only for the code that borrows a file. Neither mount has a path: each is a descriptor. The
//! file system ends with the last descriptor of its files.
//!
//! Mounting needs privileges that few processes have. A user namespace gives them to any process,
//! but only a process with one thread can enter one. So a child mounts the file system (`child`),
//! in namespaces of its own, and leaves the descriptors to this process. The namespaces end with
//! the child, and the mounts stay without them. The child notes each step before it takes the step.
//! So this process knows the step at which a filter of system calls killed the child.

use std::ffi::{CStr, c_int, c_long, c_void};
use std::io::Write;
use std::os::fd::{FromRawFd, OwnedFd};

use super::child::{self, raw};
use super::file;
use crate::error::Errno;

/// The two descriptors of a new file system's root directory.
pub(crate) struct Directories {
    pub writable: OwnedFd,
    pub read_only: OwnedFd,
}

/// The step that failed, and its errno. The host does not allow the step, or something ran out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    pub step: &'static str,
    pub errno: Errno,
}

impl Refusal {
    pub fn new(step: &'static str, errno: Errno) -> Refusal {
        Refusal { step, errno }
    }

    /// Returns whether something ran out that may be there later. (If unshare(2) reports too many
    /// namespaces, a setting of the host is the reason, not a shortage.)
    pub fn is_shortage(&self) -> bool {
        [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::EAGAIN].contains(&self.errno.0)
    }
}

type Outcome<T> = std::result::Result<T, Refusal>;

/// The arguments of the child, and its results. The arguments are made before the child exists,
/// because the child uses no heap.
struct Work {
    /// "0 UID 1" and "0 GID 1", for uid_map and gid_map.
    users: Text,
    groups: Text,
    /// The size of the file system in bytes.
    size: Text,
    /// The current step. It remains here if a filter of system calls kills the child.
    step: &'static str,
    /// The errno of that step; 0 after a success.
    errno: c_int,
    // Descriptors, or -1.
    writable: c_int,
    read_only: c_int,
    other: c_int,
}

/// Room for three numbers with spaces between them, and a NUL at the end.
type Text = [u8; 48];

fn text(content: std::fmt::Arguments<'_>) -> Text {
    let mut text = [0; size_of::<Text>()];
    (&mut text[..]).write_fmt(content).expect("numbers are short");
    text
}

/// Makes a file system of at most `bytes` bytes, a multiple of the page size.
pub(crate) fn mount(bytes: u64) -> Outcome<Directories> {
    // SAFETY: no preconditions.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    let mut work = Work {
        users: text(format_args!("0 {user} 1")),
        groups: text(format_args!("0 {group} 1")),
        size: text(format_args!("{bytes}")),
        step: "",
        errno: 0,
        writable: -1,
        read_only: -1,
        other: -1,
    };
    // SAFETY: `work` stays until the child has ended, and `mount_in_child` does only what `Entry`
    // allows.
    let ran = unsafe { child::run(mount_in_child, (&raw mut work).cast()) };
    let [writable, read_only, other] = [work.writable, work.read_only, work.other].map(|fd| {
        // SAFETY: the child opened the descriptor, and left it to this process.
        (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
    });
    drop(other);
    ran.map_err(|(step, errno)| Refusal::new(step, errno))?;
    let (Some(writable), Some(read_only), 0) = (writable, read_only, work.errno) else {
        return Err(Refusal::new(work.step, Errno(work.errno)));
    };
    let raised = |fd| {
        file::above_standard_streams(fd)
            .map_err(|errno| Refusal::new("fcntl F_DUPFD_CLOEXEC", errno))
    };
    Ok(Directories { writable: raised(writable)?, read_only: raised(read_only)? })
}

// From linux/mount.h, which not every C library has.
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

/// A step was refused; `step` and `errno` say which and why.
struct Refused;

type Done<T> = std::result::Result<T, Refused>;

/// Mounts the file system, in the child. It may do no more than [`child::Entry`] allows: it calls
/// functions of this file and makes system calls.
///
/// # Safety
/// `work` is a `Work` that no other code uses meanwhile.
unsafe extern "C" fn mount_in_child(work: *mut c_void) {
    // SAFETY: the caller guarantees that this is a `Work` without another user.
    let work = unsafe { &mut *work.cast::<Work>() };
    let _ = work.mount();
}

impl Work {
    fn mount(&mut self) -> Done<()> {
        self.enter()?;
        let huge = (c"huge".as_ptr() as usize, c"within_size".as_ptr() as usize);
        let size = (c"size".as_ptr() as usize, self.size.as_ptr() as usize);
        let context = self.open(
            "fsopen",
            libc::SYS_fsopen,
            [c"tmpfs".as_ptr() as usize, FSOPEN_CLOEXEC, 0, 0, 0],
        )?;
        // Kernels without huge pages refuse this option. The mount works without it.
        let _ = self.call(
            "fsconfig",
            libc::SYS_fsconfig,
            [context, FSCONFIG_SET_STRING, huge.0, huge.1, 0],
        );
        self.call(
            "fsconfig",
            libc::SYS_fsconfig,
            [context, FSCONFIG_SET_STRING, size.0, size.1, 0],
        )?;
        self.call("fsconfig", libc::SYS_fsconfig, [context, FSCONFIG_CMD_CREATE, 0, 0, 0])?;
        let flags = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
        let writable =
            self.call("fsmount", libc::SYS_fsmount, [context, FSMOUNT_CLOEXEC, flags, 0, 0])?;
        self.writable = writable as c_int;
        self.close();

        let read_only = self.clone_mount(writable)?;
        self.read_only = read_only as c_int;
        let attributes =
            MountAttributes { set: MOUNT_ATTR_RDONLY, clear: 0, propagation: 0, user_namespace: 0 };
        let at = (&raw const attributes) as usize;
        let arguments =
            [read_only, EMPTY.as_ptr() as usize, AT_EMPTY_PATH, at, size_of_val(&attributes)];
        self.call("mount_setattr", libc::SYS_mount_setattr, arguments)?;
        Ok(())
    }

    /// Enters a mount namespace of its own. If this process lacks the privileges for that, enters a
    /// user namespace as well.
    fn enter(&mut self) -> Done<()> {
        if self.unshare(libc::CLONE_NEWNS).is_ok() {
            return Ok(());
        }
        self.unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS)?;
        // Without "deny" an unprivileged process may not write gid_map.
        self.write("write setgroups", c"/proc/self/setgroups", *b"deny\0")?;
        self.write("write uid_map", c"/proc/self/uid_map", self.users)?;
        self.write("write gid_map", c"/proc/self/gid_map", self.groups)
    }

    /// Clones the mount. Up to Linux 6.14 the kernel clones only a mount that has a path, so the
    /// mount is first moved into the child's own namespace.
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
        // A mount that is not private would also appear in the namespace that this one was copied
        // from.
        self.call(
            "mount MS_PRIVATE",
            libc::SYS_mount,
            [0, root, 0, (libc::MS_REC | libc::MS_PRIVATE) as usize, 0],
        )?;
        let here = libc::AT_FDCWD as usize;
        let to_root = [mount, EMPTY.as_ptr() as usize, here, root, MOVE_MOUNT_F_EMPTY_PATH];
        self.call("move_mount", libc::SYS_move_mount, to_root)?;
        self.call("open_tree", libc::SYS_open_tree, arguments)
    }

    fn unshare(&mut self, namespaces: c_int) -> Done<()> {
        self.call("unshare", libc::SYS_unshare, [namespaces as usize, 0, 0, 0, 0])?;
        Ok(())
    }

    /// Writes a text, up to its NUL, to a file.
    fn write<const N: usize>(
        &mut self,
        step: &'static str,
        path: &CStr,
        text: [u8; N],
    ) -> Done<()> {
        let flags = (libc::O_WRONLY | libc::O_CLOEXEC) as usize;
        let file = self.open(
            step,
            libc::SYS_openat,
            [libc::AT_FDCWD as usize, path.as_ptr() as usize, flags, 0, 0],
        )?;
        let length = text.iter().take_while(|byte| **byte != 0).count();
        self.call(step, libc::SYS_write, [file, text.as_ptr() as usize, length, 0, 0])?;
        self.close();
        Ok(())
    }

    /// Makes a call that opens a descriptor. [`Work::close`] closes it. At most one is open at a
    /// time.
    fn open(&mut self, step: &'static str, number: c_long, arguments: [usize; 5]) -> Done<usize> {
        let fd = self.call(step, number, arguments)?;
        self.other = fd as c_int;
        Ok(fd)
    }

    fn close(&mut self) {
        // SAFETY: the child opened the descriptor, and does not use it again.
        unsafe { raw(libc::SYS_close, [self.other as usize, 0, 0, 0, 0]) };
        self.other = -1;
    }

    fn call(&mut self, step: &'static str, number: c_long, arguments: [usize; 5]) -> Done<usize> {
        // These values remain if a filter kills the child.
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
