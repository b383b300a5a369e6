//! Declares the shared library again, as the header describes it. Does not use the declarations of
//! the crate.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::PathBuf;
use std::ptr::null;
use std::sync::OnceLock;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Error {
    pub code: c_int,
    pub callback: c_int,
    pub op: [c_char; 32],
    pub message: [c_char; 216],
}

impl Error {
    /// Returns an error that is filled with something that no call would leave.
    pub fn untouched() -> Error {
        Error { code: 77, callback: 77, op: [b'?' as c_char; 32], message: [b'?' as c_char; 216] }
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
    pub pool: *mut c_void,
    pub spill_threshold: u64,
    pub flags: u64,
    pub backend: u32,
    pub mode: u32,
}

impl Default for WrapOptions {
    fn default() -> Self {
        Self {
            size: size_of::<Self>(),
            name: null(),
            pool: std::ptr::null_mut(),
            spill_threshold: UNLIMITED,
            flags: 0,
            backend: 0,
            mode: 0,
        }
    }
}

pub const UNLIMITED: u64 = u64::MAX;

pub const INHERIT: u64 = 1 << 0;
pub const INTERRUPTIBLE: u64 = 1 << 1;

pub const WRITABLE: u64 = 1 << 2;
pub const READ_ONLY: u64 = 1 << 3;
pub const EXECUTABLE: u64 = 1 << 4;
pub const SEAL_CONTENT: u64 = 1 << 5;
pub const TRUST_CALLBACK: u64 = 1 << 6;

pub const AUTO: u32 = 0x8000_0010;
pub const MEMFD: u32 = 0x8000_0011;
pub const SHM: u32 = 0x8000_0012;
pub const TMPFILE: u32 = 0x8000_0013;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct MapOptions {
    pub size: usize,
    pub offset: u64,
    pub length: usize,
    pub file_size: u64,
    pub reserve: usize,
    pub flags: u64,
    pub access: u32,
    pub mode: u32,
}

impl Default for MapOptions {
    fn default() -> Self {
        Self {
            size: size_of::<Self>(),
            offset: 0,
            length: TO_END,
            file_size: 0,
            reserve: 0,
            flags: 0,
            access: 0,
            mode: 0,
        }
    }
}

/// As a length: to the end.
pub const TO_END: usize = usize::MAX;

pub const READ: u32 = 0x8000_0001;
pub const WRITE: u32 = 0x8000_0002;
pub const PRIVATE: u32 = 0x8000_0003;

pub const CREATE: u64 = 1 << 8;
pub const EXECUTE: u64 = 1 << 9;
pub const POPULATE: u64 = 1 << 10;
pub const MLOCK: u64 = 1 << 11;
pub const HUGE_PAGES: u64 = 1 << 12;
pub const NO_RESERVE: u64 = 1 << 13;
pub const BEYOND_EOF: u64 = 1 << 14;
pub const GUARD: u64 = 1 << 15;
pub const NO_FORK: u64 = 1 << 16;
pub const WIPE_ON_FORK: u64 = 1 << 17;

/// For advice that loses content. The advice itself is libc's MADV_*.
pub const LOSE_CONTENT: u64 = 1 << 18;

/// bytefd_pool_options.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct PoolOptions {
    pub size: usize,
    pub max_bytes: u64,
    pub idle_ns: i64,
    pub flags: u64,
    pub max_files: u32,
    pub method: u32,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            size: size_of::<Self>(),
            max_bytes: 64 << 20,
            idle_ns: -1,
            flags: 0,
            max_files: 64,
            method: 0,
        }
    }
}

pub const POOL_AUTO: u32 = 0x8000_0020;
pub const POOL_REUSE: u32 = 0x8000_0021;
pub const POOL_NEW_FILES: u32 = 0x8000_0022;

/// bytefd_pool_stats.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStats {
    pub size: usize,
    pub hits: u64,
    pub misses: u64,
    pub dropped: u64,
    pub lent: u64,
    pub cached_bytes: u64,
}

