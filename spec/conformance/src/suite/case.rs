//! What a case is.

use std::fmt;

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::transcript::Event;
use super::{Aftermath, Finding, Guest, Observation, Play, Stop, Transcript};

/// Which side is under test.
#[derive(
    Clone,
    Copy,
    Debug,
    Deserialize,
    Eq,
    Hash,
    JsonSchema,
    Ord,
    PartialEq,
    PartialOrd,
    Serialize,
    ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The suite plays the destination.
    Source,
    /// The suite plays the source.
    Destination,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Source => "source",
            Self::Destination => "destination",
        })
    }
}

/// How binding the rule is that a case checks.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize, ValueEnum,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Level {
    /// A peer that fails does not conform.
    Must,
    /// A peer that fails had better have a reason.
    Should,
    /// Nothing is required: the case says what the peer does.
    Observed,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
            Self::Observed => "OBSERVED",
        })
    }
}

/// How much a run covers.
#[derive(
    Clone,
    Copy,
    Debug,
    Deserialize,
    Eq,
    Hash,
    JsonSchema,
    Ord,
    PartialEq,
    PartialOrd,
    Serialize,
    ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// One case for each kind of rule.
    Quick,
    /// All cases.
    Full,
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Quick => "quick",
            Self::Full => "full",
        })
    }
}

/// What a case needs of the peer before it begins.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Peer {
    /// It wants, or allows, all RAM to be pinned.
    pub pin_all: bool,
    /// As a source, it gives registrations back.
    pub unregisters: bool,
    /// What goes wrong at the peer's own adapter or host, as `migrate --fault list` names it. Peers
    /// whose host is not ours cannot be made to fail, and skip the case.
    pub faults: &'static [&'static str],
}

/// All that was seen of a play, for what can be judged only when it is over.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// What was done and seen, in order; the aftermath is its last entry.
    pub transcript: &'a Transcript,
    /// What has become of the peer.
    pub aftermath: &'a Aftermath,
    /// The guest that was moved to a destination under test.
    pub guest: &'a Guest,
}

impl Seen<'_> {
    /// Every message that the peer sent, in order, header included.
    pub fn received(&self) -> impl Iterator<Item = &[u8]> {
        self.transcript.0.iter().filter_map(|entry| match &entry.event {
            Event::Saw(Observation::Received { message }) => Some(message.0.as_slice()),
            _ => None,
        })
    }
}

/// A play, and what it is for.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// `D-` or `S-` for the side under test, the chapter, and a number that is never used again.
    pub id: &'static str,
    /// What happens, in a few words.
    pub title: &'static str,
    /// The requirements that it checks, the main one first.
    pub requirements: &'static [&'static str],
    /// Which side is under test.
    pub role: Role,
    /// How binding.
    pub level: Level,
    /// From which profile on it is run.
    pub profile: Profile,
    /// Whether deployed peers have been seen to crash.
    pub dangerous: bool,
    /// What is sent, in a sentence.
    pub sends: &'static str,
    /// What is accepted, in a sentence.
    pub accepts: &'static str,
    /// What it needs of the peer.
    pub peer: Peer,
    /// Whether the migration comes to its end, so that the guest moves.
    pub completes: bool,
    /// Whether the suite's side gives keys or addresses that are no good, or credit for messages that
    /// it has no receive for: that the peer uses them is not held against it.
    pub misleads: bool,
    /// The play.
    pub body: fn(&mut Play<'_>) -> Result<(), Stop>,
    /// What is judged when the play is over, if it came to its last line.
    pub after: Option<fn(&Seen<'_>) -> Vec<Finding>>,
}

impl Case {
    const fn new(
        role: Role,
        id: &'static str,
        title: &'static str,
        requirements: &'static [&'static str],
        body: fn(&mut Play<'_>) -> Result<(), Stop>,
    ) -> Self {
        Self {
            id,
            title,
            requirements,
            role,
            level: Level::Must,
            profile: Profile::Full,
            dangerous: false,
            sends: "",
            accepts: "",
            peer: Peer { pin_all: false, unregisters: false, faults: &[] },
            completes: false,
            misleads: false,
            body,
            after: None,
        }
    }

    /// A case with a destination under test.
    #[must_use]
    pub const fn destination(
        id: &'static str,
        title: &'static str,
        requirements: &'static [&'static str],
        body: fn(&mut Play<'_>) -> Result<(), Stop>,
    ) -> Self {
        Self::new(Role::Destination, id, title, requirements, body)
    }

    /// A case with a source under test.
    #[must_use]
    pub const fn source(
        id: &'static str,
        title: &'static str,
        requirements: &'static [&'static str],
        body: fn(&mut Play<'_>) -> Result<(), Stop>,
    ) -> Self {
        Self::new(Role::Source, id, title, requirements, body)
    }

    /// With what is sent, and what is accepted.
    #[must_use]
    pub const fn text(mut self, sends: &'static str, accepts: &'static str) -> Self {
        self.sends = sends;
        self.accepts = accepts;
        self
    }

    /// Run in the quick profile too.
    #[must_use]
    pub const fn quick(mut self) -> Self {
        self.profile = Profile::Quick;
        self
    }

    /// A rule that may be broken for a reason.
    #[must_use]
    pub const fn should(mut self) -> Self {
        self.level = Level::Should;
        self
    }

    /// Only says what the peer does.
    #[must_use]
    pub const fn observed(mut self) -> Self {
        self.level = Level::Observed;
        self
    }

    /// May crash a deployed peer.
    #[must_use]
    pub const fn dangerous(mut self) -> Self {
        self.dangerous = true;
        self
    }

    /// With all RAM pinned.
    #[must_use]
    pub const fn pin_all(mut self) -> Self {
        self.peer.pin_all = true;
        self
    }

    /// With a source that gives registrations back.
    #[must_use]
    pub const fn unregisters(mut self) -> Self {
        self.peer.unregisters = true;
        self
    }

    /// With a host that fails.
    #[must_use]
    pub const fn faults(mut self, faults: &'static [&'static str]) -> Self {
        self.peer.faults = faults;
        self
    }

    /// The guest moves.
    #[must_use]
    pub const fn completes(mut self) -> Self {
        self.completes = true;
        self
    }

    /// With keys, addresses or credit that are no good.
    #[must_use]
    pub const fn misleads(mut self) -> Self {
        self.misleads = true;
        self
    }

    /// With more to judge when the play is over.
    #[must_use]
    pub const fn after(mut self, after: fn(&Seen<'_>) -> Vec<Finding>) -> Self {
        self.after = Some(after);
        self
    }
}
