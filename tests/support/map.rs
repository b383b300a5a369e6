//! Makes maps through the library, looks at them through the kernel, and closes them when they are
//! dropped.

use std::ffi::{CString, c_int, c_void};
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::without_provenance_mut;

use super::abi::{self, Abi, Error, MapOptions};
use super::fd::{Failure, result};

/// A bytefd_map.
#[derive(Debug)]
pub struct Map(*mut c_void);

// SAFETY: the header lets any number of threads use one map.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

/// Calls map_file. A failure must leave the out-pointer alone.
pub fn map(path: impl AsRef<Path>, options: &MapOptions) -> Result<Map, Failure> {
    map_raw(path.as_ref(), options)
}

/// Calls map_file for the whole file.
pub fn map_with(path: impl AsRef<Path>, access: u32, flags: u64) -> Result<Map, Failure> {
    map(path, &MapOptions { access, flags, ..MapOptions::default() })
}

/// Calls map_file with whatever stands at `options`.
pub fn map_raw(path: &Path, options: *const MapOptions) -> Result<Map, Failure> {
    let path = CString::new(path.as_os_str().as_bytes()).expect("a path without NUL");
    // SAFETY: a string, options or NULL, and two writable objects.
    made(|out, error| unsafe { (abi::load().map_file)(path.as_ptr(), options, out, error) })
}

/// Calls bytefd_map_fd.
pub fn map_fd(fd: c_int, options: &MapOptions) -> Result<Map, Failure> {
    // SAFETY: options and two writable objects.
    made(|out, error| unsafe { (abi::load().map_fd)(fd, options, out, error) })
}

/// Calls bytefd_map_memory.
pub fn memory(length: usize, options: &MapOptions) -> Result<Map, Failure> {
    // SAFETY: options and two writable objects.
    made(|out, error| unsafe { (abi::load().map_memory)(length, options, out, error) })
}

/// Calls `make`. A failure must leave the out-pointer alone.
pub fn made(make: impl FnOnce(*mut *mut c_void, *mut Error) -> c_int) -> Result<Map, Failure> {
    let untouched: *mut c_void = without_provenance_mut(0x5555);
    let (mut out, mut error) = (untouched, Error::untouched());
    match result(make(&mut out, &mut error), &error) {
        Ok(status) => {
            assert_eq!(status, 0, "success is 0");
            assert!(out != untouched && !out.is_null());
            Ok(Map(out))
        }
        Err(failure) => {
            assert_eq!(out, untouched, "failure must leave the out-pointer alone");
            Err(failure)
        }
    }
}

impl Map {
    /// Returns the pointer, for calls that the methods do not make.
    pub fn raw(&self) -> *mut c_void {
        self.0
    }

    pub fn data(&self) -> *mut u8 {
        // SAFETY: a live map.
        unsafe { (abi::load().map_data)(self.0) }
    }

    pub fn length(&self) -> usize {
        // SAFETY: a live map.
        unsafe { (abi::load().map_length)(self.0) }
    }

    /// Returns a copy of all bytes.
    pub fn bytes(&self) -> Vec<u8> {
        self.part(0, self.length())
    }

    /// Returns a copy of some bytes, for maps that end where no file is.
    pub fn part(&self, start: usize, length: usize) -> Vec<u8> {
        assert!(start + length <= self.length());
        let mut bytes = vec![0; length];
        // SAFETY: within the map, read by the kernel's rules; the tests that call this leave the
        // file long enough.
        unsafe { std::ptr::copy(self.data().add(start), bytes.as_mut_ptr(), length) };
        bytes
    }