/// bytefd_shm_options.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ShmOptions {
    pub size: usize,
    pub length: u64,
    pub flags: u64,
    pub access: u32,
    pub mode: u32,
}

impl Default for ShmOptions {
    fn default() -> Self {
        Self { size: size_of::<Self>(), length: 0, flags: 0, access: 0, mode: 0 }
    }
}

pub const SHM_CREATE: u64 = 1 << 24;
pub const SHM_EXCLUSIVE: u64 = 1 << 25;
/// A new object, or an error.
pub const SHM_NEW: u64 = SHM_CREATE | SHM_EXCLUSIVE;
pub const SHM_OWNED: u64 = 1 << 26;
pub const SHM_ANY_OWNER: u64 = 1 << 27;
pub const SHM_NAME_SIZE: usize = 257;

/// bytefd_sweep_result.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweepResult {
    pub size: usize,
    pub removed: u64,
    pub in_use: u64,
    pub failed: u64,
}

/// bytefd_tempfile_options.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct TempfileOptions {
    pub size: usize,
    pub suffix: *const c_char,
    pub directory: *const c_char,
    pub flags: u64,
    pub mode: u32,
    pub reserved: u32,
}

impl Default for TempfileOptions {
    fn default() -> Self {
        Self {
            size: size_of::<Self>(),
            suffix: null(),
            directory: null(),
            flags: 0,
            mode: 0,
            reserved: 0,
        }
    }
}

/// bytefd_sysv_options.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SysvOptions {
    pub size: usize,
    pub length: usize,
    pub flags: u64,
    pub access: u32,
    pub mode: u32,
}

impl Default for SysvOptions {
    fn default() -> Self {
        Self { size: size_of::<Self>(), length: 0, flags: 0, access: 0, mode: 0 }
    }
}

pub const SYSV_CREATE: u64 = 1 << 28;
pub const SYSV_EXCLUSIVE: u64 = 1 << 29;
/// A new segment, or an error.
pub const SYSV_NEW: u64 = SYSV_CREATE | SYSV_EXCLUSIVE;
pub const SYSV_BY_ID: u64 = 1 << 30;
pub const SYSV_TRANSIENT: u64 = 1 << 32;

/// bytefd_requirements.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Requirements {
    pub size: usize,
    pub min_length: u64,
    pub max_length: u64,
    pub flags: u64,
    pub seals: u32,
    pub uid: u32,
}

impl Default for Requirements {
    fn default() -> Self {
        Self {
            size: size_of::<Self>(),
            min_length: 0,
            max_length: u64::MAX,
            flags: 0,
            seals: 0,
            uid: 0,
        }
    }
}

pub const REQUIRE_UID: u64 = 0x10_0000;
pub const REQUIRE_NO_SEALS: u64 = 0x20_0000;

/// bytefd_transfer_options.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct TransferOptions {
    pub size: usize,
    pub timeout_ns: i64,
    pub flags: u64,
}

impl Default for TransferOptions {
    fn default() -> Self {
        Self { size: size_of::<Self>(), timeout_ns: -1, flags: 0 }
    }
}

pub const TRANSFER_SOME: u64 = 0x40_0000;

/// bytefd_credentials.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub size: usize,
    pub pid: c_int,
    pub uid: u32,
    pub gid: u32,
    pub reserved: u32,
}

/// bytefd_stream_options.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct StreamOptions {
    pub size: usize,
    pub max_bytes: u64,
    pub size_hint: u64,
    pub timeout_ns: i64,
    pub flags: u64,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            size: size_of::<Self>(),
            max_bytes: UNLIMITED,
            size_hint: 0,
            timeout_ns: -1,
            flags: 0,
        }
    }
}

pub type ReadFn = Option<unsafe extern "C" fn(*mut c_void, *mut c_void, usize) -> isize>;
pub type ScanFn = Option<unsafe extern "C" fn(c_int, *mut c_void) -> c_int>;

