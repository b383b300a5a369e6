//! Runs random operations on maps of each kind, and compares them with a vector of bytes.

use std::ffi::c_int;

use proptest::prelude::*;

use super::kinds::{Kind, Made, kinds};
use crate::support::abi::*;
use crate::support::fd::{Failure, pattern};
use crate::support::map::page_size;
use crate::support::random;

/// The greatest length that a map is resized to.
pub const MOST: usize = 6 * 4096;

/// An operation. Its range may be any, even outside of the map.
#[derive(Clone, Debug)]
pub enum Step {
    Write(usize, usize, u8),
    Store(usize, usize, u8),
    Read(usize, usize),
    Flush(usize, usize, c_int),
    Advise(usize, usize, c_int),
    Lose(usize, usize),
    Lock(usize, usize),
    Protect(usize, usize),
    Prefetch(usize, usize),
    Resize(usize),
    /// Stores past the end in the last page, in bytes that belong to no map.
    Scribble,
}

pub const FLUSHES: &[c_int] = &[
    libc::MS_SYNC,
    libc::MS_ASYNC,
    libc::MS_SYNC | libc::MS_INVALIDATE,
    libc::MS_ASYNC | libc::MS_INVALIDATE,
];

pub const ADVICES: &[c_int] = &[0, 1, 2, 3, 10, 11, 12, 13, 14, 15, 16, 17, 20, 21, 22, 23];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Around the page boundaries, where mistakes live, and any others.
    let near =
        || (0..7usize, 0..3usize).prop_map(|(pages, more)| (4096 * pages + more).saturating_sub(1));
    let at = || prop_oneof![6 => 0..MOST, 2 => near(), 1 => Just(0), 1 => Just(TO_END)];
    let range = move || (at(), at());
    let advice = prop::sample::select(ADVICES);
    let step = prop_oneof![
        4 => (range(), any::<u8>()).prop_map(|((at, length), byte)| Step::Write(at, length, byte)),
        4 => (range(), any::<u8>()).prop_map(|((at, length), byte)| Step::Store(at, length, byte)),
        3 => range().prop_map(|(at, length)| Step::Read(at, length)),
        1 => (range(), prop::sample::select(FLUSHES))
            .prop_map(|((at, length), how)| Step::Flush(at, length, how)),
        2 => (range(), advice).prop_map(|((at, length), advice)| Step::Advise(at, length, advice)),
        1 => range().prop_map(|(at, length)| Step::Lose(at, length)),
        1 => range().prop_map(|(at, length)| Step::Lock(at, length)),
        1 => range().prop_map(|(at, length)| Step::Protect(at, length)),
        1 => range().prop_map(|(at, length)| Step::Prefetch(at, length)),
        4 => at().prop_map(Step::Resize),
        1 => Just(Step::Scribble),
    ];
    prop::collection::vec(step, 1..25)
}

/// Returns the bytes of a range, if they are in the map.
fn part(length: usize, at: usize, count: usize) -> Option<std::ops::Range<usize>> {
    let end = if count == TO_END { length } else { at.checked_add(count)? };
    (at <= end && end <= length).then_some(at..end)
}

fn copied(length: usize, at: usize, count: usize) -> Option<std::ops::Range<usize>> {
    let end = at.checked_add(count)?;
    (end <= length).then_some(at..end)
}

/// Asserts that the call succeeds exactly if the range is in the map, and is EINVAL otherwise.
fn agrees<T: std::fmt::Debug>(outcome: &Result<T, Failure>, is_inside: bool) {
    match outcome {
        Ok(_) => assert!(is_inside, "a range outside of the map"),
        Err(failure) => assert!(!is_inside && failure.errno == libc::EINVAL, "{failure:?}"),
    }
}

struct Run {
    kind: Kind,
    made: Made,
    model: Vec<u8>,
    /// Whether the kernel may have split the mapping, because advice was given for a part.
    is_uneven: bool,
}

