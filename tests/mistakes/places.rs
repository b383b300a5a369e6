//! Lists the places where a value can be a mistake by itself: each place, what belongs there, and a
//! call that is right except for it.

use std::ffi::{CStr, CString, c_int, c_void};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::ptr::{null, null_mut};
use std::rc::Rc;

use crate::support::abi::{self, *};
use crate::support::fd::{pattern, wrap_with};
use crate::support::map::{self, Map, page_size};
use crate::support::named::unique;
use crate::support::share::pair;

/// The values that a place takes. Constants are named as in the header, without their prefix
/// BYTEFD_.
#[derive(Clone, Copy)]
pub enum Takes {
    /// Flags, or-ed. `unfit`: flags of the group that have no use for this function, and that it
    /// refuses.
    Flags { right: &'static [&'static str], unfit: &'static [&'static str] },
    /// One of those, or 0.
    One { right: &'static [&'static str], unfit: &'static [&'static str] },
    /// Numbers of the kernel.
    Kernel(fn(c_int) -> bool),
    /// Nanoseconds, or -1.
    Timeout,
    /// Anything but 0. The macro sets the default.
    Limit(&'static str),
    /// Only 0.
    Reserved,
}

type Call<'a> = dyn Fn(u64, *mut Error) -> c_int + 'a;

pub struct Place<'a> {
    /// "function argument", "function argument.member".
    pub name: String,
    pub takes: Takes,
    /// Makes the call with a value in this place, and undoes it.
    pub call: Box<Call<'a>>,
}

impl Place<'_> {
    /// Returns what an error must name.
    pub fn member(&self) -> &str {
        self.name.rsplit([' ', '.']).next().expect("a name")
    }
}

/// A member that can be a mistake by itself, and how it is set.
type Members<T> = &'static [(&'static str, Takes, fn(&mut T, u64))];

const WRAP: Members<WrapOptions> = &[
    ("flags", WRAP_FLAGS, |options, value| options.flags |= value),
    ("backend", BACKENDS, |options, value| options.backend = value as u32),
    ("spill_threshold", Takes::Limit("BYTEFD_WRAP_OPTIONS_INIT"), |options, value| {
        options.spill_threshold = value
    }),
];
const WRAP_FLAGS: Takes = Takes::Flags {
    right: &["INHERIT", "WRITABLE", "READ_ONLY", "EXECUTABLE", "SEAL_CONTENT", "TRUST_CALLBACK"],
    unfit: &[],
};
const BACKENDS: Takes = Takes::One {
    right: &["BACKEND_AUTO", "BACKEND_MEMFD", "BACKEND_SHM", "BACKEND_TMPFILE"],
    unfit: &[],
};

const STREAM: Members<StreamOptions> = &[
    ("flags", INTERRUPTS, |options, value| options.flags |= value),
    ("max_bytes", Takes::Limit("BYTEFD_STREAM_OPTIONS_INIT"), |options, value| {
        options.max_bytes = value
    }),
    ("timeout_ns", Takes::Timeout, |options, value| options.timeout_ns = value as i64),
];
const INTERRUPTS: Takes = Takes::Flags { right: &["INTERRUPTIBLE"], unfit: &[] };
const NO_FLAGS: Takes = Takes::Flags { right: &[], unfit: &[] };

const POOL: Members<PoolOptions> = &[
    ("flags", NO_FLAGS, |options, value| options.flags |= value),
    (
        "method",
        Takes::One { right: &["POOL_AUTO", "POOL_REUSE", "POOL_NEW_FILES"], unfit: &[] },
        |options, value| {
            options.method = value as u32;
        },
    ),
    ("idle_ns", Takes::Timeout, |options, value| options.idle_ns = value as i64),
];

