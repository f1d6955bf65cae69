//! The reference does what its file of expected results says: all cases pass.

use std::fs;
use std::path::Path;

use rdma_migration_conformance::suite::cases;
use rdma_migration_conformance::suite::expected::Expected;
use rdma_migration_conformance::suite::peers::Reference;
use rdma_migration_conformance::suite::{Finding, Outcome, Verdict};

use crate::support::{judged, report, session};

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

#[test]
fn what_a_run_has_found_is_expected_of_the_next() {
    let mut failed = judged("D-CON-010");
    failed.verdict.outcome = Outcome::Fail;
    failed.verdict.wording = Some(false);
    failed.verdict.findings = vec![Finding::wording("CON-3", "it accepts")];
    let mut silent = judged("S-CON-001");
    silent.verdict.outcome = Outcome::Timeout;
    silent.verdict.safety = Some(false);
    silent.verdict.reason = Some("READY".to_owned());
    let written =
        Expected::write(&report([failed.clone(), silent.clone(), judged("D-CON-001")])).unwrap();

    let expected = Expected::read(&written, cases::all()).unwrap();
    let says = |id| expected.of(id).map(|expectation| expectation.says.clone());
    assert_eq!(says("D-CON-001"), None);
    assert_eq!(says("D-CON-010").unwrap(), "no private data: it accepts, against CON-3.");
    let main = silent.case.requirements[0];
    let title = silent.case.title;
    let waited = format!("{title}: waited in vain for READY, against {main}.");
    assert_eq!(says("S-CON-001").unwrap(), waited);
    for judged in [failed, silent] {
        let compared = expected.compare(judged.case.id, &judged.verdict);
        assert_eq!((compared.outcome, compared.difference), (Outcome::Waived, None));
    }
}
