//! Programs that nobody here wrote use what is shared.

use std::process::Command;

use crate::support::abi::*;
use crate::support::named::*;
use crate::support::{fd, tools};
use crate::tests;

tests![
    python_opens_and_removes_named_memory,
    named_memory_that_python_makes_is_opened_and_removed,
    sqlite_opens_a_temporary_file_and_writes_beside_it,
];

/// Runs a script with a name as its argument.
fn python(script: &str, name: &str) {
    tools::run(Command::new("python3").args(["-c", script, name]));
}

fn python_opens_and_removes_named_memory() {
    const SCRIPT: &str = "
import sys
from multiprocessing import resource_tracker, shared_memory
memory = shared_memory.SharedMemory(sys.argv[1])
assert memory.size == 5000 and bytes(memory.buf[:6]) == b'hello\\0', bytes(memory.buf[:6])
memory.buf[4999] = 7
memory.close()
memory.unlink()
";
    let Some(name) = Name::new("to-python") else { return };
    let making = ShmOptions { flags: SHM_NEW, access: WRITE, length: 5000, ..ShmOptions::default() };
    let made = shm_open(&name.0, &making).expect("made");
    std::os::unix::fs::FileExt::write_all_at(&fd::file(&made), b"hello", 0).expect("written");
    python(SCRIPT, &name.0);
    assert_eq!(fd::content(&made)[4999], 7);
    assert_eq!(shm_open(&name.0, &ShmOptions::default()).expect_err("removed").errno, libc::ENOENT);
}

fn named_memory_that_python_makes_is_opened_and_removed() {
    // Python's own tracker would remove it at its end.
    const SCRIPT: &str = "
import sys
from multiprocessing import resource_tracker, shared_memory
memory = shared_memory.SharedMemory(sys.argv[1], create=True, size=5000)
memory.buf[:5] = b'hello'
resource_tracker.unregister(memory._name, 'shared_memory')
memory.close()
";
    let Some(name) = Name::new("from-python") else { return };
    python(SCRIPT, &name.0);
    let opened = shm_open(&name.0, &ShmOptions { length: 5000, ..ShmOptions::default() }).expect("opened");
    assert_eq!(&fd::content(&opened)[..6], b"hello\0");
    shm_unlink(&name.0).expect("unlinked");
}

/// What a path in /proc cannot give it: see `clients::sqlite_cannot_open_the_path_because_it_resolves_the_link`.
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
    let written = sqlite(&file.path(), "pragma journal_mode=persist; insert into t values (43); select sum(x) from t;");
    assert_eq!(written, "persist\n85\n");
    let parent = file.path().parent().expect("a folder").to_path_buf();
    assert_eq!(std::fs::read_dir(&parent).expect("read").count(), 2, "the file and its journal");
    drop(file);
    assert!(!parent.exists());
    assert_eq!(sqlite(&database, "select sum(x) from t;"), "42\n", "what was given is not changed");
}
