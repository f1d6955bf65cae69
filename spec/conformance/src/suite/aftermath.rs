//! What has become of the peer once a case has ended.

use serde::{Deserialize, Serialize};

/// What is known of the peer after the connection is gone. What nobody can know is absent.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Aftermath {
    /// Whether the peer has come to an end.
    pub state: PeerState,
    /// Who owns the guest as the peer sees it: `source`, `destination` or `undecided`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest_owner: Option<String>,
    /// Whether the peer says that the migration was a success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed: Option<bool>,
    /// Why it was none, in the peer's words. No verdict depends on them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub says: Option<String>,
    /// Regions that the peer still has registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regions_left: Option<usize>,
    /// What the peer did to its adapter against the rules of verbs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub breaches: Vec<String>,
    /// The SHA-256 of each RAM block of the peer, in the order of their indices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ram: Option<Vec<String>>,
}

/// Whether a peer has come to an end.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum PeerState {
    /// It has ended the migration in order, and can be used again or has exited with success.
    Ended,
    /// It still waits, long after the connection was gone.
    Waiting,
    /// It has crashed.
    Crashed {
        /// The signal or the message.
        how: String,
    },
    /// Nobody can tell.
    Unknown,
}
