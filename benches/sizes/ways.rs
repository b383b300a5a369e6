//! The ways that are compared. The library is called through its C functions, as most users do.

use std::ffi::{CString, c_int, c_void};
use std::ptr::{null, null_mut};
use std::sync::Mutex;

use bytefd::ffi::*;

/// Runs the way once. Several threads may call it at the same time.
pub type Run = Box<dyn Fn(&[u8]) + Sync>;

/// Prepares a size and a number of threads, which is not measured.
type Make = fn(usize, usize) -> Run;

/// Red, green, blue.
type Colour = (u8, u8, u8);

pub const MEMFD: usize = 0;
/// The host's ways. A programmer with knowledge of the host would take the fastest of these.
pub const BY_HAND: [usize; 3] = [MEMFD, 1, 2];
pub const WRAP: usize = 5;
pub const SCAN: usize = 6;
pub const MEMCPY: usize = WAYS.len() - 1;

/// Names, and the colour of each way that is drawn with its range.
pub const WAYS: &[(&str, Option<Colour>, Make)] = &[
    ("plain memfd", None, |_, _| Box::new(plain_memfd)),
    ("collapsed + pwrite", None, |_, _| Box::new(|bytes| in_huge_pages(bytes, false))),
    ("collapsed + memcpy", None, |_, _| Box::new(|bytes| in_huge_pages(bytes, true))),
    ("usual recipe", Some((150, 150, 150)), |_, _| Box::new(usual_recipe)),
    ("mmap + memcpy", Some((200, 170, 130)), |_, _| Box::new(mmap_and_memcpy)),
    ("shm_wrap_buffer", Some((30, 90, 180)), |_, _| Box::new(wrap)),
    ("scan_bytes", Some((110, 170, 225)), |_, _| Box::new(|bytes| scan(bytes, null()))),
    ("pool, reuse", Some((20, 140, 80)), |_, _| pooled(BYTEFD_POOL_REUSE, 0)),
    ("pool, new files", Some((190, 60, 60)), |_, _| pooled(BYTEFD_POOL_NEW_FILES, 0)),
    ("pool, auto", Some((150, 60, 160)), |_, _| pooled(BYTEFD_POOL_AUTO, 0)),
    ("pool, trusted", Some((230, 120, 20)), |_, _| pooled(BYTEFD_POOL_AUTO, BYTEFD_TRUST_CALLBACK)),
    ("one memcpy", None, memcpy),
];

pub fn is_pool(way: usize) -> bool {
    WAYS[way].0.starts_with("pool")
}

/// Returns whether a way is for this size. Small files are not put into huge pages, which would be
/// mostly zeros; these take longer than all the rest.
pub fn is_for(way: usize, size: usize) -> bool {
    way == MEMFD || !BY_HAND.contains(&way) || size >= 512 << 10
}

fn check(value: impl TryInto<i64>) -> i64 {
    let value = value.try_into().unwrap_or(i64::MAX);
    assert!(value >= 0, "{}", std::io::Error::last_os_error());
    value
}

fn write_all(fd: c_int, bytes: &[u8]) {
    let mut rest = bytes;
    while !rest.is_empty() {
        // SAFETY: `rest` is readable.
        let count = check(unsafe { libc::write(fd, rest.as_ptr().cast(), rest.len()) } as i64);
        rest = &rest[count as usize..];
    }
}

thread_local! {
    static NAME: CString = {
        // SAFETY: touches no memory.
        let thread = unsafe { libc::gettid() };
        CString::new(format!("/bytefd-bench-{thread}")).expect("no NUL")
    };
}

/// Does what most programs do.
fn usual_recipe(bytes: &[u8]) {
    // SAFETY: valid names and buffers; the descriptor is ours.
    NAME.with(|name| unsafe {
        let fd = check(libc::shm_open(
            name.as_ptr(),
            libc::O_RDWR | libc::O_CREAT | libc::O_EXCL,
            0o600,
        )) as c_int;
        check(libc::ftruncate(fd, bytes.len() as i64));
        write_all(fd, bytes);
        let mut stat = std::mem::zeroed();
        check(libc::fstat(fd, &mut stat));
        check(libc::close(fd));
        check(libc::shm_unlink(name.as_ptr()));
    });
}

/// Makes a memfd, fills it, seals it and closes it.
fn memfd(fill: impl FnOnce(c_int)) {
    // SAFETY: a valid name; the descriptor is ours.
    unsafe {
        let fd = check(libc::memfd_create(
            c"bench".as_ptr(),
            libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING,
        )) as c_int;
        fill(fd);
        // The kernel may use pages for a moment, to move them.
        while libc::fcntl(fd, libc::F_ADD_SEALS, 0xf) != 0 {
            let error = std::io::Error::last_os_error();
            assert_eq!(error.raw_os_error(), Some(libc::EBUSY), "{error}");
        }
        check(libc::close(fd));
    }
}

