//! Checks that bytefd-doctor(1) shows what is there, in words and as JSON.

use std::collections::BTreeMap;
use std::process::{Command, Output};

use super::program;
use crate::c::{Workshop, answer, fed};
use crate::support::hosts;
use crate::support::tools::said;
use crate::tests;

tests![
    words_and_json_have_the_same_facts,
    the_facts_are_those_of_the_kernel,
    costs_are_measured_unless_quick,
    the_status_says_whether_something_is_missing,
    small_limits_are_shown_and_advised_on,
    the_least_limit_of_the_cgroups_above_counts,
    processes_that_proc_hides_are_noticed,
    a_host_without_shm_or_proc_is_shown_as_it_is,
    it_leaves_nothing_behind,
    mistakes_are_2;
    alone:
    a_refused_memfd_is_missing,
    a_filter_that_kills_ends_one_attempt_only,
    calls_that_a_filter_refuses_are_named,
];

fn doctor(arguments: &[&str]) -> Command {
    let mut command = Command::new(program("bytefd-doctor"));
    command.args(arguments);
    command
}

/// "section.fact" and its value, or "missing.0" and a sentence. They come from JSON that Python
/// accepts.
type Facts = BTreeMap<String, String>;

fn facts_of_json(json: &[u8]) -> Facts {
    const FLATTEN: &str = "import json, sys
def no_key_twice(pairs):
    assert len(dict(pairs)) == len(pairs), pairs
    return dict(pairs)
for section, facts in json.load(sys.stdin, object_pairs_hook=no_key_twice).items():
    for key, value in facts.items() if type(facts) is dict else enumerate(facts):
        if type(value) is dict:
            value = ' '.join(str(part) for part in value.values())
        elif type(value) is bool:
            value = 'yes' if value else 'no'
        print(section, key, value, sep='\\t')";
    let text = answer(Command::new("python3").args(["-c", FLATTEN]), json);
    let rows = text.lines().map(|line| line.splitn(3, '\t').map(String::from).collect::<Vec<_>>());
    rows.map(|row| (format!("{}.{}", row[0], row[1]), row[2].clone())).collect()
}

fn facts(command: &mut Command) -> (Facts, Output) {
    let output = fed(command.arg("--json"), b"");
    let facts = facts_of_json(&output.stdout);
    assert!(facts.len() > 50, "{facts:?}");
    (facts, output)
}

/// Returns whether a sentence about what to change, or about what is missing, contains `words`.
fn says(facts: &Facts, list: &str, words: &str) -> bool {
    facts
        .iter()
        .any(|(key, sentence)| key.starts_with(&format!("{list}.")) && sentence.contains(words))
}

fn key(label: &str) -> String {
    let letters =
        label.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { ' ' });
    letters.collect::<String>().split_whitespace().collect::<Vec<_>>().join("_")
}

/// Reads the same facts from the words: sections at the margin, facts below them in two columns,
/// sentences after a dash.
fn facts_of_words(words: &str) -> Facts {
    let mut facts = Facts::new();
    let (mut section, mut last, mut number) = (String::new(), String::new(), 0);
    for line in words.lines().filter(|line| !line.is_empty()) {
        if !line.starts_with(' ') {
            section = key(line.split(':').next().expect("a title"));
            number = 0;
        } else if section == "cost" {
            continue;
        } else if let Some(sentence) = line.strip_prefix("  - ") {
            last = format!("{section}.{number}");
            number += 1;
            facts.insert(last.clone(), sentence.into());
        } else if line.starts_with("    ") {
            let text = facts.get_mut(&last).expect("a line before");
            *text += " ";
            *text += line.trim();
        } else {
            let (label, value) = line.split_at(36);
            last = format!("{section}.{}", key(label));
            facts.insert(last.clone(), value.into());
        }
        assert!(line.chars().count() <= 80 || !line.contains(' '), "{line}");
    }
    facts
}

fn words_and_json_have_the_same_facts() {
    let words = facts_of_words(&answer(&mut doctor(&["-q"]), b""));
    let (json, _) = facts(&mut doctor(&["--quick"]));
    assert_eq!(words.keys().collect::<Vec<_>>(), json.keys().collect::<Vec<_>>());
    for (key, value) in &json {
        // Others use memory and disk meanwhile.
        if !key.ends_with(".memory_available") && !key.ends_with(".free") {
            // Bytes are shown in units too: "2097152 (2 MiB)".
            let shown = if value.parse::<u64>().is_ok() {
                words[key].split(" (").next()
            } else {
                Some(&*words[key])
            };
            assert_eq!(shown, Some(&**value), "{key}");
        }
    }
}

fn first_line(path: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_else(|_| "not there".into());
    text.lines().next().unwrap_or_default().to_string()
}

