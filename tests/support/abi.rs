//! The shared library as the header describes it, declared anew: what the crate believes of itself is not used here.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::PathBuf;
use std::ptr::null;
use std::sync::OnceLock;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Error {
    pub code: c_int,
    pub op: [c_char; 32],
    pub message: [c_char; 220],
}

impl Error {
    /// Filled with something that no call would leave.
    pub fn untouched() -> Error {
        Error { code: 77, op: [b'?' as c_char; 32], message: [b'?' as c_char; 220] }
    }

    pub fn is_untouched(&self) -> bool {
        self.code == 77 && self.op.iter().chain(&self.message).all(|c| *c == b'?' as c_char)
    }

    pub fn op(&self) -> &str {
        text(&self.op)
    }

    pub fn message(&self) -> &str {
        text(&self.message)
    }
}

fn text(field: &[c_char]) -> &str {
    assert!(field.contains(&0), "a text without a NUL");
    // SAFETY: there is a NUL in the field.
    unsafe { CStr::from_ptr(field.as_ptr()) }.to_str().expect("UTF-8")
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct WrapOptions {
    pub size: usize,
    pub name: *const c_char,
    pub flags: u32,
    pub backend: u32,
    pub mode: u32,
    pub pool: *mut c_void,
}

impl Default for WrapOptions {
    fn default() -> Self {
        Self { size: size_of::<Self>(), name: null(), flags: 0, backend: 0, mode: 0, pool: std::ptr::null_mut() }
    }
}

pub const WRITABLE: u32 = 1;
pub const READ_ONLY: u32 = 2;
pub const EXECUTABLE: u32 = 4;
pub const INHERIT: u32 = 8;
pub const SEAL_CONTENT: u32 = 16;
pub const TRUST_CALLBACK: u32 = 32;

pub const AUTO: u32 = 0;
pub const MEMFD: u32 = 1;
pub const SHM: u32 = 2;
pub const TMPFILE: u32 = 3;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct MapOptions {
    pub size: usize,
    pub offset: u64,
    pub length: usize,
    pub file_size: u64,
    pub access: u32,
    pub flags: u32,
    pub mode: u32,
    pub reserve: usize,
}

impl Default for MapOptions {
    fn default() -> Self {
        Self { size: size_of::<Self>(), offset: 0, length: 0, file_size: 0, access: 0, flags: 0, mode: 0, reserve: 0 }
    }
}

pub const READ: u32 = 0;
pub const WRITE: u32 = 1;
pub const PRIVATE: u32 = 2;

pub const CREATE: u32 = 1;
pub const EXECUTE: u32 = 2;
pub const POPULATE: u32 = 4;
pub const LOCK: u32 = 8;
pub const HUGE_PAGES: u32 = 16;
pub const NO_RESERVE: u32 = 32;
pub const BEYOND_EOF: u32 = 64;
pub const GUARD: u32 = 128;
pub const NO_FORK: u32 = 256;
pub const WIPE_ON_FORK: u32 = 512;

pub const SYNC: u32 = 0;
pub const ASYNC: u32 = 1;
pub const INVALIDATE: u32 = 2;

/// Added to advice that loses content. The advices themselves are libc's MADV_*.
pub const LOSE_DATA: u32 = 0x10000;

/// bytefd_pool_counts.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolCounts {
    pub size: usize,
    pub lent_again: u64,
    pub new_files: u64,
    pub dropped: u64,
    pub kept_bytes: u64,
}

/// bytefd_shm_options.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ShmOptions {
    pub size: usize,
    pub length: u64,
    pub how: u32,
    pub access: u32,
    pub flags: u32,
    pub mode: u32,
}

impl Default for ShmOptions {
    fn default() -> Self {
        Self { size: size_of::<Self>(), length: 0, how: 0, access: 0, flags: 0, mode: 0 }
    }
}

pub const SHM_CREATE: u32 = 1;
pub const SHM_OPEN_OR_CREATE: u32 = 2;
pub const SHM_OWNER: u32 = 1;
pub const SHM_NAME_SIZE: usize = 257;

