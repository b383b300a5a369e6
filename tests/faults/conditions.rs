//! Plays what a host can do to a program: limits, mounts, another user, a signal. Most of it
//! affects the whole process, so all but `in_child` is for tests that run alone.

use std::ffi::{CStr, CString, c_int};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::support::leaks::{names_left, names_left_since};

/// How a child ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    Exited(c_int),
    Killed(c_int),
}

/// Runs `body` in a forked child. Other threads may have held the allocator's lock: `body` must not
/// allocate unless the test runs alone.
pub fn in_child(body: impl FnOnce() -> c_int) -> End {
    let limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    let mut status = 0;
    // SAFETY: the child runs `body` and ends; the parent waits for it.
    unsafe {
        match libc::fork() {
            -1 => panic!("fork: {}", std::io::Error::last_os_error()),
            0 => {
                libc::setrlimit(libc::RLIMIT_CORE, &limit);
                touch_stack();
                libc::_exit(body());
            }
            child => assert_eq!(libc::waitpid(child, &mut status, 0), child),
        }
    }
    if libc::WIFSIGNALED(status) {
        End::Killed(libc::WTERMSIG(status))
    } else {
        End::Exited(libc::WEXITSTATUS(status))
    }
}

/// Discards what this process writes to standard error: panics that are expected.
pub fn be_silent() {
    let nowhere = std::fs::File::options().write(true).open("/dev/null").expect("/dev/null");
    // SAFETY: touches no memory.
    assert_eq!(unsafe { libc::dup2(std::os::fd::AsRawFd::as_raw_fd(&nowhere), 2) }, 2);
}

/// Touches the pages of the stack that a child uses first, which makes them its own. The emulator
/// of the guests (qemu 7.2) reports a wrong overflow of a product if the instruction that stores
/// the flag (`seto` after `mul`) faults, and a child's first store to a page faults.
#[inline(never)]
fn touch_stack() {
    std::hint::black_box([1u8; 64 << 10]);
}

/// Reads one byte in a child. Returns `Exited` with its value, or the signal.
pub fn read_in_child(address: *const u8) -> End {
    // SAFETY: what this finds out; it happens in the child only.
    in_child(|| unsafe { address.read_volatile() }.into())
}

/// Stores one byte in a child.
pub fn store_in_child(address: *mut u8, byte: u8) -> End {
    in_child(|| {
        // SAFETY: what this finds out; it happens in the child only.
        unsafe { address.write_volatile(byte) };
        0
    })
}

/// Runs `body` under another soft limit.
pub fn with_limit<R>(
    resource: libc::__rlimit_resource_t,
    value: u64,
    body: impl FnOnce() -> R,
) -> R {
    let mut before = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: valid structs.
    unsafe {
        assert_eq!(libc::getrlimit(resource, &mut before), 0);
        assert_eq!(libc::setrlimit(resource, &libc::rlimit { rlim_cur: value, ..before }), 0);
    }
    let result = body();
    // SAFETY: as above.
    assert_eq!(unsafe { libc::setrlimit(resource, &before) }, 0);
    result
}

/// Runs `body` with at most `free` free descriptors: the lowest that are closed now.
pub fn with_free_descriptors<R>(free: usize, body: impl FnOnce() -> R) -> R {
    let last_open = *open_descriptors().last().expect("a descriptor is open");
    let closed: Vec<c_int> = (0..4096).filter(|fd| !is_open(*fd)).collect();
    let end = closed[..free].last().map_or(0, |fd| fd + 1).max(last_open + 1);
    let plugs: Vec<c_int> = closed[free..].iter().copied().filter(|fd| *fd < end).collect();
    // SAFETY: these numbers are closed, and closed again below.
    plugs
        .iter()
        .for_each(|fd| assert_eq!(unsafe { libc::dup3(last_open, *fd, libc::O_CLOEXEC) }, *fd));
    let result = with_limit(libc::RLIMIT_NOFILE, end as u64, body);
    // SAFETY: the duplicates made above.
    plugs.iter().for_each(|fd| assert_eq!(unsafe { libc::close(*fd) }, 0));
    result
}

/// Runs `body` with descriptor 0 closed.
pub fn without_standard_input<R>(body: impl FnOnce() -> R) -> R {
    // SAFETY: the descriptor comes back.
    let kept = unsafe { libc::fcntl(0, libc::F_DUPFD_CLOEXEC, 3) };
    assert!(kept >= 3);
    // SAFETY: nothing reads from it meanwhile.
    assert_eq!(unsafe { libc::close(0) }, 0);
    let result = body();
    // SAFETY: as above.
    unsafe {
        assert_eq!(libc::dup2(kept, 0), 0);
        libc::close(kept);
    }
    result
}

/// Makes SIGXFSZ end this process, whatever disposition was inherited.
pub fn file_size_signal_kills() {
    // SAFETY: the default disposition.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_DFL) };
}

/// Ends a test that runs alone if the host does not let it play its conditions.
pub fn skip(reason: impl std::fmt::Display) -> ! {
    println!("SKIPPED: {}: {reason}", std::env::var("BYTEFD_TEST_ALONE").unwrap_or_default());
    std::process::exit(0)
}

/// A file system that is unmounted when this is dropped.
pub struct Mounted(PathBuf);

/// Mounts an empty tmpfs that hides the content of this path, for this process only.
pub fn hide(at: impl AsRef<Path>, options: &str) -> Mounted {
    mounted(c"tmpfs", c"tmpfs", at.as_ref(), options).expect("a tmpfs")
}

/// Mounts a file system of this kind, as [`hide`] does.
pub fn mounted(kind: &CStr, source: &CStr, at: &Path, options: &str) -> std::io::Result<Mounted> {
    private_mounts();
    mount(kind, source, at, 0, options)?;
    Ok(Mounted(at.into()))
}

