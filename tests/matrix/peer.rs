//! Runs a peer in Rust; go/internal/peer/main.go says what peers do. The peer is this program, run
//! again.

use std::fs::File;
use std::io::{BufRead, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use bytefd::share::{self, Requirements, ShmOptions, SysvOptions, TempFileOptions};
use bytefd::{Access, MapOptions, WrapOptions};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Set in the process that is a peer.
pub const PEER: &str = "BYTEFD_TEST_PEER";

pub fn is_one() -> bool {
    std::env::var_os(PEER).is_some()
}

pub fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [job, path, name] = &arguments[..]
        && job == "defaults"
    {
        return ended(defaults(path, name));
    }
    let [job, way, address, length, seed, command @ ..] = &arguments[..] else {
        return ExitCode::from(2);
    };
    let (Ok(length), Ok(seed)) = (length.parse::<usize>(), seed.parse::<usize>()) else {
        return ExitCode::from(2);
    };
    let content: Vec<u8> = (0..length).map(|i| ((31 * i + seed) % 251) as u8).collect();
    let outcome = match job.as_str() {
        "make" => make(way, address, &content, command),
        _ => use_it(way, address, &content),
    };
    ended(outcome)
}

fn ended(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn announce(address: impl std::fmt::Display) {
    println!("{address}");
    let _ = std::io::stdin().lock().read_line(&mut String::new());
}

fn make(way: &str, address: &str, content: &[u8], command: &[String]) -> Outcome {
    match way {
        "sent" => {
            let server = UnixListener::bind(address)?;
            let fd = bytefd::wrap(content)?;
            println!("{address}");
            let (client, _) = server.accept()?;
            share::send(&client, b"!", &[fd.as_fd()])?;
            drop(client);
            let _ = std::io::stdin().lock().read_line(&mut String::new());
            std::fs::remove_file(address)?;
        }
        "named" => {
            let options =
                ShmOptions::new().write(true).length(content.len() as u64).unlink_on_close(true);
            let named = options.create(address)?;
            fill(MapOptions::new().access(Access::Write).map_fd(&named)?, content)?;
            announce(named.name().display());
        }
        "file" => {
            let options = MapOptions::new()
                .access(Access::Write)
                .create(true)
                .file_size(content.len() as u64);
            fill(options.open(address)?, content)?;
            announce(address);
            std::fs::remove_file(address)?;
        }
        "sysv" => {
            let (map, number) =
                SysvOptions::new().length(content.len()).write(true).create(address.parse()?)?;
            fill(map, content)?;
            announce(number);
            share::remove_sysv(number)?;
        }
        "tempfile" => {
            let file = TempFileOptions::new().suffix(address).create(content)?;
            announce(file.path().display());
        }
        _ => {
            let fd = WrapOptions::new().inherit(true).wrap(content)?;
            // SAFETY: touches no memory; number 3 is the command's from now on.
            assert_eq!(unsafe { libc::dup2(fd.as_raw_fd(), 3) }, 3);
            return Err(Command::new(&command[0])
                .args(&command[1..])
                .env_remove(PEER)
                .exec()
                .into());
        }
    }
    Ok(())
}

fn fill(map: bytefd::Map, content: &[u8]) -> Outcome {
    assert_eq!(map.write_at(content, 0)?, content.len());
    Ok(())
}

fn use_it(way: &str, address: &str, content: &[u8]) -> Outcome {
    match way {
        "sent" => {
            let mut message = [0; 1];
            let (_, mut fds) = share::receive(UnixStream::connect(address)?, &mut message, 1)?;
            if message != *b"!" {
                return differs(format_args!("the message is {message:?}"));
            }
            let fd: OwnedFd = fds.pop().expect("as many as asked for");
            compare(&Requirements::new().accept(fd)?, content)
        }
        "named" => {
            compare_map(&MapOptions::new().map_fd(ShmOptions::new().open(address)?)?, content)
        }
        "file" => compare_map(&MapOptions::new().open(address)?, content),
        "sysv" => compare_map(&SysvOptions::new().open_by_id(address.parse()?)?, content),
        "tempfile" => {
            let mut bytes = Vec::new();
            File::open(address)?.read_to_end(&mut bytes)?;
            compare(&bytes, content)
        }
        _ => {
            // SAFETY: the process that runs this has given it the descriptor.
            let fd = unsafe { BorrowedFd::borrow_raw(address.parse()?) };
            compare(&Requirements::new().accept(fd.try_clone_to_owned()?)?, content)
        }
    }
}

fn compare_map(map: &bytefd::Map, content: &[u8]) -> Outcome {
    let mut bytes = vec![0; map.len()];
    map.read_exact_at(&mut bytes, 0)?;
    compare(&bytes, content)
}

fn compare(bytes: &[u8], content: &[u8]) -> Outcome {
    if bytes != content {
        return differs(format_args!(
            "{} bytes, and not the {} of the content",
            bytes.len(),
            content.len()
        ));
    }
    println!("ok");
    Ok(())
}

fn differs(what: std::fmt::Arguments<'_>) -> Outcome {
    println!("{what}");
    Err("that is not the content".into())
}

fn defaults(path: &str, name: &str) -> Outcome {
    let file = File::options().read(true).write(true).open(path)?;
    say_of_map("file", MapOptions::new().open(path)?);
    say_of_map("descriptor", MapOptions::new().map_fd(&file)?);
    say_of_map("memory", MapOptions::new().memory(4096)?);
    let created = ShmOptions::new().length(4096).unlink_on_close(true).create(name)?;
    let opened = ShmOptions::new().open(name)?;
    say(
        "shm created",
        File::from(created.as_fd().try_clone_to_owned()?).write_at(b"!", 0).map(drop),
    );
    say("shm opened", File::from(opened.as_fd().try_clone_to_owned()?).write_at(b"!", 0).map(drop));
    say("sysv created", raw(SysvOptions::new().length(4096).create(libc::IPC_PRIVATE).map(drop)));
    let (map, number) =
        SysvOptions::new().length(4096).write(true).transient(true).create(libc::IPC_PRIVATE)?;
    say_of_map("sysv attached", SysvOptions::new().open_by_id(number)?);
    drop(map);
    say("unsealed", raw(Requirements::new().check(&file)));
    Ok(())
}

/// Prints what the map says about itself, and what it is.
fn say_of_map(what: &str, map: bytefd::Map) {
    let stored = map.write_at(b"!", 0).map(drop);
    assert_eq!(stored.is_ok(), map.access() != Access::Read, "{what}");
    say(what, raw(stored));
}

fn raw(outcome: bytefd::Result<()>) -> std::io::Result<()> {
    outcome.map_err(|error| std::io::Error::from_raw_os_error(error.errno()))
}

fn say(what: &str, stored: std::io::Result<()>) {
    match stored.map_err(|error| error.raw_os_error().unwrap_or_default()) {
        Ok(()) => println!("{what}: writing"),
        Err(libc::EACCES | libc::EBADF) => println!("{what}: reading"),
        Err(errno) => println!("{what}: refused, {errno}"),
    }
}
