//! Memory with a name.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::error::{Context, Errno, Error, Result};
use crate::fill::Growth;
use crate::owner::{self, MOST};
use crate::sys::{self, file};

/// Where named memory is.
pub(super) const SHM: &str = "/dev/shm";

/// How named memory is made or opened: shm_overview(7). The default: for reading; what is made has mode 0600.
///
/// ```
/// use bytefd::share::NamedOptions;
/// # let name = &format!("example-{}", std::process::id());
/// let table = NamedOptions::new().write(true).length(4096).unlink_on_close(true).create(name)?;
/// let same = NamedOptions::new().length(4096).open(name)?;
/// let bytes = bytefd::MapOptions::new().map_fd(&same)?;
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct NamedOptions {
    length: u64,
    mode: u32,
    write: bool,
    owned: bool,
    unlink: bool,
}

impl NamedOptions {
    /// The defaults.
    ///
    /// ```
    /// let options = bytefd::share::NamedOptions::new();
    /// ```
    pub fn new() -> NamedOptions {
        NamedOptions::default()
    }

    /// How many bytes what is made has, zeros at first, with the space reserved; and how many what is opened must have at least.
    ///
    /// ```
    /// let options = bytefd::share::NamedOptions::new().length(4096);
    /// ```
    pub fn length(mut self, bytes: u64) -> NamedOptions {
        self.length = bytes;
        self
    }

    /// The permission bits of what is made, whatever the umask says; 0 is 0600.
    ///
    /// ```
    /// let options = bytefd::share::NamedOptions::new().mode(0o640);
    /// ```
    pub fn mode(mut self, mode: u32) -> NamedOptions {
        self.mode = mode;
        self
    }

    /// The descriptor is for reading and writing, not for reading only.
    ///
    /// ```
    /// let options = bytefd::share::NamedOptions::new().write(true);
    /// ```
    pub fn write(mut self, yes: bool) -> NamedOptions {
        self.write = yes;
        self
    }

    /// What is made belongs to this process: its name says so ([`Named::name`] tells the whole name), and [`sweep`](super::sweep())
    /// removes it when the process is gone. For making only: whoever opens it needs the whole name.
    ///
    /// ```
    /// use bytefd::share::NamedOptions;
    /// let table = NamedOptions::new().owned(true).unlink_on_close(true).create("table")?;
    /// assert!(table.name().ends_with(".table"));
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn owned(mut self, yes: bool) -> NamedOptions {
        self.owned = yes;
        self
    }

    /// The name goes when the value does; the memory lives for as long as somebody has it open or mapped.
    ///
    /// ```
    /// let options = bytefd::share::NamedOptions::new().unlink_on_close(true);
    /// ```
    pub fn unlink_on_close(mut self, yes: bool) -> NamedOptions {
        self.unlink = yes;
        self
    }