const MAP: Members<MapOptions> = &[
    ("flags", MAP_FLAGS, |options, value| options.flags |= value),
    (
        "access",
        Takes::One { right: &["MAP_READ", "MAP_WRITE", "MAP_PRIVATE"], unfit: &[] },
        |options, value| {
            options.access = value as u32;
        },
    ),
    ("length", Takes::Limit("BYTEFD_MAP_OPTIONS_INIT"), |options, value| {
        options.length = value as usize
    }),
];
const MAP_FLAGS: Takes = Takes::Flags {
    right: &[
        "MAP_CREATE",
        "MAP_EXECUTE",
        "MAP_POPULATE",
        "MAP_MLOCK",
        "MAP_HUGE_PAGES",
        "MAP_NO_RESERVE",
        "MAP_BEYOND_EOF",
        "MAP_GUARD",
        "MAP_NO_FORK",
        "MAP_WIPE_ON_FORK",
    ],
    unfit: &[],
};

const REQUIREMENTS: Members<Requirements> = &[
    (
        "flags",
        Takes::Flags { right: &["REQUIRE_UID", "REQUIRE_NO_SEALS"], unfit: &[] },
        |wanted, value| {
            wanted.flags |= value;
        },
    ),
    ("seals", Takes::Kernel(|seals| seals & !0x3f == 0), |wanted, value| {
        wanted.seals = value as u32
    }),
    ("max_length", Takes::Limit("BYTEFD_REQUIREMENTS_INIT"), |wanted, value| {
        wanted.max_length = value
    }),
];

const SEND: Members<TransferOptions> = &[
    ("flags", INTERRUPTS, |options, value| options.flags |= value),
    ("timeout_ns", Takes::Timeout, |options, value| options.timeout_ns = value as i64),
];
const RECEIVE: Members<TransferOptions> = &[
    (
        "flags",
        Takes::Flags { right: &["INTERRUPTIBLE", "TRANSFER_SOME"], unfit: &[] },
        |options, value| {
            options.flags |= value;
        },
    ),
    ("timeout_ns", Takes::Timeout, |options, value| options.timeout_ns = value as i64),
];

const TEMPFILE: Members<TempfileOptions> = &[
    ("flags", NO_FLAGS, |options, value| options.flags |= value),
    ("reserved", Takes::Reserved, |options, value| options.reserved = value as u32),
];

const READ_OR_WRITE: Takes = Takes::One { right: &["MAP_READ", "MAP_WRITE"], unfit: &[] };
const SHM_MEMBERS: Members<ShmOptions> = &[
    (
        "flags",
        Takes::Flags {
            right: &["SHM_CREATE", "SHM_EXCLUSIVE", "SHM_OWNED", "SHM_ANY_OWNER"],
            unfit: &[],
        },
        |options, value| options.flags |= value,
    ),
    ("access", READ_OR_WRITE, |options, value| options.access = value as u32),
];
const SYSV: Members<SysvOptions> = &[
    (
        "flags",
        Takes::Flags {
            right: &["SYSV_CREATE", "SYSV_EXCLUSIVE", "SYSV_BY_ID", "SYSV_TRANSIENT"],
            unfit: &[],
        },
        |options, value| options.flags |= value,
    ),
    ("access", READ_OR_WRITE, |options, value| options.access = value as u32),
];

/// The table under construction.
struct Table<'a>(Vec<Place<'a>>);

impl<'a> Table<'a> {
    fn argument(&mut self, name: &str, takes: Takes, call: impl Fn(u64, *mut Error) -> c_int + 'a) {
        self.0.push(Place { name: name.into(), takes, call: Box::new(call) });
    }

    /// Adds all members of an options struct, which is otherwise `base`. `misfits`: constants of
    /// its groups that the function refuses.
    fn options<T: Copy + 'a>(
        &mut self,
        argument: &str,
        members: Members<T>,
        base: T,
        misfits: &'static [&'static str],
        call: impl Fn(&T, *mut Error) -> c_int + 'a,
    ) {
        let call = Rc::new(call);
        for &(member, takes, set) in members {
            let call = call.clone();
            let takes = match takes {
                Takes::Flags { right, .. } => Takes::Flags { right, unfit: misfits },
                Takes::One { right, .. } => Takes::One { right, unfit: misfits },
                other => other,
            };
            self.argument(&format!("{argument}.{member}"), takes, move |value, error| {
                let mut options = base;
                set(&mut options, value);
                call(&options, error)
            });
        }
    }
}

