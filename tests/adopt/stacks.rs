//! Tests that stacks are refused, and that memory beside a stack is not.

use std::ffi::c_void;
use std::os::fd::AsRawFd;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, Ordering::SeqCst};
use std::sync::mpsc;

use super::memory::*;
use crate::support::abi;
use crate::support::fd::pattern;
use crate::support::map::page_size;

const STACK: usize = 1 << 20;

/// Asserts that the page is refused as part of a stack.
fn is_refused(address: usize, what: &str) {
    let failure = refused(page_of(address));
    assert_eq!(failure.errno, libc::EOPNOTSUPP, "{what}: {failure:?}");
    assert!(failure.message.contains("the stack of th"), "{what}: {}", failure.message);
}

/// Returns an address close to the stack pointer of this thread.
fn here() -> usize {
    let local = 0u8;
    (&raw const local).addr()
}

pub fn the_stack_of_this_thread_is_eopnotsupp() {
    /// Runs some pages further down, so that the stack is also in use above the stack pointer.
    #[inline(never)]
    fn deeper(top: usize) {
        let frame = std::hint::black_box([0u8; 40_000]);
        for address in [
            top,
            (&raw const frame).addr() + 20_000,
            here(),
            here() - 2 * page_size(),
            top - STACK / 2,
        ] {
            is_refused(address, "this thread");
        }
        let range = page_of(top - STACK / 2).start..page_of(top).end;
        assert_eq!(refused(range).errno, libc::EOPNOTSUPP);
    }
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(|| deeper(here()));
    thread.expect("a thread").join().expect("refused");
}

/// Tests the stack of a thread that waits, whose stack pointer the kernel tells, and that of a
/// thread that runs.
pub fn the_stacks_of_other_threads_are_eopnotsupp() {
    let end = AtomicBool::new(false);
    let (own, told) = mpsc::channel();
    std::thread::scope(|scope| {
        for waits in [false, true] {
            let (own, end) = (own.clone(), &end);
            let thread =
                std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, move || {
                    own.send(here()).expect("the test waits");
                    while !end.load(SeqCst) {
                        if waits {
                            std::thread::park_timeout(std::time::Duration::from_millis(10))
                        } else {
                            std::hint::spin_loop()
                        }
                    }
                });
            thread.expect("a thread");
        }
        let stacks = [told.recv().expect("one"), told.recv().expect("another")];
        let checked = std::panic::catch_unwind(|| {
            for stack in stacks {
                for address in [stack, stack - page_size(), stack - STACK / 2] {
                    is_refused(address, "another thread");
                }
            }
        });
        end.store(true, SeqCst);
        checked.expect("refused");
    });
}

/// Uses a stack of the program's own, right below a buffer: the kernel makes one mapping of both.
pub fn a_buffer_beside_a_stack_is_adopted() {
    extern "C" fn run(context: *mut c_void) -> *mut c_void {
        // SAFETY: the test keeps it until the thread has ended.
        let [runs, end] = unsafe { &*context.cast::<[AtomicBool; 2]>() };
        runs.store(true, SeqCst);
        while !end.load(SeqCst) {
            std::hint::spin_loop();
        }
        null_mut()
    }
    let memory = Memory::new(STACK + 4 * page_size());
    let flags = [AtomicBool::new(false), AtomicBool::new(false)];
    // SAFETY: the attributes are initialised; the lower part of the memory is the thread's until it
    // has ended.
    let thread = unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        let mut thread = std::mem::zeroed();
        assert_eq!(libc::pthread_attr_init(&mut attributes), 0);
        assert_eq!(libc::pthread_attr_setstack(&mut attributes, memory.at.cast(), STACK), 0);
        let context = (&raw const flags).cast_mut().cast();
        assert_eq!(libc::pthread_create(&mut thread, &attributes, run, context), 0);
        libc::pthread_attr_destroy(&mut attributes);
        thread
    };
    let ([runs, end], stack) = (&flags, memory.address());
    while !runs.load(SeqCst) {
        std::thread::yield_now();
    }
    let checked = std::panic::catch_unwind(|| {
        assert_eq!(lines(page_of(stack)), lines(page_of(stack + STACK)), "one mapping");
        for address in [stack, stack + STACK / 2, stack + STACK - page_size()] {
            is_refused(address, "the stack");
        }
        for range in
            [stack + STACK - page_size()..stack + STACK + page_size(), stack..stack + memory.length]
        {
            assert_eq!(refused(range).errno, libc::EOPNOTSUPP);
        }
        let fd = adopt(stack + STACK, 4 * page_size()).expect("no stack");
        assert!(crate::support::fd::content(&fd) == pattern(memory.length)[STACK..]);
    });
    end.store(true, SeqCst);
    // SAFETY: the thread made above.
    assert_eq!(unsafe { libc::pthread_join(thread, null_mut()) }, 0);
    checked.expect("both parts are told apart");
}

