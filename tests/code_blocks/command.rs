//! Runs the commands in blocks and between backticks.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::program::done;
use crate::support::needs;
use crate::support::tools::{repository, said, staged};

/// Commands that are run, and where: in the repository, or in a folder that has a program `prog.c`.
pub const CHEAP: &[(&str, &str)] = &[
    ("cc prog.c $(pkg-config --cflags --libs bytefd)", "folder"),
    (
        "cc prog.c $(pkg-config --cflags --libs --static bytefd \
         | sed 's/-lbytefd/-l:libbytefd.a/')",
        "folder",
    ),
    ("man withfd", "folder"),
    ("man bytefd-doctor", "folder"),
    ("make install PREFIX=$HOME/.local", "repository"),
    ("git diff", "repository"),
];

/// Commands that are not run, and the reasons. Only the names in them are checked.
pub const NOT_RUN: &[(&str, &str)] = &[
    ("make lib", "every test of the staged library has run it"),
    ("make demo", "compiles three programs; c_examples and go tests run them"),
    ("make demo FILE=path", "as make demo"),
    ("make check", "is the loop that runs tests"),
    ("make test", "is the loop that runs this test"),
    ("make test-kernels", "minutes, in virtual machines"),
    ("make test-msrv", "compiles with another compiler"),
    ("make test-arm64", "an hour, in virtual machines"),
    ("make test-musl", "the group musl is what it runs"),
    ("make test-targets", "the group targets is what it runs"),
    ("make inject", "minutes"),
    ("make inject-kernels", "an hour"),
    ("make soak", "hours"),
    ("make soak ROUNDS=20", "hours"),
    ("make fuzz", "minutes; the group fuzz tries fewer inputs"),
    ("make fuzz ROUNDS=20", "minutes; the group fuzz tries fewer inputs"),
    ("make sanitize", "minutes, with another compiler"),
    ("make miri", "needs a compiler with Miri"),
    ("make mutants", "hours"),
    ("make bench", "ten minutes"),
    ("make header", "writes the header of the repository; the group header compares it"),
    ("make abi", "writes the interface of the repository; the group abi compares it"),
    ("make install", "writes below /usr/local; the group install runs it elsewhere"),
    ("make uninstall", "removes below /usr/local; the group install runs it elsewhere"),
    ("make go-module", "the group go_module is what runs it"),
    ("make go-module && PROXY=file://$PWD/build/go-proxy", "the group go_module is what runs it"),
    (
        "GOPROXY=$PROXY,$(go env GOPROXY) GONOSUMDB=github.com/bytefd \
         go get github.com/bytefd/bytefd/go",
        "the group go_module does this as a stranger",
    ),
    (
        "go mod edit -replace github.com/bytefd/bytefd/go=/path/to/the/clone/go",
        "a path of the reader's; go_module replaces the proxy instead",
    ),
    ("go mod edit -require github.com/bytefd/bytefd/go@v0.1.0", "as before"),
    ("go mod tidy", "as before"),
    ("go mod init", "as before"),
    ("go doc", "is for the reader of the page"),
    ("cargo doc", "make test does"),
    ("go get", "needs a release"),
    ("go get github.com/bytefd/bytefd/go", "needs a release; go_module does it without one"),
    ("cargo fmt", "changes the sources; make check looks whether it would"),
    ("cargo test --test suite wrap::", "the suite runs this group"),
    ("BYTEFD_TEST_GROUPS=wrap,scan cargo test --test suite", "the suite runs these groups"),
    ("BYTEFD_TEST_HOST=no-memfd cargo test --test suite wrap::", "the group hosts does"),
    (
        "make lib && BYTEFD_TEST_LIBRARY=dist/lib/libbytefd.so cargo test --test suite wrap::",
        "make test does",
    ),
    (
        "cargo test --manifest-path tests/outside/Cargo.toml --target-dir target/outside",
        "make test does",
    ),
    ("make lib && go test -timeout 0 ./go/...", "make test does"),
    ("make lib && go run ./benches/go", "measures"),
    ("cargo bench --bench sizes", "measures"),
    ("cargo bench --bench service", "measures"),
    ("cargo bench --bench maps", "measures"),
    ("cargo bench --bench streams", "measures"),
    ("cargo bench --bench share", "measures"),
    ("scripts/build TARGET", "compiles for another target"),
    ("scripts/target TARGET COMMAND", "compiles for another target"),
    ("curl … | withfd unzip -l {}", "the dots stand for an address; the group withfd runs it"),
    ("git switch --detach", "is for a release"),
    ("cp -r build/go-module/. go/ && git add --force go", "is for a release"),
    (
        "git commit -m \"Go module vX.Y.Z, with its archives\" && git tag go/vX.Y.Z",
        "is for a release",
    ),
    ("git push origin go/vX.Y.Z", "is for a release"),
    ("git switch main && make lib", "is for a release"),
];

/// A shell whose user has a home directory of their own, and where the staged library is installed.
pub struct Shell {
    folder: TempDir,
}

