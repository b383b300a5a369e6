//! Checks the staged libraries: what they export, their names, and what they contain.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::abi::library_path;
use crate::support::tools::{compile, compiler, pkg_config, repository, run, said, staged};
use crate::tests;

tests![
    the_list_of_exports_is_what_the_header_declares,
    the_shared_library_exports_what_the_header_declares_with_a_version,
    the_archive_exports_the_long_names_that_the_header_declares,
    the_archive_asks_for_nothing_it_does_not_use,
    the_soname_has_the_abi_version_whoever_links_it,
    the_shared_library_needs_the_c_library_its_loader_and_libgcc_only,
    the_shared_library_stays_loaded_and_nothing_in_it_is_both_written_and_executed,
    a_linked_program_asks_for_the_soname,
    what_is_installed_is_small,
    a_program_has_only_the_part_of_the_archive_that_it_needs,
    the_shared_library_has_few_relocations,
];

/// The functions that also have a short name. The short function calls the long one.
const SHORT_NAMES: [(&str, &str); 3] = [
    ("bytefd_wrap_buffer", "shm_wrap_buffer"),
    ("bytefd_scan_bytes", "scan_bytes"),
    ("bytefd_map_file", "map_file"),
];

/// Returns the name that sources use for a function.
pub fn usual_name(function: &str) -> &str {
    SHORT_NAMES.iter().find(|(long, _)| *long == function).map_or(function, |(_, short)| short)
}

/// Returns the names of the functions that include/bytefd.h declares.
pub fn declared_functions() -> BTreeSet<String> {
    let header =
        std::fs::read_to_string(repository().join("include/bytefd.h")).expect("the header");
    // A macro may go on in the next line.
    let code = without_comments(&header).replace("\\\n", " ");
    let code: String = code.lines().filter(|line| !line.starts_with('#')).collect();
    let names: BTreeSet<String> = code
        // A text that a brace opens or closes (a struct, extern "C") is no part of the declaration
        // that follows it.
        .split([';', '{', '}'])
        .map(str::trim)
        .filter(|declaration| !declaration.starts_with("typedef"))
        .filter_map(|declaration| declaration.split_once('('))
        .map(|(before, _)| before.rsplit([' ', '*']).next().expect("a name").to_string())
        .collect();
    assert!(
        ["shm_wrap_buffer", "scan_bytes", "map_file"].iter().all(|name| names.contains(*name)),
        "{names:?}"
    );
    names
}

pub fn without_comments(text: &str) -> String {
    text.split("/*").map(|part| part.split_once("*/").map_or(part, |(_, code)| code)).collect()
}

/// Returns the names of global symbols that `nm` lists with these arguments.
fn symbols(arguments: &[&str], file: &Path) -> BTreeSet<String> {
    let output = run(Command::new("nm").args(arguments).arg("--format=posix").arg(file));
    let listing = String::from_utf8(output.stdout).expect("UTF-8");
    // An archive's members have a line of their own, which ends in a colon.
    let lines = listing.lines().filter(|line| !line.is_empty() && !line.ends_with(':'));
    lines.map(|line| line.split(' ').next().expect("a name").to_string()).collect()
}

fn library(name: &str) -> PathBuf {
    staged().join("lib").join(name)
}

pub fn dynamic_section(file: &Path) -> String {
    said(&run(Command::new("readelf").arg("--dynamic").arg("--wide").arg(file)))
}

fn example(name: &str) -> PathBuf {
    repository().join("c-examples").join(name)
}

fn the_list_of_exports_is_what_the_header_declares() {
    let list = std::fs::read_to_string(repository().join("bytefd.map")).expect("bytefd.map");
    let (before, global) = list.split_once("global:").expect("exported functions");
    assert!(before.ends_with(&format!("{SYMBOL_VERSION} {{\n    ")), "{before}");
    let (global, local) = global.split_once("local:").expect("everything else");
    assert_eq!(local.split_whitespace().collect::<String>(), "*;};");
    let names: Vec<_> =
        global.split_whitespace().map(|name| name.strip_suffix(';').expect("an end")).collect();
    assert_eq!(names, declared_functions().iter().collect::<Vec<_>>(), "each once, sorted");
}

