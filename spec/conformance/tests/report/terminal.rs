//! The report for a terminal.

use core::time::Duration;

use rdma_migration_conformance::suite::session::Judged;
use rdma_migration_conformance::suite::{Stop, Verdict};

use crate::support::{case, report};

fn without_device(id: &str) -> Judged {
    let stop = Stop::Inconclusive { what: "there is no RDMA device".to_owned() };
    let verdict = Verdict::of(case(id), Err(stop), Vec::new(), None);
    Judged { case: case(id), transcript: None, verdict, took: Duration::ZERO }
}

#[test]
fn cases_that_could_not_be_played_stand_together_by_reason() {
    let report = report(["D-CON-001", "D-CON-002"].map(without_device));
    let mut text = Vec::new();
    report.write_text(&mut text, false).unwrap();
    let text = String::from_utf8(text).unwrap();
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    assert_eq!(
        lines[..2],
        ["inconclusive  2 cases: there is no RDMA device", "D-CON-001 D-CON-002"]
    );
    assert_eq!(text.matches("there is no RDMA device").count(), 1);
}
