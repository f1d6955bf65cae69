//! Where a destination is in the migration, and what it waits for there.

use alloc::vec::Vec;

use super::Destination;
use crate::address::{BlockIndex, BlockOffset, HostAddress, RamAddress};
use crate::connection::{Close, CloseStep, Negotiated};
use crate::deadline::{TimeoutReason, Waits};
use crate::error::Error;
use crate::limits::PRIVATE_DATA_BYTES;
use crate::transport::RegionId;
use crate::wire::RegisterResult;

/// The phases of a migration at its destination, in order.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Phase {
    /// No source has asked yet.
    Listening,
    /// The source's request is to be accepted.
    Accept { private_data: [u8; PRIVATE_DATA_BYTES], negotiated: Negotiated },
    /// The connection is being made.
    Accepting { negotiated: Negotiated },
    /// The source's request is to be refused.
    Refuse { reason: Error },
    /// Commands are taken.
    Serving,
    /// The source is gone at a point where the stream may be complete; the owner decides.
    Ended { reason: Error },
    /// The connection is being closed, or has been.
    Closing(Close),
}

/// The command that is being carried out.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Command {
    None,
    /// RAM_BLOCKS_REQUEST.
    Blocks {
        /// Whether the owner has placed its blocks.
        placed: bool,
        /// Where all RAM is pinned: blocks that are still to be registered, from this one on.
        pin_next: u32,
    },
    /// REGISTER_REQUEST.
    Register {
        requested: Vec<Requested>,
        next: usize,
    },
    /// COMPRESS.
    Zero {
        runs: Vec<ZeroRun>,
        next: usize,
        unanswered: usize,
    },
    /// UNREGISTER_REQUEST.
    Unregister {
        regions: Vec<RegionId>,
        next: usize,
    },
}

/// One request of a REGISTER_REQUEST.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Requested {
    pub(super) block: BlockIndex,
    /// The region whose key is the answer.
    pub(super) region: RegionId,
    /// What has to be registered for it; nothing where it is already.
    pub(super) register: Option<(BlockOffset, u64)>,
}

/// One run of a COMPRESS.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct ZeroRun {
    pub(super) block: BlockIndex,
    pub(super) offset: BlockOffset,
    pub(super) length: u64,
}

/// Memory of commands that were carried out, for those that come: so none of them allocates, unless
/// it is one of many in a message.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Spare {
    pub(super) requested: Vec<Requested>,
    pub(super) results: Vec<RegisterResult>,
    pub(super) runs: Vec<ZeroRun>,
    pub(super) regions: Vec<RegionId>,
}

impl Spare {
    /// Commands of one message that there is always memory for.
    const COMMANDS: usize = 16;

    pub(super) fn new() -> Self {
        Self {
            requested: Vec::with_capacity(Self::COMMANDS),
            results: Vec::with_capacity(Self::COMMANDS),
            runs: Vec::with_capacity(Self::COMMANDS),
            regions: Vec::with_capacity(Self::COMMANDS),
        }
    }

    /// The memory of `used`, to be used again.
    pub(super) fn emptied<T>(mut used: Vec<T>) -> Vec<T> {
        used.clear();
        used.shrink_to(Self::COMMANDS);
        used
    }
}

/// A RAM block of the destination, as its owner places it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PlacedBlock {
    /// Virtual address of its first byte.
    pub host_address: HostAddress,
    /// Its start in the destination's RAM address space. Any number will do that does not make the
    /// block wrap around, zero for all blocks included: sources only add to it.
    pub ram_address: RamAddress,
    /// Its length in bytes, at least 1 and the same as at the source.
    pub length: u64,
}

impl Destination {
    pub(super) const fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Serving)
    }

    pub(super) const fn close_step(&self) -> Option<CloseStep> {
        match &self.phase {
            Phase::Closing(close) => Some(close.step),
            _ => None,
        }
    }

    /// Runs that the transport is setting to zero.
    pub(super) const fn zeroing(&self) -> usize {
        match &self.command {
            Command::Zero { unanswered, .. } => *unanswered,
            _ => 0,
        }
    }

    /// The waits that are under way. A destination never waits for READY, a reply, writes or a
    /// farewell.
    pub(super) fn waits(&self) -> Waits {
        let open = !matches!(self.phase, Phase::Closing(_));
        let step = self.close_step();
        let releasing = matches!(step, Some(CloseStep::Release | CloseStep::ReleaseRest));
        let registering = (open || releasing) && self.grants.ledger().unanswered() > 0;
        let zeroing = (open || step == Some(CloseStep::Release)) && self.zeroing() > 0;
        let error_leaves = matches!(step, Some(CloseStep::SendError | CloseStep::ErrorOnItsWay));
        Waits::default()
            .with(TimeoutReason::Connection, matches!(self.phase, Phase::Accepting { .. }))
            .with(TimeoutReason::Command, self.is_connected() && self.serve.command_due())
            .with(TimeoutReason::Send, self.is_connected() && !self.sends.is_empty())
            .with(TimeoutReason::Registration, registering)
            .with(TimeoutReason::Memory, zeroing)
            .with(TimeoutReason::ErrorSent, error_leaves)
            .with(TimeoutReason::Disconnection, step == Some(CloseStep::Disconnecting))
    }
}
