//! Checks that VOCABULARY.md lists the word that each language has for a concept, and that the
//! exported names use no other words.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::header;
use crate::library::declared_functions;
use crate::support::tools::repository;
use crate::tests;

tests![
    every_word_of_c_is_in_the_table_and_every_word_of_the_table_in_c,
    every_word_of_rust_is_in_the_table_and_every_word_of_the_table_in_rust,
    every_word_of_go_is_in_the_table_and_every_word_of_the_table_in_go,
    words_that_differ_have_a_reason,
    no_word_is_listed_twice,
    helper_words_are_used,
    names_of_c_begin_with_the_prefix_of_the_library,
];

/// One row of the table.
struct Row {
    concept: String,
    /// The words of C, Rust and Go; none where the language has no name for the concept.
    words: [String; 3],
    reason: String,
}

const C: usize = 0;
const RUST: usize = 1;
const GO: usize = 2;

fn page() -> String {
    std::fs::read_to_string(repository().join("VOCABULARY.md")).expect("VOCABULARY.md")
}

fn rows() -> Vec<Row> {
    let page = page();
    let lines = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| --- "));
    let rows = lines.filter_map(|line| {
        let cells: Vec<_> =
            line.trim_matches('|').split('|').map(|cell| cell.trim().to_string()).collect();
        let [concept, c, rust, go, reason] =
            cells.try_into().unwrap_or_else(|cells| panic!("five cells: {cells:?}"));
        (concept != "concept").then_some(Row { concept, words: [c, rust, go], reason })
    });
    rows.collect()
}

/// Returns the words of a language's column.
fn column(language: usize) -> BTreeSet<String> {
    rows().iter().flat_map(|row| words(&row.words[language])).collect()
}

/// Returns the words below the table, for all languages: plain English, and names of the kernel.
fn common() -> BTreeSet<String> {
    let page = page();
    let sections = page.split("\n## ").skip(1).filter(|section| !section.contains("\n| "));
    sections
        .flat_map(|section| {
            section.split('`').skip(1).step_by(2).flat_map(words).collect::<Vec<_>>()
        })
        .collect()
}

/// Returns the words of names in snake_case, CamelCase and SCREAMING_CASE: "MapBeyondEOF" has map,
/// beyond and eof.
fn words(names: &str) -> Vec<String> {
    let mut words = Vec::new();
    for part in names.split(|c: char| !c.is_ascii_alphanumeric()) {
        let letters: Vec<char> = part.chars().collect();
        let mut word = String::new();
        for (at, letter) in letters.iter().enumerate() {
            let follows_lower = at > 0 && !letters[at - 1].is_ascii_uppercase();
            let begins_lower = letters.get(at + 1).is_some_and(char::is_ascii_lowercase);
            if letter.is_ascii_uppercase() && (follows_lower || begins_lower) {
                words.push(std::mem::take(&mut word));
            }
            word.push(letter.to_ascii_lowercase());
        }
        words.push(word);
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Returns the names that the header declares: functions, types, macros with and without arguments.
fn declared_in_c() -> BTreeSet<String> {
    let header =
        std::fs::read_to_string(repository().join("include/bytefd.h")).expect("the header");
    // This includes macros that a program may define.
    let directives = header.lines().filter(|line| line.starts_with('#'));
    let macros: BTreeSet<String> = directives
        .flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'))
        .filter(|word| word.starts_with("BYTEFD_"))
        .map(String::from)
        .collect();
    assert!(header::macros().keys().all(|name| macros.contains(name)), "macros without a prefix");
    let names = declared_functions().into_iter().chain(header::types()).chain(macros);
    names.filter(|name| name != "BYTEFD_H").collect()
}

/// Returns the name without the prefix that all share, which is no word.
fn without_prefix(name: &str) -> Option<&str> {
    name.strip_prefix("bytefd_").or_else(|| name.strip_prefix("BYTEFD_"))
}

/// Returns the words of what the header declares, and of the members of its structs.
fn names_of_c() -> BTreeSet<String> {
    let members = header::structs().into_values().flatten();
    let declared = declared_in_c();
    let bare = declared.iter().map(|name| without_prefix(name).unwrap_or(name).to_string());
    bare.chain(members).collect()
}

fn names_of_c_begin_with_the_prefix_of_the_library() {
    let declared = declared_in_c();
    let short: Vec<_> = declared.iter().filter(|name| without_prefix(name).is_none()).collect();
    assert_eq!(short, ["map_file", "scan_bytes", "shm_wrap_buffer"]);
}

/// Returns the sources of a folder, with those of the folders below it unless they are named.
fn sources(folder: &Path, without: &[&str]) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8");
        if path.is_dir() && !without.contains(&name) {
            found.extend(sources(&path, without));
        } else if path.is_file() {
            let text = std::fs::read(&path).expect("a file");
            found.push((path, String::from_utf8_lossy(&text).into_owned()));
        }
    }
    found
}

