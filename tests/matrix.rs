//! Tests C, Go and Rust, each as maker and each as user, over every way of sharing.

pub mod peer;

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::support::tools::{compile, repository, run, said};
use crate::tests;

tests![
    what_each_language_makes_each_can_use,
    a_peer_notices_what_differs,
    calls_without_options_mean_the_same_in_each_language,
];

const WAYS: [&str; 6] = ["sent", "named", "file", "sysv", "tempfile", "inherited"];

/// A program in one of the languages.
struct Peer {
    language: &'static str,
    program: PathBuf,
}

impl Peer {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        if self.language == "Rust" {
            command.env(peer::PEER, "1");
        }
        command
    }

    /// Returns the peer as a command that a peer in another language runs.
    fn in_words(&self, arguments: &[String]) -> Vec<String> {
        let mut words = vec!["env".to_string()];
        words.extend((self.language == "Rust").then(|| format!("{}=1", peer::PEER)));
        words.push(self.program.to_str().expect("UTF-8").into());
        words.extend_from_slice(arguments);
        words
    }
}

fn peers(folder: &tempfile::TempDir) -> [Peer; 3] {
    let (in_c, in_go) = (folder.path().join("peer-c"), folder.path().join("peer-go"));
    compile(&["-std=c11"], &[repository().join("tests/matrix/peer.c")], &in_c);
    run(Command::new("go")
        .args(["build", "-o"])
        .arg(&in_go)
        .arg("./go/internal/peer")
        .current_dir(repository()));
    let in_rust = std::env::current_exe().expect("this program's path");
    [("C", in_c), ("Go", in_go), ("Rust", in_rust)]
        .map(|(language, program)| Peer { language, program })
}

/// Returns the place where the maker makes it.
fn place(way: &str, folder: &tempfile::TempDir, round: usize) -> String {
    match way {
        "sent" | "file" => folder.path().join(format!("{way}-{round}")).display().to_string(),
        "named" => format!("bytefd-matrix-{round}-{}", std::process::id()),
        "sysv" => "0".into(),
        "tempfile" => ".data".into(),
        _ => "3".into(),
    }
}

fn what_each_language_makes_each_can_use() {
    let folder = tempfile::tempdir().expect("a folder");
    let peers = peers(&folder);
    let mut round = 0;
    for way in WAYS {
        for (maker, user) in
            peers.iter().flat_map(|maker| peers.iter().map(move |user| (maker, user)))
        {
            for length in [1, 5000, (3 << 20) + 7] {
                round += 1;
                let when = format!(
                    "{way}: made in {}, used in {}, {length} bytes",
                    maker.language, user.language
                );
                let numbers = [length.to_string(), round.to_string()];
                let place = place(way, &folder, round);
                assert_eq!(shared(way, maker, user, &place, &numbers), "ok\n", "{when}");
            }
        }
    }
}

/// Returns what the user says about the maker's object.
fn shared(way: &str, maker: &Peer, user: &Peer, place: &str, numbers: &[String; 2]) -> String {
    let arguments = |job: &str, address: &str| {
        let words = [job, way, address, &numbers[0], &numbers[1]];
        words.map(String::from).to_vec()
    };
    let mut making = maker.command();
    making.args(arguments("make", place)).stdin(Stdio::piped()).stdout(Stdio::piped());
    if way == "inherited" {
        let output = making.args(user.in_words(&arguments("use", "3"))).output().expect("started");
        assert!(output.status.success(), "{}", said(&output));
        return String::from_utf8(output.stdout).expect("UTF-8");
    }
    let mut making = making.spawn().expect("started");
    let mut address = String::new();
    BufReader::new(making.stdout.as_mut().expect("piped")).read_line(&mut address).expect("a line");
    let using =
        user.command().args(arguments("use", address.trim_end())).output().expect("started");
    making.stdin.take().expect("piped").write_all(b"\n").expect("it waits");
    assert!(making.wait().expect("it ends").success(), "the maker");
    assert!(using.status.success(), "{}", said(&using));
    String::from_utf8(using.stdout).expect("UTF-8")
}

/// Otherwise the matrix would prove nothing.
fn a_peer_notices_what_differs() {
    let folder = tempfile::tempdir().expect("a folder");
    for user in peers(&folder) {
        let path = folder.path().join("content");
        std::fs::write(&path, [1, 32, 63, 94]).expect("written");
        let look = |length: &str, seed: &str| {
            let path = path.to_str().expect("UTF-8");
            let output =
                user.command().args(["use", "file", path, length, seed]).output().expect("started");
            (output.status.code(), output.stdout == b"ok\n")
        };
        assert_eq!(look("4", "1"), (Some(0), true), "{}", user.language);
        for (length, seed) in [("4", "2"), ("3", "1"), ("5", "1")] {
            assert_eq!(look(length, seed), (Some(1), false), "{}: {length}, {seed}", user.language);
        }
    }
}

/// Existing objects are opened for reading, new memory is for writing, and files that others can
/// change are not accepted.
fn calls_without_options_mean_the_same_in_each_language() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("content");
    std::fs::write(&path, "content").expect("written");
    let expected = format!(
        "file: reading\ndescriptor: reading\nmemory: writing\nshm created: reading\nshm opened: \
         reading\n\
         sysv created: refused, {}\nsysv attached: reading\nunsealed: refused, {}\n",
        libc::EINVAL,
        libc::EPERM
    );
    for peer in peers(&folder) {
        let name = format!("bytefd-defaults-{}", std::process::id());
        let output = peer.command().arg("defaults").arg(&path).arg(name).output().expect("started");
        assert!(output.status.success(), "{}: {}", peer.language, said(&output));
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{}", peer.language);
    }
    assert_eq!(std::fs::read(&path).expect("there"), b"content");
}
