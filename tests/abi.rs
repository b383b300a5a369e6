//! Compares the binary interface with abi/bytefd.abi, by libabigail: each function, argument and
//! struct.
//!
//! Debug information describes an interface. That of Rust describes Rust's types, and another
//! compiler describes them in another way. But programs are compiled against the header. So a C
//! compiler builds, with debug information, a library that defines each function of the header with
//! an empty body. Its description is the interface, and is the same for each compiler and each
//! 64-bit processor. The staged library has no debug information; its symbols are compared.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::library::{SONAME, declared_functions, without_comments};
use crate::support::tools::{compiler, repository, run, said, staged};
use crate::tests;

tests![
    the_interface_is_the_one_that_is_committed,
    the_staged_library_has_every_symbol_of_the_interface,
    each_change_of_the_interface_is_noticed,
];

/// Set to write the description instead of comparing with it: `make abi`.
const WRITE: &str = "BYTEFD_WRITE_ABI";

fn committed() -> PathBuf {
    repository().join("abi/bytefd.abi")
}

fn header() -> String {
    std::fs::read_to_string(repository().join("include/bytefd.h")).expect("the header")
}

/// Returns a C source that defines every function of the header. The bodies never run.
fn definitions(header: &str) -> String {
    let code = without_comments(header).replace("\\\n", " ");
    let code: String = code
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| format!("{line}\n"))
        .collect();
    let mut source = String::from("#define BYTEFD_NO_SHORT_NAMES\n#include \"bytefd.h\"\n");
    for declaration in code.split([';', '{', '}']) {
        // Attributes belong to the declaration, which the header has already.
        let end = ["BYTEFD_READS", "BYTEFD_WRITES"]
            .iter()
            .filter_map(|attribute| declaration.find(attribute))
            .min();
        let declaration = &declaration[..end.unwrap_or(declaration.len())];
        let declaration = ["BYTEFD_MUST_USE", "BYTEFD_NONNULL", "static inline"]
            .iter()
            .fold(declaration.trim().to_string(), |text, word| text.replace(word, ""));
        let name =
            declaration.split_once('(').and_then(|(before, _)| before.rsplit([' ', '*']).next());
        if name.is_some_and(|name| declared_functions().contains(name))
            && !declaration.contains("return")
        {
            source += &format!("{declaration} {{ __builtin_trap(); }}\n");
        }
    }
    source
}

/// Describes the interface that a header declares, in a file in `folder`.
fn describe(header: &str, folder: &Path) -> PathBuf {
    let at = |name: &str| folder.join(name);
    std::fs::write(at("bytefd.h"), header).expect("written");
    std::fs::write(at("interface.c"), definitions(header)).expect("written");
    let mut compiler = compiler(None, &at("interface.c"));
    // By its name without a folder, because the description has that.
    compiler.current_dir(folder).args(["-std=c11", "-Wno-unused-parameter", "-I.", "interface.c"]);
    compiler
        .args(["-g", "-fPIC", "-shared", "-o", "interface.so"])
        .arg(format!("-Wl,-soname,{SONAME}"));
    let script = repository().join("bytefd.map");
    run(compiler.arg(format!("-Wl,--version-script={}", script.display())));
    described(&at("interface.so"), folder.join("interface.abi"))
}

/// Describes a library, without the parts that differ between machines.
fn described(library: &Path, to: PathBuf) -> PathBuf {
    let mut abidw = Command::new("abidw");
    abidw.args([
        "--no-corpus-path",
        "--no-comp-dir-path",
        "--no-show-locs",
        "--no-elf-needed",
        "--no-architecture",
    ]);
    abidw.args(["--type-id-style", "hash", "--out-file"]).arg(&to).arg(library);
    run(&mut abidw);
    to
}

/// Compares a description with the committed one. The status has bit 2 (4) if they differ, and bits
/// 0 and 1 for errors.
fn abidiff(new: &Path) -> Output {
    let mut abidiff = Command::new("abidiff");
    let output = abidiff
        .arg(committed())
        .arg(new)
        .output()
        .expect("abidiff runs (is abigail-tools installed?)");
    assert!(output.status.code().is_some_and(|code| code & 3 == 0), "{}", said(&output));
    output
}

fn the_interface_is_the_one_that_is_committed() {
    let folder = tempfile::tempdir().expect("a folder");
    let interface = describe(&header(), folder.path());
    if std::env::var_os(WRITE).is_some() {
        std::fs::create_dir_all(committed().parent().expect("a folder")).expect("a folder");
        std::fs::copy(&interface, committed()).expect("written");
    }
    let output = abidiff(&interface);
    assert!(output.status.success(), "{}\nmake abi writes abi/bytefd.abi anew.", said(&output));
}

fn the_staged_library_has_every_symbol_of_the_interface() {
    let folder = tempfile::tempdir().expect("a folder");
    let output =
        abidiff(&described(&staged().join("lib/libbytefd.so"), folder.path().join("staged.abi")));
    assert!(output.status.success(), "{}", said(&output));
}

/// Changes to the header: what changes, the text before and after, and a word of the report.
const CHANGES: [(&str, &str, &str, &str); 7] = [
    ("a member's type", "    pid_t pid;", "    int64_t pid;", "bytefd_credentials"),
    (
        "a member between others",
        "    uint64_t hits;",
        "    uint64_t more; uint64_t hits;",
        "bytefd_pool_stats",
    ),
    ("a member that is gone", "    uint64_t dropped;", "", "bytefd_pool_stats"),
    (
        "an argument's type",
        "bytefd_reopen(int fd, uint64_t flags",
        "bytefd_reopen(int fd, uint32_t flags",
        "bytefd_reopen",
    ),
    (
        "a callback's argument",
        "(*bytefd_scan_fn)(int fd,",
        "(*bytefd_scan_fn)(int64_t fd,",
        "bytefd_scan_fn",
    ),
    ("a result", "int bytefd_pool_trim(", "int64_t bytefd_pool_trim(", "bytefd_pool_trim"),
    (
        "a function that is gone",
        "int bytefd_sysv_remove(int shmid, struct bytefd_error *error);",
        "",
        "bytefd_sysv_remove",
    ),
];

fn each_change_of_the_interface_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    for (what, before, after, named) in CHANGES {
        assert_eq!(header().matches(before).count(), 1, "{what}: {before}");
        let output = abidiff(&describe(&header().replace(before, after), folder.path()));
        assert!(
            !output.status.success() && said(&output).contains(named),
            "{what} is not noticed: {}",
            said(&output)
        );
    }
}
