//! Fills every struct of the header that begins with its size with any bytes. The call refuses it
//! as the header says, or does what it asks; nothing is left behind. The struct ends where memory
//! ends, so that reading a byte past its size is a crash.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::ptr::{null, null_mut};

use super::driver::fuzz;
use crate::faults::conditions::with_limit;
use crate::faults::every_way::maps_sealed_files;
use crate::mistakes::places::Fixture;
use crate::support::abi::*;
use crate::support::fd::{content, metadata, pattern, result, seals, wrap_with};
use crate::support::leaks::Holdings;
use crate::support::map::{self, page_size};
use crate::support::named::{Tempfile, map_sysv, shm_unlink, tempfile_with, unique};
use crate::support::share::{pair, send};
use crate::support::{hosts, named};
use crate::wrap::promises::Wish;

/// The longest struct. A larger size is refused without a look at the struct.
const LARGEST: usize = 4096;
/// Enough bytes for the members of every struct.
const ROOM: usize = 64;
/// Keeps large numbers from filling the machine.
const FILE_SIZE_LIMIT: u64 = 1 << 20;

/// The result of a call, and the results that such members may have.
struct Outcome {
    /// A value, or an errno.
    result: Result<(), c_int>,
    /// Whether the header says -EINVAL.
    is_wrong: bool,
    /// If not, the call fails with one of these errors, or succeeds.
    errnos: &'static [c_int],
}

/// Makes the call. `at` is the address of the struct. `members` is its content if its size is
/// right: as many bytes as are known, then zeros.
type Call = fn(&Ground, at: *mut u8, members: &[u8; ROOM]) -> Outcome;

#[derive(Clone, Copy)]
enum Pointer {
    Text,
    Directory,
    Pool,
}

struct Kind {
    name: &'static str,
    size: usize,
    /// Whether the library fills the struct. If so, a size larger than it knows is right.
    is_filled: bool,
    pointers: &'static [(usize, Pointer)],
    call: Call,
}

const fn kind<T>(name: &'static str, call: Call) -> Kind {
    Kind { name, size: size_of::<T>(), is_filled: false, pointers: &[], call }
}

const fn filled<T>(name: &'static str, call: Call) -> Kind {
    Kind { is_filled: true, ..kind::<T>(name, call) }
}

/// The order is that of the first bytes of inputs, so that new kinds go to the end.
const KINDS: [Kind; 14] = [
    Kind {
        pointers: &[(8, Pointer::Text), (16, Pointer::Pool)],
        ..kind::<WrapOptions>("wrap_options", wrap)
    },
    kind::<StreamOptions>("stream_options", stream),
    kind::<PoolOptions>("pool_options", pool),
    kind::<MapOptions>("map_options of a file", map_file),
    kind::<MapOptions>("map_options of memory", map_memory),
    kind::<Requirements>("requirements", verify),
    kind::<TransferOptions>("transfer_options of receive", receive),
    kind::<TransferOptions>("transfer_options of send", send_with),
    kind::<ShmOptions>("shm_options", shm),
    Kind {
        pointers: &[(8, Pointer::Text), (16, Pointer::Directory)],
        ..kind::<TempfileOptions>("tempfile_options", tempfile)
    },
    kind::<SysvOptions>("sysv_options", sysv),
    filled::<PoolStats>("pool_stats", pool_stats),
    filled::<Credentials>("credentials", credentials),
    filled::<SweepResult>("sweep_result", sweep),
];

/// The objects that calls need, and the memory for structs.
struct Ground {
    /// A page that ends where memory ends.
    page: *mut u8,
    fixture: Fixture,
    folder: tempfile::TempDir,
    file: CString,
    sealed: OwnedFd,
    pool: *mut c_void,
    segment: c_int,
    texts: Vec<CString>,
    directories: Vec<CString>,
    maps_sealed: bool,
}

fn text(bytes: impl Into<Vec<u8>>) -> CString {
    CString::new(bytes).expect("no NUL")
}

