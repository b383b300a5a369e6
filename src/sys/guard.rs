//! Ranges that survive the loss of their pages. Access to a page of a file that was made shorter, or that has no space left,
//! raises SIGBUS, mmap(2); in a guarded range the page becomes zeros instead, and the access goes on.
//!
//! The handler allocates nothing and waits only for another thread that is in the handler, and everything it reads is whole at
//! any moment. So it does not matter what other threads are doing, or were doing when this process was forked.

use std::ffi::{c_int, c_void};
use std::ops;
use std::ptr::{NonNull, null, null_mut};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU8, AtomicU32, AtomicUsize, Ordering::SeqCst};

use super::mapping::Mapping;
use super::{Result, check, copy};
use crate::error::Errno;

/// A range in which lost pages become zeros instead of a signal, for as long as this lives. Drop it before the range is
/// unmapped: what is mapped there next is somebody else's. A child made by fork has its parent's guards.
///
/// A thread that blocks SIGBUS is not saved, and nobody is once the program has replaced the handler by one that does not
/// call ours. System calls raise no signal: given lost pages they answer EFAULT, and the pages stay lost.
#[derive(Debug)]
pub(crate) struct Guard {
    slot: &'static Slot,
    range: Range,
    /// Whether access to some pages was forbidden at some time.
    is_restricted: AtomicBool,
}

impl Guard {
    /// Guards pages of `page` bytes each: a power of two, that of `sys::page_size` or of huge pages on hugetlbfs. What replaces
    /// a page gets this protection. `is_inherited`: children have the range. The first guard installs the handler, for good.
    pub fn new(start: NonNull<u8>, length: usize, protection: c_int, page: usize, is_inherited: bool) -> Result<Guard> {
        debug_assert!(page.is_power_of_two() && (start.addr().get() | length).is_multiple_of(page));
        Process::make()?;
        handle()?;
        let range = Range { start: start.addr().get(), length, protection, shift: page.trailing_zeros() as usize };
        let mut guard = Guard { slot: Slot::take(), range, is_restricted: AtomicBool::new(false) };
        guard.make_room(length)?;
        if !is_inherited {
            guard.leave_children();
        }
        guard.slot.publish(range);
        Ok(guard)
    }

    /// Guards nothing until [`Guard::moved`]: what is unmapped meanwhile can be somebody else's at once.
    pub fn suspend(&mut self) {
        self.slot.publish(Range::NONE);
    }

    /// The range is elsewhere or of another length now, for which [`Guard::make_room`] has made room. Pages that were replaced
    /// are thought to have moved along, and those past a new end to be gone.
    pub fn moved(&mut self, start: NonNull<u8>, length: usize) {
        let old = self.range;
        let new = Range { start: start.addr().get(), length, ..old };
        debug_assert!((new.start | length).is_multiple_of(1 << old.shift) && self.slot.has_room(new.pages()));
        self.slot.publish(new);
        self.range = new;
        // What will be mapped there later is no replacement, and protected as the rest.
        self.slot.note(new.pages()..old.pages(), !0, 0);
    }

    /// All of the range was mapped anew, and nothing in it is a replacement any more.
    pub fn renewed(&self) {
        self.slot.note(0..self.range.pages(), !0, 0);
    }

    /// The whole pages among these bytes are to be unmapped: what comes to lie there is not guarded.
    pub fn release(&self, bytes: ops::Range<usize>) {
        self.slot.note(bytes.start.div_ceil(1 << self.range.shift)..bytes.end >> self.range.shift, 0, RELEASED);
    }

    /// The pages that hold these bytes are to have another protection, and so what replaces them.
    pub fn protect(&self, bytes: ops::Range<usize>, protection: c_int) {
        let denied = (self.range.protection & !protection) as u8 & DENIED;
        if denied != 0 {
            self.restrict();
        }
        let pages = bytes.start >> self.range.shift..bytes.end.div_ceil(1 << self.range.shift);
        self.slot.note(pages, DENIED, denied);
    }

    /// Access to some pages will be a SIGSEGV, against which this is no help.
    pub fn restrict(&self) {
        self.is_restricted.store(true, SeqCst);
    }

    /// Whether access to the range is never a SIGSEGV, so that a guarded copy raises no signal.
    pub fn is_unrestricted(&self) -> bool {
        !self.is_restricted.load(SeqCst)
    }

