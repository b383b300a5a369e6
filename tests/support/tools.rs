//! Other programs: compilers, clients, the staged library.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a program to its end, and panics with everything it said if it fails.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error} (is its package installed?)"));
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, said(&output));
    output
}

/// Both streams as text.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The folder in which `make lib` stages the release build, made once for this run of the tests.
pub fn staged() -> PathBuf {
    static STAGED: OnceLock<()> = OnceLock::new();
    STAGED.get_or_init(|| {
        run(Command::new("make").arg("lib").current_dir(repository()));
    });
    repository().join("dist")
}

/// What pkg-config says about the staged library: `["--cflags", "--libs"]`, or with `--static` added.
pub fn pkg_config(arguments: &[&str]) -> Vec<String> {
    let directory = staged().join("lib/pkgconfig");
    let output = run(Command::new("pkg-config").env("PKG_CONFIG_PATH", directory).args(arguments).arg("bytefd"));
    String::from_utf8(output.stdout).expect("UTF-8").split_whitespace().map(String::from).collect()
}

/// Compiles C or C++ sources against the staged header and shared library into `program`, which finds the library when it
/// runs. Warnings are errors.
pub fn compile(compiler: &str, arguments: &[&str], sources: &[PathBuf], program: &Path) {
    let mut command = Command::new(compiler);
    command.args(["-Wall", "-Wextra", "-pedantic", "-Werror", "-g"]).args(arguments).args(sources);
    command.args(pkg_config(&["--cflags", "--libs"])).arg("-pthread");
    command.arg([OsStr::new("-Wl,-rpath,"), staged().join("lib").as_os_str()].join(OsStr::new("")));
    run(command.arg("-o").arg(program));
}
