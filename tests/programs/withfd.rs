//! Gives real commands files instead of pipes, with withfd(1).

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use super::program;
use crate::c::{Workshop, answer, fed};
use crate::support::fd::pattern;
use crate::support::tools::{run, said};
use crate::tests;

tests![
    commands_get_a_file_instead_of_a_pipe,
    the_file_is_complete_sealed_and_at_its_beginning,
    the_path_stands_in_every_place,
    several_files_have_places_of_their_own,
    files_are_pipes_and_descriptors_too,
    another_text_marks_the_places,
    the_command_has_no_other_descriptor,
    standard_input_is_empty_or_the_content_or_untouched,
    ssh_keygen_takes_the_mode,
    seals_are_all_or_can_be_added_or_none,
    what_is_executable_can_be_executed,
    too_many_bytes_are_refused_or_go_to_disk,
    exit_status_and_signals_are_those_of_the_command,
    mistakes_are_125_and_say_what_is_wrong,
    it_touches_no_memory_that_is_not_its_own,
];

fn withfd(arguments: &[&str]) -> Command {
    let mut command = Command::new(program("withfd"));
    command.args(arguments);
    command
}

/// Does the same without the descriptors that other tests let their children inherit.
fn alone(arguments: &[&str]) -> Command {
    const CLOSE: &str = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)";
    let mut command = Command::new("python3");
    command.args(["-c", CLOSE]).arg(program("withfd")).args(arguments);
    command
}

fn sha256sum(bytes: &[u8]) -> String {
    answer(&mut Command::new("sha256sum"), bytes)[..64].to_string()
}

/// Returns the output of a Python program that gets the paths as its arguments.
fn python(options: &[&str], program: &str, input: &[u8]) -> String {
    let arguments = [options, &["python3", "-c", program]].concat();
    answer(&mut alone(&arguments), input).trim().to_string()
}

fn commands_get_a_file_instead_of_a_pipe() {
    // Nothing, an odd size, more than the first buffer and than a pipe holds, 5 MiB and a little
    // more.
    for length in [0, 1, 65_536, 65_537, (5 << 20) + 3] {
        let bytes = pattern(length);
        assert_eq!(answer(&mut withfd(&["sha256sum", "{}"]), &bytes)[..64], sha256sum(&bytes));
    }
    let workshop = Workshop::new();
    workshop.write("in the archive", b"content");
    let archive = workshop.path("archive.zip");
    run(Command::new("zip")
        .arg("-q")
        .arg(&archive)
        .arg("in the archive")
        .current_dir(workshop.folder()));
    let archive = std::fs::read(archive).expect("an archive");
    assert!(answer(&mut withfd(&["unzip", "-l", "{}"]), &archive).contains("in the archive"));
    // unzip itself reads no pipe.
    assert!(!fed(Command::new("unzip").args(["-l", "/dev/stdin"]), &archive).status.success());
    assert!(
        answer(&mut withfd(&["file", "-b", "-L", "{}"]), &archive).starts_with("Zip archive data")
    );
    assert_eq!(answer(&mut withfd(&["sh", "{}", "world"]), b"echo \"hello $1\""), "hello world\n");
}

fn the_file_is_complete_sealed_and_at_its_beginning() {
    const SHOW: &str = "import fcntl, os, stat, sys
fd = int(sys.argv[1].split('/')[-1])
s = os.fstat(fd)
seals = fcntl.fcntl(fd, 1034) & 15
offset = os.lseek(fd, 0, 1)
print(stat.S_ISREG(s.st_mode), oct(s.st_mode & 0o7777), s.st_size, s.st_nlink, offset, seals)";
    for length in [0, 4097, 5 << 20] {
        let shown = python(&[], SHOW, &pattern(length));
        assert_eq!(shown, format!("True 0o400 {length} 0 0 15"));
    }
    let name = python(&["--name=upload"], "import os, sys; print(os.readlink(sys.argv[1]))", b"x");
    assert_eq!(name, "/memfd:upload (deleted)");
}

fn the_path_stands_in_every_place() {
    let echo = |arguments: &[&str]| answer(withfd(&["echo"]).args(arguments), b"x");
    let path = echo(&["{}"]).trim().to_string();
    assert!(path.starts_with("/proc/self/fd/"), "{path}");
    assert_eq!(
        echo(&["--in={}", "{}{1}", "{", "}", "{2}", "{0}", "{1"]),
        format!("--in={path} {path}{path} {{ }} {{2}} {{0}} {{1\n")
    );
    assert_eq!(echo(&["no", "braces"]), format!("no braces {path}\n"));
    assert_eq!(echo(&[]), format!("{path}\n"));
    // Options after the command are its own.
    assert_eq!(echo(&["-n", "{}"]), path);
}