fn the_facts_are_those_of_the_kernel() {
    let (facts, output) = facts(&mut doctor(&["-q"]));
    let release = format!("Linux {}", first_line("/proc/sys/kernel/osrelease"));
    assert_eq!(facts["host.kernel"], release);
    assert_eq!(facts["host.machine"], std::env::consts::ARCH);
    assert_eq!(facts["host.page_size"], crate::support::map::page_size().to_string());
    assert_eq!(facts["limits.vm_max_map_count"], first_line("/proc/sys/vm/max_map_count"));
    assert_eq!(facts["files_in_memory.fs_leases_enable"], first_line("/proc/sys/fs/leases-enable"));
    assert_eq!(
        facts["pools.user_max_user_namespaces"],
        first_line("/proc/sys/user/max_user_namespaces")
    );
    // SAFETY: fills the struct.
    let limit = unsafe {
        let mut limit = std::mem::zeroed::<libc::rlimit>();
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        limit.rlim_cur
    };
    assert_eq!(facts["limits.open_files_rlimit_nofile"], limit.to_string());
    let policy = first_line("/sys/kernel/mm/transparent_hugepage/shmem_enabled");
    let chosen = policy.split(['[', ']']).nth(1).unwrap_or("not there");
    assert_eq!(facts["huge_pages.shmem_enabled"], chosen);
    let works = |fact: &str| facts[fact] == "works";
    assert_eq!(works("files_in_memory.memfd_create"), hosts::has_memfd());
    assert_eq!(works("files_in_memory.mfd_noexec_seal"), hosts::can_forbid_execution());
    assert_eq!(works("dev_shm.o_tmpfile") || facts["dev_shm.read_only"] == "yes", hosts::has_shm());
    assert!(facts["what_the_library_uses.files"].contains("memfd"), "{facts:?}");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}

fn costs_are_measured_unless_quick() {
    let (measured, _) = facts(&mut doctor(&[]));
    assert_eq!(measured["measurement.outcome"], "complete");
    let rows: Vec<_> =
        measured.iter().filter(|(key, _)| key.starts_with("cost.")).map(|(_, row)| row).collect();
    for way in ["plain memfd", "wrap", "scan", "scan with a pool"] {
        for bytes in [4096, 1 << 20, 16 << 20] {
            let of_way = |row: &&&String| row.starts_with(&format!("{way} {bytes} "));
            let row =
                rows.iter().find(of_way).unwrap_or_else(|| panic!("{way}, {bytes}: {rows:?}"));
            let numbers: Vec<f64> =
                row.rsplit(' ').take(2).map(|word| word.parse().expect("a number")).collect();
            assert!(numbers[0] > 0.0 && numbers[1] > 0.1, "{row}");
            assert!(way != "plain memfd" || numbers[0] == 1.0, "{row}");
        }
    }
    assert_eq!(rows.len(), 12);
    let words = answer(&mut doctor(&[]), b"");
    let table =
        words.split("\ncost: ").nth(1).expect("a table").split("\n\n").next().expect("a part");
    assert_eq!(table.lines().count(), 6, "{table}");
    assert!(
        table.contains("4 KiB             1 MiB            16 MiB\n  plain memfd  "),
        "{table}"
    );

    let (quick, _) = facts(&mut doctor(&["--quick"]));
    assert!(
        !quick.keys().any(|key| key.starts_with("cost.") || key.starts_with("measurement.")),
        "{quick:?}"
    );
}

fn the_status_says_whether_something_is_missing() {
    let (facts, output) = facts(&mut doctor(&["-q"]));
    let is_complete = !facts.keys().any(|key| key.starts_with("missing."));
    assert_eq!(output.status.code(), Some(if is_complete { 0 } else { 1 }), "{facts:?}");
}

/// Returns the program, run after a command of the shell.
fn after(setting: &str) -> Command {
    let text = format!("{setting} && exec '{}' \"$@\"", program("bytefd-doctor").display());
    let mut command = Command::new("sh");
    command.args(["-c", &text, "sh"]);
    command
}

