//! Checks the package that `cargo publish` would upload: what is in it, that it is enough, and what
//! it brings into a program.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::process::Command;

use crate::support::tools::{repository, run};
use crate::tests;

tests![
    the_package_holds_what_a_program_is_built_from_and_nothing_of_the_tests,
    the_readme_shows_pictures_of_the_package_and_leads_to_files_that_exist,
    a_program_builds_against_the_unpacked_package_alone,
    a_program_gets_no_packages_but_libc_and_thiserror,
    every_licence_is_one_that_is_allowed,
];

/// Returns the cargo that builds the tests.
fn program_of_cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or("cargo".into())
}

/// Returns cargo in this repository, with the locked versions, which the build of the tests has
/// downloaded.
fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(program_of_cargo());
    command.current_dir(repository()).args(arguments).args(["--locked", "--offline"]);
    command
}

fn lines(command: &mut Command) -> BTreeSet<String> {
    let output = run(command);
    String::from_utf8(output.stdout).expect("UTF-8").lines().map(String::from).collect()
}

fn packaged() -> BTreeSet<String> {
    lines(&mut cargo(&["package", "--list", "--allow-dirty"]))
}

/// Returns the files in a folder of the repository, at any depth.
fn files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(repository().join(folder)).expect("a folder") {
        let entry = entry.expect("an entry");
        let path = format!("{folder}/{}", entry.file_name().to_str().expect("UTF-8"));
        match entry.file_type().expect("a type").is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

fn the_package_holds_what_a_program_is_built_from_and_nothing_of_the_tests() {
    let mut wanted: BTreeSet<String> =
        ["src", "include", "examples"].into_iter().flat_map(files).collect();
    // cargo adds the first three.
    let others = "Cargo.lock Cargo.toml Cargo.toml.orig build.rs bytefd.map cbindgen.toml \
                  LICENSE-APACHE LICENSE-MIT \
                  README.md benches/results/sizes.svg ARCHITECTURE.md CHANGELOG.md SECURITY.md";
    wanted.extend(others.split_whitespace().map(String::from));
    let mut packaged = packaged();
    // Only where the repository is a clone.
    packaged.remove(".cargo_vcs_info.json");
    let differing: Vec<&String> = packaged.symmetric_difference(&wanted).collect();
    assert!(differing.is_empty(), "not both in the package and needed there: {differing:?}");
}

/// The package contains the pictures. Links lead to files of the repository: a page that shows the
/// package resolves them there.
fn the_readme_shows_pictures_of_the_package_and_leads_to_files_that_exist() {
    let readme = std::fs::read_to_string(repository().join("README.md")).expect("README.md");
    let packaged = packaged();
    let (mut pictures, mut links) = (0, 0);
    for (at, _) in readme.match_indices("](") {
        let target = readme[at + 2..].split([')', '#']).next().expect("a target");
        let text = readme[..at].rfind('[').expect("a text");
        if readme[..text].ends_with('!') {
            assert!(packaged.contains(target), "{target} is not in the package");
            pictures += 1;
        } else if !target.contains("://") {
            assert!(repository().join(target).exists(), "there is no {target}");
            links += 1;
        }
    }
    assert!(pictures > 0 && links > 5, "{pictures} pictures, {links} links");
}

fn a_program_builds_against_the_unpacked_package_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    run(cargo(&["package", "--no-verify", "--allow-dirty", "--quiet"])
        .arg("--target-dir")
        .arg(at("target")));
    let version = env!("CARGO_PKG_VERSION");
    let archive = at(&format!("target/package/bytefd-{version}.crate"));
    run(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(folder.path()));

    std::fs::create_dir_all(at("stranger/src")).expect("a folder");
    let program = repository().join("tests/package/program.rs");
    std::fs::copy(program, at("stranger/src/main.rs")).expect("a copy of the program");
    // The versions that are on this machine.
    std::fs::copy(repository().join("Cargo.lock"), at("stranger/Cargo.lock"))
        .expect("a copy of the versions");
    for default_features in [true, false] {
        let manifest = format!(
            "[package]\nname = \"stranger\"\nedition = \"2024\"\n\
             [dependencies.bytefd]\npath = \"../bytefd-{version}\"\ndefault-features = \
             {default_features}\n"
        );
        std::fs::write(at("stranger/Cargo.toml"), manifest).expect("a manifest");
        let mut build_and_run = Command::new(program_of_cargo());
        build_and_run
            .current_dir(at("stranger"))
            .args(["run", "--offline", "--quiet", "--target-dir"])
            .arg(at("target"));
        assert_eq!(String::from_utf8_lossy(&run(&mut build_and_run).stdout), "hello\n");
    }
}

/// Returns the names of what cargo would build here for these kinds of dependencies, each with its
/// licence.
fn dependencies(kinds: &str) -> BTreeSet<(String, String)> {
    let tree = ["tree", "--edges", kinds, "--prefix", "none", "--no-dedupe", "--format", "{p}|{l}"];
    let entry = |line: &String| {
        let (package, licence) = line.split_once('|')?;
        Some((package.split(' ').next()?.to_string(), licence.trim().to_string()))
    };
    lines(&mut cargo(&tree)).iter().filter_map(entry).collect()
}

fn a_program_gets_no_packages_but_libc_and_thiserror() {
    let names: BTreeSet<String> =
        dependencies("normal").into_iter().map(|(name, _)| name).collect();
    // The last five are run by the compiler.
    let wanted = [
        "bytefd",
        "libc",
        "thiserror",
        "thiserror-impl",
        "proc-macro2",
        "quote",
        "syn",
        "unicode-ident",
    ];
    assert_eq!(names, wanted.map(String::from).into());
}

fn every_licence_is_one_that_is_allowed() {
    let policy = std::fs::read_to_string(repository().join("deny.toml")).expect("deny.toml");
    let (_, licences) = policy.split_once("[licenses]").expect("the licences");
    let listed = |text: &str, list: &str| -> BTreeSet<String> {
        let (_, rest) = text.split_once(list).unwrap_or_else(|| panic!("no {list} in {text}"));
        let items = rest.split(']').next().expect("the end of the list");
        items.split('"').skip(1).step_by(2).map(String::from).collect()
    };
    let common = listed(licences, "allow = [");
    for (name, licence) in dependencies("normal,build,dev") {
        let mut allowed = common.clone();
        if let Some(line) =
            licences.lines().find(|line| line.contains(&format!("crate = \"{name}\"")))
        {
            allowed.extend(listed(line, "allow = ["));
        }
        assert!(
            is_allowed(&licence, &allowed),
            "{name} has the licence {licence:?}, of which deny.toml allows none"
        );
    }
}

/// Returns whether each part of an AND offers an allowed licence: "(MIT OR Apache-2.0) AND
/// Unicode-3.0". "/" is an old way to write OR.
fn is_allowed(licence: &str, allowed: &BTreeSet<String>) -> bool {
    let has_choice =
        |part: &str| part.trim_matches(['(', ')']).split(" OR ").any(|one| allowed.contains(one));
    licence.replace('/', " OR ").split(" AND ").all(has_choice)
}
