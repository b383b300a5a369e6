//! C and C++ programs: the examples, the tests under tests/c, and what the header shows.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::library::{archive_flags, declared_functions};
use crate::support::fd::pattern;
use crate::support::tools::{compile, pkg_config, repository, run, said};
use crate::tests;

tests![
    the_header_compiles_alone_and_twice_in_every_language,
    every_example_in_the_header_compiles,
    the_contract_holds_for_the_shared_library,
    the_contract_holds_for_the_archive,
    the_contract_holds_under_valgrind,
    an_exception_passes_through_the_shared_library,
    an_exception_passes_through_the_archive,
    the_archive_lives_beside_another_rust_library,
    scan_bytes_finds_the_signature_and_nothing_else,
    mmcat_writes_the_files,
    mmcat_names_what_it_cannot_write,
    withfd_gives_commands_a_file_instead_of_a_pipe,
    withfd_fills_in_the_path_everywhere,
    withfd_exits_as_env_does,
    demo_shows_two_clients_and_equal_digests,
    demo_notices_a_difference,
    no_example_loses_memory_or_descriptors,
];

/// Programs and files of one test.
struct Workshop {
    folder: TempDir,
}

const C11: [&str; 2] = ["-std=c11", "-Wstrict-prototypes"];

impl Workshop {
    fn new() -> Workshop {
        Workshop { folder: tempfile::tempdir().expect("a folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        std::fs::write(self.path(name), content).expect("written");
        self.path(name)
    }

    /// An example, as its first comment says it is built.
    fn example(&self, name: &str) -> PathBuf {
        let mut sources = vec![repository().join(format!("c-examples/{name}.c"))];
        if name == "demo" {
            // A library must come after the source that needs it.
            sources.push("-lmagic".into());
        }
        compile("gcc", &C11, &sources, &self.path(name));
        self.path(name)
    }

    /// Like `compile`, with the archive in place of the shared library.
    fn compile_with_archive(&self, compiler: &str, arguments: &[&str], sources: &[PathBuf]) -> PathBuf {
        let mut command = Command::new(compiler);
        command.args(["-Wall", "-Wextra", "-pedantic", "-Werror"]).args(arguments).args(sources);
        run(command.args(archive_flags()).arg("-pthread").arg("-o").arg(self.path("program")));
        self.path("program")
    }

    /// Runs a program under valgrind, which must find no error, no lost memory and no descriptor that is still open.
    fn under_valgrind(&self, program: &Path, arguments: &[&str], input: &[u8]) -> Output {
        // One log for each process; a child's says nothing about the program's descriptors.
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--leak-check=full", "--errors-for-leak-kinds=definite", "--track-fds=yes"]);
        valgrind.arg("--error-exitcode=9").arg(format!("--log-file={}/log.%p", self.folder.path().display()));
        let (id, output) = fed_with_id(valgrind.arg(program).args(arguments), input);

        let log = std::fs::read_to_string(self.path(&format!("log.{id}"))).expect("valgrind's log");
        assert_ne!(output.status.code(), Some(9), "{log}\n{}", said(&output));
        assert!(!log.contains("Invalid") && !log.contains("uninitialised"), "{log}");
        assert!(!log.lines().any(|line| line.contains("definitely lost:") && !line.contains(" 0 bytes")), "{log}");
        assert_eq!(open_descriptors(&log), Vec::<&str>::new(), "{log}");
        output
    }
}

/// What `--track-fds` lists, but for what the program was given.
fn open_descriptors(log: &str) -> Vec<&str> {
    let lines: Vec<&str> = log.lines().collect();
    let opened = lines.windows(2).filter(|pair| pair[0].contains("== Open ") && !pair[1].contains("<inherited from"));
    opened.map(|pair| pair[0]).collect()
}

/// Runs a program with `input` in a pipe on its standard input.
fn fed(command: &mut Command, input: &[u8]) -> Output {
    fed_with_id(command, input).1
}

fn fed_with_id(command: &mut Command, input: &[u8]) -> (u32, Output) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error} (is its package installed?)"));
    let id = child.id();
    let mut pipe = child.stdin.take().expect("a pipe");
    let output = std::thread::scope(|scope| {
        // A program that does not read its input is no failure.
        scope.spawn(move || drop(pipe.write_all(input)));
        child.wait_with_output().expect("output")
    });
    (id, output)
}

/// Standard output of a program that must succeed.
fn answer(command: &mut Command, input: &[u8]) -> String {
    let output = fed(command, input);
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, said(&output));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn sha256sum(bytes: &[u8]) -> String {
    answer(&mut Command::new("sha256sum"), bytes)[..64].to_string()
}

