//! Faults that the sanitizers must report. `make sanitize` runs each of these tests, and fails if
//! one of them passes.

use std::cell::UnsafeCell;
use std::hint::black_box;

#[test]
#[ignore = "a fault, which AddressSanitizer reports"]
fn a_read_past_the_end_of_an_allocation() {
    let bytes = black_box(vec![1u8; 100]);
    // SAFETY: not met, which is the fault.
    black_box(unsafe { bytes.as_ptr().add(100).read_volatile() });
}

#[test]
#[ignore = "a fault, which LeakSanitizer reports"]
fn memory_that_is_never_freed() {
    std::mem::forget(black_box(vec![1u8; 100]));
}

#[test]
#[ignore = "a fault, which ThreadSanitizer reports"]
fn two_threads_that_store_without_a_lock() {
    struct Number(UnsafeCell<u64>);
    // SAFETY: not met, which is the fault.
    unsafe impl Sync for Number {}
    let number = &Number(UnsafeCell::new(0));
    std::thread::scope(|scope| {
        for value in 0..2 {
            // SAFETY: not met, which is the fault.
            scope.spawn(move || (0..1000).for_each(|_| unsafe { number.0.get().write(value) }));
        }
    });
}
