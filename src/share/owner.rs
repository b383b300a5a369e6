//! Names that say which process they belong to, and what becomes of them when it is gone.

use std::ffi::CString;
use std::fmt::{Display, Formatter};
use std::os::unix::ffi::OsStringExt;

use crate::error::{Context, Errno, Error, Result};
use crate::sys::file;
use crate::sys::process;

/// Where named memory is.
pub(super) const SHM: &str = "/dev/shm";
/// What names with an owner begin with.
const PREFIX: &str = "bytefd-of";

/// A process, told from all others that there ever were since the machine was started: what a name of its says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    /// Its namespace of process numbers, pid_namespaces(7), without which a number says nothing.
    namespace: u64,
    /// Its namespace of time, time_namespaces(7): what the machine's start is taken to be. 0 before Linux 5.6.
    clock: u64,
    process: i32,
    /// When it was started, in ticks since the machine was.
    start: u64,
}

impl Owner {
    /// This process.
    pub fn this() -> Result<Owner> {
        let process = std::process::id() as i32;
        let unknown = || "who this process is (is /proc mounted?)";
        if !process::is_proc_ours().context("read /proc/self/status", unknown)? {
            let message = "/proc was mounted in another namespace of process numbers, and shows those";
            return Err(Error::new("/proc", libc::ENOENT, message));
        }
        let namespace = process::namespace("pid").context("readlink /proc/self/ns/pid", unknown)?;
        let clock = match process::namespace("time") {
            Err(Errno(libc::ENOENT)) => 0,
            clock => clock.context("readlink /proc/self/ns/time", unknown)?,
        };
        let start = process::process(process).context("read /proc/self/stat", unknown)?.start;
        Ok(Owner { namespace, clock, process, start })
    }

    /// The owner in a name, and what follows.
    fn parse(name: &str) -> Option<Owner> {
        let mut parts = name.strip_prefix(PREFIX)?.strip_prefix('.')?.splitn(5, '.');
        let mut number = || parts.next().filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
        let owner = Owner {
            namespace: number()?.parse().ok()?,
            clock: number()?.parse().ok()?,
            process: number()?.parse().ok()?,
            start: number()?.parse().ok()?,
        };
        parts.next().map(|_| owner)
    }

    /// Whether it is known to be gone. Of what cannot be known the answer is no.
    fn is_dead(&self, this: &Owner) -> bool {
        if self.namespace != this.namespace {
            return false;
        }
        // Another process may have the number by now, which only the same clock can tell.
        let is_another = |start| self.clock == this.clock && self.start != start;
        match process::exists(self.process) {
            Ok(false) => true,
            Ok(true) => process::process(self.process).is_ok_and(|found| found.is_zombie || is_another(found.start)),
            Err(_) => false,
        }
    }
}

impl Display for Owner {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{PREFIX}.{}.{}.{}.{}", self.namespace, self.clock, self.process, self.start)
    }
}

/// Removes named memory and links whose owners are gone: [`NamedOptions::owned`](super::NamedOptions::owned) and
/// [`link`](super::link()). Returns how many. Touches nothing else: not what has no owner in its name, belongs to a process of another
/// container (pid_namespaces(7)) or to another user, or whose owner may be alive.
///
/// A process that was killed cannot clean up; let the next one do it, or a timer.
///
/// ```
/// let removed = bytefd::share::sweep()?;
/// # Ok::<(), bytefd::Error>(())
/// ```
///
/// # Errors
/// `ENOENT` where /proc is not mounted, or is that of another container, because nobody can be known to be gone then. A host without
/// /dev/shm has nothing to sweep.
pub fn sweep() -> Result<usize> {
    let this = Owner::this()?;
    let user = process::user();
    let mut removed = 0;
    for directory in [SHM, super::link::ELSEWHERE] {
        let entries = match std::fs::read_dir(directory) {
            Ok(entries) => entries.flatten(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(Errno::from(error)).context("opendir", || directory),
        };
        for entry in entries {
            let name = entry.file_name();
            let Some(owner) = name.to_str().and_then(Owner::parse) else { continue };
            let path = CString::new(entry.path().into_os_string().into_vec()).expect("a name of the kernel's");
            // Others' are left alone even by root: they could be exchanged for a trap meanwhile.
            let is_ours = |stat: &file::Stat| stat.owner == user;
            let Some(stat) = file::lstat(&path).ok().filter(is_ours).filter(|_| owner.is_dead(&this)) else {
                continue;
            };
            let gone = match stat.mode & libc::S_IFMT {
                libc::S_IFREG => file::unlink(&path).is_ok(),
                libc::S_IFDIR => super::link::remove(&entry.path()),
                _ => false,
            };
            removed += usize::from(gone);
        }
    }
    Ok(removed)
}

/// A name for what belongs to this process.
pub(super) fn name(rest: &str) -> Result<String> {
    let name = format!("{}.{rest}", Owner::this()?);
    if name.len() > MOST {
        let message = format_args!("{rest:?} is too long for a name with an owner: {} bytes of {MOST}", name.len());
        return Err(Error::new("name", libc::ENAMETOOLONG, message));
    }
    Ok(name)
}

/// Bytes in a file name, NAME_MAX.
pub(super) const MOST: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_names_have_an_owner() {
        let this = Owner::this().expect("/proc is mounted");
        assert_eq!(Owner::parse(&format!("{this}.a.b")), Some(this));
        for name in [
            "",
            "bytefd-of",
            "bytefd-of.1.2.3.4",
            "bytefd-of.1.2.3.x.y",
            "bytefd-of.+1.2.3.4.y",
            "bytefd.1.2.3.4.y",
            "bytefd-ofx.1.2.3.4.y",
        ] {
            assert_eq!(Owner::parse(name), None, "{name}");
        }
    }

    #[test]
    fn the_dead_are_told_from_the_living() {
        let this = Owner::this().expect("/proc is mounted");
        assert!(!this.is_dead(&this));
        let before = Owner { start: this.start + 1, ..this };
        assert!(before.is_dead(&this), "the number is used again");
        for elsewhere in [Owner { namespace: this.namespace + 1, ..this }, Owner { clock: this.clock + 1, ..this }] {
            assert!(!before.is_dead(&elsewhere), "of another namespace nothing is known");
        }
        let mut child = std::process::Command::new("true").spawn().expect("a child");
        let process = child.id() as i32;
        child.wait().expect("it ends");
        assert!(Owner { process, ..this }.is_dead(&this));
    }
}
