//! Tests the Go package in a clone, where it links the archive that `make lib` has staged.

pub mod module;
mod stranger;

use std::path::Path;
use std::process::{Command, Output};

use module::{files_below, go_arch, musl_compiler};

use crate::support::tools::{pkg_config, repository, run, said, staged};
use crate::tests;

tests![
    the_module_needs_golang_org_x_sys_and_nothing_else,
    an_archive_that_is_staged_anew_is_linked_anew,
    without_an_archive_the_build_says_what_to_do,
    every_archive_is_linked_with_what_pkg_config_says,
];

/// Runs the go command in an environment that has nothing but the module.
fn go(folder: &Path, arguments: &[&str]) -> String {
    said(&run(Command::new("go").args(arguments).env("GOWORK", "off").current_dir(folder)))
}

fn the_module_needs_golang_org_x_sys_and_nothing_else() {
    let said = go(&repository().join("go"), &["list", "-m", "-f", "{{.Path}}", "all"]);
    assert_eq!(said, "github.com/bytefd/bytefd/go\ngolang.org/x/sys\n");
}

/// The go command caches its builds and the output of tests, and does not see that an archive has
/// changed.
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
__attribute__((constructor)) static void say(void) { if (write(1, \"another archive\\n\", 16) < 0) \
                                        _exit(1); }
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
    assert!(
        first.contains("--- PASS: TestTheLibraryAnswers") && !first.contains("(cached)"),
        "{first}"
    );
    stage();
    assert!(test().contains("(cached)"), "the same archive has changed something");

    std::fs::write(at("other.c"), OTHER).expect("written");
    run(Command::new("cc").args(["-c", "-fPIC", "other.c"]).current_dir(&folder));
    run(Command::new("ar").arg("r").arg(&archive).arg("other.o").current_dir(&folder));
    stage();
    let other = test();
    assert!(other.contains("another archive\n") && !other.contains("(cached)"), "{other}");
}

/// The sentences of `go/lib`.
const MISSING: &str =
    "libbytefd.a is missing: run make lib in a clone, or install it and use -tags bytefd_system";
const NOT_GLIBC: &str = "the C library is not glibc: build with -tags musl";
const GLIBC: &str = "the C library is glibc: build with CC=musl-gcc, or without -tags musl";
const NO_ARCHIVE: &str = "no libbytefd.a for this processor and C library: install one, \
     use -tags bytefd_system";

/// Builds in a clone before `make lib`, and after an archive was removed by hand.
fn without_an_archive_the_build_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    copy_what_staging_needs(folder.path());
    let package = folder.path().join("go");
    refuses(&package, &[], MISSING);

    let archive = package.join(format!("lib/linux_{}/libbytefd.a", go_arch()));
    std::fs::copy(staged().join("lib/libbytefd.a"), &archive).expect("copied");
    let built = build(&package, &[]);
    assert!(built.status.success(), "{}", said(&built));
    std::fs::remove_file(&archive).expect("removed");
    refuses(&package, &[], MISSING);

    refuses(&package, &[("GOFLAGS", "-tags=musl")], GLIBC);
    let musl = musl_compiler();
    if let Some(compiler) = musl {
        refuses(&package, &[("CC", compiler), ("GOFLAGS", "-tags=musl")], MISSING);
        refuses(&package, &[("CC", compiler)], NOT_GLIBC);
    } else {
        println!("SKIPPED: no archive for musl: there is no musl-gcc");
    }
    for (processor, compiler, sentence) in [
        ("amd64", "x86_64-linux-gnu-gcc", MISSING),
        ("arm64", "aarch64-linux-gnu-gcc", MISSING),
        ("s390x", "s390x-linux-gnu-gcc", NO_ARCHIVE),
    ] {
        if Command::new(compiler).arg("--version").output().is_err() {
            println!("SKIPPED: no archive for {processor}: there is no {compiler}");
            continue;
        }
        refuses(&package, &[("GOARCH", processor), ("CC", compiler)], sentence);
    }
}

fn build(package: &Path, variables: &[(&str, &str)]) -> Output {
    let mut go = Command::new("go");
    go.args(["build", "-o", "/dev/null", "."])
        .current_dir(package)
        .env("GOWORK", "off")
        .env("CGO_ENABLED", "1");
    go.envs(variables.iter().copied()).output().expect("go")
}

/// Asserts that the build fails with this sentence alone. A C compiler shows the line again, and
/// underlines it.
fn refuses(package: &Path, variables: &[(&str, &str)], sentence: &str) {
    let output = build(package, variables);
    let said = said(&output);
    assert!(!output.status.success(), "{variables:?}");
    let lines: Vec<_> =
        said.lines().filter(|line| !line.starts_with("# ") && !line.contains(" | ")).collect();
    let [line] = lines[..] else { panic!("{variables:?}: {said}") };
    assert!(line.ends_with(&format!("error: #error \"{sentence}\"")), "{variables:?}: {said}");
}

/// Each package has the flags itself, because Go cannot share them.
fn every_archive_is_linked_with_what_pkg_config_says() {
    let flags = pkg_config(&["--libs-only-l", "--static"]);
    let flags: Vec<_> =
        flags.iter().map(String::as_str).filter(|flag| *flag != "-lbytefd").collect();
    let expected = format!("\n#cgo LDFLAGS: ${{SRCDIR}}/libbytefd.a {}\n", flags.join(" "));
    let packages: Vec<_> =
        std::fs::read_dir(repository().join("go/lib")).expect("go/lib").collect();
    assert_eq!(packages.len(), 4);
    for package in packages {
        let file = package.expect("an entry").path().join("libbytefd.go");
        assert!(
            std::fs::read_to_string(&file).expect("UTF-8").contains(&expected),
            "{file:?}: {expected}"
        );
    }
}

/// Copies the part of the repository that `scripts/stage` reads and the Go package is built from,
/// without its tests.
fn copy_what_staging_needs(folder: &Path) {
    let is_source = |name: &str| !name.ends_with("_test.go") && !name.ends_with(".a");
    let package = files_below(&repository().join("go"));
    let package =
        package.iter().map(|name| format!("go/{}", name.display())).filter(|name| is_source(name));
    let packaging = files_below(&repository().join("packaging"));
    let packaging = packaging.iter().map(|name| format!("packaging/{}", name.display()));
    let others =
        ["Cargo.toml", "bytefd.map", "include/bytefd.h", "scripts/stage"].map(String::from);
    for name in package.chain(packaging).chain(others) {
        let to = folder.join(&name);
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        std::fs::copy(repository().join(&name), to).expect(&name);
    }
}
