//! Checks what the documents show. Each program in a block is compiled and run, and must print what
//! the block below it says. Each command is run, or must name only what exists.
//!
//! - `c`, `go`, `rust`: a whole program, or statements, which are put into a fixture that declares
//!   the usual variables.
//! - `text` right after a whole program: its output. Any other `text` is a picture, see
//!   [`PICTURES`].
//! - `console`: commands after `$ `, each with its output below it.
//! - `diff`: a change that the page describes. The lines around it are lines of the sources.
//! - `sh`: commands. A text between backticks that begins with a name in [`PROGRAMS`] is a command
//!   too.

mod command;
mod program;

use std::process::Command;

use command::{CHEAP, NOT_RUN};
use program::{INPUT, Language};

use crate::support::map::page_size;
use crate::support::tools::{repository, run};
use crate::tests;

tests![
    every_block_has_a_language_and_every_text_is_an_output_or_a_picture,
    programs_in_c_print_what_the_pages_say,
    programs_in_go_print_what_the_pages_say,
    programs_in_rust_print_what_the_pages_say,
    sessions_print_what_the_pages_say,
    changes_fit_the_sources,
    commands_are_run_or_name_what_there_is,
    no_exception_is_left_that_no_page_needs,
    what_is_broken_is_noticed_in_every_language,
];

/// `text` blocks that are not an output: the page, and the test that compares it with something.
const PICTURES: [(&str, &str); 1] =
    [("ARCHITECTURE.md", "documents::rooms_import_only_what_lies_below_them")];

/// A name that begins a command between backticks.
const PROGRAMS: [&str; 11] = [
    "bytefd-doctor",
    "cargo",
    "cc",
    "cmake",
    "curl",
    "git",
    "go",
    "make",
    "man",
    "meson",
    "withfd",
];

/// A document as `git ls-files` names it, and its text.
struct Page {
    name: String,
    text: String,
}

/// A fenced block of a page.
struct Block {
    /// "README.md:19"
    place: String,
    language: String,
    text: String,
}

fn pages() -> Vec<Page> {
    let pages = tracked(&["*.md"]);
    assert!(pages.len() >= 9, "{} pages", pages.len());
    pages
}

/// Returns the files that git tracks, or will track because they are new.
fn tracked(patterns: &[&str]) -> Vec<Page> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard"]).args(patterns);
    let output = run(git.current_dir(repository()));
    let names = String::from_utf8(output.stdout).expect("UTF-8");
    let names = names.lines().filter(|name| repository().join(name).exists());
    let read = |name: &str| std::fs::read_to_string(repository().join(name)).expect(name);
    names.map(|name| Page { name: name.to_string(), text: read(name) }).collect()
}

impl Page {
    /// Returns the fenced blocks, and the text without them.
    fn split(&self) -> (Vec<Block>, String) {
        let is_fence = |line: &str| ["```", "~~~"].iter().any(|f| line.trim_start().starts_with(f));
        let (mut blocks, mut prose) = (Vec::new(), String::new());
        let mut lines = self.text.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            if !is_fence(line) {
                prose += &format!("{line}\n");
                continue;
            }
            let place = format!("{}:{}", self.name, number + 1);
            let language = line.trim().trim_start_matches('`').to_string();
            // In a list the whole block is indented.
            let indent = line.len() - line.trim_start().len();
            let mut text = String::new();
            loop {
                let (_, line) = lines.next().unwrap_or_else(|| panic!("{place}: no end"));
                if is_fence(line) {
                    break;
                }
                text += &format!("{}\n", line.get(indent..).unwrap_or_default());
            }
            blocks.push(Block { place, language, text });
        }
        (blocks, prose)
    }

    /// Returns the commands between backticks outside blocks, as a user writes them in a shell.
    fn commands_in_prose(&self) -> Vec<String> {
        let (_, prose) = self.split();
        let spans = prose.split('`').skip(1).step_by(2);
        let words = |span: &str| span.split_whitespace().collect::<Vec<_>>().join(" ");
        // A table cell must not have a bare bar. A line of a paragraph can end within a command.
        let commands = spans.map(|span| words(span).replace("\\|", "|"));
        commands.filter(|command| is_command(command)).collect()
    }
}

/// Returns whether the text is a program of [`PROGRAMS`] or a script, with arguments, after
/// variables.
fn is_command(span: &str) -> bool {
    let is_variable = |word: &&str| word.split_once('=').is_some_and(|(name, _)| is_name(name));
    let mut words = span.split_whitespace().skip_while(is_variable);
    let first = words.next().unwrap_or_default();
    let is_program = PROGRAMS.contains(&first) || first.starts_with("scripts/");
    is_program && words.next().is_some()
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_uppercase() || c == '_')
}

fn blocks() -> Vec<Block> {
    pages().iter().flat_map(|page| page.split().0).collect()
}

