//! The control messages of real migrations, out of the captures of the specification.

use rdma_migration_protocol::stream::setup;
use rdma_migration_protocol::wire::{Kind, Message};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes in front of the InfiniBand headers: Ethernet, IPv4, UDP.
const NETWORK_BYTES: usize = 14 + 20 + 8;
const BASE_HEADER_BYTES: usize = 12;
const CHECKSUM_BYTES: usize = 4;

/// Last byte of the IPv4 address that the captures' source has.
const SOURCE: u8 = 1;

const SEND_FIRST: u8 = 0x00;
const SEND_MIDDLE: u8 = 0x01;
const SEND_LAST: u8 = 0x02;
const SEND_ONLY: u8 = 0x04;

/// The bytes of every SEND with the last byte of its sender's address, without retransmissions.
fn sends(file: &str) -> Vec<(u8, Vec<u8>)> {
    let path = format!("{}/../spec/captures/{file}", env!("CARGO_MANIFEST_DIR"));
    let capture = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut sends = Vec::new();
    let mut seen = BTreeSet::new();
    let mut fragments: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
    let mut records = &capture[24..];
    while !records.is_empty() {
        let captured = u32::from_le_bytes(records[8..12].try_into().unwrap());
        let (packet, rest) = records[16..].split_at(usize::try_from(captured).unwrap());
        records = rest;
        if packet.get(12..14) != Some(&[0x08, 0x00]) || packet[23] != 17 {
            continue;
        }
        let sender = packet[29];
        let base_header = &packet[NETWORK_BYTES..][..BASE_HEADER_BYTES];
        let opcode = base_header[0];
        let pad_bytes = usize::from(base_header[1] >> 4 & 3);
        let sequence_number = &base_header[9..12];
        let is_send = matches!(opcode, SEND_FIRST | SEND_MIDDLE | SEND_LAST | SEND_ONLY);
        if !is_send || !seen.insert((sender, sequence_number)) {
            continue;
        }
        let end = packet.len() - CHECKSUM_BYTES - pad_bytes;
        let message = fragments.entry(sender).or_default();
        message.extend(&packet[NETWORK_BYTES + BASE_HEADER_BYTES..end]);
        if matches!(opcode, SEND_LAST | SEND_ONLY) {
            sends.push((sender, std::mem::take(message)));
        }
    }
    sends
}

/// Parses every message, checks that it is written again as it was, and counts the kinds.
fn counts(file: &str) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for (_, received) in sends(file) {
        let message = Message::parse(&received).unwrap_or_else(|error| panic!("{error}"));
        let mut sent = vec![0; message.encoded_len()];
        message.encode(&mut sent).unwrap();
        let mut expected = received.clone();
        for index in undefined_bytes(message.kind()) {
            expected[index] = sent[index];
        }
        assert!(sent == expected, "{}", message.kind());
        *counts.entry(message.kind().name()).or_default() += 1;
    }
    counts
}

/// Padding, and the `repeat` that QEMU 7.2 does not set.
fn undefined_bytes(kind: Kind) -> Vec<usize> {
    match kind {
        Kind::QemuFile => (8..16).collect(),
        Kind::RegisterRequest => (12..16).chain(28..32).collect(),
        _ => (12..16).collect(),
    }
}

/// The stream bytes before `RAM_BLOCKS_REQUEST`.
fn stream_before_request(file: &str) -> Vec<u8> {
    let mut stream = Vec::new();
    for (sender, bytes) in sends(file) {
        match Message::parse(&bytes) {
            Ok(Message::QemuFile(part)) if sender == SOURCE => stream.extend(part),
            Ok(Message::RamBlocksRequest) => return stream,
            _ => {}
        }
    }
    panic!("{file} has no RAM_BLOCKS_REQUEST");
}

#[test]
fn every_message_of_a_dynamic_migration_is_read_and_written() {
    let expected = BTreeMap::from([
        ("READY", 245),
        ("QEMU_FILE", 107),
        ("COMPRESS", 95),
        ("REGISTER_FINISHED", 35),
        ("REGISTER_REQUEST", 7),
        ("REGISTER_RESULT", 7),
        ("RAM_BLOCKS_REQUEST", 1),
        ("RAM_BLOCKS_RESULT", 1),
    ]);
    assert_eq!(counts("qemu-7.2-dynamic.pcap"), expected);
}

#[test]
fn every_message_of_a_pin_all_migration_is_read_and_written() {
    let expected = BTreeMap::from([
        ("READY", 95),
        ("QEMU_FILE", 71),
        ("REGISTER_FINISHED", 23),
        ("RAM_BLOCKS_REQUEST", 1),
        ("RAM_BLOCKS_RESULT", 1),
    ]);
    assert_eq!(counts("qemu-7.2-pin-all.pcap"), expected);
}

#[test]
fn the_list_of_a_real_source_has_the_lengths_that_the_real_destination_answers() {
    for file in ["qemu-7.2-dynamic.pcap", "qemu-7.2-pin-all.pcap"] {
        let stream = stream_before_request(file);
        let setup = setup::ram_blocks(&stream).unwrap();
        assert_eq!(setup.machine.and_then(|name| name.as_str()), Some("pc-i440fx-7.2"));
        assert_eq!((setup.unsupported, setup.unread), (vec![], None));
        let names: Vec<_> = setup.blocks.iter().filter_map(|block| block.name.as_str()).collect();
        let expected = [
            "pc.ram",
            "/rom@etc/acpi/tables",
            "pc.bios",
            "pc.rom",
            "/rom@etc/table-loader",
            "/rom@etc/acpi/rsdp",
        ];
        assert_eq!(names, expected);

        let sends = sends(file);
        let answered = sends.iter().find_map(|(_, bytes)| match Message::parse(bytes) {
            Ok(Message::RamBlocksResult(blocks)) => Some(blocks),
            _ => None,
        });
        let answered: Vec<_> = answered.unwrap().iter().map(|block| block.length).collect();
        let listed: Vec<_> = setup.blocks.iter().map(|block| block.length).collect();
        assert_eq!(listed, answered);
        assert_eq!(listed[0], 64 << 20);
    }
}
