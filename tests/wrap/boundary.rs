//! Tests what holds for every exported function: the structs that it is given, NULL, and the error
//! that it may be asked for.

use std::ffi::{c_int, c_void};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::ptr::{null, null_mut};

use crate::support::abi::{self, *};
use crate::support::fd::{metadata, wrap_with};
use crate::support::map::page_size;
use crate::support::named::unique;
use crate::support::share::{do_not_block, pair, send};

unsafe extern "C" fn nothing(_: c_int, _: *mut c_void) -> c_int {
    0
}

/// Closes what was made, if it was.
fn closed(status: c_int) -> c_int {
    // SAFETY: nobody else knows the descriptor.
    if status > 0 { unsafe { libc::close(status) } } else { status }
}

fn unmapped(make: impl FnOnce(*mut *mut c_void) -> c_int) -> c_int {
    let mut map = null_mut();
    let status = make(&mut map);
    // SAFETY: NULL or a map.
    unsafe { (abi::load().map_close)(map) };
    status
}

/// Two pages. The second cannot be used, so that a read past a struct at the end of the first
/// raises a signal.
struct Edge(*mut u8);

impl Edge {
    fn new() -> Edge {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping, and a page of it.
        unsafe {
            let start = libc::mmap(
                null_mut(),
                2 * page_size(),
                libc::PROT_READ | libc::PROT_WRITE,
                flags,
                -1,
                0,
            );
            assert_ne!(start, libc::MAP_FAILED);
            assert_eq!(libc::mprotect(start.add(page_size()), page_size(), libc::PROT_NONE), 0);
            Edge(start.cast())
        }
    }

    /// Writes a struct that says it has `size` bytes, and that has `there` bytes: first those of
    /// `init`, then 0 except the byte at `set`. Less than a word of rubbish follows.
    fn options(&self, init: &[u8], size: usize, there: usize, set: Option<usize>) -> *const c_void {
        let start = (page_size() - there) / 8 * 8;
        // SAFETY: within the first page.
        unsafe {
            self.0.add(start).write_bytes(0, there);
            self.0.add(start).copy_from_nonoverlapping(init.as_ptr(), init.len().min(there));
            self.0.add(start + there).write_bytes(0x5a, page_size() - start - there);
            set.inspect(|at| self.0.add(start + at).write(1));
            self.0.add(start).cast::<usize>().write(size);
            self.0.add(start).cast()
        }
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        // SAFETY: mapped above, and nothing refers to it.
        assert_eq!(unsafe { libc::munmap(self.0.cast(), 2 * page_size()) }, 0);
    }
}

fn bytes_of<T: Copy>(value: &T) -> &[u8] {
    // SAFETY: the structs of the header have no padding that is not set.
    unsafe { std::slice::from_raw_parts((&raw const *value).cast(), size_of::<T>()) }
}