    /// Makes memory of that name, which there must not be yet. Others see the name when the memory has its length and mode.
    ///
    /// ```
    /// # let name = &format!("example-create-{}", std::process::id());
    /// use bytefd::share::NamedOptions;
    /// let table = NamedOptions::new().length(10).unlink_on_close(true).create(name)?;
    /// assert_eq!(NamedOptions::new().create(name).unwrap_err().errno(), libc::EEXIST);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// `EEXIST`; `EINVAL` for a name that is empty, is `.` or `..`, or has a slash (but a first one) or a NUL, and for a mode of more
    /// than the nine permission bits; `ENAMETOOLONG` above 255 bytes, with its owner; `ENOSPC`, `EFBIG`: no room for it, or
    /// RLIMIT_FSIZE; `ENOENT` where there is no /dev/shm or no /proc; open(2)'s own.
    pub fn create(&self, name: &str) -> Result<Named> {
        let name = checked(name)?;
        let name = if self.owned { owner::name(name)? } else { name.into() };
        let mode = self.checked_mode()?;
        if self.length > i64::MAX as u64 {
            let message = format_args!("asked for {} bytes, the most a file can have is {}", self.length, i64::MAX);
            return Err(Error::new("length", libc::EFBIG, message));
        }
        let shown = || format!("{SHM}/{name}");
        if file::lstat(&path(&name)).is_ok() {
            // Before space is reserved in vain.
            return Err(Errno(libc::EEXIST)).context("lstat", shown);
        }

        // Without a name until it is ready, so that nobody opens half of it, and a crash leaves nothing.
        let directory = CString::new(SHM).expect("no NUL");
        let fd = file::open(&directory, libc::O_TMPFILE | libc::O_RDWR, 0o600).context("open O_TMPFILE", || SHM)?;
        let fd = file::above_standard_streams(fd).context("fcntl F_DUPFD", || "a descriptor above 2")?;
        if self.length > 0 {
            // Its space is reserved, or taken by zeros where that is unknown.
            Growth::keep(Some(Growth::of(fd.as_fd(), 0, self.length, false, shown())?));
        }
        file::fchmod(fd.as_fd(), mode).context("fchmod", || format!("mode {mode:04o}"))?;
        let fd = if self.write { fd } else { reading(fd)? };
        match file::link(fd.as_fd(), &path(&name)) {
            Err(Errno(libc::ENOENT)) => {
                let message = format_args!("{} cannot be given to new memory (is /proc mounted?)", shown());
                return Err(Error::new("linkat", libc::ENOENT, message));
            }
            linked => linked.context("linkat", shown)?,
        }
        Ok(Named { fd: Some(fd), name: format!("/{name}"), unlink: self.unlink })
    }

    fn checked_mode(&self) -> Result<u32> {
        match self.mode {
            0 => Ok(0o600),
            mode if mode & !0o777 == 0 => Ok(mode),
            mode => {
                let message = format_args!("the mode {mode:o} has bits other than the nine permission bits");
                Err(Error::new("mode", libc::EINVAL, message))
            }
        }
    }

    /// Opens what has that name. Its length, mode and content stay as they are.
    ///
    /// ```
    /// assert_eq!(bytefd::share::NamedOptions::new().open("nobody-has-made-it").unwrap_err().errno(), libc::ENOENT);
    /// ```
    ///
    /// # Errors
    /// `ENOENT`: there is none; `EINVAL`, `ENAMETOOLONG`: as [`NamedOptions::create`], and for [`NamedOptions::owned`]; `ENXIO`: it has
    /// fewer bytes than asked; `ENODEV`, `ELOOP`: what has the name is no regular file, or a symbolic link; `EACCES`: open(2)'s own.
    pub fn open(&self, name: &str) -> Result<Named> {
        if self.owned {
            return Err(Error::new("options", libc::EINVAL, "only what is made gets an owner"));
        }
        let name = checked(name)?;
        self.checked_mode()?;
        let shown = || format!("{SHM}/{name}");
        // Before it is opened: that alone does something to a FIFO or device.
        file::lstat(&path(name)).context("lstat", shown).and_then(|stat| is_memory(&stat, name))?;
        let access = if self.write { libc::O_RDWR } else { libc::O_RDONLY };
        // Nor is one waited for, or a link followed, that has taken the name just now.
        let flags = access | libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let fd = file::open(&path(name), flags, 0).and_then(file::above_standard_streams).context("open", shown)?;
        let stat = file::fstat(fd.as_fd()).context("fstat", shown)?;
        is_memory(&stat, name)?;
        if stat.size < self.length {
            let message = format_args!("{} has {} bytes, and {} were asked for", shown(), stat.size, self.length);
            return Err(Error::new("length", libc::ENXIO, message));
        }
        Ok(Named { fd: Some(fd), name: format!("/{name}"), unlink: self.unlink })
    }

    /// Opens what has that name, or makes it if there is none. Says whether it was made.
    ///
    /// ```
    /// # let name = &format!("example-either-{}", std::process::id());
    /// use bytefd::share::NamedOptions;
    /// let options = NamedOptions::new().length(10).unlink_on_close(true);
    /// let (first, is_new) = options.open_or_create(name)?;
    /// assert!(is_new && !options.open_or_create(name)?.1);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`NamedOptions::open`] and [`NamedOptions::create`].
    pub fn open_or_create(&self, name: &str) -> Result<(Named, bool)> {
        // Somebody may make or remove it in between, but not for ever.
        loop {
            match self.open(name) {
                Err(error) if error.errno() == libc::ENOENT => {}
                opened => return opened.map(|named| (named, false)),
            }
            match self.create(name) {
                Err(error) if error.errno() == libc::EEXIST => {}
                created => return created.map(|named| (named, true)),
            }
        }
    }
}

