//! Tests libraries that look at a file through a descriptor.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::ptr::{null, null_mut};

use super::client::{Answer, Client, From, Leaves, Lent, Pipe, clients, reopen};
use super::load::functions;
use crate::support::abi::{self, AUTO, Error};
use crate::support::{fd, tools};

clients![
    LIBMAGIC, YARA, GLIB_MAPPED_FILE, ELF_READ, ELF_MMAP; ;
    alone:
    libmagic_recognises_a_descriptor_lent_by_scan_bytes ["libmagic.so.1"],
    libmagic_says_less_of_an_elf_file_in_memory_than_behind_a_descriptor ["libmagic.so.1"],
];

// libmagic
// -------------------------------------------------------------------------------------------------

const LIBMAGIC: Client = Client {
    needs: &["libmagic.so.1"],
    file: |payload| [PNG, payload].concat(),
    expected: |_| b"image/png".to_vec(),
    of_nothing: Ok("application/x-empty"),
    reads_from: From::Offset,
    leaves: Leaves::Anywhere,
    ..Client::of_a_library("libmagic", "magic_descriptor", |lent| {
        Ok(magic(lent.number()).into_bytes())
    })
};

/// The header of a picture of 16 by 16 points; enough to be recognised.
pub const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10\x08\x06\0\0\0";

functions! { "libmagic.so.1";
    fn magic_open(flags: c_int) -> *mut c_void;
    fn magic_load(cookie: *mut c_void, files: *const c_char) -> c_int;
    fn magic_descriptor(cookie: *mut c_void, fd: c_int) -> *const c_char;
    fn magic_buffer(cookie: *mut c_void, buffer: *const c_void, length: usize) -> *const c_char;
    fn magic_close(cookie: *mut c_void);
}

/// Returns the type that libmagic finds for a descriptor.
pub fn magic(fd: c_int) -> String {
    const MAGIC_MIME_TYPE: c_int = 0x10;
    // SAFETY: libmagic takes any number for a descriptor.
    ask_magic(MAGIC_MIME_TYPE, |cookie| unsafe { magic_descriptor(cookie, fd) })
}

fn ask_magic(flags: c_int, ask: impl Fn(*mut c_void) -> *const c_char) -> String {
    // SAFETY: the order of calls is that of libmagic(3).
    unsafe {
        let cookie = magic_open(flags);
        assert_eq!(magic_load(cookie, null()), 0, "magic_load");
        let said = ask(cookie);
        assert!(!said.is_null(), "libmagic");
        let said = CStr::from_ptr(said).to_str().expect("ASCII").to_string();
        magic_close(cookie);
        said
    }
}

fn libmagic_recognises_a_descriptor_lent_by_scan_bytes() {
    unsafe extern "C" fn ask(fd: c_int, said: *mut c_void) -> c_int {
        // SAFETY: the context is the String below, and nobody else uses it during the call.
        unsafe { *said.cast::<String>() = magic(fd) };
        0
    }
    let program = std::fs::read("/bin/true").expect("/bin/true");
    for (content, kind) in [(PNG, "image/png"), (&program, "application/x-pie-executable")] {
        let (mut said, mut error) = (String::new(), Error::untouched());
        // SAFETY: a valid buffer; the context is what `ask` takes it for.
        let status = unsafe {
            let context = (&raw mut said).cast();
            (abi::load().scan_bytes)(
                content.as_ptr().cast(),
                content.len(),
                Some(ask),
                context,
                null(),
                &mut error,
            )
        };
        fd::result(status, &error).expect("scanned");
        assert_eq!(said, kind);
    }
    // Nothing but the offset tells a client where the content begins, and no client complains.
    let fd = fd::wrap_with(PNG, 0, AUTO).expect("a descriptor");
    assert_eq!(fd::read_through(&fd), PNG);
    assert_eq!(magic(fd.as_raw_fd()), "application/x-empty");
    assert_eq!(magic(reopen(&fd).as_raw_fd()), "image/png");
}

