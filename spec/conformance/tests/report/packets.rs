//! The packets of a dialogue are its messages, as another reader finds them.

use rdma_migration_conformance::capture::End;
use rdma_migration_conformance::capture::Stamp;
use rdma_migration_conformance::capture::connections::Connections;
use rdma_migration_conformance::capture::datagram::read_datagram;
use rdma_migration_conformance::capture::event::Event as Happened;
use rdma_migration_conformance::capture::file::{CaptureError, read_packets};
use rdma_migration_conformance::suite::evidence::capture;
use rdma_migration_conformance::suite::peers::Reference;
use rdma_migration_conformance::suite::transcript::Event;
use rdma_migration_conformance::suite::{Action, Case, Observation, Role, Transcript, cases};

use crate::support::session;

/// What the suite and its peer said to each other.
#[derive(Debug, Eq, PartialEq)]
enum Said {
    Connect(Vec<u8>),
    Message { by_source: bool, bytes: Vec<u8> },
    Write { address: u64, rkey: u32, length: u64 },
}

fn by_dialogue(case: &Case, dialogue: &Transcript) -> Vec<Said> {
    let suite_is_source = case.role == Role::Destination;
    let said = dialogue.0.iter().filter_map(|entry| match &entry.event {
        Event::Did(Action::Connect { private_data })
        | Event::Saw(Observation::Requested { private_data }) => {
            // Connection management delivers all of its area.
            let mut area = private_data.0.clone();
            area.resize(56, 0);
            Some(Said::Connect(area))
        }
        Event::Did(Action::Send { message }) => {
            Some(Said::Message { by_source: suite_is_source, bytes: message.0.clone() })
        }
        Event::Saw(Observation::Received { message }) => {
            Some(Said::Message { by_source: !suite_is_source, bytes: message.0.clone() })
        }
        Event::Did(Action::Write { remote_address, rkey, length, .. }) => {
            Some(Said::Write { address: *remote_address, rkey: *rkey, length: *length })
        }
        _ => None,
    });
    said.collect()
}

fn by_packets(bytes: &[u8]) -> Vec<Said> {
    let mut connections = Connections::default();
    let mut happenings = Vec::new();
    read_packets(bytes, |record| -> Result<(), CaptureError> {
        let stamp = Stamp { packet: record.number, time_us: None };
        happenings.extend(connections.take(stamp, &read_datagram(record.data).unwrap()));
        Ok(())
    })
    .unwrap();
    happenings.extend(connections.end());
    let said = happenings.into_iter().filter_map(|happening| match happening.event {
        Happened::ConnectRequest(data, _) => Some(Said::Connect(data)),
        Happened::Message { message } => {
            assert!(!message.is_cut());
            Some(Said::Message { by_source: happening.from == End::A, bytes: message.bytes })
        }
        Happened::Write(range) => {
            let range = range.unwrap();
            let (address, rkey) = (range.address, range.rkey);
            Some(Said::Write { address, rkey, length: u64::from(range.length) })
        }
        Happened::Missing(packets) => panic!("{packets} packets are missing"),
        Happened::Retransmission(again) => panic!("{again:?}"),
        _ => None,
    });
    said.collect()
}

#[test]
fn another_reader_finds_the_messages_of_the_dialogue_in_the_packets() {
    let mut found = 0;
    for case in cases::all() {
        let judged = session().judge(&mut Reference, case);
        let dialogue = judged.transcript.unwrap();
        let packets = capture(case.role, &dialogue).unwrap();
        let expected = by_dialogue(case, &dialogue);
        assert_eq!(by_packets(&packets), expected, "{}", case.id);
        found += expected.len();
    }
    assert!(found > 5_000, "{found}");
}
