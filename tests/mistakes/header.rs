//! Reads what the header declares: its constants, structs and functions, as text.

use std::collections::{BTreeMap, BTreeSet};

use crate::library::without_comments;
use crate::support::tools::repository;

pub struct Header {
    /// Every `#define BYTEFD_… number`.
    pub constants: BTreeMap<String, u64>,
    pub structs: BTreeMap<String, Vec<Member>>,
    /// The parameters of each function.
    functions: BTreeMap<String, Vec<Member>>,
    /// The members that _INIT sets to BYTEFD_UNLIMITED or BYTEFD_TO_END, of each struct.
    limits: BTreeSet<(String, String)>,
}

/// A member of a struct, or a parameter.
pub struct Member {
    pub name: String,
    kind: String,
    count: usize,
}

/// Numbers that have a size of their own. None of their values is a mistake by itself.
const NUMBERS: [&str; 21] = [
    "size",
    "fd",
    "socket",
    "shmid",
    "key",
    "offset",
    "length",
    "len",
    "count",
    "value",
    "bytes",
    "mode",
    "uid",
    "gid",
    "pid",
    "file_size",
    "reserve",
    "max_bytes",
    "max_files",
    "size_hint",
    "min_length",
];

impl Header {
    pub fn read() -> Header {
        let text =
            std::fs::read_to_string(repository().join("include/bytefd.h")).expect("the header");
        // A macro in one line, and no word of compilers among the types.
        let text = without_comments(&text).replace("\\\n    ", "").replace("BYTEFD_NONNULL ", "");
        let code: String = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| format!("{line}\n"))
            .collect();
        let structs = structs(&code);
        let limits = limits(&text, &structs);
        Header { constants: constants(&text), functions: functions(&code), structs, limits }
    }

    pub fn value(&self, name: &str) -> u64 {
        *self.constants.get(name).unwrap_or_else(|| panic!("the header has no {name}"))
    }

    /// Returns the flags: bits of 64.
    pub fn flags(&self) -> impl Iterator<Item = (&str, u64)> {
        self.numbers().filter(|(name, value)| *value >> 31 != 1 && !is_size(name))
    }

    /// Returns the enumerated values, of 32 bits.
    pub fn enumerated(&self) -> impl Iterator<Item = (&str, u64)> {
        self.numbers().filter(|(_, value)| *value >> 31 == 1)
    }

    fn numbers(&self) -> impl Iterator<Item = (&str, u64)> {
        self.constants
            .iter()
            .filter(|(_, value)| **value != u64::MAX)
            .map(|(name, value)| (name.as_str(), *value))
    }

    /// Returns the name of the constant in messages, without the prefixes.
    pub fn word(&self, value: u64) -> String {
        let name = self.constants.iter().find(|(_, known)| **known == value).expect("a constant").0;
        let name = name.trim_start_matches("BYTEFD_");
        // BYTEFD_MAP_READ is a value of the member `access`.
        if value >> 31 == 1 {
            "access".into()
        } else {
            name.trim_start_matches("MAP_").to_lowercase()
        }
    }

    /// Returns the places where a value can be a mistake by itself: "function argument", "function
    /// argument.member".
    pub fn places(&self) -> BTreeSet<String> {
        let mut places = BTreeSet::new();
        for (function, parameters) in &self.functions {
            for parameter in parameters {
                let options = parameter
                    .kind
                    .strip_prefix("const struct ")
                    .and_then(|kind| kind.strip_suffix(" *"));
                let at = format!("{function} {}", parameter.name);
                let Some((kind, members)) =
                    options.and_then(|kind| self.structs.get_key_value(kind))
                else {
                    if parameter.is_place() {
                        places.insert(at);
                    }
                    continue;
                };
                let has_limit =
                    |member: &&Member| self.limits.contains(&(kind.clone(), member.name.clone()));
                let members =
                    members.iter().filter(|member| member.is_place() || has_limit(member));
                places.extend(members.map(|member| format!("{at}.{}", member.name)));
            }
        }
        places
    }
}

/// Returns whether this is the size of a buffer, which is no flag.
fn is_size(name: &str) -> bool {
    name.ends_with("_SIZE")
}