pub fn option_structs_of_every_size_are_handled_as_promised() {
    let (abi, hello) = (abi::load(), b"hello".as_ptr().cast());
    let part = libc::iovec { iov_base: b"hello".as_ptr().cast_mut().cast(), iov_len: 5 };
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = std::ffi::CString::new(file.path().to_str().unwrap()).unwrap();
    let absent = std::ffi::CString::new(unique("options")).unwrap();
    let lent = wrap_with(b"hello", 0, AUTO).unwrap();
    let stream = |options: *const c_void, error: *mut Error| {
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"hello").unwrap();
        drop(writer);
        // SAFETY: options as below.
        let status =
            closed(unsafe { (abi.wrap_stream)(reader.as_raw_fd(), null(), options.cast(), error) });
        let left = crate::support::share::waiting(&reader);
        assert_eq!(left, if status == 0 { 0 } else { 5 }, "refused before anything is read");
        status
    };
    let begin = |options: *const c_void, error: *mut Error| {
        let mut scan = null_mut();
        // SAFETY: options as below; NULL or a handle.
        unsafe {
            let status = (abi.scan_begin)(hello, 5, options.cast(), &mut scan, error);
            (abi.scan_end)(scan);
            status.min(0)
        }
    };
    let (ours, theirs) = pair(libc::SOCK_DGRAM);
    let us = ours.as_raw_fd();
    do_not_block(&ours);
    let receive = |options: *const c_void, error: *mut Error| {
        let (mut size, mut count, mut message) = (5, 0, [0u8; 5]);
        let (bytes, fds) = (message.as_mut_ptr().cast(), null_mut());
        send(&ours, b"hello", &[]).unwrap();
        // SAFETY: options as below; room for as much as it says.
        let status = unsafe {
            (abi.receive)(
                theirs.as_raw_fd(),
                bytes,
                &mut size,
                fds,
                &mut count,
                null(),
                options.cast(),
                error,
            )
        };
        if status != 0 {
            assert_eq!(
                crate::support::share::receive(&theirs, 5, 0).unwrap().0,
                b"hello",
                "refused before it is received"
            );
        }
        status
    };
    let temporary = |options: *const c_void, error: *mut Error| {
        let mut file = null_mut();
        // SAFETY: options as below; NULL or a handle.
        unsafe {
            let status = (abi.tempfile_create)(hello, 5, options.cast(), &mut file, error);
            assert_eq!((abi.tempfile_close)(file), 0);
            status
        }
    };
    /// The size of the struct in the first version, what its _INIT sets, and a call that undoes
    /// what it did.
    type Takes<'a> = (&'a str, usize, &'a [u8], &'a dyn Fn(*const c_void, *mut Error) -> c_int);
    let (wrapping, streaming, pooling) =
        (WrapOptions::default(), StreamOptions::default(), PoolOptions::default());
    let (wrapping, streaming, pooling) =
        (bytes_of(&wrapping), bytes_of(&streaming), bytes_of(&pooling));
    let (mapping, requiring) = (MapOptions::default(), Requirements::default());
    let (naming, attaching) = (ShmOptions::default(), SysvOptions::default());
    let transferring = TransferOptions::default();
    let transferring = bytes_of(&transferring);
    let (mapping, requiring) = (bytes_of(&mapping), bytes_of(&requiring));
    let (naming, attaching) = (bytes_of(&naming), bytes_of(&attaching));
    let create = |options: *const c_void, error: *mut Error| {
        let mut pool = null_mut();
        // SAFETY: options as below; NULL or a pool.
        unsafe {
            let status = (abi.pool_create)(options.cast(), &mut pool, error);
            (abi.pool_close)(pool);
            status
        }
    };
    let begin_stream = |options: *const c_void, error: *mut Error| {
        let (mut scan, (reader, _)) = (null_mut(), std::io::pipe().unwrap());
        // SAFETY: options as below; NULL or a handle.
        unsafe {
            let status = (abi.scan_begin_stream)(
                reader.as_raw_fd(),
                options.cast(),
                null(),
                &mut scan,
                error,
            );
            (abi.scan_end)(scan);
            status.min(0)
        }
    };
    // SAFETY: NULL, or as many bytes as they say, unless that is what is refused.
    let calls: [Takes; 16] = unsafe {
        [
            ("shm_wrap_buffer", 48, wrapping, &|o, e| {
                closed((abi.shm_wrap_buffer)(hello, 5, o.cast(), e))
            }),
            ("wrap_iov", 48, wrapping, &|o, e| closed((abi.wrap_iov)(&part, 1, o.cast(), e))),
            ("scan_bytes", 48, wrapping, &|o, e| {
                (abi.scan_bytes)(hello, 5, Some(nothing), null_mut(), o.cast(), e)
            }),
            ("scan_begin", 48, wrapping, &begin),
            ("map_file", 56, mapping, &|o, e| {
                unmapped(|map| (abi.map_file)(path.as_ptr(), o.cast(), map, e))
            }),
            ("map_fd", 56, mapping, &|o, e| {
                unmapped(|map| (abi.map_fd)(file.as_raw_fd(), o.cast(), map, e))
            }),
            ("map_memory", 56, mapping, &|o, e| {
                unmapped(|map| (abi.map_memory)(5, o.cast(), map, e))
            }),
            ("scan_begin_stream", 48, wrapping, &begin_stream),
            ("pool_create", 40, pooling, &create),
            ("wrap_stream", 40, streaming, &stream),
            ("verify", 40, requiring, &|o, e| (abi.verify)(lent.as_raw_fd(), o.cast(), e)),
            ("send", 24, transferring, &|o, e| (abi.send)(us, hello, 5, null(), 0, o.cast(), e)),
            ("receive", 24, transferring, &receive),
            ("tempfile_create", 40, &[0; 40], &temporary),
            ("shm_open", 32, naming, &|o, e| {
                (abi.shm_open)(absent.as_ptr(), o.cast(), null_mut(), 0, e)
            }),
            ("map_sysv", 32, attaching, &|o, e| {
                unmapped(|map| (abi.map_sysv)(-77, o.cast(), map, null_mut(), e))
            }),
        ]
    };
    let edge = Edge::new();
    for (name, first, init, call) in calls {
        let known = init.len();
        let defaults = call(null(), null_mut());
        let refused = |options, errno: i32, size: usize| {
            let mut error = Error::untouched();
            assert_eq!(call(options, &mut error), -errno, "{name}: a struct of {size} bytes");
            assert_eq!(error.op(), "options");
            assert!(error.message().contains(&size.to_string()), "{}", error.message());
        };
        for size in [0, 1, 8, first - 8, first - 1] {
            refused(edge.options(init, size, size.max(8), None), libc::EINVAL, size);
        }
        for size in [first, known, known + 1, known + 8, 2 * known, page_size().min(4096)] {
            let status = call(edge.options(init, size, size, None), null_mut());
            assert_eq!(status, defaults, "{name}: {size} bytes, all defaults");
            for at in [known, size.wrapping_sub(1)] {
                if size > known {
                    refused(edge.options(init, size, size, Some(at)), libc::E2BIG, size);
                }
            }
        }
        // Rubbish must not make the library read all memory.
        for size in [4097, 1 << 40, usize::MAX] {
            refused(edge.options(init, size, known, None), libc::E2BIG, size);
        }
    }
}

