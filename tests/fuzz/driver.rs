//! Runs a target on every input of its corpus, then on random changes of them. proptest chooses
//! the changes, and removes those that a failure does not need.
//!
//! An input is a line of `tests/fuzz/corpus/TARGET.txt`: bytes, with `\xNN` and the other escapes
//! of Rust for those that are not printable. A line that begins with `# ` is a comment.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{TestError, TestRunner};

use crate::support::random;
use crate::support::tools::repository;

/// Random cases of each target in `make test`, which BYTEFD_TEST_ROUNDS multiplies.
const CASES: usize = 500;

fn path(target: &str) -> PathBuf {
    repository().join(format!("tests/fuzz/corpus/{target}.txt"))
}

/// Returns the committed inputs of a target.
pub fn corpus(target: &str) -> Vec<Vec<u8>> {
    let text = std::fs::read_to_string(path(target)).expect("a corpus");
    let lines = text.lines().filter(|line| !line.starts_with("# "));
    lines.map(|line| unescape(line).unwrap_or_else(|| panic!("{target}: {line}"))).collect()
}

/// Writes an input as a line of the corpus. A space at its end would be invisible, and a `#` at its
/// start a comment.
fn line(bytes: &[u8]) -> String {
    let line = bytes.escape_ascii().to_string();
    let line = line.strip_prefix('#').map_or(line.clone(), |rest| format!("\\x23{rest}"));
    line.strip_suffix(' ').map_or(line.clone(), |rest| format!("{rest}\\x20"))
}

fn unescape(line: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = line.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next()? {
                b'x' => {
                    let digits = [rest.next()?, rest.next()?];
                    u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
                }
                b'n' => b'\n',
                b't' => b'\t',
                b'r' => b'\r',
                other @ (b'\\' | b'"' | b'\'') => other,
                _ => return None,
            },
            other => other,
        });
    }
    Some(bytes)
}

#[derive(Clone)]
struct Input(Vec<u8>);

impl std::fmt::Debug for Input {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str(&line(&self.0))
    }
}