impl Ground {
    fn new() -> Ground {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        std::fs::write(&file, pattern(2 * page_size())).expect("written");
        let path = |path: &std::path::Path| text(path.as_os_str().as_bytes());
        let directories = vec![path(folder.path()), text("/nowhere"), path(&file), text("")];
        let texts = [b"".to_vec(), b"a label".into(), b"a/b".into(), b"two\nlines".into()]
            .into_iter()
            .chain([vec![b'x'; 200], vec![b'x'; 201], b"..".into(), b"\xff\xfe".into()]);
        let mut pool = null_mut();
        // SAFETY: a new mapping, whose second page is taken away; a writable pointer; shmget
        // touches no memory.
        let (page, segment) = unsafe {
            let (both, kind) = (2 * page_size(), libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            let at = libc::mmap(null_mut(), both, libc::PROT_READ | libc::PROT_WRITE, kind, -1, 0);
            assert_ne!(at, libc::MAP_FAILED);
            let end = at.cast::<u8>().add(page_size());
            assert_eq!(libc::mprotect(end.cast(), page_size(), libc::PROT_NONE), 0);
            assert_eq!((load().pool_create)(null(), &mut pool, null_mut()), 0);
            (at.cast(), libc::shmget(libc::IPC_PRIVATE, page_size(), 0o600))
        };
        assert!(segment >= 0, "a System V segment");
        Ground {
            page,
            fixture: Fixture::new(),
            file: path(&file),
            folder,
            sealed: wrap_with(b"hello", 0, AUTO).expect("wrapped"),
            pool,
            segment,
            texts: texts.map(text).collect(),
            directories,
            maps_sealed: hosts::has_memfd() && maps_sealed_files(),
        }
    }

    /// Returns the pointer that a number in an input stands for; 0 is NULL.
    fn pointer(&self, kind: Pointer, number: u64) -> usize {
        let of = |all: &[CString]| all[number as usize % all.len()].as_ptr().expose_provenance();
        match kind {
            _ if number == 0 => 0,
            Pointer::Text => of(&self.texts),
            Pointer::Directory => of(&self.directories),
            Pointer::Pool => self.pool.expose_provenance(),
        }
    }

    /// Restores the file.
    fn restore(&self) {
        let path = self.folder.path().join("file");
        if std::fs::metadata(&path).expect("the file").len() != 2 * page_size() as u64 {
            std::fs::write(path, pattern(2 * page_size())).expect("written");
        }
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // SAFETY: none of them is used again.
        unsafe {
            assert_eq!((load().pool_close)(self.pool), 0);
            libc::shmctl(self.segment, libc::IPC_RMID, null_mut());
            libc::munmap(self.page.cast(), 2 * page_size());
        }
    }
}

fn read<T: Copy>(members: &[u8; ROOM]) -> T {
    const { assert!(size_of::<T>() <= ROOM) };
    // SAFETY: enough bytes, and the structs consist of numbers and pointers.
    unsafe { members.as_ptr().cast::<T>().read_unaligned() }
}

/// Makes a call, and checks that status and error agree.
fn answer(call: impl FnOnce(*mut Error) -> c_int) -> Result<c_int, c_int> {
    let mut error = Error::untouched();
    let status = call(&mut error);
    result(status, &error).map_err(|failure| failure.errno)
}

fn owned(fd: c_int) -> OwnedFd {
    assert!(fd > 2);
    // SAFETY: a function of the library has just given it away.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn is_timeout(nanoseconds: i64) -> bool {
    nanoseconds >= -1
}

const HELLO: &[u8] = b"hello";

// Structs that are read
// -------------------------------------------------------------------------------------------------

fn wrap(ground: &Ground, at: *mut u8, members: &[u8; ROOM]) -> Outcome {
    let options: WrapOptions = read(members);
    // SAFETY: NULL, or one of our strings.
    let name = (!options.name.is_null()).then(|| unsafe { CStr::from_ptr(options.name) });
    let wish = Wish {
        flags: options.flags,
        backend: options.backend,
        mode: options.mode,
        spill_threshold: options.spill_threshold,
        name: name.map(|name| name.to_bytes().to_vec()),
        bytes: HELLO.to_vec(),
    };
    // SAFETY: valid bytes, and a struct of its size.
    let made = answer(|error| unsafe {
        (load().shm_wrap_buffer)(HELLO.as_ptr().cast(), HELLO.len(), at.cast(), error)
    });
    let result = made.map(|fd| {
        let fd = owned(fd);
        wish.check(&fd, ground.maps_sealed).expect("every promise is kept");
    });
    let is_wrong = !options.pool.is_null() || !wish.refused().is_empty();
    let errnos: &[c_int] =
        if wish.is_possible() { &[] } else { &[libc::EPERM, libc::ENOSYS, libc::EROFS] };
    Outcome { result, is_wrong, errnos }
}

fn stream(_: &Ground, at: *mut u8, members: &[u8; ROOM]) -> Outcome {
    let options: StreamOptions = read(members);
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    std::io::Write::write_all(&mut writer, HELLO).expect("written");
    drop(writer);
    // SAFETY: a struct of its size.
    let made = answer(|error| unsafe {
        (load().wrap_stream)(reader.as_raw_fd(), null(), at.cast(), error)
    });
    let is_wrong = options.flags & !INTERRUPTIBLE != 0
        || options.max_bytes == 0
        || !is_timeout(options.timeout_ns);
    let result = made.map(|fd| {
        assert!(content(&owned(fd)) == HELLO && options.max_bytes >= 5);
    });
    // A time limit of a few nanoseconds may pass.
    let errnos = match options.max_bytes < 5 {
        true => &[libc::EFBIG, libc::ETIMEDOUT][..],
        false => &[libc::ETIMEDOUT],
    };
    Outcome { result, is_wrong, errnos }
}

unsafe extern "C" fn is_hello(fd: c_int, context: *mut c_void) -> c_int {
    let mut bytes = [0u8; 6];
    // SAFETY: room for six bytes; the context is a number of ours.
    unsafe {
        let count = libc::pread(fd, bytes.as_mut_ptr().cast(), 6, 0);
        *context.cast::<bool>() = count == 5 && bytes[..5] == *HELLO;
    }
    0
}

/// Checks that what the pool lends shows the bytes.
fn lends(pool: *mut c_void) -> Result<(), c_int> {
    let mut seen = false;
    let options = WrapOptions { pool, ..WrapOptions::default() };
    // SAFETY: valid bytes, options, function and context.
    answer(|error| unsafe {
        let (bytes, context) = (HELLO.as_ptr().cast(), (&raw mut seen).cast());
        (load().scan_bytes)(bytes, 5, Some(is_hello), context, &options, error)
    })?;
    assert!(seen, "the bytes");
    Ok(())
}

fn pool(_: &Ground, at: *mut u8, members: &[u8; ROOM]) -> Outcome {
    let options: PoolOptions = read(members);
    let mut pool = null_mut();
    // SAFETY: a struct of its size, and a writable pointer.
    let made = answer(|error| unsafe { (load().pool_create)(at.cast(), &mut pool, error) });
    let result = made.and_then(|_| {
        let lent = [lends(pool), lends(pool)];
        // SAFETY: the pool is not used again.
        assert_eq!(unsafe { (load().pool_close)(pool) }, 0);
        lent.into_iter().collect()
    });
    let methods = [0, POOL_AUTO, POOL_REUSE, POOL_NEW_FILES];
    let is_wrong = options.flags != 0
        || !methods.contains(&options.method)
        || !(1..=64).contains(&options.max_files)
        || !is_timeout(options.idle_ns);
    // New files are for hosts that have them. A small pool of them has no room for a page.
    Outcome { result, is_wrong, errnos: &[libc::EOPNOTSUPP, libc::ENOSPC] }
}

const MAP_FLAGS: u64 = 0x3ff << 8;
const MAP_ERRNOS: &[c_int] = &[
    libc::EINVAL,
    libc::ENXIO,
    libc::EFBIG,
    libc::ENOMEM,
    libc::ENOSPC,
    libc::EPERM,
    libc::EAGAIN,
    libc::EOPNOTSUPP,
];

fn is_wrong_map(options: &MapOptions) -> bool {
    options.flags & !MAP_FLAGS != 0
        || ![0, READ, WRITE, PRIVATE].contains(&options.access)
        || options.length == 0
}

fn map_file(ground: &Ground, at: *mut u8, members: &[u8; ROOM]) -> Outcome {
    let options: MapOptions = read(members);
    // SAFETY: a string, a struct of its size, and two writable objects.
    let made = map::made(|out, error| unsafe {
        (load().map_file)(ground.file.as_ptr(), at.cast(), out, error)
    });
    let result = made.map_err(|failure| failure.errno).map(|map| {
        let size = std::fs::metadata(ground.folder.path().join("file")).expect("stat").len();
        let grown = if options.access == WRITE { options.file_size } else { 0 };
        assert_eq!(size, grown.max(2 * page_size() as u64));
        let length = match options.length {
            TO_END => (size - options.offset) as usize,
            length => length,
        };
        assert_eq!(map.length(), length);
        let mut original = pattern(2 * page_size());
        original.resize(size as usize, 0);
        let original = &original[(options.offset as usize).min(size as usize)..];
        let mut found = vec![0; original.len().min(length)];
        assert_eq!(map.read(0, &mut found).expect("read"), found.len());
        assert!(found == original[..found.len()]);
    });
    ground.restore();
    let is_wrong = is_wrong_map(&options) || options.flags & (HUGE_PAGES | WIPE_ON_FORK) != 0;
    Outcome { result, is_wrong, errnos: MAP_ERRNOS }
}

fn map_memory(_: &Ground, at: *mut u8, members: &[u8; ROOM]) -> Outcome {
    let options: MapOptions = read(members);
    // SAFETY: a struct of its size, and two writable objects.
    let made =
        map::made(|out, error| unsafe { (load().map_memory)(page_size(), at.cast(), out, error) });
    let result = made.map_err(|failure| failure.errno).map(|map| {
        assert!(map.length() == page_size() && map.bytes().iter().all(|byte| *byte == 0));
        map.store(0, HELLO);
        assert!(map.bytes().starts_with(HELLO));
    });
    let is_wrong = is_wrong_map(&options)
        || options.access == READ
        || options.flags & (CREATE | BEYOND_EOF) != 0
        || (options.offset, options.length, options.file_size) != (0, TO_END, 0)
        || options.mode != 0;
    Outcome { result, is_wrong, errnos: MAP_ERRNOS }
}

fn verify(ground: &Ground, at: *mut u8, members: &[u8; ROOM]) -> Outcome {
    let wanted: Requirements = read(members);
    // SAFETY: a struct of its size.
    let result =
        answer(|error| unsafe { (load().verify)(ground.sealed.as_raw_fd(), at.cast(), error) });
    let (with_uid, unsealed) =
        (wanted.flags & REQUIRE_UID != 0, wanted.flags & REQUIRE_NO_SEALS != 0);
    let is_wrong = wanted.flags & !(REQUIRE_UID | REQUIRE_NO_SEALS) != 0
        || wanted.seals & !0x3f != 0
        || wanted.max_length == 0
        || wanted.min_length > wanted.max_length
        || !with_uid && wanted.uid != 0
        || unsealed && wanted.seals != 0;
    let asked = match wanted.seals {
        _ if unsealed => 0,
        0 => libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK,
        seals => seals as c_int,
    };
    let has_seals = asked & !seals(&ground.sealed).max(0) == 0;
    let reasons = [
        (!has_seals, &[libc::EPERM][..]),
        (wanted.min_length > 5, &[libc::ENXIO]),
        (wanted.max_length < 5, &[libc::EFBIG]),
        (with_uid && wanted.uid != metadata(&ground.sealed).uid(), &[libc::EACCES]),
    ];
    // The first that is looked at.
    let errnos = reasons.iter().find(|(fails, _)| *fails).map_or(&[][..], |(_, errnos)| errnos);
    assert!(is_wrong || errnos.is_empty() || result.is_err(), "a requirement is not met");
    Outcome { result: result.map(drop), is_wrong, errnos }
}

fn is_wrong_transfer(options: &TransferOptions, known: u64) -> bool {
    options.flags & !known != 0 || !is_timeout(options.timeout_ns)
}

fn receive(ground: &Ground, at: *mut u8, members: &[u8; ROOM]) -> Outcome {
    let options: TransferOptions = read(members);
    let (ours, theirs) = pair(libc::SOCK_STREAM);
    send(&theirs, HELLO, &[&ground.sealed]).expect("sent");
    let (mut message, mut length, mut fd, mut count) = ([0u8; 5], 5, -1, 1);
    // SAFETY: room for what the numbers say, and a struct of its size.
    let received = answer(|error| unsafe {
        let (socket, bytes) = (ours.as_raw_fd(), message.as_mut_ptr().cast());
        (load().receive)(socket, bytes, &mut length, &mut fd, &mut count, null(), at.cast(), error)
    });
    let result = received.map(|_| {
        assert!((length, count, &message[..]) == (5, 1, HELLO));
        assert_eq!(metadata(&owned(fd)).ino(), metadata(&ground.sealed).ino());
    });
    assert!(result.is_ok() || (length, count, fd) == (5, 1, -1), "left alone");
    let is_wrong = is_wrong_transfer(&options, TRANSFER_SOME | INTERRUPTIBLE);
    Outcome { result, is_wrong, errnos: &[libc::ETIMEDOUT] }
}

fn send_with(ground: &Ground, at: *mut u8, members: &[u8; ROOM]) -> Outcome {
    let options: TransferOptions = read(members);
    let (ours, theirs) = pair(libc::SOCK_SEQPACKET);
    let fd = ground.sealed.as_raw_fd();
    // SAFETY: valid bytes, one descriptor, and a struct of its size.
    let sent = answer(|error| unsafe {
        (load().send)(ours.as_raw_fd(), HELLO.as_ptr().cast(), 5, &fd, 1, at.cast(), error)
    });
    let result = sent.map(|_| {
        let (bytes, found) = crate::support::share::plain_receive(&theirs, 10);
        assert!(bytes == HELLO && found.len() == 1);
    });
    let is_wrong = is_wrong_transfer(&options, INTERRUPTIBLE);
    Outcome { result, is_wrong, errnos: &[libc::ETIMEDOUT] }
}

fn shm(_: &Ground, at: *mut u8, members: &[u8; ROOM]) -> Outcome {
    let options: ShmOptions = read(members);
    let name = text(unique("options"));
    let made = named::shm_open_raw(name.as_ptr(), at.cast(), null_mut(), 0);
    let is_owned = options.flags & SHM_OWNED != 0;
    let result = made.map_err(|failure| failure.errno).map(|fd| {
        assert!(options.flags & SHM_CREATE != 0, "nothing was there to be opened");
        assert_eq!(metadata(&fd).len(), options.length);
        let mode = if options.mode == 0 { 0o600 } else { options.mode };
        assert_eq!(metadata(&fd).mode() & 0o7777, mode);
        let prefix = if is_owned { "bytefd-owned." } else { "" };
        shm_unlink(&format!("{prefix}{}", unique("options"))).expect("unlinked");
    });
    let known = SHM_NEW | SHM_OWNED | SHM_ANY_OWNER;
    let creates = options.flags & SHM_CREATE != 0;
    let is_wrong = options.flags & !known != 0
        || options.flags & SHM_EXCLUSIVE != 0 && !creates
        || ![0, READ, WRITE].contains(&options.access)
        || options.mode & !0o777 != 0
        || creates && is_owned && options.mode != 0 && options.mode & 0o600 == 0;
    let errnos = if !creates { &[libc::ENOENT][..] } else { &[libc::EFBIG, libc::ENOENT] };
    let errnos = if hosts::has_shm() { errnos } else { &[libc::ENOENT, libc::EROFS] };
    Outcome { result, is_wrong, errnos }
}

fn tempfile(ground: &Ground, at: *mut u8, members: &[u8; ROOM]) -> Outcome {
    let options: TempfileOptions = read(members);
    let made = tempfile_with(HELLO, at.cast());
    // SAFETY: NULL, or one of our strings.
    let string = |text: *const c_char| (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) });
    let suffix = string(options.suffix).map_or(&b""[..], CStr::to_bytes);
    let result = made.map_err(|failure| failure.errno).map(|file: Tempfile| {
        let path = file.path();
        assert!(path.as_os_str().as_bytes().ends_with(suffix));
        if let Some(directory) = string(options.directory) {
            assert!(path.starts_with(std::ffi::OsStr::from_bytes(directory.to_bytes())));
        }
        assert!(std::fs::read(&path).is_ok_and(|bytes| bytes == HELLO));
        let mode = if options.mode == 0 { 0o600 } else { options.mode };
        assert_eq!(std::fs::metadata(&path).expect("stat").mode() & 0o7777, mode);
        assert_eq!(file.close(), 0);
        assert!(!path.exists());
    });
    let is_wrong = options.flags != 0
        || options.reserved != 0
        || options.mode & !0o777 != 0
        || suffix.contains(&b'/');
    let nowhere = options.directory != ground.directories[0].as_ptr();
    let errnos = match (suffix.len() > 200, nowhere && !options.directory.is_null()) {
        (false, false) => &[][..],
        (true, false) => &[libc::ENAMETOOLONG],
        (_, true) => &[libc::ENAMETOOLONG, libc::ENOENT, libc::ENOTDIR, libc::EINVAL],
    };
    Outcome { result, is_wrong, errnos }
}