/// The first thread's record is not part of its stack. It is in memory that the kernel may join
/// with the next mapping below. Here the test plays the C library, which tells the kernel the
/// address of the list in the record.
pub fn a_buffer_beside_the_first_threads_record_is_adopted() {
    let memory = Memory::pages(8);
    let record = memory.address() + 7 * page_size() + 512;
    let call = |number, arguments: [usize; 3]| {
        let [first, second, third] = arguments;
        // SAFETY: the kernel writes two words, and reads what it is told when the thread ends, by
        // when it is told better.
        assert_eq!(unsafe { libc::syscall(number, first, second, third) }, 0);
    };
    let (mut head, mut length) = (0usize, 0usize);
    call(libc::SYS_get_robust_list, [0, (&raw mut head).addr(), (&raw mut length).addr()]);
    call(libc::SYS_set_robust_list, [record, length, 0]);
    let checked = std::thread::spawn(move || {
        is_refused(record, "the record");
        let fd = memory.adopt_part(0..7 * page_size()).expect("no stack");
        assert!(crate::support::fd::content(&fd) == pattern(memory.length)[..7 * page_size()]);
    });
    let checked = checked.join();
    call(libc::SYS_set_robust_list, [head, length, 0]);
    checked.expect("the two are told apart");
}

/// Runs `body` on this stack, as coroutines do: in a signal handler.
fn run_on(stack: &Memory, signal: libc::c_int, body: extern "C" fn(libc::c_int)) {
    // SAFETY: valid structs; the stack is the test's, and is taken away again. The signal is this
    // test's only.
    unsafe {
        let alternate =
            libc::stack_t { ss_sp: stack.at.cast(), ss_flags: 0, ss_size: stack.length };
        let mut before: libc::stack_t = std::mem::zeroed();
        assert_eq!(libc::sigaltstack(&alternate, &mut before), 0);
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = body as *const () as usize;
        action.sa_flags = libc::SA_ONSTACK;
        assert_eq!(libc::sigaction(signal, &action, null_mut()), 0);
        libc::raise(signal);
        libc::signal(signal, libc::SIG_DFL);
        assert_eq!(libc::sigaltstack(&before, null_mut()), 0);
    }
}

pub fn a_stack_of_its_own_making_is_seen_by_the_thread_on_it() {
    static STACK: AtomicPtr<u8> = AtomicPtr::new(null_mut());
    static ANSWER: AtomicI32 = AtomicI32::new(0);
    const PAGES: usize = 64;
    extern "C" fn ask(_: libc::c_int) {
        // SAFETY: to be refused. The handler runs where the signal is raised, so it may do what it
        // likes.
        let fd = unsafe {
            (abi::load().adopt)(STACK.load(SeqCst).cast(), PAGES * page_size(), 0, null_mut())
        };
        ANSWER.store(fd, SeqCst);
    }
    let stack = Memory::untouched(PAGES * page_size());
    STACK.store(stack.at, SeqCst);
    run_on(&stack, libc::SIGUSR1, ask);
    assert_eq!(ANSWER.load(SeqCst), -libc::EOPNOTSUPP);
    stack.adopt().expect("nobody's stack any more");
}

/// Tests the same with another thread, which waits for the test.
pub fn a_stack_of_its_own_making_is_seen_while_its_thread_waits() {
    static WAITS_FOR: AtomicI32 = AtomicI32::new(-1);
    static STARTED: AtomicBool = AtomicBool::new(false);
    extern "C" fn wait(_: libc::c_int) {
        let mut byte = 0u8;
        STARTED.store(true, SeqCst);
        // SAFETY: async-signal-safe; the descriptor is the test's. At its end there is nothing to
        // read.
        while unsafe { libc::read(WAITS_FOR.load(SeqCst), (&raw mut byte).cast(), 1) } < 0 {}
    }
    let (reader, end) = std::io::pipe().expect("a pipe");
    WAITS_FOR.store(reader.as_raw_fd(), SeqCst);
    let stack = Memory::untouched(64 * page_size());
    std::thread::scope(|scope| {
        let (stack_ref, (started, id)) = (&stack, mpsc::channel());
        scope.spawn(move || {
            // SAFETY: no preconditions.
            started.send(unsafe { libc::gettid() }).expect("the test waits");
            run_on(stack_ref, libc::SIGUSR2, wait);
        });
        let id = id.recv().expect("a thread");
        while !STARTED.load(SeqCst) || !waits(id) {
            std::thread::yield_now();
        }
        let checked = std::panic::catch_unwind(|| {
            let failure = refused(stack.address()..stack.address() + stack.length);
            assert_eq!(failure.errno, libc::EOPNOTSUPP, "{failure:?}");
            assert!(
                failure.message.contains(&format!("the stack of thread {id}")),
                "{}",
                failure.message
            );
        });
        drop(end);
        checked.expect("refused");
    });
    // Nobody's stack any more.
    stack.adopt().expect("adopted");
    drop(reader);
}

fn waits(thread: libc::pid_t) -> bool {
    let state = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat"))
        .expect("a thread of ours");
    state.rsplit(") ").next().expect("a state").starts_with('S')
}
