//! The ways that are compared. The library is called through its C functions, as most users do.

use std::ffi::{c_int, c_void};
use std::ptr::{null, null_mut};

use bytefd::ffi::*;

/// Does it once.
pub type Run = Box<dyn FnMut(&[u8])>;

/// Prepares what is not to be measured, for a size.
type Make = fn(usize) -> Run;

pub const RECIPE: usize = 0;
pub const MEMFD: usize = 1;
pub const WRAP: usize = 3;
pub const SCAN: usize = 4;
pub const POOL: usize = 5;
pub const TRUSTED: usize = 6;
pub const MEMCPY: usize = 7;

pub const WAYS: [(&str, Make); 8] = [
    ("usual recipe", |_| Box::new(usual_recipe)),
    ("plain memfd", |_| Box::new(plain_memfd)),
    ("mmap + memcpy", |_| Box::new(mmap_and_memcpy)),
    ("shm_wrap_buffer", |_| Box::new(wrap)),
    ("scan_bytes", |_| Box::new(|bytes| scan(bytes, null()))),
    ("scan, pool", |_| pooled(0)),
    ("scan, trusted", |_| pooled(BYTEFD_TRUST_CALLBACK)),
    ("one memcpy", memcpy),
];

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

/// What most programs do.
fn usual_recipe(bytes: &[u8]) {
    let name = c"/bytefd-bench";
    // SAFETY: valid names and buffers; the descriptor is ours.
    unsafe {
        let fd = check(libc::shm_open(name.as_ptr(), libc::O_RDWR | libc::O_CREAT | libc::O_EXCL, 0o600)) as c_int;
        check(libc::ftruncate(fd, bytes.len() as i64));
        write_all(fd, bytes);
        let mut stat = std::mem::zeroed();
        check(libc::fstat(fd, &mut stat));
        check(libc::close(fd));
        check(libc::shm_unlink(name.as_ptr()));
    }
}

pub fn plain_memfd(bytes: &[u8]) {
    // SAFETY: a valid name; the descriptor is ours.
    unsafe {
        let fd = check(libc::memfd_create(c"bench".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING)) as c_int;
        write_all(fd, bytes);
        check(libc::fcntl(fd, libc::F_ADD_SEALS, 0xf));
        check(libc::close(fd));
    }
}

fn mmap_and_memcpy(bytes: &[u8]) {
    // SAFETY: a mapping of the file's size, written once and removed.
    unsafe {
        let fd = check(libc::memfd_create(c"bench".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING)) as c_int;
        if !bytes.is_empty() {
            check(libc::ftruncate(fd, bytes.len() as i64));
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let at = libc::mmap(null_mut(), bytes.len(), protection, libc::MAP_SHARED, fd, 0);
            assert_ne!(at, libc::MAP_FAILED);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), at.cast(), bytes.len());
            check(libc::munmap(at, bytes.len()));
        }
        check(libc::fcntl(fd, libc::F_ADD_SEALS, 0xf));
        check(libc::close(fd));
    }
}

fn wrap(bytes: &[u8]) {
    // SAFETY: a valid buffer; the descriptor is ours.
    unsafe {
        let fd = shm_wrap_buffer(bytes.as_ptr().cast(), bytes.len(), null(), null_mut());
        check(fd);
        check(libc::close(fd));
    }
}

unsafe extern "C-unwind" fn look(fd: c_int, _: *mut c_void) -> c_int {
    // SAFETY: `stat` is writable.
    unsafe {
        let mut stat = std::mem::zeroed();
        libc::fstat(fd, &mut stat)
    }
}

fn scan(bytes: &[u8], options: *const bytefd_wrap_options) {
    // SAFETY: valid arguments.
    check(unsafe { scan_bytes(bytes.as_ptr().cast(), bytes.len(), Some(look), null_mut(), options, null_mut()) });
}

fn pooled(flags: u64) -> Run {
    let scanner = Scanner::with_pool(flags);
    Box::new(move |bytes| scanner.scan(bytes))
}

/// Options of scans, with their pool if there is one. Threads may share it.
pub struct Scanner(Option<bytefd_wrap_options>);

// SAFETY: the header allows a pool to any number of threads at the same time.
unsafe impl Sync for Scanner {}

impl Scanner {
    /// One of the ways that scan.
    pub fn new(way: usize) -> Scanner {
        match way {
            POOL => Scanner::with_pool(0),
            TRUSTED => Scanner::with_pool(BYTEFD_TRUST_CALLBACK),
            _ => Scanner(None),
        }
    }

    fn with_pool(flags: u64) -> Scanner {
        let mut pool = null_mut();
        let size = size_of::<bytefd_pool_options>();
        let with_room =
            bytefd_pool_options { size, max_bytes: 1 << 30, idle_ns: -1, flags: 0, max_files: 64, method: 0 };
        // SAFETY: valid options and a writable pointer.
        check(unsafe { bytefd_pool_create(&with_room, &mut pool, null_mut()) });
        let size = size_of::<bytefd_wrap_options>();
        let spill_threshold = u64::MAX;
        Scanner(Some(bytefd_wrap_options { size, name: null(), pool, spill_threshold, flags, backend: 0, mode: 0 }))
    }

    pub fn scan(&self, bytes: &[u8]) {
        scan(bytes, self.0.as_ref().map_or(null(), |options| options));
    }
}

impl Drop for Scanner {
    fn drop(&mut self) {
        if let Some(options) = self.0 {
            // SAFETY: made by bytefd_pool_create, and used no more.
            check(bytefd_pool_close(Some(unsafe { Box::from_raw(options.pool) })));
        }
    }
}

/// The limit: the copy alone, between buffers that are warm.
fn memcpy(size: usize) -> Run {
    let mut target = vec![1u8; size];
    Box::new(move |bytes| {
        target.copy_from_slice(bytes);
        std::hint::black_box(&mut target);
    })
}
