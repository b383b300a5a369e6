//! Third-party programs and libraries read wrapped descriptors as they read any file. Each row of
//! CLIENTS.md is a test here.

pub mod archives;
pub mod buses;
pub mod children;
mod client;
pub mod crypto;
pub mod documents;
pub mod gdbus;
pub mod journald;
pub mod kernel;
pub mod libraries;
mod load;
pub mod page;
mod programs;

use client::reopen;

use crate::support::abi::AUTO;
use crate::support::fd;
use crate::tests;

tests![
    a_dup_shares_its_offset_with_the_original,
    threads_with_reopened_descriptors_each_read_everything
];

fn a_dup_shares_its_offset_with_the_original() {
    let fd = fd::wrap_with(b"hello", 0, AUTO).expect("a descriptor");
    assert_eq!(fd::read_through(&fd.try_clone().expect("dup")), b"hello");
    assert_eq!(fd::read_through(&fd), b"");
    assert_eq!(fd::read_through(&reopen(&fd)), b"hello");
}

fn threads_with_reopened_descriptors_each_read_everything() {
    let content = fd::pattern(1 << 20);
    let fd = fd::wrap_with(&content, 0, AUTO).expect("a descriptor");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert!(fd::read_through(&reopen(&fd)) == content));
        }
    });
}
