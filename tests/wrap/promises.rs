//! Tries any options at all. Every promise of the header is kept, or the refusal is the documented
//! one.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use proptest::prelude::*;

use crate::faults::conditions::leaves_nothing;
use crate::faults::every_way::{maps_sealed_files, refused};
use crate::support::abi::*;
use crate::support::fd::*;
use crate::support::{hosts, random};

#[derive(Debug)]
pub struct Wish {
    pub flags: u64,
    pub backend: u32,
    pub mode: u32,
    pub spill_threshold: u64,
    pub name: Option<Vec<u8>>,
    pub bytes: Vec<u8>,
}

impl Wish {
    fn has(&self, flag: u64) -> bool {
        self.flags & flag != 0
    }

    /// Returns what the header refuses of it, as errors name it: what is unknown, out of range, or
    /// contradicts something else.
    pub fn refused(&self) -> Vec<&'static str> {
        let known = WRITABLE | READ_ONLY | EXECUTABLE | INHERIT | SEAL_CONTENT;
        let name = self.name.as_ref().is_some_and(|name| {
            name.is_empty()
                || name.len() > 200
                || name.iter().any(|byte| [b'/', b'\n'].contains(byte))
        });
        let executes = self.mode & 0o111 != 0 && !self.has(EXECUTABLE);
        let mode =
            self.mode != 0 && (self.mode & !0o777 != 0 || self.mode & 0o400 == 0 || executes);
        let together = self.has(WRITABLE) && self.has(READ_ONLY | SEAL_CONTENT);
        let is_auto = self.backend == 0 || self.backend == AUTO;
        let unsealable = self.has(SEAL_CONTENT) && (self.backend == SHM || self.backend == TMPFILE);
        let on_disk = self.spill_threshold != UNLIMITED
            && (self.backend == MEMFD
                || (is_auto && self.has(SEAL_CONTENT))
                || self.spill_threshold == 0);
        let trusts = self.has(TRUST_CALLBACK);
        let refused = [
            ("flags", self.flags & !(known | TRUST_CALLBACK) != 0),
            ("backend", ![0, AUTO, MEMFD, SHM, TMPFILE].contains(&self.backend)),
            ("spill_threshold", on_disk),
            ("name", name),
            ("mode", mode),
            ("options", together || unsealable || trusts),
        ];
        refused.into_iter().filter(|(_, refused)| *refused).map(|(op, _)| op).collect()
    }

    /// Returns the kind of the file.
    fn kind(&self) -> u32 {
        if self.bytes.len() as u64 > self.spill_threshold { TMPFILE } else { self.backend }
    }

    /// Returns whether the host can do what valid options ask for.
    pub fn is_possible(&self) -> bool {
        match self.kind() {
            MEMFD => hosts::has_memfd(),
            SHM => hosts::has_shm(),
            _ => hosts::has_memfd() || !self.has(SEAL_CONTENT),
        }
    }

    pub fn check(&self, fd: &OwnedFd, maps_sealed: bool) -> Result<(), TestCaseError> {
        let is_memfd = hosts::has_memfd() && [0, AUTO, MEMFD].contains(&self.kind());
        let stat = metadata(fd);
        prop_assert!(stat.is_file() && fd.as_raw_fd() > 2);
        prop_assert_eq!((stat.len(), stat.nlink(), offset(fd)), (self.bytes.len() as u64, 0, 0));
        let default = 0o400
            | if self.has(WRITABLE) { 0o200 } else { 0 }
            | if self.has(EXECUTABLE) { 0o100 } else { 0 };
        prop_assert_eq!(mode(fd), if self.mode == 0 { default } else { self.mode });
        prop_assert_eq!(is_close_on_exec(fd), !self.has(INHERIT));
        prop_assert!(content(fd) == self.bytes);
        prop_assert!(read_through(fd) == self.bytes);

        let access = access_mode(fd);
        if self.has(WRITABLE) {
            prop_assert_eq!(access, libc::O_RDWR);
        } else if self.has(READ_ONLY) || !is_memfd {
            prop_assert_eq!(access, libc::O_RDONLY);
        }
        if is_memfd {
            let against_execution = if hosts::can_forbid_execution() { 0x20 } else { 0 };
            let expected = match (self.has(WRITABLE), self.has(SEAL_CONTENT), self.has(EXECUTABLE))
            {
                (true, ..) => 0,
                (_, true, _) => 0xe,
                (.., true) => 0xf,
                _ => 0xf | against_execution,
            };
            prop_assert_eq!(seals(fd), expected);
        }
        if is_memfd && self.has(SEAL_CONTENT) && !self.has(READ_ONLY) {
            prop_assert_eq!(
                access,
                libc::O_RDWR,
                "seals are added through such a description only"
            );
        }
        if !self.bytes.is_empty() {
            let shared = maps_sealed || !self.has(SEAL_CONTENT) || self.has(READ_ONLY);
            let ways = [Some(libc::MAP_PRIVATE), shared.then_some(libc::MAP_SHARED)];
            for sharing in ways.into_iter().flatten() {
                let shown = mapped(fd, libc::PROT_READ, sharing).expect("every reading map works");
                prop_assert!(shown.starts_with(&self.bytes));
                prop_assert!(
                    shown[self.bytes.len()..].iter().all(|byte| *byte == 0),
                    "the last page ends in zeros"
                );
            }
        }
        if is_memfd {
            let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))
                .expect("/proc is mounted");
            let link = link.as_os_str().as_encoded_bytes();
            let name = self.name.as_deref().unwrap_or(b"bytefd");
            prop_assert!(
                link.windows(name.len()).any(|part| part == name),
                "{}",
                String::from_utf8_lossy(link)
            );
        }
        Ok(())
    }
}

