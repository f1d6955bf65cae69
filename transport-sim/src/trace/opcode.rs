//! The packets that a migration uses.

use core::fmt;

/// What a packet is: the operation code of its base transport header.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Opcode {
    /// First packet of a SEND that takes several.
    SendFirst,
    /// A packet of a SEND that is neither first nor last.
    SendMiddle,
    /// Last packet of a SEND that takes several.
    SendLast,
    /// A SEND of one packet.
    SendOnly,
    /// First packet of an RDMA WRITE that takes several.
    WriteFirst,
    /// A packet of an RDMA WRITE that is neither first nor last.
    WriteMiddle,
    /// Last packet of an RDMA WRITE that takes several.
    WriteLast,
    /// An RDMA WRITE of one packet.
    WriteOnly,
    /// An acknowledgement or a refusal.
    Acknowledge,
    /// A datagram of connection management.
    Management,
}

impl Opcode {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::SendFirst,
        Self::SendMiddle,
        Self::SendLast,
        Self::SendOnly,
        Self::WriteFirst,
        Self::WriteMiddle,
        Self::WriteLast,
        Self::WriteOnly,
        Self::Acknowledge,
        Self::Management,
    ];

    /// The number in the header.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::SendFirst => 0x00,
            Self::SendMiddle => 0x01,
            Self::SendLast => 0x02,
            Self::SendOnly => 0x04,
            Self::WriteFirst => 0x06,
            Self::WriteMiddle => 0x07,
            Self::WriteLast => 0x08,
            Self::WriteOnly => 0x0a,
            Self::Acknowledge => 0x11,
            Self::Management => 0x64,
        }
    }

    /// The opcode of a packet of a SEND, by its place in the message.
    pub(super) const fn send(first: bool, last: bool) -> Self {
        match (first, last) {
            (true, true) => Self::SendOnly,
            (true, false) => Self::SendFirst,
            (false, false) => Self::SendMiddle,
            (false, true) => Self::SendLast,
        }
    }

    /// The opcode of a packet of an RDMA WRITE, by its place in the message.
    pub(super) const fn write(first: bool, last: bool) -> Self {
        match (first, last) {
            (true, true) => Self::WriteOnly,
            (true, false) => Self::WriteFirst,
            (false, false) => Self::WriteMiddle,
            (false, true) => Self::WriteLast,
        }
    }
}

impl fmt::Display for Opcode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::SendFirst => "SEND first",
            Self::SendMiddle => "SEND middle",
            Self::SendLast => "SEND last",
            Self::SendOnly => "SEND only",
            Self::WriteFirst => "WRITE first",
            Self::WriteMiddle => "WRITE middle",
            Self::WriteLast => "WRITE last",
            Self::WriteOnly => "WRITE only",
            Self::Acknowledge => "acknowledge",
            Self::Management => "connection management",
        })
    }
}
