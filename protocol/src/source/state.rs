//! Where a source is in the migration, and what it waits for there.

use alloc::vec::Vec;

use super::Source;
use crate::address::{HostAddress, RamAddress};
use crate::connection::{Close, CloseStep};
use crate::deadline::{TimeoutReason, Waits};
use crate::transport::RegionId;
use crate::wire::RegisterRequest;

/// The phases of a migration at its source, in order.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Phase {
    /// Before `connect`.
    Idle,
    /// The connection is to be opened.
    Connect,
    /// The connection is being opened.
    Connecting,
    /// Stream bytes flow.
    Stream,
    /// The RAM blocks are being exchanged.
    Blocks {
        /// Whether the request has been sent.
        requested: bool,
        /// Whether the result has been received.
        answered: bool,
        /// Blocks of our own that are still to be pinned, from this one on.
        pin_next: u32,
    },
    /// RAM is being written.
    Round {
        /// Whether the owner has given everything.
        finishing: bool,
    },
    /// The last bytes of the stream are to leave or on their way.
    Finish,
    /// Everything has arrived; the destination may disconnect first.
    Farewell,
    /// The connection is being closed, or has been.
    Closing(Close),
}

/// How far the guest has moved.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Handover {
    Kept,
    /// The last message of the stream is on its way.
    Undecided,
    Given,
}

/// A RAM block of the destination.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct RemoteBlock {
    /// Where WRITEs go. Each registration result gives it anew.
    pub(super) address: HostAddress,
    /// What commands name it by.
    pub(super) ram_address: RamAddress,
}

/// The command whose reply is due.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Asked {
    Nothing,
    /// `ours_next`: of the regions asked for, the first whose own registration is not ordered.
    Register {
        ours_next: usize,
    },
    /// `evicted`: it gives way to another, of our own accord.
    Unregister {
        region: RegionId,
        evicted: bool,
    },
}

/// What the source has asked the destination to register, in the order of the requests.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Requested {
    pub(super) requests: Vec<RegisterRequest>,
    pub(super) regions: Vec<RegionId>,
    /// The destination has answered no more than the first of several.
    pub(super) one_at_a_time: bool,
}

impl Requested {
    /// Allocates all that messages of so many requests will ever need.
    pub(super) fn reserve(&mut self, requests: usize) {
        self.requests.reserve_exact(requests);
        self.regions.reserve_exact(requests);
    }
}

impl Source {
    /// Whether messages can be exchanged.
    pub(super) const fn is_connected(&self) -> bool {
        match self.phase {
            Phase::Idle | Phase::Connect | Phase::Connecting | Phase::Closing(_) => false,
            Phase::Stream
            | Phase::Blocks { .. }
            | Phase::Round { .. }
            | Phase::Finish
            | Phase::Farewell => true,
        }
    }

    pub(super) const fn close_step(&self) -> Option<CloseStep> {
        match &self.phase {
            Phase::Closing(close) => Some(close.step),
            _ => None,
        }
    }

    /// The waits that are under way. A source never waits for a command.
    pub(super) fn waits(&self) -> Waits {
        let open = !matches!(self.phase, Phase::Closing(_));
        let step = self.close_step();
        let reply_due = self.exchange.reply_due().is_some();
        let ready_due = self.is_connected() && !self.exchange.may_send() && !reply_due;
        let releasing = matches!(step, Some(CloseStep::Release | CloseStep::ReleaseRest));
        let registering = (open || releasing) && self.keys.ledger().unanswered() > 0;
        let scanning = (open || step == Some(CloseStep::Release)) && self.queue.scanning() > 0;
        let error_leaves = matches!(step, Some(CloseStep::SendError | CloseStep::ErrorOnItsWay));
        Waits::default()
            .with(TimeoutReason::Connection, matches!(self.phase, Phase::Connecting))
            .with(TimeoutReason::Ready, ready_due && self.has_command())
            .with(TimeoutReason::Reply, open && reply_due)
            .with(TimeoutReason::Send, open && !self.sends.is_empty())
            .with(TimeoutReason::Write, open && !self.writes.is_idle())
            .with(TimeoutReason::Registration, registering)
            .with(TimeoutReason::Memory, scanning)
            .with(TimeoutReason::Farewell, matches!(self.phase, Phase::Farewell))
            .with(TimeoutReason::ErrorSent, error_leaves)
            .with(TimeoutReason::Disconnection, step == Some(CloseStep::Disconnecting))
    }

    /// Whether a command is to be sent as soon as there is a READY.
    fn has_command(&self) -> bool {
        match &self.phase {
            Phase::Idle | Phase::Connect | Phase::Connecting | Phase::Closing(_) => false,
            Phase::Stream | Phase::Finish => self.outgoing.due().is_some(),
            Phase::Blocks { requested, .. } => !requested,
            Phase::Round { finishing } => {
                !self.outgoing.is_empty() || self.round_has_command(*finishing)
            }
            Phase::Farewell => false,
        }
    }

    fn round_has_command(&self, finishing: bool) -> bool {
        let at_its_end = finishing && self.queue.front().is_none() && self.writes.is_idle();
        at_its_end || self.has_command_on_ram(finishing)
    }
}
