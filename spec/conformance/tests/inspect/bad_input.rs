//! Files that are damaged, hostile, or no captures at all.

use std::num::NonZeroU64;

use proptest::prelude::*;
use rdma_migration_conformance::capture::file::{CaptureError, RECORD_BYTES_MAX};
use rdma_migration_conformance::inspect::{Format, Options, inspect};

use crate::real_captures::capture;
use crate::support::file::{pcap, pcapng};
use crate::support::{Link, Report, Trace, text_of};

fn trace() -> Trace {
    let mut trace = Trace::default();
    Link::default().set_up(&mut trace, 0);
    trace
}

fn damage(file: &[u8]) -> String {
    Report::of(file).outcome.damage.expect("the file is damaged").to_string()
}

#[test]
fn what_is_no_capture_is_refused() {
    assert_eq!(damage(&[]), "the file is empty");
    assert_eq!(
        damage(b"GET / HTTP/1.1\r\n"),
        "not a pcap or pcapng capture: the file begins with 47 45 54 20"
    );
    assert_eq!(damage(&pcap(&trace())[..23]), "cut short in the file header, at offset 23");
    assert_eq!(
        damage(&pcapng(&trace(), false)[..20]),
        "cut short in the file header, at offset 20"
    );
}

#[test]
fn a_capture_without_packets_holds_no_connection() {
    let report = Report::of(&pcap(&Trace::default()));
    assert_eq!((report.outcome.packets, report.outcome.connections), (0, 0));
    assert!(report.outcome.damage.is_none());
}

#[test]
fn what_comes_before_the_damage_is_reported() {
    let trace = trace();
    let whole = Report::of_trace(&trace);
    let file = pcap(&trace);
    let cut = Report::of(&file[..file.len() - 5]);
    let before = file.len() - 16 - trace.packets.last().unwrap().frame.len();
    let number = trace.packets.len();
    assert_eq!(
        cut.outcome.damage.unwrap().to_string(),
        format!("cut short in the record of packet {number}, which begins at offset {before}")
    );
    // The last packet is an acknowledgement, which makes no line.
    assert_eq!(cut.lines, whole.lines);
    assert!(text_of(&file[..file.len() - 5]).contains("Connection 1"));
}

#[test]
fn a_record_that_claims_too_much_is_refused_without_reading_it() {
    let mut file = pcap(&trace());
    file[24 + 8..24 + 12].copy_from_slice(&0xffff_fff0_u32.to_le_bytes());
    assert_eq!(
        damage(&file),
        format!("the record of packet 1 at offset 24 claims more than {RECORD_BYTES_MAX} bytes")
    );
}

#[test]
fn a_block_whose_lengths_disagree_is_refused() {
    let trace = trace();
    let mut file = pcapng(&trace, true);
    // The section, the interface and the unknown block come first.
    let packet = file.len()
        - trace
            .packets
            .iter()
            .map(|packet| 32 + packet.frame.len().next_multiple_of(4))
            .sum::<usize>();
    file[packet + 20..packet + 24].copy_from_slice(&0x1000_u32.to_be_bytes());
    let message = damage(&file);
    assert_eq!(
        message,
        format!("malformed record of packet 1 at offset {packet}: a length inside it exceeds it")
    );
    let mut file = pcapng(&trace, false);
    file[packet + 8] = 1;
    let message = damage(&file);
    assert!(message.contains("an interface that was not described"), "{message}");
}

#[test]
fn every_cut_of_the_real_captures_ends_cleanly() {
    for name in ["qemu-7.2-dynamic.pcap", "qemu-7.2-pin-all.pcap"] {
        let file = capture(name);
        let whole = Report::of(&file).lines;
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        for step in 0..1000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(step);
            let limit = u64::try_from(file.len()).unwrap();
            let length = usize::try_from((random >> 20) % limit).unwrap();
            let options = Options { format: Format::Json, ..Options::default() };
            let mut json = Vec::new();
            let outcome = inspect(&file[..length], &options, &mut json).unwrap();
            match outcome.damage {
                // A cut between two records cannot be told from the end of the file.
                None => assert!(length >= 24),
                Some(CaptureError::CutShort { offset, .. }) => {
                    assert!(offset < u64::try_from(length).unwrap());
                }
                Some(CaptureError::Empty | CaptureError::HeaderCutShort { .. }) => {
                    assert!(length < 24);
                }
                Some(CaptureError::NotACapture { .. }) => assert!(length < 4),
                Some(other) => panic!("{other}"),
            }
            let lines = json.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            let mut count = 0;
            for (line, expected) in lines.zip(&whole) {
                let line: serde_json::Value = serde_json::from_slice(line).unwrap();
                assert_eq!(&line, expected, "cut at {length}");
                count += 1;
            }
            assert!(count <= whole.len());
        }
    }
}

