//! Runs one call in a child process, which prepares it, makes it, looks at it and cleans up.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::{c_int, c_long};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering::SeqCst};

use crate::support::fd::Failure;
use crate::support::leaks;

/// The system call by which a child tells its parent something. The library never makes it. The
/// parent sees the second number.
pub const SAYS: c_long = libc::SYS_getpgid;
/// The call has returned.
pub const END: u64 = 0x7ead_be00;
/// The following system calls are the scenario's own, within the call.
pub const ASIDE: u64 = 0x7ead_be01;
pub const BACK: u64 = 0x7ead_be02;

/// The results of a child, in memory that its parent sees.
pub struct Told {
    /// 0: nothing yet; 1: success; 2: an error; 3: the scenario cannot be played on this host.
    outcome: AtomicI32,
    errno: AtomicI32,
    /// Bytes of anonymous memory that are mapped at the end.
    memory: AtomicU64,
    /// The number of signals in a storm.
    signals: AtomicU64,
    length: AtomicUsize,
    text: [std::cell::UnsafeCell<u8>; 3000],
}

// SAFETY: the child writes the text, and the parent reads it after the child's end.
unsafe impl Sync for Told {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Nothing,
    Success,
    Error(c_int),
    Skipped,
}

impl Told {
    /// Makes the one for this process and its children, which is never freed.
    pub fn new() -> &'static Told {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping of zeros, which are a valid Told.
        unsafe {
            let at = libc::mmap(
                null_mut(),
                size_of::<Told>(),
                libc::PROT_READ | libc::PROT_WRITE,
                flags,
                -1,
                0,
            );
            assert_ne!(at, libc::MAP_FAILED);
            &*at.cast::<Told>()
        }
    }

    pub fn clear(&self) {
        self.outcome.store(0, SeqCst);
        self.memory.store(0, SeqCst);
        self.signals.store(0, SeqCst);
        self.length.store(0, SeqCst);
    }

    /// Adds a line.
    pub fn say(&self, text: &str) {
        let before = self.length.load(SeqCst);
        let room = self.text.len() - before;
        for (place, byte) in self.text[before..].iter().zip(text.bytes().chain([b'\n'])) {
            // SAFETY: only this process writes, and nobody reads meanwhile.
            unsafe { *place.get() = byte };
        }
        self.length.store(before + room.min(text.len() + 1), SeqCst);
    }

    pub fn text(&self) -> String {
        // SAFETY: nobody writes meanwhile.
        let bytes = self.text[..self.length.load(SeqCst)].iter().map(|byte| unsafe { *byte.get() });
        String::from_utf8_lossy(&bytes.collect::<Vec<_>>()).trim().into()
    }

    pub fn outcome(&self) -> Outcome {
        match self.outcome.load(SeqCst) {
            0 => Outcome::Nothing,
            1 => Outcome::Success,
            2 => Outcome::Error(self.errno.load(SeqCst)),
            _ => Outcome::Skipped,
        }
    }

    pub fn signals(&self) -> u64 {
        self.signals.load(SeqCst)
    }

    pub fn memory(&self) -> u64 {
        self.memory.load(SeqCst)
    }
}

/// The way in which the call is made.
#[derive(Clone, Copy)]
pub enum Manner {
    /// The call must work.
    Plain,
    /// The parent looks at each of its system calls, and may change what they answer.
    Traced,
    /// A handler for SIGALRM runs again and again: microseconds between, flags of sigaction(2).
    Storm(i64, c_int),
}

pub struct Stage {
    told: &'static Told,
    manner: Cell<Manner>,
    /// Whether the call may say EINTR in a storm.
    pub may_be_interrupted: Cell<bool>,
}

impl Stage {
    pub fn new(told: &'static Told) -> Stage {
        Stage { told, manner: Cell::new(Manner::Plain), may_be_interrupted: Cell::new(false) }
    }

    pub fn set(&self, manner: Manner) {
        self.manner.set(manner);
    }

    /// Makes the call that the scenario is about. Returns `None` if it failed; the scenario then
    /// checks what must hold.
    pub fn call<R>(&self, call: impl FnOnce() -> Result<R, Failure>) -> Option<R> {
        match self.manner.get() {
            Manner::Plain => {
                Some(call().unwrap_or_else(|failure| panic!("without any fault: {failure:?}")))
            }
            Manner::Traced => {
                // SAFETY: touches no memory. The parent lets it go on.
                unsafe {
                    if libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) == -1 {
                        self.skip("no process may trace another here");
                    }
                    libc::kill(libc::getpid(), libc::SIGSTOP);
                }
                let result = call();
                say(END);
                self.note(result)
            }
            Manner::Storm(interval, flags) => {
                alarms(interval, flags);
                let result = call();
                alarms(0, flags);
                if let Err(failure) = &result {
                    let is_allowed = self.may_be_interrupted.get() && failure.errno == libc::EINTR;
                    assert!(is_allowed, "in a storm of signals: {failure:?}");
                }
                result.ok()
            }
        }
    }

    /// Runs `body` in a callback within the call. Nothing that happens there is the library's.
    pub fn aside<R>(&self, body: impl FnOnce() -> R) -> R {
        let is_traced = matches!(self.manner.get(), Manner::Traced);
        if is_traced {
            say(ASIDE);
        }
        let result = body();
        if is_traced {
            say(BACK);
        }
        result
    }

    fn note<R>(&self, result: Result<R, Failure>) -> Option<R> {
        match result {
            Ok(value) => {
                self.told.outcome.store(1, SeqCst);
                Some(value)
            }
            Err(failure) => {
                self.told.outcome.store(2, SeqCst);
                self.told.errno.store(failure.errno, SeqCst);
                self.told.say(&format!("{}: {}", failure.op, failure.message));
                None
            }
        }
    }

    /// Skips a scenario that needs what this host does not have.
    pub fn skip(&self, reason: &str) -> ! {
        self.told.outcome.store(3, SeqCst);
        self.told.say(reason);
        // SAFETY: ends the child.
        unsafe { libc::_exit(0) }
    }
}