fn small_limits_are_shown_and_advised_on() {
    let (few, _) = facts(after("ulimit -n 9").arg("-q"));
    assert_eq!(few["limits.open_files_rlimit_nofile"], "9");
    assert!(says(&few, "what_to_change", "Only 9 descriptors can be open"), "{few:?}");

    // In blocks of 512 bytes, as POSIX has it. Whatever meets the limit is an error or a signal in
    // a child.
    let (short, output) = facts(&mut after("ulimit -f 16"));
    assert_eq!(short["limits.file_size_rlimit_fsize"], "8192");
    assert!(says(&short, "what_to_change", "Files of more than 8192 bytes"), "{short:?}");
    assert!(short["measurement.outcome"].starts_with("killed: "), "{short:?}");
    assert!(!says(&short, "what_to_change", "MADV_COLLAPSE"), "a limit is not the host: {short:?}");
    assert_eq!(short.keys().filter(|key| key.starts_with("cost.")).count(), 4, "4 KiB fit");
    assert_eq!(output.status.code(), Some(0));

    let (narrow, _) = facts(&mut after("ulimit -v 300000"));
    assert_eq!(narrow["limits.address_space_rlimit_as"], (300_000 * 1024).to_string());
    assert!(says(&narrow, "what_to_change", "address space is limited"), "{narrow:?}");
    let (none, _) = facts(&mut after("ulimit -S -c 0 && ulimit -n 256"));
    assert_eq!(none["limits.file_size_rlimit_fsize"], "unlimited");
    assert!(!says(&none, "what_to_change", "descriptors can be open"), "{none:?}");
}

/// Returns the program in namespaces of its own, run after a command of the shell; `None` where
/// that is not allowed.
fn mounted(setting: &str, namespaces: &[&str]) -> Option<Command> {
    let unshare = || {
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--mount"]).args(namespaces);
        unshare
    };
    let tried = fed(unshare().args(["sh", "-c", setting]), b"");
    if !tried.status.success() {
        println!("left out: {setting:?} is refused: {}", said(&tried));
        return None;
    }
    let (after, mut command) = (after(setting), unshare());
    command.arg(after.get_program()).args(after.get_args());
    Some(command)
}

fn the_least_limit_of_the_cgroups_above_counts() {
    let groups = std::fs::read_to_string("/proc/self/cgroup").expect("/proc is mounted");
    for (new, old, expected_new, expected_old) in [
        ("max", "9223372036854771712", "unlimited", "unlimited"),
        ("123456512", "99999744", "123456512", "99999744"),
    ] {
        let setting = format!(
            "mount -t tmpfs none /sys/fs/cgroup && cd /sys/fs/cgroup && mkdir memory
            echo {new} > memory.max && echo {old} > memory/memory.limit_in_bytes"
        );
        let Some(mut command) = mounted(&setting, &[]) else { return };
        let expected = if groups.contains(":memory:") { expected_old } else { expected_new };
        let (facts, _) = facts(command.arg("-q"));
        assert_eq!(facts["limits.memory_of_the_cgroup"], expected, "{groups}");
        let is_advised =
            says(&facts, "what_to_change", &format!("A cgroup limits memory to {expected} bytes"));
        assert_eq!(is_advised, expected != "unlimited", "{facts:?}");
    }
}

fn processes_that_proc_hides_are_noticed() {
    if let Some(mut command) =
        mounted("mount -t proc -o hidepid=2 none /proc", &["--pid", "--fork"])
    {
        let (facts, _) = facts(command.arg("-q"));
        // Older kernels show the number.
        assert!(["invisible", "2"].contains(&&*facts["proc.hidepid"]), "{facts:?}");
    }
}

fn a_host_without_shm_or_proc_is_shown_as_it_is() {
    if let Some(mut command) = mounted("mount -t tmpfs -o ro,noexec,size=1M none /dev/shm", &[]) {
        let (facts, output) = facts(command.arg("-q"));
        assert_eq!((&*facts["dev_shm.read_only"], &*facts["dev_shm.noexec"]), ("yes", "yes"));
        assert_eq!(facts["dev_shm.size"], "1048576");
        assert!(facts["dev_shm.o_tmpfile"].starts_with("refused: "), "{facts:?}");
        assert!(says(&facts, "what_to_change", "/dev/shm"), "{facts:?}");
        assert_eq!(output.status.code(), Some(0), "memfds need no /dev/shm");
    }
    if let Some(mut command) = mounted("mount -t tmpfs none /proc", &[]) {
        let (facts, output) = facts(command.arg("-q"));
        assert_eq!(
            (&*facts["proc.mounted"], &*facts["proc.proc_self_fd_can_be_read"]),
            ("no", "no")
        );
        assert!(
            facts["files_in_memory.opened_again_through_proc"].starts_with("refused: "),
            "{facts:?}"
        );
        assert_eq!(facts["files_in_memory.fs_leases_enable"], "not there");
        assert!(says(&facts, "missing", "Mount /proc"), "{facts:?}");
        assert_eq!(output.status.code(), Some(1));
    }
    if let Some(mut command) = mounted("echo 0 > /proc/sys/user/max_user_namespaces", &[]) {
        let (facts, _) = facts(command.arg("-q"));
        assert_eq!(facts["pools.user_max_user_namespaces"], "0");
        // Within the namespace, which may mount, the pool needs none of its own.
        assert!(facts["system_calls.unshare_user_namespace"].starts_with("refused: "), "{facts:?}");
    }
}