fn sysv(ground: &Ground, at: *mut u8, members: &[u8; ROOM]) -> Outcome {
    let options: SysvOptions = read(members);
    let by_id = options.flags & SYSV_BY_ID != 0;
    let key = if by_id { ground.segment } else { libc::IPC_PRIVATE };
    let made = map_sysv(key, at.cast());
    let creates = options.flags & SYSV_CREATE != 0;
    let result = made.map_err(|failure| failure.errno).map(|(map, number)| {
        assert!(creates || by_id && map.length() == page_size());
        assert!(!creates || map.length() == options.length);
        assert!(map.length() >= options.length);
        if creates && options.flags & SYSV_TRANSIENT == 0 {
            named::sysv_remove(number).expect("removed");
        }
    });
    let known = SYSV_NEW | SYSV_BY_ID | SYSV_TRANSIENT;
    let is_wrong = options.flags & !known != 0
        || options.flags & SYSV_EXCLUSIVE != 0 && !creates
        || ![0, READ, WRITE].contains(&options.access)
        || options.mode & !0o777 != 0
        || creates && options.access != WRITE;
    let errnos = &[libc::EINVAL, libc::ENOENT, libc::ENXIO, libc::ENOMEM, libc::ENOSPC];
    Outcome { result, is_wrong, errnos }
}

