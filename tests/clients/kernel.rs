//! Tests io_uring. Its requests name registered files and buffers in place of descriptors and
//! addresses.

use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{
    AtomicU32,
    Ordering::{Acquire, Release},
};

use super::client::{Answer, Client, Lent, Pipe, Way, clients};
use crate::support::abi::{AUTO, WRITABLE};
use crate::support::{fd, hosts};

clients![
    FIXED_FILE, FIXED_BUFFER;
    a_sealed_file_is_no_registered_buffer ["io_uring"],
    a_file_is_sealed_once_it_is_no_registered_buffer_any_more ["io_uring"],
];

const FIXED_FILE: Client = Client {
    needs: &["io_uring"],
    pipe: Pipe::Untried,
    ..Client::new("io_uring_fixed_file", "IORING_REGISTER_FILES", fixed_file)
};

const FIXED_BUFFER: Client = Client {
    needs: &["io_uring"],
    way: Way::Writable,
    of_nothing: Err("mmap: Invalid argument"),
    pipe: Pipe::Fails,
    ..Client::new("io_uring_fixed_buffer", "IORING_REGISTER_BUFFERS", fixed_buffer)
};

/// Reads the file by its place in the table of registered ones.
fn fixed_file(lent: &Lent) -> Answer {
    const IORING_REGISTER_FILES: c_int = 2;
    const IORING_OP_READ: u8 = 22;
    let (ring, fd) = (Ring::new(), lent.number());
    ring.register(IORING_REGISTER_FILES, (&raw const fd).cast(), 1)?;
    let mut bytes = vec![0; LENGTH];
    let mut length = 0;
    loop {
        let request = Request {
            opcode: IORING_OP_READ,
            flags: 1, // IOSQE_FIXED_FILE
            fd: 0,
            offset: length as u64,
            address: bytes[length..].as_mut_ptr() as u64,
            length: (bytes.len() - length) as u32,
            ..Request::default()
        };
        match ring.submit(request)? {
            0 => break,
            count => length += count,
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

/// A length greater than that of any row.
const LENGTH: usize = 6 << 20;

/// Maps the file, registers the mapping, and writes it from there to another file.
fn fixed_buffer(lent: &Lent) -> Answer {
    const IORING_OP_WRITE_FIXED: u8 = 5;
    let mapping =
        Mapping::new(lent.number(), libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED)?;
    let ring = Ring::new();
    ring.register_buffer(&mapping)?;
    let copy = tempfile::tempfile().expect("a file");
    let mut written = 0;
    while written < mapping.length {
        let request = Request {
            opcode: IORING_OP_WRITE_FIXED,
            fd: copy.as_raw_fd(),
            offset: written as u64,
            address: mapping.at as u64 + written as u64,
            length: (mapping.length - written) as u32,
            ..Request::default()
        };
        written += ring.submit(request)?;
    }
    Ok(fd::content(&copy.into()))
}

/// The kernel pins pages for writing, whatever the request does.
fn a_sealed_file_is_no_registered_buffer() {
    if !hosts::has_memfd() {
        return println!("SKIPPED: nothing can be sealed on this host");
    }
    let ring = Ring::new();
    let sealed = fd::wrap_with(&fd::pattern(5000), 0, AUTO).expect("a descriptor");
    let mapping = Mapping::new(sealed.as_raw_fd(), libc::PROT_READ, libc::MAP_SHARED);
    let mapping =
        mapping.or_else(|_| Mapping::new(sealed.as_raw_fd(), libc::PROT_READ, libc::MAP_PRIVATE));
    let error = ring.register_buffer(&mapping.expect("mapped")).expect_err("refused");
    assert!(error.contains("Bad address"), "{error}");
}

fn a_file_is_sealed_once_it_is_no_registered_buffer_any_more() {
    if !hosts::has_memfd() {
        return println!("SKIPPED: nothing can be sealed on this host");
    }
    let ring = Ring::new();
    let fd = fd::wrap_with(&fd::pattern(5000), WRITABLE, AUTO).expect("a descriptor");
    let mapping =
        Mapping::new(fd.as_raw_fd(), libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED)
            .expect("mapped");
    ring.register_buffer(&mapping).expect("registered");
    drop(mapping);
    // SAFETY: touches no memory.
    let seal = || unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, libc::F_SEAL_WRITE) };
    assert_eq!((seal(), std::io::Error::last_os_error().raw_os_error()), (-1, Some(libc::EBUSY)));
    ring.unregister_buffers();
    assert_eq!(seal(), 0);
}

// A ring
// -------------------------------------------------------------------------------------------------

/// struct io_uring_sqe.
#[repr(C)]
#[derive(Default)]
struct Request {
    opcode: u8,
    flags: u8,
    priority: u16,
    fd: i32,
    offset: u64,
    address: u64,
    length: u32,
    operation_flags: u32,
    user_data: u64,
    buffer: u16,
    personality: u16,
    splice_fd: i32,
    reserved: [u64; 2],
}

/// The parts of struct io_sqring_offsets and struct io_cqring_offsets that are used here are alike.
#[repr(C)]
#[derive(Default)]
struct Offsets {
    head: u32,
    tail: u32,
    ring_mask: u32,
    ring_entries: u32,
    /// flags, dropped, array; or overflow, cqes, flags.
    others: [u32; 3],
    reserved: [u32; 3],
}

/// struct io_uring_params.
#[repr(C)]
#[derive(Default)]
struct Parameters {
    entries: [u32; 2],
    flags: u32,
    thread: [u32; 2],
    features: u32,
    reserved: [u32; 4],
    submission: Offsets,
    completion: Offsets,
}

/// A ring for one request at a time.
struct Ring {
    requests: Mapping,
    submission: Mapping,
    completion: Mapping,
    parameters: Parameters,
    fd: OwnedFd,
}

impl Ring {
    fn new() -> Ring {
        let mut parameters = Parameters::default();
        // SAFETY: a writable io_uring_params; the descriptor is nobody else's.
        let fd = unsafe {
            let fd = libc::syscall(libc::SYS_io_uring_setup, 1, &raw mut parameters);
            assert!(fd >= 0, "io_uring_setup: {}", std::io::Error::last_os_error());
            OwnedFd::from_raw_fd(fd as c_int)
        };
        let map = |offset| {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            Mapping::of(fd.as_raw_fd(), 4096, access, libc::MAP_SHARED, offset).expect("mapped")
        };
        Ring {
            requests: map(0x1000_0000),
            submission: map(0),
            completion: map(0x800_0000),
            parameters,
            fd,
        }
    }

    /// Submits a request, waits for its answer, and returns the count.
    fn submit(&self, request: Request) -> Result<usize, String> {
        let sq = &self.parameters.submission;
        let cq = &self.parameters.completion;
        // SAFETY: the kernel's offsets lie within the mappings; there is one entry, and one answer
        // waits at most.
        let result = unsafe {
            *self.requests.at.cast::<Request>() = request;
            *self.submission.word(sq.others[2]).as_ptr() = 0;
            let tail = self.submission.word(sq.tail);
            tail.store(tail.load(Acquire).wrapping_add(1), Release);
            const IORING_ENTER_GETEVENTS: u32 = 1;
            let fd = self.fd.as_raw_fd();
            let done = libc::syscall(
                libc::SYS_io_uring_enter,
                fd,
                1,
                1,
                IORING_ENTER_GETEVENTS,
                0usize,
                0usize,
            );
            assert_eq!(done, 1, "io_uring_enter: {}", std::io::Error::last_os_error());
            let head = self.completion.word(cq.head);
            let at = head.load(Acquire);
            assert_ne!(at, self.completion.word(cq.tail).load(Acquire), "an answer");
            // struct io_uring_cqe: user_data, res, flags.
            let entry = cq.others[1] + (at & *self.completion.word(cq.ring_mask).as_ptr()) * 16;
            let result = *self.completion.word(entry + 8).as_ptr() as i32;
            head.store(at.wrapping_add(1), Release);
            result
        };
        usize::try_from(result).map_err(|_| std::io::Error::from_raw_os_error(-result).to_string())
    }

    fn register(&self, what: c_int, arguments: *const c_void, count: u32) -> Result<(), String> {
        // SAFETY: as many arguments as it says.
        let status = unsafe {
            libc::syscall(libc::SYS_io_uring_register, self.fd.as_raw_fd(), what, arguments, count)
        };
        if status == 0 { Ok(()) } else { Err(std::io::Error::last_os_error().to_string()) }
    }

    fn register_buffer(&self, mapping: &Mapping) -> Result<(), String> {
        let buffer = libc::iovec { iov_base: mapping.at, iov_len: mapping.length };
        self.register(0, (&raw const buffer).cast(), 1)
    }

    fn unregister_buffers(&self) {
        self.register(1, std::ptr::null(), 0).expect("unregistered");
    }
}

struct Mapping {
    at: *mut c_void,
    length: usize,
}

impl Mapping {
    /// Maps a whole file.
    fn new(fd: c_int, protection: c_int, flags: c_int) -> Result<Mapping, String> {
        // SAFETY: a writable struct.
        let length = unsafe {
            let mut file = std::mem::zeroed::<libc::stat>();
            assert_eq!(libc::fstat(fd, &mut file), 0);
            file.st_size as usize
        };
        Mapping::of(fd, length, protection, flags, 0)
    }

    fn of(
        fd: c_int,
        length: usize,
        protection: c_int,
        flags: c_int,
        offset: i64,
    ) -> Result<Mapping, String> {
        // SAFETY: a new mapping.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, fd, offset) };
        if at == libc::MAP_FAILED {
            return Err(format!("mmap: {}", std::io::Error::last_os_error()));
        }
        Ok(Mapping { at, length })
    }

    /// # Safety
    /// There is a word at this offset.
    unsafe fn word(&self, offset: u32) -> &AtomicU32 {
        // SAFETY: the caller's promise.
        unsafe { AtomicU32::from_ptr(self.at.byte_add(offset as usize).cast()) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped above, and nothing refers to it.
        unsafe { libc::munmap(self.at, self.length) };
    }
}