fn the_shared_library_exports_what_the_header_declares_with_a_version() {
    let exported = symbols(
        &["--dynamic", "--defined-only", "--with-symbol-versions"],
        &library("libbytefd.so"),
    );
    let declared = declared_functions().into_iter().map(|name| format!("{name}@@{SYMBOL_VERSION}"));
    // The version is a symbol too.
    assert_eq!(exported, declared.chain([SYMBOL_VERSION.to_string()]).collect());
}

fn the_archive_exports_the_long_names_that_the_header_declares() {
    let exported = symbols(&["--extern-only", "--defined-only"], &library("libbytefd.a"));
    let long = declared_functions().into_iter().filter(|name| name.starts_with("bytefd_"));
    assert_eq!(exported, long.collect());
}

/// A symbol that is missing here, and that another object uses weakly, would become an error of the
/// whole program.
fn the_archive_asks_for_nothing_it_does_not_use() {
    let folder = tempfile::tempdir().expect("a folder");
    run(Command::new("ar").arg("x").arg(library("libbytefd.a")).current_dir(&folder));
    for member in std::fs::read_dir(&folder).expect("members") {
        let member = member.expect("a member").path();
        let relocations =
            said(&run(Command::new("readelf").args(["--relocs", "--wide"]).arg(&member)));
        let used: BTreeSet<&str> = relocations.split_whitespace().collect();
        let missing = symbols(&["--undefined-only"], &member);
        let unused: Vec<_> = missing.iter().filter(|name| !used.contains(name.as_str())).collect();
        assert!(unused.is_empty(), "{unused:?}");
    }
}

/// Before 1.0, another minor version is another ABI.
pub const SONAME: &str =
    concat!("libbytefd.so.", env!("CARGO_PKG_VERSION_MAJOR"), ".", env!("CARGO_PKG_VERSION_MINOR"));
pub const FILE: &str = concat!("libbytefd.so.", env!("CARGO_PKG_VERSION"));
const SYMBOL_VERSION: &str =
    concat!("BYTEFD_", env!("CARGO_PKG_VERSION_MAJOR"), ".", env!("CARGO_PKG_VERSION_MINOR"));

fn the_soname_has_the_abi_version_whoever_links_it() {
    for file in [library("libbytefd.so"), library_path()] {
        let section = dynamic_section(&file);
        assert!(section.contains(&format!("Library soname: [{SONAME}]")), "{section}");
    }
}

fn the_shared_library_needs_the_c_library_its_loader_and_libgcc_only() {
    let section = dynamic_section(&library("libbytefd.so"));
    let needed: Vec<_> =
        section.lines().filter_map(|line| line.split_once("Shared library: [")).collect();
    assert!(needed.iter().any(|(_, name)| *name == "libc.so.6]"), "{section}");
    for (_, name) in needed {
        assert!(
            ["libc.so.", "ld-linux", "libgcc_s.so."].iter().any(|known| name.starts_with(known)),
            "{name}"
        );
    }
}

fn the_shared_library_stays_loaded_and_nothing_in_it_is_both_written_and_executed() {
    let file = library("libbytefd.so");
    let section = dynamic_section(&file);
    let flags = section.lines().find_map(|line| line.split_once("(FLAGS_1)")).expect("flags").1;
    assert!(flags.split_whitespace().any(|flag| flag == "NODELETE"), "{section}");
    // With both of these, addresses of functions are looked up at once, and cannot be changed
    // afterwards.
    assert!(flags.split_whitespace().any(|flag| flag == "NOW"), "{section}");
    let segments =
        said(&run(Command::new("readelf").arg("--program-headers").arg("--wide").arg(&file)));
    let rows: Vec<Vec<&str>> =
        segments.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(rows.iter().any(|row| row.first() == Some(&"GNU_RELRO")), "{segments}");
    // Type, offset, two addresses, two sizes, flags ("R E" are two words), alignment.
    let writable = |row: &&Vec<&str>| {
        ["LOAD", "GNU_STACK"].contains(row.first().unwrap_or(&""))
            && row.get(6).is_some_and(|flags| flags.contains('W'))
    };
    let writable: Vec<_> = rows.iter().filter(writable).collect();
    assert_eq!(writable.len(), 2, "data and stack: {segments}");
    assert!(writable.iter().all(|row| row[6..row.len() - 1] == ["RW"]), "{segments}");
}

