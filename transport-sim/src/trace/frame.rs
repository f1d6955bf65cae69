//! One packet as bytes: Ethernet, IPv4, UDP, base transport header, what it carries, checksum.

use super::opcode::Opcode;

/// The UDP port of RoCE version 2.
const ROCE_PORT: u16 = 4791;

const ETHERNET_BYTES: usize = 14;
const IP_BYTES: usize = 20;
const UDP_BYTES: usize = 8;
const CHECKSUM_BYTES: usize = 4;
const ETHERTYPE_IPV4: u16 = 0x0800;
const DONT_FRAGMENT: u16 = 0x4000;
const TIME_TO_LIVE: u8 = 64;
const PROTOCOL_UDP: u8 = 17;
const DEFAULT_PARTITION: u16 = 0xffff;
const ACKNOWLEDGE_REQUEST: u8 = 0x80;

/// One host as it appears in packets.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) mac: [u8; 6],
    pub(super) ip: [u8; 4],
    /// 24 bits.
    pub(super) queue_pair: u32,
    /// Identifier in connection management.
    pub(super) communication: u32,
    /// Number of the first packet that it sends on the connection, 24 bits.
    pub(super) first_packet: u32,
    /// Counts its IP packets.
    pub(super) identification: u16,
}

/// A packet without its addresses.
#[derive(Clone, Debug)]
pub(super) struct Packet<'a> {
    pub(super) opcode: Opcode,
    /// Queue pair that it is for.
    pub(super) queue_pair: u32,
    /// Its number, 24 bits.
    pub(super) number: u32,
    pub(super) udp_source_port: u16,
    pub(super) acknowledge: bool,
    /// Extended headers, between the base transport header and the payload.
    pub(super) extension: &'a [u8],
    pub(super) payload: Payload<'a>,
}

/// What a packet carries.
#[derive(Clone, Copy, Debug)]
pub(super) enum Payload<'a> {
    /// Bytes.
    Bytes(&'a [u8]),
    /// So many bytes of guest memory, which a trace leaves out, with everything behind them.
    CutAway(u64),
}

impl Payload<'_> {
    fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => crate::memory::to_u64(bytes.len()),
            Self::CutAway(length) => *length,
        }
    }
}

/// A packet as a capture holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Frame {
    pub(super) bytes: Vec<u8>,
    /// Bytes on the link, of which the frame may hold fewer.
    pub(super) length: u64,
}

impl Packet<'_> {
    /// The packet from one host to another.
    pub(super) fn frame(&self, from: &Node, to: &Node) -> Frame {
        let pad = self.pad();
        let carried = self.payload.length() + u64::from(pad);
        let headers = ETHERNET_BYTES + IP_BYTES + UDP_BYTES + 12 + self.extension.len();
        let length = crate::memory::to_u64(headers + CHECKSUM_BYTES) + carried;

        let mut bytes = Vec::with_capacity(headers + CHECKSUM_BYTES + self.captured());
        bytes.extend_from_slice(&to.mac);
        bytes.extend_from_slice(&from.mac);
        bytes.extend_from_slice(&ETHERTYPE_IPV4.to_be_bytes());
        bytes.extend_from_slice(&ip_header(from, to, length));
        bytes.extend_from_slice(&self.udp_header(length));
        bytes.extend_from_slice(&self.base_transport_header(pad));
        bytes.extend_from_slice(self.extension);
        if let Payload::Bytes(payload) = self.payload {
            bytes.extend_from_slice(payload);
            bytes.extend(core::iter::repeat_n(0, usize::from(pad)));
            let checksum = invariant_checksum(&bytes);
            bytes.extend_from_slice(&checksum.to_le_bytes());
        }
        Frame { bytes, length }
    }

    fn captured(&self) -> usize {
        match self.payload {
            Payload::Bytes(bytes) => bytes.len() + 4,
            Payload::CutAway(_) => 0,
        }
    }

    /// Bytes that fill the payload up to a multiple of four.
    fn pad(&self) -> u8 {
        match self.payload.length() % 4 {
            0 => 0,
            1 => 3,
            2 => 2,
            _ => 1,
        }
    }

    fn udp_header(&self, frame_length: u64) -> [u8; UDP_BYTES] {
        let length = frame_length - crate::memory::to_u64(ETHERNET_BYTES + IP_BYTES);
        let [source_high, source_low] = self.udp_source_port.to_be_bytes();
        let [port_high, port_low] = ROCE_PORT.to_be_bytes();
        let [length_high, length_low] = to_u16(length).to_be_bytes();
        // RoCE leaves the UDP checksum out.
        [source_high, source_low, port_high, port_low, length_high, length_low, 0, 0]
    }

    fn base_transport_header(&self, pad: u8) -> [u8; 12] {
        let [partition_high, partition_low] = DEFAULT_PARTITION.to_be_bytes();
        let [_, q2, q1, q0] = self.queue_pair.to_be_bytes();
        let [_, n2, n1, n0] = self.number.to_be_bytes();
        let acknowledge = if self.acknowledge { ACKNOWLEDGE_REQUEST } else { 0 };
        let flags = pad << 4;
        let opcode = self.opcode.number();
        [opcode, flags, partition_high, partition_low, 0, q2, q1, q0, acknowledge, n2, n1, n0]
    }
}

