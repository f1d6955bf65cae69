//! Plays a case and judges it.

use super::play::Stage;
use super::{Case, Link, Play, Seen, Transcript, Verdict};

/// A case that was played.
#[derive(Clone, Debug)]
pub struct Played {
    /// All that was done and seen.
    pub transcript: Transcript,
    /// The judgement.
    pub verdict: Verdict,
}

/// Plays a case on a link, and judges what was seen.
pub fn play(case: &Case, link: &mut dyn Link, stage: Stage) -> Played {
    let guest = stage.guest.clone();
    let mut play = Play::new(link, stage);
    let ended = (case.body)(&mut play);
    let (transcript, mut findings, aftermath) = play.end();
    if let (Ok(()), Some(after)) = (&ended, case.after) {
        let seen = Seen { transcript: &transcript, aftermath: &aftermath, guest: &guest };
        findings.extend(after(&seen));
    }
    let verdict = Verdict::of(case, ended, findings, Some(&aftermath));
    Played { transcript, verdict }
}