/// The functions of the library.
pub struct Abi {
    pub shm_wrap_buffer:
        unsafe extern "C" fn(*const c_void, usize, *const WrapOptions, *mut Error) -> c_int,
    pub wrap_iov:
        unsafe extern "C" fn(*const libc::iovec, usize, *const WrapOptions, *mut Error) -> c_int,
    pub reopen: unsafe extern "C" fn(c_int, u64, *mut Error) -> c_int,
    pub path: unsafe extern "C" fn(c_int, *mut c_char, usize, *mut Error) -> c_int,
    pub scan_bytes: unsafe extern "C" fn(
        *const c_void,
        usize,
        ScanFn,
        *mut c_void,
        *const WrapOptions,
        *mut Error,
    ) -> c_int,
    pub scan_begin: unsafe extern "C" fn(
        *const c_void,
        usize,
        *const WrapOptions,
        *mut *mut c_void,
        *mut Error,
    ) -> c_int,
    pub scan_begin_iov: unsafe extern "C" fn(
        *const libc::iovec,
        usize,
        *const WrapOptions,
        *mut *mut c_void,
        *mut Error,
    ) -> c_int,
    pub scan_begin_stream: unsafe extern "C" fn(
        c_int,
        *const WrapOptions,
        *const StreamOptions,
        *mut *mut c_void,
        *mut Error,
    ) -> c_int,
    pub scan_begin_reader: unsafe extern "C" fn(
        ReadFn,
        *mut c_void,
        *const WrapOptions,
        *const StreamOptions,
        *mut *mut c_void,
        *mut Error,
    ) -> c_int,
    pub scan_end: unsafe extern "C" fn(*mut c_void) -> c_int,
    pub pool_create:
        unsafe extern "C" fn(*const PoolOptions, *mut *mut c_void, *mut Error) -> c_int,
    pub pool_close: unsafe extern "C" fn(*mut c_void) -> c_int,
    pub pool_trim: unsafe extern "C" fn(*mut c_void, u64, *mut Error) -> c_int,
    pub pool_get_stats: unsafe extern "C" fn(*mut c_void, *mut PoolStats, *mut Error) -> c_int,
    pub map_file: unsafe extern "C" fn(
        *const c_char,
        *const MapOptions,
        *mut *mut c_void,
        *mut Error,
    ) -> c_int,
    pub map_fd:
        unsafe extern "C" fn(c_int, *const MapOptions, *mut *mut c_void, *mut Error) -> c_int,
    pub map_memory:
        unsafe extern "C" fn(usize, *const MapOptions, *mut *mut c_void, *mut Error) -> c_int,
    pub map_descriptor: unsafe extern "C" fn(*const c_void, *mut Error) -> c_int,
    pub map_advise:
        unsafe extern "C" fn(*mut c_void, usize, usize, c_int, u64, *mut Error) -> c_int,
    pub map_mlock: unsafe extern "C" fn(*mut c_void, usize, usize, *mut Error) -> c_int,
    pub map_munlock: unsafe extern "C" fn(*mut c_void, usize, usize, *mut Error) -> c_int,
    pub map_protect: unsafe extern "C" fn(*mut c_void, usize, usize, c_int, *mut Error) -> c_int,
    pub map_prefetch: unsafe extern "C" fn(*mut c_void, usize, usize, *mut Error) -> c_int,
    pub map_unmap: unsafe extern "C" fn(*mut c_void, usize, usize, *mut Error) -> c_int,
    pub map_read: unsafe extern "C" fn(
        *const c_void,
        usize,
        *mut c_void,
        usize,
        *mut usize,
        *mut Error,
    ) -> c_int,
    pub map_write: unsafe extern "C" fn(
        *mut c_void,
        usize,
        *const c_void,
        usize,
        *mut usize,
        *mut Error,
    ) -> c_int,
    pub map_check: unsafe extern "C" fn(*const c_void, *mut Error) -> c_int,
    pub map_file_size: unsafe extern "C" fn(*const c_void, *mut u64, *mut Error) -> c_int,
    pub map_resize: unsafe extern "C" fn(*mut c_void, usize, *mut Error) -> c_int,
    pub map_seal: unsafe extern "C" fn(*mut c_void, i64, *mut Error) -> c_int,
    pub map_share: unsafe extern "C" fn(*mut c_void, u64, *mut Error) -> c_int,
    pub map_data: unsafe extern "C" fn(*const c_void) -> *mut u8,
    pub map_length: unsafe extern "C" fn(*const c_void) -> usize,
    pub map_flush: unsafe extern "C" fn(*mut c_void, usize, usize, c_int, *mut Error) -> c_int,
    pub map_close: unsafe extern "C" fn(*mut c_void) -> c_int,
    pub host_report: unsafe extern "C" fn(*mut c_char, usize, *mut Error) -> c_int,
    pub adopt: unsafe extern "C" fn(*mut c_void, usize, u64, *mut Error) -> c_int,
    pub shm_open: unsafe extern "C" fn(
        *const c_char,
        *const ShmOptions,
        *mut c_char,
        usize,
        *mut Error,
    ) -> c_int,
    pub shm_unlink: unsafe extern "C" fn(*const c_char, *mut Error) -> c_int,
    pub sweep: unsafe extern "C" fn(*mut SweepResult, *mut Error) -> c_int,
    pub tempfile_create: unsafe extern "C" fn(
        *const c_void,
        usize,
        *const TempfileOptions,
        *mut *mut c_void,
        *mut Error,
    ) -> c_int,
    pub tempfile_path: unsafe extern "C" fn(*const c_void) -> *const c_char,
    pub tempfile_close: unsafe extern "C" fn(*mut c_void) -> c_int,
    pub map_sysv: unsafe extern "C" fn(
        c_int,
        *const SysvOptions,
        *mut *mut c_void,
        *mut c_int,
        *mut Error,
    ) -> c_int,
    pub sysv_remove: unsafe extern "C" fn(c_int, *mut Error) -> c_int,
    pub export_dmabuf: unsafe extern "C" fn(c_int, *mut Error) -> c_int,
    pub file_lock: unsafe extern "C" fn(c_int, u64, u64, c_int, i64, u64, *mut Error) -> c_int,
    pub file_unlock: unsafe extern "C" fn(c_int, u64, u64, *mut Error) -> c_int,
    pub futex_wait: unsafe extern "C" fn(*const c_void, u32, i64, u64, *mut Error) -> c_int,
    pub futex_wake: unsafe extern "C" fn(*const c_void, u32, *mut Error) -> c_int,
    pub send: unsafe extern "C" fn(
        c_int,
        *const c_void,
        usize,
        *const c_int,
        usize,
        *const TransferOptions,
        *mut Error,
    ) -> c_int,
    pub receive: unsafe extern "C" fn(
        c_int,
        *mut c_void,
        *mut usize,
        *mut c_int,
        *mut usize,
        *const Requirements,
        *const TransferOptions,
        *mut Error,
    ) -> c_int,
    pub peer_credentials: unsafe extern "C" fn(c_int, *mut Credentials, *mut Error) -> c_int,
    pub verify: unsafe extern "C" fn(c_int, *const Requirements, *mut Error) -> c_int,
    pub version: unsafe extern "C" fn() -> *const c_char,
    pub wrap_reader: unsafe extern "C" fn(
        ReadFn,
        *mut c_void,
        *const WrapOptions,
        *const StreamOptions,
        *mut Error,
    ) -> c_int,
    pub wrap_stream:
        unsafe extern "C" fn(c_int, *const WrapOptions, *const StreamOptions, *mut Error) -> c_int,
}

