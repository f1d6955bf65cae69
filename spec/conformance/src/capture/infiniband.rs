//! The InfiniBand transport headers.

use byteorder::{BigEndian, ByteOrder};

const BASE_HEADER_BYTES: usize = 12;
const DATAGRAM_HEADER_BYTES: usize = 8;
const REMOTE_HEADER_BYTES: usize = 16;
const IMMEDIATE_BYTES: usize = 4;
/// The invariant checksum behind every packet.
const CHECKSUM_BYTES: usize = 4;

/// Where a packet stands in a message of several.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Position {
    /// It begins the message.
    First,
    /// It is neither the first nor the last.
    Middle,
    /// It ends the message.
    Last,
    /// It is the whole message.
    Only,
}

impl Position {
    /// Whether a message begins here.
    #[must_use]
    pub fn begins(self) -> bool {
        matches!(self, Self::First | Self::Only)
    }

    /// Whether a message ends here.
    #[must_use]
    pub fn ends(self) -> bool {
        matches!(self, Self::Last | Self::Only)
    }
}

/// The memory that a WRITE names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RemoteRange {
    /// Virtual address at the receiver.
    pub address: u64,
    /// The key that gives access to it.
    pub rkey: u32,
    /// Bytes.
    pub length: u32,
}

/// How a receiver answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer {
    /// Everything up to this packet has arrived.
    Acknowledged,
    /// A packet was missing; everything before this one has arrived, and this one shall come again.
    OutOfSequence,
    /// No receive was posted for a SEND.
    ReceiverNotReady,
    /// The request was not valid.
    InvalidRequest,
    /// A key or address was refused.
    RemoteAccessError,
    /// The receiver failed.
    RemoteOperationalError,
}

/// What a packet does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Operation {
    /// A piece of a message to a posted receive.
    Send(Position),
    /// A piece of a write to remote memory; the range stands in the first, unless it was cut off.
    Write(Position, Option<RemoteRange>),
    /// An operation of a reliable connection that reads, compares, adds, carries immediate data
    /// or takes back a key.
    Other(&'static str),
    /// An answer to requests of the other direction; none when it was cut off.
    Answer(Option<Answer>),
    /// A datagram to the connection manager of the other host.
    Management,
    /// Something that belongs to no connection of ours.
    Foreign,
}

/// A packet of RoCEv2.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Packet<'a> {
    /// What it does.
    pub operation: Operation,
    /// The queue pair that it is sent to.
    pub destination_queue_pair: u32,
    /// Its packet sequence number, 24 bits.
    pub sequence_number: u32,
    /// What was captured of its payload.
    pub payload: &'a [u8],
    /// Bytes of payload that were sent.
    pub payload_bytes: usize,
}

/// The packet was cut off inside its base header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HeaderCutOff;

impl<'a> Packet<'a> {
    /// Reads the headers of a datagram of which `length` bytes were sent.
    ///
    /// # Errors
    /// When not even the base header was captured.
    pub fn read(datagram: &'a [u8], length: usize) -> Result<Self, HeaderCutOff> {
        let (base, rest) = datagram.split_first_chunk::<BASE_HEADER_BYTES>().ok_or(HeaderCutOff)?;
        let [opcode, flags, _, _, _, q1, q2, q3, _, s1, s2, s3] = *base;
        let (operation, header_bytes) = operation(opcode, rest);
        let pad_bytes = usize::from(flags >> 4 & 3);
        let overhead = BASE_HEADER_BYTES + header_bytes + pad_bytes + CHECKSUM_BYTES;
        let payload_bytes = length.saturating_sub(overhead);
        let captured = rest.get(header_bytes..).unwrap_or_default();
        Ok(Self {
            operation,
            destination_queue_pair: u32::from_be_bytes([0, q1, q2, q3]),
            sequence_number: u32::from_be_bytes([0, s1, s2, s3]),
            payload: captured.get(..payload_bytes).unwrap_or(captured),
            payload_bytes,
        })
    }
}

