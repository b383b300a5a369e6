//! Which process something belongs to: said by its name, so that it can be removed when the process is gone.

use std::ffi::{OsStr, OsString};
use std::fmt::{Display, Formatter};

use crate::error::{Context, Errno, Error, Result};
use crate::sys::fork::OncePerProcess;
use crate::sys::{self, process};

/// What names with an owner begin with.
const PREFIX: &str = "bytefd-of";

/// A process, told from all others that there ever were since the machine was started: what a name of its says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// Its namespace of process numbers, pid_namespaces(7), without which a number says nothing.
    pub namespace: u64,
    /// Its namespace of time, time_namespaces(7): what the machine's start is taken to be. 0 before Linux 5.6.
    pub clock: u64,
    pub process: i32,
    /// When it was started, in ticks since the machine was.
    pub start: u64,
}

impl Owner {
    /// This process, as it was found to be when it was first asked for.
    pub fn this() -> Result<Owner> {
        static THIS: OncePerProcess<Owner> = OncePerProcess::new();
        THIS.get(Owner::ask)
    }

    /// This process, and that /proc shows others, too.
    pub fn ask() -> Result<Owner> {
        let process = std::process::id() as i32;
        let unknown = || format!("who this process is{}", process::no_proc());
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
    pub fn parse(name: &str) -> Option<Owner> {
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
    pub fn is_dead(&self, this: &Owner) -> bool {
        // Another process may have the number by now, which only the same clock can tell.
        let is_another = |start| self.clock == this.clock && self.start != start;
        self.namespace == this.namespace && is_gone(self.process, is_another)
    }
}

impl Display for Owner {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{PREFIX}.{}.{}.{}.{}", self.namespace, self.clock, self.process, self.start)
    }
}

/// Whether the process of this number is known to be gone: there is none, or it has ended, or its start says that it `is_another`.
fn is_gone(number: i32, is_another: impl FnOnce(u64) -> bool) -> bool {
    match process::exists(number) {
        Ok(false) => true,
        Ok(true) => process::process(number).is_ok_and(|found| found.is_zombie || is_another(found.start)),
        Err(_) => false,
    }
}

/// A name for what belongs to this process.
pub(crate) fn name(rest: &OsStr) -> Result<OsString> {
    let mut name = OsString::from(format!("{}.", Owner::this()?));
    name.push(rest);
    if name.len() > MOST {
        let message = format_args!("{rest:?} with its owner has {} bytes, the maximum is {MOST}", name.len());
        return Err(Error::new("name", libc::ENAMETOOLONG, message));
    }
    Ok(name)
}

/// An unguessable name for a file that has it for a moment. If the process is killed meanwhile, the sweep removes the file, unless
/// it could not be found out who this process is.
pub(crate) fn name_for_a_moment() -> sys::Result<String> {
    let owner = Owner::this().map_or("bytefd".into(), |owner| owner.to_string());
    Ok(format!("{owner}.{:032x}", sys::random()?))
}

/// Bytes in a file name, NAME_MAX.
pub(crate) const MOST: usize = 255;

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
