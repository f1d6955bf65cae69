//! The rules of the control channel, written down once more, independent of the machines.

use rdma_migration_protocol::wire::Kind;
use rdma_migration_transport_sim::Side;

/// A rule that was broken, and how.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Violation {
    pub(crate) rule: Rule,
    pub(crate) how: &'static str,
}

/// Rules that are watched while a step is done; others are read off the state after it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Rule {
    /// No READY before the reply that it follows, and never two at once.
    ReadyFollowsReply,
    /// A SEND has a receive, a command has a READY.
    Credit,
    /// A write has a key that holds, for the place that it goes to.
    Keys,
    /// All writes of a round have completed before REGISTER_FINISHED.
    WritesComplete,
    /// The machines keep the contract of the transport.
    Contract,
    /// No machine panics.
    NoPanic,
}

/// The one READY that there is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
enum Credit {
    /// The destination may give it.
    #[default]
    Ungiven,
    /// On its way to the source.
    Given,
    /// The source may use it.
    Held,
    /// The command that uses it is on its way.
    Spent,
}

/// What the control channel has come to.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct ControlChannel {
    credit: Credit,
    /// The reply that the destination owes.
    reply_due: Option<Kind>,
}

impl ControlChannel {
    /// A side sends a message.
    pub(crate) fn sent(&mut self, from: Side, kind: Kind) -> Result<(), Violation> {
        let early = |how| Err(Violation { rule: Rule::ReadyFollowsReply, how });
        match (from, kind) {
            (_, Kind::Error) => {}
            (Side::Destination, Kind::Ready) if self.reply_due.is_some() => {
                return early("READY before the reply");
            }
            (Side::Destination, Kind::Ready) if self.credit != Credit::Ungiven => {
                return early("a second READY");
            }
            (Side::Destination, Kind::Ready) => self.credit = Credit::Given,
            (Side::Destination, reply) if self.reply_due == Some(reply) => self.reply_due = None,
            (Side::Destination, _) => return early("a reply that is not due"),
            (Side::Source, _) if self.credit != Credit::Held => {
                return Err(Violation { rule: Rule::Credit, how: "a command without READY" });
            }
            (Side::Source, _) => self.credit = Credit::Spent,
        }
        Ok(())
    }

    /// Whether the destination owes this reply.
    pub(crate) fn owes(&self, reply: Kind) -> bool {
        self.reply_due == Some(reply)
    }

    /// A side is told of a message.
    pub(crate) fn received(&mut self, by: Side, kind: Kind) {
        match (by, kind) {
            (Side::Source, Kind::Ready) => self.credit = Credit::Held,
            (Side::Source, _) | (Side::Destination, Kind::Error) => {}
            (Side::Destination, command) => {
                self.credit = Credit::Ungiven;
                self.reply_due = reply_to(command);
            }
        }
    }
}

/// The reply that a command has.
fn reply_to(command: Kind) -> Option<Kind> {
    match command {
        Kind::RamBlocksRequest => Some(Kind::RamBlocksResult),
        Kind::RegisterRequest => Some(Kind::RegisterResult),
        Kind::UnregisterRequest => Some(Kind::UnregisterFinished),
        _ => None,
    }
}
