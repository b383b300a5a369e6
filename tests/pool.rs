//! Tests pools: files that are lent again and again, and everything that must never come of it.
//!
//! All but a few tests run alone. A process that another test starts in the wrong moment holds the
//! lent file until it executes its program. The pool then rightly drops the file, so the counts
//! would be different each time.

mod again;
mod bounds;
mod cost;
mod forks;
mod hosts;
mod keepers;
mod limits;
pub mod new_files;
mod options;
mod refusals;
mod residue;
mod service;
pub mod sources;
mod threads;
mod trusted;
mod vandals;
mod ways;

use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::ptr::null_mut;

use again::*;
use bounds::*;
use cost::*;
use forks::*;
use hosts::*;
use keepers::*;
use limits::*;
use options::*;
use refusals::*;
use residue::*;
use service::*;
use sources::*;
use threads::*;
use trusted::*;
use vandals::*;
use ways::*;

use crate::scan::{self, duplicate};
use crate::support::abi::{self, Error, PoolOptions, PoolStats, WrapOptions};
use crate::support::fd::*;
use crate::support::hosts::has_memfd;
use crate::support::map::page_size;
use crate::support::{random, rounds};
use crate::tests;

tests![
    // refusals
    options_that_need_a_file_of_their_own_are_einval,
    options_that_change_nothing_are_accepted,
    trust_without_a_pool_is_einval,
    files_given_away_take_no_pool,
    counts_are_written_to_structs_of_every_size_and_not_beyond,
    bad_buffers_are_refused_without_calling_back,
    trimming_and_counting_a_new_pool_do_nothing,
    // options
    pool_options_that_mean_nothing_are_einval_and_named;
    alone:
    // again
    sizes_that_grow_and_shrink_a_little_share_a_file,
    a_lent_file_keeps_every_promise,
    inherit_clears_close_on_exec_for_this_scan_only,
    an_answer_other_than_0_is_ecanceled_and_keeps_the_file,
    the_bytes_may_be_those_of_the_file_on_loan,
    // residue
    the_rest_of_the_last_page_reads_zero,
    stores_behind_the_end_are_never_seen_again,
    space_reserved_behind_the_end_is_gone,
    a_file_that_a_callback_grows_shows_zeros,
    where_kept_pages_cannot_be_mapped_nothing_is_seen_either,
    where_mappings_cannot_be_hidden_from_children_nothing_is_seen_either,
    // keepers
    a_kept_duplicate_shows_what_it_showed,
    a_kept_shared_mapping_shows_what_it_showed,
    a_kept_private_mapping_shows_what_it_showed,
    a_kept_description_of_the_callbacks_own_shows_what_it_showed,
    a_kept_writable_description_cannot_change_later_scans,
    a_kept_writable_mapping_cannot_change_later_scans,
    kept_descriptions_of_files_that_were_not_lent_do_not_show_later_scans,
    what_a_kept_path_description_shows_later_is_not_promised,
    a_descriptor_in_flight_shows_what_it_showed,
    a_program_that_inherits_it_shows_what_it_showed,
    many_kept_duplicates_are_all_right,
    spliced_bytes_in_a_pipe_stay_what_they_were,
    sent_bytes_in_a_socket_stay_what_they_were,
    what_a_pipe_shows_that_was_spliced_from_a_description_of_its_own_is_not_promised,
    // ways
    descriptions_that_are_kept_are_seen_or_harmless_or_named,
    mappings_that_are_kept_are_seen_or_harmless_or_named,
    pages_in_flight_are_seen_or_harmless_or_named,
    what_io_uring_keeps_is_seen_or_harmless_or_named,
    marks_that_are_left_are_seen_or_harmless_or_named,
    // sources
    lost_bytes_are_efault_in_every_mode,
    lost_bytes_in_one_of_many_segments_are_efault,
    bytes_of_files_and_of_memory_are_copied_as_they_are,
    a_child_does_not_ask_about_its_parents_memory,
    a_file_that_is_cut_off_during_later_scans_raises_no_signal,
    // vandals
    an_owner_that_a_callback_sets_does_not_stay,
    what_is_changed_between_scans_does_not_stay,
    an_attribute_that_a_callback_sets_does_not_stay,
    a_number_the_callback_gave_back_as_a_new_description_is_closed,
    a_lock_that_a_callback_took_does_not_stay,
    memory_that_a_callback_added_is_not_kept_beyond_the_bound,
    // threads
    a_scan_does_not_wait_for_the_callback_of_another,
    what_one_thread_begins_another_may_end,
    // forks
    a_child_has_an_empty_pool_and_closes_what_it_inherited,
    a_child_of_a_child_has_an_empty_pool,
    a_child_that_scans_does_not_disturb_its_parent,
    a_child_that_trims_or_destroys_does_not_disturb_its_parent,
    a_file_lent_before_a_fork_is_kept_by_neither_wrongly,
    a_child_made_in_a_callback_keeps_what_it_saw,
    // bounds
    a_pool_of_0_bytes_keeps_nothing,
    trim_drops_the_longest_unused_first,
    trim_to_more_than_is_kept_does_nothing,
    files_on_loan_are_not_trimmed,
    a_hundred_scans_at_once_all_work,
    a_pool_full_of_trusted_files_still_lends_others_again,
    a_pool_may_be_destroyed_before_its_scans_end,
    a_destroyed_pool_keeps_nothing_more,
    pools_share_nothing,
    // trusted
    a_trusted_callback_is_lent_the_kept_file_itself,
    a_trusted_callback_that_closes_the_number_does_no_harm,
    a_trusted_callback_that_gives_the_number_away_does_no_harm,
    a_file_lent_trusted_is_never_lent_untrusted,
    what_a_trusted_callback_changes_does_not_reach_untrusted_scans,
    a_trusted_callback_that_changes_the_size_does_no_harm,
    status_flags_that_a_trusted_callback_sets_do_not_stay,
    a_hundred_trusted_scans_at_once_all_work,
    // hosts
    where_leases_are_refused_every_scan_has_a_new_file,
    without_memfd_every_scan_has_a_new_file,
    where_forks_cannot_be_seen_every_scan_has_a_new_file,
    without_direct_access_to_memory_files_files_are_lent_again,
    without_direct_access_whatever_the_kernel_says_scans_work,
    a_process_that_gives_up_its_rights_goes_on_scanning,
    // options
    a_pool_never_has_more_files_than_it_may,
    scans_that_are_never_ended_are_counted,
    a_file_that_is_idle_for_too_long_is_dropped_at_the_next_use,
    cached_files_give_way_before_it_is_emfile,
    out_of_descriptors_no_error_asks_whether_proc_is_mounted,
    files_are_lent_again_under_their_own_name,
    segments_become_one_file_of_the_pool,
    // service
    a_small_scan_takes_little_from_a_large_file_that_fills_the_pool,
    a_large_scan_leaves_the_small_files_of_a_full_pool,
    a_large_file_that_somebody_holds_is_not_cut_off,
    a_small_scan_does_not_take_a_large_file_for_itself,
    what_is_idle_is_given_up_little_by_little,
    out_of_memory_a_pool_gives_up_what_it_keeps,
    // limits
    without_descriptors_it_is_emfile_and_the_pool_recovers,
    with_few_descriptors_it_works_or_is_emfile,
    // cost
    scans_in_great_number_hold_no_more_than_one,
];

