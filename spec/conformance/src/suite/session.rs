//! Plays cases against peers, one after the other.

use core::time::Duration;
use std::time::Instant;

use super::peers::Peers;
use super::play::Stage;
use super::run::{Played, play};
use super::{Case, Stop, Transcript, Verdict};

/// What all cases of a session share.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    /// Where all chance comes from.
    pub seed: u64,
    /// How long to wait for a peer.
    pub patience: Duration,
}

/// A case of a session, once it is over.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The case.
    pub case: &'static Case,
    /// What was done and seen; absent where the case could not be played.
    pub transcript: Option<Transcript>,
    /// The judgement.
    pub verdict: Verdict,
    /// How long it took here, however long it was for the peer.
    pub took: Duration,
}

impl Session {
    /// What a case is played with.
    pub fn stage(&self, peers: &dyn Peers) -> Stage {
        Stage { patience: self.patience, seed: self.seed, guest: peers.guest() }
    }

    /// Plays a case against a new peer.
    pub fn judge(&self, peers: &mut dyn Peers, case: &'static Case) -> Judged {
        let began = Instant::now();
        let stage = self.stage(peers);
        let played = match peers.cannot(case) {
            Some(what) => Err(Stop::Unsupported { what }),
            None => match peers.link(case, self.seed) {
                Ok(mut link) => Ok(play(case, link.as_mut(), stage)),
                Err(what) => Err(Stop::Inconclusive { what }),
            },
        };
        let (transcript, verdict) = match played {
            Ok(Played { transcript, verdict }) => (Some(transcript), verdict),
            Err(stop) => (None, Verdict::of(case, Err(stop), Vec::new(), None)),
        };
        Judged { case, transcript, verdict, took: began.elapsed() }
    }
}