/// Closes a descriptor, if one was made.
fn closed(status: c_int) -> c_int {
    // SAFETY: nobody else knows the descriptor.
    if status > 0 { unsafe { libc::close(status) } } else { status }
}

/// Ends what was made, with the function for that.
fn ended(
    end: unsafe extern "C" fn(*mut c_void) -> c_int,
    make: impl FnOnce(*mut *mut c_void) -> c_int,
) -> c_int {
    let mut handle = null_mut();
    let status = make(&mut handle);
    assert_eq!(status < 0, handle.is_null(), "a handle, or an error");
    // SAFETY: NULL, or a handle that is not used again.
    assert_eq!(unsafe { end(handle) }, 0);
    status
}

/// Makes a pipe that holds 5 bytes and then ends.
fn five_bytes() -> std::io::PipeReader {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    writer.write_all(b"hello").expect("written");
    reader
}

unsafe extern "C" fn nothing(_: c_int, _: *mut c_void) -> c_int {
    0
}

unsafe extern "C" fn at_end(_: *mut c_void, _: *mut c_void, _: usize) -> isize {
    0
}

/// The objects that right calls need.
pub struct Fixture {
    folder: tempfile::TempDir,
    file: File,
    path: CString,
    sealed: OwnedFd,
    pool: *mut c_void,
    map: Map,
    /// The number of a System V segment.
    segment: c_int,
    shm: CString,
    word: u32,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        // SAFETY: the pool is not used again; removing touches no memory.
        unsafe {
            assert_eq!((abi::load().pool_close)(self.pool), 0);
            libc::shmctl(self.segment, libc::IPC_RMID, null_mut());
        }
    }
}

fn text(path: &Path) -> CString {
    CString::new(path.to_str().expect("UTF-8")).expect("no NUL")
}

