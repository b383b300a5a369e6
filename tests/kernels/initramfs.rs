//! Makes the file system of the guest: this program, the libraries, and the tools that portable
//! tests run, as an archive in the format that the kernel unpacks (cpio "newc").

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{abi, tools};

/// The tools of tests that need neither compilers nor clients, and their paths in this Debian.
const TOOLS: [(&str, &str); 3] =
    [("/bin/sh", "/bin/dash"), ("/bin/cat", "/bin/cat"), ("/bin/true", "/bin/true")];

/// The files of the repository that tests read, and folders of such files.
const PAGES: [&str; 3] = ["SECURITY.md", "include", "tests/fuzz/corpus"];

/// Makes the file system with this program. The kernel runs /init. The library under test lies
/// beside it, where the program looks for it.
pub fn with_this_program() -> Vec<u8> {
    let program = std::env::current_exe().expect("this program's path");
    let mut archive = Archive::default();
    archive.add_program(Path::new("/init"), &program, "objcopy");
    archive.add_program(Path::new("/libbytefd.so"), &abi::library_path(), "objcopy");
    for (tool, _) in TOOLS {
        archive.add_file(Path::new(tool), Path::new(tool));
    }
    let tools = TOOLS.map(|(tool, _)| PathBuf::from(tool));
    for from in [program, abi::library_path()].into_iter().chain(tools) {
        for library in libraries(&from) {
            archive.add_file(&library, &library);
        }
    }
    archive.finish()
}

/// Makes the same for another processor, from its programs by their paths in the guest, and the
/// folder with its Debian.
pub fn of_another_machine(programs: &[(String, PathBuf)], debian: &Path, objcopy: &str) -> Vec<u8> {
    let mut archive = Archive::default();
    for (path, from) in programs {
        archive.add_program(Path::new(path), from, objcopy);
    }
    for (tool, there) in TOOLS {
        archive.add_file(Path::new(tool), &debian.join(&there[1..]));
    }
    // No ldd runs them, so all that they could need comes along: the loader, and what lies beside
    // the C library.
    for folder in ["lib", "usr/lib"] {
        archive.add_libraries(&debian.join(folder), &Path::new("/").join(folder));
    }
    archive.finish()
}

/// Returns the shared libraries that a program or library needs, and the loader, by the paths where
/// they are looked for.
fn libraries(of: &Path) -> Vec<PathBuf> {
    let output = tools::run(Command::new("ldd").arg(of));
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    said.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

fn is_library(name: &OsStr) -> bool {
    name.to_string_lossy().contains(".so")
}

#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    added: BTreeSet<PathBuf>,
}

impl Archive {
    /// Adds a program without the parts that only debuggers read, which are nine tenths.
    fn add_program(&mut self, path: &Path, from: &Path, objcopy: &str) {
        let stripped = tempfile::NamedTempFile::new().expect("a file");
        tools::run(Command::new(objcopy).arg("--strip-debug").arg(from).arg(stripped.path()));
        self.add_file(path, stripped.path());
    }

    /// Adds the shared libraries in `from` and in the folders directly in it, at `path`.
    fn add_libraries(&mut self, from: &Path, path: &Path) {
        for entry in std::fs::read_dir(from).expect("a folder").flatten() {
            let (name, found) = (entry.file_name(), entry.path());
            // A link counts as what it leads to.
            if found.is_dir() {
                let inner = std::fs::read_dir(&found).expect("a folder").flatten();
                for library in inner
                    .filter(|library| is_library(&library.file_name()) && library.path().is_file())
                {
                    self.add_file(&path.join(&name).join(library.file_name()), &library.path());
                }
            } else if is_library(&name) && found.is_file() {
                self.add_file(&path.join(name), &found);
            }
        }
    }

    /// Adds the pages where this program looks for them.
    fn add_pages(&mut self) {
        for page in PAGES.map(|page| tools::repository().join(page)) {
            if page.is_dir() {
                for entry in std::fs::read_dir(&page).expect("a folder").flatten() {
                    self.add_file(&entry.path(), &entry.path());
                }
            } else {
                self.add_file(&page, &page);
            }
        }
    }

    /// Adds the content of `from` as an executable file at `path`, with the folders above it.
    fn add_file(&mut self, path: &Path, from: &Path) {
        if self.added.contains(path) {
            return;
        }
        let folders: Vec<_> =
            path.ancestors().skip(1).filter(|folder| *folder != Path::new("/")).collect();
        for folder in folders.into_iter().rev() {
            self.add(folder, libc::S_IFDIR | 0o755, &[]);
        }
        let content =
            std::fs::read(from).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        self.add(path, libc::S_IFREG | 0o755, &content);
    }

    /// Adds an entry as Documentation/driver-api/early-userspace/buffer-format.rst in the kernel's
    /// sources describes it.
    fn add(&mut self, path: &Path, mode: u32, content: &[u8]) {
        if !self.added.insert(path.to_path_buf()) {
            return;
        }
        let name = path.to_str().expect("UTF-8").trim_start_matches('/');
        // ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor,
        // namesize, check
        let (size, name_size) = (content.len() as u32, name.len() as u32 + 1);
        let fields = [self.added.len() as u32, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        self.add_pages();
        self.add(Path::new("TRAILER!!!"), 0, &[]);
        self.bytes
    }
}