impl Shell {
    pub fn new() -> Shell {
        let folder = tempfile::tempdir().expect("a folder");
        let example = repository().join("tests/package/program.c");
        std::fs::copy(example, folder.path().join("prog.c")).expect("copied");
        let examples = folder.path().join("c-examples");
        std::os::unix::fs::symlink(repository().join("c-examples"), examples).expect("a link");
        Shell { folder }
    }

    /// Returns the output of a command, which must succeed.
    pub fn run(&self, command: &str) -> Result<String, String> {
        let dist = staged();
        let in_repository = CHEAP.iter().any(|(c, place)| *c == command && *place == "repository");
        // Every part of a pipe must succeed, which only bash can say.
        let mut shell = Command::new("bash");
        shell.args(["-o", "pipefail", "-c", &format!("exec 2>&1\n{command}")]);
        shell.current_dir(if in_repository { repository() } else { self.folder.path() });
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::split_paths(&path).chain([dist.join("bin")]);
        shell.env("PATH", std::env::join_paths(path).expect("a path"));
        shell.env("HOME", self.folder.path());
        shell.env("PKG_CONFIG_PATH", dist.join("lib/pkgconfig"));
        shell.env("LD_LIBRARY_PATH", dist.join("lib"));
        shell.env("MANPATH", dist.join("share/man"));
        let output = done(shell.stdin(Stdio::null())).map_err(|e| format!("{command}: {e}"))?;
        Ok(said(&output))
    }
}

/// Returns the name in a command that does not exist, if there is one.
pub fn names_nothing(command: &str) -> Option<String> {
    command.split("&&").flat_map(|part| part.split(" | ")).find_map(|part| {
        let is_variable = |word: &&str| word.starts_with(|c: char| c.is_ascii_uppercase());
        let words: Vec<&str> = part.split_whitespace().collect();
        let rest = words.iter().copied().skip_while(|word| is_variable(word) && word.contains('='));
        let variables = words.iter().copied().take_while(|word| word.contains('='));
        let unknown = variables.filter(|word| word.starts_with("BYTEFD_")).find(|word| {
            let name = word.split('=').next().expect("a name");
            !text_of("tests/main.rs").contains(&format!("`{name}="))
        });
        let words: Vec<&str> = rest.collect();
        let missing = unknown.map(String::from).or_else(|| missing_of(&words));
        missing.map(|missing| format!("{command}: there is no {missing}"))
    })
}

fn text_of(file: &str) -> String {
    std::fs::read_to_string(repository().join(file)).expect(file)
}

/// Returns the first word that should name something of this repository or host, and does not.
fn missing_of(words: &[&str]) -> Option<String> {
    let missing = |word: &str, is_there: bool| (!is_there).then(|| word.to_string());
    let after = |option: &str| {
        let at = words.iter().position(|word| *word == option)?;
        words.get(at + 1).copied()
    };
    let target = |kind: &str, name: &str| {
        text_of("Cargo.toml").contains(&format!("[[{kind}]]\nname = \"{name}\"\n"))
    };
    match *words {
        [] => None,
        ["make", ref goals @ ..] => goals.iter().find_map(|goal| match goal.split_once('=') {
            Some((variable, _)) => missing(goal, has_variable(variable)),
            None => missing(goal, is_goal(goal)),
        }),
        ["cargo", "bench", ..] => after("--bench").and_then(|n| missing(n, target("bench", n))),
        ["cargo", ..] => {
            let group = words.last()?.strip_suffix("::");
            let groups = |name: &str| crate::GROUPS.iter().any(|(group, _)| *group == name);
            let of_group = group.and_then(|name| missing(name, groups(name)));
            let of_test = after("--test").and_then(|n| missing(n, target("test", n)));
            let manifest = after("--manifest-path");
            let of_manifest = manifest.and_then(|n| missing(n, repository().join(n).exists()));
            of_group.or(of_test).or(of_manifest)
        }
        ["go", ..] => words.iter().filter(|word| word.starts_with("./")).find_map(|word| {
            missing(word, repository().join(word.trim_end_matches("...")).is_dir())
        }),
        [program, ..] if program.starts_with("scripts/") => {
            missing(program, repository().join(program).is_file())
        }
        [program, ..] => {
            let staged: PathBuf = staged().join("bin").join(program);
            missing(program, staged.is_file() || needs::is_here(program))
        }
    }
}

fn is_goal(goal: &str) -> bool {
    let makefile = text_of("Makefile");
    let mut phony = makefile.lines().filter_map(|line| line.strip_prefix(".PHONY: "));
    phony.any(|goals| goals.split(' ').any(|known| known == goal))
}

fn has_variable(name: &str) -> bool {
    let makefile = text_of("Makefile");
    makefile.lines().any(|line| {
        let rest = line.strip_prefix(name).unwrap_or_default().trim_start();
        rest.starts_with("?=") || rest.starts_with('=')
    })
}
