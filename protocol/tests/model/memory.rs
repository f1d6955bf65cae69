//! One side's memory: its RAM, what is registered of it, and what is being done to it.

use std::collections::{BTreeMap, BTreeSet};

use rdma_migration_protocol::address::Rkey;
use rdma_migration_protocol::transport::{Access, FailedOperation, RegionId};

use crate::guest::{Cells, Ram};

/// Something that takes its time beside the connection. Any of them may end first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Chore {
    Register { region: RegionId, cells: Cells, remote: bool },
    Deregister { region: RegionId },
    Scan(Cells),
    Zero(Cells),
}

impl Chore {
    /// The failure that answers it.
    pub(crate) fn failed(self) -> FailedOperation {
        match self {
            Self::Register { region, .. } => FailedOperation::RegisterMemory { region },
            Self::Deregister { region } => FailedOperation::DeregisterMemory { region },
            Self::Scan(cells) => {
                FailedOperation::ScanRam { block: cells.block(), offset: cells.offset() }
            }
            Self::Zero(cells) => {
                FailedOperation::ZeroRam { block: cells.block(), offset: cells.offset() }
            }
        }
    }
}

/// A registered region.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Region {
    pub(crate) cells: Cells,
    pub(crate) access: Access,
    pub(crate) rkey: Rkey,
    /// Its deregistration was ordered: from then on nobody may use it.
    pub(crate) taken_back: bool,
}

/// The memory of one side.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) ram: Ram,
    pub(crate) regions: BTreeMap<RegionId, Region>,
    pub(crate) chores: BTreeSet<Chore>,
    /// How often each region was registered: no key comes twice.
    generations: BTreeMap<RegionId, u8>,
}

impl Memory {
    /// Numbers from one generation of a region's keys to the next.
    pub(crate) const GENERATION: u32 = 0x100;

    pub(crate) fn new(ram: Ram) -> Self {
        Self { ram, ..Self::default() }
    }

    /// Registers a region under a key that was never used before.
    pub(crate) fn register(&mut self, region: RegionId, cells: Cells, remote: bool) -> Rkey {
        let generation = self.generations.entry(region).or_default();
        let rkey = Rkey::new(u32::from(*generation) * Self::GENERATION + region.0 + 1);
        *generation += 1;
        let access = if remote { Access::RemoteWrite } else { Access::LocalRead };
        self.regions.insert(region, Region { cells, access, rkey, taken_back: false });
        rkey
    }

    /// The region that a peer may write to with this key.
    pub(crate) fn granted(&self, rkey: Rkey) -> Option<(RegionId, Region)> {
        let mut regions = self.regions.iter();
        let usable = |region: &Region| {
            region.rkey == rkey && region.access == Access::RemoteWrite && !region.taken_back
        };
        regions.find(|(_, region)| usable(region)).map(|(id, region)| (*id, *region))
    }

    /// Nobody asks for the regions of a side that has ended.
    pub(crate) fn forget_regions(&mut self) {
        self.regions.clear();
        self.chores.clear();
        self.generations.clear();
    }

    /// Chunks that are registered or may be.
    pub(crate) fn chunks(&self) -> u64 {
        let registering = self.chores.iter().filter_map(|chore| match chore {
            Chore::Register { cells, .. } => Some(cells.chunks()),
            Chore::Deregister { .. } | Chore::Scan(_) | Chore::Zero(_) => None,
        });
        let registered = self.regions.values().map(|region| region.cells.chunks());
        registered.chain(registering).sum()
    }

    /// Regions that are registered or may be.
    pub(crate) fn registered(&self) -> usize {
        let registering = |chore: &&Chore| matches!(chore, Chore::Register { .. });
        self.regions.len() + self.chores.iter().filter(registering).count()
    }
}

impl Region {
    /// Whether all of these cells lie in it.
    pub(crate) fn covers(&self, cells: Cells) -> bool {
        let end = |cells: Cells| cells.first + cells.count;
        self.cells.block == cells.block
            && self.cells.first <= cells.first
            && end(cells) <= end(self.cells)
    }
}