fn several_files_have_places_of_their_own() {
    let workshop = Workshop::new();
    let files = [workshop.write("a", b"first "), workshop.write("b", b"second ")];
    let [a, b] = files.each_ref().map(|file| file.to_str().expect("UTF-8"));
    let cat = |arguments: &[&str]| {
        answer(withfd(&["-f", a, "--file", b, "-f", "-", "cat"]).args(arguments), b"third ")
    };
    assert_eq!(cat(&["{}", "{}", "{}"]), "first second third ");
    assert_eq!(cat(&["{3}", "{1}", "{1}", "{2}"]), "third first first second ");
    assert_eq!(cat(&[]), "first second third ");
    let echo = answer(&mut alone(&["-f", a, "-f", b, "echo", "{1}:{2}", "{3}"]), b"");
    let paths: Vec<&str> = echo.split([':', ' ']).collect();
    assert!(paths.len() == 3 && paths[0] != paths[1] && paths[2] == "{3}\n", "{echo}");
    assert!(paths[..2].iter().all(|path| path.starts_with("/proc/self/fd/")), "{echo}");
    // Each has its own name.
    const NAMES: &str = "import os, sys; print([os.readlink(path) for path in sys.argv[1:]])";
    assert_eq!(
        python(&["-f", a, "-f", "-"], NAMES, b""),
        "['/memfd:a (deleted)', '/memfd:stdin (deleted)']"
    );
}

fn files_are_pipes_and_descriptors_too() {
    let workshop = Workshop::new();
    let (pipe, script) = (workshop.path("pipe"), workshop.path("script"));
    run(Command::new("mkfifo").arg(&pipe));
    let withfd = program("withfd");
    let text = format!(
        "printf one > '{0}' & exec '{1}' -f '{0}' cat {{}} {{}}\n",
        pipe.display(),
        withfd.display()
    );
    std::fs::write(&script, text).expect("written");
    assert_eq!(answer(Command::new("sh").arg(&script), b""), "oneone");

    // The path is as the shell gives it for <(command). The command does not get what was read to
    // its end.
    let list = "import os, sys; print(open(sys.argv[1]).read(), os.path.exists('/proc/self/fd/5'))";
    let text = format!("printf two | '{}' -f /dev/fd/5 python3 -c \"$0\" 5<&0", withfd.display());
    assert_eq!(answer(Command::new("sh").args(["-c", &text, list]), b""), "two False\n");
}

fn another_text_marks_the_places() {
    let options = ["--replace", "@", "echo", "@", "{}", "{1}", "a@b"];
    assert_eq!(answer(&mut alone(&options), b""), "/proc/self/fd/3 {} {1} a/proc/self/fd/3b\n");
}

fn the_command_has_no_other_descriptor() {
    const LIST: &str = "import os
fds = ['/proc/self/fd/' + fd for fd in os.listdir('/proc/self/fd') if int(fd) > 2]
print(sorted(os.readlink(fd).split(' ')[0] for fd in fds if os.path.exists(fd)))";
    let workshop = Workshop::new();
    let file = workshop.write("file", b"content");
    let file = file.to_str().expect("UTF-8");
    assert_eq!(python(&[], LIST, b"input"), "['/memfd:stdin']");
    let three = "['/memfd:file', '/memfd:file', '/memfd:stdin']";
    assert_eq!(python(&["-f", file, "-f", "-", "-f", file, "-i"], LIST, b"input"), three);
    assert_eq!(python(&["--read-only"], LIST, b"input"), "['/memfd:stdin']");
    for (backend, folder) in
        [("shm", "/dev/shm"), ("tmpfile", workshop.folder().to_str().expect("UTF-8"))]
    {
        let mut command = alone(&["--backend", backend, "python3", "-c", LIST]);
        let shown = answer(command.env("TMPDIR", workshop.folder()), b"input");
        assert!(shown.starts_with(&format!("['{folder}/")) && !shown.contains(','), "{shown}");
    }
}

