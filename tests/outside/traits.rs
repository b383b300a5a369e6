//! Checks the traits of the crate's types, so that the types fit where programs put them.

use std::fmt::Debug;
use std::hash::Hash;
use std::io::{self, Seek, Write};
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use bytefd::share::{Credentials, FileLock, LockKind, Requirements, Shm, TempFile, Unsealed};
use bytefd::{
    Access, Advice, Backend, Discard, Error, Flush, Map, MapWriter, PassFd, Pool, PoolMethod,
    PoolStats, Protection, Result, Scan, SealError, Sealed,
};

fn is_descriptor<T: AsFd + AsRawFd>() {}
fn is_bytes<T: AsRef<[u8]>>() {}
fn is_slice<T: Deref<Target = [u8]> + AsRef<[u8]>>() {}
fn is_shared<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + Debug + 'static>() {}
fn is_value<T: Copy + Eq + Hash + Debug + Send + Sync>() {}
fn is_path<T: AsRef<Path>>() {}
fn gives_up<T: Into<OwnedFd>>() {}

/// Most of the test is that it compiles.
#[test]
fn types_have_the_traits_that_programs_need() {
    is_descriptor::<Sealed>();
    is_descriptor::<Unsealed>();
    is_descriptor::<Scan>();
    is_descriptor::<Shm>();
    is_descriptor::<FileLock<OwnedFd>>();
    is_slice::<Sealed>();
    is_bytes::<MapWriter>();
    is_path::<TempFile>();
    gives_up::<Sealed>();
    gives_up::<Unsealed>();
    gives_up::<Shm>();
    is_shared::<Sealed>();
    is_shared::<Map>();
    is_shared::<MapWriter>();
    is_shared::<Pool>();
    is_shared::<Scan>();
    is_shared::<Error>();
    is_value::<Access>();
    is_value::<Advice>();
    is_value::<Backend>();
    is_value::<Discard>();
    is_value::<Flush>();
    is_value::<LockKind>();
    is_value::<PoolMethod>();
    is_value::<Protection>();
    is_value::<PoolStats>();
    is_value::<Credentials>();
    fn writes<T: Write + Seek + Default>() {}
    writes::<MapWriter>();
    fn is_error<T: std::error::Error + Into<io::Error> + Clone>() {}
    is_error::<Error>();
    fn passes<T: PassFd>() {}
    passes::<Command>();
}

/// The signatures are those of std.
#[test]
fn functions_take_and_give_what_std_would() {
    let _: fn(MapWriter) -> std::result::Result<Sealed, SealError<MapWriter>> = MapWriter::seal;
    let _: fn(Map) -> std::result::Result<Sealed, SealError<Map>> = Map::seal;
    let _: fn(MapWriter, Option<Duration>) -> std::result::Result<Sealed, SealError<MapWriter>> =
        MapWriter::seal_timeout;
    let _: fn(&Map, &mut [u8], usize) -> Result<usize> = Map::read_at;
    let _: fn(&Map, &mut [u8], usize) -> Result<()> = Map::read_exact_at;
    let _: fn(&Map, usize) -> Result<&AtomicU32> = Map::atomic_u32;
    let _: fn(&Map, usize) -> Result<u32> = Map::load_u32;
    let _: fn(&Map) -> Option<BorrowedFd<'_>> = Map::file;
    let _: fn(&Requirements, OwnedFd) -> Result<Sealed> = Requirements::<Sealed>::accept;
    let _: fn(&Requirements<Unsealed>, OwnedFd) -> Result<Unsealed> =
        Requirements::<Unsealed>::accept;
}

/// An error keeps its errno on the way through std's errors. An error of sealing gives back what
/// was to be sealed.
#[test]
fn errors_pass_through_io_with_all_they_know() {
    fn open() -> io::Result<Sealed> {
        let map = bytefd::MapOptions::new().open("/proc/self/exe")?;
        Ok(map.seal()?)
    }
    let error = open().unwrap_err();
    let source =
        error.get_ref().and_then(|source| source.downcast_ref::<Error>()).expect("the whole error");
    assert_eq!((error.kind(), source.errno()), (io::ErrorKind::InvalidInput, libc::EINVAL));
}