/// Returns what a door exports: the last parts of `pub use a::{b, c};`, and its modules.
fn exports(door: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for rest in door.split("\npub use ").skip(1) {
        let (path, _) = rest.split_once(';').expect("an end");
        assert!(!path.contains('*'), "{path} hides what it exports");
        let list = path.split_once('{').map_or(path, |(_, list)| list.trim_end_matches('}'));
        names.extend(
            list.split(',')
                .map(|name| name.rsplit("::").next().expect("a name").trim().to_string()),
        );
    }
    names.extend(door.split("\npub mod ").skip(1).map(|rest| identifier(rest).to_string()));
    names.remove("");
    names
}

fn identifier(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().expect("a first part")
}

/// Returns the name in a line such as `pub const fn name(`, whatever it names.
fn public(line: &str) -> Option<&str> {
    let mut rest = line.strip_prefix("pub ")?;
    for keyword in ["const ", "unsafe ", "fn ", "struct ", "enum ", "trait ", "type "] {
        rest = rest.strip_prefix(keyword).unwrap_or(rest);
    }
    Some(identifier(rest))
}

/// Returns the public names of the crate without those for C: types, members, variants, functions,
/// methods.
fn names_of_rust() -> BTreeSet<String> {
    let folder = repository().join("src");
    let read = |path: &str| std::fs::read_to_string(folder.join(path)).expect(path);
    let mut names = exports(&read("lib.rs"));
    names.remove("ffi");
    names.extend(exports(&read("share/mod.rs")));
    names.extend(read("host.rs").lines().filter_map(public).map(String::from));

    let exported = names.clone();
    for (_, text) in sources(&folder, &["ffi", "sys", "fill"]) {
        // The public type, trait or implementation that the lines lie in, by the line that begins
        // it.
        let mut inside = None;
        for line in text.lines().filter(|line| !line.is_empty()) {
            let Some(member) = line.strip_prefix("    ") else {
                inside = None;
                let has_members = ["impl", "pub struct", "pub enum", "pub trait"];
                let is_seen = line.ends_with(['{', ';']);
                let begins = has_members.iter().any(|start| line.starts_with(start));
                assert!(!begins || is_seen, "the list of names does not see what follows: {line}");
                assert!(!line.contains("macro_export"), "the list of names has no macros");
                let begins = line.ends_with('{').then_some(line);
                let of_type = begins.and_then(public).or_else(|| implemented(begins?));
                if of_type.is_some_and(|name| exported.contains(name)) {
                    inside = begins;
                }
                continue;
            };
            let Some(begin) = inside else { continue };
            let is_variant = begin.starts_with("pub enum ")
                && member.starts_with(|c: char| c.is_ascii_uppercase());
            let of_trait = member.strip_prefix("fn ").filter(|_| begin.starts_with("pub trait "));
            let name = of_trait.map(identifier).or_else(|| public(member));
            names.extend(name.or(is_variant.then(|| identifier(member))).map(String::from));
        }
    }
    names
}

/// Returns the type in `impl<T> Name<T> {`; traits are others' names.
fn implemented(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("impl").filter(|rest| !rest.contains(" for "))?;
    let rest = if rest.starts_with('<') { rest.split_once("> ")?.1 } else { rest };
    Some(identifier(rest.trim_start()))
}

