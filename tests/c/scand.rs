//! Tests scand of c-examples: with clients that hang up, under limits, and with processes that are
//! killed.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::examples::signature;
use super::{C11, SANITIZED, Workshop};
use crate::support::fd::pattern;
use crate::support::tools::{compile, repository};
use crate::tests;

tests![
    every_upload_gets_a_verdict,
    an_upload_that_is_too_long_is_refused,
    clients_that_hang_up_leave_nothing,
    slow_clients_do_not_stop_the_others,
    slow_clients_are_told_so_and_make_room,
    many_uploads_at_once_get_their_own_verdicts,
    without_descriptors_clients_are_told_so,
    a_worker_that_is_killed_is_an_error_for_its_client_only,
    a_worker_that_hangs_is_killed_in_time,
    workers_that_hang_before_their_uploads_are_killed_in_time,
    idle_processes_that_are_killed_are_started_anew,
    a_receiver_that_is_killed_takes_its_client_with_it,
    a_killed_service_leaves_nothing,
    what_has_begun_is_finished_before_the_end,
    the_second_signal_ends_at_once,
    mistakes_on_the_command_line_are_named,
];

/// Receivers, each with its worker.
const PAIRS: usize = 16;

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
        // A process that finds an error of memory ends with a report. A process that ends well
        // looks for leaks.
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

    /// Connects a client, which sends these bytes.
    fn begin(&self, bytes: &[u8]) -> TcpStream {
        let mut client = TcpStream::connect(("127.0.0.1", self.port)).expect("connected");
        // It may be refused before it has sent all.
        let _ = client.write_all(bytes);
        client
    }

    /// Connects a client, which sends an upload and waits for the answer.
    fn upload(&self, bytes: &[u8]) -> TcpStream {
        let client = self.begin(bytes);
        // The connection may be at its end already.
        let _ = client.shutdown(Shutdown::Write);
        client
    }

    /// Returns the answer of the service to an upload.
    fn scan(&self, bytes: &[u8]) -> String {
        finish(self.begin(bytes))
    }

    /// Returns all processes but the parent.
    fn descendants(&self) -> Vec<i32> {
        descendants_of(self.parent.id() as i32)
    }

    /// Returns the processes of this kind.
    fn processes(&self, name: &str) -> Vec<i32> {
        let is_one = |process: &i32| {
            std::fs::read_to_string(format!("/proc/{process}/comm"))
                .is_ok_and(|comm| comm.trim_end() == name)
        };
        self.descendants().into_iter().filter(is_one).collect()
    }

    /// Returns the number of sockets of a process that the parent does not have too.
    fn own_sockets(&self, process: i32) -> usize {
        let shared: BTreeSet<_> = links(self.parent.id() as i32).collect();
        links(process).filter(|link| link.starts_with("socket:") && !shared.contains(link)).count()
    }

    /// Returns the receivers that have a client, besides their worker.
    fn serving(&self) -> Vec<i32> {
        let receivers = self.processes("scand receiver").into_iter();
        receivers.filter(|receiver| self.own_sockets(*receiver) > 1).collect()
    }

    /// Waits until all processes have started, and none has a part of an upload.
    fn is_quiet(&self) {
        until(|| {
            let (receivers, workers) =
                (self.processes("scand receiver"), self.processes("scand worker"));
            let is_idle = |process: &i32| !has_upload(*process) && self.own_sockets(*process) == 1;
            receivers.len() == PAIRS
                && workers.len() == PAIRS
                && receivers.iter().chain(&workers).all(is_idle)
        });
        self.has_left_nothing();
    }

    /// Asserts that there is no new file, and no report of a sanitizer.
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

    /// Uploads until a worker has the upload, and stops that worker. Returns the worker and the
    /// waiting client.
    fn stop_a_worker_in_the_middle(&self) -> (i32, TcpStream) {
        let upload = pattern(32 << 20);
        loop {
            let workers = self.processes("scand worker");
            let client = self.upload(&upload);
            client.set_nonblocking(true).expect("set");
            while client.peek(&mut [0]).is_err() {
                for &worker in workers.iter().filter(|worker| has_upload(**worker)) {
                    kill(worker, libc::SIGSTOP);
                    until(|| state(worker) == Some('T'));
                    // It closes the upload before it sends the verdict.
                    if has_upload(worker) {
                        client.set_nonblocking(false).expect("set");
                        return (worker, client);
                    }
                    kill(worker, libc::SIGCONT);
                }
            }
        }
    }

    /// Ends the service, and checks that all its processes end.
    fn end(mut self) {
        kill(self.parent.id() as i32, libc::SIGTERM);
        self.has_ended(Some(0));
    }

    fn has_ended(&mut self, code: Option<i32>) {
        let processes = self.descendants();
        let status = self.parent.wait().expect("waited");
        assert_eq!(status.code(), code, "{status} {}", self.log());
        until(|| have_ended(&processes));
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
    let source = repository().join("c-examples/scand.c");
    compile(&[&C11[..], &SANITIZED].concat(), &[source], &workshop.path("scand"));
    workshop.path("scand")
}

