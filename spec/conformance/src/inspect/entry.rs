use std::fmt;
use std::net::IpAddr;

use super::deviation::Deviation;
use super::memory::Place;
use super::stream::Piece;
use crate::capture::event::Retransmitted;
use crate::capture::infiniband::RemoteRange;
use crate::capture::{Ends, Stamp};
use crate::codec::{Capabilities, Command, Header};

/// A side of a migration.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Role {
    /// Where the guest runs before.
    Source,
    /// Where it runs after.
    Destination,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Source => "source",
            Self::Destination => "destination",
        })
    }
}

/// One line of the report.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Entry {
    /// The packet that it is about.
    pub(super) stamp: Stamp,
    /// Number of the connection; the first is 1.
    pub(super) connection: usize,
    /// Who did it; none while it is not known which side is which.
    pub(super) from: Option<Role>,
    /// What was done.
    pub(super) body: Body,
}

/// What a line of the report says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Body {
    ConnectRequest {
        capabilities: Option<Capabilities>,
        ends: Option<Ends<IpAddr>>,
        port: Option<u16>,
        return_path: bool,
    },
    ConnectReply(Option<Capabilities>),
    ReadyToUse,
    Reject(u16),
    DisconnectRequest,
    DisconnectReply,
    Message(MessageEntry),
    Write {
        range: Option<RemoteRange>,
        place: Option<Place>,
    },
    Retransmission(Retransmitted),
    Deviation(Deviation),
    /// So many packets are not in the capture.
    Missing(u32),
    IncompleteMessage,
}

/// A control message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct MessageEntry {
    /// Its header; none when not even that was captured.
    pub(super) header: Option<Header>,
    /// Packets that carried it.
    pub(super) packets: u64,
    /// Bytes of it that were not captured.
    pub(super) missing_bytes: u64,
    /// What it carries.
    pub(super) content: Content,
}

/// What a control message carries.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Content {
    /// Nothing that could be shown.
    Nothing,
    /// A piece of the migration stream.
    Stream(Piece),
    /// Commands, each with the RAM that it is about.
    Commands(Vec<DescribedCommand>),
}

/// A command and the RAM that it is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct DescribedCommand {
    /// The command.
    pub(super) command: Command,
    /// Where in the guest's RAM.
    pub(super) place: Option<Place>,
    /// The name of the RAM block that the command describes.
    pub(super) name: Option<String>,
}
