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
use crate::support::{alarm, fd, tools};
use crate::tests;

tests![the_suite_holds_on_linux_5_10, the_suite_holds_on_linux_6_1, the_suite_holds_on_linux_6_12,];

fn the_suite_holds_on_linux_5_10() {
    the_suite_holds_on("5.10");
}

fn the_suite_holds_on_linux_6_1() {
    the_suite_holds_on("6.1");
}

fn the_suite_holds_on_linux_6_12() {
    the_suite_holds_on("6.12");
}

/// How often a machine is started that does not come to its first test.
const BOOTS: usize = 3;

fn the_suite_holds_on(release: &str) {
    let kernel = match kernel(release) {
        Ok(path) => path,
        Err(reason) => return println!("SKIPPED: no suite on Linux {release}: {}", reason.trim()),
    };
    // A client like any other: qemu reads the file system of the guest from a descriptor.
    let file_system = initramfs::with_this_program();
    let file_system = fd::wrap_with(&file_system, INHERIT, AUTO).expect("a descriptor");

    let mut machine = Command::new("qemu-system-x86_64");
    machine.args(["-accel", "tcg,thread=multi", "-cpu", "max"]);
    machine.args(["-m", "2048", "-smp", "2", "-nodefaults", "-no-user-config", "-no-reboot"]);
    machine.args(["-display", "none", "-serial", "stdio", "-kernel"]).arg(kernel);
    machine.args(["-initrd", &format!("/proc/self/fd/{}", file_system.as_raw_fd()), "-append"]);
    machine.arg(guest::command_line(release));
    // The machine ends with this process, even if it is stopped.
    // SAFETY: prctl is a system call and touches no memory.
    unsafe {
        machine.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    // Kernels change their own code as they start, at which the emulation sometimes trips ("Oops: int3"): then once more.
    let mut said = String::new();
    for _ in 0..BOOTS {
        let status;
        (status, said) = alarm::watched(&mut machine).expect("qemu");
        assert!(status.success(), "qemu: {status}\n{said}");
        if said.contains("running ") {
            break;
        }
        println!("Linux {release} did not start in the emulation:\n{said}");
    }
    match guest::passed(&guest::RUNS, &said) {
        Ok(count) => println!("Linux {release}: {count} tests passed"),
        Err(problem) => panic!("{problem}\n{said}"),
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