fn plain_memfd(bytes: &[u8]) {
    memfd(|fd| write_all(fd, bytes));
}

fn mmap_and_memcpy(bytes: &[u8]) {
    // SAFETY: the mapping has the file's size, is written once and removed.
    memfd(|fd| unsafe {
        check(libc::ftruncate(fd, bytes.len() as i64));
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let at = libc::mmap(null_mut(), bytes.len(), protection, libc::MAP_SHARED, fd, 0);
        assert_ne!(at, libc::MAP_FAILED);
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), at.cast(), bytes.len());
        check(libc::munmap(at, bytes.len()));
    });
}

/// Collapses every extent into a huge page, and then fills it through its mapping or by the kernel.
/// If the kernel gives no huge page, the extent has small ones.
fn in_huge_pages(bytes: &[u8], is_memcpy: bool) {
    const EXTENT: usize = 2 << 20;
    const MADV_COLLAPSE: c_int = 25;
    // SAFETY: the address space has two extents, in which an aligned one is mapped again and again.
    // A copy is no longer than the rest of the file.
    memfd(|fd| unsafe {
        check(libc::ftruncate(fd, bytes.len() as i64));
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let room = libc::mmap(null_mut(), 2 * EXTENT, libc::PROT_NONE, flags, -1, 0);
        assert_ne!(room, libc::MAP_FAILED);
        let at = room.byte_add(room.align_offset(EXTENT));
        for (number, part) in bytes.chunks(EXTENT).enumerate() {
            let offset = (number * EXTENT) as i64;
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            assert_eq!(
                libc::mmap(at, EXTENT, protection, libc::MAP_SHARED | libc::MAP_FIXED, fd, offset),
                at
            );
            // An extent without a page cannot be collapsed.
            at.cast::<u8>().write_volatile(part[0]);
            libc::madvise(at, EXTENT, MADV_COLLAPSE);
            if is_memcpy {
                std::ptr::copy_nonoverlapping(part.as_ptr(), at.cast(), part.len());
            } else {
                assert_eq!(
                    libc::pwrite(fd, part.as_ptr().cast(), part.len(), offset),
                    part.len() as isize
                );
            }
        }
        check(libc::munmap(room, 2 * EXTENT));
    });
}

fn wrap(bytes: &[u8]) {
    // SAFETY: a valid buffer; the descriptor is ours.
    unsafe {
        let fd = shm_wrap_buffer(bytes.as_ptr().cast(), bytes.len(), null(), null_mut());
        check(fd);
        check(libc::close(fd));
    }
}

/// Does nothing, because the other ways do not read the content either.
unsafe extern "C-unwind" fn nothing(_: c_int, _: *mut c_void) -> c_int {
    0
}

fn scan(bytes: &[u8], options: *const bytefd_wrap_options) {
    // SAFETY: valid arguments.
    check(unsafe {
        scan_bytes(
            bytes.as_ptr().cast(),
            bytes.len(),
            Some(nothing),
            null_mut(),
            options,
            null_mut(),
        )
    });
}

/// Options with a pool.
struct Pooled(bytefd_wrap_options);

// SAFETY: the header allows any number of threads to use a pool at the same time.
unsafe impl Sync for Pooled {}

fn pooled(method: u32, flags: u64) -> Run {
    let mut pool = null_mut();
    let size = size_of::<bytefd_pool_options>();
    let with_room = bytefd_pool_options {
        size,
        max_bytes: 1 << 30,
        idle_ns: -1,
        flags: 0,
        max_files: 64,
        method,
    };
    // SAFETY: valid options and a writable pointer.
    check(unsafe { bytefd_pool_create(&with_room, &mut pool, null_mut()) });
    let size = size_of::<bytefd_wrap_options>();
    let spill_threshold = u64::MAX;
    let pooled = Pooled(bytefd_wrap_options {
        size,
        name: null(),
        pool,
        spill_threshold,
        flags,
        backend: 0,
        mode: 0,
    });
    Box::new(move |bytes| pooled.scan(bytes))
}

impl Pooled {
    fn scan(&self, bytes: &[u8]) {
        scan(bytes, &self.0);
    }
}

/// Measures the limit: the copy alone, between buffers that are in the cache.
fn memcpy(size: usize, threads: usize) -> Run {
    let targets: Vec<_> = (0..threads).map(|_| Mutex::new(vec![1u8; size])).collect();
    Box::new(move |bytes| {
        let mut target =
            targets.iter().find_map(|target| target.try_lock().ok()).expect("one for each thread");
        target.copy_from_slice(bytes);
        std::hint::black_box(&mut *target);
    })
}