/// Waits for a condition. The alarm ends a test whose condition is never met.
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

/// Returns the fields of proc_pid_stat(5) from the third one on.
fn stat(process: &str) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    Some(fields.split_whitespace().map(String::from).collect())
}

fn state(process: i32) -> Option<char> {
    stat(&process.to_string())?[0].chars().next()
}

/// Returns whether processes have ended. Their parent may still have to wait for them.
fn have_ended(processes: &[i32]) -> bool {
    processes.iter().all(|process| state(*process).is_none_or(|state| state == 'Z'))
}

/// Returns all children, their children and so on, including those that have ended and were not
/// waited for.
fn descendants_of(process: i32) -> Vec<i32> {
    let entries =
        std::fs::read_dir("/proc").expect("/proc is mounted").map(|entry| entry.expect("an entry"));
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let parents: Vec<(i32, i32)> = names
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        .filter_map(|name| {
            let parent = stat(&name)?[1].parse().expect("a number");
            Some((name.parse().expect("a number"), parent))
        })
        .collect();
    let mut family = vec![process];
    for next in 0.. {
        let Some(&parent) = family.get(next) else { break };
        family.extend(parents.iter().filter(|of| of.1 == parent).map(|of| of.0));
    }
    family.split_off(1)
}

/// Returns the numbers of the descriptors that a process has open.
fn numbers(process: i32) -> impl Iterator<Item = u64> {
    let folder = std::fs::read_dir(format!("/proc/{process}/fd"));
    let names = folder.into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.filter_map(|name| name.to_str()?.parse().ok())
}

/// Returns the names of the files that a process has open.
fn links(process: i32) -> impl Iterator<Item = String> {
    let links = numbers(process)
        .filter_map(move |number| std::fs::read_link(format!("/proc/{process}/fd/{number}")).ok());
    links.map(|link| link.to_string_lossy().into_owned())
}

fn has_upload(process: i32) -> bool {
    links(process).any(|link| link.starts_with("/memfd:"))
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

fn an_upload_that_is_too_long_is_refused() {
    let scand = Scand::start(&["-m", "100000"]);
    for _ in 0..3 {
        assert_eq!(scand.scan(&pattern(100_000)), "clean");
        for length in [100_001, 5_000_000] {
            assert_eq!(
                scand.scan(&pattern(length)),
                "error: the stream has more than the 100000 bytes that max_bytes allows"
            );
        }
    }
    scand.is_quiet();
    scand.end();
}

/// Resets a connection.
fn reset(client: TcpStream) {
    let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: the option takes a linger.
    let status = unsafe {
        libc::setsockopt(
            client.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const at_once).cast(),
            size_of_val(&at_once) as u32,
        )
    };
    assert_eq!(status, 0);
}

fn clients_that_hang_up_leave_nothing() {
    let scand = Scand::start(&[]);
    for _ in 0..5 {
        for sent in [0, 1, 50_000, 3_000_000] {
            drop(scand.begin(&pattern(sent)));
            reset(scand.begin(&pattern(sent)));
            drop(scand.upload(&pattern(sent)));
        }
    }
    scand.is_quiet();
    assert_eq!(scand.scan(b"x"), "clean");
    scand.end();
}

fn slow_clients_do_not_stop_the_others() {
    let scand = Scand::start(&["-u", "10000"]);
    let slow: Vec<_> = (1..PAIRS).map(|i| scand.begin(&pattern(i * 60_000))).collect();
    for _ in 0..3 {
        assert_eq!(scand.scan(b"x"), "clean");
    }
    drop(slow);
    scand.is_quiet();
    scand.end();
}

