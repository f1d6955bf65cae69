//! The reference does what its file of expected results says: all cases pass.

use std::fs;
use std::path::Path;

use rdma_migration_conformance::suite::cases;
use rdma_migration_conformance::suite::expected::Expected;
use rdma_migration_conformance::suite::peers::Reference;
use rdma_migration_conformance::suite::{Outcome, Verdict};

use crate::support::session;

fn expected() -> Expected {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("expected/reference.toml");
    Expected::read(&fs::read_to_string(path).unwrap(), cases::all()).unwrap()
}

#[test]
fn the_reference_is_expected_to_pass_every_case() {
    let expected = expected();
    assert_eq!(expected.peer, "reference");
    for case in cases::all() {
        assert_eq!(expected.of(case.id), None, "{}", case.id);
    }
}

#[test]
fn the_reference_is_as_expected() {
    let expected = expected();
    let judge = |case| session().judge(&mut Reference, case);
    let differs = |verdict: &Verdict, id| expected.compare(id, verdict).outcome != Outcome::Pass;
    let different: Vec<_> = cases::all()
        .map(judge)
        .filter(|judged| differs(&judged.verdict, judged.case.id))
        .map(|judged| format!("{}: {:?}", judged.case.id, judged.verdict))
        .collect();
    assert!(different.is_empty(), "{}", different.join("\n"));
}
