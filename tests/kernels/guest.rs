//! This program as the first and only program of a virtual machine: it mounts what tests expect, runs itself again for the
//! portable groups, says how that ended, and turns the machine off.

use std::ffi::{CStr, CString};
use std::process::Command;

use crate::support;

/// Set on the kernel's command line, which the kernel turns into environment variables of the first program: the release
/// that must be running.
pub const RELEASE: &str = "BYTEFD_TEST_KERNEL";

/// Groups that need neither compilers nor clients nor the repository.
const GROUPS: &str = "wrap,reopen,scan,fill,map,faults,execution,kernel";

/// What the last line begins with; the exit code of the suite follows.
const CLOSING: &str = "BYTEFD GUEST: the suite ended with";

/// 5.10 waits for entropy, of which an idle machine has little, unless it trusts the processor.
pub fn command_line(release: &str) -> String {
    format!("console=ttyS0 quiet loglevel=1 panic=-1 random.trust_cpu=on {RELEASE}={release}")
}

/// How many tests passed, or what is wrong with what came over the serial line.
pub fn passed(console: &str) -> Result<usize, String> {
    let line = |start| console.lines().rev().find_map(|line| line.trim().strip_prefix(start));
    let ended = line(CLOSING).ok_or("the guest did not come to its end")?.trim();
    if ended != "0" {
        return Err(format!("the suite failed in the guest: {ended}"));
    }
    let result = line("test result: ok. ").ok_or("the guest reports no result")?;
    match result.split_whitespace().next().and_then(|count| count.parse().ok()) {
        None | Some(0) => Err(format!("no test ran in the guest: {result}")),
        Some(count) => Ok(count),
    }
}

/// Whether this is the first program of such a guest.
pub fn is_init() -> bool {
    std::process::id() == 1 && std::env::var_os(RELEASE).is_some()
}

pub fn init() -> ! {
    mount("proc", "/proc");
    mount("sysfs", "/sys");
    mount("devtmpfs", "/dev");
    for folder in ["/dev/shm", "/tmp", "/var/tmp"] {
        mount("tmpfs", folder);
    }
    // A place where tests mount what they need.
    std::fs::create_dir_all("/mnt").expect("a folder");
    // The kernel's own name for a script that it was given as a descriptor.
    std::os::unix::fs::symlink("/proc/self/fd", "/dev/fd").expect("a link");
    let program = std::env::current_exe().expect("this program's path");
    // The console is a terminal, but the result is read by a program.
    let mut suite = Command::new(program);
    suite.args(["--color", "never"]).env(support::GROUPS, GROUPS).env("PATH", "/bin").env("RUST_BACKTRACE", "0");
    match suite.status().map(|status| status.code()) {
        Ok(Some(code)) => println!("{CLOSING} {code}"),
        other => println!("{CLOSING} {other:?}"),
    }
    // SAFETY: neither touches memory. Without tcdrain the last line may not have left the machine.
    unsafe {
        libc::tcdrain(libc::STDOUT_FILENO);
        libc::reboot(libc::RB_POWER_OFF);
    }
    unreachable!("the machine is off");
}

/// Mounts a new file system of this kind, writable for everybody where that makes sense.
fn mount(kind: &str, at: &str) {
    std::fs::create_dir_all(at).expect("a folder");
    let (kind, at) = (CString::new(kind).expect("no NUL"), CString::new(at).expect("no NUL"));
    let nothing: *const CStr = c"none";
    // SAFETY: the texts are NUL-terminated; these file systems take no data.
    let status = unsafe { libc::mount(nothing.cast(), at.as_ptr(), kind.as_ptr(), 0, std::ptr::null()) };
    assert_eq!(status, 0, "mount {kind:?}: {}", std::io::Error::last_os_error());
}
