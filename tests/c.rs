//! Tests C and C++ programs: those in tests/c, the examples in the header, and c-examples.

pub mod examples;
pub mod scand;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::faults::conditions::hide;
use crate::library::{archive_flags, declared_functions, usual_name};
use crate::support::tools::{compile, compiler, pkg_config, repository, run, said, staged};
use crate::tests;

tests![
    the_header_compiles_alone_and_twice_in_every_language,
    compilers_warn_of_dropped_results_wrong_sizes_and_null,
    no_check_of_a_program_is_optimised_away,
    every_function_is_called_with_success_and_with_an_error,
    every_call_does_what_it_should,
    no_call_touches_memory_that_is_not_its_own,
    valgrind_sees_nothing_wrong_in_any_call,
    no_call_is_a_cancellation_point,
    an_exception_passes_through_a_scan,
    a_cancel_ends_no_wait_but_a_callback,
    programs_and_libraries_may_have_functions_of_the_short_names,
    the_version_is_that_of_the_package,
    the_archive_lives_beside_another_rust_library,
    a_plugin_with_a_guard_stays_loaded;
    alone:
    // It mounts.
    every_example_in_the_header_runs,
];

/// Programs and files of one test.
pub struct Workshop {
    folder: TempDir,
}

/// The options for the sanitizers of the compiler.
const SANITIZED: [&str; 2] = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];

const C11: [&str; 2] = ["-std=c11", "-Wstrict-prototypes"];

/// The libraries that a program can be linked with.
#[derive(Clone, Copy, Debug)]
enum Linked {
    SharedLibrary,
    Archive,
}

const EACH_LIBRARY: [Linked; 2] = [Linked::SharedLibrary, Linked::Archive];

impl Workshop {
    pub fn new() -> Workshop {
        Workshop { folder: tempfile::tempdir().expect("a folder") }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        std::fs::write(self.path(name), content).expect("written");
        self.path(name)
    }

    /// Builds a program from these sources. Returns its path.
    fn program(&self, linked: Linked, arguments: &[&str], sources: &[PathBuf]) -> PathBuf {
        let program = self.path("program");
        if let Linked::SharedLibrary = linked {
            compile(arguments, sources, &program);
            return program;
        }
        let mut command = compiler(None, &sources[0]);
        command.args(arguments).args(sources).args(archive_flags());
        run(command.arg("-pthread").arg("-o").arg(&program));
        program
    }

    /// Runs a program under valgrind, which must find no error, no lost memory and no descriptor
    /// that is still open.
    pub fn under_valgrind(&self, program: &Path, arguments: &[&str], input: &[u8]) -> Output {
        // One log for each process; a child's says nothing about the program's descriptors.
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--leak-check=full", "--errors-for-leak-kinds=definite", "--track-fds=yes"]);
        valgrind
            .arg("--error-exitcode=9")
            .arg(format!("--log-file={}/log.%p", self.folder.path().display()));
        // A fault in a guarded map goes on where it was, with all registers as they were.
        valgrind.arg("--vex-iropt-register-updates=allregs-at-mem-access");
        let (id, output) = fed_with_id(valgrind.arg(program).args(arguments), input);

        let log = std::fs::read_to_string(self.path(&format!("log.{id}"))).expect("valgrind's log");
        assert_ne!(output.status.code(), Some(9), "{log}\n{}", said(&output));
        assert!(!log.contains("Invalid") && !log.contains("uninitialised"), "{log}");
        assert!(
            !log.lines()
                .any(|line| line.contains("definitely lost:") && !line.contains(" 0 bytes")),
            "{log}"
        );
        assert_eq!(open_descriptors(&log), Vec::<&str>::new(), "{log}");
        output
    }
}

/// Returns what `--track-fds` lists, without the descriptors that the program was given.
fn open_descriptors(log: &str) -> Vec<&str> {
    let lines: Vec<&str> = log.lines().collect();
    let opened = lines
        .windows(2)
        .filter(|pair| pair[0].contains("== Open ") && !pair[1].contains("<inherited from"));
    opened.map(|pair| pair[0]).collect()
}