fn standard_input_is_empty_or_the_content_or_untouched() {
    let workshop = Workshop::new();
    let file = workshop.write("file", b"file ");
    let file = file.to_str().expect("UTF-8");
    let cat = |arguments: &[&str]| answer(&mut withfd(arguments), b"input ");
    assert_eq!(cat(&["cat", "{}", "-", "{}"]), "input input ");
    assert_eq!(cat(&["readlink", "/proc/self/fd/0", "{}"]), "/dev/null\n/memfd:stdin (deleted)\n");
    // It has an offset of its own, and no argument is added that was not asked for.
    assert_eq!(cat(&["--stdin", "cat"]), "input ");
    assert_eq!(cat(&["-i", "cat", "{}", "-", "{}"]), "input input input ");
    assert_eq!(answer(&mut alone(&["-i", "sh", "-c", "cat <&3; cat"]), b"input "), "input input ");
    assert_eq!(cat(&["-f", file, "cat", "{}", "-"]), "file input ");
    assert_eq!(cat(&["-f", file, "-i", "cat", "-"]), "file ");

    // A closed one is a mistake only if it is read.
    let closed = |arguments: &str| {
        let text = format!("exec '{}' {arguments} <&-", program("withfd").display());
        fed(Command::new("sh").args(["-c", &text, file]), b"")
    };
    assert_eq!(closed("cat {}").status.code(), Some(125));
    assert_eq!(closed("-f \"$0\" cat {}").stdout, b"file ");
    assert_eq!(closed("-f \"$0\" -i cat").stdout, b"file ");
}

fn ssh_keygen_takes_the_mode() {
    let workshop = Workshop::new();
    let key = workshop.path("key");
    run(Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"])
        .arg(&key));
    let (key, public) =
        (std::fs::read(&key).expect("a key"), std::fs::read_to_string(workshop.path("key.pub")));
    for options in [&[][..], &["--mode=600"], &["-m", "0400"], &["-s", "none"]] {
        let shown = answer(withfd(options).args(["ssh-keygen", "-y", "-f", "{}"]), &key);
        assert_eq!(shown, *public.as_ref().expect("a key"));
    }
    let refused = fed(&mut withfd(&["--mode=644", "ssh-keygen", "-y", "-f", "{}"]), &key);
    assert!(!refused.status.success() && said(&refused).contains("0644"), "{}", said(&refused));
}

fn seals_are_all_or_can_be_added_or_none() {
    const SEALS: &str =
        "import fcntl, sys; print(fcntl.fcntl(int(sys.argv[1].split('/')[-1]), 1034) & 15)";
    for (seals, expected) in [("all", "15"), ("content", "14"), ("none", "0")] {
        assert_eq!(python(&["--seals", seals], SEALS, b"x"), expected);
    }
    // The last one counts.
    assert_eq!(python(&["-s", "none", "-s", "all"], SEALS, b"x"), "15");
    const WRITE: &str = "import os, sys; os.write(os.open(sys.argv[1], os.O_RDWR), b'y'); \
                         print(open(sys.argv[1]).read())";
    assert_eq!(python(&["-s", "none"], WRITE, b"x"), "y");
    assert!(!fed(&mut withfd(&["python3", "-c", WRITE]), b"x").status.success());
    const MODE: &str =
        "import fcntl, sys; print(fcntl.fcntl(int(sys.argv[1].split('/')[-1]), 3) & 3)";
    assert_eq!(python(&["--read-only"], MODE, b"x"), "0");
}

fn what_is_executable_can_be_executed() {
    let echo = std::fs::read("/bin/echo").expect("a program");
    assert_eq!(answer(&mut withfd(&["-x", "sh", "-c", "{} ran"]), &echo), "ran\n");
    assert_eq!(
        answer(&mut withfd(&["-x", "sh", "-c", "{} ran"]), b"#!/bin/sh\necho \"script $1\"\n"),
        "script ran\n"
    );
    assert_eq!(fed(&mut withfd(&["sh", "-c", "{} ran"]), &echo).status.code(), Some(126));
}