/// Tests that take long where the processor is emulated, or that need a compiler or a kernel on
/// which no scan needs /proc (6.7).
pub mod native {
    use super::*;

    tests![;
        alone:
        // again
        one_size_is_lent_the_same_file_again,
        every_order_of_sizes_shows_exactly_its_own_bytes,
        any_sequence_of_scans_shows_each_its_own_bytes,
        // residue
        bytes_written_behind_the_end_are_never_seen_again,
        // vandals
        callbacks_that_change_the_file_through_a_description_of_their_own_disturb_nobody,
        a_mode_that_a_callback_sets_does_not_stay,
    a_mode_that_is_set_between_scans_does_not_stay,
        seals_cannot_be_added,
        a_callback_may_close_the_number,
        a_number_the_callback_gave_to_another_file_stays_that_file,
        // threads
        scans_nest_with_one_pool,
        threads_share_a_pool_and_never_mix,
        the_bound_holds_at_every_moment,
        a_process_that_opens_everything_does_no_harm,
        a_process_that_opens_everything_does_not_end_the_reuse,
        programs_started_meanwhile_do_not_end_the_reuse,
        // forks
        a_child_made_in_a_callback_may_return_from_the_scan,
        a_child_made_in_a_callback_may_scan_and_return,
        a_child_made_in_a_trusted_callback_may_return_from_the_scan,
        forks_while_others_scan_never_lock_up,
        // bounds
        what_is_kept_stays_within_the_bound,
        memory_in_use_is_what_is_counted,
        pools_made_and_destroyed_leave_nothing,
        // trusted
        a_trusted_scan_starts_at_offset_0_with_exact_bytes,
        trusted_scans_on_threads_never_mix,
        // hosts
        without_proc_every_scan_has_a_new_file,
        what_goes_away_later_is_noticed,
        // limits
        a_size_above_the_limit_is_efbig_and_no_signal,
        without_address_space_scans_work,
        // cost
        a_pooled_scan_allocates_nothing_but_its_handle,
    ];
}

