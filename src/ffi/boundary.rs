//! Runs the body of every exported function: stops panics, and writes errors for C.
//!
//! A panic becomes -ENOTRECOVERABLE with its text, and prints nothing. The panic hook, set at the
//! first call from C, is silent on threads that are inside the boundary, and passes everything else
//! on. The callback of `scan_bytes` is called outside the boundary. So a C++ exception passes
//! through it and closes the descriptor on its way.

use std::any::Any;
use std::cell::Cell;
use std::ffi::{c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use super::cancellation::Postponed;
use super::results::Answer;
use crate::{Error, Result};

/// Describes a failure. A function that fails fills it, and a function that succeeds leaves it
/// unchanged. It belongs to the caller, and can be used for any number of calls, one after the
/// other. Its size is 256 bytes on every platform and in every version.
///
/// ```c
/// bytefd_error error;
/// int fd = shm_wrap_buffer("hello", 5, NULL, &error);
/// if (fd < 0)
///     fprintf(stderr, "%s: %s\n", error.op, error.message);
/// ```
#[repr(C)]
pub struct bytefd_error {
    /// The negative errno that the function returned.
    pub code: c_int,
    /// The value that the callback of a scan returned, if `op` is "callback". Otherwise 0.
    pub callback: c_int,
    /// The step that failed, with a final NUL: a system call, such as "memfd_create", or the
    /// argument that was refused, such as "name".
    pub op: [c_char; 32],
    /// One line that says what was asked and what was found, with a final NUL. It has no newline,
    /// and does not repeat `op`. A long message is shortened in its middle.
    pub message: [c_char; 216],
}

/// Runs the body of an exported function, whose last parameter is `error`. The result of the body
/// becomes the return value. A failure also fills `error`, unless it is NULL. A panic becomes
/// -ENOTRECOVERABLE with the panic's text, and prints nothing.
pub(super) fn boundary<A: Answer>(
    error: *mut bytefd_error,
    body: impl FnOnce() -> Result<A>,
) -> c_int {
    let _postponed = Postponed::new();
    let result = silently(|| catch_unwind(AssertUnwindSafe(body))).unwrap_or_else(|panic| {
        Err(Error::new("panic", libc::ENOTRECOVERABLE, panic_text(&*panic)))
    });
    match result {
        Ok(answer) => answer.into_int(),
        Err(failure) => fail(error, &failure, 0),
    }
}

/// Fills `error`, unless it is NULL. Returns the negative errno. `callback` is the value that the
/// callback of a scan returned, or 0.
pub(super) fn fail(error: *mut bytefd_error, failure: &Error, callback: c_int) -> c_int {
    // SAFETY: the header asks for NULL or a writable bytefd_error.
    if let Some(error) = unsafe { error.as_mut() } {
        error.code = -failure.errno();
        error.callback = callback;
        copy_text(&mut error.op, failure.op());
        copy_text(&mut error.message, failure.message());
    }
    -failure.errno()
}

/// Runs the body of a function that ends a handle. NULL is allowed, and there is no `bytefd_error`
/// to fill.
pub(super) fn end<T>(handle: Option<Box<T>>, body: impl FnOnce(T) -> Result<()>) -> c_int {
    boundary(std::ptr::null_mut(), || handle.map_or(Ok(()), |handle| body(*handle)))
}

/// Runs `body`. If `body` panics in this thread, the panic prints no message on standard error.
fn silently<R>(body: impl FnOnce() -> R) -> R {
    thread_local!(static SILENT: Cell<bool> = const { Cell::new(false) });
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !SILENT.try_with(Cell::get).unwrap_or(false) {
                previous(info);
            }
        }));
    });
    let before = SILENT.replace(true);
    let result = body();
    SILENT.set(before);
    result
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a text")
}

