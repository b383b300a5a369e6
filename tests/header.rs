//! Checks that the committed headers match the sources, and that layout.c pins all that compiled
//! programs rely on.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::tools::repository;
use crate::tests;

tests![
    the_headers_are_generated_from_the_sources,
    every_struct_member_and_constant_is_pinned,
    every_struct_with_a_size_has_an_init_with_a_value_for_each_member,
    no_sentence_has_more_than_30_words,
];

/// The sources, in the order in which a reader wants them.
const SOURCES: [&str; 27] = [
    "boundary",
    "arguments",
    "options",
    "results",
    "flags",
    "wrap_options",
    "wrap",
    "stream",
    "scan",
    "reader",
    "pool",
    "map_options",
    "map",
    "map_range",
    "map_content",
    "adopt",
    "requirements",
    "transfer",
    "shm",
    "tempfile",
    "sysv",
    "dmabuf",
    "file_lock",
    "futex",
    "host",
    "version",
    "short_names",
];

fn the_headers_are_generated_from_the_sources() {
    let config =
        cbindgen::Config::from_file(repository().join("cbindgen.toml")).expect("cbindgen.toml");
    let mut builder = cbindgen::Builder::new().with_config(config);
    for source in SOURCES {
        builder = builder.with_src(repository().join(format!("src/ffi/{source}.rs")));
    }
    let mut generated = Vec::new();
    builder.generate().expect("a header").write(&mut generated);
    let generated = with_nonnull(std::str::from_utf8(&generated).expect("UTF-8"));

    // The Go package has its own, because a module has no files above its folder.
    for name in ["include/bytefd.h", "go/bytefd.h"] {
        let path = repository().join(name);
        if std::env::var_os("BYTEFD_WRITE_HEADER").is_some() {
            std::fs::write(&path, &generated).expect("written");
        }
        let committed = std::fs::read(&path).expect(name);
        assert!(
            committed == generated.as_bytes(),
            "{name} is not what the sources say: make header"
        );
    }

    for entry in std::fs::read_dir(repository().join("src/ffi")).expect("src/ffi") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("UTF-8");
        let exports = std::fs::read_to_string(&path).expect("UTF-8").contains("no_mangle");
        assert!(!exports || SOURCES.contains(&name), "{name} is not in the header");
    }
}

/// Returns include/bytefd.h without its comments, each macro in one line.
fn code() -> String {
    let header =
        std::fs::read_to_string(repository().join("include/bytefd.h")).expect("the header");
    let header = header.replace("\\\n", " ");
    header.split("/*").map(|part| part.split_once("*/").map_or(part, |(_, code)| code)).collect()
}

/// Returns the structs whose members the header shows, and their members in order.
pub fn structs() -> BTreeMap<String, Vec<String>> {
    let code = code();
    let bodies = code.split("typedef struct ").skip(1).filter_map(|rest| {
        let (name, rest) = rest.split_once(" {")?;
        // A handle is declared as `typedef struct name name;`.
        let (body, _) = rest.split_once('}').filter(|_| !name.contains(';'))?;
        let members =
            body.split(';').map(str::trim).filter(|member| !member.is_empty()).map(|member| {
                let name = member.rsplit([' ', '*']).next().expect("a name");
                name.split('[').next().expect("a name").to_string()
            });
        Some((name.to_string(), members.collect()))
    });
    bodies.collect()
}

/// Returns the names of all types: structs, handles, callbacks.
pub fn types() -> BTreeSet<String> {
    let code = code();
    let declarations =
        code.split("typedef ").skip(1).map(|rest| rest.split(['{', ';']).next().expect("a part"));
    let names = declarations.map(|declaration| match declaration.split_once("(*") {
        Some((_, callback)) => callback.split(')').next().expect("a name").to_string(),
        None => declaration.split_whitespace().nth(1).expect("a name").to_string(),
    });
    names.collect()
}

