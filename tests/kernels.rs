//! Runs the suite on old kernels of Debian, in a virtual machine that qemu emulates. It has nothing
//! but this program, its libraries and a few tools. The suite can change settings of the whole
//! machine, so it also runs with every policy on huge pages for files in memory. `scripts/kernels`
//! fetches the kernels. If a kernel or qemu is not available, the test prints SKIPPED and the
//! reason.

pub mod arm64;
pub mod facts;
pub mod guest;
mod initramfs;

use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
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

fn the_suite_holds_on(release: &str) {
    let machine = match kernel(release) {
        Ok(kernel) => Machine { emulator: X86_64, kernel, console: "ttyS0", release },
        Err(reason) => return println!("SKIPPED: no suite on Linux {release}: {}", reason.trim()),
    };
    let said = machine.boot(&initramfs::with_this_program());
    match guest::passed(&guest::runs(), &said) {
        Ok(count) => {
            println!("Linux {release}: {count} tests passed");
            // Figures for the page of checks.
            let figures = said.lines().filter(|line| line.starts_with("inject: "));
            figures.for_each(|line| println!("Linux {release}: {line}"));
        }
        Err(problem) => panic!("{problem}\n{said}"),
    }
}

const X86_64: &[&str] = &["qemu-system-x86_64", "-cpu", "max", "-m", "2048"];

/// The most starts of a machine that does not come to its first test.
const BOOTS: usize = 3;

/// A virtual machine.
struct Machine<'a> {
    /// The emulator, with the arguments for the processor and memory.
    emulator: &'a [&'a str],
    kernel: PathBuf,
    /// The kernel's name for the serial line.
    console: &'a str,
    release: &'a str,
}

impl Machine<'_> {
    /// Runs the machine until it turns itself off. Returns the output of the serial line.
    fn boot(&self, file_system: &[u8]) -> String {
        // A client like any other: qemu reads the file system of the guest from a descriptor.
        let file_system = fd::wrap_with(file_system, INHERIT, AUTO).expect("a descriptor");
        let mut machine = Command::new(self.emulator[0]);
        machine.args(["-accel", "tcg,thread=multi"]).args(&self.emulator[1..]);
        machine.args(["-smp", "2", "-nodefaults", "-no-user-config", "-no-reboot"]);
        machine.args(["-display", "none", "-serial", "stdio", "-kernel"]).arg(&self.kernel);
        machine.args(["-initrd", &format!("/proc/self/fd/{}", file_system.as_raw_fd()), "-append"]);
        machine.arg(guest::command_line(self.release, self.console));
        // The machine ends with this process, even if it is stopped.
        // SAFETY: prctl is a system call and touches no memory.
        unsafe {
            machine.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
        // Kernels change their own code as they start, at which the emulation sometimes trips
        // ("Oops: int3"): then once more.
        let mut said = String::new();
        for _ in 0..BOOTS {
            let status;
            (status, said) = alarm::watched(&mut machine).expect("qemu");
            assert!(status.success(), "qemu: {status}\n{said}");
            if said.contains("running ") {
                break;
            }
            println!("Linux {} did not start in the emulation:\n{said}", self.release);
        }
        said
    }
}

/// Returns the path of a kernel image, or the reason why there is none.
fn kernel(release: &str) -> Result<PathBuf, String> {
    if std::env::consts::ARCH != "x86_64" {
        return Err("the kernels are for x86_64".into());
    }
    kernel_for(X86_64[0], release)
}

/// Returns the same for what this emulator emulates.
fn kernel_for(emulator: &str, release: &str) -> Result<PathBuf, String> {
    if let Err(error) = Command::new(emulator).arg("--version").output() {
        return Err(format!("{emulator}: {error}"));
    }
    let folder = tools::repository().join("build/kernels");
    let fetched = Command::new(tools::repository().join("scripts/kernels"))
        .arg(&folder)
        .arg(release)
        .output();
    let fetched = fetched.map_err(|error| format!("scripts/kernels: {error}"))?;
    if fetched.status.success() {
        Ok(folder.join(format!("vmlinuz-{release}")))
    } else {
        Err(tools::said(&fetched))
    }
}
