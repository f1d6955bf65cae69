//! Captures built packet by packet: framing, order, connections, and what is missing.

use rdma_migration_conformance::codec::{
    Capabilities, Command, Compress, Kind, RegisterRequest, RegisterResult,
};
use serde_json::json;

use crate::support::file::{PcapFormat, pcap_as, pcapng};
use crate::support::{
    BASE, Destination, Link, MIB, Report, Source, Trace, message, stream_set_up, text_of,
};

const PLAIN: Capabilities = Capabilities { version: 1, flags: 0 };
const NOTHING: [&str; 0] = [];

/// A whole small migration, with registration, a zero run and a stream of several packets.
fn migrate(link: &mut Link, trace: &mut Trace) {
    link.set_up(trace, 0);
    link.hook(trace);
    let address = 0x1000 + 3 * MIB;
    let request = RegisterRequest { address, block: 0, chunks: 0 };
    link.command(trace, Kind::RegisterRequest, &[Command::RegisterRequest(request)]);
    let result = RegisterResult { rkey: 0x55, host_address: BASE };
    link.send(trace, Destination, Kind::RegisterResult, &[Command::RegisterResult(result)]);
    link.write(trace, BASE + 3 * MIB, 0x55, 0x3000);
    let run = Compress { value: 0, block: 0, offset: 0x1000, length: MIB };
    link.command(trace, Kind::Compress, &[Command::Compress(run)]);
    link.command(trace, Kind::RegisterFinished, &[]);
    link.stream(trace, &[7; 10_001]);
    link.disconnect(trace, Source);
}

fn whole_dialogue() -> Vec<&'static str> {
    vec![
        "destination READY",
        "source QEMU_FILE",
        "destination READY",
        "source RAM_BLOCKS_REQUEST",
        "destination RAM_BLOCKS_RESULT",
        "destination READY",
        "source REGISTER_FINISHED",
        "destination READY",
        "source QEMU_FILE",
        "destination READY",
        "source REGISTER_REQUEST",
        "destination REGISTER_RESULT",
        "destination READY",
        "source COMPRESS",
        "destination READY",
        "source REGISTER_FINISHED",
        "destination READY",
        "source QEMU_FILE",
    ]
}

fn assert_whole(report: &Report) {
    assert_eq!(report.deviations(), NOTHING);
    assert_eq!(report.dialogue(), whole_dialogue());
    assert_eq!(report.events("write").count(), 1);
    assert_eq!(report.events("disconnect").count(), 1);
    assert!(report.outcome.damage.is_none());
    assert_eq!(report.outcome.connections, 1);
}

#[test]
fn vlan_tags_and_both_versions_of_ip_are_looked_through() {
    let over_vlan = Link { vlans: vec![100], ..Link::default() };
    let over_ipv6 = Link {
        source: "2001:db8::1".parse().unwrap(),
        destination: "2001:db8::2".parse().unwrap(),
        ..Link::default()
    };
    let over_stacked_vlans = Link { vlans: vec![100, 200], ..over_ipv6.clone() };
    for mut link in [Link::default(), over_vlan, over_ipv6, over_stacked_vlans] {
        let mut trace = Trace::default();
        migrate(&mut link, &mut trace);
        assert_whole(&Report::of_trace(&trace));
    }
}

#[test]
fn every_file_format_gives_the_same_report() {
    let mut trace = Trace::default();
    migrate(&mut Link::default(), &mut trace);
    let expected = Report::of_trace(&trace);
    for big_endian in [false, true] {
        assert_eq!(Report::of(&pcapng(&trace, big_endian)).lines, expected.lines);
        for nanoseconds in [false, true] {
            let file = pcap_as(&trace, PcapFormat { big_endian, nanoseconds });
            assert_eq!(Report::of(&file).lines, expected.lines);
        }
    }
    let times: Vec<_> = expected.lines.iter().map(|line| line["time_us"].as_u64()).collect();
    assert_eq!(times.first(), Some(&Some(0)));
    assert_eq!(expected.lines[2]["packet"], 4);
    assert_eq!(times[2], Some(30));
}

#[test]
fn a_message_of_several_packets_is_one_message() {
    let mut trace = Trace::default();
    let mut link = Link { mtu: 1024, ..Link::default() };
    migrate(&mut link, &mut trace);
    let report = Report::of_trace(&trace);
    assert_whole(&report);
    let last = report.events("message").last().unwrap();
    assert_eq!(last["length"], 10_001);
    // READY, its acknowledgement, ten packets, their acknowledgement, and the two of the end.
    assert_eq!(last["packet"].as_u64().unwrap() + 3, report.outcome.packets);
}

