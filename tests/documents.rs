//! Checks that ARCHITECTURE.md matches the sources: the order of the rooms, where `unsafe` stands,
//! what is global, and who owns what. Checks that no line of code is too long to read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use crate::support::tools::{repository, run};
use crate::tests;

tests![
    rooms_import_only_what_lies_below_them,
    no_two_files_import_each_other,
    unsafe_stands_only_where_the_page_says,
    globals_are_those_that_the_page_lists,
    owners_are_the_types_that_end_something,
    no_line_of_code_is_longer_than_100_columns,
    the_page_of_checks_is_what_the_last_runs_found,
];

/// A source file below src/, without its comments, its texts and the tests at its end.
struct Source {
    /// "map/range.rs"
    path: String,
    code: String,
}

impl Source {
    /// Returns the room, such as "map" or "scan.rs".
    fn room(&self) -> &str {
        self.path.split('/').next().expect("a path")
    }

    /// Returns the module, such as "map::range", or "sys::guard" for sys/guard/mod.rs.
    fn module(&self) -> String {
        self.path.trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::")
    }
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    collect(&repository().join("src"), "", &mut found);
    assert!(found.len() > 50, "{} files", found.len());
    found
}

fn collect(folder: &Path, prefix: &str, found: &mut Vec<Source>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let path = format!("{prefix}{}", entry.file_name().to_str().expect("UTF-8"));
        if entry.path().is_dir() {
            collect(&entry.path(), &format!("{path}/"), found);
        } else {
            let text = std::fs::read_to_string(entry.path()).expect("UTF-8");
            let text = text.split("#[cfg(test)]").next().expect("a first part");
            found.push(Source { path, code: code_of(text) });
        }
    }
}

/// Returns the code without comments, and with empty texts.
fn code_of(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let code = line.split("//").next().expect("a first part");
        code.split('"').step_by(2).collect::<Vec<_>>().join("\"\"")
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// Returns the part of the page below a heading.
fn section(heading: &str) -> String {
    let page = std::fs::read_to_string(repository().join("ARCHITECTURE.md")).expect("the page");
    let (_, rest) = page.split_once(&format!("\n## {heading}\n")).expect(heading);
    rest.split("\n## ").next().expect("a first part").to_string()
}

/// Returns the texts between backticks in a column of the section's table.
fn column(heading: &str, number: usize) -> Vec<Vec<String>> {
    let text = section(heading);
    let rows = text.lines().filter(|line| line.starts_with('|')).skip(2);
    let cells = rows.map(|row| row.split('|').nth(number + 1).expect("a cell").to_string());
    cells.map(|cell| cell.split('`').skip(1).step_by(2).map(String::from).collect()).collect()
}

/// Returns the rooms, in lines from top to bottom.
fn rooms() -> Vec<Vec<String>> {
    let text = section("Rooms");
    let picture = text.split("```").nth(1).expect("a picture");
    let is_room = |word: &&str| word.ends_with('/') || word.ends_with(".rs");
    let lines = picture.lines().map(|line| {
        let names = line.split_whitespace().take_while(is_room);
        names.map(|name| name.trim_end_matches('/').to_string()).collect::<Vec<_>>()
    });
    lines.filter(|line| !line.is_empty()).collect()
}

/// Returns the files that a file names by a path: `use` lines and paths in code, through doors and
/// re-exports to their targets.
fn imports(source: &Source, all: &BTreeMap<String, String>) -> BTreeSet<String> {
    let module = source.module();
    // Groups are written out: `use a::{b, c::d}` names a::b and a::c::d.
    let mut paths = BTreeSet::new();
    let code = source.code.replace('\n', " ");
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            let is_whole =
                !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
            let is_visibility = code[..at].trim_end().ends_with("(in");
            if is_whole && !is_visibility {
                write_out(String::new(), &code[at..], &mut paths);
            }
        }
    }
    // A door names its own files without `super`.
    for (at, _) in code.match_indices("use ") {
        let rest = &code[at + 4..];
        let first = words(rest).next().unwrap_or_default();
        let own = if source.path.ends_with("mod.rs") {
            format!("{module}::{first}")
        } else {
            first.to_string()
        };
        let is_own = source.path.ends_with("mod.rs") || source.path == "lib.rs";
        if is_own && all.contains_key(&own) && !rest.trim_start().starts_with("::") {
            write_out("self::".into(), rest, &mut paths);
        }
    }
    let mut files = BTreeSet::new();
    for path in paths {
        let absolute = match path.split_once("::") {
            Some(("crate", rest)) => rest.to_string(),
            Some(("self", rest)) if source.path == "lib.rs" => rest.to_string(),
            Some(("self", rest)) => format!("{module}::{rest}"),
            Some(("super", rest)) => match module.rsplit_once("::") {
                Some((above, _)) => format!("{above}::{rest}"),
                None => rest.to_string(),
            },
            _ => continue,
        };
        // The longest part that is a module; what is left is an item in its file.
        let mut parts: Vec<_> = absolute.split("::").collect();
        while !parts.is_empty() && !all.contains_key(&parts.join("::")) {
            parts.pop();
        }
        let file = if parts.is_empty() { "lib.rs" } else { &all[&parts.join("::")] };
        if file != source.path {
            files.insert(file.to_string());
        }
    }
    files
}

fn write_out(before: String, rest: &str, paths: &mut BTreeSet<String>) {
    let end =
        rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').unwrap_or(rest.len());
    let (path, after) = rest.split_at(end);
    let whole = before + path;
    if whole.ends_with("::") && after.starts_with('{') {
        let mut depth = 0;
        let mut start = 1;
        for (at, c) in after.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 1 => {
                    write_out(whole.clone(), after[start..at].trim(), paths);
                    return;
                }
                '}' => depth -= 1,
                ',' if depth == 1 => {
                    write_out(whole.clone(), after[start..at].trim(), paths);
                    start = at + 1;
                }
                _ => {}
            }
        }
    }
    paths.insert(whole.trim_end_matches("::").to_string());
}

