//! Sets linker options of the shared library that cargo builds.
//!
//! It gets the soname of the library that `make lib` stages, so that programs record the ABI and
//! not a file name. It stays in memory after dlclose(3), because it contains the handler for
//! SIGBUS. The script writes nothing into the source tree: `make header` makes the header.

fn main() {
    let [major, minor] = ["MAJOR", "MINOR"].map(|part| {
        std::env::var(format!("CARGO_PKG_VERSION_{part}")).expect("cargo sets the version")
    });
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libbytefd.so.{major}.{minor}");
    // A sanitizer's functions are in the program that loads the library.
    if std::env::var_os("CARGO_CFG_SANITIZE").is_none() {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,defs");
    }
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo:rerun-if-changed=build.rs");
}
