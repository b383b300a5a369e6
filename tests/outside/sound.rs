//! Tests that the bytes that a slice shows stay as they are, whatever safe code does.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::sync::atomic::Ordering::SeqCst;

use bytefd::share::{self, Requirements};
use bytefd::{Access, Advice, Flush, MapOptions, MapWriter, Sealed, StreamOptions, WrapOptions};

const LENGTH: usize = 10_000;

fn written(bytes: &[u8]) -> MapWriter {
    let mut writer = MapWriter::new().unwrap();
    writer.write_all(bytes).unwrap();
    writer
}

/// Makes sealed bytes in every way that there is.
fn makers(bytes: &[u8]) -> Vec<(&'static str, Sealed)> {
    let map = MapOptions::new().memory(bytes.len()).unwrap();
    map.write_at(bytes, 0).unwrap();
    let accept = |fd: OwnedFd| Requirements::new().accept(fd).unwrap();
    let read = WrapOptions::new().wrap_reader(bytes, &StreamOptions::new()).unwrap();
    let content_only = WrapOptions::new().seal_content(true).wrap(bytes).unwrap();
    vec![
        ("a writer", written(bytes).seal_timeout(None).unwrap()),
        ("a map", map.seal_timeout(None).unwrap()),
        ("an accepted file", accept(bytefd::wrap(bytes).unwrap())),
        ("an accepted stream", accept(read)),
        ("an accepted file that takes more seals", accept(content_only)),
        (
            "an accepted copy of another",
            accept(OwnedFd::from(accept(bytefd::wrap(bytes).unwrap()))),
        ),
    ]
}

/// Tries to change or remove the content of the descriptor.
fn attack(fd: impl AsFd) {
    let fd = fd.as_fd();
    let path = bytefd::path(fd);
    let mut files = vec![File::from(fd.try_clone_to_owned().unwrap())];
    files.push(File::from(bytefd::reopen(fd).unwrap()));
    // Whoever may do everything can open it for writing, and still not write.
    fs::set_permissions(&path, Permissions::from_mode(0o600)).ok();
    files.extend(File::options().write(true).open(&path));
    files.extend(File::options().read(true).write(true).open(&path));
    files.extend(File::options().append(true).open(&path));
    for file in &mut files {
        file.write_at(b"!", 0).unwrap_err();
        file.write_all_at(&[b'!'; 2 * LENGTH], 0).unwrap_err();
        file.write(b"!").unwrap_err();
        file.set_len(0).unwrap_err();
        file.set_len(1).unwrap_err();
        io::copy(&mut &[b'!'; 100][..], file).unwrap_err();
        MapOptions::new().access(Access::Write).map_fd(&*file).unwrap_err();
    }
    assert!(File::create(&path).is_err(), "it truncates");
    MapOptions::new().access(Access::Write).open(&path).unwrap_err();
    MapOptions::new()
        .access(Access::Write)
        .create(true)
        .file_size(1 << 20)
        .open(&path)
        .unwrap_err();
    share::export_dmabuf(fd).map(drop).ok();

    // Maps of one's own can be changed, and taken away.
    let mut copy = MapOptions::new().access(Access::Private).map_fd(fd).unwrap();
    copy.write_at(&vec![b'!'; copy.len()], 0).unwrap();
    if copy.len() >= 4 {
        copy.atomic_u32(0).unwrap().store(0, SeqCst);
    }
    copy.unmap(..).unwrap();
    let mut reading = MapOptions::new().map_fd(fd).unwrap();
    reading.write_at(b"!", 0).unwrap_err();
    reading.atomic_u32(0).unwrap_err();
    for advice in
        [Advice::Normal, Advice::Cold, Advice::PageOut, Advice::DontFork, Advice::WillNeed]
    {
        reading.advise(.., advice).ok();
    }
    reading.flush(.., Flush::SyncInvalidate).ok();
    reading.resize(1).ok();
    reading.unmap(..).ok();
}

#[test]
fn nothing_safe_changes_sealed_bytes() {
    let bytes = super::pattern(LENGTH);
    for (name, sealed) in makers(&bytes) {
        let shown: &[u8] = &sealed;
        let before = (shown.as_ptr(), shown.len());
        assert!(shown == bytes, "{name}");
        std::thread::scope(|scope| {
            scope.spawn(|| attack(&sealed));
            (0..100).for_each(|_| assert!(shown == bytes, "{name}"));
        });
        assert!(shown == bytes, "{name}");
        assert_eq!((sealed.as_ptr(), sealed.len()), before, "{name}");
        // Bytes that are added after the end do not show in the slice.
        File::from(sealed.as_fd().try_clone_to_owned().unwrap()).set_len(2 * LENGTH as u64).ok();
        assert!(shown == bytes, "{name}");
    }
}

