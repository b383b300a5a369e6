//! Tests child processes that are given a descriptor, and programs that pass theirs on.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Command, Stdio};

use super::client::{Answer, Client, From, Leaves, Lent, Pipe, Way, clients};
use super::programs::answer;
use crate::support::abi::{self, AUTO, INHERIT};
use crate::support::{fd, needs, tools};

clients![
    PYTHON_MMAP, PYTHON_PASS_FDS, NODE_READ, NODE_STDIO, QEMU_ADD_FD;
    python_cannot_change_what_it_is_given ["python3"],
    python_gives_what_it_wraps_itself_to_a_child ["python3"],
    qemu_wants_the_access_mode_that_it_opens_with ["qemu-system-x86_64|qemu-system-aarch64"],
];

// Python
// -------------------------------------------------------------------------------------------------

const PYTHON_MMAP: Client = Client {
    needs: &["python3"],
    way: Way::Inherit,
    of_nothing: Err("cannot mmap an empty file"),
    pipe: Pipe::Fails,
    ..Client::new("python_mmap", "mmap.mmap(fd)", |lent| {
        python(
            "import mmap, sys\n\
             with mmap.mmap(int(sys.argv[1]), 0, prot=mmap.PROT_READ) as view: \
             sys.stdout.buffer.write(view[:])",
            lent,
        )
    })
};

const PYTHON_PASS_FDS: Client = Client {
    needs: &["python3"],
    way: Way::Inherit,
    reads_from: From::Offset,
    leaves: Leaves::End,
    ..Client::new("python_pass_fds", "subprocess.run(pass_fds=[fd])", |lent| {
        python(
            "import subprocess, sys\n\
             fd = int(sys.argv[1])\n\
             copy = f'import sys; sys.stdout.buffer.write(open({fd}, \"rb\").read())'\n\
             subprocess.run([sys.executable, '-c', copy], pass_fds=[fd], check=True)",
            lent,
        )
    })
};

fn python(script: &str, lent: &Lent) -> Answer {
    answer(Command::new("python3").args(["-c", script, &lent.number().to_string()]))
}

/// EPERM comes from the seals; a read-only description, where the host needs one, answers EBADF
/// before.
fn python_cannot_change_what_it_is_given() {
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
changes = (
    lambda: os.pwrite(fd, b"x", 0), lambda: os.ftruncate(fd, 0), lambda: mmap.mmap(fd, 0)
)
for change in changes:
    try:
        change()
    except OSError as error:
        assert error.errno in (errno.EPERM, errno.EACCES, errno.EBADF, errno.EINVAL), error
    else:
        sys.exit("it can be changed")
sys.stdout.buffer.write(content)
"#;
    let content = fd::pattern(300_000);
    let fd = fd::wrap_with(&content, INHERIT, AUTO).expect("a descriptor");
    let number = fd.as_raw_fd().to_string();
    let python = tools::run(Command::new("python3").args(["-c", SCRIPT, &number]));
    assert!(python.stdout == content);
}

/// subprocess itself makes descriptors inheritable in the child, so the default options suffice.
fn python_gives_what_it_wraps_itself_to_a_child() {
    const SCRIPT: &str = r#"
import ctypes, os, subprocess, sys
wrap = ctypes.CDLL(sys.argv[1]).bytefd_wrap_buffer
wrap.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p]
for content in (b"", b"odd" * 4115, b"large" * (1 << 20)):
    fd = wrap(content, len(content), None, None)
    assert fd > 2 and not os.get_inheritable(fd), fd
    child = subprocess.run(
        ["cat", f"/proc/self/fd/{fd}"], pass_fds=[fd], stdout=subprocess.PIPE, check=True
    )
    assert child.stdout == content, len(child.stdout)
    assert os.lseek(fd, 0, os.SEEK_CUR) == 0 and not os.get_inheritable(fd)
    os.close(fd)
"#;
    tools::run(Command::new("python3").args(["-c", SCRIPT]).arg(abi::library_path()));
}

// Node
// -------------------------------------------------------------------------------------------------

const NODE_READ: Client = Client {
    needs: &["node"],
    way: Way::Inherit,
    reads_from: From::Offset,
    leaves: Leaves::End,
    ..Client::new("node_read", "fs.readFileSync(fd)", |lent| {
        node("fs.writeSync(1, fs.readFileSync(Number(process.argv[1])))", lent)
    })
};

