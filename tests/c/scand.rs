//! scand of c-examples: a service under clients that hang up, under limits, and whose processes are
//! killed.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::examples::{header, signature};
use super::{C11, Workshop};
use crate::support::fd::pattern;
use crate::support::tools::{compile, repository};
use crate::tests;

tests![
    every_upload_gets_a_verdict,
    what_is_not_an_upload_is_refused,
    clients_that_hang_up_leave_nothing,
    slow_clients_do_not_stop_the_others,
    slow_clients_are_told_so_and_make_room,
    many_uploads_at_once_get_their_own_verdicts,
    without_descriptors_clients_are_told_so,
    a_worker_that_is_killed_is_an_error_for_its_client_only,
    a_worker_that_hangs_is_killed_in_time,
    idle_processes_that_are_killed_are_started_anew,
    a_receiver_that_is_killed_takes_its_client_with_it,
    a_killed_service_leaves_nothing,
    what_has_begun_is_finished_before_the_end,
    the_second_signal_ends_at_once,
    mistakes_on_the_command_line_are_named,
];

const RECEIVERS: usize = 16;
const WORKERS: usize = 4;

/// A service that runs, built with the sanitizers of the compiler.
struct Scand {
    parent: Child,
    port: u16,
    workshop: Workshop,
}

impl Scand {
    fn start(arguments: &[&str]) -> Scand {
        let workshop = Workshop::new();
        let mut command = Command::new(build(&workshop));
        // A process that finds an error of memory ends with a report, and one that ends well looks
        // for leaks.
        let log = std::fs::File::create(workshop.path("log")).expect("a file");
        command.args(arguments).env("TMPDIR", workshop.folder.path()).stdin(Stdio::null());
        let mut parent = command.stdout(Stdio::piped()).stderr(log).spawn().expect("scand");
        let mut line = String::new();
        BufReader::new(parent.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        let port = line
            .trim_end()
            .strip_prefix("listening on 127.0.0.1:")
            .and_then(|port| port.parse().ok());
        let scand = Scand { parent, port: port.unwrap_or_else(|| panic!("{line}")), workshop };
        scand.is_quiet();
        scand
    }

    /// A client that has said that it sends so many bytes, and has sent these.
    fn begin(&self, announced: usize, bytes: &[u8]) -> TcpStream {
        let mut client = TcpStream::connect(("127.0.0.1", self.port)).expect("connected");
        // It may be refused before it has sent all.
        let _ = client.write_all(&header(announced)).and_then(|()| client.write_all(bytes));
        client
    }

    /// What the service answers to an upload.
    fn scan(&self, bytes: &[u8]) -> String {
        finish(self.begin(bytes.len(), bytes))
    }

    /// The processes of this kind.
    fn processes(&self, name: &str) -> Vec<i32> {
        let children = children_of(self.parent.id());
        let is_one = |process: &i32| {
            std::fs::read_to_string(format!("/proc/{process}/comm"))
                .is_ok_and(|comm| comm.trim_end() == name)
        };
        children.into_iter().filter(is_one).collect()
    }

    /// The sockets that all processes share.
    fn shared(&self) -> BTreeSet<String> {
        links(self.parent.id() as i32).collect()
    }

    /// Receivers that have a client.
    fn serving(&self) -> Vec<i32> {
        let shared = self.shared();
        let has_client = |receiver: &i32| {
            links(*receiver).any(|link| link.starts_with("socket:") && !shared.contains(&link))
        };
        self.processes("scand receiver").into_iter().filter(has_client).collect()
    }

    /// Waits until all processes are there, and none has anything of an upload.
    fn is_quiet(&self) {
        until(|| {
            let shared = self.shared();
            let has_something = |process: &i32| {
                links(*process).any(|link| {
                    link.starts_with("/memfd:")
                        || (link.starts_with("socket:") && !shared.contains(&link))
                })
            };
            let (receivers, workers) =
                (self.processes("scand receiver"), self.processes("scand worker"));
            let is_complete = receivers.len() == RECEIVERS && workers.len() == WORKERS;
            is_complete && !receivers.iter().chain(&workers).any(has_something)
        });
        self.has_left_nothing();
    }

    /// No file, and no report of a sanitizer.
    fn has_left_nothing(&self) {
        let folder = std::fs::read_dir(self.workshop.folder.path()).expect("the folder");
        let mut names: Vec<_> = folder.map(|entry| entry.expect("an entry").file_name()).collect();
        names.sort();
        assert_eq!(names, ["log", "scand"]);
        let log = self.log();
        assert!(!["Sanitizer", "runtime error"].iter().any(|report| log.contains(report)), "{log}");
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.workshop.path("log")).expect("the log")
    }

