//! Runs this program as the first and only program of a virtual machine. It mounts what tests
//! expect, and runs itself again for the portable groups, once for each kind of host that the
//! machine can be. Then it prints the result and turns the machine off.

use std::ffi::CString;
use std::process::{Command, ExitStatus};

use crate::support::{self, alarm, tools};
use crate::tests;

tests![a_guest_is_believed_only_if_every_group_ran_and_passed];

/// Set on the kernel's command line, which the kernel turns into environment variables of the first
/// program: the release that must be running.
pub const RELEASE: &str = "BYTEFD_TEST_KERNEL";

/// Set for one run of the suite to the word that is chosen in `shmem_enabled`.
const HUGE_PAGES: &str = "BYTEFD_TEST_HUGE_PAGES";

/// The host's policy on huge pages for files in memory.
pub const SHMEM_ENABLED: &str = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";

/// Set to groups: guests run these instead of `RUNS`. Their kernels hand it on.
const GROUPS: &str = "BYTEFD_TEST_GUEST_GROUPS";

/// A policy, and the groups that run with it.
type Run = (&'static str, &'static str);

/// Groups that need neither compilers nor clients, and only a few pages of the repository. Older
/// kernels need more system calls than `budget` allows, and more of /proc than `pool_native`
/// leaves. All groups run with the policy that kernels come with. The groups that fill files also
/// run with the policies that a host may choose instead.
const RUNS: [Run; 5] = [
    (
        "never",
        "wrap,reopen,scan,pool,new_files,fill,huge,collapse,map,adopt,guard,faults,rust,named,\
         share,stream,trust,mistakes,fuzz,execution,kernel",
    ),
    ("within_size", "wrap,reopen,scan,fill,huge,kernel"),
    ("always", "wrap,reopen,scan,fill,huge,kernel"),
    ("force", "huge,kernel"),
    ("deny", "huge,kernel"),
];

/// Returns what guests run.
pub fn runs() -> Vec<Run> {
    match std::env::var(GROUPS) {
        Ok(groups) => vec![("never", groups.leak())],
        Err(_) => RUNS.to_vec(),
    }
}

/// The folder of C programs. A guest runs each of them before the suite.
pub const PROGRAMS: &str = "/programs";

/// Returns the line for a C program that has done its work.
pub fn succeeded(program: &str) -> String {
    format!("BYTEFD GUEST: {PROGRAMS}/{program} succeeded")
}

/// Returns the beginning of a run's last line. The exit code of the suite follows.
pub fn closing(policy: &str) -> String {
    format!("BYTEFD GUEST: with shmem_enabled={policy} the suite ended with")
}

/// Returns the release, in a guest of these tests.
pub fn release() -> Option<String> {
    std::env::var(RELEASE).ok()
}

/// Returns the policy on huge pages, in a guest of these tests.
pub fn huge_pages() -> Option<String> {
    std::env::var(HUGE_PAGES).ok()
}

/// Returns the command line of the kernel. An idle machine has little entropy, and 5.10 waits for
/// it unless it trusts the processor.
pub fn command_line(release: &str, console: &str) -> String {
    let groups =
        std::env::var(GROUPS).map_or(String::new(), |groups| format!(" {GROUPS}={groups}"));
    let quiet = "quiet loglevel=1 panic=-1";
    format!("console={console} {quiet} random.trust_cpu=on {RELEASE}={release}{groups}")
}

/// Returns how many tests passed in all runs, or what is wrong with the output of the serial line.
pub fn passed(runs: &[Run], console: &str) -> Result<usize, String> {
    let (mut total, mut rest) = (0, console);
    for (policy, groups) in runs {
        let with = format!("with shmem_enabled={policy}");
        let (said, after) = rest
            .split_once(&closing(policy))
            .ok_or(format!("the guest did not come to its end {with}"))?;
        let (code, after) = after.split_once('\n').unwrap_or((after, ""));
        if code.trim() != "0" {
            return Err(format!("the suite failed in the guest {with}: {}", code.trim()));
        }
        let result =
            said.lines().rev().find_map(|line| line.trim().strip_prefix("test result: ok. "));
        let result = result.ok_or(format!("the guest reports no result {with}"))?;
        let count = result.split_whitespace().next().and_then(|count| count.parse::<usize>().ok());
        total += count.ok_or(format!("the guest reports no count {with}: {result}"))?;
        if let Some(group) =
            groups.split(',').find(|group| !said.contains(&format!("test {group}::")))
        {
            return Err(format!("no test of the group {group} ran in the guest {with}"));
        }
        rest = after;
    }
    Ok(total)
}

/// Returns whether this is the first program of such a guest.
pub fn is_init() -> bool {
    std::process::id() == 1 && std::env::var_os(RELEASE).is_some()
}

