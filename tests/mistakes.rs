//! Tests a constant in the wrong place, a member that was forgotten, and a number that means
//! nothing: -EINVAL, with an error that names the place. The header gives the places, so that a new
//! constant, function or struct is tested, or reported as missing.

mod header;
pub mod places;

use std::collections::BTreeSet;

use crate::support::abi::Error;
use crate::support::leaks::Holdings;
use crate::tests;
use header::Header;
use places::{Fixture, Place, Takes};

tests![
    flag_bits_differ_and_enumerated_values_have_bit_31,
    no_struct_has_a_hole,
    every_place_of_the_header_is_in_the_table;
    alone:
    a_constant_is_refused_everywhere_but_in_its_place,
    numbers_that_the_kernel_does_not_know_are_refused,
    reserved_members_must_be_0,
    members_without_a_limit_must_not_be_0,
    a_timeout_is_minus_1_or_not_negative,
    a_capacity_of_0_is_refused,
    names_that_lead_elsewhere_are_refused
];

fn flag_bits_differ_and_enumerated_values_have_bit_31() {
    let header = Header::read();
    let (mut bits, mut values) = (0u64, BTreeSet::new());
    for (name, bit) in header.flags() {
        assert_eq!((bit.count_ones(), bits & bit, bit & 1 << 31), (1, 0, 0), "{name} {bit:#x}");
        bits |= bit;
    }
    for (name, value) in header.enumerated() {
        assert!(value >> 31 == 1 && values.insert(value), "{name} {value:#x}");
    }
    assert!(bits.count_ones() > 20 && values.len() > 8, "the constants were found");
}

/// Each member lies at a multiple of its size, and the struct has no byte after the last member.
fn no_struct_has_a_hole() {
    let header = Header::read();
    assert!(header.structs.len() > 12, "the structs were found");
    for (name, members) in &header.structs {
        let end = members.iter().fold(0, |offset, member| {
            assert_eq!(offset % member.alignment(), 0, "{name} has a hole before {}", member.name);
            offset + member.size()
        });
        let alignment = members.iter().map(header::Member::alignment).max().expect("members");
        assert_eq!(end % alignment, 0, "{name} has a hole at its end");
        assert!(name == "bytefd_error" || members[0].name == "size", "{name} cannot grow");
    }
}

fn every_place_of_the_header_is_in_the_table() {
    let (header, fixture) = (Header::read(), Fixture::new());
    let table: BTreeSet<String> = fixture.places().into_iter().map(|place| place.name).collect();
    assert_eq!(table, header.places(), "the table, and the header");
}

/// Returns the answer to a value: the status, and the error if there is one.
fn answer(place: &Place<'_>, value: u64) -> (i32, Error) {
    let mut error = Error::untouched();
    let status = (place.call)(value, &mut error);
    assert_eq!(status < 0, !error.is_untouched(), "{}: {value:#x}", place.name);
    (status, error)
}

fn assert_refused(place: &Place<'_>, value: u64) -> Error {
    let (status, error) = answer(place, value);
    assert_eq!(status, -libc::EINVAL, "{} {value:#x}", place.name);
    assert_eq!(error.op(), place.member(), "{} {value:#x}: {}", place.name, error.message());
    error
}

/// Asserts that the value has a meaning in this place, whatever else may be wrong with it.
fn assert_known(place: &Place<'_>, value: u64) {
    let (status, error) = answer(place, value);
    let is_refused = status == -libc::EINVAL && error.op() == place.member();
    assert!(!is_refused, "{} {value:#x}: {}", place.name, error.message());
}

