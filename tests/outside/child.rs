//! One child gets a secret as a file; the others, started at the same time, get nothing.

use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};

use bytefd::PassFd;

fn unlock(secret: &[u8]) -> io::Result<Vec<u8>> {
    let output =
        Command::new("cat").arg("/proc/self/fd/3").pass_fd(bytefd::wrap(secret)?, 3).output()?;
    if output.status.success() { Ok(output.stdout) } else { Err(io::Error::other("cat failed")) }
}

/// Returns the names of all descriptors, as a child finds them.
fn seen_by_a_child() -> io::Result<String> {
    Ok(String::from_utf8_lossy(&Command::new("ls").args(["-l", "/proc/self/fd"]).output()?.stdout)
        .into_owned())
}

#[test]
fn a_secret_reaches_one_child_and_no_other() {
    let kept = bytefd::WrapOptions::new().name("kept-secret").wrap(b"hidden").unwrap();
    std::thread::scope(|scope| {
        let others =
            scope.spawn(|| (0..50).map(|_| seen_by_a_child().unwrap()).collect::<String>());
        for round in 0..50 {
            let secret = format!("password {round}");
            assert_eq!(unlock(secret.as_bytes()).unwrap(), secret.as_bytes());
        }
        let seen = others.join().unwrap();
        assert!(seen.contains("/proc/") && !seen.contains("memfd:"), "{seen}");
    });
    assert!(kept.as_raw_fd() > 2);
}

/// Passes a loan as standard input, opened again, so that the child's offset is its own.
#[test]
fn a_loan_is_standard_input_of_several_children() {
    let lent = bytefd::WrapOptions::new().scan_begin(b"hello").unwrap();
    let mut children: Vec<_> = (0..3)
        .map(|_| {
            let input = Stdio::from(bytefd::reopen(&lent).unwrap());
            Command::new("cat").stdin(input).stdout(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in &mut children {
        let mut text = String::new();
        child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(text, "hello");
    }
}