#[test]
fn two_connections_at_once_are_told_apart() {
    let mut whole = Trace::default();
    let mut other = Trace::default();
    migrate(&mut Link::default(), &mut whole);
    // The same hosts, and the same numbers of queue pairs on the other side of each.
    let mut link = Link {
        port: 4445,
        source_queue_pair: 0x12,
        destination_queue_pair: 0x11,
        communication_id: 0x200,
        ..Link::default()
    };
    migrate(&mut link, &mut other);
    let mut trace = Trace::default();
    // The first one's reply comes before the second one's request, as in any two migrations.
    trace.packets.extend(whole.packets.drain(..10));
    let (first, second) = (whole.packets.into_iter(), other.packets.into_iter());
    let mut second = second.fuse();
    for packet in first {
        trace.packets.push(packet);
        trace.packets.extend(second.next());
    }
    trace.packets.extend(second);
    let report = Report::of_trace(&trace);
    assert_eq!(report.deviations(), NOTHING);
    assert_eq!(report.outcome.connections, 2);
    for connection in [1, 2] {
        let lines = report.lines.iter().filter(|line| line["connection"] == connection);
        let messages = lines.clone().filter(|line| line["event"] == "message");
        let kinds: Vec<_> = messages.map(|line| line["kind"].as_str().unwrap()).collect();
        let expected: Vec<_> =
            whole_dialogue().iter().map(|line| line.split_once(' ').unwrap().1).collect();
        assert_eq!(kinds, expected, "connection {connection}");
        assert_eq!(lines.filter(|line| line["event"] == "write").count(), 1);
    }
}

#[test]
fn a_packet_that_comes_again_is_shown_and_not_counted() {
    let mut trace = Trace::default();
    let mut link = Link::default();
    link.set_up(&mut trace, 0);
    let before = Report::of_trace(&trace);
    // The acknowledgement, and before it the last message.
    let again = trace.packets[trace.packets.len() - 2].clone();
    trace.packets.push(again);
    let request = trace.packets[0].clone();
    trace.packets.push(request);
    let report = Report::of_trace(&trace);
    assert_eq!(report.dialogue(), before.dialogue());
    assert_eq!(report.deviations(), NOTHING);
    assert_eq!(report.events("connect_request").count(), 1);
    let again: Vec<_> = report.events("retransmission").collect();
    assert_eq!(again.len(), 2);
    assert_eq!(again[0]["from"], "source");
}

#[test]
fn a_burst_of_packets_that_come_again_is_one_line_of_text_for_each_side() {
    let mut trace = Trace::default();
    let mut link = Link { mtu: 1024, ..Link::default() };
    link.set_up(&mut trace, 0);
    let first = trace.packets.len();
    link.stream(&mut trace, &[7; 5000]);
    let again = trace.packets[first..].to_vec();
    trace.packets.extend(again);
    let text = text_of(&crate::support::file::pcap(&trace));
    let lines: Vec<_> = text.lines().filter(|line| line.contains("(retransmission)")).collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[0].contains("S ◀── D") && lines[0].ends_with(" READY"), "{text}");
    assert!(lines[1].contains("S ──▶ D") && lines[1].ends_with(" QEMU_FILE"), "{text}");
    assert!(lines[2].ends_with(" piece of a message, 4 packets"), "{text}");
    assert!(text.contains("6 packets retransmitted"), "{text}");
}

#[test]
fn the_same_piece_from_both_sides_is_two_lines_of_text() {
    let mut trace = Trace::default();
    let mut link = Link::default();
    link.set_up(&mut trace, 0);
    let error = message(Kind::Error, 1, &[]);
    link.packet(&mut trace, Source, 0x04, &[], &error);
    link.packet(&mut trace, Destination, 0x04, &[], &error);
    let again = trace.packets[trace.packets.len() - 2..].to_vec();
    trace.packets.extend(again);
    let text = text_of(&crate::support::file::pcap(&trace));
    assert_eq!(text.matches("(retransmission)").count(), 2, "{text}");
}

