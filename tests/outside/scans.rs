//! Threads that scan pages with one pool, each through a library that wants a descriptor.

use std::fs::File;
use std::io::{self, IoSlice, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc;

use bytefd::{Pool, PoolOptions, StreamOptions, WrapOptions};

/// Stands for the library: reads a descriptor from its offset on.
fn checksum(fd: BorrowedFd<'_>) -> io::Result<u64> {
    let mut bytes = Vec::new();
    File::from(fd.try_clone_to_owned()?).read_to_end(&mut bytes)?;
    Ok(bytes
        .iter()
        .fold(bytes.len() as u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte))))
}

fn expected(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(bytes.len() as u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)))
}

#[test]
fn threads_scan_with_one_pool_and_see_their_own_bytes() {
    let pool = PoolOptions::new().max_bytes(8 << 20).max_files(4).create().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let pool = &pool;
            scope.spawn(move || {
                for round in 0..100 {
                    let page = super::pattern(1 + (round * 977 + thread * 31) % 50_000);
                    assert_eq!(pool.scan(&page, checksum).unwrap().unwrap(), expected(&page));
                }
            });
        }
    });
    let stats = pool.stats();
    assert_eq!((stats.hits + stats.misses, stats.lent), (400, 0));
    assert!(stats.hits > 0 && stats.cached_bytes <= 8 << 20, "{stats:?}");
}

/// Begins a loan in one thread, and ends it in another, after the pool.
#[test]
fn loans_cross_threads_and_outlive_the_pool() {
    let (sender, receiver) = mpsc::channel();
    let scanner = std::thread::spawn(move || {
        receiver
            .into_iter()
            .map(|lent: bytefd::Scan| checksum(lent.as_fd()).unwrap())
            .collect::<Vec<_>>()
    });
    let pool = Pool::new(1 << 20);
    let options = WrapOptions::new().name("page");
    sender.send(pool.scan_begin(b"hello", &options).unwrap()).unwrap();
    let segments = [IoSlice::new(b"hel"), IoSlice::new(b"lo")];
    sender.send(pool.scan_begin_vectored(&segments, &options).unwrap()).unwrap();
    sender
        .send(pool.scan_begin_reader(&b"hello"[..], &options, &StreamOptions::new()).unwrap())
        .unwrap();
    drop((pool, sender));
    assert_eq!(scanner.join().unwrap(), [expected(b"hello"); 3]);
}
