//! Loads functions of clients' libraries by their names.

use std::collections::BTreeMap;
use std::sync::Mutex;

use libloading::Library;

/// `functions! { "libz.so.1"; fn gzclose(file: *mut c_void) -> c_int; }` declares functions of a
/// library that is loaded when one is called.
macro_rules! functions {
    ($library:expr; $(
        fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)?;
    )*) => {
        $(#[allow(non_snake_case)]
        unsafe fn $name($($argument: $type),*) $(-> $result)? {
            type Function = unsafe extern "C" fn($($type),*) $(-> $result)?;
            // SAFETY: the type is that of the library's manual; what it is called with the caller
            // answers for.
            unsafe {
                let called: Function = $crate::clients::load::symbol($library, stringify!($name));
                called($($argument),*)
            }
        })*
    };
}
pub(super) use functions;

/// # Safety
/// `T` is the type of the symbol.
pub unsafe fn symbol<T: Copy>(library: &'static str, name: &str) -> T {
    static LOADED: Mutex<BTreeMap<&'static str, &'static Library>> = Mutex::new(BTreeMap::new());
    let mut loaded = LOADED.lock().expect("no panic");
    let library = loaded.entry(library).or_insert_with(|| Box::leak(Box::new(load(library))));
    // SAFETY: the caller vouches for the type.
    *unsafe { library.get::<T>(name.as_bytes()) }.unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Loads the first of these libraries that is installed.
fn load(names: &str) -> Library {
    // SAFETY: libraries of the system, which any program loads.
    let found = names.split('|').find_map(|name| unsafe { Library::new(name) }.ok());
    found.unwrap_or_else(|| panic!("none of {names} (is its package installed?)"))
}
