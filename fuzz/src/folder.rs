//! A folder for the targets that read files, one a process.

use std::fs;
use std::path::{Path, PathBuf};

/// A folder that is used again and again.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// The folder for this purpose, empty. It lies where the system has its temporary files, which
    /// `TMPDIR` says.
    pub(crate) fn new(purpose: &str) -> Self {
        let thread = std::thread::current().id();
        let name = format!("rdma-migration-fuzz-{purpose}-{}-{thread:?}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        // It may be left over from a process of the same number.
        let _absent = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder for temporary files");
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.0.join(name), bytes).expect("room for temporary files");
    }

    pub(crate) fn remove(&self, name: &str) {
        let _absent = fs::remove_file(self.0.join(name));
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _absent = fs::remove_dir_all(&self.0);
    }
}