/// A bytefd_pool.
pub struct Pool(*mut c_void);

// SAFETY: the header lets any number of threads use one pool.
unsafe impl Send for Pool {}
// SAFETY: as above.
unsafe impl Sync for Pool {}

/// More bytes than any test keeps.
const PLENTY: usize = 1 << 30;

impl Pool {
    /// Calls bytefd_pool_create for a pool that reuses files. `new_files` tests what else
    /// BYTEFD_POOL_AUTO does.
    pub fn new(max_bytes: usize) -> Pool {
        let method = abi::POOL_REUSE;
        Pool::with(&PoolOptions { max_bytes: max_bytes as u64, method, ..PoolOptions::default() })
            .unwrap()
    }

    pub fn with(options: &PoolOptions) -> Result<Pool, Failure> {
        let (mut pool, mut error) = (null_mut(), Error::untouched());
        // SAFETY: valid options and two writable objects.
        let status = unsafe { (abi::load().pool_create)(options, &mut pool, &mut error) };
        assert_eq!(pool.is_null(), status != 0);
        result(status, &error).map(|_| Pool(pool))
    }

    pub fn options(&self, flags: u64) -> WrapOptions {
        WrapOptions { flags, pool: self.0, ..WrapOptions::default() }
    }

    /// Calls scan_bytes with this pool.
    pub fn scan(&self, bytes: &[u8], callback: impl FnMut(c_int)) {
        self.scan_with(0, bytes, callback);
    }

    pub fn scan_with(&self, flags: u64, bytes: &[u8], callback: impl FnMut(c_int)) {
        self.try_scan(flags, bytes, callback).expect("the scan works");
    }

    pub fn try_scan(
        &self,
        flags: u64,
        bytes: &[u8],
        mut callback: impl FnMut(c_int),
    ) -> Result<(), Failure> {
        let mut calls = 0;
        let outcome = scan::scan(bytes, Some(&self.options(flags)), |fd| {
            calls += 1;
            callback(fd);
            0
        });
        assert_eq!(calls, outcome.is_ok() as u32);
        outcome.map(|value| assert_eq!(value, 0))
    }

    /// Calls bytefd_scan_begin with this pool.
    pub fn begin(&self, flags: u64, bytes: &[u8]) -> Lent {
        let (fd, handle) = scan::begin(bytes, &self.options(flags));
        Lent { fd: fd.expect("the scan begins"), handle }
    }

    /// Calls bytefd_pool_trim.
    pub fn trim(&self, bytes: usize) {
        let mut error = Error::untouched();
        // SAFETY: a live pool and a writable error.
        let status = unsafe { (abi::load().pool_trim)(self.0, bytes as u64, &mut error) };
        assert_eq!(result(status, &error).unwrap(), 0);
    }

    /// Calls bytefd_pool_get_stats.
    pub fn counts(&self) -> PoolStats {
        let mut error = Error::untouched();
        let mut counts = PoolStats {
            size: size_of::<PoolStats>(),
            hits: !0,
            misses: !0,
            dropped: !0,
            lent: !0,
            cached_bytes: !0,
        };
        // SAFETY: a live pool and two writable objects.
        let status = unsafe { (abi::load().pool_get_stats)(self.0, &mut counts, &mut error) };
        assert_eq!(result(status, &error).unwrap(), 0);
        counts
    }

    /// Scans several times. Returns whether a file was lent again.
    pub fn lends_again(&self) -> bool {
        let before = self.counts().hits;
        for _ in 0..4 {
            self.scan(b"is anything lent again?", |fd| check(fd, b"is anything lent again?"));
        }
        self.counts().hits > before
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: the pool is not used again.
        assert_eq!(unsafe { (abi::load().pool_close)(self.0) }, 0);
    }
}

/// A scan that has begun; it ends when this is dropped.
pub struct Lent {
    pub fd: c_int,
    handle: *mut c_void,
}

// SAFETY: the header asks for one thread at a time, and this cannot be shared.
unsafe impl Send for Lent {}

impl Drop for Lent {
    fn drop(&mut self) {
        assert_eq!(scan::end(self.handle), 0);
    }
}