    /// Children that are forked from now on do not have all of the range, and may have something else there: it is not guarded
    /// in them. (Before Linux 4.14 they cannot be told from this process.)
    pub fn leave_children(&self) {
        self.slot.process.store(Process::number(), SeqCst);
    }

    /// Whether pages have been replaced.
    pub fn is_lost(&self) -> bool {
        self.slot.lost.load(SeqCst)
    }

    /// Makes room for notes on as many pages as hold these bytes.
    pub fn make_room(&mut self, length: usize) -> Result<()> {
        let pages = length.div_ceil(1 << self.range.shift);
        for level in (0..LEVELS).take_while(|level| first_page(*level) < pages) {
            if self.slot.notes[level].load(SeqCst).is_null() {
                let mapping = Mapping::zeros(PAGES_IN_FIRST_LEVEL << level)?;
                self.slot.notes[level].store(mapping.base().cast().as_ptr(), SeqCst);
                std::mem::forget(mapping);
            }
        }
        Ok(())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.slot.publish(Range::NONE);
        self.slot.forget_all();
        self.slot.process.store(0, SeqCst);
        self.slot.lost.store(false, SeqCst);
        self.slot.taken.store(false, SeqCst);
    }
}

#[derive(Clone, Copy, Debug)]
struct Range {
    start: usize,
    length: usize,
    protection: c_int,
    /// The size of a page, as a power of two.
    shift: usize,
}

impl Range {
    /// In which no address lies.
    const NONE: Range = Range { start: 0, length: 0, protection: 0, shift: 0 };

    fn pages(&self) -> usize {
        self.length >> self.shift
    }

    /// Which page an address is in.
    fn page(&self, address: usize) -> usize {
        address.wrapping_sub(self.start) >> self.shift
    }
}

/// Where a guard is noted for the handler. A slot lives for ever and serves one guard after the other.
#[derive(Debug)]
struct Slot {
    taken: AtomicBool,
    /// How often a range was published. The last bit says where the latest is.
    version: AtomicUsize,
    /// The next one is written beside the latest, which stays whole. So one that is never finished, because another thread of
    /// this process forked meanwhile, does no harm in the child.
    ranges: [SharedRange; 2],
    /// The only process that has the range, [`Process::number`]; 0 if children have it too.
    process: AtomicU32,
    lost: AtomicBool,
    /// Whether there may be a note.
    noted: AtomicBool,
    /// A byte for each page: [`DENIED`], [`REPLACED`], [`RELEASED`]. Each level has room for twice as many pages as the one
    /// before, so that more room needs no moving. Never unmapped: the handler may look here for what lies in released pages
    /// while the guard ends.
    notes: [AtomicPtr<AtomicU8>; LEVELS],
}

#[derive(Debug)]
struct SharedRange {
    start: AtomicUsize,
    length: AtomicUsize,
    protection: AtomicI32,
    shift: AtomicUsize,
}

impl SharedRange {
    const fn none() -> SharedRange {
        let [start, length, shift] = [const { AtomicUsize::new(0) }; 3];
        SharedRange { start, length, protection: AtomicI32::new(0), shift }
    }
}

/// The bits of the protection that the page does not have, PROT_READ and so on.
const DENIED: u8 = 7;
/// The page has been replaced.
const REPLACED: u8 = 8;
/// The page is not the guard's any more.
const RELEASED: u8 = 16;

/// A byte each.
const PAGES_IN_FIRST_LEVEL: usize = 4096;
/// More pages than an address space has.
const LEVELS: usize = 40;

/// The first page that is noted in this level.
fn first_page(level: usize) -> usize {
    ((1 << level) - 1) * PAGES_IN_FIRST_LEVEL
}

impl Slot {
    const fn new() -> Slot {
        Slot {
            taken: AtomicBool::new(false),
            version: AtomicUsize::new(0),
            ranges: [const { SharedRange::none() }; 2],
            process: AtomicU32::new(0),
            lost: AtomicBool::new(false),
            noted: AtomicBool::new(false),
            notes: [const { AtomicPtr::new(null_mut()) }; LEVELS],
        }
    }

