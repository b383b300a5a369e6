//! Programs and libraries that nobody here wrote read what is handed out as they read any file.

mod daemons;

use std::ffi::{CStr, c_char, c_int, c_void};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::process::Command;
use std::ptr::{null, null_mut};

use libloading::os::unix::{Library as LoadedLibrary, RTLD_NOW};
use libloading::{Library, Symbol};

use daemons::*;

use crate::support::abi::{self, AUTO, EXECUTABLE, Error, INHERIT, SEAL_CONTENT, WRITABLE, WrapOptions};
use crate::support::{fd, hosts, tools};
use crate::tests;

tests![
    libmagic_recognises_a_wrapped_descriptor,
    libmagic_recognises_a_descriptor_lent_by_scan_bytes,
    libmagic_calls_a_descriptor_at_its_end_empty_and_a_reopened_one_not,
    ssh_keygen_accepts_a_private_key,
    file_recognises_the_path_and_the_standard_input,
    sha256sum_reads_the_path_like_a_file,
    gzip_and_zcat_unpack,
    unzip_lists_an_archive,
    bsdtar_lists_an_archive_by_path_and_from_standard_input,
    python_reads_maps_and_cannot_write,
    sqlite_cannot_open_the_path_because_it_resolves_the_link,
    a_client_that_wants_exactly_four_seals_closes_the_set_itself,
    libsystemd_sends_a_writable_descriptor_and_seals_it,
    a_dup_shares_its_offset_with_the_original,
    threads_with_reopened_descriptors_each_read_everything,
    clamd_finds_what_is_in_a_descriptor_that_it_is_sent;
    alone:
    a_long_journal_entry_is_received_and_verified,
    dlopen_loads_an_executable_library,
    dlopen_gives_the_library_it_has_for_a_path_whatever_the_path_names_now,
];

/// The header of a picture of 16 by 16 points; enough to be recognised.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10\x08\x06\0\0\0";

// What is read --------------------------------------------------------------------------------------------------------

fn inherited(content: &[u8]) -> OwnedFd {
    fd::wrap_with(content, INHERIT, AUTO).expect("a descriptor")
}

/// The path that the library gives for a descriptor.
fn path(fd: &OwnedFd) -> String {
    let (mut buffer, mut error) = ([0 as c_char; 32], Error::untouched());
    // SAFETY: a buffer of the length given.
    let status = unsafe { (abi::load().path)(fd.as_raw_fd(), buffer.as_mut_ptr(), buffer.len(), &mut error) };
    fd::result(status, &error).expect("a path");
    // SAFETY: a successful call leaves a NUL-terminated text.
    unsafe { CStr::from_ptr(buffer.as_ptr()) }.to_str().expect("ASCII").to_string()
}

fn reopen(fd: &OwnedFd) -> OwnedFd {
    let mut error = Error::untouched();
    // SAFETY: an open descriptor.
    let reopened = unsafe { (abi::load().reopen)(fd.as_raw_fd(), &mut error) };
    // SAFETY: the caller of bytefd_reopen owns what it returns.
    unsafe { OwnedFd::from_raw_fd(fd::result(reopened, &error).expect("a descriptor")) }
}

fn seek_to_end(fd: &OwnedFd) {
    // SAFETY: touches no memory.
    assert!(unsafe { libc::lseek(fd.as_raw_fd(), 0, libc::SEEK_END) } > 0);
}

/// What the standard output of a program is that is told the path of a descriptor as its last argument.
fn told_the_path(program: &[&str], fd: &OwnedFd) -> Vec<u8> {
    tools::run(Command::new(program[0]).args(&program[1..]).arg(path(fd))).stdout
}

/// The same for a program that has the descriptor as its standard input.
fn fed(program: &[&str], content: &[u8]) -> Vec<u8> {
    let fd = fd::wrap_with(content, 0, AUTO).expect("a descriptor");
    tools::run(Command::new(program[0]).args(&program[1..]).stdin(fd)).stdout
}

/// An archive with two small files in it, in the format that the ending of `name` stands for.
fn archive(name: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("first"), "one").expect("written");
    std::fs::write(folder.path().join("second"), "two").expect("written");
    tools::run(Command::new("bsdtar").current_dir(&folder).args(["-a", "-cf", name, "first", "second"]));
    std::fs::read(folder.path().join(name)).expect("an archive")
}

// libmagic ------------------------------------------------------------------------------------------------------------

