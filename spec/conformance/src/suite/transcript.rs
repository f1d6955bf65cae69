//! What was done and seen, in order: all that a verdict depends on.

use serde::{Deserialize, Serialize};

use super::{Action, Observation};

/// Something that was done or seen.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// When, in microseconds since the play began.
    pub time_us: u64,
    /// What the suite's side did, or saw.
    pub event: Event,
}

/// What was done or seen.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Event {
    /// It was done.
    Did(Action),
    /// It was seen.
    Saw(Observation),
}

/// All of a play.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Transcript(pub Vec<Entry>);