/// Tries each place of the table. Afterwards there must be nothing that was not there before.
fn in_each_place(mut attempt: impl FnMut(&Place<'_>)) {
    let fixture = Fixture::new();
    let places = fixture.places();
    for place in &places {
        let (held, named) = (Holdings::now(), fixture.names());
        attempt(place);
        assert!(held.more_now().is_empty(), "{}: {:?}", place.name, held.more_now());
        assert_eq!(fixture.names(), named, "{} left a name", place.name);
    }
}

fn a_constant_is_refused_everywhere_but_in_its_place() {
    let header = Header::read();
    in_each_place(|place| {
        let (Takes::Flags { right, unfit } | Takes::One { right, unfit }) = place.takes else {
            return;
        };
        let (status, _) = answer(place, 0);
        assert!(status >= 0, "{} works without a mistake: {status}", place.name);
        let value_of = |name: &&str| header.value(&format!("BYTEFD_{name}"));
        let (right, unfit): (Vec<u64>, Vec<u64>) =
            (right.iter().map(value_of).collect(), unfit.iter().map(value_of).collect());
        let bits = (0..64).map(|shift| 1u64 << shift);
        let others = [2, 3, 5, 6, 7, 0o400, 0o600, 0x8000_0000, 0xffff_ffff, u64::MAX];
        let tried: BTreeSet<u64> =
            header.constants.values().copied().chain(bits).chain(others).collect();
        let is_flags = matches!(place.takes, Takes::Flags { .. });
        let known = right.iter().fold(0, |known, value| known | value);
        for value in tried {
            // A compiler warns where a 32-bit member loses bits, and the library cannot know.
            if !is_flags && value > u64::from(u32::MAX) {
                continue;
            }
            if right.contains(&value) && unfit.contains(&value) {
                let (status, error) = answer(place, value);
                let word = header.word(value);
                assert_eq!(status, -libc::EINVAL, "{} {word}", place.name);
                let is_named = error.op() == word || error.message().contains(&word);
                assert!(is_named, "{} {word}: {}: {}", place.name, error.op(), error.message());
            } else if right.contains(&value) {
                assert_known(place, value);
            } else if !is_flags || value & !known != 0 {
                assert_refused(place, value);
                // Valid flags beside it do not hide it.
                right
                    .iter()
                    .filter(|_| is_flags)
                    .for_each(|flag| _ = assert_refused(place, value | flag));
            }
        }
    });
}

/// The kernel's constants are small numbers that mean other things elsewhere, so each value is
/// known or not.
fn numbers_that_the_kernel_does_not_know_are_refused() {
    let header = Header::read();
    in_each_place(|place| {
        let Takes::Kernel(is_known) = place.takes else { return };
        let fits = |value: &u64| *value <= u64::from(u32::MAX);
        let constants = header.constants.values().copied().filter(fits);
        let bits = (0..32).map(|shift| 1u64 << shift);
        let negative = [-1i32, -2, i32::MIN].map(|value| u64::from(value as u32));
        let tried: BTreeSet<u64> = (0..=300).chain(bits).chain(negative).chain(constants).collect();
        for value in tried {
            if is_known(value as i32) {
                assert_known(place, value);
            } else {
                assert_refused(place, value);
            }
        }
    });
}

fn reserved_members_must_be_0() {
    in_each_place(|place| {
        let Takes::Reserved = place.takes else { return };
        for byte in 0..4 {
            for value in [1u64, 0x80, 0xff] {
                assert_refused(place, value << (8 * byte));
            }
        }
    });
}

/// Neither a limit that was computed as 0, nor a struct that was zeroed instead of initialised,
/// does anything.
fn members_without_a_limit_must_not_be_0() {
    in_each_place(|place| {
        let Takes::Limit(init) = place.takes else { return };
        let error = assert_refused(place, 0);
        let (member, message) = (place.member(), error.message());
        assert!(
            message.contains(&format!("{member} is 0")) && message.contains(init),
            "{}: {message}",
            place.name
        );
    });
}

fn a_timeout_is_minus_1_or_not_negative() {
    in_each_place(|place| {
        let Takes::Timeout = place.takes else { return };
        for value in [-2, -3, -1_000_000_000, i64::MIN, i64::MIN + 1] {
            let error = assert_refused(place, value as u64);
            assert!(
                error.message().contains(&value.to_string()),
                "{}: {}",
                place.name,
                error.message()
            );
        }
        assert_known(place, 0);
        assert_known(place, 1_000_000_000);
        assert_known(place, i64::MAX as u64);
    });
}

fn a_capacity_of_0_is_refused() {
    Fixture::new().without_capacity();
}

fn names_that_lead_elsewhere_are_refused() {
    Fixture::new().elsewhere();
}
