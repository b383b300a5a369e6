//! Puts the bytes of a stream – a pipe, a socket, a file, a reader – into a file. `options` limits
//! the stream, `source` reads it, `incoming` collects it in buffers, and `growing` is a file that
//! grows.
//!
//! A stream begins in buffers, which are never moved. They are cleared only for a reader, which may
//! look at them. They have 16 KiB, then more, up to 1 MiB together. If a length is expected, there
//! is one buffer of that length, at most 1 MiB. A stream that ends in the buffers is wrapped like
//! any other bytes, in one step and with a known length.
//!
//! A longer stream gets a file: a new file, a file of a pool, or above `spill_threshold` a file on
//! disk. The content of the buffers goes there, and then each further piece. A new file in memory
//! may get huge pages ahead of the bytes. If such a page is mapped, read(2) stores the piece there.
//! Otherwise read(2) fills one buffer, which fits into the processor's cache, and the buffer is
//! copied into the file.
//!
//! Such a page is mapped for writing, and hidden from children (MADV_DONTFORK). A child that is
//! forked just before that can prevent the file from being sealed. Then the content is copied into
//! a new file, because the stream cannot be read again.
//!
//! With a timeout, and for interruptible calls, `sys::wait::Wait` polls, and only bytes that have
//! arrived are read.
//!
//! A read function of the caller (`bytefd_wrap_reader`, an `io::Read`) fills the same buffers. Go
//! calls bytefd_wrap_reader only for content of more than about 1 MiB, in a second goroutine. So no
//! frame of C is between the Go reader, which may panic, and the code that called it.

mod growing;
mod incoming;
mod options;
mod source;

