//! Serves a small file system in memory over /dev/fuse, fuse(4). It knows less than others, fails,
//! or does not answer. Requests and replies are as linux/fuse.h has them.
//!
//! A child serves it, not a thread. When the child ends, at the latest with the test, its
//! descriptor of /dev/fuse is closed. The kernel then ends the calls that wait for an answer.

mod server;

use std::collections::BTreeMap;
use std::ffi::c_int;
use std::fs::File;
use std::io::{PipeWriter, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering::SeqCst};

use server::{BATCH_FORGET, FORGET, INTERRUPT, RELEASE, Server};
pub use server::{FALLOCATE, FLUSH, GETATTR, LINK, WRITE};

use crate::faults::conditions::{Mounted, mounted, private_mounts, skip};

const OPCODES: usize = 64;

/// The state that the test and the server share.
struct Shared {
    /// The number of requests of each kind.
    seen: [AtomicU32; OPCODES],
    /// The error that each request of that kind gets, or 0.
    errno: [AtomicI32; OPCODES],
    /// A bit for each kind that gets no answer.
    held: AtomicU64,
    /// Files are not in the page cache, and cannot be mapped shared.
    direct_io: AtomicBool,
    /// No file is longer than this, whatever was written.
    end: AtomicU64,
    /// Bytes from this offset on cannot be read.
    readable: AtomicU64,
}

/// A mounted file system. Dropping it unmounts it, and calls that wait for an answer get an error.
pub struct Fuse {
    shared: &'static Shared,
    mounted: Option<Mounted>,
    /// A byte says that held requests may be answered now. The end of the pipe ends the server.
    control: Option<PipeWriter>,
    server: libc::pid_t,
    path: PathBuf,
    _folder: Option<tempfile::TempDir>,
}

impl Fuse {
    /// Mounts it in a folder of its own. If that is impossible, ends the test, which runs alone.
    pub fn new() -> Fuse {
        let folder = tempfile::tempdir_in("/tmp").expect("a folder");
        let made = Fuse::at(folder.path());
        // Removes the folder even if the test is skipped.
        let folder = made.is_ok().then_some(folder);
        let mut fuse = made
            .unwrap_or_else(|error| skip(format_args!("no file systems by /dev/fuse: {error}")));
        fuse._folder = folder;
        fuse
    }

    /// Mounts it where it hides the content of this path, for this process only.
    pub fn hiding(path: &Path) -> Fuse {
        Fuse::at(path)
            .unwrap_or_else(|error| skip(format_args!("no file systems by /dev/fuse: {error}")))
    }

    fn at(path: &Path) -> std::io::Result<Fuse> {
        private_mounts();
        let device = File::options()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/fuse")?;
        let options = format!(
            "fd={},rootmode=40755,user_id=0,group_id=0,default_permissions",
            device.as_raw_fd()
        );
        let mounted = mounted(c"fuse", c"fuse", path, &options)?;

        let shared: &Shared = shared_zeros();
        shared.end.store(u64::MAX, SeqCst);
        shared.readable.store(u64::MAX, SeqCst);
        let (commands, control) = std::io::pipe().expect("a pipe");
        // SAFETY: this process has one thread, so the child may do what it likes.
        let server = unsafe { libc::fork() };
        assert!(server >= 0, "fork: {}", std::io::Error::last_os_error());
        if server == 0 {
            drop(control);
            // A thread that waits for an answer keeps the pipe open, also in a process that is
            // killed. SAFETY: touches no memory.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            let serve =
                std::panic::AssertUnwindSafe(|| Server::new(device, shared).serve(commands));
            let code = if std::panic::catch_unwind(serve).is_ok() { 0 } else { 101 };
            // SAFETY: nothing of the parent's is run at its end.
            unsafe { libc::_exit(code) };
        }
        Ok(Fuse {
            shared,
            mounted: Some(mounted),
            control: Some(control),
            server,
            path: path.into(),
            _folder: None,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a file with this content. Returns its path.
    pub fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path.join(name);
        std::fs::write(&path, content).expect("written");
        path
    }

    /// Returns the names in its directory.
    pub fn names(&self) -> Vec<std::ffi::OsString> {
        self.path
            .read_dir()
            .expect("a directory")
            .map(|entry| entry.expect("an entry").file_name())
            .collect()
    }

    /// Makes every request of this kind fail from now on; with 0 none does.
    pub fn refuse(&self, opcode: u32, errno: c_int) {
        self.shared.errno[opcode as usize].store(errno, SeqCst);
    }

    /// Leaves requests of these kinds unanswered until the result is dropped.
    pub fn hold(&self, opcodes: &[u32]) -> Held<'_> {
        self.shared.held.store(opcodes.iter().fold(0, |bits, opcode| bits | 1 << opcode), SeqCst);
        Held(self)
    }

    /// Keeps files that are opened from now on out of the page cache.
    pub fn do_direct_io(&self) {
        self.shared.direct_io.store(true, SeqCst);
    }

    /// Cuts every file, as another machine with the same files would. The kernel learns of it when
    /// it asks.
    pub fn cut(&self, end: u64) {
        self.shared.end.store(end, SeqCst);
    }

    /// Makes reading fail from this byte on.
    pub fn lose(&self, from: u64) {
        self.shared.readable.store(from, SeqCst);
    }

    /// Returns the number of requests of each kind, without those that need no answer and that the
    /// kernel sends when it likes.
    pub fn requests(&self) -> BTreeMap<u32, u32> {
        let counts = self
            .shared
            .seen
            .iter()
            .enumerate()
            .map(|(opcode, count)| (opcode as u32, count.load(SeqCst)));
        let counts = counts
            .filter(|(opcode, _)| ![FORGET, BATCH_FORGET, INTERRUPT, RELEASE].contains(opcode));
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        self.mounted = None;
        self.control = None;
        let mut status = 0;
        // SAFETY: our own child, and memory that nobody uses any more.
        unsafe {
            assert_eq!(libc::waitpid(self.server, &mut status, 0), self.server);
            libc::munmap(std::ptr::from_ref(self.shared).cast_mut().cast(), size_of::<Shared>());
        }
        assert!(status == 0 || std::thread::panicking(), "the file system's server: {status:#x}");
    }
}

/// Leaves requests unanswered while it lives.
pub struct Held<'a>(&'a Fuse);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.shared.held.store(0, SeqCst);
        // There is no reader once the server has ended.
        let _ = self.0.control.as_ref().expect("as long as it is mounted").write_all(b"!");
    }
}

/// Makes memory that children share.
fn shared_zeros() -> &'static Shared {
    let (protection, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    // SAFETY: new memory, all-zero, which is a valid value.
    unsafe {
        let at = libc::mmap(std::ptr::null_mut(), size_of::<Shared>(), protection, flags, -1, 0);
        assert_ne!(at, libc::MAP_FAILED);
        &*at.cast()
    }
}