fn say(number: u64) {
    // SAFETY: touches no memory, and finds no such process.
    unsafe { libc::syscall(SAYS, number) };
}

/// The number of signals that have come.
static SIGNALS: AtomicU64 = AtomicU64::new(0);

fn alarms(interval: i64, flags: c_int) {
    extern "C" fn count(_: c_int) {
        SIGNALS.fetch_add(1, SeqCst);
    }
    let time = libc::timeval { tv_sec: 0, tv_usec: interval };
    let timer = libc::itimerval {
        it_interval: time,
        it_value: libc::timeval { tv_usec: interval.min(30), ..time },
    };
    // SAFETY: all-zero is a valid struct, and the handler only counts.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = count as *const () as usize;
        action.sa_flags = flags;
        assert_eq!(libc::sigaction(libc::SIGALRM, &action, null_mut()), 0);
        assert_eq!(libc::setitimer(libc::ITIMER_REAL, &timer, null_mut()), 0);
    }
}

/// The folders in which names are made.
pub const FOLDERS: [&str; 3] = ["/dev/shm", "/tmp", "/var/tmp"];

/// Removes what a child has left, so that the next child starts with the same state.
pub fn clean() {
    for entry in FOLDERS
        .into_iter()
        .flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten())
    {
        let path = entry.path();
        let _ = std::fs::remove_dir_all(&path).or_else(|_| std::fs::remove_file(&path));
    }
    let list = std::fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    let numbers =
        list.lines().skip(1).filter_map(|line| line.split_ascii_whitespace().nth(1)?.parse().ok());
    for number in numbers {
        // SAFETY: touches no memory; the table is that of these tests.
        unsafe { libc::shmctl(number, libc::IPC_RMID, null_mut()) };
    }
}

/// Returns what this process holds: descriptors, mapped files, names of files, segments, blocked
/// signals.
pub fn held() -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let names = FOLDERS.into_iter().flat_map(|folder| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| format!("name {}", entry.path().display())).collect::<Vec<_>>()
    });
    let segments = (0..segments()).map(|_| "a System V segment".to_string());
    for thing in leaks::descriptors()
        .chain(leaks::mappings())
        .chain(names)
        .chain(segments)
        .chain([blocked()])
    {
        *counts.entry(thing).or_default() += 1;
    }
    counts
}

fn segments() -> usize {
    // Linux's own, shmctl(2); the member that counts them is the first.
    const SHM_INFO: c_int = 14;
    let mut info = [0u64; 16];
    // SAFETY: more room than a struct shm_info.
    assert!(unsafe { libc::shmctl(0, SHM_INFO, info.as_mut_ptr().cast()) } >= 0);
    info[0] as u32 as usize
}

fn blocked() -> String {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    status.lines().find(|line| line.starts_with("SigBlk")).expect("a mask").to_string()
}

/// Returns the bytes of address space without a file, except the heap and the stack.
pub fn anonymous_memory() -> u64 {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("/proc is mounted");
    let lines = maps.lines().filter(|line| {
        !line.contains('/') && !line.contains("[heap]") && !line.contains("[stack]")
    });
    let sizes = lines.map(|line| {
        let (start, end) =
            line.split_once(' ').and_then(|(range, _)| range.split_once('-')).expect("a range");
        let address = |text| u64::from_str_radix(text, 16).expect("an address");
        address(end) - address(start)
    });
    sizes.sum()
}

/// Says what there is now that was not there before, and whether children are left.
pub fn compare(before: &BTreeMap<String, usize>, told: &Told) {
    let after = held();
    let mut differences = Vec::new();
    for (thing, count) in &after {
        let was = before.get(thing).copied().unwrap_or(0);
        if *count > was {
            differences.push(format!("{thing}: {was} before, {count} after"));
        }
    }
    for (thing, was) in before.iter().filter(|(thing, _)| !after.contains_key(*thing)) {
        differences.push(format!("{thing}: {was} before, none after"));
    }
    // SAFETY: NULL is allowed for the status.
    if unsafe { libc::waitpid(-1, null_mut(), libc::WNOHANG) } != -1 {
        differences.push("a child".into());
    }
    told.memory.store(anonymous_memory(), SeqCst);
    told.signals.store(SIGNALS.load(SeqCst), SeqCst);
    assert!(differences.is_empty(), "left behind: {}", differences.join("; "));
}
