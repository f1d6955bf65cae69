//! The table of faults, in the order of a migration.

mod adapter;
mod connection;
mod link;
mod memory;
mod program;

use core::time::Duration;

use super::kind::{Effect, FaultKind, Recovery, Site};
use crate::side::Side;

/// Every fault.
pub const FAULTS: &[FaultKind] = &ALL;

const TABLES: &[&[FaultKind]] = &[
    connection::FAULTS,
    link::FAULTS,
    adapter::OF_SOURCE,
    adapter::OF_DESTINATION,
    adapter::WRITES,
    memory::OF_SOURCE,
    memory::OF_DESTINATION,
    memory::WALKS,
    program::FAULTS,
];

const ALL: [FaultKind; count(TABLES)] = joined(TABLES);

const fn count(tables: &[&[FaultKind]]) -> usize {
    let mut rows = 0;
    let mut table = 0;
    while table < tables.len() {
        rows += tables[table].len();
        table += 1;
    }
    rows
}

/// One table of several: `concat` is not to be had at compile time.
const fn joined<const COUNT: usize>(tables: &[&[FaultKind]]) -> [FaultKind; COUNT] {
    let mut all = [tables[0][0]; COUNT];
    let (mut at, mut table) = (0, 0);
    while table < tables.len() {
        let mut row = 0;
        while row < tables[table].len() {
            all[at] = tables[table][row];
            at += 1;
            row += 1;
        }
        table += 1;
    }
    all
}

const fn fails(
    name: &'static str,
    site: Site,
    default_at: u64,
    effect: Effect,
    description: &'static str,
) -> FaultKind {
    FaultKind { name, description, recovery: Recovery::Fails, default_at, site, effect }
}

const fn either(
    name: &'static str,
    site: Site,
    default_at: u64,
    effect: Effect,
    description: &'static str,
) -> FaultKind {
    FaultKind { name, description, recovery: Recovery::Either, default_at, site, effect }
}

const fn recovered(
    name: &'static str,
    site: Site,
    default_at: u64,
    effect: Effect,
    description: &'static str,
) -> FaultKind {
    FaultKind { name, description, recovery: Recovery::Recovered, default_at, site, effect }
}

const SOURCE: Side = Side::Source;
const DESTINATION: Side = Side::Destination;
/// Shorter than any side waits.
const A_SECOND: Duration = Duration::from_secs(1);
/// Longer than any side waits.
const TEN_MINUTES: Duration = Duration::from_secs(600);
/// The operating system's number for an input/output error.
const EIO: i32 = 5;
