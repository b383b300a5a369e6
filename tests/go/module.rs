//! Uses the Go module, as a release publishes it, outside of this repository.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::stranger::{MODULE, PRINTED, Stranger, module};
use crate::library::SONAME;
use crate::support::tools::{repository, run, said, staged};
use crate::tests;

tests![
    a_program_gets_the_module_and_runs_without_rust,
    a_vendored_module_has_its_archives,
    the_race_detector_runs_with_the_archive,
    a_position_independent_program_has_the_archive,
    a_static_program_has_the_archive,
    a_program_for_musl_has_the_archive,
    a_program_for_another_processor_has_the_archive,
    a_program_for_musl_on_another_processor_has_the_archive,
    the_tag_bytefd_system_links_what_is_installed,
    the_module_holds_what_is_committed_licences_and_archives,
    the_proxy_serves_the_version_of_the_package,
];

fn a_program_gets_the_module_and_runs_without_rust() {
    let stranger = Stranger::with_the_module();
    let program = stranger.build(&[], &[]);
    stranger.check(&program);
    assert_eq!(stranger.go(&["run", "."]), PRINTED);
    let modules = stranger.go(&["list", "-m", "-f", "{{.Path}}", "all"]);
    assert_eq!(modules, format!("example.com/stranger\n{MODULE}\ngolang.org/x/sys\n"));
    assert_eq!(stranger.go(&["vet", "."]), "");

    // The archive is linked, and not carried along as a file that is embedded.
    let bytes = std::fs::read(program).expect("the program");
    assert!(!bytes.windows(8).any(|window| window == b"!<arch>\n"), "an archive is in the program");
    // Building has written nothing into the module.
    assert_eq!(stranger.go(&["mod", "verify"]), "all modules verified\n");
}

fn a_vendored_module_has_its_archives() {
    let stranger = Stranger::with_the_module();
    stranger.go(&["mod", "vendor"]);
    let vendored = stranger.at("program/vendor").join(MODULE);
    let archives = archives(&module());
    assert!(!archives.is_empty());
    assert_eq!(self::archives(&vendored), archives);
    // From there, and nowhere else.
    let nothing = stranger.at("nothing");
    let variables = [("GOMODCACHE", nothing.to_str().expect("UTF-8")), ("GOPROXY", "off")];
    let program = stranger.build(&["-mod=vendor"], &variables);
    stranger.check(&program);
    assert!(!nothing.exists());
}

fn the_race_detector_runs_with_the_archive() {
    let stranger = Stranger::with_the_module();
    let program = stranger.build(&["-race"], &[]);
    stranger.check(&program);
    assert!(said(&run(Command::new("nm").arg(&program))).contains("__tsan_init"));
}

fn a_position_independent_program_has_the_archive() {
    let stranger = Stranger::with_the_module();
    let program = stranger.build(&["-buildmode=pie"], &[]);
    stranger.check(&program);
    assert!(elf(&program, "--file-header").contains("Position-Independent Executable"));
}

/// Go's own packages net and os/user use functions of glibc that a linker warns of in static
/// programs; in pure Go they do not.
fn a_static_program_has_the_archive() {
    let stranger = Stranger::with_the_module();
    let program =
        stranger.build(&["-ldflags", "-extldflags -static", "-tags", "netgo,osusergo"], &[]);
    stranger.check(&program);
    assert_eq!(interpreter(&program), None);
}

fn a_program_for_musl_has_the_archive() {
    let Some(compiler) = musl_compiler() else {
        return println!("SKIPPED: the tag musl: there is no musl-gcc");
    };
    let package = format!("linux_{}_musl", go_arch());
    if !has_archive(&package) {
        return println!("SKIPPED: the tag musl: make go-module has built nothing for {package}");
    }
    let stranger = Stranger::with_the_module();
    let program = stranger.build(&["-tags", "musl"], &[("CC", compiler)]);
    stranger.check(&program);
    assert!(interpreter(&program).is_some_and(|name| name.contains("ld-musl")));
    let program =
        stranger.build(&["-tags", "musl", "-ldflags", "-extldflags -static"], &[("CC", compiler)]);
    stranger.check(&program);
    assert_eq!(interpreter(&program), None);
}

/// Needs the packages of the C compiler and the emulator, and an earlier `make go-module`.
fn a_program_for_another_processor_has_the_archive() {
    let (arch, processor) = other_processor();
    let compiler = format!("{processor}-linux-gnu-gcc");
    if Command::new(&compiler).arg("--version").output().is_err() {
        return println!("SKIPPED: a program for {arch}: there is no {compiler}");
    }
    if !has_archive(&format!("linux_{arch}")) {
        return println!("SKIPPED: a program for {arch}: make go-module has built nothing for it");
    }
    let stranger = Stranger::with_the_module();
    let arguments = ["-ldflags", "-extldflags -static", "-tags", "netgo,osusergo"];
    check_on_another_processor(&stranger, &arguments, &compiler);
}

