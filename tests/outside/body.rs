//! A server that takes a request's body from a socket into a file, up to a limit.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::thread;

use bytefd::{StreamOptions, WrapOptions};

const LIMIT: u64 = 1 << 20;

/// Answers a request with a status, or with the body if the request is good.
fn answer(stream: &TcpStream) -> io::Result<Result<OwnedFd, u16>> {
    let mut reader = BufReader::new(stream);
    let mut length = None;
    for line in reader.by_ref().lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(": ") {
            length = length.or(name
                .eq_ignore_ascii_case("content-length")
                .then(|| value.parse::<u64>().ok())
                .flatten());
        }
    }
    // Without a length it ends with the connection.
    let limits = StreamOptions::new().max_bytes(LIMIT).size_hint(length.unwrap_or(0));
    let body = reader.take(length.unwrap_or(u64::MAX));
    let options = WrapOptions::new().name("body").spill_threshold(256 << 10);
    match options.wrap_reader(body, &limits) {
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Ok(Err(413)),
        Ok(fd)
            if length.is_some_and(|length| {
                fs::metadata(bytefd::path(&fd)).is_ok_and(|found| found.len() < length)
            }) =>
        {
            Ok(Err(400))
        }
        body => Ok(Ok(body?)),
    }
}

/// Sends a request to the server. Returns the body that it stores, or the status.
fn request(head: &str, body: &[u8]) -> Result<Vec<u8>, u16> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    thread::scope(|scope| {
        let address = listener.local_addr().unwrap();
        scope.spawn(move || {
            let mut client = TcpStream::connect(address).unwrap();
            client.write_all(head.as_bytes()).unwrap();
            // It may be refused before it is complete.
            body.chunks(50_000).try_for_each(|part| client.write_all(part)).ok();
        });
        let (stream, _) = listener.accept().unwrap();
        answer(&stream).unwrap().map(|fd| fs::read(bytefd::path(&fd)).unwrap())
    })
}

#[test]
fn a_body_becomes_a_file_up_to_a_limit() {
    let body = super::pattern(LIMIT as usize + 1);
    let (whole, small) = (&body[..LIMIT as usize], &body[..10_000]);
    let head = |length: usize| format!("PUT / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n");
    assert!(request(&head(small.len()), small).unwrap() == small);
    assert!(request(&head(0), b"").unwrap().is_empty());
    assert!(request(&head(whole.len()), whole).unwrap() == whole, "in a file on disk");
    assert!(
        request("PUT / HTTP/1.1\r\n\r\n", small).unwrap() == small,
        "to the end of the connection"
    );
    assert_eq!(request(&head(body.len()), &body), Err(413));
    assert_eq!(request("PUT / HTTP/1.1\r\n\r\n", &body), Err(413));
    assert_eq!(request(&head(small.len() + 1), small), Err(400), "cut short");
    // Bytes after the body are left alone.
    assert!(request(&head(100), small).unwrap() == small[..100]);
}
