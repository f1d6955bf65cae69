//! What `inspect` says of two migrations between QEMU 7.2 processes.

use crate::support::{MIB, Report, text_of};
use serde_json::{Value, json};

pub(crate) fn capture(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../captures/");
    std::fs::read(format!("{folder}{name}")).unwrap()
}

fn counts(report: &Report) -> Vec<(&'static str, usize)> {
    [
        "READY",
        "QEMU_FILE",
        "RAM_BLOCKS_REQUEST",
        "RAM_BLOCKS_RESULT",
        "COMPRESS",
        "REGISTER_REQUEST",
        "REGISTER_RESULT",
        "REGISTER_FINISHED",
        "UNREGISTER_REQUEST",
        "UNREGISTER_FINISHED",
        "ERROR",
        "NONE",
    ]
    .into_iter()
    .map(|kind| (kind, report.count(kind)))
    .filter(|(_, count)| *count > 0)
    .collect()
}

fn blocks(report: &Report) -> Vec<(String, u64)> {
    let result = report.events("message").find(|line| line["kind"] == "RAM_BLOCKS_RESULT").unwrap();
    let commands = result["commands"].as_array().unwrap();
    let read = |block: &Value| {
        (block["name"].as_str().unwrap().to_owned(), block["length"].as_u64().unwrap())
    };
    commands.iter().map(read).collect()
}

fn blocks_of_the_guest() -> Vec<(String, u64)> {
    [
        ("pc.ram", 64 * MIB),
        ("/rom@etc/acpi/tables", 128 << 10),
        ("pc.bios", 256 << 10),
        ("pc.rom", 128 << 10),
        ("/rom@etc/table-loader", 4 << 10),
        ("/rom@etc/acpi/rsdp", 4 << 10),
    ]
    .into_iter()
    .map(|(name, length)| (name.to_owned(), length))
    .collect()
}

fn assert_negotiated(report: &Report, flags: u64) {
    for event in ["connect_request", "connect_reply"] {
        let connects: Vec<_> = report.events(event).collect();
        assert_eq!(connects.len(), 1, "{event}");
        assert_eq!(connects[0]["version"], 1);
        assert_eq!(connects[0]["flags"], flags);
    }
}

#[test]
fn dynamic_registration_is_read_message_by_message() {
    let report = Report::of(&capture("qemu-7.2-dynamic.pcap"));
    assert_eq!(
        counts(&report),
        [
            ("READY", 245),
            ("QEMU_FILE", 107),
            ("RAM_BLOCKS_REQUEST", 1),
            ("RAM_BLOCKS_RESULT", 1),
            ("COMPRESS", 95),
            ("REGISTER_REQUEST", 7),
            ("REGISTER_RESULT", 7),
            ("REGISTER_FINISHED", 35),
        ]
    );
    assert_eq!(report.events("message").count(), 498);
    assert_eq!(report.events("write").count(), 10);
    assert_eq!(report.events("retransmission").count(), 4);
    assert_eq!(report.events("disconnect").count(), 1);
    assert_negotiated(&report, 0);
    assert_eq!(blocks(&report), blocks_of_the_guest());
    assert_eq!(report.deviations(), [] as [&str; 0]);
    assert_eq!((report.outcome.packets, report.outcome.connections), (1900, 1));
    assert!(report.outcome.damage.is_none() && report.outcome.notes.is_empty());
}

#[test]
fn pin_all_is_read_message_by_message() {
    let report = Report::of(&capture("qemu-7.2-pin-all.pcap"));
    assert_eq!(
        counts(&report),
        [
            ("READY", 95),
            ("QEMU_FILE", 71),
            ("RAM_BLOCKS_REQUEST", 1),
            ("RAM_BLOCKS_RESULT", 1),
            ("REGISTER_FINISHED", 23),
        ]
    );
    assert_eq!(report.events("write").count(), 93);
    assert_eq!(report.events("retransmission").count(), 1);
    assert_negotiated(&report, 1);
    assert_eq!(blocks(&report), blocks_of_the_guest());
    assert_eq!(report.deviations(), [] as [&str; 0]);
    assert_eq!(report.outcome.packets, 17219);
    assert!(!text_of(&capture("qemu-7.2-pin-all.pcap")).contains("not in the capture"));
}

#[test]
fn every_line_has_the_keys_of_its_event() {
    let report = Report::of(&capture("qemu-7.2-dynamic.pcap"));
    for line in &report.lines {
        let mut keys = vec!["packet", "time_us", "connection", "from", "event"];
        keys.extend_from_slice(match line["event"].as_str().unwrap() {
            "connect_request" | "connect_reply" => &["version", "flags"],
            "message" => &["kind", "length", "repeat", "commands"],
            "write" => &["remote_address", "rkey", "length"],
            "disconnect" | "retransmission" => &[],
            other => panic!("{other}"),
        });
        let mut present: Vec<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
        present.sort_unstable();
        keys.sort_unstable();
        assert_eq!(present, keys);
    }
    let commands = |kind: &str| {
        let message = report.events("message").find(|line| line["kind"] == kind).unwrap();
        message["commands"][0].clone()
    };
    assert_eq!(
        commands("RAM_BLOCKS_RESULT"),
        json!({
            "block": 0, "name": "pc.ram", "remote_address": "0x7f4190a00000", "offset": 0,
            "length": 67_108_864, "rkey": 0
        })
    );
    let compress = json!({"value": 0, "block": 0, "offset": 1_048_576, "length": 4096});
    assert_eq!(commands("COMPRESS"), compress);
    let request = json!({"block": 0, "address": "0x0", "chunks": 0});
    assert_eq!(commands("REGISTER_REQUEST"), request);
    let result = json!({"rkey": 1520, "host_address": "0x7f4190a00000"});
    assert_eq!(commands("REGISTER_RESULT"), result);
    assert_eq!(
        report.events("write").next().unwrap(),
        &json!({
            "packet": 32, "time_us": 390_672, "connection": 1, "from": "source", "event": "write",
            "remote_address": "0x7f4190a00000", "rkey": 1520, "length": 1_048_576
        })
    );
}

#[test]
fn the_text_names_what_an_operator_looks_for() {
    let text = text_of(&capture("qemu-7.2-dynamic.pcap"));
    for expected in [
        "connect request                        10.0.0.1 to 10.0.0.2 port 4444, version 1, flags none",
        "stream 0 to 191, names 6 RAM blocks, 64.5 MiB, hook",
        "0  pc.ram                     64 MiB  at 0x7f4190a00000, RAM address 0x0",
        "S ──▶ D  COMPRESS                   24       1  pc.ram chunk 1, 4 KiB at 0x100000, all 0x00",
        "S ──▶ D  RDMA WRITE            1048576          pc.ram chunk 0, 1 MiB at 0x0, rkey 0x5f0",
        "S ◀── D  (retransmission)                       READY",
        "Connection 1: source 10.0.0.1, destination 10.0.0.2, port 4444",
        "  READY                                           245\n",
        "4 packets retransmitted, not counted above",
        "no deviation from the protocol",
    ] {
        assert!(text.contains(expected), "{expected:?} is missing");
    }
    assert!(!text.contains('\u{1b}'), "no colour unless asked for");
    assert!(!text.contains("not in the capture"), "every packet is there");
}
