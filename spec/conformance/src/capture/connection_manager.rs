//! The datagrams by which connections are made and ended.

use byteorder::{BigEndian, ByteOrder};

const HEADER_BYTES: usize = 24;
const CONNECTION_MANAGEMENT_CLASS: u8 = 7;
/// The addresses that RDMA CM puts in front of the application's private data in a ConnectRequest.
const IP_ADDRESSING_BYTES: usize = 36;
/// What the service number of a connection made by IP address begins with.
const IP_SERVICE: [u8; 5] = [0, 0, 0, 0, 1];

/// What one side asks for or grants when a connection is made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Offer {
    /// The queue pair of the sender.
    pub queue_pair: u32,
    /// The first packet sequence number that its receiver shall send.
    pub peer_sequence_number: u32,
    /// What was captured of the application's private data.
    pub private_data: Vec<u8>,
}

/// What a datagram of connection management says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// Asks for a connection.
    ConnectRequest {
        /// What the sender brings.
        offer: Offer,
        /// The port asked for; none when the service is not an IP port.
        port: Option<u16>,
    },
    /// Accepts the connection.
    ConnectReply(Offer),
    /// Confirms the acceptance.
    ReadyToUse,
    /// Refuses the connection, with a number that says why.
    ConnectReject(u16),
    /// Ends the connection.
    DisconnectRequest,
    /// Confirms the end.
    DisconnectReply,
}

/// A datagram of connection management.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Management {
    /// The number by which the sender knows the connection.
    pub local_id: u32,
    /// The number by which the receiver knows it; 0 in a ConnectRequest.
    pub remote_id: u32,
    /// What is to be done.
    pub action: Action,
}

impl Management {
    /// Reads a management datagram; none when it is of another kind, or cut off inside its fields.
    #[must_use]
    pub fn read(datagram: &[u8]) -> Option<Self> {
        let (header, data) = datagram.split_first_chunk::<HEADER_BYTES>()?;
        if header[1] != CONNECTION_MANAGEMENT_CLASS {
            return None;
        }
        let local_id = number(data, 0)?;
        let remote_id = number(data, 4)?;
        let action = match BigEndian::read_u16(&header[16..18]) {
            0x10 => return connect_request(data),
            0x12 => Action::ConnectReject(data.get(10..12).map(BigEndian::read_u16)?),
            0x13 => Action::ConnectReply(Offer {
                queue_pair: number(data, 12)? >> 8,
                peer_sequence_number: number(data, 20)? >> 8,
                private_data: data.get(36..).unwrap_or_default().to_vec(),
            }),
            0x14 => Action::ReadyToUse,
            0x15 => Action::DisconnectRequest,
            0x16 => Action::DisconnectReply,
            _ => return None,
        };
        Some(Self { local_id, remote_id, action })
    }
}

fn connect_request(data: &[u8]) -> Option<Management> {
    let service = data.get(8..16)?;
    let by_ip = service.starts_with(&IP_SERVICE);
    let private_data = data.get(140..232.min(data.len())).unwrap_or_default();
    let skipped = if by_ip { IP_ADDRESSING_BYTES } else { 0 };
    let offer = Offer {
        queue_pair: number(data, 32)? >> 8,
        peer_sequence_number: number(data, 44)? >> 8,
        private_data: private_data.get(skipped..).unwrap_or_default().to_vec(),
    };
    let port = by_ip.then(|| BigEndian::read_u16(&service[6..]));
    let action = Action::ConnectRequest { offer, port };
    Some(Management { local_id: number(data, 0)?, remote_id: 0, action })
}

fn number(data: &[u8], offset: usize) -> Option<u32> {
    data.get(offset..offset + 4).map(BigEndian::read_u32)
}

/// The words of the InfiniBand specification for why a connection was refused.
#[must_use]
pub fn reject_reason(number: u16) -> &'static str {
    match number {
        1 => "no queue pair available",
        3 => "no resources available",
        4 => "timeout",
        5 => "unsupported request",
        6 => "invalid communication ID",
        8 => "invalid service ID: nobody listens there",
        9 => "invalid transport service type",
        10 => "stale connection",
        13 => "invalid GID",
        24 => "primary path rejected",
        28 => "refused by the application",
        _ => "another reason",
    }
}