/// Returns the macros without arguments, and their values.
pub fn macros() -> BTreeMap<String, String> {
    let code = code();
    let defines = code.lines().filter_map(|line| line.strip_prefix("#define "));
    let pairs =
        defines.filter_map(|define| define.split_once(' ')).filter(|(name, _)| !name.contains('('));
    pairs.map(|(name, value)| (name.to_string(), value.trim().to_string())).collect()
}

/// Returns the macros that are numbers, without the version, which changes.
fn constants() -> BTreeSet<String> {
    let is_number = |value: &str| {
        value.starts_with(|c: char| c.is_ascii_digit() || c == '(') || value.ends_with("_MAX")
    };
    let numbers = macros()
        .into_iter()
        .filter(|(name, value)| is_number(value) && !name.starts_with("BYTEFD_VERSION"));
    numbers.map(|(name, _)| name).collect()
}

fn every_struct_member_and_constant_is_pinned() {
    let layout = std::fs::read_to_string(repository().join("tests/c/layout.c")).expect("layout.c");
    // SIZE(type, 8); AT(type, member, 8); NUMBER(name, 8): what is named, without the number.
    let pinned = |what: &str| -> Vec<String> {
        let lines = layout.lines().filter_map(|line| line.strip_prefix(what)?.strip_prefix('('));
        lines.map(|line| line.rsplit_once(", ").expect("a number").0.to_string()).collect()
    };
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    let structs = structs();
    assert!(structs.len() > 10 && constants().len() > 40, "{structs:?}, {:?}", constants());
    assert_eq!(sorted(pinned("SIZE")), structs.keys().cloned().collect::<Vec<_>>());
    assert_eq!(sorted(pinned("NUMBER")), constants().into_iter().collect::<Vec<_>>(), "each once");
    let members = structs
        .iter()
        .flat_map(|(name, members)| members.iter().map(move |member| format!("{name}, {member}")));
    assert_eq!(sorted(pinned("AT")), sorted(members.collect()), "each once");
}

fn every_struct_with_a_size_has_an_init_with_a_value_for_each_member() {
    let mut macros = macros();
    for (name, members) in structs().iter().filter(|(_, members)| members[0] == "size") {
        let init = macros
            .remove(&format!("{}_INIT", name.to_uppercase()))
            .unwrap_or_else(|| panic!("no _INIT of {name}"));
        let values =
            init.trim_matches(['{', '}', ' ']).split(',').map(str::trim).collect::<Vec<_>>();
        assert_eq!(
            (values[0], values.len()),
            (format!("sizeof({name})").as_str(), members.len()),
            "{name}"
        );
    }
    assert!(!macros.keys().any(|name| name.ends_with("_INIT")), "an _INIT of nothing: {macros:?}");
}

/// A paragraph, an item of a list or an example of code, in a comment of the header.
pub struct Block {
    pub text: String,
    pub is_code: bool,
}

/// Returns the blocks of all comments in the header, except comments about pragmas.
pub fn blocks() -> Vec<Block> {
    let header =
        std::fs::read_to_string(repository().join("include/bytefd.h")).expect("the header");
    let mut blocks = Vec::new();
    for comment in header.split("/*").skip(1) {
        let (text, after) = comment.split_once("*/").expect("an end");
        if !after.trim_start().starts_with("#pragma") {
            blocks_of(text, &mut blocks);
        }
    }
    blocks
}

fn blocks_of(comment: &str, blocks: &mut Vec<Block>) {
    let mut open = Block { text: String::new(), is_code: false };
    for line in comment.trim_start_matches('*').lines().chain([""]) {
        let line = line.trim_start().trim_start_matches('*').trim();
        let is_fence = line.starts_with("```");
        let item = line.strip_prefix("- ").filter(|_| !open.is_code);
        if is_fence || item.is_some() || line.is_empty() && !open.is_code {
            let is_code = open.is_code != is_fence;
            let ended = std::mem::replace(&mut open, Block { text: String::new(), is_code });
            blocks.extend(Some(ended).filter(|block| !block.text.is_empty()));
        }
        if !is_fence && !line.is_empty() {
            open.text += if open.text.is_empty() { "" } else { "\n" };
            open.text += item.unwrap_or(line);
        }
    }
}

