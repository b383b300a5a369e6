//! Runs the portable groups again on hosts that lack something. (`kernels` runs them on kernels
//! that are really old.)

use std::collections::BTreeMap;
use std::ffi::c_int;
use std::process::Command;

use crate::support::abi::{AUTO, EXECUTABLE, SEAL_CONTENT, WRITABLE};
use crate::support::{self, alarm, fd, hosts};
use crate::tests;

tests![
    the_suite_holds_on_every_poorer_host;
    alone:
    where_memory_files_must_not_be_executable_that_is_obeyed_and_not_worked_around,
];

/// Groups whose tests ask the host what it has, through `support::hosts`.
const GROUPS: &str = "wrap,reopen,scan,fill,map,execution,kernel";

/// The groups about sharing, and the hosts that lack something that these groups need. The other
/// hosts differ in a flag or an errno of memfd_create, which does not affect these groups, or lack
/// only a part of what Linux 3.16 lacks.
const SHARING: [(&str, &str); 3] = [
    ("linux-3.16", "share,stream,named"),
    ("only-files", "share,stream,named"),
    // Bytes that go through a socket need no space.
    ("no-fallocate", "stream,named"),
];

fn the_suite_holds_on_every_poorer_host() {
    if std::env::var_os(hosts::CHOSEN).is_some() {
        return println!("SKIPPED: every poorer host: this is one");
    }
    let mut failures = String::new();
    let mut sharing = BTreeMap::from(SHARING);
    for (name, _) in hosts::HOSTS {
        let groups = sharing.remove(name).map_or(GROUPS.into(), |more| format!("{GROUPS},{more}"));
        let mut suite = Command::new(std::env::current_exe().expect("this program's path"));
        suite.args(["--color", "never"]).env(hosts::CHOSEN, name).env(support::GROUPS, groups);
        suite.env("RUST_BACKTRACE", "0").env(alarm::PATIENCE, alarm::HALF);
        let (status, said) = alarm::watched(&mut suite).expect("this program runs again");
        match status.code() {
            Some(hosts::CANNOT_BE_PLAYED) => {
                println!("SKIPPED: no suite on host {name}: {}", said.trim())
            }
            Some(0) if !said.contains("ok. 0 passed") => {}
            _ => failures += &format!("\non host {name}: {status}\n{said}"),
        }
    }
    assert!(failures.is_empty(), "{failures}");
    assert!(sharing.is_empty(), "no such hosts: {sharing:?}");
}

/// Sets vm.memfd_noexec=2 in a process ID namespace, so that this machine keeps its own setting.
/// Needs Linux 6.6 and privileges.
fn where_memory_files_must_not_be_executable_that_is_obeyed_and_not_worked_around() {
    const F_SEAL_EXEC: c_int = 0x20;
    if !hosts::has_memfd() {
        return println!("SKIPPED: there are no memory files on this host");
    }
    let played = in_process_namespace(|| {
        if let Err(error) = std::fs::write("/proc/sys/vm/memfd_noexec", "2") {
            println!("vm.memfd_noexec: {error}");
            return hosts::CANNOT_BE_PLAYED;
        }
        for (flags, seals) in [(0, 0xf), (SEAL_CONTENT, 0xe), (WRITABLE, 0)] {
            let fd = fd::wrap_with(b"hello", flags, AUTO).expect("a descriptor");
            assert_eq!(fd::seals(&fd), seals | F_SEAL_EXEC, "flags {flags}");
        }
        let refusal = fd::wrap_with(b"hello", EXECUTABLE, AUTO).expect_err("forbidden");
        assert_eq!((refusal.errno, refusal.op.as_str()), (libc::EACCES, "memfd_create"));
        0
    });
    match played {
        Ok(0) => {}
        Ok(hosts::CANNOT_BE_PLAYED) => {
            println!("SKIPPED: no host that forbids executable memory files")
        }
        Ok(code) => panic!("exit code {code}"),
        Err(error) => println!("SKIPPED: no host that forbids executable memory files: {error}"),
    }
}

/// Runs `test` in a child, in a process ID namespace of its own. Returns the exit code.
fn in_process_namespace(test: fn() -> c_int) -> std::io::Result<c_int> {
    // SAFETY: touches no memory.
    if unsafe { libc::unshare(libc::CLONE_NEWPID) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: this process has one thread, so the child may do what it likes.
    let child = unsafe { libc::fork() };
    if child < 0 {
        return Err(std::io::Error::last_os_error());
    }
    if child == 0 {
        std::process::exit(std::panic::catch_unwind(test).unwrap_or(1));
    }
    let mut status = 0;
    // SAFETY: our own child; `status` is writable.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    Ok(if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { -status })
}