/// What libmagic says about a descriptor.
fn magic(fd: c_int) -> String {
    const MAGIC_MIME_TYPE: c_int = 0x10;
    // SAFETY: the types and the order of calls are those of libmagic(3).
    unsafe {
        let library = Library::new("libmagic.so.1").expect("libmagic.so.1 (is its package installed?)");
        let open: Symbol<unsafe extern "C" fn(c_int) -> *mut c_void> = library.get(b"magic_open").unwrap();
        let load: Symbol<unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int> =
            library.get(b"magic_load").unwrap();
        let descriptor: Symbol<unsafe extern "C" fn(*mut c_void, c_int) -> *const c_char> =
            library.get(b"magic_descriptor").unwrap();
        let close: Symbol<unsafe extern "C" fn(*mut c_void)> = library.get(b"magic_close").unwrap();

        let cookie = open(MAGIC_MIME_TYPE);
        assert_eq!(load(cookie, null()), 0, "magic_load");
        let said = descriptor(cookie, fd);
        assert!(!said.is_null(), "magic_descriptor");
        let said = CStr::from_ptr(said).to_str().expect("ASCII").to_string();
        close(cookie);
        said
    }
}

/// Contents, and what libmagic calls them.
fn samples() -> [(Vec<u8>, &'static str); 3] {
    let program = std::fs::read("/bin/true").expect("/bin/true");
    [(PNG.to_vec(), "image/png"), (archive("both.tgz"), "application/gzip"), (program, "application/x-pie-executable")]
}

fn libmagic_recognises_a_wrapped_descriptor() {
    for (content, kind) in samples() {
        let fd = fd::wrap_with(&content, 0, AUTO).expect("a descriptor");
        assert_eq!(magic(fd.as_raw_fd()), kind);
    }
}

fn libmagic_recognises_a_descriptor_lent_by_scan_bytes() {
    unsafe extern "C" fn ask(fd: c_int, said: *mut c_void) -> c_int {
        // SAFETY: the context is the String below, and nobody else uses it during the call.
        unsafe { *said.cast::<String>() = magic(fd) };
        0
    }
    for (content, kind) in samples() {
        let (mut said, mut error) = (String::new(), Error::untouched());
        // SAFETY: a valid buffer; the context is what `ask` takes it for.
        let status = unsafe {
            let context = (&raw mut said).cast();
            (abi::load().scan_bytes)(content.as_ptr().cast(), content.len(), Some(ask), context, null(), &mut error)
        };
        fd::result(status, &error).expect("scanned");
        assert_eq!(said, kind);
    }
}

/// Nothing but the offset tells a client where the content begins, and no client complains.
fn libmagic_calls_a_descriptor_at_its_end_empty_and_a_reopened_one_not() {
    let fd = fd::wrap_with(PNG, 0, AUTO).expect("a descriptor");
    seek_to_end(&fd);
    assert_eq!(magic(fd.as_raw_fd()), "application/x-empty");
    assert_eq!(magic(reopen(&fd).as_raw_fd()), "image/png");
}

// Programs ------------------------------------------------------------------------------------------------------------

/// It refuses a key that others may read, so this holds only for a mode that is as it should be.
fn ssh_keygen_accepts_a_private_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("key");
    tools::run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).arg(&file));
    let public = std::fs::read(file.with_extension("pub")).expect("the public key");
    let private = std::fs::read(&file).expect("the private key");

    let said = told_the_path(&["ssh-keygen", "-y", "-f"], &inherited(&private));
    assert_eq!(said.trim_ascii(), public.trim_ascii());

    let open_to_all = WrapOptions { flags: INHERIT, mode: 0o444, ..WrapOptions::default() };
    let fd = fd::wrap(&private, &open_to_all).expect("a descriptor");
    let output = Command::new("ssh-keygen").args(["-y", "-f"]).arg(path(&fd)).output().expect("ssh-keygen");
    assert!(!output.status.success() && tools::said(&output).contains("UNPROTECTED"), "{}", tools::said(&output));
}

/// Without -L it describes the link in /proc.
fn file_recognises_the_path_and_the_standard_input() {
    let said = told_the_path(&["file", "--brief", "-L"], &inherited(PNG));
    assert!(said.starts_with(b"PNG image data, 16 x 16"), "{}", said.escape_ascii());
    assert_eq!(fed(&["file", "--brief", "-"], PNG), said);
}

fn sha256sum_reads_the_path_like_a_file() {
    let content = fd::pattern(300_000);
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, &content).expect("written");
    let expected = tools::run(Command::new("sha256sum").arg(file.path())).stdout;

    let said = told_the_path(&["sha256sum"], &inherited(&content));
    assert_eq!(said[..64], expected[..64]);
}

fn gzip_and_zcat_unpack() {
    let content = fd::pattern(300_000);
    let packed = fed(&["gzip", "-c"], &content);
    assert_eq!(fed(&["gzip", "-dc"], &packed), content);
    assert_eq!(told_the_path(&["zcat"], &inherited(&packed)), content);
}

fn unzip_lists_an_archive() {
    let said = told_the_path(&["unzip", "-Z1"], &inherited(&archive("both.zip")));
    assert_eq!(said, b"first\nsecond\n");
}

