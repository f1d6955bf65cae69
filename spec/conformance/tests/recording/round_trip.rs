//! A migration is recorded, and the recording is the migration again.

use std::fs;
use std::ops::ControlFlow;

use crate::support::{
    BOTH_MODES, Guest, MIB, PAGE, findings, memory, open, played, recorded, write,
};
use rdma_migration_conformance::receive::Wishes;
use rdma_migration_conformance::recording::{Inspection, Run};
use rdma_migration_protocol::connection::PinAllOffer;
use rdma_migration_transport_sim::Side;

fn run(block: u32, offset: u64, length: u64, zero: bool) -> Run {
    Run { block, offset, length, zero }
}

#[test]
fn what_was_recorded_arrives_again_byte_for_byte_in_both_pin_modes() {
    for recorded_with in BOTH_MODES {
        let guest = Guest::default();
        let (folder, mut first) = recorded(&guest, recorded_with, Wishes::default());
        assert_eq!(findings(&mut first), [""; 0]);
        assert_eq!(first.destination_owner.failure(), None);
        let ram = memory(&mut first, Side::Source, 4);
        assert_eq!(ram, memory(&mut first, Side::Destination, 4));
        let recording = open(folder.path());
        recording.require_complete().unwrap();
        assert_eq!(recording.manifest().pin_all, recorded_with == PinAllOffer::Required);
        assert_eq!(recording.stream(), first.destination_owner.stream());
        for played_with in BOTH_MODES {
            let mut second = played(&recording, played_with);
            assert_eq!(findings(&mut second), [""; 0]);
            let player = &second.source_owner;
            assert_eq!((player.failure(), second.destination_owner.failure()), (None, None));
            assert!(second.source_owner.handed_over_at().is_some());
            assert_eq!(second.destination_owner.stream(), recording.stream());
            assert_eq!(memory(&mut second, Side::Destination, 4), ram);
            let again = tempfile::tempdir().unwrap();
            write(&mut second, again.path());
            let again = open(again.path());
            assert_eq!(again.manifest().blocks, recording.manifest().blocks);
            let rounds = |recording: &[rdma_migration_conformance::recording::Round]| {
                recording.iter().map(|round| round.stream_bytes).collect::<Vec<_>>()
            };
            assert_eq!(rounds(again.rounds()), rounds(recording.rounds()));
        }
    }
}

#[test]
fn each_round_has_what_it_brought() {
    let (folder, _) = recorded(&Guest::default(), PinAllOffer::Never, Wishes::default());
    let recording = open(folder.path());
    let [exchange, first, second] = recording.rounds() else { panic!("three rounds") };
    assert!(exchange.runs.is_empty() && exchange.looked_at);
    let mib = MIB as u64;
    assert_eq!(
        first.runs,
        [
            run(0, 0, mib + PAGE, false),
            run(0, mib + PAGE, mib - PAGE, true),
            // The page between came as zero, as it had been, and with the second round as it is.
            run(0, 2 * mib + PAGE, 2 * mib - PAGE, true),
            run(1, 0, 0x3000, false),
            run(2, 0, 5000, false),
            run(3, 0, 3192, true),
        ]
    );
    assert_eq!(
        second.runs,
        [run(0, 0x5000, 0x2000, false), run(0, 2 * mib, PAGE, false), run(1, PAGE, PAGE, true),]
    );
}

#[test]
fn a_recorder_that_does_not_look_puts_all_ram_into_one_round() {
    let wishes = Wishes { looking_percent: 0, ..Wishes::default() };
    let (folder, mut pair) = recorded(&Guest::default(), PinAllOffer::Never, wishes);
    let recording = open(folder.path());
    let rounds = recording.rounds();
    assert!(rounds.iter().all(|round| !round.looked_at));
    assert!(rounds[0].runs.is_empty() && rounds[2].runs.is_empty());
    let ram = memory(&mut pair, Side::Destination, 4);
    let mut second = played(&recording, PinAllOffer::Never);
    assert_eq!(memory(&mut second, Side::Destination, 4), ram);
}

#[test]
fn zero_runs_of_a_recording_are_found_again_and_cost_no_registration() {
    let (folder, _) = recorded(&Guest::default(), PinAllOffer::Never, Wishes::default());
    let mut pair = played(&open(folder.path()), PinAllOffer::Never);
    let statistics = pair.fabric.port(Side::Source).statistics().clone();
    assert_eq!(statistics.bytes_zero, 2 * MIB as u64 - PAGE + 3192);
    // One for two adjacent chunks of the first block, one for its third, one for each of two others.
    assert_eq!(statistics.registrations, 4);
}

#[test]
fn zero_pages_take_no_room_on_disk() {
    use std::os::unix::fs::MetadataExt;
    let mut guest = Guest::default();
    guest.blocks[0].1.resize(32 * MIB, 0);
    guest.rounds[0][0].2 = 32 * MIB as u64;
    let (folder, _) = recorded(&guest, PinAllOffer::Never, Wishes::default());
    let file = fs::metadata(folder.path().join("ram-00")).unwrap();
    assert_eq!(file.len(), 32 * MIB as u64);
    assert!(file.blocks() * 512 < 2 * MIB as u64, "{} blocks", file.blocks());
}

#[test]
fn an_inspection_tells_what_a_recording_is() {
    let (folder, _) = recorded(&Guest::default(), PinAllOffer::Never, Wishes::default());
    let inspection = Inspection::of(&open(folder.path()), |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(inspection.machine.as_deref(), Some("pc-i440fx-7.2"));
    let names: Vec<_> = inspection.blocks.iter().map(|block| &*block.name).collect();
    assert_eq!(names, ["pc.ram", "pc.bios", "odd", "rest"]);
    assert_eq!(inspection.blocks[0].zero_bytes, 3 * MIB as u64 - 2 * PAGE);
    assert_eq!(inspection.blocks[1].zero_bytes, PAGE);
    let [timer] = &*inspection.devices else { panic!("one device") };
    assert_eq!((&*timer.name, timer.instance), ("timer", 0));
    let at = usize::try_from(timer.offset.unwrap()).unwrap();
    assert_eq!(open(folder.path()).stream()[at..at + 11], *b"\x04\0\0\0\x07\x05timer");
}