/// bytefd_sysv_options.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SysvOptions {
    pub size: usize,
    pub length: usize,
    pub how: u32,
    pub access: u32,
    pub mode: u32,
    pub flags: u32,
}

impl Default for SysvOptions {
    fn default() -> Self {
        Self { size: size_of::<Self>(), length: 0, how: 0, access: 0, mode: 0, flags: 0 }
    }
}

pub const SYSV_CREATE: u32 = 1;
pub const SYSV_ATTACH: u32 = 2;
pub const SYSV_OWNER: u32 = 1;

pub const LOCK_SHARED: u32 = 0;
pub const LOCK_EXCLUSIVE: u32 = 1;
pub const LOCK_TRY: u32 = 2;

/// bytefd_requirements.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Requirements {
    pub size: usize,
    pub length: u64,
    pub seals: u32,
    pub flags: u32,
    pub owner: u32,
}

impl Default for Requirements {
    fn default() -> Self {
        Self { size: size_of::<Self>(), length: 0, seals: 0, flags: 0, owner: 0 }
    }
}

pub const REQUIRE_OWNER: u32 = 1;
pub const REQUIRE_NO_SEALS: u32 = 2;

/// bytefd_credentials.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub process: c_int,
    pub user: u32,
    pub group: u32,
}

/// bytefd_stream_options.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct StreamOptions {
    pub size: usize,
    pub most: u64,
    pub spill_above: u64,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self { size: size_of::<Self>(), most: 0, spill_above: 0 }
    }
}

pub type ScanFn = Option<unsafe extern "C" fn(c_int, *mut c_void) -> c_int>;

