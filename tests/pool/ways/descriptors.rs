//! Lists everything that has, or can get, an open file description.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use super::Rule::*;
use super::*;

const OWN_DESCRIPTORS: Rule = Named("takes the pool's own descriptors");

pub const WAYS: &[Way] = &[
    Way { name: "a duplicate", keep: duplicate_of_lent, rule: Seen },
    Way { name: "a duplicate by pidfd_getfd", keep: taken_from_a_process, rule: Seen },
    Way { name: "a descriptor in flight", keep: in_flight, rule: Seen },
    Way {
        name: "opened again for reading",
        keep: |fd, _| Ok(shows(open_again(fd, libc::O_RDONLY))),
        rule: Seen,
    },
    Way { name: "opened again for writing", keep: opened_for_writing, rule: Seen },
    Way { name: "opened by another process", keep: opened_by_a_child, rule: Seen },
    Way { name: "inherited by a child", keep: inherited, rule: Seen },
    Way { name: "opened through /proc/self/map_files", keep: opened_as_mapped, rule: Seen },
    Way { name: "a loop device", keep: loop_device, rule: Seen },
    Way { name: "O_PATH", keep: path_only, rule: Named("O_PATH") },
    Way { name: "O_PATH, by open_tree", keep: tree, rule: Named("O_PATH") },
    Way { name: "O_PATH in flight", keep: path_in_flight, rule: Named("O_PATH") },
    Way { name: "a file handle", keep: file_handle, rule: Named("open_by_handle_at(2)") },
    Way { name: "a duplicate of the pool's own", keep: duplicate_of_master, rule: OWN_DESCRIPTORS },
    Way {
        name: "the pool's own by pidfd_getfd",
        keep: master_taken_from_a_process,
        rule: OWN_DESCRIPTORS,
    },
    Way { name: "the pool's own in flight", keep: master_in_flight, rule: OWN_DESCRIPTORS },
    Way {
        name: "the pool's own, inherited",
        keep: master_inherited,
        rule: Named("A child of fork(2) inherits"),
    },
    Way { name: "a bind mount", keep: bind_mount, rule: Harmless },
    Way { name: "a link", keep: link, rule: Harmless },
    Way { name: "epoll", keep: epoll, rule: Harmless },
    Way { name: "a dma-buf of its pages", keep: dma_buf, rule: Harmless },
];

/// Keeps a description that shows the file, and changes it if it can.
fn shows(fd: OwnedFd) -> Kept {
    let number = fd.as_raw_fd();
    Kept::look(move |_| Some(content(&fd))).and_meddle(move || write_over(number, 100))
}

fn duplicate_of_lent(fd: c_int, _: usize) -> Result<Kept, Skip> {
    Ok(shows(duplicate(fd)))
}

fn opened_for_writing(fd: c_int, _: usize) -> Result<Kept, Skip> {
    Ok(shows(open_for_writing(fd)))
}

fn of_process(number: c_int) -> Result<OwnedFd, Skip> {
    // SAFETY: touches no memory.
    let process = owned(unsafe { libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0) })?;
    // SAFETY: as above.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0) })
}

fn taken_from_a_process(fd: c_int, _: usize) -> Result<Kept, Skip> {
    of_process(fd).map(shows)
}

fn master_taken_from_a_process(fd: c_int, _: usize) -> Result<Kept, Skip> {
    of_process(master_of(fd)?).map(shows)
}

fn duplicate_of_master(fd: c_int, _: usize) -> Result<Kept, Skip> {
    Ok(shows(duplicate(master_of(fd)?)))
}

fn sent(fd: c_int) -> Kept {
    let (near, far) = UnixStream::pair().expect("sockets");
    keepers::send_descriptor(&near, fd);
    once(move || {
        let _ = &near;
        content(&open_again(keepers::receive_descriptor(&far).as_raw_fd(), libc::O_RDONLY))
    })
}

fn in_flight(fd: c_int, _: usize) -> Result<Kept, Skip> {
    Ok(sent(fd))
}

fn path_in_flight(fd: c_int, _: usize) -> Result<Kept, Skip> {
    Ok(sent(open_again(fd, libc::O_PATH).as_raw_fd()))
}

fn master_in_flight(fd: c_int, _: usize) -> Result<Kept, Skip> {
    Ok(sent(master_of(fd)?))
}

/// A child that shows, when told to, what it has opened.
struct Witness {
    process: c_int,
    socket: UnixStream,
}