/// Memory with a name, open.
///
/// ```
/// use bytefd::share::NamedOptions;
/// # let name = &format!("example-named-{}", std::process::id());
/// let table = NamedOptions::new().write(true).length(8).unlink_on_close(true).create(name)?;
/// let map = bytefd::MapOptions::new().access(bytefd::Access::Write).map_fd(&table)?;
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Debug)]
pub struct Named {
    /// `None` once it has been taken out.
    fd: Option<OwnedFd>,
    name: String,
    unlink: bool,
}

impl Named {
    /// The whole name, with its slash, as shm_open(3) takes it.
    ///
    /// ```
    /// use bytefd::share::NamedOptions;
    /// # let name = &format!("example-name-{}", std::process::id());
    /// let table = NamedOptions::new().unlink_on_close(true).create(name)?;
    /// assert_eq!(table.name(), format!("/{name}"));
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl AsFd for Named {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_ref().expect("taken out by the last method only").as_fd()
    }
}

impl From<Named> for OwnedFd {
    /// The name stays.
    fn from(mut named: Named) -> OwnedFd {
        named.unlink = false;
        named.fd.take().expect("taken out here only")
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let name = self.name.trim_start_matches('/');
        // Only if the name still stands for this memory.
        if self.unlink
            && let Ok(ours) = file::fstat(self.as_fd())
            && file::lstat(&path(name)).is_ok_and(|stat| stat.identity == ours.identity)
        {
            let _ = file::unlink(&path(name));
        }
    }
}

/// Removes a name. The memory lives for as long as somebody has it open or mapped.
///
/// ```
/// assert_eq!(bytefd::share::unlink("nobody-has-made-it").unwrap_err().errno(), libc::ENOENT);
/// ```
///
/// # Errors
/// `ENOENT`: there is none; `EINVAL`, `ENAMETOOLONG`: as [`NamedOptions::create`]; `EACCES`, `EPERM`: unlink(2)'s own.
pub fn unlink(name: &str) -> Result<()> {
    let name = checked(name)?;
    file::unlink(&path(name)).context("unlink", || format!("{SHM}/{name}"))
}

/// A name without its slash.
fn checked(name: &str) -> Result<&str> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    let problem = if bare.is_empty() {
        "is empty"
    } else if bare == "." || bare == ".." {
        "is a directory's"
    } else if bare.contains('/') {
        "has a slash that is not its first byte"
    } else if bare.contains('\0') {
        "has a NUL byte"
    } else if bare.len() > MOST {
        let message = format_args!("the name has {} bytes, and {MOST} are the most", bare.len());
        return Err(Error::new("name", libc::ENAMETOOLONG, message));
    } else {
        return Ok(bare);
    };
    Err(Error::new("name", libc::EINVAL, format_args!("{name:?} {problem}")))
}

/// Whether what has a name can be named memory.
fn is_memory(stat: &file::Stat, name: &str) -> Result<()> {
    let (errno, found) = match stat.mode & libc::S_IFMT {
        libc::S_IFREG => return Ok(()),
        libc::S_IFLNK => (libc::ELOOP, "a symbolic link, which is not followed"),
        _ => (libc::ENODEV, stat.kind()),
    };
    Err(Error::new("file type", errno, format_args!("{SHM}/{name} is {found}")))
}

fn path(name: &str) -> CString {
    CString::new(format!("{SHM}/{name}")).expect("a checked name has no NUL")
}

fn reading(fd: OwnedFd) -> Result<OwnedFd> {
    sys::file::reopen(fd.as_fd(), libc::O_RDONLY)
        .and_then(file::above_standard_streams)
        .context("reopen", || "new memory, for reading (is /proc mounted?)")
}