/// The functions of the library.
pub struct Abi {
    pub shm_wrap_buffer: unsafe extern "C" fn(*const c_void, usize, *const WrapOptions, *mut Error) -> c_int,
    pub wrap_iov: unsafe extern "C" fn(*const libc::iovec, usize, *const WrapOptions, *mut Error) -> c_int,
    pub reopen: unsafe extern "C" fn(c_int, *mut Error) -> c_int,
    pub path: unsafe extern "C" fn(c_int, *mut c_char, usize, *mut Error) -> c_int,
    pub scan_bytes:
        unsafe extern "C" fn(*const c_void, usize, ScanFn, *mut c_void, *const WrapOptions, *mut Error) -> c_int,
    pub scan_begin:
        unsafe extern "C" fn(*const c_void, usize, *const WrapOptions, *mut *mut c_void, *mut Error) -> c_int,
    pub scan_end: unsafe extern "C" fn(*mut c_void) -> c_int,
    pub pool_create: unsafe extern "C" fn(usize, *mut *mut c_void, *mut Error) -> c_int,
    pub pool_destroy: unsafe extern "C" fn(*mut c_void),
    pub pool_trim: unsafe extern "C" fn(*const c_void, usize, *mut Error) -> c_int,
    pub pool_stats: unsafe extern "C" fn(*const c_void, *mut PoolCounts, *mut Error) -> c_int,
    pub map_file: unsafe extern "C" fn(*const c_char, *const MapOptions, *mut *mut c_void, *mut Error) -> c_int,
    pub map_fd: unsafe extern "C" fn(c_int, *const MapOptions, *mut *mut c_void, *mut Error) -> c_int,
    pub map_memory: unsafe extern "C" fn(usize, *const MapOptions, *mut *mut c_void, *mut Error) -> c_int,
    pub map_descriptor: unsafe extern "C" fn(*const c_void, *mut Error) -> c_int,
    pub map_advise: unsafe extern "C" fn(*const c_void, usize, usize, u32, *mut Error) -> c_int,
    pub map_lock: unsafe extern "C" fn(*const c_void, usize, usize, *mut Error) -> c_int,
    pub map_unlock: unsafe extern "C" fn(*const c_void, usize, usize, *mut Error) -> c_int,
    pub map_protect: unsafe extern "C" fn(*const c_void, usize, usize, u32, *mut Error) -> c_int,
    pub map_prefetch: unsafe extern "C" fn(*const c_void, usize, usize, *mut Error) -> c_int,
    pub map_unmap: unsafe extern "C" fn(*mut c_void, usize, usize, *mut Error) -> c_int,
    pub map_read: unsafe extern "C" fn(*const c_void, usize, *mut c_void, usize, *mut usize, *mut Error) -> c_int,
    pub map_write: unsafe extern "C" fn(*const c_void, usize, *const c_void, usize, *mut usize, *mut Error) -> c_int,
    pub map_check: unsafe extern "C" fn(*const c_void, *mut Error) -> c_int,
    pub map_resize: unsafe extern "C" fn(*mut c_void, usize, *mut Error) -> c_int,
    pub map_seal: unsafe extern "C" fn(*mut c_void, *mut Error) -> c_int,
    pub map_data: unsafe extern "C" fn(*const c_void) -> *mut u8,
    pub map_length: unsafe extern "C" fn(*const c_void) -> usize,
    pub map_flush: unsafe extern "C" fn(*const c_void, usize, usize, u32, *mut Error) -> c_int,
    pub map_close: unsafe extern "C" fn(*mut c_void) -> c_int,
    pub host_report: unsafe extern "C" fn(*mut c_char, usize, *mut Error) -> c_int,
    pub adopt: unsafe extern "C" fn(*mut c_void, usize, *mut Error) -> c_int,
    pub shm_open: unsafe extern "C" fn(*const c_char, *const ShmOptions, *mut c_char, usize, *mut Error) -> c_int,
    pub shm_unlink: unsafe extern "C" fn(*const c_char, *mut Error) -> c_int,
    pub shm_sweep: unsafe extern "C" fn(*mut Error) -> c_int,
    pub link: unsafe extern "C" fn(*const c_void, usize, *const c_char, *mut *mut c_void, *mut Error) -> c_int,
    pub link_path: unsafe extern "C" fn(*const c_void) -> *const c_char,
    pub link_release: unsafe extern "C" fn(*mut c_void) -> c_int,
    pub map_sysv: unsafe extern "C" fn(c_int, *const SysvOptions, *mut *mut c_void, *mut c_int, *mut Error) -> c_int,
    pub sysv_remove: unsafe extern "C" fn(c_int, *mut Error) -> c_int,
    pub export_dmabuf: unsafe extern "C" fn(c_int, *mut Error) -> c_int,
    pub lock: unsafe extern "C" fn(c_int, u64, u64, u32, *mut Error) -> c_int,
    pub unlock: unsafe extern "C" fn(c_int, u64, u64, *mut Error) -> c_int,
    pub wait: unsafe extern "C" fn(*const u32, u32, i64, *mut Error) -> c_int,
    pub wake: unsafe extern "C" fn(*const u32, u32, *mut Error) -> c_int,
    pub send: unsafe extern "C" fn(c_int, *const c_void, usize, *const c_int, usize, *mut Error) -> c_int,
    pub receive: unsafe extern "C" fn(
        c_int,
        *mut c_void,
        usize,
        *mut usize,
        *mut c_int,
        usize,
        *const Requirements,
        *mut Error,
    ) -> c_int,
    pub peer: unsafe extern "C" fn(c_int, *mut Credentials, *mut Error) -> c_int,
    pub verify: unsafe extern "C" fn(c_int, *const Requirements, *mut Error) -> c_int,
    pub wrap_stream: unsafe extern "C" fn(c_int, *const StreamOptions, *mut Error) -> c_int,
}

/// Set to the path of another build of the library, which is tested instead: the staged one, say.
const LIBRARY: &str = "BYTEFD_TEST_LIBRARY";

/// The shared library under test. Unless another is chosen, the one that was built together with this program and lies
/// beside it, with debug assertions; the one a folder above can be older.
pub fn library_path() -> PathBuf {
    let beside = || std::env::current_exe().expect("this program's path").with_file_name("libbytefd.so");
    std::env::var_os(LIBRARY).map_or_else(beside, PathBuf::from)
}

