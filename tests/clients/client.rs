//! Describes a client as a row of CLIENTS.md does, and checks it with 0 bytes, an odd number, 5
//! MiB, an offset at the end, and a pipe.

use std::ffi::{CStr, CString, c_char, c_int};
use std::io::Write;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use crate::support::abi::{
    self, AUTO, EXECUTABLE, Error, INHERIT, READ_ONLY, SEAL_CONTENT, WRITABLE, WrapOptions,
};
use crate::support::named::{Tempfile, tempfile};
use crate::support::{fd, hosts};

/// Lengths of payloads.
const ODD: usize = 12_345;
const LARGE: usize = 5 << 20;

/// The result of a client for a file: bytes, or the reason why it has none.
pub type Answer = Result<Vec<u8>, String>;

pub struct Client {
    /// The name of the client and of its test.
    pub name: &'static str,
    /// How the client is called.
    pub call: &'static str,
    /// Programs, and libraries by their names. Without them the test is skipped; `a|b` is one of
    /// them.
    pub needs: &'static [&'static str],
    pub way: Way,
    /// Makes a file that holds a payload, in a format that the client knows.
    pub file: fn(payload: &[u8]) -> Vec<u8>,
    pub answer: fn(&Lent) -> Answer,
    /// Returns the client's answer to a file that holds a payload.
    pub expected: fn(payload: &[u8]) -> Vec<u8>,
    /// The client's answer to a file of 0 bytes. Of an error it is a part.
    pub of_nothing: Result<&'static str, &'static str>,
    pub reads_from: From,
    pub pipe: Pipe,
    pub closes: Closes,
    pub leaves: Leaves,
    /// The seals that the client adds.
    pub adds: c_int,
    pub alone: bool,
}

/// How a descriptor is made for a client.
#[derive(Clone, Copy, PartialEq)]
pub enum Way {
    Default,
    Inherit,
    InheritReadOnly,
    Writable,
    /// Sealed against all but execution. The caller closes the set of seals.
    FourSeals,
    Executable,
    /// A file that has a name.
    Tempfile,
}

/// The place where a client begins to read.
#[derive(Clone, Copy, PartialEq)]
pub enum From {
    Start,
    /// At the file offset. At the end of the file, the answer is that for 0 bytes.
    Offset,
}

/// The behaviour of a client for a pipe in place of a regular file.
#[derive(Clone, Copy, PartialEq)]
pub enum Pipe {
    /// The client answers the same.
    Reads,
    Fails,
    /// The client answers something else, without an error.
    Silent,
    Untried,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Closes {
    Caller,
    Client,
    /// The client if it succeeds, the caller otherwise.
    ClientOnSuccess,
}

/// The place where a client leaves the file offset.
#[derive(Clone, Copy, PartialEq)]
pub enum Leaves {
    Start,
    End,
    /// At the place where the client has stopped to read.
    Anywhere,
}

impl Client {
    /// Describes a program or function that reads a file of any content, without moving the offset.
    pub const fn new(
        name: &'static str,
        call: &'static str,
        answer: fn(&Lent) -> Answer,
    ) -> Client {
        Client {
            name,
            call,
            needs: &[],
            way: Way::Default,
            file: <[u8]>::to_vec,
            answer,
            expected: <[u8]>::to_vec,
            of_nothing: Ok(""),
            reads_from: From::Start,
            pipe: Pipe::Reads,
            closes: Closes::Caller,
            leaves: Leaves::Start,
            adds: 0,
            alone: false,
        }
    }

    /// Describes a function of a library that the test loads. Its test runs in a process of its
    /// own, because libraries start threads that stay, run destructors when the process ends, and
    /// handle signals of all threads: YARA handles SIGBUS while it scans.
    pub const fn of_a_library(
        name: &'static str,
        call: &'static str,
        answer: fn(&Lent) -> Answer,
    ) -> Client {
        Client { alone: true, ..Client::new(name, call, answer) }
    }

