//! Options of a wrap, and the steps that follow from them: backend -> fill -> seal -> descriptor.

use std::borrow::Cow;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use super::descriptor::{inherit, reopen};
use crate::backend::{self, Backend, EmptyFile, Execution};
use crate::error::{Context, Errno, Error, Result};
use crate::fill::Copier;
use crate::sys::features;
use crate::{fill, sys};

/// Maximum number of bytes in a file's name. The kernel allows 249 for a memfd; a smaller maximum
/// leaves room for additions.
const NAME_MAX: usize = 200;

/// Copies `bytes` into a new sealed file and returns its descriptor, with all defaults of
/// [`WrapOptions`].
///
/// The descriptor refers to a regular file of exactly this length, at offset 0, with mode 0400, and
/// is close-on-exec. The seals prevent every change of the file's content and size.
///
/// On hosts without memfd_create(2) the file is not sealed. Its descriptor is then open for reading
/// only. Use [`Backend::Memfd`] to require seals.
///
/// ```
/// use std::io::Read;
/// let fd = bytefd::wrap(b"hello")?;
/// let mut text = String::new();
/// std::fs::File::from(fd).read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// See [`WrapOptions::wrap`].
pub fn wrap(bytes: &[u8]) -> Result<OwnedFd> {
    WrapOptions::new().wrap(bytes)
}

/// Selects how a descriptor is made from bytes. The default is a sealed file of mode 0400 and a
/// descriptor that is close-on-exec.
///
/// ```
/// use bytefd::WrapOptions;
/// let fd = WrapOptions::new().name("config.json").read_only(true).wrap(b"{}")?;
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing until bytes are wrapped with them"]
pub struct WrapOptions {
    name: Option<OsString>,
    /// The limit of memory; `None` for no limit.
    spill_threshold: Option<u64>,
    backend: Backend,
    mode: u32,
    writable: bool,
    read_only: bool,
    executable: bool,
    inherit: bool,
    seal_content: bool,
    trust_callback: bool,
}