    /// Uploads until a worker is seen that has the upload, and stops it. Returns it, and the client
    /// that waits.
    fn stop_a_worker_in_the_middle(&self) -> (i32, TcpStream) {
        let upload = pattern(32 << 20);
        loop {
            let client = self.begin(upload.len(), &upload);
            client.shutdown(Shutdown::Write).expect("shut down");
            client.set_nonblocking(true).expect("set");
            while client.peek(&mut [0]).is_err() {
                for worker in self.processes("scand worker") {
                    kill(worker, libc::SIGSTOP);
                    until(|| state(worker) == Some('T'));
                    // It has the upload mapped, so its timer runs.
                    let maps =
                        std::fs::read_to_string(format!("/proc/{worker}/maps")).unwrap_or_default();
                    if maps.contains("/memfd:upload") {
                        client.set_nonblocking(false).expect("set");
                        return (worker, client);
                    }
                    kill(worker, libc::SIGCONT);
                }
            }
        }
    }

    /// Asks the service to end, and checks that all of it does.
    fn end(mut self) {
        kill(self.parent.id() as i32, libc::SIGTERM);
        self.has_ended(Some(0));
    }

    fn has_ended(&mut self, code: Option<i32>) {
        let processes = children_of(self.parent.id());
        let status = self.parent.wait().expect("waited");
        assert_eq!(status.code(), code, "{status} {}", self.log());
        until(|| processes.iter().all(|process| state(*process).is_none_or(|state| state == 'Z')));
        // The children of a parent that was killed may have another parent by now; each of them
        // listens until it ends.
        until(|| TcpStream::connect(("127.0.0.1", self.port)).is_err());
        self.has_left_nothing();
    }
}

impl Drop for Scand {
    fn drop(&mut self) {
        // If a test has failed.
        let _ = self.parent.kill();
        let _ = self.parent.wait();
    }
}

fn build(workshop: &Workshop) -> PathBuf {
    let sanitized = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
    let source = repository().join("c-examples/scand.c");
    compile(&[&C11[..], &sanitized].concat(), &[source], &workshop.path("scand"));
    workshop.path("scand")
}

/// Waits for a condition. A test that waits in vain is ended by the alarm.
fn until(mut is_true: impl FnMut() -> bool) {
    while !is_true() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Shuts the client's side down and returns the answer, without its newline; "" if there is none.
fn finish(mut client: TcpStream) -> String {
    let _ = client.shutdown(Shutdown::Write);
    let mut answer = String::new();
    // A service that is killed may reset the connection.
    let _ = client.read_to_string(&mut answer);
    answer.trim_end().to_string()
}

fn kill(process: i32, signal: i32) {
    // SAFETY: no preconditions.
    assert_eq!(unsafe { libc::kill(process, signal) }, 0, "process {process}");
}

/// The fields of proc_pid_stat(5) from the third one on.
fn stat(process: &str) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    Some(fields.split_whitespace().map(String::from).collect())
}

fn state(process: i32) -> Option<char> {
    stat(&process.to_string())?[0].chars().next()
}