    pub fn check(&self) {
        if !hosts::has_memfd()
            && matches!(self.way, Way::Executable | Way::Writable | Way::FourSeals)
        {
            return println!("SKIPPED: {}: there are no memory files on this host", self.name);
        }
        let files = [ODD, LARGE].map(|length| {
            let payload = fd::pattern(length);
            ((self.file)(&payload), (self.expected)(&payload))
        });
        let nothing = self.ask("0 bytes", &[], false);
        self.compare("0 bytes", &nothing, self.of_nothing.map(str::as_bytes));
        let [(odd, answer), (large, large_answer)] = &files;
        self.compare("an odd size", &self.ask("an odd size", odd, false), Ok(answer));
        self.compare("5 MiB", &self.ask("5 MiB", large, false), Ok(large_answer));

        let at_end = match self.reads_from {
            From::Start => Ok(answer.as_slice()),
            From::Offset => self.of_nothing.map(str::as_bytes),
        };
        self.compare("an offset at the end", &self.ask("an offset at the end", odd, true), at_end);
        if self.pipe != Pipe::Untried {
            let answered = (self.answer)(&Lent::pipe(odd));
            let found = match &answered {
                Ok(bytes) if bytes == answer => Pipe::Reads,
                Ok(_) => Pipe::Silent,
                Err(_) => Pipe::Fails,
            };
            assert!(
                found == self.pipe,
                "{}: a pipe: {} {}",
                self.name,
                found.words(),
                shown(&answered)
            );
        }
    }

    /// Gives the client a file, and looks at the descriptor afterwards.
    fn ask(&self, what: &str, content: &[u8], at_end: bool) -> Answer {
        let lent = Lent::new(self, content);
        let (name, length) = (self.name, content.len() as i64);
        let before = fd::seals(&lent.witness);
        if self.way == Way::Default && hosts::has_memfd() {
            assert_eq!(before & 0xf, 0xf, "{name}, {what}: sealed");
        }
        if at_end {
            // SAFETY: touches no memory.
            assert_eq!(unsafe { libc::lseek(lent.number(), 0, libc::SEEK_END) }, length);
        }
        let answer = (self.answer)(&lent);

        let is_ours = match self.closes {
            Closes::Caller => true,
            Closes::Client => false,
            Closes::ClientOnSuccess => answer.is_err(),
        };
        assert_eq!(
            lent.is_open(),
            is_ours,
            "{name}, {what}: still open and ours; {}",
            shown(&answer)
        );
        let offset = fd::offset(&lent.witness);
        let is_left = match self.leaves {
            _ if at_end || answer.is_err() => true,
            Leaves::Start => offset == 0,
            Leaves::End => offset == length,
            Leaves::Anywhere => (0..=length).contains(&offset),
        };
        assert!(is_left, "{name}, {what}: the offset is {offset} of {length}");
        let added = if answer.is_ok() { self.adds } else { 0 };
        assert_eq!(fd::seals(&lent.witness), before | added, "{name}, {what}: seals");
        assert!(fd::content(&lent.witness) == content, "{name}, {what}: the content has changed");
        answer
    }

    fn compare(&self, what: &str, answer: &Answer, expected: Result<&[u8], &str>) {
        let is_it = match (answer, expected) {
            (Ok(bytes), Ok(expected)) => bytes == expected,
            (Err(error), Err(part)) => error.contains(part),
            _ => false,
        };
        let expected = expected.map(<[u8]>::to_vec).map_err(String::from);
        assert!(is_it, "{}, {what}: {} instead of {}", self.name, shown(answer), shown(&expected));
    }
}

fn shown(answer: &Answer) -> String {
    match answer {
        Ok(bytes) => {
            format!("{} bytes, \"{}\"", bytes.len(), bytes[..bytes.len().min(60)].escape_ascii())
        }
        Err(error) => format!("the error {error:?}"),
    }
}

/// A descriptor that a client is given.
pub struct Lent {
    /// The client may close it.
    fd: ManuallyDrop<OwnedFd>,
    /// A duplicate, which shares the offset.
    witness: OwnedFd,
    file: Option<Tempfile>,
}

impl Lent {
    fn new(client: &Client, content: &[u8]) -> Lent {
        if client.way == Way::Tempfile {
            let file = tempfile(content, None).expect("created");
            return Lent::of(std::fs::File::open(file.path()).expect("opened").into(), Some(file));
        }
        let name = CString::new(client.name).expect("no NUL");
        let options = WrapOptions {
            name: name.as_ptr(),
            flags: client.way.flags(),
            ..WrapOptions::default()
        };
        let fd = fd::wrap(content, &options).expect("a descriptor");
        if client.way == Way::FourSeals {
            assert_eq!(
                // SAFETY: touches no memory.
                unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, libc::F_SEAL_SEAL) },
                0
            );
            assert_eq!(fd::seals(&fd), 0xf);
        }
        Lent::of(fd, None)
    }

    /// Makes a descriptor with these flags, for no row.
    pub fn with(flags: u64, content: &[u8]) -> Lent {
        Lent::of(fd::wrap_with(content, flags, AUTO).expect("a descriptor"), None)
    }

    /// Makes a pipe with the same bytes. Its other end is closed.
    fn pipe(content: &[u8]) -> Lent {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        assert!(content.len() < 1 << 16, "{} bytes do not fit into a pipe", content.len());
        writer.write_all(content).expect("written");
        let reader = OwnedFd::from(reader);
        // SAFETY: touches no memory.
        assert_eq!(unsafe { libc::fcntl(reader.as_raw_fd(), libc::F_SETFD, 0) }, 0);
        Lent::of(reader, None)
    }

    fn of(fd: OwnedFd, file: Option<Tempfile>) -> Lent {
        let witness = fd.try_clone().expect("dup");
        Lent { fd: ManuallyDrop::new(fd), witness, file }
    }

    pub fn number(&self) -> c_int {
        self.fd.as_raw_fd()
    }

    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Makes a duplicate, for a child's standard input.
    pub fn duplicate(&self) -> OwnedFd {
        self.fd.try_clone().expect("dup")
    }

    /// Returns the path that the library gives, or the real one.
    pub fn path(&self) -> String {
        match &self.file {
            Some(file) => file.path().to_str().expect("UTF-8").to_string(),
            None => path(&self.fd),
        }
    }

    /// Returns the path as a C string.
    pub fn c_path(&self) -> CString {
        CString::new(self.path()).expect("no NUL")
    }

    /// Returns whether the number still stands for the file. After it was closed, another thread
    /// may have got the number.
    fn is_open(&self) -> bool {
        // SAFETY: a writable struct.
        let found = unsafe {
            let mut found = std::mem::zeroed::<libc::stat>();
            (libc::fstat(self.number(), &mut found) == 0).then_some((found.st_dev, found.st_ino))
        };
        let file = fd::metadata(&self.witness);
        found == Some((file.dev(), file.ino()))
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if self.is_open() {
            // SAFETY: never used again.
            unsafe { ManuallyDrop::drop(&mut self.fd) };
        }
    }
}

