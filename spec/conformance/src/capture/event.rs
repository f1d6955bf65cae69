//! What can happen on a connection.

use super::assembly::{Message, WrongWriteLength};
use super::infiniband::{Answer, RemoteRange};
use super::{End, Stamp};

/// Something that happened on a connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Happening {
    /// The packet that completed it.
    pub stamp: Stamp,
    /// Index of the connection, in the order in which they appear.
    pub connection: usize,
    /// Who did it.
    pub from: End,
    /// What happened.
    pub event: Event,
}

/// What can happen on a connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// A connection was asked for, with these private data, at this port.
    ConnectRequest(Vec<u8>, Option<u16>),
    /// The connection was accepted, with these private data.
    ConnectReply(Vec<u8>),
    /// The acceptance was confirmed.
    ReadyToUse,
    /// The connection was refused, with this reason.
    Reject(u16),
    /// One end ends the connection.
    DisconnectRequest,
    /// The other end agrees.
    DisconnectReply,
    /// A message arrived whole.
    Message {
        /// The message.
        message: Message,
    },
    /// A WRITE began; its range is not known when it was cut off or not captured.
    Write(Option<RemoteRange>),
    /// A WRITE ended, with another length than it had named.
    WrongWriteLength(WrongWriteLength),
    /// A WRITE was acknowledged after its sender had already sent a message behind it.
    LateAcknowledgement,
    /// An operation that the migration protocol does not use.
    OtherOperation(&'static str),
    /// The sender refuses a request of the other end.
    Refused(Answer),
    /// A packet came again.
    Retransmission(Retransmitted),
    /// So many packets of the sender are not in the capture.
    Missing(u32),
    /// A message has no beginning or no end in the capture.
    IncompleteMessage,
}

/// What a packet that came again carries.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Retransmitted {
    /// A piece of a SEND; when the message begins with it, its first bytes.
    Send(Option<Vec<u8>>),
    /// A piece of a WRITE.
    Write,
    /// Another operation.
    Other,
    /// A datagram of connection management.
    Management,
}
