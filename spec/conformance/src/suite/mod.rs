//! The conformance suite: plays one side of the protocol against a peer under test, and judges it.
//!
//! A [`Case`] is a play of the suite's side: it does [`Action`]s and looks at [`Observation`]s,
//! through a [`Link`] to the peer. The link leads to this project's own machines on the simulator,
//! or to anything over real verbs, or into the transcript of an earlier run: a verdict depends on
//! nothing but what was observed, so that it can be found again offline.

pub mod action;
pub mod aftermath;
pub mod case;
pub mod cases;
pub mod evidence;
pub mod expected;
pub mod guest;
pub mod hooks;
pub mod link;
#[cfg(feature = "mutants")]
pub mod mutants;
pub mod peers;
pub mod play;
pub mod reference;
pub mod replay;
pub mod report;
pub mod requirements;
pub mod run;
pub mod selection;
pub mod session;
pub mod transcript;
#[cfg(feature = "verbs")]
pub mod verbs;
pub mod verdict;

pub use action::{Action, Bytes, Observation};
pub use aftermath::{Aftermath, PeerState};
pub use case::{Case, Level, Peer, Profile, Role, Seen};
pub use guest::Guest;
pub use link::Link;
pub use play::Play;
pub use transcript::{Entry, Transcript};
pub use verdict::{Column, Finding, Outcome, Stop, Verdict};