#[test]
fn more_connections_than_can_be_followed_are_noted() {
    let mut trace = Trace::default();
    for number in 0..300 {
        let mut link = Link {
            communication_id: 0x1000 + 2 * number,
            source_queue_pair: 0x1000 + number,
            destination_queue_pair: 0x2000 + number,
            ..Link::default()
        };
        link.set_up(&mut trace, 0);
    }
    let report = Report::of_trace(&trace);
    assert_eq!(report.outcome.connections, 256);
    assert_eq!(report.deviations(), [] as [&str; 0]);
    let notes = &report.outcome.notes;
    assert!(notes[0].ends_with("not read: more than 256 connections"), "{notes:?}");
}

fn inspect_both_ways(file: &[u8]) {
    for format in [Format::Text, Format::Json] {
        let options = Options { format, colour: true, chunk_bytes: NonZeroU64::MIN };
        let mut report = Vec::new();
        inspect(file, &options, &mut report).unwrap();
        assert!(String::from_utf8(report).is_ok());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn arbitrary_changes_to_a_real_capture_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..400),
    ) {
        let mut file = capture("qemu-7.2-dynamic.pcap");
        for (place, value) in changes {
            // Behind the header of the file, and mostly inside packets.
            let place = 24 + place.index(file.len() - 24);
            file[place] = value;
        }
        inspect_both_ways(&file);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_bytes_never_panic(
        magic in prop::sample::select(vec![
            [0xd4, 0xc3, 0xb2, 0xa1],
            [0xa1, 0xb2, 0x3c, 0x4d],
            [0x34, 0xcd, 0xb2, 0xa1],
            [0x0a, 0x0d, 0x0d, 0x0a],
        ]),
        bytes in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        inspect_both_ways(&bytes);
        inspect_both_ways(&[&magic, bytes.as_slice()].concat());
    }

    #[test]
    fn arbitrary_changes_to_a_capture_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
        as_pcapng in any::<bool>(),
    ) {
        let trace = trace();
        let mut file = if as_pcapng { pcapng(&trace, false) } else { pcap(&trace) };
        for (place, value) in changes {
            let place = place.index(file.len());
            file[place] = value;
        }
        inspect_both_ways(&file);
    }

    #[test]
    fn arbitrary_changes_inside_packets_never_panic(
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()),
            1..60,
        ),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let mut trace = trace();
        for (packet, place, value) in changes {
            let count = trace.packets.len();
            let frame = &mut trace.packets[packet.index(count)].frame;
            // Behind the UDP header, so that the packet is read at all.
            let place = 42 + place.index(frame.len() - 42);
            frame[place] = value;
        }
        for index in order {
            let again = trace.packets[index.index(trace.packets.len())].clone();
            trace.packets.push(again);
        }
        inspect_both_ways(&pcap(&trace));
    }

    #[test]
    fn arbitrary_messages_never_panic(
        messages in prop::collection::vec(
            (any::<bool>(), 0..14_u32, 0..3_u32, prop::collection::vec(any::<u8>(), 0..100)),
            0..40,
        ),
        near in any::<bool>(),
    ) {
        use rdma_migration_conformance::codec::Kind;
        use crate::support::{Destination, Source, message};
        let mut trace = Trace::default();
        let mut link = Link::default();
        link.set_up(&mut trace, 0);
        link.hook(&mut trace);
        for (from_source, kind, repeat, mut payload) in messages {
            if near {
                // Small numbers are more likely to be valid indices and addresses.
                payload.iter_mut().for_each(|byte| *byte &= 1);
            }
            let from = if from_source { Source } else { Destination };
            link.send_bytes(&mut trace, from, &message(Kind::from_number(kind), repeat, &payload));
        }
        inspect_both_ways(&pcap(&trace));
    }
}
