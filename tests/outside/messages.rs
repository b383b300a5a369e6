//! A worker that takes jobs as descriptors from clients it does not trust, and answers in the same
//! way.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use bytefd::share::{Requirements, TransferOptions, receive, send};
use bytefd::{MapOptions, MapWriter, Sealed, WrapOptions};

fn upper(job: &Sealed) -> io::Result<Sealed> {
    let mut writer = MapWriter::new()?;
    writer.write_all(&job.to_ascii_uppercase())?;
    Ok(writer.seal_timeout(None)?)
}

/// Serves until the client hangs up.
fn serve(socket: &UnixStream) -> bytefd::Result<()> {
    let wanted = Requirements::new().max_length(1 << 20);
    loop {
        let mut head = [0; 4];
        let descriptors = match receive(socket, &mut head, 1) {
            Ok((_, descriptors)) => descriptors,
            Err(error) if error.errno() == libc::ENODATA => return Ok(()),
            Err(_) => {
                send(socket, b"bad ", &[])?;
                continue;
            }
        };
        let job = descriptors.into_iter().next().map(|fd| wanted.accept(fd));
        match job {
            Some(Ok(job)) => send(socket, b"good", &[upper(&job).expect("memory").as_fd()])?,
            _ => send(socket, b"bad ", &[])?,
        }
    }
}

fn ask(socket: &UnixStream, fds: &[BorrowedFd<'_>]) -> io::Result<Option<Sealed>> {
    send(socket, b"work", fds)?;
    let mut head = [0; 4];
    let (_, descriptors) =
        TransferOptions::new().timeout(Duration::from_secs(60)).receive(socket, &mut head, 1)?;
    let result =
        descriptors.into_iter().next().map(|fd| Requirements::new().accept(fd)).transpose()?;
    assert_eq!(head == *b"good", result.is_some());
    Ok(result)
}

#[test]
fn jobs_go_out_and_results_come_back_and_what_can_change_is_refused() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    std::thread::scope(|scope| {
        let worker = scope.spawn(move || serve(&theirs));
        let large = vec![b'x'; 700_000];
        for (job, expected) in
            [(&b"hello"[..], &b"HELLO"[..]), (b"", b""), (&large, &large.to_ascii_uppercase())]
        {
            let job = bytefd::wrap(job).unwrap();
            assert!(&ask(&ours, &[job.as_fd()]).unwrap().expect("accepted")[..] == expected);
        }
        // Too long, writable, a file, several, none.
        let long = bytefd::wrap(&vec![0; (1 << 20) + 1]).unwrap();
        let writable = WrapOptions::new().writable(true).wrap(b"hello").unwrap();
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        let memory = MapOptions::new().memory(4096).unwrap();
        let shared = memory.share().unwrap();
        for refused in
            [long.as_fd(), writable.as_fd(), file.as_fd(), memory.file().unwrap(), shared.as_fd()]
        {
            assert!(ask(&ours, &[refused]).unwrap().is_none());
        }
        let fine = bytefd::wrap(b"hello").unwrap();
        assert!(ask(&ours, &[fine.as_fd(), fine.as_fd()]).unwrap().is_none());
        assert!(ask(&ours, &[]).unwrap().is_none());
        assert_eq!(&ask(&ours, &[fine.as_fd()]).unwrap().expect("it goes on")[..], b"HELLO");
        drop(ours);
        worker.join().unwrap().unwrap();
    });
}
