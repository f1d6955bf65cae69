//! What is expected of a peer, case by case, as a file.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::report::{CaseReport, Report};
use super::{Case, Outcome, Verdict, requirements};

/// What is expected of the peers of one name: a case that is not named passes, without findings.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Expected {
    /// The name of the peers.
    pub peer: String,
    cases: BTreeMap<String, Expectation>,
}

/// What is expected in one case.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// The case.
    pub id: String,
    /// How it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// How it may end, where a race decides; in the place of `outcome`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub any_of: Vec<Outcome>,
    /// Whether the peer is safe; either way if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safety: Option<bool>,
    /// Whether it keeps to the wording; either way if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wording: Option<bool>,
    /// The requirement that it breaks where it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirement: Option<String>,
    /// What it does, in a sentence.
    pub says: String,
}

/// A verdict, compared with what was expected.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Compared {
    /// How the case ended, what was expected considered.
    pub outcome: Outcome,
    /// How it differs, if it does.
    pub difference: Option<String>,
}

/// Why a file of expected results cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ExpectedError {
    /// It is no TOML, or not of this form.
    #[error("{0}")]
    Form(#[from] toml::de::Error),
    /// A case is not what it should be.
    #[error("case {id}: {what}")]
    Case {
        /// Its name in the file.
        id: String,
        /// What is wrong with it.
        what: String,
    },
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct File {
    peer: String,
    #[serde(default, rename = "case", skip_serializing_if = "Vec::is_empty")]
    cases: Vec<Expectation>,
}

impl Expected {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ExpectedError`] if it names what the suite does not have, or contradicts itself.
    pub fn read<'c>(
        text: &str,
        suite: impl Iterator<Item = &'c Case>,
    ) -> Result<Self, ExpectedError> {
        let file: File = toml::from_str(text)?;
        let known: Vec<_> = suite.map(|case| case.id).collect();
        let mut cases = BTreeMap::new();
        for expectation in file.cases {
            let id = expectation.id.clone();
            let wrong = |what: String| ExpectedError::Case { id: id.clone(), what };
            if !known.contains(&id.as_str()) {
                return Err(wrong("the suite has no such case".into()));
            }
            expectation.check().map_err(wrong)?;
            if cases.insert(id.clone(), expectation).is_some() {
                return Err(wrong("it is named twice".into()));
            }
        }
        Ok(Self { peer: file.peer, cases })
    }

    /// The file that expects what a run has found, its findings for sentences.
    ///
    /// # Errors
    /// [`toml::ser::Error`], which no report brings about.
    pub fn write(report: &Report) -> Result<String, toml::ser::Error> {
        let listed = report.cases.iter().filter(|case| !simply_passes(&case.verdict));
        let listed = listed.filter(|case| case.verdict.outcome != Outcome::Inconclusive);
        let cases = listed.map(Expectation::of).collect();
        let file = File { peer: report.peer.clone(), cases };
        let passes = "Every case of the suite that is not named here passes, without findings.";
        Ok(format!("# {passes}\n\n{}", toml::to_string(&file)?))
    }

    /// What is expected in a case, if it is not simply that it passes.
    #[must_use]
    pub fn of(&self, id: &str) -> Option<&Expectation> {
        self.cases.get(id)
    }

    /// Compares a verdict with what is expected of the case.
    #[must_use]
    pub fn compare(&self, id: &str, verdict: &Verdict) -> Compared {
        let same = |outcome| Compared { outcome, difference: None };
        if verdict.outcome == Outcome::Inconclusive {
            return same(Outcome::Inconclusive);
        }
        let Some(expectation) = self.of(id) else {
            return match verdict.outcome {
                _ if simply_passes(verdict) => same(Outcome::Pass),
                Outcome::Fail => same(Outcome::Fail),
                Outcome::Timeout => same(Outcome::Timeout),
                seen => Compared {
                    outcome: Outcome::Fail,
                    difference: Some(format!("a pass without findings was expected, not {seen}")),
                },
            };
        };
        let Some(difference) = expectation.difference(verdict) else {
            return same(match verdict.outcome {
                Outcome::Fail | Outcome::Timeout => Outcome::Waived,
                outcome => outcome,
            });
        };
        let outcome = match simply_passes(verdict) {
            true => Outcome::UnexpectedPass,
            false => Outcome::Fail,
        };
        Compared { outcome, difference: Some(difference) }
    }
}

impl Expectation {
    /// That a case ends as it did, with a sentence that says what the peer did against what.
    fn of(case: &CaseReport) -> Self {
        let verdict = &case.verdict;
        let timed_out = verdict.outcome == Outcome::Timeout;
        let main = case.requirements.first().filter(|_| timed_out);
        let reason = verdict.reason.iter().map(|reason| match main {
            Some(main) => format!("waited in vain for {reason}, against {main}"),
            None => reason.clone(),
        });
        let found = verdict.findings.iter();
        let found = found.map(|found| format!("{}, against {}", found.says, found.requirement));
        let mut says: Vec<_> = reason.chain(found).collect();
        says.dedup();
        Self {
            id: case.id.clone(),
            outcome: Some(verdict.outcome),
            any_of: Vec::new(),
            safety: verdict.safety,
            wording: verdict.wording,
            requirement: verdict.findings.first().map(|found| &found.requirement).or(main).cloned(),
            says: format!("{}: {}.", case.title, says.join("; ")),
        }
    }

    /// The outcomes that are expected.
    #[must_use]
    pub fn outcomes(&self) -> Vec<Outcome> {
        self.outcome.into_iter().chain(self.any_of.iter().copied()).collect()
    }

    fn check(&self) -> Result<(), String> {
        if self.outcome.is_some() != self.any_of.is_empty() {
            return Err("either outcome or any_of is needed".into());
        }
        for outcome in self.outcomes() {
            let seen = [Outcome::Pass, Outcome::Fail, Outcome::Skip, Outcome::Timeout];
            if !seen.contains(&outcome) {
                return Err(format!("{outcome} is nothing that a peer does"));
            }
        }
        let requirement = self.requirement.as_deref();
        if let Some(id) = requirement.filter(|id| requirements::find(id).is_none()) {
            return Err(format!("there is no requirement {id}"));
        }
        if self.says.trim().is_empty() {
            return Err("it needs a sentence: says".into());
        }
        Ok(())
    }

    /// How a verdict differs from what is expected, if it does.
    fn difference(&self, verdict: &Verdict) -> Option<String> {
        let outcomes = self.outcomes();
        if !outcomes.contains(&verdict.outcome) {
            let names: Vec<_> = outcomes.iter().map(ToString::to_string).collect();
            return Some(format!("{} was expected, not {}", names.join(" or "), verdict.outcome));
        }
        let columns =
            [("safety", self.safety, verdict.safety), ("wording", self.wording, verdict.wording)];
        for (column, expected, seen) in columns {
            if expected.is_some() && expected != seen {
                return Some(match expected {
                    Some(true) => format!("a breach of {column} was not expected"),
                    _ => format!("a breach of {column} was expected"),
                });
            }
        }
        let mut findings = verdict.findings.iter().map(|found| &found.requirement);
        match &self.requirement {
            Some(expected) if verdict.outcome == Outcome::Fail => {
                let found = findings.any(|requirement| requirement == expected);
                (!found).then(|| format!("a breach of {expected} was expected, and is not found"))
            }
            _ => None,
        }
    }
}

/// Whether a case need not be named in a file of expected results.
fn simply_passes(verdict: &Verdict) -> bool {
    verdict.outcome == Outcome::Pass && verdict.findings.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::{Column, Finding, Play, Stop};

    fn nothing(_: &mut Play<'_>) -> Result<(), Stop> {
        Ok(())
    }

    const CASES: &[Case] = &[
        Case::destination("D-REG-001", "a", &["REG-1"], nothing),
        Case::destination("D-REG-002", "b", &["REG-2"], nothing),
    ];

    fn read(text: &str) -> Result<Expected, String> {
        Expected::read(text, CASES.iter()).map_err(|error| error.to_string())
    }

    fn verdict(outcome: Outcome, finding: Option<&str>) -> Verdict {
        let finding = finding.map(|requirement| Finding {
            column: Column::Wording,
            requirement: requirement.to_owned(),
            says: "it goes on".to_owned(),
        });
        let wording = Some(finding.is_none());
        let findings = finding.into_iter().collect();
        Verdict { outcome, safety: Some(true), wording, findings, reason: None }
    }

    const FAILS: &str = "peer = \"p\"\n[[case]]\nid = \"D-REG-001\"\noutcome = \"fail\"\n\
                         safety = true\nrequirement = \"REG-2\"\nsays = \"It goes on.\"\n";

    #[test]
    fn what_was_expected_is_waived_and_a_pass_is_unexpected() {
        let expected = read(FAILS).unwrap();
        let outcome = |id, outcome, finding| {
            let compared = expected.compare(id, &verdict(outcome, finding));
            (compared.outcome, compared.difference.is_some())
        };
        use Outcome::*;
        assert_eq!(outcome("D-REG-001", Fail, Some("REG-2")), (Waived, false));
        assert_eq!(outcome("D-REG-001", Pass, None), (UnexpectedPass, true));
        assert_eq!(outcome("D-REG-001", Fail, Some("REG-1")), (Fail, true));
        assert_eq!(outcome("D-REG-001", Timeout, None), (Fail, true));
        assert_eq!(outcome("D-REG-001", Inconclusive, None), (Inconclusive, false));
        assert_eq!(outcome("D-REG-002", Pass, None), (Pass, false));
        assert_eq!(outcome("D-REG-002", Fail, Some("REG-2")), (Fail, false));
        assert_eq!(outcome("D-REG-002", Timeout, None), (Timeout, false));
        assert_eq!(outcome("D-REG-002", Skip, None), (Fail, true));
        assert_eq!(outcome("D-REG-002", Pass, Some("REG-2")), (Fail, true));
    }

    #[test]
    fn a_breach_of_safety_is_not_waived_by_one_of_the_wording() {
        let expected = read(FAILS).unwrap();
        let mut seen = verdict(Outcome::Fail, Some("REG-2"));
        seen.safety = Some(false);
        let compared = expected.compare("D-REG-001", &seen);
        assert_eq!(compared.outcome, Outcome::Fail);
        assert_eq!(compared.difference.unwrap(), "a breach of safety was not expected");
    }

    #[test]
    fn where_a_race_decides_each_of_a_set_will_do() {
        let text = FAILS.replace("outcome = \"fail\"", "any_of = [\"pass\", \"fail\"]");
        let expected = read(&text).unwrap();
        let outcome = |seen| expected.compare("D-REG-001", &seen).outcome;
        assert_eq!(outcome(verdict(Outcome::Pass, None)), Outcome::Pass);
        assert_eq!(outcome(verdict(Outcome::Fail, Some("REG-2"))), Outcome::Waived);
        assert_eq!(outcome(verdict(Outcome::Timeout, None)), Outcome::Fail);
    }

    #[test]
    fn a_file_that_makes_no_sense_is_refused() {
        let refused = |from: &str, to: &str, why: &str| {
            let error = read(&FAILS.replace(from, to)).unwrap_err();
            assert!(error.contains(why), "{error}");
        };
        refused("D-REG-001", "D-REG-999", "the suite has no such case");
        refused("outcome = \"fail\"\n", "", "either outcome or any_of");
        refused("\"fail\"", "\"fail\"\nany_of = [\"pass\"]", "either outcome or any_of");
        refused("\"fail\"", "\"waived\"", "nothing that a peer does");
        refused("REG-2", "REG-999", "no requirement REG-999");
        refused("It goes on.", " ", "needs a sentence");
        refused("safety", "savety", "unknown field");
        let case = FAILS.split_once('\n').unwrap().1;
        refused("peer = \"p\"\n", &format!("peer = \"p\"\n{case}"), "named twice");
    }
}