/// Loads the library once.
pub fn load() -> &'static Abi {
    static ABI: OnceLock<Abi> = OnceLock::new();
    ABI.get_or_init(|| {
        let path = library_path();
        // SAFETY: our library has no initialisers; it is never unloaded.
        let library = unsafe { libloading::Library::new(&path) }.expect("the shared library under test");
        let library: &'static libloading::Library = Box::leak(Box::new(library));
        // SAFETY: the types are those of the header.
        unsafe {
            Abi {
                shm_wrap_buffer: symbol(library, "shm_wrap_buffer"),
                wrap_iov: symbol(library, "bytefd_wrap_iov"),
                reopen: symbol(library, "bytefd_reopen"),
                path: symbol(library, "bytefd_path"),
                scan_bytes: symbol(library, "scan_bytes"),
                scan_begin: symbol(library, "bytefd_scan_begin"),
                scan_end: symbol(library, "bytefd_scan_end"),
                pool_create: symbol(library, "bytefd_pool_create"),
                pool_destroy: symbol(library, "bytefd_pool_destroy"),
                pool_trim: symbol(library, "bytefd_pool_trim"),
                pool_stats: symbol(library, "bytefd_pool_stats"),
                map_file: symbol(library, "map_file"),
                map_fd: symbol(library, "bytefd_map_fd"),
                map_memory: symbol(library, "bytefd_map_memory"),
                map_descriptor: symbol(library, "bytefd_map_descriptor"),
                map_advise: symbol(library, "bytefd_map_advise"),
                map_lock: symbol(library, "bytefd_map_lock"),
                map_unlock: symbol(library, "bytefd_map_unlock"),
                map_protect: symbol(library, "bytefd_map_protect"),
                map_prefetch: symbol(library, "bytefd_map_prefetch"),
                map_unmap: symbol(library, "bytefd_map_unmap"),
                map_read: symbol(library, "bytefd_map_read"),
                map_write: symbol(library, "bytefd_map_write"),
                map_check: symbol(library, "bytefd_map_check"),
                map_resize: symbol(library, "bytefd_map_resize"),
                map_seal: symbol(library, "bytefd_map_seal"),
                map_data: symbol(library, "bytefd_map_data"),
                map_length: symbol(library, "bytefd_map_length"),
                map_flush: symbol(library, "bytefd_map_flush"),
                map_close: symbol(library, "bytefd_map_close"),
                host_report: symbol(library, "bytefd_host_report"),
                adopt: symbol(library, "bytefd_adopt"),
                shm_open: symbol(library, "bytefd_shm_open"),
                shm_unlink: symbol(library, "bytefd_shm_unlink"),
                shm_sweep: symbol(library, "bytefd_shm_sweep"),
                link: symbol(library, "bytefd_link"),
                link_path: symbol(library, "bytefd_link_path"),
                link_release: symbol(library, "bytefd_link_release"),
                map_sysv: symbol(library, "bytefd_map_sysv"),
                sysv_remove: symbol(library, "bytefd_sysv_remove"),
                export_dmabuf: symbol(library, "bytefd_export_dmabuf"),
                lock: symbol(library, "bytefd_lock"),
                unlock: symbol(library, "bytefd_unlock"),
                wait: symbol(library, "bytefd_wait"),
                wake: symbol(library, "bytefd_wake"),
                send: symbol(library, "bytefd_send"),
                receive: symbol(library, "bytefd_receive"),
                peer: symbol(library, "bytefd_peer"),
                verify: symbol(library, "bytefd_verify"),
                wrap_stream: symbol(library, "bytefd_wrap_stream"),
            }
        }
    })
}

/// # Safety
/// `T` is the type of the symbol.
unsafe fn symbol<T: Copy>(library: &'static libloading::Library, name: &str) -> T {
    // SAFETY: the caller vouches for the type.
    *unsafe { library.get::<T>(name.as_bytes()) }.unwrap_or_else(|error| panic!("{name}: {error}"))
}
