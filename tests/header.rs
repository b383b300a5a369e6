//! The committed headers are what the sources say.

use crate::support::tools::repository;
use crate::tests;

tests![the_headers_are_generated_from_the_sources];

/// In the order in which a reader wants them.
const SOURCES: [&str; 19] = [
    "boundary",
    "arguments",
    "options",
    "results",
    "wrap_options",
    "wrap",
    "scan",
    "pool",
    "map_options",
    "map",
    "map_range",
    "map_content",
    "adopt",
    "stream",
    "socket",
    "named",
    "sysv",
    "lock",
    "host",
];

fn the_headers_are_generated_from_the_sources() {
    let config = cbindgen::Config::from_file(repository().join("cbindgen.toml")).expect("cbindgen.toml");
    let mut builder = cbindgen::Builder::new().with_config(config);
    for source in SOURCES {
        builder = builder.with_src(repository().join(format!("src/ffi/{source}.rs")));
    }
    let mut generated = Vec::new();
    builder.generate().expect("a header").write(&mut generated);

    // The Go package has its own, because a module has no files above its folder.
    for name in ["include/bytefd.h", "go/bytefd.h"] {
        let path = repository().join(name);
        if std::env::var_os("BYTEFD_WRITE_HEADER").is_some() {
            std::fs::write(&path, &generated).expect("written");
        }
        let committed = std::fs::read(&path).expect(name);
        assert!(committed == generated, "{name} is not what the sources say: make header");
    }

    let ffi = std::fs::read_dir(repository().join("src/ffi")).expect("src/ffi");
    let rooms = ffi.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    for room in rooms.filter(|room| room != "mod.rs") {
        assert!(SOURCES.iter().any(|source| room == format!("{source}.rs")), "{room} is not in the header");
    }
}
