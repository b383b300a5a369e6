//! Lists mappings, and what is set through a mapping.

use super::Rule::*;
use super::*;

pub const WAYS: &[Way] = &[
    Way {
        name: "a shared mapping",
        keep: |fd, size| mapped_for_reading(fd, size, libc::MAP_SHARED),
        rule: Seen,
    },
    Way {
        name: "a private mapping",
        keep: |fd, size| mapped_for_reading(fd, size, libc::MAP_PRIVATE),
        rule: Seen,
    },
    Way { name: "a private mapping for writing", keep: private_for_writing, rule: Seen },
    Way { name: "a shared mapping for writing", keep: shared_for_writing, rule: Seen },
    Way { name: "a mapping made of a mapping", keep: mapping_of_a_mapping, rule: Seen },
    Way { name: "a mapping that cannot be unmapped", keep: sealed_mapping, rule: Seen },
    Way { name: "a mapping that was locked", keep: locked, rule: Harmless },
    Way { name: "advice, MADV_COLD", keep: |fd, size| advised(fd, size, 20), rule: Harmless },
    Way { name: "advice, MADV_PAGEOUT", keep: |fd, size| advised(fd, size, 21), rule: Harmless },
    Way { name: "advice, MADV_COLLAPSE", keep: |fd, size| advised(fd, size, 25), rule: Harmless },
    Way { name: "advice, MADV_HUGEPAGE", keep: |fd, size| advised(fd, size, 14), rule: Harmless },
    Way {
        name: "advice, MADV_GUARD_INSTALL",
        keep: |fd, size| advised(fd, size, 102),
        rule: Harmless,
    },
    Way { name: "a memory policy", keep: memory_policy, rule: Harmless },
    Way { name: "userfaultfd", keep: userfault, rule: Harmless },
];

/// A mapping, removed when this is dropped.
pub struct Mapped {
    pub at: *mut u8,
    size: usize,
}

impl Mapped {
    pub fn new(fd: c_int, size: usize, protection: c_int, sharing: c_int) -> Result<Mapped, Skip> {
        // SAFETY: a new mapping.
        let at = unsafe { libc::mmap(null_mut(), size, protection, sharing, fd, 0) };
        if at == libc::MAP_FAILED {
            Err(std::io::Error::last_os_error().into())
        } else {
            Ok(Mapped { at: at.cast(), size })
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.size];
        // SAFETY: as long as the mapping. The test is about changes of the bytes meanwhile.
        unsafe { std::ptr::copy(self.at, bytes.as_mut_ptr(), self.size) };
        bytes
    }

    fn kept(self) -> Kept {
        Kept::look(move |_| Some(self.bytes()))
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`. A sealed mapping stays until the process ends.
        unsafe { libc::munmap(self.at.cast(), self.size) };
    }
}

fn mapped_for_reading(fd: c_int, size: usize, sharing: c_int) -> Result<Kept, Skip> {
    Ok(Mapped::new(fd, size, libc::PROT_READ, sharing)?.kept())
}

fn private_for_writing(fd: c_int, size: usize) -> Result<Kept, Skip> {
    let map = Mapped::new(fd, size, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE)?;
    let at = map.at;
    // SAFETY: within the mapping, which is kept as long.
    Ok(map.kept().and_meddle(move || unsafe { at.write_bytes(b'X', size) }))
}

/// Maps the file for writing, through a description that is closed.
pub fn mapped_for_writing(fd: c_int, size: usize) -> Result<Mapped, Skip> {
    let writable = open_for_writing(fd);
    Mapped::new(writable.as_raw_fd(), size, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED)
}

fn shared_for_writing(fd: c_int, size: usize) -> Result<Kept, Skip> {
    let map = mapped_for_writing(fd, size)?;
    let at = map.at;
    // SAFETY: within the mapping, which is kept as long.
    Ok(map.kept().and_meddle(move || unsafe { at.write_bytes(b'X', size) }))
}

fn mapping_of_a_mapping(fd: c_int, size: usize) -> Result<Kept, Skip> {
    let first = Mapped::new(fd, size, libc::PROT_READ, libc::MAP_SHARED)?;
    // SAFETY: an old size of 0 makes another mapping of the same pages.
    let second = unsafe { libc::mremap(first.at.cast(), 0, size, libc::MREMAP_MAYMOVE) };
    if second == libc::MAP_FAILED {
        return Err(std::io::Error::last_os_error().into());
    }
    Ok(Mapped { at: second.cast(), size }.kept())
}

fn sealed_mapping(fd: c_int, size: usize) -> Result<Kept, Skip> {
    const MSEAL: c_long = 462;
    let map = Mapped::new(fd, size, libc::PROT_READ, libc::MAP_SHARED)?;
    // SAFETY: the mapping is ours; this process is a child that ends soon.
    checked(unsafe { libc::syscall(MSEAL, map.at, size.next_multiple_of(page_size()), 0) })?;
    Ok(map.kept())
}

fn locked(fd: c_int, size: usize) -> Result<Kept, Skip> {
    let map = Mapped::new(fd, size, libc::PROT_READ, libc::MAP_SHARED)?;
    // SAFETY: the mapping is ours.
    checked(unsafe { libc::mlock(map.at.cast(), size) })?;
    Ok(Kept::default())
}

fn advised(fd: c_int, size: usize, advice: c_int) -> Result<Kept, Skip> {
    let map = Mapped::new(fd, size, libc::PROT_READ, libc::MAP_SHARED)?;
    map.bytes();
    // SAFETY: the mapping is ours, and not used again.
    checked(unsafe { libc::madvise(map.at.cast(), size, advice) })?;
    Ok(Kept::default())
}

/// The policy stays with the file, and says where pages come from.
fn memory_policy(fd: c_int, size: usize) -> Result<Kept, Skip> {
    const MPOL_BIND: c_int = 2;
    let (map, node) = (Mapped::new(fd, size, libc::PROT_READ, libc::MAP_SHARED)?, 1u64);
    // SAFETY: the mapping is ours; a set of 64 nodes.
    checked(unsafe {
        libc::syscall(libc::SYS_mbind, map.at, size, MPOL_BIND, &raw const node, 64, 0)
    })?;
    Ok(Kept::default())
}

/// Pages that are there raise no fault, and none of them can be replaced.
fn userfault(fd: c_int, size: usize) -> Result<Kept, Skip> {
    const USER_MODE_ONLY: c_int = 1;
    // SAFETY: touches no memory.
    let faults =
        owned(unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | USER_MODE_ONLY) })?;
    let mut api = [0xaa_u64, 0, 0];
    // SAFETY: `struct uffdio_api`.
    checked(unsafe { libc::ioctl(faults.as_raw_fd(), 0xc018_aa3f_u32 as _, api.as_mut_ptr()) })?;
    let map = Mapped::new(fd, size, libc::PROT_READ, libc::MAP_SHARED)?;
    let mut register = [map.at.addr() as u64, size.next_multiple_of(page_size()) as u64, 1, 0];
    // SAFETY: `struct uffdio_register`. Without a right to write it is refused.
    checked(unsafe {
        libc::ioctl(faults.as_raw_fd(), 0xc020_aa00_u32 as _, register.as_mut_ptr())
    })?;
    Ok(Kept::thing(faults))
}