fn wishes() -> impl Strategy<Value = Wish> {
    // Mostly what may go together, sometimes anything.
    let known = prop::sample::subsequence(
        vec![INHERIT, WRITABLE, READ_ONLY, EXECUTABLE, SEAL_CONTENT],
        0..=5,
    );
    let known = known.prop_map(|flags| flags.into_iter().fold(0, |all, flag| all | flag));
    let flags = prop_oneof![8 => known, 1 => 0..256u64, 1 => any::<u64>()];
    let backend = prop_oneof![
        12 => prop::sample::select(vec![0, AUTO, MEMFD, SHM, TMPFILE]),
        1 => prop::sample::select(vec![1, POOL_REUSE, WRITABLE as u32]),
        1 => any::<u32>(),
    ];
    let threshold = prop_oneof![6 => Just(UNLIMITED), 3 => 1..300_000u64, 1 => Just(0)];
    let sound = prop::sample::select(vec![
        0o400, 0o444, 0o600, 0o640, 0o666, 0o500, 0o555, 0o700, 0o755, 0o777,
    ]);
    let mode = prop_oneof![5 => Just(0), 4 => sound, 1 => 0..0o10000u32, 1 => any::<u32>()];
    let byte = prop_oneof![20 => b' '..=b'~', 5 => 0x80..=0xffu8, 1 => 1..=0xffu8];
    let edge = prop::sample::select(vec![1, 159, 160, 161, 199, 200, 201, 249, 5000]);
    let name = prop_oneof![
        2 => Just(None),
        4 => prop::collection::vec(byte, 0..40).prop_map(Some),
        1 => edge.prop_map(|length| Some(vec![b'n'; length])),
    ];
    let length = prop_oneof![Just(0), 1..100usize, 4090..4100usize, 0..300_000usize];
    let wishes = (flags, backend, mode, threshold, name, length);
    wishes.prop_map(|(flags, backend, mode, spill_threshold, name, length)| Wish {
        flags,
        backend,
        mode,
        spill_threshold,
        name,
        bytes: pattern(length),
    })
}

pub fn any_options_keep_every_promise_or_are_refused_as_documented() {
    // SAFETY: this process is alone.
    unsafe { libc::umask(0o777) };
    let maps_sealed = hosts::has_memfd() && maps_sealed_files();
    let config = random(1000);
    let check = |wish: Wish| {
        let name = wish.name.as_ref().map(|name| CString::new(name.as_slice()).expect("no NUL"));
        let options = WrapOptions {
            name: name.as_ref().map_or(std::ptr::null(), |name| name.as_ptr()),
            flags: wish.flags,
            backend: wish.backend,
            mode: wish.mode,
            spill_threshold: wish.spill_threshold,
            ..WrapOptions::default()
        };
        let named = wish.refused();
        if !named.is_empty() {
            let failure = refused(&wish.bytes, &options);
            prop_assert!(
                failure.errno == libc::EINVAL && named.contains(&failure.op.as_str()),
                "{failure:?}, not {named:?}"
            );
        } else if !wish.is_possible() {
            let errno = refused(&wish.bytes, &options).errno;
            prop_assert!([libc::EPERM, libc::ENOSYS, libc::EROFS].contains(&errno), "{errno}");
        } else {
            wish.check(&wrap(&wish.bytes, &options).expect("nothing forbids it"), maps_sealed)?;
        }
        Ok(())
    };
    leaves_nothing(|| proptest!(config, |(wish in wishes())| check(wish)?));
}