/// Returns the exported names of the package: types, fields, functions, methods, constants.
fn names_of_go() -> BTreeSet<String> {
    let is_exported = |name: &str| name.starts_with(|c: char| c.is_ascii_uppercase());
    let mut names = BTreeSet::new();
    let all = sources(&repository().join("go"), &["demo", "examples", "internal"]);
    let is_ours = |name: &str| name.ends_with(".go") && !name.ends_with("_test.go");
    for (_, text) in all.iter().filter(|(path, _)| is_ours(&path.to_string_lossy())) {
        let mut inside = false;
        for line in text.lines() {
            if let Some(member) = line.strip_prefix('\t').filter(|_| inside) {
                // `PID, UID int`
                let list = member.split(", ").take_while(|part| is_exported(part));
                names.extend(list.map(|part| identifier(part).to_string()));
                continue;
            }
            let name = match line.split_once(' ') {
                Some(("func", rest)) => {
                    match rest.strip_prefix('(').and_then(|rest| rest.split_once(") ")) {
                        Some((receiver, rest)) => {
                            let of = receiver.rsplit([' ', '*']).next().expect("a type");
                            if is_exported(of) { identifier(rest) } else { "" }
                        }
                        None => identifier(rest),
                    }
                }
                Some(("type" | "const" | "var", rest)) => identifier(rest),
                _ => "",
            };
            let has_members = line.ends_with(" struct {") || line.ends_with(" interface {");
            let is_type = line.starts_with("type ") && has_members && is_exported(name);
            assert!(line != "type (", "the list of names does not see types in a group");
            inside = is_type || line == "const (" || line == "var (";
            names.extend(is_exported(name).then(|| name.to_string()));
        }
    }
    names
}

fn check(language: usize, names: &BTreeSet<String>, least: usize) {
    assert!(names.len() > least, "{} names", names.len());
    let used: BTreeSet<String> = names.iter().flat_map(|name| words(name)).collect();
    let (listed, common) = (column(language), common());
    let unlisted: Vec<_> =
        used.iter().filter(|word| !listed.contains(*word) && !common.contains(*word)).collect();
    let unused: Vec<_> = listed.difference(&used).collect();
    assert!(
        unlisted.is_empty() && unused.is_empty(),
        "not in VOCABULARY.md: {unlisted:?}; in it, but used by no name: {unused:?}"
    );
}

fn every_word_of_c_is_in_the_table_and_every_word_of_the_table_in_c() {
    check(C, &names_of_c(), 150);
}

fn every_word_of_rust_is_in_the_table_and_every_word_of_the_table_in_rust() {
    check(RUST, &names_of_rust(), 150);
}

fn every_word_of_go_is_in_the_table_and_every_word_of_the_table_in_go() {
    check(GO, &names_of_go(), 150);
}

/// Languages agree if they share a word, or write the same letters with other joints ("tempfile",
/// "TempFile").
fn words_that_differ_have_a_reason() {
    for row in rows() {
        let cells = row
            .words
            .iter()
            .map(|cell| words(cell))
            .filter(|words| !words.is_empty())
            .collect::<Vec<_>>();
        let agree = |a: &[String], b: &[String]| {
            a.iter().any(|word| b.contains(word)) || a.concat() == b.concat()
        };
        let differ = cells.iter().any(|a| cells.iter().any(|b| !agree(a, b)));
        assert!(!differ || !row.reason.is_empty(), "{}", row.concept);
    }
}

fn no_word_is_listed_twice() {
    for language in [C, RUST, GO] {
        let mut listed = BTreeSet::new();
        for row in rows() {
            for name in row.words[language].split_whitespace().filter(|name| *name != "–") {
                assert!(
                    listed.insert(name.to_lowercase()),
                    "{name} stands elsewhere too: {}",
                    row.concept
                );
            }
        }
    }
}

fn helper_words_are_used() {
    let names = [names_of_c(), names_of_rust(), names_of_go()];
    let used: BTreeSet<String> = names.iter().flatten().flat_map(|name| words(name)).collect();
    let unused: Vec<_> = common().into_iter().filter(|word| !used.contains(word)).collect();
    assert!(unused.is_empty(), "{unused:?}");
}
