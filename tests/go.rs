//! The Go package as a module that other programs use, and as what is built from the staged archive.

use std::path::Path;
use std::process::Command;

use crate::support::tools::{repository, run, said, staged};
use crate::tests;

tests![the_module_needs_golang_org_x_sys_and_nothing_else, an_archive_that_is_staged_anew_is_linked_anew];

/// The go command as somebody runs it who has nothing but the module.
fn go(folder: &Path, arguments: &[&str]) -> String {
    said(&run(Command::new("go").args(arguments).env("GOWORK", "off").current_dir(folder)))
}

fn the_module_needs_golang_org_x_sys_and_nothing_else() {
    let said = go(&repository().join("go"), &["list", "-m", "-f", "{{.Path}}", "all"]);
    assert_eq!(said, "github.com/bytefd/bytefd/go\ngolang.org/x/sys\n");
}

/// The go command keeps what it has built and what tests have said, and does not see that an archive has changed.
fn an_archive_that_is_staged_anew_is_linked_anew() {
    const TEST: &str = "package bytefd

import \"testing\"

func TestTheLibraryAnswers(t *testing.T) {
	if _, err := HostReport(); err != nil {
		t.Fatal(err)
	}
}
";
    // Another library says something before the program starts.
    const OTHER: &str = "#include <unistd.h>
__attribute__((constructor)) static void say(void) { if (write(1, \"another archive\\n\", 16) < 0) _exit(1); }
";
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    copy_what_staging_needs(folder.path());
    std::fs::write(at("go/library_test.go"), TEST).expect("written");
    let archive = at("libbytefd.a");
    std::fs::copy(staged().join("lib/libbytefd.a"), &archive).expect("copied");

    let stage = || drop(run(Command::new(at("scripts/stage")).arg(&archive)));
    let test = || go(&at("go"), &["test", "-v", "."]);
    stage();
    let first = test();
    assert!(first.contains("--- PASS: TestTheLibraryAnswers") && !first.contains("(cached)"), "{first}");
    stage();
    assert!(test().contains("(cached)"), "the same archive has changed something");

    std::fs::write(at("other.c"), OTHER).expect("written");
    run(Command::new("cc").args(["-c", "-fPIC", "other.c"]).current_dir(&folder));
    run(Command::new("ar").arg("r").arg(&archive).arg("other.o").current_dir(&folder));
    stage();
    let other = test();
    assert!(other.contains("another archive\n") && !other.contains("(cached)"), "{other}");

    std::fs::remove_file(at("go/staged.go")).expect("stage writes it");
    go(&at("go"), &["vet", "."]);
}

/// The part of the repository that `scripts/stage` reads and the Go package is built from, without its tests.
fn copy_what_staging_needs(folder: &Path) {
    let files = |package: &'static str| {
        let entries =
            std::fs::read_dir(repository().join(package)).expect(package).map(|entry| entry.expect("an entry"));
        let files = entries.filter(|entry| entry.file_type().expect("a type").is_file());
        files.map(move |entry| format!("{package}/{}", entry.file_name().to_str().expect("UTF-8")))
    };
    let package = files("go").chain(files("go/internal/marked")).filter(|name| !name.ends_with("_test.go"));
    let others = ["Cargo.toml", "bytefd.map", "include/bytefd.h", "scripts/stage"].map(String::from);
    for name in package.chain(others).chain(files("packaging")) {
        let to = folder.join(&name);
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        std::fs::copy(repository().join(&name), to).expect(&name);
    }
}