/// A way to write from before the sealing does not work any more.
#[test]
fn who_could_write_before_cannot_afterwards() {
    let bytes = super::pattern(LENGTH);
    let map = MapOptions::new().memory(LENGTH).unwrap();
    map.write_at(&bytes, 0).unwrap();
    let file = File::from(map.file().unwrap().try_clone_to_owned().unwrap());
    let other = MapOptions::new().access(Access::Write).map_fd(&file).unwrap();
    let failure = map.seal_timeout(Some(std::time::Duration::ZERO)).unwrap_err();
    assert_eq!(failure.error().kind(), io::ErrorKind::ResourceBusy, "somebody can still store");
    let map = failure.into_inner();
    assert!(map.access() == Access::Write && map.len() == LENGTH);
    drop(other);
    let sealed = map.seal_timeout(None).unwrap();
    let shown: &[u8] = &sealed;
    file.write_at(b"!", 0).unwrap_err();
    file.set_len(0).unwrap_err();
    attack(&file);
    assert!(shown == bytes);
}

/// Longer or shorter files do not become sealed bytes of another length.
#[test]
fn what_others_did_to_the_length_before_sealing_is_an_error_or_undone() {
    for length in [0, 1, LENGTH - 1, LENGTH + 1, 10 * LENGTH] {
        let map = MapOptions::new().memory(LENGTH).unwrap();
        let file = File::from(map.file().unwrap().try_clone_to_owned().unwrap());
        file.set_len(length as u64).unwrap();
        match map.seal_timeout(None) {
            Ok(sealed) => assert!(length > LENGTH && sealed[..] == [0; LENGTH]),
            Err(failure) => assert!(length < LENGTH, "{}", failure.error()),
        }
    }
}

#[test]
fn what_can_change_is_never_a_slice() {
    let changeable = WrapOptions::new().writable(true);
    let map = MapOptions::new().memory(100).unwrap();
    let (pipe, _writer) = io::pipe().unwrap();
    for fd in [
        changeable.wrap(b"hello").unwrap(),
        map.file().unwrap().try_clone_to_owned().unwrap(),
        map.share().unwrap(),
        File::open("/proc/self/exe").unwrap().into(),
        File::open("/").unwrap().into(),
        pipe.into(),
        WrapOptions::new().backend(bytefd::Backend::Shm).wrap(b"hello").unwrap(),
        WrapOptions::new().spill_threshold(1).wrap(b"hello").unwrap(),
    ] {
        assert_eq!(
            Requirements::new().accept(fd).unwrap_err().kind(),
            io::ErrorKind::PermissionDenied
        );
    }
    // Accepted as it is, it shows as copies only.
    let fd = changeable.wrap(b"hello").unwrap();
    let unsealed = Requirements::new().no_seals().accept(fd).unwrap();
    let map = MapOptions::new().map_fd(&unsealed).unwrap();
    File::from(unsealed.as_fd().try_clone_to_owned().unwrap()).write_at(b"J", 0).unwrap();
    let mut seen = [0; 5];
    map.read_exact_at(&mut seen, 0).unwrap();
    assert_eq!(&seen, b"Jello");
}

/// The content of a writer is its own until it is sealed: no path of its process leads to a change
/// under `as_slice`.
#[test]
fn a_writer_shows_what_was_written_whatever_else_is_made() {
    for length in [5, LENGTH, 3 << 20] {
        let bytes = super::pattern(length);
        let writer = written(&bytes);
        let shown = writer.as_slice();
        let others: Vec<_> =
            (0..10).map(|n| written(&[n; 5000]).seal_timeout(None).unwrap()).collect();
        others.iter().for_each(attack);
        assert!(shown == bytes);
        let sealed = writer.seal_timeout(None).unwrap();
        attack(&sealed);
        assert!(sealed[..] == bytes);
    }
}

/// This includes private memory, where the kernel's MADV_DONTNEED loses content.
#[test]
fn no_advice_loses_content() {
    use Advice::*;
    let bytes = super::pattern(LENGTH);
    let kept = [
        Normal,
        Random,
        Sequential,
        WillNeed,
        DontNeed,
        DontFork,
        DoFork,
        Mergeable,
        Unmergeable,
        HugePage,
    ];
    let more = [
        NoHugePage,
        DontDump,
        DoDump,
        WipeOnFork,
        KeepOnFork,
        Cold,
        PageOut,
        PopulateRead,
        PopulateWrite,
    ];
    let last = [DontNeedLocked, Collapse, GuardRemove];
    for access in [Access::Private, Access::Write] {
        let map = MapOptions::new().access(access).memory(LENGTH).unwrap();
        map.write_at(&bytes, 0).unwrap();
        for advice in kept.into_iter().chain(more).chain(last) {
            let given = map.advise(.., advice);
            if access == Access::Private && [DontNeed, DontNeedLocked].contains(&advice) {
                assert_eq!(given.unwrap_err().kind(), io::ErrorKind::InvalidInput, "{advice:?}");
            }
            let mut seen = vec![0; LENGTH];
            map.read_exact_at(&mut seen, 0).unwrap();
            assert!(seen == bytes, "{access:?}, {advice:?}");
        }
    }
}

/// A foreign reader is given memory, and may return anything.
#[test]
fn readers_that_lie_show_no_memory_of_others() {
    struct Liar(usize);
    impl io::Read for Liar {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            assert!(buffer.iter().all(|byte| *byte == 0), "nothing of anybody else");
            Ok(buffer.len() + self.0)
        }
    }
    for by in [1, 4096, usize::MAX >> 1] {
        WrapOptions::new().wrap_reader(Liar(by), &StreamOptions::new()).unwrap_err();
    }
}