#[test]
fn a_packet_lost_on_the_way_takes_its_place_when_it_is_sent_again() {
    let mut trace = Trace::default();
    let mut link = Link { mtu: 1024, ..Link::default() };
    link.set_up(&mut trace, 0);
    link.send(&mut trace, Destination, Kind::Ready, &[]);
    let first = trace.packets.len();
    link.send_payload(&mut trace, Source, Kind::QemuFile, &[7; 4000]);
    // Seen at the destination: the second packet is lost, the rest is refused, all come again.
    let lost = trace.packets.remove(first + 1);
    let acknowledgement = trace.packets.pop().unwrap();
    let again: Vec<_> = trace.packets[first + 1..].to_vec();
    trace.packets.push(lost);
    trace.packets.extend(again);
    trace.packets.push(acknowledgement);
    link.send(&mut trace, Destination, Kind::Ready, &[]);
    let report = Report::of_trace(&trace);
    assert_eq!(report.deviations(), NOTHING);
    assert_eq!(report.dialogue().last().unwrap(), "destination READY");
    assert_eq!(report.count("QEMU_FILE"), 2);
    assert_eq!(report.events("retransmission").count(), 2);
}

#[test]
fn packets_that_were_not_captured_leave_nobody_guilty() {
    let mut trace = Trace::default();
    let mut link = Link::default();
    migrate(&mut link, &mut trace);
    let whole = trace.packets.len();
    for missing in 3..whole - 3 {
        let mut trace = trace.clone();
        trace.packets.remove(missing);
        let report = Report::of_trace(&trace);
        assert_eq!(report.deviations(), NOTHING, "without packet {}", missing + 1);
    }
}

#[test]
fn a_message_cut_short_is_shown_as_far_as_it_goes() {
    let mut trace = Trace::default();
    let mut link = Link::default();
    link.set_up(&mut trace, 0);
    link.hook(&mut trace);
    let run = Compress { value: 0, block: 0, offset: 0x1000, length: MIB };
    link.command(&mut trace, Kind::Compress, &[Command::Compress(run)]);
    let index = trace.packets.len() - 2;
    let frame = &mut trace.packets[index].frame;
    frame.truncate(frame.len() - 4 - 10);
    let report = Report::of_trace(&trace);
    assert_eq!(report.deviations(), NOTHING);
    let message = report.events("message").last().unwrap();
    assert_eq!(message["kind"], "COMPRESS");
    assert_eq!(message["commands"], json!([]));
    let text = text_of(&crate::support::file::pcap(&trace));
    assert!(text.contains("(cut short: 10 bytes not captured)"), "{text}");
    // Cut off inside the header, not even the kind is known.
    trace.packets[index].frame.truncate(14 + 20 + 8 + 12 + 9);
    let report = Report::of_trace(&trace);
    assert_eq!(report.events("message").last().unwrap()["kind"], json!(null));
    // Cut off inside the base header, it is noted.
    trace.packets[index].frame.truncate(14 + 20 + 8 + 9);
    let report = Report::of_trace(&trace);
    assert!(report.outcome.notes[0].contains("1 packet not read: cut off"));
}

#[test]
fn without_connection_management_the_sides_are_inferred_and_that_is_said() {
    let mut trace = Trace::default();
    migrate(&mut Link::default(), &mut trace);
    trace.packets.drain(..3);
    let messages = trace.packets.len() - 2;
    trace.packets.truncate(messages);
    let report = Report::of_trace(&trace);
    assert_eq!(report.dialogue(), whole_dialogue());
    assert_eq!(report.deviations(), NOTHING);
    assert_eq!(report.outcome.connections, 1);
    assert!(report.outcome.notes[0].contains("not in the capture"), "{:?}", report.outcome.notes);
    // The stream begins in the capture, so the names are known all the same.
    let result = report.events("message").find(|line| line["kind"] == "RAM_BLOCKS_RESULT").unwrap();
    assert_eq!(result["commands"][0]["name"], "pc.ram");
    let text = text_of(&crate::support::file::pcap(&trace));
    assert!(text.contains("connection management not captured"), "{text}");
}

#[test]
fn a_capture_that_begins_in_the_middle_is_read_from_there() {
    let mut trace = Trace::default();
    migrate(&mut Link::default(), &mut trace);
    for first in 3..trace.packets.len() - 2 {
        let mut trace = trace.clone();
        trace.packets.drain(..first);
        let report = Report::of_trace(&trace);
        assert_eq!(report.deviations(), NOTHING, "from packet {}", first + 1);
    }
}