/// Mounts a tmpfs of this many KiB in a folder of its own. Drop them in reverse order.
pub fn small_file_system(kib: usize) -> (tempfile::TempDir, Mounted) {
    private_mounts();
    let folder = tempfile::tempdir().expect("a folder");
    let mounted = hide(folder.path(), &format!("size={kib}k,mode=755"));
    (folder, mounted)
}

impl Mounted {
    /// Makes it read-only (MS_RDONLY) or without execution (MS_NOEXEC).
    pub fn restrict(&self, flags: libc::c_ulong) {
        mount(c"", c"", &self.0, libc::MS_REMOUNT | libc::MS_BIND | flags, "")
            .expect("mounted again");
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let at = CString::new(self.0.as_os_str().as_bytes()).expect("no NUL");
        // SAFETY: a string.
        assert_eq!(unsafe { libc::umount2(at.as_ptr(), libc::MNT_DETACH) }, 0, "umount {at:?}");
    }
}

/// Gives this process mounts and System V segments of its own from now on, where no other test
/// finds what is left. Without root it becomes root of a user namespace.
pub fn private_mounts() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        // SAFETY: these calls touch no memory.
        let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
        // SAFETY: as above; the process has one thread.
        let unshare = |flags| unsafe { libc::unshare(flags) } == 0;
        let own = libc::CLONE_NEWNS | libc::CLONE_NEWIPC;
        if !unshare(own) {
            if !unshare(own | libc::CLONE_NEWUSER) {
                skip(format_args!("no mounts of its own: {}", std::io::Error::last_os_error()));
            }
            std::fs::write("/proc/self/setgroups", "deny").expect("setgroups");
            std::fs::write("/proc/self/uid_map", format!("0 {user} 1")).expect("uid_map");
            std::fs::write("/proc/self/gid_map", format!("0 {group} 1")).expect("gid_map");
        }
        if let Err(error) = mount(c"", c"", "/".as_ref(), libc::MS_REC | libc::MS_PRIVATE, "") {
            skip(format_args!("no mounts of its own: {error}"));
        }
    });
}

fn mount(
    kind: &CStr,
    source: &CStr,
    at: &Path,
    flags: libc::c_ulong,
    options: &str,
) -> std::io::Result<()> {
    let at = CString::new(at.as_os_str().as_bytes()).expect("no NUL");
    let options = CString::new(options).expect("no NUL");
    // SAFETY: strings.
    let status = unsafe {
        libc::mount(source.as_ptr(), at.as_ptr(), kind.as_ptr(), flags, options.as_ptr().cast())
    };
    if status == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Shows a directory at another place too. Needs [`hide`] first, so that this process has mounts of
/// its own.
pub fn bind(from: &Path, at: &Path) {
    let from = CString::new(from.as_os_str().as_bytes()).expect("no NUL");
    let at = CString::new(at.as_os_str().as_bytes()).expect("no NUL");
    let nothing = std::ptr::null();
    // SAFETY: strings; no kind and no data are needed.
    let status =
        unsafe { libc::mount(from.as_ptr(), at.as_ptr(), nothing, libc::MS_BIND, nothing.cast()) };
    assert_eq!(status, 0, "{}", std::io::Error::last_os_error());
}

/// Ends what [`bind`] did.
pub fn unmount(at: &Path) {
    drop(Mounted(at.into()));
}

/// Returns the number of free bytes on the file system.
pub fn free_space(at: impl AsRef<Path>) -> u64 {
    let at = CString::new(at.as_ref().to_str().expect("a UTF-8 path")).expect("no NUL");
    // SAFETY: all-zero is a valid struct; a string and a writable struct.
    unsafe {
        let mut stat: libc::statvfs = std::mem::zeroed();
        assert_eq!(libc::statvfs(at.as_ptr(), &mut stat), 0);
        stat.f_bfree * stat.f_frsize
    }
}

/// Runs `body` as a user without privileges, if this is root.
pub fn as_nobody<R>(body: impl FnOnce() -> R) -> R {
    const NOBODY: u32 = 65534;
    const KEEP: u32 = u32::MAX;
    // SAFETY: concerns this process only, which can come back because the saved user stays.
    let is_root = unsafe { libc::geteuid() } == 0;
    if is_root {
        // SAFETY: as above.
        let dropped =
            unsafe { libc::setresgid(KEEP, NOBODY, KEEP) | libc::setresuid(KEEP, NOBODY, KEEP) };
        assert_eq!(dropped, 0, "{}", std::io::Error::last_os_error());
    }
    let result = body();
    if is_root {
        // SAFETY: as above.
        assert_eq!(unsafe { libc::setresuid(KEEP, 0, KEEP) | libc::setresgid(KEEP, 0, KEEP) }, 0);
    }
    result
}

fn is_open(fd: c_int) -> bool {
    // SAFETY: touches no memory.
    unsafe { libc::fcntl(fd, libc::F_GETFD) >= 0 }
}

/// Returns the descriptors of this process, without /proc and without a free descriptor.
pub fn open_descriptors() -> Vec<c_int> {
    (0..4096).filter(|fd| is_open(*fd)).collect()
}

/// Runs `body`. Afterwards there must be no more descriptors and no more names in /dev/shm than
/// before.
pub fn leaves_nothing<R>(body: impl FnOnce() -> R) -> R {
    let (open, names) = (open_descriptors(), names_left());
    let result = body();
    assert_eq!(open_descriptors(), open, "descriptors, after and before");
    let left = names_left_since(&names);
    assert!(left.is_empty(), "names left in /dev/shm: {left:?}");
    result
}