impl Witness {
    fn new(open: impl FnOnce() -> OwnedFd) -> Witness {
        let (near, mut far) = UnixStream::pair().expect("sockets");
        let process = fork(|| {
            let fd = open();
            let mut told = [0];
            far.write_all(b"r").expect("the parent");
            while far.read(&mut told).is_ok_and(|count| count > 0) && told[0] != b'e' {
                if told[0] == b'x' {
                    write_over(fd.as_raw_fd(), 100);
                    far.write_all(b"r").expect("the parent");
                } else {
                    let seen = content(&fd);
                    far.write_all(&seen.len().to_ne_bytes()).expect("the parent");
                    far.write_all(&seen).expect("the parent");
                }
            }
        });
        let mut witness = Witness { process, socket: near };
        witness.wait();
        witness
    }

    fn wait(&mut self) {
        self.socket.read_exact(&mut [0]).expect("the child");
    }

    fn kept(self) -> Kept {
        let witness = std::rc::Rc::new(std::cell::RefCell::new(self));
        let same = witness.clone();
        let look = move |_| {
            let socket = &mut witness.borrow_mut().socket;
            socket.write_all(b"l").expect("the child");
            let mut length = [0; size_of::<usize>()];
            socket.read_exact(&mut length).expect("the child");
            let mut seen = vec![0; usize::from_ne_bytes(length)];
            socket.read_exact(&mut seen).expect("the child");
            Some(seen)
        };
        Kept::look(look).and_meddle(move || {
            let mut witness = same.borrow_mut();
            witness.socket.write_all(b"x").expect("the child");
            witness.wait();
        })
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.socket.write_all(b"e").expect("the child");
        wait_for(self.process);
    }
}

fn opened_by_a_child(fd: c_int, _: usize) -> Result<Kept, Skip> {
    // SAFETY: no preconditions.
    let path = format!("/proc/{}/fd/{fd}", unsafe { libc::getpid() });
    std::fs::File::open(&path)?;
    let open = move || {
        // The inherited number is not what keeps the file.
        // SAFETY: a number of this process, which nobody uses again.
        unsafe { libc::close(fd) };
        std::fs::File::open(path).expect("the parent's descriptor").into()
    };
    Ok(Witness::new(open).kept())
}

fn inherited(fd: c_int, _: usize) -> Result<Kept, Skip> {
    Ok(Witness::new(|| duplicate(fd)).kept())
}

fn master_inherited(fd: c_int, _: usize) -> Result<Kept, Skip> {
    let master = master_of(fd)?;
    let open = || {
        let own = duplicate(master);
        // SAFETY: a number of this process, which nobody uses again.
        unsafe { libc::close(fd) };
        own
    };
    Ok(Witness::new(open).kept())
}

fn opened_as_mapped(fd: c_int, size: usize) -> Result<Kept, Skip> {
    let map = mappings::Mapped::new(fd, size, libc::PROT_READ, libc::MAP_SHARED)?;
    let (start, length) = (map.at.addr(), size.next_multiple_of(page_size()));
    let opened =
        std::fs::File::open(format!("/proc/self/map_files/{start:x}-{:x}", start + length))?;
    Ok(shows(opened.into()))
}

/// Keeps a path, because the descriptor itself can do nothing.
fn shows_by_path(fd: OwnedFd) -> Kept {
    let number = fd.as_raw_fd();
    Kept::look(move |_| Some(content(&open_again(fd.as_raw_fd(), libc::O_RDONLY))))
        .and_meddle(move || write_over(open_for_writing(number).as_raw_fd(), 100))
}

fn path_only(fd: c_int, _: usize) -> Result<Kept, Skip> {
    Ok(shows_by_path(open_again(fd, libc::O_PATH)))
}

fn tree(fd: c_int, _: usize) -> Result<Kept, Skip> {
    let path = std::ffi::CString::new(format!("/proc/self/fd/{fd}")).expect("no NUL");
    // SAFETY: a string.
    let tree = unsafe {
        libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), libc::O_CLOEXEC)
    };
    owned(tree).map(shows_by_path)
}

#[repr(C)]
#[derive(Clone)]
struct Handle {
    size: u32,
    kind: c_int,
    bytes: [u8; 128],
}

