//! Objects: shared memory with a name, shm_overview(7).

use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use crate::error::{Context, Errno, Error, Result};
use crate::fill::Growth;
use crate::ownership::{self, HiddenFile, HiddenName, MAX_NAME, SHM};
use crate::sys::{self, file, file_lock, process};

/// How an object of shared memory is created or opened, shm_overview(7). The default opens for
/// reading, and creates with mode 0600.
///
/// ```
/// use bytefd::share::ShmOptions;
/// # let name = &format!("example-{}", std::process::id());
/// let table = ShmOptions::new().write(true).length(4096).unlink_on_close(true).create(name)?;
/// let same = ShmOptions::new().length(4096).open(name)?;
/// let bytes = bytefd::MapOptions::new().map_fd(&same)?;
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ShmOptions {
    length: u64,
    mode: u32,
    write: bool,
    owned: bool,
    any_owner: bool,
    unlink: bool,
}

impl ShmOptions {
    /// The defaults.
    ///
    /// ```
    /// let options = bytefd::share::ShmOptions::new();
    /// ```
    pub fn new() -> ShmOptions {
        ShmOptions::default()
    }

    /// Sets the size of a new object, which is zero-filled and preallocated. For an existing object
    /// it is the minimum size.
    ///
    /// ```
    /// let options = bytefd::share::ShmOptions::new().length(4096);
    /// ```
    pub fn length(mut self, bytes: u64) -> ShmOptions {
        self.length = bytes;
        self
    }

    /// Sets the permission bits of a new object, whatever the umask says; 0 means 0600.
    ///
    /// ```
    /// let options = bytefd::share::ShmOptions::new().mode(0o640);
    /// ```
    pub fn mode(mut self, mode: u32) -> ShmOptions {
        self.mode = mode;
        self
    }

    /// Opens for reading and writing, not for reading only.
    ///
    /// ```
    /// let options = bytefd::share::ShmOptions::new().write(true);
    /// ```
    pub fn write(mut self, yes: bool) -> ShmOptions {
        self.write = yes;
        self
    }

    /// Ties the object's name to its owning processes: those that create or open the object with
    /// this option. [`sweep`](super::sweep()) removes the name once no owning process has the
    /// object open or mapped. Each owning process has a shared lock on its open file description
    /// (`LOCK_SH`, flock(2)). Duplicates, mappings, children and receivers keep the lock. The
    /// kernel ends it with the last of them, also after `kill -9`.
    ///
    /// `bytefd-owned.` is added to the beginning of the name, even if the name begins so already.
    /// Other processes can open the object by its full name, which [`Shm::name`] returns, without
    /// this option. A sweep ignores them. A process that calls flock(2) on the descriptor loses the
    /// lock.
    ///
    /// ```
    /// use bytefd::share::ShmOptions;
    /// let table = ShmOptions::new().owned(true).unlink_on_close(true).create("table")?;
    /// assert_eq!(table.name(), "/bytefd-owned.table");
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn owned(mut self, yes: bool) -> ShmOptions {
        self.owned = yes;
        self
    }

    /// Opens an object whatever user ID owns it. Without this option the call fails with `EPERM`,
    /// unless the object belongs to the effective user or root. Any other user who owns it can
    /// change it at any time, and may have created it because the name could be guessed.
    ///
    /// ```
    /// let options = bytefd::share::ShmOptions::new().any_owner(true);
    /// ```
    pub fn any_owner(mut self, yes: bool) -> ShmOptions {
        self.any_owner = yes;
        self
    }

    /// Removes the name when the [`Shm`] is dropped. The object lives as long as a process has it
    /// open or mapped.
    ///
    /// ```
    /// let options = bytefd::share::ShmOptions::new().unlink_on_close(true);
    /// ```
    pub fn unlink_on_close(mut self, yes: bool) -> ShmOptions {
        self.unlink = yes;
        self
    }

