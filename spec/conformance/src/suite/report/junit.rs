//! The report for machines that read JUnit.

use std::io::{self, Write};
use std::time::Duration;

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::{CaseReport, Report};
use crate::inspect::printable;
use crate::suite::{Outcome, Role};

impl Report {
    /// Writes the report as JUnit XML: a suite for each chapter and role. Failures are `failure`,
    /// timeouts and what nobody can tell `error`, skipped and waived cases `skipped`.
    ///
    /// # Errors
    /// What the writer reports.
    pub fn write_junit(&self, writer: impl Write) -> io::Result<()> {
        let mut report = quick_junit::Report::new(format!("conformance of {}", self.peer));
        for chapter in self.chapters() {
            for role in [Role::Destination, Role::Source] {
                let of_suite = |case: &&CaseReport| case.chapter == chapter && case.role == role;
                let cases: Vec<_> = self.cases.iter().filter(of_suite).map(test_case).collect();
                if !cases.is_empty() {
                    let mut suite = TestSuite::new(format!("{chapter}, {role}"));
                    suite.add_test_cases(cases);
                    report.add_test_suite(suite);
                }
            }
        }
        report.serialize(writer).map_err(io::Error::other)
    }
}

fn test_case(case: &CaseReport) -> TestCase {
    let mut status = match case.outcome {
        Outcome::Pass => TestCaseStatus::success(),
        Outcome::Fail | Outcome::UnexpectedPass => {
            TestCaseStatus::non_success(NonSuccessKind::Failure)
        }
        Outcome::Timeout | Outcome::Inconclusive => {
            TestCaseStatus::non_success(NonSuccessKind::Error)
        }
        Outcome::Skip | Outcome::Waived => TestCaseStatus::skipped(),
    };
    if case.outcome != Outcome::Pass {
        status.set_type(case.outcome.to_string());
        let lines = lines(case);
        status.set_message(lines.first().cloned().unwrap_or_default());
        status.set_description(lines.join("\n"));
    }
    let mut test = TestCase::new(format!("{} {}", case.id, printable(&case.title)), status);
    test.set_classname(case.id.clone());
    test.set_time(Duration::try_from_secs_f64(case.took_seconds).unwrap_or_default());
    test
}

/// What there is to say of a case that is not simply a pass.
fn lines(case: &CaseReport) -> Vec<String> {
    let findings = case.verdict.findings.iter().map(|finding| {
        format!("{}, {}: {}", finding.requirement, finding.column, printable(&finding.says))
    });
    let reason = case.verdict.reason.iter().map(|reason| printable(reason));
    let difference = case.difference.iter().map(|difference| printable(difference));
    let expected = case.expected.iter().map(|expected| printable(&expected.says));
    let repeat = std::iter::once(case.repeat.clone());
    difference.chain(findings).chain(reason).chain(expected).chain(repeat).collect()
}
