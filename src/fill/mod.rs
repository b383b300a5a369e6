//! Copies bytes into a file by the fastest way that this kernel has. `write` copies the content,
//! and `huge` and `pages` choose huge or small pages. `space` checks the size limit and reserves
//! space, and `growth` makes files longer.
//!
//! There are two ways of copying:
//! - `pwrite` at a given offset. The file's own offset never moves, so no code has to rewind it.
//!   The kernel reads the source, so a bad pointer is EFAULT and not a signal.
//! - A copy by this process into mapped pages, for huge pages of a new file and for cached files of
//!   a pool. `pwrite` takes up to four times as long on some hosts. This way needs a source that
//!   the kernel reports as anonymous memory (PROCMAP_QUERY, Linux 6.11). A page of a mapped file
//!   can be lost at any moment, and then a load is a signal. If the kind of the source is unknown,
//!   the kernel copies.
//!
//! A guard's zeros are anonymous memory, too, so the guard is asked after every copy.
//!
//! A new file costs far more than the copy, because its pages are allocated, zeroed and entered one
//! by one. So the library asks for a huge page at a time. Where the host gives huge pages to shared
//! memory by itself (`shmem_enabled`), setting the size before writing is enough. Elsewhere the
//! first page of an extent is written, the extent is collapsed by `MADV_COLLAPSE`, and the rest is
//! stored through that mapping. Where collapsing fails, `pwrite` allocates small pages. Huge pages
//! are not always faster, so every extent is timed (`pages`).
//!
//! RLIMIT_FSIZE is checked before the first byte, because the kernel would send a signal.

mod growth;
mod huge;
mod pages;
mod space;
mod write;

pub(crate) use growth::Growth;
pub(crate) use huge::{Way, way, worth_an_extent};
pub(crate) use pages::{Extent, Filling};
pub(crate) use space::{allocate, check_size_limit, show_extent};
pub(crate) use write::{Copier, fill, total_length, write_at};
