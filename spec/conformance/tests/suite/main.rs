//! The suite, played against this project's own machines.

use core::time::Duration;

use rdma_migration_conformance::suite::guest::Guest;
use rdma_migration_conformance::suite::play::Stage;
use rdma_migration_conformance::suite::reference::{self, Plain};
use rdma_migration_conformance::suite::replay::Replay;
use rdma_migration_conformance::suite::run::{Played, play};
use rdma_migration_conformance::suite::{Case, Outcome, cases};

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
