//! Every requirement that can be seen in bytes is cited by a vector.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use rdma_migration_conformance::vectors::all;

/// The chapters of which every requirement that is about the contents of messages has a vector.
const CHAPTERS: [&str; 5] = [
    "03-control-channel.md",
    "04-ram-blocks.md",
    "05-registration.md",
    "07-zero-pages.md",
    "11-limits.md",
];

/// Requirements of these chapters that no bytes can show, and why.
const NOT_IN_BYTES: [(&str, &str); 9] = [
    ("BLK-16", "when a block is registered is not seen, only that the result has its key"),
    ("CTL-28", "which receives are posted is not seen"),
    ("CTL-29", "which receives are posted is not seen"),
    ("CTL-30", "which receives are posted is not seen"),
    ("CTL-33", "that a READY does not come is not seen"),
    ("LIM-7", "how much room a receive has is not seen"),
    ("REG-30", "when a write ends is not seen"),
    ("REG-32", "when a region is deregistered is not seen"),
    ("ZERO-14", "when RAM is filled is not seen"),
];

/// The ids of all requirements, by chapter.
fn requirements() -> BTreeMap<String, BTreeSet<String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../text");
    let mut chapters = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        let ids = text.lines().filter_map(|line| {
            let id = line.strip_prefix('[')?.split_once(']')?.0;
            let (letters, digits) = id.split_once('-')?;
            let well_formed = letters.chars().all(|c| c.is_ascii_uppercase())
                && digits.chars().all(|c| c.is_ascii_digit());
            well_formed.then(|| id.to_owned())
        });
        chapters.insert(name, ids.collect());
    }
    chapters
}

fn cited() -> BTreeSet<String> {
    all().unwrap().into_iter().flat_map(|vector| vector.requirements).collect()
}

#[test]
fn every_requirement_that_bytes_can_show_has_a_vector() {
    let (requirements, cited) = (requirements(), cited());
    let excused: BTreeSet<_> = NOT_IN_BYTES.iter().map(|(id, _)| *id).collect();
    let mut missing = Vec::new();
    for chapter in CHAPTERS {
        let ids = requirements.get(chapter).unwrap_or_else(|| panic!("{chapter} is not there"));
        assert!(!ids.is_empty(), "{chapter}");
        missing
            .extend(ids.iter().filter(|id| !cited.contains(*id) && !excused.contains(id.as_str())));
    }
    assert!(missing.is_empty(), "without a vector: {missing:?}");
}

#[test]
fn vectors_cite_requirements_that_there_are_and_no_excuse_is_stale() {
    let there: BTreeSet<_> = requirements().into_values().flatten().collect();
    let cited = cited();
    let unknown: Vec<_> = cited.difference(&there).collect();
    assert!(unknown.is_empty(), "no such requirements: {unknown:?}");
    for (id, reason) in NOT_IN_BYTES {
        assert!(there.contains(id) && !cited.contains(id), "{id}: {reason}");
    }
}
