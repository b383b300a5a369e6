//! Runs other programs: compilers, clients, and `make lib`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// Returns the folder of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a program to its end, and panics with everything it said if it fails.
pub fn run(command: &mut Command) -> Output {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error} (is its package installed?)"));
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, said(&output));
    output
}

/// Returns both streams as text.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Returns the folder in which `make lib` stages the release build, once for this run of the tests.
pub fn staged() -> PathBuf {
    static STAGED: OnceLock<()> = OnceLock::new();
    STAGED.get_or_init(|| {
        run(Command::new("make").arg("lib").current_dir(repository()));
    });
    repository().join("dist")
}

/// Returns what pkg-config says about the staged library, for `["--cflags", "--libs"]`, or with
/// `--static` added.
pub fn pkg_config(arguments: &[&str]) -> Vec<String> {
    let directory = staged().join("lib/pkgconfig");
    let output = run(Command::new("pkg-config")
        .env("PKG_CONFIG_PATH", directory)
        .args(arguments)
        .arg("bytefd"));
    String::from_utf8(output.stdout).expect("UTF-8").split_whitespace().map(String::from).collect()
}

/// Returns the C compiler, or for a `.cpp` file the C++ compiler, that a build would use here (CC
/// and CXX name another), or the compiler of this name. It takes all warnings for errors.
pub fn compiler(name: Option<&str>, source: &Path) -> Command {
    let libc = if cfg!(target_env = "musl") { "musl" } else { "gnu" };
    let target = format!("{}-unknown-linux-{libc}", std::env::consts::ARCH);
    let mut build = cc::Build::new();
    // Otherwise given by cargo to a build script, and told to cargo.
    build.target(&target).host(&target).opt_level(0).debug(true).cargo_metadata(false);
    build.cpp(source.extension() == Some(OsStr::new("cpp")));
    if let Some(name) = name {
        build.compiler(name);
    }
    let found = build.get_compiler();
    let mut command = Command::new(found.path());
    command.args(found.args());
    command.args(["-Wall", "-Wextra", "-pedantic", "-Werror"]);
    command
}

/// Compiles C or C++ sources against the staged header and shared library into `program`, which
/// finds the library when it runs.
pub fn compile(arguments: &[&str], sources: &[PathBuf], program: &Path) {
    let mut command = compiler(None, &sources[0]);
    command.args(arguments).args(sources).args(pkg_config(&["--cflags", "--libs"])).arg("-pthread");
    command.arg([OsStr::new("-Wl,-rpath,"), staged().join("lib").as_os_str()].join(OsStr::new("")));
    run(command.arg("-o").arg(program));
}
