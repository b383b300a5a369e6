//! Tests `make install` and `make uninstall`: which files they install, where, and what these say
//! about each other.

pub mod users;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::library::{FILE, SONAME, dynamic_section};
use crate::support::tools::{compiler, repository, run, said, staged};
use crate::tests;

tests![
    the_installed_files_are_where_they_belong,
    uninstall_removes_what_install_has_put_there_and_nothing_else,
    programs_build_and_run_with_what_pkg_config_says_wherever_it_is_installed,
    installed_paths_are_absolute_and_without_destdir,
    what_is_staged_is_installed_without_cargo,
    nothing_is_installed_where_the_paths_would_be_read_in_another_way,
];

/// The directories in which things are installed.
#[derive(Clone, Debug)]
pub struct Places {
    pub destdir: PathBuf,
    pub prefix: PathBuf,
    pub lib: PathBuf,
    pub include: PathBuf,
}

impl Places {
    /// Returns the default directories, all below `prefix`.
    pub fn below(prefix: &Path) -> Places {
        let prefix = prefix.to_path_buf();
        Places {
            destdir: PathBuf::new(),
            lib: prefix.join("lib"),
            include: prefix.join("include"),
            prefix,
        }
    }

    /// Returns the same directories, with the library directory of Debian.
    pub fn multiarch(prefix: &Path) -> Places {
        Places {
            lib: prefix.join(format!("lib/{}-linux-gnu", std::env::consts::ARCH)),
            ..Places::below(prefix)
        }
    }

    /// Returns directories for libraries and header outside of the prefix.
    pub fn scattered(folder: &Path) -> Places {
        Places {
            lib: folder.join("libraries"),
            include: folder.join("c/headers"),
            ..Places::below(&folder.join("prefix"))
        }
    }

    /// Makes the command `make ACTION`, in a repository or in the part of one that it needs.
    pub fn make(&self, action: &str, folder: &Path) -> Command {
        let mut make = Command::new("make");
        make.arg(action).current_dir(folder);
        let variables = [
            ("DESTDIR", &self.destdir),
            ("PREFIX", &self.prefix),
            ("LIBDIR", &self.lib),
            ("INCLUDEDIR", &self.include),
        ];
        make.args(variables.map(|(name, value)| format!("{name}={}", value.display())));
        make
    }

    pub fn install(&self) {
        staged();
        run(&mut self.make("install", repository()));
    }

    /// Returns the path of a file in the library directory, as it is seen without DESTDIR.
    pub fn in_lib(&self, name: &str) -> PathBuf {
        in_destdir(&self.destdir, &self.lib).join(name)
    }

    /// Runs pkg-config, which finds this installation and no other.
    pub fn pkg_config(&self, arguments: &[&str]) -> Vec<String> {
        let mut command = Command::new("pkg-config");
        command.env("PKG_CONFIG_LIBDIR", self.in_lib("pkgconfig")).args(arguments).arg("bytefd");
        said(&run(&mut command)).split_whitespace().map(String::from).collect()
    }
}

fn in_destdir(destdir: &Path, path: &Path) -> PathBuf {
    if destdir.as_os_str().is_empty() {
        return path.into();
    }
    destdir.join(path.strip_prefix("/").expect("an absolute path"))
}

/// Returns all that is not a directory below a folder, by its path from there.
fn files_below(folder: &Path) -> BTreeSet<PathBuf> {
    fn visit(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let entry = entry.expect("an entry");
            if entry.file_type().expect("a type").is_dir() {
                visit(&entry.path(), found)
            } else {
                found.push(entry.path())
            }
        }
    }
    let mut found = Vec::new();
    visit(folder, &mut found);
    found.iter().map(|path| path.strip_prefix(folder).expect("below").into()).collect()
}

/// Runs mmcat, a program that maps a file and prints it.
pub fn check_mmcat(program: &Path) {
    let header = repository().join("include/bytefd.h");
    let output = run(Command::new(program).arg(&header));
    assert!(output.stdout == std::fs::read(&header).expect("the header"), "{}", program.display());
}

pub fn uses_shared_library(program: &Path) -> bool {
    dynamic_section(program).contains(&format!("[{SONAME}]"))
}