fn bsdtar_lists_an_archive_by_path_and_from_standard_input() {
    for name in ["both.zip", "both.tgz"] {
        let content = archive(name);
        assert_eq!(told_the_path(&["bsdtar", "-tf"], &inherited(&content)), b"first\nsecond\n", "{name}");
        assert_eq!(fed(&["bsdtar", "-tf", "-"], &content), b"first\nsecond\n", "{name}");
    }
}

/// EPERM comes from the seals; a read-only description, where the host needs one, answers EBADF before.
fn python_reads_maps_and_cannot_write() {
    const SCRIPT: &str = r#"
import errno, mmap, os, stat, sys
fd = int(sys.argv[1])
status = os.fstat(fd)
assert stat.S_ISREG(status.st_mode) and status.st_nlink == 0, status
assert stat.S_IMODE(status.st_mode) == 0o400, status
content = os.pread(fd, status.st_size + 1, 0)
assert len(content) == status.st_size, status
for flags in (mmap.MAP_SHARED, mmap.MAP_PRIVATE):
    with mmap.mmap(fd, 0, flags=flags, prot=mmap.PROT_READ) as view:
        assert view[:] == content
for change in (lambda: os.pwrite(fd, b"x", 0), lambda: os.ftruncate(fd, 0)):
    try:
        change()
    except OSError as error:
        assert error.errno in (errno.EPERM, errno.EBADF, errno.EINVAL), error
    else:
        sys.exit("it can be changed")
sys.stdout.buffer.write(content)
"#;
    let content = fd::pattern(300_000);
    let fd = inherited(&content);
    let python = tools::run(Command::new("python3").args(["-c", SCRIPT, &fd.as_raw_fd().to_string()]));
    assert!(python.stdout == content);
}

/// A limit of every file without a name, documented at bytefd_path.
fn sqlite_cannot_open_the_path_because_it_resolves_the_link() {
    const SCRIPT: &str = r#"
import sqlite3, sys
print(sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True).execute("select answer from t").fetchone())
"#;
    let read = |path: &Path| Command::new("python3").args(["-c", SCRIPT]).arg(path).output().expect("python3");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("base");
    tools::run(Command::new("python3").arg("-c").arg(format!(
        "import sqlite3; c = sqlite3.connect({file:?}); c.execute('create table t as select 42 as answer'); c.commit()"
    )));

    let by_name = read(&file);
    assert!(by_name.status.success(), "{}", tools::said(&by_name));
    let fd = inherited(&std::fs::read(&file).expect("a database"));
    let by_descriptor = read(Path::new(&path(&fd)));
    assert!(!by_descriptor.status.success());
    assert!(tools::said(&by_descriptor).contains("unable to open database file"), "{}", tools::said(&by_descriptor));
}

// Seals ---------------------------------------------------------------------------------------------------------------

/// journald of systemd 252 compares with 0xf and takes nothing else.
fn a_client_that_wants_exactly_four_seals_closes_the_set_itself() {
    if !hosts::has_memfd() {
        return println!("SKIPPED: nothing can be sealed on this host");
    }
    let fd = fd::wrap_with(b"MESSAGE=hello", SEAL_CONTENT, AUTO).expect("a descriptor");
    assert_eq!(fd::seals(&fd), 0xe);
    // SAFETY: touches no memory.
    assert_eq!(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, libc::F_SEAL_SEAL) }, 0);
    assert_eq!(fd::seals(&fd), 0xf);
}

/// sd_bus_message_append_array_memfd(3) seals the file itself, and so refuses one whose set of seals is closed. No bus is
/// needed: the message is never sent.
fn libsystemd_sends_a_writable_descriptor_and_seals_it() {
    if !hosts::has_memfd() {
        return println!("SKIPPED: nothing can be sealed on this host");
    }
    let writable = fd::wrap_with(b"hello", WRITABLE, AUTO).expect("a descriptor");
    assert_eq!(append_to_bus_message(&writable), 0);
    assert_eq!(fd::seals(&writable) & 0xf, 0xf, "libsystemd has sealed it");

    let sealed = fd::wrap_with(b"hello", 0, AUTO).expect("a descriptor");
    assert!(append_to_bus_message(&sealed) < 0);
}