    /// A slot that nobody has.
    fn take() -> &'static Slot {
        let mut table = &TABLE;
        loop {
            let free = table.slots.iter().find(|slot| !slot.taken.swap(true, SeqCst));
            match free {
                Some(slot) => return slot,
                None => table = table.next_or_new(),
            }
        }
    }

    /// Sets the range. Only the guard that has the slot calls this.
    fn publish(&self, range: Range) {
        let next = self.version.load(SeqCst).wrapping_add(1);
        let shared = &self.ranges[next % 2];
        shared.start.store(range.start, SeqCst);
        shared.length.store(range.length, SeqCst);
        shared.protection.store(range.protection, SeqCst);
        shared.shift.store(range.shift, SeqCst);
        self.version.store(next, SeqCst);
    }

    /// The range that was published last, if it is guarded at this address in this process.
    fn range_at(&self, address: usize) -> Option<Range> {
        loop {
            let version = self.version.load(SeqCst);
            let shared = &self.ranges[version % 2];
            let range = Range {
                start: shared.start.load(SeqCst),
                length: shared.length.load(SeqCst),
                protection: shared.protection.load(SeqCst),
                shift: shared.shift.load(SeqCst),
            };
            let is_guarded = address.wrapping_sub(range.start) < range.length && {
                let process = self.process.load(SeqCst);
                (process == 0 || process == Process::number())
                    && self.noted_on(range.page(address)).is_some_and(|note| note.load(SeqCst) & RELEASED == 0)
            };
            // Only what follows the next version is written over this one, and only then notes begin anew.
            if self.version.load(SeqCst) == version {
                return is_guarded.then_some(range);
            }
        }
    }

    /// The notes on a page.
    fn noted_on(&self, page: usize) -> Option<&AtomicU8> {
        let level = (page / PAGES_IN_FIRST_LEVEL + 1).ilog2() as usize;
        let notes = self.notes.get(level)?.load(SeqCst);
        // SAFETY: a level has room for all of its pages, and stays.
        (!notes.is_null()).then(|| unsafe { &*notes.add(page - first_page(level)) })
    }

    fn has_room(&self, pages: usize) -> bool {
        pages == 0 || self.noted_on(pages - 1).is_some()
    }

    /// Removes bits from the notes on these pages, then adds others.
    fn note(&self, pages: ops::Range<usize>, removed: u8, added: u8) {
        if added != 0 {
            self.noted.store(true, SeqCst);
        } else if !self.noted.load(SeqCst) {
            return;
        }
        for notes in pages.filter_map(|page| self.noted_on(page)) {
            // Only looked at where there is nothing to do, notes take no memory.
            if notes.load(SeqCst) & removed != 0 {
                notes.fetch_and(!removed, SeqCst);
            }
            if added != 0 {
                notes.fetch_or(added, SeqCst);
            }
        }
    }

    fn forget_all(&self) {
        if !self.noted.swap(false, SeqCst) {
            return;
        }
        let levels = self.notes.iter().map(|level| level.load(SeqCst)).take_while(|notes| !notes.is_null());
        for (level, notes) in levels.enumerate() {
            let length = PAGES_IN_FIRST_LEVEL << level;
            // SAFETY: private memory of this slot becomes zeros, and what looks at it meanwhile sees one or the other.
            unsafe {
                if libc::madvise(notes.cast(), length, libc::MADV_DONTNEED) != 0 {
                    // It is locked.
                    (0..length).for_each(|page| (*notes.add(page)).store(0, SeqCst));
                }
            }
        }
    }

    /// Makes the page at `address` zeros, unless another thread has. False: the kernel refuses.
    fn replace(&self, range: &Range, address: usize) -> bool {
        let page = range.page(address);
        let Some(notes) = self.noted_on(page) else { return false };
        Process::alone_with(address >> range.shift, || {
            let noted = notes.load(SeqCst);
            // Replaced twice, the page would lose what was stored into it in between.
            if noted & REPLACED != 0 {
                return true;
            }
            // Before the zeros can be seen.
            self.lost.store(true, SeqCst);
            self.noted.store(true, SeqCst);
            let (start, length) = ((range.start + (page << range.shift)) as *mut c_void, 1 << range.shift);
            let protection = range.protection & !c_int::from(noted & DENIED);
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE;
            // SAFETY: the page lies in a range whose owner asked for this, and nothing is in it.
            if unsafe { libc::mmap(start, length, protection, flags, -1, 0) } == libc::MAP_FAILED {
                return false;
            }
            if self.process.load(SeqCst) != 0 {
                // SAFETY: mapped just now.
                unsafe { libc::madvise(start, length, libc::MADV_DONTFORK) };
            }
            notes.fetch_or(REPLACED, SeqCst);
            true
        })
    }
}

