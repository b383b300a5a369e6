//! Checks that the manual pages are complete, have no mistake, and match the header.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{PROGRAMS, program};
use crate::c::{Workshop, answer, fed};
use crate::header;
use crate::library::declared_functions;
use crate::support::tools::{compile, repository, run, said, staged};
use crate::tests;

tests![
    everything_in_the_header_has_a_page,
    a_page_of_another_name_leads_to_one_that_shows_the_name,
    mandoc_finds_no_mistake,
    man_finds_no_mistake,
    the_pages_have_every_sentence_of_the_header,
    a_function_without_a_group_fails,
    the_date_is_that_of_the_release,
    the_options_are_those_that_the_programs_show,
    the_examples_of_the_overview_run,
    the_examples_of_the_programs_run,
    references_lead_to_pages_that_are_there,
];

fn folder() -> PathBuf {
    staged().join("share/man")
}

/// Returns the pages of a section, by name.
fn pages(section: &str) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(folder().join(format!("man{section}"))).expect("the pages");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut pages: Vec<_> = paths
        .map(|path| (path.file_stem().expect("a name").to_str().expect("UTF-8").into(), path))
        .collect();
    pages.sort();
    pages
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a page")
}

/// Returns the page that another page stands for.
fn target(path: &Path) -> Option<PathBuf> {
    Some(folder().join(read(path).strip_prefix(".so ")?.trim_end()))
}

/// Returns all pages that stand for themselves.
fn whole_pages() -> Vec<PathBuf> {
    let all = ["1", "3", "7"].into_iter().flat_map(pages).map(|(_, path)| path);
    let whole: Vec<_> = all.filter(|path| target(path).is_none()).collect();
    assert!(whole.len() > 10, "{whole:?}");
    whole
}

fn everything_in_the_header_has_a_page() {
    let there: BTreeSet<String> = pages("3").into_iter().map(|(name, _)| name).collect();
    let wanted: BTreeSet<String> =
        declared_functions().into_iter().chain(header::types()).collect();
    assert!(wanted.len() > 70, "{wanted:?}");
    let missing: Vec<_> = wanted.difference(&there).collect();
    assert!(missing.is_empty(), "no page of {missing:?}");
    let groups: BTreeSet<String> = pages("3")
        .into_iter()
        .filter(|(_, path)| target(path).is_none())
        .map(|(name, _)| name)
        .collect();
    let others: Vec<_> =
        there.iter().filter(|name| !wanted.contains(*name) && !groups.contains(*name)).collect();
    assert!(others.is_empty(), "pages of nothing: {others:?}");
    let programs: Vec<_> = pages("1").into_iter().map(|(name, _)| name).collect();
    assert_eq!(programs, ["bytefd-doctor", "withfd"]);
}

fn a_page_of_another_name_leads_to_one_that_shows_the_name() {
    for (name, path) in pages("3") {
        let page = target(&path).unwrap_or(path);
        let shown = shown(&page);
        let list =
            shown.split("NAME").nth(1).and_then(|rest| rest.split("LIBRARY").next()).expect("NAME");
        let is_function = declared_functions().contains(&name);
        // A group has a page whose name is no function's.
        let is_group = page.file_stem().is_some_and(|stem| stem == &*name);
        let is_shown = if is_function { list.contains(&name) } else { shown.contains(&name) };
        assert!(is_shown || is_group, "{name} in {}", page.display());
    }
}

fn mandoc_finds_no_mistake() {
    for section in ["1", "3", "7"] {
        for (name, path) in pages(section) {
            let output = fed(
                Command::new("mandoc").args(["-T", "lint"]).arg(&path).current_dir(folder()),
                b"",
            );
            let complaints = said(&output);
            // It would have links of the file system, which archives and compressors lose.
            let mistakes: Vec<_> =
                complaints.lines().filter(|line| !line.contains(".so is fragile")).collect();
            assert!(mistakes.is_empty(), "{name}: {mistakes:#?}");
        }
    }
}

fn man_finds_no_mistake() {
    for path in whole_pages() {
        for width in ["80", "60", "120"] {
            let mut man = Command::new("man");
            man.args(["--warnings=w", "-E", "UTF-8", "-l", "-Tutf8", "-Z"]).arg(&path);
            let output = fed(man.env("LC_ALL", "C.UTF-8").env("MANWIDTH", width), b"");
            let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
            // A name in a column that is too narrow for it is no mistake.
            let is_mistake = |line: &&str| width == "80" || !line.contains("cannot adjust line");
            let mistakes: Vec<_> = complaints.lines().filter(is_mistake).collect();
            assert!(
                output.status.success() && mistakes.is_empty(),
                "{}: {mistakes:?}",
                path.display()
            );
        }
    }
}

