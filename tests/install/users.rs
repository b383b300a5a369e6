//! Builds projects that use the installed library: with CMake and meson, the shared library and the
//! archive.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::{Places, check_mmcat, uses_shared_library};
use crate::library::FILE;
use crate::support::tools::{repository, run, said, staged};
use crate::tests;

tests![
    cmake_builds_with_both_libraries_wherever_they_are,
    cmake_finds_the_versions_that_a_program_can_be_built_with,
    cmake_finds_what_is_installed_if_one_library_is_not,
    cmake_follows_a_link_to_the_library_directory,
    meson_builds_with_both_libraries_wherever_they_are,
];

/// Makes a project whose programs are called `shared` and `static` and print files.
fn project(folder: &Path, files: &[(&str, &str)]) -> PathBuf {
    let project = folder.join("project");
    std::fs::create_dir(&project).expect("a folder");
    std::fs::copy(repository().join("c-examples/mmcat.c"), project.join("mmcat.c"))
        .expect("a program");
    for (name, text) in files {
        std::fs::write(project.join(name), text).expect(name);
    }
    project
}

fn check_both(build: &Path) {
    for (name, is_shared) in [("shared", true), ("static", false)] {
        assert_eq!(uses_shared_library(&build.join(name)), is_shared, "{name}");
        check_mmcat(&build.join(name));
    }
}

/// Returns all places of the library: installed in three ways, and staged.
fn each_place(folder: &Path) -> Vec<Places> {
    let mut all = Vec::new();
    for (name, places) in [
        ("plain", Places::below as fn(&Path) -> Places),
        ("debian", Places::multiarch),
        ("scattered", Places::scattered),
    ] {
        let places = places(&folder.join(name));
        places.install();
        all.push(places);
    }
    all.push(Places::below(&staged()));
    all
}

// CMake
// -------------------------------------------------------------------------------------------------

const CMAKE: &str = "cmake_minimum_required(VERSION 3.13)
project(somebody C)
find_package(bytefd 0.1 REQUIRED CONFIG)
add_executable(shared mmcat.c)
target_link_libraries(shared PRIVATE bytefd::bytefd)
add_executable(static mmcat.c)
target_link_libraries(static PRIVATE bytefd::static)
";

fn cmake_builds(places: &Places, folder: &Path) {
    std::fs::create_dir_all(folder).expect("a folder");
    let (project, build) = (project(folder, &[("CMakeLists.txt", CMAKE)]), folder.join("build"));
    let mut cmake = Command::new("cmake");
    cmake.arg("-S").arg(project).arg("-B").arg(&build).arg("-DCMAKE_C_FLAGS=-std=c11 -Werror=all");
    // CMake looks in the library directories of a prefix; of any other it has to be told.
    cmake.arg(if places.lib.starts_with(&places.prefix) {
        format!("-DCMAKE_PREFIX_PATH={}", places.prefix.display())
    } else {
        format!("-Dbytefd_DIR={}", places.in_lib("cmake/bytefd").display())
    });
    run(&mut cmake);
    run(Command::new("cmake").arg("--build").arg(&build));
    check_both(&build);
}

fn cmake_builds_with_both_libraries_wherever_they_are() {
    let folder = tempfile::tempdir().expect("a folder");
    for (index, places) in each_place(folder.path()).iter().enumerate() {
        cmake_builds(places, &folder.path().join(format!("build {index}")));
    }
    // An installation below one prefix can be moved with it.
    let debian = Places::multiarch(&folder.path().join("debian"));
    let moved = Places::multiarch(&folder.path().join("moved"));
    std::fs::rename(&debian.prefix, &moved.prefix).expect("moved");
    cmake_builds(&moved, &folder.path().join("build of what was moved"));
}

