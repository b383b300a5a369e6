//! Builds and runs the programs in c-examples as their comments say.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::{C11, Workshop, answer, fed};
use crate::support::fd::pattern;
use crate::support::map::page_size;
use crate::support::tools::{compile, repository, run, said};
use crate::tests;

tests![
    scan_bytes_finds_the_signature_and_nothing_else,
    mmcat_writes_the_files,
    mmcat_names_what_it_cannot_write,
    mmcat_survives_a_file_that_becomes_shorter,
    demo_shows_two_clients_and_equal_digests,
    demo_notices_a_difference,
    t_mmap_shows_and_replaces_a_string,
    t_mmap_says_what_it_cannot_do,
    anon_mmap_shares_shared_memory_and_copies_private_memory,
    shared_writes_are_seen_by_both_processes,
    recvfile_stores_what_comes_through_a_socket,
    recvfile_notices_what_does_not_come,
    edges_shows_where_files_and_maps_end,
    four_ways_find_the_same_bytes,
    served_by_c_or_go_a_file_comes_to_clients_in_c_and_python,
    fetch_refuses_what_can_be_changed,
    no_example_loses_memory_or_descriptors,
];

impl Workshop {
    /// Builds an example as its first comment says.
    fn example(&self, name: &str) -> PathBuf {
        let mut sources = vec![repository().join(format!("c-examples/{name}.c"))];
        if name == "demo" {
            // A library must come after the source that needs it.
            sources.push("-lmagic".into());
        }
        compile(&C11, &sources, &self.path(name));
        self.path(name)
    }
}

fn sha256sum(bytes: &[u8]) -> String {
    answer(&mut Command::new("sha256sum"), bytes)[..64].to_string()
}

/// Returns the EICAR test string, in two parts, so that virus scanners do not report this file.
pub fn signature() -> Vec<u8> {
    [&b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-"[..], b"STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"].concat()
}

fn scan_bytes_finds_the_signature_and_nothing_else() {
    let workshop = Workshop::new();
    let program = workshop.example("scan_bytes");
    let check = |content: &[u8], code: i32, verdict: &str| {
        let name = workshop.write("input", content);
        for (arguments, input) in [(vec![], content), (vec![&name], &[][..])] {
            let output = fed(Command::new(&program).args(&arguments), input);
            assert_eq!(output.status.code(), Some(code), "{}", said(&output));
            assert!(said(&output).contains(verdict), "{}", said(&output));
        }
    };
    check(b"", 0, "clean, 0 bytes");
    check(&signature()[1..], 0, "clean, 67 bytes");
    // At the start, at the end, and across the scanner's window of 64 KiB.
    for offset in [0, 1, 65_500, 65_536, 200_000] {
        let content = [vec![b'.'; offset], signature()].concat();
        check(&content, 1, &format!("FOUND at byte {offset}"));
    }
    let missing = fed(Command::new(&program).arg(workshop.path("missing")), b"");
    assert_eq!(missing.status.code(), Some(2));
    assert!(said(&missing).contains("No such file"), "{}", said(&missing));
    assert_eq!(fed(Command::new(&program).args(["a", "b"]), b"").status.code(), Some(2));
}

fn mmcat_writes_the_files() {
    let workshop = Workshop::new();
    let program = workshop.example("mmcat");
    // More than a pipe holds, so that writes are short.
    let contents = [b"first\n".to_vec(), Vec::new(), pattern(3_000_000)];
    let names: Vec<_> = contents
        .iter()
        .enumerate()
        .map(|(i, content)| workshop.write(&i.to_string(), content))
        .collect();
    let output = fed(Command::new(&program).args(&names), b"");
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.stdout == contents.concat(), "{} bytes", output.stdout.len());
    assert_eq!(fed(&mut Command::new(&program), b"").status.code(), Some(2));
}