impl Member {
    /// Parses `uint64_t flags`, `char op[32]`, `const char *name`.
    fn parse(text: &str) -> Option<Member> {
        let text = text.trim();
        let (text, count) = match text.split_once('[') {
            Some((before, count)) => (before, count.strip_suffix(']')?.parse().ok()?),
            None => (text, 1),
        };
        let start = text.rfind([' ', '*'])? + 1;
        Some(Member { name: text[start..].into(), kind: text[..start].trim().into(), count })
    }

    fn is_place(&self) -> bool {
        !self.kind.contains(['*', '('])
            && !self.kind.ends_with("_fn")
            && !NUMBERS.contains(&self.name.as_str())
    }

    pub fn alignment(&self) -> usize {
        match self.kind.as_str() {
            "char" => 1,
            "int" | "uint32_t" | "pid_t" | "uid_t" | "gid_t" => 4,
            "size_t" | "uint64_t" | "int64_t" => 8,
            pointer if pointer.ends_with('*') => 8,
            other => panic!("a member of type {other}"),
        }
    }

    pub fn size(&self) -> usize {
        self.alignment() * self.count
    }
}

fn constants(text: &str) -> BTreeMap<String, u64> {
    let defined =
        text.lines().filter_map(|line| line.strip_prefix("#define BYTEFD_")?.split_once(' '));
    let mut constants = BTreeMap::new();
    for (name, value) in defined {
        let number = |text: &str| text.strip_suffix('u').unwrap_or("no number").parse::<u64>().ok();
        let bit = value.strip_prefix("(1ull << ").and_then(|rest| rest.strip_suffix(')'));
        let value = match value {
            "SIZE_MAX" | "UINT64_MAX" => u64::MAX,
            _ if bit.is_some() => 1 << bit.expect("one").parse::<u32>().expect("a number of bits"),
            _ if number(value).is_some() => number(value).expect("one"),
            _ => {
                // A constant of another form would not be tested.
                let is_other = name.starts_with("VERSION")
                    || name.ends_with("_INIT")
                    || value.contains("__attribute__");
                assert!(
                    is_other || name.contains('(') || name == "MUST_USE",
                    "#define BYTEFD_{name} {value}"
                );
                continue;
            }
        };
        constants.insert(format!("BYTEFD_{name}"), value);
    }
    constants
}

fn structs(code: &str) -> BTreeMap<String, Vec<Member>> {
    let definitions =
        code.split("typedef struct ").skip(1).filter_map(|rest| rest.split_once(" {")).filter_map(
            |(name, rest)| {
                let members =
                    rest.split_once('}')?.0.split(';').filter(|member| !member.trim().is_empty());
                let members = members
                    .map(|member| Member::parse(member).unwrap_or_else(|| panic!("{member}")));
                (!name.contains(';')).then(|| (name.to_string(), members.collect()))
            },
        );
    definitions.collect()
}

fn functions(code: &str) -> BTreeMap<String, Vec<Member>> {
    let declarations = code
        .split([';', '{', '}'])
        .filter(|declaration| !declaration.trim().starts_with("typedef"));
    let functions = declarations.filter_map(|declaration| {
        let (before, rest) = declaration.split_once('(')?;
        let name = before.rsplit([' ', '*', '\n']).next()?;
        let parameters = rest.split_once(')')?.0.split(',').filter_map(Member::parse);
        // The short names call these.
        let is_call = before.trim().starts_with("return");
        (name.starts_with("bytefd_") && !is_call).then(|| (name.to_string(), parameters.collect()))
    });
    functions.collect()
}

fn limits(text: &str, structs: &BTreeMap<String, Vec<Member>>) -> BTreeSet<(String, String)> {
    let mut limits = BTreeSet::new();
    for (name, members) in structs {
        let init = format!("#define {}_INIT {{ ", name.to_uppercase());
        let Some(values) =
            text.lines().find_map(|line| line.strip_prefix(&init)?.strip_suffix(" }"))
        else {
            assert_eq!(name, "bytefd_error", "no {init}");
            continue;
        };
        let values: Vec<&str> = values.split(", ").collect();
        assert_eq!(values.len(), members.len(), "{init}");
        let set = members
            .iter()
            .zip(values)
            .filter(|(_, value)| ["BYTEFD_UNLIMITED", "BYTEFD_TO_END"].contains(value));
        limits.extend(set.map(|(member, _)| (name.clone(), member.name.clone())));
    }
    limits
}
