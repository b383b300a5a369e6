//! Runs all combinations of a scenario with the possible answers to its system calls, each in a
//! process of its own.

use std::collections::BTreeMap;
use std::ffi::c_int;

use super::exceptions;
use super::scenarios::Scenario;
use super::stage::{self, Manner, Outcome, Stage, Told};
use super::tracer::{Answer, Fault, Followed, Which, follow};
use crate::kernels::guest;
use crate::pool::leave;
use crate::support::map::page_size;

/// Whether the function has been called in this process before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Cold,
    Warm,
}

/// The results of the combinations of one scenario.
#[derive(Default)]
pub struct Tally {
    pub tried: usize,
    /// The number of faults that the call reported to its caller.
    pub told: usize,
    /// The number of faults in spite of which the call worked.
    pub overcome: usize,
    /// The exceptions that occurred, by number.
    pub exceptions: Vec<usize>,
    pub failures: Vec<String>,
    pub skipped: Option<String>,
}

/// The state that each process starts with.
pub struct Ground {
    pub told: &'static Told,
    before: BTreeMap<String, usize>,
    /// Whether all combinations are tried, and not only the first and last of each.
    pub is_full: bool,
}

impl Ground {
    pub fn new(is_full: bool) -> Ground {
        let told = Told::new();
        std::panic::set_hook(Box::new(move |panic| told.say(&panic.to_string())));
        Ground { told, before: stage::held(), is_full }
    }

    pub fn tally(&self, scenario: &Scenario) -> Tally {
        let mut tally = Tally::default();
        for start in [Start::Cold, Start::Warm] {
            self.tally_from(scenario, start, &mut tally);
        }
        tally
    }

    fn tally_from(&self, scenario: &Scenario, start: Start, tally: &mut Tally) {
        let plain = self.play(scenario, start, None);
        match self.told.outcome() {
            Outcome::Skipped => return tally.skipped = Some(self.told.text()),
            Outcome::Success if plain.status == 0 && plain.problem.is_none() => {}
            other => {
                let problem = plain.problem.unwrap_or_default();
                let text = self.told.text();
                return tally.failures.push(format!(
                    "{}, {start:?}, no fault: {other:?}, status {:#x} {problem} {text}",
                    scenario.name, plain.status
                ));
            }
        }
        let memory = self.told.memory();
        for fault in self.faults(&plain, start) {
            let followed = self.play(scenario, start, Some(&fault));
            // The system calls can depend on chance.
            if followed.hits == 0 {
                continue;
            }
            tally.tried += 1;
            let Err(problem) = self.judge(scenario, &fault, &followed, memory) else {
                match self.told.outcome() {
                    Outcome::Success => tally.overcome += 1,
                    _ => tally.told += 1,
                }
                continue;
            };
            stage::clean();
            match exceptions::find(scenario.name, &fault, &problem) {
                Some(number) => tally.exceptions.push(number),
                None => {
                    tally.failures.push(format!("{}, {start:?}, {fault}: {problem}", scenario.name))
                }
            }
        }
    }

    /// Runs a scenario to its end.
    fn play(&self, scenario: &Scenario, start: Start, fault: Option<&Fault>) -> Followed {
        self.told.clear();
        // SAFETY: this process has one thread, so the child may do what it likes.
        match unsafe { libc::fork() } {
            -1 => panic!("fork: {}", std::io::Error::last_os_error()),
            0 => leave(|| {
                let stage = Stage::new(self.told);
                if start == Start::Warm {
                    (scenario.run)(&stage);
                }
                stage.set(Manner::Traced);
                (scenario.run)(&stage);
                // Whatever went wrong, the next call works.
                stage.set(Manner::Plain);
                (scenario.run)(&stage);
                stage::compare(&self.before, self.told);
            }),
            child => follow(child, fault),
        }
    }

    fn judge(
        &self,
        scenario: &Scenario,
        fault: &Fault,
        followed: &Followed,
        memory: u64,
    ) -> Result<(), String> {
        let (text, outcome) = (self.told.text(), self.told.outcome());
        if let Some(problem) = &followed.problem {
            return Err(problem.clone());
        }
        if libc::WIFSIGNALED(followed.status) {
            return Err(format!("killed by signal {} {text}", libc::WTERMSIG(followed.status)));
        }
        if followed.status != 0 {
            return Err(text);
        }
        match (outcome, fault.answer) {
            (Outcome::Success, _) => {}
            (Outcome::Error(errno), Answer::Errno((_, injected))) if errno == injected => {
                if injected == libc::EINTR && !scenario.name.contains("interruptible") {
                    return Err(format!("a signal ends it: {text}"));
                }
                check_message(errno, &text)?;
            }
            (Outcome::Error(errno), _) => return Err(format!("errno {errno}: {text}")),
            (other, _) => return Err(format!("{other:?} {text}")),
        }
        // Features that a process detects once take a page, and the fault may be the reason for the
        // detection.
        let more = self.told.memory().saturating_sub(memory);
        if more > page_size() as u64 {
            Err(format!("left behind: {more} bytes of address space"))
        } else {
            Ok(())
        }
    }

