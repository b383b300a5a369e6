//! Answers requests until the test ends.

use std::ffi::c_int;
use std::fs::File;
use std::io::{PipeReader, Read, Write};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering::SeqCst;

use super::Shared;

const LOOKUP: u32 = 1;
pub const FORGET: u32 = 2;
pub const GETATTR: u32 = 3;
const SETATTR: u32 = 4;
const MKDIR: u32 = 9;
const UNLINK: u32 = 10;
const RMDIR: u32 = 11;
pub const LINK: u32 = 13;
const OPEN: u32 = 14;
const READ: u32 = 15;
pub const WRITE: u32 = 16;
pub const RELEASE: u32 = 18;
pub const FLUSH: u32 = 25;
const INIT: u32 = 26;
const OPENDIR: u32 = 27;
const READDIR: u32 = 28;
const CREATE: u32 = 35;
pub const INTERRUPT: u32 = 36;
pub const BATCH_FORGET: u32 = 42;
pub const FALLOCATE: u32 = 43;
const RENAME2: u32 = 45;

const MAX_WRITE: u32 = 128 << 10;

/// A file or directory. Its number is its place in the list, from 1 on.
struct Node {
    mode: u32,
    owner: [u32; 2],
    content: Vec<u8>,
    /// Its directories and names: several after link(2), none after unlink(2).
    names: Vec<(u64, Vec<u8>)>,
}

pub struct Server {
    device: File,
    shared: &'static Shared,
    nodes: Vec<Node>,
}

/// A request: a header of 40 bytes, and what its kind needs.
struct Request(Vec<u8>);

impl Request {
    fn u32(&self, at: usize) -> u32 {
        u32::from_ne_bytes(self.0[at..at + 4].try_into().expect("four bytes"))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_ne_bytes(self.0[at..at + 8].try_into().expect("eight bytes"))
    }

    fn opcode(&self) -> u32 {
        self.u32(4)
    }

    fn node(&self) -> u64 {
        self.u64(16)
    }

    /// Returns a number of the body, which begins after the header.
    fn number(&self, at: usize) -> u64 {
        self.u64(40 + at)
    }

    /// Returns the name at this place, with its directory.
    fn name(&self, directory: u64, at: usize) -> (u64, Vec<u8>) {
        let rest = &self.0[40 + at..];
        let end = rest.iter().position(|byte| *byte == 0).expect("a NUL");
        (directory, rest[..end].to_vec())
    }
}

type Reply = Result<Vec<u8>, c_int>;

impl Server {
    pub fn new(device: File, shared: &'static Shared) -> Server {
        let root = Node {
            mode: libc::S_IFDIR | 0o755,
            owner: [0, 0],
            content: Vec::new(),
            names: Vec::new(),
        };
        Server { device, shared, nodes: vec![root] }
    }

    /// Answers requests until the test ends, or the file system is unmounted.
    pub fn serve(mut self, mut commands: PipeReader) {
        let mut waiting: Vec<Request> = Vec::new();
        loop {
            let poll = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
            let mut ready = [poll(self.device.as_raw_fd()), poll(commands.as_raw_fd())];
            // SAFETY: two writable structs.
            unsafe { libc::poll(ready.as_mut_ptr(), 2, -1) };
            if ready[1].revents != 0 {
                if commands.read(&mut [0]).expect("a pipe") == 0 {
                    return;
                }
                let (held, free) = waiting.into_iter().partition(|request| self.is_held(request));
                waiting = held;
                free.into_iter().for_each(|request: Request| self.answer(&request));
            }
            let mut buffer = vec![0; MAX_WRITE as usize + 4096];
            match self.device.read(&mut buffer) {
                Ok(length) => buffer.truncate(length),
                // Unmounted.
                Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return,
                // There is no request now, or it was taken back.
                Err(_) => continue,
            }
            let request = Request(buffer);
            self.shared.seen[request.opcode() as usize].fetch_add(1, SeqCst);
            if self.is_held(&request) { waiting.push(request) } else { self.answer(&request) }
        }
    }

