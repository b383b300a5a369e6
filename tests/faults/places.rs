//! Tests everything that needs a file on a file system, on all kinds of file systems that this host
//! lets a test mount.

use std::ffi::{CStr, CString, OsString, c_int};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::conditions::*;
use super::file_systems::{link, set_tmpdir};
use crate::support::abi::*;
use crate::support::fd::{content, metadata, pattern, wrap, wrap_with};
use crate::support::fuse::{FALLOCATE, Fuse, LINK};
use crate::support::map::{map, map_fd, map_with, page_size};
use crate::support::named::{Child, file_lock, say, sleep_for_ever, sweep_result, tempfile_with};
use crate::support::share::{wrap_stream, wrap_stream_with};

/// Hides the folders that a sweep looks into. Each is then empty and this process's own.
fn hidden() -> [Mounted; 3] {
    ["/dev/shm", "/var/tmp", "/tmp"].map(|folder| hide(folder, "mode=1777"))
}

fn names(at: &Path) -> Vec<OsString> {
    let mut names: Vec<_> = at
        .read_dir()
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    names.sort();
    names
}

/// Checks everything in this folder. `shares` says that files can be mapped for shared writing.
fn all_works(at: &Path, shares: bool) {
    set_tmpdir(at.to_str().expect("UTF-8"));
    let other = at.join("other");
    std::fs::write(&other, pattern(70_000)).expect("written");
    let before = names(at);
    if shares {
        files_are_created_and_grow(at);
        a_cut_file_is_lost_pages(at);
    }
    files_are_read(&other);
    assert_eq!(names(at), before);
    files_without_a_name(at, &other);
    assert_eq!(names(at), before);
    temporary_files_are_held_and_swept(at);
    assert_eq!(names(at), before);
    assert!(std::fs::read(&other).expect("read") == pattern(70_000));
    std::fs::remove_file(&other).expect("removed");
}

fn files_are_created_and_grow(at: &Path) {
    let path = at.join("new");
    for flags in [CREATE, CREATE | NO_RESERVE, CREATE | GUARD] {
        for old in [0, 100, page_size(), 70_000] {
            if old > 0 {
                std::fs::write(&path, pattern(old)).expect("written");
            }
            let (access, file_size) = (WRITE, 100_000);
            let mut map =
                map(&path, &MapOptions { access, file_size, flags, ..MapOptions::default() })
                    .expect("mapped");
            let mut expected = pattern(old);
            expected.resize(300_000, 0);
            assert!(map.bytes() == expected[..100_000], "from {old}");
            map.resize(300_000).expect("grown");
            assert!(map.bytes() == expected, "from {old}");
            map.store(299_999, b"!");
            expected[299_999] = b'!';
            map.flush(0, TO_END, libc::MS_SYNC).expect("flushed");
            assert!(std::fs::read(&path).expect("read") == expected, "from {old}");
            map.resize(10).expect("shrunk");
            assert!(std::fs::read(&path).expect("read") == expected[..10]);
            drop(map);
            std::fs::remove_file(&path).expect("removed");
        }
        let past =
            MapOptions { access: WRITE, file_size: 10, offset: 11, flags, ..MapOptions::default() };
        assert_eq!(map(&path, &past).expect_err("refused").errno, libc::ENXIO);
        assert!(!path.exists(), "a file that was created is gone");
    }
}

fn a_cut_file_is_lost_pages(at: &Path) {
    let (path, page) = (at.join("cut"), page_size());
    std::fs::write(&path, pattern(4 * page)).expect("written");
    let map = map_with(&path, WRITE, GUARD).expect("mapped");
    File::options()
        .write(true)
        .open(&path)
        .and_then(|file| file.set_len(page as u64 + 1))
        .expect("cut");
    let mut copy = vec![0; 4 * page];
    assert_eq!(map.read(0, &mut copy).expect("read"), page + 1);
    map.check().expect("a copy replaces nothing");
    assert!(map.bytes()[page + 1..].iter().all(|byte| *byte == 0));
    assert_eq!(map.check().expect_err("lost").errno, libc::EIO);
    std::fs::remove_file(&path).expect("removed");
}