impl WrapOptions {
    /// Returns the default options.
    ///
    /// ```
    /// let fd = bytefd::WrapOptions::new().wrap(b"")?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn new() -> WrapOptions {
        WrapOptions::default()
    }

    /// Sets a label that is shown in /proc/self/fd and /proc/self/maps: 1 to 200 bytes without `/`,
    /// newline and NUL. It need not be unique. The default is `bytefd`. Only memory files show it.
    ///
    /// ```
    /// let fd = bytefd::WrapOptions::new().name("upload").wrap(b"x")?;
    /// let shown = std::fs::read_link(bytefd::path(&fd))?;
    /// assert_eq!(shown.to_str(), Some("/memfd:upload (deleted)"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn name(mut self, name: impl AsRef<OsStr>) -> WrapOptions {
        self.name = Some(name.as_ref().into());
        self
    }

    /// Sets the largest content that is stored in memory. Longer content goes to an unlinked file
    /// in `$TMPDIR`, /tmp or /var/tmp instead, which is usually on disk. Every function that takes
    /// these options obeys this one. Such a file has no seals and belongs to no pool. Its
    /// descriptor is open for reading only, unless [`WrapOptions::writable`] is set. The default is
    /// no limit.
    ///
    /// Set it in a process with a memory cgroup. The kernel kills a process whose copies exceed the
    /// limit of its cgroup, and no function can turn that into an error.
    ///
    /// `EINVAL` with [`Backend::Memfd`], and with [`WrapOptions::seal_content`].
    ///
    /// ```
    /// let options = bytefd::WrapOptions::new().spill_threshold(64 << 20);
    /// let fd = options.wrap(b"stays in memory")?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn spill_threshold(mut self, bytes: u64) -> WrapOptions {
        self.spill_threshold = Some(bytes).filter(|bytes| *bytes < u64::MAX);
        self
    }

    /// Selects the kind of file; see [`Backend`]. A file that cannot be sealed is opened read-only
    /// instead, unless [`WrapOptions::writable`] is set. Use [`Backend::Memfd`] to require seals.
    ///
    /// ```
    /// use bytefd::{Backend, WrapOptions};
    /// let fd = WrapOptions::new().backend(Backend::TmpFile).wrap(b"on disk")?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn backend(mut self, backend: Backend) -> WrapOptions {
        self.backend = backend;
        self
    }

    /// Sets the permission bits. 0 means the default: 0400; 0600 if writable, 0500 if executable,
    /// 0700 if both. The owner's read bit must be set. Execute bits need
    /// [`WrapOptions::executable`].
    ///
    /// ```
    /// let fd = bytefd::WrapOptions::new().mode(0o444).wrap(b"x")?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn mode(mut self, mode: u32) -> WrapOptions {
        self.mode = mode;
        self
    }

    /// Opens the file for reading and writing, without seals and with mode 0600. Content and size
    /// can be changed, and on a memfd seals can be added later. (Where `vm.memfd_noexec` is 2 the
    /// kernel itself adds the seal against execution.)
    ///
    /// ```
    /// use std::io::Write;
    /// let fd = bytefd::WrapOptions::new().writable(true).wrap(b"hello")?;
    /// std::fs::File::from(fd).write_all(b"J")?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn writable(mut self, yes: bool) -> WrapOptions {
        self.writable = yes;
        self
    }

    /// Opens the descriptor for reading only (`O_RDONLY`), for code that checks the access mode.
    /// The file has the same seals as without this option. Needs /proc; otherwise `ENOENT`.
    /// `EINVAL` with [`WrapOptions::writable`].
    ///
    /// ```
    /// let fd = bytefd::WrapOptions::new().read_only(true).wrap(b"hello")?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn read_only(mut self, yes: bool) -> WrapOptions {
        self.read_only = yes;
        self
    }

    /// Makes the file executable, with mode 0500. Without this option execve(2) of the file is
    /// refused. Linux 6.3 and later refuse it permanently, by a seal, unless
    /// [`WrapOptions::writable`] or [`WrapOptions::seal_content`] is set. Only execve(2) is
    /// refused: a `PROT_EXEC` mapping of any file works.
    ///
    /// A script needs [`WrapOptions::inherit`] too, because its interpreter opens it after
    /// close-on-exec has taken effect.
    ///
    /// After dlopen(3) of `/proc/self/fd/N`, keep the descriptor open for as long as the object may
    /// be loaded. The dynamic linker remembers the name. If a later file gets the number N, dlopen
    /// returns the first object again.
    ///
    /// ```
    /// let program = std::fs::read("/bin/true")?;
    /// let fd = bytefd::WrapOptions::new().executable(true).wrap(&program)?;
    /// assert!(std::process::Command::new(bytefd::path(&fd)).status()?.success());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn executable(mut self, yes: bool) -> WrapOptions {
        self.executable = yes;
        self
    }

    /// Clears close-on-exec: every program that this process executes from now on, from any thread,
    /// has the descriptor under the same number. All children share one file offset. Do not use
    /// this option for content that some of the children must not see: in a trial, 159 of 160
    /// children saw more than one upload. [`PassFd`](crate::PassFd) gives a descriptor only to the
    /// children of one `Command`, and [`reopen`] gives it a file offset of its own.
    ///
    /// ```
    /// let fd = bytefd::WrapOptions::new().inherit(true).wrap(b"hello")?;
    /// let seen = std::process::Command::new("cat").arg(bytefd::path(&fd)).output()?;
    /// assert_eq!(seen.stdout, b"hello");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn inherit(mut self, yes: bool) -> WrapOptions {
        self.inherit = yes;
        self
    }

    /// Omits F_SEAL_SEAL and the seal against execution, so that the caller can add seals. The file
    /// has F_SEAL_WRITE, F_SEAL_GROW and F_SEAL_SHRINK. Where `vm.memfd_noexec` is 2, the kernel
    /// also adds F_SEAL_EXEC.
    ///
    /// The descriptor is open for reading and writing, because adding seals needs that. Kernels
    /// before 6.7 map it privately only. With [`WrapOptions::read_only`] no seal can be added
    /// through it. Implies [`Backend::Memfd`]; another backend is `EINVAL`, and so is
    /// [`WrapOptions::writable`].
    ///
    /// ```
    /// let fd = bytefd::WrapOptions::new().seal_content(true).wrap(b"hello")?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn seal_content(mut self, yes: bool) -> WrapOptions {
        self.seal_content = yes;
        self
    }

    /// Lends a cached file of a pool for reading and writing, without the kernel's proof that
    /// nobody else has it open. The caller promises that the borrower keeps nothing and changes
    /// nothing. See [`crate::Pool::scan`]. `EINVAL` without a pool, and with a pool of
    /// [`PoolMethod::NewFiles`](crate::PoolMethod::NewFiles).
    ///
    /// Warning: never use this option for a borrower in another process, or if the program may end
    /// the scan at a deadline while the borrower still runs. Such a borrower can still read the
    /// file when the scan has ended, and then reads the next upload. In a trial, 12 of 12 late
    /// answers belonged to the next upload.
    ///
    /// ```
    /// use bytefd::{Pool, WrapOptions};
    /// let pool = Pool::new(64 << 20);
    /// let lent = pool.scan_begin(b"hello", &WrapOptions::new().trust_callback(true))?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn trust_callback(mut self, yes: bool) -> WrapOptions {
        self.trust_callback = yes;
        self
    }

    /// Copies `bytes` into a new file and returns its descriptor. Safe from any thread; blocks for
    /// the copying only.
    ///
    /// ```
    /// let fd = bytefd::WrapOptions::new().wrap(b"hello")?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// Nothing is left behind.
    /// - `EINVAL` if options contradict each other, a name or mode is invalid, or
    ///   [`WrapOptions::trust_callback`] is set.
    /// - `EFAULT` if part of the bytes lies in a lost page: a page of a mapped file that was
    ///   truncated, or the zeros that replaced it
    ///   ([`MapOptions::guard`](crate::MapOptions::guard)).
    /// - `EFBIG` if the length exceeds RLIMIT_FSIZE. SIGXFSZ is not raised.
    /// - `ENOSPC` if the file system behind the backend is full.
    /// - `EMFILE`, `ENFILE`, `ENOMEM` if descriptors or memory run out.
    /// - Other errors of the backend.
    ///
    /// If a memory cgroup is full, the kernel kills a process in it instead; see
    /// [`WrapOptions::spill_threshold`].
    pub fn wrap(&self, bytes: &[u8]) -> Result<OwnedFd> {
        self.wrap_vectored(&[IoSlice::new(bytes)])
    }

    /// [`WrapOptions::wrap`] for content that lies in several places: the file holds the segments
    /// in their order.
    ///
    /// ```
    /// use std::io::IoSlice;
    /// let content = [IoSlice::new(b"head"), IoSlice::new(b"body")];
    /// let fd = bytefd::WrapOptions::new().wrap_vectored(&content)?;
    /// assert_eq!(std::fs::read(bytefd::path(&fd))?, b"headbody");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`WrapOptions::wrap`].
    pub fn wrap_vectored(&self, segments: &[IoSlice<'_>]) -> Result<OwnedFd> {
        let plan = self.plan()?;
        let total = fill::total_length(segments)?;
        let make = |copier| -> Result<_> {
            let file = plan.create(total)?;
            let huge = Some(copier).filter(|_| file.backend == Backend::Memfd);
            fill::fill(file.fd.as_fd(), segments, huge)?;
            plan.finish(file)
        };
        match make(Copier::Fastest) {
            // A child that was forked meanwhile maps the file, or the kernel uses its pages, for
            // example to move them. The second attempt uses other pages, and maps them only
            // privately and for reading.
            Err(error) if error.errno() == libc::EBUSY => make(Copier::Kernel),
            finished => finished,
        }
    }

    pub(crate) fn is_inherited(&self) -> bool {
        self.inherit
    }

    /// Returns whether content of this length goes to a file on disk.
    pub(crate) fn spills(&self, length: u64) -> bool {
        self.spill_threshold.is_some_and(|threshold| length > threshold)
    }

    /// Checks the options against each other and fills in the defaults.
    pub(crate) fn plan(&self) -> Result<Plan<'_>> {
        if self.writable && (self.read_only || self.seal_content) {
            let other = if self.read_only { "read-only" } else { "sealed" };
            return Err(Error::new(
                "options",
                libc::EINVAL,
                format_args!("writable and {other} exclude each other"),
            ));
        }
        if self.trust_callback {
            return Err(Error::new(
                "options",
                libc::EINVAL,
                "trust_callback is for scans with a pool",
            ));
        }
        let backend = match self.backend {
            Backend::Auto if self.seal_content => Backend::Memfd,
            unsealable @ (Backend::Shm | Backend::TmpFile) if self.seal_content => {
                let message =
                    format!("asked for seals on a {unsealable:?} file; only a memfd can be sealed");
                return Err(Error::new("options", libc::EINVAL, message));
            }
            backend => backend,
        };
        self.check_spilling(backend)?;
        let execution = match (self.executable, self.writable || self.seal_content) {
            (true, _) => Execution::Wanted,
            (false, true) => Execution::Undecided,
            (false, false) => Execution::Forbidden,
        };
        let content = libc::F_SEAL_WRITE | libc::F_SEAL_GROW | libc::F_SEAL_SHRINK;
        let seals = if self.seal_content { content } else { content | libc::F_SEAL_SEAL };
        Ok(Plan {
            options: self,
            name: self.checked_name()?,
            backend,
            execution,
            mode: self.checked_mode()?,
            seals,
        })
    }

    fn check_spilling(&self, backend: Backend) -> Result<()> {
        if self.spill_threshold.is_none() || backend != Backend::Memfd {
            return Ok(());
        }
        let message =
            "spill_threshold puts content on disk; the memfd backend and seals keep it in memory";
        Err(Error::new("spill_threshold", libc::EINVAL, message))
    }

    /// Checks that a pool supports these options.
    pub(crate) fn loan(&self) -> Result<LoanOptions<'_>> {
        let problem = if self.mode != 0 {
            "mode is for a new file, not for a file of a pool"
        } else if self.writable || self.executable || self.seal_content {
            "writable, executable and seal_content are for a new file, not for a file of a pool"
        } else if !matches!(self.backend, Backend::Auto | Backend::Memfd) {
            "the backends Shm and TmpFile are for a new file, not for a file of a pool"
        } else if self.trust_callback && (self.read_only || self.inherit) {
            "trust_callback excludes read_only and inherit"
        } else {
            self.check_spilling(self.backend)?;
            return Ok(LoanOptions { name: self.checked_name()?, is_trusted: self.trust_callback });
        };
        Err(Error::new("options", libc::EINVAL, problem))
    }

    fn checked_name(&self) -> Result<Cow<'_, CStr>> {
        let Some(name) = &self.name else { return Ok(c"bytefd".into()) };
        let checked = CString::new(name.as_bytes()).map_err(|_| {
            Error::new("name", libc::EINVAL, format_args!("{name:?} has a NUL byte"))
        })?;
        if name.is_empty() || name.len() > NAME_MAX {
            let message = format!("a name of {} bytes; 1 to {NAME_MAX} are allowed", name.len());
            return Err(Error::new("name", libc::EINVAL, message));
        }
        let name = name.as_bytes();
        if let Some(position) = name.iter().position(|byte| matches!(byte, b'/' | b'\n')) {
            let (byte, name) = (name[position] as char, String::from_utf8_lossy(name));
            let message = format!(
                "{name:?} has {byte:?} at byte {position}; slash, newline and NUL are not allowed"
            );
            return Err(Error::new("name", libc::EINVAL, message));
        }
        Ok(checked.into())
    }

    fn checked_mode(&self) -> Result<u32> {
        let mode = match self.mode {
            0 => {
                0o400
                    | if self.writable { 0o200 } else { 0 }
                    | if self.executable { 0o100 } else { 0 }
            }
            mode => mode,
        };
        let problem = if mode & !0o777 != 0 {
            "has bits other than the nine permission bits"
        } else if mode & 0o400 == 0 {
            "does not let the owner read"
        } else if mode & 0o111 != 0 && !self.executable {
            "has execute bits, but executable is not set"
        } else {
            return Ok(mode);
        };
        Err(Error::new("mode", libc::EINVAL, format_args!("mode {mode:04o} {problem}")))
    }
}

