//! Compares the parser of /proc/self/maps, compiled from its source, with a second parser that is
//! written after proc(5), character by character.

use std::ops::Range;

use super::driver::{Bytes, fuzz};

#[path = "../../src/sys/region.rs"]
mod region;

use region::Region;

/// The fields of a line: addresses, permissions, name.
type Fields = (Range<usize>, String, String);

struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    /// Takes the characters from here on that satisfy `is_in`.
    fn while_in(&mut self, is_in: fn(char) -> bool) -> &'a str {
        let end = self.0.find(|c| !is_in(c)).unwrap_or(self.0.len());
        let (found, rest) = self.0.split_at(end);
        self.0 = rest;
        found
    }

    fn pass(&mut self, c: char) -> Option<()> {
        self.0 = self.0.strip_prefix(c)?;
        Some(())
    }

    fn hexadecimal(&mut self) -> Option<usize> {
        let digits = self.while_in(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
        let digit = |c: char| c.to_digit(16).expect("a digit") as usize;
        let add = |sum: usize, c| sum.checked_mul(16)?.checked_add(digit(c));
        if digits.is_empty() { None } else { digits.chars().try_fold(0, add) }
    }
}

/// Parses a line. Returns `None` for what the kernel does not write.
fn reference(line: &str) -> Option<Fields> {
    let mut rest = Cursor(line);
    let start = rest.hexadecimal()?;
    rest.pass('-')?;
    let end = rest.hexadecimal()?;
    rest.pass(' ')?;
    let permissions = rest.while_in(|c| "rwxps-".contains(c));
    rest.pass(' ')?;
    // The offset.
    rest.hexadecimal()?;
    rest.pass(' ')?;
    // The device.
    rest.hexadecimal()?;
    rest.pass(':')?;
    rest.hexadecimal()?;
    rest.pass(' ')?;
    let inode = rest.while_in(|c| c.is_ascii_digit());
    if permissions.len() != 4 || inode.is_empty() {
        return None;
    }
    if !rest.0.is_empty() {
        rest.pass(' ')?;
        rest.while_in(|c| c == ' ');
    }
    Some((start..end, permissions.to_string(), rest.0.to_string()))
}

fn parsed(line: &str) -> Option<Fields> {
    let Region { addresses, permissions, name } = Region::parse(line)?;
    Some((addresses, permissions, name))
}

/// Writes a line as the kernel does, with fields from the input.
fn written(input: &[u8]) -> (String, Fields) {
    let mut bytes = Bytes(input);
    let (start, end) = (bytes.number(8) as usize, bytes.number(8) as usize);
    let bits = bytes.byte();
    let letter = |bit: u32, yes, no| if bits >> bit & 1 == 1 { yes } else { no };
    let permissions = String::from_iter([
        letter(0, 'r', '-'),
        letter(1, 'w', '-'),
        letter(2, 'x', '-'),
        letter(3, 's', 'p'),
    ]);
    let (offset, major, minor, inode) =
        (bytes.number(8), bytes.byte(), bytes.number(2), bytes.number(8));
    // The kernel writes a newline as four other characters, and the library reads what is no
    // UTF-8 as replacement characters.
    let name = String::from_utf8_lossy(bytes.0).replace('\n', "\\012");
    let name = if name.is_empty() { name } else { format!("/{name}") };
    let mut line = format!(
        "{start:08x}-{end:08x} {permissions} {offset:08x} {major:02x}:{minor:02x} {inode} "
    );
    if !name.is_empty() {
        line = format!("{line:73}{name}");
    }
    (line, (start..end, permissions, name))
}

fn check(input: &[u8], parsed: fn(&str) -> Option<Fields>) -> &'static str {
    let (line, fields) = written(input);
    assert_eq!(parsed(&line).as_ref(), Some(&fields), "{line:?}");
    assert_eq!(reference(&line).as_ref(), Some(&fields), "{line:?}");

    let mut answer = "no line of the kernel's";
    for line in String::from_utf8_lossy(input).split('\n') {
        // Whatever else it accepts, it makes nothing up.
        let found = parsed(line);
        if let Some((_, permissions, name)) = &found {
            assert!(line.contains(permissions) && line.ends_with(name), "{line:?}");
        }
        if let Some(fields) = reference(line) {
            assert_eq!(found, Some(fields), "{line:?}");
            answer = "lines of the kernel's";
        }
    }
    answer
}

pub fn any_line_of_proc_maps_is_read_as_the_reference_reads_it() {
    // Those of this process too.
    let maps = std::fs::read("/proc/self/maps").expect("/proc is mounted");
    assert_eq!(check(&maps, parsed), "lines of the kernel's");
    fuzz("regions", |input| check(input, parsed));
}

/// For a parser that loses the spaces at the end of a name.
pub fn lines_that_are_read_wrong() {
    let trimmed = |line: &str| {
        parsed(line).map(|(range, permissions, name)| (range, permissions, name.trim_end().into()))
    };
    fuzz("regions", |input| check(input, trimmed));
}
