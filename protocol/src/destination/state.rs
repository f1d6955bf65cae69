//! Where a destination is in the migration, and what it waits for there.

use alloc::vec::Vec;

use super::Destination;
use crate::address::{BlockIndex, BlockOffset, HostAddress, RamAddress};
use crate::connection::{Close, CloseStep, Negotiated};
use crate::deadline::TimeoutReason;
use crate::error::Error;
use crate::limits::PRIVATE_DATA_BYTES;
use crate::transport::RegionId;

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

    /// Whether a wait is under way.
    pub(super) fn waits_for(&self, reason: TimeoutReason) -> bool {
        let open = !matches!(self.phase, Phase::Closing(_));
        let step = self.close_step();
        let releasing = matches!(step, Some(CloseStep::Release | CloseStep::ReleaseRest));
        match reason {
            TimeoutReason::Connection => matches!(self.phase, Phase::Accepting { .. }),
            TimeoutReason::Command => self.is_connected() && self.serve.command_due(),
            TimeoutReason::Send => self.is_connected() && !self.sends.is_empty(),
            TimeoutReason::Registration => {
                (open || releasing) && self.grants.ledger().unanswered() > 0
            }
            TimeoutReason::Memory => {
                (open || step == Some(CloseStep::Release)) && self.zeroing() > 0
            }
            TimeoutReason::ErrorSent => {
                matches!(step, Some(CloseStep::SendError | CloseStep::ErrorOnItsWay))
            }
            TimeoutReason::Disconnection => step == Some(CloseStep::Disconnecting),
            TimeoutReason::Ready
            | TimeoutReason::Reply
            | TimeoutReason::Write
            | TimeoutReason::Farewell => false,
        }
    }
}