/// All children, with those that have ended and were not waited for.
fn children_of(parent: u32) -> Vec<i32> {
    let entries =
        std::fs::read_dir("/proc").expect("/proc is mounted").map(|entry| entry.expect("an entry"));
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let processes = names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    let children = processes
        .filter(|process| stat(process).is_some_and(|fields| fields[1] == parent.to_string()));
    children.map(|child| child.parse().expect("a number")).collect()
}

/// What a process has open.
fn links(process: i32) -> impl Iterator<Item = String> {
    let folder = std::fs::read_dir(format!("/proc/{process}/fd"));
    let links = folder
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| std::fs::read_link(entry.path()).ok());
    links.map(|link| link.to_string_lossy().into_owned())
}

fn every_upload_gets_a_verdict() {
    let scand = Scand::start(&[]);
    for length in [0, 1, 4096, 5_000_001] {
        assert_eq!(scand.scan(&pattern(length)), "clean", "{length} bytes");
    }
    assert_eq!(scand.scan(&signature()[1..]), "clean");
    for offset in [0, 1, 4095, 3_000_000] {
        let upload = [vec![b'.'; offset], signature(), vec![b'.'; 5]].concat();
        assert_eq!(scand.scan(&upload), format!("FOUND at byte {offset}"));
    }
    scand.is_quiet();
    scand.end();
}

fn what_is_not_an_upload_is_refused() {
    let scand = Scand::start(&["-m", "100000"]);
    for _ in 0..3 {
        assert_eq!(scand.scan(&pattern(100_000)), "clean");
        // Also one that sends it all the same.
        for sent in [0, 1000, 5_000_000] {
            for announced in [100_001, 1 << 40, usize::MAX] {
                let answer = finish(scand.begin(announced, &pattern(sent)));
                assert_eq!(answer, "error: an upload has at most 100000 bytes");
            }
        }
        for (announced, sent) in [(1, 0), (50_000, 49_999), (50_000, 50_001), (0, 1)] {
            let answer = finish(scand.begin(announced, &pattern(sent)));
            assert_eq!(
                answer,
                format!("error: the upload does not have the {announced} bytes announced")
            );
        }
        let answer = finish(scand.begin(1000, &pattern(5_000_000)));
        assert_eq!(
            answer,
            "error: stream: the stream has more than the 1001 bytes that max_bytes allows"
        );
        for length in [0, 7] {
            let mut client = TcpStream::connect(("127.0.0.1", scand.port)).expect("connected");
            client.write_all(&header(5)[..length]).expect("sent");
            assert_eq!(finish(client), "error: no length came");
        }
    }
    scand.is_quiet();
    scand.end();
}

fn clients_that_hang_up_leave_nothing() {
    let scand = Scand::start(&[]);
    for _ in 0..5 {
        drop(TcpStream::connect(("127.0.0.1", scand.port)).expect("connected"));
        for sent in [0, 1, 50_000, 3_000_000, 4_000_000] {
            drop(scand.begin(4_000_000, &pattern(sent)));
        }
    }
    scand.is_quiet();
    assert_eq!(scand.scan(b"x"), "clean");
    scand.end();
}

fn slow_clients_do_not_stop_the_others() {
    let scand = Scand::start(&["-u", "10000"]);
    let slow: Vec<_> =
        (1..RECEIVERS).map(|i| scand.begin(1_000_000, &pattern(i * 60_000))).collect();
    for _ in 0..3 {
        assert_eq!(scand.scan(b"x"), "clean");
    }
    drop(slow);
    scand.is_quiet();
    scand.end();
}

