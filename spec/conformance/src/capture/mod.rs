//! From a capture file to what happened on each RDMA connection in it.
//!
//! [`mod@file`] yields packets of pcap and pcapng; [`datagram`] finds the RoCEv2 datagram in a packet;
//! [`infiniband`] and [`connection_manager`] read its headers; [`connections`] sorts packets into
//! connections, puts each side's requests back in order ([`sequence`]) and messages back together
//! ([`assembly`]), and yields what happened ([`event`]). Nothing here knows the migration protocol.

pub mod assembly;
mod connection;
pub mod connection_manager;
pub mod connections;
pub mod datagram;
pub mod event;
pub mod file;
pub mod infiniband;
pub mod sequence;

/// Which packet of the capture, and when.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stamp {
    /// Number of the packet in the file; the first is 1.
    pub packet: u64,
    /// Microseconds since the first packet; none where the file records no time.
    pub time_us: Option<i64>,
}

/// One end of a connection: A opened it, or, where that was not captured, sent the first packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// The one that opened the connection.
    A,
    /// The other one.
    B,
}

impl End {
    /// The end at the far side.
    #[must_use]
    pub fn peer(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// A value for each end of a connection.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Ends<T> {
    /// Of the end that opened the connection.
    pub a: T,
    /// Of the other end.
    pub b: T,
}

impl<T> Ends<T> {
    /// The value of this end.
    pub fn of(&self, end: End) -> &T {
        match end {
            End::A => &self.a,
            End::B => &self.b,
        }
    }

    /// The value of this end, to change it.
    pub fn of_mut(&mut self, end: End) -> &mut T {
        match end {
            End::A => &mut self.a,
            End::B => &mut self.b,
        }
    }
}
