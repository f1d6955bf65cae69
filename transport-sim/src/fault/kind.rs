//! What a fault is: where it strikes and what it does.

use core::time::Duration;

use rdma_migration_protocol::transport::TransportError;

use crate::queue_pair::Fate;
use crate::side::Side;

/// Where a fault strikes. Each site counts what passes it, from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Site {
    /// Connect requests of the source.
    ConnectRequest,
    /// Replies of the destination to them.
    ConnectReply,
    /// Connections, at the instant at which the source knows of them.
    Established,
    /// Sends that a side posts.
    Send(Side),
    /// Receives that a side posts.
    Receive(Side),
    /// Writes that the source posts.
    Write,
    /// Sends and writes of both sides, as they leave.
    Departure,
    /// Acknowledgements for a side.
    Acknowledgement(Side),
    /// The last send of the stream, as it leaves.
    LastSend,
    /// The acknowledgement of the last send of the stream.
    LastSendAcknowledgement,
    /// Registrations of a side.
    Registration(Side),
    /// Deregistrations of a side.
    Deregistration(Side),
    /// Scans of the source.
    Scan,
    /// Fills of the destination.
    Zero,
    /// All operations that a side's machine issues.
    Operation(Side),
}

/// How a message is spoilt by the program that sends it. (A link cannot do this unseen: every
/// packet carries a checksum.)
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Corruption {
    /// The kind is one that does not exist.
    Kind,
    /// The length in the header is one more than what follows.
    Length,
    /// The second half is missing.
    Truncated,
    /// The repeat is one more than any message may have.
    Repeat,
}

/// What a fault does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Effect {
    /// The address cannot be resolved.
    Unreachable,
    /// Nobody listens, or the port is closed.
    Refused,
    /// The message of connection management is never answered.
    Unanswered,
    /// The version in the private data becomes zero.
    VersionZero,
    /// The connection breaks: both sides learn it at once.
    DropConnection,
    /// The request has another fate; a receive has it once a message meets it.
    Fate(Fate),
    /// The message is spoilt.
    Corrupt(Corruption),
    /// The side's program sends ERROR that its machine did not order.
    InjectError,
    /// From here on the peer's program sees nothing of what the side sends.
    Silence,
    /// This transmission, or this acknowledgement, is lost.
    Lose,
    /// This transmission arrives twice.
    Duplicate,
    /// The link is cut both ways, for ever or for a while.
    CutLink(Option<Duration>),
    /// The link is cut for ever for what a side sends.
    CutLinkFrom(Side),
    /// The side's queue pair fails, its oldest request with this error.
    BreakQueuePair(TransportError),
    /// Work on memory fails, a post is not taken, or the connection cannot be made. The queue pair
    /// works on.
    Fail(TransportError),
    /// Work on memory takes that much longer.
    Slow(Duration),
    /// Nothing in the fabric: the side's owner asks for it and acts.
    AskedByOwner,
}

/// Whether a migration survives a fault.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Recovery {
    /// Yes: it costs time only.
    Recovered,
    /// It depends on the moment.
    Either,
    /// No: the migration ends with an error.
    Fails,
}

/// A fault that can be asked for by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FaultKind {
    /// Its name.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub description: &'static str,
    /// Whether a migration survives it.
    pub recovery: Recovery,
    /// The number of the operation at which it strikes where none is given, from 1.
    pub default_at: u64,
    pub(crate) site: Site,
    pub(crate) effect: Effect,
}

impl FaultKind {
    /// Whether a side may have to end with regions left: its host does not give them back in time.
    #[must_use]
    pub fn may_leave_regions(&self) -> bool {
        matches!((self.site, self.effect), (Site::Deregistration(_), Effect::Slow(extra)) if extra >= TOO_LONG)
    }
}

/// No side waits as long for its own host, where the guest is small.
const TOO_LONG: Duration = Duration::from_secs(600);
