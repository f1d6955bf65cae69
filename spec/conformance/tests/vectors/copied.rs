//! The files come out of the program as they are in the repository.

use std::collections::BTreeSet;
use std::fs;

use rdma_migration_conformance::vectors::{FILES, copy_to};

use crate::committed::folder;

#[test]
fn every_file_of_the_folder_is_copied_byte_for_byte() {
    let copy = tempfile::tempdir().unwrap();
    let made = copy.path().join("a/new/folder");
    assert_eq!(copy_to(&made).unwrap(), FILES.len());
    let names = |folder: &std::path::Path| -> BTreeSet<_> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        entries.filter(|name| !name.to_string_lossy().starts_with("__")).collect()
    };
    assert_eq!(names(&made), names(&folder()));
    for name in names(&made) {
        let pair = [made.join(&name), folder().join(&name)].map(|path| fs::read(path).unwrap());
        assert!(pair[0] == pair[1], "{}", name.display());
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let copy = tempfile::tempdir().unwrap();
    let file = copy.path().join("file");
    fs::write(&file, "").unwrap();
    let error = copy_to(&file).unwrap_err().to_string();
    assert!(error.contains(&file.display().to_string()), "{error}");
}