/// Returns a page as plain text.
fn shown(page: &Path) -> String {
    let output = run(Command::new("mandoc")
        .args(["-T", "utf8", "-O", "width=200"])
        .arg(page)
        .current_dir(folder()));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    // Bold and underlined letters are printed over each other.
    let mut plain = String::new();
    for letter in text.chars() {
        if letter == '\u{8}' {
            plain.pop();
        } else {
            plain.push(letter);
        }
    }
    plain
}

/// Returns the words alone: without punctuation, marks of code and sections of the manual.
fn words(text: &str) -> String {
    let text = text.replace("(3)", " ").replace("(7)", " ");
    let letters: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { ' ' }).collect();
    letters.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns the paragraphs, items of lists and lines of code of all comments in the header.
fn sentences() -> Vec<String> {
    let mut sentences: Vec<String> = Vec::new();
    for block in header::blocks() {
        if block.is_code {
            sentences.extend(block.text.lines().map(String::from));
        } else {
            sentences.push(block.text);
        }
    }
    // The title has the name of the platform, and the end that of the include guard.
    sentences[0] = sentences[0].replace(". Linux.", "");
    let is_said = |text: &String| {
        !words(text).is_empty() && !text.contains("Generated from the Rust") && *text != "BYTEFD_H"
    };
    sentences.retain(is_said);
    sentences
}

fn the_pages_have_every_sentence_of_the_header() {
    let all: String =
        whole_pages().iter().map(|page| format!(" {} ", words(&shown(page)))).collect();
    let sentences = sentences();
    assert!(sentences.len() > 600, "{}", sentences.len());
    let missing: Vec<_> =
        sentences.iter().filter(|text| !all.contains(&format!(" {} ", words(text)))).collect();
    assert!(
        missing.is_empty(),
        "{} of {} are missing: {missing:#?}",
        missing.len(),
        sentences.len()
    );
}

fn a_function_without_a_group_fails() {
    let workshop = Workshop::new();
    let mut copy = Command::new("cp");
    copy.arg("-r")
        .args(["manual", "scripts", "include", "Cargo.toml", "CHANGELOG.md"])
        .arg(workshop.folder());
    run(copy.current_dir(repository()));
    let manual =
        || fed(Command::new(workshop.path("scripts/manual")).arg(workshop.path("pages")), b"");
    assert!(manual().status.success());
    let header = workshop.path("include/bytefd.h");
    let text = std::fs::read_to_string(&header).expect("the header");
    let added = "\n/** Does something new. */\nint bytefd_brand_new(int fd);\n";
    std::fs::write(
        &header,
        text.replacen("\n#ifdef __cplusplus\n}", &format!("{added}\n#ifdef __cplusplus\n}}"), 1),
    )
    .expect("written");
    let output = manual();
    assert!(!output.status.success());
    assert!(
        said(&output).contains("bytefd_brand_new has no page in manual/groups"),
        "{}",
        said(&output)
    );
}

fn the_date_is_that_of_the_release() {
    let changelog =
        std::fs::read_to_string(repository().join("CHANGELOG.md")).expect("the changelog");
    let heading = changelog.lines().find(|line| line.starts_with("## ")).expect("a release");
    assert!(heading.contains(env!("CARGO_PKG_VERSION")), "{heading}");
    for page in whole_pages() {
        let text = read(&page);
        let title = text.lines().next().expect("a title");
        let words: Vec<_> = title.split(' ').collect();
        assert!(
            words[0] == ".TH" && heading.contains(words[3]) && words[3].len() == 10,
            "{title}: {heading}"
        );
        assert!(title.contains(&format!("\"bytefd {}\"", env!("CARGO_PKG_VERSION"))), "{title}");
    }
}

/// Returns the words that are options, such as "-f" and "--file".
fn options(text: &str) -> BTreeSet<String> {
    let lines = text.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let names = lines.flat_map(|line| line.split("  ").next().expect("a part").split(", "));
    names.map(|name| name.split('=').next().expect("a name").to_string()).collect()
}

fn the_options_are_those_that_the_programs_show() {
    for name in PROGRAMS {
        let help = options(&answer(Command::new(program(name)).arg("--help"), b""));
        let page = shown(&folder().join(format!("man1/{name}.1")));
        let section = page
            .split("\nOPTIONS\n")
            .nth(1)
            .expect("OPTIONS")
            .split("\nEXIT STATUS\n")
            .next()
            .expect("a part");
        let tags: String = section
            .lines()
            .filter(|line| line.trim_start().starts_with('-'))
            .map(|line| format!("{line}\n"))
            .collect();
        assert!(help.len() >= 8, "{help:?}");
        assert_eq!(
            options(&tags)
                .difference(&BTreeSet::from(["-".into()]))
                .cloned()
                .collect::<BTreeSet<_>>(),
            help,
            "{name}"
        );
    }
}