/// Runs a program with `input` in a pipe on its standard input.
pub fn fed(command: &mut Command, input: &[u8]) -> Output {
    fed_with_id(command, input).1
}

fn fed_with_id(command: &mut Command, input: &[u8]) -> (u32, Output) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error} (is its package installed?)"));
    let id = child.id();
    let mut pipe = child.stdin.take().expect("a pipe");
    let output = std::thread::scope(|scope| {
        // A program that does not read its input is no failure.
        scope.spawn(move || drop(pipe.write_all(input)));
        child.wait_with_output().expect("output")
    });
    (id, output)
}

/// Returns the standard output of a program, which must succeed.
pub fn answer(command: &mut Command, input: &[u8]) -> String {
    let output = fed(command, input);
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, said(&output));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn c_tests(name: &str) -> PathBuf {
    repository().join("tests/c").join(name)
}

// The header
// -------------------------------------------------------------------------------------------------

fn the_header_compiles_alone_and_twice_in_every_language() {
    const C: [&str; 6] =
        ["-std=c99", "-std=c11", "-std=c17", "-std=gnu99", "-std=gnu11", "-std=gnu17"];
    const CPP: [&str; 6] =
        ["-std=c++11", "-std=c++14", "-std=c++17", "-std=c++20", "-std=gnu++11", "-std=gnu++20"];
    let workshop = Workshop::new();
    let source = std::fs::read(c_tests("header.c")).expect("the source");
    let (c, cpp) = (c_tests("header.c"), workshop.write("header.cpp", &source));
    for name in [None, Some("clang")] {
        for standard in C {
            compile_only(name, &[standard, "-Wstrict-prototypes"], &c, &workshop);
        }
        compile_only(name, &C11, &c_tests("layout.c"), &workshop);
    }
    for name in [None, Some("clang++")] {
        for standard in CPP {
            compile_only(name, &[standard], &cpp, &workshop);
        }
    }
}

fn compile_only(name: Option<&str>, arguments: &[&str], source: &Path, workshop: &Workshop) {
    let mut command = compiler(name, source);
    // Some warnings need to know where values come from.
    command.args(["-O1", "-Wconversion", "-Wsign-conversion", "-Wcast-qual"]).args(arguments);
    command.args(pkg_config(&["--cflags"])).arg("-c").arg(source);
    run(command.arg("-o").arg(workshop.path("object")));
}

fn compilers_warn_of_dropped_results_wrong_sizes_and_null() {
    let workshop = Workshop::new();
    let source = c_tests("warnings.c");
    let dropped = [
        "bytefd_wrap_buffer(\"hello\", 5, NULL, NULL)",
        "shm_wrap_buffer(\"hello\", 5, NULL, NULL)",
        "bytefd_map_protect(map, 0, 5, 0, NULL)",
    ];
    let too_long = [
        "bytefd_wrap_buffer(\"hello\", 50, NULL, NULL) < 0",
        "bytefd_path(0, (char[4]){0}, 5, NULL) < 0",
    ];
    let null = [
        "return map_file(NULL, NULL, &map, NULL)",
        "return map_file(\"file\", NULL, NULL, NULL)",
        "return scan_bytes(\"hello\", 5, NULL, NULL, NULL, NULL)",
        "return bytefd_map_check(NULL, NULL)",
        "return bytefd_path(0, NULL, 0, NULL)",
    ];
    let warns_of = |name, wrong: &str, warning: &str| {
        let mut command = compiler(Some(name), &source);
        command
            .args(C11)
            .arg("-O1")
            .arg(format!("-DWRONG={wrong}"))
            .args(pkg_config(&["--cflags"]))
            .arg("-c");
        let output = command
            .arg(&source)
            .arg("-o")
            .arg(workshop.path("object"))
            .output()
            .expect("a compiler");
        assert!(
            !output.status.success() && said(&output).contains(warning),
            "{name}: {wrong}: {}",
            said(&output)
        );
    };
    for name in ["gcc", "clang"] {
        compile_only(Some(name), &C11, &source, &workshop);
        for wrong in dropped {
            warns_of(name, wrong, "unused-result");
        }
    }
    for wrong in too_long {
        warns_of("gcc", &format!("if ({wrong}) return 1"), "stringop-over");
    }
    for wrong in null {
        warns_of("clang", wrong, "nonnull");
    }
}