    /// Creates an object of this name. There must be none yet. Other processes see the name when
    /// the object has its length and mode.
    ///
    /// ```
    /// # let name = &format!("example-create-{}", std::process::id());
    /// use bytefd::share::ShmOptions;
    /// let table = ShmOptions::new().length(10).unlink_on_close(true).create(name)?;
    /// assert_eq!(ShmOptions::new().create(name).unwrap_err().errno(), libc::EEXIST);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// - `EEXIST` if there is an object of this name.
    /// - `EINVAL` if the name is empty, is `.` or `..`, or has a NUL byte or a slash that is not
    ///   its first byte.
    /// - `EINVAL` if the mode has bits other than the nine permission bits.
    /// - `EINVAL` with [`owned`](ShmOptions::owned), if the mode lets the owner of the file neither
    ///   read nor write.
    /// - `ENAMETOOLONG` if the name has more than 255 bytes, with `bytefd-owned.` if it is owned.
    /// - `ENOSPC` if the file system is full, `EFBIG` above RLIMIT_FSIZE.
    /// - `ENOENT` where there is no /dev/shm.
    /// - Other errors of open(2).
    pub fn create(&self, name: impl AsRef<OsStr>) -> Result<Shm> {
        let name = self.whole_name(name.as_ref())?;
        let mode = checked_mode(self.mode)?;
        if self.owned && mode & 0o600 == 0 {
            let message = format!(
                "mode {mode:04o} lets the owner of the file neither read nor write: no sweep could \
                 lock it"
            );
            return Err(Error::new("mode", libc::EINVAL, message));
        }
        if self.length > i64::MAX as u64 {
            let message =
                format!("asked for {} bytes, the largest file has {}", self.length, i64::MAX);
            return Err(Error::new("length", libc::EFBIG, message));
        }
        if file::lstat(&path(&name)).is_ok() {
            // The check comes before space is reserved.
            return Err(Errno(libc::EEXIST)).context("lstat", || shown(&name));
        }

        // The object gets its name when it is ready. So no process opens an incomplete object. A
        // crash leaves at most a hidden name, which a sweep removes.
        let new = New::create()?;
        if self.length > 0 {
            // The space is reserved, or filled with zeros where the file system cannot reserve it.
            Growth::keep(Some(Growth::of(new.fd.as_fd(), 0, self.length, false, shown(&name))?));
        }
        file::fchmod(new.fd.as_fd(), mode).context("fchmod", || format!("mode {mode:04o}"))?;
        let for_reading = if self.write { None } else { Some(new.open_for_reading()?) };
        let fd = for_reading.as_ref().unwrap_or(&new.fd);
        if self.owned {
            // The lock is taken before a sweep can see the name, so no other process can hold one
            // yet.
            file_lock::lock_whole(fd.as_fd(), libc::LOCK_SH).context("flock", || shown(&name))?;
        }
        new.give(&path(&name)).context("linkat", || shown(&name))?;
        if new.hidden.is_some() && !self.owned {
            // The object has its name now. If the lock stays, that is no reason to fail.
            let _ = file_lock::unlock_whole(new.fd.as_fd());
        }
        Ok(self.named(for_reading.unwrap_or(new.fd), &name))
    }

    /// Opens the object of this name. Its length, mode and content stay as they are.
    ///
    /// ```
    /// let error = bytefd::share::ShmOptions::new().open("no-such-object").unwrap_err();
    /// assert_eq!(error.errno(), libc::ENOENT);
    /// ```
    ///
    /// # Errors
    /// - `ENOENT` if there is none.
    /// - `EINVAL`, `ENAMETOOLONG` as [`ShmOptions::create`].
    /// - `ENXIO` if it is smaller than [`length`](ShmOptions::length).
    /// - `EPERM` if it belongs to another user; see [`any_owner`](ShmOptions::any_owner).
    /// - `ENODEV` if the name is not that of a regular file, `ELOOP` if it is that of a symbolic
    ///   link.
    /// - `EBUSY` if it is owned and another process has locked it exclusively, or if other
    ///   processes removed it during each of 100 attempts.
    /// - `EACCES` and other errors of open(2).
    pub fn open(&self, name: impl AsRef<OsStr>) -> Result<Shm> {
        let name = self.whole_name(name.as_ref())?;
        checked_mode(self.mode)?;
        let opened = ownership::race(|| -> Result<_> {
            let fd = self.open_once(&name)?;
            // If a sweep has removed the object meanwhile, another one may have its name.
            let is_held = !self.owned
                || ownership::hold(fd.as_fd(), &path(&name)).context("flock", || shown(&name))?;
            Ok(is_held.then(|| self.named(fd, &name)))
        })?;
        opened.ok_or_else(|| ownership::lost("open", shown(&name)))
    }

