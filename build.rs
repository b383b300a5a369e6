//! Gives the shared library its soname, so that programs record `libbytefd.so.0` and not a file name, and keeps it in memory
//! after dlclose(3), because the handler of SIGBUS is in it.
//! Nothing is written into the source tree: the header is made by `make header`.

fn main() {
    let major = std::env::var("CARGO_PKG_VERSION_MAJOR").expect("cargo sets the version");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libbytefd.so.{major}");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,defs");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo:rerun-if-changed=build.rs");
}
