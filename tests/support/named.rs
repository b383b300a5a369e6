//! Shares objects between processes. They are made through the library, and looked at through the
//! kernel. Starts the other processes.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::ptr::{null, null_mut, without_provenance_mut};
use std::sync::atomic::AtomicU32;

use super::abi::{
    self, AUTO, Error, MapOptions, ShmOptions, SweepResult, SysvOptions, TempfileOptions, WRITABLE,
    WRITE,
};
use super::fd::{Failure, result, wrap_with};
use super::hosts;
use super::map::{self, Map};
use crate::faults::conditions::End;

// Named memory
// -------------------------------------------------------------------------------------------------

/// Returns a name that no other test has. Tests that run beside this one do not look for such
/// names.
pub fn unique(label: &str) -> String {
    format!("named-{}-{label}", std::process::id())
}

/// Returns the path of named memory.
pub fn path(name: &str) -> PathBuf {
    PathBuf::from("/dev/shm").join(name.trim_start_matches('/'))
}

/// A name that is removed with the test.
pub struct Name(pub String);

impl Name {
    /// Makes a name. Where memory cannot have names, says so and returns `None`.
    pub fn new(label: &str) -> Option<Name> {
        if hosts::has_shm() {
            return Some(Name(unique(label)));
        }
        println!(
            "SKIPPED: memory with a name, {label}: nothing can be made in /dev/shm on this host"
        );
        None
    }

    pub fn path(&self) -> PathBuf {
        path(&self.0)
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.path()).or_else(|_| std::fs::remove_dir(self.path()));
    }
}

/// Calls bytefd_shm_open without asking for the whole name.
pub fn shm_open(name: &str, options: &ShmOptions) -> Result<OwnedFd, Failure> {
    let name = CString::new(name).expect("no NUL");
    shm_open_raw(name.as_ptr(), options, null_mut(), 0)
}

/// Calls bytefd_shm_open. Returns the whole name too.
pub fn shm_open_named(name: &str, options: &ShmOptions) -> Result<(OwnedFd, String), Failure> {
    const UNTOUCHED: c_char = 0x55;
    let name = CString::new(name).expect("no NUL");
    let mut full_name = [UNTOUCHED; abi::SHM_NAME_SIZE];
    let opened = shm_open_raw(name.as_ptr(), options, full_name.as_mut_ptr(), full_name.len());
    assert!(
        opened.is_ok() || full_name == [UNTOUCHED; abi::SHM_NAME_SIZE],
        "failure must leave the name alone"
    );
    opened.map(|fd| {
        // SAFETY: a successful call leaves a NUL-terminated text.
        (fd, unsafe { CStr::from_ptr(full_name.as_ptr()) }.to_str().expect("UTF-8").to_string())
    })
}

