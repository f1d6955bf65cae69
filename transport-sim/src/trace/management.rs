//! The datagrams of connection management.

use super::frame::Node;
use crate::fabric::Management;

/// The well-known key of the queue pair that takes these datagrams.
const QUEUE_KEY: u32 = 0x8001_0000;
/// The queue pair that takes them.
pub(super) const MANAGEMENT_QUEUE_PAIR: u32 = 1;
/// Bytes of each datagram.
const DATAGRAM_BYTES: usize = 256;
/// In front of the port in the service number of a TCP-like port space.
const SERVICE_PREFIX: u32 = 0x0106;
/// Reads and atomics that a source lets its peer have under way, and the other way round. As QEMU.
const INITIATOR_DEPTH: u8 = 2;
/// Path maximum transfer unit of 4096 bytes.
const PATH_MTU_CODE: u8 = 5;
const RETRY_COUNT: u8 = 5;
/// 4.096 us x 2^20.
const RESPONSE_TIMEOUT_CODE: u8 = 20;
/// 4.096 us x 2^19.
const ACKNOWLEDGE_TIMEOUT_CODE: u8 = 19;
const REASON_INVALID_SERVICE: u16 = 8;
const REASON_CONSUMER: u16 = 28;
const NO_LOCAL_IDENTIFIER: u16 = 0xffff;

/// What all datagrams of one connection share.
#[derive(Clone, Debug)]
pub(super) struct Conversation {
    pub(super) transaction: u64,
    pub(super) flow_label: u32,
    pub(super) service_port: u16,
    pub(super) source_port: u16,
}

/// What a datagram says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Datagram<'a> {
    /// With private data, as are replies.
    Request(&'a [u8]),
    Reply(&'a [u8]),
    ReadyToUse,
    Reject {
        by_consumer: bool,
    },
    DisconnectRequest,
    DisconnectReply,
}

impl<'a> From<&'a Management> for Datagram<'a> {
    fn from(message: &'a Management) -> Self {
        match message {
            Management::Request(data) => Self::Request(data),
            Management::Reply(data) => Self::Reply(data),
            Management::ReadyToUse => Self::ReadyToUse,
            Management::Reject { by_consumer } => Self::Reject { by_consumer: *by_consumer },
            Management::DisconnectRequest => Self::DisconnectRequest,
            Management::DisconnectReply => Self::DisconnectReply,
        }
    }
}

/// The extended header in front of the datagram.
pub(super) fn extension() -> [u8; 8] {
    let mut header = [0; 8];
    let (key, queue_pair) = header.split_at_mut(4);
    key.copy_from_slice(&QUEUE_KEY.to_be_bytes());
    queue_pair.copy_from_slice(&MANAGEMENT_QUEUE_PAIR.to_be_bytes());
    header
}

/// The datagram that says `message`.
pub(super) fn datagram(
    message: &Datagram<'_>,
    conversation: &Conversation,
    from: &Node,
    to: &Node,
) -> Vec<u8> {
    let mut bytes = header(attribute(message), conversation);
    match message {
        Datagram::Request(data) => request(&mut bytes, conversation, from, to, data),
        Datagram::Reply(data) => reply(&mut bytes, from, to, data),
        Datagram::ReadyToUse | Datagram::DisconnectReply => identify(&mut bytes, from, to),
        Datagram::DisconnectRequest => {
            identify(&mut bytes, from, to);
            bytes.extend_from_slice(&(to.queue_pair << 8).to_be_bytes());
        }
        Datagram::Reject { by_consumer } => {
            identify(&mut bytes, from, to);
            let reason = if *by_consumer { REASON_CONSUMER } else { REASON_INVALID_SERVICE };
            // That it answers a request, and that no further information follows.
            bytes.extend_from_slice(&[0, 0]);
            bytes.extend_from_slice(&reason.to_be_bytes());
        }
    }
    bytes.resize(DATAGRAM_BYTES, 0);
    bytes
}