fn append_to_bus_message(fd: &OwnedFd) -> c_int {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair of sockets");
    // SAFETY: the types and the order of calls are those of sd-bus(3). The bus closes the socket it is given.
    unsafe {
        let library = Library::new("libsystemd.so.0").expect("libsystemd.so.0 (is its package installed?)");
        let new: Symbol<unsafe extern "C" fn(*mut *mut c_void) -> c_int> = library.get(b"sd_bus_new").unwrap();
        let set_fd: Symbol<unsafe extern "C" fn(*mut c_void, c_int, c_int) -> c_int> =
            library.get(b"sd_bus_set_fd").unwrap();
        let start: Symbol<unsafe extern "C" fn(*mut c_void) -> c_int> = library.get(b"sd_bus_start").unwrap();
        type NewSignal =
            unsafe extern "C" fn(*mut c_void, *mut *mut c_void, *const c_char, *const c_char, *const c_char) -> c_int;
        let new_signal: Symbol<NewSignal> = library.get(b"sd_bus_message_new_signal").unwrap();
        let append: Symbol<unsafe extern "C" fn(*mut c_void, c_char, c_int, u64, u64) -> c_int> =
            library.get(b"sd_bus_message_append_array_memfd").unwrap();
        let unref: Symbol<unsafe extern "C" fn(*mut c_void) -> *mut c_void> =
            library.get(b"sd_bus_message_unref").unwrap();
        let close: Symbol<unsafe extern "C" fn(*mut c_void) -> *mut c_void> =
            library.get(b"sd_bus_close_unref").unwrap();

        let (mut bus, mut message) = (null_mut(), null_mut());
        assert_eq!(new(&mut bus), 0);
        let socket = OwnedFd::from(ours);
        assert!(set_fd(bus, socket.as_raw_fd(), socket.as_raw_fd()) >= 0);
        std::mem::forget(socket);
        assert!(start(bus) >= 0);
        let names = (c"/".as_ptr(), c"org.example.Bytes".as_ptr(), c"Come".as_ptr());
        assert!(new_signal(bus, &mut message, names.0, names.1, names.2) >= 0);
        let status = append(message, b'y' as c_char, fd.as_raw_fd(), 0, u64::MAX);
        unref(message);
        close(bus);
        drop(theirs);
        status
    }
}

// Offsets -------------------------------------------------------------------------------------------------------------

fn a_dup_shares_its_offset_with_the_original() {
    let fd = fd::wrap_with(b"hello", 0, AUTO).expect("a descriptor");
    assert_eq!(fd::read_through(&fd.try_clone().expect("dup")), b"hello");
    assert_eq!(fd::read_through(&fd), b"");
    assert_eq!(fd::read_through(&reopen(&fd)), b"hello");
}

fn threads_with_reopened_descriptors_each_read_everything() {
    let content = fd::pattern(1 << 20);
    let fd = fd::wrap_with(&content, 0, AUTO).expect("a descriptor");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert!(fd::read_through(&reopen(&fd)) == content));
        }
    });
}

// Libraries -----------------------------------------------------------------------------------------------------------

/// /dev/shm and /tmp are often mounted noexec, which is no matter of ours; a memfd is not.
fn executable(content: &[u8]) -> Option<OwnedFd> {
    if !hosts::has_memfd() {
        println!("SKIPPED: whether a file can be executed on this host is not ours to say");
        return None;
    }
    Some(fd::wrap_with(content, EXECUTABLE, AUTO).expect("a descriptor"))
}

/// A shared library with one function, `answer`.
fn library(answer: c_int) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let (source, object) = (folder.path().join("answer.c"), folder.path().join("answer.so"));
    std::fs::write(&source, format!("int answer(void);\nint answer(void) {{ return {answer}; }}\n")).expect("written");
    tools::run(tools::compiler(None, &source).args(["-shared", "-fPIC", "-o"]).args([&object, &source]));
    std::fs::read(object).expect("a library")
}

/// Loads the library at a path and asks it.
fn load(path: &str) -> (LoadedLibrary, c_int) {
    // SAFETY: the libraries above have no initialisers and a function of this type.
    unsafe {
        let library = LoadedLibrary::open(Some(path), RTLD_NOW).expect("dlopen");
        let answer = library.get::<unsafe extern "C" fn() -> c_int>(b"answer").expect("its function")();
        (library, answer)
    }
}

fn dlopen_loads_an_executable_library() {
    let Some(fd) = executable(&library(42)) else { return };
    assert_eq!(load(&path(&fd)).1, 42);
}

/// So that whoever loads libraries one after the other keeps their descriptors open meanwhile.
fn dlopen_gives_the_library_it_has_for_a_path_whatever_the_path_names_now() {
    let Some(first) = executable(&library(1)) else { return };
    let Some(second) = executable(&library(2)) else { return };
    let name = path(&first);
    let (_kept, answer) = load(&name);
    assert_eq!(answer, 1);

    // SAFETY: both are open and ours; the number of `first` now stands for the file of `second`.
    assert_eq!(unsafe { libc::dup3(second.as_raw_fd(), first.as_raw_fd(), libc::O_CLOEXEC) }, first.as_raw_fd());
    assert_eq!(load(&name).1, 1, "another file, the same name");
    assert_eq!(load(&path(&second)).1, 2);
}