    fn open_once(&self, name: &OsStr) -> Result<OwnedFd> {
        let check = |stat: &file::Stat| self.check(stat, name);
        // The check comes first, because opening alone has effects on a FIFO or device.
        file::lstat(&path(name)).context("lstat", || shown(name)).and_then(|stat| check(&stat))?;
        let access = if self.write { libc::O_RDWR } else { libc::O_RDONLY };
        // If a FIFO or link has taken the name just now, the call neither waits for it nor follows
        // it.
        let flags = access | libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let fd = file::open(&path(name), flags, 0).and_then(file::above_standard_streams);
        let fd = fd.context("open", || shown(name))?;
        let stat = file::fstat(fd.as_fd()).context("fstat", || shown(name))?;
        check(&stat)?;
        if stat.size < self.length {
            let message =
                format!("asked for {} bytes, {} has {}", self.length, shown(name), stat.size);
            return Err(Error::new("length", libc::ENXIO, message));
        }
        Ok(fd)
    }

    /// Opens the object of this name, or creates it if there is none. Returns whether it was
    /// created.
    ///
    /// ```
    /// # let name = &format!("example-either-{}", std::process::id());
    /// use bytefd::share::ShmOptions;
    /// let options = ShmOptions::new().length(10).unlink_on_close(true);
    /// let (first, is_new) = options.open_or_create(name)?;
    /// assert!(is_new && !options.open_or_create(name)?.1);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`ShmOptions::open`] and [`ShmOptions::create`].
    pub fn open_or_create(&self, name: impl AsRef<OsStr>) -> Result<(Shm, bool)> {
        let name = name.as_ref();
        let made = ownership::race(|| -> Result<_> {
            match self.open(name) {
                Err(error) if error.errno() == libc::ENOENT => {}
                opened => return opened.map(|shm| Some((shm, false))),
            }
            match self.create(name) {
                Err(error) if error.errno() == libc::EEXIST => Ok(None),
                created => created.map(|shm| Some((shm, true))),
            }
        })?;
        made.ok_or_else(|| ownership::lost("open", shown(name)))
    }

    /// Returns a name without its slash, and with the prefix of owned objects.
    fn whole_name(&self, name: &OsStr) -> Result<OsString> {
        let name = checked(name)?;
        if self.owned { ownership::name(name) } else { Ok(name.into()) }
    }

    fn named(&self, fd: OwnedFd, name: &OsStr) -> Shm {
        let mut whole = OsString::from("/");
        whole.push(name);
        Shm { fd: Some(fd), name: whole, unlink: self.unlink }
    }

    /// Fails unless a file can be an object, and meets the caller's options.
    fn check(&self, stat: &file::Stat, name: &OsStr) -> Result<()> {
        let (errno, found) = match stat.mode & libc::S_IFMT {
            libc::S_IFREG => {
                let user = process::user();
                if self.any_owner || stat.owner == user || stat.owner == 0 {
                    return Ok(());
                }
                let message = format!(
                    "{} belongs to user {}, neither to user {user} nor to root",
                    shown(name),
                    stat.owner
                );
                return Err(Error::new("owner", libc::EPERM, message));
            }
            libc::S_IFLNK => (libc::ELOOP, "a symbolic link"),
            _ => (libc::ENODEV, stat.kind()),
        };
        Err(Error::new(
            "file type",
            errno,
            format_args!("{} is {found}, not a regular file", shown(name)),
        ))
    }
}

/// An open object of shared memory.
///
/// ```
/// use bytefd::share::ShmOptions;
/// # let name = &format!("example-named-{}", std::process::id());
/// let table = ShmOptions::new().write(true).length(8).unlink_on_close(true).create(name)?;
/// let map = bytefd::MapOptions::new().access(bytefd::Access::Write).map_fd(&table)?;
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Debug)]
pub struct Shm {
    /// `None` once it has been taken out.
    fd: Option<OwnedFd>,
    name: OsString,
    unlink: bool,
}

impl Shm {
    /// Returns the whole name, with its slash, as shm_open(3) takes it.
    ///
    /// ```
    /// use bytefd::share::ShmOptions;
    /// # let name = &format!("example-name-{}", std::process::id());
    /// let table = ShmOptions::new().unlink_on_close(true).create(name)?;
    /// assert_eq!(table.name(), format!("/{name}").as_str());
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn name(&self) -> &OsStr {
        &self.name
    }
}

impl AsFd for Shm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_ref().expect("taken out by the last method only").as_fd()
    }
}

