//! Counts the system calls of one call with ptrace(2), so that a slowdown is noticed.

use std::ffi::{c_int, c_long, c_void};
use std::os::fd::AsRawFd;
use std::ptr::{null, null_mut};

use crate::fill::kernel_collapses;
use crate::pool::sources::tells_anonymous_memory;
use crate::pool::{Pool, leave, shows_each_change};
use crate::support::abi::{self, *};
use crate::support::hosts::has_memfd;
use crate::tests;

tests![;
    alone:
    wrapping_stays_within_its_budget,
    scanning_stays_within_its_budget,
    scanning_with_a_pool_stays_within_its_budget,
    trusted_scans_stay_within_their_budget,
    large_files_cost_a_few_calls_for_each_huge_page,
    messages_stay_within_their_budget,
    copies_out_of_and_into_maps_stay_within_their_budget,
    a_file_that_cannot_be_mapped_is_tried_once,
];

/// Marks the beginning and the end of what is counted.
const MARK: c_long = libc::SYS_getppid;

/// Returns the system calls of `call`, in a child that has run it often enough to finish all probes
/// of the kernel. `prepare` runs in the child first.
fn calls<T>(prepare: impl FnOnce() -> T, call: impl Fn(&T)) -> Vec<c_long> {
    // SAFETY: this process has one thread, so the child may do what it likes; it leaves by _exit.
    let child = unsafe { libc::fork() };
    if child == 0 {
        leave(|| {
            let prepared = prepare();
            (0..5).for_each(|_| call(&prepared));
            // SAFETY: no pointers are given.
            unsafe {
                assert_eq!(libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0), 0);
                libc::raise(libc::SIGSTOP);
                libc::syscall(MARK);
                call(&prepared);
                libc::syscall(MARK);
            }
        });
    }
    assert!(child > 0);
    let (mut marks, mut seen) = (0, Vec::new());
    loop {
        let mut status = 0;
        // SAFETY: a child of ours; all-zero is valid for the struct that the kernel fills.
        unsafe {
            assert_eq!(libc::waitpid(child, &mut status, 0), child);
            if !libc::WIFSTOPPED(status) {
                break;
            }
            if libc::WSTOPSIG(status) == libc::SIGSTOP {
                let option = libc::PTRACE_O_TRACESYSGOOD as c_long;
                assert_eq!(libc::ptrace(libc::PTRACE_SETOPTIONS, child, 0, option), 0);
            } else {
                assert_eq!(libc::WSTOPSIG(status), libc::SIGTRAP | 0x80, "a signal");
                let mut info: libc::ptrace_syscall_info = std::mem::zeroed();
                let size = size_of_val(&info);
                assert!(
                    libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, child, size, &raw mut info) > 0
                );
                if info.op == libc::PTRACE_SYSCALL_INFO_ENTRY {
                    match info.u.entry.nr as c_long {
                        MARK => marks += 1,
                        _ if is_check_of_a_debug_build(&info.u.entry) => {}
                        number if marks == 1 => seen.push(number),
                        _ => {}
                    }
                }
            }
            assert_eq!(libc::ptrace(libc::PTRACE_SYSCALL, child, 0, 0), 0);
        }
    }
    assert_eq!(marks, 2, "the child came to its end");
    seen
}

/// Rust's standard library asks for the flags of each descriptor that it closes, in builds for
/// debugging.
fn is_check_of_a_debug_build(call: &libc::__c_anonymous_ptrace_syscall_info_entry) -> bool {
    cfg!(debug_assertions)
        && call.nr as c_long == libc::SYS_fcntl
        && call.args[1] == libc::F_GETFD as u64
}