/// The error may be NULL as well.
pub fn null_and_closed_descriptors_are_refused_and_named() {
    let abi = abi::load();
    let (mut byte, mut size, mut fd) = (0u8, 7777usize, -77);
    let (bytes, count, number): (*mut c_void, *mut usize, *mut c_int) =
        ((&raw mut byte).cast(), &mut size, &mut fd);
    let (out, name, file) =
        (&mut null_mut::<c_void>() as *mut _, c"/etc/passwd".as_ptr(), std::process::id());
    let file = wrap_with(&file.to_ne_bytes(), 0, AUTO).unwrap();
    let (ours, theirs) = pair(libc::SOCK_DGRAM);
    let (us, they) = (ours.as_raw_fd(), theirs.as_raw_fd());
    let (mut room, mut capacity, mut nothing_fits) = (5usize, 1usize, 0usize);
    let (five, one, none): (*mut usize, *mut usize, *mut usize) =
        (&mut room, &mut capacity, &mut nothing_fits);
    let mut pool = null_mut();
    // SAFETY: a writable pointer.
    assert_eq!(unsafe { (abi.pool_create)(null(), &mut pool, null_mut()) }, 0);
    let map =
        crate::support::map::memory(5, &MapOptions { access: PRIVATE, ..MapOptions::default() })
            .unwrap();
    type Refused<'a> = (&'a str, i32, &'a dyn Fn(*mut Error) -> c_int);
    // SAFETY: what is not NULL is valid; what is NULL must be found out.
    let calls: [Refused; 67] = unsafe {
        [
            ("buf", libc::EINVAL, &|e| (abi.shm_wrap_buffer)(null(), 1, null(), e)),
            ("iov", libc::EINVAL, &|e| (abi.wrap_iov)(null(), 1, null(), e)),
            ("", libc::EBADF, &|e| (abi.reopen)(-1, 0, e)),
            ("", libc::EBADF, &|e| (abi.path)(-1, bytes.cast(), 32, e)),
            ("buf", libc::EINVAL, &|e| (abi.path)(file.as_raw_fd(), null_mut(), 32, e)),
            ("scan", libc::EINVAL, &|e| (abi.scan_bytes)(bytes, 1, None, null_mut(), null(), e)),
            ("buf", libc::EINVAL, &|e| {
                (abi.scan_bytes)(null(), 1, Some(nothing), null_mut(), null(), e)
            }),
            ("scan", libc::EINVAL, &|e| (abi.scan_begin)(bytes, 1, null(), null_mut(), e)),
            ("scan", libc::EINVAL, &|e| (abi.scan_begin_iov)(null(), 0, null(), null_mut(), e)),
            ("iov", libc::EINVAL, &|e| (abi.scan_begin_iov)(null(), 1, null(), out, e)),
            ("scan", libc::EINVAL, &|e| (abi.scan_begin_stream)(0, null(), null(), null_mut(), e)),
            ("", libc::EBADF, &|e| (abi.scan_begin_stream)(-1, null(), null(), out, e)),
            ("pool", libc::EINVAL, &|e| (abi.pool_create)(null(), null_mut(), e)),
            ("pool", libc::EINVAL, &|e| (abi.pool_trim)(null_mut(), 0, e)),
            ("pool", libc::EINVAL, &|e| (abi.pool_get_stats)(null_mut(), bytes.cast(), e)),
            ("stats", libc::EINVAL, &|e| (abi.pool_get_stats)(pool, null_mut(), e)),
            ("path", libc::EINVAL, &|e| (abi.map_file)(null(), null(), out, e)),
            ("map", libc::EINVAL, &|e| (abi.map_file)(name, null(), null_mut(), e)),
            ("", libc::EBADF, &|e| (abi.map_fd)(-1, null(), out, e)),
            ("map", libc::EINVAL, &|e| (abi.map_fd)(0, null(), null_mut(), e)),
            ("map", libc::EINVAL, &|e| (abi.map_memory)(1, null(), null_mut(), e)),
            ("map", libc::EINVAL, &|e| (abi.map_descriptor)(null(), e)),
            ("map", libc::EINVAL, &|e| (abi.map_flush)(null_mut(), 0, 0, libc::MS_SYNC, e)),
            ("map", libc::EINVAL, &|e| (abi.map_advise)(null_mut(), 0, 0, 0, 0, e)),
            ("map", libc::EINVAL, &|e| (abi.map_mlock)(null_mut(), 0, 0, e)),
            ("map", libc::EINVAL, &|e| (abi.map_munlock)(null_mut(), 0, 0, e)),
            ("map", libc::EINVAL, &|e| (abi.map_protect)(null_mut(), 0, 0, 3, e)),
            ("map", libc::EINVAL, &|e| (abi.map_prefetch)(null_mut(), 0, 0, e)),
            ("map", libc::EINVAL, &|e| (abi.map_unmap)(null_mut(), 0, 0, e)),
            ("map", libc::EINVAL, &|e| (abi.map_read)(null(), 0, bytes, 1, count, e)),
            ("buf", libc::EINVAL, &|e| (abi.map_read)(map.raw(), 0, null_mut(), 1, count, e)),
            ("copied", libc::EINVAL, &|e| (abi.map_read)(map.raw(), 0, bytes, 1, null_mut(), e)),
            ("map", libc::EINVAL, &|e| (abi.map_write)(null_mut(), 0, bytes, 1, count, e)),
            ("buf", libc::EINVAL, &|e| (abi.map_write)(map.raw(), 0, null(), 1, count, e)),
            ("copied", libc::EINVAL, &|e| (abi.map_write)(map.raw(), 0, bytes, 1, null_mut(), e)),
            ("map", libc::EINVAL, &|e| (abi.map_check)(null(), e)),
            ("map", libc::EINVAL, &|e| (abi.map_resize)(null_mut(), 1, e)),
            ("map", libc::EINVAL, &|e| (abi.map_seal)(null_mut(), 0, e)),
            ("timeout_ns", libc::EINVAL, &|e| (abi.map_seal)(map.raw(), -2, e)),
            ("timeout_ns", libc::EINVAL, &|e| (abi.map_seal)(map.raw(), i64::MIN, e)),
            ("map", libc::EINVAL, &|e| (abi.map_share)(null_mut(), 0, e)),
            ("flags", libc::EINVAL, &|e| (abi.map_share)(map.raw(), 1, e)),
            ("map", libc::EINVAL, &|e| (abi.map_file_size)(null(), &mut 0, e)),
            ("size", libc::EINVAL, &|e| (abi.map_file_size)(map.raw(), null_mut(), e)),
            ("length", libc::EINVAL, &|e| (abi.map_unmap)(map.raw(), 0, 0, e)),
            ("buf", libc::EINVAL, &|e| (abi.host_report)(null_mut(), 1024, e)),
            ("address", libc::EINVAL, &|e| (abi.adopt)(null_mut(), page_size(), 0, e)),
            ("flags", libc::EINVAL, &|e| (abi.adopt)(null_mut(), page_size(), 1, e)),
            ("", libc::EBADF, &|e| (abi.wrap_stream)(-1, null(), null(), e)),
            ("", libc::EBADF, &|e| (abi.verify)(-1, null(), e)),
            ("message", libc::EINVAL, &|e| (abi.send)(us, null(), 5, null(), 0, null(), e)),
            ("fds", libc::EINVAL, &|e| (abi.send)(us, bytes, 1, null(), 1, null(), e)),
            ("message", libc::EINVAL, &|e| {
                (abi.receive)(they, null_mut(), five, number, one, null(), null(), e)
            }),
            ("length", libc::EINVAL, &|e| {
                (abi.receive)(they, bytes, null_mut(), number, one, null(), null(), e)
            }),
            ("fds", libc::EINVAL, &|e| {
                (abi.receive)(they, bytes, five, null_mut(), one, null(), null(), e)
            }),
            ("count", libc::EINVAL, &|e| {
                (abi.receive)(they, bytes, five, number, null_mut(), null(), null(), e)
            }),
            ("credentials", libc::EINVAL, &|e| (abi.peer_credentials)(us, null_mut(), e)),
            ("name", libc::EINVAL, &|e| (abi.shm_open)(null(), null(), null_mut(), 0, e)),
            ("name", libc::EINVAL, &|e| (abi.shm_unlink)(null(), e)),
            ("file", libc::EINVAL, &|e| (abi.tempfile_create)(bytes, 1, null(), null_mut(), e)),
            ("map", libc::EINVAL, &|e| (abi.map_sysv)(0, null(), null_mut(), null_mut(), e)),
            ("", libc::EINVAL, &|e| (abi.sysv_remove)(-1, e)),
            ("", libc::EBADF, &|e| (abi.export_dmabuf)(-1, e)),
            ("", libc::EBADF, &|e| (abi.file_lock)(-1, 0, 1, libc::LOCK_SH, -1, 0, e)),
            ("", libc::EBADF, &|e| (abi.file_unlock)(-1, 0, 1, e)),
            ("word", libc::EINVAL, &|e| (abi.futex_wait)(null(), 0, 0, 0, e)),
            ("word", libc::EINVAL, &|e| (abi.futex_wake)(null(), 1, e)),
        ]
    };
    for (index, (op, errno, call)) in calls.into_iter().enumerate() {
        let mut error = Error::untouched();
        assert_eq!((call(&mut error), error.code), (-errno, -errno), "call {index}");
        assert!(op.is_empty() || error.op() == op, "call {index}: {} and not {op}", error.op());
        assert!(!error.message().is_empty() && !error.message().contains('\n'), "call {index}");
        assert_eq!(call(null_mut()), -errno, "call {index}");
    }
    // Nothing was written or sent, and where there is nothing to point to, or to end, NULL is fine.
    // SAFETY: as the header allows.
    unsafe {
        assert_eq!((byte, size, fd, (*out).is_null()), (0, 7777, -77, true));
        assert_eq!(crate::support::share::waiting(&theirs), 0);
        assert_eq!((abi.send)(us, null(), 0, null(), 0, null(), null_mut()), 0);
        assert_eq!((*five, *one), (5, 1));
        assert_eq!(
            (abi.receive)(they, null_mut(), none, null_mut(), none, null(), null(), null_mut()),
            0
        );
        assert_eq!((abi.map_read)(map.raw(), 0, null_mut(), 0, count, null_mut()), 0);
        assert_eq!(metadata(&file).len(), 4);
        assert_eq!(((abi.pool_close)(pool), (abi.pool_close)(null_mut())), (0, 0));
        assert_eq!(
            (
                (abi.map_close)(null_mut()),
                (abi.scan_end)(null_mut()),
                (abi.tempfile_close)(null_mut())
            ),
            (0, 0, 0)
        );
        assert!(
            (abi.map_data)(null()).is_null()
                && (abi.map_length)(null()) == 0
                && (abi.tempfile_path)(null()).is_null()
        );
    }
}
