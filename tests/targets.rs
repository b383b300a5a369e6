//! Tests the C contract on other targets: what `scripts/build` stages for them, and the calls of
//! tests/c, linked statically, and once with the shared library. qemu-user runs the programs for
//! another processor. It emulates the processor and not the kernel.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use crate::support::alarm;
use crate::support::tools::{repository, run};

/// A target that programs are built for.
pub struct Target {
    /// Rust's name of the target.
    pub name: &'static str,
    /// The emulator that runs its programs, if they need one.
    pub emulator: Option<&'static str>,
    /// The arguments that select the target in the C compiler.
    pub arguments: &'static [&'static str],
}

impl Target {
    /// Returns the folder in which the release build is staged.
    pub fn staged(&self) -> PathBuf {
        repository().join("build").join(self.name)
    }

    /// Builds and stages the library.
    fn build(&self) {
        // Tests share what is unpacked and built.
        static ONE: Mutex<()> = Mutex::new(());
        let _one = ONE.lock();
        let mut build = Command::new(repository().join("scripts/build"));
        let (status, said) = alarm::watched(build.arg(self.name)).expect("scripts/build");
        assert!(status.success(), "{status}\n{said}");
    }

    /// Builds a C program from these sources in `folder`, linked with the archive and all of its
    /// libraries, or with the shared library.
    fn program(
        &self,
        is_static: bool,
        sources: &[&str],
        arguments: &[&str],
        folder: &Path,
    ) -> PathBuf {
        self.build();
        let staged = self.staged();
        let program = folder.join(if is_static { "static" } else { "shared" });
        // The compiler that the library was linked with.
        let mut compile = Command::new(repository().join("scripts/target"));
        compile.args([self.name, "sh", "-c", "exec \"$CC\" \"$@\"", "cc"]);
        compile
            .args(["-std=c11", "-Wall", "-Wextra", "-pedantic", "-Werror", "-Wstrict-prototypes"])
            .args(arguments);
        compile
            .args(sources)
            .arg("-I")
            .arg(staged.join("include"))
            .arg("-L")
            .arg(staged.join("lib"));
        compile.args(if is_static {
            &["-static", "-Wl,--eh-frame-hdr", "-l:libbytefd.a"][..]
        } else {
            &["-lbytefd"]
        });
        run(compile.arg("-pthread").arg("-o").arg(&program).current_dir(repository()));
        program
    }

    /// Returns a command that runs this program.
    fn command(&self, program: &Path) -> Command {
        let mut command = match self.emulator {
            Some(emulator) => Command::new(emulator),
            None => return Command::new(program),
        };
        command.arg(program);
        command
    }
}

/// Builds the program that calls every function, and checks the layout of everything in the header.
pub fn contract(target: &Target, is_static: bool, folder: &Path) -> PathBuf {
    target.program(is_static, &["tests/c/calls.c", "tests/c/layout.c"], target.arguments, folder)
}

/// Tests with musl.
pub mod musl {
    use super::*;
    use crate::tests;

    tests![
        every_call_does_what_it_should,
        every_call_does_what_it_should_in_the_shared_library,
        every_call_does_what_it_should_on_arm64,
        a_static_program_is_small,
    ];

    const X86_64: Target =
        Target { name: "x86_64-unknown-linux-musl", emulator: None, arguments: &[] };
    const ARM64: Target = Target {
        name: "aarch64-unknown-linux-musl",
        emulator: Some("qemu-aarch64"),
        arguments: &[],
    };

    fn every_call_does_what_it_should() {
        check_calls(&X86_64, true);
    }

    fn every_call_does_what_it_should_in_the_shared_library() {
        check_calls(&X86_64, false);
    }

    fn every_call_does_what_it_should_on_arm64() {
        check_calls(&ARM64, true);
    }

    /// The size includes all of the C library.
    fn a_static_program_is_small() {
        const MOST: u64 = 400 << 10;
        let folder = tempfile::tempdir().expect("a folder");
        let source = folder.path().join("hello.c");
        let code = "#include <bytefd.h>\nint main(void) { return shm_wrap_buffer(\"hello\", 5, \
                    NULL, NULL) < 0; }\n";
        std::fs::write(&source, code).expect("written");
        let source = source.to_str().expect("UTF-8");
        let program =
            X86_64.program(true, &[source], &["-O2", "-s", "-Wl,--gc-sections"], folder.path());
        run(&mut Command::new(&program));
        let size = std::fs::metadata(&program).expect("the program").len();
        println!("a static program with musl: {size} bytes");
        assert!(size <= MOST, "{size} bytes");
    }
}

