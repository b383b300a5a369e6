//! Makes maps of each kind that can be written, for what must hold for all of them.

use std::os::unix::fs::FileExt;

use crate::support::abi::*;
use crate::support::fd::pattern;
use crate::support::hosts;
use crate::support::map::{Map, map, memory, page_size};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole file.
    File,
    /// A file from an offset within a page, with bytes before it.
    Part,
    Shared,
    Private,
}

/// The offset in its file at which a [`Kind::Part`] begins.
pub const OFFSET: usize = 4999;

/// A map, and its file, which is removed when this is dropped.
pub struct Made {
    pub map: Map,
    pub file: Option<tempfile::NamedTempFile>,
}

/// Returns the kinds that this host has.
pub fn kinds() -> impl Iterator<Item = Kind> {
    let all = [Kind::File, Kind::Part, Kind::Shared, Kind::Private].into_iter();
    all.filter(|kind| *kind != Kind::Shared || hosts::has_memfd())
}

impl Kind {
    /// Makes a map of `length` zeros with these flags and this much address space.
    pub fn with(self, length: usize, flags: u64, reserve: usize) -> Made {
        let options = MapOptions { access: WRITE, flags, reserve, ..MapOptions::default() };
        let offset = match self {
            Kind::Shared => return memory(length, &options).expect("memory").into(),
            Kind::Private => {
                return memory(length, &MapOptions { access: PRIVATE, ..options })
                    .expect("memory")
                    .into();
            }
            Kind::File => 0,
            Kind::Part => OFFSET,
        };
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(&file, pattern(offset)).expect("written");
        let size = (offset + length) as u64;
        let map = map(&file, &MapOptions { offset: offset as u64, file_size: size, ..options })
            .expect("mapped");
        Made { map, file: Some(file) }
    }

    /// Returns the word for it in messages of a test.
    pub fn word(self) -> &'static str {
        match self {
            Kind::File => "a whole file",
            Kind::Part => "a part of a file",
            Kind::Shared => "shared memory",
            Kind::Private => "private memory",
        }
    }

    /// Makes a map that is filled with the pattern.
    pub fn filled(self, length: usize) -> Made {
        let made = self.with(length, 0, 0);
        made.map.store(0, &pattern(length));
        made
    }

    /// Returns the offset in its first page at which the map begins.
    pub fn head(self) -> usize {
        if self == Kind::Part { OFFSET % page_size() } else { 0 }
    }

    /// Returns the first byte of the map's second page.
    pub fn second_page(self) -> usize {
        page_size() - self.head()
    }
}

impl From<Map> for Made {
    fn from(map: Map) -> Made {
        Made { map, file: None }
    }
}

impl Made {
    /// Returns what the file holds after `offset`; `None` without a file.
    pub fn content(&self, kind: Kind) -> Option<Vec<u8>> {
        let file = self.file.as_ref()?.as_file();
        let mut bytes = vec![0; file.metadata().expect("fstat").len() as usize];
        file.read_exact_at(&mut bytes, 0).expect("read");
        let before = if kind == Kind::Part { OFFSET } else { 0 };
        assert!(bytes[..before] == pattern(before), "what lies before the map");
        Some(bytes[before..].to_vec())
    }
}

/// Maps shared memory. On hosts without memory files it says so and returns `None`, and the test
/// ends.
pub fn shared(length: usize, options: &MapOptions) -> Option<Map> {
    if !hosts::has_memfd() {
        println!("SKIPPED: shared memory: there are no memory files on this host");
        return None;
    }
    Some(memory(length, options).expect("memory"))
}

/// Maps private memory.
pub fn private(length: usize) -> Map {
    memory(length, &MapOptions { access: PRIVATE, ..MapOptions::default() }).expect("memory")
}
