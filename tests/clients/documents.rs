//! Tests clients that read pictures or databases, and that recognise or load files.

use std::ffi::{c_char, c_int, c_void};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process::Command;

use libloading::os::unix::{Library as LoadedLibrary, RTLD_NOW};

use super::archives::made;
use super::client::{Answer, Client, Closes, From, Leaves, Lent, Pipe, Way, clients, path};
use super::libraries::PNG;
use super::load::functions;
use super::programs::{answer, fed, told_the_path};
use crate::support::abi::{AUTO, EXECUTABLE, INHERIT};
use crate::support::{fd, hosts, tools};

clients![
    TIFF, FILE, FILE_FED, SQLITE, NOFOLLOW, DLOPEN;
    sqlite_cannot_open_the_path_because_it_resolves_the_link ["sqlite3"],
    a_client_that_follows_no_links_gets_eloop;
    alone:
    dlopen_gives_the_library_it_has_for_a_path_whatever_the_path_names_now,
];

// libtiff
// -------------------------------------------------------------------------------------------------

const TIFF: Client = Client {
    needs: &["libtiff.so.6|libtiff.so.5"],
    file: picture,
    of_nothing: Err("not opened"),
    reads_from: From::Offset,
    pipe: Pipe::Fails,
    closes: Closes::ClientOnSuccess,
    leaves: Leaves::Anywhere,
    ..Client::of_a_library("libtiff", "TIFFFdOpen", pixels)
};

functions! { "libtiff.so.6|libtiff.so.5";
    fn TIFFFdOpen(fd: c_int, name: *const c_char, mode: *const c_char) -> *mut c_void;
    fn TIFFStripSize(picture: *mut c_void) -> isize;
    fn TIFFReadEncodedStrip(
        picture: *mut c_void,
        strip: u32,
        buffer: *mut u8,
        size: isize,
    ) -> isize;
    fn TIFFClose(picture: *mut c_void);
    fn TIFFSetErrorHandler(handler: *const c_void) -> *const c_void;
    fn TIFFSetWarningHandler(handler: *const c_void) -> *const c_void;
}

/// Returns a grey picture, one point high, without compression.
fn picture(payload: &[u8]) -> Vec<u8> {
    const SHORT: u16 = 3;
    const LONG: u16 = 4;
    let width = payload.len() as u32;
    let tags: [(u16, u16, u32); 9] = [
        (256, LONG, width), // ImageWidth
        (257, LONG, 1),     // ImageLength
        (258, SHORT, 8),    // BitsPerSample
        (259, SHORT, 1),    // Compression: none
        (262, SHORT, 1),    // PhotometricInterpretation: 0 is black
        (273, LONG, 8),     // StripOffsets
        (277, SHORT, 1),    // SamplesPerPixel
        (278, LONG, 1),     // RowsPerStrip
        (279, LONG, width), // StripByteCounts
    ];
    // The directory stands at an even offset.
    let directory = (8 + width).next_multiple_of(2);
    let mut file = [b"II*\0", directory.to_le_bytes().as_slice(), payload].concat();
    file.resize(directory as usize, 0);
    file.extend((tags.len() as u16).to_le_bytes());
    for (tag, kind, value) in tags {
        file.extend(tag.to_le_bytes());
        file.extend(kind.to_le_bytes());
        file.extend(1u32.to_le_bytes());
        file.extend(value.to_le_bytes());
    }
    file.extend(0u32.to_le_bytes());
    file
}

fn pixels(lent: &Lent) -> Answer {
    // SAFETY: the order of calls is that of TIFFOpen(3), with a buffer of the size given.
    unsafe {
        TIFFSetErrorHandler(std::ptr::null());
        TIFFSetWarningHandler(std::ptr::null());
        let picture = TIFFFdOpen(lent.number(), c"picture".as_ptr(), c"r".as_ptr());
        if picture.is_null() {
            return Err("not opened".into());
        }
        let mut pixels = vec![0; TIFFStripSize(picture) as usize];
        let count = TIFFReadEncodedStrip(picture, 0, pixels.as_mut_ptr(), pixels.len() as isize);
        TIFFClose(picture);
        if count == pixels.len() as isize { Ok(pixels) } else { Err(format!("{count} points")) }
    }
}

// file(1)
// -------------------------------------------------------------------------------------------------

/// Without -L, file(1) describes the link in /proc.
const FILE: Client = Client {
    needs: &["file"],
    way: Way::Inherit,
    file: |payload| [PNG, payload].concat(),
    expected: |_| b"image/png\n".to_vec(),
    of_nothing: Ok("inode/x-empty\n"),
    pipe: Pipe::Silent,
    ..Client::new("file", "file -L PATH", |lent| {
        told_the_path(&["file", "--brief", "--mime-type", "-L"], lent)
    })
};

const FILE_FED: Client = Client {
    name: "file_fed",
    call: "file - < fd",
    way: Way::Default,
    answer: |lent| fed(&["file", "--brief", "--mime-type", "-"], lent),
    of_nothing: Ok("application/x-empty\n"),
    reads_from: From::Offset,
    pipe: Pipe::Reads,
    leaves: Leaves::Anywhere,
    ..FILE
};

// SQLite
// -------------------------------------------------------------------------------------------------

