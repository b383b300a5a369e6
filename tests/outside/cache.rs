//! A table in named shared memory, which processes change under a lock.

use std::io;
use std::os::fd::AsFd;

use bytefd::share::{LockKind, Shm, ShmOptions, file_lock};
use bytefd::{Access, Map, MapOptions};

const SLOTS: usize = 64;
const SLOT: usize = 16;

struct Cache {
    memory: Shm,
    map: Map,
}

impl Cache {
    fn open(name: &str, unlink: bool) -> io::Result<Cache> {
        let options =
            ShmOptions::new().write(true).length((SLOTS * SLOT) as u64).unlink_on_close(unlink);
        let (memory, _) = options.open_or_create(name)?;
        let map = MapOptions::new().access(Access::Write).map_fd(&memory)?;
        Ok(Cache { memory, map })
    }

    fn place(key: u64) -> usize {
        (key as usize % SLOTS) * SLOT
    }

    /// Adds to what the key has, or takes the slot from another key. Returns what it has now.
    fn add(&self, key: u64, by: u64) -> io::Result<u64> {
        let place = Cache::place(key);
        let _lock =
            file_lock(&self.memory, place as u64..(place + SLOT) as u64, LockKind::Exclusive)?;
        let value =
            self.read(place)?.filter(|(found, _)| *found == key).map_or(0, |(_, value)| value) + by;
        self.map.write_at(&[key.to_le_bytes(), value.to_le_bytes()].concat(), place)?;
        Ok(value)
    }

    fn get(&self, key: u64) -> io::Result<Option<u64>> {
        let place = Cache::place(key);
        let _lock = file_lock(&self.memory, place as u64..(place + SLOT) as u64, LockKind::Shared)?;
        Ok(self.read(place)?.filter(|(found, _)| *found == key).map(|(_, value)| value))
    }

    fn read(&self, place: usize) -> io::Result<Option<(u64, u64)>> {
        let mut slot = [0; SLOT];
        self.map.read_exact_at(&mut slot, place)?;
        let [key, value] =
            [0, 8].map(|at| u64::from_le_bytes(slot[at..at + 8].try_into().expect("8 bytes")));
        Ok((value != 0).then_some((key, value)))
    }
}

#[test]
fn processes_share_a_table_under_locks() {
    if super::is_child() {
        let cache = Cache::open(&std::env::var("OUTSIDE_CACHE").unwrap(), false).unwrap();
        return (0..200).for_each(|_| assert!(cache.add(7, 1).unwrap() > 0));
    }
    let name = format!("outside-cache-{}", std::process::id());
    let cache = Cache::open(&name, true).unwrap();
    let start = || {
        super::again("cache::processes_share_a_table_under_locks")
            .env("OUTSIDE_CACHE", &name)
            .spawn()
    };
    let children = [start().unwrap(), start().unwrap()];
    (0..200).for_each(|_| assert!(cache.add(8, 2).unwrap() > 0));
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(
        (cache.get(7).unwrap(), cache.get(8).unwrap(), cache.get(9).unwrap()),
        (Some(400), Some(400), None)
    );
    // Another key for the slot.
    assert_eq!(cache.add(7 + SLOTS as u64, 5).unwrap(), 5);
    assert_eq!(cache.get(7).unwrap(), None);
    assert!(cache.memory.as_fd().try_clone_to_owned().is_ok());
    drop(cache);
    assert_eq!(ShmOptions::new().open(&name).unwrap_err().kind(), io::ErrorKind::NotFound);
}