impl Run {
    fn take(&mut self, step: &Step) {
        let (map, length, kind) = (&mut self.made.map, self.model.len(), self.kind);
        match *step {
            Step::Write(at, count, byte) => {
                // A buffer of that length must exist.
                let count = count.min(2 * MOST);
                let range = copied(length, at, count);
                let outcome = map.write(at, &vec![byte; count]);
                agrees(&outcome, range.is_some());
                assert!(outcome.is_err() || outcome.is_ok_and(|written| written == count));
                range.into_iter().for_each(|range| self.model[range].fill(byte));
            }
            Step::Store(at, count, byte) => {
                if let Some(range) = copied(length, at, count) {
                    map.store(range.start, &vec![byte; range.len()]);
                    self.model[range].fill(byte);
                }
            }
            Step::Read(at, count) => {
                let mut seen = vec![0; count.min(2 * MOST)];
                let range = copied(length, at, seen.len());
                agrees(&map.read(at, &mut seen), range.is_some());
                assert!(range.is_none_or(|range| seen == self.model[range]));
            }
            Step::Flush(at, count, how) => {
                let is_inside = part(length, at, count).is_some() && kind != Kind::Private;
                agrees(&map.flush(at, count, how), is_inside);
            }
            Step::Advise(at, count, advice) => {
                let outcome = map.advise(at, count, advice, 0);
                self.is_uneven |= outcome.is_ok();
                if part(length, at, count).is_none() {
                    agrees(&outcome, false);
                } else if let Err(failure) = outcome {
                    // Not for this kind of memory, or not on this kernel.
                    assert!(
                        [libc::EINVAL, libc::EOPNOTSUPP].contains(&failure.errno),
                        "{failure:?}"
                    );
                }
            }
            Step::Lose(at, count) => {
                let range = part(length, at, count);
                agrees(&map.advise(at, count, 4, LOSE_CONTENT), range.is_some());
                if let Some(range) = range.filter(|_| kind == Kind::Private) {
                    let (page, end) = (page_size(), range.end / page_size() * page_size());
                    let start = range.start.next_multiple_of(page);
                    if start < end {
                        self.model[start..end].fill(0);
                    }
                }
            }
            Step::Lock(at, count) => {
                let is_inside = part(length, at, count).is_some();
                agrees(&map.mlock(at, count), is_inside);
                agrees(&map.munlock(at, count), is_inside);
            }
            Step::Protect(at, count) => {
                let is_inside = part(length, at, count).is_some();
                agrees(&map.protect(at, count, 1), is_inside);
                assert!(map.bytes() == self.model);
                agrees(&map.protect(at, count, 3), is_inside);
            }
            Step::Prefetch(at, count) => {
                agrees(&map.prefetch(at, count), part(length, at, count).is_some())
            }
            Step::Resize(to) => self.resize(to),
            Step::Scribble => {
                let rest = (page_size() - (kind.head() + length) % page_size()) % page_size();
                if length > 0 {
                    // SAFETY: the rest of the map's last page.
                    unsafe { map.data().add(length).write_bytes(0xaa, rest) };
                }
            }
        }
    }

    fn resize(&mut self, to: usize) {
        let outcome = self.made.map.resize(to);
        match outcome {
            Ok(()) => self.model.resize(to, 0),
            // A part of it was treated otherwise than the rest, and it had to move.
            Err(failure) if self.is_uneven => {
                assert!([libc::EFAULT, libc::EINVAL].contains(&failure.errno))
            }
            Err(failure) => assert_eq!((failure.errno, to), (libc::EINVAL, usize::MAX)),
        }
    }

    fn check(&self, when: &Step) {
        assert_eq!(self.made.map.length(), self.model.len());
        assert!(self.made.map.bytes() == self.model, "the map after {when:?}");
        let content = self.made.content(self.kind);
        assert!(content.is_none_or(|content| content == self.model), "the file after {when:?}");
    }
}

/// Takes the steps on a map of this kind, and compares it with the model after each.
pub fn play(kind: Kind, length: usize, reserve: usize, steps: &[Step]) {
    let made = kind.with(length, 0, reserve);
    let mut run = Run { kind, made, model: pattern(length), is_uneven: false };
    run.made.map.store(0, &run.model);
    for step in steps {
        run.take(step);
        run.check(step);
    }
}

pub fn any_operations_leave_the_bytes_that_they_should() {
    let config = random(80);
    proptest!(config, |(
        steps in steps(),
        length in 0..MOST,
        reserve in prop::sample::select(vec![0, 4096, MOST]),
    )| {
        kinds().for_each(|kind| play(kind, length, reserve, &steps));
    });
}
