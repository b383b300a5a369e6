//! Provides another Rust library for the same C program: a static archive as rustc makes it, with
//! the standard library inside.

use std::collections::HashMap;
use std::ffi::c_int;

/// Panics, catches the panic, and returns the number of letters in its text.
#[unsafe(no_mangle)]
pub extern "C" fn other_catches_its_panic() -> c_int {
    std::panic::set_hook(Box::new(|_| {}));
    let caught = std::panic::catch_unwind(|| panic!("other is 1"));
    let text = caught.unwrap_err().downcast::<&str>().expect("a text");
    let letters = text.chars().map(|letter| (letter, 1)).collect::<HashMap<_, _>>();
    std::thread::spawn(move || letters.len() as c_int).join().expect("a thread")
}
