//! Tests the sources of the bytes.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::ptr::null;

use bytefd::{StreamOptions, WrapOptions};

use crate::faults::conditions::without_standard_input;
use crate::support::abi::{self, AUTO};
use crate::support::fd::*;
use crate::support::hosts::has_memfd;
use crate::support::share::*;

/// Calls pipe2(2) with these flags.
pub fn pipe(flags: i32) -> (OwnedFd, OwnedFd) {
    let mut ends = [-1; 2];
    // SAFETY: room for two descriptors, which are nobody else's.
    unsafe {
        assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | flags), 0);
        (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]))
    }
}

/// Writes these bytes to a pipe in pieces of this size. Returns the result of bytefd_wrap_stream.
pub fn through_a_pipe(
    bytes: &[u8],
    piece: usize,
    options: *const abi::StreamOptions,
) -> Result<OwnedFd, Failure> {
    through_a_pipe_with(bytes, piece, &abi::WrapOptions::default(), options)
}

pub fn through_a_pipe_with(
    bytes: &[u8],
    piece: usize,
    wrap: &abi::WrapOptions,
    options: *const abi::StreamOptions,
) -> Result<OwnedFd, Failure> {
    let (reader, writer) = pipe(0);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut writer = File::from(writer);
            // Nobody reads any more where it is refused.
            bytes.chunks(piece).try_for_each(|piece| writer.write_all(piece))
        });
        let outcome = wrap_stream_with(&reader, wrap, options);
        drop(reader);
        outcome
    })
}

/// Asserts everything that shm_wrap_buffer promises.
pub fn assert_as_wrapped(fd: &OwnedFd, bytes: &[u8]) {
    let stat = metadata(fd);
    assert!(stat.file_type().is_file());
    assert_eq!(
        (stat.len() as usize, stat.nlink(), mode(fd), offset(fd)),
        (bytes.len(), 0, 0o400, 0)
    );
    assert!(is_close_on_exec(fd) && fd.as_raw_fd() > 2);
    assert!(content(fd) == bytes);
    for sharing in [libc::MAP_SHARED, libc::MAP_PRIVATE] {
        let seen = mapped(fd, libc::PROT_READ, sharing)
            .unwrap_or_else(|errno| panic!("mmap {sharing}: {errno}"));
        let zeros = &seen[bytes.len()..];
        assert!(
            seen[..bytes.len()] == *bytes && zeros.iter().all(|byte| *byte == 0),
            "{} bytes",
            bytes.len()
        );
    }
    if has_memfd() {
        let wrapped = wrap_with(b"", 0, AUTO).expect("a descriptor");
        assert_eq!((seals(fd), access_mode(fd)), (seals(&wrapped), access_mode(&wrapped)));
        assert_eq!(seals(fd) & 0xf, 0xf);
    } else {
        assert_eq!(access_mode(fd), libc::O_RDONLY);
    }
}

pub fn a_stream_becomes_what_wrapping_its_bytes_gives() {
    let bytes = pattern(10_000);
    let fd = through_a_pipe(&bytes, 10_000, null()).expect("a descriptor");
    assert_as_wrapped(&fd, &bytes);
    assert_eq!(read_through(&fd), bytes);
}

const LENGTHS: [usize; 14] = [
    0,
    1,
    4095,
    4096,
    4097,
    (64 << 10) - 1,
    64 << 10,
    (64 << 10) + 1,
    (1 << 20) + 1,
    (2 << 20) - 1,
    2 << 20,
    (2 << 20) + 1,
    4 << 20,
    (4 << 20) + 1,
];

pub fn every_length_is_exact() {
    for length in LENGTHS {
        let bytes = pattern(length);
        assert_as_wrapped(&through_a_pipe(&bytes, 1 << 20, null()).expect("a descriptor"), &bytes);
    }
}

pub fn pieces_of_any_size_are_joined() {
    let bytes = pattern(20 << 20);
    assert_as_wrapped(&through_a_pipe(&bytes, 12_345, null()).expect("a descriptor"), &bytes);
    let bytes = pattern(3000);
    assert_as_wrapped(&through_a_pipe(&bytes, 1, null()).expect("a descriptor"), &bytes);
}

pub fn a_file_is_taken_from_its_present_offset() {
    let bytes = pattern(100_000);
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(&bytes).expect("written");
    for start in [0, 1, 99_999, 100_000, 200_000] {
        file.seek(SeekFrom::Start(start)).expect("a place");
        let fd = wrap_stream(&file, null()).expect("a descriptor");
        assert_as_wrapped(&fd, bytes.get(start as usize..).unwrap_or(&[]));
        assert_eq!(
            file.stream_position().expect("a place"),
            start.max(100_000),
            "where reading has brought it"
        );
    }
    // fstat does not know the length of this file.
    let maps = File::open("/proc/self/status").expect("/proc");
    assert!(content(&wrap_stream(&maps, null()).expect("a descriptor")).starts_with(b"Name:"));
}

