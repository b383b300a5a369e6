//! compiler TARGET: prints the path of the C compiler for that target. The `cc` crate chooses it;
//! CC, or CC_aarch64_unknown_linux_gnu and the like, name another one.

fn main() {
    let target = std::env::args().nth(1).expect("usage: compiler TARGET");
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let compiler = cc::Build::new()
        .target(&target)
        .host(&host)
        .opt_level(2)
        .cargo_metadata(false)
        .get_compiler();
    println!("{}", compiler.path().display());
}