/// The verdict on a descriptor is the same as on the file.
fn libmagic_says_less_of_an_elf_file_in_memory_than_behind_a_descriptor() {
    const PROGRAM: &str = "/bin/true";
    let content = std::fs::read(PROGRAM).expect(PROGRAM);
    let file = std::fs::File::open(PROGRAM).expect(PROGRAM);
    let fd = fd::wrap_with(&content, 0, AUTO).expect("a descriptor");
    // SAFETY: open descriptors, and a buffer of this length.
    let (of_file, of_fd, of_memory) = unsafe {
        (
            ask_magic(0, |cookie| magic_descriptor(cookie, file.as_raw_fd())),
            ask_magic(0, |cookie| magic_descriptor(cookie, fd.as_raw_fd())),
            ask_magic(0, |cookie| magic_buffer(cookie, content.as_ptr().cast(), content.len())),
        )
    };
    assert_eq!(of_fd, of_file);
    for detail in ["dynamically linked", "interpreter "] {
        assert!(of_fd.contains(detail), "{of_fd}");
        assert!(!of_memory.contains(detail), "{of_memory}");
    }
    assert!(of_memory.starts_with("ELF 64-bit LSB "), "{of_memory}");
}

// YARA
// -------------------------------------------------------------------------------------------------

const YARA: Client = Client {
    needs: &["libyara.so.9|libyara.so.10"],
    // At the end, so that all is seen.
    file: |payload| [payload, b"bytefd!"].concat(),
    expected: |_| b"found".to_vec(),
    pipe: Pipe::Silent,
    ..Client::of_a_library("yara", "yr_rules_scan_fd", yara)
};

functions! { "libyara.so.9|libyara.so.10";
    fn yr_initialize() -> c_int;
    fn yr_finalize() -> c_int;
    fn yr_compiler_create(compiler: *mut *mut c_void) -> c_int;
    fn yr_compiler_add_string(
        compiler: *mut c_void,
        rules: *const c_char,
        namespace: *const c_char,
    ) -> c_int;
    fn yr_compiler_get_rules(compiler: *mut c_void, rules: *mut *mut c_void) -> c_int;
    fn yr_compiler_destroy(compiler: *mut c_void);
    fn yr_rules_scan_fd(
        rules: *mut c_void,
        fd: c_int,
        flags: c_int,
        callback: unsafe extern "C" fn(*mut c_void, c_int, *mut c_void, *mut c_void) -> c_int,
        context: *mut c_void,
        timeout: c_int,
    ) -> c_int;
    fn yr_rules_destroy(rules: *mut c_void) -> c_int;
}

fn yara(lent: &Lent) -> Answer {
    const RULE: &CStr = c"rule found { strings: $a = \"bytefd!\" condition: $a }";
    unsafe extern "C" fn note(
        _: *mut c_void,
        message: c_int,
        _: *mut c_void,
        found: *mut c_void,
    ) -> c_int {
        const CALLBACK_MSG_RULE_MATCHING: c_int = 1;
        // SAFETY: the context is the bool below.
        unsafe { *found.cast::<bool>() |= message == CALLBACK_MSG_RULE_MATCHING };
        0
    }
    let (mut compiler, mut rules, mut found) = (null_mut(), null_mut(), false);
    // SAFETY: the order of calls is that of YARA's manual.
    let status = unsafe {
        assert_eq!(yr_initialize(), 0);
        assert_eq!(yr_compiler_create(&mut compiler), 0);
        assert_eq!(yr_compiler_add_string(compiler, RULE.as_ptr(), null()), 0);
        assert_eq!(yr_compiler_get_rules(compiler, &mut rules), 0);
        let status = yr_rules_scan_fd(rules, lent.number(), 0, note, (&raw mut found).cast(), 0);
        yr_rules_destroy(rules);
        yr_compiler_destroy(compiler);
        yr_finalize();
        status
    };
    match (status, found) {
        (0, true) => Ok(b"found".to_vec()),
        (0, false) => Ok(Vec::new()),
        _ => Err(format!("error {status}")),
    }
}