/// Tests of other processors.
pub mod others {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::support::tools::said;
    use crate::tests;

    tests![
        every_call_does_what_it_should_where_the_highest_byte_comes_first,
        thirty_two_bits_are_refused,
        a_library_of_another_rust_than_the_compiler_is_refused,
    ];

    /// qemu-user 7.2 swaps the halves of a fault's address (`si_addr`).
    const S390X: Target = Target {
        name: "s390x-unknown-linux-gnu",
        emulator: Some("qemu-s390x"),
        arguments: &["-DWRONG_ADDRESSES"],
    };

    fn every_call_does_what_it_should_where_the_highest_byte_comes_first() {
        check_calls(&S390X, true);
    }

    fn thirty_two_bits_are_refused() {
        let mut check = Command::new(repository().join("scripts/target"));
        check.args([
            "i686-unknown-linux-gnu",
            "sh",
            "-c",
            "exec ${CARGO:-cargo} check --locked --lib",
        ]);
        let output = check.current_dir(repository()).output().expect("scripts/target");
        let said = said(&output);
        let first = said.lines().find(|line| line.starts_with("error"));
        assert!(
            !output.status.success() && first == Some("error: bytefd is for 64-bit Linux"),
            "{said}"
        );
    }

    /// Debian may have got a newer Rust between two downloads.
    fn a_library_of_another_rust_than_the_compiler_is_refused() {
        for (target, library) in
            [(S390X.name, "libstd-rust-dev"), ("s390x-unknown-linux-musl", "rust-src")]
        {
            assert_eq!(with_versions(target, "1.2.3", "1.2.3"), (true, String::new()));
            let complaint = format!(
                "target: build/rust has the compiler of Rust 1.2.3 and {library} of Rust 1.2.4; \
                 remove build/rust to get both anew\n"
            );
            assert_eq!(with_versions(target, "1.2.3", "1.2.4"), (false, complaint));
        }
    }

    /// Returns whether scripts/target runs a command, and what it prints, if Debian has these
    /// versions of the compiler and of the libraries.
    fn with_versions(target: &str, compiler: &str, library: &str) -> (bool, String) {
        let folder = tempfile::tempdir().expect("a folder");
        let scripts = folder.path().join("scripts");
        std::fs::create_dir(&scripts).expect("a folder");
        let target_script = scripts.join("target");
        std::os::unix::fs::symlink(repository().join("scripts/target"), &target_script)
            .expect("a link");
        // In place of scripts/debian: makes of each package what scripts/target looks at.
        let debian = format!(
            r#"#!/bin/sh
            set -eu
            while [ "$1" = -d ]; do shift 2; done
            into=$3 package=$4 version={library}
            [ "$package" != rustc ] || version={compiler}
            mkdir -p "$into/usr/lib/rustlib" "$into/usr/lib/a" "$into/usr/share/doc/$package"
            touch "$into/usr/lib/a/musl-gcc.specs"
            echo "rustc ($version+dfsg1-1) unstable" |
                gzip > "$into/usr/share/doc/$package/changelog.Debian.gz"
            "#
        );
        let write = |name: &str, code: &str| {
            let path = scripts.join(name);
            std::fs::write(&path, code).expect("written");
            std::fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("its mode");
            path
        };
        write("debian", &debian);
        // A compiler that has no standard library for the target, and what finds a C compiler.
        let rustc = write("rustc", "#!/bin/sh\necho /nonexistent\n");
        let cargo = write("cargo", "#!/bin/sh\necho cc\n");
        let mut command = Command::new(target_script);
        command.args([target, "true"]).env("RUSTC", rustc).env("CARGO", cargo);
        let output = command.output().expect("scripts/target");
        (output.status.success(), said(&output))
    }
}

/// Makes every call, with and without a pending cancellation.
fn check_calls(target: &Target, is_static: bool) {
    let folder = tempfile::tempdir().expect("a folder");
    let program = contract(target, is_static, folder.path());
    for arguments in [&[][..], &["cancelled"]] {
        let mut command = target.command(&program);
        command.env("LD_LIBRARY_PATH", target.staged().join("lib"));
        let output = command.args(arguments).stdin(Stdio::null()).output();
        crate::c::check_calls(&output.expect("the program, or qemu-user"));
    }
}
