//! The object that contains the handler stays loaded: dl_iterate_phdr(3) finds its name, and
//! dlopen(3) with RTLD_NOLOAD and RTLD_NODELETE keeps it.
//!
//! Plugins that were linked with the archive need this. The shared library is linked with `-z
//! nodelete` as well, a program is never unloaded, and musl unloads nothing.

#[cfg(not(target_env = "musl"))]
use std::ffi::{c_char, c_int, c_void};

use crate::sys::call::Result;

/// Keeps the object that a function is in loaded for good, whoever calls dlclose(3): a program, the
/// shared library, or a plugin that was linked with the archive. ELIBACC if the loader refuses.
#[cfg(not(target_env = "musl"))]
pub(super) fn pin(function: usize) -> Result<()> {
    use std::ptr::null;

    use crate::error::Errno;

    struct Search {
        function: usize,
        name: *const c_char,
    }

    unsafe extern "C" fn look(
        object: *mut libc::dl_phdr_info,
        _: usize,
        search: *mut c_void,
    ) -> c_int {
        // SAFETY: the loader gives an object, and the search is that of `pin`.
        let (object, search) = unsafe { (&*object, &mut *search.cast::<Search>()) };
        // SAFETY: it has so many segments.
        let segments =
            unsafe { std::slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into()) };
        let is_here =
            segments.iter().filter(|segment| segment.p_type == libc::PT_LOAD).any(|segment| {
                let start = object.dlpi_addr.wrapping_add(segment.p_vaddr) as usize;
                search.function.wrapping_sub(start) < segment.p_memsz as usize
            });
        if is_here {
            search.name = object.dlpi_name;
        }
        is_here.into()
    }

    let Some(dlopen) = dlopen() else { return Ok(()) };
    let mut search = Search { function, name: null() };
    // SAFETY: the function does as the loader expects, and the search outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut search).cast()) };
    if search.name.is_null() {
        return Err(Errno(libc::ELIBACC));
    }
    // SAFETY: a string of the object that this code is in.
    if unsafe { *search.name } == 0 {
        // The program itself.
        return Ok(());
    }
    let flags = libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_NODELETE;
    // SAFETY: as above. Nothing is loaded, so nothing is run.
    if unsafe { dlopen(search.name, flags) }.is_null() { Err(Errno(libc::ELIBACC)) } else { Ok(()) }
}

/// dlopen(3), if the program has it: where nobody can call dlclose(3) nothing is unloaded. Asked
/// for by name, because the linker warns of it in programs that are linked statically.
#[cfg(not(target_env = "musl"))]
fn dlopen() -> Option<unsafe extern "C" fn(*const c_char, c_int) -> *mut c_void> {
    // SAFETY: a string; null or the function, which has this type.
    unsafe { std::mem::transmute(libc::dlsym(libc::RTLD_DEFAULT, c"dlopen".as_ptr())) }
}

/// musl's dlclose(3) unloads nothing.
#[cfg(target_env = "musl")]
pub(super) fn pin(_: usize) -> Result<()> {
    Ok(())
}
