//! Bytes into a file, by the fastest way this kernel has.
//!
//! A new file costs far more than the copy: its pages are allocated, zeroed and entered one by one.
//! So extents of a huge page's size are asked for as one: where the host gives huge pages to shared
//! memory by itself (`shmem_enabled`), setting the size before writing is enough; elsewhere the
//! first page of an extent is written, the extent collapsed into a huge page by `MADV_COLLAPSE`,
//! and the rest stored through that mapping; for as long as that is measured to take less time than
//! small pages.
//!
//! Only anonymous memory is copied by this process. What can be lost meanwhile, as a mapping of a
//! file can, the kernel copies (`pwritev`): a source that is not readable is EFAULT then and not a
//! signal. Where collapsing fails, the same write simply allocates small pages.

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