const fn attribute(message: &Datagram<'_>) -> u16 {
    match message {
        Datagram::Request(_) => 0x0010,
        Datagram::Reject { .. } => 0x0012,
        Datagram::Reply(_) => 0x0013,
        Datagram::ReadyToUse => 0x0014,
        Datagram::DisconnectRequest => 0x0015,
        Datagram::DisconnectReply => 0x0016,
    }
}

fn header(attribute: u16, conversation: &Conversation) -> Vec<u8> {
    // Base version, management class, class version, method "send"; status, class specific.
    let mut bytes = vec![1, 7, 2, 3, 0, 0, 0, 0];
    bytes.extend_from_slice(&conversation.transaction.to_be_bytes());
    bytes.extend_from_slice(&attribute.to_be_bytes());
    bytes.extend_from_slice(&[0; 6]);
    bytes
}

fn identify(bytes: &mut Vec<u8>, from: &Node, to: &Node) {
    bytes.extend_from_slice(&from.communication.to_be_bytes());
    bytes.extend_from_slice(&to.communication.to_be_bytes());
}

fn request(bytes: &mut Vec<u8>, conversation: &Conversation, from: &Node, to: &Node, data: &[u8]) {
    bytes.extend_from_slice(&from.communication.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    let service = (u64::from(SERVICE_PREFIX) << 16) | u64::from(conversation.service_port);
    bytes.extend_from_slice(&service.to_be_bytes());
    bytes.extend_from_slice(&adapter(from));
    bytes.extend_from_slice(&[0; 8]);
    // Each number of 24 bits shares its word with a byte; a source lets its peer read nothing.
    word(bytes, from.queue_pair, 0);
    word(bytes, 0, INITIATOR_DEPTH);
    word(bytes, 0, RESPONSE_TIMEOUT_CODE << 3);
    // The number of the first packet that the peer is to send.
    word(bytes, to.first_packet, (RESPONSE_TIMEOUT_CODE << 3) | RETRY_COUNT);
    bytes.extend_from_slice(&[0xff, 0xff, PATH_MTU_CODE << 4, 0xf0]);
    bytes.extend_from_slice(&NO_LOCAL_IDENTIFIER.to_be_bytes());
    bytes.extend_from_slice(&NO_LOCAL_IDENTIFIER.to_be_bytes());
    bytes.extend_from_slice(&group_identifier(from));
    bytes.extend_from_slice(&group_identifier(to));
    bytes.extend_from_slice(&(conversation.flow_label << 12).to_be_bytes());
    // Traffic class, hop limit, service level, acknowledgement timeout.
    bytes.extend_from_slice(&[0, 64, 0, ACKNOWLEDGE_TIMEOUT_CODE << 3]);
    // There is no alternate path.
    bytes.extend_from_slice(&[0; 44]);
    // Addresses of the IP layer, in front of the program's own data: version 0, IP version 4.
    bytes.extend_from_slice(&[0, 0x40]);
    bytes.extend_from_slice(&conversation.source_port.to_be_bytes());
    for node in [from, to] {
        bytes.extend_from_slice(&[0; 12]);
        bytes.extend_from_slice(&node.ip);
    }
    bytes.extend_from_slice(data);
}

fn reply(bytes: &mut Vec<u8>, from: &Node, to: &Node, data: &[u8]) {
    identify(bytes, from, to);
    bytes.extend_from_slice(&[0; 4]);
    word(bytes, from.queue_pair, 0);
    word(bytes, 0, 0);
    word(bytes, to.first_packet, 0);
    // Responder resources, initiator depth, acknowledgement delay, no repetition without receive.
    bytes.extend_from_slice(&[INITIATOR_DEPTH, 0, 0x0f << 3, 0]);
    bytes.extend_from_slice(&adapter(from));
    bytes.extend_from_slice(data);
}

/// A number of 24 bits and a byte.
fn word(bytes: &mut Vec<u8>, number: u32, byte: u8) {
    bytes.extend_from_slice(&((number << 8) | u32::from(byte)).to_be_bytes());
}

/// The 64-bit identifier of an adapter, made of its Ethernet address.
fn adapter(node: &Node) -> [u8; 8] {
    let [a, b, c, d, e, f] = node.mac;
    [a ^ 2, b, c, 0xff, 0xfe, d, e, f]
}

/// The 128-bit identifier of a port, made of its IP address.
fn group_identifier(node: &Node) -> [u8; 16] {
    let [a, b, c, d] = node.ip;
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::frame::{Packet, Payload};
    use crate::trace::opcode::Opcode;

    /// A classic capture file: the header, then records of 16 bytes and the packet.
    const CAPTURE: &[u8] = include_bytes!("../../../spec/captures/qemu-7.2-dynamic.pcap");

    fn captured(number: usize) -> &'static [u8] {
        let mut rest = &CAPTURE[24..];
        for _ in 0..number {
            let length = u32::from_le_bytes(rest[8..12].try_into().unwrap());
            rest = &rest[16 + usize::try_from(length).unwrap()..];
        }
        let length = u32::from_le_bytes(rest[8..12].try_into().unwrap());
        &rest[16..16 + usize::try_from(length).unwrap()]
    }

    fn nodes() -> [Node; 2] {
        let node = |last, communication, first_packet, identification| Node {
            mac: [0x52, 0x54, 0, 0, 0, last],
            ip: [10, 0, 0, last],
            queue_pair: 0x11,
            communication,
            first_packet,
            identification,
        };
        [node(1, 0x47ca_a65b, 0x00e6_9ba8, 0xf0e8), node(2, 0xb74e_3ccd, 0x0061_d354, 0x7f20)]
    }

    fn frame(message: &Management, number: u32, from: &Node, to: &Node) -> Vec<u8> {
        let conversation = Conversation {
            transaction: 0x2_5ba6_ca47,
            flow_label: 0x9_f301,
            service_port: 4444,
            source_port: 0xd5bb,
        };
        let payload = datagram(&message.into(), &conversation, from, to);
        let packet = Packet {
            opcode: Opcode::Management,
            queue_pair: MANAGEMENT_QUEUE_PAIR,
            number,
            udp_source_port: 55410,
            acknowledge: true,
            extension: &extension(),
            payload: Payload::Bytes(&payload),
        };
        packet.frame(from, to).bytes
    }

    #[test]
    fn a_connection_is_made_with_the_bytes_that_a_real_one_was_made_with() {
        let [mut source, destination] = nodes();
        let capabilities = [0, 0, 0, 1, 0, 0, 0, 0];
        let request = Management::Request(capabilities);
        assert_eq!(frame(&request, 0, &source, &destination), captured(0));
        let reply = Management::Reply(capabilities);
        assert_eq!(frame(&reply, 0, &destination, &source), captured(1));
        source.identification = 0xf0ea;
        assert_eq!(frame(&Management::ReadyToUse, 1, &source, &destination), captured(2));
    }

    #[test]
    fn a_message_has_the_bytes_of_a_real_one_checksum_included() {
        let [source, mut destination] = nodes();
        let real = captured(3);
        destination.identification = u16::from_be_bytes([real[18], real[19]]);
        let packet = Packet {
            opcode: Opcode::SendOnly,
            queue_pair: 0x11,
            number: 0x0061_d354,
            udp_source_port: 62246,
            acknowledge: true,
            extension: &[],
            payload: Payload::Bytes(&real[54..70]),
        };
        assert_eq!(packet.frame(&destination, &source).bytes, real);
    }

    #[test]
    fn a_write_is_cut_but_keeps_its_length() {
        let [source, destination] = nodes();
        let packet = Packet {
            opcode: Opcode::WriteOnly,
            queue_pair: 0x11,
            number: 1,
            udp_source_port: 62246,
            acknowledge: true,
            extension: &[0; 16],
            payload: Payload::CutAway(4094),
        };
        let frame = packet.frame(&source, &destination);
        assert_eq!((frame.bytes.len(), frame.length), (70, 70 + 4096 + 4));
        assert_eq!(frame.bytes[43], 2 << 4);
    }
}