fn too_many_bytes_are_refused_or_go_to_disk() {
    let input = pattern(5000);
    for (limit, is_enough) in
        [("4999", false), ("5000", true), ("4K", false), ("5K", true), ("1M", true), ("1G", true)]
    {
        let output = fed(&mut withfd(&["--max-bytes", limit, "wc", "-c", "{}"]), &input);
        if is_enough {
            assert!(output.stdout.starts_with(b"5000 "), "{limit}: {}", said(&output));
        } else {
            assert_eq!((output.status.code(), output.stdout.len()), (Some(125), 0), "{limit}");
            assert!(said(&output).contains("max_bytes"), "{}", said(&output));
        }
    }
    let folder = Workshop::new();
    let spilled = |size: &str| {
        let mut command = withfd(&["--spill", size, "sh", "-c", "readlink {}"]);
        let output = fed(command.env("TMPDIR", folder.folder()), &input);
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    assert!(
        spilled("4K").starts_with(folder.folder().to_str().expect("UTF-8")),
        "{}",
        spilled("4K")
    );
    assert!(spilled("5000").starts_with("/memfd:stdin"), "{}", spilled("5000"));
    assert_eq!(std::fs::read_dir(folder.folder()).expect("a folder").count(), 0, "it has no name");
}

fn exit_status_and_signals_are_those_of_the_command() {
    let workshop = Workshop::new();
    let cannot_run = workshop.write("not executable", b"");
    let output = |arguments: &[&str]| fed(&mut withfd(arguments), b"input");
    let code = |arguments: &[&str]| output(arguments).status.code();
    assert_eq!(code(&["true"]), Some(0));
    assert_eq!(code(&["sh", "-c", "exit 7"]), Some(7));
    assert_eq!(code(&[cannot_run.to_str().expect("UTF-8")]), Some(126));
    assert_eq!(code(&["/no/such/command"]), Some(127));
    assert!(
        said(&output(&["no-such-command"]))
            .ends_with("withfd: no-such-command: No such file or directory\n")
    );
    assert_eq!(output(&["sh", "-c", "kill -TERM $$"]).status.signal(), Some(libc::SIGTERM));

    // It is the same process, so a signal that is sent to it reaches the command.
    let mut command = withfd(&["sh", "-c", "echo $$; exec sleep 1000"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("started");
    let mut line = String::new();
    let mut output = std::io::BufReader::new(child.stdout.take().expect("a pipe"));
    std::io::BufRead::read_line(&mut output, &mut line).expect("a line");
    child.kill().expect("killed");
    assert_eq!(child.wait().expect("ended").signal(), Some(libc::SIGKILL));
    assert_eq!(line.trim(), child.id().to_string());
}

fn mistakes_are_125_and_say_what_is_wrong() {
    let mistakes: [(&[&str], &str); 18] = [
        (&[], "no command is given"),
        (&["-f"], "requires an argument"),
        (&["--no-such-option", "true"], "unrecognized option"),
        (&["-f", "/no/such/file", "true"], "/no/such/file: No such file or directory"),
        (&["-f", "/", "true"], "/: "),
        (&["-m", "8", "true"], "\"8\" is not an octal number"),
        (&["-m", "0", "true"], "\"0\" is not an octal number"),
        (&["-m", "1777", "true"], "\"1777\" is not an octal number"),
        (&["-m", "200", "true"], "mode"),
        (&["-M", "0", "true"], "\"0\" is not a number of bytes"),
        (&["-M", "-1", "true"], "\"-1\" is not a number of bytes"),
        (&["-M", "5KB", "true"], "\"5KB\" is not a number of bytes"),
        (&["-M", "99999999999G", "true"], "\"99999999999G\" is not a number of bytes"),
        (&["-s", "some", "true"], "\"some\" is not all, content or none"),
        (&["-b", "disk", "true"], "\"disk\" is not auto, memfd, shm or tmpfile"),
        (&["-n", "a/b", "true"], "name"),
        (&["-I", "", "true"], "the text is empty"),
        (
            &["-f", "-", "-f", "/dev/null", "cat", "{}", "{}", "{}"],
            "{} number 3 has no file: 2 files are given",
        ),
    ];
    for (arguments, words) in mistakes {
        let output = fed(&mut withfd(arguments), b"input");
        assert_eq!(
            (output.status.code(), output.stdout.len()),
            (Some(125), 0),
            "{arguments:?}: {}",
            said(&output)
        );
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(complaint.contains(words), "{arguments:?}: {complaint}");
        assert!(complaint.contains("withfd: "), "{complaint}");
    }
    let full = std::fs::File::create("/dev/full").expect("/dev/full");
    assert_eq!(withfd(&["--help"]).stdout(full).output().expect("ended").status.code(), Some(125));
}

fn it_touches_no_memory_that_is_not_its_own() {
    let workshop = Workshop::new();
    let file = workshop.write("file", b"file ");
    let file = file.to_str().expect("UTF-8");
    // It becomes the command: up to then there must be no error.
    assert_eq!(workshop.under_valgrind(&program("withfd"), &["cat"], b"input").stdout, b"input");
    let arguments = ["-f", file, "-f", "-", "-n", "name", "-I", "@", "-i", "cat", "@", "@"];
    assert_eq!(
        workshop.under_valgrind(&program("withfd"), &arguments, b"input").stdout,
        b"file input"
    );
}