use std::io::{IoSlice, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::error::Result;
use crate::pool::{Lent, Pool, Trial};
use crate::wrap::WrapOptions;
use growing::{Growing, copy};
use incoming::{Incoming, PACKET};
pub use options::StreamOptions;
use source::{Descriptor, Reader, Source};

impl WrapOptions {
    /// Reads the stream behind a descriptor to its end into a new file, and returns a descriptor
    /// for that file. Reading begins at the present offset. The new descriptor is as
    /// [`WrapOptions::wrap`] makes it.
    ///
    /// The stream is a pipe, stream socket, file or terminal. At most 1 MiB is held in memory
    /// besides the new file. Content is copied once more, and two files exist for a moment, if:
    /// - a stream exceeds [`WrapOptions::spill_threshold`] after reading has begun;
    /// - a file of more than 1 MiB cannot be sealed, because a forked child maps it or the kernel
    ///   uses its pages.
    ///
    /// The call blocks until the end of the stream, unless [`StreamOptions::timeout`] or
    /// [`StreamOptions::interruptible`] ends it. It also waits for a pipe that does not block
    /// (O_NONBLOCK). A terminal whose other side is closed (EIO) is at its end.
    ///
    /// ```
    /// use bytefd::{StreamOptions, WrapOptions};
    /// let (reader, mut writer) = std::os::unix::net::UnixStream::pair()?;
    /// std::io::Write::write_all(&mut writer, b"hello")?;
    /// drop(writer);
    /// let fd = WrapOptions::new().wrap_stream(&reader, &StreamOptions::new())?;
    /// assert_eq!(std::fs::read(bytefd::path(&fd))?, b"hello");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// Nothing is kept. The bytes that were read from a pipe or socket are lost.
    /// - `EFBIG` if the stream is longer than [`StreamOptions::max_bytes`] or RLIMIT_FSIZE.
    /// - `ETIMEDOUT` after [`StreamOptions::timeout`]; `EINTR` with
    ///   [`StreamOptions::interruptible`].
    /// - `EAGAIN` if the socket does not block and nothing has been read, or if its own limit
    ///   (SO_RCVTIMEO) has passed.
    /// - `EPROTOTYPE` if the descriptor is a socket for datagrams or packets.
    /// - The errors of [`WrapOptions::wrap`] and of read(2).
    pub fn wrap_stream(&self, source: impl AsFd, options: &StreamOptions) -> Result<OwnedFd> {
        self.collect(options, &mut Descriptor::new(source.as_fd(), options)?)
    }

    /// [`WrapOptions::wrap_stream`] for anything that can be read.
    ///
    /// ```
    /// use bytefd::{StreamOptions, WrapOptions};
    /// use std::io::Read;
    /// let ten = std::io::repeat(b'!').take(10);
    /// let fd = WrapOptions::new().wrap_reader(ten, &StreamOptions::new())?;
    /// assert_eq!(std::fs::metadata(bytefd::path(&fd))?.len(), 10);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`WrapOptions::wrap_stream`], and:
    /// - The reader's own errors: their errno, or `EIO` with their text.
    /// - `EINVAL` if the reader claims that it read more bytes than the buffer has.
    /// - `EINVAL` if the options have a timeout or are interruptible, because only the reader
    ///   itself can end its wait.
    pub fn wrap_reader(&self, reader: impl Read, options: &StreamOptions) -> Result<OwnedFd> {
        self.collect(options, &mut Reader::new(reader, options)?)
    }

    fn collect(&self, options: &StreamOptions, source: &mut dyn Source) -> Result<OwnedFd> {
        let plan = self.plan()?;
        let mut incoming = Incoming::new(options, source);
        if incoming.begin()? {
            return self.wrap_vectored(&incoming.segments());
        }
        let mut file = Growing::new(plan.create(incoming.expected)?);
        file.append(&plan, &incoming.segments(), 0)?;
        loop {
            let end = incoming.length;
            let spare = file.spare(&plan, end, incoming.expected)?;
            let count = match spare.filter(|spare| spare.room() >= PACKET) {
                Some(spare) => incoming.read_into(spare)?,
                None => {
                    let bytes = incoming.next()?.unwrap_or_default();
                    file.append(&plan, &[IoSlice::new(bytes)], end)?;
                    bytes.len()
                }
            };
            if count == 0 {
                return file.finish(&plan, end);
            }
        }
    }
}

/// A file of a pool that holds a stream, or a new one.
pub(crate) enum Collected {
    New(OwnedFd),
    Lent(Lent),
}

/// Reads a stream like [`WrapOptions::wrap_stream`], into a file of a pool.
pub(crate) fn collect_from_descriptor(
    source: BorrowedFd<'_>,
    pool: &Pool,
    wrap: &WrapOptions,
    options: &StreamOptions,
) -> Result<(Collected, Option<Trial>)> {
    collect_into_pool(pool, wrap, options, &mut Descriptor::new(source, options)?)
}

/// Reads a stream like [`WrapOptions::wrap_reader`], into a file of a pool.
pub(crate) fn collect_from_reader(
    reader: impl Read,
    pool: &Pool,
    wrap: &WrapOptions,
    options: &StreamOptions,
) -> Result<(Collected, Option<Trial>)> {
    collect_into_pool(pool, wrap, options, &mut Reader::new(reader, options)?)
}

fn collect_into_pool(
    pool: &Pool,
    wrap: &WrapOptions,
    options: &StreamOptions,
    source: &mut dyn Source,
) -> Result<(Collected, Option<Trial>)> {
    let loan = pool.loan(wrap)?;
    let wrap = wrap.clone().trust_callback(false);
    let plan = wrap.plan()?;
    let mut incoming = Incoming::new(options, source);
    if incoming.begin()? {
        let segments = incoming.segments();
        let (lent, trial) =
            if plan.spills(incoming.length) { (None, None) } else { pool.lend(&segments, &loan)? };
        let collected = match lent {
            Some(lent) => Collected::Lent(lent),
            None => {
                pool.count_miss();
                Collected::New(pool.make_way(|| wrap.wrap_vectored(&segments))?)
            }
        };
        return Ok((collected, trial));
    }
    let expected = incoming.expected;
    let hint = Some(expected).filter(|expected| *expected > 0);
    let lent = if plan.spills(expected) { None } else { pool.lend_unfilled(hint, &loan)? };
    let mut target = match lent {
        Some(lent) => Target::Lent(lent),
        None => {
            pool.count_miss();
            Target::New(Growing::new(pool.make_way(|| plan.create(expected))?))
        }
    };
    let mut end = 0;
    let mut store = |segments: &[IoSlice<'_>]| -> Result<()> {
        let (offset, length) =
            (end, segments.iter().map(|segment| segment.len() as u64).sum::<u64>());
        end += length;
        if let Target::Lent(lent) = &mut target {
            let stored = if plan.spills(end) { None } else { Some(lent.store(segments, offset)) };
            match stored {
                // Above the threshold, or if the file system of the pool is full, the content moves
                // to a new file.
                None => {}
                Some(Err(error)) if error.errno() == libc::ENOSPC => {}
                Some(stored) => return stored,
            }
            let other = pool.make_way(|| plan.create(end))?;
            copy(lent.as_fd(), other.fd.as_fd(), offset)?;
            target = Target::New(Growing::new(other));
        }
        match &mut target {
            Target::New(file) => file.append(&plan, segments, offset),
            Target::Lent(_) => unreachable!("replaced above"),
        }
    };
    store(&incoming.segments())?;
    while let Some(bytes) = incoming.next()? {
        store(&[IoSlice::new(bytes)])?;
    }
    let collected = match target {
        Target::New(file) => Collected::New(file.finish(&plan, end)?),
        Target::Lent(mut lent) => {
            lent.finish(end)?;
            Collected::Lent(lent)
        }
    };
    // No time is measured, because it would include the waits for the source.
    Ok((collected, None))
}

enum Target {
    New(Growing),
    Lent(Lent),
}