/// Copies `text` with a final NUL. A long text is shortened in its middle, because it begins with
/// what was asked and ends with the kernel's answer.
fn copy_text<const N: usize>(target: &mut [c_char; N], text: &str) {
    const GAP: &str = "...";
    let room = N - 1;
    let (head, gap, tail) = if text.len() <= room {
        (text, "", "")
    } else {
        let half = (room - GAP.len()) / 2;
        (
            &text[..floor_char_boundary(text, half)],
            GAP,
            &text[ceil_char_boundary(text, text.len() - half)..],
        )
    };
    target.fill(0);
    let bytes = head.bytes().chain(gap.bytes()).chain(tail.bytes());
    for (slot, byte) in target.iter_mut().zip(bytes) {
        // A path can contain a newline, but a message is one line. A NUL would end the message.
        *slot = if byte.is_ascii_control() { b'?' } else { byte } as c_char;
    }
}

fn floor_char_boundary(text: &str, mut index: usize) -> usize {
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}

fn ceil_char_boundary(text: &str, mut index: usize) -> usize {
    while !text.is_char_boundary(index) {
        index += 1;
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> bytefd_error {
        bytefd_error { code: 1, callback: 1, op: [0; 32], message: [0; 216] }
    }

    fn text(field: &[c_char]) -> String {
        let bytes: Vec<u8> = field.iter().map(|c| *c as u8).take_while(|b| *b != 0).collect();
        String::from_utf8(bytes).expect("messages are UTF-8")
    }

    #[test]
    fn a_panic_becomes_enotrecoverable_with_its_text() {
        let mut error = empty();
        assert_eq!(boundary::<()>(&mut error, || panic!("broken {}", 7)), -libc::ENOTRECOVERABLE);
        assert_eq!(error.code, -libc::ENOTRECOVERABLE);
        assert_eq!(text(&error.op), "panic");
        assert_eq!(text(&error.message), "broken 7");
        assert_eq!(
            boundary::<()>(std::ptr::null_mut(), || std::panic::panic_any(1)),
            -libc::ENOTRECOVERABLE
        );
    }

    /// In a process of its own: other tests call the boundary, which keeps the hook it finds first.
    #[test]
    fn panics_inside_are_silent_and_others_are_not() {
        const INSIDE: &str = "BYTEFD_TEST_PANICS";
        const NAME: &str = "ffi::boundary::tests::panics_inside_are_silent_and_others_are_not";
        if std::env::var_os(INSIDE).is_some() {
            boundary::<()>(std::ptr::null_mut(), || panic!("ours"));
            std::panic::catch_unwind(|| panic!("theirs")).expect_err("a panic");
            return;
        }
        let mut child = std::process::Command::new(std::env::current_exe().expect("a path"));
        let said = child.args(["--exact", "--nocapture", NAME]).env(INSIDE, "1").output();
        let said = String::from_utf8(said.expect("a process").stderr).expect("UTF-8");
        assert!(said.contains("theirs") && !said.contains("ours"), "{said}");
    }

    #[test]
    fn success_leaves_the_error_alone() {
        let mut error = empty();
        assert_eq!(boundary(&mut error, || Ok(5)), 5);
        assert_eq!(error.code, 1);
    }

    #[test]
    fn long_messages_keep_both_ends_and_stay_utf8() {
        let mut error = empty();
        let message = format!("asked{}found", "ä".repeat(300));
        boundary::<()>(&mut error, || Err(Error::new("op", libc::EIO, message)));
        let shown = text(&error.message);
        assert!(
            shown.len() >= 200
                && shown.starts_with("askedä")
                && shown.contains("...")
                && shown.ends_with("äfound")
        );
    }

    #[test]
    fn messages_are_one_line() {
        let mut error = empty();
        boundary::<()>(&mut error, || Err(Error::new("op", libc::EIO, "a\nb\0c")));
        assert_eq!(text(&error.message), "a?b?c");
    }

    #[test]
    fn the_error_struct_has_its_promised_size() {
        assert_eq!(size_of::<bytefd_error>(), 256);
    }
}
