//! The object that holds the handler stays loaded.

use crate::sys::call::Result;

/// Keeps the object that a function is in loaded for good, whoever calls dlclose(3): a program, the shared library, or a plugin
/// that was linked with the archive. ELIBACC if the loader refuses.
#[cfg(not(target_env = "musl"))]
pub(super) fn pin(function: usize) -> Result<()> {
    use std::ffi::{c_char, c_int, c_void};
    use std::ptr::null;

    use crate::error::Errno;

    struct Search {
        function: usize,
        name: *const c_char,
    }

    unsafe extern "C" fn look(object: *mut libc::dl_phdr_info, _: usize, search: *mut c_void) -> c_int {
        // SAFETY: the loader gives an object with its segments; the search is that of `pin`.
        let (object, search) = unsafe { (&*object, &mut *search.cast::<Search>()) };
        let segments = (0..usize::from(object.dlpi_phnum)).map(|at| {
            // SAFETY: it has so many.
            unsafe { &*object.dlpi_phdr.add(at) }
        });
        let is_here = { segments }.filter(|segment| segment.p_type == libc::PT_LOAD).any(|segment| {
            let start = (object.dlpi_addr + segment.p_vaddr) as usize;
            search.function.wrapping_sub(start) < segment.p_memsz as usize
        });
        if is_here {
            search.name = object.dlpi_name;
        }
        is_here.into()
    }

    let mut search = Search { function, name: null() };
    // SAFETY: the function does as the loader expects, and the search outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut search).cast()) };
    let refused = Errno(libc::ELIBACC);
    // SAFETY: null, or a name of the object that this code is in.
    if search.name.is_null() || unsafe { *search.name } == 0 {
        // The program itself has no name.
        return if search.name.is_null() { Err(refused) } else { Ok(()) };
    }
    let flags = libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_NODELETE;
    // SAFETY: as above. Nothing is loaded, so nothing is run.
    if unsafe { libc::dlopen(search.name, flags) }.is_null() { Err(refused) } else { Ok(()) }
}

/// musl's dlclose(3) unloads nothing.
#[cfg(target_env = "musl")]
pub(super) fn pin(_: usize) -> Result<()> {
    Ok(())
}
