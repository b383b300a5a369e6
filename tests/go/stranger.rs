//! Plays a user with Go and a C compiler, but without Rust and this repository. The user has an
//! empty module, an empty module cache, which the go command makes read-only, and the module that
//! `make go-module` serves.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::support::alarm;
use crate::support::tools::{repository, run, said, staged};

pub const MODULE: &str = "github.com/bytefd/bytefd/go";

/// Wraps bytes and scans bytes, and prints what readers of both descriptors find.
const PROGRAM: &str = r#"package main

import (
	"fmt"
	"io"
	"log"
	"os"

	bytefd "github.com/bytefd/bytefd/go"
)

func main() {
	f, err := bytefd.WrapBuffer([]byte("wrapped "))
	if err != nil {
		log.Fatal(err)
	}
	if _, err := io.Copy(os.Stdout, f); err != nil {
		log.Fatal(err)
	}
	if err := f.Close(); err != nil {
		log.Fatal(err)
	}
	err = bytefd.ScanBytes([]byte("scanned\n"), func(fd int) error {
		content, err := os.ReadFile(bytefd.Path(fd))
		fmt.Print(string(content))
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	// Only libbytefd knows this.
	if _, err := bytefd.HostReport(); err != nil {
		log.Fatal(err)
	}
}
"#;

/// The output of [`PROGRAM`].
pub const PRINTED: &str = "wrapped scanned\n";

pub struct Stranger {
    home: TempDir,
}

impl Stranger {
    /// Makes a module with [`PROGRAM`] that requires nothing yet.
    pub fn new() -> Stranger {
        let home = tempfile::tempdir().expect("a folder");
        for name in ["bin", "program"] {
            std::fs::create_dir(home.path().join(name)).expect(name);
        }
        link_programs(&home.path().join("bin"));
        std::fs::write(home.path().join("program/main.go"), PROGRAM).expect("written");
        let stranger = Stranger { home };
        for rust in ["cargo", "rustc"] {
            let started = stranger.command(rust).arg("--version").status();
            assert!(started.is_err(), "{rust} can be found");
        }
        stranger.go(&["mod", "init", "example.com/stranger"]);
        stranger
    }

    /// Makes a module that requires the published module.
    pub fn with_the_module() -> Stranger {
        let stranger = Stranger::new();
        stranger.go(&["get", MODULE]);
        stranger
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Makes a command in the module's folder, with nothing of this process' environment.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command
            .current_dir(self.at("program"))
            .env_clear()
            .env("PATH", self.at("bin"))
            .env("HOME", self.home.path())
            .env("GOMODCACHE", self.at("modules"))
            .env("GOPROXY", proxies())
            .env("GOSUMDB", "off")
            .env("GOTOOLCHAIN", "local")
            // The next stranger can use what is compiled, although its folders have other names.
            .env("GOCACHE", go_env("GOCACHE"))
            .env("GOFLAGS", "-trimpath");
        command
    }

    /// Runs the go command. Returns its output, without the lines about downloads.
    pub fn go(&self, arguments: &[&str]) -> String {
        let said = said(&run(self.command("go").args(arguments)));
        said.lines()
            .filter(|line| !line.starts_with("go: "))
            .map(|line| format!("{line}\n"))
            .collect()
    }

    /// Builds the program with further arguments and variables. Neither the go command nor a linker
    /// may print anything.
    pub fn build(&self, arguments: &[&str], variables: &[(&str, &str)]) -> PathBuf {
        let program = self.at("program/stranger");
        let mut build = self.command("go");
        build.arg("build").args(arguments).arg("-o").arg(&program).envs(variables.iter().copied());
        assert_eq!(said(&run(&mut build)), "", "{build:?}");
        program
    }

    pub fn check(&self, program: &Path) {
        assert_eq!(said(&run(&mut self.command(program.to_str().expect("UTF-8")))), PRINTED);
    }
}

impl Drop for Stranger {
    /// Removes the module cache by the go command, because only root can remove its read-only
    /// folders.
    fn drop(&mut self) {
        let _ = self.command("go").args(["clean", "-modcache"]).output();
    }
}

/// Links all programs in PATH, except those that belong to Rust.
fn link_programs(folder: &Path) {
    let path = std::env::var_os("PATH").expect("a PATH");
    for directory in std::env::split_paths(&path) {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let is_rust =
                ["cargo", "rust"].iter().any(|word| name.to_string_lossy().starts_with(word));
            if !is_rust {
                // If several programs have the same name, the first counts.
                let _ = std::os::unix::fs::symlink(entry.path(), folder.join(name));
            }
        }
    }
}

/// Returns the folder of the module that a release publishes, which is made once for this run of
/// the tests. It has the archive of this host. If this machine has built archives for other targets
/// before, it has those too, built again.
pub fn module() -> PathBuf {
    static MADE: OnceLock<String> = OnceLock::new();
    MADE.get_or_init(|| {
        staged();
        let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let others =
            TARGETS.iter().filter(|target| repository().join("build").join(target).exists());
        let targets: BTreeSet<&str> = others.copied().chain([host.as_str()]).collect();
        let mut make = Command::new(repository().join("scripts/go-module"));
        let (status, said) =
            alarm::watched(make.arg(FOLDER).args(targets)).expect("scripts/go-module");
        assert!(status.success(), "{said}");
        said
    });
    Path::new(FOLDER).join("go-module")
}

const FOLDER: &str = env!("CARGO_TARGET_TMPDIR");

/// The targets of `make go-module`.
const TARGETS: [&str; 4] = [
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "x86_64-unknown-linux-musl",
    "aarch64-unknown-linux-musl",
];

/// Returns the proxies: the module, and golang.org/x/sys from the cache of modules that builds of
/// this repository use.
fn proxies() -> String {
    module();
    static FILLED: OnceLock<Output> = OnceLock::new();
    FILLED.get_or_init(|| {
        run(Command::new("go").args(["mod", "download"]).current_dir(repository().join("go")))
    });
    format!("file://{FOLDER}/go-proxy,file://{}/cache/download", go_env("GOMODCACHE"))
}

fn go_env(name: &str) -> String {
    said(&run(Command::new("go").args(["env", name]))).trim().into()
}
