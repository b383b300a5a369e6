//! Uses shared objects from third-party programs.

use std::process::Command;

use crate::support::named::*;
use crate::support::tools;
use crate::tests;

tests![sqlite_opens_a_temporary_file_and_writes_beside_it,];

/// A path in /proc does not allow this: see
/// `clients::sqlite_cannot_open_the_path_because_it_resolves_the_link`.
fn sqlite_opens_a_temporary_file_and_writes_beside_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = folder.path().join("database");
    let sqlite = |path: &std::path::Path, statements: &str| {
        let output = tools::run(Command::new("sqlite3").arg("-bail").arg(path).arg(statements));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    sqlite(&database, "create table t(x); insert into t values (42);");
    let bytes = std::fs::read(&database).expect("a database");
    let file = tempfile(&bytes, Some(c".db")).expect("created");
    assert_eq!(sqlite(&file.path(), "select x from t;"), "42\n");
    // With a journal beside it, which it keeps.
    let written = sqlite(
        &file.path(),
        "pragma journal_mode=persist; insert into t values (43); select sum(x) from t;",
    );
    assert_eq!(written, "persist\n85\n");
    let parent = file.path().parent().expect("a folder").to_path_buf();
    assert_eq!(std::fs::read_dir(&parent).expect("read").count(), 2, "the file and its journal");
    drop(file);
    assert!(!parent.exists());
    assert_eq!(sqlite(&database, "select sum(x) from t;"), "42\n", "what was given is not changed");
}
