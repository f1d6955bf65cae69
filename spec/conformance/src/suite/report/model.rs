//! What a report says, whatever it looks like.

use core::time::Duration;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::suite::expected::{Expectation, Expected};
use crate::suite::requirements::{self, Chapter};
use crate::suite::session::Judged;
use crate::suite::{Case, Level, Outcome, Profile, Role, Transcript, Verdict};

/// The number of the form that reports have as JSON.
pub const FORMAT: u32 = 1;

/// All that a run of the suite has found.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The number of this form of report.
    pub format: u32,
    /// The version of the suite.
    pub suite_version: String,
    /// What the peers are called.
    pub peer: String,
    /// How much was to be run.
    pub profile: Profile,
    /// Where all chance came from.
    pub seed: u64,
    /// How long peers were waited for, in seconds of their own time.
    pub timeout_seconds: f64,
    /// Whether somebody interrupted the run, so that cases are missing.
    pub interrupted: bool,
    /// Cases that were not run because they have crashed deployed peers.
    pub dangerous_left_out: usize,
    /// Whether the peers did what was required or, where expected results were given, expected.
    pub policy: Policy,
    /// How many cases ended how.
    pub outcomes: BTreeMap<Outcome, usize>,
    /// The cases, in the order in which they were run.
    pub cases: Vec<CaseReport>,
    /// The requirements of the specification, in its order.
    pub requirements: Vec<RequirementReport>,
}

/// What a run comes to.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// The peers did what was required, or what was expected.
    Met,
    /// A case failed or timed out.
    Failed,
    /// A case passed of which it was expected that it fails.
    StaleWaiver,
    /// Nothing failed, but of some case, or of all, nobody can tell.
    Inconclusive,
    /// Nothing failed, and the run was interrupted.
    Interrupted,
}

/// What was found in one case.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CaseReport {
    /// Its name, which no other case ever has.
    pub id: String,
    /// What happens in it, in a few words.
    pub title: String,
    /// The chapter of the specification that it is about.
    pub chapter: String,
    /// Which side was under test.
    pub role: Role,
    /// How binding the rule is.
    pub level: Level,
    /// From which profile on it is run.
    pub profile: Profile,
    /// Whether it has crashed deployed peers.
    pub dangerous: bool,
    /// The requirements that it checks, the main one first.
    pub requirements: Vec<String>,
    /// What is sent.
    pub sends: String,
    /// What is accepted.
    pub accepts: String,
    /// How it ended, the expected results considered.
    pub outcome: Outcome,
    /// What was seen, whatever was expected.
    pub verdict: Verdict,
    /// What was expected, where the file of expected results has something to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Expectation>,
    /// How what was seen differs from what was expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<String>,
    /// The command that runs the case again.
    pub repeat: String,
    /// How long it took here, in seconds.
    pub took_seconds: f64,
    /// How long it was for the peer, in seconds; absent where it was not played.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_seconds: Option<f64>,
    /// The folder of its evidence, beside those of the other cases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// What was done and seen. As JSON it is in the evidence, not in the report.
    #[serde(skip)]
    pub transcript: Option<Transcript>,
}

/// Which cases reach a requirement.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RequirementReport {
    /// Its name.
    pub id: String,
    /// The chapter that it stands in.
    pub chapter: String,
    /// The sentence.
    pub text: String,
    /// The cases of this run that check it, and were played.
    pub cases: Vec<String>,
}

/// What is the same for all cases of a run.
#[derive(Clone, Debug)]
pub struct Circumstances {
    /// What the peers are called.
    pub peer: String,
    /// How much was to be run.
    pub profile: Profile,
    /// Where all chance came from.
    pub seed: u64,
    /// How long peers were waited for.
    pub patience: Duration,
    /// Cases that were not run because they have crashed deployed peers.
    pub dangerous_left_out: usize,
    /// The command that runs one case again: its name is put in the place of `{}`.
    pub repeat: String,
    /// Whether evidence is written.
    pub evidence: bool,
}

impl Report {
    /// A report of no case.
    #[must_use]
    pub fn new(circumstances: &Circumstances) -> Self {
        let requirements = requirements::all().iter().map(|requirement| RequirementReport {
            id: requirement.id.to_owned(),
            chapter: requirement.chapter.title.to_owned(),
            text: requirement.text.clone(),
            cases: Vec::new(),
        });
        Self {
            format: FORMAT,
            suite_version: env!("CARGO_PKG_VERSION").to_owned(),
            peer: circumstances.peer.clone(),
            profile: circumstances.profile,
            seed: circumstances.seed,
            timeout_seconds: circumstances.patience.as_secs_f64(),
            interrupted: false,
            dangerous_left_out: circumstances.dangerous_left_out,
            policy: Policy::Inconclusive,
            outcomes: BTreeMap::new(),
            cases: Vec::new(),
            requirements: requirements.collect(),
        }
    }