fn slow_clients_are_told_so_and_make_room() {
    let scand = Scand::start(&["-u", "0.2"]);
    let mut slow: Vec<_> =
        (0..RECEIVERS).map(|i| scand.begin(1_000_000, &pattern(i * 60_000))).collect();
    slow.extend(
        (0..RECEIVERS).map(|_| TcpStream::connect(("127.0.0.1", scand.port)).expect("connected")),
    );
    for mut client in slow {
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("error: "), "{answer}");
    }
    scand.is_quiet();
    scand.end();

    // Here they time out while another one waits for its turn.
    let scand = Scand::start(&["-u", "2"]);
    let _slow: Vec<_> = (0..RECEIVERS).map(|_| scand.begin(1_000_000, &pattern(1000))).collect();
    assert_eq!(scand.scan(b"x"), "clean");
    scand.is_quiet();
    scand.end();
}

fn many_uploads_at_once_get_their_own_verdicts() {
    let scand = Scand::start(&[]);
    std::thread::scope(|scope| {
        for i in 0..50 {
            let scand = &scand;
            scope.spawn(move || {
                let offset = i * 30_000;
                let upload = [vec![b'.'; offset], signature()].concat();
                assert_eq!(scand.scan(&upload), format!("FOUND at byte {offset}"));
                assert_eq!(scand.scan(&upload[..offset]), "clean");
            });
        }
    });
    scand.is_quiet();
    scand.end();
}

/// Sets how many descriptors a process may have, and returns the limit of before.
fn limit_descriptors(process: i32, limit: u64) -> u64 {
    let new = libc::rlimit { rlim_cur: limit, rlim_max: libc::RLIM_INFINITY };
    let mut old = new;
    // SAFETY: both are rlimits.
    unsafe {
        assert_eq!(libc::prlimit(process, libc::RLIMIT_NOFILE, std::ptr::null(), &mut old), 0);
        let new = libc::rlimit { rlim_max: old.rlim_max, ..new };
        assert_eq!(libc::prlimit(process, libc::RLIMIT_NOFILE, &new, std::ptr::null_mut()), 0);
    }
    old.rlim_cur
}

fn without_descriptors_clients_are_told_so() {
    let scand = Scand::start(&[]);
    let parent = scand.parent.id() as i32;
    let receiver = scand.processes("scand receiver")[0];
    let is_open =
        |number: &u64| std::fs::symlink_metadata(format!("/proc/{receiver}/fd/{number}")).is_ok();
    let free = (0..).find(|number| !is_open(number)).expect("a number");
    let set = |limit| {
        let processes = children_of(scand.parent.id()).into_iter().chain([parent]);
        processes.map(|process| limit_descriptors(process, limit)).max().expect("a process")
    };
    let usual = set(free);
    let mut answers = BTreeSet::new();
    // Receivers that wait for a client have reserved its number; the others must wait for one.
    let waiting: Vec<_> = (0..2 * RECEIVERS).map(|_| scand.begin(1, b"x")).collect();
    waiting.iter().for_each(|client| client.shutdown(Shutdown::Write).expect("shut down"));
    // A client, its upload, two sockets for the verdict, and what the library needs for a moment.
    for more in 1..10 {
        set(free + more);
        answers.insert(scand.scan(b"x"));
    }
    set(usual);
    answers.extend(waiting.into_iter().map(finish));
    let is_known = |answer: &String| answer == "clean" || answer.starts_with("error: ");
    assert!(
        answers.iter().all(is_known) && answers.contains("clean") && answers.len() > 2,
        "{answers:?}"
    );
    scand.is_quiet();
    assert_eq!(scand.scan(&signature()), "FOUND at byte 0");
    scand.end();
}

const DIED: &str = "error: the worker has died, or was too slow";

fn a_worker_that_is_killed_is_an_error_for_its_client_only() {
    let scand = Scand::start(&["-s", "10000"]);
    for _ in 0..3 {
        let (worker, client) = scand.stop_a_worker_in_the_middle();
        assert_eq!(scand.scan(b"another one"), "clean");
        kill(worker, libc::SIGKILL);
        assert_eq!(finish(client), DIED);
        scand.is_quiet();
    }
    scand.end();
}

