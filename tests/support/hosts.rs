//! Hosts that lack something: system call filters that play them, for this process and its children, and the whole suite
//! can run on each.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

/// Names for BYTEFD_TEST_HOST, and what such a host is.
pub const HOSTS: &[(&str, fn())] = &[
    // Linux before 6.3.
    ("no-noexec-flag", || refuse_flags(libc::SYS_memfd_create, 1, 0x18, libc::EINVAL)),
    // A container profile written before memfd.
    ("no-memfd", || refuse(libc::SYS_memfd_create, libc::EPERM)),
    // Linux before 3.17.
    ("memfd-unknown", || refuse(libc::SYS_memfd_create, libc::ENOSYS)),
];

pub fn become_chosen() {
    if let Ok(name) = std::env::var("BYTEFD_TEST_HOST") {
        let (_, become_it) = HOSTS.iter().find(|(known, _)| *known == name).expect("a host of that name");
        become_it();
    }
}

/// Every call of `number` fails with `errno`.
pub fn refuse(number: libc::c_long, errno: i32) {
    install(number, vec![], errno);
}

/// Calls fail in which argument `index` has one of the bits.
pub fn refuse_flags(number: libc::c_long, index: u8, bits: u64, errno: i32) {
    let each_bit = (0..64).map(|shift| 1u64 << shift).filter(|bit| bits & bit != 0);
    let rules = each_bit.map(|bit| rule(index, SeccompCmpOp::MaskedEq(bit), bit));
    install(number, rules.collect(), errno);
}

/// Calls fail in which argument `index` is `value`.
pub fn refuse_value(number: libc::c_long, index: u8, value: u64, errno: i32) {
    install(number, vec![rule(index, SeccompCmpOp::Eq, value)], errno);
}

fn rule(index: u8, operator: SeccompCmpOp, value: u64) -> SeccompRule {
    let condition = SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value).expect("a condition");
    SeccompRule::new(vec![condition]).expect("a rule")
}

fn install(number: libc::c_long, rules: Vec<SeccompRule>, errno: i32) {
    let filter = SeccompFilter::new(
        BTreeMap::from([(number, rules)]),
        SeccompAction::Allow,
        SeccompAction::Errno(errno as u32),
        std::env::consts::ARCH.try_into().expect("x86_64 or aarch64"),
    );
    let program: BpfProgram = filter.expect("a filter").try_into().expect("a program");
    apply_filter(&program).expect("seccomp");
}

/// Whether memfd_create works here, asked of the kernel and not of the library.
pub fn has_memfd() -> bool {
    memfd_accepts(0)
}

/// Whether the kernel can forbid execution, MFD_NOEXEC_SEAL.
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
