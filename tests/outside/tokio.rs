//! An asynchronous program that gives a child a configuration as a file.

use std::io;
use std::process::Stdio;

use bytefd::PassFd;
use tokio::process::Command;

async fn lines(config: &str) -> io::Result<u32> {
    let mut command = Command::new("wc");
    command.args(["-l", "/proc/self/fd/5"]).stdout(Stdio::piped());
    command.as_std_mut().pass_fd(bytefd::wrap(config.as_bytes())?, 5);
    let output = command.output().await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split(' ')
        .next()
        .and_then(|count| count.parse().ok())
        .ok_or_else(|| io::Error::other(text.clone()))
}

#[test]
fn children_of_tokio_get_a_descriptor_each() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(async {
        // At the same time, and each its own.
        let three = tokio::spawn(lines("a = 1\nb = 2\nc = 3\n"));
        let one = tokio::spawn(lines("a = 1\n"));
        assert_eq!(three.await.unwrap().unwrap(), 3);
        assert_eq!(one.await.unwrap().unwrap(), 1);
        assert_eq!(lines("").await.unwrap(), 0);
    });
}