/// Returns each file, and the files that it imports.
fn graph(sources: &[Source]) -> BTreeMap<&str, BTreeSet<String>> {
    let all: BTreeMap<String, String> =
        sources.iter().map(|s| (s.module(), s.path.clone())).collect();
    sources.iter().map(|source| (source.path.as_str(), imports(source, &all))).collect()
}

fn rooms_import_only_what_lies_below_them() {
    let sources = sources();
    let rooms = rooms();
    let floor = |room: &str| {
        let place = rooms.iter().position(|line| line.iter().any(|name| name == room));
        place.unwrap_or_else(|| panic!("{room} is not in the picture"))
    };
    let mut wrong = Vec::new();
    let mut arrows = 0;
    for (file, imported) in graph(&sources) {
        let room = file.split('/').next().expect("a path");
        for other in imported {
            let below = other.split('/').next().expect("a path");
            arrows += usize::from(below != room);
            if below != room && floor(below) <= floor(room) {
                wrong.push(format!("{file} imports {other}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(arrows > 100, "only {arrows} imports found: the test does not see them");
    let there: BTreeSet<&str> = sources.iter().map(Source::room).collect();
    let drawn: BTreeSet<&str> = rooms.iter().flatten().map(String::as_str).collect();
    assert_eq!(there, drawn, "rooms that are there, and those in the picture");
}

fn no_two_files_import_each_other() {
    let sources = sources();
    let mut left = graph(&sources);
    // A file whose imports have all been removed cannot be in a circle.
    loop {
        let files: BTreeSet<&str> = left.keys().copied().collect();
        let before = left.len();
        left.retain(|_, imported| imported.iter().any(|other| files.contains(other.as_str())));
        if left.len() == before {
            break;
        }
    }
    assert!(left.is_empty(), "circles among {left:#?}");
}

fn unsafe_stands_only_where_the_page_says() {
    let places: Vec<String> = column("Where `unsafe` stands", 0).concat();
    let sources = sources();
    let with: Vec<&str> = sources
        .iter()
        .filter(|s| words(&s.code).any(|w| w == "unsafe"))
        .map(|s| s.path.as_str())
        .collect();
    let is_in = |file: &str, place: &str| {
        if place.ends_with('/') { file.starts_with(place) } else { file == place }
    };
    let outside: Vec<_> =
        with.iter().filter(|file| !places.iter().any(|place| is_in(file, place))).collect();
    assert!(outside.is_empty(), "unsafe in {outside:?}");
    let unused: Vec<_> =
        places.iter().filter(|place| !with.iter().any(|file| is_in(file, place))).collect();
    assert!(unused.is_empty(), "no unsafe in {unused:?}");
}

fn globals_are_those_that_the_page_lists() {
    let listed: BTreeSet<String> = column("What is global", 0).concat().into_iter().collect();
    let mut found = BTreeSet::new();
    for source in sources() {
        let words: Vec<_> = source.code.split_whitespace().collect();
        for pair in words.windows(2) {
            // `&'static T` ends in the same letters, and is none.
            let name = pair[1].trim_end_matches(':');
            if (pair[0] == "static" || pair[0].ends_with("!(static"))
                && name.len() > 1
                && name == name.to_uppercase()
            {
                found.insert(name.to_string());
            }
        }
    }
    assert_eq!(found, listed, "statics in the sources, and on the page");
}

fn owners_are_the_types_that_end_something() {
    let listed: BTreeSet<String> = column("Who owns what", 0).concat().into_iter().collect();
    let mut found = BTreeSet::new();
    for source in sources() {
        for (at, _) in source.code.match_indices(" Drop for ") {
            let name = words(&source.code[at + " Drop for ".len()..]).next().expect("a type");
            found.insert(format!("{}::{name}", source.module()));
        }
    }
    assert_eq!(found, listed, "types that implement Drop, and those on the page");
}

/// Checks every file of C, C++, Go, Rust or assembler that git tracks, including generated files. A
/// tab counts as 4 columns.
fn no_line_of_code_is_longer_than_100_columns() {
    let listing = run(Command::new("git")
        .current_dir(repository())
        .args(["ls-files", "-z", "*.c", "*.cpp", "*.h", "*.go", "*.rs", "*.s"]));
    let listing = String::from_utf8(listing.stdout).expect("UTF-8");
    // A file that was removed is listed until that is staged.
    let paths = listing.split_terminator('\0').filter(|path| repository().join(path).exists());
    let mut count = 0;
    let mut long = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(repository().join(path)).expect(path);
        let lines = (1..).zip(text.lines()).filter(|(_, line)| columns(line) > 100);
        long.extend(lines.map(|(at, line)| format!("{path}:{at}: {} columns", columns(line))));
        count += 1;
    }
    assert!(count > 300, "git lists {count} files of code");
    assert!(long.is_empty(), "{} lines are too long:\n{}", long.len(), long.join("\n"));
}

fn columns(line: &str) -> usize {
    line.chars().map(|c| if c == '\t' { 4 } else { 1 }).sum()
}

fn the_page_of_checks_is_what_the_last_runs_found() {
    let shown = run(Command::new("scripts/checks").arg("show").current_dir(repository()));
    let page = std::fs::read_to_string(repository().join("CHECKS.md")).expect("CHECKS.md");
    assert!(page == String::from_utf8_lossy(&shown.stdout), "run scripts/checks page");
}