fn name(number: c_long) -> String {
    const NAMES: &[(c_long, &str)] = &[
        (libc::SYS_memfd_create, "memfd_create"),
        (libc::SYS_openat, "openat"),
        (libc::SYS_close, "close"),
        (libc::SYS_fstat, "fstat"),
        (libc::SYS_newfstatat, "newfstatat"),
        (libc::SYS_statx, "statx"),
        (libc::SYS_fcntl, "fcntl"),
        (libc::SYS_fchmod, "fchmod"),
        (libc::SYS_ftruncate, "ftruncate"),
        (libc::SYS_fallocate, "fallocate"),
        (libc::SYS_lseek, "lseek"),
        (libc::SYS_read, "read"),
        (libc::SYS_write, "write"),
        (libc::SYS_pread64, "pread64"),
        (libc::SYS_pwrite64, "pwrite64"),
        (libc::SYS_pwritev, "pwritev"),
        (libc::SYS_mmap, "mmap"),
        (libc::SYS_munmap, "munmap"),
        (libc::SYS_mprotect, "mprotect"),
        (libc::SYS_madvise, "madvise"),
        (libc::SYS_brk, "brk"),
        (libc::SYS_prlimit64, "prlimit64"),
        (libc::SYS_getrandom, "getrandom"),
        (libc::SYS_futex, "futex"),
        (libc::SYS_getpid, "getpid"),
        (libc::SYS_getsockopt, "getsockopt"),
        (libc::SYS_sendmsg, "sendmsg"),
        (libc::SYS_recvmsg, "recvmsg"),
        (libc::SYS_process_vm_readv, "process_vm_readv"),
        (libc::SYS_rt_sigaction, "rt_sigaction"),
        (libc::SYS_rt_sigprocmask, "rt_sigprocmask"),
    ];
    let known = NAMES.iter().find(|(known, _)| *known == number);
    known.map_or_else(|| format!("number {number}"), |(_, name)| (*name).into())
}

/// Asserts that there are at most `budget` calls. A failure names them all.
fn hold(what: &str, budget: usize, calls: &[c_long]) {
    let names = calls.iter().map(|number| name(*number)).collect::<Vec<_>>().join(", ");
    assert!(
        calls.len() <= budget,
        "{what}: {} system calls, the budget is {budget}: {names}",
        calls.len()
    );
}

unsafe extern "C" fn nothing(_: c_int, _: *mut c_void) -> c_int {
    0
}

fn scan(bytes: &[u8], options: &WrapOptions) {
    // SAFETY: valid arguments.
    let status = unsafe {
        let buffer = bytes.as_ptr().cast();
        (abi::load().scan_bytes)(
            buffer,
            bytes.len(),
            Some(nothing),
            null_mut(),
            options,
            null_mut(),
        )
    };
    assert_eq!(status, 0);
}

/// Returns the system calls of the library, without the close(2) of the test.
fn wrap(bytes: &[u8], flags: u64) -> Vec<c_long> {
    let options = WrapOptions { flags, ..WrapOptions::default() };
    let mut seen = calls(
        || (),
        |()| {
            // SAFETY: valid arguments; what is returned is ours.
            unsafe {
                let fd = (abi::load().shm_wrap_buffer)(
                    bytes.as_ptr().cast(),
                    bytes.len(),
                    &options,
                    null_mut(),
                );
                assert_eq!(libc::close(fd), 0);
            }
        },
    );
    assert_eq!(seen.pop(), Some(libc::SYS_close));
    seen
}

/// Returns whether this host lacks something. Budgets are for hosts that have everything.
fn is_poor() -> bool {
    !has_memfd()
}

