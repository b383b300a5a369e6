//! Runs the suite and the C contract on arm64: on Debian's kernels for pages of 4 KiB and of 16
//! KiB, in a machine that qemu emulates. `scripts/target` builds the programs here. Debian's
//! packages for arm64 have what else they need.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Machine, guest, initramfs, kernel_for};
use crate::support::alarm;
use crate::support::tools::{repository, run, said};
use crate::targets::{Target, contract};
use crate::tests;

tests![the_suite_holds_with_pages_of_4_kib, the_suite_holds_with_pages_of_16_kib,];

const ARM64: Target = Target { name: "aarch64-unknown-linux-gnu", emulator: None, arguments: &[] };

/// Enables all that the emulator can do, including pages of 16 KiB. Leaves out signatures of
/// pointers, which take it long.
const EMULATOR: &[&str] =
    &["qemu-system-aarch64", "-M", "virt", "-cpu", "max,pauth-impdef=on", "-m", "3072"];

fn the_suite_holds_with_pages_of_4_kib() {
    the_suite_holds_on("6.12-arm64");
}

fn the_suite_holds_with_pages_of_16_kib() {
    the_suite_holds_on("6.12-arm64-16k");
}

fn the_suite_holds_on(name: &str) {
    let kernel = match kernel_for(EMULATOR[0], name) {
        Ok(kernel) => kernel,
        Err(reason) => return println!("SKIPPED: no suite on Linux {name}: {}", reason.trim()),
    };
    let folder = tempfile::tempdir().expect("a folder");
    let [static_program, shared_program] =
        [true, false].map(|is_static| contract(&ARM64, is_static, folder.path()));
    let (suite, library) = suite();
    let programs = [
        ("/init".into(), suite),
        ("/libbytefd.so".into(), library),
        (format!("{}/static", guest::PROGRAMS), static_program),
        (format!("{}/shared", guest::PROGRAMS), shared_program),
        ("/usr/lib/libbytefd.so.0.1".into(), ARM64.staged().join("lib/libbytefd.so.0.1")),
    ];
    let file_system =
        initramfs::of_another_machine(&programs, &debian(), "aarch64-linux-gnu-objcopy");
    let said = Machine { emulator: EMULATOR, kernel, console: "ttyAMA0", release: "6.12" }
        .boot(&file_system);
    for program in ["static", "shared"] {
        assert!(said.contains(&guest::succeeded(program)), "{said}");
    }
    match guest::passed(&guest::runs(), &said) {
        Ok(count) => println!("Linux {name}: {count} tests passed, and the C contract"),
        Err(problem) => panic!("{problem}\n{said}"),
    }
}

/// Returns the path of this suite for arm64, and of the library beside it.
fn suite() -> (PathBuf, PathBuf) {
    let mut cargo = Command::new(repository().join("scripts/target"));
    cargo
        .current_dir(repository())
        .arg(ARM64.name)
        .arg(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    // One line for each thing that is built.
    cargo.args([
        "test",
        "--locked",
        "--no-run",
        "--test",
        "suite",
        "--message-format",
        "json-render-diagnostics",
    ]);
    let (status, said) = alarm::watched(&mut cargo).expect("scripts/target");
    assert!(status.success(), "{status}\n{said}");
    let program = said
        .lines()
        .filter_map(|line| line.split_once("\"executable\":\"")?.1.split('"').next())
        .next_back();
    let program = Path::new(program.expect("a program")).to_path_buf();
    let library = program.with_file_name("libbytefd.so");
    (program, library)
}

/// Returns the folder with this machine's Debian for arm64, which has what programs and tools need.
fn debian() -> PathBuf {
    let folder = repository().join("build/arm64");
    if !folder.exists() {
        let release = said(&run(
            Command::new("sh").args(["-c", ". /etc/os-release && echo \"$VERSION_CODENAME\""])
        ));
        let mut unpack = Command::new(repository().join("scripts/debian"));
        unpack.args(["-d", "dash", "-d", "coreutils", release.trim(), "arm64"]).arg(&folder);
        run(unpack.current_dir(repository()));
    }
    folder
}
