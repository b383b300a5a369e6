//! Lists programs that must not compile. Each has one line with a mark: with it the compiler gives
//! exactly this error, without it none.

use std::path::Path;
use std::process::Command;

/// A name, and a body of `fn main() -> std::result::Result<(), Box<dyn std::error::Error>>`.
const PROGRAMS: &[(&str, &str)] = &[
    (
        "a map is no slice",
        "let map = MapOptions::new().memory(8192)?;
         let bytes: &[u8] = &map; //~ E0308",
    ),
    (
        "a slice of a map is a promise",
        "let map = MapOptions::new().memory(8192)?;
         let bytes = map.as_slice(); //~ E0133",
    ),
    (
        "a slice for writing is a promise",
        "let mut map = MapOptions::new().memory(8192)?;
         let bytes = map.as_mut_slice(); //~ E0133",
    ),
    (
        "discarding is a promise",
        "let mut map = MapOptions::new().memory(8192)?;
         map.discard(.., Discard::Remove)?; //~ E0133",
    ),
    (
        "protecting is a promise",
        "let mut map = MapOptions::new().memory(8192)?;
         map.protect(.., Protection::None)?; //~ E0133",
    ),
    (
        "nothing is discarded under a slice",
        "let mut map = MapOptions::new().memory(8192)?;
         let bytes = unsafe { map.as_slice() };
         unsafe { map.discard(.., Discard::Remove)? }; //~ E0502
         println!(\"{}\", bytes[0]);",
    ),
    (
        "nothing is protected under a slice",
        "let mut map = MapOptions::new().memory(8192)?;
         let bytes = unsafe { map.as_slice() };
         unsafe { map.protect(.., Protection::None)? }; //~ E0502
         println!(\"{}\", bytes[0]);",
    ),
    (
        "nothing is unmapped under a slice",
        "let mut map = MapOptions::new().memory(8192)?;
         let bytes = unsafe { map.as_slice() };
         map.unmap(..)?; //~ E0502
         println!(\"{}\", bytes[0]);",
    ),
    (
        "nothing moves under a slice",
        "let mut map = MapOptions::new().memory(8192)?;
         let bytes = unsafe { map.as_slice() };
         map.resize(1)?; //~ E0502
         println!(\"{}\", bytes[0]);",
    ),
    (
        "nothing moves under a word",
        "let mut map = MapOptions::new().memory(8192)?;
         let word = map.atomic_u32(0)?;
         map.resize(1)?; //~ E0502
         word.store(1, SeqCst);",
    ),
    (
        "a map is not sealed under a slice for writing",
        "let mut map = MapOptions::new().memory(8192)?;
         let bytes = unsafe { map.as_mut_slice() }.unwrap();
         let sealed = map.seal(); //~ E0505
         bytes[0] = 1;",
    ),
    (
        "a slice ends before its map",
        "let map = MapOptions::new().memory(8192)?;
         let bytes = unsafe { map.as_slice() };
         map.close()?; //~ E0505
         println!(\"{}\", bytes[0]);",
    ),
    (
        "the file of a map ends before it",
        "let map = MapOptions::new().memory(8192)?;
         let file = map.file();
         map.close()?; //~ E0505
         println!(\"{file:?}\");",
    ),
    (
        "no advice loses content",
        "let map = MapOptions::new().memory(8192)?;
         map.advise(.., Advice::Remove)?; //~ E0599",
    ),
    (
        "sealed bytes are not written",
        "let mut sealed = MapWriter::new()?.seal()?;
         sealed[0] = 1; //~ E0594",
    ),
    (
        "sealed bytes end before the file",
        "let sealed = MapWriter::new()?.seal()?;
         let bytes: &[u8] = &sealed;
         let fd = OwnedFd::from(sealed); //~ E0505
         println!(\"{}\", bytes.len());",
    ),
    (
        "what is not sealed is no slice",
        "let unsealed = Requirements::new().no_seals().accept(bytefd::wrap(b\"hello\")?)?;
         let bytes: &[u8] = &unsealed; //~ E0308",
    ),
    (
        "nothing is written under a writer's slice",
        "let mut writer = MapWriter::new()?;
         let bytes = writer.as_slice();
         writer.write_all(b\"hello\")?; //~ E0502
         println!(\"{}\", bytes.len());",
    ),
    (
        "nothing is filled under a writer's slice",
        "let mut writer = MapWriter::new()?;
         let bytes = writer.as_slice();
         writer.spare(1)?[0] = 1; //~ E0502
         println!(\"{}\", bytes.len());",
    ),
    (
        "a writer is sealed once",
        "let writer = MapWriter::new()?;
         let sealed = writer.seal()?;
         let again = writer.seal()?; //~ E0382",
    ),
    (
        "a lent descriptor ends with the loan",
        "let lent = WrapOptions::new().scan_begin(b\"hello\")?;
         let fd = lent.as_fd();
         drop(lent); //~ E0505
         println!(\"{fd:?}\");",
    ),
    (
        "a path is not that of a descriptor which is closed by then",
        "let fd = bytefd::wrap(b\"hello\")?;
         let path = bytefd::path(fd); //~ E0277",
    ),
    (
        "a lock holds its file",
        "let file = bytefd::wrap(b\"hello\")?;
         let lock = bytefd::share::file_lock(&file, .., bytefd::share::LockKind::Shared)?;
         drop(file); //~ E0505
         drop(lock);",
    ),
    (
        "adopting is a promise",
        "let page = std::ptr::NonNull::<u8>::dangling();
         bytefd::adopt(page, 0)?; //~ E0133",
    ),
];

const HEAD: &str = "#![allow(unused, unused_unsafe)]
    use bytefd::{*, share::Requirements};
    use std::{io::Write, os::fd::{AsFd, OwnedFd}, sync::atomic::Ordering::SeqCst};
    fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {";

/// Returns the codes of the errors that the compiler gives.
fn errors(program: &str) -> Vec<String> {
    let own = std::env::current_exe().expect("this program's path");
    let libraries = own.parent().expect("a folder");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("refused-{:?}", std::thread::current().id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let source = folder.join("main.rs");
    std::fs::write(&source, format!("{HEAD}\n{program}\nOk(()) }}")).expect("written");
    let mut compiler = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()));
    compiler.args(["--edition=2024", "--emit=metadata", "--error-format=json", "--extern"]);
    compiler.arg(format!("bytefd={}", libraries.join("libbytefd.rlib").display()));
    compiler
        .arg("-L")
        .arg(format!("dependency={}", libraries.display()))
        .arg("--out-dir")
        .arg(&folder)
        .arg(&source);
    let output = compiler.output().expect("a compiler");
    std::fs::remove_dir_all(&folder).expect("removed");
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    let messages =
        said.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let errors = messages.filter(|message| message["level"] == "error");
    // The last one counts the others, and has no code.
    let codes = errors.filter_map(|error| match error["code"]["code"].as_str() {
        Some(code) => Some(code.to_string()),
        None if error["message"]
            .as_str()
            .is_some_and(|text| text.starts_with("aborting due to")) =>
        {
            None
        }
        None => Some(error["message"].to_string()),
    });
    let codes = codes.collect::<Vec<_>>();
    assert_eq!(codes.is_empty(), output.status.success(), "{said}");
    codes
}

#[test]
fn what_would_be_unsound_does_not_compile() {
    let (first, second) = PROGRAMS.split_at(PROGRAMS.len() / 2);
    std::thread::scope(|scope| {
        scope.spawn(|| first.iter().for_each(check));
        second.iter().for_each(check);
    });
}

fn check((name, program): &(&str, &str)) {
    let is_marked = |line: &&str| line.contains("//~ ");
    let marked: Vec<_> = program.lines().filter(is_marked).collect();
    let [line] = marked[..] else { panic!("{name}: {} lines are marked", marked.len()) };
    let (_, code) = line.split_once("//~ ").expect("marked");
    assert_eq!(errors(program), [code], "{name}");
    assert_eq!(errors(&program.replace(line, "")), [""; 0], "{name}, without {line}");
}
