//! Follows a child through one call, and changes what the kernel answers to one of its system
//! calls.

use std::ffi::{c_int, c_void};
use std::fmt::{Display, Formatter};
use std::ptr::without_provenance_mut;

use super::manual::{self, Named, Page, Short};
use super::stage::{ASIDE, BACK, END, SAYS};
use crate::faults::traced::{Call, Stop, look, request, wait};

/// More stops than any call here makes. A call with more repeats the same system call without end.
const ENDLESS: usize = 10_000;

/// Selects some of the calls that a page is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// This one, counted from 1.
    Only(usize),
    /// The first three.
    FirstThree,
    /// All.
    Every,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Errno(Named),
    /// The call is asked for one byte.
    OneByte,
    /// The call is asked for half of its bytes.
    Half,
}

#[derive(Clone, Copy)]
pub struct Fault {
    pub page: &'static Page,
    pub which: Which,
    pub answer: Answer,
}

impl Display for Fault {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let name = self.page.name;
        match self.which {
            Which::Only(number) => write!(f, "{name} #{number} ")?,
            Which::FirstThree => write!(f, "{name} #1-3 ")?,
            Which::Every => write!(f, "every {name} ")?,
        }
        match self.answer {
            Answer::Errno((errno, _)) => f.write_str(errno),
            Answer::OneByte => f.write_str("does one byte"),
            Answer::Half => f.write_str("does half"),
        }
    }
}

impl Fault {
    fn is_meant(&self, page: &Page, number: usize) -> bool {
        let is_it = match self.which {
            Which::Only(only) => only == number,
            Which::FirstThree => number <= 3,
            Which::Every => true,
        };
        is_it && std::ptr::eq(self.page, page)
    }
}

/// A system call that the child made.
pub struct Made {
    pub page: &'static Page,
    /// Bytes that the call was asked to move, if it may move fewer.
    pub bytes: u64,
}

#[derive(Default)]
pub struct Followed {
    pub calls: Vec<Made>,
    /// How often the fault was played.
    pub hits: usize,
    /// The status from waitpid(2).
    pub status: c_int,
    /// The reason why the call cannot be judged.
    pub problem: Option<String>,
}

/// A change to make after the kernel has answered.
struct Change {
    registers: Registers,
    answer: Option<c_int>,
    /// The address of a length in the child's memory, and the old value.
    poked: Option<(u64, u64)>,
}

/// Follows a child that has stopped itself, to its end.
pub fn follow(child: c_int, fault: Option<&Fault>) -> Followed {
    let mut followed = Followed { status: wait(child), ..Followed::default() };
    if !libc::WIFSTOPPED(followed.status) {
        return followed;
    }
    // If this process ends early, the child does too.
    request(
        libc::PTRACE_SETOPTIONS,
        child,
        0,
        (libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL) as usize,
    );
    let (mut asked, mut change, mut signal, mut is_aside) = (None, None::<Change>, 0, false);
    for _ in 0..ENDLESS {
        request(libc::PTRACE_SYSCALL, child, 0, signal as usize);
        followed.status = wait(child);
        if !libc::WIFSTOPPED(followed.status) {
            return followed;
        }
        signal = libc::WSTOPSIG(followed.status);
        if signal != libc::SIGTRAP | 0x80 {
            continue;
        }
        signal = 0;
        match look(child, asked) {
            Stop::Before(call) => {
                asked = Some(call);
                match call.arguments[0] {
                    END if call.number == SAYS => {
                        request(libc::PTRACE_DETACH, child, 0, 0);
                        followed.status = wait(child);
                        return followed;
                    }
                    ASIDE if call.number == SAYS => is_aside = true,
                    BACK if call.number == SAYS => is_aside = false,
                    _ if is_aside => {}
                    _ => change = before(child, call, fault, &mut followed),
                }
            }
            Stop::After(..) => {
                if let Some(change) = change.take() {
                    change.finish(child);
                }
            }
        }
    }
    // SAFETY: a child of ours.
    unsafe { libc::kill(child, libc::SIGKILL) };
    followed.status = wait(child);
    followed.problem = Some("the call does not end".into());
    followed
}

fn before(
    child: c_int,
    call: Call,
    fault: Option<&Fault>,
    followed: &mut Followed,
) -> Option<Change> {
    let Some(page) = manual::page(call.number, manual::command(call.number, &call.arguments))
    else {
        let Call { number, arguments } = call;
        followed.problem =
            Some(format!("system call {number} ({arguments:x?}) has no page in manual.rs"));
        return None;
    };
    let length = length(child, page, &call);
    let bytes = match length {
        Length::None => 0,
        Length::Argument(index) => call.arguments[index],
        Length::Memory { at, .. } => peek(child, at),
    };
    followed.calls.push(Made { page, bytes });
    let number = followed.calls.iter().filter(|made| std::ptr::eq(made.page, page)).count();
    let fault = fault.filter(|fault| fault.is_meant(page, number))?;
    let registers = Registers::of(child);
    let less = match fault.answer {
        Answer::Errno((_, errno)) => {
            followed.hits += 1;
            // The descriptor is gone, whatever close(2) reports.
            if call.number != libc::SYS_close {
                registers.forget_call(child);
            }
            return Some(Change { registers, answer: Some(errno), poked: None });
        }
        Answer::OneByte => 1,
        Answer::Half => bytes / 2,
    };
    if bytes <= less || less == 0 {
        return None;
    }
    followed.hits += 1;
    let mut poked = None;
    match length {
        Length::None => return None,
        Length::Argument(index) => registers.with_argument(index, less).set(child),
        Length::Memory { at, count } => {
            // Otherwise the segments after it would still be moved.
            if let Some((index, count)) = count {
                registers.with_argument(index, count).set(child);
            }
            poke(child, at, less);
            poked = Some((at, bytes));
        }
    }
    Some(Change { registers, answer: None, poked })
}