#[derive(Clone, Debug)]
enum Change {
    Flip(Index, u8),
    Set(Index, u8),
    /// A number of 1, 2, 4 or 8 bytes, lowest byte first.
    Number(Index, u32, u64),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize),
    /// A part of another input.
    Splice(Index, Index, Index, usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        // A place in the input, or just after it.
        let place = |index: &Index, bytes: &Vec<u8>| index.index(bytes.len() + 1);
        match self {
            Change::Flip(_, _) | Change::Set(_, _) if bytes.is_empty() => {}
            Change::Flip(at, bit) => {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            Change::Set(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Change::Number(at, width, value) => {
                let at = place(at, bytes);
                let number = &value.to_le_bytes()[..1 << width];
                let end = bytes.len().min(at + number.len());
                bytes.splice(at..end, number.iter().copied());
            }
            Change::Insert(at, new) => {
                let at = place(at, bytes);
                bytes.splice(at..at, new.iter().copied());
            }
            Change::Remove(at, count) => {
                let at = place(at, bytes);
                bytes.drain(at..bytes.len().min(at + count));
            }
            Change::Repeat(at, count) => {
                let at = place(at, bytes);
                let part = bytes[at..bytes.len().min(at + count)].to_vec();
                bytes.splice(at..at, part);
            }
            Change::Splice(at, other, from, count) => {
                let (at, other) = (place(at, bytes), other.get(corpus));
                let from = from.index(other.len() + 1);
                let part = &other[from..other.len().min(from + count)];
                let end = bytes.len().min(at + part.len());
                bytes.splice(at..end, part.iter().copied());
            }
        }
    }
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let at = any::<Index>;
    let bit = (0..64u32).prop_map(|shift| 1u64 << shift);
    let edge = prop::sample::select(vec![
        0,
        1,
        7,
        8,
        63,
        64,
        255,
        256,
        4095,
        4096,
        4097,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_ffff,
        i64::MAX as u64,
        i64::MIN as u64,
        u64::MAX - 1,
        u64::MAX,
    ]);
    let number = prop_oneof![3 => edge, 2 => bit, 1 => any::<u64>()];
    let change = prop_oneof![
        4 => (at(), 0..8u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        3 => (at(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        4 => (at(), 0..4u32, number).prop_map(|(at, width, n)| Change::Number(at, width, n)),
        1 => (at(), prop::collection::vec(any::<u8>(), 1..20))
            .prop_map(|(at, new)| Change::Insert(at, new)),
        1 => (at(), 1..20usize).prop_map(|(at, count)| Change::Remove(at, count)),
        1 => (at(), 1..200usize).prop_map(|(at, count)| Change::Repeat(at, count)),
        2 => (at(), at(), at(), 1..40usize)
            .prop_map(|(at, other, from, count)| Change::Splice(at, other, from, count)),
    ];
    prop::collection::vec(change, 0..6)
}

fn inputs(corpus: Vec<Vec<u8>>) -> impl Strategy<Value = Input> {
    let changed = (any::<Index>(), changes()).prop_map(move |(first, changes)| {
        let mut bytes = first.get(&corpus).clone();
        changes.iter().for_each(|change| change.apply(&mut bytes, &corpus));
        Input(bytes)
    });
    let noise = prop::collection::vec(any::<u8>(), 0..200).prop_map(Input);
    prop_oneof![9 => changed, 1 => noise]
}

/// Runs `check`, which panics if something does not hold, and returns a word for the result of the
/// input.
pub fn fuzz(target: &str, check: impl Fn(&[u8]) -> &'static str) {
    let corpus = corpus(target);
    // A crash of this process leaves its input there.
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(&folder).expect("a folder"); // a guest has none
    let last = folder.join(format!("fuzz-{target}"));
    let file = File::create(&last).expect("a file for the last input");
    println!("fuzz {target}: the last input is in {}", last.display());
    let (answers, tried) = (RefCell::new(BTreeMap::<_, usize>::new()), Cell::new(0));
    let run = |bytes: &[u8]| {
        let line = format!("{}\n", line(bytes));
        file.set_len(0).expect("shortened");
        file.write_all_at(line.as_bytes(), 0).expect("written");
        *answers.borrow_mut().entry(check(bytes)).or_default() += 1;
    };
    for bytes in &corpus {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(bytes))) {
            eprintln!("fuzz {target}: an input of the corpus failed: {}", line(bytes));
            resume_unwind(panic);
        }
    }
    // Of the many failures on the way to the shortest input, the last one is told.
    let told = Arc::new(Mutex::new(String::new()));
    let teller = told.clone();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        *teller.lock().expect("no panic in here") = panic.to_string();
    }));
    let outcome = TestRunner::new(random(CASES)).run(&inputs(corpus.clone()), |input| {
        tried.set(tried.get() + 1);
        run(&input.0);
        Ok(())
    });
    std::panic::set_hook(hook);
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(_, input)) => {
            let (path, told) = (path(target), told.lock().expect("no panic"));
            panic!("{told}\nAdd this line to {}:\n{input:?}", path.display());
        }
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
    println!("fuzz {target}: {} inputs of the corpus, {} changed", corpus.len(), tried.get());
    for (answer, count) in answers.take() {
        println!("fuzz {target}: {answer}: {count}");
    }
}

/// Decodes an input: zeros follow its end.
pub struct Bytes<'a>(pub &'a [u8]);

impl Bytes<'_> {
    pub fn byte(&mut self) -> u8 {
        self.number(1) as u8
    }

    /// Takes a number of `width` bytes, lowest byte first.
    pub fn number(&mut self, width: usize) -> u64 {
        let (bytes, rest) = self.0.split_at(width.min(self.0.len()));
        self.0 = rest;
        bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