// Structs that are filled
// -------------------------------------------------------------------------------------------------

const NEVER: &[c_int] = &[];

fn pool_stats(ground: &Ground, at: *mut u8, _: &[u8; ROOM]) -> Outcome {
    // SAFETY: a pool, and a writable struct of its size.
    let result = answer(|error| unsafe { (load().pool_get_stats)(ground.pool, at.cast(), error) });
    Outcome { result: result.map(drop), is_wrong: false, errnos: NEVER }
}

fn credentials(_: &Ground, at: *mut u8, _: &[u8; ROOM]) -> Outcome {
    let (ours, _theirs) = pair(libc::SOCK_STREAM);
    // SAFETY: a writable struct of its size.
    let result =
        answer(|error| unsafe { (load().peer_credentials)(ours.as_raw_fd(), at.cast(), error) });
    let result = result.map(|_| {
        // SAFETY: all members were filled.
        let peer = unsafe { at.cast::<Credentials>().read_unaligned() };
        assert_eq!((peer.pid as u32, peer.reserved), (std::process::id(), 0));
    });
    Outcome { result, is_wrong: false, errnos: NEVER }
}

fn sweep(_: &Ground, at: *mut u8, _: &[u8; ROOM]) -> Outcome {
    // SAFETY: a writable struct of its size.
    let result = answer(|error| unsafe { (load().sweep)(at.cast(), error) });
    Outcome { result: result.map(drop), is_wrong: false, errnos: NEVER }
}