/// Returns the output of CMake for one call of find_package, in a project without a language.
fn find_package(places: &Places, arguments: &str) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!(
        "cmake_minimum_required(VERSION 3.19)
project(somebody NONE)
find_package(bytefd {arguments} CONFIG)
message(STATUS \"found ${{bytefd_FOUND}} ${{bytefd_VERSION}}\")
foreach(target bytefd::bytefd bytefd::static)
  if(TARGET ${{target}})
    message(STATUS \"target ${{target}}\")
  endif()
endforeach()
"
    );
    let project = project(folder.path(), &[("CMakeLists.txt", &text)]);
    let mut cmake = Command::new("cmake");
    cmake.arg("-S").arg(project).arg("-B").arg(folder.path().join("build"));
    cmake.arg(format!("-Dbytefd_DIR={}", places.in_lib("cmake/bytefd").display()));
    cmake.output().expect("cmake runs (is its package installed?)")
}

fn cmake_finds_the_versions_that_a_program_can_be_built_with() {
    let places = Places::below(&staged());
    let [major, minor, patch] =
        FILE.strip_prefix("libbytefd.so.").expect("a version").split('.').collect::<Vec<_>>()[..]
    else {
        panic!("{FILE} has no version of three numbers");
    };
    let abi = format!("{major}.{minor}");
    let next = |number: &str| number.parse::<u32>().expect("a number") + 1;
    let found = [
        String::new(),
        abi.clone(),
        format!("{abi}.{patch}"),
        format!("{abi}.{patch} EXACT"),
        format!("0...{abi}.{patch}"),
        format!("{abi}...<{}", next(major)),
    ];
    for version in found {
        let output = find_package(&places, &format!("{version} REQUIRED"));
        assert!(output.status.success(), "{version}: {}", said(&output));
        assert!(
            said(&output).contains(&format!("found 1 {abi}.{patch}\n")),
            "{version}: {}",
            said(&output)
        );
    }
    let refused = [
        format!("{abi}.{}", next(patch)),
        format!("{major}.{}", next(minor)),
        format!("{}", next(major)),
        format!("{abi} EXACT"),
        format!("0...<{abi}.{patch}"),
        format!("{abi}.{}...{}", next(patch), next(major)),
    ];
    for version in refused {
        let output = find_package(&places, &version);
        assert!(
            output.status.success() && said(&output).contains("found 0"),
            "{version}: {}",
            said(&output)
        );
    }
}

fn cmake_finds_what_is_installed_if_one_library_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = Places::below(folder.path());
    let both = ["target bytefd::bytefd\n", "target bytefd::static\n"];
    let check = |arguments: &str, expected: [bool; 2]| {
        let output = find_package(&whole, arguments);
        assert!(output.status.success(), "{}", said(&output));
        assert_eq!(
            both.map(|target| said(&output).contains(target)),
            expected,
            "{}",
            said(&output)
        );
    };
    let refused = |arguments: &str, reason: &str| {
        let output = find_package(&whole, arguments);
        assert!(!output.status.success() && said(&output).contains(reason), "{}", said(&output));
    };

    whole.install();
    check("REQUIRED COMPONENTS shared static", [true, true]);
    refused("REQUIRED COMPONENTS dynamic", "does not have the component dynamic");

    std::fs::remove_file(whole.lib.join("libbytefd.a")).expect("removed");
    check("REQUIRED", [true, false]);
    check("REQUIRED COMPONENTS shared OPTIONAL_COMPONENTS static", [true, false]);
    refused("REQUIRED COMPONENTS static", "does not have the component static");

    std::fs::remove_file(whole.lib.join(FILE)).expect("removed");
    refused("REQUIRED", "has neither libbytefd.so.");

    whole.install();
    std::fs::remove_file(whole.lib.join(FILE)).expect("removed");
    check("REQUIRED", [false, true]);
    check("REQUIRED COMPONENTS static", [false, true]);
    refused("REQUIRED COMPONENTS shared", "does not have the component shared");
}

/// Debian's /lib is a link to /usr/lib, and CMake looks in both.
fn cmake_follows_a_link_to_the_library_directory() {
    let folder = tempfile::tempdir().expect("a folder");
    Places::below(&folder.path().join("usr")).install();
    std::os::unix::fs::symlink("usr/lib", folder.path().join("lib")).expect("a link");
    cmake_builds(&Places::below(folder.path()), &folder.path().join("build"));
}

// meson
// -------------------------------------------------------------------------------------------------

const MESON: &str = "project('somebody', 'c', default_options: ['c_std=c11', 'werror=true'])
executable('shared', 'mmcat.c', dependencies: dependency('bytefd', version: '>=0.1'))
executable('static', 'mmcat.c', dependencies: dependency('bytefd', static: true))
";

fn meson_builds_with_both_libraries_wherever_they_are() {
    let folder = tempfile::tempdir().expect("a folder");
    for (index, places) in each_place(folder.path()).iter().enumerate() {
        let folder = folder.path().join(format!("build {index}"));
        std::fs::create_dir(&folder).expect("a folder");
        let (project, build) = (project(&folder, &[("meson.build", MESON)]), folder.join("build"));
        let mut meson = Command::new("meson");
        meson
            .arg("setup")
            .arg(&build)
            .arg(project)
            .env("PKG_CONFIG_LIBDIR", places.in_lib("pkgconfig"));
        run(&mut meson);
        run(Command::new("ninja").arg("-C").arg(&build));
        check_both(&build);
    }
}