fn c_tests(name: &str) -> PathBuf {
    repository().join("tests/c").join(name)
}

// The header -----------------------------------------------------------------------------------------------------------

fn the_header_compiles_alone_and_twice_in_every_language() {
    let workshop = Workshop::new();
    let languages: [(&[&str], &[&str]); 3] = [
        (&["gcc", "clang"], &["-std=c99", "-Wstrict-prototypes"]),
        (&["gcc", "clang"], &C11),
        (&["g++", "clang++"], &["-x", "c++", "-std=c++17"]),
    ];
    for (compilers, arguments) in languages {
        for compiler in compilers {
            compile_only(compiler, &[arguments, &["-pedantic"]].concat(), &c_tests("header.c"), &workshop);
        }
    }
}

fn compile_only(compiler: &str, arguments: &[&str], source: &Path, workshop: &Workshop) {
    let mut command = Command::new(compiler);
    command.args(["-Wall", "-Wextra", "-Werror", "-O1"]).args(arguments).args(pkg_config(&["--cflags"]));
    run(command.arg("-c").arg(source).arg("-o").arg(workshop.path("object")));
}

/// The `c` blocks of the header's comments.
fn blocks() -> Vec<String> {
    let header = std::fs::read_to_string(repository().join("include/bytefd.h")).expect("the header");
    let mut lines = header.lines().map(|line| line.trim_start().trim_start_matches('*'));
    let mut blocks = Vec::new();
    while lines.any(|line| line == " ```c") {
        let block = lines.by_ref().take_while(|line| *line != " ```");
        blocks.push(block.map(|line| line.strip_prefix(' ').unwrap_or(line).to_string() + "\n").collect());
    }
    blocks
}

fn every_example_in_the_header_compiles() {
    const INCLUDES: [&str; 7] = ["bytefd.h", "fcntl.h", "stdio.h", "string.h", "sys/mman.h", "sys/stat.h", "unistd.h"];
    let includes: String = INCLUDES.iter().map(|name| format!("#include <{name}>\n")).collect();
    let workshop = Workshop::new();
    let blocks = blocks();
    let functions = declared_functions();
    for block in &blocks {
        let defines_functions = block.lines().any(|line| line == "{");
        let body = if defines_functions { block.clone() } else { format!("void example(void)\n{{\n{block}}}\n") };
        let source = workshop.write("block.c", format!("#define _GNU_SOURCE\n{includes}{body}").as_bytes());
        let unused = ["-std=c11", "-Wno-unused-variable", "-Wno-unused-but-set-variable"];
        compile_only("gcc", &unused, &source, &workshop);
    }
    for function in functions {
        assert!(blocks.iter().any(|block| block.contains(&format!("{function}("))), "no example shows {function}");
    }
}

// The contract ---------------------------------------------------------------------------------------------------------

fn contract_sources() -> Vec<PathBuf> {
    let parts = std::fs::read_dir(c_tests("contract")).expect("tests/c/contract");
    let parts = parts.map(|entry| entry.expect("an entry").path());
    let sources = parts.filter(|path| path.extension().is_some_and(|extension| extension == "c"));
    sources.chain([c_tests("contract.c")]).collect()
}

/// It says nothing but its last line and what it had to leave out, and the library says nothing at all.
fn check_contract(output: &Output) {
    assert!(output.status.success() && output.stderr.is_empty(), "{}\n{}", output.status, said(output));
    let stdout = String::from_utf8_lossy(&output.stdout);
    let (skipped, rest): (Vec<_>, Vec<_>) = stdout.lines().partition(|line| line.starts_with("SKIPPED: "));
    assert!(rest.len() == 1 && rest[0].ends_with(" checks, 0 failures"), "{stdout}");
    skipped.iter().for_each(|line| println!("{line}"));
}

fn the_contract_holds_for_the_shared_library() {
    let workshop = Workshop::new();
    let program = workshop.path("contract");
    compile("gcc", &C11, &contract_sources(), &program);
    check_contract(&fed(&mut Command::new(program), b""));
}

fn the_contract_holds_for_the_archive() {
    let workshop = Workshop::new();
    let program = workshop.compile_with_archive("gcc", &C11, &contract_sources());
    check_contract(&fed(&mut Command::new(program), b""));
}

fn the_contract_holds_under_valgrind() {
    let workshop = Workshop::new();
    let program = workshop.path("contract");
    compile("gcc", &C11, &contract_sources(), &program);
    // Without the group `host`: valgrind plays the limit on descriptors itself, and not as the kernel does.
    let groups = ["layout", "wrap", "options", "scan", "pool", "map", "adopt", "process"];
    check_contract(&workshop.under_valgrind(&program, &groups, b""));
}

