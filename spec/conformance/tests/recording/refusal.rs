//! Sources that want what there is not, or too much of what there is, are refused in those words.

use crate::support::{Bytes, Guest, configuration, ended};
use rdma_migration_conformance::receive::Wishes;
use rdma_migration_conformance::recording::Limits;
use rdma_migration_protocol::connection::PinAllOffer;
use rdma_migration_transport_sim::FinalOwner;

/// Why the recorder refused this guest, which stays with its source.
fn refused(guest: &Guest, wishes: Wishes) -> String {
    let pair = ended(guest, PinAllOffer::Never, wishes);
    assert_eq!(pair.final_owner(), FinalOwner::Source);
    pair.destination_owner.failure().unwrap()
}

fn with_head(more: &[u8]) -> Guest {
    let head = Bytes(configuration("pc-q35-10.0")).put(more).0;
    Guest { head, ..Guest::default() }
}

#[test]
fn commands_and_capabilities_that_are_not_supported_are_named() {
    let mut advise = vec![8, 0, 3, 0, 16];
    advise.extend([0; 16]);
    let ignore_shared = Bytes::default()
        .put([5])
        .name("configuration/capabilities")
        .put([0, 0, 0, 1, 0, 0, 0, 1])
        .name("x-colo")
        .0;
    for (head, word) in [
        (vec![8, 0, 1, 0, 0], "OPEN_RETURN_PATH"),
        (advise, "POSTCOPY_ADVISE"),
        (ignore_shared, "x-colo"),
        (vec![8, 0, 8, 0, 0], "command 8"),
    ] {
        let failure = refused(&with_head(&head), Wishes::default());
        assert!(failure.contains(word), "{word}: {failure}");
    }
}

#[test]
fn commands_that_mean_nothing_to_a_destination_are_taken() {
    let ping = [8, 0, 2, 0, 4, 0, 0, 0, 1];
    let pair = ended(&with_head(&ping), PinAllOffer::Never, Wishes::default());
    assert_eq!(pair.destination_owner.failure(), None);
}

#[test]
fn ignored_shared_ram_is_refused_by_that_name() {
    // With this capability each block has a guest address, which this guest does not send: the list
    // cannot be read, or the capability is named. Either way nothing is recorded.
    let head = Bytes(configuration("pc"))
        .put([5])
        .name("configuration/capabilities")
        .put([0, 0, 0, 1, 0, 0, 0, 1])
        .name("x-ignore-shared")
        .0;
    let mut guest = Guest { head, ..Guest::default() };
    guest.blocks.truncate(1);
    guest.rounds = vec![vec![(0, 0, 4096, 255)]];
    let failure = refused(&guest, Wishes::default());
    assert!(failure.contains("no list of RAM blocks in the stream"), "{failure}");
}

#[test]
fn multifd_is_refused_by_its_word() {
    let guest = Guest { after_round: 0x200_u64.to_be_bytes().to_vec(), ..Guest::default() };
    let failure = refused(&guest, Wishes::default());
    assert!(failure.contains("multifd (word 0x200 at byte"), "{failure}");
}

#[test]
fn a_stream_or_a_guest_larger_than_the_limits_is_refused_with_the_limit() {
    let limits = Limits { stream_bytes_max: 20_000, ram_bytes_max: 3 << 20 };
    let failure = refused(&Guest::default(), Wishes { limits, ..Wishes::default() });
    assert!(failure.contains("there is room for 3 MiB (--max-ram)"), "{failure}");
    let limits = Limits { stream_bytes_max: 20_000, ..Limits::default() };
    let failure = refused(&Guest::default(), Wishes { limits, ..Wishes::default() });
    assert!(failure.contains("longer than the 19.53 KiB"), "{failure}");
}

#[test]
fn what_is_no_migration_stream_is_refused() {
    let mut guest = Guest::default();
    guest.blocks[1].0 = "pc.ram";
    let failure = refused(&guest, Wishes::default());
    assert!(failure.contains("RAM block with the name of the one at"), "{failure}");
}

#[test]
fn a_source_that_does_not_pin_is_refused_where_that_was_asked_for() {
    let wishes = Wishes { require_pin_all: true, ..Wishes::default() };
    let failure = refused(&Guest::default(), wishes);
    assert!(failure.contains("(--pin-all)"), "{failure}");
    let pair = ended(&Guest::default(), PinAllOffer::Required, wishes);
    assert_eq!(pair.destination_owner.failure(), None);
}