/// What a child made by fork has not inherited from its parent: memory that is zeros there at first, MADV_WIPEONFORK (Linux
/// 4.14; before, it is inherited).
struct Process {
    /// Different from that of all processes that this one was forked from.
    number: AtomicU32,
    /// Held by a thread that is replacing a page, which the lowest bits of the page's number choose. A child must not wait for a
    /// thread that it does not have.
    locks: [AtomicBool; 512],
}

/// Mapped by the first guard, for good.
static PROCESS: AtomicPtr<Process> = AtomicPtr::new(null_mut());

impl Process {
    fn this() -> Option<&'static Process> {
        // SAFETY: null, or mapped for good, and all zeros is a valid state.
        unsafe { PROCESS.load(SeqCst).as_ref() }
    }

    /// This process's number, given to it when it is first asked for; 0 before there is a guard.
    fn number() -> u32 {
        /// Inherited, so that a child goes on counting where its parent was.
        static LAST: AtomicU32 = AtomicU32::new(0);
        let Some(process) = Process::this() else { return 0 };
        if process.number.load(SeqCst) == 0 {
            // Of several threads one is first.
            let _ = process.number.compare_exchange(0, LAST.fetch_add(1, SeqCst) + 1, SeqCst, SeqCst);
        }
        process.number.load(SeqCst)
    }

    /// Maps the memory unless that is done.
    fn make() -> Result<()> {
        if Process::this().is_some() {
            return Ok(());
        }
        let length = size_of::<Process>().next_multiple_of(super::page_size());
        let mapping = Mapping::zeros(length)?;
        match mapping.advise(0..length, libc::MADV_WIPEONFORK) {
            Ok(()) | Err(Errno(libc::EINVAL)) => {}
            Err(errno) => return Err(errno),
        }
        if PROCESS.compare_exchange(null_mut(), mapping.base().cast().as_ptr(), SeqCst, SeqCst).is_ok() {
            std::mem::forget(mapping);
        }
        Ok(())
    }

    /// Replaces a page while no other thread does, or says that it cannot.
    fn alone_with(page: usize, replace: impl FnOnce() -> bool) -> bool {
        let Some(process) = Process::this() else { return false };
        let lock = &process.locks[page % process.locks.len()];
        let mut round = 0;
        while lock.swap(true, SeqCst) {
            // The other thread may be of lower priority, so only sleeping lets it run for sure.
            let moment = libc::timespec { tv_sec: 0, tv_nsec: if round < 10 { 0 } else { 1_000_000 } };
            // SAFETY: a valid struct. Not the C library's nanosleep, where a thread can be cancelled.
            unsafe { libc::syscall(libc::SYS_nanosleep, &moment, null_mut::<libc::timespec>()) };
            round += 1;
        }
        let is_replaced = replace();
        lock.store(false, SeqCst);
        is_replaced
    }
}

/// All slots: more are made when these are taken, and never freed.
static TABLE: Table = Table::new();

struct Table {
    slots: [Slot; 64],
    next: AtomicPtr<Table>,
}

impl Table {
    const fn new() -> Table {
        Table { slots: [const { Slot::new() }; 64], next: AtomicPtr::new(null_mut()) }
    }

    fn next(&self) -> Option<&'static Table> {
        // SAFETY: null, or leaked below.
        unsafe { self.next.load(SeqCst).as_ref() }
    }

    fn next_or_new(&self) -> &'static Table {
        if let Some(next) = self.next() {
            return next;
        }
        let new = Box::into_raw(Box::new(Table::new()));
        match self.next.compare_exchange(null_mut(), new, SeqCst, SeqCst) {
            // SAFETY: leaked just now.
            Ok(_) => unsafe { &*new },
            Err(other) => {
                // SAFETY: nobody else has seen `new`; `other` was leaked by the thread that was faster.
                unsafe {
                    drop(Box::from_raw(new));
                    &*other
                }
            }
        }
    }
}