    /// Adds a case, compared with what was expected of it.
    pub fn add(&mut self, judged: Judged, expected: Option<&Expected>, about: &Circumstances) {
        let case = judged.case;
        let compared = expected.map(|expected| expected.compare(case.id, &judged.verdict));
        let outcome = compared.as_ref().map_or(judged.verdict.outcome, |found| found.outcome);
        let played = judged.transcript.is_some();
        let ended = judged.transcript.as_ref().and_then(|transcript| transcript.0.last());
        let peer_seconds = ended.map(|entry| Duration::from_micros(entry.time_us).as_secs_f64());
        if played && outcome != Outcome::Skip {
            for requirement in &mut self.requirements {
                if case.requirements.contains(&requirement.id.as_str()) {
                    requirement.cases.push(case.id.to_owned());
                }
            }
        }
        self.cases.push(CaseReport {
            id: case.id.to_owned(),
            title: case.title.to_owned(),
            chapter: chapter_of(case).title.to_owned(),
            role: case.role,
            level: case.level,
            profile: case.profile,
            dangerous: case.dangerous,
            requirements: case.requirements.iter().map(|id| (*id).to_owned()).collect(),
            sends: case.sends.to_owned(),
            accepts: case.accepts.to_owned(),
            outcome,
            verdict: judged.verdict,
            expected: expected.and_then(|expected| expected.of(case.id)).cloned(),
            difference: compared.and_then(|compared| compared.difference),
            repeat: about.repeat.replace("{}", case.id),
            took_seconds: judged.took.as_secs_f64(),
            peer_seconds,
            evidence: (about.evidence && played).then(|| case.id.to_owned()),
            transcript: judged.transcript,
        });
        *self.outcomes.entry(outcome).or_default() += 1;
        self.policy = self.judge();
    }

    /// Marks the report as one of a run that somebody has interrupted.
    pub fn interrupt(&mut self) {
        self.interrupted = true;
        self.policy = self.judge();
    }

    /// How many cases ended so.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> usize {
        self.outcomes.get(&outcome).copied().unwrap_or_default()
    }

    /// How many requirements were reached.
    #[must_use]
    pub fn requirements_reached(&self) -> usize {
        self.requirements.iter().filter(|requirement| !requirement.cases.is_empty()).count()
    }

    /// The chapters of the specification that have requirements, in its order, and what cases have
    /// beyond them.
    #[must_use]
    pub fn chapters(&self) -> Vec<&str> {
        let mut chapters: Vec<&str> = Vec::new();
        let of_text = self.requirements.iter().map(|requirement| requirement.chapter.as_str());
        for chapter in of_text.chain(self.cases.iter().map(|case| case.chapter.as_str())) {
            if !chapters.contains(&chapter) {
                chapters.push(chapter);
            }
        }
        chapters
    }

    /// How many requirements of a chapter there are, and how many of them were reached.
    pub(super) fn reached_of(&self, chapter: &str) -> (usize, usize) {
        let of_chapter = self.requirements.iter().filter(|found| found.chapter == chapter);
        of_chapter.fold((0, 0), |(reached, all), requirement| {
            (reached + usize::from(!requirement.cases.is_empty()), all + 1)
        })
    }

    fn judge(&self) -> Policy {
        let any = |outcome| self.count(outcome) > 0;
        if any(Outcome::Fail) || any(Outcome::Timeout) {
            Policy::Failed
        } else if any(Outcome::UnexpectedPass) {
            Policy::StaleWaiver
        } else if self.interrupted {
            Policy::Interrupted
        } else if any(Outcome::Inconclusive) || !(any(Outcome::Pass) || any(Outcome::Waived)) {
            // Where every case was skipped nothing was judged either.
            Policy::Inconclusive
        } else {
            Policy::Met
        }
    }
}

/// The chapter of a case: that of the word in its name.
#[must_use]
pub fn chapter_of(case: &Case) -> Chapter {
    let word = case.id.split('-').nth(1).and_then(requirements::chapter);
    let main = || case.requirements.first().and_then(|id| requirements::find(id));
    word.or_else(|| main().map(|requirement| requirement.chapter)).unwrap_or(Chapter::NONE)
}