/// Does the same as the test above. The C compiler is the one that has built the archive.
fn a_program_for_musl_on_another_processor_has_the_archive() {
    let (arch, processor) = other_processor();
    if !has_archive(&format!("linux_{arch}_musl")) {
        return println!("SKIPPED: musl on {arch}: make go-module has built nothing for it");
    }
    let mut target = Command::new(repository().join("scripts/target"));
    target.arg(format!("{processor}-unknown-linux-musl")).args(["sh", "-c", "command -v \"$CC\""]);
    let compiler = said(&run(target.current_dir(repository())));
    let stranger = Stranger::with_the_module();
    let arguments = ["-ldflags", "-extldflags -static", "-tags", "musl"];
    check_on_another_processor(&stranger, &arguments, compiler.trim());
}

/// Returns Go's name of another processor, and the name that C compilers and qemu use.
fn other_processor() -> (&'static str, &'static str) {
    if go_arch() == "amd64" { ("arm64", "aarch64") } else { ("amd64", "x86_64") }
}

/// Builds a static program for another processor, and runs it.
fn check_on_another_processor(stranger: &Stranger, arguments: &[&str], compiler: &str) {
    let (arch, processor) = other_processor();
    let variables = [("GOARCH", arch), ("CGO_ENABLED", "1"), ("CC", compiler)];
    let program = stranger.build(arguments, &variables);
    assert_eq!(interpreter(&program), None);
    let emulator = format!("qemu-{processor}");
    match stranger.command(&emulator).arg(&program).output() {
        Ok(output) => assert_eq!(said(&output), PRINTED),
        Err(error) => println!("SKIPPED: to run a program for {arch}: {emulator}: {error}"),
    }
}

fn the_tag_bytefd_system_links_what_is_installed() {
    let stranger = Stranger::with_the_module();
    let prefix = stranger.at("usr");
    staged();
    // The tests of the library install it in the same way.
    let mut make = Command::new("make");
    make.args(["--assume-old=lib", "install"]).arg(format!("PREFIX={}", prefix.display()));
    run(make.current_dir(repository()));

    let libraries = prefix.join("lib");
    let descriptions = libraries.join("pkgconfig");
    // With -trimpath, what the go command keeps of another run would name the folder that the
    // library was in then.
    let variables = [("PKG_CONFIG_PATH", descriptions.to_str().expect("UTF-8")), ("GOFLAGS", "")];
    let program = stranger.build(&["-tags", "bytefd_system"], &variables);
    assert!(elf(&program, "--dynamic").contains(&format!("Shared library: [{SONAME}]")));
    let mut command = stranger.command(program.to_str().expect("UTF-8"));
    assert_eq!(said(&run(command.env("LD_LIBRARY_PATH", libraries))), PRINTED);
}

fn the_module_holds_what_is_committed_licences_and_archives() {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard", "."])
        .current_dir(repository().join("go"));
    let Ok(listed) = git.output() else {
        return println!("SKIPPED: what the module holds: there is no git");
    };
    if !listed.status.success() {
        return println!("SKIPPED: what the module holds: this is not a clone");
    }
    let listed = said(&listed);
    // A file that is removed and not committed yet is listed too.
    let committed = listed
        .lines()
        .map(PathBuf::from)
        .filter(|name| repository().join("go").join(name).exists());
    let mut expected: BTreeSet<_> = committed.collect();
    expected.extend(["LICENSE-APACHE", "LICENSE-MIT"].map(PathBuf::from));
    expected.extend(archives(&module()));
    expected.insert(format!("lib/linux_{}/libbytefd.a", go_arch()).into());
    assert_eq!(files_below(&module()), expected);
}

fn the_proxy_serves_the_version_of_the_package() {
    let stranger = Stranger::new();
    let listed = stranger.go(&["list", "-m", "-versions", MODULE]);
    assert_eq!(listed, format!("{MODULE} v{}\n", env!("CARGO_PKG_VERSION")));
}

fn has_archive(package: &str) -> bool {
    module().join("lib").join(package).join("libbytefd.a").exists()
}

fn archives(folder: &Path) -> BTreeSet<PathBuf> {
    files_below(folder).into_iter().filter(|name| name.ends_with("libbytefd.a")).collect()
}

/// Returns the names of all files below a folder, from the folder on.
pub fn files_below(folder: &Path) -> BTreeSet<PathBuf> {
    let (mut folders, mut found) = (vec![folder.to_path_buf()], BTreeSet::new());
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(folder).expect("below").to_path_buf());
            }
        }
    }
    found
}

/// Returns the wrapper of gcc from Debian's musl-tools.
pub fn musl_compiler() -> Option<&'static str> {
    Command::new("musl-gcc").arg("--version").output().is_ok().then_some("musl-gcc")
}

/// Returns Go's name of this processor.
pub fn go_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn elf(program: &Path, part: &str) -> String {
    said(&run(Command::new("readelf").arg("--wide").arg(part).arg(program)))
}

/// Returns the dynamic loader that a program asks for.
fn interpreter(program: &Path) -> Option<String> {
    let headers = elf(program, "--program-headers");
    Some(headers.split_once("Requesting program interpreter: ")?.1.lines().next()?.to_string())
}
