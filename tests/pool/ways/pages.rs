//! Lists pages in flight: a pipe or a socket refers to them, without a descriptor or a mapping.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

use super::Rule::*;
use super::mappings::Mapped;
use super::*;

const SPLICE: Rule = Named("splice(2) and sendfile(2) from a descriptor without O_DIRECT");
/// Lent files have O_DIRECT from Linux 6.6 on.
const COPIED: Rule = If(keepers::memory_files_are_direct, &Harmless, &SPLICE);

pub const WAYS: &[Way] = &[
    Way { name: "splice", keep: |fd, size| spliced(fd, size), rule: COPIED },
    Way { name: "splice and tee", keep: teed, rule: COPIED },
    Way { name: "sendfile to a socket", keep: sent, rule: COPIED },
    Way { name: "sendfile to a pipe", keep: sent_to_a_pipe, rule: COPIED },
    Way { name: "splice without O_DIRECT", keep: spliced_from_its_own, rule: SPLICE },
    Way { name: "splice after O_DIRECT was cleared", keep: spliced_after_clearing, rule: SPLICE },
    Way { name: "vmsplice", keep: vmspliced, rule: Named("vmsplice(2)") },
    Way { name: "MSG_ZEROCOPY", keep: sent_without_a_copy, rule: Named("MSG_ZEROCOPY") },
    Way { name: "copy_file_range", keep: copied_in_the_kernel, rule: Harmless },
];

/// Returns at most as many bytes as a pipe of 16 pages takes.
fn room(size: usize) -> usize {
    size.min(16 * page_size())
}

fn in_pipe(mut reader: std::io::PipeReader, count: usize) -> Kept {
    once(move || {
        let mut seen = vec![0; count];
        reader.read_exact(&mut seen).expect("what is in the pipe");
        seen
    })
}

fn spliced(fd: c_int, size: usize) -> Result<Kept, Skip> {
    let (reader, writer) = std::io::pipe()?;
    keepers::splice_all(fd, writer.as_raw_fd(), room(size));
    Ok(in_pipe(reader, room(size)))
}

fn spliced_from_its_own(fd: c_int, size: usize) -> Result<Kept, Skip> {
    spliced(open_again(fd, libc::O_RDONLY).as_raw_fd(), size)
}

fn spliced_after_clearing(fd: c_int, size: usize) -> Result<Kept, Skip> {
    // SAFETY: touches no memory.
    checked(unsafe { libc::fcntl(fd, libc::F_SETFL, 0) })?;
    spliced(fd, size)
}

fn teed(fd: c_int, size: usize) -> Result<Kept, Skip> {
    let (first, writer) = std::io::pipe()?;
    let (second, to) = std::io::pipe()?;
    keepers::splice_all(fd, writer.as_raw_fd(), room(size));
    // SAFETY: no pointers are given.
    let count = checked(unsafe { libc::tee(first.as_raw_fd(), to.as_raw_fd(), room(size), 0) })?;
    Ok(in_pipe(second, count as usize))
}

fn sent(fd: c_int, size: usize) -> Result<Kept, Skip> {
    let (near, mut far) = UnixStream::pair()?;
    near.set_nonblocking(true)?;
    // SAFETY: no pointers are given.
    let count =
        checked(unsafe { libc::sendfile(near.as_raw_fd(), fd, null_mut(), room(size)) })? as usize;
    Ok(once(move || {
        let _ = &near;
        let mut seen = vec![0; count];
        far.read_exact(&mut seen).expect("what is in the socket");
        seen
    }))
}

fn sent_to_a_pipe(fd: c_int, size: usize) -> Result<Kept, Skip> {
    let (reader, writer) = std::io::pipe()?;
    // SAFETY: no pointers are given.
    let count = checked(unsafe { libc::sendfile(writer.as_raw_fd(), fd, null_mut(), room(size)) })?;
    Ok(in_pipe(reader, count as usize))
}

fn vmspliced(fd: c_int, size: usize) -> Result<Kept, Skip> {
    let (reader, writer) = std::io::pipe()?;
    let map = Mapped::new(fd, size, libc::PROT_READ, libc::MAP_SHARED)?;
    let part = libc::iovec { iov_base: map.at.cast(), iov_len: room(size) };
    // SAFETY: one segment, mapped.
    let count = checked(unsafe { libc::vmsplice(writer.as_raw_fd(), &part, 1, 0) })?;
    Ok(in_pipe(reader, count as usize))
}

/// The receiver reads nothing, so that some pages stay with the sender.
fn sent_without_a_copy(fd: c_int, size: usize) -> Result<Kept, Skip> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let set = |socket: c_int, level: c_int, name: c_int, value: c_int| {
        let length = size_of::<c_int>() as libc::socklen_t;
        // SAFETY: a number.
        checked(unsafe { libc::setsockopt(socket, level, name, (&raw const value).cast(), length) })
    };
    // TCP waits 200 ms with each segment that is larger than the receiver's buffer.
    set(listener.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_MAXSEG, 1000)?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (mut far, _) = listener.accept()?;
    set(near.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ZEROCOPY, 1)?;
    set(near.as_raw_fd(), libc::SOL_SOCKET, libc::SO_SNDBUF, 1 << 20)?;
    set(far.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, 4096)?;
    near.set_nonblocking(true)?;
    // First what fills the receiver's buffer.
    (&near).write_all(&[b'-'; 100_000])?;
    let map = Mapped::new(fd, size, libc::PROT_READ, libc::MAP_SHARED)?;
    let flags = libc::MSG_ZEROCOPY | libc::MSG_DONTWAIT;
    // SAFETY: mapped bytes.
    let count = checked(unsafe { libc::send(near.as_raw_fd(), map.at.cast(), room(size), flags) })?
        as usize;
    Ok(once(move || {
        // SAFETY: touches no memory.
        unsafe { libc::shutdown(near.as_raw_fd(), libc::SHUT_WR) };
        let mut seen = Vec::new();
        far.read_to_end(&mut seen).expect("what was sent");
        seen.split_off(seen.len() - count)
    }))
}

fn copied_in_the_kernel(fd: c_int, size: usize) -> Result<Kept, Skip> {
    let copy =
        wrap(b"", &WrapOptions { flags: crate::support::abi::WRITABLE, ..WrapOptions::default() });
    let copy = copy.expect("a memory file");
    // SAFETY: no offsets are given.
    checked(unsafe {
        libc::copy_file_range(fd, null_mut(), copy.as_raw_fd(), null_mut(), size, 0)
    })?;
    Ok(Kept::look(move |_| Some(content(&copy))))
}