/// Calls bytefd_shm_open with whatever stands at the pointers.
pub fn shm_open_raw(
    name: *const c_char,
    options: *const ShmOptions,
    full_name: *mut c_char,
    size: usize,
) -> Result<OwnedFd, Failure> {
    let mut error = Error::untouched();
    // SAFETY: NULL or a string, NULL or options, a buffer for the name or NULL, and a writable
    // error.
    let fd = unsafe { (abi::load().shm_open)(name, options, full_name, size, &mut error) };
    // SAFETY: the caller of bytefd_shm_open owns what it returns.
    result(fd, &error).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Calls bytefd_shm_unlink.
pub fn shm_unlink(name: &str) -> Result<(), Failure> {
    let name = CString::new(name).expect("no NUL");
    // SAFETY: a string and a writable error.
    done(|error| unsafe { (abi::load().shm_unlink)(name.as_ptr(), error) })
}

/// Calls bytefd_sweep. Returns the number of names removed.
pub fn sweep() -> Result<c_int, Failure> {
    let mut error = Error::untouched();
    // SAFETY: the result may be NULL; a writable error.
    result(unsafe { (abi::load().sweep)(null_mut(), &mut error) }, &error)
}

/// Calls bytefd_sweep with its result.
pub fn sweep_result() -> SweepResult {
    let mut swept =
        SweepResult { size: size_of::<SweepResult>(), removed: 77, in_use: 77, failed: 77 };
    // SAFETY: a writable struct of its size.
    let removed = unsafe { (abi::load().sweep)(&mut swept, null_mut()) };
    assert_eq!((removed as u64, swept.size), (swept.removed, size_of::<SweepResult>()));
    swept
}

// Temporary files
// -------------------------------------------------------------------------------------------------

/// A bytefd_tempfile.
#[derive(Debug)]
pub struct Tempfile(*mut c_void);

/// Calls bytefd_tempfile_create with a suffix only.
pub fn tempfile(bytes: &[u8], suffix: Option<&CStr>) -> Result<Tempfile, Failure> {
    let suffix = suffix.map_or(null(), CStr::as_ptr);
    tempfile_with(bytes, &TempfileOptions { suffix, ..TempfileOptions::default() })
}

/// Calls bytefd_tempfile_create with what stands at `options`. A failure must leave the out-pointer
/// alone.
pub fn tempfile_with(bytes: &[u8], options: *const TempfileOptions) -> Result<Tempfile, Failure> {
    let untouched: *mut c_void = without_provenance_mut(0x5555);
    let (mut out, mut error) = (untouched, Error::untouched());
    // SAFETY: a buffer, options, and two writable objects.
    let status = unsafe {
        (abi::load().tempfile_create)(
            bytes.as_ptr().cast(),
            bytes.len(),
            options,
            &mut out,
            &mut error,
        )
    };
    let made = result(status, &error).map(|status| assert_eq!(status, 0, "success is 0"));
    assert_eq!(
        made.is_err(),
        out == untouched,
        "failure must leave the out-pointer alone, and success must not"
    );
    made.map(|()| Tempfile(out))
}

impl Tempfile {
    pub fn path(&self) -> PathBuf {
        use std::os::unix::ffi::OsStrExt;
        // SAFETY: a live handle; the path is a string for as long as it lives.
        let path = unsafe { CStr::from_ptr((abi::load().tempfile_path)(self.0)) };
        std::ffi::OsStr::from_bytes(path.to_bytes()).into()
    }

    /// Returns the result of bytefd_tempfile_close.
    pub fn close(self) -> c_int {
        let handle = std::mem::ManuallyDrop::new(self).0;
        // SAFETY: the handle is not used again.
        unsafe { (abi::load().tempfile_close)(handle) }
    }
}

impl Drop for Tempfile {
    fn drop(&mut self) {
        // SAFETY: the handle is not used again.
        assert_eq!(unsafe { (abi::load().tempfile_close)(self.0) }, 0);
    }
}

// System V, dma-bufs
// -------------------------------------------------------------------------------------------------

/// Calls bytefd_map_sysv with what stands at `options`. Returns the segment's number too. A failure
/// must leave both out-pointers alone.
pub fn map_sysv(key: c_int, options: *const SysvOptions) -> Result<(Map, c_int), Failure> {
    const UNTOUCHED: c_int = 0x5555;
    let mut number = UNTOUCHED;
    // SAFETY: options and three writable objects.
    let made = map::made(|out, error| unsafe {
        (abi::load().map_sysv)(key, options, out, &mut number, error)
    });
    assert!(made.is_ok() || number == UNTOUCHED, "failure must leave the number alone");
    made.map(|map| (map, number))
}

/// Calls bytefd_sysv_remove.
pub fn sysv_remove(number: c_int) -> Result<(), Failure> {
    // SAFETY: a writable error.
    done(|error| unsafe { (abi::load().sysv_remove)(number, error) })
}

/// Calls bytefd_export_dmabuf.
pub fn export_dmabuf(fd: c_int) -> Result<OwnedFd, Failure> {
    let mut error = Error::untouched();
    // SAFETY: a writable error.
    let buffer = unsafe { (abi::load().export_dmabuf)(fd, &mut error) };
    // SAFETY: the caller of bytefd_export_dmabuf owns what it returns.
    result(buffer, &error).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

// Waiting for each other
// ----------------------------------------------------------------------------------------------

/// Calls bytefd_file_lock without a limit.
pub fn lock(fd: &impl AsRawFd, offset: u64, length: u64, operation: c_int) -> Result<(), Failure> {
    file_lock(fd, offset, length, operation, -1, 0)
}

/// Calls bytefd_file_lock.
pub fn file_lock(
    fd: &impl AsRawFd,
    offset: u64,
    length: u64,
    operation: c_int,
    timeout: i64,
    flags: u64,
) -> Result<(), Failure> {
    // SAFETY: a writable error.
    done(|error| unsafe {
        (abi::load().file_lock)(fd.as_raw_fd(), offset, length, operation, timeout, flags, error)
    })
}

/// Calls bytefd_file_unlock.
pub fn unlock(fd: &impl AsRawFd, offset: u64, length: u64) -> Result<(), Failure> {
    // SAFETY: a writable error.
    done(|error| unsafe { (abi::load().file_unlock)(fd.as_raw_fd(), offset, length, error) })
}

/// Calls bytefd_futex_wait, which no signal ends.
pub fn wait(word: *const u32, value: u32, timeout: i64) -> Result<(), Failure> {
    futex_wait(word, value, timeout, 0)
}

/// Calls bytefd_futex_wait.
pub fn futex_wait(word: *const u32, value: u32, timeout: i64, flags: u64) -> Result<(), Failure> {
    // SAFETY: what the header allows, or what it says is refused; and a writable error.
    done(|error| unsafe { (abi::load().futex_wait)(word.cast(), value, timeout, flags, error) })
}

/// Calls bytefd_futex_wake.
pub fn wake(word: *const u32, count: u32) -> Result<c_int, Failure> {
    let mut error = Error::untouched();
    // SAFETY: as above.
    result(unsafe { (abi::load().futex_wake)(word.cast(), count, &mut error) }, &error)
}

/// Maps memory that children share: a memory file or, where there are none, the substitute for
/// writable bytes.
pub fn shared(length: usize) -> Map {
    if hosts::has_memfd() {
        return map::memory(length, &MapOptions::default()).expect("memory");
    }
    let file = wrap_with(&vec![0; length], WRITABLE, AUTO).expect("a descriptor");
    map::map_fd(file.as_raw_fd(), &MapOptions { access: WRITE, ..MapOptions::default() })
        .expect("mapped")
}

/// Returns a word of a map, which must not be closed while the word is used.
pub fn word(map: &Map, index: usize) -> &AtomicU32 {
    assert!((index + 1) * 4 <= map.length());
    // SAFETY: aligned, in the map, and only used as an atomic.
    unsafe { AtomicU32::from_ptr(map.data().cast::<u32>().add(index)) }
}

fn done(call: impl FnOnce(*mut Error) -> c_int) -> Result<(), Failure> {
    let mut error = Error::untouched();
    let status = call(&mut error);
    result(status, &error).map(|status| assert_eq!(status, 0, "success is 0"))
}

// Other processes
// -------------------------------------------------------------------------------------------------

/// A forked child. Dropping this ends it.
pub struct Child {
    process: libc::pid_t,
    said: PipeReader,
}

impl Child {
    /// Forks a child, for tests that run alone. `body` says bytes that the parent hears, and
    /// returns the exit code.
    pub fn new(body: impl FnOnce(&mut PipeWriter) -> c_int) -> Child {
        let (said, mut says) = std::io::pipe().expect("a pipe");
        let limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: this process has one thread, so the child may do what it likes.
        let process = unsafe { libc::fork() };
        assert!(process >= 0, "fork: {}", std::io::Error::last_os_error());
        if process == 0 {
            drop(said);
            let body = std::panic::AssertUnwindSafe(|| body(&mut says));
            let code = std::panic::catch_unwind(body).unwrap_or(101);
            // SAFETY: a child that dies on purpose leaves no core; and nothing of the parent's is
            // run at its end.
            unsafe {
                libc::setrlimit(libc::RLIMIT_CORE, &limit);
                libc::_exit(code);
            }
        }
        Child { process, said }
    }

    pub fn process(&self) -> libc::pid_t {
        self.process
    }

    /// Waits for the next byte that the child says.
    pub fn hear(&mut self) -> u8 {
        let mut byte = [0];
        self.said.read_exact(&mut byte).expect("the child says something before it ends");
        byte[0]
    }

    /// Waits until the child sleeps, in a call that waits for another process.
    pub fn wait_until_asleep(&self) {
        self.wait_until(|| state(self.process) == 'S');
    }

    /// Waits until something holds. It cannot hold any more once the child has ended.
    pub fn wait_until(&self, holds: impl Fn() -> bool) {
        while !holds() {
            assert_ne!(state(self.process), 'Z', "the child has ended");
            std::thread::yield_now();
        }
    }

    pub fn kill(self) {
        // SAFETY: our own child, not waited for yet.
        assert_eq!(unsafe { libc::kill(self.process, libc::SIGKILL) }, 0);
        assert_eq!(self.end(), End::Killed(libc::SIGKILL));
    }

    /// Waits for the end of the child.
    pub fn end(mut self) -> End {
        let mut status = 0;
        // SAFETY: our own child; `status` is writable.
        assert_eq!(unsafe { libc::waitpid(self.process, &mut status, 0) }, self.process);
        self.process = 0;
        let is_killed = libc::WIFSIGNALED(status);
        if is_killed {
            End::Killed(libc::WTERMSIG(status))
        } else {
            End::Exited(libc::WEXITSTATUS(status))
        }
    }
}

impl Drop for Child {
    /// Ends the child after a failure.
    fn drop(&mut self) {
        if self.process > 0 {
            // SAFETY: our own child, not waited for yet.
            unsafe {
                libc::kill(self.process, libc::SIGKILL);
                libc::waitpid(self.process, null_mut(), 0);
            }
        }
    }
}

/// Says a byte to the parent.
pub fn say(to: &mut PipeWriter, byte: u8) {
    to.write_all(&[byte]).expect("the parent listens");
}

/// Returns the letter for the state of a process, proc_pid_stat(5).
pub fn state(process: libc::pid_t) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("/proc is mounted");
    stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()).expect("a state")
}

/// Sleeps for good, to be killed.
pub fn sleep_for_ever() -> ! {
    loop {
        // SAFETY: no preconditions.
        unsafe { libc::pause() };
    }
}