fn wrapping_stays_within_its_budget() {
    if is_poor() {
        return;
    }
    // prlimit64, memfd_create, pwrite64, fcntl for the seals, fchmod
    for size in [1, 64, 4096, 65_536, 1 << 18] {
        hold(&format!("shm_wrap_buffer, {size} bytes"), 5, &wrap(&vec![1; size], 0));
    }
    hold("shm_wrap_buffer, 0 bytes", 4, &wrap(b"", 0));
    // No seals.
    hold("shm_wrap_buffer, writable", 4, &wrap(&[1; 64], WRITABLE));
    // Looked at, opened again, and the first one closed.
    hold("shm_wrap_buffer, read-only", 8, &wrap(&[1; 64], READ_ONLY));
    hold("shm_wrap_buffer, inherited", 6, &wrap(&[1; 64], INHERIT));
    // No more for many segments: they go in together.
    let parts: Vec<_> =
        (0..64).map(|_| libc::iovec { iov_base: c"part".as_ptr() as *mut _, iov_len: 4 }).collect();
    let seen = calls(
        || (),
        |()| {
            // SAFETY: valid arguments; what is returned is ours.
            unsafe {
                assert_eq!(
                    libc::close((abi::load().wrap_iov)(
                        parts.as_ptr(),
                        parts.len(),
                        null(),
                        null_mut()
                    )),
                    0
                );
            }
        },
    );
    hold("bytefd_wrap_iov, 64 segments, and close", 6, &seen);
}

fn scanning_stays_within_its_budget() {
    if is_poor() {
        return;
    }
    // The calls of a wrap, fstat before and after the callback, close.
    for size in [64, 4096, 65_536] {
        let bytes = vec![1; size];
        let seen = calls(WrapOptions::default, |options| scan(&bytes, options));
        hold(&format!("scan_bytes, {size} bytes"), 8, &seen);
    }
}

fn scanning_with_a_pool_stays_within_its_budget() {
    if is_poor() {
        return;
    }
    // Three fcntl for the proof, fstat; ioctl, which says that the bytes are anonymous memory;
    // openat; fstat and close. Larger files need no more: nothing is written, mapped or allocated
    // any more. Kernels whose ioctl says nothing (before 6.11) write, after the limit, and fstat
    // again. Kernels before 6.13 also need flistxattr.
    let more = if tells_anonymous_memory() { 0 } else { 2 } + usize::from(!shows_each_change());
    for size in [1, 64, 4096, 65_536, 1 << 20, 4 << 20] {
        let bytes = vec![1; size];
        let seen = calls(|| Pool::new(1 << 30), |pool| scan(&bytes, &pool.options(0)));
        hold(&format!("scan_bytes with a pool, {size} bytes"), 8 + more, &seen);
    }
}

fn trusted_scans_stay_within_their_budget() {
    if is_poor() {
        return;
    }
    // ioctl and lseek before, fstat and fcntl after.
    let more = if tells_anonymous_memory() { 0 } else { 1 };
    for size in [1, 64, 4096, 65_536, 1 << 20] {
        let bytes = vec![1; size];
        let seen = calls(|| Pool::new(1 << 30), |pool| scan(&bytes, &pool.options(TRUST_CALLBACK)));
        hold(&format!("trusted scan_bytes, {size} bytes"), 4 + more, &seen);
    }
    // Another size each time: the limit, if it grows, and the new size.
    let turn = std::cell::Cell::new(0);
    let seen = calls(
        || Pool::new(1 << 30),
        |pool| {
            turn.set(turn.get() + 1);
            scan(&vec![1; 1000 + turn.get()], &pool.options(TRUST_CALLBACK));
        },
    );
    hold("trusted scan_bytes, a byte more than before", 6 + more, &seen);
}

/// The library sets the size, and reserves and frees address space. For each huge page it writes
/// the first bytes, maps the page, gives the advice, and writes the rest.
fn large_files_cost_a_few_calls_for_each_huge_page() {
    if is_poor() {
        return;
    }
    for (mib, huge_pages) in [(1, 1), (2, 1), (3, 2), (4, 2), (64, 32)] {
        let seen = wrap(&vec![1; mib << 20], 0);
        hold(&format!("shm_wrap_buffer, {mib} MiB"), 7 + 7 * huge_pages, &seen);
        if kernel_collapses() {
            let advice = seen.iter().filter(|number| **number == libc::SYS_madvise).count();
            // Fewer while small pages cost less.
            assert!(
                advice <= huge_pages,
                "shm_wrap_buffer, {mib} MiB, asks for {advice} huge pages"
            );
            // One write makes the first page of each huge page. The library stores the rest of
            // anonymous memory itself.
            let is_write =
                |number: &&c_long| [libc::SYS_pwrite64, libc::SYS_pwritev].contains(*number);
            let writes = seen.iter().filter(is_write).count();
            assert!(
                !tells_anonymous_memory() || writes <= huge_pages,
                "shm_wrap_buffer, {mib} MiB, writes {writes} times"
            );
        }
    }
}