pub fn init() -> ! {
    mount("proc", "/proc");
    mount("sysfs", "/sys");
    mount("devtmpfs", "/dev");
    // The repository's pages may lie in a folder that a new file system hides.
    let pages = tools::repository().to_str().expect("UTF-8");
    bind(pages, "/pages");
    for folder in ["/dev/shm", "/tmp", "/var/tmp"] {
        mount("tmpfs", folder);
    }
    bind("/pages", pages);
    raise_loopback();
    // A place where tests mount what they need.
    std::fs::create_dir_all("/mnt").expect("a folder");
    // The kernel's own name for a script that it was given as a descriptor.
    std::os::unix::fs::symlink("/proc/self/fd", "/dev/fd").expect("a link");
    for program in std::fs::read_dir(PROGRAMS).into_iter().flatten().flatten() {
        let name = program.file_name();
        match Command::new(program.path()).status() {
            Ok(status) if status.success() => println!("{}", succeeded(&name.to_string_lossy())),
            other => println!("BYTEFD GUEST: {name:?} failed: {other:?}"),
        }
    }
    for (policy, groups) in runs() {
        std::fs::write(SHMEM_ENABLED, policy).expect("a kernel with huge pages");
        match run(policy, groups).map(|status| status.code()) {
            Ok(Some(code)) => println!("{} {code}", closing(policy)),
            other => println!("{} {other:?}", closing(policy)),
        }
    }
    // SAFETY: neither touches memory. Without tcdrain the last line may not have left the machine.
    unsafe {
        libc::tcdrain(libc::STDOUT_FILENO);
        libc::reboot(libc::RB_POWER_OFF);
    }
    unreachable!("the machine is off");
}

/// Runs the groups of the suite to their end.
fn run(policy: &str, groups: &str) -> std::io::Result<ExitStatus> {
    let mut suite = Command::new(std::env::current_exe().expect("this program's path"));
    // The console is a terminal, but the result is read by a program.
    suite.args(["--color", "never"]).env(support::GROUPS, groups).env(HUGE_PAGES, policy);
    // An emulated processor takes ten times as long. It is there for the kernel; what is random is
    // tried on a real one.
    // A group that was asked for may be one long test.
    let patience = if std::env::var_os(GROUPS).is_some() { "3600" } else { alarm::HALF };
    suite.env(support::ROUNDS, "0.25").env(support::STARTS, "1").env(alarm::PATIENCE, patience);
    suite.env("PATH", "/bin").env("RUST_BACKTRACE", "0").status()
}

/// Brings the loopback device up, for sockets that are not of the Unix family. The kernel gives it
/// its address.
fn raise_loopback() {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("a kernel with a network");
    // SAFETY: all-zero is a valid ifreq; the request reads it.
    unsafe {
        let mut device: libc::ifreq = std::mem::zeroed();
        device.ifr_name[..2].copy_from_slice(&[b'l' as libc::c_char, b'o' as libc::c_char]);
        device.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        let status =
            libc::ioctl(std::os::fd::AsRawFd::as_raw_fd(&socket), libc::SIOCSIFFLAGS as _, &device);
        assert_eq!(status, 0, "lo: {}", std::io::Error::last_os_error());
    }
}

/// Mounts a new file system of this kind, writable for all users where that makes sense.
fn mount(kind: &str, at: &str) {
    mount_with("none", at, kind, 0);
}

/// Shows a folder at another place too.
fn bind(folder: &str, at: &str) {
    mount_with(folder, at, "none", libc::MS_BIND);
}

fn mount_with(source: &str, at: &str, kind: &str, flags: libc::c_ulong) {
    std::fs::create_dir_all(at).expect("a folder");
    let [from, to, with] = [source, at, kind].map(|text| CString::new(text).expect("no NUL"));
    // SAFETY: the texts are NUL-terminated; these file systems take no data.
    let status =
        unsafe { libc::mount(from.as_ptr(), to.as_ptr(), with.as_ptr(), flags, std::ptr::null()) };
    assert_eq!(status, 0, "mount {source} {kind} at {at}: {}", std::io::Error::last_os_error());
}

fn a_guest_is_believed_only_if_every_group_ran_and_passed() {
    let believed = |console: &str| passed(&RUNS, console);
    let say = |leave_out: &str, code: &str, result: &str| {
        let said = RUNS.iter().map(|(policy, groups)| {
            let tests = groups
                .split(',')
                .map(|group| format!("test {group}::of_it ... ok\r\n"))
                .collect::<String>();
            format!(
                "running\r\n{tests}test result: {result} passed\r\n\r\n{} {code}\r\n",
                closing(policy)
            )
        });
        said.collect::<String>().replacen(leave_out, "", 1)
    };
    assert_eq!(believed(&say("", "0", "ok. 7")), Ok(7 * RUNS.len()));
    for wrong in [
        say("", "101", "ok. 7"),
        say("", "None", "ok. 7"),
        say("", "0", "FAILED. 6"),
        say("", "0", "ok."),
    ] {
        believed(&wrong).expect_err(&wrong);
    }
    for (policy, groups) in RUNS {
        let closing = closing(policy);
        let (before, _) = groups.split_once(',').expect("groups");
        let cut = say("", "0", "ok. 7");
        let cut = cut.split_once(&closing).expect("a run").0;
        for wrong in
            [cut, &say(&closing, "0", "ok. 7"), &say(&format!("test {before}::"), "0", "ok. 7")]
        {
            believed(wrong).expect_err(wrong);
        }
    }
}
