//! The engines that scan uploads: libmagic and YARA in this process, clamd beside it. Each takes a
//! descriptor or bytes.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::ptr::null_mut;
use std::time::Duration;

use libloading::{Library, Symbol};

/// The bytes that YARA and clamd search for.
pub const MARK: &[u8] = b"bytefd!";

pub trait Engine {
    /// Scans a descriptor, which is at offset 0, and returns what the engine found.
    fn scan_descriptor(&self, fd: BorrowedFd<'_>) -> String;
    fn scan_memory(&self, bytes: &[u8]) -> String;
}

/// An engine, or one line that says why there is none.
pub type Opened = Result<Box<dyn Engine>, String>;

/// Opens an engine. The path is the socket of clamd.
pub type Open = fn(&Path) -> Opened;

/// The engines, and their functions for a descriptor and for bytes.
pub const ENGINES: [(&str, &str, Open); 3] = [
    ("libmagic", "magic_descriptor, magic_buffer", Magic::open),
    ("YARA", "yr_rules_scan_fd, yr_rules_scan_mem", Yara::open),
    ("clamd", "FILDES, INSTREAM", Clamd::open),
];

fn load(name: &str, package: &str) -> Result<Library, String> {
    // SAFETY: the initialisers of these libraries have no requirements.
    unsafe { Library::new(name) }.map_err(|error| format!("{error} (Debian: {package})"))
}

fn function<T: Copy>(library: &Library, name: &CStr) -> Result<T, String> {
    // SAFETY: the types given below are those of the headers.
    let symbol: Symbol<T> =
        unsafe { library.get(name.to_bytes()) }.map_err(|error| error.to_string())?;
    Ok(*symbol)
}

type MagicDescriptor = unsafe extern "C" fn(*mut c_void, c_int) -> *const c_char;
type MagicBuffer = unsafe extern "C" fn(*mut c_void, *const c_void, usize) -> *const c_char;

struct Magic {
    cookie: *mut c_void,
    descriptor: MagicDescriptor,
    buffer: MagicBuffer,
    _library: Library,
}

impl Magic {
    fn open(_: &Path) -> Opened {
        let library = load("libmagic.so.1", "libmagic1")?;
        let open: unsafe extern "C" fn(c_int) -> *mut c_void = function(&library, c"magic_open")?;
        let read: unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int =
            function(&library, c"magic_load")?;
        let (descriptor, buffer) =
            (function(&library, c"magic_descriptor")?, function(&library, c"magic_buffer")?);
        // SAFETY: the arguments are those of libmagic(3). The cookie is never freed.
        let cookie = unsafe { open(0) };
        // SAFETY: the same; NULL is the default database.
        if cookie.is_null() || unsafe { read(cookie, std::ptr::null()) } != 0 {
            return Err("libmagic has no database (Debian: libmagic-mgc)".into());
        }
        Ok(Box::new(Magic { cookie, descriptor, buffer, _library: library }))
    }
}

fn text(text: *const c_char) -> String {
    assert!(!text.is_null(), "libmagic failed");
    // SAFETY: the text is libmagic's own, and lives until its next call.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

impl Engine for Magic {
    fn scan_descriptor(&self, fd: BorrowedFd<'_>) -> String {
        // SAFETY: an open descriptor.
        text(unsafe { (self.descriptor)(self.cookie, fd.as_raw_fd()) })
    }

    fn scan_memory(&self, bytes: &[u8]) -> String {
        // SAFETY: readable bytes.
        text(unsafe { (self.buffer)(self.cookie, bytes.as_ptr().cast(), bytes.len()) })
    }
}

type YaraCallback = extern "C" fn(*mut c_void, c_int, *mut c_void, *mut c_void) -> c_int;
type YaraDescriptor =
    unsafe extern "C" fn(*mut c_void, c_int, c_int, YaraCallback, *mut c_void, c_int) -> c_int;
type YaraMemory = unsafe extern "C" fn(
    *mut c_void,
    *const u8,
    usize,
    c_int,
    YaraCallback,
    *mut c_void,
    c_int,
) -> c_int;

struct Yara {
    rules: *mut c_void,
    descriptor: YaraDescriptor,
    memory: YaraMemory,
    _library: Library,
}

impl Yara {
    fn open(_: &Path) -> Opened {
        let library = load("libyara.so", "libyara-dev")?;
        let initialize: unsafe extern "C" fn() -> c_int = function(&library, c"yr_initialize")?;
        let create: unsafe extern "C" fn(*mut *mut c_void) -> c_int =
            function(&library, c"yr_compiler_create")?;
        let add: unsafe extern "C" fn(*mut c_void, *const c_char, *const c_char) -> c_int =
            function(&library, c"yr_compiler_add_string")?;
        let get: unsafe extern "C" fn(*mut c_void, *mut *mut c_void) -> c_int =
            function(&library, c"yr_compiler_get_rules")?;
        let (descriptor, memory) =
            (function(&library, c"yr_rules_scan_fd")?, function(&library, c"yr_rules_scan_mem")?);
        let (mut compiler, mut rules) = (null_mut(), null_mut());
        // SAFETY: the arguments are those of YARA's C API. The rules are never freed.
        let failed = unsafe {
            initialize() != 0
                || create(&mut compiler) != 0
                || add(compiler, own_rules().as_ptr(), std::ptr::null()) != 0
                || get(compiler, &mut rules) != 0
        };
        if failed {
            return Err("YARA does not take the rules".into());
        }
        Ok(Box::new(Yara { rules, descriptor, memory, _library: library }))
    }

    fn scan(&self, scan: impl FnOnce(*mut c_void) -> c_int) -> String {
        let mut matches = 0;
        assert_eq!(scan((&raw mut matches).cast()), 0, "YARA failed");
        format!("{matches} rules match")
    }
}

/// Returns a rule that finds the mark, and twenty like usual ones: words, bytes with gaps, the
/// beginning of the file.
fn own_rules() -> CString {
    let rule = |number: u32| {
        format!(
            "rule r{number} {{ strings: $a = \"payload-{number:04}-of-a-family\" $b = \"cmd.exe /c \
             {number}\" wide nocase \
             $c = {{ 6a {number:02x} 68 ?? ?? ?? ?? e8 [4-8] 83 c4 {number:02x} }} condition: \
             uint16(0) == 0x5a4d and any of them \
             or all of them }}\n"
        )
    };
    let rules: String = (10..30).map(rule).collect();
    let mark = String::from_utf8_lossy(MARK);
    CString::new(format!("{rules}rule mark {{ strings: $mark = \"{mark}\" condition: $mark }}\n"))
        .expect("no NUL")
}

const RULE_MATCHES: c_int = 1;

extern "C" fn count(_: *mut c_void, message: c_int, _: *mut c_void, matches: *mut c_void) -> c_int {
    if message == RULE_MATCHES {
        // SAFETY: `scan` passes this counter, and nothing else uses it meanwhile.
        unsafe { *matches.cast::<i32>() += 1 };
    }
    0
}

impl Engine for Yara {
    fn scan_descriptor(&self, fd: BorrowedFd<'_>) -> String {
        // SAFETY: rules, an open descriptor and a counter.
        self.scan(|matches| unsafe {
            (self.descriptor)(self.rules, fd.as_raw_fd(), 0, count, matches, 0)
        })
    }

    fn scan_memory(&self, bytes: &[u8]) -> String {
        // SAFETY: rules, readable bytes and a counter.
        self.scan(|matches| unsafe {
            (self.memory)(self.rules, bytes.as_ptr(), bytes.len(), 0, count, matches, 0)
        })
    }
}

/// A clamd with one signature of our own. It ends when this is dropped.
pub struct Daemon {
    folder: tempfile::TempDir,
    process: Option<Child>,
}

impl Daemon {
    /// Starts clamd. Without clamd nothing serves the socket.
    pub fn start() -> std::io::Result<Daemon> {
        let folder = tempfile::tempdir()?;
        let mut daemon = Daemon { folder, process: None };
        let at = |name: &str| daemon.folder.path().join(name);
        std::fs::create_dir(at("signatures"))?;
        let mark: String = MARK.iter().map(|byte| format!("{byte:02x}")).collect();
        std::fs::write(at("signatures/mark.ndb"), format!("Bytefd.Mark:0:*:{mark}\n"))?;
        // Uploads differ, so verdicts that clamd remembers would not be used in practice.
        let settings = format!(
            "LocalSocket {}\nDatabaseDirectory {}\nTemporaryDirectory {}\nForeground \
             yes\nConcurrentDatabaseReload no\n\
             DisableCache yes\nStreamMaxLength 100M\n",
            at("socket").display(),
            at("signatures").display(),
            daemon.folder.path().display(),
        );
        std::fs::write(at("clamd.conf"), settings)?;
        let mut clamd = Command::new("clamd");
        clamd.arg("-c").arg(at("clamd.conf")).stdout(Stdio::null()).stderr(Stdio::null());
        let Ok(mut process) = clamd.spawn() else { return Ok(daemon) };
        while UnixStream::connect(at("socket")).is_err() && process.try_wait()?.is_none() {
            std::thread::sleep(Duration::from_millis(10));
        }
        daemon.process = Some(process);
        Ok(daemon)
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

struct Clamd {
    socket: PathBuf,
}

impl Clamd {
    fn open(socket: &Path) -> Opened {
        let socket = socket.to_path_buf();
        UnixStream::connect(&socket).map_err(|_| "clamd does not run (Debian: clamav-daemon)")?;
        Ok(Box::new(Clamd { socket }))
    }

    fn ask(&self, question: impl FnOnce(&mut UnixStream) -> std::io::Result<()>) -> String {
        let mut clamd = UnixStream::connect(&self.socket).expect("connected");
        question(&mut clamd).expect("asked");
        let mut answer = String::new();
        clamd.read_to_string(&mut answer).expect("answered");
        // The name of the content differs, so only the verdict is returned.
        answer.split_once(": ").map_or(answer.clone(), |(_, verdict)| verdict.to_string())
    }
}

impl Engine for Clamd {
    fn scan_descriptor(&self, fd: BorrowedFd<'_>) -> String {
        self.ask(|clamd| {
            clamd.write_all(b"zFILDES\0")?;
            Ok(bytefd::share::send(clamd, &[0], &[fd])?)
        })
    }

    fn scan_memory(&self, bytes: &[u8]) -> String {
        self.ask(|clamd| {
            clamd.write_all(&[b"zINSTREAM\0", &(bytes.len() as u32).to_be_bytes()[..]].concat())?;
            clamd.write_all(bytes)?;
            clamd.write_all(&[0; 4])
        })
    }
}