fn slow_clients_are_told_so_and_make_room() {
    let scand = Scand::start(&["-u", "0.2"]);
    let mut slow: Vec<_> = (0..PAIRS).map(|i| scand.begin(&pattern(i * 60_000))).collect();
    slow.extend(
        (0..PAIRS).map(|_| TcpStream::connect(("127.0.0.1", scand.port)).expect("connected")),
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
    let _slow: Vec<_> = (0..PAIRS).map(|_| scand.begin(&pattern(1000))).collect();
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

/// Sets how many descriptors a process may have, and returns the previous limit.
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
    let (receivers, workers) = (scand.processes("scand receiver"), scand.processes("scand worker"));
    let mut answers = BTreeSet::new();
    // A receiver without a number for its client waits. It also needs one for the upload, as its
    // worker does, and the library some for a moment.
    for (processes, least) in [(receivers, 1), (workers, 0)] {
        let open: BTreeSet<_> = numbers(processes[0]).collect();
        let free = (0..).find(|number| !open.contains(number)).expect("a number");
        let set = |limit| {
            let limits = processes.iter().map(|process| limit_descriptors(*process, limit));
            limits.max().expect("a process")
        };
        let usual = set(free);
        let waiting: Vec<_> = (0..2 * PAIRS).map(|_| scand.upload(b"x")).collect();
        for more in least..10 {
            set(free + more);
            answers.insert(scand.scan(b"x"));
        }
        set(usual);
        answers.extend(waiting.into_iter().map(finish));
    }
    let is_known = |answer: &String| answer == "clean" || answer.starts_with("error: ");
    assert!(
        answers.iter().all(is_known) && answers.contains("clean") && answers.len() > 2,
        "{answers:?}"
    );
    scand.is_quiet();
    assert_eq!(scand.scan(&signature()), "FOUND at byte 0");
    scand.end();
}

const DIED: &str = "error: the worker has died";
const LATE: &str = "error: the worker is late";

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
    assert_eq!(finish(client), LATE);
    until(|| state(worker).is_none());
    scand.is_quiet();
    // Two seconds may be too short on a busy machine.
    until(|| scand.scan(b"x") == "clean");
    scand.end();
}

fn workers_that_hang_before_their_uploads_are_killed_in_time() {
    let scand = Scand::start(&["-s", "2"]);
    let workers = scand.processes("scand worker");
    for worker in &workers {
        kill(*worker, libc::SIGSTOP);
        until(|| state(*worker) == Some('T'));
    }
    until(|| {
        // Each gets another receiver, unless the machine is busy for two seconds.
        let clients: Vec<_> = workers.iter().map(|_| scand.upload(b"x")).collect();
        for client in clients {
            let answer = finish(client);
            assert!([LATE, "clean"].contains(&&*answer), "{answer}");
        }
        workers.iter().all(|worker| state(*worker).is_none())
    });
    scand.is_quiet();
    until(|| scand.scan(b"x") == "clean");
    scand.end();
}

fn idle_processes_that_are_killed_are_started_anew() {
    let scand = Scand::start(&[]);
    for name in ["scand worker", "scand receiver"] {
        let old = scand.descendants();
        for process in scand.processes(name) {
            kill(process, libc::SIGKILL);
        }
        // One that dies can still take a client or an upload, and with it to the grave. The other
        // one of its pair ends too.
        until(|| have_ended(&old));
        assert_eq!(scand.scan(b"x"), "clean");
        scand.is_quiet();
        assert!(scand.descendants().iter().all(|process| !old.contains(process)));
    }
    scand.end();
}

fn a_receiver_that_is_killed_takes_its_client_with_it() {
    let scand = Scand::start(&["-u", "10000"]);
    let mut client = scand.begin(&pattern(500_000));
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
    let _uploading: Vec<_> = (0..8).map(|i| scand.begin(&pattern(i * 500_000))).collect();
    let (_, client) = scand.stop_a_worker_in_the_middle();
    let processes = scand.descendants();
    kill(scand.parent.id() as i32, libc::SIGKILL);
    assert_eq!(finish(client), "");
    scand.has_ended(None);
    // They may have another parent by now.
    until(|| have_ended(&processes));
}

fn what_has_begun_is_finished_before_the_end() {
    let mut scand = Scand::start(&["-u", "10000", "-s", "10000"]);
    let mut uploading = scand.begin(b"x");
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
    let _uploading = scand.begin(b"x");
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
        (["-u", "soon"], 2, "the times"),
        (["-s", "0"], 2, "the times"),
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