    fn is_held(&self, request: &Request) -> bool {
        self.shared.held.load(SeqCst) & 1 << request.opcode() != 0 && !is_ending(request.u32(32))
    }

    fn answer(&mut self, request: &Request) {
        let opcode = request.opcode();
        if [FORGET, BATCH_FORGET, INTERRUPT].contains(&opcode) {
            return;
        }
        let reply = match self.shared.errno[opcode as usize].load(SeqCst) {
            0 => self.reply(request),
            errno => Err(errno),
        };
        let (error, body) = reply.map_or_else(|errno| (-errno, Vec::new()), |body| (0, body));
        let header =
            [&(16 + body.len() as u32).to_ne_bytes()[..], &error.to_ne_bytes(), &request.0[8..16]]
                .concat();
        // ENOENT if no process waits for it any more.
        let _ = self.device.write(&[header, body].concat());
    }

    fn reply(&mut self, request: &Request) -> Reply {
        let node = request.node();
        match request.opcode() {
            // Version 7.31; FUSE_BIG_WRITES.
            INIT => {
                Ok([&u32s(&[7, 31, 64 << 10, 1 << 5, 0, MAX_WRITE, 1, 0])[..], &[0; 32]].concat())
            }
            LOOKUP => self.find(&request.name(node, 0)).map(|found| self.entry(found)),
            GETATTR => Ok(self.attributes(node)),
            SETATTR => {
                let (valid, size, mode) =
                    (request.number(0) as u32, request.number(16), request.u32(40 + 68));
                let changed = self.node(node);
                if valid & 1 != 0 {
                    changed.mode = changed.mode & libc::S_IFMT | mode & 0o7777;
                }
                if valid & 8 != 0 {
                    changed.content.resize(size as usize, 0);
                }
                Ok(self.attributes(node))
            }
            MKDIR => self.create(request, libc::S_IFDIR, 8).map(|made| self.entry(made)),
            CREATE => self
                .create(request, libc::S_IFREG, 16)
                .map(|made| [self.entry(made), self.opened()].concat()),
            UNLINK | RMDIR => {
                let name = request.name(node, 0);
                let found = self.find(&name)?;
                if self
                    .nodes
                    .iter()
                    .any(|inner| inner.names.iter().any(|(directory, _)| *directory == found))
                {
                    return Err(libc::ENOTEMPTY);
                }
                self.node(found).names.retain(|other| *other != name);
                Ok(Vec::new())
            }
            LINK => {
                let linked = request.number(0);
                self.node(linked).names.push(request.name(node, 8));
                Ok(self.entry(linked))
            }
            // Of the flags RENAME_NOREPLACE only.
            RENAME2 => {
                let old = request.name(node, 16);
                let new = request.name(request.number(0), 16 + old.1.len() + 1);
                let found = self.find(&old)?;
                if self.find(&new).is_ok() {
                    return Err(libc::EEXIST);
                }
                let names = &mut self.node(found).names;
                names.retain(|other| *other != old);
                names.push(new);
                Ok(Vec::new())
            }
            OPEN | OPENDIR => Ok(self.opened()),
            READ => {
                let (asked, readable) = (range(request, 8), self.shared.readable.load(SeqCst));
                let length = self.length(node);
                let asked = asked.start.min(length)..asked.end.min(length);
                if asked.end as u64 > readable {
                    Err(libc::EIO)
                } else {
                    Ok(self.node(node).content[asked].to_vec())
                }
            }
            WRITE => {
                let written = range(request, 8);
                let content = &mut self.node(node).content;
                content.resize(content.len().max(written.end), 0);
                content[written.clone()].copy_from_slice(&request.0[80..80 + written.len()]);
                Ok(u32s(&[written.len() as u32, 0]))
            }
            FALLOCATE => {
                let (end, mode) =
                    (request.number(8) + request.number(16), request.number(24) as u32);
                let content = &mut self.node(node).content;
                if mode == 0 {
                    content.resize(content.len().max(end as usize), 0);
                }
                Ok(Vec::new())
            }
            READDIR => {
                let mut entries = Vec::new();
                for (number, inner) in (1u64..).zip(&self.nodes).skip(request.number(8) as usize) {
                    for (_, name) in inner.names.iter().filter(|(directory, _)| *directory == node)
                    {
                        entries.extend([number, number].map(u64::to_ne_bytes).concat());
                        entries.extend(u32s(&[name.len() as u32, inner.mode >> 12]));
                        entries.extend(name);
                        entries.resize(entries.len().next_multiple_of(8), 0);
                    }
                }
                Ok(entries)
            }
            FLUSH => Ok(Vec::new()),
            // The kernel does without, O_TMPFILE among others.
            _ => Err(libc::ENOSYS),
        }
    }

