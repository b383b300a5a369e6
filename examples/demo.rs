//! Shows the main use from Rust: lends bytes in memory, as a descriptor, to third-party code.
//!
//! `cargo run --example demo FILE` shows the properties that fstat(2) returns, the type that
//! libmagic finds, and the digest of the bytes that a child process reads from the path.
//! `make demo` runs the same from C, Go and Rust.

use std::error::Error;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::io::Write;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use bytefd::WrapOptions;

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args_os().nth(1).ok_or("usage: demo FILE")?;
    let bytes = std::fs::read(file)?;

    // Inherited, so that the child finds it under the same path.
    let options = WrapOptions::new().name("demo").inherit(true);
    let seen = options.scan(&bytes, |fd| -> Result<String, Box<dyn Error>> {
        println!("Rust  fstat   {}", describe(fd)?);
        println!("      magic   {}", magic(fd)?);
        let digest = sha256sum(Command::new("sha256sum").arg(bytefd::path(fd)), b"")?;
        println!("      child   sha256sum says {digest}");
        Ok(digest)
    })??;

    let original = sha256sum(&mut Command::new("sha256sum"), &bytes)?;
    if seen != original {
        println!("      result  DIFFERENT: the original's digest is {original}");
        std::process::exit(1);
    }
    println!("      result  equal to the digest of the original");
    Ok(())
}

fn describe(fd: BorrowedFd<'_>) -> Result<String, Box<dyn Error>> {
    let stat = std::fs::metadata(bytefd::path(fd))?;
    let kind = if stat.is_file() { "regular file" } else { "not a regular file" };
    // SAFETY: neither call touches memory.
    let (offset, seals) = unsafe {
        (
            libc::lseek(fd.as_raw_fd(), 0, libc::SEEK_CUR),
            libc::fcntl(fd.as_raw_fd(), libc::F_GET_SEALS),
        )
    };
    let (size, links, mode) = (stat.len(), stat.nlink(), stat.mode() & 0o7777);
    Ok(format!(
        "{kind}, {size} bytes, offset {offset}, links {links}, mode {mode:04o}, seals {seals:#x}"
    ))
}

/// Returns the type that libmagic finds. Loads libmagic at run time, so that building does not need
/// it.
fn magic(fd: BorrowedFd<'_>) -> Result<String, Box<dyn Error>> {
    // SAFETY: the types are those of magic.h; the text lives until the cookie is closed.
    unsafe {
        let library = libloading::Library::new("libmagic.so.1")?;
        let open = library.get::<unsafe extern "C" fn(c_int) -> *mut c_void>(b"magic_open")?;
        let load = library
            .get::<unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int>(b"magic_load")?;
        let look = library.get::<unsafe extern "C" fn(*mut c_void, c_int) -> *const c_char>(
            b"magic_descriptor",
        )?;
        let close = library.get::<unsafe extern "C" fn(*mut c_void)>(b"magic_close")?;

        let cookie = open(0);
        if cookie.is_null() || load(cookie, std::ptr::null()) != 0 {
            return Err("libmagic has no database".into());
        }
        let text = look(cookie, fd.as_raw_fd());
        let answer = (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned());
        close(cookie);
        answer.ok_or_else(|| "libmagic could not read the descriptor".into())
    }
}

/// Returns the digest that `command` prints for `input`.
fn sha256sum(command: &mut Command, input: &[u8]) -> Result<String, Box<dyn Error>> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    // A child that reads a path may end without reading `input`, which is no failure. sha256sum
    // prints nothing before its input ends, so that no pipe fills up.
    let _ = child.stdin.take().expect("piped").write_all(input);
    let output = child.wait_with_output()?;
    let text = String::from_utf8(output.stdout)?;
    let digest = text.split_whitespace().next().filter(|_| output.status.success());
    Ok(digest.ok_or("sha256sum failed")?.into())
}
