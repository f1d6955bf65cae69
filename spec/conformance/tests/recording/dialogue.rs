//! What an observer counts and writes down is what its side does and is told.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use crate::support::{BOTH_MODES, destination, open, source, usual};
use rdma_migration_conformance::dialogue::{Dialogue, Side as Speaker};
use rdma_migration_conformance::observed::{Observed, Observer};
use rdma_migration_conformance::receive::{Recorder, Wishes};
use rdma_migration_conformance::send::Player;
use rdma_migration_conformance::transfer::Transfer;
use rdma_migration_protocol::connection::PinAllOffer;
use rdma_migration_protocol::transport::{Machine, turn};
use rdma_migration_transport_sim::{Fabric, FabricConfig, Side};
use serde_json::Value;

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn lines(&self) -> Vec<Value> {
        let bytes = self.0.lock().unwrap();
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
    }
}

/// A recording played on the simulator, with an observer at each side, which have written this.
fn observed(pin_all: PinAllOffer) -> ([Observer; 2], [Vec<Value>; 2], Transfer) {
    let folder = usual();
    let recording = open(folder.path());
    let mut fabric = Fabric::new(FabricConfig::default());
    let memory = &mut fabric.port(Side::Source);
    recording.load(memory, |_| ControlFlow::Continue(())).unwrap();
    let (mut source, mut destination) = (source(pin_all), destination());
    let mut player = Player::new(&recording, Arc::default(), ());
    let mut recorder = Recorder::new(Wishes::default(), Arc::default(), ());
    let written = [Shared::default(), Shared::default()];
    let [mut at_source, mut at_destination] = [Speaker::Source, Speaker::Destination]
        .into_iter()
        .zip(&written)
        .map(|(side, written)| Observer::new(Some(Dialogue::new(side, Box::new(written.clone())))))
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    while !(source.is_closed() && destination.is_closed()) {
        let inner = fabric.port(Side::Source);
        let mut port = Observed { inner, observer: &mut at_source };
        turn(&mut source, &mut port, &mut player);
        let inner = fabric.port(Side::Destination);
        let mut port = Observed { inner, observer: &mut at_destination };
        turn(&mut destination, &mut port, &mut recorder);
        let deadlines = [source.poll_timeout(), destination.poll_timeout()];
        let deadlines = deadlines.into_iter().flatten().map(|(at, _)| at);
        match deadlines.chain(fabric.next_event()).min() {
            Some(next) => fabric.advance(next),
            None => break,
        }
    }
    assert_eq!((player.failure(), recorder.failure()), (None, None));
    let statistics = at_source.statistics();
    assert_eq!(statistics, fabric.port(Side::Source).statistics());
    let transfer = Transfer::of(player.closed(), player.failure(), statistics);
    let lines = [written[0].lines(), written[1].lines()];
    ([at_source, at_destination], lines, transfer)
}

fn messages<'l>(lines: &'l [Value], from: &str) -> Vec<&'l Value> {
    let lines = lines.iter().filter(|line| line["event"] == "message" && line["from"] == from);
    lines.map(|line| &line["kind"]).collect()
}

fn count(lines: &[Value], event: &str) -> u64 {
    lines.iter().filter(|line| line["event"] == event).count() as u64
}

#[test]
fn both_sides_tell_the_same_messages_in_the_same_order() {
    for pin_all in BOTH_MODES {
        let (_, [source, destination], _) = observed(pin_all);
        assert_eq!(messages(&source, "source"), messages(&destination, "source"));
        let (heard, said) =
            (messages(&source, "destination"), messages(&destination, "destination"));
        // The last READY may come after the source has gone.
        assert!(said.starts_with(&heard) && said.len() - heard.len() <= 1);
        assert_eq!(heard[0], "READY");
        let first =
            |lines: &[Value]| lines.iter().position(|line| line["event"] == "connect_reply");
        assert!(first(&source).is_some() && first(&destination).is_some());
    }
}

#[test]
fn the_dialogue_has_every_write_registration_and_command() {
    let (_, [source, destination], transfer) = observed(PinAllOffer::Never);
    assert_eq!(count(&source, "write"), transfer.writes);
    assert_eq!(count(&source, "registered"), transfer.registrations);
    assert_eq!(count(&destination, "registered"), transfer.registrations);
    assert_eq!(count(&source, "deregistered"), transfer.registrations);
    let zero: u64 = destination
        .iter()
        .filter(|line| line["event"] == "zero")
        .map(|line| line["length"].as_u64().unwrap())
        .sum();
    assert_eq!(zero, transfer.bytes_zero);
    let blocks = source.iter().find(|line| line["kind"] == "RAM_BLOCKS_RESULT").unwrap();
    assert_eq!(blocks["commands"][1]["length"], 0x3000);
    assert!(source.is_sorted_by_key(|line| line["time_us"].as_u64()));
}

#[test]
fn a_dialogue_that_cannot_be_written_is_reported_at_the_end() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut observer = Observer::new(Some(Dialogue::new(Speaker::Source, Box::new(Full))));
    let mut fabric = Fabric::new(FabricConfig::default());
    let mut source = source(PinAllOffer::Never);
    let mut port = Observed { inner: fabric.port(Side::Source), observer: &mut observer };
    let recording = open(usual().path());
    turn(&mut source, &mut port, &mut Player::new(&recording, Arc::default(), ()));
    assert_eq!(observer.finish().unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert!(Observer::default().finish().is_ok());
}

#[test]
fn a_report_says_who_owns_the_guest() {
    let (_, _, transfer) = observed(PinAllOffer::Required);
    assert!(transfer.completed && transfer.guest_owner == "destination");
    let mut text = Vec::new();
    transfer.write_text(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("completed: all of the guest has arrived"), "{text}");
    let failed = Transfer::of(None, Some("of a test".to_owned()), &Default::default());
    let mut text = Vec::new();
    Transfer { cause: Some("an\u{1b}[2Jescape".to_owned()), ..failed }
        .write_text(&mut text)
        .unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("failed: of a test") && !text.contains('\u{1b}'), "{text}");
    assert!(text.contains("owner of the guest: source"), "{text}");
}