const NODE_STDIO: Client = Client {
    needs: &["node", "cat"],
    way: Way::Inherit,
    reads_from: From::Offset,
    leaves: Leaves::End,
    ..Client::new("node_stdio", "child_process.spawn(stdio: […, fd])", |lent| {
        node(
            "child_process.spawn('/bin/sh', ['-c', 'cat <&3'], \
             { stdio: ['ignore', 'inherit', 'inherit', Number(process.argv[1])] })",
            lent,
        )
    })
};

/// Runs a script in Node.js. Standard output is a file, because one call then writes everything.
fn node(script: &str, lent: &Lent) -> Answer {
    let written = tempfile::NamedTempFile::new().expect("a file");
    let output = std::fs::File::create(written.path()).expect("created");
    answer(Command::new("node").args(["-e", script, &lent.number().to_string()]).stdout(output))?;
    Ok(std::fs::read(written.path()).expect("read"))
}

// QEMU
// -------------------------------------------------------------------------------------------------

const QEMU_ADD_FD: Client = Client {
    needs: &["qemu-system-x86_64|qemu-system-aarch64"],
    way: Way::InheritReadOnly,
    pipe: Pipe::Fails,
    leaves: Leaves::Anywhere,
    ..Client::new("qemu_add_fd", "qemu -add-fd fd=N,set=1", qemu)
};

/// Returns the content of a disk that is the descriptor. QEMU copies the disk to a file. Disks have
/// whole sectors.
fn qemu(lent: &Lent) -> Answer {
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("copy");
    backed_up(lent.number(), &copy)?;
    let mut bytes = std::fs::read(&copy).map_err(|error| error.to_string())?;
    let length = std::fs::metadata(lent.path()).expect("stat").len() as usize;
    assert!(
        bytes.len() == length.next_multiple_of(512)
            && bytes[length..].iter().all(|byte| *byte == 0)
    );
    bytes.truncate(length);
    Ok(bytes)
}

fn backed_up(fd: i32, copy: &Path) -> Result<(), String> {
    const DISK: &str = r#"{"driver":"raw","node-name":"disk","read-only":true,
        "file":{"driver":"file","filename":"/dev/fdset/1"}}"#;
    let program = ["qemu-system-x86_64", "qemu-system-aarch64"]
        .into_iter()
        .find(|name| needs::is_here(name))
        .expect("QEMU");
    let mut qemu = Command::new(program);
    qemu.args([
        "-machine",
        "none",
        "-nodefaults",
        "-display",
        "none",
        "-qmp",
        "stdio",
        "-blockdev",
        DISK,
    ]);
    qemu.arg("-add-fd").arg(format!("fd={fd},set=1"));
    qemu.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = qemu.spawn().expect("QEMU");
    let mut asks = child.stdin.take().expect("piped");
    let commands = format!(
        "{{\"execute\":\"qmp_capabilities\"}}\n\
         {{\"execute\":\"drive-backup\",\"arguments\":{{\"device\":\"disk\",\
         \"job-id\":\"copy\",\"sync\":\"full\",\"format\":\"raw\",\"target\":\"{}\"}}}}\n",
        copy.display(),
    );
    // A QEMU that has ended already says why.
    let _ = asks.write_all(commands.as_bytes());
    let answers = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let done = answers
        .into_iter()
        .find(|line| line.contains("BLOCK_JOB_COMPLETED") || line.contains("\"error\""));
    let _ = asks.write_all(b"{\"execute\":\"quit\"}\n");
    drop(asks);
    let output = child.wait_with_output().expect("ended");
    match done {
        Some(line) if !line.contains("\"error\"") => Ok(()),
        Some(line) => Err(line),
        None => Err(tools::said(&output)),
    }
}

/// A default descriptor is open for reading and writing, and QEMU opens a read-only disk for
/// reading.
fn qemu_wants_the_access_mode_that_it_opens_with() {
    let fd = fd::wrap_with(&fd::pattern(5000), INHERIT, AUTO).expect("a descriptor");
    if fd::access_mode(&fd) == libc::O_RDONLY {
        return println!("SKIPPED: descriptors are open for reading only on this host");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let error = backed_up(fd.as_raw_fd(), &folder.path().join("copy")).expect_err("refused");
    assert!(error.contains("Could not dup FD for /dev/fdset/1"), "{error}");
}