fn find(address: usize) -> Option<(&'static Slot, Range)> {
    let tables = std::iter::successors(Some(&TABLE), |table| table.next());
    { tables }.flat_map(|table| &table.slots).find_map(|slot| Some((slot, slot.range_at(address)?)))
}

/// What was done about SIGBUS before us; null for the default.
static PREVIOUS: AtomicPtr<libc::sigaction> = AtomicPtr::new(null_mut());

/// Installs the handler unless that is done. It is done once: if the program installs another one that calls ours,
/// installing ours again would make them call each other for ever.
fn handle() -> Result<()> {
    static HANDLED: AtomicBool = AtomicBool::new(false);
    if HANDLED.load(SeqCst) {
        return Ok(());
    }
    // Threads that come here at the same time do the same, none waits for another.
    let current = action(null())?;
    let mut ours = current;
    ours.sa_sigaction = on_fault as *const () as usize;
    // System calls that the signal interrupts go on if they would without us.
    let restarts = current.sa_sigaction == libc::SIG_IGN || current.sa_flags & libc::SA_RESTART != 0;
    ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | if restarts { libc::SA_RESTART } else { 0 };
    // A handler that interrupts ours and meets a lost page would end the process, because SIGBUS is blocked.
    // SAFETY: a writable set.
    unsafe { libc::sigfillset(&mut ours.sa_mask) };

    // Before the handler can run, and again if somebody has changed it meanwhile.
    remember(&current);
    let replaced = action(&ours)?;
    if replaced.sa_sigaction != current.sa_sigaction {
        remember(&replaced);
    }
    HANDLED.store(true, SeqCst);
    Ok(())
}

fn remember(action: &libc::sigaction) {
    if action.sa_sigaction != on_fault as *const () as usize {
        PREVIOUS.store(Box::into_raw(Box::new(*action)), SeqCst);
    }
}

/// sigaction(2) for SIGBUS: sets, unless null, and returns what was.
fn action(new: *const libc::sigaction) -> Result<libc::sigaction> {
    // SAFETY: all-zero is a valid struct.
    let mut old: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: null or valid, and writable; the handler does only what handlers may.
    check(unsafe { libc::sigaction(libc::SIGBUS, new, &mut old) })?;
    Ok(old)
}

// Of BUS_*, sigaction(2); not in the libc crate for every C library.
const BUS_ADRERR: c_int = 2;
const BUS_OBJERR: c_int = 3;
const BUS_MCEERR_AO: c_int = 5;

unsafe extern "C" fn on_fault(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel gives a siginfo_t and a ucontext_t; errno is this thread's.
    unsafe {
        let errno = *libc::__errno_location();
        if !is_survived(&*info, context) {
            pass_on(signal, info, context);
        }
        *libc::__errno_location() = errno;
    }
}

/// # Safety
/// `context` is the ucontext_t of the signal.
unsafe fn is_survived(info: &libc::siginfo_t, context: *mut c_void) -> bool {
    // Broken hardware (BUS_MCEERR_*) is not for us to hide.
    if !matches!(info.si_code, BUS_ADRERR | BUS_OBJERR) {
        return false;
    }
    // SAFETY: signals with these codes have an address.
    let address = unsafe { info.si_addr() }.addr();
    let Some((slot, range)) = find(address) else { return false };
    // SAFETY: the caller vouches for it.
    let is_copy = unsafe { copy::stop(context) };
    is_copy || slot.replace(&range, address)
}

/// What would have happened without us.
///
/// # Safety
/// The arguments are those of the handler.
unsafe fn pass_on(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let previous = PREVIOUS.load(SeqCst);
    // SAFETY: null or leaked by `remember`.
    let Some(action) = (unsafe { previous.as_ref() }) else {
        // SAFETY: the caller's.
        return unsafe { die(info) };
    };
    match action.sa_sigaction {
        // SAFETY: the caller's.
        libc::SIG_IGN if is_sent(unsafe { (*info).si_code }) => return,
        // SAFETY: the caller's.
        libc::SIG_DFL | libc::SIG_IGN => return unsafe { die(info) },
        _ => {}
    }
    static IS_RESET: AtomicBool = AtomicBool::new(false);
    if action.sa_flags & libc::SA_RESETHAND != 0 && IS_RESET.swap(true, SeqCst) {
        // It has become the default.
        // SAFETY: the caller's.
        return unsafe { die(info) };
    }
    // SAFETY: the action was installed for this signal, so it is a function of one of these kinds. It is called with the signals
    // blocked that it asked for; those that are blocked now come back when the kernel takes over again.
    unsafe {
        let own = if action.sa_flags & libc::SA_NODEFER == 0 { 1 << (signal - 1) } else { 0 };
        let interrupted = &raw const (*context.cast::<libc::ucontext_t>()).uc_sigmask;
        set_mask(first_word(interrupted) | first_word(&action.sa_mask) | own);
        if action.sa_flags & libc::SA_SIGINFO != 0 {
            type Handler = unsafe extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
            std::mem::transmute::<usize, Handler>(action.sa_sigaction)(signal, info, context);
        } else {
            std::mem::transmute::<usize, unsafe extern "C" fn(c_int)>(action.sa_sigaction)(signal);
        }
    }
}