    fn node(&mut self, number: u64) -> &mut Node {
        &mut self.nodes[number as usize - 1]
    }

    fn find(&self, name: &(u64, Vec<u8>)) -> Result<u64, c_int> {
        let found = self.nodes.iter().position(|node| node.names.contains(name));
        found.map(|at| at as u64 + 1).ok_or(libc::ENOENT)
    }

    /// Makes the file that is named at `name_at`. The offset of the mode depends on the kind of
    /// request.
    fn create(&mut self, request: &Request, kind: u32, name_at: usize) -> Result<u64, c_int> {
        let name = request.name(request.node(), name_at);
        let mode = if kind == libc::S_IFDIR { request.u32(40) } else { request.u32(44) };
        let owner = [request.u32(24), request.u32(28)];
        self.nodes.push(Node {
            mode: kind | mode & 0o7777,
            owner,
            content: Vec::new(),
            names: vec![name],
        });
        Ok(self.nodes.len() as u64)
    }

    fn length(&self, number: u64) -> usize {
        let end = usize::try_from(self.shared.end.load(SeqCst)).unwrap_or(usize::MAX);
        self.nodes[number as usize - 1].content.len().min(end)
    }

    /// Returns a struct fuse_attr.
    fn attr(&self, number: u64) -> Vec<u8> {
        let (node, length) = (&self.nodes[number as usize - 1], self.length(number) as u64);
        let links =
            if node.mode & libc::S_IFMT == libc::S_IFDIR { 2 } else { node.names.len() as u32 };
        let [user, group] = node.owner;
        let head = [number, length, length.div_ceil(512), 0, 0, 0].map(u64::to_ne_bytes).concat();
        [head, u32s(&[0, 0, 0, node.mode, links, user, group, 0, 4096, 0])].concat()
    }

    /// Returns a struct fuse_attr_out, which the kernel must not remember.
    fn attributes(&self, number: u64) -> Vec<u8> {
        [vec![0; 16], self.attr(number)].concat()
    }

    /// Returns a struct fuse_entry_out, which the kernel must not remember.
    fn entry(&self, number: u64) -> Vec<u8> {
        [number.to_ne_bytes().to_vec(), vec![0; 32], self.attr(number)].concat()
    }

    /// Returns a struct fuse_open_out, with FOPEN_DIRECT_IO if that is set.
    fn opened(&self) -> Vec<u8> {
        u32s(&[0, 0, self.shared.direct_io.load(SeqCst).into(), 0])
    }
}

/// Returns whether a thread has begun to end, proc_pid_stat(5): PF_EXITING. It then closes its
/// files, and goes on only if the server answers.
fn is_ending(thread: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{thread}/stat")).unwrap_or_default();
    let flags =
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(6)?.parse::<u32>().ok());
    flags.is_some_and(|flags| flags & 4 != 0)
}

fn u32s(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_ne_bytes()).collect()
}

/// Returns the bytes that a request is about: an offset, and 4 bytes for the count.
fn range(request: &Request, at: usize) -> Range<usize> {
    let start = request.number(at) as usize;
    start..start + request.u32(40 + at + 8) as usize
}
