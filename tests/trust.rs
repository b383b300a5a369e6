//! Checks that SECURITY.md says which user can do what to which object. Each cell of its table is
//! tried, and each test that it names must exist.

use std::ffi::{CString, c_int, c_void};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use crate::faults::conditions::*;
use crate::pool::Pool;
use crate::pool::new_files::begin_new;
use crate::support::abi::*;
use crate::support::fd::{Failure, wrap};
use crate::support::map::memory;
use crate::support::named::*;
use crate::support::share::{plain_receive, plain_send};
use crate::support::tools::repository;
use crate::tests;

tests![every_test_that_the_page_names_exists; alone: who_can_do_what_is_what_the_page_says];

const SECRET: &[u8] = b"secret";

/// The users: the maker of an object and all with the same user, and another user.
const OWN: u32 = 65533;
const OTHER: u32 = 65534;

/// An object, made by a process that keeps it.
struct Object {
    fd: OwnedFd,
    /// The path by which others find it.
    path: Option<PathBuf>,
    /// The address at which it is mapped.
    data: Option<*mut u8>,
    /// What must not be dropped earlier.
    _kept: Box<dyn std::any::Any>,
}

type Make = fn() -> Object;

/// The rows of the table.
const OBJECTS: &[(&str, Make)] = &[
    ("a descriptor, as it is made by default", || plain(0)),
    ("a descriptor with `BYTEFD_WRITABLE`", || plain(WRITABLE)),
    ("a file that a pool lends", || {
        let pool = Pool::new(1 << 20);
        // The second scan is lent a kept file.
        pool.scan(SECRET, |_| ());
        let lent = pool.begin(0, SECRET);
        Object { fd: duplicate(lent.fd), path: None, data: None, _kept: Box::new((lent, pool)) }
    }),
    ("a new file that a pool lends", || {
        let pool = pool_of_new_files().expect("asked before");
        // Shorter contents are in memfds.
        let lent = begin_new(&pool, &[SECRET, &[0; 4096]].concat());
        Object { fd: duplicate(lent.fd), path: None, data: None, _kept: Box::new((lent, pool)) }
    }),
    ("memory of `bytefd_map_memory`", || {
        let map = memory(SECRET.len(), &MapOptions::default()).expect("memory");
        map.store(0, SECRET);
        let fd = map.descriptor().expect("kept").try_clone_to_owned().expect("dup");
        Object { fd, path: None, data: Some(map.data()), _kept: Box::new(map) }
    }),
    ("what `bytefd_map_share` gives to others", || {
        let map = memory(SECRET.len(), &MapOptions::default()).expect("memory");
        map.store(0, SECRET);
        let fd = map.share(0).expect("shared");
        Object { fd, path: None, data: Some(map.data()), _kept: Box::new(map) }
    }),
    ("memory with a name, mode 0600", || {
        let length = SECRET.len() as u64;
        let options = ShmOptions {
            flags: SHM_NEW | SHM_OWNED,
            access: WRITE,
            length,
            ..ShmOptions::default()
        };
        let (fd, name) = shm_open_named("object", &options).expect("made");
        write_at(fd.as_raw_fd(), SECRET);
        Object { fd, path: Some(path(&name)), data: None, _kept: Box::new(()) }
    }),
    ("a temporary file", || {
        let file = tempfile(SECRET, None).expect("created");
        let path = file.path();
        let fd = std::fs::File::open(&path).expect("opened").into();
        Object { fd, path: Some(path), data: None, _kept: Box::new(file) }
    }),
];

fn pool_of_new_files() -> Result<Pool, Failure> {
    Pool::with(&PoolOptions { method: POOL_NEW_FILES, ..PoolOptions::default() })
}

fn plain(flags: u64) -> Object {
    let fd = wrap(SECRET, &WrapOptions { flags, ..WrapOptions::default() }).expect("wrapped");
    Object { fd, path: None, data: None, _kept: Box::new(()) }
}

