//! Gives the shared library that cargo builds the soname of the one that `make lib` stages, so that
//! programs record the ABI and not a file name, and keeps it in memory after dlclose(3), because
//! the handler of SIGBUS is in it. Nothing is written into the source tree: the header is made by
//! `make header`.

fn main() {
    let [major, minor] = ["MAJOR", "MINOR"].map(|part| {
        std::env::var(format!("CARGO_PKG_VERSION_{part}")).expect("cargo sets the version")
    });
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libbytefd.so.{major}.{minor}");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,defs");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo:rerun-if-changed=build.rs");
}