fn mmcat_names_what_it_cannot_write() {
    let workshop = Workshop::new();
    let program = workshop.example("mmcat");
    let (file, missing) = (workshop.write("file", b"content"), workshop.path("missing"));
    let output =
        fed(Command::new(&program).arg(&missing).arg(workshop.folder.path()).arg(&file), b"");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"content");
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        complaints.contains(missing.to_str().expect("UTF-8")) && complaints.contains("directory"),
        "{complaints}"
    );

    let full = std::fs::File::create("/dev/full").expect("/dev/full");
    let output = Command::new(&program).arg(&file).stdout(full).output().expect("mmcat");
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("No space left"), "{}", said(&output));
}

fn mmcat_survives_a_file_that_becomes_shorter() {
    let workshop = Workshop::new();
    let program = workshop.example("mmcat");
    let bytes = pattern(3_000_000);
    let (shrinking, other) =
        (workshop.write("shrinking", &bytes), workshop.write("other", b"the other file"));
    let mut mmcat = Command::new(&program);
    mmcat.args([&shrinking, &other]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut mmcat = mmcat.spawn().expect("mmcat");

    // With its first byte the file is mapped, and the pipe has no room for most of it.
    let mut pipe = mmcat.stdout.take().expect("a pipe");
    let mut written = vec![0];
    pipe.read_exact(&mut written).expect("the first byte");
    File::options().write(true).open(&shrinking).and_then(|file| file.set_len(0)).expect("shorter");
    pipe.read_to_end(&mut written).expect("the rest");
    let output = mmcat.wait_with_output().expect("mmcat");

    assert_eq!(output.status.code(), Some(1));
    let complaint =
        format!("mmcat: {}: became shorter while it was written\n", shrinking.display());
    assert!(said(&output).ends_with(&complaint), "{}", said(&output));
    let first = written.strip_suffix(b"the other file").expect("both files");
    assert!(first.len() < bytes.len() && bytes.starts_with(first), "{} bytes", first.len());
}

fn demo_shows_two_clients_and_equal_digests() {
    let workshop = Workshop::new();
    let program = workshop.example("demo");
    let file = Path::new("/bin/true");
    let bytes = std::fs::read(file).expect("/bin/true");
    let shown = answer(Command::new(program).arg(file), b"");
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 4, "{shown}");
    let fstat = format!(
        "C     fstat   regular file, {} bytes, offset 0, links 0, mode 0400, seals 0x",
        bytes.len()
    );
    assert!(lines[0].starts_with(&fstat), "{shown}");
    assert!(lines[1].starts_with("      magic   ELF 64-bit LSB "), "{shown}");
    assert_eq!(lines[2], format!("      child   sha256sum says {}", sha256sum(&bytes)));
    assert_eq!(lines[3], "      result  equal to the digest of the original");
}

fn demo_notices_a_difference() {
    let workshop = Workshop::new();
    let program = workshop.example("demo");
    // Says something else about a path than about its standard input.
    let script = workshop.write("sha256sum", b"#!/bin/sh\nprintf '%064d  -\\n' $#\n");
    run(Command::new("chmod").arg("755").arg(&script));
    let output =
        fed(Command::new(program).arg("/bin/true").env("PATH", workshop.folder.path()), b"");
    assert_eq!(output.status.code(), Some(1));
    let result = format!("      result  DIFFERENT: the original's digest is {:064}", 0);
    assert!(said(&output).contains(&result), "{}", said(&output));
}

fn t_mmap_shows_and_replaces_a_string() {
    let workshop = Workshop::new();
    let program = workshop.example("t_mmap");
    let file = workshop.write("s.txt", &[0; 1024]);
    let t_mmap =
        |arguments: &[&str]| answer(Command::new(&program).arg(&file).args(arguments), b"");
    assert_eq!(t_mmap(&["hello"]), "current string: \nnew string: hello\n");
    assert_eq!(t_mmap(&["goodbye"]), "current string: hello\nnew string: goodbye\n");
    assert_eq!(t_mmap(&["bye"]), "current string: goodbye\nnew string: bye\n");
    assert_eq!(t_mmap(&[]), "current string: bye\n");
    let dump = answer(Command::new("od").args(["-A", "d", "-c", "-w8"]).arg(&file), b"");
    let zeros = "0000008  \\0  \\0  \\0  \\0  \\0  \\0  \\0  \\0\n*\n0001024\n";
    assert_eq!(dump, format!("0000000   b   y   e  \\0  \\0  \\0  \\0  \\0\n{zeros}"));
}