/// The library asks for the family of the socket, and transfers the message. For each descriptor
/// that it checks, it asks for the access mode, the seals and the length. A timeout costs nothing
/// unless the call waits.
fn messages_stay_within_their_budget() {
    use crate::support::share::{KINDS, pair, receive_with, send_with};
    let file = &crate::support::fd::wrap_with(b"hello", 0, AUTO).expect("a descriptor");
    let (asked, patient) =
        (Requirements::default(), TransferOptions { timeout_ns: 1 << 40, ..Default::default() });
    for kind in KINDS {
        for options in [null(), &raw const patient] {
            let ends = pair(kind);
            let (ours, theirs) = (ends.0.as_raw_fd(), ends.1.as_raw_fd());
            let send = || send_with(ours, b"!", &[file.as_raw_fd()], options).expect("sent");
            let seen = calls(
                || (),
                |()| {
                    send();
                    // Bytes that are not received fill the socket.
                    crate::support::share::plain_receive(&ends.1, 1);
                },
            );
            hold(&format!("bytefd_send, kind {kind}, and recvmsg and close"), 2 + 2, &seen);
            for (wanted, budget) in [(null(), 2), (&raw const asked, 2 + 3)] {
                if is_poor() && !wanted.is_null() {
                    continue;
                }
                let seen = calls(
                    || (),
                    |()| {
                        send();
                        receive_with(theirs, 1, 1, wanted, options).expect("received");
                    },
                );
                hold(
                    &format!("bytefd_send and bytefd_receive, kind {kind}, and close"),
                    2 + budget + 1,
                    &seen,
                );
            }
        }
    }
}

/// The kernel copies in one call, which takes the number of this process. For a guarded map the
/// library asks for the length of the file before and after it copies, for the handler, and for the
/// signals that are blocked.
fn copies_out_of_and_into_maps_stay_within_their_budget() {
    use crate::support::map::{map_with, page_size};
    let file = tempfile::NamedTempFile::new().expect("a file");
    let length = 16 * page_size();
    file.as_file().set_len(length as u64).expect("longer");
    for (flags, budget) in [(0, 2), (GUARD, 4)] {
        let open = || map_with(&file, WRITE, flags).expect("a map");
        let read = |map: &crate::support::map::Map| {
            assert_eq!(map.read(0, &mut vec![1; length]).expect("read"), length);
        };
        hold(&format!("bytefd_map_read, flags {flags:#x}"), budget, &calls(open, read));
        let write = |map: &crate::support::map::Map| {
            assert_eq!(map.write(0, &vec![1; length]).expect("written"), length);
        };
        hold(&format!("bytefd_map_write, flags {flags:#x}"), budget, &calls(open, write));
    }
}

fn a_file_that_cannot_be_mapped_is_tried_once() {
    const FILE: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
    if !std::path::Path::new(FILE).exists() {
        return println!("SKIPPED: there is no {FILE}");
    }
    let seen = calls(
        || (),
        |()| {
            let failure = crate::support::map::map_with(FILE, READ, 0);
            assert_eq!(failure.err().map(|failure| failure.errno), Some(libc::ENODEV));
        },
    );
    let attempts = seen.iter().filter(|number| **number == libc::SYS_mmap).count();
    assert_eq!(attempts, 1, "mmap(2)");
}