/// All that the kernel knows of a set: in a ucontext_t it has no more, whatever the C library declares.
///
/// # Safety
/// `set` can be read that far.
unsafe fn first_word(set: *const libc::sigset_t) -> u64 {
    // SAFETY: the caller vouches for it.
    unsafe { set.cast::<u64>().read_unaligned() }
}

fn set_mask(signals: u64) {
    // SAFETY: all-zero is a valid set, and longer than a word; pthread_sigmask may be called in a handler.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        (&raw mut set).cast::<u64>().write_unaligned(signals);
        libc::pthread_sigmask(libc::SIG_SETMASK, &set, null_mut());
    }
}

/// Lets the default happen, as soon as the handler has returned: a fault happens again, and a signal that was sent is sent again.
///
/// # Safety
/// `info` is that of the signal.
unsafe fn die(info: *mut libc::siginfo_t) {
    // SAFETY: all-zero is a valid struct, SIG_DFL with no flags; the caller vouches for `info`; the calls may be made in a
    // handler.
    unsafe {
        let default: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGBUS, &default, null_mut());
        if is_sent((*info).si_code) {
            let (process, thread) = (libc::getpid(), libc::syscall(libc::SYS_gettid));
            // With all that was known about it, if that is allowed.
            if libc::syscall(libc::SYS_rt_tgsigqueueinfo, process, thread, libc::SIGBUS, info) != 0 {
                libc::raise(libc::SIGBUS);
            }
        }
    }
}