// GLib
// -------------------------------------------------------------------------------------------------

const GLIB_MAPPED_FILE: Client = Client {
    needs: &["libglib-2.0.so.0"],
    pipe: Pipe::Fails,
    ..Client::of_a_library("glib_mapped_file", "g_mapped_file_new_from_fd", mapped_file)
};

functions! { "libglib-2.0.so.0";
    fn g_mapped_file_new_from_fd(
        fd: c_int,
        writable: c_int,
        error: *mut *mut c_void,
    ) -> *mut c_void;
    fn g_mapped_file_get_contents(file: *mut c_void) -> *const u8;
    fn g_mapped_file_get_length(file: *mut c_void) -> usize;
    fn g_mapped_file_unref(file: *mut c_void);
}

fn mapped_file(lent: &Lent) -> Answer {
    // SAFETY: the order of calls is that of GLib's manual. No error is asked for.
    unsafe {
        let file = g_mapped_file_new_from_fd(lent.number(), 0, null_mut());
        if file.is_null() {
            return Err("no file".into());
        }
        let (at, length) = (g_mapped_file_get_contents(file), g_mapped_file_get_length(file));
        let bytes =
            if length == 0 { Vec::new() } else { std::slice::from_raw_parts(at, length).to_vec() };
        g_mapped_file_unref(file);
        Ok(bytes)
    }
}

// elfutils
// -------------------------------------------------------------------------------------------------

const ELF_READ: Client = Client {
    needs: &["libelf.so.1", "ld"],
    file: object,
    of_nothing: Err("not an object"),
    pipe: Pipe::Fails,
    ..Client::of_a_library("elf_begin_read", "elf_begin(ELF_C_READ)", |lent| data_section(lent, 1))
};

const ELF_MMAP: Client = Client {
    name: "elf_begin_mmap",
    call: "elf_begin(ELF_C_READ_MMAP)",
    answer: |lent| data_section(lent, 8),
    ..ELF_READ
};

/// Returns an object file whose section .data holds the payload.
fn object(payload: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("payload"), payload).expect("written");
    tools::run(
        Command::new("ld")
            .current_dir(&folder)
            .args(["-r", "-b", "binary", "-o", "object", "payload"]),
    );
    std::fs::read(folder.path().join("object")).expect("an object")
}

/// Elf_Data.
#[repr(C)]
struct Data {
    buffer: *const u8,
    kind: c_int,
    version: u32,
    size: usize,
}

functions! { "libelf.so.1";
    fn elf_version(version: u32) -> u32;
    fn elf_begin(fd: c_int, command: c_int, reference: *mut c_void) -> *mut c_void;
    fn elf_kind(elf: *mut c_void) -> c_int;
    fn elf_nextscn(elf: *mut c_void, section: *mut c_void) -> *mut c_void;
    fn elf_getdata(section: *mut c_void, data: *mut c_void) -> *const Data;
    fn elf_end(elf: *mut c_void) -> c_int;
}

fn data_section(lent: &Lent, command: c_int) -> Answer {
    const ELF_K_ELF: c_int = 3;
    // SAFETY: the order of calls is that of libelf's manual.
    unsafe {
        assert_ne!(elf_version(1), 0);
        let elf = elf_begin(lent.number(), command, null_mut());
        let answer = if elf.is_null() || elf_kind(elf) != ELF_K_ELF {
            Err("not an object".into())
        } else {
            let data = elf_getdata(elf_nextscn(elf, null_mut()), null_mut());
            Ok(std::slice::from_raw_parts((*data).buffer, (*data).size).to_vec())
        };
        elf_end(elf);
        answer
    }
}