    /// Stores bytes at an offset of the map.
    pub fn store(&self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.length());
        // SAFETY: within the map, which is writable in the tests that call this.
        unsafe { std::ptr::copy(bytes.as_ptr(), self.data().add(at), bytes.len()) };
    }

    /// Calls bytefd_map_flush.
    pub fn flush(&self, offset: usize, length: usize, flags: c_int) -> Result<(), Failure> {
        // SAFETY: a live map and a writable error.
        self.done(|abi, map, error| unsafe { (abi.map_flush)(map, offset, length, flags, error) })
    }

    /// Calls bytefd_map_advise.
    pub fn advise(
        &self,
        offset: usize,
        length: usize,
        advice: c_int,
        flags: u64,
    ) -> Result<(), Failure> {
        // SAFETY: as above.
        self.done(|abi, map, error| unsafe {
            (abi.map_advise)(map, offset, length, advice, flags, error)
        })
    }

    /// Calls bytefd_map_mlock.
    pub fn mlock(&self, offset: usize, length: usize) -> Result<(), Failure> {
        // SAFETY: as above.
        self.done(|abi, map, error| unsafe { (abi.map_mlock)(map, offset, length, error) })
    }

    /// Calls bytefd_map_munlock.
    pub fn munlock(&self, offset: usize, length: usize) -> Result<(), Failure> {
        // SAFETY: as above.
        self.done(|abi, map, error| unsafe { (abi.map_munlock)(map, offset, length, error) })
    }

    /// Calls bytefd_map_protect.
    pub fn protect(&self, offset: usize, length: usize, prot: c_int) -> Result<(), Failure> {
        // SAFETY: as above.
        self.done(|abi, map, error| unsafe { (abi.map_protect)(map, offset, length, prot, error) })
    }

    /// Calls bytefd_map_file_size.
    pub fn file_size(&self) -> Result<u64, Failure> {
        const UNTOUCHED: u64 = 0x5555;
        let mut size = UNTOUCHED;
        // SAFETY: a live map and two writable objects.
        let outcome =
            self.done(|abi, map, error| unsafe { (abi.map_file_size)(map, &mut size, error) });
        assert!(outcome.is_ok() || size == UNTOUCHED, "failure must leave the size alone");
        outcome.map(|()| size)
    }

    /// Calls bytefd_map_prefetch.
    pub fn prefetch(&self, offset: usize, length: usize) -> Result<(), Failure> {
        // SAFETY: as above.
        self.done(|abi, map, error| unsafe { (abi.map_prefetch)(map, offset, length, error) })
    }

    /// Calls bytefd_map_check.
    pub fn check(&self) -> Result<(), Failure> {
        // SAFETY: as above.
        self.done(|abi, map, error| unsafe { (abi.map_check)(map, error) })
    }

    /// Calls bytefd_map_unmap.
    pub fn unmap(&mut self, offset: usize, length: usize) -> Result<(), Failure> {
        // SAFETY: as above.
        self.done(|abi, map, error| unsafe { (abi.map_unmap)(map, offset, length, error) })
    }

    /// Calls bytefd_map_resize.
    pub fn resize(&mut self, length: usize) -> Result<(), Failure> {
        // SAFETY: as above.
        self.done(|abi, map, error| unsafe { (abi.map_resize)(map, length, error) })
    }

    /// Calls bytefd_map_seal, which does not wait.
    pub fn seal(&mut self) -> Result<OwnedFd, Failure> {
        self.seal_timeout(0)
    }

    /// Calls bytefd_map_seal.
    pub fn seal_timeout(&mut self, timeout_ns: i64) -> Result<OwnedFd, Failure> {
        let mut error = Error::untouched();
        // SAFETY: a live map and a writable error.
        let fd = result(unsafe { (abi::load().map_seal)(self.0, timeout_ns, &mut error) }, &error)?;
        // SAFETY: the caller of bytefd_map_seal owns what it returns.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// Calls bytefd_map_share.
    pub fn share(&self, flags: u64) -> Result<OwnedFd, Failure> {
        let mut error = Error::untouched();
        // SAFETY: a live map and a writable error.
        let fd = result(unsafe { (abi::load().map_share)(self.0, flags, &mut error) }, &error)?;
        // SAFETY: the caller of bytefd_map_share owns what it returns.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// Calls bytefd_map_descriptor.
    pub fn descriptor(&self) -> Result<BorrowedFd<'_>, Failure> {
        let mut error = Error::untouched();
        // SAFETY: a live map and a writable error.
        let fd = result(unsafe { (abi::load().map_descriptor)(self.0, &mut error) }, &error)?;
        // SAFETY: it is the map's, which is there while it is borrowed.
        Ok(unsafe { BorrowedFd::borrow_raw(fd) })
    }

    /// Calls bytefd_map_read for all of a buffer. Returns how many bytes there were.
    pub fn read(&self, offset: usize, to: &mut [u8]) -> Result<usize, Failure> {
        let (buffer, length) = (to.as_mut_ptr().cast(), to.len());
        // SAFETY: a live map, a writable buffer and two writable objects.
        self.copied(|abi, map, copied, error| unsafe {
            (abi.map_read)(map, offset, buffer, length, copied, error)
        })
    }

    /// Calls bytefd_map_write. Returns how many bytes were stored.
    pub fn write(&self, offset: usize, from: &[u8]) -> Result<usize, Failure> {
        let (buffer, length) = (from.as_ptr().cast(), from.len());
        // SAFETY: a live map, a readable buffer and two writable objects.
        self.copied(|abi, map, copied, error| unsafe {
            (abi.map_write)(map, offset, buffer, length, copied, error)
        })
    }

    fn copied(
        &self,
        copy: impl FnOnce(&Abi, *mut c_void, *mut usize, *mut Error) -> c_int,
    ) -> Result<usize, Failure> {
        const UNTOUCHED: usize = 0x5555;
        let mut copied = UNTOUCHED;
        let outcome = self.done(|abi, map, error| copy(abi, map, &mut copied, error));
        assert!(outcome.is_ok() || copied == UNTOUCHED, "failure must leave the count alone");
        outcome.map(|()| copied)
    }

    fn done(
        &self,
        call: impl FnOnce(&Abi, *mut c_void, *mut Error) -> c_int,
    ) -> Result<(), Failure> {
        let mut error = Error::untouched();
        let status = call(abi::load(), self.0, &mut error);
        result(status, &error).map(|status| assert_eq!(status, 0, "success is 0"))
    }

    /// Returns what /proc/self/smaps says about the mapping that begins at or before the first
    /// byte.
    pub fn region(&self) -> Region {
        region_at(self.data().addr())
    }
}

