//! The committed headers are what the sources say.

use crate::support::tools::repository;
use crate::tests;

tests![the_headers_are_generated_from_the_sources];

/// In the order in which a reader wants them.
const SOURCES: [&str; 26] = [
    "boundary",
    "arguments",
    "options",
    "results",
    "flags",
    "wrap_options",
    "wrap",
    "stream",
    "scan",
    "pool",
    "map_options",
    "map",
    "map_range",
    "map_content",
    "adopt",
    "requirements",
    "transfer",
    "shm",
    "tempfile",
    "sysv",
    "dmabuf",
    "file_lock",
    "futex",
    "host",
    "version",
    "short_names",
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

    for entry in std::fs::read_dir(repository().join("src/ffi")).expect("src/ffi") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("UTF-8");
        let exports = std::fs::read_to_string(&path).expect("UTF-8").contains("no_mangle");
        assert!(!exports || SOURCES.contains(&name), "{name} is not in the header");
    }
}