impl Fixture {
    pub fn new() -> Fixture {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, pattern(2 * page_size())).expect("written");
        let file = File::options().read(true).write(true).open(&path).expect("opened");
        let mut pool = null_mut();
        // SAFETY: a writable pointer; shmget touches no memory.
        let segment = unsafe {
            assert_eq!((abi::load().pool_create)(null(), &mut pool, null_mut()), 0);
            libc::shmget(libc::IPC_PRIVATE, page_size(), 0o600)
        };
        assert!(segment >= 0, "a System V segment");
        Fixture {
            file,
            path: text(&path),
            folder,
            sealed: wrap_with(b"hello", 0, MEMFD).expect("wrapped"),
            pool,
            map: map::memory(page_size(), &MapOptions::default()).expect("memory"),
            segment,
            shm: CString::new(unique("mistakes")).expect("no NUL"),
            word: 1,
        }
    }

    /// Returns all names that the calls could have left: files in the folder of the mapped file,
    /// objects, segments of this process.
    pub fn names(&self) -> Vec<String> {
        let list = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            list(self.folder.path()).map(|entry| format!("{:?}", entry.path())).collect();
        let own = std::process::id().to_string();
        let objects = list(Path::new("/dev/shm"))
            .map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.extend(objects.filter(|name| name.split(['.', '-']).any(|part| part == own)));
        let segments = std::fs::read_to_string("/proc/sysvipc/shm").expect("/proc is mounted");
        let creator = |line: &&str| line.split_ascii_whitespace().nth(4) == Some(own.as_str());
        names.extend(
            segments.lines().filter(creator).filter_map(|line| {
                Some(format!("segment {}", line.split_ascii_whitespace().nth(1)?))
            }),
        );
        names.sort();
        names
    }

    pub fn places(&self) -> Vec<Place<'_>> {
        let mut table = Table(Vec::new());
        self.wraps(&mut table);
        self.scans(&mut table);
        self.maps(&mut table);
        self.ranges(&mut table);
        self.transfers(&mut table);
        self.names_and_segments(&mut table);
        self.waits(&mut table);
        table.0
    }

    fn wraps<'a>(&'a self, table: &mut Table<'a>) {
        // SAFETY: only numbers are mistaken; pointers, descriptors and `error` are valid in every
        // call.
        unsafe {
            const UNFIT: &[&str] = &["TRUST_CALLBACK"];
            let (abi, hello, base) =
                (abi::load(), b"hello".as_ptr().cast::<c_void>(), WrapOptions::default());
            table.options(
                "bytefd_wrap_buffer options",
                WRAP,
                base,
                UNFIT,
                move |options, error| closed((abi.shm_wrap_buffer)(hello, 5, options, error)),
            );
            table.options("bytefd_wrap_iov options", WRAP, base, UNFIT, move |options, error| {
                let part = libc::iovec { iov_base: hello.cast_mut(), iov_len: 5 };
                closed((abi.wrap_iov)(&part, 1, options, error))
            });
            table.options(
                "bytefd_wrap_stream options",
                WRAP,
                base,
                UNFIT,
                move |options, error| {
                    closed((abi.wrap_stream)(five_bytes().as_raw_fd(), options, null(), error))
                },
            );
            let stream = StreamOptions::default();
            table.options(
                "bytefd_wrap_stream stream",
                STREAM,
                stream,
                &[],
                move |options, error| {
                    closed((abi.wrap_stream)(five_bytes().as_raw_fd(), null(), options, error))
                },
            );
            table.options(
                "bytefd_wrap_reader options",
                WRAP,
                base,
                UNFIT,
                move |options, error| {
                    closed((abi.wrap_reader)(Some(at_end), null_mut(), options, null(), error))
                },
            );
            table.options(
                "bytefd_wrap_reader stream",
                STREAM,
                stream,
                &[],
                move |options, error| {
                    closed((abi.wrap_reader)(Some(at_end), null_mut(), null(), options, error))
                },
            );
            let inherits = Takes::Flags { right: &["INHERIT"], unfit: &[] };
            table.argument("bytefd_reopen flags", inherits, move |flags, error| {
                closed((abi.reopen)(self.sealed.as_raw_fd(), flags, error))
            });
            table.argument("bytefd_adopt flags", NO_FLAGS, move |flags, error| {
                let (sharing, length) = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, page_size());
                let buffer = libc::mmap(
                    null_mut(),
                    length,
                    libc::PROT_READ | libc::PROT_WRITE,
                    sharing,
                    -1,
                    0,
                );
                assert_ne!(buffer, libc::MAP_FAILED);
                let status = closed((abi.adopt)(buffer, length, flags, error));
                assert_eq!(libc::munmap(buffer, length), 0);
                status
            });
        }
    }

    fn scans<'a>(&'a self, table: &mut Table<'a>) {
        // SAFETY: only numbers are mistaken; pointers, descriptors and `error` are valid in every
        // call.
        unsafe {
            let (abi, hello, base) =
                (abi::load(), b"hello".as_ptr().cast::<c_void>(), WrapOptions::default());
            // Trust is for scans with a pool.
            let with_pool = move |options: &WrapOptions| {
                let pool = if options.flags & TRUST_CALLBACK != 0 { self.pool } else { null_mut() };
                WrapOptions { pool, ..*options }
            };
            // Files that the pool caches are no leak.
            let without_cache = move |status: c_int| {
                assert_eq!((abi.pool_trim)(self.pool, 0, null_mut()), 0);
                status
            };
            // The descriptor is the scan's.
            let scan = move |make: &dyn Fn(*mut *mut c_void) -> c_int| {
                without_cache(ended(abi.scan_end, make).min(0))
            };
            table.options("bytefd_scan_bytes options", WRAP, base, &[], move |options, error| {
                without_cache((abi.scan_bytes)(
                    hello,
                    5,
                    Some(nothing),
                    null_mut(),
                    &with_pool(options),
                    error,
                ))
            });
            table.options("bytefd_scan_begin options", WRAP, base, &[], move |options, error| {
                scan(&|out| (abi.scan_begin)(hello, 5, &with_pool(options), out, error))
            });
            table.options(
                "bytefd_scan_begin_iov options",
                WRAP,
                base,
                &[],
                move |options, error| {
                    let part = libc::iovec { iov_base: hello.cast_mut(), iov_len: 5 };
                    scan(&|out| (abi.scan_begin_iov)(&part, 1, &with_pool(options), out, error))
                },
            );
            table.options(
                "bytefd_scan_begin_stream options",
                WRAP,
                base,
                &[],
                move |options, error| {
                    let source = five_bytes();
                    scan(&|out| {
                        (abi.scan_begin_stream)(
                            source.as_raw_fd(),
                            &with_pool(options),
                            null(),
                            out,
                            error,
                        )
                    })
                },
            );
            let stream = StreamOptions::default();
            table.options(
                "bytefd_scan_begin_stream stream",
                STREAM,
                stream,
                &[],
                move |options, error| {
                    let source = five_bytes();
                    scan(&|out| {
                        (abi.scan_begin_stream)(source.as_raw_fd(), null(), options, out, error)
                    })
                },
            );
            table.options(
                "bytefd_scan_begin_reader options",
                WRAP,
                base,
                &[],
                move |options, error| {
                    scan(&|out| {
                        (abi.scan_begin_reader)(
                            Some(at_end),
                            null_mut(),
                            &with_pool(options),
                            null(),
                            out,
                            error,
                        )
                    })
                },
            );
            table.options(
                "bytefd_scan_begin_reader stream",
                STREAM,
                stream,
                &[],
                move |options, error| {
                    scan(&|out| {
                        (abi.scan_begin_reader)(
                            Some(at_end),
                            null_mut(),
                            null(),
                            options,
                            out,
                            error,
                        )
                    })
                },
            );
            table.options(
                "bytefd_pool_create options",
                POOL,
                PoolOptions::default(),
                &[],
                move |options, error| {
                    ended(abi.pool_close, |out| (abi.pool_create)(options, out, error))
                },
            );
        }
    }

    fn maps<'a>(&'a self, table: &mut Table<'a>) {
        // SAFETY: only numbers are mistaken; pointers, descriptors and `error` are valid in every
        // call.
        unsafe {
            let abi = abi::load();
            let base = MapOptions { access: WRITE, ..MapOptions::default() };
            table.options(
                "bytefd_map_file options",
                MAP,
                base,
                &["MAP_HUGE_PAGES", "MAP_WIPE_ON_FORK"],
                move |options, error| {
                    ended(abi.map_close, |out| {
                        (abi.map_file)(self.path.as_ptr(), options, out, error)
                    })
                },
            );
            const OPEN: &[&str] = &["MAP_CREATE", "MAP_HUGE_PAGES", "MAP_WIPE_ON_FORK"];
            table.options("bytefd_map_fd options", MAP, base, OPEN, move |options, error| {
                ended(abi.map_close, |out| (abi.map_fd)(self.file.as_raw_fd(), options, out, error))
            });
            const MEMORY: &[&str] = &["MAP_CREATE", "MAP_BEYOND_EOF", "MAP_READ"];
            let private = MapOptions { access: PRIVATE, ..base };
            table.options(
                "bytefd_map_memory options",
                MAP,
                private,
                MEMORY,
                move |options, error| {
                    ended(abi.map_close, |out| (abi.map_memory)(page_size(), options, out, error))
                },
            );
            table.argument("bytefd_map_seal timeout_ns", Takes::Timeout, move |timeout, error| {
                let memory = map::memory(page_size(), &MapOptions::default()).expect("memory");
                closed((abi.map_seal)(memory.raw(), timeout as i64, error))
            });
            table.argument("bytefd_map_share flags", NO_FLAGS, move |flags, error| {
                let memory = map::memory(page_size(), &MapOptions::default()).expect("memory");
                closed((abi.map_share)(memory.raw(), flags, error))
            });
        }
    }

    fn ranges<'a>(&'a self, table: &mut Table<'a>) {
        // SAFETY: only numbers are mistaken; pointers, descriptors and `error` are valid in every
        // call.
        unsafe {
            let (abi, map) = (abi::load(), &self.map);
            let flushes = Takes::Kernel(|flags| {
                [libc::MS_SYNC, libc::MS_ASYNC].contains(&(flags & !libc::MS_INVALIDATE))
            });
            table.argument("bytefd_map_flush flags", flushes, move |flags, error| {
                (abi.map_flush)(map.raw(), 0, TO_END, flags as c_int, error)
            });
            // For no bytes: some of it would take pages away from the machine.
            let advices = Takes::Kernel(|advice| matches!(advice, 0..=4 | 8..=25 | 100..=103));
            table.argument("bytefd_map_advise advice", advices, move |advice, error| {
                (abi.map_advise)(map.raw(), 0, 0, advice as c_int, 0, error)
            });
            let loses = Takes::Flags { right: &["LOSE_CONTENT"], unfit: &[] };
            table.argument("bytefd_map_advise flags", loses, move |flags, error| {
                (abi.map_advise)(map.raw(), 0, page_size(), libc::MADV_NORMAL, flags, error)
            });
            // Processors have no pages that can be written and not read.
            let protections = Takes::Kernel(|prot| matches!(prot, 0 | 1 | 3 | 5 | 7));
            table.argument("bytefd_map_protect prot", protections, move |prot, error| {
                (abi.map_protect)(map.raw(), 0, TO_END, prot as c_int, error)
            });
        }
    }

    fn transfers<'a>(&'a self, table: &mut Table<'a>) {
        // SAFETY: only numbers are mistaken; pointers, descriptors and `error` are valid in every
        // call.
        unsafe {
            let abi = abi::load();
            table.options(
                "bytefd_verify requirements",
                REQUIREMENTS,
                Requirements::default(),
                &[],
                move |wanted, error| (abi.verify)(self.sealed.as_raw_fd(), wanted, error),
            );
            let base = TransferOptions::default();
            table.options("bytefd_send options", SEND, base, &[], move |options, error| {
                let (ours, _theirs) = pair(libc::SOCK_STREAM);
                (abi.send)(ours.as_raw_fd(), b"hello".as_ptr().cast(), 5, null(), 0, options, error)
            });
            let receive = move |wanted: *const Requirements,
                                options: *const TransferOptions,
                                error: *mut Error| {
                let (ours, theirs) = pair(libc::SOCK_STREAM);
                crate::support::share::send(&ours, b"hello", &[&self.sealed]).expect("sent");
                let (mut message, mut size, mut fd, mut count) = ([0u8; 5], 5, -1, 1);
                let (bytes, fds) = (message.as_mut_ptr().cast(), &raw mut fd);
                let status = {
                    (abi.receive)(
                        theirs.as_raw_fd(),
                        bytes,
                        &mut size,
                        fds,
                        &mut count,
                        wanted,
                        options,
                        error,
                    )
                };
                assert!(status == 0 || (size, fd, count) == (5, -1, 1), "left alone");
                closed(fd.max(0));
                status
            };
            table.options(
                "bytefd_receive requirements",
                REQUIREMENTS,
                Requirements::default(),
                &[],
                move |wanted, error| receive(wanted, null(), error),
            );
            table.options("bytefd_receive options", RECEIVE, base, &[], move |options, error| {
                receive(null(), options, error)
            });
        }
    }

    fn names_and_segments<'a>(&'a self, table: &mut Table<'a>) {
        // SAFETY: only numbers are mistaken; pointers, descriptors and `error` are valid in every
        // call.
        unsafe {
            let abi = abi::load();
            let base = ShmOptions { flags: SHM_CREATE, length: 5, ..ShmOptions::default() };
            table.options(
                "bytefd_shm_open options",
                SHM_MEMBERS,
                base,
                &[],
                move |options, error| {
                    let mut full_name = [0; SHM_NAME_SIZE];
                    let (name, size) = (full_name.as_mut_ptr(), full_name.len());
                    let status =
                        closed((abi.shm_open)(self.shm.as_ptr(), options, name, size, error));
                    assert_eq!(status < 0, full_name[0] == 0);
                    if status == 0 {
                        assert_eq!((abi.shm_unlink)(name, null_mut()), 0);
                    }
                    status
                },
            );
            table.options(
                "bytefd_tempfile_create options",
                TEMPFILE,
                TempfileOptions::default(),
                &[],
                move |options, error| {
                    let directory = text(self.folder.path());
                    let options = TempfileOptions { directory: directory.as_ptr(), ..*options };
                    ended(abi.tempfile_close, |out| {
                        (abi.tempfile_create)(b"hello".as_ptr().cast(), 5, &options, out, error)
                    })
                },
            );
            table.options(
                "bytefd_map_sysv options",
                SYSV,
                SysvOptions::default(),
                &[],
                move |options, error| {
                    let mut options = *options;
                    // If the flags say nothing else, the existing segment is used. A new one must
                    // be written to.
                    let is_new = options.flags != 0 && options.flags & SYSV_BY_ID == 0;
                    let key = if is_new { libc::IPC_PRIVATE } else { self.segment };
                    if is_new {
                        (options.flags, options.access, options.length) =
                            (options.flags | SYSV_CREATE, WRITE, 5);
                    } else {
                        options.flags |= SYSV_BY_ID;
                    }
                    let mut number = -1;
                    let status = ended(abi.map_close, |out| {
                        (abi.map_sysv)(key, &options, out, &mut number, error)
                    });
                    assert_eq!(status < 0, number == -1, "left alone");
                    if is_new && status == 0 {
                        // A transient segment is gone already.
                        libc::shmctl(number, libc::IPC_RMID, null_mut());
                    }
                    status
                },
            );
        }
    }

    fn waits<'a>(&'a self, table: &mut Table<'a>) {
        // SAFETY: only numbers are mistaken; pointers, descriptors and `error` are valid in every
        // call.
        unsafe {
            let abi = abi::load();
            let lock = move |operation: c_int, timeout: i64, flags: u64, error: *mut Error| {
                let fd = self.file.as_raw_fd();
                {
                    let status = (abi.file_lock)(fd, 0, 1, operation, timeout, flags, error);
                    assert_eq!((abi.file_unlock)(fd, 0, 1, null_mut()), 0);
                    status
                }
            };
            let operations = Takes::Kernel(|operation| {
                [libc::LOCK_SH, libc::LOCK_EX].contains(&(operation & !libc::LOCK_NB))
            });
            table.argument("bytefd_file_lock operation", operations, move |operation, error| {
                lock(operation as c_int, -1, 0, error)
            });
            table.argument("bytefd_file_lock timeout_ns", Takes::Timeout, move |timeout, error| {
                lock(libc::LOCK_EX, timeout as i64, 0, error)
            });
            table.argument("bytefd_file_lock flags", INTERRUPTS, move |flags, error| {
                lock(libc::LOCK_EX, -1, flags, error)
            });
            // The word is not 0, so that the call does not wait.
            let wait = move |timeout: i64, flags: u64, error: *mut Error| {
                (abi.futex_wait)((&raw const self.word).cast(), 0, timeout, flags, error)
            };
            table.argument(
                "bytefd_futex_wait timeout_ns",
                Takes::Timeout,
                move |timeout, error| wait(timeout as i64, 0, error),
            );
            table.argument("bytefd_futex_wait flags", INTERRUPTS, move |flags, error| {
                wait(-1, flags, error)
            });
        }
    }

    /// Passes buffers that hold nothing.
    pub fn without_capacity(&self) {
        let (abi, names) = (abi::load(), self.names());
        let mut byte = 0x55;
        let buffer = &raw mut byte;
        let options = ShmOptions { flags: SHM_CREATE, length: 5, ..ShmOptions::default() };
        let refused = |what: &str, call: &dyn Fn(*mut Error) -> c_int| {
            let mut error = Error::untouched();
            assert_eq!((call(&mut error), error.op()), (-libc::ERANGE, what));
        };
        // SAFETY: no buffer has room for anything; the rest is valid.
        unsafe {
            refused("buf", &|error| (abi.path)(self.sealed.as_raw_fd(), buffer, 0, error));
            refused("buf", &|error| (abi.host_report)(buffer, 0, error));
            refused("full_name", &|error| {
                (abi.shm_open)(self.shm.as_ptr(), &options, buffer, 0, error)
            });
        }
        assert_eq!((byte, self.names()), (0x55, names));

        // A receiver with room for no descriptor keeps none.
        for kind in [libc::SOCK_STREAM, libc::SOCK_SEQPACKET, libc::SOCK_DGRAM] {
            let (ours, theirs) = pair(kind);
            crate::support::share::send(&ours, b"hello", &[&self.sealed]).expect("sent");
            let failure = crate::support::share::receive(&theirs, 5, 0).expect_err("more than fit");
            assert_eq!(failure.errno, libc::EBADMSG, "{failure:?}");
        }
    }

    /// Passes `../` and similar names in everything that becomes a part of a path.
    pub fn elsewhere(&self) {
        let (abi, names, hello) = (abi::load(), self.names(), b"hello".as_ptr().cast::<c_void>());
        let refused = |what: &str, text: &CStr, call: &dyn Fn(*mut Error) -> c_int| {
            let mut error = Error::untouched();
            assert_eq!((call(&mut error), error.op()), (-libc::EINVAL, what), "{text:?}");
            assert_eq!(self.names(), names, "{text:?}");
        };
        const SLASHED: [&CStr; 6] = [c"../x", c"/../x", c"x/../y", c"../../tmp/x", c"x/", c"//x"];
        const DIRECTORIES: [&CStr; 5] = [c"..", c".", c"/..", c"/.", c""];
        // SAFETY: strings, valid options, writable objects or NULL.
        unsafe {
            for name in SLASHED.into_iter().chain(DIRECTORIES) {
                for flags in [0, SHM_CREATE, SHM_NEW, SHM_CREATE | SHM_OWNED, SHM_ANY_OWNER] {
                    let options = ShmOptions { flags, length: 5, ..ShmOptions::default() };
                    refused("name", name, &|error| {
                        (abi.shm_open)(name.as_ptr(), &options, null_mut(), 0, error)
                    });
                }
                refused("name", name, &|error| (abi.shm_unlink)(name.as_ptr(), error));
            }
            let directory = text(self.folder.path());
            for text in SLASHED {
                let options = TempfileOptions {
                    suffix: text.as_ptr(),
                    directory: directory.as_ptr(),
                    ..TempfileOptions::default()
                };
                refused("suffix", text, &|error| {
                    ended(abi.tempfile_close, |out| {
                        (abi.tempfile_create)(hello, 5, &options, out, error)
                    })
                });
                for (backend, pool) in [AUTO, MEMFD, SHM, TMPFILE]
                    .map(|backend| (backend, null_mut()))
                    .into_iter()
                    .chain([(AUTO, self.pool)])
                {
                    let options = WrapOptions {
                        name: text.as_ptr(),
                        backend,
                        pool,
                        ..WrapOptions::default()
                    };
                    refused("name", text, &|error| {
                        (abi.scan_bytes)(hello, 5, Some(nothing), null_mut(), &options, error)
                    });
                    if pool.is_null() {
                        refused("name", text, &|error| {
                            closed((abi.shm_wrap_buffer)(hello, 5, &options, error))
                        });
                    }
                }
            }
        }
    }
}
