//! Migrations that end too early make recordings that say so; writers that end too early, folders
//! that do.

use std::fs;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{BOTH_MODES, Guest, ended, live, open, recorded, tail, write};
use rdma_migration_conformance::receive::{Recorder, Wishes};
use rdma_migration_conformance::recording::{Limits, Recording, RecordingError, Writer};
use rdma_migration_conformance::send::Player;
use rdma_migration_protocol::connection::PinAllOffer;
use rdma_migration_protocol::ram::ChunkSize;
use rdma_migration_transport_sim::{Backing, Fabric, FabricConfig, FinalOwner, Pair, Side};

#[test]
fn a_source_that_leaves_before_the_end_of_its_stream_makes_an_incomplete_recording() {
    for pin_all in BOTH_MODES {
        let mut guest = Guest::default();
        guest.tail.truncate(guest.tail.len() - 1);
        let (folder, pair) = recorded(&guest, pin_all, Wishes::default());
        let failure = pair.destination_owner.failure().unwrap();
        assert!(failure.starts_with("the source left after"), "{failure}");
        let recording = open(folder.path());
        let error = recording.require_complete().unwrap_err().to_string();
        assert!(error.contains("incomplete: the source left after"), "{error}");
        assert_eq!(recording.stream(), pair.destination_owner.stream());
        assert_eq!(recording.manifest().blocks.len(), 4);
    }
}

#[test]
fn a_stream_without_a_description_is_complete_only_for_who_says_so() {
    let guest = Guest { tail: tail(None), ..Guest::default() };
    let (folder, pair) = recorded(&guest, PinAllOffer::Never, Wishes::default());
    let failure = pair.destination_owner.failure().unwrap();
    assert!(failure.contains("--accept-no-vmdesc"), "{failure}");
    assert!(open(folder.path()).require_complete().is_err());
    let wishes = Wishes { accept_no_vm_description: true, ..Wishes::default() };
    let (folder, pair) = recorded(&guest, PinAllOffer::Never, wishes);
    assert_eq!(pair.destination_owner.failure(), None);
    let recording = open(folder.path());
    recording.require_complete().unwrap();
    assert!(!recording.manifest().vm_description);
}

#[test]
fn without_an_end_marker_no_stream_is_complete() {
    let mut cut = tail(None);
    cut.pop();
    cut.push(0x7e);
    let guest = Guest { tail: cut, ..Guest::default() };
    let wishes = Wishes { accept_no_vm_description: true, ..Wishes::default() };
    let pair = ended(&guest, PinAllOffer::Never, wishes);
    let failure = pair.destination_owner.failure().unwrap();
    assert!(failure.starts_with("the source left after"), "{failure}");
}

#[test]
fn a_recorder_interrupted_in_the_middle_leaves_the_guest_to_the_source() {
    for steps in [1, 20, 60, 200] {
        let interrupted = Arc::new(AtomicBool::new(false));
        let mut pair = live(&Guest::default(), PinAllOffer::Never, Wishes::default());
        pair.destination_owner = Recorder::new(Wishes::default(), Arc::clone(&interrupted), ());
        for _ in 0..steps {
            assert!(pair.step().unwrap());
        }
        interrupted.store(true, Ordering::Relaxed);
        pair.fabric.rouse(Side::Destination);
        pair.run().unwrap();
        assert!(pair.destination_owner.was_interrupted(), "{steps} steps");
        assert_eq!(pair.destination_owner.failure().as_deref(), Some("interrupted"));
        assert_eq!(pair.final_owner(), FinalOwner::Source);
        let folder = tempfile::tempdir().unwrap();
        write(&mut pair, folder.path());
        let error = open(folder.path()).require_complete().unwrap_err().to_string();
        assert!(error.ends_with("incomplete: interrupted"), "{error}");
    }
}

