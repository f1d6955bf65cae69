//! The targets by name.

use crate::{
    capture, commands, destination, evidence, message, pair, private_data, recording, source,
    stream_end, stream_setup, text,
};

/// A fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, which is that of its program and of its folders.
    pub name: &'static str,
    /// What it does with some bytes.
    pub drive: fn(&[u8]),
}

impl Target {
    /// The folder of its seeds, which it may share with another.
    #[must_use]
    pub fn seeds(&self) -> &'static str {
        if self.name == "differential" { "message" } else { self.name }
    }
}

/// Every target.
pub const TARGETS: [Target; 13] = [
    Target { name: "private_data", drive: private_data::drive },
    Target { name: "message", drive: message::drive },
    Target { name: "commands", drive: commands::drive },
    Target { name: "differential", drive: message::differ },
    Target { name: "stream_setup", drive: stream_setup::drive },
    Target { name: "stream_end", drive: stream_end::drive },
    Target { name: "source", drive: source::drive },
    Target { name: "destination", drive: destination::drive },
    Target { name: "pair", drive: pair::drive },
    Target { name: "capture", drive: capture::drive },
    Target { name: "recording", drive: recording::drive },
    Target { name: "evidence", drive: evidence::drive },
    Target { name: "text", drive: text::drive },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    fn folder(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
    }

    /// The files of a folder, in order; none if it is not there.
    fn files(folder: &Path) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    #[test]
    fn every_program_is_a_target_and_every_target_a_program() {
        let programs = files(&folder("fuzz_targets"));
        let programs: BTreeSet<_> =
            programs.iter().map(|path| path.file_stem().unwrap().to_str().unwrap()).collect();
        assert_eq!(programs, TARGETS.iter().map(|target| target.name).collect());
    }

    #[test]
    fn every_seed_passes() {
        for target in TARGETS {
            let seeds = files(&folder("seeds").join(target.seeds()));
            assert!(!seeds.is_empty(), "{} has no seed", target.name);
            for path in seeds {
                println!("{}", path.display());
                (target.drive)(&fs::read(&path).unwrap());
            }
        }
    }

    /// Every input that has ever found a mistake, each in the folder of its target.
    #[test]
    fn every_regression_passes() {
        for Target { name, drive } in TARGETS {
            for path in files(&folder("regressions").join(name)) {
                println!("{}", path.display());
                drive(&fs::read(&path).unwrap());
            }
        }
    }
}
