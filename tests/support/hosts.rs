//! Plays hosts that lack something, with system call filters and mounts, for this process and its
//! children. The test `hosts::` runs the portable groups on each.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};

/// The environment variable that chooses a host.
pub const CHOSEN: &str = "BYTEFD_TEST_HOST";

/// The exit code of a process that does not have the rights to play its host.
pub const CANNOT_BE_PLAYED: i32 = 77;

/// Names for BYTEFD_TEST_HOST, and functions that play such a host.
pub const HOSTS: &[(&str, fn())] = &[
    // Linux before 6.3.
    ("no-noexec-flag", || refuse_flags(libc::SYS_memfd_create, 1, 0x18, libc::EINVAL)),
    // A container profile written before memfd.
    ("no-memfd", || refuse(libc::SYS_memfd_create, libc::EPERM)),
    // Linux built without CONFIG_MEMFD_CREATE.
    ("memfd-unknown", || refuse(libc::SYS_memfd_create, libc::ENOSYS)),
    // Linux before 3.17, which brought both.
    ("linux-3.16", || {
        refuse(libc::SYS_memfd_create, libc::ENOSYS);
        refuse(libc::SYS_getrandom, libc::ENOSYS);
        // Hash maps and proptest want random numbers too, and keep /dev/urandom open from then on:
        // no leaks.
        let _ = std::hash::RandomState::new();
        proptest::test_runner::TestRunner::default();
    }),
    // In this container only the folders for temporary files can be written.
    ("only-files", || {
        make_shm_read_only();
        refuse(libc::SYS_memfd_create, libc::EPERM);
    }),
    // NFS before 4.2 and other file systems that cannot reserve.
    ("no-fallocate", || refuse(libc::SYS_fallocate, libc::EOPNOTSUPP)),
];

pub fn become_chosen() {
    if let Ok(name) = std::env::var(CHOSEN) {
        let (_, become_it) =
            HOSTS.iter().find(|(known, _)| *known == name).expect("a host of that name");
        become_it();
    }
}

/// Makes /dev/shm read-only in a mount namespace of its own, for this process and its children. The
/// process must have only one thread.
fn make_shm_read_only() {
    let done = own_mounts()
        .and_then(|()| mount(c"none", c"/", c"none", libc::MS_REC | libc::MS_PRIVATE))
        .and_then(|()| mount(c"none", c"/dev/shm", c"tmpfs", libc::MS_RDONLY));
    if let Err(error) = done {
        eprintln!("mounts of its own: {error}");
        std::process::exit(CANNOT_BE_PLAYED);
    }
}

/// Gives this process mounts of its own. Without rights it gets them in a user namespace of its
/// own.
fn own_mounts() -> std::io::Result<()> {
    // SAFETY: these calls touch no memory.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    // SAFETY: as above.
    let unshare = |flags| unsafe { check(libc::unshare(flags)) };
    if unshare(libc::CLONE_NEWNS).is_ok() {
        return Ok(());
    }
    unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS)?;
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/gid_map", format!("{group} {group} 1"))?;
    std::fs::write("/proc/self/uid_map", format!("{user} {user} 1"))
}

fn mount(what: &CStr, at: &CStr, kind: &CStr, flags: libc::c_ulong) -> std::io::Result<()> {
    // SAFETY: the texts are NUL-terminated; these file systems take no data.
    check(unsafe {
        libc::mount(what.as_ptr(), at.as_ptr(), kind.as_ptr(), flags, std::ptr::null())
    })
}

fn check(status: libc::c_int) -> std::io::Result<()> {
    if status == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Makes every call of `number` fail with `errno`.
pub fn refuse(number: libc::c_long, errno: i32) {
    install(number, vec![], errno);
}

/// Makes calls fail if argument `index` has one of the bits.
pub fn refuse_flags(number: libc::c_long, index: u8, bits: u64, errno: i32) {
    let each_bit = (0..64).map(|shift| 1u64 << shift).filter(|bit| bits & bit != 0);
    let rules = each_bit.map(|bit| rule(index, SeccompCmpOp::MaskedEq(bit), bit));
    install(number, rules.collect(), errno);
}

/// Makes calls fail if argument `index` is `value`.
pub fn refuse_value(number: libc::c_long, index: u8, value: u64, errno: i32) {
    install(number, vec![rule(index, SeccompCmpOp::Eq, value)], errno);
}

/// Makes calls fail if argument `index` is anything else.
pub fn refuse_other_values(number: libc::c_long, index: u8, value: u64, errno: i32) {
    install(number, vec![rule(index, SeccompCmpOp::Ne, value)], errno);
}

fn rule(index: u8, operator: SeccompCmpOp, value: u64) -> SeccompRule {
    let condition = SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value)
        .expect("a condition");
    SeccompRule::new(vec![condition]).expect("a rule")
}

/// Makes every call of `number` end its process.
pub fn kill_at(number: libc::c_long) {
    install_action(number, vec![], SeccompAction::KillProcess);
}

fn install(number: libc::c_long, rules: Vec<SeccompRule>, errno: i32) {
    install_action(number, rules, SeccompAction::Errno(errno as u32));
}

fn install_action(number: libc::c_long, rules: Vec<SeccompRule>, action: SeccompAction) {
    let filter = SeccompFilter::new(
        BTreeMap::from([(number, rules)]),
        SeccompAction::Allow,
        action,
        std::env::consts::ARCH.try_into().expect("x86_64 or aarch64"),
    );
    let program: BpfProgram = filter.expect("a filter").try_into().expect("a program");
    apply_filter(&program).expect("seccomp");
}

/// Returns whether memfd_create works here. Asks the kernel and not the library.
pub fn has_memfd() -> bool {
    memfd_accepts(0)
}

/// Returns whether files can be made in /dev/shm.
pub fn has_shm() -> bool {
    let name =
        CString::new(format!("/probe.{}.{:?}", std::process::id(), std::thread::current().id()))
            .expect("no NUL");
    // SAFETY: a valid name; the descriptor is closed and the name removed at once.
    unsafe {
        let fd = libc::shm_open(name.as_ptr(), libc::O_RDWR | libc::O_CREAT | libc::O_EXCL, 0o600);
        fd >= 0 && libc::close(fd) == 0 && libc::shm_unlink(name.as_ptr()) == 0
    }
}

/// Returns whether the kernel can forbid execution, MFD_NOEXEC_SEAL.
pub fn can_forbid_execution() -> bool {
    memfd_accepts(8)
}

fn memfd_accepts(flags: u32) -> bool {
    // SAFETY: a valid name; the descriptor is closed at once.
    unsafe {
        let fd = libc::memfd_create(c"probe".as_ptr(), flags | libc::MFD_CLOEXEC);
        fd >= 0 && libc::close(fd) == 0
    }
}