fn files_are_read(path: &Path) {
    let file = File::open(path).expect("opened");
    for (access, flags) in [(READ, 0), (READ, GUARD), (READ, POPULATE), (PRIVATE, 0)] {
        let options = MapOptions { access, flags, ..MapOptions::default() };
        for map in [map(path, &options), map_fd(file.as_raw_fd(), &options)] {
            assert!(map.expect("mapped").bytes() == pattern(70_000));
        }
    }
    assert!(content(&wrap_stream(&file, std::ptr::null()).expect("read")) == pattern(70_000));
    file_lock(&file, 0, 10, libc::LOCK_SH, 0, 0).expect("locked");
}

fn files_without_a_name(at: &Path, source: &Path) {
    let place = at.to_str().expect("UTF-8");
    let before = names(at);
    let check = |fd: OwnedFd| {
        assert!(link(&fd).starts_with(place), "{}", link(&fd));
        assert!(content(&fd) == pattern(70_000) && metadata(&fd).nlink() == 0);
        assert_eq!(names(at), before, "no name is left");
    };
    for flags in [0, READ_ONLY, WRITABLE, EXECUTABLE] {
        check(wrap_with(&pattern(70_000), flags, TMPFILE).expect("a file on disk"));
    }
    let spills = WrapOptions { spill_threshold: 1000, ..WrapOptions::default() };
    check(wrap(&pattern(70_000), &spills).expect("a file on disk"));
    check(
        wrap_stream_with(&File::open(source).expect("opened"), &spills, std::ptr::null())
            .expect("a file on disk"),
    );
}

fn temporary_files_are_held_and_swept(at: &Path) {
    let directory = CString::new(at.to_str().expect("UTF-8")).expect("no NUL");
    let create = || {
        let options =
            TempfileOptions { directory: directory.as_ptr(), ..TempfileOptions::default() };
        tempfile_with(b"hello", &options).expect("created")
    };
    let file = create();
    assert!(file.path().starts_with(at));
    let swept = sweep_result();
    assert_eq!((swept.removed, swept.in_use, swept.failed), (0, 1, 0));
    assert_eq!(std::fs::read(file.path()).expect("read"), b"hello");
    drop(file);

    let mut child = Child::new(|says| {
        let file = create();
        std::fs::write(file.path().with_file_name("beside it"), "").expect("written");
        say(says, 1);
        sleep_for_ever()
    });
    child.hear();
    child.kill();
    let swept = sweep_result();
    assert_eq!((swept.removed, swept.in_use, swept.failed), (1, 0, 0));
}

pub fn all_works_on_a_file_system_of_a_process() {
    let _hidden = hidden();
    all_works(Fuse::new().path(), true);
}

pub fn all_works_on_a_file_system_that_knows_little() {
    let _hidden = hidden();
    for errno in [libc::ENOSYS, libc::EINVAL, libc::EPERM] {
        let fuse = Fuse::new();
        fuse.refuse(FALLOCATE, errno);
        fuse.refuse(LINK, errno);
        all_works(fuse.path(), true);
    }
}

pub fn all_but_shared_mappings_works_where_there_are_none() {
    let _hidden = hidden();
    let fuse = Fuse::new();
    fuse.do_direct_io();
    all_works(fuse.path(), false);
}

pub fn all_works_on_ext2() {
    // Blocks that are smaller than a page.
    all_works_on_an_image("mkfs.ext2", &["-b", "1024"], c"ext2");
}

pub fn all_works_on_ext4() {
    all_works_on_an_image("mkfs.ext4", &[], c"ext4");
}

