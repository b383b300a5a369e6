//! Runs operations on a map, and compares it with the model that `tests/map/model.rs` also uses for
//! random operations.

use super::driver::{Bytes, fuzz};
use crate::map::kinds::kinds;
use crate::map::model::{ADVICES, FLUSHES, MOST, Step, play};
use crate::support::abi::TO_END;

/// Takes an offset or a length: anything up to the largest map, or a number that no map has.
fn place(bytes: &mut Bytes<'_>) -> usize {
    match bytes.number(2) as usize {
        0xffff => TO_END,
        0xfffe => TO_END - 1,
        0xfffd => isize::MAX as usize,
        number => number % (MOST + 2),
    }
}

fn step(bytes: &mut Bytes<'_>) -> Step {
    let operation = bytes.byte();
    let (at, length) = (place(bytes), place(bytes));
    let byte = bytes.byte();
    let one_of = |all: &[i32]| all[usize::from(byte) % all.len()];
    match operation % 11 {
        0 => Step::Write(at, length, byte),
        1 => Step::Store(at, length, byte),
        2 => Step::Read(at, length),
        3 => Step::Flush(at, length, one_of(FLUSHES)),
        4 => Step::Advise(at, length, one_of(ADVICES)),
        5 => Step::Lose(at, length),
        6 => Step::Lock(at, length),
        7 => Step::Protect(at, length),
        8 => Step::Prefetch(at, length),
        // Lengths greater than memory are not tried, except one that is refused.
        9 => Step::Resize(if at > MOST + 2 { usize::MAX } else { at }),
        _ => Step::Scribble,
    }
}

fn check(input: &[u8]) -> &'static str {
    let mut bytes = Bytes(input);
    let kinds: Vec<_> = kinds().collect();
    let kind = kinds[usize::from(bytes.byte()) % kinds.len()];
    let length = bytes.number(2) as usize % MOST;
    let reserve = [0, 4096, MOST][usize::from(bytes.byte()) % 3];
    let mut steps = Vec::new();
    while !bytes.is_empty() && steps.len() < 40 {
        steps.push(step(&mut bytes));
    }
    play(kind, length, reserve, &steps);
    kind.word()
}

pub fn any_operations_on_a_map_agree_with_the_model() {
    fuzz("operations", check);
}
