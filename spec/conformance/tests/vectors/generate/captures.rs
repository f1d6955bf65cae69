//! Whole migrations of real QEMU, read from the captures with the suite's own reader.

use std::fs::File;
use std::path::Path;

use rdma_migration_conformance::capture::connections::Connections;
use rdma_migration_conformance::capture::datagram::read_datagram;
use rdma_migration_conformance::capture::event::Event;
use rdma_migration_conformance::capture::file::{CaptureError, read_packets};
use rdma_migration_conformance::capture::infiniband::RemoteRange;
use rdma_migration_conformance::capture::{End, Stamp};
use rdma_migration_conformance::vectors::bytes::{Bytes, Hex, Part};
use rdma_migration_conformance::vectors::message::{read_capabilities, read_message};
use rdma_migration_conformance::vectors::reading::{Entry, Wide};
use rdma_migration_conformance::vectors::vector::{
    Accepted, Act, Case, Content, Dialogue, Expected, PrivateData, Side, Step, Vector, Verdict,
    Write,
};
use sha2::{Digest, Sha256};

use super::build::vector;

/// Longer stream messages are given by their digest.
const STREAM_BYTES_SHOWN: usize = 1024;
const HEADER_BYTES: usize = 16;

pub(super) fn dynamic() -> Vec<Vector> {
    let requirements = "CTL-20 CTL-22 BLK-11 REG-10 REG-17 WRITE-4 ZERO-10 STR-2 STR-3 RND-1";
    let title = "QEMU 7.2 with 64 MiB of RAM";
    vec![vector("CAP-V001", requirements, title, replayed("qemu-7.2-dynamic.pcap"))]
}

pub(super) fn pin_all() -> Vec<Vector> {
    let requirements = "CON-14 CTL-20 CTL-22 BLK-11 BLK-18 WRITE-1 WRITE-4 STR-2 STR-3 RND-1";
    let title = "QEMU 7.2 with 64 MiB of RAM, all of it pinned";
    vec![vector("CAP-V002", requirements, title, replayed("qemu-7.2-pin-all.pcap"))]
}

fn replayed(name: &str) -> Content {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../captures").join(name);
    let mut connections = Connections::default();
    let mut happenings = Vec::new();
    read_packets(File::open(path).unwrap(), |record| -> Result<(), CaptureError> {
        let stamp = Stamp { packet: record.number, time_us: None };
        if let Ok(datagram) = read_datagram(record.data) {
            happenings.extend(connections.take(stamp, &datagram));
        }
        Ok(())
    })
    .unwrap();
    happenings.extend(connections.end());
    let steps: Vec<_> =
        happenings.iter().filter_map(|happening| step(happening.from, &happening.event)).collect();
    let source_blocks = source_blocks(&steps);
    let verdict = Verdict::Accepted(Accepted::Accepted);
    Content::Dialogue(Dialogue { chunk_bytes: None, source_blocks, steps, verdict })
}

fn step(from: End, event: &Event) -> Option<Step> {
    let act = match event {
        Event::ConnectRequest(private_data, _) | Event::ConnectReply(private_data) => {
            let reading = read_capabilities(private_data).unwrap();
            let expected = Expected::Reading { reading };
            Act::Connect {
                input: PrivateData::PrivateData,
                hex: Hex(private_data.clone()),
                expected,
            }
        }
        Event::Message { message } => Act::Message(control(&message.bytes)),
        Event::Write(range) => {
            let RemoteRange { address, rkey, length } = (*range).unwrap();
            let write = Write { address: Wide(address), rkey, length: Wide(length.into()) };
            Act::Write { write }
        }
        _ => return None,
    };
    let from = if from == End::A { Side::Source } else { Side::Destination };
    Some(Step { from, act })
}

fn control(bytes: &[u8]) -> Case<rdma_migration_conformance::vectors::reading::MessageReading> {
    let reading = read_message(bytes).unwrap();
    let (header, payload) = bytes.split_at(HEADER_BYTES);
    let long = reading.kind == "QEMU_FILE" && payload.len() > STREAM_BYTES_SHOWN;
    let bytes = if long {
        let digest = Sha256::digest(payload);
        let sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let header = Part::Repeated { hex: Hex(header.to_vec()), times: 1 };
        Bytes::Parts { parts: vec![header, Part::Omitted { omitted: payload.len(), sha256 }] }
    } else {
        Bytes::whole(bytes)
    };
    Case { bytes, expected: Expected::Reading { reading } }
}

fn source_blocks(steps: &[Step]) -> Vec<Wide> {
    let lengths = |step: &Step| match &step.act {
        Act::Message(case) => {
            let reading = case.expected.reading().filter(|r| r.kind == "RAM_BLOCKS_RESULT")?;
            let length = |entry| match entry {
                Entry::RamBlock { length, .. } => Some(length),
                _ => None,
            };
            Some(reading.each_entry().filter_map(length).collect())
        }
        _ => None,
    };
    steps.iter().find_map(lengths).unwrap()
}
