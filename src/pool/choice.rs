//! Decides whether a scan gets a new file on the pool's own file system.

use super::cache::Cache;
use super::options::PoolMethod;
use super::sizes::Way;
use crate::error::{Errno, Error, Result};

impl Cache {
    /// Makes the file system for new files, if there is none. Fails with the step that the host
    /// refuses.
    pub fn prepare_new_files(&self) -> Result<()> {
        let refused = |errno: Errno| match errno.0 {
            shortage @ (libc::EMFILE | libc::ENFILE | libc::ENOMEM) => shortage,
            _ => libc::EOPNOTSUPP,
        };
        let refusal = match &self.mark {
            Some(_) => self.new_files.prepare().err().map(|refusal| (refusal.step, refusal.errno)),
            // Without the mark a child would use its parent's file system.
            None => Some(("madvise MADV_WIPEONFORK", Errno(libc::EINVAL))),
        };
        match refusal {
            None => Ok(()),
            Some((step, errno)) => {
                let message =
                    format!("cannot make the pool's own file system for new files: {errno}");
                Err(Error::new(step, refused(errno), message))
            }
        }
    }

    /// Returns how a scan of this size gets its file, and whether it is measured.
    pub fn choose(&self, size: u64, is_trusted: bool) -> (Way, bool) {
        if !self.may_make_new(is_trusted) {
            return (Way::Other, false);
        }
        let choice = self.sizes.choose(size);
        if choice == (Way::NewFile, true) {
            // The file system is made before the measurement, because that cost arises only once.
            let _ = self.new_files.prepare();
        }
        choice
    }

    /// Returns how a stream gets its file, for about this size if it is known.
    pub fn choose_unmeasured(&self, size: Option<u64>, is_trusted: bool) -> Way {
        if !self.may_make_new(is_trusted) {
            return Way::Other;
        }
        let unless_known =
            if self.method == PoolMethod::NewFiles { Way::NewFile } else { Way::Other };
        size.and_then(|size| self.sizes.cheaper(size)).unwrap_or(unless_known)
    }

    fn may_make_new(&self, is_trusted: bool) -> bool {
        self.after_fork();
        let may_be = !is_trusted && self.method != PoolMethod::Reuse && self.mark.is_some();
        may_be && !self.new_files.are_refused() && !self.new_files.are_paused()
    }
}