impl Change {
    /// Restores the arguments, for code that still has them in its registers.
    fn finish(self, child: c_int) {
        let after = Registers::of(child);
        let answer = self.answer.map_or(after.answer(), |errno| -i64::from(errno));
        self.registers.with_answer(answer).set(child);
        if let Some((at, bytes)) = self.poked {
            poke(child, at, bytes);
        }
    }
}

/// The place where a call says how many bytes it moves.
enum Length {
    None,
    Argument(usize),
    /// The length of the first segment that has any bytes. `count` is the argument with the number
    /// of segments, and the number up to that segment.
    Memory {
        at: u64,
        count: Option<(usize, u64)>,
    },
}

fn length(child: c_int, page: &Page, call: &Call) -> Length {
    const WORD: u64 = 8;
    let first_of = |segments: u64, count: u64, argument: Option<usize>| {
        let length = |index: u64| segments + index * 2 * WORD + WORD;
        let Some(index) = (0..count).find(|index| peek(child, length(*index)) > 0) else {
            return Length::None;
        };
        Length::Memory { at: length(index), count: argument.map(|argument| (argument, index + 1)) }
    };
    match page.short {
        Short::Never => Length::None,
        Short::Count(index) => Length::Argument(index),
        Short::Segments(index) => {
            first_of(call.arguments[index], call.arguments[index + 1], Some(index + 1))
        }
        Short::Message(index) => {
            let header = call.arguments[index];
            first_of(peek(child, header + 2 * WORD), peek(child, header + 3 * WORD), None)
        }
    }
}

fn peek(child: c_int, at: u64) -> u64 {
    let mut word = 0u64;
    let here = libc::iovec { iov_base: (&raw mut word).cast(), iov_len: 8 };
    let there = libc::iovec { iov_base: without_provenance_mut(at as usize), iov_len: 8 };
    assert_eq!(
        // SAFETY: a writable word; what is in the child is for the kernel to find.
        unsafe { libc::process_vm_readv(child, &here, 1, &there, 1, 0) },
        8,
        "word at {at:#x}"
    );
    word
}

fn poke(child: c_int, at: u64, mut word: u64) {
    let here = libc::iovec { iov_base: (&raw mut word).cast(), iov_len: 8 };
    let there = libc::iovec { iov_base: without_provenance_mut(at as usize), iov_len: 8 };
    assert_eq!(
        // SAFETY: a readable word; the child is stopped, and has its own back before it goes on.
        unsafe { libc::process_vm_writev(child, &here, 1, &there, 1, 0) },
        8,
        "word at {at:#x}"
    );
}

/// The registers of the child.
#[derive(Clone, Copy)]
struct Registers(libc::user_regs_struct);

impl Registers {
    fn of(child: c_int) -> Registers {
        // SAFETY: all-zero is a valid struct.
        let mut registers = Registers(unsafe { std::mem::zeroed() });
        transfer(libc::PTRACE_GETREGSET, child, libc::NT_PRSTATUS, &mut registers.0);
        registers
    }

    fn set(mut self, child: c_int) {
        transfer(libc::PTRACE_SETREGSET, child, libc::NT_PRSTATUS, &mut self.0);
    }
}

fn transfer<T>(direction: libc::c_uint, child: c_int, what: c_int, registers: &mut T) {
    let mut part = libc::iovec { iov_base: (&raw mut *registers).cast(), iov_len: size_of::<T>() };
    let what = without_provenance_mut::<c_void>(what as usize);
    // SAFETY: as many bytes as the struct has are read or written.
    let status = unsafe { libc::ptrace(direction, child, what, &raw mut part) };
    assert_eq!(status, 0, "registers: {}", std::io::Error::last_os_error());
}

#[cfg(target_arch = "x86_64")]
impl Registers {
    /// Makes the kernel do nothing, whatever it was asked.
    fn forget_call(mut self, child: c_int) {
        self.0.orig_rax = u64::MAX;
        self.set(child);
    }

    fn answer(&self) -> i64 {
        self.0.rax as i64
    }

    fn with_answer(mut self, answer: i64) -> Registers {
        self.0.rax = answer as u64;
        self
    }

    fn with_argument(mut self, index: usize, value: u64) -> Registers {
        let Registers(all) = &mut self;
        *[&mut all.rdi, &mut all.rsi, &mut all.rdx, &mut all.r10, &mut all.r8, &mut all.r9]
            [index] = value;
        self
    }
}

#[cfg(target_arch = "aarch64")]
impl Registers {
    /// Does the same. The number is in a register set of its own, NT_ARM_SYSTEM_CALL.
    fn forget_call(self, child: c_int) {
        transfer(libc::PTRACE_SETREGSET, child, 0x404, &mut -1);
    }

    fn answer(&self) -> i64 {
        self.0.regs[0] as i64
    }

    fn with_answer(mut self, answer: i64) -> Registers {
        self.0.regs[0] = answer as u64;
        self
    }

    fn with_argument(mut self, index: usize, value: u64) -> Registers {
        self.0.regs[index] = value;
        self
    }
}