#[test]
fn a_refused_connection_is_reported() {
    let mut trace = Trace::default();
    let link = Link::default();
    link.connect_request(&mut trace, &PLAIN.encode());
    link.reject(&mut trace, 28);
    let report = Report::of_trace(&trace);
    let reject = report.events("reject").next().unwrap();
    assert_eq!((&reject["from"], &reject["connection"]), (&json!("destination"), &json!(1)));
    let text = text_of(&crate::support::file::pcap(&trace));
    assert!(text.contains("refused by the application (reason 28)"), "{text}");
}

#[test]
fn a_queue_pair_used_again_begins_a_new_connection() {
    let mut trace = Trace::default();
    for communication_id in [0x100, 0x200] {
        migrate(&mut Link { communication_id, ..Link::default() }, &mut trace);
    }
    let report = Report::of_trace(&trace);
    assert_eq!(report.deviations(), NOTHING);
    assert_eq!(report.outcome.connections, 2);
}

#[test]
fn on_the_return_path_the_destination_speaks() {
    let mut trace = Trace::default();
    let mut main = Link::default();
    let mut back = Link {
        source_queue_pair: 0x21,
        destination_queue_pair: 0x22,
        communication_id: 0x300,
        ..Link::default()
    };
    main.connect(&mut trace, PLAIN, PLAIN);
    back.connect(&mut trace, PLAIN, PLAIN);
    main.stream(&mut trace, &stream_set_up(&[("pc.ram", 16 * MIB)]));
    // Its first message needs no READY.
    back.send_payload(&mut trace, Destination, Kind::QemuFile, &[0, 2, 0, 4, 0, 0, 0, 1]);
    back.send(&mut trace, Source, Kind::Ready, &[]);
    let report = Report::of_trace(&trace);
    assert_eq!(report.deviations(), NOTHING);
    assert_eq!(report.outcome.connections, 2);
    let text = text_of(&crate::support::file::pcap(&trace));
    assert!(text.contains("Connection 2 (return path)"), "{text}");
}

#[test]
fn other_protocols_over_rdma_are_left_alone() {
    let mut trace = Trace::default();
    let mut link = Link::default();
    link.connect(&mut trace, PLAIN, PLAIN);
    link.send_bytes(&mut trace, Source, &[0x99; 64]);
    link.send_bytes(&mut trace, Destination, &[0x98; 16]);
    let report = Report::of_trace(&trace);
    assert_eq!(report.events("message").count(), 0);
    assert_eq!(report.deviations(), NOTHING);
    assert_eq!(report.outcome.notes, ["connection 1 carries another protocol"]);
}

#[test]
fn names_from_the_stream_cannot_control_the_terminal() {
    let mut trace = Trace::default();
    let mut link = Link::default();
    link.connect(&mut trace, PLAIN, PLAIN);
    link.stream(&mut trace, &stream_set_up(&[("\u{1b}[2J", 16 * MIB)]));
    link.command(&mut trace, Kind::RamBlocksRequest, &[]);
    let block = crate::support::ram_block(0);
    link.send(&mut trace, Destination, Kind::RamBlocksResult, &[block]);
    let text = text_of(&crate::support::file::pcap(&trace));
    assert!(text.contains("\\u{1b}[2J") && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn an_acknowledgement_tells_connections_apart_that_were_not_seen_to_begin() {
    let mut trace = Trace::default();
    let mut first = Link { source_sequence: 0x100, destination_sequence: 0x200, ..Link::default() };
    let mut second = Link {
        source_queue_pair: 0x21,
        destination_queue_pair: 0x22,
        source_sequence: 0x300,
        destination_sequence: 0x400,
        ..Link::default()
    };
    let ready = message(Kind::Ready, 1, &[]);
    first.packet(&mut trace, Destination, 0x04, &[], &ready);
    second.packet(&mut trace, Destination, 0x04, &[], &ready);
    second.answer(&mut trace, Source, 0x1f);
    first.answer(&mut trace, Source, 0x1f);
    first.send_payload(&mut trace, Source, Kind::QemuFile, b"first");
    second.send_payload(&mut trace, Source, Kind::QemuFile, b"second!");
    let report = Report::of_trace(&trace);
    assert_eq!(report.outcome.connections, 2);
    let lengths: Vec<_> = report
        .events("message")
        .filter(|line| line["kind"] == "QEMU_FILE")
        .map(|line| (line["connection"].as_u64().unwrap(), line["length"].as_u64().unwrap()))
        .collect();
    assert_eq!(lengths, [(1, 5), (2, 7)]);
}