/// Checks everything that is promised of an untrusted descriptor on loan. Moves its offset.
pub fn check(fd: c_int, bytes: &[u8]) {
    let fd = duplicate(fd);
    let stat = metadata(&fd);
    assert!(stat.file_type().is_file());
    assert_eq!((stat.len() as usize, stat.nlink(), mode(&fd)), (bytes.len(), 0, 0o400));
    assert_eq!(offset(&fd), 0);
    if has_memfd() && seals(&fd) & libc::F_SEAL_WRITE == 0 {
        assert_eq!(access_mode(&fd), libc::O_RDONLY, "what is not sealed is lent read-only");
    }
    assert!(read_through(&fd) == bytes, "read to the end: {} bytes", bytes.len());
    // SAFETY: touches no memory; a client may rewind.
    assert_eq!(unsafe { libc::lseek(fd.as_raw_fd(), 0, libc::SEEK_SET) }, 0);
    assert!(content(&fd) == bytes, "read at offset 0: {} bytes", bytes.len());
    if bytes.is_empty() {
        return;
    }
    for sharing in [libc::MAP_SHARED, libc::MAP_PRIVATE] {
        let seen = mapped(&fd, libc::PROT_READ, sharing).expect("a mapping");
        let (inside, behind) = seen.split_at(bytes.len());
        assert!(inside == bytes, "mapped: {} bytes", bytes.len());
        let residue = behind.iter().filter(|byte| **byte != 0).count();
        assert_eq!(residue, 0, "bytes that are not 0 behind the end of {}", bytes.len());
    }
}

/// Checks the content alone.
pub fn check_content(fd: c_int, bytes: &[u8]) {
    assert!(content(&duplicate(fd)) == bytes, "{} bytes", bytes.len());
}

/// Opens the file of a number again.
pub fn open_again(fd: c_int, flags: c_int) -> OwnedFd {
    try_open_again(fd, flags).expect("opened again")
}

pub fn try_open_again(fd: c_int, flags: c_int) -> std::io::Result<OwnedFd> {
    use std::os::fd::FromRawFd;
    let path = std::ffi::CString::new(format!("/proc/self/fd/{fd}")).expect("no NUL");
    // SAFETY: a string.
    let fd = unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC) };
    if fd < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: just opened, so it is ours.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub fn inode(fd: c_int) -> u64 {
    scan::inode(fd).expect("open")
}

pub fn whole_pages(bytes: usize) -> u64 {
    bytes.next_multiple_of(page_size()) as u64
}

/// Returns the memory files that this process has open: number, inode, and access mode.
pub fn memory_files() -> Vec<(c_int, u64, c_int)> {
    let entries = std::fs::read_dir("/proc/self/fd").expect("/proc is mounted");
    let numbers: Vec<c_int> = entries
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap())
        .collect();
    let is_ours = |fd: &c_int| {
        std::fs::read_link(format!("/proc/self/fd/{fd}"))
            .is_ok_and(|link| link.to_string_lossy().contains("bytefd"))
    };
    // SAFETY: touches no memory.
    let access = |fd| unsafe { libc::fcntl(fd, libc::F_GETFL) & libc::O_ACCMODE };
    numbers.into_iter().filter(is_ours).map(|fd| (fd, inode(fd), access(fd))).collect()
}

/// Returns whether each change of a memory file shows in its time of change, Linux 6.13. Asks the
/// kernel and not the library. Older kernels give all changes within a few milliseconds the same
/// time.
pub fn shows_each_change() -> bool {
    let changed = |fd: &OwnedFd| {
        // SAFETY: touches no memory.
        assert_eq!(unsafe { libc::fchmod(fd.as_raw_fd(), 0o600) }, 0);
        let stat = metadata(fd);
        (stat.ctime(), stat.ctime_nsec())
    };
    let fd = wrap(b"", &WrapOptions::default()).expect("a file");
    let times: Vec<_> = (0..10).map(|_| changed(&fd)).collect();
    times.windows(2).all(|pair| pair[0] != pair[1])
}

/// Returns the bytes of memory in a file.
pub fn memory_of(fd: c_int) -> u64 {
    metadata(&duplicate(fd)).blocks() * 512
}

/// Runs `work` in a forked child, where it cannot disturb this process. Panics if the child does,
/// or dies of a signal.
pub fn in_fork(work: impl FnOnce()) {
    let child = fork(work);
    wait_for(child);
}

/// Forks a child that runs `work` and ends. Returns its number.
pub fn fork(work: impl FnOnce()) -> c_int {
    // SAFETY: the child has this thread only, and leaves by _exit.
    match unsafe { libc::fork() } {
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        0 => leave(work),
        child => child,
    }
}

/// Runs `work` and ends the process, which must be a child.
pub fn leave(work: impl FnOnce()) -> ! {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    // SAFETY: ends the child without running what belongs to the parent.
    unsafe { libc::_exit(outcome.is_err() as c_int) }
}

pub fn wait_for(child: c_int) {
    let mut status = 0;
    // SAFETY: a child of ours, and a writable status.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0, "the child failed");
}
