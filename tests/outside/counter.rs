//! Processes that count together in a word of shared memory, and wait for each other.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering::SeqCst;

use bytefd::share::{futex_wait, futex_wake};
use bytefd::{Access, Map, MapOptions, PassFd};

const CHILDREN: u32 = 3;
const TURNS: u32 = 1000;

/// The offsets of the words.
const COUNT: usize = 0;
const FINISHED: usize = 64;

fn count(map: &Map) -> bytefd::Result<()> {
    (0..TURNS)
        .try_for_each(|_| map.atomic_u32(COUNT).map(|count| _ = count.fetch_add(1, SeqCst)))?;
    let finished = map.atomic_u32(FINISHED)?;
    finished.fetch_add(1, SeqCst);
    futex_wake(finished, u32::MAX)?;
    Ok(())
}

#[test]
fn processes_count_together() {
    if super::is_child() {
        return count(&MapOptions::new().access(Access::Write).open("/proc/self/fd/3").unwrap())
            .unwrap();
    }
    let map = MapOptions::new().memory(4096).unwrap();
    let children: Vec<_> = (0..CHILDREN)
        .map(|_| {
            let memory =
                map.file().expect("shared memory has a file").as_fd().try_clone_to_owned().unwrap();
            super::again("counter::processes_count_together").pass_fd(memory, 3).spawn().unwrap()
        })
        .collect();
    let finished = map.atomic_u32(FINISHED).unwrap();
    loop {
        let so_far = finished.load(SeqCst);
        if so_far == CHILDREN {
            break;
        }
        futex_wait(finished, so_far).unwrap();
    }
    assert_eq!(map.load_u32(COUNT).unwrap(), CHILDREN * TURNS);
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
}
