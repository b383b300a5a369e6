//! Bytes into a file, by the fastest way this kernel has.
//!
//! A new file costs far more than the copy: its pages are allocated, zeroed and entered one by one. So extents of a huge
//! page's size are asked for as one: where the host gives huge pages to shared memory by itself (`shmem_enabled`), setting
//! the size before writing is enough; elsewhere the first page of an extent is written, the extent collapsed into a huge
//! page by `MADV_COLLAPSE`, and the rest written into memory that is there by then; for as long as that is measured to cost
//! less than small pages. The bytes themselves always go in by
//! `pwritev`: a source that is not readable is EFAULT and not a signal, and where collapsing fails the same write simply
//! allocates small pages.

mod cost;
mod growth;
mod huge;
mod space;
mod write;

pub(crate) use growth::Growth;
pub(crate) use huge::{Way, way, worth_an_extent};
pub(crate) use space::{allocate, check_size_limit};
pub(crate) use write::{fill, total_length, write_at};