fn file_handle(fd: c_int, _: usize) -> Result<Kept, Skip> {
    let (mut handle, mut mount) = (Handle { size: 128, kind: 0, bytes: [0; 128] }, 0);
    let call = libc::SYS_name_to_handle_at;
    // SAFETY: an empty path, and two writable objects.
    checked(unsafe {
        libc::syscall(call, fd, c"".as_ptr(), &raw mut handle, &raw mut mount, libc::AT_EMPTY_PATH)
    })?;
    // Any file of the same file system says which it is.
    let file_system = wrap(b"", &WrapOptions::default()).expect("a memory file");
    let open = move |flags: c_int| {
        let call = libc::SYS_open_by_handle_at;
        // SAFETY: a handle that the kernel filled.
        owned(unsafe {
            libc::syscall(call, file_system.as_raw_fd(), &raw const handle, flags | libc::O_CLOEXEC)
        })
    };
    open(libc::O_RDONLY)?;
    let open = std::rc::Rc::new(open);
    let same = open.clone();
    Ok(Kept::look(move |_| Some(content(&open(libc::O_RDONLY).ok()?)))
        .and_meddle(move || drop(same(libc::O_RDWR).map(|fd| write_over(fd.as_raw_fd(), 100)))))
}

fn loop_device(fd: c_int, _: usize) -> Result<Kept, Skip> {
    const LOOP_CTL_GET_FREE: u64 = 0x4c82;
    const LOOP_SET_FD: u64 = 0x4c00;
    const LOOP_CLR_FD: u64 = 0x4c01;
    struct Attached(std::fs::File);
    impl Drop for Attached {
        fn drop(&mut self) {
            // SAFETY: touches no memory.
            unsafe { libc::ioctl(self.0.as_raw_fd(), LOOP_CLR_FD as _) };
        }
    }
    let control = std::fs::File::open("/dev/loop-control")?;
    // SAFETY: touches no memory.
    let number = checked(unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE as _) })?;
    let device = std::fs::File::open(format!("/dev/loop{number}"))?;
    // SAFETY: as above.
    checked(unsafe { libc::ioctl(device.as_raw_fd(), LOOP_SET_FD as _, fd) })?;
    Ok(Kept::thing(Attached(device)))
}

/// This is refused: the file is on a mount of the kernel's own.
fn bind_mount(fd: c_int, _: usize) -> Result<Kept, Skip> {
    // SAFETY: strings; the child has its own mounts then.
    unsafe {
        checked(libc::unshare(libc::CLONE_NEWNS))?;
        checked(libc::mount(
            null_mut(),
            c"/".as_ptr(),
            null_mut(),
            libc::MS_REC | libc::MS_PRIVATE,
            null_mut(),
        ))?;
    }
    let (folder, path) = (
        tempfile::tempdir()?,
        std::ffi::CString::new(format!("/proc/self/fd/{fd}")).expect("no NUL"),
    );
    let target = folder.path().join("file");
    std::fs::write(&target, "")?;
    let target = std::ffi::CString::new(target.to_str().expect("UTF-8")).expect("no NUL");
    // SAFETY: strings.
    checked(unsafe {
        libc::mount(path.as_ptr(), target.as_ptr(), null_mut(), libc::MS_BIND, null_mut())
    })?;
    Err(Skip("mounted, which no kernel has done so far: the rule needs another look".into()))
}

/// This is refused: the file never had a name.
fn link(fd: c_int, _: usize) -> Result<Kept, Skip> {
    let folder = tempfile::tempdir_in("/dev/shm")?;
    let name = std::ffi::CString::new(folder.path().join("file").to_str().expect("UTF-8"))
        .expect("no NUL");
    let (path, here) =
        (std::ffi::CString::new(format!("/proc/self/fd/{fd}")).expect("no NUL"), libc::AT_FDCWD);
    // SAFETY: strings.
    checked(unsafe {
        libc::linkat(here, path.as_ptr(), here, name.as_ptr(), libc::AT_SYMLINK_FOLLOW)
    })?;
    Ok(Kept::look(move |_| std::fs::read(folder.path().join("file")).ok()))
}

/// This is refused: such a file is always ready.
fn epoll(fd: c_int, _: usize) -> Result<Kept, Skip> {
    // SAFETY: touches no memory.
    let epoll = owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }.into())?;
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
    // SAFETY: a valid event.
    checked(unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &mut event) })?;
    Ok(Kept::thing(epoll))
}

/// This is refused: the file can be made shorter.
fn dma_buf(fd: c_int, size: usize) -> Result<Kept, Skip> {
    let driver = std::fs::File::open("/dev/udmabuf")?;
    let create: [u32; 6] = [fd as u32, 1, 0, 0, (size / page_size() * page_size()) as u32, 0];
    // SAFETY: `struct udmabuf_create`.
    owned(unsafe { libc::ioctl(driver.as_raw_fd(), 0x4018_7542_u32 as _, create.as_ptr()) }.into())
        .map(Kept::thing)
}
