//! Lists the results of combinations that are neither success nor the errno that the kernel gave,
//! and the reasons. Each must still occur.

use super::tracer::{Answer, Fault};

pub struct Exception {
    /// A part of the scenario's name; the system call; errnos, or "short". Empty for any.
    pub scenario: &'static str,
    pub call: &'static str,
    pub fault: &'static str,
    /// A part of the result that is found instead.
    pub found: &'static str,
    pub why: &'static str,
}

/// Returns the number of the exception that this is.
pub fn find(scenario: &str, fault: &Fault, problem: &str) -> Option<usize> {
    let answer = match fault.answer {
        Answer::Errno((name, _)) => name,
        Answer::OneByte | Answer::Half => "short",
    };
    EXCEPTIONS.iter().position(|exception| {
        scenario.contains(exception.scenario)
            && (exception.call.is_empty() || exception.call == fault.page.name)
            && (exception.fault.is_empty() || exception.fault.split(' ').any(|name| name == answer))
            && problem.contains(exception.found)
    })
}

pub const EXCEPTIONS: &[Exception] = &[
    Exception {
        scenario: "bytefd_export_dmabuf",
        call: "openat",
        fault: "ENOENT ENXIO",
        found: "errno 19",
        why: "a host without a driver behind /dev/udmabuf is -ENODEV, as the header says",
    },
    Exception {
        call: "newfstatat",
        fault: "ENOENT",
        found: "errno 16",
        why: "a name that is gone each time was removed by others; who is never faster gets EBUSY",
        ..ANY
    },
    Exception {
        scenario: "bytefd_tempfile_create",
        call: "chmod",
        fault: "ENOENT",
        found: "errno 16",
        why: "a directory that is gone each time was removed by a sweep; who is never faster gets \
              EBUSY",
    },
    Exception {
        scenario: "bytefd_tempfile_create",
        call: "openat",
        fault: "ENOENT",
        found: "errno 16",
        why: "a directory that is gone each time was removed by a sweep; who is never faster gets \
              EBUSY",
    },
    Exception {
        call: "munmap",
        found: "left behind: ",
        why: "what the kernel refuses to unmap stays mapped",
        ..ANY
    },
    Exception {
        call: "unlink",
        found: "left behind: name",
        why: "what the kernel refuses to unlink keeps its name; a sweep removes it",
        ..ANY
    },
    Exception {
        call: "rt_sigprocmask",
        found: "left behind: SigBlk",
        why: "a mask that the kernel refuses to set back stays; it refuses none that it has given",
        ..ANY
    },
    Exception {
        call: "shmctl",
        found: "left behind: a System V segment",
        why: "what the kernel refuses to remove stays",
        ..ANY
    },
    Exception {
        scenario: "bytefd_pool_create: a pool of new files",
        found: "errno 95",
        why: "what the host refuses is EOPNOTSUPP, and the step is named",
        ..ANY
    },
    Exception {
        scenario: "whatever there is where memfd is not",
        call: "openat",
        found: "no backend works",
        why: "the errno is that of the first backend, memfd's EPERM; the message names all",
        ..ANY
    },
    Exception {
        scenario: "bytefd_map_advise",
        call: "madvise",
        fault: "EINVAL",
        found: "this kernel does not know MADV_",
        why: "EINVAL for an empty range as well says that the kernel does not know the advice, \
              which is EOPNOTSUPP",
    },
    Exception {
        scenario: "bytefd_map_read",
        call: "write",
        fault: "EFAULT",
        found: "errno 5: read: byte 0 is not accessible",
        why: "a copy that says EFAULT has met a lost page, which is EIO",
    },
    Exception {
        scenario: "bytefd_tempfile_close",
        call: "rmdir",
        fault: "ENOENT",
        found: "left behind: name",
        why: "what the kernel says is gone is not removed",
    },
    Exception {
        scenario: "bytefd_sweep",
        call: "unlinkat",
        fault: "ENOENT",
        found: "removed",
        why: "what the kernel says is gone is not removed",
    },
    Exception {
        call: "newfstatat",
        found: "left behind: descriptor of /bytefd.",
        why: "as for memory files, of a pool's own file system",
        ..ANY
    },
    Exception {
        call: "newfstatat",
        found: "left behind: descriptor of /memfd:bytefd",
        why: "fstat(2) does not fail on a memory file: a number that cannot be asked may be \
              another file's by now",
        ..ANY
    },
    Exception {
        call: "fcntl F_GETFD",
        fault: "EBADF",
        found: "killed by signal 6",
        why: "Rust's own check, in builds with debug assertions, that a descriptor is open before \
              it is closed",
        ..ANY
    },
    Exception {
        call: "fcntl F_DUPFD_CLOEXEC",
        fault: "EINVAL",
        found: "errno 24",
        why: "RLIMIT_NOFILE allows no number above 2, which is EMFILE",
        ..ANY
    },
    Exception {
        call: "fcntl F_OFD_SETLK",
        fault: "EACCES",
        found: "errno 11",
        why: "POSIX lets the kernel say EACCES for EAGAIN",
        ..ANY
    },
    Exception {
        call: "madvise",
        fault: "EFAULT",
        found: "errno 5",
        why: "MADV_POPULATE_READ says EFAULT where access would raise SIGBUS, which is documented \
              as EIO",
        ..ANY
    },
    Exception {
        call: "fcntl F_GET_SEALS",
        fault: "EINVAL",
        found: "errno 1",
        why: "a file that cannot have seals has none, which is documented as EPERM",
        ..ANY
    },
    Exception {
        scenario: "bytefd_receive: a ",
        call: "recvmsg",
        fault: "short",
        found: "is longer than",
        why: "the kernel cuts no packet that the buffer has room for",
    },
];

const ANY: Exception = Exception { scenario: "", call: "", fault: "", found: "", why: "" };
