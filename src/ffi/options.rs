//! Reads option structs that can grow, flags and choices. The first member of such a struct is its
//! size in the caller's version.

use std::time::Duration;

use crate::{Error, Result};

/// A struct whose first member is its size.
///
/// # Safety
/// It begins with a `usize`, has no padding, and all-zero bytes are a valid value.
pub(super) unsafe trait Extensible: Copy {
    /// The values of its `_INIT`, except the size. A NULL pointer means the same.
    const INIT: Self;
    /// The size of the first version that was released. It never changes.
    const FIRST_SIZE: usize;
}

/// Copies the caller's struct, as openat2(2) does. Members that the caller does not know become 0.
/// Members that this version does not know must be 0. NULL means all defaults.
///
/// # Safety
/// `from` is NULL or points to as many readable bytes as its first member says.
pub(super) unsafe fn read<T: Extensible>(from: *const T) -> Result<T> {
    /// The maximum size of a struct in any version. A larger size is an error of the caller, and
    /// the bytes must not be read.
    const LARGEST: usize = 4096;
    if from.is_null() {
        return Ok(T::INIT);
    }
    // SAFETY: zero is valid, see `Extensible`.
    let mut value: T = unsafe { std::mem::zeroed() };
    // SAFETY: the caller vouches for at least the first member.
    let size = unsafe { from.cast::<usize>().read_unaligned() };
    let known = size_of::<T>();
    check_size::<T>("options", size)?;
    // SAFETY: the caller vouches for `size` bytes.
    let beyond = |at| unsafe { from.cast::<u8>().add(at).read() };
    let problem = if size > LARGEST {
        format!("must be at most {LARGEST}")
    } else if (known..size).any(|at| beyond(at) != 0) {
        format!("this version knows {known} bytes, and a byte after them is not 0")
    } else {
        String::new()
    };
    if !problem.is_empty() {
        let message = format!("the struct's size is {size}, {problem}");
        return Err(Error::new("options", libc::E2BIG, message));
    }
    // SAFETY: the caller vouches for `size` bytes, and no more than `value` has are copied.
    unsafe {
        std::ptr::copy_nonoverlapping(from.cast::<u8>(), (&raw mut value).cast(), size.min(known))
    };
    Ok(value)
}

pub(super) fn check_size<T: Extensible>(what: &'static str, size: usize) -> Result<()> {
    if size >= T::FIRST_SIZE {
        return Ok(());
    }
    let message = format!("the struct's size is {size}, must be at least {}", T::FIRST_SIZE);
    Err(Error::new(what, libc::EINVAL, message))
}

/// A flag, and the method of the Rust builder that it calls.
pub(super) type Flag<B> = (u64, fn(B, bool) -> B);

/// Sets all flags of a table, and refuses others.
pub(super) fn set_flags<B>(flags: u64, table: &[Flag<B>], builder: B) -> Result<B> {
    check_flags(flags, table.iter().fold(0, |known, (flag, _)| known | flag))?;
    Ok(table.iter().fold(builder, |builder, (flag, set)| set(builder, flags & flag != 0)))
}

pub(super) fn check_flags(flags: u64, known: u64) -> Result<()> {
    match flags & !known {
        0 => Ok(()),
        unknown => Err(Error::new(
            "flags",
            libc::EINVAL,
            format_args!("unknown flags {unknown:#x} in {flags:#x}"),
        )),
    }
}

/// Refuses EXCLUSIVE without CREATE. (open(2) leaves O_EXCL without O_CREAT undefined.)
pub(super) fn check_exclusive(flags: u64, create: u64, exclusive: u64) -> Result<()> {
    if flags & exclusive == 0 || flags & create != 0 {
        return Ok(());
    }
    Err(Error::new("flags", libc::EINVAL, format_args!("EXCLUSIVE without CREATE in {flags:#x}")))
}

/// Refuses a reserved member that is not 0.
pub(super) fn check_reserved(value: u32) -> Result<()> {
    match value {
        0 => Ok(()),
        other => Err(Error::new(
            "reserved",
            libc::EINVAL,
            format_args!("reserved is {other}, must be 0"),
        )),
    }
}

/// Refuses a member that is 0. The struct was then zeroed instead of initialised, or the caller
/// computed a length of 0.
pub(super) fn not_zero<N: Copy + Default + PartialEq>(
    value: N,
    member: &'static str,
    init: &str,
) -> Result<N> {
    if value != N::default() {
        return Ok(value);
    }
    let message = format!("{member} is 0, must be at least 1; {init} sets the default");
    Err(Error::new(member, libc::EINVAL, message))
}

/// Converts a timeout in nanoseconds: -1 sets no limit, 0 does not wait.
pub(super) fn timeout(nanoseconds: i64, member: &'static str) -> Result<Option<Duration>> {
    match u64::try_from(nanoseconds) {
        Ok(nanoseconds) => Ok(Some(Duration::from_nanos(nanoseconds))),
        Err(_) if nanoseconds == -1 => Ok(None),
        Err(_) => {
            let message = format!("{member} is {nanoseconds}, must be -1 or at least 0");
            Err(Error::new(member, libc::EINVAL, message))
        }
    }
}

/// One of several values, and its meaning.
pub(super) type Choice<T> = (u32, T);

/// Finds a value in a table.
pub(super) fn choose<T: Copy>(value: u32, table: &[Choice<T>], what: &'static str) -> Result<T> {
    let found = table.iter().find(|(known, _)| *known == value);
    found.map(|(_, meaning)| *meaning).ok_or_else(|| unknown(what, value))
}

/// Returns the error for a value that a member or argument cannot have.
pub(super) fn unknown(what: &'static str, value: u32) -> Error {
    Error::new(what, libc::EINVAL, format_args!("unknown {what} {value:#x}"))
}
