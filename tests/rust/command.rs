//! Passes descriptors to one child.

use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::Command;

use bytefd::PassFd;

fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    command
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub fn a_passed_descriptor_has_its_number_in_the_child_and_in_no_other() {
    let mut command = shell("cat /proc/self/fd/7 <&7; cat <&8");
    command
        .pass_fd(bytefd::wrap(b"seven ").unwrap(), 7)
        .pass_fd(bytefd::wrap(b"eight").unwrap(), 8);
    assert_eq!(output(&mut shell("ls /proc/self/fd/7 /proc/self/fd/8 2> /dev/null; true")), "");
    assert_eq!(output(&mut command), "seven eight");
    // The same again: an offset is shared by all children, and the path has one of its own.
    assert_eq!(output(&mut command), "seven ");
}

/// The numbers may be used by this process, or by another passed descriptor.
pub fn passed_descriptors_may_have_any_numbers() {
    let (mut kept, busy) = std::io::pipe().unwrap();
    let made: Vec<OwnedFd> = (0..3).map(|n| bytefd::wrap(&[b'a' + n]).unwrap()).collect();
    let numbers: Vec<i32> = made.iter().map(|fd| fd.as_raw_fd()).collect();
    // Each gets the number of the next, and one gets the number of a pipe here.
    let script = format!(
        "cd /proc/self/fd; cat {} {} {} {}",
        numbers[1],
        numbers[2],
        numbers[0],
        busy.as_raw_fd()
    );
    let mut command = shell(&script);
    for (index, fd) in made.into_iter().enumerate() {
        command.pass_fd(fd, numbers[(index + 1) % 3]);
    }
    command.pass_fd(bytefd::wrap(b"!").unwrap(), busy.as_raw_fd());
    assert_eq!(output(&mut command), "abc!");
    drop((command, busy));
    assert_eq!(kept.read(&mut [0; 1]).unwrap(), 0, "the pipe here is as it was");
}

pub fn a_command_that_cannot_start_says_so_whatever_was_passed() {
    for number in 3..40 {
        let mut command = Command::new("/no/such/program");
        command.pass_fd(bytefd::wrap(b"hello").unwrap(), number);
        assert_eq!(command.spawn().unwrap_err().raw_os_error(), Some(libc::ENOENT), "{number}");
    }
    for number in [-1, i32::MIN, i32::MAX] {
        let mut command = shell("true");
        command.pass_fd(bytefd::wrap(b"hello").unwrap(), number);
        assert_eq!(command.spawn().unwrap_err().raw_os_error(), Some(libc::EBADF), "{number}");
    }
}

/// Makes a descriptor of this content with this number, which is free.
fn wrapped_at(number: i32, content: &[u8]) -> OwnedFd {
    let fd = bytefd::wrap(content).unwrap();
    if fd.as_raw_fd() == number {
        return fd;
    }
    // SAFETY: touches no memory, and what it returns is new.
    unsafe {
        assert_eq!(libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, number), number);
        OwnedFd::from_raw_fd(number)
    }
}

/// std gets free numbers for the pipe by which it learns that a program could not be executed.
pub fn a_command_that_cannot_start_says_so_whatever_was_closed() {
    let errno = |mut command: Command| command.spawn().unwrap_err().raw_os_error().unwrap();
    let without_program = || Command::new("/no/such/program");
    let made: Vec<_> = (0..10).map(|_| bytefd::wrap(b"").unwrap()).collect();
    let free: Vec<i32> = made.iter().map(|fd| fd.as_raw_fd()).collect();
    drop(made);
    for number in free {
        // The number is that of the passed descriptor itself.
        let mut command = without_program();
        command.pass_fd(wrapped_at(number, b"hello"), number);
        assert_eq!(errno(command), libc::ENOENT, "{number}");

        // The number is that of a descriptor that is passed later, under another number.
        let mut command = without_program();
        let (later, first) = (wrapped_at(number, b"later"), wrapped_at(100, b"first"));
        command.pass_fd(first, number).pass_fd(later, 90);
        assert_eq!(errno(command), libc::ENOENT, "{number}");

        // Something else had it, which is closed now.
        let closed = |mut command: Command| {
            let (other, hello) = (wrapped_at(number, b"other"), wrapped_at(100, b"hello"));
            command.pass_fd(hello, number);
            drop(other);
            command
        };
        let said = errno(closed(without_program()));
        assert!([libc::ENOENT, libc::EBADF].contains(&said), "{number}: {said}");
        let mut command = closed(shell(&format!("cat /proc/self/fd/{number}")));
        let _no_pipe = wrapped_at(number, b"no pipe");
        assert_eq!(output(&mut command), "hello");
    }
}

pub fn standard_input_can_be_passed() {
    let mut command = Command::new("cat");
    command.pass_fd(bytefd::wrap(b"hello").unwrap(), 0);
    assert_eq!(output(&mut command), "hello");
    let pool = bytefd::Pool::new(1 << 20);
    let lent = pool.scan_begin(b"lent", &bytefd::WrapOptions::new()).unwrap();
    let mut command = Command::new("cat");
    command.stdin(std::process::Stdio::from(bytefd::reopen(&lent).unwrap()));
    assert_eq!(output(&mut command), "lent");
}
