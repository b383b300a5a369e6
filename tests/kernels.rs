//! The suite on real old kernels: Debian's, in a virtual machine that qemu emulates and that has nothing but this
//! program, its libraries and a few tools. The machine is ours, so the suite also sees what settings of the whole host do:
//! all that huge pages for files in memory can be set to. `scripts/kernels` fetches the kernels. Where that, or qemu, cannot
//! be had, the test says SKIPPED and why.

pub mod facts;
pub mod guest;
mod initramfs;

use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::support::abi::{AUTO, INHERIT};
use crate::support::{fd, tools};
use crate::tests;

tests![
    a_guest_is_believed_only_if_every_group_ran_and_passed;
    // Each in a process of its own: a signal at its end stops the machine.
    alone:
    the_suite_holds_on_linux_5_10,
    the_suite_holds_on_linux_6_1,
    processes_share_on_linux_6_12,
];

fn the_suite_holds_on_linux_5_10() {
    the_suite_holds_on("5.10");
}

fn the_suite_holds_on_linux_6_1() {
    the_suite_holds_on("6.1");
}

fn processes_share_on_linux_6_12() {
    the_suite_holds_on("6.12");
}

/// Long enough for any machine that works at all: two processors that run both guests at once need half of it.
const TIME_OUT_SECONDS: &str = "600";

fn the_suite_holds_on(release: &str) {
    let kernel = match kernel(release) {
        Ok(path) => path,
        Err(reason) => return println!("SKIPPED: no suite on Linux {release}: {}", reason.trim()),
    };
    // A client like any other: qemu reads the file system of the guest from a descriptor.
    let file_system = initramfs::with_this_program();
    let file_system = fd::wrap_with(&file_system, INHERIT, AUTO).expect("a descriptor");

    let mut machine = Command::new("timeout");
    machine.args([
        "--kill-after=5",
        TIME_OUT_SECONDS,
        "qemu-system-x86_64",
        "-accel",
        "tcg,thread=multi",
        "-cpu",
        "max",
    ]);
    machine.args(["-m", "2048", "-smp", "2", "-nodefaults", "-no-user-config", "-no-reboot"]);
    machine.args(["-display", "none", "-serial", "stdio", "-kernel"]).arg(kernel);
    machine.args(["-initrd", &format!("/proc/self/fd/{}", file_system.as_raw_fd()), "-append"]);
    machine.arg(guest::command_line(release)).stdin(std::process::Stdio::null());
    // SAFETY: prctl is a system call and touches no memory. `timeout` passes the signal on.
    unsafe {
        machine.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    let output = machine.output().expect("timeout, of coreutils");
    let said = tools::said(&output);
    assert!(output.status.code() != Some(124), "not done in {TIME_OUT_SECONDS} s:\n{said}");
    assert!(output.status.success(), "qemu: {}\n{said}", output.status);
    match guest::passed(guest::runs(release), &said) {
        Ok(count) => println!("Linux {release}: {count} tests passed"),
        Err(problem) => panic!("{problem}\n{said}"),
    }
}

fn a_guest_is_believed_only_if_every_group_ran_and_passed() {
    let runs = guest::runs("5.10");
    let passed = |console: &str| guest::passed(runs, console);
    let say = |leave_out: &str, code: &str, result: &str| {
        let said = runs.iter().map(|(policy, groups)| {
            let tests = groups.split(',').map(|group| format!("test {group}::of_it ... ok\r\n")).collect::<String>();
            format!("running\r\n{tests}test result: {result} passed\r\n\r\n{} {code}\r\n", guest::closing(policy))
        });
        said.collect::<String>().replacen(leave_out, "", 1)
    };
    assert_eq!(passed(&say("", "0", "ok. 7")), Ok(7 * runs.len()));
    for wrong in [say("", "101", "ok. 7"), say("", "None", "ok. 7"), say("", "0", "FAILED. 6"), say("", "0", "ok.")] {
        passed(&wrong).expect_err(&wrong);
    }
    for (policy, groups) in runs {
        let closing = guest::closing(policy);
        let (before, _) = groups.split_once(',').expect("groups");
        let cut = say("", "0", "ok. 7");
        let cut = cut.split_once(&closing).expect("a run").0;
        for wrong in [cut, &say(&closing, "0", "ok. 7"), &say(&format!("test {before}::"), "0", "ok. 7")] {
            passed(wrong).expect_err(wrong);
        }
    }
}

/// The path of a kernel image, or why there is none.
fn kernel(release: &str) -> Result<std::path::PathBuf, String> {
    if std::env::consts::ARCH != "x86_64" {
        return Err("the kernels are for x86_64".into());
    }
    if let Err(error) = Command::new("qemu-system-x86_64").arg("--version").output() {
        return Err(format!("qemu-system-x86_64: {error}"));
    }
    let folder = tools::repository().join("build/kernels");
    let fetched = Command::new(tools::repository().join("scripts/kernels")).arg(&folder).arg(release).output();
    let fetched = fetched.map_err(|error| format!("scripts/kernels: {error}"))?;
    if fetched.status.success() { Ok(folder.join(format!("vmlinuz-{release}"))) } else { Err(tools::said(&fetched)) }
}