fn the_installed_files_are_where_they_belong() {
    let folder = tempfile::tempdir().expect("a folder");
    let places = Places::below(&folder.path().join("usr"));
    places.install();
    let files = ["include/bytefd.h", "lib/libbytefd.a", &format!("lib/{FILE}")];
    let adapted = ["lib/pkgconfig/bytefd.pc", "lib/cmake/bytefd/bytefd-config.cmake"];
    let links = [("lib/libbytefd.so", SONAME), (&format!("lib/{SONAME}"), FILE)];
    let mut expected: BTreeSet<PathBuf> = files.iter().chain(&adapted).map(PathBuf::from).collect();
    expected.extend(links.iter().map(|(link, _)| PathBuf::from(link)));
    expected.insert("lib/cmake/bytefd/bytefd-config-version.cmake".into());
    let found = files_below(&places.prefix).into_iter();
    // Programs and manual pages, where they are staged, have a test of their own.
    let found = found.filter(|path| !path.starts_with("bin") && !path.starts_with("share/man"));
    assert_eq!(found.collect::<BTreeSet<_>>(), expected);

    for (link, target) in links {
        assert_eq!(std::fs::read_link(places.prefix.join(link)).expect(link), Path::new(target));
    }
    for name in files {
        let (installed, staged) = (places.prefix.join(name), staged().join(name));
        assert!(
            std::fs::read(&installed).expect(name) == std::fs::read(staged).expect(name),
            "{name}"
        );
        let mode = std::fs::metadata(&installed).expect(name).permissions().mode();
        assert_eq!(mode & 0o7777, if name.ends_with(FILE) { 0o755 } else { 0o644 }, "{name}");
    }
    assert_eq!(places.pkg_config(&["--modversion"]), [env!("CARGO_PKG_VERSION")]);
}

/// The files that `make install` needs, as a packager finds them in an archive: no sources, and no
/// cargo.
struct Release {
    folder: tempfile::TempDir,
}

impl Release {
    /// Makes one with a program and a manual page, whether some are staged or not.
    fn new() -> Release {
        let folder = tempfile::tempdir().expect("a folder");
        let to = folder.path();
        for name in ["Makefile", "scripts/install"] {
            std::fs::create_dir_all(to.join(name).parent().expect("a folder")).expect("a folder");
            std::fs::copy(repository().join(name), to.join(name)).expect(name);
        }
        run(Command::new("cp").arg("-a").arg(staged()).arg(to.join("dist")));
        let program = to.join("dist/bin/bytefd-test");
        for file in [&program, &to.join("dist/share/man/man1/bytefd-test.1")] {
            std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
            std::fs::write(file, "#!/bin/sh\n").expect("written");
        }
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("a mode");
        // The program that is found first by the name of cargo fails.
        std::fs::create_dir(to.join("path")).expect("a folder");
        std::os::unix::fs::symlink("/bin/false", to.join("path/cargo")).expect("a link");
        Release { folder }
    }

    fn make(&self, action: &str, places: &Places) -> Output {
        let mut make = places.make(action, self.folder.path());
        let path = std::env::var("PATH").expect("PATH");
        make.env("PATH", format!("{}:{path}", self.folder.path().join("path").display()));
        make.output().expect("make runs")
    }
}

fn what_is_staged_is_installed_without_cargo() {
    let (release, folder) = (Release::new(), tempfile::tempdir().expect("a folder"));
    let places = Places::below(folder.path());
    let output = release.make("install", &places);
    assert!(output.status.success() && output.stderr.is_empty(), "{}", said(&output));
    assert_eq!(files_below(folder.path()), files_below(&release.folder.path().join("dist")));
    let mode = |name: &str| {
        std::fs::metadata(folder.path().join(name)).expect(name).permissions().mode() & 0o7777
    };
    assert_eq!((mode("bin/bytefd-test"), mode("share/man/man1/bytefd-test.1")), (0o755, 0o644));

    // Sources that have changed since are installed when they are staged. Whoever has some is told.
    std::fs::create_dir(release.folder.path().join("src")).expect("a folder");
    std::fs::write(release.folder.path().join("src/lib.rs"), "").expect("written");
    let output = release.make("install", &places);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("src/lib.rs is newer than dist/"), "{}", said(&output));

    // If nothing is staged, it is built first, and cargo fails here.
    std::fs::remove_dir_all(release.folder.path().join("dist")).expect("removed");
    let output = release.make("install", &places);
    assert!(
        !output.status.success() && said(&output).contains("cargo rustc --release"),
        "{}",
        said(&output)
    );
    let output = release.make("uninstall", &places);
    assert!(
        !output.status.success() && said(&output).contains("make lib stages it"),
        "{}",
        said(&output)
    );
}

fn uninstall_removes_what_install_has_put_there_and_nothing_else() {
    let release = Release::new();
    for places in [Places::below, Places::multiarch, Places::scattered] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut places = places(Path::new("/usr"));
        places.destdir = folder.path().into();
        // Files of others, in each directory.
        let neighbours = [
            places.in_lib("libbyte.so"),
            places.in_lib("pkgconfig/byte.pc"),
            places.in_lib("cmake/byte/byte-config.cmake"),
            in_destdir(&places.destdir, &places.include).join("byte.h"),
            folder.path().join("usr/bin/byte"),
            folder.path().join("usr/share/man/man1/byte.1"),
        ];
        for file in &neighbours {
            std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
            std::fs::write(file, "").expect("written");
        }
        let before = files_below(folder.path());
        let output = release.make("install", &places);
        assert!(output.status.success(), "{}", said(&output));
        let installed = files_below(folder.path()).len() - before.len();
        assert_eq!(installed, files_below(&release.folder.path().join("dist")).len());

        for _ in 0..2 {
            let output = release.make("uninstall", &places);
            assert!(output.status.success() && output.stderr.is_empty(), "{}", said(&output));
            assert_eq!(files_below(folder.path()), before, "{places:?}");
            assert!(!places.in_lib("cmake/bytefd").exists());
        }
    }
}