fn a_worker_that_hangs_is_killed_in_time() {
    let scand = Scand::start(&["-s", "2"]);
    let (worker, client) = scand.stop_a_worker_in_the_middle();
    assert_eq!(finish(client), DIED);
    until(|| state(worker).is_none());
    scand.is_quiet();
    // Two seconds may be too short on a busy machine.
    until(|| scand.scan(b"x") == "clean");
    scand.end();
}

fn idle_processes_that_are_killed_are_started_anew() {
    let scand = Scand::start(&[]);
    for name in ["scand worker", "scand receiver"] {
        let processes = scand.processes(name);
        for process in &processes {
            kill(*process, libc::SIGKILL);
        }
        // One that dies can still take a client or an upload, and with it to the grave.
        until(|| processes.iter().all(|process| state(*process).is_none()));
        assert_eq!(scand.scan(b"x"), "clean");
        scand.is_quiet();
        assert!(scand.processes(name).iter().all(|process| !processes.contains(process)));
    }
    scand.end();
}

fn a_receiver_that_is_killed_takes_its_client_with_it() {
    let scand = Scand::start(&["-u", "10000"]);
    let mut client = scand.begin(1_000_000, &pattern(500_000));
    until(|| !scand.serving().is_empty());
    kill(scand.serving()[0], libc::SIGKILL);
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer);
    assert_eq!(answer, b"");
    scand.is_quiet();
    assert_eq!(scand.scan(b"x"), "clean");
    scand.end();
}

fn a_killed_service_leaves_nothing() {
    let mut scand = Scand::start(&["-u", "10000", "-s", "10000"]);
    let _uploading: Vec<_> =
        (0..8).map(|i| scand.begin(4_000_000, &pattern(i * 500_000))).collect();
    let (_, client) = scand.stop_a_worker_in_the_middle();
    kill(scand.parent.id() as i32, libc::SIGKILL);
    assert_eq!(finish(client), "");
    scand.has_ended(None);
}

fn what_has_begun_is_finished_before_the_end() {
    let mut scand = Scand::start(&["-u", "10000", "-s", "10000"]);
    let mut uploading = scand.begin(2, b"x");
    until(|| !scand.serving().is_empty());
    let (worker, client) = scand.stop_a_worker_in_the_middle();
    kill(scand.parent.id() as i32, libc::SIGTERM);
    until(|| TcpStream::connect(("127.0.0.1", scand.port)).is_err());
    uploading.write_all(b"x").expect("sent");
    assert_eq!(finish(uploading), "clean");
    kill(worker, libc::SIGCONT);
    assert_eq!(finish(client), "clean");
    scand.has_ended(Some(0));
}

fn the_second_signal_ends_at_once() {
    let mut scand = Scand::start(&["-u", "10000", "-s", "10000"]);
    let _uploading = scand.begin(2, b"x");
    let (_, client) = scand.stop_a_worker_in_the_middle();
    kill(scand.parent.id() as i32, libc::SIGTERM);
    until(|| TcpStream::connect(("127.0.0.1", scand.port)).is_err());
    kill(scand.parent.id() as i32, libc::SIGTERM);
    assert_eq!(finish(client), "");
    scand.has_ended(Some(1));
}

fn mistakes_on_the_command_line_are_named() {
    let scand = Scand::start(&[]);
    let program = scand.workshop.path("scand");
    let port = scand.port.to_string();
    for (arguments, code, complaint) in [
        (["-p", &port], 1, "Address already in use"),
        (["-m", "0"], 2, "MAX_BYTES"),
        (["-u", "soon"], 2, "times are"),
        (["-s", "0"], 2, "times are"),
        (["-x", "0"], 2, "invalid option"),
    ] {
        let output = super::fed(Command::new(&program).args(arguments), b"");
        let said = crate::support::tools::said(&output);
        assert!(
            output.status.code() == Some(code) && said.contains(complaint),
            "{arguments:?}: {said}"
        );
    }
    scand.end();
}
