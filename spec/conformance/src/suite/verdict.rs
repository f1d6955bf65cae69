//! How a case ends.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Aftermath, Case, Level, PeerState, Role};

/// How a case ended.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The peer did what is required.
    Pass,
    /// It did not.
    Fail,
    /// The peer cannot do what the case needs, or nobody can make it.
    Skip,
    /// It failed as the expected results say.
    Waived,
    /// It passed where the expected results say that it fails.
    UnexpectedPass,
    /// Something failed that is not the peer.
    Inconclusive,
    /// The peer did nothing in the time that it had.
    Timeout,
}

impl Outcome {
    /// All of them, in the order in which tables have them.
    pub const ALL: [Self; 7] = [
        Self::Pass,
        Self::Fail,
        Self::Skip,
        Self::Waived,
        Self::UnexpectedPass,
        Self::Inconclusive,
        Self::Timeout,
    ];
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Skip => "skip",
            Self::Waived => "waived",
            Self::UnexpectedPass => "unexpected pass",
            Self::Inconclusive => "inconclusive",
            Self::Timeout => "timeout",
        })
    }
}

/// What is judged apart.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Column {
    /// No crash, no hang, nothing touched that was not granted, the guest preserved.
    Safety,
    /// The wording of the specification.
    Wording,
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Safety => "safety",
            Self::Wording => "wording",
        })
    }
}

/// Something that the peer did and should not have done, or the other way round.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// What it concerns.
    pub column: Column,
    /// The requirement that it breaks.
    pub requirement: String,
    /// What the peer did.
    pub says: String,
}

impl Finding {
    /// Something against the wording of a requirement.
    #[must_use]
    pub fn wording(requirement: &str, says: impl Into<String>) -> Self {
        Self { column: Column::Wording, requirement: requirement.to_owned(), says: says.into() }
    }

    /// Something that is not safe, and against a requirement.
    #[must_use]
    pub fn safety(requirement: &str, says: impl Into<String>) -> Self {
        Self { column: Column::Safety, requirement: requirement.to_owned(), says: says.into() }
    }
}

/// Why a play ended before its last line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Stop {
    /// The peer did something after which the play cannot go on.
    Found(Finding),
    /// The peer did nothing for too long.
    Timeout {
        /// What was waited for.
        awaited: String,
    },
    /// The peer cannot do what the case needs.
    Unsupported {
        /// What.
        what: String,
    },
    /// Something failed that is not the peer.
    Inconclusive {
        /// What.
        what: String,
    },
}

/// The judgement of a case.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// How it ended.
    pub outcome: Outcome,
    /// Whether the peer was safe; absent where that was not seen.
    pub safety: Option<bool>,
    /// Whether it kept to the wording; absent where that was not seen.
    pub wording: Option<bool>,
    /// All that was found.
    pub findings: Vec<Finding>,
    /// Why the case was skipped, timed out or is inconclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Verdict {
    /// Judges a play that has ended.
    #[must_use]
    pub fn of(
        case: &Case,
        ended: Result<(), Stop>,
        mut findings: Vec<Finding>,
        aftermath: Option<&Aftermath>,
    ) -> Self {
        if let Some(aftermath) = aftermath {
            findings.extend(findings_of(case, aftermath));
        }
        let (outcome, reason) = match ended {
            Ok(()) => (None, None),
            Err(Stop::Found(finding)) => {
                findings.insert(0, finding);
                (None, None)
            }
            Err(Stop::Timeout { awaited }) => (Some(Outcome::Timeout), Some(awaited)),
            Err(Stop::Unsupported { what }) => (Some(Outcome::Skip), Some(what)),
            Err(Stop::Inconclusive { what }) => (Some(Outcome::Inconclusive), Some(what)),
        };
        if matches!(outcome, Some(Outcome::Skip | Outcome::Inconclusive)) {
            let outcome = outcome.unwrap_or(Outcome::Skip);
            return Self { outcome, safety: None, wording: None, findings: Vec::new(), reason };
        }
        let clean = |column| !findings.iter().any(|finding| finding.column == column);
        let hangs = outcome == Some(Outcome::Timeout);
        let (safety, wording) = (clean(Column::Safety) && !hangs, clean(Column::Wording));
        let passes = safety && (wording || case.level == Level::Observed);
        let outcome = outcome.unwrap_or(if passes { Outcome::Pass } else { Outcome::Fail });
        Self { outcome, safety: Some(safety), wording: Some(wording), findings, reason }
    }
}

/// What no peer may do in any case.
fn findings_of(case: &Case, aftermath: &Aftermath) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut find = |requirement: &str, says: String| {
        let requirement = requirement.to_owned();
        found.push(Finding { column: Column::Safety, requirement, says });
    };
    match &aftermath.state {
        PeerState::Ended | PeerState::Unknown => {}
        PeerState::Waiting => {
            find("ERR-1", "the peer still waits, long after the connection was gone".into());
        }
        PeerState::Crashed { how } => find("ERR-1", format!("the peer crashed: {how}")),
    }
    if let Some(regions @ 1..) = aftermath.regions_left {
        find("CON-33", format!("{regions} regions are still registered"));
    }
    for breach in aftermath.breaches.iter().filter(|_| !case.misleads) {
        find("CON-32", format!("against the rules of verbs: {breach}"));
    }
    let owner = aftermath.guest_owner.as_deref();
    match (case.role, case.completes, owner) {
        (Role::Source, false, Some(owner)) if owner != "source" => {
            find("RND-5", format!("the migration failed, and the guest's owner is {owner}"));
        }
        (Role::Source, true, Some("source")) => {
            find("RND-5", "the guest was handed over, and the source still owns it".into());
        }
        (Role::Destination, false, Some("destination")) => {
            find("RND-6", "the destination owns a guest that has not arrived".into());
        }
        (Role::Destination, true, Some(owner)) if owner != "destination" => {
            find("RND-6", format!("the guest has arrived, and its owner is {owner}"));
        }
        _ => {}
    }
    found
}
