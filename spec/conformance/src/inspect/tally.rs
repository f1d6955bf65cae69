use std::collections::BTreeMap;

use super::entry::Role;
use crate::codec::{Header, Kind};

/// Counts of what one connection has carried, retransmissions apart.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    kinds: BTreeMap<Kind, KindTally>,
    pub(super) writes: u64,
    pub(super) written_bytes: u64,
    pub(super) retransmitted_packets: u64,
    pub(super) missing_packets: u64,
    pub(super) deviations: u64,
}

/// Counts of one kind of message.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KindTally {
    pub(super) from_source: u64,
    pub(super) from_destination: u64,
    /// Bytes after the headers.
    pub(super) bytes: u64,
}

/// A hostile capture can hold any number of undefined kinds; they share one line from here on.
const KINDS_MAX: usize = 32;

impl Tally {
    pub(super) fn add(&mut self, from: Role, header: Header) {
        let new = !self.kinds.contains_key(&header.kind);
        let kind = if new && self.kinds.len() >= KINDS_MAX {
            Kind::Unknown(u32::MAX)
        } else {
            header.kind
        };
        let tally = self.kinds.entry(kind).or_default();
        match from {
            Role::Source => tally.from_source += 1,
            Role::Destination => tally.from_destination += 1,
        }
        tally.bytes += u64::from(header.length);
    }

    /// By kind, in the order of their numbers.
    pub(super) fn kinds(&self) -> impl Iterator<Item = (Kind, KindTally)> {
        self.kinds.iter().map(|(kind, tally)| (*kind, *tally))
    }

    /// Messages of this kind.
    pub(super) fn count(&self, kind: Kind) -> u64 {
        self.kinds.get(&kind).map_or(0, |tally| tally.from_source + tally.from_destination)
    }

    /// Messages of any kind.
    pub(super) fn messages(&self) -> u64 {
        self.kinds.values().map(|tally| tally.from_source + tally.from_destination).sum()
    }
}