/// The columns: the process that tries, and its way of access.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Actor {
    Maker,
    Child,
    /// Has been sent the descriptor.
    Receiver(u32),
    /// Looks for it in /proc and by its name.
    Stranger(u32),
}

const ACTORS: [Actor; 7] = [
    Actor::Maker,
    Actor::Child,
    Actor::Receiver(OWN),
    Actor::Receiver(OTHER),
    Actor::Stranger(OWN),
    Actor::Stranger(OTHER),
    Actor::Stranger(0),
];

const READS: c_int = 1;
const CHANGES: c_int = 2;

fn duplicate(fd: c_int) -> OwnedFd {
    // SAFETY: a new descriptor, which is nobody else's.
    unsafe { OwnedFd::from_raw_fd(libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3)) }
}

fn write_at(fd: c_int, bytes: &[u8]) -> bool {
    // SAFETY: readable bytes.
    unsafe { libc::pwrite(fd, bytes.as_ptr().cast(), bytes.len(), 0) == bytes.len() as isize }
}

fn open(path: &CString, flags: c_int) -> Option<OwnedFd> {
    // SAFETY: a string; the descriptor is nobody else's.
    unsafe {
        let fd = libc::open(path.as_ptr(), flags | libc::O_CLOEXEC);
        (fd >= 0).then(|| OwnedFd::from_raw_fd(fd))
    }
}

/// Tries everything. Does not undo what works.
fn attempt(given: Option<c_int>, paths: &[CString], data: Option<*mut u8>) -> c_int {
    let mut found = 0;
    let mut opened: Vec<OwnedFd> = given.map(duplicate).into_iter().collect();
    // A process that has a descriptor can also open its file once more.
    let own = given.map(|fd| CString::new(format!("/proc/self/fd/{fd}")).expect("no NUL"));
    for path in paths.iter().chain(&own) {
        opened.extend([libc::O_RDONLY, libc::O_RDWR].iter().filter_map(|flags| open(path, *flags)));
        // SAFETY: a string.
        if unsafe { libc::chmod(path.as_ptr(), 0o666) } == 0 {
            opened.extend(open(path, libc::O_RDWR));
        }
    }
    for fd in &opened {
        let fd = fd.as_raw_fd();
        let mut bytes = [0u8; 6];
        // SAFETY: a writable buffer; a new mapping, which is stored to only if it is there.
        unsafe {
            if libc::pread(fd, bytes.as_mut_ptr().cast(), bytes.len(), 0) == 6
                && (bytes == SECRET || found != 0)
            {
                found |= READS;
            }
            let at = libc::mmap(std::ptr::null_mut(), 6, libc::PROT_WRITE, libc::MAP_SHARED, fd, 0);
            if at != libc::MAP_FAILED {
                at.cast::<u8>().write_volatile(b'X');
                found |= CHANGES;
            }
        }
        if write_at(fd, b"Y") {
            found |= CHANGES;
        }
        // SAFETY: touches no memory.
        let is_cut = unsafe {
            libc::fallocate(fd, libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE, 0, 4) == 0
                || libc::ftruncate(fd, 5) == 0
                || libc::ftruncate(fd, 7) == 0
        };
        found |= if is_cut { CHANGES } else { 0 };
    }
    if let Some(data) = data {
        // SAFETY: a byte of the map.
        unsafe { data.write_volatile(b'Z') };
        found |= READS | CHANGES;
    }
    found
}

fn become_user(user: u32) {
    // SAFETY: concerns this process, which ends with the test.
    unsafe {
        assert_eq!(libc::setgroups(0, std::ptr::null()), 0);
        assert_eq!(libc::setresgid(user, user, user) | libc::setresuid(user, user, user), 0);
        // The process is like a program that was started by that user.
        assert_eq!(libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0), 0);
    }
}

fn exit_code(end: End) -> c_int {
    match end {
        End::Exited(code) => code,
        killed => panic!("{killed:?}"),
    }
}

