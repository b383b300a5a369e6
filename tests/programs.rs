//! Tests the installed programs, as `make lib` stages them, and their manual pages.

pub mod doctor;
pub mod manual;
pub mod withfd;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::c::Workshop;
use crate::support::tools::{compiler, repository, run, said, staged};
use crate::tests;

tests![
    every_compiler_takes_them_without_a_warning,
    the_same_sources_give_the_same_bytes_wherever_they_are,
    what_is_the_same_is_not_replaced,
    they_need_the_c_library_only,
    they_say_the_version_of_the_package,
];

/// Returns the program with this name.
fn program(name: &str) -> PathBuf {
    staged().join("bin").join(name)
}

const PROGRAMS: [&str; 2] = ["withfd", "bytefd-doctor"];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut sources: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "c")).collect();
    sources.sort();
    assert!(!sources.is_empty());
    sources
}

fn every_compiler_takes_them_without_a_warning() {
    let workshop = Workshop::new();
    let folder = repository().join("programs");
    for sources in [sources(&folder), sources(&folder.join("doctor"))] {
        for name in ["gcc", "clang"] {
            for more in [
                &[][..],
                &["-O2"],
                &["-Wstrict-prototypes", "-Wshadow", "-Wconversion", "-Wno-sign-conversion"],
            ] {
                let mut command = compiler(Some(name), &sources[0]);
                command
                    .args(["-std=c11", "-I"])
                    .arg(staged().join("include"))
                    .args(more)
                    .args(&sources);
                command
                    .arg(staged().join("lib/libbytefd.a"))
                    .args(["-lm", "-o"])
                    .arg(workshop.path("program"));
                run(&mut command);
            }
        }
    }
}

/// Copies to another folder what building the programs needs.
fn copied(workshop: &Workshop, name: &str) -> PathBuf {
    let folder = workshop.path(name);
    std::fs::create_dir_all(folder.join("dist")).expect("a folder");
    let mut copy = Command::new("cp");
    copy.arg("-r").args(["programs", "manual", "scripts", "include", "Cargo.toml", "CHANGELOG.md"]);
    run(copy.arg(&folder).current_dir(repository()));
    run(Command::new("cp")
        .arg("-a")
        .args([staged().join("include"), staged().join("lib")])
        .arg(folder.join("dist")));
    folder
}

/// Returns all files of a folder, and their content.
fn tree(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let found = run(Command::new("find").args([".", "-type", "f"]).current_dir(folder));
    let mut names: Vec<String> = said(&found).lines().map(String::from).collect();
    names.sort();
    names
        .into_iter()
        .map(|name| (name.clone().into(), std::fs::read(folder.join(name)).expect("a file")))
        .collect()
}

fn the_same_sources_give_the_same_bytes_wherever_they_are() {
    let workshop = Workshop::new();
    let [one, other] = ["one", "a much longer name of a folder"].map(|name| {
        let folder = copied(&workshop, name);
        run(Command::new(folder.join("scripts/programs")).current_dir("/"));
        folder.join("dist")
    });
    for part in ["bin", "share"] {
        let there = tree(&one.join(part));
        assert!(there.len() >= 2, "{part}");
        assert!(there == tree(&other.join(part)), "{part}");
        assert!(there == tree(&staged().join(part)), "{part}: not what is staged");
    }
}

fn what_is_the_same_is_not_replaced() {
    use std::os::unix::fs::MetadataExt;
    let workshop = Workshop::new();
    let folder = copied(&workshop, "copy");
    let build = || run(Command::new(folder.join("scripts/programs")).current_dir("/"));
    build();
    let stale = folder.join("dist/share/man/man3/bytefd_gone.3");
    std::fs::write(&stale, ".so man3/bytefd_map.3\n").expect("written");
    let files =
        ["dist/bin/withfd", "dist/share/man/man3/bytefd_map.3"].map(|name| folder.join(name));
    let inodes = || files.clone().map(|file| std::fs::metadata(file).expect("a file").ino());
    let before = inodes();
    build();
    assert_eq!(inodes(), before);
    assert!(!stale.exists(), "a page that the header has not any more");
}

fn they_need_the_c_library_only() {
    for name in PROGRAMS {
        let dynamic =
            said(&run(Command::new("readelf").arg("--dynamic").arg("--wide").arg(program(name))));
        for line in dynamic.lines().filter(|line| line.contains("(NEEDED)")) {
            let needed = line.split(['[', ']']).nth(1).expect("a library");
            assert!(
                ["libc.so.6", "libgcc_s.so.1", "libm.so.6"].contains(&needed)
                    || needed.starts_with("ld-"),
                "{line}"
            );
        }
    }
}

fn they_say_the_version_of_the_package() {
    for name in PROGRAMS {
        let version = said(&run(Command::new(program(name)).arg("--version")));
        assert_eq!(version, format!("{name} (bytefd) {}\n", env!("CARGO_PKG_VERSION")));
    }
}