/// Returns what /proc/self/smaps says about the mapping that has this address.
pub fn region_at(address: usize) -> Region {
    let smaps = std::fs::read_to_string("/proc/self/smaps").expect("/proc is mounted");
    let mut lines = smaps.lines();
    let head = lines
        .find(|line| range(line).is_some_and(|(start, end)| start <= address && address < end));
    let head = head.expect("a mapping of this process").to_string();
    let fields = lines.take_while(|line| range(line).is_none()).map(String::from).collect();
    Region { head, fields }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the map is not used again.
        assert_eq!(unsafe { (abi::load().map_close)(self.0) }, 0);
    }
}

/// An entry of /proc/self/smaps.
pub struct Region {
    head: String,
    fields: Vec<String>,
}

impl Region {
    /// Returns the address at which the mapping ends.
    pub fn end(&self) -> usize {
        range(&self.head).expect("addresses").1
    }

    /// Returns permissions such as "rw-s".
    pub fn permissions(&self) -> &str {
        self.head.split(' ').nth(1).expect("permissions")
    }

    /// Returns a field such as "Rss", in bytes.
    pub fn bytes(&self, field: &str) -> usize {
        let value = self.field(field).trim().strip_suffix(" kB").expect("a size");
        value.parse::<usize>().expect("a number") * 1024
    }

    /// Returns whether the kernel set this two-letter flag, "VmFlags" in proc(5).
    pub fn has_flag(&self, flag: &str) -> bool {
        self.field("VmFlags").split_whitespace().any(|set| set == flag)
    }

    fn field(&self, name: &str) -> &str {
        let mut fields = self.fields.iter().filter_map(|line| line.split_once(':'));
        fields.find(|(key, _)| *key == name).expect("a field of that name").1
    }
}

/// Returns the addresses at the start of an entry's first line.
fn range(line: &str) -> Option<(usize, usize)> {
    let (start, end) = line.split_once(' ')?.0.split_once('-')?;
    Some((usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?))
}

/// Returns whether this process has a mapping of the file.
pub fn is_mapped(path: &Path) -> bool {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("/proc is mounted");
    maps.lines().any(|line| line.ends_with(path.to_str().expect("a UTF-8 path")))
}

/// Returns the bytes in a page.
pub fn page_size() -> usize {
    // SAFETY: no preconditions.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

/// Returns the bytes in a huge page: 2 MiB where pages have 4 KiB, 32 MiB where they have 16 KiB.
/// The library uses huge pages up to 4 MiB. Returns 2 MiB if the kernel has none.
pub fn huge_page_size() -> usize {
    let size = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size");
    size.map_or(2 << 20, |size| size.trim().parse().expect("a number"))
}