impl std::os::fd::AsRawFd for Shm {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl From<Shm> for OwnedFd {
    /// The name stays.
    fn from(mut shm: Shm) -> OwnedFd {
        shm.unlink = false;
        shm.fd.take().expect("taken out here only")
    }
}

impl Drop for Shm {
    fn drop(&mut self) {
        if !self.unlink {
            return;
        }
        let path = path(&self.name);
        let Ok(ours) = file::fstat(self.as_fd()) else { return };
        // The name may refer to another object by now, which must stay.
        if file::lstat(&path).is_ok_and(|stat| stat.identity == ours.identity) {
            let _ = file::unlink(&path);
        }
    }
}

/// Removes the name of a shared memory object. The object lives as long as a process has it open or
/// mapped.
///
/// ```
/// assert_eq!(bytefd::share::unlink_shm("no-such-object").unwrap_err().errno(), libc::ENOENT);
/// ```
///
/// # Errors
/// - `ENOENT` if there is none.
/// - `EINVAL`, `ENAMETOOLONG` as [`ShmOptions::create`].
/// - `EACCES`, `EPERM` and other errors of unlink(2).
pub fn unlink_shm(name: impl AsRef<OsStr>) -> Result<()> {
    let name = checked(name.as_ref())?;
    file::unlink(&path(name)).context("unlink", || shown(name))
}

/// Returns the permission bits; 0 becomes 0600.
pub(super) fn checked_mode(mode: u32) -> Result<u32> {
    match mode {
        0 => Ok(0o600),
        mode if mode & !0o777 == 0 => Ok(mode),
        mode => {
            let message = format!("mode {mode:o} has bits other than the nine permission bits");
            Err(Error::new("mode", libc::EINVAL, message))
        }
    }
}

/// Returns a name without its slash.
fn checked(name: &OsStr) -> Result<&OsStr> {
    let bytes = name.as_bytes();
    let bare = bytes.strip_prefix(b"/").unwrap_or(bytes);
    let problem = if bare.is_empty() {
        "is empty"
    } else if bare == b"." || bare == b".." {
        "is the name of a directory"
    } else if bare.contains(&b'/') {
        "has a slash that is not its first byte"
    } else if bare.contains(&0) {
        "has a NUL byte"
    } else if bare.len() > MAX_NAME {
        let message = format!("the name has {} bytes, the maximum is {MAX_NAME}", bare.len());
        return Err(Error::new("name", libc::ENAMETOOLONG, message));
    } else {
        return Ok(OsStr::from_bytes(bare));
    };
    Err(Error::new("name", libc::EINVAL, format_args!("{name:?} {problem}")))
}

/// Returns the path of a name with or without its slash.
fn path(name: &OsStr) -> CString {
    let bare = name.as_bytes().strip_prefix(b"/").unwrap_or(name.as_bytes());
    CString::new([SHM.to_bytes(), b"/", bare].concat()).expect("a checked name has no NUL")
}

fn shown(name: &OsStr) -> String {
    format!("/dev/shm/{}", name.to_string_lossy())
}

/// A new object that does not have its name yet.
struct New {
    fd: OwnedFd,
    /// The hidden name that the object has until then, if it has any.
    hidden: Option<HiddenName>,
}

impl New {
    /// Makes an object that does not have its own name yet. It has a hidden name if the file system
    /// has no O_TMPFILE. It also has one if /proc is not mounted, because [`file::link`] names an
    /// unnamed file through its path in /proc.
    fn create() -> Result<New> {
        let unnamed = match file::stat(c"/proc/self/fd") {
            Ok(_) => ownership::tmpfile(SHM, 0).context("open O_TMPFILE", || "in /dev/shm")?,
            Err(_) => None,
        };
        let (fd, hidden) = match unnamed {
            Some(fd) => (fd, None),
            None => {
                let HiddenFile { fd, name } =
                    HiddenFile::create(SHM).context("open O_EXCL", || "in /dev/shm")?;
                (fd, Some(name))
            }
        };
        let fd = file::above_standard_streams(fd)
            .context("fcntl F_DUPFD_CLOEXEC", || "a descriptor above 2")?;
        Ok(New { fd, hidden })
    }

    fn open_for_reading(&self) -> Result<OwnedFd> {
        let opened = match &self.hidden {
            None => file::reopen(self.fd.as_fd(), libc::O_RDONLY),
            Some(hidden) => hidden.open(libc::O_RDONLY),
        };
        opened.and_then(file::above_standard_streams).context("open", || "a new file, for reading")
    }

    fn give(&self, path: &CStr) -> sys::Result<()> {
        match &self.hidden {
            None => file::link(self.fd.as_fd(), path),
            Some(hidden) => hidden.give(path),
        }
    }
}