fn all_works_on_an_image(program: &str, arguments: &[&str], kind: &CStr) {
    let _hidden = hidden();
    let folder = tempfile::tempdir().expect("a folder");
    let (image, at) = (folder.path().join("image"), folder.path().join("mounted"));
    std::fs::create_dir(&at).expect("a folder");
    File::create_new(&image).and_then(|file| file.set_len(64 << 20)).expect("an image");
    let made = Command::new(program).args(["-q", "-F"]).args(arguments).arg(&image).output();
    let made = made.unwrap_or_else(|error| skip(format_args!("{program}: {error}")));
    assert!(made.status.success(), "{program}: {}", String::from_utf8_lossy(&made.stderr));
    let device = LoopDevice::new(&image)
        .unwrap_or_else(|error| skip(format_args!("no loop device: {error}")));
    let source = CString::new(device.path.to_str().expect("UTF-8")).expect("no NUL");
    let mounted = mounted(kind, &source, &at, "")
        .unwrap_or_else(|error| skip(format_args!("{kind:?}: {error}")));
    all_works(&at, true);
    drop(mounted);
}

/// A file as a block device, loop(4). The device is free again once it is neither open nor mounted.
struct LoopDevice {
    path: PathBuf,
    _device: File,
}

impl LoopDevice {
    fn new(image: &Path) -> std::io::Result<LoopDevice> {
        const LOOP_SET_FD: u32 = 0x4c00;
        const LOOP_SET_STATUS64: u32 = 0x4c04;
        const LOOP_CTL_GET_FREE: u32 = 0x4c82;
        /// struct loop_info64: LO_FLAGS_AUTOCLEAR at `lo_flags`.
        const AUTOCLEAR: [u64; 29] = {
            let mut info = [0; 29];
            info[6] = if cfg!(target_endian = "little") { 4 << 32 } else { 4 };
            info
        };
        let ioctl = |device: &File, request: u32, argument: usize| {
            // SAFETY: these requests take a number, or read a struct of 232 bytes.
            match unsafe { libc::ioctl(device.as_raw_fd(), request as _, argument) } {
                -1 => Err(std::io::Error::last_os_error()),
                answer => Ok(answer),
            }
        };
        let open = |path: &Path| File::options().read(true).write(true).open(path);
        let (control, image) = (open("/dev/loop-control".as_ref())?, open(image)?);
        loop {
            let number: c_int = ioctl(&control, LOOP_CTL_GET_FREE, 0)?;
            let path = PathBuf::from(format!("/dev/loop{number}"));
            let device = open(&path)?;
            match ioctl(&device, LOOP_SET_FD, image.as_raw_fd() as usize) {
                // Somebody else was faster.
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => continue,
                set => set?,
            };
            ioctl(&device, LOOP_SET_STATUS64, AUTOCLEAR.as_ptr().expose_provenance())?;
            return Ok(LoopDevice { path, _device: device });
        }
    }
}

pub fn all_works_on_an_overlay() {
    let _hidden = hidden();
    let folder = tempfile::tempdir().expect("a folder");
    let [lower, upper, at] = ["lower", "upper", "merged"].map(|name| folder.path().join(name));
    [&lower, &upper, &at].into_iter().for_each(|path| std::fs::create_dir(path).expect("a folder"));
    let _layers = [hide(&lower, "mode=755"), hide(&upper, "mode=755")];
    ["new", "work"]
        .into_iter()
        .for_each(|name| std::fs::create_dir(upper.join(name)).expect("a folder"));
    std::fs::write(lower.join("below"), pattern(70_000)).expect("written");
    let (low, up) = (lower.display(), upper.display());
    let options = format!("lowerdir={low},upperdir={up}/new,workdir={up}/work");
    let merged = mounted(c"overlay", c"overlay", &at, &options);
    let merged = merged.unwrap_or_else(|error| skip(format_args!("overlay: {error}")));
    all_works(&at, true);

    // The first file that is opened for writing is another file, above.
    let below = at.join("below");
    files_are_read(&below);
    let mut map = map_with(&below, WRITE, 0).expect("mapped");
    map.store(0, b"above");
    map.resize(100_000).expect("grown");
    drop(map);
    let mut expected = pattern(70_000);
    expected[..5].copy_from_slice(b"above");
    expected.resize(100_000, 0);
    assert!(std::fs::read(&below).expect("read") == expected);
    assert!(std::fs::read(lower.join("below")).expect("read") == pattern(70_000));
    drop(merged);
}