pub fn a_socket_is_taken_to_its_end() {
    let bytes = pattern(300_000);
    for hangs_up in [false, true] {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        std::thread::scope(|scope| {
            let bytes = &bytes;
            let writer = scope.spawn(move || {
                theirs.write_all(bytes).expect("written");
                if !hangs_up {
                    theirs.shutdown(std::net::Shutdown::Write).expect("an end");
                }
                (!hangs_up).then_some(theirs)
            });
            assert_as_wrapped(&wrap_stream(&ours, null()).expect("a descriptor"), bytes);
            drop(writer.join());
        });
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0");
    let Ok(listener) = listener else { return println!("SKIPPED: a TCP stream: no network") };
    let Ok(mut theirs) = std::net::TcpStream::connect(listener.local_addr().expect("an address"))
    else {
        return println!("SKIPPED: a TCP stream: no network");
    };
    let (ours, _) = listener.accept().expect("accepted");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            theirs.write_all(&bytes).and_then(|()| theirs.shutdown(std::net::Shutdown::Write))
        });
        assert_as_wrapped(&wrap_stream(&ours, null()).expect("a descriptor"), &bytes);
    });
    for kind in [libc::SOCK_DGRAM, libc::SOCK_SEQPACKET] {
        let (ours, _theirs) = pair(kind);
        let failure = wrap_stream(&ours, null()).expect_err("no stream");
        assert_eq!(failure.errno, libc::EPROTOTYPE, "{failure:?}");
    }
}

pub fn a_pipe_that_does_not_block_is_waited_for() {
    let (reader, writer) = pipe(libc::O_NONBLOCK);
    let bytes = pattern(200);
    std::thread::scope(|scope| {
        let bytes = &bytes;
        let reader = &reader;
        scope.spawn(move || {
            for byte in bytes.chunks(1) {
                plain_write(&writer, byte);
                // The other has taken it, and waits or will.
                while waiting(reader) > 0 {
                    std::thread::yield_now();
                }
            }
        });
        assert_as_wrapped(&wrap_stream(reader, null()).expect("a descriptor"), bytes);
    });
}

/// A read loses the bytes of a packet for which it has no room, pipe2(2).
pub fn packets_are_never_cut() {
    let packet = pattern(4096);
    let mut bytes = Vec::new();
    let (reader, writer) = pipe(libc::O_DIRECT);
    let most = 100 * 4095 + 4096;
    let options = abi::StreamOptions { max_bytes: most, ..Default::default() };
    std::thread::scope(|scope| {
        let sent = &packet;
        let writer = scope.spawn(move || {
            // So that no packet begins where a page does.
            (0..100).for_each(|_| plain_write(&writer, &sent[..4095]));
            plain_write(&writer, sent);
        });
        (0..100).for_each(|_| bytes.extend_from_slice(&packet[..4095]));
        bytes.extend_from_slice(&packet);
        assert_as_wrapped(
            &wrap_stream(&reader, &options).expect("exactly as much as is allowed"),
            &bytes,
        );
        writer.join().expect("written");
    });
    // The last of them is over the limit.
    for most in [1, 4095, 4096, 8191] {
        let (reader, writer) = pipe(libc::O_DIRECT);
        plain_write(&writer, &packet);
        plain_write(&writer, &packet);
        drop(writer);
        let options = abi::StreamOptions { max_bytes: most, ..options };
        assert_eq!(
            wrap_stream(&reader, &options).expect_err("too long").errno,
            libc::EFBIG,
            "{most}"
        );
    }
}

pub fn a_time_limit_of_a_socket_is_eagain() {
    for sent in [&b""[..], b"hello"] {
        let (ours, theirs) = pair(libc::SOCK_STREAM);
        limit_time(&ours, libc::SO_RCVTIMEO);
        plain_write(&theirs, sent);
        assert_eq!(wrap_stream(&ours, null()).expect_err("no end").errno, libc::EAGAIN);
    }
}

pub fn sources_that_cannot_be_read_say_why() {
    let folder = File::open("/").expect("a folder");
    assert_eq!(wrap_stream(&folder, null()).expect_err("a folder").errno, libc::EISDIR);
    let (_reader, writer) = pipe(0);
    assert_eq!(wrap_stream(&writer, null()).expect_err("for writing").errno, libc::EBADF);
    let file = tempfile::NamedTempFile::new().expect("a file");
    let writing = OpenOptions::new().write(true).open(file.path()).expect("opened");
    assert_eq!(wrap_stream(&writing, null()).expect_err("for writing").errno, libc::EBADF);
    for closed in [-1, i32::MIN, i32::MAX] {
        assert_eq!(wrap_stream(&closed, null()).expect_err("closed").errno, libc::EBADF);
    }
}

