//! Tests programs that unpack archives.

use std::ffi::{c_char, c_int, c_void};
use std::process::Command;

use super::client::{Answer, Client, Closes, From, Leaves, Lent, Pipe, Way, clients};
use super::load::functions;
use super::programs::{fed, told_the_path};
use crate::support::tools;

clients![GZDOPEN, LIBARCHIVE, GZIP, ZCAT, UNZIP, BSDTAR, BSDTAR_ZIP, BSDTAR_FED];

// zlib
// -------------------------------------------------------------------------------------------------

const GZDOPEN: Client = Client {
    needs: &["libz.so.1", "gzip"],
    file: gzipped,
    reads_from: From::Offset,
    closes: Closes::Client,
    leaves: Leaves::End,
    ..Client::of_a_library("zlib_gzdopen", "gzdopen", gunzip)
};

functions! { "libz.so.1";
    fn gzdopen(fd: c_int, mode: *const c_char) -> *mut c_void;
    fn gzread(file: *mut c_void, buffer: *mut u8, length: u32) -> c_int;
    fn gzclose(file: *mut c_void) -> c_int;
}

fn gunzip(lent: &Lent) -> Answer {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    // SAFETY: a buffer of the length given; the file takes the descriptor over.
    unsafe {
        let file = gzdopen(lent.number(), c"rb".as_ptr());
        assert!(!file.is_null(), "gzdopen");
        let status = loop {
            match gzread(file, buffer.as_mut_ptr(), buffer.len() as u32) {
                count if count > 0 => bytes.extend_from_slice(&buffer[..count as usize]),
                status => break status,
            }
        };
        let closed = gzclose(file);
        if status != 0 || closed != 0 {
            Err(format!("errors {status} and {closed}"))
        } else {
            Ok(bytes)
        }
    }
}

fn gzipped(payload: &[u8]) -> Vec<u8> {
    made("payload", payload, &["gzip", "-1", "payload"], "payload.gz")
}

/// Runs a program in a folder with a file of this name. Returns the file that the program made.
pub fn made(name: &str, payload: &[u8], program: &[&str], result: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join(name), payload).expect("written");
    tools::run(Command::new(program[0]).current_dir(&folder).args(&program[1..]));
    std::fs::read(folder.path().join(result)).expect("made")
}

// libarchive
// -------------------------------------------------------------------------------------------------

const LIBARCHIVE: Client = Client {
    needs: &["libarchive.so.13", "bsdtar"],
    file: tar,
    reads_from: From::Offset,
    leaves: Leaves::Anywhere,
    ..Client::of_a_library("libarchive", "archive_read_open_fd", first_entry)
};

functions! { "libarchive.so.13";
    fn archive_read_new() -> *mut c_void;
    fn archive_read_support_filter_all(archive: *mut c_void) -> c_int;
    fn archive_read_support_format_all(archive: *mut c_void) -> c_int;
    fn archive_read_open_fd(archive: *mut c_void, fd: c_int, block: usize) -> c_int;
    fn archive_read_next_header(archive: *mut c_void, entry: *mut *mut c_void) -> c_int;
    fn archive_read_data(archive: *mut c_void, buffer: *mut u8, length: usize) -> isize;
    fn archive_read_free(archive: *mut c_void) -> c_int;
}

/// Returns the content of the first entry; nothing if there is none.
fn first_entry(lent: &Lent) -> Answer {
    const ARCHIVE_EOF: c_int = 1;
    let (mut bytes, mut entry) = (Vec::new(), std::ptr::null_mut());
    let mut buffer = vec![0; 1 << 16];
    // SAFETY: the order of calls is that of archive_read(3), with a buffer of the length given.
    unsafe {
        let archive = archive_read_new();
        archive_read_support_filter_all(archive);
        archive_read_support_format_all(archive);
        let mut status = archive_read_open_fd(archive, lent.number(), 10240);
        if status == 0 {
            status = archive_read_next_header(archive, &mut entry);
        }
        while status == 0 {
            match archive_read_data(archive, buffer.as_mut_ptr(), buffer.len()) {
                0 => break,
                count if count < 0 => status = count as c_int,
                count => bytes.extend_from_slice(&buffer[..count as usize]),
            }
        }
        archive_read_free(archive);
        if status == 0 || status == ARCHIVE_EOF {
            Ok(bytes)
        } else {
            Err(format!("error {status}"))
        }
    }
}

fn tar(payload: &[u8]) -> Vec<u8> {
    made("payload", payload, &["bsdtar", "-cf", "archive", "payload"], "archive")
}

fn zip(payload: &[u8]) -> Vec<u8> {
    made("payload", payload, &["bsdtar", "-a", "-cf", "archive.zip", "payload"], "archive.zip")
}

// Programs
// -------------------------------------------------------------------------------------------------

const GZIP: Client = Client {
    needs: &["gzip"],
    file: gzipped,
    reads_from: From::Offset,
    leaves: Leaves::End,
    of_nothing: Err("unexpected end of file"),
    ..Client::new("gzip", "gzip -dc < fd", |lent| fed(&["gzip", "-dc"], lent))
};

const ZCAT: Client = Client {
    needs: &["gzip"],
    way: Way::Inherit,
    file: gzipped,
    of_nothing: Err("unexpected end of file"),
    ..Client::new("zcat", "zcat PATH", |lent| told_the_path(&["zcat"], lent))
};

const UNZIP: Client = Client {
    needs: &["unzip", "bsdtar"],
    way: Way::Inherit,
    file: zip,
    of_nothing: Err("End-of-central-directory signature not found"),
    pipe: Pipe::Fails,
    ..Client::new("unzip", "unzip -p PATH", |lent| told_the_path(&["unzip", "-p"], lent))
};

const BSDTAR: Client = Client {
    needs: &["bsdtar"],
    way: Way::Inherit,
    file: tar,
    ..Client::new("bsdtar", "bsdtar -xOf PATH", |lent| told_the_path(&["bsdtar", "-xOf"], lent))
};

const BSDTAR_ZIP: Client =
    Client { name: "bsdtar_zip", call: "bsdtar -xOf PATH (zip)", file: zip, ..BSDTAR };

const BSDTAR_FED: Client = Client {
    needs: &["bsdtar"],
    file: tar,
    reads_from: From::Offset,
    leaves: Leaves::Anywhere,
    ..Client::new("bsdtar_fed", "bsdtar -xOf - < fd", |lent| fed(&["bsdtar", "-xOf", "-"], lent))
};