/// Returns what an actor can do to an object that another process has just made.
fn outcome(make: Make, actor: Actor) -> c_int {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    // Both ends of the pair are the maker's, so that its death is seen.
    let maker = Child::new(move |_| {
        become_user(OWN);
        let object = make();
        let fd = object.fd.as_raw_fd();
        let path = object.path.as_ref().map_or(&b""[..], |path| path.as_os_str().as_bytes());
        plain_send(&theirs, &[format!("{fd}\n").as_bytes(), path].concat(), &[fd]);
        match actor {
            Actor::Maker => attempt(Some(fd), &[], object.data),
            Actor::Child => exit_code(Child::new(|_| attempt(Some(fd), &[], object.data)).end()),
            _ => sleep_for_ever(),
        }
    });
    let (message, mut received) = plain_receive(&ours, 4096);
    let received = received.remove(0);
    let line = message.iter().position(|byte| *byte == b'\n').expect("a line");
    let number = String::from_utf8_lossy(&message[..line]).into_owned();
    let in_proc = CString::new(format!("/proc/{}/fd/{number}", maker.process())).expect("no NUL");
    let by_name = CString::new(&message[line + 1..]).expect("no NUL");
    let found = match actor {
        Actor::Maker | Actor::Child => exit_code(maker.end()),
        Actor::Receiver(user) | Actor::Stranger(user) => {
            let given = matches!(actor, Actor::Receiver(_)).then(|| received.as_raw_fd());
            let end = Child::new(|_| {
                become_user(user);
                let paths = [in_proc, by_name]
                    .into_iter()
                    .filter(|path| given.is_none() && !path.is_empty());
                attempt(given, &paths.collect::<Vec<_>>(), None)
            });
            let found = exit_code(end.end());
            maker.kill();
            found
        }
    };
    let mut bytes = [0u8; 8];
    // SAFETY: a writable buffer.
    let length = unsafe {
        libc::pread(received.as_raw_fd(), bytes.as_mut_ptr().cast::<c_void>(), bytes.len(), 0)
    };
    let is_changed = !bytes[..length.max(0) as usize].starts_with(SECRET);
    assert_eq!(
        is_changed,
        found & CHANGES != 0,
        "{actor:?}: what it says, and what is there: {bytes:?}"
    );
    drop(received);
    // This removes what the maker has left, which may have been killed.
    let swept = Child::new(|_| {
        become_user(OWN);
        i32::from(sweep_result().failed > 0)
    });
    assert_eq!(swept.end(), End::Exited(0));
    found
}

fn page() -> String {
    std::fs::read_to_string(repository().join("SECURITY.md")).expect("the page")
}

fn who_can_do_what_is_what_the_page_says() {
    // SAFETY: no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        skip("only root can become other users");
    }
    if !crate::support::hosts::has_memfd() {
        skip("no memory files on this host");
    }
    let has_new_files = Child::new(|_| {
        become_user(OWN);
        pool_of_new_files().is_ok().into()
    });
    if has_new_files.end() != End::Exited(1) {
        skip("no file system of one's own on this host");
    }
    let _shm = hide("/dev/shm", "mode=1777");
    let words = |found| ["nothing", "reads", "changes", "reads, changes"][found as usize];
    let mut tried = String::new();
    for (name, make) in OBJECTS {
        let cells = ACTORS.map(|actor| words(outcome(*make, actor)));
        tried += &format!("| {name} | {} |\n", cells.join(" | "));
    }
    assert!(page().contains(&tried), "SECURITY.md does not have this table:\n{tried}");
}

fn every_test_that_the_page_names_exists() {
    let page = page();
    let names: Vec<&str> =
        page.split('`').skip(1).step_by(2).filter(|word| word.contains("::")).collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        let (group, test) = name.split_once("::").expect("two words");
        let is_there = crate::GROUPS
            .iter()
            .any(|(known, tests)| *known == group && tests.iter().any(|one| one.name == test));
        assert!(is_there, "SECURITY.md names {name}, which does not exist");
    }
}
