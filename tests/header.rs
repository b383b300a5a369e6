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
    let generated = with_nonnull(std::str::from_utf8(&generated).expect("UTF-8"));

    // The Go package has its own, because a module has no files above its folder.
    for name in ["include/bytefd.h", "go/bytefd.h"] {
        let path = repository().join(name);
        if std::env::var_os("BYTEFD_WRITE_HEADER").is_some() {
            std::fs::write(&path, &generated).expect("written");
        }
        let committed = std::fs::read(&path).expect(name);
        assert!(committed == generated.as_bytes(), "{name} is not what the sources say: make header");
    }

    for entry in std::fs::read_dir(repository().join("src/ffi")).expect("src/ffi") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("UTF-8");
        let exports = std::fs::read_to_string(&path).expect("UTF-8").contains("no_mangle");
        assert!(!exports || SOURCES.contains(&name), "{name} is not in the header");
    }
}

/// Whether this pointer must not be NULL. A parameter with a new name must be put here.
fn must_not_be_null(function: &str, parameter: &str) -> bool {
    const TAKE_NULL: [&str; 3] = ["bytefd_map_data", "bytefd_map_length", "bytefd_tempfile_path"];
    match parameter {
        "map" | "scan" | "pool" | "file" => {
            !function.ends_with("_close") && !function.ends_with("_end") && !TAKE_NULL.contains(&function)
        }
        // Elsewhere a buffer may be NULL if its length is 0.
        "buf" => ["bytefd_path", "bytefd_host_report"].contains(&function),
        "iov" | "message" | "fds" | "full_name" => false,
        "error" | "context" | "options" | "stream" | "requirements" | "result" | "shmid" => false,
        "path" | "name" | "address" | "word" => true,
        "length" | "count" | "copied" | "size" | "stats" | "credentials" => true,
        _ => panic!("may {parameter} of {function} be NULL?"),
    }
}

/// cbindgen has nothing between a pointer and a reference, which Rust would take for valid.
fn with_nonnull(header: &str) -> String {
    let mut function = "";
    let mut text = String::new();
    for line in header.split_inclusive('\n') {
        if line.starts_with(['#', '/']) || line.starts_with("typedef") || line.trim_start().starts_with('*') {
            text += line;
            continue;
        }
        for part in line.split_inclusive([',', '(', ')']) {
            let (start, last) = part.split_at(part.rfind(['*', ' ']).map_or(0, |at| at + 1));
            let is_pointer = start.ends_with('*') || start.ends_with("bytefd_scan_fn ");
            if let Some(name) = last.strip_suffix('(') {
                function = name;
            } else if let Some(name) = last.strip_suffix([',', ')']).filter(|_| is_pointer) {
                if must_not_be_null(function, name) {
                    text += &format!("{start}BYTEFD_NONNULL {last}");
                    continue;
                }
            }
            text += part;
        }
    }
    text
}