fn no_check_of_a_program_is_optimised_away() {
    let workshop = Workshop::new();
    for name in ["gcc", "clang"] {
        let (source, program) = (c_tests("warnings.c"), workshop.path("program"));
        let mut command = compiler(Some(name), &source);
        command.args(C11).arg("-O2").arg(&source).args(pkg_config(&["--cflags", "--libs"]));
        command.arg(format!("-Wl,-rpath,{}", staged().join("lib").display()));
        run(command.arg("-o").arg(&program));
        run(&mut Command::new(&program));
    }
}

/// Returns the `c` blocks of the header's comments.
fn blocks() -> Vec<String> {
    let header =
        std::fs::read_to_string(repository().join("include/bytefd.h")).expect("the header");
    let mut lines = header.lines().map(|line| line.trim_start().trim_start_matches('*'));
    let mut blocks = Vec::new();
    while lines.any(|line| line == " ```c") {
        let block = lines.by_ref().take_while(|line| *line != " ```");
        blocks.push(
            block.map(|line| line.strip_prefix(' ').unwrap_or(line).to_string() + "\n").collect(),
        );
    }
    blocks
}

/// Each example is a function of one program, which runs each in a child. The program is built with
/// the sanitizers of the compiler.
fn every_example_in_the_header_runs() {
    const PROGRAM: &str = "tests/c/examples_of_header.c";
    let workshop = Workshop::new();
    let blocks = blocks();
    let mut program = std::fs::read_to_string(repository().join(PROGRAM)).expect(PROGRAM);
    for (number, block) in blocks.iter().enumerate() {
        let example = format!("int example_{number}(void)");
        let is_whole = block.lines().any(|line| line == "{");
        let named = block.replace("int example(void)", &format!("static {example}"));
        let function = match is_whole {
            true => named,
            false => format!("static {example}\n{{\n{block}return 0;\n}}\n"),
        };
        program += &format!("#line 1 \"example {number}\"\n{function}");
    }
    let runs = (0..blocks.len()).map(|n| format!("failed |= run(\"example {n}\", example_{n});\n"));
    let runs: String = runs.collect();
    program += &format!("int main(void)\n{{\nint failed = 0;\n{runs}return failed;\n}}\n");
    let source = workshop.write("examples.c", program.as_bytes());
    let unused = ["-std=c11", "-Wno-unused-variable", "-Wno-unused-but-set-variable"];
    compile(&[&unused[..], &SANITIZED].concat(), &[source], &workshop.path("examples"));

    // Names and segments that the examples leave are those of this process.
    let _hidden = hide("/dev/shm", "");
    // SAFETY: concerns this process only.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWIPC) }, 0);
    let input = std::fs::File::open("/bin/ls").expect("/bin/ls");
    let output = Command::new(workshop.path("examples"))
        .current_dir(workshop.folder())
        .env("ASAN_OPTIONS", "detect_leaks=0")
        .stdin(input)
        .output()
        .expect("the program");
    assert!(output.status.success(), "{}\n{}", output.status, said(&output));
    for function in declared_functions() {
        let called = format!("{}(", usual_name(&function));
        assert!(blocks.iter().any(|block| block.contains(&called)), "no example shows {function}");
    }
}

// The calls
// -------------------------------------------------------------------------------------------------

/// Asserts that the calls print nothing, except what this host cannot answer.
pub fn check_calls(output: &Output) {
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}\n{}",
        output.status,
        said(output)
    );
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.lines().all(|line| line.starts_with("SKIPPED: ")), "{stdout}");
    print!("{stdout}");
}