fn ip_header(from: &Node, to: &Node, frame_length: u64) -> [u8; IP_BYTES] {
    let length = to_u16(frame_length - crate::memory::to_u64(ETHERNET_BYTES));
    let mut header = [0; IP_BYTES];
    let fields = [0x4500, length, from.identification, DONT_FRAGMENT];
    let [ttl_and_protocol] = [u16::from_be_bytes([TIME_TO_LIVE, PROTOCOL_UDP])];
    let [a, b, c, d] = from.ip;
    let [e, f, g, h] = to.ip;
    let addresses = [[a, b], [c, d], [e, f], [g, h]].map(u16::from_be_bytes);
    let words = fields.into_iter().chain([ttl_and_protocol, 0]).chain(addresses);
    let sum: u32 = words.clone().map(u32::from).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    let checksum = !to_u16(u64::from(folded));
    let words = words.enumerate().map(|(at, word)| if at == 5 { checksum } else { word });
    for (place, word) in header.as_chunks_mut::<2>().0.iter_mut().zip(words) {
        *place = word.to_be_bytes();
    }
    header
}

/// The checksum over what does not change on the way; what may change counts as ones.
fn invariant_checksum(frame: &[u8]) -> u32 {
    /// In the IP header: type of service, time to live, header checksum.
    const IP_MASKED: [usize; 4] = [1, 8, 10, 11];
    /// After the IP header: the UDP checksum, and a reserved byte of the base transport header.
    const AFTER_IP_MASKED: [usize; 3] = [6, 7, UDP_BYTES + 4];

    let covered = frame.iter().skip(ETHERNET_BYTES).enumerate().map(|(at, byte)| {
        let masked = match at.checked_sub(IP_BYTES) {
            None => IP_MASKED.contains(&at),
            Some(after) => AFTER_IP_MASKED.contains(&after),
        };
        if masked { 0xff } else { *byte }
    });
    // The place of a header that RoCE does not have.
    let absent = [0xff; 8];
    !absent.into_iter().chain(covered).fold(u32::MAX, crc32_step)
}

fn crc32_step(crc: u32, byte: u8) -> u32 {
    const TABLE: [u32; 256] = crc32_table();
    let [low, ..] = (crc ^ u32::from(byte)).to_le_bytes();
    (crc >> 8) ^ TABLE.get(usize::from(low)).copied().unwrap_or_default()
}

/// Table of the CRC-32 of Ethernet, least significant bit first.
const fn crc32_table() -> [u32; 256] {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    let mut table = [0; 256];
    let mut index = 0;
    let mut value: u32 = 0;
    while index < 256 {
        let mut crc = value;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
        value += 1;
    }
    table
}

/// Lengths of packets fit 16 bits by the path's maximum transfer unit.
fn to_u16(number: u64) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}