/// What the opcode says, and how many bytes of further headers it puts in front of the payload.
fn operation(opcode: u8, rest: &[u8]) -> (Operation, usize) {
    use Position::{First, Last, Middle, Only};
    let range = remote_range(rest);
    match opcode {
        0x00 => (Operation::Send(First), 0),
        0x01 => (Operation::Send(Middle), 0),
        0x02 => (Operation::Send(Last), 0),
        0x04 => (Operation::Send(Only), 0),
        0x03 | 0x05 => (Operation::Other("SEND with immediate data"), IMMEDIATE_BYTES),
        0x16 | 0x17 => (Operation::Other("SEND with invalidate"), IMMEDIATE_BYTES),
        0x06 => (Operation::Write(First, range), REMOTE_HEADER_BYTES),
        0x07 => (Operation::Write(Middle, None), 0),
        0x08 => (Operation::Write(Last, None), 0),
        0x0a => (Operation::Write(Only, range), REMOTE_HEADER_BYTES),
        0x09 => (Operation::Other("RDMA WRITE with immediate data"), IMMEDIATE_BYTES),
        0x0b => {
            let bytes = REMOTE_HEADER_BYTES + IMMEDIATE_BYTES;
            (Operation::Other("RDMA WRITE with immediate data"), bytes)
        }
        0x0c => (Operation::Other("RDMA READ"), REMOTE_HEADER_BYTES),
        0x13 | 0x14 => (Operation::Other("atomic operation"), 28),
        0x11 => (Operation::Answer(answer(rest)), 4),
        0x64 => (Operation::Management, DATAGRAM_HEADER_BYTES),
        _ => (Operation::Foreign, 0),
    }
}

fn remote_range(header: &[u8]) -> Option<RemoteRange> {
    let header = header.first_chunk::<REMOTE_HEADER_BYTES>()?;
    let (address, rest) = header.split_at(8);
    let (rkey, length) = rest.split_at(4);
    Some(RemoteRange {
        address: BigEndian::read_u64(address),
        rkey: BigEndian::read_u32(rkey),
        length: BigEndian::read_u32(length),
    })
}

fn answer(header: &[u8]) -> Option<Answer> {
    let syndrome = *header.first()?;
    match (syndrome >> 5 & 3, syndrome & 0x1f) {
        (0, _) => Some(Answer::Acknowledged),
        (1, _) => Some(Answer::ReceiverNotReady),
        (3, 0) => Some(Answer::OutOfSequence),
        (3, 1) => Some(Answer::InvalidRequest),
        (3, 2) => Some(Answer::RemoteAccessError),
        (3, _) => Some(Answer::RemoteOperationalError),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_ready_reads_right() {
        let mut datagram = vec![4, 0, 0xff, 0xff, 0, 0, 0, 0x11, 0x80, 0x61, 0xd3, 0x54];
        datagram.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0]);
        datagram.extend_from_slice(&[0xce, 0x4d, 0xfb, 0xe7]);
        let packet = Packet::read(&datagram, datagram.len()).unwrap();
        assert_eq!(packet.operation, Operation::Send(Position::Only));
        assert_eq!(packet.destination_queue_pair, 0x11);
        assert_eq!(packet.sequence_number, 0x61_d354);
        assert_eq!((packet.payload.len(), packet.payload_bytes), (16, 16));
    }

    #[test]
    fn a_write_whose_payload_was_cut_away_keeps_its_length() {
        let mut datagram = vec![6, 0, 0xff, 0xff, 0, 0, 0, 0x11, 0, 0xe6, 0x9b, 0xae];
        datagram.extend_from_slice(&0x7f41_90a0_0000_u64.to_be_bytes());
        datagram.extend_from_slice(&0x5f0_u32.to_be_bytes());
        datagram.extend_from_slice(&0x10_0000_u32.to_be_bytes());
        let packet = Packet::read(&datagram, 12 + 16 + 4096 + 4).unwrap();
        let range = RemoteRange { address: 0x7f41_90a0_0000, rkey: 0x5f0, length: 0x10_0000 };
        assert_eq!(packet.operation, Operation::Write(Position::First, Some(range)));
        assert_eq!((packet.payload.len(), packet.payload_bytes), (0, 4096));
    }

    #[test]
    fn pad_bytes_and_checksum_are_not_payload() {
        let mut datagram = vec![4, 0x10, 0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 0];
        datagram.extend_from_slice(b"abc\0cccc");
        let packet = Packet::read(&datagram, datagram.len()).unwrap();
        assert_eq!(packet.payload, b"abc");
    }

    #[test]
    fn answers_are_told_apart() {
        assert_eq!(answer(&[0x1f, 0, 0, 1]), Some(Answer::Acknowledged));
        assert_eq!(answer(&[0x2e, 0, 0, 1]), Some(Answer::ReceiverNotReady));
        assert_eq!(answer(&[0x60, 0, 0, 1]), Some(Answer::OutOfSequence));
        assert_eq!(answer(&[0x62, 0, 0, 1]), Some(Answer::RemoteAccessError));
        assert_eq!(answer(&[]), None);
    }
}