#[test]
fn a_player_interrupted_in_the_middle_keeps_the_guest() {
    let folder = crate::support::usual();
    let recording = open(folder.path());
    let mut fabric = Fabric::new(FabricConfig::default());
    recording.load(&mut fabric.port(Side::Source), |_| ControlFlow::Continue(())).unwrap();
    let (interrupted, never) = (Arc::new(AtomicBool::new(false)), Arc::default());
    let player = Player::new(&recording, Arc::clone(&interrupted), ());
    let recorder = Recorder::new(Wishes::default(), never, ());
    let source = crate::support::source(PinAllOffer::Never);
    let mut pair = Pair::new(fabric, source, player, crate::support::destination(), recorder);
    for _ in 0..60 {
        assert!(pair.step().unwrap());
    }
    interrupted.store(true, Ordering::Relaxed);
    pair.fabric.rouse(Side::Source);
    pair.run().unwrap();
    assert_eq!(pair.source_owner.failure().as_deref(), Some("interrupted"));
    assert_eq!(pair.final_owner(), FinalOwner::Source);
    assert!(pair.destination_owner.failure().is_some());
}

#[test]
fn a_destination_with_other_blocks_is_told_and_the_player_says_why() {
    use rdma_migration_transport_sim::plain::PlainDestination;
    let folder = crate::support::usual();
    let recording = open(folder.path());
    let mut fabric = Fabric::new(FabricConfig::default());
    recording.load(&mut fabric.port(Side::Source), |_| ControlFlow::Continue(())).unwrap();
    fabric.port(Side::Destination).add_block(Backing::zeroed(4096));
    let player = Player::new(&recording, Arc::default(), ());
    let source = crate::support::source(PinAllOffer::Never);
    let other = PlainDestination::new(vec![4096], recording.stream().len());
    let mut pair = Pair::new(fabric, source, player, crate::support::destination(), other);
    pair.run().unwrap();
    let failure = pair.source_owner.failure().unwrap();
    assert!(failure.contains("1 RAM blocks, here are 4"), "{failure}");
}

#[test]
fn a_writer_that_vanishes_leaves_an_unfinished_folder() {
    let folder = tempfile::tempdir().unwrap();
    drop(Writer::create(folder.path()).unwrap());
    let error = Recording::open(folder.path(), &Limits::default()).unwrap_err();
    assert!(matches!(error, RecordingError::Unfinished { .. }), "{error}");
    // Even with everything else in place: the file is the last to go.
    let folder = crate::support::usual();
    fs::write(folder.path().join("UNFINISHED"), "").unwrap();
    let error = Recording::open(folder.path(), &Limits::default()).unwrap_err();
    assert!(matches!(error, RecordingError::Unfinished { .. }), "{error}");
}

#[test]
fn a_recording_that_cannot_be_written_stays_unfinished() {
    let folder = tempfile::tempdir().unwrap();
    let writer = Writer::create(folder.path()).unwrap();
    fs::create_dir(folder.path().join("ram-01")).unwrap();
    let mut pair = ended(&Guest::default(), PinAllOffer::Never, Wishes::default());
    let port = pair.fabric.port(Side::Destination);
    let written = pair
        .destination_owner
        .write(writer, &port, ChunkSize::default(), None, |_| ControlFlow::Continue(()));
    let error = written.unwrap_err().to_string();
    assert!(error.contains("ram-01: cannot create"), "{error}");
    let error = Recording::open(folder.path(), &Limits::default()).unwrap_err();
    assert!(matches!(error, RecordingError::Unfinished { .. }), "{error}");
}

#[test]
fn a_recording_takes_only_an_empty_folder_and_gives_it_back() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("recording");
    Writer::create(&inner).unwrap().withdraw().unwrap();
    assert!(!inner.exists());
    Writer::create(folder.path()).unwrap().withdraw().unwrap();
    fs::write(folder.path().join("something"), "").unwrap();
    let error = Writer::create(folder.path()).unwrap_err();
    assert!(matches!(error, RecordingError::NotEmpty { .. }), "{error}");
    let error = Writer::create(&folder.path().join("no/such/place")).unwrap_err();
    assert!(error.to_string().contains("cannot make the folder"), "{error}");
}