/// Whether it was sent, by a process or by the kernel, and is no fault of this thread. Faults cannot be ignored.
fn is_sent(code: c_int) -> bool {
    code <= 0 || code == BUS_MCEERR_AO
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd, AsRawFd, OwnedFd};

    use super::*;
    use crate::sys::mapping::{Content, Manner};
    use crate::sys::{file, page_size};

    /// A file of some pages that hold ones, and its guarded map. The guard goes first.
    fn mapped(pages: usize) -> (Guard, Mapping, OwnedFd) {
        let (length, protection) = (pages * page_size(), libc::PROT_READ | libc::PROT_WRITE);
        let fd = file::memfd_create(c"guarded", 0).expect("a file");
        file::pwrite(fd.as_fd(), &vec![1; length], 0).expect("written");
        let mapping =
            Mapping::new(length, Content::File(fd.as_fd(), 0), Manner { protection, flags: libc::MAP_SHARED })
                .expect("a map");
        let guard = Guard::new(mapping.base(), length, protection, page_size(), true).expect("a guard");
        (guard, mapping, fd)
    }

    fn cut(fd: &OwnedFd, pages: usize) {
        file::ftruncate(fd.as_fd(), (pages * page_size()) as u64).expect("another length");
    }

    /// The first byte of a page.
    fn byte(mapping: &Mapping, page: usize) -> u8 {
        // SAFETY: within the map, and guarded.
        unsafe { mapping.base().add(page * page_size()).read_volatile() }
    }

    #[test]
    fn pages_past_a_new_end_are_lost_anew() {
        let (mut guard, mapping, fd) = mapped(3);
        let length = 3 * page_size();
        cut(&fd, 1);
        assert_eq!([0, 1, 2].map(|page| byte(&mapping, page)), [1, 0, 0]);
        assert!(guard.is_lost());

        guard.moved(mapping.base(), page_size());
        cut(&fd, 3);
        let (protection, flags) = (libc::PROT_READ, libc::MAP_SHARED | libc::MAP_FIXED);
        let rest = mapping.base().as_ptr().wrapping_add(page_size()).cast();
        let offset = page_size() as libc::off_t;
        // SAFETY: the rest of the map, to which nothing refers.
        let placed = unsafe { libc::mmap(rest, length - page_size(), protection, flags, fd.as_raw_fd(), offset) };
        assert_eq!(placed, rest);
        guard.moved(mapping.base(), length);
        cut(&fd, 2);
        assert_eq!([0, 1, 2].map(|page| byte(&mapping, page)), [1, 0, 0]);
    }

    #[test]
    fn what_is_mapped_anew_is_lost_anew() {
        let (guard, mapping, fd) = mapped(2);
        cut(&fd, 0);
        assert_eq!(byte(&mapping, 1), 0);
        let manner = Manner { protection: libc::PROT_READ, flags: libc::MAP_SHARED };
        mapping.show(0, mapping.length(), Content::File(fd.as_fd(), 0), manner).expect("mapped anew");
        guard.renewed();
        assert_eq!([0, 1].map(|page| byte(&mapping, page)), [0, 0]);
        assert!(guard.is_lost(), "for good");
    }

    #[test]
    fn a_suspended_guard_guards_nothing() {
        let (mut guard, mapping, _fd) = mapped(1);
        let address = mapping.base().addr().get();
        let is_found = || find(address).is_some();
        assert!(is_found());
        guard.suspend();
        assert!(!is_found());
        guard.moved(mapping.base(), page_size());
        assert!(is_found());
    }

    #[test]
    fn a_guard_finds_nothing_of_the_one_before_in_its_slot() {
        for _ in 0..3 {
            let guards: Vec<_> = (0..2 * TABLE.slots.len()).map(|_| mapped(2)).collect();
            for (guard, mapping, fd) in &guards {
                let address = mapping.base().addr().get();
                assert!(find(address).is_some() && !guard.is_lost() && guard.is_unrestricted());
                cut(fd, 1);
                assert_eq!(byte(mapping, 1), 0);
                guard.release(0..page_size());
                assert!(find(address).is_none() && find(address + page_size()).is_some());
            }
        }
    }

    #[test]
    fn there_is_room_for_any_number_of_guards_and_it_is_used_again() {
        let tables = || std::iter::successors(Some(&TABLE), |table| table.next()).count();
        let many = || (0..3 * TABLE.slots.len()).map(|_| mapped(1)).collect::<Vec<_>>();
        let mut before = 0;
        for _ in 0..4 {
            for (guard, mapping, fd) in many() {
                cut(&fd, 0);
                assert_eq!(byte(&mapping, 0), 0);
                assert!(guard.is_lost());
            }
            // Other tests have guards too.
            assert!(before == 0 || tables() <= before + 1);
            before = tables();
        }
    }

    #[test]
    fn a_child_does_not_wait_for_a_thread_that_it_does_not_have() {
        let (guard, mapping, fd) = mapped(2);
        cut(&fd, 0);
        let page = (mapping.base().addr().get() + page_size()) >> page_size().trailing_zeros();
        let mut status = -1;
        Process::alone_with(page, || {
            // SAFETY: the child reads a guarded byte, which allocates nothing, and ends, also if it waits for ever.
            unsafe {
                let child = libc::fork();
                if child == 0 {
                    libc::alarm(60);
                    libc::_exit(byte(&mapping, 1).into());
                }
                libc::waitpid(child, &mut status, 0) == child
            }
        });
        assert_eq!(status, 0);
        assert!(!guard.is_lost(), "here");
        assert_eq!(byte(&mapping, 1), 0);
    }

    #[test]
    fn every_page_has_notes_of_its_own() {
        let (length, pages) = (3 * PAGES_IN_FIRST_LEVEL * page_size(), 3 * PAGES_IN_FIRST_LEVEL);
        let mapping = Mapping::reservation(length, page_size(), page_size()).expect("address space");
        let guard = Guard::new(mapping.base(), length, libc::PROT_NONE, page_size(), true).expect("a guard");
        let places = (0..pages).map(|page| &raw const *guard.slot.noted_on(page).expect("noted"));
        let places: std::collections::HashSet<_> = places.collect();
        assert_eq!(places.len(), pages);
    }
}