/// Returns the sentences of a paragraph or of an item, each as its words.
fn sentences(text: &str) -> Vec<Vec<&str>> {
    let mut sentences = vec![Vec::new()];
    for word in text.split_whitespace() {
        sentences.last_mut().expect("one at least").push(word);
        if word.trim_end_matches([')', '"']).ends_with(['.', '!', '?']) {
            sentences.push(Vec::new());
        }
    }
    sentences
}

fn no_sentence_has_more_than_30_words() {
    let blocks = blocks();
    let prose: Vec<_> = blocks.iter().filter(|block| !block.is_code).collect();
    assert!(prose.len() > 500 && prose.len() < blocks.len(), "{} blocks", prose.len());
    let all: Vec<_> = prose.iter().flat_map(|block| sentences(&block.text)).collect();
    let long: Vec<_> = all.iter().filter(|words| words.len() > 30).collect();
    let shown: Vec<_> =
        long.iter().map(|words| format!("{} words: {}", words.len(), words.join(" "))).collect();
    assert!(long.is_empty(), "{}", shown.join("\n"));
}

/// Returns whether this pointer must not be NULL. A parameter with a new name must be added here.
fn must_not_be_null(function: &str, parameter: &str) -> bool {
    const TAKE_NULL: [&str; 3] = ["bytefd_map_data", "bytefd_map_length", "bytefd_tempfile_path"];
    match parameter {
        "map" | "scan" | "pool" | "file" => {
            !function.ends_with("_close")
                && !function.ends_with("_end")
                && !TAKE_NULL.contains(&function)
        }
        // Elsewhere a buffer may be NULL if its length is 0.
        "buf" => ["bytefd_path", "bytefd_host_report"].contains(&function),
        "iov" | "message" | "fds" | "full_name" => false,
        "error" | "context" | "options" | "stream" | "requirements" | "result" | "shmid" => false,
        "path" | "name" | "address" | "word" | "read" => true,
        "length" | "count" | "copied" | "size" | "stats" | "credentials" => true,
        _ => panic!("may {parameter} of {function} be NULL?"),
    }
}

/// Adds BYTEFD_NONNULL to pointers. cbindgen can add it only to references, which Rust requires to
/// be valid.
fn with_nonnull(header: &str) -> String {
    let mut function = "";
    let mut text = String::new();
    for line in header.split_inclusive('\n') {
        if line.starts_with(['#', '/'])
            || line.starts_with("typedef")
            || line.trim_start().starts_with('*')
        {
            text += line;
            continue;
        }
        for part in line.split_inclusive([',', '(', ')']) {
            let (start, last) = part.split_at(part.rfind(['*', ' ']).map_or(0, |at| at + 1));
            let is_pointer = start.ends_with('*') || start.ends_with("_fn ");
            if let Some(name) = last.strip_suffix('(') {
                function = name;
            } else if let Some(name) = last.strip_suffix([',', ')']).filter(|_| is_pointer)
                && must_not_be_null(function, name)
            {
                text += &format!("{start}BYTEFD_NONNULL {last}");
                continue;
            }
            text += part;
        }
    }
    text.split_inclusive('\n').map(broken).collect()
}

/// Breaks a declaration that has become too long into a line for each parameter, as cbindgen does.
fn broken(line: &str) -> String {
    if line.chars().count() <= 101 || line.trim_start().starts_with('*') {
        return line.to_string();
    }
    let indent = " ".repeat(line.find('(').expect("a declaration") + 1);
    line.replace(", ", &format!(",\n{indent}"))
}