/// Calls bytefd_path.
pub fn path(fd: &OwnedFd) -> String {
    let (mut buffer, mut error) = ([0 as c_char; 32], Error::untouched());
    // SAFETY: a buffer of the length given.
    let status = unsafe {
        (abi::load().path)(fd.as_raw_fd(), buffer.as_mut_ptr(), buffer.len(), &mut error)
    };
    fd::result(status, &error).expect("a path");
    // SAFETY: a successful call leaves a NUL-terminated text.
    unsafe { CStr::from_ptr(buffer.as_ptr()) }.to_str().expect("ASCII").to_string()
}

/// Calls bytefd_reopen.
pub fn reopen(fd: &OwnedFd) -> OwnedFd {
    let mut error = Error::untouched();
    // SAFETY: an open descriptor.
    let reopened = unsafe { (abi::load().reopen)(fd.as_raw_fd(), 0, &mut error) };
    // SAFETY: the caller of bytefd_reopen owns what it returns.
    unsafe { OwnedFd::from_raw_fd(fd::result(reopened, &error).expect("a descriptor")) }
}

impl Way {
    fn flags(self) -> u64 {
        match self {
            Way::Default | Way::Tempfile => 0,
            Way::Inherit => INHERIT,
            Way::InheritReadOnly => INHERIT | READ_ONLY,
            Way::Writable => WRITABLE,
            Way::FourSeals => SEAL_CONTENT,
            Way::Executable => EXECUTABLE,
        }
    }
}

/// `clients![A, B; more ["needs"]; alone: more ["needs"]]` lists rows, and tests that are no rows.
macro_rules! clients {
    (
        $($row:ident),* $(,)?
        $(; $($test:ident $([$($need:expr),*])?),* $(,)?)?
        $(; alone: $($alone:ident $([$($needed:expr),*])?),* $(,)?)?
    ) => {
        pub const ROWS: &[&$crate::clients::client::Client] = &[$(&$row),*];
        pub const TESTS: &[$crate::support::Test] = &[
            $($crate::support::Test {
                name: $row.name,
                run: || $row.check(),
                alone: $row.alone,
                needs: $row.needs,
            },)*
            $($($crate::support::Test {
                name: stringify!($test),
                run: $test,
                alone: false,
                needs: &[$($($need),*)?],
            },)*)?
            $($($crate::support::Test {
                name: stringify!($alone),
                run: $alone,
                alone: true,
                needs: &[$($($needed),*)?],
            },)*)?
        ];
    };
}
pub(super) use clients;