fn programs_build_and_run_with_what_pkg_config_says_wherever_it_is_installed() {
    let folder = tempfile::tempdir().expect("a folder");
    for (index, places) in
        [Places::below, Places::multiarch, Places::scattered].into_iter().enumerate()
    {
        let folder = folder.path().join(index.to_string());
        let places = places(&folder);
        places.install();
        for (arguments, library, is_shared) in [
            (&["--cflags", "--libs"][..], "-lbytefd", true),
            (&["--cflags", "--libs", "--static"][..], "-l:libbytefd.a", false),
        ] {
            let flags = places.pkg_config(arguments).into_iter();
            let flags = flags.map(|flag| if flag == "-lbytefd" { library.into() } else { flag });
            let (source, program) = (repository().join("c-examples/mmcat.c"), folder.join("mmcat"));
            let mut command = compiler(None, &source);
            command.arg("-std=c11").arg(&source).args(flags).arg("-o").arg(&program);
            run(command.arg(format!("-Wl,-rpath,{}", places.lib.display())));
            assert_eq!(uses_shared_library(&program), is_shared, "{places:?}");
            check_mmcat(&program);
        }
    }
}

fn installed_paths_are_absolute_and_without_destdir() {
    let folder = tempfile::tempdir().expect("a folder");
    for (index, (places, expected)) in [
        (Places::below(Path::new("/usr")), ["/usr", "${prefix}/lib", "${prefix}/include"]),
        (Places::below(Path::new("/")), ["", "${prefix}/lib", "${prefix}/include"]),
        (
            Places { lib: "/usr/lib/x//".into(), ..Places::below(Path::new("/usr")) },
            ["/usr", "${prefix}/lib/x", "${prefix}/include"],
        ),
        (Places::scattered(Path::new("/srv")), ["/srv/prefix", "/srv/libraries", "/srv/c/headers"]),
    ]
    .into_iter()
    .enumerate()
    {
        let places =
            Places { destdir: folder.path().join(format!("destination {index}")), ..places };
        places.install();
        let text =
            std::fs::read_to_string(places.in_lib("pkgconfig/bytefd.pc")).expect("bytefd.pc");
        for (name, value) in ["prefix", "libdir", "includedir"].into_iter().zip(expected) {
            assert!(text.lines().any(|line| line == format!("{name}={value}")), "{text}");
        }
        for file in files_below(&places.destdir) {
            let content = std::fs::read(places.destdir.join(&file)).expect("a file");
            let contains = |path: &Path| {
                let path = path.as_os_str().as_encoded_bytes();
                content.windows(path.len()).any(|part| part == path)
            };
            assert!(!contains(folder.path()) && !contains(repository()), "{}", file.display());
        }
        // A build for another system finds it below that system's root.
        let mut pkg_config = Command::new("pkg-config");
        pkg_config
            .env("PKG_CONFIG_LIBDIR", places.in_lib("pkgconfig"))
            .args(["--variable=libdir", "bytefd"]);
        let lib = said(&run(&mut pkg_config));
        assert_eq!(Path::new(lib.trim()), places.lib.components().collect::<PathBuf>());
    }
}

fn nothing_is_installed_where_the_paths_would_be_read_in_another_way() {
    let folder = tempfile::tempdir().expect("a folder");
    staged();
    for prefix in ["usr", "../usr", "/usr/../opt", "/opt/with space", "/opt/$x", "/opt/a;b"] {
        let places = Places { destdir: folder.path().into(), ..Places::below(Path::new(prefix)) };
        // make(1) reads a dollar in its own way.
        let output = Command::new(repository().join("scripts/install"))
            .arg("install")
            .envs([("DESTDIR", &places.destdir), ("PREFIX", &places.prefix)])
            .envs([("LIBDIR", &places.lib), ("INCLUDEDIR", &places.include)])
            .envs([("BINDIR", "/usr/bin"), ("MANDIR", "/usr/share/man")])
            .output()
            .expect("the script runs");
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(
            said(&output).contains(&format!("install: PREFIX={prefix}/ ")),
            "{}",
            said(&output)
        );
    }
    assert_eq!(files_below(folder.path()), BTreeSet::new());
}