fn the_examples_of_the_overview_run() {
    let page = read(&folder().join("man7/bytefd.7"));
    let examples: Vec<_> = page.split(".EX\n").skip(1).collect();
    assert_eq!(examples.len(), 2);
    for example in examples {
        let code = example.split(".EE").next().expect("an end");
        let workshop = Workshop::new();
        let source = workshop.write("example.c", code.replace("\\e", "\\").as_bytes());
        compile(&["-std=c11"], &[source], &workshop.path("example"));
        assert_eq!(answer(&mut Command::new(workshop.path("example")), b""), "hello\n");
    }
}

/// Runs each example and compares its output, or a part of it. Stand-ins replace a network, a
/// secret, a container and the reader's own commands.
fn the_examples_of_the_programs_run() {
    const STAND_INS: [(&str, &str); 6] = [
        ("curl", "cat archive.zip"),
        ("gpg", "cat key"),
        ("docker", "shift 3; exec \"${1%%:*}\""),
        ("first", "echo equal"),
        ("second", "echo equal"),
        ("producer", "printf 'b\\na\\n'"),
    ];
    const EXAMPLES: [(&str, &str); 6] = [
        ("curl", "hello.txt"),
        ("withfd -f", ""),
        ("gpg", "ssh-ed25519 "),
        ("producer", "4 /proc/self/fd/3\na\nb\n"),
        ("docker", "memfd"),
        ("bytefd-doctor", ""),
    ];
    let workshop = Workshop::new();
    for (name, body) in STAND_INS {
        let program = workshop.write(name, format!("#!/bin/sh\n{body}\n").as_bytes());
        std::fs::set_permissions(program, PermissionsExt::from_mode(0o755)).expect("executable");
    }
    let archive = "import zipfile; zipfile.ZipFile('archive.zip', 'w').writestr('hello.txt', '')";
    let in_folder = |program: &str| {
        let mut command = Command::new(program);
        command.current_dir(workshop.folder());
        command
    };
    run(in_folder("python3").args(["-c", archive]));
    run(in_folder("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", "key"]));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = [workshop.folder().to_path_buf(), staged().join("bin")];
    let path = std::env::join_paths(folders.into_iter().chain(std::env::split_paths(&path)));
    let path = path.expect("a path");

    let mut count = 0;
    for name in PROGRAMS {
        let page = read(&folder().join(format!("man1/{name}.1")));
        for example in page.split(".EX\n").skip(1) {
            let command = example.split(".EE").next().expect("an end").trim().replace("\\-", "-");
            let expected = EXAMPLES.iter().find(|(start, _)| command.starts_with(start));
            let (_, expected) = expected.unwrap_or_else(|| panic!("{name}: {command}"));
            let output = run(in_folder("bash")
                .args(["-o", "pipefail", "-c", &command])
                .env("PATH", &path)
                .stdin(Stdio::null()));
            let printed = String::from_utf8_lossy(&output.stdout);
            let is_right =
                if expected.is_empty() { printed.is_empty() } else { printed.contains(expected) };
            assert!(is_right, "{command}: {printed}");
            count += 1;
        }
    }
    assert_eq!(count, EXAMPLES.len());
}

/// Checks references such as "bytefd_map(3)" to pages of this project.
fn references_lead_to_pages_that_are_there() {
    let there: BTreeSet<String> = ["1", "3", "7"]
        .iter()
        .flat_map(|section| {
            pages(section).into_iter().map(move |(name, _)| format!("{name}({section})"))
        })
        .collect();
    let mut seen = 0;
    for page in whole_pages() {
        let text = shown(&page);
        for section in ["(1)", "(3)", "(7)"] {
            for (at, _) in text.match_indices(section) {
                let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
                let name = &text[text[..at].rfind(|c| !is_part(c)).map_or(0, |end| end + 1)..at];
                let is_ours = ["bytefd", "withfd", "shm_wrap", "scan_bytes", "map_file"]
                    .iter()
                    .any(|start| name.starts_with(start));
                if is_ours {
                    seen += 1;
                    assert!(
                        there.contains(&format!("{name}{section}")),
                        "{name}{section} in {}",
                        page.display()
                    );
                }
            }
        }
    }
    assert!(seen > 200, "{seen}");
}