fn every_function_is_called_with_success_and_with_an_error() {
    let source = std::fs::read_to_string(c_tests("calls.c")).expect("the source");
    for function in declared_functions() {
        let name = usual_name(&function);
        let called = |check: &str| source.contains(&format!("{check}{name}("));
        let fails = match function.as_str() {
            // Without /proc only, and where there is no such driver.
            "bytefd_sweep" => true,
            "bytefd_version" => true,
            "bytefd_export_dmabuf" => called("FAILS("),
            _ => called("FAILS(") || source.contains(&format!("{function}(NULL)")),
        };
        assert!(called("") && fails, "{function}");
        // If no cancellation can take effect, the test would notice none.
        for (at, _) in source.match_indices(&format!("{name}(")) {
            let before = &source[..at];
            let is_its_end = before.ends_with(|c: char| c == '_' || c.is_alphanumeric());
            let cancellable =
                ["CALL(", "WORKS(", "FAILS("].iter().any(|outer| before.ends_with(outer));
            assert!(is_its_end || cancellable, "line {}", before.lines().count());
        }
    }
}

fn calls(workshop: &Workshop, linked: Linked, more: &[&str]) -> PathBuf {
    workshop.program(linked, &[&C11, more].concat(), &[c_tests("calls.c"), c_tests("layout.c")])
}

fn every_call_does_what_it_should() {
    let workshop = Workshop::new();
    for linked in EACH_LIBRARY {
        check_calls(&fed(&mut Command::new(calls(&workshop, linked, &[])), b""));
    }
}

/// Checks the caller's structs and what the library allocates, which must also be freed.
fn no_call_touches_memory_that_is_not_its_own() {
    let workshop = Workshop::new();
    for linked in EACH_LIBRARY {
        check_calls(&fed(&mut Command::new(calls(&workshop, linked, &SANITIZED)), b""));
    }
}

fn valgrind_sees_nothing_wrong_in_any_call() {
    let workshop = Workshop::new();
    for linked in EACH_LIBRARY {
        let program = calls(&workshop, linked, &[]);
        check_calls(&workshop.under_valgrind(&program, &[], b""));
    }
}

fn no_call_is_a_cancellation_point() {
    let workshop = Workshop::new();
    for linked in EACH_LIBRARY {
        check_calls(&fed(Command::new(calls(&workshop, linked, &[])).arg("cancelled"), b""));
    }
}

fn an_exception_passes_through_a_scan() {
    let workshop = Workshop::new();
    for linked in EACH_LIBRARY {
        let program = workshop.program(linked, &["-std=c++17"], &[c_tests("exception.cpp")]);
        answer(&mut Command::new(&program), b"");
        workshop.under_valgrind(&program, &[], b"");
    }
}

fn a_cancel_ends_no_wait_but_a_callback() {
    let workshop = Workshop::new();
    for linked in EACH_LIBRARY {
        let program = workshop.program(linked, &C11, &[c_tests("cancel.c")]);
        answer(&mut Command::new(&program), b"");
    }
}

fn programs_and_libraries_may_have_functions_of_the_short_names() {
    let workshop = Workshop::new();
    let object = |source: &str, name: &str, more: &[&str]| {
        let source = c_tests("names").join(source);
        let object = workshop.path(name);
        run(compiler(None, &source)
            .args(C11)
            .args(more)
            .arg("-c")
            .arg(&source)
            .arg("-o")
            .arg(&object));
        object
    };
    let own = object("own.c", "own.o", &[]);
    let user = object("user.c", "user.o", &["-DUSE=use_own"]);
    let third = workshop.path("libthird.so");
    let of_third = object("user.c", "third.o", &["-DUSE=use_third"]);
    run(compiler(None, &own).arg("-shared").args([&own, &of_third]).arg("-o").arg(&third));
    for linked in EACH_LIBRARY {
        let sources = [c_tests("names/main.c"), own.clone(), user.clone(), third.clone()];
        let folder = workshop.folder.path().display().to_string();
        let program =
            workshop.program(linked, &["-std=c11", &format!("-Wl,-rpath,{folder}")], &sources);
        assert_eq!(answer(&mut Command::new(&program), b""), "all three\n", "{linked:?}");
    }
}

