//! Checks that CLIENTS.md says what the tests show.

use std::collections::BTreeSet;

use super::client::{Client, Closes, From, Leaves, Pipe, Way};
use super::{archives, buses, children, crypto, documents, gdbus, journald, kernel, libraries};
use crate::support::Test;
use crate::support::tools::repository;
use crate::tests;

tests![the_rows_of_the_page_are_those_of_the_tests, tests_that_the_page_names_exist];

fn page() -> String {
    std::fs::read_to_string(repository().join("CLIENTS.md")).expect("CLIENTS.md")
}

const ROWS: &[&[&Client]] = &[
    libraries::ROWS,
    archives::ROWS,
    documents::ROWS,
    crypto::ROWS,
    children::ROWS,
    buses::ROWS,
    gdbus::ROWS,
    journald::ROWS,
    kernel::ROWS,
];

const ALL_TESTS: &[&[Test]] = &[
    super::TESTS,
    libraries::TESTS,
    archives::TESTS,
    documents::TESTS,
    crypto::TESTS,
    children::TESTS,
    buses::TESTS,
    gdbus::TESTS,
    journald::TESTS,
    kernel::TESTS,
];

/// Returns the cells of the page's table with this many columns.
fn rows(columns: usize) -> Vec<Vec<String>> {
    let page = page();
    let lines = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| --- "));
    let cells = lines.map(|line| {
        line.trim_matches('|').split('|').map(|cell| cell.trim().to_string()).collect()
    });
    cells
        .filter(|row: &Vec<_>| row.len() == columns && row[0] != "call" && row[0] != "test")
        .collect()
}

fn the_rows_of_the_page_are_those_of_the_tests() {
    let shown = rows(8);
    let mut missing = Vec::new();
    for client in ROWS.concat() {
        let cells = client.cells();
        if !shown.contains(&cells) {
            missing.push(format!("| {} |", cells.join(" | ")));
        }
    }
    assert!(missing.is_empty(), "rows that CLIENTS.md lacks:\n{}", missing.join("\n"));
    assert_eq!(shown.len(), ROWS.concat().len(), "rows of the page and rows of the tests");

    // A second table, in the same order, has the demands of the clients.
    let names = |rows: &[Vec<String>], column: usize| {
        rows.iter().map(|row| row[column].clone()).collect::<Vec<_>>()
    };
    let demands = rows(4);
    assert_eq!(names(&demands, 0), names(&shown, 7), "tests of the two tables");
    let is_whole = demands.iter().flatten().all(|cell| !cell.is_empty());
    assert!(is_whole, "an empty cell");
}

/// Checks tests of Go too.
fn tests_that_the_page_names_exist() {
    let named: BTreeSet<&str> = ALL_TESTS.iter().copied().flatten().map(|test| test.name).collect();
    let go = std::fs::read_to_string(repository().join("go/clients_test.go"))
        .expect("Go's tests of clients");
    let page = page();
    let words = page.split('`').skip(1).step_by(2);
    let (mut of_rust, mut of_go) = (0, 0);
    for word in words {
        if let Some(name) = word.strip_prefix("clients::") {
            assert!(named.contains(name), "CLIENTS.md names the test {word}");
            of_rust += 1;
        } else if word.starts_with("Test") {
            assert!(go.contains(&format!("func {word}(")), "CLIENTS.md names the test {word}");
            of_go += 1;
        }
    }
    assert!(
        of_rust > 5 && of_go > 0,
        "{of_rust} tests of Rust and {of_go} of Go: this test does not see them"
    );
}

impl Way {
    pub fn words(self) -> &'static str {
        match self {
            Way::Default => "default",
            Way::Inherit => "`BYTEFD_INHERIT`",
            Way::InheritReadOnly => "`BYTEFD_INHERIT`, `BYTEFD_READ_ONLY`",
            Way::Writable => "`BYTEFD_WRITABLE`",
            Way::FourSeals => "`BYTEFD_SEAL_CONTENT`, then `F_SEAL_SEAL`",
            Way::Executable => "`BYTEFD_EXECUTABLE`",
            Way::Tempfile => "`bytefd_tempfile_create`",
        }
    }
}

impl Pipe {
    pub fn words(self) -> &'static str {
        match self {
            Pipe::Reads => "works",
            Pipe::Fails => "error",
            Pipe::Silent => "wrong, no error",
            Pipe::Untried => "not tried",
        }
    }
}

impl Client {
    /// Returns the cells of this client's row in CLIENTS.md.
    pub fn cells(&self) -> Vec<String> {
        let reads_from = match self.reads_from {
            From::Start => "start",
            From::Offset => "offset",
        };
        let closes = match self.closes {
            Closes::Caller => "caller",
            Closes::Client => "client",
            Closes::ClientOnSuccess => "client, on success",
        };
        let leaves = match self.leaves {
            Leaves::Start => "unchanged",
            Leaves::End => "end",
            Leaves::Anywhere => "anywhere",
        };
        let of_nothing = match self.of_nothing {
            Ok("") => "nothing".into(),
            Ok(text) => format!("“{}”", text.trim_ascii()),
            Err(text) => format!("error “{text}”"),
        };
        let cells = [self.way.words(), reads_from, self.pipe.words(), closes, leaves, &of_nothing];
        let first = format!("`{}`", self.call);
        [first]
            .into_iter()
            .chain(cells.map(String::from))
            .chain([format!("`{}`", self.name)])
            .collect()
    }
}