fn it_leaves_nothing_behind() {
    let workshop = Workshop::new();
    let names = |folder: &str| {
        let entries = std::fs::read_dir(folder).expect("a folder");
        let names =
            entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
        names.filter(|name| name.contains("bytefd")).collect::<Vec<_>>()
    };
    let before = names("/dev/shm");
    answer(doctor(&[]).env("TMPDIR", workshop.folder()), b"");
    assert_eq!(names("/dev/shm"), before);
    assert_eq!(std::fs::read_dir(workshop.folder()).expect("a folder").count(), 0);
    // Its children do: they end by _exit, with what they have made.
    assert_eq!(
        workshop.under_valgrind(&program("bytefd-doctor"), &["-q"], b"").status.code(),
        Some(0)
    );
}

fn mistakes_are_2() {
    for (arguments, words) in [
        (&["--no-such-option"][..], "unrecognized option"),
        (&["word"], "\"word\" is not an option"),
    ] {
        let output = fed(&mut doctor(arguments), b"");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
        assert!(said(&output).contains(words), "{}", said(&output));
    }
    for argument in ["-q", "--json", "--help", "--version"] {
        let full = std::fs::File::create("/dev/full").expect("/dev/full");
        let output = doctor(&[argument, "-q"]).stdout(full).output().expect("ended");
        assert_eq!(output.status.code(), Some(2), "{argument}");
        assert!(said(&output).contains("No space left"), "{}", said(&output));
    }
}

fn a_refused_memfd_is_missing() {
    program("bytefd-doctor");
    hosts::refuse(libc::SYS_memfd_create, libc::EPERM);
    let (facts, output) = facts(&mut doctor(&[]));
    assert_eq!(facts["files_in_memory.memfd_create"], "refused: Operation not permitted");
    assert_eq!(facts["files_in_memory.bytefd_wrap_buffer"], "works");
    assert!(facts["what_the_library_uses.files"].contains("POSIX shared memory"), "{facts:?}");
    assert!(facts["host.seccomp"].starts_with("system calls are filtered"), "{facts:?}");
    assert!(says(&facts, "missing", "memfd_create(2) does not work here"), "{facts:?}");
    assert_eq!(output.status.code(), Some(1));
}

fn a_filter_that_kills_ends_one_attempt_only() {
    program("bytefd-doctor");
    hosts::kill_at(libc::SYS_memfd_create);
    let (facts, output) = facts(&mut doctor(&[]));
    assert_eq!(facts["files_in_memory.memfd_create"], "killed: Bad system call");
    assert_eq!(facts["system_calls.openat2"], "works");
    assert_eq!(
        facts["measurement.outcome"],
        "not made: memfd_create or bytefd_wrap_buffer fails, or there is no memory"
    );
    assert!(says(&facts, "missing", "no descriptor can be made"), "{facts:?}");
    assert_eq!(output.status.code(), Some(1));
}

fn calls_that_a_filter_refuses_are_named() {
    program("bytefd-doctor");
    hosts::refuse(libc::SYS_process_vm_readv, libc::EPERM);
    hosts::refuse(libc::SYS_openat2, libc::ENOSYS);
    hosts::refuse(libc::SYS_unshare, libc::EPERM);
    hosts::refuse_value(libc::SYS_madvise, 2, 25, libc::EINVAL);
    hosts::refuse_value(libc::SYS_fcntl, 1, libc::F_SETLEASE as u64, libc::EACCES);
    let (facts, output) = facts(&mut doctor(&["-q"]));
    assert_eq!(facts["system_calls.process_vm_readv"], "refused: Operation not permitted");
    assert_eq!(facts["system_calls.openat2"], "missing: Function not implemented");
    assert_eq!(facts["system_calls.unshare_user_namespace"], "refused: Operation not permitted");
    assert_eq!(facts["huge_pages.madv_collapse"], "refused: Invalid argument");
    assert_eq!(facts["files_in_memory.write_lease_f_setlease"], "refused: Permission denied");
    assert_eq!(
        facts["pools.new_files_own_file_system"],
        "refused: Operation not supported, at the step \"unshare\""
    );
    assert_eq!(
        (&*facts["pools.files_are_reused"], &*facts["pools.new_files_are_tried_by_auto"]),
        ("no", "no")
    );
    for words in [
        "process_vm_readv(2) is refused",
        "MADV_COLLAPSE does not work",
        "Write leases",
        "the step \"unshare\" is refused",
    ] {
        assert!(says(&facts, "what_to_change", words), "{words}: {facts:?}");
    }
    assert_eq!(output.status.code(), Some(0), "slower, but nothing is missing");
}