fn a_linked_program_asks_for_the_soname() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("mmcat");
    compile(&["-std=c11"], &[example("mmcat.c")], &program);
    let section = dynamic_section(&program);
    assert!(section.contains(&format!("Shared library: [{SONAME}]")), "{section}");
}

/// Returns what pkg-config says about linking with the staged archive instead of the shared
/// library.
pub fn archive_flags() -> Vec<String> {
    let flags = pkg_config(&["--cflags", "--libs", "--static"]);
    flags
        .into_iter()
        .map(|flag| if flag == "-lbytefd" { "-l:libbytefd.a".into() } else { flag })
        .collect()
}

/// Returns the size of a copy without symbols.
fn stripped(file: &Path) -> u64 {
    let copy = tempfile::NamedTempFile::new().expect("a file");
    run(Command::new("strip").arg("-o").arg(copy.path()).arg(file));
    std::fs::metadata(copy.path()).expect("the copy").len()
}

/// Code that prints backtraces would add a third. If this fails after an update of Rust,
/// scripts/stage no longer finds that code.
fn what_is_installed_is_small() {
    let library = stripped(&library("libbytefd.so"));
    assert!(library <= 620 << 10, "{library} bytes of libbytefd.so");
    let archive = std::fs::metadata(self::library("libbytefd.a")).expect("the archive").len();
    assert!(archive <= (11 << 20) / 10, "{archive} bytes of libbytefd.a");
}

/// A C program that wraps one buffer, and the same program without that.
const HELLO: [&str; 2] = [
    "#include <bytefd.h>\nint main(void) { return shm_wrap_buffer(\"hello\", 5, NULL, NULL) < 0; \
     }\n",
    "int main(void) { return 0; }\n",
];

fn a_program_has_only_the_part_of_the_archive_that_it_needs() {
    const MOST: u64 = 400 << 10;
    let folder = tempfile::tempdir().expect("a folder");
    let build = |code: &str, arguments: &[&str]| {
        let (source, program) = (folder.path().join("hello.c"), folder.path().join("hello"));
        std::fs::write(&source, code).expect("a source");
        let mut compiler = compiler(None, &source);
        compiler
            .args(["-O2", "-g0", "-Wl,--gc-sections"])
            .args(arguments)
            .arg(&source)
            .args(archive_flags());
        run(compiler.arg("-o").arg(&program));
        run(&mut Command::new(&program));
        stripped(&program)
    };
    let [hello, nothing] = HELLO.map(|code| build(code, &[]));
    assert!(
        hello <= MOST && hello > nothing + (50 << 10),
        "{hello} bytes, {nothing} of them for nothing"
    );
    // The C library's own part is its own business.
    let [hello, nothing] = HELLO.map(|code| build(code, &["-static"]));
    assert!(
        hello - nothing <= MOST && hello > nothing,
        "{hello} bytes, {nothing} of them for nothing"
    );
}

/// Each relocation is a store by the loader into a private copy of a page, in every process.
fn the_shared_library_has_few_relocations() {
    let listing = said(&run(Command::new("readelf")
        .args(["--relocs", "--wide"])
        .arg(library("libbytefd.so"))));
    let count = listing.lines().filter(|line| line.contains(" R_")).count();
    assert!((1..=600).contains(&count), "{count} relocations");
}
