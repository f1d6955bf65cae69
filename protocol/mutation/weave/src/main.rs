//! Weaves every mutant that cargo-mutants lists into one copy of a crate, each behind a switch:
//! `(if crate::mutation_switch::is(17) { a - b } else { a + b })`. One build then holds all of
//! them, and the environment of a test process chooses which one is active.
//!
//! ```text
//! weave WORKSPACE < PLAN > WOVEN
//! ```
//!
//! `PLAN` is JSON: `{"mutants": [...]}`, the mutants as `cargo mutants --list --json` prints them, each
//! with a `number` from 1. The files below `WORKSPACE` are changed in place. `WOVEN` says for each
//! mutant either the lines where its text now stands, or why it could not be woven.

mod edits;
mod mutant;
mod places;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::{env, fs, io};

use mutant::{Mutant, Plan, Woven};

fn main() -> Result<(), Box<dyn Error>> {
    let workspace = env::args().nth(1).ok_or("usage: weave WORKSPACE < PLAN > WOVEN")?;
    let plan: Plan = serde_json::from_reader(io::stdin())?;
    let mut files: BTreeMap<String, Vec<Mutant>> = BTreeMap::new();
    for mutant in plan.mutants {
        files.entry(mutant.file.clone()).or_default().push(mutant);
    }
    let mut woven = Vec::new();
    for (file, mutants) in files {
        let path = Path::new(&workspace).join(&file);
        woven.extend(weave_file(&path, mutants).map_err(|error| format!("{file}: {error}"))?);
    }
    serde_json::to_writer(io::stdout(), &woven)?;
    Ok(())
}

fn weave_file(path: &Path, mutants: Vec<Mutant>) -> Result<Vec<Woven>, Box<dyn Error>> {
    let text = fs::read_to_string(path)?;
    let (edits, mut woven) = places::find(&text, mutants)?;
    let (text, lines) = edits.apply(&text);
    woven.extend(lines);
    fs::write(path, text)?;
    Ok(woven)
}