pub fn the_source_stays_the_callers() {
    let (reader, writer) = pipe(0);
    plain_write(&writer, b"hello");
    drop(writer);
    assert_eq!(content(&wrap_stream(&reader, null()).expect("a descriptor")), b"hello");
    assert_eq!(
        content(&wrap_stream(&reader, null()).expect("a descriptor")),
        b"",
        "it is at its end"
    );
    assert!(is_close_on_exec(&reader));
}

fn wrap_reader(reader: impl Read, options: &StreamOptions) -> bytefd::Result<OwnedFd> {
    WrapOptions::new().wrap_reader(reader, options)
}

pub fn rust_readers_give_the_same() {
    for length in LENGTHS {
        let bytes = pattern(length);
        for hint in [0, 1, length as u64, u64::MAX] {
            let options = StreamOptions::new().size_hint(hint);
            assert_as_wrapped(&wrap_reader(&bytes[..], &options).expect("a descriptor"), &bytes);
        }
    }
    let bytes = pattern(10_000);
    let options = StreamOptions::new().max_bytes(10_000);
    assert_as_wrapped(&wrap_reader(&bytes[..], &options).expect("a descriptor"), &bytes);
    assert_eq!(
        wrap_reader(std::io::repeat(1), &options).expect_err("endless").errno(),
        libc::EFBIG
    );
    let nothing = StreamOptions::new().max_bytes(0);
    assert_as_wrapped(&wrap_reader(std::io::empty(), &nothing).expect("a descriptor"), b"");
    assert_eq!(wrap_reader(&b"!"[..], &nothing).expect_err("more").errno(), libc::EFBIG);
    // Nothing is not above nothing.
    let spilling = WrapOptions::new().spill_threshold(0);
    assert_as_wrapped(
        &spilling.wrap_reader(std::io::empty(), &StreamOptions::new()).expect("a descriptor"),
        b"",
    );
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    writer.write_all(&bytes).expect("written");
    drop(writer);
    let fd = WrapOptions::new().wrap_stream(reader, &StreamOptions::new()).expect("a descriptor");
    assert_as_wrapped(&fd, &bytes);
}

pub fn a_time_limit_with_a_rust_reader_is_einval() {
    let limited = [
        StreamOptions::new().timeout(std::time::Duration::ZERO),
        StreamOptions::new().interruptible(true),
    ];
    for options in limited {
        let mut reader = Told(vec![Ok(3)]);
        let error = wrap_reader(&mut reader, &options).expect_err("nothing can end its reads");
        assert_eq!((error.errno(), error.op(), reader.0.len()), (libc::EINVAL, "options", 1));
    }
}

/// A reader that gives what it was told to, one after the other.
struct Told(Vec<Result<usize, Error>>);

impl Read for Told {
    fn read(&mut self, room: &mut [u8]) -> Result<usize, Error> {
        room.fill(b'x');
        self.0.pop().unwrap_or(Ok(0))
    }
}

pub fn rust_readers_that_lie_or_fail_are_errors() {
    let told = |what| wrap_reader(Told(what), &StreamOptions::new());
    let interrupted = || Err(Error::from(ErrorKind::Interrupted));
    // More stored than said; no byte of that is seen.
    let fd = told(vec![interrupted(), Ok(3), interrupted(), Ok(2)]).expect("a descriptor");
    assert_as_wrapped(&fd, b"xxxxx");
    let error =
        told(vec![Err(Error::from_raw_os_error(libc::ENETDOWN)), Ok(3)]).expect_err("failed");
    assert_eq!(error.errno(), libc::ENETDOWN);
    let error = told(vec![Err(Error::other("out of bytes")), Ok(3)]).expect_err("failed");
    assert!(error.errno() == libc::EIO && error.to_string().contains("out of bytes"), "{error}");
    // More said than there was room for.
    for count in [usize::MAX, 1 << 40] {
        let error = told(vec![Ok(count), Ok(3)]).expect_err("a lie");
        assert!(
            error.errno() == libc::EINVAL && error.message().contains(&count.to_string()),
            "{error}"
        );
    }
}

pub fn reading_goes_on_though_signals_interrupt() {
    let bytes = pattern(200);
    for flags in [0, libc::O_NONBLOCK] {
        let (reader, writer) = pipe(flags);
        let fd = interrupted(
            || wrap_stream(&reader, null()).expect("a descriptor"),
            |interrupt| {
                for byte in bytes.chunks(1) {
                    interrupt();
                    plain_write(&writer, byte);
                    interrupt();
                }
                drop(writer);
            },
        );
        assert_as_wrapped(&fd, &bytes);
    }
}

pub fn standard_streams_that_are_closed_are_not_returned() {
    let (reader, writer) = pipe(0);
    plain_write(&writer, b"hello");
    drop(writer);
    without_standard_input(|| {
        let fd = wrap_stream(&reader, null()).expect("a descriptor");
        // SAFETY: touches no memory.
        let is_free = unsafe { libc::fcntl(0, libc::F_GETFD) == -1 };
        assert!(is_free, "nothing is left at 0");
        assert_as_wrapped(&fd, b"hello");
    });
}