const SQLITE: Client = Client {
    needs: &["sqlite3"],
    way: Way::Tempfile,
    file: database,
    of_nothing: Err("no such table: t"),
    pipe: Pipe::Fails,
    ..Client::new("sqlite", "sqlite3_open(PATH)", |lent| {
        let hex = answer(
            Command::new("sqlite3").arg("-readonly").arg(lent.path()).arg("select hex(x) from t"),
        )?;
        let digit = |c: u8| char::from(c).to_digit(16).expect("a digit") as u8;
        Ok(hex.trim_ascii().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect())
    })
};

fn database(payload: &[u8]) -> Vec<u8> {
    const STATEMENTS: &str = "create table t(x); insert into t values (readfile('payload'));";
    made("payload", payload, &["sqlite3", "database", STATEMENTS], "database")
}

/// Every file without a name has this limit, which is documented at bytefd_path.
fn sqlite_cannot_open_the_path_because_it_resolves_the_link() {
    let read = |path: &Path| {
        Command::new("sqlite3").arg("-readonly").arg(path).arg("select x from t").output()
    };
    let fd = fd::wrap_with(&database(b"42"), INHERIT, AUTO).expect("a descriptor");
    let by_descriptor = read(Path::new(&path(&fd))).expect("sqlite3");
    assert!(!by_descriptor.status.success());
    assert!(
        tools::said(&by_descriptor).contains("unable to open database"),
        "{}",
        tools::said(&by_descriptor)
    );
}

// O_NOFOLLOW
// -------------------------------------------------------------------------------------------------

const NOFOLLOW: Client = Client {
    needs: &["dd"],
    way: Way::Tempfile,
    pipe: Pipe::Fails,
    ..Client::new("nofollow", "open(PATH, O_NOFOLLOW)", |lent| {
        let file = format!("if={}", lent.path());
        answer(Command::new("dd").args(["iflag=nofollow", "bs=64k", "status=none"]).arg(file))
    })
};

fn a_client_that_follows_no_links_gets_eloop() {
    let fd = fd::wrap_with(b"hello", INHERIT, AUTO).expect("a descriptor");
    let file = format!("if={}", path(&fd));
    let output =
        Command::new("dd").args(["iflag=nofollow", "status=none"]).arg(file).output().expect("dd");
    assert!(
        tools::said(&output).contains("Too many levels of symbolic links"),
        "{}",
        tools::said(&output)
    );
}

// dlopen
// -------------------------------------------------------------------------------------------------

/// The loader ignores what follows the sections of a library.
const DLOPEN: Client = Client {
    way: Way::Executable,
    file: |payload| [library(42), payload.to_vec()].concat(),
    expected: |_| b"42".to_vec(),
    of_nothing: Err("file too short"),
    pipe: Pipe::Untried,
    ..Client::of_a_library("dlopen", "dlopen(PATH)", |lent| {
        load(&lent.path()).map(|(_, answer)| answer.to_string().into_bytes())
    })
};

/// Builds a shared library with one function, `answer`.
fn library(answer: c_int) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let (source, object) = (folder.path().join("answer.c"), folder.path().join("answer.so"));
    std::fs::write(
        &source,
        format!("int answer(void);\nint answer(void) {{ return {answer}; }}\n"),
    )
    .expect("written");
    tools::run(
        tools::compiler(None, &source).args(["-shared", "-fPIC", "-o"]).args([&object, &source]),
    );
    std::fs::read(object).expect("a library")
}

/// Loads the library at a path and asks it.
fn load(path: &str) -> Result<(LoadedLibrary, c_int), String> {
    // SAFETY: the libraries above have no initialisers and a function of this type.
    unsafe {
        let library =
            LoadedLibrary::open(Some(path), RTLD_NOW).map_err(|error| error.to_string())?;
        let answer =
            library.get::<unsafe extern "C" fn() -> c_int>(b"answer").expect("its function")();
        Ok((library, answer))
    }
}

/// Makes an executable file, in a memfd only: /dev/shm and /tmp are often mounted noexec, which the
/// library cannot change.
fn executable(content: &[u8]) -> Option<OwnedFd> {
    if !hosts::has_memfd() {
        println!("SKIPPED: whether a file can be executed on this host is not ours to say");
        return None;
    }
    Some(fd::wrap_with(content, EXECUTABLE, AUTO).expect("a descriptor"))
}

/// Programs that load several libraries must therefore keep all of their descriptors open.
fn dlopen_gives_the_library_it_has_for_a_path_whatever_the_path_names_now() {
    let Some(first) = executable(&library(1)) else { return };
    let Some(second) = executable(&library(2)) else { return };
    let name = path(&first);
    let (_kept, answer) = load(&name).expect("loaded");
    assert_eq!(answer, 1);

    assert_eq!(
        // SAFETY: both are open and ours; the number of `first` now stands for the file of
        // `second`.
        unsafe { libc::dup3(second.as_raw_fd(), first.as_raw_fd(), libc::O_CLOEXEC) },
        first.as_raw_fd()
    );
    assert_eq!(load(&name).expect("loaded").1, 1, "another file, the same name");
    assert_eq!(load(&path(&second)).expect("loaded").1, 2);
}