/// Set to the path of another build of the library, for example the staged one, to test that.
const LIBRARY: &str = "BYTEFD_TEST_LIBRARY";

/// Returns the path of the shared library under test. By default it is the one that was built
/// together with this program and lies beside it, with debug assertions. The one in the folder
/// above can be older.
pub fn library_path() -> PathBuf {
    let beside =
        || std::env::current_exe().expect("this program's path").with_file_name("libbytefd.so");
    std::env::var_os(LIBRARY).map_or_else(beside, PathBuf::from)
}

/// Loads the library once.
pub fn load() -> &'static Abi {
    static ABI: OnceLock<Abi> = OnceLock::new();
    ABI.get_or_init(|| {
        let path = library_path();
        // SAFETY: our library has no initialisers; it is never unloaded.
        let library =
            unsafe { libloading::Library::new(&path) }.expect("the shared library under test");
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
                scan_begin_iov: symbol(library, "bytefd_scan_begin_iov"),
                scan_begin_stream: symbol(library, "bytefd_scan_begin_stream"),
                scan_begin_reader: symbol(library, "bytefd_scan_begin_reader"),
                scan_end: symbol(library, "bytefd_scan_end"),
                pool_create: symbol(library, "bytefd_pool_create"),
                pool_close: symbol(library, "bytefd_pool_close"),
                pool_trim: symbol(library, "bytefd_pool_trim"),
                pool_get_stats: symbol(library, "bytefd_pool_get_stats"),
                map_file: symbol(library, "map_file"),
                map_fd: symbol(library, "bytefd_map_fd"),
                map_memory: symbol(library, "bytefd_map_memory"),
                map_descriptor: symbol(library, "bytefd_map_descriptor"),
                map_advise: symbol(library, "bytefd_map_advise"),
                map_mlock: symbol(library, "bytefd_map_mlock"),
                map_munlock: symbol(library, "bytefd_map_munlock"),
                map_protect: symbol(library, "bytefd_map_protect"),
                map_prefetch: symbol(library, "bytefd_map_prefetch"),
                map_unmap: symbol(library, "bytefd_map_unmap"),
                map_read: symbol(library, "bytefd_map_read"),
                map_write: symbol(library, "bytefd_map_write"),
                map_check: symbol(library, "bytefd_map_check"),
                map_file_size: symbol(library, "bytefd_map_file_size"),
                map_resize: symbol(library, "bytefd_map_resize"),
                map_seal: symbol(library, "bytefd_map_seal"),
                map_share: symbol(library, "bytefd_map_share"),
                map_data: symbol(library, "bytefd_map_data"),
                map_length: symbol(library, "bytefd_map_length"),
                map_flush: symbol(library, "bytefd_map_flush"),
                map_close: symbol(library, "bytefd_map_close"),
                host_report: symbol(library, "bytefd_host_report"),
                adopt: symbol(library, "bytefd_adopt"),
                shm_open: symbol(library, "bytefd_shm_open"),
                shm_unlink: symbol(library, "bytefd_shm_unlink"),
                sweep: symbol(library, "bytefd_sweep"),
                tempfile_create: symbol(library, "bytefd_tempfile_create"),
                tempfile_path: symbol(library, "bytefd_tempfile_path"),
                tempfile_close: symbol(library, "bytefd_tempfile_close"),
                map_sysv: symbol(library, "bytefd_map_sysv"),
                sysv_remove: symbol(library, "bytefd_sysv_remove"),
                export_dmabuf: symbol(library, "bytefd_export_dmabuf"),
                file_lock: symbol(library, "bytefd_file_lock"),
                file_unlock: symbol(library, "bytefd_file_unlock"),
                futex_wait: symbol(library, "bytefd_futex_wait"),
                futex_wake: symbol(library, "bytefd_futex_wake"),
                send: symbol(library, "bytefd_send"),
                receive: symbol(library, "bytefd_receive"),
                peer_credentials: symbol(library, "bytefd_peer_credentials"),
                verify: symbol(library, "bytefd_verify"),
                version: symbol(library, "bytefd_version"),
                wrap_reader: symbol(library, "bytefd_wrap_reader"),
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
