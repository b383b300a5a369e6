//! Bytes into a file, by the fastest way this kernel has. `write` has the content, `huge` and
//! `pages` choose huge or small pages, `space` and `growth` make files longer.
//!
//! There are two ways of copying:
//! - `pwrite` at a given offset. The file's own offset never moves, so nobody can forget to rewind.
//!   The kernel reads the source, so a bad pointer is EFAULT and not a signal.
//! - A copy by this process into pages that are mapped, for huge pages of a new file and for cached
//!   files of a pool. `pwrite` takes up to four times as long on some hosts. This way is only for a
//!   source that the kernel says is anonymous memory (PROCMAP_QUERY, Linux 6.11). What is a mapping
//!   of a file can be lost at any moment, and then a load is a signal. The kernel copies where the
//!   source is not known.
//!
//! A guard's zeros are anonymous memory, too, so the guard is asked after every copy.
//!
//! A new file costs far more than the copy, because its pages are allocated, zeroed and entered one
//! by one. So a huge page is asked for at a time. Where the host gives huge pages to shared memory
//! by itself (`shmem_enabled`), setting the size before writing is enough. Elsewhere the first page
//! of an extent is written, the extent is collapsed by `MADV_COLLAPSE`, and the rest is stored
//! through that mapping. Where collapsing fails, `pwrite` allocates small pages. Huge pages are not
//! always faster, so every extent is timed (`pages`).
//!
//! RLIMIT_FSIZE is asked before the first byte, because the kernel would send a signal.

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