fn an_exception_passes_through_the_shared_library() {
    let workshop = Workshop::new();
    let program = workshop.path("exception");
    compile("g++", &["-std=c++17"], &[c_tests("exception.cpp")], &program);
    answer(&mut Command::new(&program), b"");
    workshop.under_valgrind(&program, &[], b"");
}

fn an_exception_passes_through_the_archive() {
    let workshop = Workshop::new();
    let program = workshop.compile_with_archive("g++", &["-std=c++17"], &[c_tests("exception.cpp")]);
    answer(&mut Command::new(program), b"");
}

/// Two archives as rustc makes them cannot be in one program, because both define the symbols of the standard library.
fn the_archive_lives_beside_another_rust_library() {
    let workshop = Workshop::new();
    let other = workshop.path("libother.a");
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()));
    rustc.args(["--edition", "2024", "--crate-type", "staticlib", "-O"]).arg(c_tests("coexist/other.rs"));
    run(rustc.arg("-o").arg(&other));

    let main = c_tests("coexist/main.c");
    let arguments = ["-std=c11", "-D_XOPEN_SOURCE=700"];
    // pkg-config's flags come last, so the first order is: theirs, ours. For the other, ours stands before it as well.
    let folder = pkg_config(&["--libs-only-L"]).concat();
    let ours_first = vec![main.clone(), folder.into(), "-l:libbytefd.a".into(), other.clone()];
    for sources in [vec![main, other], ours_first] {
        let program = workshop.compile_with_archive("gcc", &arguments, &sources);
        for first in ["bytefd", "other"] {
            assert_eq!(answer(Command::new(&program).arg(first), b""), "both work\n");
        }
    }
}

// The examples ---------------------------------------------------------------------------------------------------------

/// What virus scanners agreed to find, in two parts so that they do not find it here.
fn signature() -> Vec<u8> {
    [&b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-"[..], b"STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"].concat()
}

fn scan_bytes_finds_the_signature_and_nothing_else() {
    let workshop = Workshop::new();
    let program = workshop.example("scan_bytes");
    let check = |content: &[u8], code: i32, verdict: &str| {
        let name = workshop.write("input", content);
        for (arguments, input) in [(vec![], content), (vec![&name], &[][..])] {
            let output = fed(Command::new(&program).args(&arguments), input);
            assert_eq!(output.status.code(), Some(code), "{}", said(&output));
            assert!(said(&output).contains(verdict), "{}", said(&output));
        }
    };
    check(b"", 0, "clean, 0 bytes");
    check(&signature()[1..], 0, "clean, 67 bytes");
    // At the start, at the end, and across the scanner's window of 64 KiB.
    for offset in [0, 1, 65_500, 65_536, 200_000] {
        let content = [vec![b'.'; offset], signature()].concat();
        check(&content, 1, &format!("FOUND at byte {offset}"));
    }
    let missing = fed(Command::new(&program).arg(workshop.path("missing")), b"");
    assert_eq!(missing.status.code(), Some(2));
    assert!(said(&missing).contains("No such file"), "{}", said(&missing));
    assert_eq!(fed(Command::new(&program).args(["a", "b"]), b"").status.code(), Some(2));
}

fn mmcat_writes_the_files() {
    let workshop = Workshop::new();
    let program = workshop.example("mmcat");
    // More than a pipe holds, so that writes are short.
    let contents = [b"first\n".to_vec(), Vec::new(), pattern(3_000_000)];
    let names: Vec<_> =
        contents.iter().enumerate().map(|(i, content)| workshop.write(&i.to_string(), content)).collect();
    let output = fed(Command::new(&program).args(&names), b"");
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout == contents.concat(), "{} bytes", output.stdout.len());
    assert_eq!(fed(&mut Command::new(&program), b"").status.code(), Some(2));
}

fn mmcat_names_what_it_cannot_write() {
    let workshop = Workshop::new();
    let program = workshop.example("mmcat");
    let (file, missing) = (workshop.write("file", b"content"), workshop.path("missing"));
    let output = fed(Command::new(&program).arg(&missing).arg(workshop.folder.path()).arg(&file), b"");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"content");
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(complaints.contains(missing.to_str().expect("UTF-8")) && complaints.contains("directory"), "{complaints}");

    let full = std::fs::File::create("/dev/full").expect("/dev/full");
    let output = Command::new(&program).arg(&file).stdout(full).output().expect("mmcat");
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("No space left"), "{}", said(&output));
}