fn the_version_is_that_of_the_package() {
    let header =
        std::fs::read_to_string(repository().join("include/bytefd.h")).expect("the header");
    let macro_of = |name: &str| {
        let line = header.lines().find_map(|line| line.strip_prefix(&format!("#define {name} ")));
        line.unwrap_or_else(|| panic!("no {name}")).trim_matches('"').to_string()
    };
    let parts = ["MAJOR", "MINOR", "PATCH"].map(|part| macro_of(&format!("BYTEFD_VERSION_{part}")));
    assert_eq!(parts.join("."), env!("CARGO_PKG_VERSION"));
    assert_eq!(macro_of("BYTEFD_VERSION"), env!("CARGO_PKG_VERSION"));
}

/// Two archives as rustc makes them cannot be in one program, because both define the symbols of
/// the standard library.
fn the_archive_lives_beside_another_rust_library() {
    let workshop = Workshop::new();
    let other = workshop.path("libother.a");
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()));
    rustc
        .args(["--edition", "2024", "--crate-type", "staticlib", "-O"])
        .arg(c_tests("coexist/other.rs"));
    run(rustc.arg("-o").arg(&other));

    let main = c_tests("coexist/main.c");
    let arguments = ["-std=c11", "-D_XOPEN_SOURCE=700"];
    // pkg-config's flags come last, so the first order is: theirs, ours. For the other, ours stands
    // before it as well.
    let folder = pkg_config(&["--libs-only-L"]).concat();
    let ours_first = vec![main.clone(), folder.into(), "-l:libbytefd.a".into(), other.clone()];
    for sources in [vec![main, other], ours_first] {
        let program = workshop.program(Linked::Archive, &arguments, &sources);
        for first in ["bytefd", "other"] {
            assert_eq!(answer(Command::new(&program).arg(first), b""), "both work\n");
        }
    }
}

/// The handler is in the plugin, and a fault comes after the plugin was closed.
fn a_plugin_with_a_guard_stays_loaded() {
    let workshop = Workshop::new();
    let arguments = ["-std=c11", "-D_GNU_SOURCE"];
    let (source, main) = (c_tests("plugin/plugin.c"), c_tests("plugin/main.c"));
    let plugins = ["one.so", "other.so"].map(|name| {
        let mut command = compiler(None, &source);
        command.args(arguments).args(["-shared", "-fPIC"]).arg(&source).args(archive_flags());
        run(command.arg("-o").arg(workshop.path(name)));
        workshop.path(name)
    });
    let [program, refuses] = ["program", "refuses"].map(|name| {
        let mut command = compiler(None, &main);
        // A function pointer comes from dlsym(3) so.
        command.args(arguments).arg("-Wno-strict-aliasing");
        if name == "refuses" {
            command.args(["-DREFUSES", "-rdynamic", "-Wno-missing-prototypes"]);
        }
        run(command.arg(&main).arg("-ldl").arg("-o").arg(workshop.path(name)));
        workshop.path(name)
    });
    let [one, other] = &plugins;
    for plugins in [vec![], vec![one], vec![one, other], vec![one, other, one, other]] {
        assert_eq!(answer(Command::new(&program).args(&plugins), b""), "handled\n", "{plugins:?}");
        // By a name that means something else elsewhere.
        let names =
            plugins.iter().map(|path| format!("./{}", path.file_name().expect("a name").display()));
        let output = Command::new(&program)
            .args(names)
            .current_dir(workshop.folder.path())
            .output()
            .expect("run");
        assert_eq!(said(&output), "handled\n");
    }
    let output = Command::new(&refuses).arg(one).output().expect("run");
    let expected = format!("-{} guard: ", libc::ELIBACC);
    assert!(!output.status.success() && said(&output).starts_with(&expected), "{}", said(&output));
}