    /// Returns all faults, or the most telling ones, for the system calls that a call has made.
    fn faults(&self, plain: &Followed, start: Start) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (at, made) in plain.calls.iter().enumerate() {
            let page = made.page;
            let is_it = |other: &&super::tracer::Made| std::ptr::eq(other.page, page);
            if plain.calls[..at].iter().any(|other| is_it(&other)) {
                continue;
            }
            let count = plain.calls.iter().filter(is_it).count();
            for (index, errno) in page.errnos.iter().enumerate() {
                let fault = Fault { page, which: Which::Only(1), answer: Answer::Errno(*errno) };
                // These errors pass when the call is made again after a wait.
                let is_held = page.number == libc::SYS_fcntl
                    && [libc::EBUSY, libc::EACCES].contains(&errno.1);
                let is_passing = is_held
                    || [libc::EINTR, libc::EAGAIN, libc::EEXIST, libc::ETIMEDOUT]
                        .contains(&errno.1);
                let many = if is_passing { Which::FirstThree } else { Which::Every };
                let all =
                    [Which::Only(1), Which::Only(2), Which::Only(3), Which::Only(count), many];
                // Every errno at the first call of a process; every fourth where that has been
                // seen, each another one.
                let is_fourth = (index + count + faults.len()) % 4 == 0;
                match (self.is_full, start) {
                    (true, _) => add(&mut faults, fault, &all, count),
                    (_, Start::Cold) if is_fourth => {
                        add(&mut faults, fault, &[Which::Only(1), Which::Only(count)], count)
                    }
                    (_, Start::Warm) if is_fourth => {
                        add(&mut faults, fault, &[Which::Only(count)], count)
                    }
                    // An emulated machine takes many times as long.
                    (_, Start::Cold) if guest::release().is_none() => {
                        add(&mut faults, fault, &[Which::Only(1)], count)
                    }
                    _ => {}
                }
            }
            if plain.calls.iter().filter(is_it).any(|made| made.bytes > 1) {
                for answer in [Answer::OneByte, Answer::Half] {
                    let all =
                        [Which::Only(1), Which::Only(2), Which::Only(count), Which::FirstThree];
                    add(&mut faults, Fault { page, which: all[0], answer }, &all, count);
                }
            }
        }
        faults
    }

    /// Runs the scenario in a storm of signals, at every interval, with system calls restarted and
    /// not. Returns the number of signals.
    pub fn storm(&self, scenario: &Scenario, rounds: usize) -> Result<u64, String> {
        let mut signals = 0;
        for interval in [50, 100, 300, 1000] {
            for flags in [0, libc::SA_RESTART] {
                self.told.clear();
                // SAFETY: this process has one thread, so the child may do what it likes.
                let child = match unsafe { libc::fork() } {
                    -1 => panic!("fork: {}", std::io::Error::last_os_error()),
                    0 => leave(|| {
                        let stage = Stage::new(self.told);
                        stage.set(Manner::Storm(interval, flags));
                        (0..rounds).for_each(|_| (scenario.run)(&stage));
                        stage::compare(&self.before, self.told);
                    }),
                    child => child,
                };
                let status = crate::faults::traced::wait(child);
                if self.told.outcome() == Outcome::Skipped {
                    return Ok(0);
                }
                signals += self.told.signals();
                if status != 0 {
                    let text = self.told.text();
                    return Err(format!(
                        "{}, a signal every {interval} us, flags {flags:#x}: status {status:#x} \
                         {text}",
                        scenario.name
                    ));
                }
            }
        }
        Ok(signals)
    }
}

fn add(faults: &mut Vec<Fault>, fault: Fault, which: &[Which], count: usize) {
    let mut seen: Vec<Which> = Vec::new();
    for which in which {
        let is_there = match which {
            Which::Only(number) => *number <= count,
            Which::FirstThree | Which::Every => {
                count > 1 || matches!(fault.answer, Answer::Errno(_))
            }
        };
        if is_there && !seen.contains(which) {
            seen.push(*which);
            faults.push(Fault { which: *which, ..fault });
        }
    }
}

/// Checks a message, while /proc is mounted. If it ends with the text of an errno, the errno must
/// be the right one.
fn check_message(errno: c_int, text: &str) -> Result<(), String> {
    if text.contains("mounted") {
        return Err(format!("the message names a reason that is none: {text}"));
    }
    let words = |errno: c_int| {
        let text = std::io::Error::from_raw_os_error(errno).to_string();
        text.split(" (os error").next().expect("a first part").to_string()
    };
    let end = text.rsplit(": ").next().expect("a last part");
    match (1..134).find(|other| end == words(*other)) {
        Some(other) if other != errno => {
            Err(format!("the message has the words for errno {other}: {text}"))
        }
        _ => Ok(()),
    }
}
