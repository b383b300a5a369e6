//! Postpones pthread_cancel(3) until the library has returned. A cancelled thread unwinds (glibc)
//! or ends immediately (musl), and neither can pass through a boundary that stops panics.

use std::ffi::{c_int, c_void};
use std::marker::PhantomPinned;
use std::pin::pin;

unsafe extern "C" {
    fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
    fn _pthread_cleanup_push(
        buffer: *mut Buffer,
        routine: extern "C" fn(*mut c_void),
        argument: *mut c_void,
    );
    fn _pthread_cleanup_pop(buffer: *mut Buffer, execute: c_int);
}

/// The same number in glibc and musl.
const PTHREAD_CANCEL_DISABLE: c_int = 1;

/// While this value exists, a request to cancel this thread stays pending.
pub(super) struct Postponed {
    before: c_int,
}

impl Postponed {
    pub fn new() -> Postponed {
        let mut before = 0;
        // SAFETY: the number can be written. The call cannot fail with a valid state.
        unsafe { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &mut before) };
        Postponed { before }
    }
}

impl Drop for Postponed {
    fn drop(&mut self) {
        // SAFETY: NULL is allowed, and the state is one that the C library gave us.
        unsafe { pthread_setcancelstate(self.before, std::ptr::null_mut()) };
    }
}

/// The record of the C library in the caller's frame: four words in glibc, three in musl.
#[repr(C, align(16))]
struct Buffer([usize; 8]);

struct Cleanup<T> {
    buffer: Buffer,
    value: Option<T>,
    /// The C library keeps the address of the buffer.
    _pinned: PhantomPinned,
}

/// Calls `body` with `value`. Returns the value, and the result of `body`. The thread may be
/// cancelled in `body`. If the thread ends there, a cleanup handler drops the value, because musl
/// does not unwind. A C++ exception drops the value too.
pub(super) fn with_cleanup<T, R>(value: T, body: impl FnOnce(&T) -> R) -> (T, R) {
    extern "C" fn clean<T>(value: *mut c_void) {
        // SAFETY: `with_cleanup` gave this pointer, whose frame is still there, and does nothing
        // meanwhile.
        unsafe { (*value.cast::<Option<T>>()).take() };
    }
    /// Removes the record, also when an exception passes.
    struct Pop(*mut Buffer);
    impl Drop for Pop {
        fn drop(&mut self) {
            // SAFETY: the buffer was pushed last, and is in the frame of `with_cleanup`.
            unsafe { _pthread_cleanup_pop(self.0, 0) };
        }
    }
    let cleanup =
        pin!(Cleanup { buffer: Buffer([0; 8]), value: Some(value), _pinned: PhantomPinned });
    // SAFETY: nothing is moved out but the value, which may move.
    let cleanup: *mut Cleanup<T> = unsafe { cleanup.get_unchecked_mut() };
    // SAFETY: the pointer is to a variable of this frame, which outlives `pop` and the call of
    // `body`.
    unsafe {
        let value = &raw mut (*cleanup).value;
        _pthread_cleanup_push(&raw mut (*cleanup).buffer, clean::<T>, value.cast());
        let pop = Pop(&raw mut (*cleanup).buffer);
        let result = body((*value).as_ref().expect("set above"));
        drop(pop);
        ((*value).take().expect("the handler did not run"), result)
    }
}