fn withfd_gives_commands_a_file_instead_of_a_pipe() {
    let workshop = Workshop::new();
    let program = workshop.example("withfd");
    let withfd = |arguments: &[&str], input: &[u8]| answer(Command::new(&program).args(arguments), input);

    // More than the first buffer, and than a pipe holds.
    for length in [0, 65_536, 65_537, 3_000_000] {
        let bytes = pattern(length);
        assert_eq!(withfd(&["sha256sum", "{}"], &bytes)[..64], sha256sum(&bytes));
    }
    workshop.write("in the archive", b"content");
    let archive = workshop.path("archive.zip");
    run(Command::new("zip").arg("-q").arg(&archive).arg("in the archive").current_dir(&workshop.folder));
    let archive = std::fs::read(archive).expect("an archive");
    assert!(withfd(&["unzip", "-l", "{}"], &archive).contains("in the archive"));
    assert!(withfd(&["file", "--brief", "--dereference", "{}"], &archive).starts_with("Zip archive data"));
    assert_eq!(withfd(&["sh", "{}", "an argument"], b"echo \"the script has $1\""), "the script has an argument\n");
    // Standard input itself has been read to its end.
    assert_eq!(withfd(&["cat", "{}", "-", "{}"], b"twice "), "twice twice ");
}

fn withfd_fills_in_the_path_everywhere() {
    let workshop = Workshop::new();
    let program = workshop.example("withfd");
    let echo = |arguments: &[&str]| answer(Command::new(&program).arg("echo").args(arguments), b"x");
    let path = echo(&["{}"]).trim().to_string();
    assert!(path.starts_with("/proc/self/fd/"), "{path}");
    assert_eq!(echo(&["--in={}", "{}{}", "{", "}"]), format!("--in={path} {path}{path} {{ }}\n"));
    assert_eq!(echo(&["no", "braces"]), format!("no braces {path}\n"));
    assert_eq!(echo(&[]), format!("{path}\n"));
}

fn withfd_exits_as_env_does() {
    let workshop = Workshop::new();
    let program = workshop.example("withfd");
    let cannot_run = workshop.write("not executable", b"");
    let code = |arguments: &[&str]| fed(Command::new(&program).args(arguments), b"input").status.code();
    assert_eq!(code(&[]), Some(125));
    assert_eq!(code(&[cannot_run.to_str().expect("UTF-8")]), Some(126));
    assert_eq!(code(&["/no/such/command"]), Some(127));
    assert_eq!(code(&["sh", "-c", "exit 7"]), Some(7));
}

fn demo_shows_two_clients_and_equal_digests() {
    let workshop = Workshop::new();
    let program = workshop.example("demo");
    let file = Path::new("/bin/true");
    let bytes = std::fs::read(file).expect("/bin/true");
    let shown = answer(Command::new(program).arg(file), b"");
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 4, "{shown}");
    let fstat = format!("C     fstat   regular file, {} bytes, offset 0, links 0, mode 0400, seals 0x", bytes.len());
    assert!(lines[0].starts_with(&fstat), "{shown}");
    assert!(lines[1].starts_with("      magic   ELF 64-bit LSB "), "{shown}");
    assert_eq!(lines[2], format!("      child   sha256sum says {}", sha256sum(&bytes)));
    assert_eq!(lines[3], "      result  equal to the digest of the original");
}

fn demo_notices_a_difference() {
    let workshop = Workshop::new();
    let program = workshop.example("demo");
    // Says something else about a path than about its standard input.
    let script = workshop.write("sha256sum", b"#!/bin/sh\nprintf '%064d  -\\n' $#\n");
    run(Command::new("chmod").arg("755").arg(&script));
    let output = fed(Command::new(program).arg("/bin/true").env("PATH", workshop.folder.path()), b"");
    assert_eq!(output.status.code(), Some(1));
    let result = format!("      result  DIFFERENT: the original's digest is {:064}", 0);
    assert!(said(&output).contains(&result), "{}", said(&output));
}

fn no_example_loses_memory_or_descriptors() {
    let workshop = Workshop::new();
    let file = workshop.write("file", &signature());
    let name = file.to_str().expect("UTF-8");

    let scan_bytes = workshop.example("scan_bytes");
    assert_eq!(workshop.under_valgrind(&scan_bytes, &[name], b"").status.code(), Some(1));
    assert_eq!(workshop.under_valgrind(&scan_bytes, &[], b"clean").status.code(), Some(0));
    let mmcat = workshop.example("mmcat");
    assert_eq!(workshop.under_valgrind(&mmcat, &[name, "/no/such/file", name], b"").status.code(), Some(1));
    let demo = workshop.example("demo");
    assert!(workshop.under_valgrind(&demo, &[name], b"").status.success());
    // It becomes the command: up to then there must be no error.
    let withfd = workshop.example("withfd");
    assert_eq!(workshop.under_valgrind(&withfd, &["cat"], b"input").stdout, b"input");
}
