//! The suite, played against this project's own machines.

mod catalogue;

use core::time::Duration;

use rdma_migration_conformance::suite::guest::Guest;
use rdma_migration_conformance::suite::play::Stage;
use rdma_migration_conformance::suite::reference::{self, Plain};
use rdma_migration_conformance::suite::replay::Replay;
use rdma_migration_conformance::suite::run::{Played, play};
use rdma_migration_conformance::suite::{Case, Finding, Outcome, Seen, cases};

fn stage() -> Stage {
    Stage { patience: Duration::from_secs(400), seed: 1, guest: Guest::synthetic() }
}

fn against_the_reference(case: &Case) -> Played {
    let mut link = reference::link(case, 1, Plain).unwrap();
    play(case, link.as_mut(), stage())
}

#[test]
fn the_reference_passes_every_case() {
    let mut failed = Vec::new();
    for case in cases::all() {
        let played = against_the_reference(case);
        if played.verdict.outcome != Outcome::Pass {
            failed.push(format!("{}: {:#?}", case.id, played.verdict));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn a_transcript_gives_the_same_verdict_again() {
    for case in cases::all() {
        let played = against_the_reference(case);
        let mut replay = Replay::new(played.transcript.clone());
        let again = play(case, &mut replay, stage());
        assert_eq!(replay.difference(), None, "{}", case.id);
        assert_eq!(again.verdict, played.verdict, "{}", case.id);
        assert_eq!(again.transcript, played.transcript, "{}", case.id);
    }
}

fn guest_has_arrived(seen: &Seen<'_>) -> Vec<Finding> {
    let blocks = seen.aftermath.ram.as_ref().map_or(0, Vec::len);
    let says = format!("{blocks} of {} RAM blocks", seen.guest.blocks.len());
    vec![Finding::wording("RND-6", says)]
}

#[test]
fn what_is_found_afterwards_is_part_of_the_verdict_live_and_again() {
    let case = cases::all().find(|case| case.id == "D-RND-001").unwrap().after(guest_has_arrived);
    let played = against_the_reference(&case);
    assert_eq!(played.verdict.findings, [Finding::wording("RND-6", "3 of 3 RAM blocks")]);
    assert_eq!(played.verdict.outcome, Outcome::Fail);
    let again = play(&case, &mut Replay::new(played.transcript), stage());
    assert_eq!(again.verdict, played.verdict);
}