/// Options of a scan with a pool.
pub(crate) struct LoanOptions<'a> {
    pub name: Cow<'a, CStr>,
    pub is_trusted: bool,
}

/// Options, checked and complete.
pub(crate) struct Plan<'a> {
    options: &'a WrapOptions,
    name: Cow<'a, CStr>,
    backend: Backend,
    execution: Execution,
    mode: u32,
    seals: libc::c_int,
}

impl Plan<'_> {
    /// Makes an empty file for content of about this length.
    pub fn create(&self, length: u64) -> Result<EmptyFile> {
        let backend = if self.options.spills(length) { Backend::TmpFile } else { self.backend };
        backend::create(backend, &self.name, self.execution)
    }

    /// Returns whether content of this length goes to a file on disk.
    pub fn spills(&self, length: u64) -> bool {
        self.options.spills(length)
    }

    /// Turns a file that has its content into the descriptor that the caller gets.
    pub fn finish(&self, file: EmptyFile) -> Result<OwnedFd> {
        self.seal(&file)?;
        self.complete(file)
    }

    fn is_sealed(&self, file: &EmptyFile) -> bool {
        file.backend == Backend::Memfd && !self.options.writable
    }

    /// Seals the file, if the options say so. After EBUSY the file is unchanged.
    pub fn seal(&self, file: &EmptyFile) -> Result<()> {
        if !self.is_sealed(file) {
            return Ok(());
        }
        let seal = || sys::file::add_seals(file.fd.as_fd(), self.seals);
        // The kernel has waited for pages that were in use. They may be free now.
        let sealed =
            seal().or_else(|errno| if errno == Errno(libc::EBUSY) { seal() } else { Err(errno) });
        sealed.context("seal", || format!("seals {:#x}", self.seals))
    }

    /// Does the steps after sealing.
    pub fn complete(&self, file: EmptyFile) -> Result<OwnedFd> {
        let sealed = self.is_sealed(&file);
        sys::file::fchmod(file.fd.as_fd(), self.mode)
            .context("fchmod", || format!("mode {:04o}", self.mode))?;
        let fd =
            if self.needs_reopening(sealed, file.fd.as_fd()) { reopen(&file.fd)? } else { file.fd };
        if self.options.inherit {
            // This is the last step, so that no child gets the descriptor of a file that failed.
            inherit(fd.as_fd())?;
        }
        Ok(fd)
    }

    /// Returns whether the caller gets a read-only description. Adding seals needs a writable
    /// description.
    fn needs_reopening(&self, sealed: bool, file: BorrowedFd<'_>) -> bool {
        match sealed {
            _ if self.options.read_only => true,
            _ if self.options.writable || self.options.seal_content => false,
            true => !features::maps_sealed_file_shared(file),
            false => true,
        }
    }
}
