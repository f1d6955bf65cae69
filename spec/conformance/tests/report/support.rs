//! Runs whose evidence and reports the tests look at.

use std::fs;
use std::path::{Path, PathBuf};

use rdma_migration_conformance::suite::cases;
use rdma_migration_conformance::suite::evidence::{Evidence, Verified, verify};
use rdma_migration_conformance::suite::peers::{Peers, Reference};
use rdma_migration_conformance::suite::report::{Circumstances, Policy, Report};
use rdma_migration_conformance::suite::session::{Judged, Session};
use rdma_migration_conformance::suite::{Case, Finding, Outcome, Profile};
use tempfile::TempDir;

/// The session that all runs are.
pub(crate) fn session() -> Session {
    Session { seed: 1, patience: Reference.patience() }
}

/// The case of this name.
pub(crate) fn case(id: &str) -> &'static Case {
    cases::all().find(|case| case.id == id).unwrap()
}

/// A case, played against the reference.
pub(crate) fn judged(id: &str) -> Judged {
    session().judge(&mut Reference, case(id))
}

/// A report of a run with the given cases.
pub(crate) fn report(judged: impl IntoIterator<Item = Judged>) -> Report {
    let about = Circumstances {
        peer: "reference".to_owned(),
        profile: Profile::Full,
        seed: 1,
        patience: session().patience,
        dangerous_left_out: 0,
        repeat: "rdma-migration conformance run --seed 1 --filter {}".to_owned(),
        evidence: true,
    };
    let mut report = Report::new(&about);
    for judged in judged {
        report.add(judged, None, &about);
    }
    report
}

/// A folder of evidence, which goes away with the value.
pub(crate) struct Folder(TempDir);

impl Folder {
    /// The evidence of some cases.
    pub(crate) fn of(judged: &[Judged]) -> Self {
        let folder = Self(TempDir::new().unwrap());
        let guest = Reference.guest();
        let mut evidence = Evidence::begin(folder.path(), session(), "reference", &guest).unwrap();
        for judged in judged {
            evidence.add(judged).unwrap();
        }
        evidence.finish().unwrap();
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.file(name)).unwrap()
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.file(name), bytes).unwrap();
    }

    pub(crate) fn verify(&self) -> Verified {
        verify(self.path()).unwrap()
    }

    /// What does not fit, each in a line.
    pub(crate) fn disagreements(&self) -> Vec<String> {
        self.verify().disagreements.iter().map(ToString::to_string).collect()
    }
}

/// A report with a case of each outcome, whose peer says what breaks markup and terminals.
pub(crate) fn every_outcome() -> Report {
    let ids =
        ["D-CON-001", "D-CON-002", "D-CON-003", "D-CON-004", "S-CON-001", "S-CON-002", "S-CON-003"];
    let mut report = report(ids.map(judged));
    report.outcomes.clear();
    for (case, outcome) in report.cases.iter_mut().zip(Outcome::ALL) {
        case.outcome = outcome;
        *report.outcomes.entry(outcome).or_default() += 1;
        case.verdict.outcome = match outcome {
            Outcome::Waived => Outcome::Fail,
            Outcome::UnexpectedPass => Outcome::Pass,
            outcome => outcome,
        };
        if matches!(outcome, Outcome::Fail | Outcome::Waived) {
            case.verdict.findings = vec![Finding::safety("CON-3", NASTY)];
            case.verdict.safety = Some(false);
        }
        if matches!(outcome, Outcome::Skip | Outcome::Inconclusive | Outcome::Timeout) {
            case.verdict.reason = Some(NASTY.to_owned());
        }
    }
    report.policy = Policy::Failed;
    report
}

/// A text that breaks out of whatever does not escape it.
pub(crate) const NASTY: &str = "]]></b><script>'\"&\u{1b}[2J\u{0}\u{8}\u{fffe}";
