//! Checks that the same sources give the same bytes, wherever they are built.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::library::FILE;
use crate::support::tools::{repository, run, staged};
use crate::tests;

tests![another_clone_gives_the_same_bytes, no_library_contains_a_path_of_the_machine];

fn cargo_home() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").expect("a home")).join(".cargo");
    std::env::var_os("CARGO_HOME").map_or_else(home, PathBuf::from)
}

/// Copies everything that is committed, or would be.
fn clone_into(folder: &Path) {
    for entry in std::fs::read_dir(repository()).expect("the repository") {
        let entry = entry.expect("an entry");
        if ["target", "dist", "build", ".git"].iter().all(|name| entry.file_name() != *name) {
            run(Command::new("cp").arg("-R").arg(entry.path()).arg(folder));
        }
    }
}

/// One of the two builds is this repository. The other is built with the crates in another folder.
fn another_clone_gives_the_same_bytes() {
    let first = staged();
    let folder = tempfile::tempdir().expect("a folder");
    let (second, home) =
        (folder.path().join("somewhere/else/another name"), folder.path().join("crates"));
    std::fs::create_dir_all(&second).expect("a folder");
    std::fs::create_dir(&home).expect("a folder");
    clone_into(&second);
    for entry in std::fs::read_dir(cargo_home()).expect("the crates") {
        let entry = entry.expect("an entry");
        std::os::unix::fs::symlink(entry.path(), home.join(entry.file_name())).expect("a link");
    }
    let mut make = Command::new("make");
    make.args(["lib", "--silent"]).current_dir(&second).env("CARGO_HOME", home);
    run(make.env("CARGO_TARGET_DIR", folder.path().join("built")));
    for name in ["libbytefd.a", FILE] {
        let [first, second] =
            [&first, &second.join("dist")].map(|dist| std::fs::read(dist.join("lib").join(name)));
        assert!(
            first.expect(name) == second.expect(name),
            "{name} is not the same in another clone"
        );
    }
}

fn no_library_contains_a_path_of_the_machine() {
    let home = PathBuf::from(std::env::var_os("HOME").expect("a home"));
    for name in ["libbytefd.a", FILE] {
        let content = std::fs::read(staged().join("lib").join(name)).expect(name);
        for path in [repository(), &cargo_home(), &home] {
            let path = format!("{}/", path.display()).into_bytes();
            assert!(
                !content.windows(path.len()).any(|part| part == path),
                "{name}: {}",
                path.escape_ascii()
            );
        }
    }
}
