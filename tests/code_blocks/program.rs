//! Compiles and runs the programs in blocks as a reader of the page compiles them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::tools::{compiler, pkg_config, repository, said, staged};

/// The standard input of each program.
pub const INPUT: &str = "/bin/ls";

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Language {
    C,
    Go,
    Rust,
}

impl Language {
    pub fn of(name: &str) -> Option<Language> {
        match name {
            "c" => Some(Language::C),
            "go" => Some(Language::Go),
            "rust" => Some(Language::Rust),
            _ => None,
        }
    }

    pub fn is_whole(self, text: &str) -> bool {
        match self {
            Language::C => text.contains("int main("),
            Language::Go => text.lines().any(|line| line == "package main"),
            Language::Rust => text.lines().any(|line| line.starts_with("fn main(")),
        }
    }

    /// Runs a program, or a program of these statements, in an empty folder. Returns its output.
    pub fn run(self, text: &str) -> Result<String, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let source = match self.is_whole(text) {
            true => text.to_string(),
            false => self.fixture(text),
        };
        let program = match self {
            Language::C => compile_c(&folder, &source),
            Language::Go => compile_go(&folder, &source),
            Language::Rust => compile_rust(&folder, &source),
        }?;
        let work = folder.path().join("work");
        std::fs::create_dir(&work).expect("a folder");
        let input = File::open(INPUT).expect(INPUT);
        let output = done(Command::new(&program).current_dir(work).stdin(input))?;
        Ok(String::from_utf8(output.stdout).expect("UTF-8"))
    }

    /// Returns a program that declares the usual variables and contains the statements.
    fn fixture(self, statements: &str) -> String {
        match self {
            Language::C => C_FIXTURE.replace("STATEMENTS", statements),
            Language::Go => GO_FIXTURE.replace("STATEMENTS", statements),
            Language::Rust => RUST_FIXTURE.replace("STATEMENTS", statements),
        }
    }
}

const C_FIXTURE: &str = r#"#define _GNU_SOURCE
#include <bytefd.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int scan(int fd, void *context)
{
    (void)context;
    return lseek(fd, 0, SEEK_END) == 5 ? 0 : 1;
}

int main(void)
{
    const char *buf = "hello";
    size_t len = 5;
    void *ctx = NULL;
    bytefd_error error;
    bytefd_map *map;
    (void)scan, (void)buf, (void)len, (void)ctx, (void)error, (void)map;
    {
STATEMENTS
    }
    return 0;
}
"#;

const GO_FIXTURE: &str = r#"package main

import (
	"fmt"
	"log"
	"os"

	bytefd "github.com/bytefd/bytefd/go"
)

var _, _, _ = bytefd.WrapBuffer, fmt.Println, os.Open

func main() {
	b := []byte("hello")
	var err error
	_ = b
	{
STATEMENTS
	}
	if err != nil {
		log.Fatal(err)
	}
}
"#;

const RUST_FIXTURE: &str = r#"#![allow(unused)]
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bytes = b"hello".to_vec();
    {
STATEMENTS
    }
    Ok(())
}
"#;

/// Returns the output of a command that succeeds, or everything that it printed.
pub fn done(command: &mut Command) -> Result<Output, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    match output.status.success() {
        true => Ok(output),
        false => Err(format!("{}\n{}", output.status, said(&output))),
    }
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    std::fs::write(folder.join(name), text).expect("written");
    folder.join(name)
}

/// Compiles with all warnings, against the staged header and library.
fn compile_c(folder: &TempDir, source: &str) -> Result<PathBuf, String> {
    let (source, program) = (write(folder.path(), "prog.c", source), folder.path().join("prog"));
    let mut command = compiler(None, &source);
    command.args(["-Wno-unused-variable", "-Wno-unused-but-set-variable"]).arg(&source);
    command.args(pkg_config(&["--cflags", "--libs"])).arg("-pthread");
    command.arg(format!("-Wl,-rpath,{}", staged().join("lib").display()));
    done(command.arg("-o").arg(&program))?;
    Ok(program)
}

/// Compiles in a module that requires the package of this repository, with the staged archive.
fn compile_go(folder: &TempDir, source: &str) -> Result<PathBuf, String> {
    staged();
    let package = repository().join("go");
    let of_package = std::fs::read_to_string(package.join("go.mod")).expect("go.mod");
    let (_, requirements) = of_package.split_once("\ngo ").expect("a version");
    let module = format!(
        "module example.com/block\n\ngo {requirements}\n\
         require github.com/bytefd/bytefd/go v0.0.0\n\
         replace github.com/bytefd/bytefd/go => {}\n",
        package.display()
    );
    write(folder.path(), "go.mod", &module);
    std::fs::copy(package.join("go.sum"), folder.path().join("go.sum")).expect("go.sum");
    write(folder.path(), "main.go", source);
    let program = folder.path().join("prog");
    let mut command = Command::new("go");
    command.args(["build", "-o"]).arg(&program).arg(".").current_dir(folder);
    done(command.env("GOWORK", "off").env("GOFLAGS", "-mod=mod"))?;
    Ok(program)
}

/// Compiles against the crate that cargo has built for these tests.
fn compile_rust(folder: &TempDir, source: &str) -> Result<PathBuf, String> {
    let (source, program) = (write(folder.path(), "main.rs", source), folder.path().join("prog"));
    let built = std::env::current_exe().expect("this program's path");
    let built = built.parent().expect("a folder");
    let mut command = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()));
    command.args(["--edition", "2024", "--deny", "warnings"]).arg(&source);
    command.arg("--extern").arg(format!("bytefd={}", built.join("libbytefd.rlib").display()));
    command.arg("-L").arg(format!("dependency={}", built.display()));
    done(command.arg("-o").arg(&program))?;
    Ok(program)
}

/// For each language a whole program that prints 5 or fails, and statements.
pub const SAMPLES: [(Language, &str, &str); 3] = [
    (
        Language::C,
        "#include <bytefd.h>\n#include <stdio.h>\n#include <unistd.h>\n\nint main(void)\n{\n    \
         int fd = shm_wrap_buffer(\"hello\", 5, NULL, NULL);\n    \
         return lseek(fd, 0, SEEK_END) == 5 ? puts(\"5\") < 0 : 1;\n}\n",
        "if (scan_bytes(\"hello\", len, scan, ctx, NULL, &error) < 0)\n    return 1;\n",
    ),
    (
        Language::Go,
        "package main\n\nimport (\n\t\"fmt\"\n\n\tbytefd \"github.com/bytefd/bytefd/go\"\n)\n\n\
         func main() {\n\tf, err := bytefd.WrapBuffer([]byte(\"hello\"))\n\t\
         if err != nil {\n\t\tpanic(err)\n\t}\n\t\
         if info, err := f.Stat(); err != nil || info.Size() != 5 {\n\t\tpanic(err)\n\t}\n\t\
         fmt.Println(\"5\")\n}\n",
        "f, err := bytefd.WrapBuffer([]byte(\"hello\"))\nfmt.Println(f.Name(), err)\n",
    ),
    (
        Language::Rust,
        "fn main() -> Result<(), Box<dyn std::error::Error>> {\n    \
         let file = std::fs::File::from(bytefd::wrap(b\"hello\")?);\n    \
         assert!(file.metadata()?.len() == 5);\n    println!(\"5\");\n    Ok(())\n}\n",
        "let fd: OwnedFd = bytefd::wrap(b\"hello\")?;\n",
    ),
];