/// Returns the expected output of a whole program: the `text` block that comes next on its page.
fn output_below(blocks: &[Block], at: usize) -> Option<&Block> {
    let page_of = |block: &Block| block.place.split(':').next().map(String::from);
    let next = blocks.get(at + 1).filter(|next| page_of(next) == page_of(&blocks[at]));
    next.filter(|next| next.language == "text" && is_whole(&blocks[at]))
}

fn is_whole(block: &Block) -> bool {
    Language::of(&block.language).is_some_and(|language| language.is_whole(&block.text))
}

fn every_block_has_a_language_and_every_text_is_an_output_or_a_picture() {
    let blocks = blocks();
    let (mut wrong, mut pictures) = (Vec::new(), Vec::new());
    for (at, block) in blocks.iter().enumerate() {
        match block.language.as_str() {
            "c" | "go" | "rust" | "sh" | "console" | "diff" => {}
            "text" if at > 0 && output_below(&blocks, at - 1).is_some() => {}
            "text" => pictures.push(block.place.split(':').next().expect("a page")),
            other => wrong.push(format!("{}: the language is {other:?}", block.place)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(pictures, PICTURES.map(|(page, _)| page), "texts that no program prints");
}

/// Compiles and runs the blocks of a language.
fn check(language: Language, least: usize) {
    let blocks = blocks();
    let of_language = |at: &usize| Language::of(&blocks[*at].language) == Some(language);
    let mut failures = Vec::new();
    let mut count = 0;
    for at in (0..blocks.len()).filter(of_language) {
        let block = &blocks[at];
        count += 1;
        match language.run(&block.text) {
            Err(failure) => failures.push(format!("{}: {failure}", block.place)),
            Ok(printed) => {
                failures.extend(is_wrong_about_input(&block.place, &printed));
                let expected = output_below(&blocks, at);
                failures.extend(expected.and_then(|below| differs(&below.place, &printed, below)));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(count >= least, "only {count} blocks");
}

/// Checks an output of README.md, which says that its programs print the length of their standard
/// input, if they print anything.
fn is_wrong_about_input(place: &str, printed: &str) -> Option<String> {
    let length = std::fs::metadata(INPUT).expect(INPUT).len();
    let is_wrong = !printed.is_empty() && printed != format!("{length} bytes\n");
    let is_of_readme = place.starts_with("README.md:");
    (is_of_readme && is_wrong).then(|| format!("{place}: of {length} bytes it says: {printed}"))
}

fn differs(place: &str, printed: &str, expected: &Block) -> Option<String> {
    // Larger pages end elsewhere.
    if page_size() != 4096 {
        println!("SKIPPED: {place}: its numbers are those of pages of 4096 bytes");
        return None;
    }
    let differs = printed != expected.text;
    differs.then(|| format!("{place} says\n{}but this was printed:\n{printed}", expected.text))
}

fn programs_in_c_print_what_the_pages_say() {
    check(Language::C, 3);
}

fn programs_in_go_print_what_the_pages_say() {
    check(Language::Go, 1);
}

fn programs_in_rust_print_what_the_pages_say() {
    check(Language::Rust, 1);
}

/// Returns the commands of a session, each with the output that follows it.
fn session(text: &str) -> Vec<(&str, String)> {
    let mut commands: Vec<(&str, String)> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push((command, String::new())),
            (None, Some((_, output))) => *output += &format!("{line}\n"),
            (None, None) => panic!("output before the first command: {line}"),
        }
    }
    commands
}

fn sessions_print_what_the_pages_say() {
    let mut count = 0;
    for block in blocks().iter().filter(|block| block.language == "console") {
        let shell = command::Shell::new();
        for (command, output) in session(&block.text) {
            let printed = shell.run(command).unwrap_or_else(|e| panic!("{}: {e}", block.place));
            let expected =
                Block { place: block.place.clone(), language: String::new(), text: output };
            if let Some(difference) = differs(&block.place, &printed, &expected) {
                panic!("{command}: {difference}");
            }
            count += 1;
        }
    }
    assert!(count > 0, "no sessions");
}

/// Returns the lines around a change that the sources do not have; all lines if the change has been
/// made already.
fn misfits(change: &str, has_line: impl Fn(&str) -> bool) -> Vec<&str> {
    let (added, around): (Vec<&str>, Vec<&str>) =
        change.lines().partition(|line| line.starts_with('+'));
    if added.iter().all(|line| has_line(&line[1..])) {
        return change.lines().collect();
    }
    let is_there = |line: &&str| line.strip_prefix([' ', '-']).is_some_and(&has_line);
    around.into_iter().filter(|line| !is_there(line)).collect()
}

fn changes_fit_the_sources() {
    // Lines that many files have, such as a brace, say nothing.
    let is_telling = |line: &str| line.chars().any(char::is_alphabetic);
    let sources = tracked(&["src/*.rs", "go/*.go"]);
    let has_line = |line: &str| sources.iter().any(|source| source.text.lines().any(|l| l == line));
    let mut count = 0;
    for block in blocks().iter().filter(|block| block.language == "diff") {
        let telling = block.text.lines().filter(|line| is_telling(line));
        let change: String = telling.map(|line| format!("{line}\n")).collect();
        let misfits = misfits(&change, has_line);
        assert!(misfits.is_empty(), "{}: {misfits:#?}", block.place);
        count += 1;
    }
    assert!(count > 0, "no changes");
}

/// Returns every command of the pages, and its place.
fn commands() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for page in pages() {
        for block in page.split().0.iter().filter(|block| block.language == "sh") {
            let lines = block.text.lines().map(without_comment).filter(|line| !line.is_empty());
            found.extend(lines.map(|line| (block.place.clone(), line.to_string())));
        }
        let commands = page.commands_in_prose().into_iter();
        found.extend(commands.map(|command| (page.name.clone(), command)));
    }
    assert!(found.len() > 30, "only {} commands", found.len());
    found
}

fn without_comment(line: &str) -> &str {
    line.split_once(" #").map_or(line, |(command, _)| command).trim()
}

fn is_among(command: &str, list: &[(&str, &str)]) -> bool {
    list.iter().any(|(listed, _)| *listed == command)
}

fn commands_are_run_or_name_what_there_is() {
    let shell = command::Shell::new();
    let mut failures = Vec::new();
    let mut done = Vec::new();
    for (place, command) in commands() {
        failures.extend(command::names_nothing(&command).map(|e| format!("{place}: {e}")));
        if is_among(&command, NOT_RUN) || done.contains(&command) {
            continue;
        }
        if is_among(&command, CHEAP) {
            failures.extend(shell.run(&command).err().map(|e| format!("{place}: {e}")));
        } else {
            failures.push(format!("{place}: {command}: neither in CHEAP nor in NOT_RUN"));
        }
        done.push(command);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn no_exception_is_left_that_no_page_needs() {
    let commands = commands();
    let is_shown = |listed: &str| commands.iter().any(|(_, command)| command == listed);
    let lists = [CHEAP, NOT_RUN].concat();
    let unused: Vec<_> = lists.iter().filter(|(listed, _)| !is_shown(listed)).collect();
    assert!(unused.is_empty(), "{unused:?}");
    for (page, test) in PICTURES {
        assert!(repository().join(page).exists(), "{page}");
        let (group, name) = test.split_once("::").expect("group::test");
        let (_, tests) = crate::GROUPS.iter().find(|(g, _)| *g == group).expect(group);
        assert!(tests.iter().any(|test| test.name == name), "{test}");
    }
}

/// Tries a block that does not compile, a block that fails, and a block that prints something else.
fn what_is_broken_is_noticed_in_every_language() {
    for (language, whole, fragment) in program::SAMPLES {
        let printed = language.run(whole).expect("a whole program");
        assert_eq!(printed, "5\n", "{language:?}");
        language.run(fragment).expect("statements");
        let block = |language: &str, text: &str| Block {
            place: format!("A.md:{}", text.len()),
            language: language.into(),
            text: text.into(),
        };
        let name = ["c", "go", "rust"][language as usize];
        let blocks = [block(name, whole), block("text", "6\n")];
        let below = output_below(&blocks, 0).expect("an output");
        assert!(differs("", &printed, below).is_some(), "{language:?}: the output");

        let without = |text: &str, part: &str| {
            assert!(text.contains(part), "{text}");
            text.replace(part, "nothing_of_this_name")
        };
        for text in [without(whole, "hello\""), without(fragment, "hello\"")] {
            language.run(&text).expect_err("it compiles");
        }
        let failure = language.run(&whole.replace("= 5", "= 6")).expect_err("it does not fail");
        assert!(!failure.contains("error:"), "{language:?}: it did not compile: {failure}");
    }
    let has_line = |line: &str| line == "there";
    assert!(misfits(" there\n+new\n+there\n-there\n", has_line).is_empty());
    for wrong in [" new\n+new\n", "-new\n+new\n", "+there\n", "there\n+new\n"] {
        assert!(!misfits(wrong, has_line).is_empty(), "{wrong}");
    }
    let shell = command::Shell::new();
    shell.run("cc missing.c $(pkg-config --cflags --libs bytefd)").expect_err("it works");
    shell.run("false | true").expect_err("only the last command counts");
    for wrong in [
        "make nothing-of-this-name",
        "make lib NOTHING=1",
        "scripts/nothing x86_64",
        "cargo test --test suite nothing::",
        "cargo bench --bench nothing",
        "BYTEFD_TEST_NOTHING=1 cargo test --test suite wrap::",
        "go test ./go/nothing/...",
        "nothing-of-this-name --help",
    ] {
        assert!(command::names_nothing(wrong).is_some(), "{wrong}");
    }
}
