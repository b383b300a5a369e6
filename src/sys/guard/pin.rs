//! Keeps the object that contains the handler loaded. dl_iterate_phdr(3) finds its name, and
//! dlopen(3) with RTLD_NOLOAD and RTLD_NODELETE keeps it.
//!
//! Plugins that were linked with the archive need this. The shared library is linked with `-z
//! nodelete` as well, a program is never unloaded, and musl unloads nothing.

#[cfg(not(target_env = "musl"))]
use std::ffi::{c_char, c_int, c_void};

use crate::sys::call::Result;

/// Keeps the object that contains a function loaded, even if all users call dlclose(3). The object
/// is a program, the shared library, or a plugin that was linked with the archive. ELIBACC if the
/// loader refuses.
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
        // SAFETY: the loader passes an object, and `pin` passes the search.
        let (object, search) = unsafe { (&*object, &mut *search.cast::<Search>()) };
        // SAFETY: the loader guarantees that the object has `dlpi_phnum` segments.
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
    // SAFETY: `look` is a callback of this type, and the search outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut search).cast()) };
    if search.name.is_null() {
        return Err(Errno(libc::ELIBACC));
    }
    // SAFETY: the name is a string of the object that contains this code.
    if unsafe { *search.name } == 0 {
        // The name is empty: the function is in the program itself.
        return Ok(());
    }
    let flags = libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_NODELETE;
    // SAFETY: the name is a string, as above. RTLD_NOLOAD loads nothing, so no constructor runs.
    if unsafe { dlopen(search.name, flags) }.is_null() { Err(Errno(libc::ELIBACC)) } else { Ok(()) }
}

/// Returns dlopen(3), if the program has it. Without dlopen(3) there is no dlclose(3), and nothing
/// is unloaded. It is looked up by name, because the linker warns of it in static programs.
#[cfg(not(target_env = "musl"))]
fn dlopen() -> Option<unsafe extern "C" fn(*const c_char, c_int) -> *mut c_void> {
    // SAFETY: the name is a string. The result is null or the function, which has this type.
    unsafe { std::mem::transmute(libc::dlsym(libc::RTLD_DEFAULT, c"dlopen".as_ptr())) }
}

/// Does nothing, because musl's dlclose(3) unloads nothing.
#[cfg(target_env = "musl")]
pub(super) fn pin(_: usize) -> Result<()> {
    Ok(())
}