// All of them
// -------------------------------------------------------------------------------------------------

/// Returns the size and the bytes of a struct: as many bytes as its size says and the contract asks
/// for. Those of the input come first, then zeros; pointers lead somewhere.
fn bytes_of(ground: &Ground, kind: &Kind, input: &[u8]) -> (usize, Vec<u8>) {
    let mut size = [0; 8];
    let given = input.len().min(8);
    size[..given].copy_from_slice(&input[..given]);
    let size = usize::from_le_bytes(size);
    let readable = match size {
        0..8 => 8,
        8..=LARGEST => size,
        // Nothing but the size may be looked at; nothing but what is known may be written.
        _ if kind.is_filled => kind.size,
        _ => 8,
    };
    let mut bytes = vec![0; readable];
    let given = input.len().min(readable);
    bytes[..given].copy_from_slice(&input[..given]);
    bytes[..8].copy_from_slice(&size.to_ne_bytes());
    for (offset, pointer) in kind.pointers {
        if let Some(place) = bytes.get_mut(*offset..offset + 8) {
            let number = u64::from_le_bytes(place.try_into().expect("8 bytes"));
            place.copy_from_slice(&ground.pointer(*pointer, number).to_ne_bytes());
        }
    }
    (size, bytes)
}

fn check(ground: &Ground, input: &[u8]) -> &'static str {
    let (first, rest) = input.split_first().unwrap_or((&0, &[]));
    let kind = &KINDS[usize::from(*first) % KINDS.len()];
    let (size, bytes) = bytes_of(ground, kind, rest);
    // SAFETY: the page has room for them, and is ours.
    let at = unsafe {
        let at = ground.page.add(page_size() - bytes.len());
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), at, bytes.len());
        at
    };
    let mut members = [0; ROOM];
    let known = bytes.len().min(kind.size);
    // Of a struct that is too short nothing counts, least of all a part of a pointer.
    if size >= kind.size && bytes.len() >= kind.size {
        members[..known].copy_from_slice(&bytes[..known]);
    }
    let has_more = bytes.iter().skip(kind.size).any(|byte| *byte != 0);
    let of_size = match size {
        _ if size < kind.size => Some(libc::EINVAL),
        _ if kind.is_filled => None,
        _ if size > LARGEST || has_more => Some(libc::E2BIG),
        _ => None,
    };

    let (held, names) = (Holdings::now(), ground.fixture.names());
    let outcome = (kind.call)(ground, at, &members);
    assert!(held.more_now().is_empty(), "{}: {:?}", kind.name, held.more_now());
    assert_eq!(ground.fixture.names(), names, "{}", kind.name);

    // SAFETY: as above; the calls are over.
    let after = unsafe { std::slice::from_raw_parts(at, bytes.len()) };
    let written = if kind.is_filled && outcome.result.is_ok() { 8..known } else { 0..0 };
    for (index, (before, after)) in bytes.iter().zip(after).enumerate() {
        assert!(written.contains(&index) || before == after, "{}, byte {index}", kind.name);
    }

    let Outcome { result, is_wrong, errnos } = outcome;
    match (of_size, result) {
        (Some(errno), result) => assert_eq!(result, Err(errno), "{} of size {size}", kind.name),
        (None, Ok(())) => {
            assert!(!is_wrong, "{}: accepted", kind.name);
            return kind.name;
        }
        // Of two mistakes either may be named.
        (None, Err(errno)) => {
            let is_told = is_wrong && errno == libc::EINVAL || errnos.contains(&errno);
            assert!(is_told, "{}: errno {errno}", kind.name);
        }
    }
    "refused"
}

pub fn any_option_struct_is_refused_or_does_what_it_asks() {
    let ground = Ground::new();
    with_limit(libc::RLIMIT_FSIZE, FILE_SIZE_LIMIT, || {
        fuzz("options", |input| check(&ground, input));
    });
}