fn t_mmap_says_what_it_cannot_do() {
    let workshop = Workshop::new();
    let program = workshop.example("t_mmap");
    let (file, short) =
        (workshop.write("file", b"0123456789"), workshop.write("short", b"012345678"));
    let t_mmap = |arguments: &[&Path]| fed(Command::new(&program).args(arguments), b"");
    assert_eq!(t_mmap(&[]).status.code(), Some(2));
    assert_eq!(t_mmap(&[&file, Path::new("ten bytes!")]).status.code(), Some(2));
    let output = t_mmap(&[&short, Path::new("new")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("bytes 0..10 of a file of 9 bytes"), "{}", said(&output));
    let output = t_mmap(&[&workshop.path("missing")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("No such file"), "{}", said(&output));
    assert_eq!(std::fs::read(file).expect("the file"), b"0123456789");
    assert_eq!(std::fs::read(short).expect("the file"), b"012345678");
}

const ANON_MMAP: &str = "\
shared memory
  child: the number is 1, and I add 1
  parent: the number is 2
private memory
  child: the number is 1, and I add 1
  parent: the number is 1
";

fn anon_mmap_shares_shared_memory_and_copies_private_memory() {
    let workshop = Workshop::new();
    assert_eq!(answer(&mut Command::new(workshop.example("anon_mmap")), b""), ANON_MMAP);
}

const SHARED_WRITES: &str = "\
child sees: ping 1
parent sees: pong 1
child sees: ping 2
parent sees: pong 2
child sees: ping 3
parent sees: pong 3
";

fn shared_writes_are_seen_by_both_processes() {
    let workshop = Workshop::new();
    let program = workshop.example("shared_writes");
    let file = workshop.path("file");
    // The file is made the first time, and there the second.
    for _ in 0..2 {
        assert_eq!(answer(Command::new(&program).arg(&file), b""), SHARED_WRITES);
        let content = std::fs::read(&file).expect("the file");
        assert!(content.starts_with(b"pong 3\0") && content.len() == 64, "{content:?}");
    }
    let output = fed(Command::new(&program).arg(workshop.folder.path()), b"");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(said(&output).contains("is a directory"), "{}", said(&output));
}

/// Returns the header that a sender of these bytes sends first.
pub fn header(length: usize) -> [u8; 8] {
    (length as u64).to_be_bytes()
}

/// Runs recvfile on one end of a connection, and sends `bytes` through the other.
fn received(program: &Path, file: &Path, bytes: &[u8]) -> Output {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut sender =
        TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
    let (receiver, _) = listener.accept().expect("accepted");
    let mut recvfile = Command::new(program);
    recvfile.arg(file).stdin(OwnedFd::from(receiver)).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = recvfile.spawn().expect("recvfile");
    // The receiver's end is in the command until then.
    drop(recvfile);
    // It may end early.
    let _ = sender.write_all(bytes);
    drop(sender);
    child.wait_with_output().expect("output")
}

fn recvfile_stores_what_comes_through_a_socket() {
    let workshop = Workshop::new();
    let program = workshop.example("recvfile");
    let file = workshop.path("file");
    // The longer ones come first, so that a longer file is replaced too.
    for length in [3_000_000, 5000, 1, 0, 4096, 4097] {
        let bytes = pattern(length);
        let output = received(&program, &file, &[&header(length)[..], &bytes].concat());
        assert!(output.status.success() && said(&output).is_empty(), "{}", said(&output));
        assert!(std::fs::read(&file).expect("the file") == bytes, "{length} bytes");
    }
}

fn recvfile_notices_what_does_not_come() {
    let workshop = Workshop::new();
    let program = workshop.example("recvfile");
    let file = workshop.path("file");
    let check = |bytes: &[u8], complaint: &str| {
        let output = received(&program, &file, bytes);
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains(complaint), "{}", said(&output));
    };
    check(b"", "no length received");
    check(&header(5)[..7], "no length received");
    // More than any file has.
    check(&[0xff; 8], "file size");
    assert!(!file.exists());
    check(&[&header(10_000)[..], &pattern(6000)].concat(), "only 6000 of 10000 bytes received");
    assert!(std::fs::read(&file).expect("the file") == pattern(6000));
}

/// The output where pages have 4096 bytes.
const EDGES: &str = "\
a file of 5000 bytes, mapped at 5000
      0 to  4999:  in the file
   5000 to  8191:  zero, not in the file
   8192 and on:    SIGSEGV
a file of 5000 bytes, mapped at 15000
      0 to  4999:  in the file
   5000 to  8191:  zero, not in the file
   8192 to 16383:  SIGBUS
  16384 and on:    SIGSEGV
a file of 9500 bytes, mapped at 6000
      0 to  8191:  in the file
   8192 and on:    SIGSEGV
a file of 2200 bytes, mapped at 6000
      0 to  2199:  in the file
   2200 to  4095:  zero, not in the file
   4096 to  8191:  SIGBUS
   8192 and on:    SIGSEGV
an empty file, mapped at 1000 pages, and made larger
        0 bytes:  byte 0: SIGBUS
        1 bytes:  byte 0: in the file; byte 4095: zero, not in the file; byte 4096: SIGBUS
     4096 bytes:  byte 0: in the file; byte 4095: in the file; byte 4096: SIGBUS
     4097 bytes:  byte 0: in the file; byte 8191: zero, not in the file; byte 8192: SIGBUS
    40960 bytes:  byte 0: in the file; byte 40959: in the file; byte 40960: SIGBUS
  4091905 bytes:  byte 0: in the file; byte 4095999: zero, not in the file; byte 4096000: SIGSEGV
";

const PROTECTIONS: &str = "\
mmap(2) answers     none    read    write   read+write
  shared O_RDONLY   ok      ok      EACCES  EACCES
  shared O_WRONLY   EACCES  EACCES  EACCES  EACCES
  shared O_RDWR     ok      ok      ok      ok
  private O_RDONLY  ok      ok      ok      ok
";

/// Checks the output. Larger pages have other edges, but all bytes between two edges are alike
/// there too.
fn check_edges(shown: &str) {
    let edges = shown.strip_suffix(PROTECTIONS).unwrap_or_else(|| panic!("{shown}"));
    if page_size() == 4096 {
        assert_eq!(edges, EDGES);
    } else {
        assert!(
            !["alike", "else", "another"].iter().any(|unexpected| edges.contains(unexpected)),
            "{edges}"
        );
    }
}

fn edges_shows_where_files_and_maps_end() {
    let workshop = Workshop::new();
    let program = workshop.example("edges");
    let file = workshop.path("file");
    check_edges(&answer(Command::new(&program).arg(&file), b""));
    assert!(!file.exists());

    let file = workshop.write("file", b"precious");
    assert_eq!(fed(Command::new(&program).arg(&file), b"").status.code(), Some(2));
    assert_eq!(std::fs::read(file).expect("the file"), b"precious");
}

const FOUR_WAYS: &str = "\
System V       the same bytes
named          the same bytes
sent memfd     the same bytes
mapped file    the same bytes
";

fn four_ways_find_the_same_bytes() {
    let workshop = Workshop::new();
    assert_eq!(answer(&mut Command::new(workshop.example("four_ways")), b""), FOUR_WAYS);
}

/// A client that does not use this library.
const IN_PYTHON: &str = "import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
message, fds, flags, address = socket.recv_fds(s, 1, 1)
sys.stdout.buffer.write(os.pread(fds[0], os.fstat(fds[0]).st_size, 0))";

fn served_by_c_or_go_a_file_comes_to_clients_in_c_and_python() {
    let workshop = Workshop::new();
    let fetch = workshop.example("fetch");
    let in_go = workshop.path("serve-go");
    run(Command::new("go")
        .args(["build", "-o"])
        .arg(&in_go)
        .arg("./go/examples/serve")
        .current_dir(repository()));
    let content = pattern(100_000);
    for (server, name) in [(workshop.example("serve"), "c"), (in_go, "go")] {
        let socket = workshop.path(name);
        let mut serving = Command::new(server);
        serving.arg(&socket).arg("2").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut serving = serving.spawn().expect("started");
        serving.stdin.take().expect("piped").write_all(&content).expect("it reads");
        // It listens when it has read all.
        while !(socket.exists() && is_listening(&socket)) {
            assert!(serving.try_wait().expect("asked").is_none(), "it has ended");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert!(
            fed(Command::new(&fetch).arg(&socket), b"").stdout == content,
            "fetched from {name}"
        );
        assert!(
            fed(Command::new("python3").args(["-c", IN_PYTHON]).arg(&socket), b"").stdout
                == content
        );
        let output = serving.wait_with_output().expect("output");
        // SAFETY: no preconditions.
        let user = format!("user {}\n", unsafe { libc::getuid() });
        assert_eq!((output.status.code(), output.stdout), (Some(0), user.repeat(2).into_bytes()));
        assert!(!socket.exists());
    }
}

/// Returns whether the server listens, without connecting, which the server would count.
fn is_listening(socket: &Path) -> bool {
    const LISTENING: &str = "00010000 0001 01";
    let sockets = std::fs::read_to_string("/proc/net/unix").expect("/proc is mounted");
    sockets
        .lines()
        .any(|line| line.contains(LISTENING) && line.ends_with(socket.to_str().expect("UTF-8")))
}

fn fetch_refuses_what_can_be_changed() {
    let workshop = Workshop::new();
    let (fetch, socket) = (workshop.example("fetch"), workshop.path("socket"));
    let listener = UnixListener::bind(&socket).expect("a socket");
    let file = File::open(workshop.write("file", b"hello")).expect("opened");
    let fetching =
        Command::new(fetch).arg(&socket).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let fetching = fetching.expect("started");
    let (client, _) = listener.accept().expect("accepted");
    bytefd::share::send(&client, b"!", &[file.as_fd()]).expect("sent");
    let output = fetching.wait_with_output().expect("output");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(said(&output).contains("seals"), "{}", said(&output));
}

fn no_example_loses_memory_or_descriptors() {
    let workshop = Workshop::new();
    let file = workshop.write("file", &signature());
    let name = file.to_str().expect("UTF-8");

    let scan_bytes = workshop.example("scan_bytes");
    assert_eq!(workshop.under_valgrind(&scan_bytes, &[name], b"").status.code(), Some(1));
    assert_eq!(workshop.under_valgrind(&scan_bytes, &[], b"clean").status.code(), Some(0));
    let mmcat = workshop.example("mmcat");
    assert_eq!(
        workshop.under_valgrind(&mmcat, &[name, "/no/such/file", name], b"").status.code(),
        Some(1)
    );
    let demo = workshop.example("demo");
    assert!(workshop.under_valgrind(&demo, &[name], b"").status.success());

    let t_mmap = workshop.example("t_mmap");
    assert!(workshop.under_valgrind(&t_mmap, &[name, "new"], b"").status.success());
    assert_eq!(workshop.under_valgrind(&t_mmap, &["/no/such/file"], b"").status.code(), Some(1));
    let anon_mmap = workshop.example("anon_mmap");
    assert_eq!(workshop.under_valgrind(&anon_mmap, &[], b"").stdout, ANON_MMAP.as_bytes());
    let shared_writes = workshop.example("shared_writes");
    assert_eq!(
        workshop.under_valgrind(&shared_writes, &[name], b"").stdout,
        SHARED_WRITES.as_bytes()
    );
    let recvfile = workshop.example("recvfile");
    let sent = [&header(5)[..], b"hello"].concat();
    assert!(workshop.under_valgrind(&recvfile, &[name], &sent).status.success());
    assert_eq!(workshop.under_valgrind(&recvfile, &[name], &sent[..12]).status.code(), Some(1));
    let four_ways = workshop.example("four_ways");
    assert_eq!(workshop.under_valgrind(&four_ways, &[], b"").stdout, FOUR_WAYS.as_bytes());
    let edges = workshop.example("edges");
    let new = workshop.path("new");
    let output = workshop.under_valgrind(&edges, &[new.to_str().expect("UTF-8")], b"");
    check_edges(&String::from_utf8_lossy(&output.stdout));
}
